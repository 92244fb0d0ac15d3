"""Host keys as OpenSSH knows them: reading known_hosts files, comparing, adding a line. sshd(8), SSH_KNOWN_HOSTS.

asyncssh could read these files, too, but takes an address for a name, gives up at the first line it does not
understand, and says neither which key was offered nor whether another one was known.
"""

from __future__ import annotations

import base64
import binascii
import enum
import fnmatch
import hashlib
import hmac
import os
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.errors import HostKeyRefused, HostKeyUnknown
from director_tui.link.ssh_config import expand_home, home
from director_tui.plain_file import check_plain, read_plain_file, without_waiting
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from director_tui.link.ssh_config import HostConfig


KNOWN_HOSTS_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of a file; one of a hundred thousand hosts has half of it."""


@dataclass(frozen=True, slots=True)
class HostKey:
    """One public host key: its algorithm and its bytes as they go over the wire."""

    algorithm: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ``ssh-keygen -lf`` prints it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    def line(self, name: str) -> str:
        """The known_hosts line, without line break."""
        return f"{name} {self.algorithm} {base64.b64encode(self.blob).decode()}"


class Verdict(enum.Enum):
    TRUSTED = "trusted"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KnownKeys:
    """What the known_hosts files say about one host.

    ``keys`` are its own, ``portless`` those under its name without the port: they vouch for it, but another key there
    does not mean that it changed. ``authorities`` sign host certificates. ``unread`` are the files that say nothing
    because they can't be read, with why.
    """

    keys: tuple[HostKey, ...] = ()
    portless: tuple[HostKey, ...] = ()
    authorities: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def algorithms(self) -> set[str]:
        """The key types that are known: to be asked for before others, so that a known key is offered."""
        return {key.algorithm for key in self.keys or self.portless}

    def verdict(self, offered: HostKey) -> Verdict:
        """Like OpenSSH, a key of a type of which none is known is unknown, not changed."""
        if offered in self.revoked:
            return Verdict.REVOKED
        if offered in self.keys or offered in self.portless:
            return Verdict.TRUSTED
        if any(key.algorithm == offered.algorithm for key in self.keys):
            return Verdict.CHANGED
        return Verdict.UNKNOWN

    def trusts_authority(self, authority: HostKey) -> bool:
        return authority in self.authorities and authority not in self.revoked


def known_keys(files: Iterable[Path], host: HostConfig) -> KnownKeys:
    """Look a host up in those of the files that can be read, as OpenSSH does."""
    names = [host.key_name]
    if not host.host_key_alias and names[0].startswith("["):
        names.append(host.host.lower())
    found: list[dict[str, list[HostKey]]] = [{"": [], "@cert-authority": [], "@revoked": []} for _ in names]
    unread: list[str] = []
    for file in files:
        try:
            text = read_plain_file(file, KNOWN_HOSTS_LIMIT).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            continue
        except OSError as error:
            if str(file) != os.devnull:  # a way to have none
                unread.append(f"{clean(str(file))} can't be read: {error.strerror}")
            continue
        for line in text.splitlines():
            if (entry := _entry(line)) is None:
                continue
            marker, patterns, key = entry
            for name, by_marker in zip(names, found, strict=True):
                if _matches(patterns, name):
                    by_marker[marker].append(key)
    portless = found[1] if len(found) > 1 else {"": [], "@cert-authority": [], "@revoked": []}
    return KnownKeys(
        keys=tuple(found[0][""]),
        portless=tuple(portless[""]),
        authorities=tuple(found[0]["@cert-authority"] + portless["@cert-authority"]),
        revoked=tuple(found[0]["@revoked"] + portless["@revoked"]),
        unread=tuple(unread),
    )


def refusal(
    where: str, host: HostConfig, known: KnownKeys, offered: HostKey, files: list[Path], note: str = ""
) -> HostKeyUnknown | HostKeyRefused:
    """The error for an offered key that is not trusted.

    ``where`` begins the sentence, ``files`` are the known_hosts files in use; the first is where a line would go.
    """
    name, kind = host.key_name, offered.algorithm
    seen = f"{kind} {offered.fingerprint}"
    match known.verdict(offered):
        case Verdict.REVOKED:
            return HostKeyRefused(
                f"{where}: the host key is marked as revoked in known_hosts: {seen}",
                f"somebody may be in between: ask whoever runs {host.host}; this key must not be used again",
            )
        case Verdict.CHANGED:
            old = ", ".join(key.fingerprint for key in known.keys if key.algorithm == kind)
            return HostKeyRefused(
                f"{where}: the host key has CHANGED: {seen} is offered, {old} is known",
                f"somebody may be in between: ask whoever reinstalled {host.host} for its fingerprint, and only then "
                f"remove the old key with ssh-keygen -R {shlex.quote(name)} -f {_shell_path(_holder(files, host))}",
            )
        case _:
            others = ", ".join(sorted(known.algorithms))
            other_types = f" (known_hosts has only another type of key for it: {others})" if others else ""
            unread = "".join(f", and {one}" for one in known.unread)
            line, file = offered.line(name), files[0]
            return HostKeyUnknown(
                f"{where}: the host key is not known{other_types}{unread}{note}: {seen}",
                f"compare the fingerprint with what the host itself says (ssh-keygen -lf), then add it: "
                f"{_append_command(line, file)}",
                host=host.host,
                port=host.port,
                algorithm=kind,
                fingerprint=offered.fingerprint,
                line=line,
                known_hosts=str(file),
            )


def add_to_known_hosts(error: HostKeyUnknown) -> None:
    """Append the offered key to the file that the error names, and see it to the disk.

    Raises OSError. Then nothing of the line is left there, as far as the disk lets it be taken back.
    """
    file = expand_home(error.known_hosts)
    if not file.parent.is_dir():
        file.parent.mkdir(mode=0o700, parents=True)
    descriptor = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    try:
        check_plain(descriptor)
        start = b"" if _ends_with_newline(descriptor) else b"\n"
        end, added = os.fstat(descriptor).st_size, start + error.line.encode("utf-8", "surrogateescape") + b"\n"
        try:
            while added:  # a full disk takes a part first, and says why only then
                added = added[os.write(descriptor, added) :]
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


def key_from_line(text: str) -> HostKey | None:
    """``TYPE BASE64 [COMMENT]``; None if it is no key."""
    words = text.split(None, 2)
    if len(words) < 2:
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    if key_algorithm(blob) != words[0]:
        return None
    return HostKey(words[0], blob)


def key_algorithm(blob: bytes) -> str:
    """The name that a public key in wire format begins with; empty if it is none."""
    length = int.from_bytes(blob[:4], "big")
    return blob[4 : 4 + length].decode("ascii", "replace") if 0 < length <= len(blob) - 4 else ""


def _entry(line: str) -> tuple[str, str, HostKey] | None:
    """Marker, host patterns and key of one line; None for comments and, as for OpenSSH, for what is no entry."""
    words = line.split(None, 1)
    marker = ""
    if words and words[0].startswith("@"):
        marker, words = words[0], (words[1] if len(words) > 1 else "").split(None, 1)
    if len(words) < 2 or words[0].startswith("#") or marker not in {"", "@cert-authority", "@revoked"}:
        return None
    key = key_from_line(words[1])
    return None if key is None else (marker, words[0], key)


def _matches(patterns: str, name: str) -> bool:
    if patterns.startswith("|"):
        return _hash_matches(patterns, name)
    matched = False
    for pattern in patterns.lower().split(","):
        if pattern.startswith("!"):
            if _glob(pattern[1:], name):
                return False
        else:
            matched = matched or _glob(pattern, name)
    return matched


def _glob(pattern: str, name: str) -> bool:
    """Only ``*`` and ``?`` mean something: brackets are those of ``[host]:port``."""
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    return fnmatch.fnmatchcase(name, re.sub(r"\[", "[[]", pattern))


def _hash_matches(pattern: str, name: str) -> bool:
    parts = pattern.split("|")
    if len(parts) != 4 or parts[1] != "1":
        return False
    try:
        salt, wanted = base64.b64decode(parts[2]), base64.b64decode(parts[3])
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode("utf-8", "surrogateescape"), "sha1").digest(), wanted)


def _holder(files: list[Path], host: HostConfig) -> Path:
    """The first file that holds a key of this host."""
    return next((file for file in files if known_keys([file], host).keys), files[0])


def _append_command(line: str, file: Path) -> str:
    """For a shell: it adds the line, on a line of its own, and makes the folder first where there is none."""
    form = r"'%s\n'" if _file_ends_with_newline(file) else r"'\n%s\n'"
    folder = "" if file.parent.is_dir() else f"mkdir -p -m 0700 -- {_shell_path(file.parent)} && "
    return f"{folder}printf {form} {shlex.quote(line)} >> {_shell_path(file)}"


def _shell_path(file: Path) -> str:
    """With a tilde where that is the same to a shell, which takes it for $HOME; OpenSSH and we do not: see home()."""
    if os.environ.get("HOME") == str(home()) and file.is_relative_to(home()):
        return "~/" + shlex.quote(str(file.relative_to(home())))
    return shlex.quote(str(file))


def _file_ends_with_newline(file: Path) -> bool:
    try:
        descriptor = without_waiting(str(file), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return _ends_with_newline(descriptor)
    finally:
        os.close(descriptor)


def _ends_with_newline(descriptor: int) -> bool:
    """Also true of an empty file: nothing has to be ended there."""
    size = os.fstat(descriptor).st_size
    return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
