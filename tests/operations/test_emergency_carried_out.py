"""Stop and recovery carried out on directors in memory: the record first, past failures, and never a count lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from director_tui.director.doveadm import CHANGE_LIMIT_S
from director_tui.director.record_commands import store
from director_tui.errors import ConnectionLost, OperationRefused, PlanOutdated, StateError, Unreachable
from director_tui.link.users import each_once
from director_tui.operations import executor as executor_module
from director_tui.operations import operation as operation_module
from director_tui.operations import proof as proof_module
from director_tui.operations import stop_keeping, unseen_flush
from director_tui.operations.emergency import Stop, disconnect_plan, record_of, recover_plan, stop_in, stop_plan
from director_tui.operations.plan import Emergency, Outcome, Request, Standing, Target, Verb
from director_tui.operations.progress import LineStatus, Phase
from director_tui.operations.stop_keeping import Found, find_records, keep_record
from director_tui.operations.stop_record import StopOver, addresses, over_json, record_json
from director_tui.operations.stop_watch import look_for_stops
from director_tui.operations.unseen_flush import unseen_flushes
from director_tui.state import state_folder
from tests.link.fakes import until
from tests.operations.fakes import IPS, Bench, bench, failed
from tests.operations.standing import NOON, update
from tests.operations.test_executor import BrokenJournal

if TYPE_CHECKING:
    from pathlib import Path

    from director_tui.link.ssh import Reply
    from director_tui.operations.plan import Plan
    from director_tui.operations.progress import Progress

A, B, C, D = IPS
COUNTS = {A: 100, B: 17, C: 0, D: 1000}
SOON_S = 0.005


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test need not sit through."""
    monkeypatch.setattr(proof_module, "PAUSES_S", (SOON_S,))
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 0.15)
    monkeypatch.setattr(operation_module, "LATER_BEAT_S", SOON_S)
    monkeypatch.setattr(executor_module, "STANDSTILL_BEAT_S", SOON_S)


def counted(made: Bench, counts: dict[str, int]) -> None:
    for ip, count in counts.items():
        made.directors.backends[ip] = ("", count, "up", 100)


def counts(made: Bench) -> dict[str, int]:
    return {ip: row[1] for ip, row in made.directors.backends.items()}


async def found(made: Bench) -> Found:
    reading = await made.reading()
    links = each_once(made.ring.links, reading.views)
    return await find_records(made.cluster.name, links, made.cluster.records, addresses(reading.rings.values()))


async def stop_of(made: Bench) -> Stop | None:
    reading = await made.reading()
    return stop_in(await found(made), reading)


async def to_stop(made: Bench) -> Plan:
    return stop_plan(Standing(await made.reading(), made.cluster), await stop_of(made))


async def to_recover(made: Bench) -> Plan:
    return recover_plan(Standing(await made.reading(), made.cluster), await stop_of(made))


async def test_the_counts_are_on_disk_here_and_on_every_director_before_the_first_command() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        there: list[Found] = []

        async def look() -> Exception:
            there.append(await found(made))
            return ConnectionLost("d1: gone")

        made.directors.met[f"update {A} 0"] = look  # type: ignore[assignment]
        ended = await made.executor.run(await to_stop(made), "the storage groans")
        (record,) = there[0].records
        assert record.saved == COUNTS
        assert (record.reason, record.cluster) == ("the storage groans", made.cluster.name)
        assert there[0].where == {record.stamp: ("here", "d1", "d2", "d3")}
        assert ended.notes[0] == "kept here, d1, d2 and d3"
        folder = state_folder(made.cluster.name)
        assert (folder / record.script_name).read_text().startswith("#!/bin/sh\n")
        assert (folder / record.name).stat().st_mode & 0o777 == 0o600
        for kept in made.ssh.records.values():
            (files,) = kept._files.values()
            assert files[record.script_name].startswith(b"#!/bin/sh\n"), "a director alone is enough to recover from"
        assert set(made.ssh.records) == {"d1", "d2", "d3"}


