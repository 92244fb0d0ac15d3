"""Every reason why an action can't start now, and which of them wins."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from director_tui.director.parse import ring_view
from director_tui.errors import ConnectionLost, OperationRefused
from director_tui.link.reading import DirectorView, LinkState, LinkStatus, Reading
from director_tui.operations.gate import Circumstances, Cure, Refusal, not_our_ring, refusal
from director_tui.operations.plan import Verb
from director_tui.operations.planning import fingerprint, make_plan
from director_tui.operations.unseen_flush import UnseenFlush
from tests.link.fakes import ring_output
from tests.operations.standing import A, reading, standing, update

READY = Circumstances(reading())
FLUSH = UnseenFlush("dir2", A, datetime(2026, 11, 23, 21, 40, tzinfo=UTC))


def of_another_ring(director: str) -> DirectorView:
    others = {"x": "10.9.0.1", "y": "10.9.0.2"}
    return DirectorView(director, ring_view(ring_output("10.9.0.1", others.values(), gone=set())))


def foreign_in_use() -> Reading:
    """dir2 is read, and it has other members in its ring than dir1, the first that is configured."""
    good = reading()
    assert good.snapshot is not None
    views = (good.views[0], of_another_ring("dir2"))
    return replace(good, snapshot=replace(good.snapshot, director="dir2"), views=views)


def nobody_knows_whose() -> Reading:
    """dir1 says nothing, and the two others are of different rings."""
    good = reading()
    silent = DirectorView("dir1", failure=ConnectionLost("dir1: gone"))
    return replace(good, views=(silent, good.views[1], of_another_ring("dir3")))


@pytest.mark.parametrize("verb", Verb)
def test_nothing_stands_against_it(verb: Verb) -> None:
    assert refusal(verb, READY) is None
    assert refusal(verb, READY, targets=1) is None


@pytest.mark.parametrize(
    ("verb", "now", "targets", "expected"),
    [
        (Verb.UPDATE, replace(READY, read_only=True), 1, Refusal("read-only: nothing is changed from here")),
        (
            Verb.KICK,
            replace(READY, running="Flush 10.1.0.3 runs since 21:40"),
            None,
            Refusal("one change at a time: Flush 10.1.0.3 runs since 21:40"),
        ),
        (Verb.DOWN, READY, 0, Refusal("no backend is selected")),
        (Verb.DOWN, Circumstances(None), 1, Refusal("the ring has not been read yet", Cure.READING)),
        (
            Verb.DOWN,
            Circumstances(Reading(LinkState(LinkStatus.CONNECTING, "dir1"))),
            None,
            Refusal("the ring has not been read yet", Cure.READING),
        ),
        (
            Verb.UP,
            Circumstances(reading(status=LinkStatus.RECONNECTING)),
            1,
            Refusal("no connection to the ring", Cure.READING),
        ),
        (Verb.UP, replace(READY, fresh=False), 1, Refusal("what is shown is too old to act on", Cure.READING)),
        (Verb.FLUSH, Circumstances(foreign_in_use()), 1, Refusal("dir2 belongs to another ring")),
        (
            Verb.FLUSH,
            Circumstances(nobody_knows_whose()),
            1,
            Refusal("dir2 and dir3 are of different rings, and which one is ours can't be told"),
        ),
        # What nobody here can cure comes first.
        (
            Verb.ADD,
            Circumstances(None, read_only=True, running="x", unseen=(FLUSH,)),
            0,
            Refusal("read-only: nothing is changed from here"),
        ),
    ],
)
def test_why_not_now(verb: Verb, now: Circumstances, targets: int | None, expected: Refusal) -> None:
    assert refusal(verb, now, targets=targets) == expected


def test_the_failure_of_the_link_is_part_of_the_reason() -> None:
    lost = reading()
    link = replace(lost.link, status=LinkStatus.RECONNECTING, failure=ConnectionLost("dir1: the connection was lost"))
    found = refusal(Verb.UP, Circumstances(replace(lost, link=link)))
    assert str(found) == "no connection to the ring: dir1: the connection was lost"


@pytest.mark.parametrize("verb", [Verb.ADD, Verb.FLUSH_ALL, Verb.MOVE, Verb.KICK])
def test_what_is_not_pointed_at_needs_no_selection(verb: Verb) -> None:
    assert refusal(verb, READY, targets=0) is None


@pytest.mark.parametrize("verb", Verb)
def test_after_a_flush_without_an_end_the_list_may_only_change_when_a_person_insists(verb: Verb) -> None:
    found = refusal(verb, replace(READY, unseen=(FLUSH,)), targets=1)
    if verb in {Verb.ADD, Verb.REMOVE}:
        assert found is not None
        assert found.cure is Cure.TYPED
        assert "the flush of 10.1.0.1 (21:40 UTC, dir2)" in found.reason
    else:
        assert found is None


@pytest.mark.parametrize(
    ("broken", "why"), [(foreign_in_use(), "another ring"), (nobody_knows_whose(), "can't be told")]
)
def test_no_plan_is_made_for_a_ring_that_is_not_ours(broken: Reading, why: str) -> None:
    assert why in not_our_ring(broken)
    for attempt in (make_plan, fingerprint):
        with pytest.raises(OperationRefused, match=why):
            attempt(update(0, A), standing(on=broken))
