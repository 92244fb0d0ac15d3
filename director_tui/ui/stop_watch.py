"""Whether an emergency stop is in force on a ring that is watched: by the records, and by what the ring lists.

The records are looked for when the ring has changed, not at every reading: somebody who stops it sets counts to 0, and
has put the record on the directors before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from director_tui.link.users import each_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from director_tui.director.model import Backend
    from director_tui.link.reading import Reading
    from director_tui.link.ring import Ring
    from director_tui.operations.emergency import Stop
    from director_tui.operations.stop_keeping import Found

LOOK_AGAIN_S: Final = 60.0
"""After so long it is looked again while a stop is in force: that it is over may be all that is new."""


class StopWatch:
    """Looks for stops that are not over. Whoever makes one has to :meth:`end` it.

    ``changed`` is called when the records say something else than before about the same reading.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.stop: Stop | None = None
        self._changed = changed
        self._found: Found | None = None
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
        stands_on = (tuple((one.ip, one.vhosts) for one in snapshot.backends), len(reading.views), silent)
        if stands_on != self._stands_on:
            self._stands_on = stands_on
            self._judge(snapshot.backends)
        if all(one.vhosts for one in snapshot.backends):
            return  # whatever there is of records, nothing is stopped
        late = self.stop is not None and snapshot.taken_mono_s - self._looked_mono_s > LOOK_AGAIN_S
        if self._looking is None and (late or self._looked_at != stands_on):
            self._looked_at, self._looked_mono_s = stands_on, snapshot.taken_mono_s
            self._looking = asyncio.create_task(self._look(reading, ring), name="look for stop records")

    async def end(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])

    async def _look(self, reading: Reading, ring: Ring) -> None:
        try:
            self._found = await find(reading, ring)
        finally:
            self._looking = None
        now = self._reading.snapshot if self._reading is not None else None
        before = self.stop
        if now is not None:
            self._judge(now.backends)
            if self.stop != before:
                self._changed()

    def _judge(self, backends: Iterable[Backend]) -> None:
        if self._found is None or not self._found.records:
            self.stop = None
            return
        # Imported when there is a record to judge: so the first frame comes sooner.
        from director_tui.operations.emergency import open_stop

        found = open_stop(self._found, backends)
        self.stop = found if found is not None and found.in_force else None


async def find(reading: Reading, ring: Ring) -> Found:
    """The records here and on every director of the ring. Never raises; takes seconds where a director is silent."""
    from director_tui.operations.stop_keeping import find_records
    from director_tui.operations.stop_record import addresses

    links = each_once(ring.links, reading.views)
    cluster = ring.cluster
    return await find_records(cluster.name, links, cluster.records, addresses(reading.rings.values()))
