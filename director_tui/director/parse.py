"""`doveadm -f tab` output to values; the one place where text from outside is cleaned.

doveadm's tab formatter escapes nothing (doveadm-print-tab.c), so a cell that holds a tab or a line break breaks its
row. Such a row is refused together with everything else in that output: a row is never read shifted.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
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
    ip_order,
)
from director_tui.errors import MalformedOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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

_CONTROLS = dict.fromkeys(
    [
        *range(0x20),
        *range(0x7F, 0xA0),
        *(0x200E, 0x200F, 0x061C),  # marks that turn the writing direction
        *range(0x2028, 0x202F),  # line and paragraph separators, embeddings and overrides of direction
        *range(0x2066, 0x206A),  # isolates of direction
        0xFEFF,
    ],
    "\N{REPLACEMENT CHARACTER}",
)


def clean(text: bytes | str) -> str:
    """Text from outside, made fit for a terminal.

    Bytes that are not UTF-8 become ``\\xNN``; control characters, and those that turn the direction of writing, become
    U+FFFD.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    else:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.translate(_CONTROLS)


def clean_lines(text: bytes | str) -> str:
    """Like :func:`clean`, but the breaks between lines stay; for messages of several lines."""
    parts = text.splitlines()
    return "\n".join(line for part in parts if (line := clean(part).rstrip()))


