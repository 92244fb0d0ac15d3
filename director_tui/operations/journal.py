"""The journal: everything done to a ring and everything seen to change, one JSON object a line, only ever appended to.

``journal.jsonl`` in the cluster's state folder, for every program that runs here at once. A line is on disk before
:meth:`Journal.append` returns, and so before the command is sent that it announces; whoever can't append does not act.

An operation is all records with its id. It begins with one *planned* (verb, title, targets, reason, the commands).
Its commands are counted from 1: the *step*. An *intent* has the command that is about to be sent; one of a batch has
all of its commands, and the step of the first. A *result* has one command with its step, its target, what it printed,
the outcome, and the target's row before and after; a later one of the same step takes its place. A step with an intent
and no result has an unknown end. What changed by others is *observed* and belongs to no operation; of several programs
that see it one writes it down.

All text is cleaned when it is written and, because a file is outside text, too, when it is read; only the words of
commands are written as they are. Keys that this version doesn't know are passed over.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from director_tui.operations.plan import Outcome
from director_tui.operations.record import Event, Record, as_json, bounded, cleaned, from_json
from director_tui.operations.redaction import read_user_words, users_in
from director_tui.operations.who import who_am_i
from director_tui.state import append_state, read_state_tail, state_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from director_tui.state import Tail

FILE: Final = "journal.jsonl"

NEWEST: Final = 10_000
"""Records that are read at most, if nobody asks for less."""

READ_LIMIT_BYTES: Final = 32 * 1024 * 1024
"""No more of the file's end is read, however few records are in it."""

_FIRST_READ_BYTES: Final = 256 * 1024

_SAME_CHANGE: Final = timedelta(seconds=60)
"""So far apart two programs that read a ring at their own beats may see the same change."""

_SEEN_KEPT: Final = 2_000
"""Lines of its own by which a program knows that nobody else has written them."""

_CLOCKS_DIFFER: Final = timedelta(days=1)
"""A clock may have been put right: only behind a record this much too old are there none that are new enough."""


@dataclass(frozen=True, slots=True)
class Extract:
    """What was read, in the order in which it was written.

    ``not_understood`` is the number of lines that are no records to this version, ``cut`` whether there are older
    records that were asked for and not read.
    """

    records: tuple[Record, ...] = ()
    not_understood: int = 0
    cut: bool = False


