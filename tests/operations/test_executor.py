"""The executor on directors in memory: what it checks, in which order it writes and sends, what it makes of the end."""

from __future__ import annotations

import asyncio
import dataclasses
import fcntl
import json
import os
import pwd
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from director_tui.director import doveadm
from director_tui.errors import (
    ConnectionLost,
    NoAnswer,
    OperationRefused,
    PlanOutdated,
    StateError,
    Unreachable,
)
from director_tui.link import ring as ring_module
from director_tui.link.ssh import Reply
from director_tui.operations import executor as executor_module
from director_tui.operations import lock as lock_module
from director_tui.operations import operation as operation_module
from director_tui.operations import proof as proof_module
from director_tui.operations.journal import Entry, Journal
from director_tui.operations.lock import operation_lock
from director_tui.operations.plan import Outcome, Request, Target, Verb
from director_tui.operations.progress import LATER_LIMIT_S, LineStatus, Phase
from director_tui.operations.record import Event
from director_tui.operations.unseen_flush import UnseenFlush, forget_flushes, remember_flush, unseen_flushes
from director_tui.state import lock_state, state_folder
from tests.link.fakes import until
from tests.operations.fakes import IPS, bench, failed
from tests.operations.standing import update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from director_tui.operations.plan import Plan
    from director_tui.operations.record import Record

