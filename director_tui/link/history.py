"""The last ten minutes: users of each backend, and how fast they change."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

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
        self._slots: deque[tuple[float, dict[str, int]]] = deque()

    def add(self, mono_s: float, users: Mapping[str, int]) -> None:
        """Take in one reading. Readings are given in the order of time."""
        # A slot keeps the time of its first reading: else the newest would move on with every reading and never end.
        if self._slots and mono_s - self._slots[-1][0] < SLOT_S and len(self._slots) > 1:
            self._slots[-1] = (self._slots[-1][0], dict(users))
        else:
            self._slots.append((mono_s, dict(users)))
        self._newest = (mono_s, self._slots[-1][1])
        while self._slots[0][0] < mono_s - SPAN_S:
            self._slots.popleft()

    def users(self, ip: str) -> tuple[int | None, ...]:
        """The counts of one backend, oldest first, None where it was not there."""
        return tuple(users.get(ip) for _, users in self._slots)

    def total(self) -> tuple[int, ...]:
        """The counts of all backends together, oldest first."""
        return tuple(sum(users.values()) for _, users in self._slots)

    def rates_per_min(self, ips: Iterable[str]) -> dict[str, float]:
        """How many users a minute each backend gains or loses; backends not seen long enough are left out."""
        if len(self._slots) < 2:
            return {}
        now_s, now = self._newest
        then_s, then = next(slot for slot in self._slots if slot[0] >= now_s - RATE_SPAN_S)
        if now_s - then_s < SLOT_S:
            return {}
        return {ip: (now[ip] - then[ip]) * 60.0 / (now_s - then_s) for ip in ips if ip in now and ip in then}
