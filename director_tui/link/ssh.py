"""SSH connections to directors: connect, ask who may know, run commands. The only module that imports asyncssh.

It takes 0.2 s to import, so whoever uses it imports it late.

asyncssh is given every setting explicitly and reads no configuration file of its own: its reading of
``UserKnownHostsFile none`` switches host key checking off, and it knows nothing of ``StrictHostKeyChecking`` or of the
system's files. What else it gets wrong for our purpose is said where it is put right.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import getpass
import logging
import os
import shlex
import signal
import socket
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import asyncssh
from asyncssh.config import SSHClientConfig
from asyncssh.public_key import (
    decode_ssh_public_key,
    get_certificate_algs,
    get_default_certificate_algs,
    get_default_public_key_algs,
    get_public_key_algs,
)

from director_tui.errors import (
    AuthenticationFailed,
    ConfigError,
    ConnectionLost,
    HostKeyRefused,
    LinkError,
    MalformedOutput,
    NoAnswer,
    SessionRefused,
    Unreachable,
)
from director_tui.link.clock import Clock
from director_tui.link.host_keys import HostKey, KnownKeys, Verdict, add_to_known_hosts, known_keys, refusal
from director_tui.link.once import Once
from director_tui.link.proxy_command import ProxyCommand
from director_tui.link.questions import Ask, Question
from director_tui.link.ssh_config import (
    Destination,
    HostConfig,
    find_ssh,
    from_settings,
    home,
    parse_destination,
    query,
)
from director_tui.text import clean, clean_lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

__all__ = ["Ask", "Connection", "Question", "Reply", "Ssh", "add_to_known_hosts"]

CONNECT_LIMIT_S: Final = 8.0
LOGIN_LIMIT_S: Final = 15.0
AGENT_LIMIT_S: Final = 60.0
"""How long an agent may take to sign: it may be waiting for a finger on a key."""
CLOSE_LIMIT_S: Final = 1.0
KEEPALIVE_COUNT: Final = 2
SESSIONS: Final = 4
"""Commands side by side on one connection. sshd's default MaxSessions is 10, and abandoned commands keep theirs."""
REFUSED_WAITS_S: Final = (0.05, 0.2, 0.5)
"""When sshd refuses a session, wait so long and try again: it notices a moment late that the one before has ended."""
OUTPUT_LIMIT_BYTES: Final = 64 * 2**20
ATTEMPTS: Final = 3
JUMPS_LIMIT: Final = 8