A, B, C, D = IPS
SOON_S = 0.005


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test need not sit through."""
    monkeypatch.setattr(proof_module, "PAUSES_S", (SOON_S,))
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 0.15)
    monkeypatch.setattr(operation_module, "FLUSH_BEAT_S", SOON_S)
    monkeypatch.setattr(operation_module, "LATER_BEAT_S", SOON_S)
    monkeypatch.setattr(executor_module, "STANDSTILL_BEAT_S", SOON_S)
    monkeypatch.setattr(ring_module, "BACK_OFF_S", (SOON_S,))


# What is sent, and what is on disk before and after.


async def test_an_update_that_every_director_shows() -> None:
    async with bench() as made:
        made.directors.backends[B] = ("", 50, "up", 7)
        ended = await made.run(update(0, A, B), "storage is slow")
        assert made.sent == [f"update {A} 0", f"update {B} 0"]
        assert ended == made.executor.progress == made.shown[-1]
        assert [(line.target, line.status, line.exit_status) for line in ended.lines] == [
            (A, LineStatus.APPLIED, 0),
            (B, LineStatus.APPLIED, 0),
        ]
        assert (ended.outcome, ended.running, ended.notes) == (Outcome.APPLIED, False, ("seen on all 3 directors",))
        phases = list(dict.fromkeys(one.phase for one in made.shown))
        assert phases == [Phase.CHECKING, Phase.RUNNING, Phase.PROVING, Phase.ENDED]
        planned, intent, first, second = made.records
        assert {one.operation for one in made.records} == {ended.id}
        assert (planned.event, planned.verb, planned.targets, planned.reason) == (
            *(Event.PLANNED, "update", (A, B)),
            "storage is slow",
        )
        assert (intent.event, intent.step, intent.targets, intent.via) == (Event.INTENT, 1, (A, B), "d1")
        assert intent.argv[1] == ("env", "TZ=UTC", "LC_ALL=C", "doveadm", "director", "update", B, "0")
        assert (first.event, first.step, first.targets, first.outcome) == (Event.RESULT, 1, (A,), Outcome.APPLIED)
        assert (second.step, second.exit_status, second.argv) == (2, 0, intent.argv[1:])
        assert second.before == {B: {"tag": "", "vhosts": 50, "state": "up", "users": 7}}
        assert second.after == {B: {"tag": "", "vhosts": 0, "state": "up", "users": 7}}
        assert Entry(made.records).outcome is Outcome.APPLIED


async def test_the_intent_is_on_disk_before_the_command_is_sent() -> None:
    async with bench() as made:
        there: list[Record] = []

        def look() -> Reply:
            there.extend(made.records)
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"update {A} 0"] = look
        await made.run(update(0, A))
        assert [one.event for one in there] == [Event.PLANNED, Event.INTENT]
        assert there[1].argv[0][3:] == ("doveadm", "director", "update", A, "0")


async def test_user_names_stay_out_of_the_journal_where_they_are_not_wanted() -> None:
    async with bench(redact_users=True) as made:
        made.directors.sessions = {"d1": [("jane", A)]}
        ended = await made.run(KICK, "jane asked for it")
        assert ended.outcome is Outcome.APPLIED
        text = made.journal.path.read_text()
        assert len(text.splitlines()) == 3
        assert "jane" not in text
        assert made.sent == ["kick -- jane"]


async def test_nor_are_they_where_others_read_what_is_at_work() -> None:
    async with bench(redact_users=True) as made:
        made.directors.met["kick -- jane"] = _holder
        ended = await made.run(KICK)
        assert re.fullmatch("Kick user-[0-9a-f]{10}", json.loads(ended.lines[0].output)["what"])
    async with bench() as made:
        made.directors.met["kick -- jane"] = _holder
        ended = await made.run(KICK)
        assert json.loads(ended.lines[0].output)["what"] == "Kick jane"


def _holder() -> Reply:
    """It says what others read of the operation that runs."""
    return Reply(0, (state_folder("test") / "operation.lock").read_bytes(), b"", 0.02)


async def test_no_disk_and_no_list_of_users_is_waited_for_by_what_draws_the_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    touched = set()

    def elsewhere(module: Any, name: str) -> None:
        call = getattr(module, name)

        def checked(*args: Any, **more: Any) -> Any:
            assert threading.current_thread() is not threading.main_thread(), name
            touched.add(name)
            return call(*args, **more)

        monkeypatch.setattr(module, name, checked)

    async with bench(redact_users=True) as made:
        plan = await made.plan(KICK)
        for module, name in ((os, "fsync"), (os, "ftruncate"), (fcntl, "flock"), (pwd, "getpwuid")):
            elsewhere(module, name)
        executor = made.another_executor()
        for _ in range(2):  # the second begins while the first gives its lock back
            assert (await executor.run(plan, "")).outcome is Outcome.APPLIED
    assert touched == {"fsync", "ftruncate", "flock", "getpwuid"}


async def test_who_ends_while_the_lock_is_waited_for_does_not_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    taking, go_on = threading.Event(), threading.Event()

    def slowly(cluster: str, name: str) -> int | None:
        taking.set()
        go_on.wait()
        return lock_state(cluster, name)

    def is_free() -> bool:
        try:
            with operation_lock("test", "free again", made.clock.times.utc()):
                return True
        except OperationRefused:
            return False

    async with bench() as made:
        plan = await made.plan(update(0, A))
        with monkeypatch.context() as patched:
            patched.setattr(lock_module, "lock_state", slowly)
            running = asyncio.create_task(made.executor.run(plan, ""))
            await until(taking.is_set)
            await made.executor.close()
            await asyncio.wait([running])
            go_on.set()
        await until(is_free)  # it is given back a turn of the loop after the task that takes it has ended
        assert made.directors.changes == []


async def test_two_operations_have_ids_of_their_own_in_the_order_of_time() -> None:
    async with bench() as made:
        first = await made.run(update(0, A))
        made.clock.now_s += 1
        second = await made.run(update(0, B))
        assert first.id < second.id


class BrokenJournal(Journal):
    """The disk takes so many more appends."""

    def __init__(self, cluster: str, appends: int) -> None:
        super().__init__(cluster)
        self.appends = appends

    def append(self, *records: Record, users: Any = ()) -> None:
        self.appends -= 1
        if self.appends < 0:
            raise StateError("/state/journal.jsonl can't be written: No space left on device", "make room")
        super().append(*records, users=users)


async def test_without_a_record_nothing_is_sent() -> None:
    async with bench() as made:
        executor = made.another_executor(made.shown.append, journal=BrokenJournal("test", 0))
        with pytest.raises(OperationRefused, match=r"nothing was sent.*No space left on device"):
            await executor.run(await made.plan(update(0, A)), "")
        assert made.directors.changes == []
        assert made.shown[-1].phase is Phase.ENDED
        assert made.shown[-1].outcome is None
        assert "No space left" in made.shown[-1].notes[-1]
        # It is over: the next one may begin.
        assert (await made.run(update(0, A))).outcome is Outcome.APPLIED


async def test_a_flush_without_a_record_leaves_nothing_blocked() -> None:
    async with bench() as made:
        executor = made.another_executor(journal=BrokenJournal("test", 0))
        with pytest.raises(OperationRefused, match="nothing was sent"):
            await executor.run(await made.plan(Request(Verb.FLUSH, (Target(A),))), "")
        assert unseen_flushes("test") == ()


async def test_a_state_folder_that_can_not_be_used(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    async with bench() as made:
        with pytest.raises(OperationRefused, match=r"nothing was sent: .*can't be"):
            await made.run(update(0, A))
        assert made.directors.changes == []


async def test_a_result_that_can_not_be_written_is_said_and_not_lost() -> None:
    async with bench() as made:
        executor = made.another_executor(journal=BrokenJournal("test", 1))
        ended = await executor.run(await made.plan(update(0, A)), "")
        assert ended.outcome is Outcome.APPLIED
        assert any("the result is not in the journal" in note for note in ended.notes)
        assert Entry(made.records).outcome is Outcome.UNKNOWN


# What may not begin.


async def test_read_only_is_refused_here_whatever_a_screen_shows() -> None:
    async with bench(read_only=True) as made:
        with pytest.raises(OperationRefused, match="read-only"):
            await made.run(update(0, A))
        assert made.directors.changes == []
        assert made.records == ()
        assert made.executor.progress is None


async def test_a_plan_of_another_cluster_is_refused() -> None:
    async with bench() as made:
        plan = dataclasses.replace(await made.plan(update(0, A)), cluster="mail-us")
        with pytest.raises(OperationRefused, match="mail-us"):
            await made.executor.run(plan, "")
        assert made.directors.changes == []


async def test_what_changed_since_the_plan_was_made_goes_back_to_the_dialog() -> None:
    async with bench() as made:
        plan = await made.plan(update(0, A))
        made.directors.backends[A] = ("", 50, "up", 100)
        with pytest.raises(PlanOutdated) as outdated:
            await made.executor.run(plan, "")
        assert outdated.value.changes == (f"{A} vhosts: 100 → 50",)
        assert made.directors.changes == []
        assert made.records == ()
        assert made.executor.progress is not None
        assert not made.executor.progress.running
        assert (await made.run(update(0, A))).outcome is Outcome.APPLIED


async def test_the_check_is_on_what_every_director_says_now() -> None:
    async with bench() as made:
        plan = await made.plan(update(0, A))
        made.directors.own["d3"] = {A: ("", 70, "up", 100)}
        with pytest.raises(PlanOutdated):
            await made.executor.run(plan, "")
        assert made.directors.changes == []


async def test_a_removal_where_not_every_member_of_the_ring_can_be_asked_for_its_sessions() -> None:
    """That nobody knows of all sessions raised the confirmation; it is no change that keeps it from being run."""
    async with bench(configured=("d1", "d2")) as made:
        made.directors.backends[A] = ("", 0, "up", 0)
        plan = await made.plan(Request(Verb.REMOVE, (Target(A),)))
        assert "whether sessions are left is not known" in plan.raised_by
        assert (await made.executor.run(plan, "")).outcome is Outcome.APPLIED


async def test_users_that_come_while_sessions_are_listed_stop_a_removal() -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 0, "up", 0)
        plan = await made.plan(Request(Verb.REMOVE, (Target(A),)))
        made.directors.on_sessions = lambda: made.directors.backends.update({A: ("", 0, "up", 1)})
        with pytest.raises(PlanOutdated) as outdated:
            await made.executor.run(plan, "")
        assert outdated.value.changes == ("confirmation: plain → typed",)
        assert made.directors.changes == []


async def test_a_target_that_was_removed_since() -> None:
    async with bench() as made:
        plan = await made.plan(update(0, A))
        del made.directors.backends[A]
        with pytest.raises(OperationRefused):
            await made.executor.run(plan, "")
        assert made.directors.changes == []


async def test_a_ring_state_that_can_not_be_read_now_is_not_known() -> None:
    """The director in use lists its backends and says nothing of the ring: what it said before is no reading."""
    async with bench() as made:
        plan = await made.plan(update(0, A))
        link = made.ring.link("d1")
        call = link.call

        async def says_nothing_of_the_ring(one: Any) -> Any:
            if one == doveadm.ring_status():
                raise NoAnswer("d1: no answer within 6 s")
            return await call(one)

        link.call = says_nothing_of_the_ring  # type: ignore[assignment,method-assign] # only this one call
        with pytest.raises(PlanOutdated) as outdated:
            await made.executor.run(plan, "")
        assert "ring: synced → whether the ring is synced is not known" in outdated.value.changes
        assert made.directors.changes == []


async def test_a_ring_that_can_not_be_read_now() -> None:
    async with bench() as made:
        plan = await made.plan(update(0, A))
        made.directors.instead = {name: ConnectionLost(f"{name}: gone") for name in ("d1", "d2", "d3")}
        with pytest.raises(OperationRefused, match="no connection to the ring"):
            await made.executor.run(plan, "")
        assert made.directors.changes == []


async def test_one_at_a_time_in_this_program() -> None:
    async with bench() as made:
        gate = asyncio.Event()
        made.directors.met[f"update {A} 0"] = lambda: _after(gate)
        plan, other = await made.plan(update(0, A)), await made.plan(update(0, B))
        running = asyncio.create_task(made.executor.run(plan, ""))
        await until(lambda: bool(made.directors.changes))
        with pytest.raises(OperationRefused, match="one change at a time"):
            await made.executor.run(other, "")
        gate.set()
        assert (await running).outcome is Outcome.NOT_APPLIED
        assert made.sent == [f"update {A} 0"]


async def test_one_at_a_time_on_this_machine() -> None:
    """Two copies of the program on one ring: the second is refused, and the first not disturbed."""
    async with bench() as made:
        gate = asyncio.Event()
        made.directors.met[f"update {A} 0"] = lambda: _after(gate)
        plan, other = await made.plan(update(0, A)), await made.plan(update(0, B))
        running = asyncio.create_task(made.executor.run(plan, ""))
        await until(lambda: bool(made.directors.changes))
        second = made.another_executor()
        with pytest.raises(OperationRefused, match="is at work"):
            await second.run(other, "")
        gate.set()
        await running
        assert made.sent == [f"update {A} 0"]
        assert (await second.run(await made.plan(update(0, B)), "")).outcome is Outcome.APPLIED


# Done means seen.


async def test_exit_status_0_and_nothing_changed_is_not_applied() -> None:
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: Reply(0, b"", b"", 0.02)
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.NOT_APPLIED
        assert ended.lines[0].note == "vhost count 100, though doveadm said that it was done"


async def test_a_failure_that_was_carried_out_all_the_same_is_applied() -> None:
    async with bench() as made:

        def times_out() -> Reply:
            made.directors.carry_out(f"update {A} 0")
            return failed(75, f"Error: {A}: Ring sync timed out")

        made.directors.met[f"update {A} 0"] = times_out
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.APPLIED
        assert ended.lines[0].note == "seen, though doveadm ended with exit status 75"
        assert ended.lines[0].exit_status == 75


async def test_directors_that_disagree_are_named() -> None:
    async with bench() as made:

        def on_two_of_three() -> Reply:
            made.directors.carry_out(f"update {A} 0")
            made.directors.own["d3"] = {A: ("", 100, "up", 100)}
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"update {A} 0"] = on_two_of_three
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.UNKNOWN
        assert "d1: vhost count 0; d2: vhost count 0; d3: vhost count 100" in ended.lines[0].note


async def test_a_director_that_shows_it_a_moment_later() -> None:
    async with bench() as made:

        def later() -> Reply:
            made.directors.carry_out(f"update {A} 0")
            made.directors.own["d3"] = {A: ("", 100, "up", 100)}
            asyncio.get_running_loop().call_later(5 * SOON_S, made.directors.own.clear)
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"update {A} 0"] = later
        assert (await made.run(update(0, A))).outcome is Outcome.APPLIED


async def test_a_director_that_says_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 3600.0)  # it is not waited for, either
    async with bench() as made:

        def and_one_is_gone() -> Reply:
            made.directors.carry_out(f"update {A} 0")
            made.directors.instead["d3"] = ConnectionLost("d3: the connection was lost")
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"update {A} 0"] = and_one_is_gone
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.APPLIED
        assert ended.notes == ("seen on 2 of 3 directors; not on d3 (d3: the connection was lost)",)


async def test_a_director_of_another_ring_proves_nothing() -> None:
    async with bench(configured=("d1", "d2", "x")) as made:
        made.directors.own["x"] = {A: ("", 100, "up", 100)}
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.APPLIED
        assert ended.notes[0].startswith("seen on 2 of 3 directors")


async def test_a_director_that_has_never_said_who_it_is_proves_nothing() -> None:
    """What it lists may be another ring's, or that of one which is seen already."""
    async with bench() as made:
        made.directors.nameless = {"d3"}
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.APPLIED
        assert ended.notes == ("seen on 2 of 3 directors; not on d3 (d3: it has not said which director it is)",)


