"""What changed between two readings."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from director_tui.director.changes import Change, Subject, backend_changes, ring_changes
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
