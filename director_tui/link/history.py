"""The last ten minutes: users of each backend, and how fast they change."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPAN_S: Final = 600.0
SLOT_S: Final = 10.0
"""Counts are kept once for each of these; the newest reading of a slot stands for it."""
RATE_SPAN_S: Final = 60.0
"""A rate is measured over this much, or over what there is, but not over less than one slot."""


class History:
    """User counts by backend over the last ten minutes of a monotonic clock."""

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque()

    def add(self, mono_s: float, users: Mapping[str, int]) -> None:
        """Take in one reading. Readings are given in the order of time."""
        # The first reading has its slot to itself: two points make a line.
        if len(self._slots) > 1 and mono_s - self._slots[-1].began_s < SLOT_S:
            self._slots[-1] = _Slot(self._slots[-1].began_s, mono_s, dict(users))
        else:
            self._slots.append(_Slot(mono_s, mono_s, dict(users)))
        while self._slots[0].read_s < mono_s - SPAN_S:
            self._slots.popleft()

    def users(self, ip: str) -> tuple[int | None, ...]:
        """The counts of one backend, oldest first, None where it was not there."""
        return tuple(slot.users.get(ip) for slot in self._slots)

    def total(self) -> tuple[int, ...]:
        """The counts of all backends together, oldest first."""
        return tuple(sum(slot.users.values()) for slot in self._slots)

    def rates_per_min(self, ips: Iterable[str]) -> dict[str, float]:
        """How many users a minute each backend gains or loses; backends not seen long enough are left out."""
        if not self._slots:
            return {}
        now = self._slots[-1]
        then = next(slot for slot in self._slots if slot.read_s >= now.read_s - RATE_SPAN_S)
        elapsed_s = now.read_s - then.read_s
        if elapsed_s < SLOT_S:
            return {}
        both = (ip for ip in ips if ip in now.users and ip in then.users)
        return {ip: (now.users[ip] - then.users[ip]) * 60.0 / elapsed_s for ip in both}


class _Slot(NamedTuple):
    """``began_s`` is when its first reading was taken, ``read_s`` when the one was whose counts it holds.

    The beginning stays: else the newest slot would move on with every reading and never end.
    """

    began_s: float
    read_s: float
    users: dict[str, int]
