"""Clean removals on the disk and in the journal: begun once, gone on with from anywhere, told in order."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui import state
from director_tui.director.model import State
from director_tui.errors import OperationRefused, StateError
from director_tui.operations.journal import Journal, entries
from director_tui.operations.plan import Outcome, Request, Target, Verb
from director_tui.operations.record import Event
from director_tui.operations.removal import (
    Course,
    Decided,
    Ended,
    Ending,
    Mark,
    Removal,
    Step,
    end,
    mark_upload,
    skip_leaving,
    turn,
)
from director_tui.operations.removal_keeping import Kept, Removals, read_removals
from director_tui.operations.removal_record import file_name, read_removal, removal_json
from director_tui.operations.removal_steps import meanwhile
from director_tui.operations.removal_story import story, summary_lines, uploads_done
from director_tui.operations.stop_record import NotUnderstood
from director_tui.state import lock_state, state_folder, write_state
from tests.operations.fakes import IPS, Clock, bench
from tests.operations.test_upload import ACCESS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CLUSTER = "mail-eu"
IP = IPS[2]


def new(clock: Clock, ip: str = IP, cluster: str = CLUSTER, **changes: Any) -> Removal:
    made = Removal(cluster, ip, "", 100, State.UP, True, None, True, clock.times.utc(), "ops", "admin-1", "a new disk")
    return replace(made, **changes)


def keeper(clock: Clock) -> Removals:
    return Removals(CLUSTER, Journal(CLUSTER), clock.times)


def put(name: str, content: bytes) -> None:
    write_state(CLUSTER, name, content)


async def test_what_is_begun_is_on_the_disk_and_in_the_journal() -> None:
    clock = Clock()
    begun = await keeper(clock).begin(new(clock))
    (found,) = (await keeper(clock).all()).unfinished
    assert found == begun
    file = state_folder(CLUSTER) / file_name(begun)
    assert file.name == f"removal-20261124T211640000Z-{IP}.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    (noted,) = Journal(CLUSTER).read().records
    assert (noted.event, noted.operation, noted.targets) == (Event.NOTE, None, (IP,))
    assert noted.title == f"Clean removal of {IP} begun"
    assert noted.reason == "a new disk; permanent; it had vhost count 100, up"


async def test_several_at_once_but_one_of_each_backend() -> None:
    clock = Clock()
    first = await keeper(clock).begin(new(clock))
    clock.now_s += 60
    with pytest.raises(OperationRefused, match=rf"^a clean removal of {IP} is unfinished, begun 2026-11-24 21:16 UTC"):
        await keeper(clock).begin(new(clock))
    other = await keeper(clock).begin(new(clock, "2001:db8::1"))
    kept = await keeper(clock).all()
    assert kept == Kept((first, other))
    assert (kept.of(IP), kept.of("2001:db8::1"), kept.of(IPS[0])) == (first, other, None)
    await keeper(clock).change(first, lambda one: end(one, Ending.BACKED_OUT, clock.times.utc(), "ops"), "backed out")
    again = await keeper(clock).begin(new(clock))
    kept = await keeper(clock).all()
    assert kept.unfinished == (again, other) or kept.unfinished == (other, again)
    assert [one.id for one in kept.ended] == [first.id]


async def test_two_programs_go_on_with_the_same_one() -> None:
    """Each change is made to what is on the disk, so nothing is lost of what the other one has kept."""
    clock = Clock()
    here, there = keeper(clock), keeper(clock)
    begun = await here.begin(new(clock))
    done = Mark(clock.times.utc(), "ops", Decided.DONE, "12 indexes")
    await there.change(begun, lambda one: skip_leaving(one, clock.times.utc(), "eva"), "step 3 of 8: not waited for")
    changed = await here.change(begun, lambda one: mark_upload(one, Step.UPLOAD, done), "step 4 of 8: uploaded")
    assert changed.leaving is not None
    assert (changed.leaving.who, changed.first_upload) == ("eva", done)
    assert read_removals(CLUSTER).unfinished == (changed,)
    await there.change(begun, lambda one: end(one, Ending.REMOVED, clock.times.utc(), "eva"), "removed")
    with pytest.raises(OperationRefused, match=rf"^the clean removal of {IP} was removed meanwhile by eva$"):
        await here.change(begun, lambda one: one, "nothing")
    (state_folder(CLUSTER) / file_name(begun)).unlink()
    with pytest.raises(OperationRefused, match="is not kept here any more"):
        await here.change(begun, lambda one: one, "nothing")


async def test_what_was_decided_by_what_is_no_more_is_not_kept() -> None:
    clock = Clock()
    here, there = keeper(clock), keeper(clock)
    begun = await here.begin(new(clock))
    assert await here.now(begun) == begun
    turned = await there.change(begun, lambda one: turn(one, Course.BACKING_OUT), "backing out", as_seen=True)
    with pytest.raises(OperationRefused, match=rf"^the clean removal of {IP} was gone on with meanwhile$"):
        await here.change(begun, lambda one: skip_leaving(one, clock.times.utc(), "ops"), "step 3 of 8", as_seen=True)
    assert await here.now(begun) == turned
    assert [one.title for one in Journal(CLUSTER).read().records][1:] == [f"Clean removal of {IP}, backing out"]


def test_what_another_program_has_made_of_it_is_said() -> None:
    clock = Clock()
    before = new(clock)
    mark = Mark(clock.times.utc(), "eva", Decided.SKIPPED)
    lead = "another director-tui goes on with it, too: "
    for changes, said in (
        ({"leaving": mark}, "step 3 skipped by eva"),
        ({"course": Course.BACKING_OUT}, "backing out"),
        ({"ended": Ended(mark.at, "eva", Ending.BY_HAND)}, "ended by hand by eva"),
        ({"reason": "other"}, "changed"),
    ):
        after = replace(before, **changes)
        assert meanwhile(before, after) == lead + said
    assert meanwhile(replace(before, leaving=mark), before) == lead + "step 3 once more"
    assert meanwhile(replace(before, course=Course.BACKING_OUT), before) == lead + "going on"


async def test_while_another_program_writes() -> None:
    clock = Clock()
    held = lock_state(CLUSTER, "removal.lock")
    assert held is not None
    try:
        with pytest.raises(StateError, match="another director-tui is writing down a removal"):
            await keeper(clock).begin(new(clock))
    finally:
        os.close(held)
    assert read_removals(CLUSTER) == Kept()
    await keeper(clock).begin(new(clock))


async def test_a_full_disk_begins_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    clock = Clock()
    begun = await keeper(clock).begin(new(clock))
    monkeypatch.setattr(state, "_write", full)
    with pytest.raises(StateError, match="No space left"):
        await keeper(clock).begin(new(clock, IPS[0]))
    with pytest.raises(StateError, match="No space left"):
        await keeper(clock).change(begun, lambda one: skip_leaving(one, clock.times.utc(), "ops"), "step 3 of 8")
    assert read_removals(CLUSTER).unfinished == (begun,)


def test_files_that_are_not_understood_are_named_and_harm_nobody() -> None:
    clock = Clock()
    good = new(clock, IPS[0])
    content = removal_json(good)
    put(file_name(good), content)
    values = json.loads(content)
    others: dict[str, tuple[bytes, str]] = {
        "removal-20261124T211641000Z-10.1.0.2.json": (content[: len(content) // 2], "is torn, or no record"),
        "removal-20261124T211642000Z-10.1.0.2.json": (b"[]", "is no record"),
        "removal-20261124T211643000Z-10.1.0.2.json": (
            json.dumps(values | {"version": 2}).encode(),
            "is of version 2, which this program does not know",
        ),
        "removal-20261124T211644000Z-10.1.0.2.json": (content, "is called by another time or backend than is in it"),
        "removal-20261124T211645000Z-10.1.0.2.json": (
            json.dumps(values | {"cluster": "mail-us"}).encode(),
            "is of mail-us, another cluster",
        ),
        "removal-20261124T211646000Z-10.1.0.2.json": (
            json.dumps(values | {"vhosts": True}).encode(),
            "is not right: a number from 0 to 1,000 is missing",
        ),
        "removal-of-something.json": (b"{}", "is not called as a removal is"),
    }
    for name, (wrong, _) in others.items():
        put(name, wrong)
    (state_folder(CLUSTER) / "removal-20261124T211647000Z-10.1.0.2.json").mkdir()
    kept = read_removals(CLUSTER)
    assert kept.unfinished == (good,)
    assert set(kept.notes) >= {f"{name} {why}" for name, (_, why) in others.items()}
    assert len(kept.notes) == len(others) + 1


YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 - hypothesis puts the time zone to it
times = st.datetimes(YEAR, YEAR + timedelta(days=364), timezones=st.just(UTC)).map(
    lambda one: one.replace(microsecond=one.microsecond // 1000 * 1000)
)
marks = st.none() | st.builds(Mark, times, st.just("ops"), st.sampled_from(Decided), st.sampled_from(("", "a\nb")))


@given(
    st.builds(
        Removal,
        cluster=st.just(CLUSTER),
        ip=st.sampled_from((IP, "2001:db8::1", "::ffff:10.0.0.1")),
        tag=st.sampled_from(("", "gold", "b@x")),
        vhosts=st.integers(0, 1000),
        state=st.sampled_from(State),
        permanent=st.booleans(),
        max_parallel=st.none() | st.integers(1, 2**32 - 1),
        metacache=st.booleans(),
        began=times,
        who=st.just("root (sudo by ops) from 192.0.2.7"),
        host=st.just("admin-1"),
        reason=st.sampled_from(("", "ein Grund – und mehr")),
        leaving=marks,
        first_upload=marks,
        moved=marks,
        final_upload=marks,
        course=st.sampled_from(Course),
        ended=st.none() | st.builds(Ended, times, st.just("ops"), st.sampled_from(Ending)),
    )
)
def test_what_is_written_is_read(removal: Removal) -> None:
    assert read_removal(file_name(removal), removal_json(removal), CLUSTER) == removal


@given(st.data())
def test_whatever_is_in_a_file_it_is_a_removal_or_not_understood(data: st.DataObject) -> None:
    good = new(Clock(), leaving=Mark(Clock().times.utc(), "ops", Decided.SKIPPED))
    values = json.loads(removal_json(good))
    key = data.draw(st.sampled_from(sorted(values)))
    junk = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.lists(st.none())
        | st.dictionaries(st.text(), st.none())
    )
    values[key] = data.draw(junk)
    try:
        read = read_removal(file_name(good), json.dumps(values).encode(), CLUSTER)
    except NotUnderstood:
        return
    assert read.id == good.id
    for text in (read.tag, read.who, read.host, read.reason):
        assert text.isprintable()


async def test_the_journal_tells_it_in_order() -> None:
    """What is decided stands between what was done; what belongs to others stays out."""
    async with bench(backends=ACCESS) as on:
        kept = Removals("test", on.journal, on.clock.times)

        async def pause(doing: Callable[[], Any]) -> Any:
            on.clock.now_s += 10
            return await doing()

        removal = await kept.begin(new(on.clock, cluster="test"))
        zero = Request(Verb.UPDATE, (Target(IP, 0),), because=removal.because(Step.NO_NEW_USERS))
        assert (await pause(lambda: on.run(zero, "by the book"))).outcome is Outcome.APPLIED
        await pause(lambda: on.run(Request(Verb.UPDATE, (Target(IPS[0], 50),))))
        removal = await pause(
            lambda: kept.change(
                removal, lambda one: skip_leaving(one, on.clock.times.utc(), "ops"), "step 3 of 8: not waited for"
            )
        )
        for step in (Step.UPLOAD, Step.FINAL_UPLOAD):
            on.clock.now_s += 10
            await on.run(Request(Verb.UPLOAD, (Target(IP),), because=removal.because(step)))
        removal = await pause(
            lambda: kept.change(removal, lambda one: end(one, Ending.REMOVED, on.clock.times.utc(), "ops"), "removed")
        )
        on.clock.now_s += 60
        another = await kept.begin(new(on.clock, cluster="test"))
        told = story(removal, entries(on.records))
        assert [one.first.title for one in told] == [
            f"Clean removal of {IP} begun",
            f"Set vhost count of {IP} to 0",
            f"Clean removal of {IP}, step 3 of 8: not waited for",
            f"Upload the metacache of {IP}",
            f"Upload the metacache of {IP}",
            f"Clean removal of {IP}, removed",
        ]
        assert told[1].first.reason == f"by the book; clean removal of {IP}, step 2 of 8"
        assert uploads_done(told) == 2
        assert "metacache flushall ended well 2 times" in summary_lines(removal, told)
        assert [one.first.title for one in story(another, entries(on.records))] == [f"Clean removal of {IP} begun"]
        page = await kept.export(removal)
        text = page.read_text()
        assert page.name == f"clean-removal-{removal.id}.md"
        assert text.startswith(f"# Clean removal of {IP}: `test`\n")
        assert "## Noted, and seen to change" in text
        assert text.index("not waited for") < text.index("metacache flushall\n")
        assert await asyncio.to_thread(read_removals, "test") == Kept((another,), (removal,))


def test_a_title_of_another_backend_is_no_match() -> None:
    clock = Clock()
    journal = Journal(CLUSTER)
    mine = new(clock, "10.1.0.1")
    keeping = Removals(CLUSTER, journal, clock.times)
    asyncio.run(keeping.begin(new(clock, "10.1.0.12")))
    asyncio.run(keeping.begin(mine))
    assert [one.first.title for one in story(mine, entries(journal.read().records))] == [
        "Clean removal of 10.1.0.1 begun"
    ]