def backends(stdout: bytes) -> tuple[Backend, ...]:
    """``director status``: every backend, in the director's order. Raises MalformedOutput."""
    rows = _Table(stdout, STATUS_HEADERS, "director status")
    return tuple(
        Backend(
            ip=row.ip("mail server ip"),
            tag=row.text("tag"),
            vhosts=row.number("vhosts"),
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
    for row in _Table(stdout, RING_HEADERS, "director ring status"):
        # A connection whose director is not known yet is printed without its first four cells
        # (doveadm_director_connection_append_status in doveadm-connection.c).
        if not _is_ip(row.text("director ip")):
            if not row.text("director ip").startswith(("handshaking", "syncing", "synced")):
                raise row.wrong("director ip", "an IP address")
            unidentified.append(row.text("director ip"))
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
    row = _Table(stdout, PLACEMENT_HEADERS, "director status USER").only()
    current = row.text("status")
    assigned = current not in {"n/a", "not assigned"}  # the latter up to 2.2.20
    return Placement(
        tag=tag,
        current=row.ip("status") if assigned else None,
        expires=row.time("expires") if assigned else None,
        hashed=row.optional_ip("hashed"),
        initial_config=row.optional_ip("initial-config"),
    )


def assignments(stdout: bytes) -> tuple[Assignment, ...]:
    """``director map``: every user hash that is assigned, each once. Raises MalformedOutput.

    With a file of user names doveadm prints a hash once for each name that has it; that is still one assignment. One
    hash can be assigned in several tags, to a backend of each.
    """
    rows = _Table(stdout, MAP_HEADERS, "director map")
    found = (Assignment(row.number("hash"), row.ip("mail server ip"), row.time("expire time")) for row in rows)
    return tuple(dict.fromkeys(found))


def user_hash(stdout: bytes) -> int:
    """``director map -u USER``: the hash of a user name, by the director's own setting. Raises MalformedOutput.

    doveadm exits 0 with an empty line when it can't expand ``director_username_hash``.
    """
    return _Table(stdout, USER_HASH_HEADERS, "director map -u").only().number("hash")


def dumped_commands(stdout: bytes) -> tuple[DumpedCommand, ...]:
    """``director dump``: the commands that would rebuild the list of backends. Raises MalformedOutput."""
    commands = []
    for row in _Table(stdout, DUMP_HEADERS, "director dump"):
        ip, _, tag = row.text("host").partition("@")
        if not _is_ip(ip):
            raise row.wrong("host", "an IP address")
        vhosts = row.optional_number("vhost_count")
        commands.append(DumpedCommand(row.text("command"), canonical_ip(ip), tag, vhosts))
    return tuple(commands)


def proxy_sessions(stdout: bytes) -> tuple[ProxySession, ...]:
    """``proxy list``: the sessions that pass through one director. Raises MalformedOutput.

    Each login process sends the header again, which then stands among the rows; and with no login process there is no
    header at all, only an empty line. Between user name and protocol stand the alternative user names, if there are
    any. A row that does not fit the header belongs to a login process that knows other ones: it is refused.
    """
    if stdout in {b"", b"\n"}:
        return ()
    lines = _lines(stdout, "proxy list")
    header = _cells(lines[0])
    tail = ("service", "src-ip", "dest-ip", "dest-port"), ("proto", "src ip", "dest ip", "port")
    if header[:1] != ("username",) or header[-4:] not in tail:
        raise _no_header("proxy list", lines[0])
    repeated = ("username", *tail[0])
    sessions = []
    for number, line in enumerate(lines[1:], start=2):
        cells = _cells(line)
        if cells in {header, repeated} or cells[-4:] in tail:
            continue
        port = cells[-1]
        if len(cells) != len(header) or not port.isascii() or not port.isdigit() or not _is_ip(cells[-2]):
            raise MalformedOutput(f"doveadm proxy list: line {number} does not fit its header: {_quoted(line)}")
        sessions.append(ProxySession(cells[0], cells[-4], cells[-3], canonical_ip(cells[-2]), int(port)))
    return tuple(sessions)


_SETTING = re.compile(rb"^([a-z_]+) = ?(.*)$")
_DURATION = re.compile(r"(\d+) ?(msecs?|secs?|mins?|hours?|days?|weeks?|ms|[smhdw])?")
_UNIT_S = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def ring_settings(stdout: bytes, version: tuple[int, ...] = ()) -> RingSettings:
    """``doveconf NAME…``: the settings of a director, those it does not know left out. Raises MalformedOutput.

    ``version`` decides what the absence of ``director_consistent_hashing`` means: 2.3 has no such setting because it
    always hashes consistently. 2.2 has it, and its default is no.
    """
    values = {
        match[1].decode(): clean(match[2]) for line in stdout.splitlines() if (match := _SETTING.match(line)) is not None
    }
    if not any(name.startswith("director_") for name in values):
        first = stdout.splitlines()[0] if stdout.strip() else b""
        raise MalformedOutput(
            f"doveconf printed none of the director's settings, but {_quoted(first)}" if first else "doveconf printed nothing",
            "check the words for doveconf in the configuration of this program",
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
        max_parallel_moves=int(moves) if moves.isascii() and moves.isdigit() else defaults.max_parallel_moves,
        consistent_hashing=consistent == "yes" if consistent is not None else version >= (2, 3) or not version,
    )


def version(stdout: bytes) -> tuple[int, ...]:
    """The first line of ``doveconf -n``, ``# 2.3.19.1 (…): …``: Dovecot's version. Raises MalformedOutput."""
    for line in stdout.splitlines():
        if match := re.match(rb"# (\d+(?:\.\d+)+)\b", line):
            return tuple(int(part) for part in match[1].split(b"."))
    raise MalformedOutput("doveconf -n named no version of Dovecot")


def canonical_ip(text: str) -> str:
    """An IP address in the one form that doveadm prints. Raises ValueError if it is not a literal address."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"::ffff:{address.ipv4_mapped}"
    return str(address)


class _Table:
    """Rows under one of the known headers. What a login shell printed before the header is passed over."""

    def __init__(self, stdout: bytes, headers: Sequence[Header], command: str) -> None:
        self._command = command
        lines = _lines(stdout, command)
        for start, line in enumerate(lines):
            if _cells(line) in headers:
                break
        else:
            raise _no_header(command, lines[0])
        self._header = _cells(lines[start])
        self._lines = lines[start + 1 :]
        self._first = start + 2

    def __iter__(self) -> Iterator[_Row]:
        return (self._row(number, line) for number, line in enumerate(self._lines, start=self._first))

    def only(self) -> _Row:
        if len(self._lines) != 1:
            raise MalformedOutput(f"doveadm {self._command}: one row was expected, {len(self._lines)} came")
        return self._row(self._first, self._lines[0])

    def _row(self, number: int, line: bytes) -> _Row:
        cells = _cells(line)
        if len(cells) != len(self._header):
            raise MalformedOutput(
                f"doveadm {self._command}: line {number} has {len(cells)} cells, its header has {len(self._header)}: "
                f"{_quoted(line)}",
                "a tag or name with a tab in it does this",
            )
        return _Row(self._command, number, dict(zip(self._header, cells, strict=True)))


class _Row:
    __slots__ = ("_cells", "_command", "_number")

    def __init__(self, command: str, number: int, cells: dict[str, str]) -> None:
        self._command = command
        self._number = number
        self._cells = cells

    def text(self, name: str) -> str:
        """The cell, or nothing where this version of doveadm has no such column."""
        return self._cells.get(name, "")

    def number(self, name: str) -> int:
        text = self.text(name)
        if not text.isascii() or not text.isdigit():
            raise self.wrong(name, "a number")
        return int(text)

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
        if text in {"up", ""}:
            return State.UP
        if text == "down":
            return State.DOWN
        raise self.wrong(name, "up or down")

    def time(self, name: str) -> datetime | None:
        text = self.text(name)
        if text in {"", "-", "-1", "never"}:
            return None
        try:
            # The director prints local time without a zone, and every call sets TZ=UTC.
            return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:
            raise self.wrong(name, "a time") from None

    def wrong(self, name: str, wanted: str) -> MalformedOutput:
        return MalformedOutput(
            f"doveadm {self._command}: line {self._number}, column {name}: {wanted} was expected, "
            f"not {_quoted(self.text(name))}"
        )


def _is_ip(text: str) -> bool:
    try:
        ip_order(text)
    except ValueError:
        return False
    return True


def _lines(stdout: bytes, command: str) -> list[bytes]:
    if not stdout.strip():
        raise MalformedOutput(f"doveadm {command} printed nothing")
    if not stdout.endswith(b"\n"):
        raise MalformedOutput(f"doveadm {command}: the output ends in the middle of a line: it is not complete")
    return [line.removesuffix(b"\r") for line in stdout[:-1].split(b"\n")]


def _cells(line: bytes) -> tuple[str, ...]:
    return tuple(clean(cell) for cell in line.split(b"\t"))


def _no_header(command: str, first: bytes) -> MalformedOutput:
    return MalformedOutput(
        f"this is not what doveadm {command} prints; it begins with {_quoted(first)}",
        "see what the same command prints when you run it there by hand",
    )


def _quoted(text: bytes | str) -> str:
    shown = clean(text)
    return f"“{shown[:60]}…”" if len(shown) > 60 else f"“{shown}”"


def _seconds(text: str | None, default: float) -> float:
    """A duration as doveconf prints it: ``15 mins``, ``2 secs``, ``500 msecs``, and sums of them."""
    if not text:
        return default
    total = 0.0
    for amount, unit in _DURATION.findall(text):
        total += int(amount) * _UNIT_S["ms" if unit.startswith(("ms", "msec")) else unit[:1]]
    return total
