"""The SSH server in front of the practice ring: on loopback, inside this process, with keys of its own.

Each director has its own port and host key. One client key is let in, and may run commands, several of them in the one
shell that runs nothing else: no terminal, no forwarding, no file transfer.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import asyncssh

from director_tui.demo.command import Answer, behind_env
from director_tui.demo.population import TICKS_PER_S
from director_tui.demo.records import Records
from director_tui.demo.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from director_tui.demo.ring import PracticeRing

USER: Final = "demo"
HOST: Final = "127.0.0.1"
READ_LIMIT_BYTES: Final = 2 * 1024 * 1024
"""So much at most is taken of what a command is given to read."""


async def serve(ring: PracticeRing, *, speed: float = 1.0) -> PracticeServer:
    """A running server for this ring, whose time now passes by itself, ``speed`` times as fast as ours.

    Whoever gets it closes it, or uses it as a context manager.
    """
    server = PracticeServer(ring, speed, Path(tempfile.mkdtemp(prefix="director-tui-demo-")))
    async with contextlib.AsyncExitStack() as on_failure:
        on_failure.push_async_callback(server.close)
        await server._open()
        on_failure.pop_all()
    return server


class PracticeServer:
    """Made by :func:`serve`. Directors are called by their place in ``destinations``.

    ``known_hosts``, ``identity`` and ``ssh_config``, which says where dir1, dir2 … are and keeps anybody's own
    configuration out, are the files with which a client gets in. They are in a folder of this user's alone, and gone
    after close().
    """

    def __init__(self, ring: PracticeRing, speed: float, folder: Path) -> None:
        self._ring = ring
        self._speed = speed
        self._folder = folder
        self._client_key = asyncssh.generate_private_key("ssh-ed25519")
        self._doors = [_Door(ring, number, self._client_key) for number in range(len(ring.directors))]
        self._clock: asyncio.Task[None] | None = None
        self.known_hosts: Final = folder / "known_hosts"
        self.identity: Final = folder / "identity"
        self.ssh_config: Final = folder / "ssh_config"

    @property
    def destinations(self) -> tuple[str, ...]:
        """One for each director: ``dir1`` …, as ``ssh_config`` knows them."""
        return tuple(f"dir{number}" for number in range(1, len(self._doors) + 1))

    async def sever(self, director: int) -> None:
        """Cut one director off: its connections break, new ones are refused. What it does in the ring goes on."""
        await self._doors[director].shut()

    def freeze(self, director: int) -> None:
        """From now on one director accepts connections and commands, and answers none."""
        self._doors[director].thawed.clear()

    async def restore(self, director: int) -> None:
        """Undo sever() and freeze(): the director is reached where it was, and answers what it was asked meanwhile."""
        self._doors[director].thawed.set()
        await self._doors[director].open()

    async def close(self) -> None:
        """Break all connections, and remove the keys. Can be repeated."""
        clock, self._clock = self._clock, None
        if clock is not None:
            clock.cancel()
            await asyncio.wait([clock])
        for door in self._doors:
            await door.shut()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _open(self) -> None:
        for door in self._doors:
            await door.open()
        self._client_key.write_private_key(self.identity)
        self.identity.chmod(0o600)
        self.known_hosts.write_text("".join(door.known_hosts_line for door in self._doors))
        places = zip(self.destinations, self._doors, strict=True)
        hosts = (f"Host {name}\n  HostName {HOST}\n  Port {door.port}\n  User {USER}\n" for name, door in places)
        self.ssh_config.write_text("".join(hosts))
        self._clock = asyncio.create_task(self._pass_time(), name="practice ring")

    async def _pass_time(self) -> None:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        while True:
            await asyncio.sleep(1 / TICKS_PER_S)
            now_s = loop.time()
            self._ring.advance((now_s - before_s) * self._speed)
            before_s = now_s


class _Door:
    """The sshd of one director. ``port`` is 0 until it was open once, and stays the same from then on."""

    def __init__(self, ring: PracticeRing, director: int, client_key: asyncssh.SSHKey) -> None:
        self.port = 0
        self.thawed: Final = asyncio.Event()
        self.thawed.set()
        self._ring = ring
        self._director = director
        self._client_key = client_key.convert_to_public()
        self._host_key = asyncssh.generate_private_key("ssh-ed25519")
        self._listener: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._records = Records()

    @property
    def known_hosts_line(self) -> str:
        return f"[{HOST}]:{self.port} {self._host_key.export_public_key().decode('ascii').strip()}\n"

    async def open(self) -> None:
        if self._listener is None:
            self._listener = await asyncssh.listen(
                HOST,
                self.port,
                options=asyncssh.SSHServerConnectionOptions(
                    server_factory=lambda: _Guard(self._client_key, self.thawed, self._connections),
                    server_host_keys=[self._host_key],
                    process_factory=self._run,
                    encoding=None,
                    allow_pty=False,
                    allow_scp=False,
                    agent_forwarding=False,
                    x11_forwarding=False,
                ),
            )
            self.port = self._listener.get_port()

    async def shut(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()
            for connection in tuple(self._connections):
                connection.abort()
            await listener.wait_closed()

    async def _run(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Ends with its connection; what it has started in the ring goes on, like anything that has no terminal."""

        async def write(stdout: bytes, stderr: bytes) -> bool:
            await self.thawed.wait()
            # The client may be gone by now.
            with contextlib.suppress(OSError, asyncssh.Error):
                process.stdout.write(stdout)
                process.stderr.write(stderr)
            return not process.is_closing()

        words = _words(process.command)
        if isinstance(words, Answer):
            answer = words
        elif (shell := Shell.of(behind_env(words))) is not None:
            answer = Answer(await shell.run(process.stdin, self._execute, write))
        elif (keep := self._records.answer(behind_env(words))) is not None:
            answer = keep(await process.stdin.read(READ_LIMIT_BYTES))
        else:
            answer = await self._execute(words)
        await write(answer.stdout, answer.stderr)
        with contextlib.suppress(OSError, asyncssh.Error):
            process.exit(answer.status)

    async def _execute(self, words: Sequence[str]) -> Answer:
        ended: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        running = self._ring.start(self._director, words)
        running.when_ended(lambda answer: None if ended.done() else ended.set_result(answer))
        answer = await ended
        await asyncio.sleep(answer.delay_s)
        return answer


class _Guard(asyncssh.SSHServer):
    """Lets in whoever has the one key, and nobody while its director is frozen."""

    def __init__(
        self, key: asyncssh.SSHKey, thawed: asyncio.Event, connections: set[asyncssh.SSHServerConnection]
    ) -> None:
        self._key = key
        self._thawed = thawed
        self._connections = connections
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._connections.discard(self._connection)

    async def begin_auth(self, username: str) -> bool:
        await self._thawed.wait()
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return username == USER and key == self._key


def _words(command: str | None) -> list[str] | Answer:
    """What a login shell makes of a command, as long as there are only words in it."""
    if command is None or not command.strip():
        return Answer(1, stderr=b"The practice ring has no shell.\n")
    try:
        return shlex.split(command)
    except ValueError:
        return Answer(2, stderr=b"sh: 1: Syntax error: Unterminated quoted string\n")
