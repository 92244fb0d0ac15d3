"""`doveadm -f tab` output to values, every text of it cleaned.

doveadm's tab formatter escapes nothing (doveadm-print-tab.c), so a cell that holds a tab or a line break breaks its
row. Such a row is refused together with everything else in that output: a row is never read shifted.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from director_tui.director.model import (
    Assignment,
    Backend,
    DirectorPeer,
    DumpedCommand,
    Placement,
    ProxySession,
    RingSettings,
    RingView,
    State,
)
from director_tui.errors import MalformedOutput
from director_tui.text import canonical_ip, clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Header = tuple[str, ...]

STATUS_HEADERS: Final[tuple[Header, ...]] = (
    ("mail server ip", "tag", "vhosts", "state", "state changed", "users"),  # 2.2.19 and later
    ("mail server ip", "tag", "vhosts", "users"),  # 2.2.18
    ("mail server ip", "vhosts", "users"),  # up to 2.2.9
)
RING_HEADERS: Final[tuple[Header, ...]] = (
    (
        *("director ip", "port", "type", "last failed", "status", "ping ms"),
        *("input", "output", "buffered", "buffered peak", "last read", "last write"),
    ),  # 2.2.34 and later
    ("director ip", "port", "type", "last failed", "status"),  # 2.2.18
    ("director ip", "port", "type", "last failed"),  # before
)
PLACEMENT_HEADERS: Final[tuple[Header, ...]] = (("status", "expires", "hashed", "initial-config"),)
MAP_HEADERS: Final[tuple[Header, ...]] = (("user", "hash", "mail server ip", "expire time"),)
USER_HASH_HEADERS: Final[tuple[Header, ...]] = (("hash",),)
DUMP_HEADERS: Final[tuple[Header, ...]] = (("command", "socket-path", "host", "vhost_count"),)
PROXY_HEADER_ENDS: Final[tuple[Header, ...]] = (
    ("proto", "src ip", "dest ip", "port"),
    ("service", "src-ip", "dest-ip", "dest-port"),  # the header of the second login process and of those after it
)


# Directors take at most 1000. Each makes a point of the hash ring here, so a number without sense has to stop early.
_LARGEST_VHOSTS: Final = 65535


def backends(stdout: bytes) -> tuple[Backend, ...]:
    """``director status``: every backend, in the director's order. Raises MalformedOutput."""
    rows = _Table(stdout, STATUS_HEADERS.__contains__, "director status")
    return tuple(
        Backend(
            ip=row.ip("mail server ip"),
            tag=row.text("tag"),
            vhosts=row.number("vhosts", _LARGEST_VHOSTS),
            state=row.state("state"),
            state_changed=row.time("state changed"),
            users=row.number("users"),
        )
        for row in rows
    )


def ring_view(stdout: bytes) -> RingView:
    """``director ring status``: what one director says about the ring. Raises MalformedOutput."""
    peers: list[DirectorPeer] = []
    unidentified: list[str] = []
    for row in _Table(stdout, RING_HEADERS.__contains__, "director ring status"):
        # A connection whose director is not known yet is printed without its first four cells
        # (doveadm_director_connection_append_status in doveadm-connection.c).
        first = row.text("director ip")
        if first.startswith(("handshaking", "syncing", "synced")):
            unidentified.append(first)
            continue
        peers.append(
            DirectorPeer(
                ip=row.ip("director ip"),
                port=row.number("port"),
                type=row.text("type"),
                last_failed=row.time("last failed"),
                status=row.text("status"),
                ping_ms=row.optional_number("ping ms"),
                input=row.optional_number("input"),
                output=row.optional_number("output"),
                buffered=row.optional_number("buffered"),
                buffered_peak=row.optional_number("buffered peak"),
                last_read=row.time("last read"),
                last_write=row.time("last write"),
            )
        )
    return RingView(tuple(peers), tuple(unidentified))


