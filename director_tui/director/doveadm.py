"""Every doveadm and doveconf call of this program, as values.

With the two commands of :mod:`director_tui.director.record_commands` this is the complete list of what is ever run on
a director; ``metacache flushall`` is run on a backend. A call is the words after ``doveadm`` or ``doveconf``, how long
to wait for it, and how to read what it prints; :meth:`Call.command` makes the whole command line.

``-f tab`` stands before the subcommand because some subcommands have an ``-f`` of their own, and ``--`` before whatever
a person typed. Backends are always named by literal IPs: for a name with several addresses doveadm sends several
commands at once, of which the director loses all but the first, and waits for ever (2.3.19).
"""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from director_tui.director import parse
from director_tui.director.model import MAX_VHOSTS
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

CHANGE_LIMIT_S: Final = 75.0
"""How long the end of a changing call is waited for. A director holds it back for up to 30 s until its ring is synced,
and its answer for up to 30 s more until the change has gone round."""

RING_SYNC_TIMED_OUT: Final = "Ring sync timed out"
"""What doveadm says where a change was not seen to go round the ring: it may have been made, or may be later."""

LONGEST_ARGUMENT: Final = 1024
"""Characters of a name or a tag. A director itself closes the conversation at a line of more bytes than this."""


class Tool(enum.Enum):
    """The program on the director, whose words the configuration sets (``sudo -n doveadm``); but for the shell."""

    DOVEADM = "doveadm"
    DOVECONF = "doveconf"
    SH = "sh"


@dataclass(frozen=True, slots=True)
class Call(Generic[ResultT_co]):
    """One call of doveadm or doveconf.

    ``words`` follow the words of the tool. ``limit_s`` is how long to wait for its end, in seconds. ``parse`` turns its
    standard output into the result, and raises MalformedOutput. ``changes`` is whether the ring may be another after
    it: such a call is never ended from here, only waited for no longer. ``waits_for_sync`` is whether the director
    holds it back until the ring is synced (up to 30 s before and after), ``honest`` whether exit status 0 means
    success; where it doesn't, standard error tells. ``stdin`` is what it is given to read.
    """

    tool: Tool
    words: tuple[str, ...]
    parse: Callable[[bytes], ResultT_co]
    limit_s: float = READ_LIMIT_S
    changes: bool = False
    waits_for_sync: bool = False
    honest: bool = True
    stdin: bytes = b""

    def command(self, tool_words: Sequence[str]) -> tuple[str, ...]:
        """The whole argument vector, given the words for this call's tool (``("sudo", "-n", "doveadm")``)."""
        return (*ENVIRONMENT, *tool_words, *self.words)

    @property
    def title(self) -> str:
        """What to call it in a sentence: the tool and its subcommand, without options and arguments."""
        if self.tool is not Tool.DOVEADM:
            return str(self.tool.value)
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

    ``-f /dev/null`` keeps doveadm from listing every user of the user database, which can panic (2.3.19.1). Behind
    ``--`` a line for sudo that allows this allows no other file to be read. Raises ValueError if ``ip`` is no literal
    IP.
    """
    words = ("director", "map", "-f", "/dev/null", *(("--", canonical_ip(ip)) if ip else ()))
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


def mail_servers() -> Call[str]:
    """``director_mail_servers`` as the file on disk has it now, byte for byte: what is not UTF-8 as surrogates."""
    return Call(Tool.DOVECONF, ("-h", "director_mail_servers"), parse.mail_servers)


def update(ip: str, vhosts: int) -> Call[None]:
    """Set a backend's vhost count. Raises ValueError for what is no literal IP or no count of 0…1000."""
    return _change(("director", "update", canonical_ip(ip), _count(vhosts)), waits_for_sync=True)


def up(ip: str) -> Call[None]:
    """Let new users be sent to a backend again. Raises ValueError if ``ip`` is no literal IP, as all of these do."""
    return _change(("director", "up", canonical_ip(ip)), waits_for_sync=True)


def down(ip: str) -> Call[None]:
    """Send no new users to a backend; its vhost count is kept, and whoever is there stays."""
    return _change(("director", "down", canonical_ip(ip)), waits_for_sync=True)


def add(ip: str, vhosts: int, tag: str = "") -> Call[None]:
    """Add a backend; of one that is there it sets the vhost count. Raises ValueError also for a tag that can't be one:
    a director takes everything behind the first ``@`` for the tag."""
    if "@" in tag:
        raise ValueError(f"the tag {tag} has an @ in it; a director can't take that")
    words = ("-t", check_argument(tag, "tag")) if tag else ()
    return _change(("director", "add", *words, canonical_ip(ip), _count(vhosts)), waits_for_sync=True)


def remove(ip: str) -> Call[None]:
    """Forget a backend and its assignments. Sessions that run go on, so it is for one without any."""
    return _change(("director", "remove", canonical_ip(ip)), waits_for_sync=True)


