"""What every command of the practice ring's doveadm is made of: words in, bytes out, and a director that is asked."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from director_tui.director.hashring import HASH_SPACE
from director_tui.text import canonical_ip

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from director_tui.director.model import Assignment, Backend, DirectorPeer, Placement, ProxySession, State

    Steps: TypeAlias = "Generator[None, None, Answer]"
    """A command that takes its time: at each ``yield`` a tick of the ring's time goes by."""

OK: Final = 0
EX_USAGE: Final = 64
EX_NOHOST: Final = 68
EX_TEMPFAIL: Final = 75
EX_BAD_OPTION: Final = 89
EX_NOT_FOUND: Final = 127

SOCKET: Final = "/run/dovecot/director-admin"
IPC_SOCKET: Final = "/run/dovecot/ipc"

CALL_S: Final = 0.012
"""How long a call takes on a real director."""

CHANGE_S: Final = 0.02
"""How long one takes that has to go round the ring."""

GREETING_LIMIT_S: Final = 5.0
"""How long doveadm waits for a director to say its first word."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finished command leaves behind; ``delay_s`` is how long it should seem to have taken, in seconds, besides
    the ring's own time that went by."""

    status: int
    stdout: bytes = b""
    stderr: bytes = b""
    delay_s: float = CALL_S


class Director(Protocol):
    """What doveadm and doveconf ask of one director and its configuration.

    As long as ``running`` is false, or ``stalled`` is true, nothing but ``settings`` and sessions is asked.
    ``placement`` and ``assignments`` know only user hashes; ``assignments`` come in the director's order, of one
    backend or of all. What changes something takes IPs of backends that are there.
    """

    @property
    def running(self) -> bool: ...
    @property
    def stalled(self) -> bool: ...
    @property
    def synced(self) -> bool: ...
    def settings(self) -> Mapping[str, str]: ...
    def backends(self) -> Sequence[Backend]: ...
    def configured(self) -> Iterable[str]: ...
    def placement(self, user_hash: int, tag: str) -> Placement: ...
    def assignments(self, ip: str | None) -> Iterable[Assignment]: ...
    def peers(self) -> Iterable[DirectorPeer]: ...
    def sessions(self) -> Sequence[ProxySession]: ...

    def busy(self, ip: str) -> bool: ...
    def add(self, ip: str, tag: str, vhosts: int) -> None: ...
    def set_vhosts(self, ip: str, vhosts: int) -> None: ...
    def set_state(self, ip: str, state: State) -> None: ...
    def remove(self, ip: str) -> None: ...
    def forget_users(self, ip: str) -> None: ...
    def flush(self, ip: str | None, max_parallel: int | None) -> Generator[None, None, None]: ...
    def move(self, user_hash: int, ip: str) -> bool:
        """False while the user is being moved already."""

    def kick(self, user: str) -> None:
        """The user's sessions on all directors."""

    def kick_sessions(self, chosen: Callable[[ProxySession], bool]) -> None:
        """Only this director's."""


class Failure(Exception):
    """A command that ends early."""

    def __init__(self, status: int, *lines: str, stdout: str = "", delay_s: float = CALL_S) -> None:
        super().__init__(*lines)
        self.answer = failed(status, *lines, stdout=stdout, delay_s=delay_s)


def failed(status: int, *lines: str, stdout: str = "", delay_s: float = CALL_S) -> Answer:
    return Answer(status, encoded(stdout), encoded("".join(f"{line}\n" for line in lines)), delay_s)


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def behind_env(words: Sequence[str]) -> list[str]:
    """What ``env NAME=VALUE… PROGRAM…`` runs; without ``env`` all."""
    rest = list(words)
    if rest[:1] == ["env"]:
        rest.pop(0)
        while rest and "=" in rest[0]:
            rest.pop(0)
    return rest


@dataclass(frozen=True, slots=True)
class Arguments:
    """A subcommand's words, taken apart. ``tab`` is whether the tab format was asked for, ``header`` whether titles are
    to be printed, ``verbose`` whether doveadm is to say what it did."""

    options: Mapping[str, str]
    positional: Sequence[str]
    usage: str
    tab: bool
    header: bool
    verbose: bool

    @property
    def nothing(self) -> str:
        """What the tab formatter prints where it never came to any titles."""
        return "\n" if self.tab and self.header else ""

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
        """Rows as the tab formatter prints them: nothing is escaped."""
        lines = ["\t".join(titles)] if self.header else []
        lines.extend("\t".join(map(str, row)) for row in rows)
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: its options as getopt names them, how many arguments it needs and takes, and its usage.

    ``prints`` is whether it has rows to print, for which the practice ring knows the tab format only.
    """

    options: str
    least: int
    most: int
    usage: str
    run: Callable[[Director, Arguments], Answer | Steps] | None = None
    prints: bool = True


def connect(director: Director, arguments: Arguments) -> None:
    """Every director command but ``map -u`` opens the admin socket before it looks at its arguments."""
    path = arguments.options.get("a", SOCKET)
    if "/" not in path:
        raise Failure(EX_TEMPFAIL, f"Fatal: Lookup of host {path} failed: Name or service not known")
    if path != SOCKET:
        raise Failure(EX_TEMPFAIL, f"Fatal: net_connect_unix({path}) failed: No such file or directory")
    if not director.running:
        raise Failure(EX_TEMPFAIL, f"Fatal: net_connect_unix({path}) failed: Connection refused")
    if director.stalled:
        raise Failure(
            EX_TEMPFAIL,
            f"Fatal: read({path}) failed: read(size=8192) failed: Interrupted system call",
            delay_s=GREETING_LIMIT_S,
        )


def literal_ip(text: str, arguments: Arguments) -> str:
    """An address in all the forms that doveadm takes; the practice ring resolves no name but ``localhost``."""
    if text == "localhost":
        return "127.0.0.1"
    if re.fullmatch(r"\d+(?:\.\d+){3}", text, re.ASCII):
        text = ".".join(str(int(part)) for part in text.split("."))  # leading zeros don't make it octal here
    elif text.isascii() and text.isdigit() and int(text) < HASH_SPACE:
        return str(ipaddress.IPv4Address(int(text)))
    try:
        if "%" not in text:
            return canonical_ip(text)
    except ValueError:
        try:
            return socket.inet_ntoa(socket.inet_aton(text))
        except (OSError, ValueError):
            pass
    failure = f"Error: gethostname({text}) failed: Name or service not known"
    raise Failure(EX_TEMPFAIL, failure, stdout=arguments.nothing)