def placement(stdout: bytes, tag: str) -> Placement:
    """``director status USER TAG``: where a user is and would be. Raises MalformedOutput."""
    tab = _PLACEMENT_TEXT.sub(rb"status\texpires\thashed\tinitial-config\n\1\t\2\t\3\t\4\n", stdout)
    row = _Table(tab, PLACEMENT_HEADERS.__contains__, "director status USER").only()
    current = row.text("status")
    assigned = current not in {"n/a", "not assigned"}
    return Placement(
        tag=tag,
        current=row.ip("status") if assigned else None,
        expires=row.time("expires") if assigned else None,
        hashed=row.optional_ip("hashed"),
        initial_config=row.optional_ip("initial-config"),
    )


_PLACEMENT_TEXT = re.compile(
    rb"^Current: (not assigned|[0-9a-f.:]+)(?: \(expires ([0-9: -]+)\))?\nHashed: (.*)\nInitial config: (.*)\n\n?",
    re.MULTILINE,
)
"""As doveadm up to 2.2.24 prints it, which takes no notice of ``-f tab`` there."""


def assignments(stdout: bytes) -> tuple[Assignment, ...]:
    """``director map``: every user hash that is assigned, each once. Raises MalformedOutput.

    With a file of user names doveadm prints a hash once for each name that has it; that is still one assignment. One
    hash can be assigned in several tags, to a backend of each.
    """
    rows = _Table(stdout, MAP_HEADERS.__contains__, "director map")
    found: dict[tuple[int, str], Assignment] = {}
    for row in rows:
        hash_, ip = row.number("hash", 2**32 - 1), row.ip("mail server ip")
        if (hash_, ip) not in found:
            found[hash_, ip] = Assignment(hash_, ip, row.time("expire time"))
    return tuple(found.values())


def user_hash(stdout: bytes) -> int:
    """``director map -u USER``: the hash of a user name, by the director's own setting. Raises MalformedOutput.

    doveadm exits 0 with an empty line when it can't expand ``director_username_hash``.
    """
    return _Table(stdout, USER_HASH_HEADERS.__contains__, "director map -u").only().number("hash", 2**32 - 1)


def dumped_commands(stdout: bytes) -> tuple[DumpedCommand, ...]:
    """``director dump``: the commands that would rebuild the list of backends. Raises MalformedOutput."""
    commands = []
    for row in _Table(stdout, DUMP_HEADERS.__contains__, "director dump"):
        ip, _, tag = row.text("host").partition("@")
        if not _is_ip(ip):
            raise row.wrong("host", "an IP address")
        vhosts = row.optional_number("vhost_count")
        commands.append(DumpedCommand(row.text("command"), canonical_ip(ip), tag, vhosts))
    return tuple(commands)


def proxy_sessions(stdout: bytes) -> tuple[ProxySession, ...]:
    """``proxy list``: the sessions that pass through one director. Raises MalformedOutput.

    Each login process sends the header again, in other words, which then stands among the rows; and with no login
    process there is no header at all, only an empty line. Between user name and protocol stand the alternative user
    names, if there are any. A row that does not fit the header belongs to a login process that knows other ones.
    """
    if stdout in {b"", b"\n"}:
        return ()
    sessions = []
    for row in _Table(stdout, _is_proxy_header, "proxy list"):
        if not _is_proxy_header(row.cells):
            user, protocol, source_ip, ip, port = row.cells[0], *row.cells[-4:]
            if not _is_number(port) or not _is_ip(ip):
                raise row.wrong("dest ip, port", "an address and a port")
            sessions.append(ProxySession(user, protocol, source_ip, canonical_ip(ip), int(port)))
    return tuple(sessions)


def _is_proxy_header(cells: Header) -> bool:
    return len(cells) >= 5 and cells[0] == "username" and cells[-4:] in PROXY_HEADER_ENDS