async def test_nothing_is_proven_where_no_director_says_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 3600.0)  # there is nobody to be waited for
    async with bench(configured=("d1",)) as made:
        made.directors.nameless = {"d1"}
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.UNKNOWN
        assert ended.lines[0].note == ("no director could be read afterwards: d1: it has not said which director it is")


async def test_a_ring_member_without_a_destination_is_named() -> None:
    async with bench(configured=("d1", "d2")) as made:
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.APPLIED
        assert ended.notes == ("seen on 2 of 3 directors; not on 10.0.0.3 (no SSH destination is configured for it)",)


@pytest.mark.parametrize(
    ("request_", "row", "sent"),
    [
        (Request(Verb.DOWN, (Target(A),)), ("", 100, "up", 5), f"down {A}"),
        (Request(Verb.UP, (Target(A),)), ("", 100, "down", 5), f"up {A}"),
        (Request(Verb.REMOVE, (Target(A),)), ("", 0, "up", 0), f"remove {A}"),
        (Request(Verb.ADD, (Target("10.1.0.9", 30),), tag="gold"), None, "add -t gold 10.1.0.9 30"),
    ],
    ids=["down", "up", "remove", "add"],
)
async def test_every_verb_on_rows(request_: Request, row: tuple[str, int, str, int] | None, sent: str) -> None:
    async with bench() as made:
        if row is not None:
            made.directors.backends[A] = row
        ended = await made.run(request_)
        assert made.sent == [sent]
        assert (ended.outcome, ended.lines[0].note) == (Outcome.APPLIED, "")


