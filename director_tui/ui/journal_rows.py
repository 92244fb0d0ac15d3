"""The journal as a table, and one entry of it as a page."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.operations.plan import Outcome
from director_tui.operations.record import Event
from director_tui.operations.report import OUTSIDE, differences, summary
from director_tui.text import clean, clean_lines
from director_tui.ui import format
from director_tui.ui.columns import Column
from director_tui.ui.format import ACCENT, ATTENTION, MUTED, PLAIN, Piece, shortened
from director_tui.ui.titled import TITLE_WIDTH, Line, titled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from director_tui.operations.journal import Entry
    from director_tui.operations.record import Record

WHO_WIDTH: Final = 28


@dataclass(frozen=True, slots=True)
class EntryRow:
    """One operation, or one change that was seen: nobody is known to have made that."""

    key: str
    entry: Entry
    outcome: Piece
    who: str
    what: str

    @property
    def time(self) -> datetime:
        return self.entry.first.time


def entry_rows(entries: Iterable[Entry], running: str | None) -> Iterator[EntryRow]:
    """A row for each entry; ``running`` is the id of the operation that has not ended yet."""
    keys: set[str] = set()
    for entry in entries:
        first, what = entry.first, summary(entry)
        key = entry.operation or f"{first.time.isoformat()} {what}"
        while key in keys:  # two programs on one machine see the same
            key += "'"
        keys.add(key)
        who = "" if entry.operation is None and first.event is Event.OBSERVED else first.who
        yield EntryRow(key, entry, outcome(entry, running), who, what)


def outcome(entry: Entry, running: str | None) -> Piece:
    """How it ended, in a word with its glyph."""
    if entry.operation is None:
        return Piece("· outside" if entry.first.event is Event.OBSERVED else "· noted", MUTED)
    if entry.operation == running:
        return Piece("→ running", ACCENT)
    return format.outcome(entry.outcome) if entry.outcome is not None else Piece("– not sent", MUTED)


def matches(row: EntryRow, text: str) -> bool:
    """Whether the text, in lower case, is in anything that says what and who."""
    first = row.entry.first
    words = (row.what, row.who or OUTSIDE, row.outcome.text, first.reason, f"{row.time:%Y-%m-%d %H:%M:%S}")
    return any(text in one.casefold() for one in (*words, *first.targets))


def _time(row: EntryRow, width: int) -> Sequence[Piece]:
    whole = f"{row.time:%Y-%m-%d %H:%M:%S}"
    return [Piece(whole if width >= len(whole) else whole[-8:], MUTED)]


COLUMNS: Final[tuple[Column[EntryRow], ...]] = (
    Column("time", "time (UTC)", _time, 19, least=8),
    Column("outcome", "outcome", lambda row, width: [row.outcome], lambda row: len(row.outcome.text), keep=2),
    Column(
        "who",
        "who",
        lambda row, width: [Piece(shortened(row.who, width), PLAIN)],
        lambda row: min(len(row.who), WHO_WIDTH),
        keep=1,
    ),
    Column("what", "what", lambda row, width: [Piece(row.what)], lambda row: len(row.what), least=8),
)


def entry_line(entry: Entry, running: str | None) -> Line:
    """One entry in a line of a page."""
    who = Piece(f"   {shortened(entry.first.who, WHO_WIDTH)}", MUTED)
    how = outcome(entry, running)
    gap = Piece(" " * max(2, 15 - len(how.text)))
    return [Piece(f"{entry.first.time:%Y-%m-%d %H:%M:%S}  ", MUTED), how, gap, Piece(summary(entry)), who]


def entry_lines(entry: Entry, running: str | None) -> list[Line]:
    """All that the journal holds of one entry."""
    first = entry.first
    lines: list[Line] = [[Piece(summary(entry), ACCENT), Piece("   "), outcome(entry, running)], []]
    lines += titled("time", [_times(entry)])
    lines += titled("who", [[Piece(OUTSIDE if first.event is Event.OBSERVED else first.who)]])
    for title, text in (("via", first.via), ("reason", first.reason), ("operation", entry.operation or "")):
        if text:
            lines += titled(title, [[Piece(text)]])
    if entry.operation is not None:
        lines += [[], *_commands(entry)]
    notes = [one for one in entry.records if one.event in {Event.NOTE, Event.OBSERVED} and one is not first]
    if notes:
        lines += [[], *titled("meanwhile", [_note(one) for one in notes])]
    return lines


def commands(entry: Entry) -> list[str]:
    """Its commands, to be typed into a shell: those that were sent, or else those that were planned."""
    sent = [words for one in entry.results for words in one.argv]
    return [shlex.join(words) for words in sent or entry.first.argv]


def _times(entry: Entry) -> Line:
    first, last = entry.first.time, entry.records[-1].time
    line = [Piece(f"{first:%Y-%m-%d %H:%M:%S} UTC")]
    if last > first:
        line.append(Piece(f"   last record {format.short_span((last - first).total_seconds())} later", MUTED))
    return line


def _commands(entry: Entry) -> Iterator[Line]:
    """What was sent, each with its outcome, what changed by it, and what it said; else what was planned."""
    results = entry.results
    if not results:
        yield [Piece("planned, and not sent", ATTENTION)]
        for command in commands(entry):
            yield _indented(Piece(clean(command), MUTED))
    for one in results:
        target = ", ".join(one.targets) or f"step {one.step}"
        line = [Piece(f"{target:<{TITLE_WIDTH - 1}} "), format.outcome(one.outcome or Outcome.UNKNOWN)]
        if changed := "; ".join(change for _, change in differences(one.before, one.after)):
            line.append(Piece(f"   {changed}"))
        if one.event is Event.RESULT and one.reason:
            line.append(Piece(f"   {one.reason}", MUTED))
        yield line
        for words in one.argv:
            ended = f"   exit status {one.exit_status}" if one.exit_status is not None else ""
            meaning = ATTENTION if one.exit_status else MUTED
            yield _indented(Piece(clean(shlex.join(words)), MUTED), Piece(ended, meaning))
        for text in (*clean_lines(one.stdout).splitlines(), *clean_lines(one.stderr).splitlines()):
            yield _indented(Piece(text, ATTENTION if one.exit_status else PLAIN))


def _note(record: Record) -> Line:
    changed = "; ".join(f"{name}: {change}" for name, change in differences(record.before, record.after))
    return [Piece(f"{record.time:%H:%M:%S}  ", MUTED), Piece(record.reason or record.title or changed)]


def _indented(*pieces: Piece) -> Line:
    return [Piece(" " * TITLE_WIDTH), *pieces]