# Nothing may write over the screen, and its debug messages hold what was sent.
_log = logging.getLogger("asyncssh")
_log.addHandler(logging.NullHandler())
_log.propagate = False
asyncssh.set_log_level(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command left behind. A status above 128 may mean that signal ``status - 128`` ended it."""

    status: int
    stdout: bytes
    stderr: bytes
    elapsed_s: float


_Route = tuple[HostConfig, ...]


class Ssh:
    """Opens connections; one shared connection per jump host.

    ``known_hosts`` is a file to look into before the user's and the system's, ``identity`` the only key to use at the
    destination, ``ssh_config`` is like ``ssh -F``. Without ``ask`` whatever only a person could answer is not tried.
    """

    def __init__(
        self,
        *,
        known_hosts: Path | None = None,
        ask: Ask | None = None,
        identity: Path | None = None,
        ssh_config: Path | None = None,
    ) -> None:
        self._known_hosts = known_hosts.expanduser() if known_hosts else None
        self._identity = identity.expanduser() if identity else None
        self._ssh_config = ssh_config.expanduser() if ssh_config else None
        self._keyring = _Keyring(ask)
        self._connections: set[Connection] = set()
        self._jumps: dict[_Route, Connection] = {}
        self._opening: Once[_Route, Connection] = Once()

    async def connect(self, destination: str) -> Connection:
        """Connect and log in. Raises ConfigError, and Unreachable, HostKeyError, AuthenticationFailed … (LinkError)."""
        parsed = parse_destination(destination)
        config = await self._configuration(parsed, self._identity)
        jump = await self._enter(await self._route(config))
        return await self._log_in(clean(destination), config, jump)

    async def close(self) -> None:
        """Close every connection that is still open."""
        await asyncio.gather(*(connection.close() for connection in tuple(self._connections)))

    async def _configuration(self, destination: Destination, identity: Path | None = None) -> HostConfig:
        if ssh := find_ssh():
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

    async def _log_in(self, where: str, config: HostConfig, jump: Connection | None) -> Connection:
        files = self._known_hosts_files(config)
        known = known_keys(files, config)
        with contextlib.ExitStack() as on_failure:
            if jump:
                on_failure.callback(jump.leave)
            try:
                login = _Login(where, config, known, self._keyring)
                try:
                    await login.run(jump)
                except _CertificateRefused as refused:
                    # As OpenSSH does: a host certificate that is not accepted is only a host key.
                    login = _Login(where, config, known, self._keyring, certificates=False, note=refused.note)
                    await login.run(jump)
            except _KeyRefused as refused:
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


class Connection:
    """One SSH connection, logged in.

    ``abandoned`` counts the commands that were given up: sshd keeps a session for each of them until it ends over
    there, so a connection with several is better replaced.
    """

    def __init__(
        self, destination: str, login: _Login, jump: Connection | None, closed: Callable[[Connection], object]
    ) -> None:
        self.destination = destination
        self.abandoned = 0
        self.login = login
        self._conn = login.connection
        self._jump = jump
        self._closed: Callable[[Connection], object] | None = closed
        self._users = 0
        self._slots = asyncio.Semaphore(SESSIONS)
        self._openings: set[asyncio.Task[Any]] = set()
        self._ending: asyncio.Task[None] | None = None
        login.when_lost(self._end)

    @property
    def lost(self) -> bool:
        """Whether nothing can be run over it any more."""
        return self.login.lost.is_set()

    async def wait_lost(self) -> None:
        """Returns when the connection is lost or closed."""
        await self.login.lost.wait()

    async def run(self, argv: Sequence[str], limit_s: float, *, stdin: bytes = b"") -> Reply:
        """Run a command; its words reach it as they are, whatever is in them.

        ``limit_s`` covers all of it: waiting for one of the sessions, opening it, running. Raises NoAnswer,
        ConnectionLost, SessionRefused, and MalformedOutput if it never stops printing.
        """
        line = shlex.join(argv).encode("utf-8", "surrogateescape")
        try:
            async with asyncio.timeout(limit_s), self._slots:
                for wait_s in REFUSED_WAITS_S:
                    with contextlib.suppress(SessionRefused):  # so it has not begun, and can be tried again
                        return await self._run(line, stdin)
                    await asyncio.sleep(wait_s)
                return await self._run(line, stdin)
        except TimeoutError:
            raise NoAnswer(f"{self.destination}: no answer within {limit_s:g} s", "") from None

    async def close(self) -> None:
        """Close it; quickly, also when the other side is frozen."""
        self._conn.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await self._conn.wait_closed()
        self._end()
        if self._openings:
            await asyncio.wait(self._openings, timeout=CLOSE_LIMIT_S)
        if self._ending:
            await asyncio.wait([self._ending])

    def enter(self) -> None:
        """For jump hosts: one more connection goes through this one."""
        self._users += 1

    def leave(self) -> None:
        """For jump hosts: one connection less; the last one closes it."""
        self._users -= 1
        if not self._users:
            self._conn.close()

    async def _run(self, line: bytes, stdin: bytes) -> Reply:
        session = _Session(stdin)
        started = time.monotonic()
        # asyncssh can't be cancelled while it opens a session: it would forget the session and sshd would not, and the
        # command could start much later. So that goes on beside us, and a session we gave up is closed once it is open.
        opening = asyncio.create_task(
            self._conn.create_session(
                lambda: session, cast("str", line), encoding=None, request_pty=False, env={}, send_env=()
            )
        )
        self._openings.add(opening)
        opening.add_done_callback(self._opened)
        try:
            await asyncio.wait([opening])
            if exception := opening.exception():
                raise exception
            await session.ended.wait()
        except asyncssh.ChannelOpenError as error:
            await asyncio.sleep(0)  # a lost connection fails its channels first, and says so one turn of the loop later
            if self.lost:
                raise self._lost_while_running() from None
            raise SessionRefused(
                f"{self.destination}: sshd opens no further session ({clean(error.reason)})",
                "commands may still be running there from before; or MaxSessions in its sshd_config is too low",
            ) from None
        except (asyncssh.Error, OSError):
            raise self._lost_while_running() from None
        except asyncio.CancelledError:
            self._abandon(session)
            raise
        if session.overflowed:
            self._abandon(session)
            raise MalformedOutput(
                f"{self.destination}: a command printed more than {OUTPUT_LIMIT_BYTES >> 20} MiB; the rest was not read"
            )
        if session.status is None:
            raise self._lost_while_running()
        return Reply(session.status, bytes(session.stdout), bytes(session.stderr), time.monotonic() - started)

    def _abandon(self, session: _Session) -> None:
        self.abandoned += 1
        session.give_up()

    def _opened(self, opening: asyncio.Task[Any]) -> None:
        self._openings.discard(opening)
        if not opening.cancelled():
            opening.exception()  # a session that was given up fails with nobody listening

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
            self._ending = asyncio.create_task(self.login.proxy.end())


class _Session(asyncssh.SSHClientSession[bytes]):
    """Collects what one command prints. ``status`` stays None if the other side never told it."""

    def __init__(self, stdin: bytes) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.status: int | None = None
        self.overflowed = False
        self.ended = asyncio.Event()
        self._stdin = stdin
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._given_up = False

    def give_up(self) -> None:
        self._given_up = True
        if self._channel:
            self._channel.abort()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        if self._given_up:  # before the command has been asked for
            chan.abort()
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "given up")

    def session_started(self) -> None:
        if self._channel and not self._given_up:
            if self._stdin:
                self._channel.write(self._stdin)
            self._channel.write_eof()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        kept = self.stderr if datatype == asyncssh.EXTENDED_DATA_STDERR else self.stdout
        if len(kept) + len(data) > OUTPUT_LIMIT_BYTES:
            self.overflowed = True
            self.ended.set()
        elif not self.overflowed:
            kept += data

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.status = _status_of_signal(signal)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


def _status_of_signal(name: str) -> int:
    try:
        return 128 + signal.Signals[f"SIG{name}"]
    except KeyError:
        return 255


class _KeyRefused(Exception):
    """The plain host key that was offered is not trusted."""

    def __init__(self, key: HostKey, note: str) -> None:
        super().__init__()
        self.key = key
        self.note = note


class _CertificateRefused(Exception):
    """The host certificate that was offered is not trusted; ``note`` says why."""

    def __init__(self, note: str) -> None:
        super().__init__()
        self.note = note


class _Login(asyncssh.SSHClient):
    """One attempt to connect and log in, and then the owner of the connection."""

    def __init__(
        self,
        where: str,
        config: HostConfig,
        known: KnownKeys,
        keyring: _Keyring,
        *,
        certificates: bool = True,
        note: str = "",
    ) -> None:
        self.lost = asyncio.Event()
        self.proxy: ProxyCommand | None = None
        self._where = where
        self._config = config
        self._known = known
        self._keyring = keyring
        self._certificates = certificates and bool(known.authorities)
        self._note = note
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connect_s = config.connect_timeout_s or CONNECT_LIMIT_S
        self._clock = Clock(self._connect_s, LOGIN_LIMIT_S)
        self._when_lost: list[Callable[[], object]] = []
        self._reached = False
        self._refused_key: HostKey | None = None
        self._person = None if config.batch else keyring.ask
        self._tried: list[str] = []
        self._hints: list[str] = []
        self._declined = False
        self._asked = {"password": 0, "keyboard-interactive": 0}
        self._agent: _Agent | None = None
        self._keys = self._key_pairs()

    @property
    def connection(self) -> asyncssh.SSHClientConnection:
        if self._connection is None:
            raise RuntimeError("not logged in")
        return self._connection

    def when_lost(self, call: Callable[[], object]) -> None:
        """Calls it when the connection is gone, or now if it is gone already."""
        if self.lost.is_set():
            call()
        else:
            self._when_lost.append(call)

    async def run(self, jump: Connection | None) -> None:
        """Returns when logged in. Raises LinkError, _KeyRefused, _CertificateRefused."""
        try:
            async with self._clock:
                self._connection = await self._connect(jump)
        except TimeoutError:
            raise self._too_slow(jump) from None
        except asyncssh.HostKeyNotVerifiable as error:
            raise self._host_key_refused(error) from None
        except asyncssh.PermissionDenied:
            raise self._authentication_failed("") from None
        except asyncssh.KeyExchangeFailed as error:
            raise LinkError(
                f"{self._where}: no common algorithms: {clean(error.reason)}",
                "is its SSH server very old, or very strict?",
            ) from None
        except asyncssh.ChannelOpenError as error:
            jump_name = jump.destination if jump else "the jump host"
            raise Unreachable(
                f"{self._where}: {jump_name} can't connect to {self._address}: {clean(error.reason)}"
            ) from None
        except (asyncssh.DisconnectError, OSError) as error:
            raise self._broken(error) from None
        finally:
            await self._keys.aclose()
            if self._agent:
                self._agent.close()
            if self._connection is None and self.proxy:
                await self.proxy.end()

    async def _connect(self, jump: Connection | None) -> asyncssh.SSHClientConnection:
        config = self._config
        if config.proxy_command and not jump:
            self.proxy = await ProxyCommand.start(config.proxy_command)
        return await asyncssh.connect(
            config.host,
            config.port,
            config=None,
            client_factory=lambda: self,
            tunnel=jump.login.connection if jump else None,
            sock=self.proxy.sock if self.proxy else None,
            proxy_command=None,
            family=config.address_family,
            local_addr=(config.bind_address, 0) if config.bind_address else None,
            known_hosts=lambda host, address, port: (
                [],  # whether a plain key is trusted is decided below, where it can be seen
                [_imported(key) for key in self._known.authorities],
                [_imported(key) for key in self._known.revoked] if self._certificates else [],
            ),
            host_key_alias=config.host_key_alias or None,
            server_host_key_algs=self._host_key_algorithms(),
            x509_trusted_certs=None,
            x509_trusted_cert_paths=[],
            username=config.user,
            password=None,
            client_keys=None,  # neither asyncssh's idea of the default ones nor its agent: see _key_pairs
            client_host_keys=None,
            client_host_keysign=False,
            host_based_auth=False,
            gss_host=None,
            public_key_auth="publickey" in config.methods,
            kbdint_auth="keyboard-interactive" in config.methods,
            password_auth="password" in config.methods,
            preferred_auth=list(config.methods) or ["none"],
            agent_forwarding=False,
            connect_timeout=None,  # self._clock
            login_timeout=0,
            keepalive_interval=config.keepalive_s,
            keepalive_count_max=KEEPALIVE_COUNT,
            utf8_decode_errors="backslashreplace",
            encoding=None,
        )

    # What the connection tells.

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        self._reached = True
        self._clock.start_login()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        for call in self._when_lost:
            call()

    # Host keys.

    def _host_key_algorithms(self) -> list[str]:
        """Those first of which a key is known, so that the host offers one that can be compared. As OpenSSH does."""
        possible = [*get_certificate_algs(), *get_public_key_algs()]
        wanted = [name.encode() for name in self._config.host_key_algorithms if name.encode() in possible]
        wanted = wanted or [*get_default_certificate_algs(), *get_default_public_key_algs()]
        names = [name.decode() for name in wanted]
        plain = [name for name in names if "-cert-v0" not in name]
        known = {signature for name in self._known.algorithms for signature in _signatures(name)}
        first = [name for name in names if "-cert-v0" in name] if self._certificates else []
        return [*first, *(name for name in plain if name in known), *(name for name in plain if name not in known)]

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        offered = HostKey(key.algorithm.decode(), key.public_data)
        if self._known.verdict(offered) is Verdict.TRUSTED:
            return True
        self._refused_key = offered
        return False

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        return self._known.trusts_authority(HostKey(key.algorithm.decode(), key.public_data))

    def _host_key_refused(self, error: asyncssh.HostKeyNotVerifiable) -> Exception:
        if self._refused_key:
            return _KeyRefused(self._refused_key, self._note)
        if "revoked" in error.reason:
            prints = ", ".join(key.fingerprint for key in self._known.revoked)
            return HostKeyRefused(
                f"{self._where}: the host key, or the authority that signed it, is marked as revoked in known_hosts: "
                f"one of {prints}",
                f"somebody may be in between: ask whoever runs {self._config.host}; this key must not be used again",
            )
        return _CertificateRefused(f" (its certificate is not accepted: {clean(error.reason)})")

    # Logging in.

    async def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        return await anext(self._keys, None)

    async def _key_pairs(self) -> AsyncGenerator[asyncssh.SSHKeyPair, None]:
        """The agent's keys, then the files that can be used as they are, then those that need a passphrase.

        A key that needs one is offered by its public half; only when the host accepts that is a person asked.
        """
        config = self._config
        files = [file for path in config.identity_files if (file := await _read_key_file(path)) is not None]
        self._hints += [file.problem for file in files if file.problem]
        certificates = _certificates(config)
        agent_keys: set[bytes] = set()
        if config.identity_agent:
            only = {file.public.public_data for file in files if file.public} if config.identities_only else None
            async for pair in self._agent_pairs(config.identity_agent, certificates, only):
                agent_keys.add(pair.key_public_data)
                self._tried.append(f"{clean(pair.get_comment(errors='backslashreplace') or 'a key')} of the agent")
                yield pair
        for file in files:
            if file.key and file.key.public_data not in agent_keys:
                cert = certificates.get(file.key.public_data)
                for pair in asyncssh.load_keypairs([(file.key, cert)] if cert else [file.key]):
                    self._tried.append(_short(file.path))
                    yield pair
        for file in files:
            if not file.locked or (file.public and file.public.public_data in agent_keys):
                continue
            if self._person is None and not self._keyring.has(file):
                self._hints.append(f"{_short(file.path)} needs its passphrase: unlock it with ssh-add")
                continue
            public = file.public or await self._unlock(file)
            if public:
                cert = certificates.get(public.public_data)
                for offered in [cert, None] if cert else [None]:
                    self._tried.append(_short(file.path))
                    yield _LockedKeyPair(public, offered, partial(self._unlock, file))

    async def _agent_pairs(
        self, path: str, certificates: dict[bytes, asyncssh.SSHCertificate], only: set[bytes] | None
    ) -> AsyncGenerator[asyncssh.SSHKeyPair, None]:
        self._agent = _Agent(path, self._clock)
        try:
            await self._agent.connect()
            pairs = list(await self._agent.get_keys())
            again = list(await self._agent.get_keys()) if certificates else []
        except (OSError, ValueError, asyncssh.Error):
            return  # an agent that is gone is like none, as for ssh
        for pair in again:
            if (cert := certificates.get(pair.key_public_data)) and (only is None or pair.key_public_data in only):
                pair.set_certificate(cert)
                yield pair
        for pair in pairs:
            if only is None or pair.key_public_data in only:
                yield pair

    async def _unlock(self, file: _KeyFile) -> asyncssh.SSHKey | None:
        with self._clock.paused():
            key = await self._keyring.unlock(file)
        if key is None:
            self._hints.append(f"{_short(file.path)} was not unlocked")
        return key

    def kbdint_auth_requested(self) -> str | None:
        return "" if self._may_ask("keyboard-interactive") else None

    async def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        preface = " ".join(filter(None, (clean_lines(name), clean_lines(instructions))))
        answers = []
        for prompt, echo in prompts:
            text = " ".join(filter(None, (preface, clean_lines(prompt).strip())))
            answer = await self._ask(text, secret=not echo)
            if answer is None:
                return None
            answers.append(answer)
        return answers

    async def password_auth_requested(self) -> str | None:
        return await self._ask("Password:", secret=True) if self._may_ask("password") else None

    def _may_ask(self, method: str) -> bool:
        if self._person is None:
            self._hints.append(f"the host also takes {method}, but nobody can be asked here")
            return False
        if self._declined or self._asked[method] == ATTEMPTS:
            return False
        self._asked[method] += 1
        self._tried.append(method)
        return True

    async def _ask(self, prompt: str, *, secret: bool) -> str | None:
        title = f"{clean(self._config.user)}@{clean(self._config.host)}"
        with self._clock.paused():
            answer = await self._keyring.put(Question(title, prompt, secret))
        if answer is None:
            self._declined = True
        return answer

    # Failing.

    @property
    def _address(self) -> str:
        return f"{clean(self._config.host)} port {self._config.port}"

    def _authentication_failed(self, detail: str) -> AuthenticationFailed:
        tried = ", ".join(dict.fromkeys(self._tried)) or "nothing: no key was found"
        declined = "; an answer was declined" if self._declined else ""
        account = f"{clean(self._config.user)}@{clean(self._config.host)}"
        return AuthenticationFailed(
            f"{self._where}: login as {account} refused{detail}; tried {tried}{declined}",
            "; ".join(dict.fromkeys(self._hints)) or f"see what `ssh -v {account}` tries, and what that account takes",
        )

    def _too_slow(self, jump: Connection | None) -> LinkError:
        if not self._reached:
            through = f" through {jump.destination}" if jump else ""
            return Unreachable(f"{self._where}: {self._address} does not answer{through} ({self._connect_s:g} s)")
        return NoAnswer(f"{self._where}: {self._address} answers, but the login did not end within {LOGIN_LIMIT_S:g} s")

    def _broken(self, error: asyncssh.DisconnectError | OSError) -> LinkError:
        if self.proxy:
            complaint = self.proxy.complaint()
            if complaint or not self._reached:
                return Unreachable(f"{self._where}: the ProxyCommand failed: {complaint or clean(str(error))}")
        if isinstance(error, asyncssh.DisconnectError):
            if "too many authentication failures" in error.reason.lower():
                self._hints.insert(0, "too many keys were offered: name the right one (IdentityFile, IdentitiesOnly)")
                return self._authentication_failed(" after too many attempts")
            return ConnectionLost(
                f"{self._where}: {self._address} closed the connection during the login: {clean(error.reason)}"
            )
        if isinstance(error, socket.gaierror):
            return Unreachable(
                f"{self._where}: the name {clean(self._config.host)} is not known ({error.strerror})",
                "check the spelling, and the resolver of this machine",
            )
        if isinstance(error, ConnectionRefusedError) and not self._reached:
            return Unreachable(f"{self._where}: {self._address} refuses the connection", "is sshd running there?")
        reason = error.strerror or str(error)
        if self._reached:
            return ConnectionLost(f"{self._where}: {self._address} was lost during the login: {clean(reason)}")
        return Unreachable(f"{self._where}: can't connect to {self._address}: {clean(reason)}")


def _signatures(key_type: str) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa") if key_type == "ssh-rsa" else (key_type,)


def _imported(key: HostKey) -> asyncssh.SSHKey:
    return decode_ssh_public_key(key.blob)


class _Agent(asyncssh.SSHAgentClient):
    """An ssh-agent, which may need a person's hand to sign: then the login's clock must not run."""

    def __init__(self, path: str, clock: Clock) -> None:
        super().__init__(path)
        self._clock = clock

    async def sign(self, key_blob: bytes, data: bytes, flags: int = 0) -> bytes:
        try:
            with self._clock.paused():
                async with asyncio.timeout(AGENT_LIMIT_S):
                    return await super().sign(key_blob, data, flags)
        except (TimeoutError, OSError, asyncssh.Error) as error:
            raise ValueError("the agent did not sign") from error  # asyncssh then goes on with the next key


@dataclass(frozen=True, slots=True)
class _KeyFile:
    """One identity file. ``key`` is the private key if it needs no passphrase, ``public`` its public half if known."""

    path: Path
    public: asyncssh.SSHKey | None = None
    key: asyncssh.SSHKey | None = None
    locked: bytes = b""
    problem: str = ""


class _LockedKeyPair(asyncssh.SSHKeyPair):
    """A key whose private half is asked for when it has to sign: after the host has accepted the public one."""

    def __init__(
        self, public: asyncssh.SSHKey, cert: asyncssh.SSHCertificate | None, unlock: Callable[[], Any]
    ) -> None:
        super().__init__(
            public.algorithm,
            public.algorithm,
            public.sig_algorithms,
            public.sig_algorithms,
            public.public_data,
            None,
            cert,
        )
        self._unlock = unlock

    async def sign_async(self, data: bytes) -> bytes:
        key: asyncssh.SSHKey | None = await self._unlock()
        if key is None:
            raise ValueError("the key was not unlocked")  # asyncssh then goes on with the next key
        return key.sign(data, self.sig_algorithm)


class _Keyring:
    """Keys that were unlocked, for the life of one Ssh; and the one mouth that asks a person.

    Whoever wants the same key at the same time shares one question and its answer. Passphrases are not kept.
    """

    def __init__(self, ask: Ask | None) -> None:
        self.ask = ask
        self._asking = asyncio.Lock()
        self._unlocked: dict[bytes, asyncssh.SSHKey] = {}
        self._unlocking: Once[bytes, asyncssh.SSHKey | None] = Once()

    async def put(self, question: Question) -> str | None:
        """Ask; one question at a time."""
        if self.ask is None:
            return None
        async with self._asking:
            return await self.ask(question)

    def has(self, file: _KeyFile) -> bool:
        return file.locked in self._unlocked

    async def unlock(self, file: _KeyFile) -> asyncssh.SSHKey | None:
        """The private key; None if nobody gave the right passphrase."""
        if (key := self._unlocked.get(file.locked)) is not None:
            return key
        return await self._unlocking.run(file.locked, lambda: self._unlock(file))

    async def _unlock(self, file: _KeyFile) -> asyncssh.SSHKey | None:
        for attempt in range(ATTEMPTS):
            prompt = "Passphrase:" if not attempt else "That was not it. Passphrase:"
            passphrase = await self.put(Question(f"Passphrase for {_short(file.path)}", prompt, secret=True))
            if passphrase is None:
                return None
            try:  # in a thread: deriving the key takes as long as whoever made it wanted
                key = await asyncio.to_thread(asyncssh.import_private_key, file.locked, passphrase)
            except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
                continue
            self._unlocked[file.locked] = key
            return key
        return None


async def _read_key_file(path: Path) -> _KeyFile | None:
    """Read an identity file; None if there is none, as most of the default ones."""
    public = _public_key(path.with_name(path.name + ".pub"))
    try:
        data = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        return _KeyFile(path, public) if public else None  # its private half may be in the agent
    except OSError as error:
        return _KeyFile(path, public, problem=f"{_short(path)} can't be read: {error.strerror}")
    if b"PRIVATE KEY-----" not in data:
        return _KeyFile(path, public or _public_key(path))
    try:  # in a thread: an RSA key is checked
        key = await asyncio.to_thread(asyncssh.import_private_key, data)
    except asyncssh.KeyEncryptionError as error:
        return _KeyFile(path, public, problem=f"{_short(path)} can't be used: {clean(str(error))}")
    except asyncssh.KeyImportError as error:
        if "passphrase" in str(error).lower():
            return _KeyFile(path, public or _public_half(data), locked=data)
        return _KeyFile(path, public, problem=f"{_short(path)} can't be used: {clean(str(error))}")
    return _KeyFile(path, key.convert_to_public(), key)


def _public_key(path: Path) -> asyncssh.SSHKey | None:
    try:
        return asyncssh.read_public_key(path)
    except (OSError, ValueError):
        return None


def _public_half(data: bytes) -> asyncssh.SSHKey | None:
    """The public key that OpenSSH's own format holds unencrypted in front of the private one (PROTOCOL.key)."""
    body = b"".join(line for line in data.splitlines() if line and not line.startswith(b"-----"))
    try:
        rest = base64.b64decode(body).removeprefix(b"openssh-key-v1\0")
        for _ in ("cipher", "kdf", "kdf options"):
            rest = rest[4 + int.from_bytes(rest[:4], "big") :]
        length = int.from_bytes(rest[4:8], "big")  # after the number of keys
        return decode_ssh_public_key(rest[8 : 8 + length])
    except ValueError:
        return None


def _certificates(config: HostConfig) -> dict[bytes, asyncssh.SSHCertificate]:
    """User certificates by the public key they certify: CertificateFile, and FILE-cert.pub beside an identity file."""
    beside = [path.with_name(f"{path.name}-cert.pub") for path in config.identity_files]
    found: dict[bytes, asyncssh.SSHCertificate] = {}
    for path in [*beside, *config.certificate_files]:
        with contextlib.suppress(OSError, ValueError):
            for cert in asyncssh.load_certificates([path]):
                found[cert.key.public_data] = cert
    return found


def _short(path: Path) -> str:
    try:
        return clean(f"~/{path.relative_to(home())}")
    except ValueError:
        return clean(str(path))


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