async def test_an_add_with_another_tag_than_was_wanted_is_not_applied() -> None:
    async with bench() as made:

        def without_tag() -> Reply:
            made.directors.backends["10.1.0.9"] = ("", 30, "up", 0)
            return Reply(0, b"", b"", 0.02)

        made.directors.met["add -t gold 10.1.0.9 30"] = without_tag
        ended = await made.run(Request(Verb.ADD, (Target("10.1.0.9", 30),), tag="gold"))
        assert ended.outcome is Outcome.NOT_APPLIED
        assert "tag (none)" in ended.lines[0].note


async def test_a_refused_command_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 3600.0)
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: failed(
            75, f"Error: {A}: host is already being updated - try again later"
        )
        ended = await made.run(update(0, A))
        assert (ended.outcome, ended.lines[0].note) == (Outcome.NOT_APPLIED, "vhost count 100")


# Several commands.


async def test_the_first_failure_stops_the_batch_and_asks() -> None:
    async with bench() as made:
        made.directors.met[f"update {B} 0"] = lambda: failed(75, f"Error: {B}: doesn't exist")
        running = asyncio.create_task(made.run(update(0, A, B, C, D)))
        question = await made.asked()
        assert question == f"{B} failed with exit status 75: Error: {B}: doesn't exist. Go on with the other 2?"
        assert made.sent == [f"update {A} 0", f"update {B} 0"]
        assert [line.status for line in made.shown[-1].lines] == [
            *(LineStatus.DONE, LineStatus.FAILED),
            *(LineStatus.PENDING, LineStatus.PENDING),
        ]
        assert made.shown[-1].phase is Phase.ASKING
        with pytest.raises(OperationRefused):  # it is not over
            await made.executor.run(await made.plan(update(0, D)), "")
        made.executor.decide(True)
        ended = await running
        assert made.sent == [f"update {ip} 0" for ip in IPS]
        assert [line.status for line in ended.lines] == [
            *(LineStatus.APPLIED, LineStatus.NOT_APPLIED),
            *(LineStatus.APPLIED, LineStatus.APPLIED),
        ]
        assert ended.outcome is Outcome.NOT_APPLIED
        assert ended.question == ""
        intents = [one for one in made.records if one.event is Event.INTENT]
        assert [(one.step, one.targets) for one in intents] == [(1, IPS), (3, (C, D))]


@pytest.mark.parametrize(
    ("meanwhile", "changes"),
    [
        ((f"update {C} 7",), f"{C} vhosts: 100 → 7"),
        ((f"down {D}",), f"{D}: vhosts 100 → not usable"),
        ((f"update {A} 100",), f"{A}: not usable → vhosts 100"),
        ((f"remove {C}",), f"{C} is not listed by d1"),
        ((f"update {B} 3", f"flush {D}"), ""),
    ],
    ids=["the rest", "another", "what was done", "gone", "what failed, and users"],
)
async def test_the_rest_is_not_sent_when_its_ground_has_changed_while_the_question_stood(
    meanwhile: Sequence[str], changes: str
) -> None:
    async with bench() as made:
        made.directors.met[f"update {B} 0"] = lambda: failed(75, f"Error: {B}: host is already being updated")
        running = asyncio.create_task(made.run(update(0, A, B, C)))
        await made.asked()
        for change in meanwhile:
            made.directors.carry_out(change)
        made.executor.decide(True)
        ended = await running
        assert made.sent == [f"update {ip} 0" for ip in ((A, B) if changes else (A, B, C))]
        assert any(changes in note and "the rest was not sent" in note for note in ended.notes) is bool(changes)
        assert (ended.lines[2].note == "not sent") is bool(changes)
        assert not ended.running


async def test_the_rest_is_not_sent_when_the_ring_can_not_be_read_or_is_not_synced_any_more() -> None:
    for unreadable in (True, False):
        async with bench() as made:
            made.directors.met[f"update {A} 0"] = lambda: failed(75, f"Error: {A}: host is already being updated")
            running = asyncio.create_task(made.run(update(0, A, B)))
            await made.asked()
            if unreadable:
                made.directors.instead = {name: ConnectionLost(f"{name}: gone") for name in ("d1", "d2", "d3")}
            else:
                made.directors.unsynced = {"d2"}
            made.executor.decide(True)
            ended = await running
            assert made.sent == [f"update {A} 0"]
            why = "no connection to the ring" if unreadable else "the ring is not synced (d2)"
            assert any(note.startswith("the rest was not sent") and why in note for note in ended.notes), ended.notes
            made.directors.instead = {}


async def test_ending_after_a_failure_sends_nothing_more() -> None:
    async with bench() as made:
        made.directors.met[f"update {B} 0"] = lambda: failed(75, f"Error: {B}: doesn't exist")
        running = asyncio.create_task(made.run(update(0, A, B, C)))
        await made.asked()
        made.executor.decide(False)
        ended = await running
        assert made.sent == [f"update {A} 0", f"update {B} 0"]
        assert [line.status for line in ended.lines] == [
            *(LineStatus.APPLIED, LineStatus.NOT_APPLIED),
            LineStatus.NOT_APPLIED,
        ]
        assert ended.lines[2].note == "not sent"
        # Nor is it counted as sent while the others are being proven.
        proving = [one.lines[2].status for one in made.shown if one.phase is Phase.PROVING]
        assert set(proving) <= {LineStatus.PENDING, LineStatus.NOT_APPLIED}
        assert proving[0] is LineStatus.PENDING
        assert [one.outcome for one in Entry(made.records).results] == [
            *(Outcome.APPLIED, Outcome.NOT_APPLIED),
            Outcome.NOT_APPLIED,
        ]


