"""Every doveadm and doveconf call of this program, as values.

This is the complete list of what is ever run on a director. A call is the words after ``doveadm`` or ``doveconf``, how
long to wait for it, and how to read what it prints; :meth:`Call.command` makes the whole command line.

``-f tab`` stands before the subcommand because some subcommands have an ``-f`` of their own, and ``--`` before whatever
a person typed.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from director_tui.director import parse
from director_tui.text import canonical_ip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from director_tui.director.model import (
        Assignment,
        Backend,
        DumpedCommand,
        Placement,
        ProxySession,
        RingSettings,
        RingView,
    )

ResultT_co = TypeVar("ResultT_co", covariant=True)

ENVIRONMENT: Final = ("env", "TZ=UTC", "LC_ALL=C")
"""In front of every command: doveadm prints local times without a zone. ``env`` works under any login shell."""

READ_LIMIT_S: Final = 6.0
"""How long a reading may take. doveadm itself gives up after 5 s when the director does not greet it, and then says so
on standard error; the second more is there to hear that."""

LIST_LIMIT_S: Final = 60.0
"""How long the calls may take whose output grows with the number of users or sessions."""

LONGEST_ARGUMENT: Final = 1024
"""Characters of a name or a tag. A director itself closes the conversation at a line of more bytes than this."""


class Tool(enum.Enum):
    """The program on the director, whose words the configuration sets (``sudo -n doveadm``)."""

    DOVEADM = "doveadm"
    DOVECONF = "doveconf"


@dataclass(frozen=True, slots=True)
class Call(Generic[ResultT_co]):
    """One call of doveadm or doveconf.

    ``words`` follow the words of the tool. ``limit_s`` is how long to wait for its end, in seconds. ``parse`` turns its
    standard output into the result, and raises MalformedOutput. ``changes`` is whether the ring may be another after
    it, ``waits_for_sync`` whether the director holds it back until the ring is synced (up to 30 s before and after).
    ``honest`` is whether exit status 0 means success; where it doesn't, standard error tells.
    """

    tool: Tool
    words: tuple[str, ...]
    parse: Callable[[bytes], ResultT_co]
    limit_s: float = READ_LIMIT_S
    changes: bool = False
    waits_for_sync: bool = False
    honest: bool = True

    def command(self, tool_words: Sequence[str]) -> tuple[str, ...]:
        """The whole argument vector, given the words for this call's tool (``("sudo", "-n", "doveadm")``)."""
        return (*ENVIRONMENT, *tool_words, *self.words)

    @property
    def title(self) -> str:
        """What to call it in a sentence: the tool and its subcommand, without options and arguments."""
        if self.tool is Tool.DOVECONF:
            return "doveconf"
        words = self.words[len(_FORMAT) :] if self.words[: len(_FORMAT)] == _FORMAT else self.words
        return " ".join(["doveadm", *words[: 3 if words[:2] == ("director", "ring") else 2]])


_FORMAT: Final = ("-f", "tab")


def status() -> Call[tuple[Backend, ...]]:
    """Every backend. About 12 ms of the director's time."""
    return _read(("director", "status"), parse.backends)


def ring_status() -> Call[RingView]:
    """What one director says about the ring."""
    return _read(("director", "ring", "status"), parse.ring_view)


def user_hash(user: str) -> Call[int]:
    """The hash of a user name by the director's own ``director_username_hash``; needs no running director.

    Raises ValueError if the name is empty or has a control character in it: it would reach the director's line
    protocol as it is.
    """
    words = ("director", "map", "-u", "--", check_argument(user, "user name"))
    return _read(words, parse.user_hash, honest=False)


def placement(hash_: int, tag: str) -> Call[Placement]:
    """Where a user hash is, and would be, in one tag. A director takes a number as the hash itself.

    Raises ValueError if ``tag`` can't be the tag itself, because what was in it had to be cleaned when it was read:
    the director would look in another tag, and answer that the user is assigned nowhere.
    """
    if _CLEANED.search(tag):
        raise ValueError(f"the tag {tag} has characters in it that can't be sent to a director")
    words = ("director", "status", "--", str(hash_), *((check_argument(tag, "tag"),) if tag else ()))
    return _read(words, lambda stdout: parse.placement(stdout, tag))


def assignments(ip: str | None = None) -> Call[tuple[Assignment, ...]]:
    """Every assigned user hash, or those on one backend; about 30 bytes each, so on demand only.

    ``-f /dev/null`` keeps doveadm from listing every user of the user database, which can panic (2.3.19.1). Raises
    ValueError if ``ip`` is not a literal IP address.
    """
    words = ("director", "map", "-f", "/dev/null", *((canonical_ip(ip),) if ip else ()))
    return _read(words, parse.assignments, LIST_LIMIT_S)


def dump() -> Call[tuple[DumpedCommand, ...]]:
    """The commands that would rebuild the list of backends. It makes the director resolve host names: don't poll it."""
    return _read(("director", "dump"), parse.dumped_commands, LIST_LIMIT_S)


def proxy_list() -> Call[tuple[ProxySession, ...]]:
    """The sessions that pass through one director. It exits 0 on every failure."""
    return _read(("proxy", "list"), parse.proxy_sessions, LIST_LIMIT_S, honest=False)


def version() -> Call[tuple[int, ...]]:
    """Dovecot's version; only the first line of the output is looked at. doveadm itself has no option for it."""
    return Call(Tool.DOVECONF, ("-n",), parse.version)


def settings(version: tuple[int, ...] = ()) -> Call[RingSettings]:
    """The director's settings. Called without ``-h`` because the names tell which setting is unknown there."""
    return Call(Tool.DOVECONF, _SETTINGS, lambda stdout: parse.ring_settings(stdout, version))


_SETTINGS: Final = (
    "director_mail_servers",
    "director_username_hash",
    "director_user_expire",
    "director_user_kick_delay",
    "director_max_parallel_moves",
    "director_consistent_hashing",
)


_CLEANED: Final = re.compile(r"\N{REPLACEMENT CHARACTER}|\\x[0-9a-f]{2}")
"""What :func:`~director_tui.text.clean` leaves in the place of what it took out."""


def check_argument(text: str, kind: str) -> str:
    """Refuse what must not reach a director's line protocol. Raises ValueError; returns ``text`` unchanged."""
    if not text:
        raise ValueError(f"the {kind} is empty")
    if len(text) > LONGEST_ARGUMENT:
        raise ValueError(f"the {kind} is longer than {LONGEST_ARGUMENT:,} characters")
    for character in text:
        code = ord(character)
        if code < 0x20 or 0x7F <= code < 0xA0:
            raise ValueError(f"the {kind} has a control character in it (U+{code:04X}); doveadm can't take that")
        if 0xD800 <= code < 0xE000:
            raise ValueError(f"the {kind} is not valid UTF-8")
    return text


def _read(
    words: tuple[str, ...],
    parse_: Callable[[bytes], ResultT_co],
    limit_s: float = READ_LIMIT_S,
    *,
    honest: bool = True,
) -> Call[ResultT_co]:
    return Call(Tool.DOVEADM, (*_FORMAT, *words), parse_, limit_s, honest=honest)
