"""The journal: what is appended is read again, by any program, whatever stands beside it in the file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.director.changes import Change, Subject
from director_tui.director.model import Backend, State
from director_tui.errors import StateError
from director_tui.operations import journal as journal_module
from director_tui.operations.journal import Entry, Extract, Journal, entries, new_operation_id
from director_tui.operations.plan import Outcome
from director_tui.operations.record import (
    OUTPUT_LIMIT,
    Event,
    Record,
    as_json,
    bounded,
    cleaned,
    from_json,
    observed,
    row,
)
from director_tui.state import state_folder, write_state
from director_tui.text import clean

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 24, 21, 40, 12, 345000, tzinfo=UTC)
UPDATE = ("env", "TZ=UTC", "LC_ALL=C", "sudo", "-n", "doveadm", "director", "update", "10.1.0.3", "0")
BACKEND = Backend("10.1.0.3", "gold", 100, State.UP, None, 9120)
DRAINED = replace(BACKEND, vhosts=0)

PLANNED = Record(
    NOW,
    Event.PLANNED,
    "op-1",
    verb="update",
    title="Set vhost count of 10.1.0.3 to 0",
    targets=("10.1.0.3",),
    who="ops from 192.0.2.7",
    via="root@dir1",
    argv=(UPDATE,),
    before={"10.1.0.3": row(BACKEND)},
    after={"10.1.0.3": row(DRAINED)},
    reason="disk",
)
INTENT = Record(NOW, Event.INTENT, "op-1", 1, targets=("10.1.0.3",), who="ops", via="root@dir1", argv=(UPDATE,))
RESULT = replace(
    INTENT,
    event=Event.RESULT,
    exit_status=0,
    outcome=Outcome.APPLIED,
    before={"10.1.0.3": row(BACKEND)},
    after={"10.1.0.3": row(DRAINED)},
)

TEXTS = (
    st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "L"])) | st.just("\x1b]0;t\x07\x9b31m")
)
VALUES = st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS | st.integers(-(2**63), 2**63), max_size=3), max_size=3)
RECORDS = st.builds(
    Record,
    st.datetimes(timezones=st.just(UTC)),
    st.sampled_from(Event),
    st.none() | TEXTS,
    st.none() | st.integers(0, 10**6),
    *(TEXTS, TEXTS, st.lists(TEXTS, max_size=3).map(tuple), TEXTS, TEXTS),
    st.lists(st.lists(TEXTS, max_size=4).map(tuple), max_size=3).map(tuple),
    st.none() | st.integers(-255, 255),
    *(TEXTS, TEXTS, st.none() | st.sampled_from(Outcome), VALUES, VALUES, TEXTS),
)


def printable(value: object) -> bool:
    """Whether a terminal would take all text in it for text."""
    match value:
        case str():
            return all(part.isprintable() for part in value.split("\n"))
        case dict():
            return all(printable(one) for pair in value.items() for one in pair)
        case list() | tuple():
            return all(map(printable, value))
        case _:
            return True


@given(RECORDS)
def test_a_line_is_read_as_it_was_written(record: Record) -> None:
    line = json.dumps(as_json(cleaned(record)))
    assert line.isascii()
    assert line.isprintable()
    read = from_json(line.encode())
    to_milliseconds = record.time.replace(microsecond=record.time.microsecond // 1000 * 1000)
    argv = tuple(tuple(map(clean, words)) for words in record.argv)
    operation = clean(record.operation) if record.operation else None
    assert read == replace(cleaned(record), time=to_milliseconds, operation=operation, argv=argv)
    assert printable(as_json(read))
    assert json.loads(line)["argv"] == [list(words) for words in record.argv]


@given(st.binary() | TEXTS.map(lambda text: json.dumps(text).encode()))
def test_anything_else_is_no_record(line: bytes) -> None:
    assert from_json(line) is None


def test_true_is_no_vhost_count() -> None:
    """It would be set back to ``True``."""
    values = as_json(PLANNED) | {"before": {"10.1.0.3": {"vhosts": True}}}
    assert from_json(json.dumps(values).encode()) is None
    values = as_json(PLANNED) | {"before": {"10.1.0.3": {"vhosts": 1}}}
    assert from_json(json.dumps(values).encode()) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*as_json(PLANNED), "new"]), JSON))
def test_other_values_are_a_record_or_none_and_never_a_crash(changed: dict[str, Any]) -> None:
    read = from_json(json.dumps({**as_json(PLANNED), **changed}).encode())
    assert read is None or printable(as_json(read))


def test_a_record_has_the_keys_that_are_promised() -> None:
    assert list(as_json(PLANNED)) == [
        *("time", "operation", "step", "event", "verb", "title", "targets", "who", "via", "argv", "exit_status"),
        *("stdout", "stderr", "outcome", "before", "after", "reason"),
    ]
    assert as_json(PLANNED)["time"] == "2026-11-24T21:40:12.345Z"
    assert (
        as_json(replace(PLANNED, time=NOW.astimezone(timezone(timedelta(hours=2)))))["time"] == as_json(PLANNED)["time"]
    )
    assert as_json(RESULT)["before"] == {"10.1.0.3": {"tag": "gold", "vhosts": 100, "state": "up", "users": 9120}}
    assert as_json(RESULT)["outcome"] == "applied"


def test_what_is_appended_is_read() -> None:
    journal = Journal("mail-eu")
    assert journal.read() == Extract()
    journal.append(PLANNED)
    journal.append(INTENT, RESULT)
    assert Journal("mail-eu").read() == Extract((PLANNED, INTENT, RESULT))
    assert Journal("mail-us").read() == Extract()
    assert journal.path == state_folder("mail-eu") / "journal.jsonl"
    assert len(journal.path.read_text().splitlines()) == 3


def test_who_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 1 2 3")
    monkeypatch.setenv("SUDO_USER", "ops")
    Journal("mail-eu").append(replace(PLANNED, who=""), PLANNED)
    filled, given_ = Journal("mail-eu").read().records
    assert filled.who.endswith(" (sudo by ops) from 192.0.2.7")
    assert given_.who == PLANNED.who


def test_keys_of_later_versions_are_passed_over() -> None:
    line = json.dumps({**as_json(PLANNED), "new": {"a": [1.5, None]}, "stdout": None, "before": None})
    write_state("mail-eu", "journal.jsonl", line.encode() + b"\n")
    assert Journal("mail-eu").read() == Extract((replace(PLANNED, before={}),))
    assert from_json(b'{"time": "2026-11-24T21:40:12.345+00:00", "event": "note"}') == Record(NOW, Event.NOTE)


@pytest.mark.parametrize(
    "broken",
    [
        b'{"time": "2026-11-24T21:40:12Z", "event": "plan',
        b'{"time": "2026-11-24T21:40:12Z", "event": "of a later version"}',
        b'{"time": "2026-11-24T21:40:12Z", "event": "result", "outcome": "of a later version"}',
        b'{"time": "2026-11-24T21:40:12", "event": "note"}',
        b'{"time": "0001-01-01T00:00:00+14:00", "event": "note"}',
        b'{"event": "note"}',
        b"\x00" * 4096,
        b"\xff\xfe",
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_a_broken_line_in_the_middle_is_counted(broken: bytes) -> None:
    Journal("mail-eu").append(PLANNED)
    with Journal("mail-eu").path.open("ab") as file:
        file.write(broken + b"\n")
    Journal("mail-eu").append(RESULT)
    assert Journal("mail-eu").read() == Extract((PLANNED, RESULT), not_understood=1)


@pytest.mark.parametrize("length", [1, 40, -1])
def test_a_torn_last_line_hurts_no_other(length: int) -> None:
    journal = Journal("mail-eu")
    journal.append(PLANNED)
    line = json.dumps(as_json(INTENT)).encode()
    with journal.path.open("ab") as file:
        file.write(line[:length])
    # It may be somebody who is about to write it, so nothing is said of it yet.
    assert journal.read() == Extract((PLANNED,))
    journal.append(RESULT)
    assert journal.read() == Extract((PLANNED, RESULT), not_understood=1)


def test_a_last_line_without_an_end_is_read_if_it_is_whole() -> None:
    write_state("mail-eu", "journal.jsonl", json.dumps(as_json(PLANNED)).encode())
    Journal("mail-eu").append(RESULT)
    assert Journal("mail-eu").read() == Extract((PLANNED, RESULT))


def test_since() -> None:
    journal = Journal("mail-eu")
    hours = [replace(PLANNED, time=NOW + timedelta(hours=number)) for number in range(5)]
    journal.append(*hours)
    assert journal.read(NOW + timedelta(hours=3)) == Extract((hours[3], hours[4]))
    assert journal.read(NOW + timedelta(hours=9)) == Extract()
    assert journal.read(NOW - timedelta(days=9)) == Extract(tuple(hours))


def test_a_clock_that_was_put_back_hides_nothing() -> None:
    journal = Journal("mail-eu")
    fast = [replace(PLANNED, time=NOW + timedelta(hours=2)), replace(PLANNED, time=NOW)]
    journal.append(*fast)
    assert journal.read(NOW) == Extract(tuple(fast))
    assert journal.read(NOW + timedelta(hours=1)) == Extract((fast[0],))


@pytest.fixture
def long_journal() -> list[Record]:
    """More than is read at first."""
    records = [
        replace(PLANNED, operation=f"op-{number}", time=NOW + timedelta(minutes=number), reason="x" * 500)
        for number in range(1200)
    ]
    Journal("mail-eu").append(*records)
    assert Journal("mail-eu").path.stat().st_size > 4 * journal_module._FIRST_READ_BYTES
    return records


@pytest.mark.parametrize("newest", [1, 10, 700, 1199])
def test_only_the_newest_are_read(newest: int, long_journal: list[Record]) -> None:
    assert Journal("mail-eu").read(newest=newest) == Extract(tuple(long_journal[-newest:]), cut=True)


def test_all_are_read_where_they_are_not_too_many(long_journal: list[Record]) -> None:
    assert Journal("mail-eu").read() == Extract(tuple(long_journal))
    assert Journal("mail-eu").read(newest=1200) == Extract(tuple(long_journal))
    assert Journal("mail-eu").read(long_journal[900].time) == Extract(tuple(long_journal[900:]))
    assert Journal("mail-eu").read(long_journal[900].time, newest=3) == Extract(tuple(long_journal[-3:]), cut=True)


def test_no_more_is_read_than_is_sensible(long_journal: list[Record], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "READ_LIMIT_BYTES", 100_000)
    monkeypatch.setattr(journal_module, "_FIRST_READ_BYTES", 10_000)
    extract = Journal("mail-eu").read()
    assert extract.cut
    assert extract.not_understood == 0
    assert 50 < len(extract.records) < 100_000 / 500
    assert extract.records == tuple(long_journal[-len(extract.records) :])


def test_it_reads_back_no_further_than_it_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    days = [replace(PLANNED, time=NOW + timedelta(days=number), reason="x" * 500) for number in range(100)]
    Journal("mail-eu").append(*days)
    monkeypatch.setattr(journal_module, "READ_LIMIT_BYTES", 10_000)
    monkeypatch.setattr(journal_module, "_FIRST_READ_BYTES", 10_000)
    assert Journal("mail-eu").read(days[-3].time) == Extract(tuple(days[-3:]))
    assert Journal("mail-eu").read(days[5].time).cut


def test_long_output_loses_its_middle() -> None:
    output = "first\n" + "x" * 100_000 + "\nlast"
    Journal("mail-eu").append(replace(RESULT, stdout=output, stderr="y" * OUTPUT_LIMIT))
    (read,) = Journal("mail-eu").read().records
    assert read.stderr == "y" * OUTPUT_LIMIT
    assert len(read.stdout) < OUTPUT_LIMIT + 100
    assert read.stdout.startswith("first\nxxx")
    assert read.stdout.endswith("xxx\nlast")
    assert f"\n… {len(output) - OUTPUT_LIMIT:,} characters left out …\n" in read.stdout
    assert bounded(RESULT) == RESULT


def test_without_a_place_for_it_nothing_goes_on(tmp_path: Path) -> None:
    (tmp_path / "own-state").write_text("a file")
    with pytest.raises(StateError, match=r"mail-eu/journal\.jsonl can't be written: "):
        Journal("mail-eu").append(PLANNED)


def test_a_disk_that_is_full_leaves_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    Journal("mail-eu").append(PLANNED)
    real = os.write

    def full(descriptor: int, content: bytes) -> int:
        if len(content) <= 20:
            raise OSError(28, "No space left on device")
        return real(descriptor, content[:20])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(StateError, match="No space left on device"):
            Journal("mail-eu").append(RESULT)
    assert Journal("mail-eu").read() == Extract((PLANNED,))


def test_two_programs_write_while_it_is_read() -> None:
    script = """
