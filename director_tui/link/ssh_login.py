"""One attempt to connect and log in: is it the right host, does it take us, and what to say if not. Part of ssh.py.

asyncssh is given every setting explicitly and reads no configuration file of its own: its reading of
``UserKnownHostsFile none`` switches host key checking off, and it knows nothing of ``StrictHostKeyChecking`` or of the
system's files. What else it gets wrong for our purpose is said where it is put right.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncssh
from asyncssh.public_key import (
    decode_ssh_public_key,
    get_certificate_algs,
    get_default_certificate_algs,
    get_default_public_key_algs,
    get_public_key_algs,
)

from director_tui.errors import (
    AuthenticationFailed,
    ConnectionLost,
    HostKeyRefused,
    LinkError,
    NoAnswer,
    Unreachable,
)
from director_tui.link.clock import Clock
from director_tui.link.dialing import dial
from director_tui.link.host_keys import HostKey, KnownKeys, Verdict
from director_tui.link.proxy_command import ProxyCommand
from director_tui.link.questions import AFTER_A_WRONG_ANSWER, Question
from director_tui.link.ssh_config import DEFAULT_PORT
from director_tui.link.ssh_keys import (
    ATTEMPTS,
    Agent,
    KeyFile,
    Keyring,
    LockedKeyPair,
    read_key_file,
    short,
    user_certificates,
)
from director_tui.text import clean, clean_lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from director_tui.link.dialing import Dialed
    from director_tui.link.ssh_config import HostConfig

CONNECT_LIMIT_S: Final = 8.0
LOGIN_LIMIT_S: Final = 15.0
KEEPALIVE_COUNT: Final = 2
CIPHERS: Final = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""Those before all others that asyncssh would offer: with ChaCha20 a packet costs five times as much in it, which was a
ninth of what a day of readings costs here."""


class KeyRefused(Exception):
    """The plain host key that was offered is not trusted."""

    def __init__(self, key: HostKey, note: str) -> None:
        super().__init__()
        self.key = key
        self.note = note


class CertificateRefused(Exception):
    """The host certificate that was offered is not trusted; ``note`` says why."""

    def __init__(self, note: str) -> None:
        super().__init__()
        self.note = note


class Login(asyncssh.SSHClient):
    """One attempt to connect and log in, and then the owner of the connection."""

    def __init__(
        self,
        where: str,
        config: HostConfig,
        known: KnownKeys,
        keyring: Keyring,
        *,
        certificates: bool = True,
        note: str = "",
        dialed: Dialed | None = None,
    ) -> None:
        self.lost = asyncio.Event()
        self.proxy: ProxyCommand | None = None
        self._where = where
        self._config = config
        self._known = known
        self._keyring = keyring
        self._dialed = dialed
        self._taken: socket.socket | None = None
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
        self._answered = False
        self._answer_was_wrong = False
        self._agent: Agent | None = None
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

    async def run(self, jump: Login | None) -> None:
        """Returns when logged in. Raises LinkError, KeyRefused, CertificateRefused."""
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
            jump_name = jump._where if jump else "the jump host"
            raise Unreachable(
                f"{self._where}: {jump_name} can't connect to {self._address}: {clean(error.reason)}"
            ) from None
        except (asyncssh.DisconnectError, OSError) as error:
            raise self._broken(error) from None
        except UnicodeError:
            if self._reached:
                raise
            # Python encodes a name before it asks for it, and then some can't be asked for.
            raise self._broken(socket.gaierror(socket.EAI_NONAME, "names in the DNS are not like that")) from None
        finally:
            await self._keys.aclose()
            if self._agent:
                self._agent.close()
            if self._connection is None and self.proxy:
                await self.proxy.end()
            if self._taken and not self._reached:  # else it belongs to the connection
                self._taken.close()

    async def _connect(self, jump: Login | None) -> asyncssh.SSHClientConnection:
        config = self._config
        if config.proxy_command and not jump:
            self.proxy = await ProxyCommand.start(config.proxy_command)
        if not jump:
            self._taken = await (self._dialed.take() if self._dialed else dial(config))
        return await asyncssh.connect(
            config.host,
            config.port,
            config=None,
            client_factory=lambda: self,
            tunnel=jump.connection if jump else None,
            sock=self.proxy.sock if self.proxy else self._taken,
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
            encryption_algs=CIPHERS,
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
            return KeyRefused(self._refused_key, self._note)
        if "revoked" in error.reason:
            prints = ", ".join(key.fingerprint for key in self._known.revoked)
            return HostKeyRefused(
                f"{self._where}: the host key, or the authority that signed it, is marked as revoked in known_hosts: "
                f"one of {prints}",
                f"somebody may be in between: ask whoever runs {self._config.host}; this key must not be used again",
            )
        return CertificateRefused(f" (its certificate is not accepted: {clean(error.reason)})")

    # Logging in.

    async def public_key_auth_requested(self) -> asyncssh.SSHKeyPair | None:
        return await anext(self._keys, None)

    async def _key_pairs(self) -> AsyncGenerator[asyncssh.SSHKeyPair, None]:
        """The agent's keys, then the files that can be used as they are, then those that need a passphrase.

        A key that needs one is offered by its public half; only when the host accepts that is a person asked.
        """
        config = self._config
        files = [file for path in config.identity_files if (file := await read_key_file(path)) is not None]
        self._hints += [file.problem for file in files if file.problem]
        certificates = user_certificates(config)
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
                    self._tried.append(short(file.path))
                    yield pair
        for file in files:
            if not file.locked or (file.public and file.public.public_data in agent_keys):
                continue
            if self._person is None and not self._keyring.has(file):
                self._hints.append(f"{short(file.path)} needs its passphrase: unlock it with ssh-add")
                continue
            public = file.public or await self._unlock(file)
            if public:
                cert = certificates.get(public.public_data)
                for offered in [cert, None] if cert else [None]:
                    self._tried.append(short(file.path))
                    yield LockedKeyPair(public, offered, partial(self._unlock, file))

    async def _agent_pairs(
        self, path: str, certificates: dict[bytes, asyncssh.SSHCertificate], only: set[bytes] | None
    ) -> AsyncGenerator[asyncssh.SSHKeyPair, None]:
        self._agent = Agent(path, self._clock)
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

    async def _unlock(self, file: KeyFile) -> asyncssh.SSHKey | None:
        with self._clock.paused():
            key = await self._keyring.unlock(file)
        if key is None:
            self._hints.append(f"{short(file.path)} was not unlocked")
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
        # A method that was passed is not offered again, and what comes after it is the next factor of the login.
        failed = self._asked[method] > 0 or ATTEMPTS in self._asked.values()
        self._answer_was_wrong = failed and self._answered
        self._answered = False
        self._asked[method] += 1
        self._tried.append(method)
        return True

    async def _ask(self, prompt: str, *, secret: bool) -> str | None:
        port = f" port {self._config.port}" if self._config.port != DEFAULT_PORT else ""
        title = f"{clean(self._config.user)}@{clean(self._config.host)}{port}"
        if self._answer_was_wrong:
            prompt = f"{AFTER_A_WRONG_ANSWER} {prompt}"
            self._answer_was_wrong = False
        with self._clock.paused():
            answer = await self._keyring.put(Question(title, prompt, secret))
        self._answered = True
        self._declined = self._declined or answer is None
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

    def _too_slow(self, jump: Login | None) -> LinkError:
        if not self._reached:
            through = f" through {jump._where}" if jump else ""
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
