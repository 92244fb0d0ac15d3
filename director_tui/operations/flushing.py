"""How far a flush is: what is left, how fast it goes, and how long it may still take.

A director says nothing of this. Its user counts tell it, read beside the flush over another session.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from director_tui.operations.progress import FlushProgress

RATE_OVER_S: Final = 60.0
"""How far back the rate is measured, in seconds."""

RATE_FROM_S: Final = 4.0
"""Before that much time has passed there is no rate: users go in batches, one every two seconds."""


class FlushRate:
    """Makes a :class:`FlushProgress` of each user count. Times are the monotonic clock's, in seconds.

    ``empties`` is whether it ends with no users at all; where some of them stay, it can't be told how long it takes.
    """

    def __init__(self, users: int, now_s: float, *, empties: bool) -> None:
        self._at_start = users
        self._empties = empties
        self._counts = deque([(now_s, users)])

    def at(self, users: int, now_s: float) -> FlushProgress:
        """With ``users`` left now."""
        self._counts.append((now_s, users))
        # The last one from before the minute stays: the rate is over at least that long.
        while len(self._counts) > 2 and now_s - self._counts[1][0] >= RATE_OVER_S:
            self._counts.popleft()
        since_s, before = self._counts[0]
        if now_s - since_s < RATE_FROM_S:
            return FlushProgress(self._at_start, users)
        per_min = (before - users) / (now_s - since_s) * 60
        eta_s = users / per_min * 60 if self._empties and per_min > 0 else None
        return FlushProgress(self._at_start, users, per_min, eta_s)