_SETTING = re.compile(rb"([a-z_]+) = ?(.*)")
_DURATION = re.compile(r"([0-9]{1,9}) ?(msecs?|secs?|mins?|hours?|days?|weeks?|ms|[smhdw])?(?: |$)")
_UNIT_S = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def ring_settings(stdout: bytes, version: tuple[int, ...] = ()) -> RingSettings:
    """``doveconf NAME…``: the settings of a director, those it does not know left out. Raises MalformedOutput.

    ``version`` decides what the absence of ``director_consistent_hashing`` means: 2.3 has no such setting because it
    always hashes consistently. 2.2 has it, and its default is no.
    """
    lines = [line for line in stdout.splitlines() if line.strip()]
    matches = filter(None, map(_SETTING.fullmatch, lines))
    values = {match[1].decode(): clean(match[2]) for match in matches}
    if not any(name.startswith("director_") for name in values):
        printed = f"no setting of a director, but {_quoted(lines[0])}" if lines else "nothing"
        raise MalformedOutput(
            f"doveconf printed {printed}", "check the words for doveconf in the configuration of this program"
        )
    defaults = RingSettings()
    consistent = values.get("director_consistent_hashing")
    moves = values.get("director_max_parallel_moves", "")
    return RingSettings(
        version=version,
        mail_servers=values.get("director_mail_servers"),
        username_hash=values.get("director_username_hash", defaults.username_hash),
        user_expire_s=_seconds(values.get("director_user_expire"), defaults.user_expire_s),
        user_kick_delay_s=_seconds(values.get("director_user_kick_delay"), defaults.user_kick_delay_s),
        max_parallel_moves=int(moves) if _is_number(moves) else defaults.max_parallel_moves,
        consistent_hashing=consistent == "yes" if consistent is not None else version >= (2, 3) or not version,
    )


def mail_servers(stdout: bytes) -> str:
    """``doveconf -h director_mail_servers``: the value and a line break. Not cleaned, for it is to be written again.

    Raises MalformedOutput for nothing at all, which is what doveconf prints of a setting that it doesn't know.
    """
    if not stdout.endswith(b"\n"):
        raise MalformedOutput("doveconf knows no director_mail_servers there", "is that the director's configuration?")
    return stdout[:-1].decode("utf-8", "surrogateescape")


def version(stdout: bytes) -> tuple[int, ...]:
    """The first line of ``doveconf -n``, ``# 2.3.19.1 (…): …``: Dovecot's version. Raises MalformedOutput."""
    for line in stdout.splitlines():
        if match := re.match(rb"# ([0-9]{1,9}(?:\.[0-9]{1,9})+)\b", line):
            return tuple(int(part) for part in match[1].split(b"."))
    raise MalformedOutput("doveconf -n named no version of Dovecot")


class _Table:
    """Rows under a header that is known. What a login shell printed before the header is passed over."""

    def __init__(self, stdout: bytes, is_header: Callable[[Header], bool], command: str) -> None:
        self.command: Final = command
        # Nearly always there is nothing to clean, and one look at the whole is much cheaper than one at each cell.
        self._cells = _plain_cells if _PLAIN.fullmatch(stdout) else _cleaned_cells
        lines = _lines(stdout, command)
        place = next((place for place, line in enumerate(lines) if is_header(self._cells(line))), None)
        if place is None:
            raise MalformedOutput(
                f"this is not what doveadm {command} prints; it begins with {_quoted(lines[0])}",
                "see what the same command prints when you run it there by hand",
            )
        header = self._cells(lines[place])
        self.width: Final = len(header)
        self.columns: Final = {name: column for column, name in enumerate(header)}
        self._rows = lines[place + 1 :]
        self._first = place + 2

    def __iter__(self) -> Iterator[_Row]:
        for number, line in enumerate(self._rows, start=self._first):
            cells = self._cells(line)
            if len(cells) != self.width:
                raise MalformedOutput(
                    f"doveadm {self.command}: line {number} has {len(cells)} cells, its header has {self.width}: "
                    f"{_quoted(line)}",
                    "a tag or name with a tab in it does this",
                )
            yield _Row(self, number, cells)

    def only(self) -> _Row:
        rows = list(self)
        if len(rows) != 1:
            raise MalformedOutput(f"doveadm {self.command}: one row was expected, {len(rows)} came")
        return rows[0]


