"""Stop, recovery and disconnecting everyone as plans: what is saved, what is given back, and what is not touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from director_tui.director.model import Backend, ProxySession, State
from director_tui.errors import OperationRefused, Unreachable
from director_tui.operations.emergency import (
    Choice,
    Now,
    Stop,
    disconnect_plan,
    left_to_stop,
    open_stop,
    record_of,
    recover_plan,
    recover_rows,
    settled,
    stop_in,
    stop_plan,
)
from director_tui.operations.plan import Confirmation, NobodyLeft, NoSessions, RowIs, Standing
from director_tui.operations.planning import fingerprint
from director_tui.operations.stop_keeping import Found
from director_tui.operations.stop_record import SavedBackend, StopRecord
from tests.operations.standing import (
    EIGHT,
    GOLD1,
    GOLD2,
    NOON,
    SETTINGS,
    A,
    B,
    C,
    D,
    backend,
    changed,
    reading,
    standing,
)

COUNTS = {A: 100, B: 17, C: 0, D: 250, GOLD1: 100, GOLD2: 1000}
BEFORE = tuple(replace(one, vhosts=COUNTS[one.ip]) for one in EIGHT)
STOPPED = tuple(replace(one, vhosts=0) for one in EIGHT)
RING = ("10.0.0.11", "10.0.0.12", "10.0.0.13")


def record(counts: dict[str, int], minutes: float = 0, earlier: tuple[str, ...] = ()) -> StopRecord:
    backends = tuple(SavedBackend(ip, "", count, State.UP) for ip, count in counts.items())
    return StopRecord("mail-eu", RING, NOON + timedelta(minutes=minutes), "ops", "admin1", "", backends, earlier)


def opened(*records: StopRecord, backends: tuple[Backend, ...] = STOPPED) -> Stop:
    stop = open_stop(Found(records), backends)
    assert stop is not None
    return stop


# --- the stop ----------------------------------------------------------------------------------------------------


def test_all_backends_are_stopped_and_those_at_zero_are_saved_too() -> None:
    plan = stop_plan(standing(BEFORE))
    assert plan.confirmation is Confirmation.TYPED
    assert plan.goes_on
    assert plan.title == "Stop all 6 backends"
    assert [command.check for command in plan.commands] == [RowIs(ip, vhosts=0) for ip in COUNTS if ip != C]
    assert plan.command_lines[0] == f"env TZ=UTC LC_ALL=C sudo -n doveadm director update {A} 0"
    assert {one.ip: one.vhosts for one in plan.request.saves} == COUNTS
    kept = record_of(plan, reading(BEFORE), "why", datetime(2026, 11, 24, 1, 2, 3, 456_789, UTC), "ops", "admin1")
    assert (kept.saved, kept.ring, kept.name) == (COUNTS, RING, "stop-20261124T010203456Z.json")


def test_where_all_are_at_zero_nothing_is_left_to_be_stopped() -> None:
    with pytest.raises(OperationRefused, match="nothing to do"):
        stop_plan(standing(STOPPED))


def test_a_state_that_flaps_does_not_keep_anybody_from_stopping_but_a_count_does() -> None:
    plan = stop_plan(standing(BEFORE))
    flapped = changed(BEFORE, replace(BEFORE[0], state=State.DOWN), replace(BEFORE[3], state=State.DOWN))
    elsewhere = reading(flapped, elsewhere={"dir2": BEFORE})
    assert plan.fingerprint.changes_to(fingerprint(plan.request, standing(on=elsewhere))) == ()
    other = changed(BEFORE, replace(BEFORE[0], vhosts=99))
    assert plan.fingerprint.changes_to(fingerprint(plan.request, standing(other))) == (f"{A} vhosts: 100 → 99",)
    more = (*BEFORE, backend("10.1.0.9"))
    assert plan.fingerprint.changes_to(fingerprint(plan.request, standing(more))) == (
        "10.1.0.9: not usable → vhosts 100",
    )


def test_the_last_resort_is_named_where_the_ring_is_not_synced() -> None:
    plan = stop_plan(standing(on=reading(BEFORE, unsynced=["dir2"])))
    assert any("stop the login services" in warning for warning in plan.warnings)
    assert not any("stop the login services" in warning for warning in stop_plan(standing(BEFORE)).warnings)


def test_a_stop_on_top_of_half_a_stop_saves_what_was_saved_then() -> None:
    half = changed(BEFORE, replace(BEFORE[0], vhosts=0), replace(BEFORE[1], vhosts=0), replace(BEFORE[3], vhosts=5))
    first = record(COUNTS)
    plan = stop_plan(standing(half), opened(first, backends=half))
    assert {one.ip: one.vhosts for one in plan.request.saves} == COUNTS
    assert plan.request.stops == (first.stamp,)
    assert [command.target for command in plan.commands] == [D, GOLD1, GOLD2]


def test_what_was_saved_of_a_backend_that_is_gone_stays_saved() -> None:
    plan = stop_plan(standing(changed(STOPPED[1:], backend(D))), opened(record(COUNTS)))
    assert {one.ip: one.vhosts for one in plan.request.saves} == COUNTS


def test_a_backend_that_had_zero_and_was_brought_up_in_between_is_saved_as_it_is_now() -> None:
    plan = stop_plan(standing(changed(STOPPED, backend(C, 60))), opened(record(COUNTS)))
    assert {one.ip: one.vhosts for one in plan.request.saves} == COUNTS | {C: 60}


def test_what_another_director_does_not_show_at_zero_is_stopped_there_and_saved_as_it_shows_it() -> None:
    elsewhere = {"dir3": changed(BEFORE, backend(C, 7))}
    plan = stop_plan(standing(on=reading(STOPPED, elsewhere=elsewhere)))
    counts = COUNTS | {C: 7}
    assert [(one.target, plan.director_of(one)) for one in plan.commands] == [(ip, "dir3") for ip in counts]
    assert {one.ip: one.vhosts for one in plan.request.saves} == counts
    half = reading(changed(STOPPED, backend(B, 17)), elsewhere=elsewhere)
    plan = stop_plan(standing(on=half))
    assert [(one.target, plan.director_of(one)) for one in plan.commands] == [
        (B, "dir1"),
        *((ip, "dir3") for ip in counts if ip != B),
    ]


def test_a_backend_that_the_director_in_use_does_not_list_is_named_and_saved() -> None:
    plan = stop_plan(standing(on=reading(BEFORE, elsewhere={"dir2": (*BEFORE, backend("10.1.0.9", 30))})))
    assert "10.1.0.9 is not stopped: dir2 lists it, and the director in use does not" in plan.warnings
    assert {one.ip: one.vhosts for one in plan.request.saves} == COUNTS | {"10.1.0.9": 30}
    assert "10.1.0.9" not in plan.request.ips


def test_a_state_in_which_a_monitor_makes_directors_differ_leaves_nothing_to_be_stopped() -> None:
    flapping = reading(STOPPED, elsewhere={"dir2": changed(STOPPED, replace(STOPPED[0], state=State.DOWN))})
    assert not left_to_stop(flapping)
    with pytest.raises(OperationRefused, match="nothing to do"):
        stop_plan(standing(on=flapping))


def test_a_stop_after_something_has_set_other_counts_saves_those_of_the_first() -> None:
    """A monitor, or somebody by hand: nobody has ended the stop, so the oldest counts count, for a day."""
    set_by_it = tuple(replace(one, vhosts=100) for one in BEFORE)
    stop = opened(record(COUNTS, -60), backends=set_by_it)
    assert not stop.in_force
    plan = stop_plan(standing(set_by_it), stop)
    assert {one.ip: one.vhosts for one in plan.request.saves} == COUNTS | {C: 100}
    assert plan.request.stops == stop.stamps
    old = opened(record(COUNTS, -60 * 25), backends=set_by_it)
    assert {one.vhosts for one in stop_plan(standing(set_by_it), old).request.saves} == {100}
    unknowing = record(dict.fromkeys(COUNTS, 100), 20)
    assert {ip: one.vhosts for ip, one in opened(record(COUNTS), unknowing).saved.items()} == COUNTS | {C: 100}


# --- which stop is open ------------------------------------------------------------------------------------------


def test_a_stop_is_open_until_all_have_their_counts_again() -> None:
    stop = opened(record(COUNTS))
    assert stop.in_force
    assert stop.stopped == (A, B, D, GOLD1, GOLD2)
    assert {ip: one.vhosts for ip, one in stop.saved.items()} == COUNTS
    one_left = changed(BEFORE, replace(BEFORE[1], vhosts=0))
    assert opened(record(COUNTS), backends=one_left).stopped == (B,)
    assert open_stop(Found((record(COUNTS),)), BEFORE) is None
    assert open_stop(Found((record(COUNTS),)), BEFORE[1:]) is None, "what was removed can't have its count again"
    assert open_stop(Found(), STOPPED) is None


def test_a_stop_is_over_when_somebody_has_said_so() -> None:
    assert open_stop(Found((record(COUNTS),), frozenset({record(COUNTS).stamp})), STOPPED) is None


def test_a_stop_of_which_nothing_is_away_is_open_but_not_in_force() -> None:
    stop = opened(record(COUNTS), backends=changed(BEFORE, replace(BEFORE[0], vhosts=50)))
    assert not stop.in_force


def test_a_later_record_never_overwrites_a_saved_count_with_zero() -> None:
    """As another operator makes it whose program did not find the first."""
    zeros = dict.fromkeys(COUNTS, 0) | {D: 250, GOLD1: 30}
    stop = opened(record(COUNTS), record(zeros, 20))
    assert {ip: one.vhosts for ip, one in stop.saved.items()} == COUNTS
    assert stop.began == record(COUNTS)
    assert stop.stamps == (record(COUNTS).stamp, record(zeros, 20).stamp)
    knew = record(COUNTS | {D: 1}, 20, (record(COUNTS).stamp,))
    assert opened(record(COUNTS), knew).saved[D].vhosts == 250, "the oldest count wins"


def test_a_stop_of_long_ago_that_nobody_ended_gives_nothing_back() -> None:
    old = record(dict.fromkeys(COUNTS, 77), -60 * 24 * 200)
    stop = opened(old, record(COUNTS))
    assert {ip: one.vhosts for ip, one in stop.saved.items()} == COUNTS, "C had 0 on purpose"
    assert stop.began == record(COUNTS)


def test_a_record_by_a_clock_that_is_days_ahead_hides_no_stop() -> None:
    ahead = record(dict.fromkeys(COUNTS, 0) | {C: 33}, 60 * 24 * 3)
    now = NOON + timedelta(minutes=10)
    stop = open_stop(Found((record(COUNTS), ahead)), STOPPED, now)
    assert stop is not None
    assert {ip: one.vhosts for ip, one in stop.saved.items()} == COUNTS | {C: 33}
    assert stop.began == record(COUNTS)
    assert stop.stamps == (record(COUNTS).stamp, ahead.stamp)
    old = record(dict.fromkeys(COUNTS, 77), -60 * 24 * 200)
    stop = open_stop(Found((old, ahead)), STOPPED, now)
    assert stop is not None
    assert stop.records == (ahead,), "one of long ago still says nothing of today"


def test_a_stop_by_a_clock_that_is_days_ahead_lends_no_counts_to_the_next_one() -> None:
    ahead = opened(record(dict.fromkeys(COUNTS, 77) | {C: 0}, 60 * 24 * 3), backends=BEFORE)
    assert not ahead.in_force
    plan = stop_plan(standing(BEFORE), ahead)
    assert {one.ip: one.vhosts for one in plan.request.saves} == COUNTS
    assert plan.request.stops == ()


def test_a_stop_is_in_force_as_long_as_any_director_has_something_of_it() -> None:
    found = Found((record(COUNTS),))
    stop = stop_in(found, reading(BEFORE, elsewhere={"dir3": STOPPED}))
    assert stop is not None
    assert stop.stopped == (A, B, D, GOLD1, GOLD2)
    assert stop_in(found, reading(BEFORE)) is None
    plan = recover_plan(standing(on=reading(BEFORE, elsewhere={"dir3": STOPPED})), stop)
    assert [(one.target, plan.director_of(one)) for one in plan.commands] == [
        (ip, "dir3") for ip, count in COUNTS.items() if count
    ]


def test_two_stops_at_the_same_time_are_one() -> None:
    both = opened(record(COUNTS), record(COUNTS, 0.1))
    assert len(both.records) == 2
    assert recover_plan(standing(STOPPED), both).request.stops == both.stamps


def test_a_backend_that_is_drained_long_after_a_stop_that_nobody_ended_is_no_stop() -> None:
    by_hand = tuple(replace(one, vhosts=100) for one in BEFORE)
    drained = changed(by_hand, replace(by_hand[0], vhosts=0))
    found = Found((record(COUNTS),))
    assert open_stop(found, drained, NOON + timedelta(hours=23)) is not None
    assert open_stop(found, drained, NOON + timedelta(hours=25)) is None
    assert open_stop(found, STOPPED, NOON + timedelta(days=3)) is not None, "a stop may last"


def test_what_is_back_by_the_script_is_found_to_be_over_but_not_at_once() -> None:
    found = Found((record(COUNTS),))
    assert settled(found, BEFORE, NOON + timedelta(minutes=9)) == ()
    assert settled(found, BEFORE, NOON + timedelta(minutes=11)) == found.records
    assert settled(found, STOPPED, NOON + timedelta(minutes=11)) == ()
    assert settled(found, (), NOON + timedelta(minutes=11)) == ()  # a director that knows none of them says nothing
    assert settled(replace(found, over=frozenset({record(COUNTS).stamp})), BEFORE, NOON + timedelta(days=1)) == ()


def test_a_word_that_was_doubted_is_taken_over_when_nothing_is_away_any_more() -> None:
    """Or the next time that all are at 0 this stop would be in force again."""
    found = Found((record(COUNTS),), doubted={record(COUNTS).stamp: ("dir2",)})
    later = NOON + timedelta(minutes=11)
    hundred = tuple(replace(one, vhosts=100) for one in BEFORE)
    assert settled(found, hundred, later) == found.records
    assert settled(replace(found, doubted={}), hundred, later) == ()
    assert settled(found, changed(hundred, replace(hundred[0], vhosts=0)), later) == ()
    assert settled(found, STOPPED, later) == ()


# --- recovery ----------------------------------------------------------------------------------------------------


def test_every_count_comes_back_at_once_and_who_had_zero_stays_there() -> None:
    plan = recover_plan(standing(STOPPED), opened(record(COUNTS)))
    assert plan.confirmation is Confirmation.TYPED
    assert plan.goes_on
    assert plan.request.stops == (record(COUNTS).stamp,)
    assert [command.check for command in plan.commands] == [
        RowIs(ip, vhosts=count) for ip, count in COUNTS.items() if count
    ]


def test_who_was_changed_added_or_removed_since_is_marked_and_not_ticked() -> None:
    now = (*changed(STOPPED[1:], backend(B, 40)), backend("10.1.0.9", 0))
    stop = opened(record(COUNTS), backends=now)
    rows = {row.ip: (row.saved, row.now, row.to, row.what, row.ticked) for row in recover_rows(now, stop)}
    assert rows == {
        B: (17, 40, 17, Now.CHANGED, False),
        C: (0, 0, None, Now.WAS_ZERO, False),
        D: (250, 0, 250, Now.STOPPED, True),
        GOLD1: (100, 0, 100, Now.STOPPED, True),
        GOLD2: (1000, 0, 1000, Now.STOPPED, True),
        "10.1.0.9": (None, 0, 100, Now.ADDED, False),
        A: (100, None, None, Now.REMOVED, False),
    }
    plan = recover_plan(standing(now), stop)
    assert [command.target for command in plan.commands] == [D, GOLD1, GOLD2]
    assert plan.request.stops == stop.stamps
    ticked = recover_plan(standing(now), stop, ticked=[A, B, "10.1.0.9"])
    assert {command.target: command.check for command in ticked.commands} == {
        B: RowIs(B, vhosts=17),
        "10.1.0.9": RowIs("10.1.0.9", vhosts=100),
    }
    assert ticked.request.stops == (), "the stop is not over while something that it took is away"


def test_a_hundred_everywhere_as_the_manual_has_it() -> None:
    plan = recover_plan(standing(STOPPED), opened(record(COUNTS)), Choice.HUNDRED)
    assert {command.check for command in plan.commands} == {
        RowIs(ip, vhosts=100) for ip, count in COUNTS.items() if count
    }


def test_without_a_record_those_at_zero_get_a_hundred() -> None:
    now = changed(STOPPED, backend(B, 40))
    plan = recover_plan(standing(now), None)
    assert [(row.ip, row.what) for row in recover_rows(now, None) if not row.ticked] == [(B, Now.SERVING)]
    assert [command.check for command in plan.commands] == [RowIs(ip, vhosts=100) for ip in COUNTS if ip != B]


def test_where_nothing_is_ticked_nothing_is_given_back() -> None:
    with pytest.raises(OperationRefused, match="no backend is ticked"):
        recover_plan(standing(STOPPED), opened(record(COUNTS)), ticked=[])


# --- disconnecting everyone --------------------------------------------------------------------------------------


def test_nobody_is_disconnected_while_a_backend_is_usable_anywhere() -> None:
    for where in (standing(BEFORE), standing(on=reading(STOPPED, elsewhere={"dir3": BEFORE}))):
        with pytest.raises(OperationRefused, match=f"{A} is usable on dir[13], with vhost count 100"):
            disconnect_plan(where)


def test_everyone_is_flushed_at_once_and_then_kicked_on_every_director() -> None:
    plan = disconnect_plan(standing(STOPPED))
    assert plan.confirmation is Confirmation.TYPED
    users = sum(one.users for one in STOPPED)
    words = plan.commands[0].call.words
    assert words[:3] == ("director", "flush", "--max-parallel")
    assert int(words[3]) > users
    assert plan.commands[0].check == NobodyLeft()
    said = (*plan.warnings, *plan.notes)
    assert not any("hash leads to" in one or "moves by hand" in one for one in said), "nobody stays, nobody is moved"
    assert [(one.director, one.call.words, one.check) for one in plan.commands[1:]] == [
        (name, ("proxy", "kick", "-h", ip), NoSessions(name, ip)) for name in ("dir1", "dir2", "dir3") for ip in COUNTS
    ]


def of_version(*version: int) -> Standing:
    """All is stopped, and the directors are of this version."""
    return standing(on=reading(STOPPED, settings=replace(SETTINGS, version=version)))


MANY = [ProxySession(f"u{number}", "imap", "192.0.2.1", A, 143) for number in range(150)]


def test_before_2_3_14_sessions_are_kicked_by_the_names_of_their_users() -> None:
    plan = disconnect_plan(of_version(2, 3, 13), {"dir2": [*MANY, MANY[0]], "dir3": []})
    assert [(one.director, len(one.call.words), one.check) for one in plan.commands[1:]] == [
        ("dir2", 103, NoSessions("dir2", None, 0)),
        ("dir2", 53, NoSessions("dir2", None, 1)),
    ]


@pytest.mark.parametrize(
    ("version", "flush", "kicks"),
    [
        # A doveadm that takes one user only kicks the first of several; a director crashes at a flush to nowhere.
        ((2, 2, 19), "director flush -F all", [("proxy", "kick", "--", f"u{number}") for number in range(150)]),
        ((2, 2, 25, 4), "director flush -F all", [("proxy", "kick", "--", f"u{number}") for number in range(150)]),
        ((2, 2, 26), "director flush -F all", [("u0", "u99"), ("u100", "u149")]),
        ((2, 2, 32), "director flush -F all", [("u0", "u99"), ("u100", "u149")]),
        ((2, 2, 33), "director flush --max-parallel", [("u0", "u99"), ("u100", "u149")]),
        ((2, 3, 13), "director flush --max-parallel", [("u0", "u99"), ("u100", "u149")]),
        ((2, 3, 14), "director flush --max-parallel", [("proxy", "kick", "-h", ip) for ip in COUNTS]),
        ((2, 3, 21, 1), "director flush --max-parallel", [("proxy", "kick", "-h", ip) for ip in COUNTS]),
        ((), "director flush --max-parallel", [("proxy", "kick", "-h", ip) for ip in COUNTS]),
    ],
)
def test_everyone_is_disconnected_in_the_way_that_their_version_can(
    version: tuple[int, ...], flush: str, kicks: list[tuple[str, ...]]
) -> None:
    plan = disconnect_plan(of_version(*version), {"dir2": MANY})
    assert " ".join(plan.commands[0].call.words).startswith(flush)
    assert plan.commands[0].check == NobodyLeft()
    assert any("users are forgotten and then kicked" in one for one in plan.warnings) is flush.endswith("-F all")
    words = [one.call.words for one in plan.commands[1:] if one.director == "dir2"]
    assert [one if len(one) == 4 else (one[3], one[-1]) for one in words] == kicks
    assert len({one.check for one in plan.commands}) == len(plan.commands)


def test_a_director_that_can_not_be_reached_is_named() -> None:
    there = reading(STOPPED)
    views = tuple(
        replace(view, failure=Unreachable("dir2: no route"), backends=()) if view.director == "dir2" else view
        for view in there.views
    )
    plan = disconnect_plan(standing(on=replace(there, views=views)))
    assert "dir2 can't be reached: the sessions there stay" in plan.warnings
    assert {one.director for one in plan.commands} == {"", "dir1", "dir3"}
