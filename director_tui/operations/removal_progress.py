"""How the users of a backend leave it, by themselves or moved by a flush: how many, how fast, and when it stands still.

The directors count for themselves and lag a little behind each other, so there is a smallest and a largest number; it
goes by the largest, because nobody is gone before every director says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from director_tui.operations.flushing import FlushRate
from director_tui.operations.gate import STILL_S

if TYPE_CHECKING:
    from director_tui.operations.removal import BackendSeen


@dataclass(frozen=True, slots=True)
class LeavingProgress:
    """``per_min`` is how many went in the last minute, ``eta_s`` how long it takes at that; None while that can't be
    told. ``still_s`` is for how long no number has changed. ``stuck`` says so, and what to do, once that is long."""

    at_start: int
    least: int
    most: int
    sessions: int | None
    per_min: float | None
    eta_s: float | None
    still_s: float
    stuck: str = ""


class Leaving:
    """Makes a :class:`LeavingProgress` of each sight. Times are the monotonic clock's, in seconds."""

    def __init__(self, *, flushing: bool) -> None:
        """``flushing`` is whether somebody moves them; else they leave as their assignments end."""
        self._flushing = flushing
        self._rate: FlushRate | None = None
        self._last: tuple[int, int, int | None] | None = None
        self._since_s = 0.0

    def add(self, now: BackendSeen, now_s: float) -> LeavingProgress:
        most, least, sessions = now.most_users, now.least_users, now.session_count
        if self._rate is None:
            self._rate = FlushRate(most, now_s, empties=True)
        if (least, most, sessions) != self._last:
            self._last, self._since_s = (least, most, sessions), now_s
        rate = self._rate.at(most, now_s)
        still_s = now_s - self._since_s
        stuck = self._stuck(most, sessions) if still_s >= STILL_S else ""
        return LeavingProgress(rate.users_at_start, least, most, sessions, rate.per_min, rate.eta_s, still_s, stuck)

    def _stuck(self, users: int, sessions: int | None) -> str:
        still = f"not moving for {STILL_S:.0f} s"
        if users and self._flushing:
            return f"{still}: the flush may have been lost, or the rest hash back here; flush again"
        if users:
            return f"{still}: who stays connected keeps the assignment; go on when you don't want to wait"
        if sessions:
            return (
                f"{still}: sessions without a user are left of an earlier flush or removal; they end by themselves, or "
                "by kicking their users (l, then K)"
            )
        return ""