class _Row:
    """One row; every reader of a cell raises MalformedOutput that names it. A column may be absent in old versions."""

    __slots__ = ("_number", "_table", "cells")

    def __init__(self, table: _Table, number: int, cells: tuple[str, ...]) -> None:
        self._table = table
        self._number = number
        self.cells = cells

    def text(self, name: str) -> str:
        """The cell, or nothing where there is no such column."""
        column = self._table.columns.get(name)
        return "" if column is None else self.cells[column]

    def number(self, name: str, largest: int = 2**64 - 1) -> int:
        text = self.text(name)
        if not _is_number(text) or (number := int(text)) > largest:
            raise self.wrong(name, f"a number up to {largest}" if _is_number(text) else "a number")
        return number

    def optional_number(self, name: str) -> int | None:
        return None if self.text(name) in {"", "-"} else self.number(name)

    def ip(self, name: str) -> str:
        try:
            return canonical_ip(self.text(name))
        except ValueError:
            raise self.wrong(name, "an IP address") from None

    def optional_ip(self, name: str) -> str | None:
        return self.ip(name) if self.text(name) else None

    def state(self, name: str) -> State:
        text = self.text(name)
        if text == "up" or name not in self._table.columns:
            return State.UP
        if text == "down":
            return State.DOWN
        raise self.wrong(name, "up or down")

    def time(self, name: str) -> datetime | None:
        text = self.text(name)
        if text in {"-", "-1", "never"} or name not in self._table.columns:
            return None
        try:
            return _time(text)
        except ValueError:
            raise self.wrong(name, "a time") from None

    def wrong(self, name: str, wanted: str) -> MalformedOutput:
        shown = _quoted(self.text(name) if name in self._table.columns else " ".join(self.cells))
        return MalformedOutput(
            f"doveadm {self._table.command}: line {self._number}, column {name}: {wanted} was expected, not {shown}"
        )


_PLAIN = re.compile(rb"[\t\n\x20-\x7e]*")
_TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2}) ([0-9]{2}):([0-9]{2}):([0-9]{2})")


def _lines(stdout: bytes, command: str) -> list[str]:
    if not stdout.strip():
        raise MalformedOutput(f"doveadm {command} printed nothing")
    if not stdout.endswith(b"\n"):
        raise MalformedOutput(f"doveadm {command}: the output ends in the middle of a line: it is not complete")
    return stdout[:-1].decode("utf-8", "backslashreplace").split("\n")


def _plain_cells(line: str) -> tuple[str, ...]:
    return tuple(line.split("\t"))


def _cleaned_cells(line: str) -> tuple[str, ...]:
    return tuple([clean(cell) for cell in line.removesuffix("\r").split("\t")])


def _is_number(text: str) -> bool:
    # No number that doveadm prints is longer than that of a 64-bit counter.
    return len(text) <= 20 and text.isascii() and text.isdigit()


def _is_ip(text: str) -> bool:
    try:
        canonical_ip(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)  # users of one ring expire within the same few hundred seconds
def _time(text: str) -> datetime:
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    year, month, day, hour, minute, second = map(int, match.groups())
    # doveadm prints local time without a zone, and every call sets TZ=UTC.
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


def _quoted(text: bytes | str) -> str:
    shown = clean(text)
    return f"“{shown[:60]}…”" if len(shown) > 60 else f"“{shown}”"


def _seconds(text: str | None, default: float) -> float:
    """A duration as doveconf prints it: ``15 mins``, ``2 secs``, ``500 msecs``, and sums of them."""
    parts = list(_DURATION.finditer(text or ""))
    if not parts or "".join(part[0] for part in parts) != text:
        return default
    amounts = (part.groups("") for part in parts)
    return sum(int(amount) * _UNIT_S["ms" if unit.startswith("ms") else unit[:1]] for amount, unit in amounts)
