"""The journal in words: as plain text, and as the Markdown report of an incident.

In Markdown all text from outside stands in code, where nothing in it is markup, a link or a mention; the backticks
around it are always more than there are in it. Times are in UTC.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from itertools import groupby
from typing import TYPE_CHECKING, Final

from director_tui import __version__
from director_tui.operations.journal import FILE, entries
from director_tui.operations.plan import Outcome
from director_tui.operations.record import Event
from director_tui.state import state_folder, write_state
from director_tui.text import clean, clean_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from director_tui.operations.journal import Entry, Extract
    from director_tui.operations.record import Record, Values

OUTSIDE: Final = "outside this program"


def summary(entry: Entry) -> str:
    """What it is, in one line: ``Set vhost count of 10.1.0.3 to 0``, ``10.1.0.4: state up → down``."""
    first = entry.first
    changed = "; ".join(f"{name}: {change}" for name, change in differences(first.before, first.after))
    return first.title or changed or first.reason or first.verb or first.event.value


def outcome(entry: Entry) -> str:
    """How an operation ended, in words: ``applied``, ``198 applied, 1 not applied, 1 unknown``."""
    counted = Counter(one.outcome or Outcome.UNKNOWN for one in entry.results)
    if not counted:
        return "nothing was sent"
    if len(counted) == 1:
        (only,) = counted
        return only.value
    return ", ".join(f"{counted[one]} {one.value}" for one in Outcome if counted[one])


def differences(before: Values, after: Values) -> tuple[tuple[str, str], ...]:
    """What is another value after than before, by the backend's IP or what else it is of: ``vhosts 100 → 0``."""
    changed = []
    for name in dict.fromkeys((*before, *after)):
        was, became = before.get(name, {}), after.get(name, {})
        parts = [
            f"{key} " + (f"{_value(was[key])} → " if key in was else "") + _value(became.get(key))
            for key in dict.fromkeys((*was, *became))
            if was.get(key) != became.get(key)
        ]
        if parts:
            changed.append((name, ", ".join(parts)))
    return tuple(changed)


def plain(records: Iterable[Record]) -> str:
    """The records as text for a terminal or a pipe: what happened, who did it and why, and each command's outcome."""
    return "".join(f"{line}\n" for entry in entries(records) for line in _plain_lines(entry))


def markdown(
    records: Sequence[Record],
    cluster: str,
    caveats: Iterable[str] = (),
    *,
    title: str = "Incident report",
    said: Sequence[str] = (),
) -> str:
    """The records as a report, of an incident if nothing else is the ``title``; ``caveats`` are sentences on what is
    not in it, ``said`` those that come first of all."""
    return "\n\n".join(_blocks(records, cluster, caveats, title, said)) + "\n"


def caveats(extract: Extract, cluster: str) -> tuple[str, ...]:
    """What is to be said of what was read, a sentence each: that there is more, that not all was understood."""
    file = clean(str(state_folder(cluster) / FILE))
    said = []
    if extract.cut and extract.records:
        oldest = _utc(extract.records[0].time)
        said.append(f"only the newest {len(extract.records):,} records are here, from {oldest} on; all are in {file}")
    if extract.not_understood:
        lines = f"{extract.not_understood:,} lines" if extract.not_understood > 1 else "1 line"
        said.append(f"{lines} of {file} left out: torn, or written by a newer version")
    return tuple(said)


def export(report: str, cluster: str, now: datetime) -> Path:
    """Put a report into the cluster's state folder, and return where it is. Raises StateError."""
    name = f"incident-{now:%Y%m%d-%H%M%S}.md"
    write_state(cluster, name, report.encode("utf-8", "replace"))
    return state_folder(cluster) / name


def _plain_lines(entry: Entry) -> Iterator[str]:
    first = entry.first
    if entry.operation is None:
        by = f"{OUTSIDE}: " if first.event is Event.OBSERVED else ""
        yield f"{_utc(first.time)}  {by}{summary(entry)}"
        if first.reason and first.reason != summary(entry):
            yield f"    {first.reason}"
        return
    yield f"{_utc(first.time)}  {summary(entry)}: {outcome(entry)}"
    yield "    by " + first.who + (f", via {first.via}" if first.via else "")
    if first.reason:
        yield f"    reason: {first.reason}"
    for result in entry.results:
        yield f"    {_result(result)}"
        yield from (f"        {line}" for line in clean_lines(result.stderr).splitlines())
    yield from (f"    {_utc(one.time)}  {note}" for one, note in _notes(entry))