import sys
from datetime import UTC, datetime
from director_tui.operations.journal import Journal
from director_tui.operations.record import Event, Record
journal = Journal("mail-eu")
sys.stdin.readline()
for number in range(1, 61):
    journal.append(Record(datetime.now(UTC), Event.NOTE, sys.argv[1], number, reason="x" * 3000))
"""
    programs = [
        subprocess.Popen([sys.executable, "-c", script, name], cwd=ROOT, stdin=subprocess.PIPE) for name in ("a", "b")
    ]
    for program in programs:
        assert program.stdin is not None
        program.stdin.write(b"go\n")
        program.stdin.close()
    seen = 0
    while any(program.poll() is None for program in programs):
        extract = Journal("mail-eu").read()
        assert extract.not_understood == 0
        assert len(extract.records) >= seen
        seen = len(extract.records)
    assert [program.returncode for program in programs] == [0, 0]
    a, b = sorted(entries(Journal("mail-eu").read().records), key=lambda entry: entry.operation or "")
    for entry in (a, b):
        assert [record.step for record in entry.records] == list(range(1, 61))


def test_records_are_grouped_by_operation() -> None:
    note = Record(NOW, Event.NOTE, reason="by itself")
    other = replace(PLANNED, operation="op-2")
    assert entries([PLANNED, note, other, INTENT, note, RESULT]) == (
        Entry((PLANNED, INTENT, RESULT)),
        Entry((note,)),
        Entry((other,)),
        Entry((note,)),
    )
    assert [one.operation for one in entries([note, other])] == [None, "op-2"]


def batch(*outcomes: Outcome | None) -> Entry:
    """One intent for several backends, and a result for each of these that is not None."""
    ips = tuple(f"10.1.0.{number}" for number in range(1, len(outcomes) + 1))
    intent = replace(INTENT, targets=ips, argv=tuple(("doveadm", "director", "down", ip) for ip in ips))
    results = [
        replace(RESULT, step=step, targets=(ip,), outcome=outcome)
        for step, (ip, outcome) in enumerate(zip(ips, outcomes, strict=True), start=1)
        if outcome is not None
    ]
    return Entry((PLANNED, intent, *results))


def test_a_command_without_a_result_has_an_unknown_end() -> None:
    entry = batch(Outcome.APPLIED, None, Outcome.NOT_APPLIED)
    assert [(one.step, one.targets, one.outcome) for one in entry.results] == [
        (1, ("10.1.0.1",), Outcome.APPLIED),
        (2, ("10.1.0.2",), Outcome.UNKNOWN),
        (3, ("10.1.0.3",), Outcome.NOT_APPLIED),
    ]
    assert entry.results[1].argv == (("doveadm", "director", "down", "10.1.0.2"),)
    assert Entry((PLANNED, replace(RESULT, outcome=None))).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        (Entry((PLANNED,)), None),
        (Entry((PLANNED, INTENT)), Outcome.UNKNOWN),
        (Entry((PLANNED, INTENT, RESULT)), Outcome.APPLIED),
        (batch(Outcome.APPLIED, Outcome.APPLIED), Outcome.APPLIED),
        (batch(Outcome.APPLIED, Outcome.NOT_APPLIED), Outcome.NOT_APPLIED),
        (batch(Outcome.APPLIED, Outcome.NOT_APPLIED, None), Outcome.UNKNOWN),
    ],
)
def test_the_outcome_of_all_of_it(entry: Entry, outcome: Outcome | None) -> None:
    assert entry.outcome is outcome


def test_a_later_result_takes_the_place_of_an_unknown_one() -> None:
    unknown = replace(RESULT, outcome=Outcome.UNKNOWN)
    assert Entry((PLANNED, INTENT, unknown, RESULT)).results == (RESULT,)


def test_what_an_entry_is_about() -> None:
    entry = Entry((PLANNED, INTENT, RESULT))
    assert (entry.first, entry.concerns("10.1.0.3"), entry.concerns("10.1.0.4")) == (PLANNED, True, False)
    assert Entry((replace(INTENT, targets=("all",)),)).concerns("10.1.0.4")
    assert Entry((observed(Change(NOW, Subject.STATE, "10.1.0.4", "up", "down"), "d"),)).concerns("10.1.0.4")
    assert Entry((INTENT, RESULT)).first == INTENT


@pytest.mark.parametrize(
    ("change", "before", "after", "reason"),
    [
        (Change(NOW, Subject.VHOSTS, "10.1.0.3", "100", "0"), {"vhosts": 100}, {"vhosts": 0}, ""),
        (
            Change(NOW, Subject.STATE, "10.1.0.3", "down", "up", timedelta(seconds=28)),
            *({"state": "down"}, {"state": "up"}, "as before again, 28 s after it was changed"),
        ),
        (Change(NOW, Subject.TAG, "10.1.0.3", "", "gold"), {}, {"tag": "gold"}, ""),
        (Change(NOW, Subject.BACKEND, "10.1.0.3", "", "removed"), {}, {"backend": "removed"}, ""),
    ],
)
def test_what_others_changed(change: Change, before: object, after: object, reason: str) -> None:
    record = observed(change, "root@dir1")
    assert (record.time, record.event, record.operation, record.via) == (NOW, Event.OBSERVED, None, "root@dir1")
    assert (record.before, record.after, record.reason) == ({"10.1.0.3": before}, {"10.1.0.3": after}, reason)
    Journal("mail-eu").append(record)
    (read,) = Journal("mail-eu").read().records
    assert replace(read, who="") == record


def test_a_backend_that_is_not_there_has_no_values() -> None:
    assert row(None) == {}


def seen(before: str, after: str, at_s: float = 0, *, of: str = "10.1.0.3", what: Subject = Subject.VHOSTS) -> Record:
    return observed(Change(NOW + timedelta(seconds=at_s), what, of, before, after), "root@dir1")


def times(journal: Journal) -> list[float]:
    """Which of them are kept, by their seconds."""
    return [(one.time - NOW).total_seconds() for one in journal.read().records]


def test_what_two_programs_see_is_written_once() -> None:
    one, other = Journal("mail-eu"), Journal("mail-eu")
    one.append(seen("100", "0", 1), seen("up", "down", 1, what=Subject.STATE), seen("100", "0", 1, of="10.1.0.4"))
    other.append(seen("100", "0", 2), seen("up", "down", 2, what=Subject.STATE), seen("100", "0", 2, of="10.1.0.9"))
    one.append(seen("100", "0", 3, of="10.1.0.9"))
    assert times(one) == [1, 1, 1, 2]
    added = (seen("", "added with vhost count 7", at_s, what=Subject.BACKEND) for at_s in (4, 5))
    one.append(next(added))
    other.append(next(added))
    assert times(one) == [1, 1, 1, 2, 4]


def test_what_happens_again_is_written_again() -> None:
    one, other = Journal("mail-eu"), Journal("mail-eu")
    one.append(seen("100", "0", 1))
    one.append(seen("0", "100", 2), seen("100", "0", 3))
    assert times(one) == [1, 2, 3], "one program writes down all that it sees"
    other.append(seen("0", "100", 4))
    other.append(seen("100", "0", 5))
    assert times(one) == [1, 2, 3, 4, 5], "it has become something else since"
    one.append(seen("100", "0", 70))
    assert times(one)[-1] == 70, "that is another time"
    # Set back by an operation, which is nothing that is observed.
    one.append(replace(RESULT, after={"10.1.0.3": row(BACKEND)}))
    other.append(seen("100", "0", 80))
    assert times(one)[-1] == 80


def test_a_program_that_saw_two_changes_as_one_is_not_taken_for_the_same() -> None:
    one, other = Journal("mail-eu"), Journal("mail-eu")
    one.append(seen("100", "50", 1), seen("50", "0", 2))
    other.append(seen("100", "0", 3))
    assert times(one) == [1, 2, 3]


def test_operations_have_ids_of_their_own() -> None:
    ids = {new_operation_id(NOW) for _ in range(100)}
    assert len(ids) == 100
    assert all(one.startswith("20261124-214012-") for one in ids)
