"""Directors that begin anew: what is believed of one that still learns, and how a restart of the whole ring shows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from director_tui.director.model import Backend, DirectorPeer, RingView, Snapshot, State
from director_tui.link.reading import Restart
from director_tui.link.restarts import LONGEST_GAP_S, Restarts

AT = datetime(2026, 11, 24, 21, 54, tzinfo=UTC)
FULL = tuple(Backend(f"10.1.0.{number}", "", 100, State.UP, None, 50) for number in range(1, 4))
CHANGED = (replace(FULL[0], vhosts=0), *FULL[1:])
EMPTY = tuple(replace(backend, users=0) for backend in FULL)


def ring(left: int, right: int, *, own: str = "ring synced") -> RingView:
    """What the first of three directors says when its connections have carried so many bytes."""

    def peer(number: int, kind: str, status: str, traffic: int | None) -> DirectorPeer:
        return DirectorPeer(f"10.0.0.{number}", 9090, kind, None, status, 1, traffic, traffic)

    return RingView((peer(1, "self", own, None), peer(2, "right", "synced", right), peer(3, "left", "synced", left)))


BEFORE = ring(5_000, 5_000)
ALONE = RingView((BEFORE.peers[0], *(replace(peer, type="", status="", input=None) for peer in BEFORE.peers[1:])))
ONE = RingView(BEFORE.peers[:1])


def snapshot(backends: tuple[Backend, ...], view: RingView | None, at_s: float = 0.0) -> Snapshot:
    return Snapshot(backends, view, "dir1", AT, at_s, 1.0)


def known(backends: tuple[Backend, ...] = FULL, view: RingView = BEFORE) -> Restarts:
    restarts = Restarts()
    restarts.begin_to_read()
    restarts.viewed(view, ())
    assert restarts.judged(snapshot(backends, view), AT) is None
    return restarts


def read(restarts: Restarts, backends: tuple[Backend, ...], view: RingView, at_s: float = 2.0) -> Restart | None:
    """One poll, and the ring's state behind it where that is wanted."""
    restarts.begin_to_read()
    if restarts.doubts(backends, AT):
        restarts.viewed(view, ())
    return None if restarts.learning else restarts.judged(snapshot(backends, view, at_s), AT)


def test_what_a_director_lists_that_has_just_begun_is_not_believed() -> None:
    restarts = known(CHANGED)
    assert read(restarts, EMPTY, ring(90, 1_000)) is None
    learning = [restarts.learning]
    assert read(restarts, CHANGED, ring(95, 1_010)) is None
    learning.append(restarts.learning)
    assert learning == [True, False]
    assert read(restarts, EMPTY, ring(100, 1_020)) is None, "it has not begun anew again: a flush by force"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (FULL, EMPTY, Restart(AT, 150, 0)),
        (CHANGED, EMPTY, Restart(AT, 150, 1)),
        (CHANGED, FULL, Restart(AT, 0, 1)),
        (FULL, FULL, None),
        (FULL, tuple(replace(one, users=30) for one in FULL), None),
    ],
)
def test_what_is_still_forgotten_when_it_has_learned_is_forgotten_by_all(
    before: tuple[Backend, ...], after: tuple[Backend, ...], expected: Restart | None
) -> None:
    restarts = known(before)
    restarts.viewed(ring(90, 1_000), ())
    assert read(restarts, after, ring(95, 1_010)) == expected
    assert read(restarts, after, ring(99, 1_020)) is None, "said once"


def test_nobody_is_judged_before_the_others_are_there() -> None:
    restarts = known()
    restarts.interrupted()
    assert read(restarts, EMPTY, ALONE) is None
    assert read(restarts, EMPTY, ring(90, 100, own="ring handshaking")) is None
    assert restarts.learning
    assert read(restarts, EMPTY, ring(95, 110)) is None, "read before that was known"
    assert read(restarts, EMPTY, ring(99, 120)) == Restart(AT, 150, 0)


def test_where_connections_tell_nothing_an_interruption_does_if_it_was_short() -> None:
    for at_s, expected in ((10.0, Restart(AT, 150, 0)), (LONGEST_GAP_S + 1, None)):
        restarts = known(view=ONE)
        restarts.interrupted()
        assert read(restarts, EMPTY, ONE, at_s) == expected
    assert read(known(view=ONE), EMPTY, ONE) is None, "no interruption: a flush by force"


def test_what_was_changed_while_we_were_cut_off_is_no_restart_where_connections_went_on() -> None:
    restarts = known(CHANGED)
    restarts.interrupted()
    assert read(restarts, FULL, ring(5_100, 5_100)) is None, "somebody has set it back"
    restarts.interrupted()
    assert read(restarts, EMPTY, ring(90, 100)) is None, "not before it has learned"
    assert read(restarts, EMPTY, ring(95, 110)) == Restart(AT, 150, 0)


def test_who_went_home_while_nobody_looked_is_not_forgotten() -> None:
    for at_s, expected in ((60.0 * 20, Restart(AT, 150, 0)), (3600.0 * 8, None)):
        restarts = known()
        restarts.interrupted()
        restarts.viewed(ring(90, 1_000), ())
        assert read(restarts, EMPTY, ring(95, 1_010), at_s) == expected


def test_another_director_that_is_read_is_held_against_what_it_said_itself() -> None:
    own, right, left = BEFORE.peers
    second = RingView(
        (
            replace(own, type="left", status="synced", input=8, output=8),
            replace(right, type="self", status="ring synced", input=None),
            replace(left, type="right", input=8, output=8),
        )
    )
    restarts = known()
    restarts.viewed(second, (BEFORE,))
    assert read(restarts, EMPTY, second) is None
    assert second.identity == ("10.0.0.2", 9090)


def test_a_restart_says_what_is_lost() -> None:
    assert Restart(AT, 143_220, 0).forgotten == "143,220 users"
    assert Restart(AT, 1, 2).forgotten == "1 user and changes of 2 backends"
    assert Restart(AT, 0, 1).forgotten == "changes of 1 backend"