async def test_a_ring_that_was_not_synced_in_time_asks() -> None:
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: failed(75, f"Error: {A}: Ring sync timed out")
        running = asyncio.create_task(made.run(update(0, A, B)))
        assert await made.asked() == (
            f"The ring was not synced in time: {A} may have been changed, or may be later. Go on with the last one?"
        )
        made.directors.unsynced = {"d1", "d2"}
        made.executor.decide(False)
        ended = await running
        assert ended.lines[0].status is LineStatus.UNKNOWN
        assert "the ring is not synced: it may still be carried out" in ended.lines[0].note
        # It is read again until it is known.
        made.directors.carry_out(f"update {A} 0")
        made.directors.unsynced = set()
        await until(lambda: made.shown[-1].lines[0].status is LineStatus.APPLIED)
        assert made.sent == [f"update {A} 0"]


async def test_one_by_one_where_there_is_no_shell_and_it_says_so() -> None:
    async with bench(shell=False) as made:
        ended = await made.run(update(0, A, B))
        assert made.sent == [f"update {A} 0", f"update {B} 0"]
        assert ended.outcome is Outcome.APPLIED
        assert ended.notes[0].startswith("one command at a time, which is slower: d1: no remote shell")


# When the end is not seen.


async def test_a_lost_connection_is_never_a_reason_to_send_again() -> None:
    async with bench() as made:

        def lost_behind_it() -> ConnectionLost:
            made.directors.carry_out(f"update {B} 0")
            return ConnectionLost("d1: the connection was lost before the command ended")

        made.directors.met[f"update {B} 0"] = lost_behind_it
        ended = await made.run(update(0, A, B, C))
        assert made.sent == [f"update {A} 0", f"update {B} 0"]
        assert [line.status for line in ended.lines] == [
            *(LineStatus.APPLIED, LineStatus.APPLIED),
            LineStatus.UNKNOWN,
        ]
        assert "d1: the connection was lost before the command ended" in ended.notes
        assert [one.outcome for one in Entry(made.records).results] == [
            *(Outcome.APPLIED, Outcome.APPLIED),
            Outcome.UNKNOWN,
        ]


async def test_what_was_on_its_way_when_the_connection_was_lost_is_unknown_until_it_can_not_arrive_any_more() -> None:
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: ConnectionLost("d1: the connection was lost")
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.UNKNOWN
        assert ended.lines[0].note == "vhost count 100; its end was not seen: it may still be carried out"
        link, looked = made.ring.link("d2"), 0
        call = link.call

        async def counted(one: Any) -> Any:
            nonlocal looked
            looked += one == doveadm.status()
            return await call(one)

        link.call = counted  # type: ignore[assignment,method-assign] # to know when it has been looked at again
        await until(lambda: looked > 3)
        assert made.shown[-1].outcome is Outcome.UNKNOWN
        made.clock.now_s += LATER_LIMIT_S
        await until(lambda: made.shown[-1].outcome is Outcome.NOT_APPLIED)
        await until(lambda: Entry(made.records).outcome is Outcome.NOT_APPLIED)


async def test_what_was_lost_is_read_through_the_other_directors() -> None:
    async with bench() as made:

        def lost_for_good() -> ConnectionLost:
            made.directors.carry_out(f"update {A} 0")
            made.ssh.refusals["d1"] = Unreachable("d1: connection refused")
            return ConnectionLost("d1: the connection was lost before the command ended")

        made.directors.met[f"update {A} 0"] = lost_for_good
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.APPLIED
        assert any(note.startswith("seen on 2 of 3 directors; not on d1 (") for note in ended.notes)
        assert made.directors.changes == [("d1", f"update {A} 0")]


async def test_what_nobody_can_say_is_unknown_and_said_when_it_is_known() -> None:
    async with bench() as made:

        def all_gone() -> ConnectionLost:
            made.directors.carry_out(f"update {A} 0")
            made.directors.instead = {name: ConnectionLost(f"{name}: gone") for name in ("d1", "d2", "d3")}
            return ConnectionLost("d1: gone")

        made.directors.met[f"update {A} 0"] = all_gone
        ended = await made.run(update(0, A))
        assert ended.outcome is Outcome.UNKNOWN
        assert ended.lines[0].note.startswith("no director could be read afterwards: ")
        assert Entry(made.records).outcome is Outcome.UNKNOWN
        made.directors.instead = {}
        await until(lambda: made.shown[-1].outcome is Outcome.APPLIED)
        assert made.shown[-1].notes[-1] == "looked at again: seen on all 3 directors"
        await until(lambda: Entry(made.records).outcome is Outcome.APPLIED)
        assert made.sent == [f"update {A} 0"]


async def test_looking_again_ends_where_the_next_operation_begins() -> None:
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: failed(75, f"Error: {A}: Ring sync timed out")
        made.directors.unsynced = {"d2"}
        first = await made.run(update(0, A))
        assert first.outcome is Outcome.UNKNOWN
        second = await made.run(update(0, B))
        made.directors.unsynced = set()
        made.directors.carry_out(f"update {A} 0")
        await until(lambda: made.executor._looking_again is None or made.executor._looking_again.done())
        assert made.executor.progress == second
        records = [one for one in made.records if one.operation == first.id]
        assert Entry(tuple(records)).outcome is Outcome.UNKNOWN