async def test_a_stop_and_its_recovery() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        ended = await made.executor.run(await to_stop(made), "")
        assert (ended.outcome, set(counts(made).values())) == (Outcome.APPLIED, {0})
        assert made.sent == [f"update {ip} 0" for ip in (A, B, D)]
        stop = await stop_of(made)
        assert stop is not None
        assert stop.in_force
        ended = await made.executor.run(await to_recover(made), "")
        assert (ended.outcome, counts(made)) == (Outcome.APPLIED, COUNTS)
        assert (await found(made)).over == {stop.record.stamp}
        assert await stop_of(made) is None
        counted(made, {B: 0})
        assert await stop_of(made) is None, "a backend that is taken out later is no stop"


async def test_a_stop_waits_for_no_flush_which_goes_on_beside_it_and_asks_nothing_any_more() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        refused = asyncio.Event()

        async def slow() -> Reply:
            await refused.wait()
            return failed(75, "A is gone")

        made.directors.met[f"flush {A}"] = slow
        request = Request(Verb.FLUSH, (Target(A), Target(B)))
        flushing = asyncio.create_task(made.run(request))
        await until(lambda: made.sent == [f"flush {A}"])
        assert made.executor.progress is not None
        assert not made.executor.progress.gives_way_to(Emergency.RECOVER)
        with pytest.raises(OperationRefused, match=r"^one change at a time: Flush 2 backends is running$"):
            await made.executor.run(await made.plan(update(0, A)), "")
        stopped = await made.executor.run(await to_stop(made), "the storage groans")
        assert (stopped.outcome, set(counts(made).values())) == (Outcome.APPLIED, {0})
        assert not flushing.done()
        (beside,) = made.executor.beside
        assert (beside.plan.request, beside.running) == (request, True)
        with pytest.raises(OperationRefused, match="nobody has seen the end of the flush"):
            await made.run(Request(Verb.REMOVE, (Target(D),)))
        refused.set()
        ended = await flushing
        assert made.executor.beside == ()
        assert [line.status for line in ended.lines] == [LineStatus.UNKNOWN, LineStatus.NOT_APPLIED]
        assert ended.lines[1].note == "not sent", "nobody was there to say whether it should go on"
        assert made.executor.progress is not ended
        assert unseen_flushes("test"), "one that failed may still be going on"