class Journal:
    """The journal of one cluster. It keeps nothing open, and may be used from several threads."""

    def __init__(self, cluster: str, *, redact_users: bool = False) -> None:
        """``redact_users`` puts a word in the place of each user name that is written, see redaction.py."""
        self.cluster: Final = cluster
        self._redact_users = redact_users
        self._seen: deque[bytes] = deque(maxlen=_SEEN_KEPT)

    @property
    def path(self) -> Path:
        return state_folder(self.cluster) / FILE

    def append(self, *records: Record, users: Iterable[str] = ()) -> None:
        """Add records; they are on disk when this returns, which takes as long as the disk does: not for an event loop.

        ``users`` are names of users that are in them beside those that their commands name. Raises StateError: then
        none of them is in the journal.
        """
        names = (*users, *(name for record in records for words in record.argv for name in users_in(words)))
        who = who_am_i()
        written = [cleaned(replace(record, who=record.who or who)) for record in records]
        if self._redact_users and names:
            words = read_user_words(self.cluster)
            written = [words.in_record(record, names) for record in written]
        lines = [json.dumps(as_json(bounded(record))).encode("ascii") for record in written]
        seen = [line for line, record in zip(lines, written, strict=True) if record.event is Event.OBSERVED]
        left = partial(_not_told, lines, frozenset(self._seen)) if seen else None
        self._seen.extend(seen)
        append_state(self.cluster, FILE, lines, left=left, limit=_FIRST_READ_BYTES)

    def as_kept(self, text: str, users: Iterable[str]) -> str:
        """A text as it may be written elsewhere, too: without the names of these users if the journal has none.

        Raises StateError.
        """
        return read_user_words(self.cluster).in_text(text, users) if self._redact_users else text

    def read(self, since: datetime | None = None, newest: int = NEWEST) -> Extract:
        """The newest records, at most this many, none older than ``since``. Raises StateError."""
        limit = _FIRST_READ_BYTES
        while True:
            tail = read_state_tail(self.cluster, FILE, limit)
            if tail is None:
                return Extract()
            # One more than wanted tells that there are older ones.
            lines = _lines(tail, newest + 1 if since is None else None)
            first = next((one for one in lines if one is not None), None)
            wanted = [one for one in lines if one is None or since is None or one.time >= since]
            all_there = tail.whole or (since is not None and first is not None and first.time < since - _CLOCKS_DIFFER)
            if all_there or len(wanted) > newest or limit >= READ_LIMIT_BYTES:
                break
            limit = min(4 * limit, READ_LIMIT_BYTES)
        taken = wanted[max(0, len(wanted) - newest) :]
        records = tuple(one for one in taken if one is not None)
        return Extract(records, len(taken) - len(records), cut=not all_there or len(wanted) > newest)


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation with all of its records, or one record that belongs to none."""

    records: tuple[Record, ...]

    @property
    def operation(self) -> str | None:
        return self.records[0].operation

    @property
    def first(self) -> Record:
        """The record that says what it is: the planned one, if that was read."""
        return next((one for one in self.records if one.event is Event.PLANNED), self.records[0])

    @property
    def results(self) -> tuple[Record, ...]:
        """One for each command that was sent, in their order; an unknown one where the end was not seen."""
        by_step: dict[int, Record] = {}
        for record in self.records:
            if record.step is None:
                continue
            if record.event is Event.RESULT:
                by_step[record.step] = replace(record, outcome=record.outcome or Outcome.UNKNOWN)
            elif record.event is Event.INTENT:
                for number, words in enumerate(record.argv):
                    sent = replace(
                        record,
                        event=Event.RESULT,
                        step=record.step + number,
                        argv=(words,),
                        targets=record.targets[number : number + 1],
                        outcome=Outcome.UNKNOWN,
                    )
                    by_step.setdefault(record.step + number, sent)
        return tuple(by_step[step] for step in sorted(by_step))

    @property
    def outcome(self) -> Outcome | None:
        """Of all of it: unknown if one is, applied if all are. None if nothing was sent."""
        outcomes = {one.outcome for one in self.results}
        if not outcomes:
            return None
        if Outcome.UNKNOWN in outcomes:
            return Outcome.UNKNOWN
        return Outcome.APPLIED if outcomes == {Outcome.APPLIED} else Outcome.NOT_APPLIED

    def concerns(self, ip: str) -> bool:
        """Whether it is about this backend, or about all."""
        return any(
            ip in one.targets or ip in one.before or ip in one.after or "all" in one.targets for one in self.records
        )


def entries(records: Iterable[Record]) -> tuple[Entry, ...]:
    """The records by operation, in the order in which each began; those of no operation stand between, each alone."""
    grouped: dict[object, list[Record]] = {}
    for number, record in enumerate(records):
        grouped.setdefault(number if record.operation is None else record.operation, []).append(record)
    return tuple(Entry(tuple(each)) for each in grouped.values())


def new_operation_id(now: datetime) -> str:
    """``20261124-214012-3fa9c1``; ``now`` is in UTC."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def _not_told(lines: Iterable[bytes], own: frozenset[bytes], tail: Tail) -> Iterator[bytes]:
    """Those lines that tell what another program has not just told: two of them see the same change.

    It is the same as long as nothing else has become of the same thing since, by a command or by somebody outside.
    """
    newest: dict[tuple[str, str], Record | None] = {}

    def took_place(line: bytes, record: Record) -> None:
        of_others = record if record.event is Event.OBSERVED and line not in own else None
        newest.update(dict.fromkeys(_about(record), of_others))

    for line in tail.content.split(b"\n"):
        if (record := from_json(line)) is not None and record.event in {Event.OBSERVED, Event.RESULT}:
            took_place(line, record)
    own |= set(lines)
    for line in lines:
        record = from_json(line)
        if record is None or record.event is not Event.OBSERVED or not _same(record, newest):
            yield line
            if record is not None:
                took_place(line, record)


def _same(record: Record, newest: Mapping[tuple[str, str], Record | None]) -> bool:
    others = [newest.get(about) for about in _about(record)]
    return bool(others) and all(
        one is not None
        and (one.before, one.after) == (record.before, record.after)
        and abs(one.time - record.time) <= _SAME_CHANGE
        for one in others
    )


def _about(record: Record) -> set[tuple[str, str]]:
    """What of which backend it tells."""
    return {(of, what) for side in (record.before, record.after) for of, values in side.items() for what in values}


def _lines(tail: Tail, newest: int | None) -> list[Record | None]:
    """The records, None for lines that are none; the newest so many lines, or all."""
    lines = tail.content.split(b"\n")
    if not tail.whole:
        del lines[0]
    torn = lines.pop() if lines else b""
    lines = [line for line in lines if line.strip()]
    records = [from_json(line) for line in (lines if newest is None else lines[-newest:])]
    # Somebody may be about to write it.
    return [*records, last] if (last := from_json(torn)) is not None else records
