"""SSH connections to directors: connect, ask who may know, run commands. What others use of SSH is here.

ssh_login.py, ssh_keys.py, ssh_session.py and ssh_shell.py belong to it and are imported by nobody else. They are the
only ones of this program to import asyncssh, beside the practice ring's server. It takes 0.1 s to import, so whoever
uses it imports it late.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import asyncssh
from asyncssh.config import SSHClientConfig

from director_tui.config import parse_destination
from director_tui.errors import ConfigError, ConnectionLost, NoAnswer, SessionRefused, ShellRefused
from director_tui.link.host_keys import add_to_known_hosts, known_keys, refusal
from director_tui.link.once import Once
from director_tui.link.questions import Ask, Question
from director_tui.link.ssh_config import HostConfig, find_ssh, from_settings, home, query
from director_tui.link.ssh_keys import Keyring
from director_tui.link.ssh_login import CertificateRefused, KeyRefused, Login
from director_tui.link.ssh_session import Command, Reply, Streamed
from director_tui.link.ssh_shell import KeptShell, Shell, command_line, no_shell, overflow
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from director_tui.config import Destination
    from director_tui.link.dialing import Dialed
    from director_tui.link.ssh_session import Session

__all__ = ["Ask", "Connection", "Question", "Reply", "Shell", "Ssh", "add_to_known_hosts"]

CLOSE_LIMIT_S: Final = 1.0
SESSIONS: Final = 4
"""Commands side by side on one connection. sshd's default MaxSessions is 10, and abandoned commands keep theirs."""
REFUSED_WAITS_S: Final = (0.05, 0.2, 0.5)
"""When sshd refuses a session, wait so long and try again: it notices a moment late that the one before has ended."""
GREETING_LIMIT_S: Final = 6.0
"""How long a remote shell may take to say that it is ready."""
JUMPS_LIMIT: Final = 8

# Nothing may write over the screen, and its debug messages hold what was sent.
_log = logging.getLogger("asyncssh")
_log.addHandler(logging.NullHandler())
_log.propagate = False
asyncssh.set_log_level(logging.CRITICAL + 1)


_Route = tuple[HostConfig, ...]


