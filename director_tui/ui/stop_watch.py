"""Whether an emergency stop is in force on a ring that is watched: by the records, and by what the ring lists.

The records are looked for once at the beginning, and when the ring has changed, not at every reading: somebody who
stops it sets counts to 0, and has put the record on the directors before.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from director_tui.director.model import Backend
    from director_tui.link.reading import Reading
    from director_tui.link.ring import Ring
    from director_tui.operations.emergency import Stop
    from director_tui.operations.stop_keeping import Found
    from director_tui.times import Times

LOOK_AGAIN_S: Final = 60.0
"""After so long it is looked again while there are records that nobody has ended: that one is over may be all that is
new, or has to be said by us."""


class StopWatch:
    """Looks for stops that are not over. Whoever makes one has to :meth:`end` it.

    ``changed`` is called when the records say something else than before about the same reading. ``found`` are the
    records as they were found last, None before that.
    """

    def __init__(self, changed: Callable[[], None], times: Times) -> None:
        self.stop: Stop | None = None
        self.found: Found | None = None
        self._changed = changed
        self._times = times
        self._reading: Reading | None = None
        self._ring: Ring | None = None
        self._stands_on: tuple[object, ...] = ()
        self._looking: asyncio.Task[None] | None = None
        self._looked_at: tuple[object, ...] = ()
        self._looked_mono_s = 0.0

    def take(self, reading: Reading, ring: Ring) -> None:
        """Hold what is known against this reading, and look for records if it may stand on others."""
        snapshot = reading.snapshot
        if snapshot is None:
            return
        self._reading, self._ring = reading, ring
        silent = frozenset(view.director for view in reading.views if view.failure is not None)
        seen = _of_one_time(reading)
        # Imported with the first reading: so the first frame comes sooner.
        from director_tui.operations.emergency_ground import lowest

        least = lowest(seen)
        stands_on = (tuple((one.ip, one.vhosts) for one in least), len(reading.views), silent)
        if stands_on != self._stands_on:
            self._stands_on = stands_on
            self._judge(seen)
        if not reading.views:
            return  # whose records are ours is not known yet
        # Where nothing is at 0 nothing is stopped; but what is over has to be said by somebody.
        away = any(not one.vhosts for one in least)
        late = self._open and snapshot.taken_mono_s - self._looked_mono_s > LOOK_AGAIN_S
        if self._looking is None and (late or self.found is None or (away and self._looked_at != stands_on)):
            self._looked_at, self._looked_mono_s = stands_on, snapshot.taken_mono_s
            self._looking = asyncio.create_task(self._look(reading, ring), name="look for stop records")

    async def end(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self, reading: Reading, ring: Ring) -> None:
        try:
            # Imported here: so the first frame comes sooner.
            from director_tui.operations.stop_watch import look_for_stops

            self.found = (await look_for_stops(ring, reading, self._times)).found
        finally:
            self._looking = None
        before = self.stop
        if self._reading is not None and self._ring is not None:
            self._judge(_of_one_time(self._reading))
            if self.stop != before:
                self._changed()
            self.take(self._reading, self._ring)  # what has come meanwhile may stand on other records

    @property
    def _open(self) -> bool:
        return self.found is not None and any(one.stamp not in self.found.over for one in self.found.records)

    def _judge(self, reading: Reading) -> None:
        if self.found is None or not self._open:
            self.stop = None
            return
        from director_tui.operations.emergency import stop_in

        found = stop_in(self.found, reading)
        self.stop = found if found is not None and found.in_force else None


def _of_one_time(reading: Reading) -> Reading:
    """The reading without the word of the other directors where that is from before a change: what is back would seem
    to be away on them."""
    snapshot = reading.snapshot
    own = next((one for one in reading.views if snapshot is not None and one.director == snapshot.director), None)
    if snapshot is None or own is None or _counts(own.backends) == _counts(snapshot.backends):
        return reading
    return replace(reading, views=())


def _counts(backends: Iterable[Backend]) -> list[tuple[str, int]]:
    return [(one.ip, one.vhosts) for one in backends]
