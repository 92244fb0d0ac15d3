"""What changed between two readings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from director_tui.director.changes import (
    EVENTS_KEPT,
    Change,
    ChangeLog,
    Subject,
    backend_changes,
    ring_changes,
)
from director_tui.director.model import Backend, DirectorPeer, RingView, State

AT = datetime(2026, 11, 24, tzinfo=UTC)
ONE = Backend("10.0.0.1", "", 100, State.UP, None, 5)
TWO = replace(ONE, ip="10.0.0.2")
RING = RingView(
    (
        DirectorPeer("10.0.0.11", 9090, "self", None, "ring synced"),
        DirectorPeer("10.0.0.12", 9090, "left", None, "synced"),
        DirectorPeer("10.0.0.12", 9090, "right", None, "synced"),
    )
)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([ONE], [ONE], []),
        ([ONE], [replace(ONE, users=9, state_changed=AT)], []),
        ([ONE], [replace(ONE, vhosts=0)], [(Subject.VHOSTS, "10.0.0.1", "100", "0")]),
        ([ONE], [replace(ONE, state=State.DOWN)], [(Subject.STATE, "10.0.0.1", "up", "down")]),
        ([ONE], [replace(ONE, tag="gold")], [(Subject.TAG, "10.0.0.1", "", "gold")]),
        ([ONE], [ONE, TWO], [(Subject.BACKEND, "10.0.0.2", "", "added with vhost count 100")]),
        ([ONE, TWO], [TWO], [(Subject.BACKEND, "10.0.0.1", "", "removed")]),
        ([ONE, TWO], [TWO, ONE], []),
        ([ONE, replace(ONE, vhosts=7)], [ONE, replace(ONE, vhosts=7)], []),  # an IP that is there twice
        ([ONE, replace(ONE, vhosts=7)], [ONE], []),
    ],
)
def test_backend_changes(
    before: list[Backend], after: list[Backend], expected: list[tuple[Subject, str, str, str]]
) -> None:
    assert backend_changes(before, after, AT) == tuple(Change(AT, *values) for values in expected)


def test_a_director_that_goes_and_comes_back() -> None:
    alone = RingView((RING.peers[0], DirectorPeer("10.0.0.12", 9090, "", None, "")))
    assert ring_changes(RING, RING, AT) == ()
    (gone,) = ring_changes(RING, alone, AT)
    (back,) = ring_changes(alone, RING, AT)
    assert (gone.subject, gone.of, gone.after) == (Subject.RING, "10.0.0.12:9090", "left the ring")
    assert (back.of, back.after) == ("10.0.0.12:9090", "in the ring again")


def test_a_ring_that_stops_being_synced() -> None:
    syncing = RingView((replace(RING.peers[0], status="ring syncing - last sync 1 secs ago"), *RING.peers[1:]))
    (change,) = ring_changes(RING, syncing, AT)
    assert (change.before, change.after) == ("synced", "not synced")
    assert not change.subject.is_of_ring


def state_change(second: float, after: str, ip: str = "10.0.0.1") -> Change:
    before = "up" if after == "down" else "down"
    return Change(AT + timedelta(seconds=second), Subject.STATE, ip, before, after)


def undone(*changes: Change) -> list[float | None]:
    """The seconds after which each change undid the one before, in the order of the changes."""
    log = ChangeLog()
    for change in changes:
        log.add([change])
    return [one.undone_after.total_seconds() if one.undone_after else None for one in reversed(log.newest_first)]


def test_a_state_that_flips_back_soon_is_marked_and_nothing_else_is() -> None:
    assert undone(state_change(0, "down"), state_change(28, "up"), state_change(40, "down")) == [None, 28.0, 12.0]
    assert undone(state_change(0, "down"), state_change(121, "up")) == [None, None]
    assert undone(state_change(0, "down"), state_change(28, "up", "10.0.0.2")) == [None, None]
    assert undone(state_change(0, "down"), state_change(5, "down")) == [None, None]
    vhosts = [Change(AT, Subject.VHOSTS, "10.0.0.1", "100", "0"), Change(AT, Subject.VHOSTS, "10.0.0.1", "0", "100")]
    assert undone(*vhosts) == [None, None]


def test_a_flip_back_is_found_past_other_changes() -> None:
    between = Change(AT + timedelta(seconds=3), Subject.VHOSTS, "10.0.0.1", "100", "0")
    assert undone(state_change(0, "down"), between, state_change(28, "up")) == [None, None, 28.0]


def test_only_what_went_back_by_itself_is_marked_and_whose_change_it_undid() -> None:
    log = ChangeLog()
    ours = replace(state_change(0, "down"), by="Set 10.0.0.1 down")
    log.add([ours, state_change(28, "up"), replace(state_change(40, "down"), by="Set 10.0.0.1 down")])
    down_again, up, down = log.newest_first
    assert (up.undone_after, up.undid_ours) == (timedelta(seconds=28), True)
    assert not down.undid_ours
    assert down_again.undone_after is None, "what we do ourselves is no monitor"
    log.add([replace(state_change(50, "up", "10.0.0.2")), state_change(55, "down", "10.0.0.2")])
    assert not log.newest_first[0].undid_ours


def test_the_log_gives_the_newest_first_and_forgets_the_oldest() -> None:
    log = ChangeLog()
    log.add([state_change(1, "down"), state_change(2, "up", "10.0.0.2")])
    log.add([state_change(3, "down", "10.0.0.3")])
    assert [change.of for change in log.newest_first] == ["10.0.0.3", "10.0.0.2", "10.0.0.1"]
    log.add(state_change(number, "down", str(number)) for number in range(EVENTS_KEPT))
    assert [log.newest_first[0].of, log.newest_first[-1].of] == [str(EVENTS_KEPT - 1), "0"]