async def test_a_plan_that_is_refused_does_not_end_looking_again() -> None:
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: failed(75, f"Error: {A}: Ring sync timed out")
        made.directors.unsynced = {"d2"}
        first = await made.run(update(0, A))
        assert first.outcome is Outcome.UNKNOWN
        plan = await made.plan(update(0, B))
        made.directors.carry_out(f"update {B} 7")
        with pytest.raises(PlanOutdated):
            await made.executor.run(plan, "")
        made.directors.unsynced = set()
        made.directors.carry_out(f"update {A} 0")
        await until(lambda: Entry(made.records).outcome is Outcome.APPLIED)
        assert {one.operation for one in made.records} == {first.id}


async def test_what_is_heard_late_does_not_take_the_place_of_the_next_operation() -> None:
    async with bench() as made:
        gate = asyncio.Event()
        made.directors.met[f"update {A} 0"] = lambda: _after(gate)
        first = await made.executor.run(_limited(await made.plan(update(0, A)), SOON_S), "")
        second = await made.run(update(0, B))
        gate.set()
        await until(lambda: made.records[-1].event is Event.NOTE)
        assert made.records[-1].operation == first.id
        assert made.executor.progress == made.shown[-1] == second


async def test_a_lost_connection_ends_a_batch_without_a_question() -> None:
    many = [f"10.1.1.{number}" for number in range(1, 9)]
    async with bench() as made:
        made.directors.backends.update(dict.fromkeys(many, ("", 100, "up", 1)))
        made.directors.met[f"update {many[1]} 0"] = lambda: ConnectionLost("d1: the connection was lost")
        ended = await made.run(update(0, *many))
        assert made.sent == [f"update {ip} 0" for ip in many[:2]]
        assert not any(one.question for one in made.shown)
        statuses = [line.status for line in ended.lines]
        assert statuses == [LineStatus.APPLIED, *[LineStatus.UNKNOWN] * 4, *[LineStatus.NOT_APPLIED] * 3]
        assert [line.note for line in ended.lines[-3:]] == ["not sent"] * 3


async def test_a_command_that_does_not_end_is_waited_for_no_longer_and_its_late_end_is_kept() -> None:
    async with bench() as made:
        gate = asyncio.Event()
        made.directors.met[f"update {A} 0"] = lambda: _after(gate, failed(75, f"Error: {A}: Ring sync timed out"))
        plan = _limited(await made.plan(update(0, A)), SOON_S)
        ended = await made.executor.run(plan, "")
        assert ended.outcome is Outcome.UNKNOWN
        assert any("not ended within" in note for note in ended.notes)
        assert made.sent == [f"update {A} 0"]
        gate.set()
        await until(lambda: made.records[-1].event is Event.NOTE)
        assert (made.records[-1].step, made.records[-1].exit_status) == (1, 75)
        assert f"{A} ended at last, with exit status 75" in made.shown[-1].notes
        await until(lambda: made.shown[-1].outcome is Outcome.NOT_APPLIED)  # now that it has ended


async def test_a_director_that_can_not_be_reached_was_sent_nothing() -> None:
    async with bench() as made:
        plan = await made.plan(update(0, A))
        connecting = made.ring.links[0].connecting

        def refused() -> Any:
            raise Unreachable("d1: connection refused")

        made.ring.links[0].connecting = refused  # type: ignore[method-assign] # only for what is carried out
        running = asyncio.create_task(made.executor.run(plan, ""))
        with pytest.raises(OperationRefused):
            await running
        made.ring.links[0].connecting = connecting  # type: ignore[method-assign] # as it was
        assert made.directors.changes == []


# Flushes.


FLUSH = Request(Verb.FLUSH, (Target(A),))


async def test_a_flush_of_an_unusable_backend_is_proven_by_no_users_on_any_director() -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 0, "up", 100)
        ended = await made.run(FLUSH)
        assert made.sent == [f"flush {A}"]
        assert (ended.outcome, ended.lines[0].note) == (Outcome.APPLIED, "")
        assert unseen_flushes("test") == ()


async def test_a_backend_that_is_not_listed_any_more_was_not_seen_without_users() -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 0, "up", 100)

        def somebody_removes_it() -> Reply:
            del made.directors.backends[A]
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"flush {A}"] = somebody_removes_it
        ended = await made.run(FLUSH)
        assert ended.outcome is Outcome.NOT_APPLIED
        assert ended.lines[0].note == "not listed, though doveadm said that it was done"


async def test_users_that_are_left_are_not_a_success() -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 0, "up", 100)
        made.directors.met[f"flush {A}"] = lambda: Reply(0, b"", b"", 0.02)
        ended = await made.run(FLUSH)
        assert ended.outcome is Outcome.NOT_APPLIED
        assert ended.lines[0].note == "100 users left, though doveadm said that it was done"


async def test_a_flush_of_a_usable_backend_says_what_its_proof_is_worth() -> None:
    async with bench() as made:

        def some_go() -> Reply:
            made.directors.backends[A] = ("", 100, "up", 60)
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"flush {A}"] = some_go
        ended = await made.run(FLUSH)
        assert ended.outcome is Outcome.APPLIED
        assert ended.lines[0].note == "by its exit status, nothing else proves it; users 100 → 60"


async def test_a_flush_of_all_counts_everybody() -> None:
    async with bench() as made:
        ended = await made.run(Request(Verb.FLUSH_ALL))
        assert made.sent == ["flush all"]
        assert ended.outcome is Outcome.APPLIED
        assert ended.lines[0].note.endswith("users 400 → 400")
        (result,) = Entry(made.records).results
        assert result.before == {"all": {"users": 400}}


async def test_a_flush_shows_who_is_left_for_as_long_as_it_takes() -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 0, "up", 100)
        gate = asyncio.Event()
        made.directors.met[f"flush {A}"] = lambda: _after(gate)
        running = asyncio.create_task(made.run(FLUSH))
        await until(lambda: bool(made.shown and made.shown[-1].flush))
        assert (remembered := unseen_flushes("test"))
        assert (remembered[0].director, remembered[0].ip) == ("d1", A)
        made.directors.backends[A] = ("", 0, "up", 40)
        made.clock.now_s += 30
        await until(lambda: bool((flush := made.shown[-1].flush) and flush.users_left == 40))
        flush = made.shown[-1].flush
        assert flush is not None
        assert (flush.users_at_start, flush.users_left, flush.per_min, flush.eta_s) == (100, 40, 120.0, 20.0)
        made.clock.now_s += 100_000  # there is no limit to it
        made.directors.backends[A] = ("", 0, "up", 0)
        gate.set()
        assert (await running).outcome is Outcome.APPLIED
        assert unseen_flushes("test") == ()


