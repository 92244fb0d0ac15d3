"""What changed from one reading to the next, also where the next one is another director's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from director_tui.director.changes import Change, backend_changes, member_changes, ring_changes
from director_tui.director.model import taking_part

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from director_tui.director.model import RingView, Snapshot


class Comparison:
    """Holds every snapshot against the last one that it can be held against.

    One of the same director always can. Directors of a ring that is not synced may differ without anything having
    changed, so one of another director only can if both were synced. Until the new one is, nothing is said, and the
    last word of the old one is kept: what has changed in the meantime is said then, once, and nothing that only looked
    different before the ring had settled.
    """

    def __init__(self) -> None:
        self._before: Snapshot | None = None
        self._there: frozenset[tuple[str, int]] = frozenset()

    def changes(self, after: Snapshot, others: Iterable[RingView], at: datetime) -> tuple[Change, ...]:
        """What is new with this snapshot. ``others`` is what the other directors say of the ring."""
        before, there = self._before, self._there
        switched = before is not None and before.director != after.director
        if before is not None and switched and _settled(before.ring) and not _settled(after.ring):
            return ()
        self._before = after
        self._there = taking_part(after.ring, others) if after.ring is not None else frozenset()
        if before is None:
            return ()
        if not switched:
            of_ring = ring_changes(before.ring, after.ring, at) if before.ring and after.ring else ()
            return backend_changes(before.backends, after.backends, at) + of_ring
        if not _settled(before.ring) or not _of_one_ring(before.ring, after.ring):
            return ()
        # Two directors know of different neighbours; who takes part by all that is known is the same for both.
        of_ring = member_changes(there, self._there, at)
        return backend_changes(before.backends, after.backends, at) + of_ring


def _settled(view: RingView | None) -> bool:
    """Whether its word holds for the ring: one that is cut off from all others calls itself synced as well."""
    return view is not None and view.synced and not view.alone


def _of_one_ring(one: RingView | None, other: RingView | None) -> bool:
    own = other.self_peer if other is not None else None
    return one is not None and own is not None and (own.ip, own.port) in one.members
