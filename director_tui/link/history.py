"""The last ten minutes: users of each backend, and how fast they change."""

from __future__ import annotations

import math
from collections import deque
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPAN_S: Final = 600.0
SLOT_S: Final = 10.0
"""Counts are kept once for each of these; the newest reading of a slot stands for it."""
LATE_INTERVALS: Final = 1.5
"""Readings so many intervals apart have nothing missing between them: they are only far between."""
RATE_SPAN_S: Final = 60.0
"""A rate is measured over this much, or over what there is, but not over less than one slot."""


class History:
    """User counts by backend over the last ten minutes of a monotonic clock, in slots of equal length.

    A slot in which nothing was read is there, too, as a gap: else minutes without a connection would look like none.
    Where the interval is longer than a slot, a reading stands for those up to the next one as well.
    """

    def __init__(self, interval_s: float = 0.0) -> None:
        """``interval_s`` is the time between two readings while all is well."""
        self._interval_s = interval_s
        self._began_s = 0.0
        self._newest = 0
        self._slots: deque[_Slot] = deque(maxlen=_KEPT + 1)

    def add(self, mono_s: float, users: Mapping[str, int]) -> None:
        """Take in one reading. Readings are given in the order of time."""
        slot = _Slot(mono_s, dict(users))
        # The first reading has slot 0 to itself: two points make a line.
        number = math.ceil((mono_s - self._began_s) / SLOT_S)
        missed = number - self._newest - 1
        if not self._slots or missed >= _KEPT:
            self._slots.clear()
            self._began_s, number = mono_s, 0
        elif number == self._newest:
            self._slots.pop()
        elif missed:
            last = self._slots[-1]
            late = mono_s - last.read_s > LATE_INTERVALS * self._interval_s
            self._slots.extend([_GAP if late else last] * missed)
        self._slots.append(slot)
        self._newest = number

    @property
    def slot(self) -> int:
        """The number of the slot that the last reading went to; equal counts in the same slot tell nothing new."""
        return self._newest

    def users(self, ip: str) -> tuple[int | None, ...]:
        """The counts of one backend, a slot each, oldest first; None where it was not there or nothing was read."""
        return tuple(slot.users.get(ip) for slot in self._slots)

    def total(self) -> tuple[int | None, ...]:
        """The counts of all backends together, a slot each, oldest first; None where nothing was read."""
        return tuple(None if slot is _GAP else sum(slot.users.values()) for slot in self._slots)

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
    """The counts of one reading, and when it was taken."""

    read_s: float
    users: Mapping[str, int]


_KEPT: Final = int(SPAN_S / SLOT_S)
_GAP: Final = _Slot(-math.inf, MappingProxyType({}))
