"""Where a clean removal stands: by what the directors show, and by nothing else that they could show."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.config import BackendAccess
from director_tui.director.model import ProxySession, RingSettings, State
from director_tui.errors import ConnectionLost, OperationRefused
from director_tui.link.users import Sessions
from director_tui.operations.plan import Request, Target, Verb
from director_tui.operations.removal import (
    STAY_MOVED,
    BackendSeen,
    Course,
    Decided,
    Ending,
    Mark,
    Position,
    Removal,
    Step,
    accept_rest,
    begin,
    end,
    left_words,
    mark_upload,
    renewed,
    seen,
    skip_leaving,
    standing_at,
    turn,
    way_back,
)
from director_tui.operations.removal_steps import Act, StepState, acts, back_out_words, request_of, step_view
from tests.operations.standing import CLUSTER, EIGHT, GOLD1, NOON, A, backend, changed, reading, standing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from director_tui.director.model import Backend

DIRECTORS = ("dir1", "dir2", "dir3")
DONE = Mark(NOON, "ops", Decided.DONE)
ACCESS = BackendAccess("ops@{ip}", doveadm=("sudo", "-n", "doveadm"))
WITH_ACCESS = replace(CLUSTER, backends=ACCESS)


def removal(**changes: object) -> Removal:
    return replace(Removal("mail-eu", A, "", 100, State.UP, True, None, True, NOON, "ops", "admin-1"), **changes)  # type: ignore[arg-type] # whatever a test wants


def sight(
    row: Backend | None, sessions: int | None = 0, *, others: Mapping[str, Backend | None] | None = None
) -> BackendSeen:
    """What all directors show; with ``sessions`` of them through the first one (None: nobody has asked)."""
    rows = {name: (others or {}).get(name, row) for name in DIRECTORS}
    counts = {name: (sessions if name == "dir1" else 0) for name in DIRECTORS} if sessions is not None else None
    return BackendSeen(rows, sessions=counts)


def at(now: BackendSeen, **changes: object) -> Step | None:
    return standing_at(removal(**changes), now).step


SERVING = backend(A, users=2_000)
DRAINING = backend(A, 0, 2_000)
EMPTY = backend(A, 0)


def test_it_stands_where_the_ring_shows_it() -> None:
    assert at(sight(SERVING)) is Step.NO_NEW_USERS
    assert at(sight(DRAINING)) is Step.LET_LEAVE
    assert at(sight(DRAINING), leaving=DONE) is Step.UPLOAD
    assert at(sight(EMPTY)) is Step.UPLOAD
    assert at(sight(DRAINING), leaving=DONE, first_upload=DONE) is Step.MOVE
    assert at(sight(EMPTY, 3), first_upload=DONE) is Step.MOVE
    assert at(sight(EMPTY), first_upload=DONE) is Step.FINAL_UPLOAD
    assert at(sight(EMPTY), first_upload=DONE, final_upload=DONE) is Step.REMOVE
    assert at(sight(None), first_upload=DONE, final_upload=DONE) is Step.CONFIGURATION


def test_maintenance_ends_behind_the_final_upload() -> None:
    ready = removal(permanent=False, first_upload=DONE, final_upload=DONE)
    assert standing_at(ready, sight(EMPTY)) == Position(done=True)
    assert ready.steps == tuple(Step)[:6]
    assert ready.because(Step.MOVE) == f"clean removal of {A}, step 5 of 6"


def test_without_a_metacache_there_is_none_to_upload() -> None:
    assert at(sight(EMPTY), metacache=False) is Step.REMOVE
    assert at(sight(DRAINING), metacache=False) is Step.LET_LEAVE
    assert at(sight(DRAINING), metacache=False, leaving=DONE) is Step.MOVE


def test_one_director_that_shows_another_thing_holds_it_back() -> None:
    lagging = sight(EMPTY, others={"dir3": SERVING})
    position = standing_at(removal(first_upload=DONE, final_upload=DONE), lagging)
    assert position.step is Step.NO_NEW_USERS
    assert position.why == ("its vhost count is 100 on dir3",)
    assert at(sight(EMPTY, others={"dir2": DRAINING}), first_upload=DONE) is Step.MOVE
    still_listed = standing_at(removal(first_upload=DONE, final_upload=DONE), sight(None, others={"dir2": EMPTY}))
    assert still_listed.step is Step.REMOVE
    assert still_listed.why == (f"dir1 and dir3 do not list {A}",)


def test_sessions_that_nobody_asked_for_are_not_none() -> None:
    position = standing_at(removal(first_upload=DONE), sight(EMPTY, None))
    assert position.step is Step.MOVE
    assert position.why == ("the sessions on the directors have not been counted yet",)


def test_a_director_that_can_not_be_asked_holds_step_5_until_a_person_accepts_it() -> None:
    rows: dict[str, Backend | None] = {"dir1": EMPTY, "dir2": EMPTY}
    unasked = {"dir3": "dir3: the connection was lost"}
    now = BackendSeen(rows, unasked, {"dir1": 0, "dir2": 0})
    position = standing_at(removal(first_upload=DONE), now)
    assert position.step is Step.MOVE
    assert position.why == ("dir3 could not be asked: dir3: the connection was lost",)
    assert Act.SKIP_TYPED in acts(removal(first_upload=DONE), position, now, WITH_ACCESS)
    accepted = accept_rest(removal(first_upload=DONE), NOON, "ops", "what goes through dir3 can't be seen")
    assert standing_at(accepted, now).step is Step.FINAL_UPLOAD
    assert renewed(accepted, now) == (accepted, "")


def test_no_director_says_anything() -> None:
    nothing = standing_at(removal(), BackendSeen({}, {"dir1": "no route"}))
    assert nothing == Position(why=("dir1 could not be asked: no route",))
    assert standing_at(removal(), BackendSeen()).why == ("no director has been read yet",)
    assert acts(removal(), nothing, BackendSeen(), CLUSTER) == (Act.CHECK_AGAIN, Act.LEAVE)


def test_somebody_sets_the_vhost_count_back() -> None:
    far = removal(leaving=DONE, first_upload=DONE, moved=DONE, final_upload=DONE)
    fresh, why = renewed(far, sight(SERVING))
    assert why == f"the vhost count of {A} was set to 100: new users come again, so it is step 2 again"
    assert fresh == removal()
    assert standing_at(fresh, sight(SERVING)).step is Step.NO_NEW_USERS
    assert renewed(fresh, sight(SERVING)) == (fresh, "")


def test_users_come_back_behind_the_final_upload() -> None:
    far = removal(leaving=DONE, first_upload=DONE, final_upload=DONE)
    fresh, why = renewed(far, sight(DRAINING, 1))
    assert why == f"2,000 users and 1 session are on {A} again: step 5, and what follows it, once more"
    assert fresh == replace(far, final_upload=None)
    assert standing_at(fresh, sight(DRAINING)).step is Step.MOVE


def test_somebody_else_has_removed_it() -> None:
    early = standing_at(removal(), sight(None))
    assert early.step is Step.CONFIGURATION
    assert early.why == (f"{A} is not listed any more: it was removed before its final upload",)
    maintained = removal(permanent=False)
    gone = standing_at(maintained, sight(None))
    assert (gone.step, gone.done) == (None, False)
    assert gone.why == (f"{A} is not listed any more: somebody has removed it",)
    assert acts(maintained, gone, sight(None), CLUSTER) == (Act.CHECK_AGAIN, Act.BACK_OUT, Act.END, Act.LEAVE)


def test_an_ended_one_stands_nowhere() -> None:
    ended = end(removal(), Ending.BACKED_OUT, NOON, "ops")
    position = standing_at(ended, sight(SERVING))
    assert (position.step, position.done) == (None, True)
    assert renewed(ended, sight(SERVING)) == (ended, "")


# --- what is seen ------------------------------------------------------------------------------------------------


def test_what_is_seen_of_a_backend() -> None:
    told = reading(elsewhere={"dir2": changed(EIGHT, backend(A, users=2_790))})
    lost = replace(told.views[2], backends=(), failure=ConnectionLost("dir3: the connection was lost"))
    told = replace(told, views=(*told.views[:2], lost))
    known = Sessions(
        {"dir1": (ProxySession("joe", "imap", "192.0.2.1", A, 143),), "dir2": ()},
        {"dir3": ConnectionLost("dir3: the connection was lost")},
        (),
        NOON,
        0.0,
    )
    now = seen(A, told, known)
    assert {name: row and row.users for name, row in now.rows.items()} == {"dir1": 2_800, "dir2": 2_790}
    assert (now.least_users, now.most_users, now.session_count) == (2_790, 2_800, 1)
    assert now.silent == {"dir3": "dir3: the connection was lost"}
    assert left_words(now) == "2,800 users and 1 session are"
    assert seen("10.9.9.9", told).rows == {"dir1": None, "dir2": None}
    assert seen(A, told).session_count is None


def test_a_director_that_is_configured_twice_counts_once() -> None:
    told = reading()
    again = replace(told.views[0], director="dir1-again")
    assert list(seen(A, replace(told, views=(*told.views, again))).rows) == ["dir1", "dir2", "dir3"]


def test_a_removal_keeps_how_the_backend_was() -> None:
    began = NOON + timedelta(microseconds=1_500)
    made = begin(
        GOLD1,
        "mail-eu",
        reading(),
        permanent=False,
        max_parallel=50,
        metacache=True,
        reason="a new disk",
        at=began,
        who="ops",
        host="admin-1",
    )
    assert (made.tag, made.vhosts, made.state) == ("gold", 100, State.UP)
    assert made.id == f"20261123T120000001Z-{GOLD1}"
    with pytest.raises(OperationRefused, match=r"^10\.9\.9\.9 is not listed$"):
        begin(
            "10.9.9.9",
            "mail-eu",
            reading(),
            permanent=True,
            max_parallel=None,
            metacache=True,
            reason="",
            at=NOON,
            who="ops",
            host="",
        )
    with pytest.raises(OperationRefused, match=r"^Dovecot 2\.2\.19 has no --max-parallel"):
        begin(
            GOLD1,
            "mail-eu",
            reading(settings=RingSettings((2, 2, 19))),
            permanent=True,
            max_parallel=50,
            metacache=True,
            reason="",
            at=NOON,
            who="ops",
            host="",
        )


# --- the way back ------------------------------------------------------------------------------------------------

BACK = turn(removal(), Course.BACKING_OUT)
MAINTAINED = turn(removal(permanent=False), Course.BRINGING_BACK)


def verbs(requests: tuple[Request, ...] | str) -> list[tuple[Verb, int | None]]:
    assert not isinstance(requests, str), requests
    return [(one.verb, one.targets[0].vhosts) for one in requests]


def test_the_way_back_gives_count_and_state_again() -> None:
    assert verbs(way_back(BACK, sight(DRAINING))) == [(Verb.UPDATE, 100)]
    assert verbs(way_back(BACK, sight(backend(A, 0, up=False)))) == [(Verb.UPDATE, 100), (Verb.UP, None)]
    assert verbs(way_back(BACK, sight(SERVING, others={"dir2": EMPTY}))) == [(Verb.UPDATE, 100)]
    assert way_back(BACK, sight(SERVING)) == ()
    assert way_back(BACK, BackendSeen()) == "no director can be read"


def test_the_way_back_of_a_removed_one_adds_it_with_its_tag() -> None:
    gold = turn(removal(tag="gold", vhosts=70), Course.BACKING_OUT)
    because = f"backing out of the clean removal of {A}"
    assert way_back(gold, sight(None)) == (Request(Verb.ADD, (Target(A, 70),), tag="gold", because=because),)


def test_one_that_was_down_takes_no_user_on_its_way_back() -> None:
    was_down = turn(removal(state=State.DOWN), Course.BACKING_OUT)
    assert verbs(way_back(was_down, sight(None))) == [(Verb.ADD, 0), (Verb.DOWN, None), (Verb.UPDATE, 100)]
    assert verbs(way_back(was_down, sight(EMPTY))) == [(Verb.DOWN, None), (Verb.UPDATE, 100)]
    assert verbs(way_back(was_down, sight(backend(A, 0, up=False)))) == [(Verb.UPDATE, 100)]
    assert way_back(was_down, sight(backend(A, up=False))) == ()


def test_bringing_back_sets_up_only_what_was_up_and_is_down() -> None:
    assert verbs(way_back(MAINTAINED, sight(EMPTY))) == [(Verb.UPDATE, 100)]
    assert verbs(way_back(MAINTAINED, sight(backend(A, 0, up=False)))) == [(Verb.UPDATE, 100), (Verb.UP, None)]
    was_down = replace(MAINTAINED, state=State.DOWN)
    assert verbs(way_back(was_down, sight(replace(EMPTY, state_changed=NOON)))) == [(Verb.UPDATE, 100)]
    assert way_back(was_down, sight(SERVING)) == ()


def test_bringing_back_one_that_was_down_and_removed_meanwhile_leaves_it_down() -> None:
    was_down = replace(MAINTAINED, state=State.DOWN)
    assert verbs(way_back(was_down, sight(None))) == [(Verb.ADD, 0), (Verb.DOWN, None), (Verb.UPDATE, 100)]
    assert verbs(way_back(was_down, sight(EMPTY))) == [(Verb.DOWN, None), (Verb.UPDATE, 100)]
    set_down = replace(EMPTY, state=State.DOWN, state_changed=NOON)
    assert verbs(way_back(was_down, sight(set_down))) == [(Verb.UPDATE, 100)]


def test_no_way_back_to_another_tag() -> None:
    assert way_back(BACK, sight(backend(A, tag="gold"))) == (
        f"{A} has tag gold now, and had no tag: somebody has added it anew; "
        "a tag is only changed by removing and adding"
    )
    assert way_back(BACK, sight(EMPTY, others={"dir2": None})) == (
        f"the directors disagree whether {A} is listed: wait until the ring is synced"
    )


def test_what_the_way_back_says() -> None:
    assert back_out_words(BACK) == (f"{A} gets vhost count 100 again, no tag, and is up as it was before", STAY_MOVED)
    assert standing_at(BACK, sight(DRAINING)).why == (f"backing out; {STAY_MOVED}",)
    assert acts(BACK, standing_at(BACK, sight(DRAINING)), sight(DRAINING), CLUSTER) == (Act.RUN, Act.LEAVE)
    assert acts(BACK, standing_at(BACK, sight(SERVING)), sight(SERVING), CLUSTER) == (Act.END, Act.LEAVE)


# --- properties --------------------------------------------------------------------------------------------------

rows = st.one_of(
    st.none(),
    st.builds(
        lambda vhosts, users, up: backend(A, vhosts, users, up=up),
        st.sampled_from((0, 1, 100)),
        st.sampled_from((0, 1, 2_000)),
        st.booleans(),
    ),
)
sights = st.builds(
    lambda told, sessions: BackendSeen(dict(zip(DIRECTORS, told, strict=True)), sessions=sessions),
    st.tuples(rows, rows, rows),
    st.none() | st.fixed_dictionaries(dict.fromkeys(DIRECTORS, st.sampled_from((0, 1, 20)))),
)
marks = st.none() | st.builds(Mark, st.just(NOON), st.just("ops"), st.sampled_from(Decided))
removals = st.builds(
    removal,
    permanent=st.booleans(),
    metacache=st.booleans(),
    vhosts=st.sampled_from((0, 1, 100)),
    state=st.sampled_from(State),
    leaving=marks,
    first_upload=marks,
    moved=marks,
    final_upload=marks,
    course=st.sampled_from(Course),
)


@given(removals, sights)
def test_it_is_at_one_place_and_something_can_always_be_done(kept: Removal, now: BackendSeen) -> None:
    kept, _ = renewed(kept, now)
    position = standing_at(kept, now)
    assert position.step is None or position.step in kept.steps
    may = acts(kept, position, now, WITH_ACCESS)
    assert Act.LEAVE in may
    if kept.course is Course.REMOVING:
        assert may != (Act.LEAVE,)
    for step in kept.steps:
        view = step_view(step, kept, position, now, standing())
        assert (view.state is StepState.NOW) == (step is position.step)
        assert Act.RUN not in view.acts or view.request is not None


@given(removals, sights)
def test_it_is_never_removed_before_it_was_empty_or_that_was_accepted(kept: Removal, now: BackendSeen) -> None:
    kept, _ = renewed(replace(kept, course=Course.REMOVING), now)
    if standing_at(kept, now).step is Step.REMOVE:
        assert not any(row.vhosts for row in now.listed.values())
        assert kept.moved is not None or now.empty
        assert kept.final_upload is not None or not kept.metacache


@given(removals, sights)
def test_what_is_renewed_once_stays(kept: Removal, now: BackendSeen) -> None:
    once, _ = renewed(kept, now)
    assert renewed(once, now) == (once, "")


@given(removals, rows.filter(lambda row: row is not None), st.sampled_from((Course.BACKING_OUT, Course.BRINGING_BACK)))
def test_the_way_back_ends_where_it_began(kept: Removal, row: Backend | None, course: Course) -> None:
    """Carried out one after the other, each time planned anew as a restarted program does."""
    kept = turn(kept, course)
    assert row is not None
    before = row
    for _ in range(4):
        left = way_back(kept, sight(row))
        assert not isinstance(left, str)
        if not left:
            break
        request = left[0]
        match request.verb:
            case Verb.UPDATE:
                row = replace(row, vhosts=request.targets[0].vhosts or 0)
            case Verb.UP | Verb.DOWN:
                row = replace(row, state=State(request.verb.value))
            case _:
                raise AssertionError(request)
        if kept.state is State.DOWN and course is Course.BACKING_OUT and not before.usable:
            assert not row.usable
    else:
        raise AssertionError("it never ends")
    assert row.vhosts == kept.vhosts
    if course is Course.BACKING_OUT or kept.state is State.UP:
        assert row.state is kept.state


@given(removals)
def test_the_way_back_of_a_removed_one_ends_where_it_began(kept: Removal) -> None:
    kept = turn(kept, Course.BACKING_OUT)
    row: Backend | None = None
    for _ in range(5):
        left = way_back(kept, sight(row))
        assert not isinstance(left, str)
        if not left:
            break
        request = left[0]
        if request.verb is Verb.ADD:
            row = backend(A, request.targets[0].vhosts or 0, tag=request.tag)
        elif request.verb is Verb.UPDATE:
            row = replace(row, vhosts=request.targets[0].vhosts or 0)  # type: ignore[type-var] # it is there by then
        else:
            row = replace(row, state=State(request.verb.value))  # type: ignore[type-var] # it is there by then
        if kept.state is State.DOWN:
            assert row is not None
            assert not row.usable
    assert row == backend(A, kept.vhosts, tag=kept.tag, up=kept.state is State.UP)


# --- how the steps are put ---------------------------------------------------------------------------------------


def view(step: Step, kept: Removal, now: BackendSeen) -> object:
    return step_view(step, kept, standing_at(kept, now), now, replace(standing(), cluster=WITH_ACCESS))


def test_each_step_says_exactly_what_it_runs() -> None:
    kept = removal(max_parallel=50)
    on = replace(standing(), cluster=WITH_ACCESS)
    position = standing_at(kept, sight(SERVING))
    lines = {step: step_view(step, kept, position, sight(SERVING), on).commands for step in kept.steps}
    head = "env TZ=UTC LC_ALL=C sudo -n doveadm"
    assert lines == {
        Step.CHECK: (),
        Step.NO_NEW_USERS: (f"{head} director update {A} 0",),
        Step.LET_LEAVE: (),
        Step.UPLOAD: (f"{head} metacache flushall",),
        Step.MOVE: (f"{head} director flush --max-parallel 50 {A}",),
        Step.FINAL_UPLOAD: (f"{head} metacache flushall",),
        Step.REMOVE: (f"{head} director remove {A}",),
        Step.CONFIGURATION: (),
    }
    where = {step: step_view(step, kept, position, sight(SERVING), on).where for step in kept.steps}
    assert where[Step.NO_NEW_USERS] == "dir1"
    assert where[Step.UPLOAD] == f"ops@{A}, the backend itself, through dir1"


def test_each_step_is_planned_as_it_is_shown() -> None:
    """One gate for each: what the plan dialog gets of a step is what the step says that it runs."""
    from director_tui.operations.planning import make_plan

    kept = removal(max_parallel=50)
    for step in kept.steps:
        request = request_of(step, kept)
        if request is None:
            continue
        rows_ = EIGHT if step is Step.NO_NEW_USERS else changed(EIGHT, DRAINING)
        on = replace(standing(rows_), cluster=WITH_ACCESS)
        shown = step_view(step, kept, Position(step), sight(DRAINING), on)
        assert make_plan(request, on).command_lines == shown.commands
        assert request.because == f"clean removal of {A}, step {step.number} of 8"


def test_what_may_be_done_at_each_step() -> None:
    def may(now: BackendSeen, **changes: object) -> tuple[Act, ...]:
        kept = removal(**changes)
        return acts(kept, standing_at(kept, now), now, WITH_ACCESS)

    stop = (Act.BACK_OUT, Act.LEAVE)
    assert may(sight(SERVING)) == (Act.RUN, *stop)
    assert may(sight(DRAINING)) == (Act.SKIP, *stop)
    assert may(sight(EMPTY)) == (Act.RUN, Act.SKIP_TYPED, *stop)
    assert may(sight(DRAINING), first_upload=DONE) == (Act.RUN, Act.CHECK_AGAIN, Act.SKIP_TYPED, *stop)
    assert may(sight(EMPTY, 3), first_upload=DONE) == (Act.CHECK_AGAIN, Act.SKIP_TYPED, *stop)
    assert may(sight(EMPTY, None), first_upload=DONE) == (Act.CHECK_AGAIN, *stop)
    assert may(sight(EMPTY), first_upload=DONE, final_upload=DONE) == (Act.RUN, *stop)
    assert may(sight(None), first_upload=DONE, final_upload=DONE) == (Act.CHECK_AGAIN, Act.END, *stop)
    ready = {"permanent": False, "first_upload": DONE, "final_upload": DONE}
    assert may(sight(EMPTY), **ready) == (Act.BRING_BACK, Act.LEAVE, Act.END)


def test_an_upload_that_can_not_be_made_asks_and_is_never_passed_over() -> None:
    kept = removal()
    position = standing_at(kept, sight(EMPTY))
    assert acts(kept, position, sight(EMPTY), CLUSTER) == (Act.SKIP_TYPED, Act.BACK_OUT, Act.LEAVE)
    shown = step_view(Step.UPLOAD, kept, position, sight(EMPTY), standing())
    assert shown.said == (
        "how to reach the backends is not configured: [clusters.mail-eu.backends] with ssh and metacache",
    )
    assert shown.risk == "mail that is not yet in object storage may be lost"
    none = replace(CLUSTER, backends=replace(ACCESS, metacache="no"))
    assert acts(kept, position, sight(EMPTY), none) == (Act.SKIP, Act.BACK_OUT, Act.LEAVE)


def test_states_of_the_steps() -> None:
    kept = mark_upload(skip_leaving(removal(), NOON, "ops"), Step.UPLOAD, replace(DONE, said="12 indexes\nall well"))
    now = sight(DRAINING, 2)
    shown = [step_view(step, kept, standing_at(kept, now), now, standing()) for step in kept.steps]
    assert [one.state.value for one in shown] == ["done", "done", "skipped", "done", "now", *["to come"] * 3]
    assert shown[3].said == ("done at 12:00 UTC by ops: 12 indexes",)
    assert shown[4].said == (f"2,000 users and 2 sessions are on {A}",)
    assert shown[4].risk == f"2,000 users and 2 sessions are on {A}: their mailboxes could be open in two places"
    with pytest.raises(ValueError, match="uploads nothing"):
        mark_upload(kept, Step.MOVE, DONE)