def flush(ip: str | None, max_parallel: int | None = None) -> Call[None]:
    """Move the users of a backend, or of all, whose hash leads elsewhere, and end their sessions. It takes minutes, and
    ends when the last move has begun.

    Raises ValueError for a ``max_parallel`` below 1: doveadm would take no notice of it.
    """
    if max_parallel is not None and not 1 <= max_parallel < 2**32:
        raise ValueError(f"the number of users moved at a time is 1 to {2**32 - 1:,}")
    pace = ("--max-parallel", str(max_parallel)) if max_parallel is not None else ()
    return _change(("director", "flush", *pace, _backend_or_all(ip)), math.inf)


def forget_users(ip: str | None) -> Call[None]:
    """``flush -F``: forget the assignments on a backend, or all, and end no session: a user can then be on two
    backends at once."""
    return _change(("director", "flush", "-F", _backend_or_all(ip)), waits_for_sync=ip is not None)


def move(user: str, ip: str) -> Call[None]:
    """Assign a user to a backend, for as long as the assignment lasts. Raises ValueError also for the name."""
    return _change(("director", "move", "--", check_argument(user, "user name"), canonical_ip(ip)))


def kick(user: str) -> Call[None]:
    """End all sessions of a user on every director. Success says nothing about whether there were any."""
    return _change(("director", "kick", "--", check_argument(user, "user name")))


def kick_sessions_to(ip: str) -> Call[None]:
    """End the sessions that one director passes on to a backend; only its own. Since 2.3.14. What it prints of their
    number is wrong."""
    return _change(("proxy", "kick", "-h", canonical_ip(ip)))


def kick_sessions_of(users: Sequence[str]) -> Call[None]:
    """End the sessions of these users that pass through one director. Raises ValueError also for none of them."""
    if not users:
        raise ValueError("no user is named")
    return _change(("proxy", "kick", "--", *(check_argument(user, "user name") for user in users)))


def upload_metacache() -> Call[None]:
    """``metacache flushall``, on a backend itself: upload everything that is not in object storage yet (Dovecot Pro
    with obox). It may take tens of minutes; without a metacache doveadm ends with 64, as for any unknown command."""
    return _change(("metacache", "flushall"), math.inf)


def one_after_the_other(mark: str, *, go_on: bool = False) -> tuple[str, ...]:
    """The words of the remote ``sh`` that runs commands in order, each of which comes as a line on its standard input.

    When it begins it prints the line ``mark ready``, and after each command ``mark STATUS``; on standard error it
    prints ``mark`` alone each time, so that both outputs can be cut. An empty line comes before each of these. ``mark``
    is a word that nobody can guess. At the first command that fails it ends.

    One that is to ``go_on`` first takes all lines, up to the end of its input, and then runs them whether anybody still
    listens or not: also past those that fail, but for one that fails because the ring is not synced.
    """
    return ("sh", "-c", _TO_THE_END if go_on else _UP_TO_A_FAILURE, mark)


def as_a_line(argv: Sequence[str]) -> Sequence[str]:
    """The same command for that shell, which sets the environment itself: the process that ``env`` is would be an
    eighth of what a reading costs a director. For words that have been run behind ``env``, so that they name a program:
    here they might as well be the shell's own."""
    return argv[1:] if tuple(argv[: len(ENVIRONMENT)]) == ENVIRONMENT else argv


# One line without exclamation marks and single quotes, because the login shell, which may be a csh, has to pass it on.
_SAY_READY: Final = r"""say() { printf "\n%s %s\n" "$0" "$1"; printf "\n%s\n" "$0" >&2; }; say ready; """
_UP_TO_A_FAILURE: Final = (
    _SAY_READY
    + r"""while IFS= read -r line; do eval "$line" </dev/null; s=$?; say "$s"; [ "$s" -eq 0 ] || exit "$s"; done"""
)
_TO_THE_END: Final = (
    r"""trap "" PIPE HUP; exec 3>&1; """
    + _SAY_READY
    + r"""while IFS= read -r line; do set -- "$@" "$line"; done; for line do """
    r"""e=$(eval "$line" </dev/null 2>&1 >&3); s=$?; [ -z "$e" ] || printf "%s\n" "$e" >&2; say "$s"; """
    rf"""[ "$s" -eq 0 ] || case $e in *"{RING_SYNC_TIMED_OUT}"*) exit "$s";; esac; done"""
)


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


def _count(vhosts: int) -> str:
    if not 0 <= vhosts <= MAX_VHOSTS:
        raise ValueError(f"{vhosts} is no vhost count: it is 0 to {MAX_VHOSTS}")
    return str(vhosts)


def _backend_or_all(ip: str | None) -> str:
    return canonical_ip(ip) if ip is not None else "all"


def _nothing(stdout: bytes) -> None:
    """What changes the ring prints nothing on standard output; what comes all the same is kept beside it."""


def _change(words: tuple[str, ...], limit_s: float = CHANGE_LIMIT_S, *, waits_for_sync: bool = False) -> Call[None]:
    return Call(Tool.DOVEADM, words, _nothing, limit_s, changes=True, waits_for_sync=waits_for_sync)


def _read(
    words: tuple[str, ...],
    parse_: Callable[[bytes], ResultT_co],
    limit_s: float = READ_LIMIT_S,
    *,
    honest: bool = True,
) -> Call[ResultT_co]:
    return Call(Tool.DOVEADM, (*_FORMAT, *words), parse_, limit_s, honest=honest)
