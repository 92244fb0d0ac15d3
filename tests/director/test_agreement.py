"""Directors held against each other: backends they disagree about, and rings that are split."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from director_tui.director.agreement import disagreements, parts, twins, unread
from director_tui.director.model import Backend, DirectorPeer, RingView, State

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE = Backend("10.1.0.1", "", 100, State.UP, None, 10)
TWO = Backend("10.1.0.2", "gold", 100, State.UP, None, 20)


def test_directors_that_agree_whatever_users_they_count() -> None:
    assert disagreements({"d1": (ONE, TWO), "d2": (replace(TWO, users=3), ONE)}) == ()
    assert disagreements({"d1": (ONE,)}) == ()
    assert disagreements({}) == ()


@pytest.mark.parametrize(
    "other", [replace(ONE, vhosts=0), replace(ONE, state=State.DOWN), replace(ONE, tag="gold"), None]
)
def test_a_backend_of_which_one_director_says_something_else(other: Backend | None) -> None:
    tables = {"d1": (ONE, TWO), "d2": (other, TWO) if other else (TWO,), "d3": (replace(ONE, users=7), TWO)}
    (found,) = disagreements(tables)
    assert found.ip == "10.1.0.1"
    assert found.differing_from("d1") == ("d2",)
    assert found.differing_from("d2") == ("d1", "d3")
    assert found.sides == ((ONE, ("d1", "d3")), (other, ("d2",)))


def test_an_ip_that_is_listed_twice_counts_as_commands_reach_it() -> None:
    assert disagreements({"d1": (ONE, replace(ONE, vhosts=5)), "d2": (ONE,)}) == ()
    assert len(disagreements({"d1": (replace(ONE, vhosts=5), ONE), "d2": (ONE,)})) == 1


def seen_by(own: int, together: Sequence[int], members: int = 6, status: str = "ring synced") -> RingView:
    """What director ``own`` says that runs in a ring of these, out of so many members."""
    place = together.index(own)
    right, left = together[(place + 1) % len(together)], together[place - 1]
    peers = []
    for number in range(1, members + 1):
        sides = [kind for kind, other in (("left", left), ("right", right)) if other == number != own] or [""]
        for kind in ["self"] if number == own else sides:
            said = status if kind == "self" else "synced" if kind else ""
            peers.append(DirectorPeer(f"10.0.0.{number}", 9090, kind, None, said))
    return RingView(tuple(peers))


def views(*rings: Sequence[int], read: Sequence[int] = (), members: int = 6) -> dict[str, RingView]:
    """What the directors of these rings say, in the order in which they are ``read``; all of them without it."""
    all_views = {f"d{own}": seen_by(own, ring, members) for ring in rings for own in ring}
    return {f"d{one}": all_views[f"d{one}"] for one in read} if read else all_views


WHOLE = range(1, 7)


@pytest.mark.parametrize("read", [(1, 2, 3, 4, 5, 6), (1, 4), (5, 2, 3), (3,)])
def test_a_whole_ring_is_one_part_whoever_was_read(read: Sequence[int]) -> None:
    assert parts(views(WHOLE, read=read)) == (tuple(f"d{one}" for one in read),)


@pytest.mark.parametrize("read", [(1, 2, 4, 5), (1, 4), (5, 2)])
def test_directors_that_are_gone_split_nothing(read: Sequence[int]) -> None:
    assert len(parts(views((1, 2, 4, 5), read=read))) == 1


@pytest.mark.parametrize("read", [(1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1), (2, 5, 1, 3, 4, 6), (2, 5, 1, 6)])
def test_two_halves(read: Sequence[int]) -> None:
    one, other = parts(views((1, 2, 3), (4, 5, 6), read=read))
    assert {frozenset(one), frozenset(other)} == {
        frozenset(f"d{number}" for number in read if number <= 3),
        frozenset(f"d{number}" for number in read if number > 3),
    }
    assert one[0] == f"d{read[0]}"


def test_one_that_is_alone_and_the_rest() -> None:
    assert parts(views((1, 3), (2,), members=3)) == (("d1", "d3"), ("d2",))
    assert parts(views((1,), (2,), (3,), members=3)) == (("d1",), ("d2",), ("d3",))


def test_one_that_has_not_found_its_ring_yet_runs_in_none() -> None:
    starting = seen_by(2, (2,), 3, "ring handshaking")
    assert parts({**views((1, 3), members=3), "d2": starting}) == (("d1", "d3"),)


def test_one_that_lacks_a_neighbour_for_a_moment_proves_nothing() -> None:
    halves = views((1, 2, 3), members=3)
    halves["d1"] = RingView(tuple(replace(one, type="") if one.type == "left" else one for one in halves["d1"].peers))
    assert parts(halves) == (("d1", "d2", "d3"),)


def test_a_director_reached_by_two_names_counts_once() -> None:
    whole = views((1, 2, 3), members=3)
    again = {"d1": whole["d1"], "d2": whole["d2"], "again": whole["d1"]}
    assert twins(again) == {"again": "d1"}
    assert unread(again) == (("10.0.0.3", 9090),)
    assert parts(again) == (("d1", "d2", "again"),)
    assert twins(whole) == {}
    assert unread(whole) == ()