def _result(result: Record) -> str:
    """One command's outcome: ``10.1.0.3: applied, vhosts 100 → 0``."""
    parts = [(result.outcome or Outcome.UNKNOWN).value, *(change for _, change in _own(result))]
    if result.exit_status:
        parts.append(f"exit status {result.exit_status}")
    if result.event is Event.RESULT and result.reason:
        parts.append(result.reason)
    return f"{', '.join(result.targets) or f'step {result.step}'}: {', '.join(parts)}"


def _own(result: Record) -> Iterator[tuple[str, str]]:
    """What changed of the targets; of others that were read beside them, with their names."""
    for name, change in differences(result.before, result.after):
        yield name, change if name in result.targets else f"{name} {change}"


def _notes(entry: Entry) -> Iterator[tuple[Record, str]]:
    for record in entry.records:
        if record.event is Event.NOTE:
            yield record, record.reason or record.title
        elif record.event is Event.OBSERVED:
            for name, change in differences(record.before, record.after):
                yield record, f"{name}: {change}"


def _blocks(
    records: Sequence[Record], cluster: str, caveats: Iterable[str], title: str, said: Sequence[str]
) -> Iterator[str]:
    yield f"# {title}: {_code(cluster)}"
    if records:
        yield f"From {_utc(records[0].time)} to {_utc(records[-1].time)}, written by director-tui {__version__}."
    else:
        yield "Nothing was changed, and nothing was seen to change."
    yield from (f"Note: {_code(sentence)}" for sentence in caveats)
    if said:
        yield "\n".join(f"- {_code(sentence)}" for sentence in said)
    for alone, group in groupby(entries(records), key=lambda entry: entry.operation is None):
        if alone:
            of_none = list(group)
            noted = any(entry.first.event is Event.NOTE for entry in of_none)
            yield "## Noted, and seen to change" if noted else "## Seen to change"
            yield "\n".join(_item(entry) for entry in of_none)
        else:
            for entry in group:
                yield from _operation(entry)


def _item(entry: Entry) -> str:
    first = entry.first
    by = f", {OUTSIDE}" if first.event is Event.OBSERVED else ""
    why = f", {_code(first.reason)}" if first.reason and first.reason != summary(entry) else ""
    return f"- {_utc(first.time)}: {_code(summary(entry))}{by}{why}"


def _operation(entry: Entry) -> Iterator[str]:
    first = entry.first
    yield f"## {_utc(first.time)}: {_code(summary(entry))}"
    told = {
        "outcome": f"**{outcome(entry)}**",
        "who": _code(first.who),
        "via": _code(first.via),
        "reason": _code(first.reason),
        "ended": _utc(entry.records[-1].time),
        "operation": _code(first.operation or ""),
    }
    yield "\n".join(f"- {name}: {value}" for name, value in told.items() if value)
    results = entry.results
    commands = [words for one in results for words in one.argv] or list(first.argv)
    if commands:
        yield "Commands that were sent:" if results else "Commands that were planned, and not sent:"
        yield _fence("\n".join(shlex.join(words) for words in map(_one_line, commands)), "sh")
    if results:
        yield "Outcome of each:"
        yield "\n".join(f"- {_code(_result(one))}" for one in results)
    for one in results:
        for what, output in (("standard output", one.stdout), ("standard error", one.stderr)):
            if output:
                yield f"Step {one.step}, {what}:"
                yield _fence(output, "text")
    if notes := list(_notes(entry)):
        yield "Meanwhile:"
        yield "\n".join(f"- {_utc(one.time)}: {_code(note)}" for one, note in notes)


def _one_line(words: Iterable[str]) -> list[str]:
    return [clean(word) for word in words]


def _code(text: str) -> str:
    """Outside text as a code span; nothing for no text, of which none can be made."""
    text = clean(text)
    if not text.strip():
        return ""
    ticks = "`" * (_longest_run(text) + 1)
    blank = " " if {text[0], text[-1]} & {"`", " "} else ""
    return f"{ticks}{blank}{text}{blank}{ticks}"


def _fence(text: str, language: str) -> str:
    """Outside text of several lines as a code block."""
    text = clean_lines(text)
    ticks = "`" * max(3, _longest_run(text) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)


def _utc(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _value(value: str | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else value or "''"
