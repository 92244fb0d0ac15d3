"""The SSH server in front of the practice ring: on loopback, inside this process, with keys of its own.

Each director has its own port and host key. One client key is let in, and may run commands, several of them in the one
shell that runs nothing else: no terminal, no file transfer, and no forwarding but to the backends' own sshds. These are
reached through a director only, at port 22 of their IPs, which nothing on this machine has; they share one host key.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

import asyncssh

from director_tui.demo.command import Answer, behind_env
from director_tui.demo.configuration import BACKEND_NETWORK, USER
from director_tui.demo.population import TICKS_PER_S
from director_tui.demo.records import Records
from director_tui.demo.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType
    from typing import TypeAlias

    from director_tui.demo.ring import PracticeRing
    from director_tui.demo.running import Running

    Reach: TypeAlias = Callable[[str, int], Awaitable[int] | None]
    """The port on HOST at which an address and port of the practice ring's own network are; None if nowhere."""

HOST: Final = "127.0.0.1"
SSH_PORT: Final = 22
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
    """Made by :func:`serve`. Directors are called by their place in ``destinations``; the backends behind them are at
    ``configuration.BACKEND_DESTINATION``.

    ``known_hosts``, ``identity`` and ``ssh_config``, which says where dir1, dir2 … are and keeps anybody's own
    configuration out, are the files with which a client gets in. They are in a folder of this user's alone, and gone
    after close().
    """

    def __init__(self, ring: PracticeRing, speed: float, folder: Path) -> None:
        self._ring = ring
        self._speed = speed
        self._folder = folder
        self._client_key = asyncssh.generate_private_key("ssh-ed25519")
        self._doors = [
            _Door(partial(ring.start, number), self._client_key, reach=self._reach)
            for number in range(len(ring.directors))
        ]
        self._backend_key = asyncssh.generate_private_key("ssh-ed25519")
        self._backend_doors: dict[str, _Door] = {}
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
        for door in (*self._doors, *self._backend_doors.values()):
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
        lines = [door.known_hosts_line for door in self._doors]
        self.known_hosts.write_text("".join([*lines, _known_hosts_line(BACKEND_NETWORK, self._backend_key)]))
        places = zip(self.destinations, self._doors, strict=True)
        hosts = (f"Host {name}\n  HostName {HOST}\n  Port {door.port}\n  User {USER}\n" for name, door in places)
        self.ssh_config.write_text("".join(hosts))
        self._clock = asyncio.create_task(self._pass_time(), name="practice ring")

    def _reach(self, address: str, port: int) -> Awaitable[int] | None:
        return self._backend_port(address) if port == SSH_PORT and self._ring.has_host(address) else None

    async def _backend_port(self, ip: str) -> int:
        """A backend's sshd is started when somebody comes for the first time: there may be hundreds."""
        door = self._backend_doors.get(ip)
        if door is None:
            start = partial(self._ring.start_on_backend, ip)
            door = self._backend_doors[ip] = _Door(start, self._client_key, host_key=self._backend_key)
        await door.open()
        return door.port

    async def _pass_time(self) -> None:
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        while True:
            await asyncio.sleep(1 / TICKS_PER_S)
            now_s = loop.time()
            self._ring.advance((now_s - before_s) * self._speed)
            before_s = now_s


class _Door:
    """The sshd of one machine. ``port`` is 0 until it was open once, and stays the same from then on.

    ``start`` begins a command there, ``reach`` says where it forwards connections to; without, it forwards none.
    """

    def __init__(
        self,
        start: Callable[[Sequence[str]], Running],
        client_key: asyncssh.SSHKey,
        *,
        host_key: asyncssh.SSHKey | None = None,
        reach: Reach = lambda address, port: None,
    ) -> None:
        self.port = 0
        self.thawed: Final = asyncio.Event()
        self.thawed.set()
        self._start = start
        self._reach = reach
        self._client_key = client_key.convert_to_public()
        self._host_key = host_key or asyncssh.generate_private_key("ssh-ed25519")
        self._opening = asyncio.Lock()
        self._listener: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._records = Records()

    @property
    def known_hosts_line(self) -> str:
        return _known_hosts_line(f"[{HOST}]:{self.port}", self._host_key)

    async def open(self) -> None:
        async with self._opening:
            if self._listener is None:
                self._listener = await asyncssh.listen(
                    HOST,
                    self.port,
                    options=asyncssh.SSHServerConnectionOptions(
                        server_factory=lambda: _Guard(self._client_key, self.thawed, self._connections, self._reach),
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
        running = self._start(words)
        running.when_ended(lambda answer: None if ended.done() else ended.set_result(answer))
        answer = await ended
        await asyncio.sleep(answer.delay_s)
        return answer


class _Guard(asyncssh.SSHServer):
    """Lets in whoever has the one key, and nobody while its director is frozen."""

    def __init__(
        self,
        key: asyncssh.SSHKey,
        thawed: asyncio.Event,
        connections: set[asyncssh.SSHServerConnection],
        reach: Reach,
    ) -> None:
        self._key = key
        self._reach = reach
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

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool | Awaitable[asyncssh.SSHTCPSession[bytes]]:
        port = self._reach(dest_host, dest_port)
        if port is None or self._connection is None:
            return False
        return self._forward(self._connection, port)

    async def _forward(
        self, connection: asyncssh.SSHServerConnection, port: Awaitable[int]
    ) -> asyncssh.SSHTCPSession[bytes]:
        await self._thawed.wait()
        # asyncssh itself takes its forwarder for a session.
        return cast("asyncssh.SSHTCPSession[bytes]", await connection.forward_connection(HOST, await port))


def _known_hosts_line(name: str, host_key: asyncssh.SSHKey) -> str:
    return f"{name} {host_key.export_public_key().decode('ascii').strip()}\n"


def _words(command: str | None) -> list[str] | Answer:
    """What a login shell makes of a command, as long as there are only words in it."""
    if command is None or not command.strip():
        return Answer(1, stderr=b"The practice ring has no shell.\n")
    try:
        return shlex.split(command)
    except ValueError:
        return Answer(2, stderr=b"sh: 1: Syntax error: Unterminated quoted string\n")
