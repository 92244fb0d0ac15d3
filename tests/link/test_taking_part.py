"""Which members take part, in a ring that is too large for one director to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from director_tui.director import doveadm, parse
from director_tui.director.model import RingView, taking_part
from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ring.real import RealDirector, RealRing


def view_of(director: RealDirector) -> RingView:
    return parse.ring_view(director.doveadm(*doveadm.ring_status().words).stdout)


def test_real_the_member_opposite_is_missed_by_those_beside_it(make_ring: Callable[..., RealRing]) -> None:
    ring = make_ring(size=4)
    first, second, opposite, last = ring.directors
    assert len(view_of(first).members) == 4
    opposite.stop()
    there = [first, second, last]

    def found() -> frozenset[tuple[str, int]]:
        return taking_part(view_of(first), [view_of(director) for director in there])

    assert wait_until(lambda: len(found()) == 3, 30)
    assert len(view_of(first).connected) == 4, "one view alone is an upper bound; else this function is not needed"
    assert (opposite.ip, opposite.port) not in found()
    opposite.start()
    ring.wait_synced()
    assert wait_until(lambda: len(found()) == 4, 30)


def test_a_director_that_thinks_it_is_alone_takes_nobody_away() -> None:
    def view(own: int, rows: str) -> RingView:
        text = "director ip\tport\ttype\tlast failed\tstatus\n" + rows
        assert f"10.0.0.{own}\t9090\tself" in text
        return parse.ring_view(text.encode())

    whole = view(1, "10.0.0.1\t9090\tself\tnever\tring synced\n10.0.0.2\t9090\tright\tnever\tsynced\n"
                    "10.0.0.3\t9090\tleft\tnever\tsynced\n")  # fmt: skip
    alone = view(3, "10.0.0.1\t9090\t\tnever\t\n10.0.0.2\t9090\t\tnever\t\n10.0.0.3\t9090\tself\tnever\tring synced\n")
    assert len(taking_part(whole, [alone])) == 3
