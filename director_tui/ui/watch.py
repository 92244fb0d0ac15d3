"""One cluster while it is watched: its ring is opened, read, and closed again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from director_tui.director.changes import ChangeLog
from director_tui.errors import LinkError
from director_tui.link.history import History
from director_tui.link.reading import LinkState, LinkStatus, Reading
from director_tui.ui.live import Present
from director_tui.ui.stop_watch import StopWatch

if TYPE_CHECKING:
    from director_tui.config import ClusterConfig
    from director_tui.director.changes import Change
    from director_tui.errors import DirectorTuiError
    from director_tui.link.monitor import Monitor
    from director_tui.link.questions import Ask
    from director_tui.link.ring import Ring
    from director_tui.link.users import Sessions
    from director_tui.operations.stop_keeping import Found
    from director_tui.times import Times
    from director_tui.ui.operating import Operating

OpenRing = Callable[["ClusterConfig", "Ask | None"], Awaitable["Ring"]]
"""Makes the ring of a cluster; asks a person by the second argument, or nobody."""

CLOSE_LIMIT_S: Final = 3.0
"""How long the connections may take to close."""


class Watch:
    """What is known of one cluster, kept up to date while :meth:`run` runs. Whoever makes one has to :meth:`end` it.

    ``show`` is called with each reading. ``present`` is None until the first, ``ring`` until it is opened.
    ``operating`` is what this program does to the cluster, if it does anything.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        open_ring: OpenRing,
        show: Callable[[Present], None],
        times: Times,
        operating: Operating | None = None,
    ) -> None:
        self.cluster: Final = cluster
        self.present: Present | None = None
        self._open_ring = open_ring
        self._show = show
        self._times = times
        self._operating = operating
        self._change_log = ChangeLog()
        self._stops = StopWatch(self._show_stop, times)
        self.ring: Ring | None = None
        self._monitor: Monitor | None = None
        self._session_takers: list[Callable[[Sessions], None]] = []
        self._sessions: Sessions | None = None
        self._ring_watchers = 0
        self._task: asyncio.Task[object] | None = None
        self._stopped = False

    async def run(self, ask: Ask | None) -> None:
        """Open the ring and read it until the end. Raises DirectorTuiError if it can't even be opened."""
        if self._stopped:
            return
        self._task = asyncio.current_task()
        self.ring = await self._open_ring(self.cluster, ask)
        self.ring.in_use.connecting()
        # Imported while that goes on: so the first frame comes sooner, and the first table not later.
        monitor = await asyncio.to_thread(_import_what_a_reading_needs)
        self._monitor = monitor(self.ring, self._take, self._times)
        self._monitor.watch_ring(self._ring_watchers > 0)
        await self._monitor.run()

    def fail(self, error: DirectorTuiError) -> None:
        """Show that it can't even be opened."""
        if not self._stopped:
            link = LinkState(LinkStatus.CONNECTING, self.cluster.directors[0].ssh, error)
            self.present = Present(Reading(link), History())
            self._show(self.present)

    def stop(self) -> None:
        """Show nothing any more, from now on."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """Stop, and close every connection; returns when that is done."""
        self.stop()
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._stops.end()
        if self.ring is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self.ring.close()

    @property
    def found(self) -> Found | None:
        """The records of stops as they were found last; None before that."""
        return self._stops.found

    def read_now(self) -> None:
        if self._monitor is not None:
            self._monitor.read_now()

    async def fresh(self) -> Reading:
        """A reading of every director that is begun after this call. Raises DirectorTuiError if there is none."""
        if self._monitor is None:
            raise LinkError("no director has been reached yet", "it is tried again by itself")
        self._monitor.read_now()
        reading = await self._monitor.fresh()
        if reading.link.failure is not None:
            raise reading.link.failure
        return reading

    async def ask_sessions(self, take: Callable[[Sessions], None]) -> None:
        """Ask every director for its sessions, and hand over what is known after each answer; nothing without a ring.

        Whoever asks while they are being asked takes part in that: at once by what is known, then by what is to come.
        What a director has begun to list it lists to the end, and each list takes the place of polls meanwhile.
        """
        if self.ring is None:
            return
        if self._session_takers:
            if take not in self._session_takers:
                self._session_takers.append(take)
            if self._sessions is not None:
                take(self._sessions)
            return
        # Imported when somebody asks: so the first frame comes sooner.
        from director_tui.link.users import sessions

        self._session_takers, self._sessions = [take], None
        views = self.present.reading.views if self.present is not None else ()
        try:
            await sessions(self.ring, views, self._take_sessions, self._times)
        finally:
            self._session_takers = []

    def _take_sessions(self, known: Sessions) -> None:
        self._sessions = known
        for take in tuple(self._session_takers):
            take(known)

    def use(self, director: str) -> None:
        """Read from this director. Raises ValueError if it is none of the cluster's."""
        if self._monitor is not None:
            self._monitor.use(director)

    def watch_ring(self, watched: bool) -> None:
        """Ask every director often, for one more that wants it, or for one less; kept until the ring is opened."""
        # Of two views that follow each other the new one may come before the old one goes.
        self._ring_watchers += 1 if watched else -1
        if self._monitor is not None:
            self._monitor.watch_ring(self._ring_watchers > 0)

    def _take(self, reading: Reading) -> None:
        if self._monitor is None or self.ring is None or self._stopped:
            return
        if reading.changes:
            self._take_changes(reading.changes, reading.link.director)
        self._stops.take(reading, self.ring)
        self.present = Present(reading, self._monitor.history, self._change_log.newest_first, self._stops.stop)
        self._show(self.present)

    def _show_stop(self) -> None:
        """The same reading, when more is known of stops."""
        if self.present is not None and not self._stopped:
            self.present = replace(self.present, stop=self._stops.stop)
            self._show(self.present)

    def _take_changes(self, changes: tuple[Change, ...], director: str) -> None:
        if self._operating is None:
            self._change_log.add(changes)
        else:
            self._operating.keep(self._change_log.add(self._operating.mark(changes)), director)


def _import_what_a_reading_needs() -> type[Monitor]:
    from director_tui.director import hashring, mail_servers  # noqa: F401 - for those who draw it
    from director_tui.link.monitor import Monitor
    from director_tui.operations import emergency_ground  # noqa: F401 - for who looks for a stop in it

    return Monitor