class Ssh:
    """Opens connections; one shared connection per jump host.

    ``known_hosts`` is a file to look into before the user's and the system's, ``identity`` the only key to use at the
    destination, ``ssh_config`` is like ``ssh -F``. Without ``ask`` whatever only a person could answer is not tried.
    ``configurations`` are being asked for already, and ``dialed`` connected to, each for the first connection to it.
    """

    def __init__(
        self,
        *,
        known_hosts: Path | None = None,
        ask: Ask | None = None,
        identity: Path | None = None,
        ssh_config: Path | None = None,
        configurations: Mapping[Destination, asyncio.Task[HostConfig]] | None = None,
        dialed: Mapping[Destination, Dialed] | None = None,
    ) -> None:
        self._configurations = dict(configurations or {})
        self._dialed = dict(dialed or {})
        self._known_hosts = known_hosts.expanduser() if known_hosts else None
        self._identity = identity.expanduser() if identity else None
        self._ssh_config = ssh_config.expanduser() if ssh_config else None
        self._keyring = Keyring(ask)
        self._connections: set[Connection] = set()
        self._jumps: dict[_Route, Connection] = {}
        self._opening: Once[_Route, Connection] = Once()

    async def connect(self, destination: str, *, through: Connection | None = None) -> Connection:
        """Connect and log in. Raises ConfigError, and Unreachable, HostKeyError, AuthenticationFailed … (LinkError).

        ``through`` is a connection that the way leads through, whatever the OpenSSH configuration says of jump hosts.
        """
        parsed = parse_destination(destination)
        config = await self._configuration(parsed, self._identity)
        if through is None:
            jump = await self._enter(await self._route(config))
        else:
            jump = through
            jump.enter()
        dialed = self._dialed.pop(parsed, None)
        if dialed is not None and jump is not None:
            dialed.hang_up()
            dialed = None
        connection = await self._log_in(clean(destination), config, jump, dialed)
        connection.enter()  # whoever asked for it: it is not closed by the last one that goes through it
        return connection

    async def close(self) -> None:
        """Close every connection that is still open; those that changing commands need, when these have ended."""
        for dialed in self._dialed.values():
            dialed.hang_up()
        self._dialed.clear()
        needed = {hop for connection in self._connections if connection.changing for hop in connection.jumps}
        await asyncio.gather(*(connection.close() for connection in self._connections - needed))

    async def _configuration(self, destination: Destination, identity: Path | None = None) -> HostConfig:
        if begun := self._configurations.pop(destination, None):
            config = await begun
        elif ssh := find_ssh():
            config = await query(ssh, destination, ssh_config=self._ssh_config)
        else:
            config = _configuration_without_openssh(destination, self._ssh_config)
        # Not by ssh's own -i: that goes on with the default keys when the file is missing.
        return replace(config, identity_files=(identity,), identities_only=True) if identity else config

    async def _route(self, config: HostConfig, depth: int = 0) -> _Route:
        """The jump hosts before this host, in the order they are passed through."""
        if not config.proxy_jump:
            return ()
        if depth == JUMPS_LIMIT:
            raise ConfigError(
                f"{config.host}: more than {JUMPS_LIMIT} jump hosts after each other",
                "does a ProxyJump in the OpenSSH configuration lead back to itself?",
            )
        *before, last = config.proxy_jump
        jump = await self._configuration(parse_destination(last))
        if (jump.host, jump.port) == (config.host, config.port):
            return ()  # `Host *` with a ProxyJump matches the jump host as well; OpenSSH passes over it, too
        if before:  # as with ssh -J: the hosts before it replace what the configuration says about the jump host
            jump = replace(jump, proxy_jump=tuple(before), proxy_command="")
        return (*await self._route(jump, depth + 1), jump)

    async def _enter(self, route: _Route) -> Connection | None:
        """The connection to the end of the route, which counts us as a user from now on; None if the route is empty."""
        if not route:
            return None
        jump = self._jumps.get(route)
        while jump is None or jump.lost:
            jump = await self._opening.run(route, partial(self._open_jump, route))
        jump.enter()
        return jump

    async def _open_jump(self, route: _Route) -> Connection:
        jump = await self._log_in(f"jump host {clean(route[-1].name)}", route[-1], await self._enter(route[:-1]))
        self._jumps[route] = jump
        return jump

    async def _log_in(
        self, where: str, config: HostConfig, jump: Connection | None, dialed: Dialed | None = None
    ) -> Connection:
        files = self._known_hosts_files(config)
        known = known_keys(files, config)
        with contextlib.ExitStack() as on_failure:
            if jump:
                on_failure.callback(jump.leave)
            try:
                login = Login(where, config, known, self._keyring, dialed=dialed)
                try:
                    await login.run(jump.login if jump else None)
                except CertificateRefused as refused:
                    # As OpenSSH does: a host certificate that is not accepted is only a host key.
                    login = Login(where, config, known, self._keyring, certificates=False, note=refused.note)
                    await login.run(jump.login if jump else None)
            except KeyRefused as refused:
                raise refusal(where, config, known, refused.key, files, refused.note) from None
            on_failure.pop_all()
        connection = Connection(where, login, jump, self._connections.discard)
        self._connections.add(connection)
        return connection

    def _known_hosts_files(self, config: HostConfig) -> list[Path]:
        """All of them, the one to add to first. With ``none`` or /dev/null it is the default one, never no check."""
        own = [self._known_hosts] if self._known_hosts else []
        user = list(config.user_known_hosts)
        return own + (user or ([] if own else [home() / ".ssh" / "known_hosts"])) + list(config.global_known_hosts)


QUIET_S: Final = 0.00005
"""A turn of the event loop that takes less has nothing else to do. In seconds."""
TURNS: Final = 100


async def _until_others_are_done() -> None:
    """Give everything else here its turn, again and again until it is done: a key is answered in several of them."""
    for _ in range(TURNS):
        began_s = time.perf_counter()
        await asyncio.sleep(0)
        if time.perf_counter() - began_s < QUIET_S:
            return


