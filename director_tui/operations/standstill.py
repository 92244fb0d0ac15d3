"""Whether a flush whose end nobody saw has ended: its user counts tell, when they stand still for long enough.

Until then adding or removing a backend is dangerous: the director remembers the backend that it is flushing by its
place in the list, and goes on with another one when that moves (doveadm-connection.c, 2.2.26 … 2.3.21).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from director_tui.operations.gate import STILL_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.director.model import Backend
    from director_tui.operations.unseen_flush import UnseenFlush


class Standstill:
    """Watches the user counts of the backends of these flushes. Times are the monotonic clock's, in seconds.

    ``still_s`` is for how long they have stood still, ``over`` whether that was once long enough.
    """

    def __init__(self, flushes: Iterable[UnseenFlush] = ()) -> None:
        self.still_s = 0.0
        self.over = False
        self._flushes = frozenset(flushes)
        self._since_s = 0.0
        self._counts: dict[str, int] | None = None

    def watches(self, flushes: Iterable[UnseenFlush]) -> bool:
        """Whether all of these are among the flushes."""
        return self._flushes.issuperset(flushes)

    def add(self, backends: Iterable[Backend], now_s: float) -> None:
        """Take in what the ring shows now."""
        ips = {flush.ip for flush in self._flushes}
        counts = {one.ip: one.users for one in backends if None in ips or one.ip in ips}
        if counts != self._counts:
            self._counts, self._since_s = counts, now_s
        self.still_s = now_s - self._since_s
        self.over = self.over or self.still_s >= STILL_S

    def interrupted(self) -> None:
        """The ring could not be read: what happened meanwhile is not known."""
        self._counts = None
        self.still_s = 0.0