@pytest.mark.parametrize(
    ("request_", "command"),
    [
        (update(0, A), f"update {A} 0"),
        (Request(Verb.DOWN, (Target(A),)), f"down {A}"),
        (Request(Verb.UP, (Target(D),)), f"up {D}"),
        (Request(Verb.REMOVE, (Target(C),)), f"remove {C}"),
        (Request(Verb.KICK, user="jane"), "kick -- jane"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_stop_waits_for_nothing_that_leaves_no_vhost_count(request_: Request, command: str) -> None:
    async with bench() as made:
        counted(made, COUNTS)
        made.directors.backends[D] = ("", 1000, "down", 100)
        synced = asyncio.Event()

        async def waits_for_the_ring() -> Reply:
            del made.directors.met[command]  # the next one goes by itself
            await synced.wait()
            return failed(75, "Ring sync timed out")

        made.directors.met[command] = waits_for_the_ring
        changing = asyncio.create_task(made.run(request_))
        await until(lambda: made.sent == [command])
        progress = made.executor.progress
        assert progress is not None
        assert progress.plan.version == (2, 3, 19, 1)
        for version in ((2, 2, 33), (2, 2, 36, 4), (2, 3, 2, 1)):
            old = replace(progress, plan=replace(progress.plan, version=version))
            assert old.gives_way_to(Emergency.STOP) is (request_.verb is Verb.KICK), "one that keeps back two hangs"
        stopped = await made.executor.run(await to_stop(made), "the storage groans")
        assert (stopped.outcome, set(counts(made).values())) == (Outcome.APPLIED, {0}), stopped
        assert not changing.done()
        synced.set()
        await changing


async def test_a_stop_waits_for_what_may_leave_a_vhost_count_and_for_how_long_is_known() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        synced = asyncio.Event()

        async def waits_for_the_ring() -> Reply:
            await synced.wait()
            return failed(75, "Ring sync timed out")

        made.directors.met[f"update {A} 50"] = waits_for_the_ring
        changing = asyncio.create_task(made.run(update(50, A, B)))
        await until(lambda: made.sent == [f"update {A} 50"])
        progress, now_s = made.executor.progress, made.clock.now_s
        assert progress is not None
        assert not progress.gives_way_to(Emergency.STOP)
        assert progress.stop_waits_s(now_s) == CHANGE_LIMIT_S
        assert progress.stop_waits_s(now_s + 70) == CHANGE_LIMIT_S - 70
        synced.set()
        await until(lambda: made.shown[-1].phase is Phase.ASKING)
        assert made.shown[-1].gives_way_to(Emergency.STOP)
        assert made.shown[-1].stop_waits_s(now_s) is None
        made.executor.decide(go_on=False)
        await changing


async def test_a_stop_does_not_wait_for_a_recovery_that_asks_and_nothing_says_that_it_is_over() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        made.directors.met[f"update {B} 17"] = lambda: failed(75, "Ring sync timed out")
        recovering = asyncio.create_task(made.executor.run(await to_recover(made), ""))
        await until(lambda: made.shown[-1].phase is Phase.ASKING)
        assert counts(made) == dict.fromkeys(COUNTS, 0) | {A: 100}
        again = await made.executor.run(await to_stop(made), "it groans again")
        assert (again.outcome, set(counts(made).values())) == (Outcome.APPLIED, {0})
        assert again.stop_waits_s(made.clock.now_s) is None
        asked = next(one for one in made.shown if one.phase is Phase.ASKING)
        for phase in (Phase.ASKING, Phase.PROVING):
            assert replace(asked, phase=phase).gives_way_to(Emergency.STOP)
        unheard = replace(asked.lines[0], exit_status=None)
        lost = replace(asked, phase=Phase.PROVING, lines=(unheard, *asked.lines[1:]))
        assert not lost.gives_way_to(Emergency.STOP), "it may go on over there"
        assert (await recovering).outcome is not Outcome.APPLIED
        assert not (await found(made)).over
        del made.directors.met[f"update {B} 17"]
        await made.executor.run(await to_recover(made), "")
        assert counts(made) == COUNTS


async def test_a_stop_does_not_wait_for_the_answer_to_a_question() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        made.directors.met[f"update {A} 1"] = lambda: failed(75, "no")
        asking = asyncio.create_task(made.run(Request(Verb.UPDATE, (Target(A, 1), Target(B, 1)))))
        await until(lambda: bool(made.shown and made.shown[-1].phase is Phase.ASKING))
        stopped = await made.executor.run(await to_stop(made), "")
        assert (stopped.outcome, set(counts(made).values())) == (Outcome.APPLIED, {0})
        ended = await asking
        assert ended.lines[1].note == "not sent"
        assert made.sent.count(f"update {B} 1") == 0


async def test_a_recovery_while_a_stop_of_somebody_else_goes_on_does_not_say_that_it_is_over() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        plan = await to_recover(made)

        def their_next_command(progress: Progress) -> None:
            if progress.outcome is Outcome.APPLIED and not progress.notes[-1].endswith("R again"):
                counted(made, {B: 0})

        executor = made.another_executor(their_next_command)
        ended = await executor.run(plan, "")
        assert ended.notes[-1] == f"the stop is not over, for {B} is at 0: R again"
        assert not (await found(made)).over
        stop = await stop_of(made)
        assert stop is not None
        assert stop.in_force
        await made.executor.run(await to_recover(made), "")
        assert (counts(made), await stop_of(made)) == (COUNTS, None)


async def test_a_monitor_that_sets_counts_in_the_middle_of_a_stop_takes_none_from_the_record() -> None:
    async with bench() as made:
        counted(made, COUNTS)

        def again() -> bytes:
            made.directors.carry_out(f"update {D} 0")
            counted(made, dict.fromkeys(IPS, 100))
            return b""

        made.directors.met[f"update {D} 0"] = again  # type: ignore[assignment]
        ended = await made.executor.run(await to_stop(made), "")
        assert ended.outcome is Outcome.NOT_APPLIED
        assert ended.lines[0].note == "vhost count 100, though doveadm said that it was done"
        made.directors.met.clear()
        made.clock.now_s += 1
        ended = await made.executor.run(await to_stop(made), "")
        assert (ended.outcome, set(counts(made).values())) == (Outcome.APPLIED, {0})
        assert (await found(made)).records[-1].saved == COUNTS | {C: 100}
        await made.executor.run(await to_recover(made), "")
        assert counts(made) == COUNTS | {C: 100}, "C had 0, and then the monitor's count"


async def test_what_one_director_does_not_show_stopped_is_stopped_there() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        made.directors.own["d3"] = {B: ("", 17, "up", 100)}
        counted(made, dict.fromkeys(IPS, 0))

        def merged() -> bytes:
            made.directors.own.clear()
            return b""

        made.directors.met[f"update {B} 0"] = merged  # type: ignore[assignment]
        ended = await made.executor.run(await to_stop(made), "")
        assert made.directors.changes == [("d3", f"update {B} 0")]
        assert ended.outcome is Outcome.APPLIED
        assert (await found(made)).records[0].saved == {A: 0, B: 17, C: 0, D: 0}


async def test_a_full_disk_here_is_no_obstacle_when_a_director_takes_the_record(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with bench() as made:
        counted(made, COUNTS)
        plan = await to_stop(made)
        (tmp_path / "file").write_text("")

        def full(*args: object) -> None:
            raise StateError("stop.json can't be written: No space left on device")

        monkeypatch.setattr(stop_keeping, "write_state", full)
        ended = await made.executor.run(plan, "")
        assert ended.outcome is Outcome.APPLIED
        assert ended.notes[:2] == (
            "kept d1, d2 and d3",
            "not kept here: stop.json can't be written: No space left on device",
        )


async def test_a_disk_that_takes_no_journal_is_no_obstacle_to_a_stop_either() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        plan = await to_stop(made)

        def full(*args: object) -> None:
            raise StateError("stop.json can't be written: No space left on device")

        executor = made.another_executor(journal=BrokenJournal("test", 0))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stop_keeping, "write_state", full)
            ended = await executor.run(plan, "")
        assert ended.outcome is Outcome.APPLIED
        assert "the journal has nothing of this: " in " ".join(ended.notes)
        # What it has taken is known all the same, and is not given back without a word of it in the journal.
        with pytest.raises(OperationRefused, match=r"nothing was sent.*No space left on device"):
            await made.another_executor(journal=BrokenJournal("test", 0)).run(await to_recover(made), "")
        assert (await made.executor.run(await to_recover(made), "")).outcome is Outcome.APPLIED
        assert counts(made) == COUNTS


async def test_a_disk_that_takes_nothing_is_no_obstacle_to_disconnecting_everyone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*args: object) -> None:
        raise StateError("unseen-flush.json can't be written: No space left on device")

    async with bench() as made:
        counted(made, dict.fromkeys(COUNTS, 0))
        plan = disconnect_plan(Standing(await made.reading(), made.cluster))
        monkeypatch.setattr(unseen_flush, "write_state", full)
        await made.another_executor(made.shown.append, journal=BrokenJournal("test", 0)).run(plan, "")
        assert made.directors.changes[0][1].startswith("flush ")
        said = " ".join(made.shown[-1].notes)
        assert "add and remove no backend before the flush has ended" in said
        assert "the journal has nothing of this" in said
        with pytest.raises(OperationRefused, match="No space left on device"):
            await made.run(Request(Verb.FLUSH, (Target(A),)))


async def test_a_state_folder_that_can_not_even_be_locked_is_no_obstacle_to_a_stop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    async with bench() as made:
        counted(made, COUNTS)
        plan = await to_stop(made)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
        ended = await made.another_executor().run(plan, "")
        assert ended.outcome is Outcome.APPLIED
        assert not any(counts(made).values())
        assert ended.notes[0].startswith("another director-tui on this machine is not kept from changing anything")
        assert "operation.lock can't be locked: " in ended.notes[0]
        assert "kept d1, d2 and d3" in ended.notes
        out = disconnect_plan(Standing(await made.reading(), made.cluster))
        ended = await made.another_executor().run(out, "")
        assert "operation.lock can't be locked: " in ended.notes[0]
        # Nothing else begins that nobody is kept away from.
        with pytest.raises(OperationRefused, match=r"nothing was sent: .*operation\.lock can't be locked"):
            await made.another_executor().run(await to_recover(made), "")


async def test_nothing_is_sent_where_the_record_can_be_kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(records="no\tfolder") as made:
        counted(made, COUNTS)
        plan = await to_stop(made)

        def full(*args: object) -> None:
            raise StateError("stop.json can't be written: No space left on device")

        monkeypatch.setattr(stop_keeping, "write_state", full)
        with pytest.raises(OperationRefused, match=r"nothing was sent: kept nowhere; not kept here: stop\.json") as why:
            await made.executor.run(plan, "")
        assert "not kept on d2: the folder for records has a control character in it" in str(why.value)
        assert (made.directors.changes, counts(made)) == ([], COUNTS)
        assert made.executor.progress is not None
        assert made.executor.progress.phase is Phase.ENDED


async def test_a_director_that_takes_the_record_for_ever_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stop_keeping, "STORE_LIMIT_S", 0.1)
    async with bench() as made:
        counted(made, COUNTS)
        plan = await to_stop(made)
        hangs = asyncio.Event()
        answers = made.directors

        def answer(destination: str, words: tuple[str, ...]) -> object:
            return hangs.wait() if words[0] == "sh" and destination == "d3" else answers(destination, words)

        for connection in made.ssh.connections:
            connection._answers = answer  # type: ignore[assignment]
        ended = await made.executor.run(plan, "")
        assert ended.outcome is Outcome.APPLIED
        assert "not kept on d3: not done within 0.1 s" in ended.notes
        hangs.set()


async def test_a_stop_goes_on_past_failures_and_the_rest_can_be_tried_again() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        made.directors.met[f"update {A} 0"] = lambda: failed(75, "Error: read(director-admin) failed")
        ended = await made.executor.run(await to_stop(made), "")
        assert [line.status for line in ended.lines] == [
            LineStatus.NOT_APPLIED,
            LineStatus.APPLIED,
            LineStatus.APPLIED,
        ]
        assert not any(progress.question for progress in made.shown)
        made.directors.met.clear()
        made.clock.now_s += 1
        ended = await made.executor.run(await to_stop(made), "")
        assert [line.target for line in ended.lines] == [A]
        assert set(counts(made).values()) == {0}
        records = (await found(made)).records
        assert [record.saved for record in records] == [COUNTS, COUNTS]
        ended = await made.executor.run(await to_recover(made), "")
        assert counts(made) == COUNTS
        assert (await found(made)).over == {record.stamp for record in records}


async def test_it_asks_where_the_ring_is_not_synced_and_only_there() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        made.directors.met[f"update {A} 0"] = lambda: failed(75, "Error: busy")
        made.directors.met[f"update {B} 0"] = lambda: failed(75, f"Error: {B}: Ring sync timed out")
        running = asyncio.ensure_future(made.executor.run(await to_stop(made), ""))
        assert (await made.asked()).startswith(f"The ring was not synced in time: {B}")
        assert made.sent == [f"update {A} 0", f"update {B} 0"]
        made.executor.decide(go_on=True)
        ended = await running
        assert made.sent == [f"update {A} 0", f"update {B} 0", f"update {D} 0"]
        assert ended.lines[-1].status is LineStatus.APPLIED


@pytest.mark.parametrize("shell", [True, False])
async def test_without_a_remote_shell_it_goes_on_past_failures_too(shell: bool) -> None:
    async with bench(shell=shell) as made:
        counted(made, COUNTS)
        made.directors.met[f"update {B} 0"] = lambda: failed(75, "Error: busy")
        ended = await made.executor.run(await to_stop(made), "")
        assert made.sent == [f"update {ip} 0" for ip in (A, B, D)]
        assert any("slower" in note for note in ended.notes) is not shell


async def test_a_director_that_is_down_has_no_copy_and_is_named() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        made.directors.instead["d3"] = Unreachable("d3: no route")
        ended = await made.executor.run(await to_stop(made), "")
        assert set(counts(made).values()) == {0}
        assert ended.notes[0] == "kept here, d1 and d2"
        assert "not kept on d3: d3: no route" in ended.notes


async def test_another_operator_finds_the_record_on_a_director_and_recovers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
        there = await found(made)
        assert list(there.where.values()) == [("d1", "d2", "d3")]
        ended = await made.executor.run(await to_recover(made), "")
        assert (ended.outcome, counts(made)) == (Outcome.APPLIED, COUNTS)


async def test_a_local_record_wins_over_a_copy_that_differs() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        (record,) = (await found(made)).records
        wrong = replace(record, backends=record.backends[:1])
        call = store(made.cluster.records, record.name, record_json(wrong), "token")
        await made.ring.link("d2").call(call)
        there = await found(made)
        assert there.records == (record,)
        assert there.notes == (f"{record.name} on d2 differs from the one here, which counts",)
        assert there.where == {record.stamp: ("here", "d1", "d3")}


async def ended_on(made: Bench, *directors: str) -> None:
    (record,) = (await found(made)).records
    over = StopOver(record.stamp, made.clock.times.utc(), "eva", "elsewhere")
    for name in directors:
        await made.ring.link(name).call(store(made.cluster.records, over.name, over_json(over), "token"))


async def test_one_director_alone_ends_no_stop_that_was_made_here_and_is_in_force() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        await ended_on(made, "d2")
        seen = await look_for_stops(made.ring, await made.reading(), made.clock.times)
        assert seen.stop is not None
        assert seen.stop.in_force
        (note,) = seen.found.notes
        assert note.startswith(f"over-{seen.stop.record.stamp}.json on d2 is not believed")
        counted(made, COUNTS | {A: 55})
        seen = await look_for_stops(made.ring, await made.reading(), made.clock.times)
        assert (seen.stop, seen.found.notes) == (None, ()), "the ring shows that somebody has given something back"


async def test_most_directors_together_end_a_stop_that_was_made_here() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        await ended_on(made, "d2", "d3")
        assert await stop_of(made) is None


async def test_one_director_ends_a_stop_that_was_made_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
        await ended_on(made, "d2")
        assert await stop_of(made) is None


async def test_a_stop_that_the_script_has_undone_is_said_to_be_over() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        seen = await look_for_stops(made.ring, await made.reading(), made.clock.times)
        assert seen.stop is not None
        assert seen.stop.in_force
        made.clock.now_s += 3600
        counted(made, COUNTS)
        made.directors.own["d3"] = {A: ("", 0, "up", 0)}
        seen = await look_for_stops(made.ring, await made.reading(), made.clock.times)
        assert seen.stop is not None
        assert seen.stop.stopped == (A,), "one director still has something of it"
        assert not (await found(made)).over
        made.directors.own.clear()
        await look_for_stops(made.ring, await made.reading(), made.clock.times)
        there = await found(made)
        assert there.over == {one.stamp for one in there.records}


async def test_what_directors_list_that_have_just_begun_ends_no_stop() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        made.clock.now_s += 3600
        counted(made, COUNTS)
        configured = await made.reading()
        counted(made, dict.fromkeys(COUNTS, 0))
        await look_for_stops(made.ring, configured, made.clock.times)
        assert not (await found(made)).over, "now they have heard of the others"
        counted(made, COUNTS)
        made.directors.unsynced.add("d1")
        await look_for_stops(made.ring, await made.reading(), made.clock.times)
        assert not (await found(made)).over, "they may be about to"
        made.directors.unsynced.clear()
        await look_for_stops(made.ring, await made.reading(), made.clock.times)
        assert len((await found(made)).over) == 1


async def test_read_only_nothing_is_said_on_the_directors() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        made.clock.now_s += 3600
        counted(made, COUNTS)
        reader = made.ssh.ring("d1", "d2", "d3")
        object.__setattr__(reader, "cluster", replace(made.cluster, read_only=True))
        assert (await look_for_stops(reader, await made.reading(), made.clock.times)).stop is None
        assert not (await found(made)).over
        await reader.close()


async def test_what_was_saved_while_no_director_told_its_ring_is_given_back() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        plan = await to_stop(made)
        record = record_of(plan, replace(await made.reading(), views=(), snapshot=None), "", NOON, "ops", "here")
        assert record.ring == ()
        await keep_record(record, made.cluster.name, made.ring.links, made.cluster.records)
        counted(made, dict.fromkeys(COUNTS, 0))
        there = await found(made)
        assert there.records == (record,)
        assert there.notes[0] == (
            f"{record.name} here was made while no director told its ring: it is taken for one of this ring"
        )
        await made.executor.run(await to_recover(made), "")
        assert counts(made) == COUNTS


async def test_what_is_no_record_is_said_and_left_out() -> None:
    async with bench() as made:
        for name, content in (("stop-20261124T214012345Z.json", b"{"), ("stop-x.json", b"\x1b[2J")):
            await made.ring.link("d2").call(store(made.cluster.records, name, content, "token"))
        there = await found(made)
        assert there.records == ()
        assert there.notes == (
            "stop-20261124T214012345Z.json on d2 is no JSON",
            "stop-x.json on d2 has no name that a record has",
        )


async def test_the_word_that_a_stop_is_over_is_kept_also_where_only_a_director_takes_it() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        await made.executor.run(await to_stop(made), "")
        plan = await to_recover(made)
        made.directors.instead["d3"] = Unreachable("d3: no route")
        ended = await made.executor.run(plan, "")
        assert counts(made) == COUNTS
        assert ended.outcome is Outcome.APPLIED
        assert "that the stop is over is not kept on d3: d3: no route" in made.shown[-1].notes


async def test_nothing_is_stopped_or_recovered_read_only_or_on_ground_that_moved() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        plan = await to_stop(made)
        counted(made, {A: 99})
        with pytest.raises(PlanOutdated, match="100 → 99"):
            await made.executor.run(plan, "")
        assert not (await found(made)).records, "a plan that is outdated leaves no record"
        made.directors.instead = {name: Unreachable(f"{name}: no route") for name in ("d1", "d2", "d3")}
        with pytest.raises(OperationRefused):
            await made.executor.run(plan, "")
        assert made.directors.changes == []
    async with bench(read_only=True) as made:
        with pytest.raises(OperationRefused, match="read-only"):
            await made.executor.run(await to_stop(made), "")
        assert made.directors.changes == []
        assert not (await found(made)).records


async def test_a_stop_that_is_left_in_the_middle_says_so_and_goes_on() -> None:
    async with bench() as made:
        counted(made, COUNTS)
        gate = asyncio.Event()

        async def wait() -> object:
            await gate.wait()
            made.directors.carry_out(f"update {A} 0")
            return b""

        made.directors.met[f"update {A} 0"] = wait  # type: ignore[assignment]
        running = asyncio.ensure_future(made.executor.run(await to_stop(made), ""))
        await until(lambda: bool(made.directors.changes))
        await made.executor.close()
        await asyncio.gather(running, return_exceptions=True)
        gate.set()
        await until(lambda: set(counts(made).values()) == {0})
        stop = await stop_of(made)
        assert stop is not None
        assert {ip: one.vhosts for ip, one in stop.saved.items()} == COUNTS
