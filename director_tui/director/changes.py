"""What changed between two readings, as values."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from director_tui.director.model import Backend, RingView


EVENTS_KEPT: Final = 500
"""How many changes a log keeps."""

FLIP_BACK_WITHIN: Final = timedelta(seconds=120)
"""A state that becomes the old one again within this did so by itself: monitors look every 10 s (dovemon) to 30 s
(poolmon), and dovemon wants several looks before it acts."""


class Subject(enum.Enum):
    """What a change is about."""

    BACKEND = "backend"
    VHOSTS = "vhosts"
    STATE = "state"
    TAG = "tag"
    RING = "ring"
    RESTART = "restart"
    LINK = "link"

    @property
    def is_of_ring(self) -> bool:
        """Whether somebody or something changed the ring; else only our way to it changed."""
        return self not in {Subject.RING, Subject.LINK}


@dataclass(frozen=True, slots=True)
class Change:
    """Something that became another between two readings.

    ``of`` is the IP of a backend, the address of a director, or an SSH destination, as ``subject`` says. ``before`` and
    ``after`` are values as doveadm prints them; empty for what was not there before, or is not any more.
    ``by`` is what this program did when it is the cause, empty for what happened outside. ``undone_after`` is set by a
    :class:`ChangeLog` on a state that went back by itself to what it was soon after it was changed, ``undid_ours``
    where it was this program that had changed it.
    """

    at: datetime
    subject: Subject
    of: str
    before: str
    after: str
    undone_after: timedelta | None = None
    by: str = ""
    undid_ours: bool = False


class ChangeLog:
    """The last changes, in the order in which they were seen."""

    def __init__(self) -> None:
        self._newest_first: deque[Change] = deque(maxlen=EVENTS_KEPT)
        self.newest_first: tuple[Change, ...] = ()

    def add(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        """Take in what is new, and return it. A state that has flipped back is marked: whoever changed it may be
        fighting a monitor, which sets backends up and down by itself (dovemon, poolmon)."""
        added = []
        for change in changes:
            added.append(self._marked(change))
            self._newest_first.appendleft(added[-1])
        self.newest_first = tuple(self._newest_first)
        return tuple(added)

    def _marked(self, change: Change) -> Change:
        if change.subject is not Subject.STATE or change.by:
            return change
        last = next(
            (one for one in self._newest_first if one.subject is Subject.STATE and one.of == change.of),
            None,
        )
        if last is None or last.before != change.after:
            return change
        passed = change.at - last.at
        if not timedelta() <= passed <= FLIP_BACK_WITHIN:
            return change
        return replace(change, undone_after=passed, undid_ours=bool(last.by))


def backend_changes(before: Iterable[Backend], after: Iterable[Backend], at: datetime) -> tuple[Change, ...]:
    """Backends that came, went, or have another vhost count, state or tag, in the order of the new list.

    User counts change all the time and are left out. A director whose configuration has an IP twice lists it twice,
    and every command reaches the first one only; so only that one counts.
    """
    old, new = first_by_ip(before), first_by_ip(after)
    changes: list[Change] = []
    for backend in new.values():
        was = old.pop(backend.ip, None)
        if was is None:
            changes.append(Change(at, Subject.BACKEND, backend.ip, "", f"added with vhost count {backend.vhosts}"))
            continue
        if was.tag != backend.tag:
            changes.append(Change(at, Subject.TAG, backend.ip, was.tag, backend.tag))
        if was.vhosts != backend.vhosts:
            changes.append(Change(at, Subject.VHOSTS, backend.ip, str(was.vhosts), str(backend.vhosts)))
        if was.state is not backend.state:
            changes.append(Change(at, Subject.STATE, backend.ip, was.state.value, backend.state.value))
    changes.extend(Change(at, Subject.BACKEND, ip, "", "removed") for ip in old)
    return tuple(changes)


def ring_changes(before: RingView, after: RingView, at: datetime) -> tuple[Change, ...]:
    """Directors that joined or left, and the ring as a whole becoming synced or not."""
    changes = member_changes(before.connected, after.connected, at)
    if before.synced != after.synced:
        changes += (Change(at, Subject.RING, "ring", _synced(before), _synced(after)),)
    return changes


def member_changes(
    before: frozenset[tuple[str, int]], after: frozenset[tuple[str, int]], at: datetime
) -> tuple[Change, ...]:
    """Directors, by address and port, that joined those in the ring or left them."""
    return tuple(
        Change(at, Subject.RING, f"{ip}:{port}", "", "in the ring again" if (ip, port) in after else "left the ring")
        for ip, port in sorted(before ^ after)
    )


def first_by_ip(backends: Iterable[Backend]) -> dict[str, Backend]:
    """Each backend by its IP; of those that are listed twice the first, which is the one that commands reach."""
    by_ip: dict[str, Backend] = {}
    for backend in backends:
        by_ip.setdefault(backend.ip, backend)
    return by_ip


def _synced(view: RingView) -> str:
    return "synced" if view.synced else "not synced"
