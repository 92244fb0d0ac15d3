"""One record of the journal: what is in it, and how it is written as a line of JSON and read back."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias, TypeGuard

from director_tui.director.changes import Subject
from director_tui.operations.plan import Outcome
from director_tui.text import clean, clean_lines
from director_tui.times import iso

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from director_tui.director.changes import Change
    from director_tui.director.model import Backend

OUTPUT_LIMIT: Final = 4_000
"""Characters that are kept of what a command printed: half of them from its beginning, half from its end."""

Values: TypeAlias = "Mapping[str, Mapping[str, str | int]]"
"""Backends by their IP, each with its ``tag``, ``vhosts``, ``state`` and ``users`` as :func:`row` makes them, or some
of these; without any if it isn't there. Of what is no backend, what is known about it, in words."""


class Event(enum.Enum):
    """What a record is about."""

    PLANNED = "planned"
    INTENT = "intent"
    RESULT = "result"
    OBSERVED = "observed"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the journal.

    ``operation`` is the id of what it belongs to, None for what belongs to none. ``verb`` and ``title`` are the plan's.
    ``targets`` are IPs, ``all`` or user names, of an intent and a result one for each command in ``argv``. ``who`` is
    filled in when it is appended; ``via`` is the SSH destination of the director that it ran on or was seen on.
    """

    time: datetime
    event: Event
    operation: str | None = None
    step: int | None = None
    verb: str = ""
    title: str = ""
    targets: tuple[str, ...] = ()
    who: str = ""
    via: str = ""
    argv: tuple[tuple[str, ...], ...] = ()
    exit_status: int | None = None
    stdout: str = ""
    stderr: str = ""
    outcome: Outcome | None = None
    before: Values = field(default_factory=dict)
    after: Values = field(default_factory=dict)
    reason: str = ""


def row(backend: Backend | None) -> dict[str, str | int]:
    """What the journal keeps of a backend: enough to set it back. Nothing for one that isn't there."""
    if backend is None:
        return {}
    return {
        "tag": backend.tag,
        "vhosts": backend.vhosts,
        "state": backend.state.value,
        "users": backend.users,
    }


def observed(change: Change, via: str) -> Record:
    """The record of a change that this program did not make."""
    undone = change.undone_after
    return Record(
        change.at,
        Event.OBSERVED,
        via=via,
        before=_side(change, change.before),
        after=_side(change, change.after),
        reason=f"as before again, {undone.total_seconds():.0f} s after it was changed" if undone is not None else "",
    )


def as_json(record: Record) -> dict[str, object]:
    """The record as it is written, and as ``director-tui journal --json`` prints it."""
    return {
        "time": iso(record.time),
        "operation": record.operation,
        "step": record.step,
        "event": record.event.value,
        "verb": record.verb,
        "title": record.title,
        "targets": record.targets,
        "who": record.who,
        "via": record.via,
        "argv": record.argv,
        "exit_status": record.exit_status,
        "stdout": record.stdout,
        "stderr": record.stderr,
        "outcome": record.outcome.value if record.outcome is not None else None,
        "before": {key: dict(values) for key, values in record.before.items()},
        "after": {key: dict(values) for key, values in record.after.items()},
        "reason": record.reason,
    }


def from_json(line: bytes) -> Record | None:
    """The record on a line, with all of its text cleaned; None if it is none, or none that this version knows."""
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            return None
        record = Record(
            time=_time(values["time"]),
            event=Event(values["event"]),
            operation=_text(values.get("operation")) or None,
            step=_whole(values.get("step")),
            verb=_text(values.get("verb")),
            title=_text(values.get("title")),
            targets=_words(values.get("targets")),
            who=_text(values.get("who")),
            via=_text(values.get("via")),
            argv=tuple(tuple(map(clean, _words(words))) for words in _list(values.get("argv"))),
            exit_status=_whole(values.get("exit_status")),
            stdout=_text(values.get("stdout")),
            stderr=_text(values.get("stderr")),
            outcome=Outcome(values["outcome"]) if values.get("outcome") is not None else None,
            before=_values(values.get("before")),
            after=_values(values.get("after")),
            reason=_text(values.get("reason")),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    return cleaned(record)


def cleaned(record: Record) -> Record:
    """The record with all text in it made fit to be shown, the words of commands apart: those have to stay exact."""
    return with_texts(record, clean, clean_lines)


def bounded(record: Record) -> Record:
    """The record without the middle of what a command printed at great length."""
    return replace(record, stdout=_shortened(record.stdout), stderr=_shortened(record.stderr))


def output_of(printed: bytes) -> str:
    """What a command printed, fit to be shown, as much of it as is kept of it anywhere."""
    if len(printed) > 4 * OUTPUT_LIMIT:  # a character has four bytes at most
        printed = printed[: 2 * OUTPUT_LIMIT] + b"\n" + printed[-2 * OUTPUT_LIMIT :]
    return clean_lines(printed)


def with_texts(record: Record, do: Callable[[str], str], do_lines: Callable[[str], str]) -> Record:
    """The record with something done to all text in it but the words of commands."""

    def sides(values: Values) -> Values:
        return {
            do(name): {do(key): do(one) if isinstance(one, str) else one for key, one in each.items()}
            for name, each in values.items()
        }

    return replace(
        record,
        operation=do(record.operation) if record.operation is not None else None,
        verb=do(record.verb),
        title=do(record.title),
        targets=tuple(map(do, record.targets)),
        who=do(record.who),
        via=do(record.via),
        stdout=do_lines(record.stdout),
        stderr=do_lines(record.stderr),
        before=sides(record.before),
        after=sides(record.after),
        reason=do(record.reason),
    )


def _side(change: Change, value: str) -> Values:
    if not value:
        return {change.of: {}}
    number = change.subject is Subject.VHOSTS and value.isdecimal()
    return {change.of: {change.subject.value: int(value) if number else value}}


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.tzinfo is None:
        raise ValueError("no zone")
    return time.astimezone(UTC)


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("no text")
    return value


def _whole(value: object) -> int | None:
    if value is None or _is_whole(value):
        return value
    raise ValueError("no whole number")


def _is_whole(value: object) -> TypeGuard[int]:
    """To Python true is a number, too, and would become the vhost count ``True``."""
    return isinstance(value, int) and not isinstance(value, bool)


def _list(value: object) -> list[object]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError("no list")
    return value


def _words(value: object) -> tuple[str, ...]:
    return tuple(map(_text, _list(value)))


def _values(value: object) -> Values:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise ValueError("no values")
    return {
        name: {key: one if _is_whole(one) else _text(one) for key, one in each.items()} for name, each in value.items()
    }


def _shortened(text: str) -> str:
    if len(text) <= OUTPUT_LIMIT:
        return text
    half = OUTPUT_LIMIT // 2
    return f"{text[:half].rstrip()}\n… {len(text) - OUTPUT_LIMIT:,} characters left out …\n{text[-half:].lstrip()}"