class Connection:
    """One SSH connection, logged in.

    ``abandoned`` counts the commands that were given up: sshd keeps a session for each of them until it ends over
    there, so a connection with several is better replaced. Not so those that change a ring: they are never given up.
    """

    def __init__(
        self, destination: str, login: Login, jump: Connection | None, closed: Callable[[Connection], object]
    ) -> None:
        self.destination = destination
        self.abandoned = 0
        self.login = login
        self._conn = login.connection
        self._jump = jump
        self._closed: Callable[[Connection], object] | None = closed
        self._users = 0
        self._slots = asyncio.Semaphore(SESSIONS)
        self._kept = KeptShell(self.open_shell, self._abandon)
        self._changes: set[asyncio.Future[Any]] = set()
        self._close_later = False
        self._openings: set[asyncio.Task[Any]] = set()
        self._ending: set[asyncio.Task[None]] = set()
        login.when_lost(self._end)

    @property
    def lost(self) -> bool:
        """Whether nothing can be run over it any more."""
        return self.login.lost.is_set()

    @property
    def changing(self) -> bool:
        """Whether something runs over it that may change a ring."""
        return bool(self._changes)

    @property
    def jumps(self) -> list[Connection]:
        """The connections that this one goes through."""
        return [self._jump, *self._jump.jumps] if self._jump else []

    async def wait_lost(self) -> None:
        """Returns when the connection is lost or closed."""
        await self.login.lost.wait()

    async def run(self, argv: Sequence[str], limit_s: float, *, stdin: bytes = b"", kept: bool = False) -> Reply:
        """Run a command that only reads; its words reach it as they are, whatever is in them.

        ``limit_s`` covers all of it: waiting for one of the sessions, opening it, running. ``kept`` is for what is
        asked again and again: a remote shell is kept for it. Raises NoAnswer, ConnectionLost, SessionRefused, and
        MalformedOutput if it never stops printing.
        """
        try:
            async with asyncio.timeout(limit_s):
                if kept and (reply := await self._kept.run(argv)) is not None:
                    return reply
                async with self._slots:
                    reply = await self._run(command_line(argv), stdin)
                if kept:
                    self._kept.ran(argv)
                return reply
        except TimeoutError:
            raise NoAnswer(f"{self.destination}: no answer within {limit_s:g} s", "") from None

    async def stream(self, argv: Sequence[str], limit_s: float, take: Callable[[bytes], object]) -> Reply:
        """Run a command that only reads, and hand what it prints to ``take`` piece by piece, not to the reply.

        Between two pieces everything else here has its turn. ``limit_s`` is how long it may print nothing. Raises what
        run() does, and whatever ``take`` raises; the command is then given up.
        """
        session = Streamed()
        started_s = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit_s) as limit, self._slots:
                await self._open_patiently(session, command_line(argv))
                async for piece in session.pieces():
                    limit.reschedule(loop.time() + limit_s)
                    take(piece)
                    await _until_others_are_done()
        except TimeoutError:
            raise NoAnswer(f"{self.destination}: no answer within {limit_s:g} s", "") from None
        finally:
            if session.opened and not session.ended.done():
                self._abandon(session)
        if session.status is None:
            raise self._lost_while_running()
        return Reply(session.status, b"", bytes(session.stderr), time.monotonic() - started_s)

    def run_to_its_end(self, argv: Sequence[str], wanted: Callable[[], bool]) -> asyncio.Task[Reply]:
        """Begin a command that may change a ring. It is never given up, nor is this connection closed before its end.

        Whoever waits for the task must not cancel it. ``wanted`` is asked just before the command goes out, and unless
        it says yes, nothing begins. Raises ConnectionLost, SessionRefused and MalformedOutput, as run() does.
        """
        task = asyncio.create_task(self._run_to_its_end(command_line(argv), wanted), name=f"change {self.destination}")
        self.keep_for(task)
        return task

    async def open_shell(self, *, go_on: bool = False) -> Shell:
        """A shell that runs commands one after the other, up to the first that fails, unless it is to ``go_on``.

        One that goes on runs nothing before it is finish()ed; then it runs everything, whatever becomes of us. It has a
        session of its own for as long as it runs, beside those of run(). Raises ConnectionLost, SessionRefused, and
        ShellRefused where something else answers than a shell.
        """
        shell = Shell(self.destination, go_on=go_on)
        try:
            async with asyncio.timeout(GREETING_LIMIT_S):
                await self._open_patiently(shell, command_line(shell.words))
                await asyncio.wait([shell.greeting])
                shell.greeting.result()
        except TimeoutError:
            self._abandon(shell)
            raise no_shell(self.destination, f"it was not ready after {GREETING_LIMIT_S:g} s") from None
        except asyncio.CancelledError:
            self._abandon(shell)
            raise
        except ShellRefused:
            if not shell.ended.done():
                self._abandon(shell)
            raise
        return shell

    def keep_for(self, change: asyncio.Future[Any]) -> None:
        """Don't close before this has ended, which may change a ring; nor what this connection goes through."""
        self._changes.add(change)
        change.add_done_callback(self._changed)
        if self._jump:
            self._jump.keep_for(change)

    async def close(self) -> None:
        """Close it; quickly, also when the other side is frozen. While changes run, only after them."""
        if self.changing and not self.lost:
            self._close_later = True
            return
        await self._kept.close()
        self._conn.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._conn.wait_closed()
        self._end()
        if self._openings:
            await asyncio.wait(self._openings, timeout=CLOSE_LIMIT_S)
        if ending := self._ending - {asyncio.current_task()}:
            await asyncio.wait(ending)

    def enter(self) -> None:
        """One more uses this connection: whoever asked for it, or another connection that goes through it."""
        self._users += 1

    def leave(self) -> None:
        """One less; the last one closes it."""
        self._users -= 1
        if not self._users:
            self._conn.close()

    async def _run(self, line: bytes, stdin: bytes) -> Reply:
        command = Command(stdin)
        try:
            reply = await self._reply_to(command, line)
        except asyncio.CancelledError:
            self._abandon(command)
            raise
        if command.overflowed:
            self._abandon(command)
            raise overflow(self.destination)
        return reply

    async def _run_to_its_end(self, line: bytes, wanted: Callable[[], bool]) -> Reply:
        command = Command(wanted=wanted, to_its_end=True)
        reply = await self._reply_to(command, line)
        if command.overflowed:
            raise overflow(self.destination)
        return reply

    async def _reply_to(self, command: Command, line: bytes) -> Reply:
        started_s = time.monotonic()
        await self._open_patiently(command, line)
        await asyncio.wait([command.ended])
        if command.status is None and not command.overflowed:
            raise self._lost_while_running()
        return Reply(command.status or 0, bytes(command.stdout), bytes(command.stderr), time.monotonic() - started_s)

    async def _open_patiently(self, session: Session, line: bytes) -> None:
        """Open a session, also where sshd has none left at first."""
        for wait_s in REFUSED_WAITS_S:
            try:
                return await self._open(session, line)
            except SessionRefused:  # so it has not begun, and can be tried again
                if session.given_up:
                    raise
            self._kept.finish()
            await asyncio.sleep(wait_s)
        return await self._open(session, line)

    async def _open(self, session: Session, line: bytes) -> None:
        # asyncssh can't be cancelled while it opens a session: it would forget the session and sshd would not, and the
        # command could start much later. So that goes on beside us, and a session we gave up is closed once it is open.
        opening = asyncio.create_task(
            self._conn.create_session(
                lambda: session, cast("str", line), encoding=None, request_pty=False, env={}, send_env=()
            )
        )
        self._openings.add(opening)
        opening.add_done_callback(self._opened)
        await asyncio.wait([opening])
        try:
            opening.result()
        except asyncssh.ChannelOpenError as error:
            await asyncio.sleep(0)  # a lost connection fails its channels first, and says so one turn of the loop later
            if self.lost or session.opened:
                raise self._lost_while_running() from None
            raise SessionRefused(
                f"{self.destination}: sshd opens no further session ({clean(error.reason)})",
                "commands may still be running there from before; or MaxSessions in its sshd_config is too low",
            ) from None
        except (asyncssh.Error, OSError):
            raise self._lost_while_running() from None

    def _abandon(self, session: Session) -> None:
        self.abandoned += 1
        session.give_up()

    def _opened(self, opening: asyncio.Task[Any]) -> None:
        self._openings.discard(opening)
        if not opening.cancelled():
            opening.exception()  # a session that was given up fails with nobody listening

    def _changed(self, change: asyncio.Future[Any]) -> None:
        self._changes.discard(change)
        if change.cancelled():
            return  # with this whole program: there is nothing left to close in order
        change.exception()  # nobody may be waiting any more
        if self._close_later and not self._changes:
            self._beside(self.close())

    def _lost_while_running(self) -> ConnectionLost:
        if self.lost:
            return ConnectionLost(f"{self.destination}: the connection was lost before the command ended")
        return ConnectionLost(f"{self.destination}: the session ended without an exit status")

    def _end(self) -> None:
        """What goes with the connection, however it went: its place at the jump host, its proxy command."""
        if self._closed is None:
            return
        closed, self._closed = self._closed, None
        closed(self)
        if self._jump:
            self._jump.leave()
        if self.login.proxy:
            self._beside(self.login.proxy.end())

    def _beside(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


def _configuration_without_openssh(destination: Destination, ssh_config: Path | None) -> HostConfig:
    """asyncssh's own reading of the configuration, put into the words of ``ssh -G``. Raises ConfigError."""
    configurations = [ssh_config] if ssh_config else [home() / ".ssh" / "config", Path("/etc/ssh/ssh_config")]
    try:
        read = SSHClientConfig.load(
            None,
            [file for file in configurations if ssh_config or os.access(file, os.R_OK)],
            False,
            False,
            False,
            getpass.getuser(),
            destination.user or (),
            destination.host,
            destination.port or (),
        )
    except (asyncssh.ConfigParseError, OSError) as error:
        message = f"the OpenSSH configuration can't be used for {destination.host}: {clean(str(error))}"
        raise ConfigError(message) from None
    lines = [
        f"hostname {read.get('Hostname', destination.host)}",
        f"user {read.get('User', getpass.getuser())}",
        f"port {read.get('Port', 22)}",
    ]

    def files(name: str, default: Sequence[str] = ()) -> list[str]:
        value = read.get(name)
        return [str(file) for file in value] if isinstance(value, list | tuple) else list(default)

    default_keys = [f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk")]
    lines += [f"identityfile {file}" for file in files("IdentityFile", default_keys)]
    lines += [f"certificatefile {file}" for file in files("CertificateFile")]
    lines += [
        f"identitiesonly {_word(read.get('IdentitiesOnly'))}",
        f"userknownhostsfile {' '.join(files('UserKnownHostsFile', ['~/.ssh/known_hosts', '~/.ssh/known_hosts2']))}",
        f"globalknownhostsfile {' '.join(files('GlobalKnownHostsFile', ['/etc/ssh/ssh_known_hosts']))}",
    ]
    for name in (
        *("IdentityAgent", "HostKeyAlias", "ProxyJump", "ProxyCommand", "BindAddress", "ConnectTimeout"),
        *("HostKeyAlgorithms", "PreferredAuthentications", "ServerAliveInterval"),
        *("PubkeyAuthentication", "PasswordAuthentication", "KbdInteractiveAuthentication", "BatchMode"),
    ):
        if (value := read.get(name)) is not None:
            lines.append(f"{name.lower()} {_word(value)}")
    return from_settings("\n".join(lines), destination)


def _word(value: object) -> str:
    match value:
        case bool() | None:
            return "yes" if value else "no"
        case list() | tuple():
            return ",".join(str(one) for one in value)
        case _:
            return str(value)
