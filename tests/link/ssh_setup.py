"""What the SSH tests share: client configurations that know nothing of this machine's user, and people who answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import asyncssh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from director_tui.link.questions import Question
    from tests.ring.sshd import Sshd


async def until(condition: Callable[[], object], limit_s: float = 10) -> None:
    """Wait for it to become true."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 — what sshd and files do sets no event
            await asyncio.sleep(0.01)


def host_block(sshd: Sshd, *settings: str, name: str = "", identity: Path | None = None) -> str:
    """A Host block for one sshd; ``settings`` come first, so they win."""
    lines = [
        f"Host {name or sshd.name}",
        *settings,
        f"HostName {sshd.host}",
        f"Port {sshd.port}",
        f"User {sshd.user}",
        f"IdentityFile {identity or sshd.client_key}",
        "IdentitiesOnly yes",
        "IdentityAgent none",
        f"UserKnownHostsFile {sshd.known_hosts}",
        "GlobalKnownHostsFile /dev/null",
    ]
    return "\n  ".join(lines) + "\n"


def write_config(path: Path, blocks: Iterable[str]) -> Path:
    path.write_text("".join(blocks))
    return path


class Person:
    """Answers questions in order, then declines; keeps what was asked."""

    def __init__(self, *answers: str | None) -> None:
        self.questions: list[Question] = []
        self._answers = list(answers)

    async def __call__(self, question: Question) -> str | None:
        self.questions.append(question)
        return self._answers.pop(0) if self._answers else None


class FaultyServer(asyncssh.SSHServer):
    """Lets `ops` in by what a subclass says."""

    def begin_auth(self, username: str) -> bool:
        return True


class OpenServer(FaultyServer):
    """Lets anybody in."""

    def begin_auth(self, username: str) -> bool:
        return False


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    server: type[asyncssh.SSHServer],
    process: Callable[[asyncssh.SSHServerProcess[bytes]], Awaitable[None]] | None = None,
) -> AsyncIterator[Path]:
    """An SSH server in this process; gives the path of the client's configuration, in which it is Host `here`."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    acceptor = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[key], server_factory=server, process_factory=process, encoding=None
    )
    port = acceptor.get_port()
    known_hosts = folder / "known_hosts_here"
    known_hosts.write_text(f"[127.0.0.1]:{port} {key.export_public_key().decode()}")
    config = write_config(
        folder / "config_here",
        [
            "\n  ".join(
                (
                    "Host here",
                    "HostName 127.0.0.1",
                    f"Port {port}",
                    "User ops",
                    "IdentityFile none",
                    "IdentityAgent none",
                    f"UserKnownHostsFile {known_hosts}",
                    "GlobalKnownHostsFile /dev/null",
                )
            )
            + "\n"
        ],
    )
    try:
        yield config
    finally:
        acceptor.close()  # and not waited for: from Python 3.12 on that is for its connections, too