async def test_a_flush_whose_end_was_not_seen_blocks_add_and_remove_until_counts_stand_still() -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 0, "up", 100)
        made.directors.backends[B] = ("", 0, "up", 0)
        made.directors.met[f"flush {A}"] = lambda: ConnectionLost(
            "d1: the connection was lost before the command ended"
        )
        ended = await made.run(FLUSH)
        assert ended.outcome is Outcome.UNKNOWN
        assert ended.lines[0].note == "100 users left; the flush may still be going on"
        remove = await made.plan(Request(Verb.REMOVE, (Target(B),)))
        for users in (90, 80):
            made.directors.backends[A] = ("", 0, "up", users)
            made.clock.now_s += 59
            with pytest.raises(OperationRefused, match=f"nobody has seen the end of the flush of {A}") as refused:
                await made.executor.run(remove, "")
            assert "stood still for" in refused.value.remedy
        assert made.sent == [f"flush {A}"]
        # Other things are not blocked.
        assert (await made.run(update(50, C))).outcome is Outcome.APPLIED
        remove = await made.plan(Request(Verb.REMOVE, (Target(B),)))
        standstill = made.executor._standstill
        await until(lambda: standstill.still_s == 0.0)
        made.clock.now_s += 60
        await until(lambda: standstill.over)
        # That says nothing of another one.
        other = UnseenFlush("d2", C, made.clock.times.utc())
        remember_flush("test", other)
        with pytest.raises(OperationRefused, match="nobody has seen the end"):
            await made.executor.run(remove, "")
        forget_flushes("test", [other])
        standstill = made.executor._standstill
        await until(lambda: standstill._counts is not None)
        made.clock.now_s += 60
        await until(lambda: standstill.over)
        assert (await made.executor.run(remove, "")).outcome is Outcome.APPLIED
        assert unseen_flushes("test") == ()


async def test_who_insists_may_remove_all_the_same_and_others_are_still_warned() -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 0, "up", 100)
        made.directors.backends[B] = ("", 0, "up", 0)
        made.directors.met[f"flush {A}"] = lambda: ConnectionLost(
            "d1: the connection was lost before the command ended"
        )
        await made.run(FLUSH)
        ended = await made.run(Request(Verb.REMOVE, (Target(B),)), override=True)
        assert ended.outcome is Outcome.APPLIED
        assert len(unseen_flushes("test")) == 1


async def test_a_flush_that_another_run_of_the_program_left_blocks_as_well() -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 0, "up", 100)
        gate = asyncio.Event()
        made.directors.met[f"flush {A}"] = lambda: _after(gate)
        running = asyncio.create_task(made.run(FLUSH))
        await until(lambda: bool(made.directors.changes))
        await made.executor.close()
        with pytest.raises(asyncio.CancelledError):
            await running
        executor_module._left_to_the_kernel.pop().close()  # as the kernel does when the program is gone
        later = made.another_executor()
        with pytest.raises(OperationRefused, match="nobody has seen the end of the flush"):
            await later.run(await made.plan(Request(Verb.ADD, (Target("10.1.0.9", 10),))), "")
        await later.close()
        gate.set()


@pytest.mark.parametrize(
    "words",
    ["Killed", "sudo: unable to resolve host d1: Name or service not known\ndoveadm: Error: director disconnected"],
    ids=["killed", "sudo grumbles"],
)
@pytest.mark.parametrize("vhosts", [0, 100])
async def test_a_flush_that_broke_off_may_be_going_on(words: str, vhosts: int) -> None:
    """The director goes on with it when doveadm is gone, so its exit status is no end of it."""
    async with bench() as made:
        made.directors.backends[A] = ("", vhosts, "up", 100)
        made.directors.backends[B] = ("", 0, "up", 0)
        made.directors.met[f"flush {A}"] = lambda: failed(137, words)
        ended = await made.run(FLUSH)
        assert ended.outcome is Outcome.UNKNOWN, ended.lines[0].note
        assert [one.ip for one in unseen_flushes("test")] == [A]
        with pytest.raises(OperationRefused, match="nobody has seen the end of the flush"):
            await made.run(Request(Verb.REMOVE, (Target(B),)))


async def test_what_doveadm_says_beside_the_matter_is_no_refusal() -> None:
    """So it is waited for, and a flush that may have begun is not called off."""
    noise = "doveadm: Error: net_connect_unix(/run/dovecot/stats-writer) failed: Permission denied"
    async with bench() as made:

        def later() -> Reply:
            asyncio.get_running_loop().call_later(5 * SOON_S, made.directors.carry_out, f"update {A} 0")
            return failed(75, f"{noise}\nError: {A}: Ring sync timed out")

        made.directors.met[f"update {A} 0"] = later
        assert (await made.run(update(0, A))).outcome is Outcome.APPLIED


async def test_a_flush_that_was_refused_leaves_nothing_blocked() -> None:
    async with bench() as made:
        made.directors.met[f"flush {A}"] = lambda: failed(1, "sudo: a password is required")
        ended = await made.run(FLUSH)
        assert ended.outcome is Outcome.NOT_APPLIED
        assert unseen_flushes("test") == ()


# Users.


async def test_a_move_is_read_on_every_director() -> None:
    request = Request(Verb.MOVE, (Target(B),), user="jane", user_hash=1480892766, user_tag="")
    async with bench() as made:
        made.directors.placed = {(name, 1480892766, ""): A for name in ("d1", "d2", "d3")}
        ended = await made.run(request)
        assert made.sent == [f"move -- jane {B}"]
        assert (ended.outcome, ended.lines[0].note) == (Outcome.APPLIED, "")
        (result,) = Entry(made.records).results
        assert result.before == {"jane": {"user_hash": 1480892766, "tag": "", "ip": A}}
        assert result.after == {"jane": {"user_hash": 1480892766, "tag": "", "ip": B}}


