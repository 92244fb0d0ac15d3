"""The keys to log in with: identity files, an agent's, certificates; and the passphrases they need. Part of ssh.py."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncssh
from asyncssh.public_key import decode_ssh_public_key

from director_tui.link.once import Once
from director_tui.link.questions import AFTER_A_WRONG_ANSWER, Ask, Question
from director_tui.link.ssh_config import HostConfig, home
from director_tui.plain_file import read_plain_file
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from director_tui.link.clock import Clock

AGENT_LIMIT_S: Final = 60.0
"""How long an agent may take to sign: it may be waiting for a finger on a key."""
ATTEMPTS: Final = 3
KEY_LIMIT: Final = 1024 * 1024
"""Bytes of a file with a key or certificates; a key of 16,384 bits has a hundredth of it."""


class Agent(asyncssh.SSHAgentClient):
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
class KeyFile:
    """One identity file. ``key`` is the private key if it needs no passphrase, ``public`` its public half if known."""

    path: Path
    public: asyncssh.SSHKey | None = None
    key: asyncssh.SSHKey | None = None
    locked: bytes = b""
    problem: str = ""


class LockedKeyPair(asyncssh.SSHKeyPair):
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


class Keyring:
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

    def has(self, file: KeyFile) -> bool:
        return file.locked in self._unlocked

    async def unlock(self, file: KeyFile) -> asyncssh.SSHKey | None:
        """The private key; None if nobody gave the right passphrase."""
        if (key := self._unlocked.get(file.locked)) is not None:
            return key
        return await self._unlocking.run(file.locked, lambda: self._unlock(file))

    async def _unlock(self, file: KeyFile) -> asyncssh.SSHKey | None:
        for attempt in range(ATTEMPTS):
            prompt = "Passphrase:" if not attempt else f"{AFTER_A_WRONG_ANSWER} Passphrase:"
            passphrase = await self.put(Question(f"Passphrase for {short(file.path)}", prompt, secret=True))
            if passphrase is None:
                return None
            try:  # in a thread: deriving the key takes as long as whoever made it wanted
                key = await asyncio.to_thread(asyncssh.import_private_key, file.locked, passphrase)
            except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
                continue
            self._unlocked[file.locked] = key
            return key
        return None


async def read_key_file(path: Path) -> KeyFile | None:
    """Read an identity file; None if there is none, as most of the default ones."""
    public = _public_key(path.with_name(path.name + ".pub"))
    try:
        data = await asyncio.to_thread(read_plain_file, path, KEY_LIMIT)
    except FileNotFoundError:
        return KeyFile(path, public) if public else None  # its private half may be in the agent
    except OSError as error:
        return KeyFile(path, public, problem=f"{short(path)} can't be read: {error.strerror}")
    if b"PRIVATE KEY-----" not in data:
        return KeyFile(path, public or _public_key(path))
    try:  # in a thread: an RSA key is checked
        key = await asyncio.to_thread(asyncssh.import_private_key, data)
    except asyncssh.KeyEncryptionError as error:
        return KeyFile(path, public, problem=f"{short(path)} can't be used: {clean(str(error))}")
    except asyncssh.KeyImportError as error:
        if "passphrase" in str(error).lower():
            return KeyFile(path, public or _public_half(data), locked=data)
        return KeyFile(path, public, problem=f"{short(path)} can't be used: {clean(str(error))}")
    return KeyFile(path, key.convert_to_public(), key)


def _public_key(path: Path) -> asyncssh.SSHKey | None:
    try:
        return asyncssh.import_public_key(read_plain_file(path, KEY_LIMIT))
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


def user_certificates(config: HostConfig) -> dict[bytes, asyncssh.SSHCertificate]:
    """User certificates by the public key they certify: CertificateFile, and FILE-cert.pub beside an identity file."""
    beside = [path.with_name(f"{path.name}-cert.pub") for path in config.identity_files]
    found: dict[bytes, asyncssh.SSHCertificate] = {}
    for path in [*beside, *config.certificate_files]:
        with contextlib.suppress(OSError, ValueError):
            for cert in asyncssh.load_certificates([read_plain_file(path, KEY_LIMIT)]):
                found[cert.key.public_data] = cert
    return found


def short(path: Path) -> str:
    """A path for a message: cleaned, and from the tilde on if it is in the home folder."""
    try:
        return clean(f"~/{path.relative_to(home())}")
    except ValueError:
        return clean(str(path))
