"""What is fed in a fuzz run: each target takes any bytes, and raises if the program does with them what it must not.

Whatever comes ends in values or in one of the errors that are documented, and in both all text is fit for a terminal.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import astuple, dataclass, is_dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len

from director_tui.config import parse_config, parse_destination, parse_words
from director_tui.director import doveadm, parse
from director_tui.director.assignment_stream import AssignmentStream
from director_tui.director.doveadm import check_argument
from director_tui.director.failures import failure_of
from director_tui.director.mail_servers import lost_by_restart, parse_mail_servers
from director_tui.director.record_commands import fetch, store
from director_tui.errors import ConfigError, DirectorTuiError, MalformedOutput
from director_tui.operations import report
from director_tui.operations.journal import Extract, Journal, entries
from director_tui.operations.record import from_json
from director_tui.operations.stop_record import NotUnderstood, read_over, read_record, recover_script
from director_tui.terminal import tell
from director_tui.text import cells, clean, clean_lines
from director_tui.theme_files import built_in_files
from director_tui.ui.journal_rows import commands, entry_lines, entry_rows
from director_tui.ui.themes import read_theme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
DIRECTIONS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What turns the direction of writing, so that a text is shown as another one."""
NOW: Final = datetime(2026, 11, 24, 22, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Target:
    """``check`` raises on what must not be; ``share`` is how many of a thousand inputs are for it."""

    name: str
    share: float
    seeds: Sequence[bytes]
    check: Callable[[bytes], object]


def harmless(*texts: str) -> None:
    """Raises AssertionError for whatever a terminal would take for something else than text in lines."""
    for text in texts:
        if not text.isprintable() or not DIRECTIONS.isdisjoint(text):
            for line in text.split("\n"):
                assert line.isprintable(), f"not printable: {line!r}"
                assert DIRECTIONS.isdisjoint(line), f"turned round: {line!r}"


def texts(value: Any) -> Iterable[str]:
    """Every text in a value of this program."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, DirectorTuiError | NotUnderstood):
        yield str(value)
        yield getattr(value, "remedy", "")
    elif is_dataclass(value) and not isinstance(value, type):
        yield from texts(astuple(value))
    elif isinstance(value, dict):
        yield from texts(tuple(value.items()))
    elif isinstance(value, tuple | list | set | frozenset):
        for one in value:
            yield from texts(one)


def said(*errors: type[Exception]) -> Callable[[Callable[[bytes], Any]], Callable[[bytes], None]]:
    """A check: the function gives values or raises one of these errors, and all text in either is harmless."""

    def of(function: Callable[[bytes], Any]) -> Callable[[bytes], None]:
        def check(data: bytes) -> None:
            result: Any
            try:
                result = function(data)
            except errors as error:
                result = error
            harmless(*texts(result))

        return check

    return of


def captured(name: str, version: str = "2.3.19.1") -> bytes:
    """What a real ring has answered."""
    return (FIXTURES / version / name).read_bytes()


def text_of(data: bytes) -> str:
    """As texts reach the program from arguments and files: what is no UTF-8 is in it as Python keeps it."""
    return data.decode("utf-8", "surrogateescape")


# --- what a director prints -----------------------------------------------------------------------------------------

OLD_STATUS: Final = b"mail server ip\ttag\tvhosts\tusers\n10.0.0.1\tgold\t100\t17\n"
OLD_RING: Final = b"director ip\tport\ttype\tlast failed\tstatus\n10.0.0.2\t9090\tself\tnever\tsynced\n"
STRANGERS: Final = captured("director-ring-status") + b"handshaking - 1 USERs sent\t\t\t\t\t\t\t\t\t\t\t\n"


def _stream(data: bytes) -> tuple[int, list[tuple[int, str]]]:
    """In pieces that the first byte chooses; what comes in one piece has to be the same."""
    size = data[0] + 1 if data else 1

    def read(pieces: Iterable[bytes]) -> list[tuple[int, str]] | str:
        rows: list[tuple[int, str]] = []
        stream = AssignmentStream(lambda hashes, ips: rows.extend(zip(hashes, ips, strict=True)))
        try:
            for piece in pieces:
                stream.feed(piece)
            stream.end()
        except MalformedOutput as error:
            harmless(*texts(error))
            return "malformed"
        return rows

    in_pieces, whole = read(data[at : at + size] for at in range(0, len(data), size)), read([data])
    assert in_pieces == whole
    if isinstance(whole, str):
        return size, []
    parsed = {(one.user_hash, one.ip) for one in parse.assignments(data)} if b"\x00" not in data else None
    assert parsed is None or parsed == set(whole)
    return size, whole


def _failure(data: bytes) -> object:
    status, _, printed = data.partition(b"\n")
    call = doveadm.user_hash("x") if data[-1:] > b"m" else doveadm.status()
    number = int(status) % 256 if status.isdigit() and len(status) < 9 else 75
    stdout, _, stderr = printed.partition(b"\n\n")
    failure = failure_of(call, number, stdout, stderr)
    return failure and (failure, failure.stderr)


def _mail_servers(data: bytes) -> object:
    servers = parse_mail_servers(clean(data))
    backends = parse.backends(captured("director-status"))
    return servers, [lost_by_restart(one, servers) for one in backends]


def _fetched(data: bytes) -> object:
    files = fetch("~/x", "m4rk").parse(data)
    return [one.name for one in files]


FETCHED: Final = b"\nm4rk stop-20261124T214012345Z.json\n{}\nm4rk over-20261124T214012345Z.json\n{}\nm4rk end\n"

# --- files ----------------------------------------------------------------------------------------------------------

CONFIG: Final = (FIXTURES / "config.toml").read_bytes()
JOURNAL: Final = (FIXTURES / "journal.jsonl").read_bytes()
STOP_NAME: Final = "stop-20261124T214012345Z.json"
STOP: Final = (FIXTURES / STOP_NAME).read_bytes()
OVER_NAME: Final = "over-20261124T214012345Z.json"
OVER: Final = (FIXTURES / OVER_NAME).read_bytes()
RING: Final = ("10.0.0.11", "10.0.0.12", "10.0.0.13")


def _config(data: bytes) -> object:
    config = parse_config(data, Path("config.toml"))
    for cluster in config.clusters.values():
        for director in cluster.directors:
            parse_destination(director.ssh)
    return config


def _destination(data: bytes) -> object:
    text = text_of(data)
    with contextlib.suppress(ConfigError):
        parse_words(text, "--doveadm")
    return parse_destination(text)


def _journal_line(data: bytes) -> object:
    records = [record for line in data.split(b"\n") if (record := from_json(line)) is not None]
    found = entries(records)
    shown = [piece.text for row in entry_rows(found, None) for piece in (row.outcome,)]
    for entry in found:
        shown += [report.summary(entry), report.outcome(entry), *commands(entry)]
        shown += [piece.text for line in entry_lines(entry, None) for piece in line]
    harmless(report.plain(records), report.markdown(records, "mail-eu", report.caveats(Extract(), "mail-eu")))
    return shown


def _journal_file(data: bytes) -> object:
    journal = Journal("fuzz")
    journal.path.parent.mkdir(parents=True, exist_ok=True)
    journal.path.write_bytes(data)
    newest = journal.read(newest=2)
    all_ = journal.read(NOW - timedelta(days=365))
    assert len(newest.records) + newest.not_understood <= 2
    harmless(*report.caveats(newest, "fuzz"), report.plain(all_.records))
    return [one.title for one in all_.records]


def _stop(data: bytes) -> object:
    record = read_record(STOP_NAME, data, RING)
    assert all(0 <= one.vhosts <= 1000 for one in record.backends)
    harmless(clean_lines(recover_script(record, ("sudo", "-n", "doveadm"))))
    return record


def _theme(data: bytes) -> object:
    file = Journal("fuzz").path.with_name("fuzz.toml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return read_theme(file).name


# --- text -----------------------------------------------------------------------------------------------------------


def _text(data: bytes) -> object:
    for text in (data, text_of(data)):
        cleaned = clean(text)
        assert clean(cleaned) == cleaned
        assert cells(cleaned) == cell_len(cleaned), f"{cells(cleaned)} is not {cell_len(cleaned)}"
        harmless(cleaned, clean_lines(text))
    json.dumps(clean(data)).encode("ascii")
    clean(data).encode()  # nothing that a terminal in UTF-8 could not be sent
    return None


def _told(data: bytes) -> object:
    stream = io.StringIO()
    with contextlib.redirect_stderr(stream):
        tell(text_of(data))
    assert stream.getvalue().count("\n") <= 1
    return stream.getvalue()


def _argument(data: bytes) -> object:
    with contextlib.suppress(ValueError):
        store("~/records", text_of(data), b"", "t")
    return clean(check_argument(text_of(data), "name"))


malformed = said(MalformedOutput)

TARGETS: Final[tuple[Target, ...]] = (
    Target("director status", 140, (captured("director-status"), OLD_STATUS), malformed(parse.backends)),
    Target(
        *("director ring status", 120),
        *((captured("director-ring-status"), STRANGERS, OLD_RING), malformed(parse.ring_view)),
    ),
    Target(
        "director status USER",
        60,
        (
            captured("director-status-user"),
            captured("director-status-user", "2.2.19"),
            b"status\texpires\thashed\tinitial-config\nn/a\t-1\t10.0.0.1\t10.0.0.1\n",
        ),
        malformed(lambda data: parse.placement(data, "gold")),
    ),
    Target("director map", 70, (captured("director-map"),), malformed(parse.assignments)),
    Target("director map -u", 20, (captured("director-map-user"),), malformed(parse.user_hash)),
    Target("assignment stream", 60, (captured("director-map"),), malformed(_stream)),
    Target("director dump", 40, (captured("director-dump"),), malformed(parse.dumped_commands)),
    Target("proxy list", 90, (captured("proxy-list"), b"\n"), malformed(parse.proxy_sessions)),
    Target("doveconf", 60, (captured("doveconf"),), malformed(parse.ring_settings)),
    Target("doveconf -n", 20, (captured("doveconf-n"),), malformed(parse.version)),
    Target(
        "director_mail_servers",
        20,
        (b"127.0.1.1-127.0.1.6 127.0.1.7@gold [::1]@a ::2-::5 mail.example.com 10.9", captured("doveconf")[24:]),
        said()(_mail_servers),
    ),
    Target(
        "failures",
        40,
        (
            b"75\n\n\ndoveadm(root): Fatal: net_connect_unix(/run/dovecot/director-admin) failed: Permission denied\n",
            b"127\n\n\nenv: 'doveadm': No such file or directory\n",
            b"1\n\n\nsudo: a password is required\n",
            b"0\n\n\nuser1(root): Error: Ring sync timed out\n",
        ),
        said()(_failure),
    ),
    Target("records fetched", 20, (FETCHED,), malformed(_fetched)),
    Target("config.toml", 50, (CONFIG,), said(ConfigError)(_config)),
    Target(
        "destinations",
        30,
        (b"ops@dir1.example.com:2222", b"[2001:db8::1]:22", b"sudo -n doveadm -c '/etc/x y'"),
        said(ConfigError)(_destination),
    ),
    Target("journal lines", 40, (JOURNAL, *JOURNAL.splitlines()), said()(_journal_line)),
    Target("journal file", 2, (JOURNAL,), said()(_journal_file)),
    Target("stop record", 40, (STOP,), said(NotUnderstood)(_stop)),
    Target("stop over", 15, (OVER,), said(NotUnderstood)(lambda data: read_over(OVER_NAME, data))),
    Target(
        *("theme", 10, tuple(file.read_bytes() for file in built_in_files().values())),
        said(ConfigError)(_theme),
    ),
    Target("text", 30, (CONFIG[:200], b"plain", "郵 e\u0301 한글".encode()), said()(_text)),
    Target("told", 5, (b"mail-eu: can't be read\nbecause of that",), said()(_told)),
    Target("arguments", 10, (b"user1@example.com", b"gold"), said(ValueError)(_argument)),
)