async def test_a_move_that_one_director_does_not_show() -> None:
    request = Request(Verb.MOVE, (Target(B),), user="jane", user_hash=5, user_tag="")
    async with bench() as made:

        def on_two() -> Reply:
            made.directors.placed = {("d1", 5, ""): B, ("d2", 5, ""): B, ("d3", 5, ""): A}
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"move -- jane {B}"] = on_two
        ended = await made.run(request)
        assert ended.outcome is Outcome.UNKNOWN
        assert ended.lines[0].note == f"the directors disagree: d1: on {B}; d2: on {B}; d3: on {A}"


KICK = Request(Verb.KICK, user="jane")


async def test_a_kick_is_proven_by_the_sessions_of_before() -> None:
    async with bench() as made:
        made.directors.sessions = {"d1": [("jane", A), ("joe", A)], "d3": [("jane", A)]}
        ended = await made.run(KICK)
        assert made.sent == ["kick -- jane"]
        assert (ended.outcome, ended.lines[0].note) == (Outcome.APPLIED, "")
        (result,) = Entry(made.records).results
        assert (result.before, result.after) == ({"jane": {"sessions": 2}}, {"jane": {"sessions": 0}})


async def test_nothing_to_kick_is_said() -> None:
    async with bench() as made:
        made.directors.sessions = {"d1": [("joe", A)]}
        ended = await made.run(KICK)
        assert (ended.outcome, ended.lines[0].note) == (
            Outcome.APPLIED,
            "nothing to kick: there was no session before",
        )


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (failed(64, "usage: doveadm director kick"), Outcome.NOT_APPLIED),
        (failed(75, "Error: Ring sync timed out"), Outcome.UNKNOWN),
        (ConnectionLost("d1: gone"), Outcome.UNKNOWN),
    ],
    ids=["refused", "broke off", "lost"],
)
async def test_a_kick_that_did_not_end_well_is_not_applied_because_nobody_was_there(
    end: Reply | ConnectionLost, outcome: Outcome
) -> None:
    async with bench() as made:
        made.directors.met["kick -- jane"] = lambda: end
        ended = await made.run(KICK)
        assert ended.outcome is outcome
        assert ended.lines[0].note == "nothing to kick: there was no session before"
        assert made.executor._looking_again is None


async def test_sessions_that_are_there_after_a_kick_may_be_new_ones() -> None:
    async with bench() as made:
        made.directors.sessions = {name: [("jane", A)] for name in ("d1", "d2", "d3")}
        made.directors.met["kick -- jane"] = lambda: Reply(0, b"", b"", 0.02)
        ended = await made.run(KICK)
        assert ended.outcome is Outcome.UNKNOWN
        assert "may have come back at once" in ended.lines[0].note
        # They may also end by themselves: that would prove nothing of the kick, and to list them costs the directors.
        assert made.executor._looking_again is None


# What becomes of it when somebody goes away.


async def test_it_goes_on_when_whoever_began_it_is_gone() -> None:
    async with bench() as made:
        gate = asyncio.Event()

        async def slowly() -> Reply:
            await gate.wait()
            made.directors.carry_out(f"update {A} 0")
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"update {A} 0"] = slowly
        screen = asyncio.create_task(made.run(update(0, A)))
        await until(lambda: bool(made.directors.changes))
        screen.cancel()
        await asyncio.wait([screen])
        assert made.executor.progress is not None
        assert made.executor.progress.running
        gate.set()
        await until(lambda: made.shown[-1].outcome is Outcome.APPLIED)


async def test_a_program_that_ends_stops_nothing_and_writes_down_what_it_leaves() -> None:
    async with bench() as made:
        gate = asyncio.Event()
        finished = asyncio.Event()

        async def slowly() -> Reply:
            await gate.wait()
            finished.set()
            return Reply(0, b"", b"", 0.02)

        made.directors.met[f"update {A} 0"] = slowly
        running = asyncio.create_task(made.run(update(0, A, B)))
        await until(lambda: bool(made.directors.changes))
        await made.executor.close()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert made.executor.progress is not None
        assert not made.executor.progress.running
        assert made.executor.progress.outcome is Outcome.UNKNOWN
        assert Entry(made.records).results[0].outcome is Outcome.UNKNOWN
        # While it runs over there nobody else of this program may begin.
        with pytest.raises(OperationRefused):
            await made.another_executor().run(await made.plan(update(0, C)), "")
        gate.set()
        await finished.wait()
        executor_module._left_to_the_kernel.pop().close()


async def test_a_program_that_ends_while_it_asks() -> None:
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: failed(75, f"Error: {A}: doesn't exist")
        running = asyncio.create_task(made.run(update(0, A, B)))
        await made.asked()
        await made.executor.close()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert made.executor.progress is not None
        assert not made.executor.progress.running
        assert made.sent == [f"update {A} 0"]
        with operation_lock("test", "free again", made.clock.times.utc()):
            pass


async def test_a_fault_of_this_program_leaves_nothing_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: Reply(0, b"", b"", 0.02)

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(proof_module.Proof, "verdict", broken)
        with pytest.raises(ZeroDivisionError):
            await made.run(update(0, A))
        monkeypatch.undo()
        assert made.executor.progress is not None
        assert not made.executor.progress.running
        assert made.executor.progress.outcome is Outcome.UNKNOWN
        with operation_lock("test", "free again", made.clock.times.utc()):
            pass


async def _after(gate: asyncio.Event, reply: Reply | None = None) -> Reply:
    await gate.wait()
    return reply or Reply(0, b"", b"", 0.02)


def _limited(plan: Plan, limit_s: float) -> Plan:
    """The same, with another limit for how long the end of its calls is waited for."""
    commands = tuple(
        dataclasses.replace(one, call=dataclasses.replace(one.call, limit_s=limit_s)) for one in plan.commands
    )
    return dataclasses.replace(plan, commands=commands)
