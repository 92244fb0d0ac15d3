"""Polls a ring and publishes readings: the last good snapshot, the state of the link, and what changed."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.director.agreement import disagreements
from director_tui.director.changes import Change, Subject
from director_tui.director.failures import refused_by_sudo
from director_tui.director.model import RingSettings, RingView, Snapshot
from director_tui.errors import DirectorTuiError, RingUnreadable
from director_tui.link.comparison import Comparison
from director_tui.link.history import History
from director_tui.link.reading import (
    DirectorView,
    LinkState,
    LinkStatus,
    Reading,
    foreign,
    of_a_ring,
    stale_after_s,
)
from director_tui.link.restarts import Restarts
from director_tui.log import LOG, without_output
from director_tui.times import SYSTEM_TIMES, Times

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from director_tui.director.model import Backend
    from director_tui.link.reading import Restart
    from director_tui.link.ring import Answer, DirectorLink, Ring

RING_BEAT_S: Final = 10.0
"""How often the state of the ring is read, and every director asked for its own view, in seconds."""

CALM_BEAT_S: Final = 240.0
"""How often every director is asked while all is well: they are as well when nobody looks, and each call costs them
more than we use here. What changes of a backend, the director in use tells at once, what in the ring, within ten
seconds, and a connection tells by itself that it is lost. Only that another director does not answer doveadm any more,
or lists something else, is seen so late, unless somebody looks."""

WATCHED_BEAT_S: Final = 3.0
"""How often while somebody looks at what each director says."""

REFUSED_BEAT_S: Final = 15.0
"""How often a director is asked whose sudo refuses that: it reports each attempt to root over there."""

TRYING_AFTER_S: Final = 0.3
"""An attempt after a failure is said to be under way when it takes so long: one that fails at once would flicker."""


def ring_beat_s(interval_s: float) -> float:
    """How old the ring's state may be, in seconds, when a poll asks for it again, while it is well.

    It is asked for after a poll, so the poll before the one at which it would be stale has to do it, and in time.
    """
    return min(RING_BEAT_S, stale_after_s(interval_s) - 1.5 * interval_s)


class Monitor:
    """Reads a ring again and again, and hands every reading to ``publish``.

    ``history`` holds the user counts of the last ten minutes; it is kept up to date before a reading is published.
    ``times`` is what readings are stamped with; how long to wait between them always goes by the event loop.
    """

    def __init__(self, ring: Ring, publish: Callable[[Reading], None], times: Times = SYSTEM_TIMES) -> None:
        self.history: Final = History(ring.cluster.interval_s)
        self._times = times
        self._ring = ring
        self._publish = publish
        self._interval_s = ring.cluster.interval_s
        self._poll_now = asyncio.Event()
        self._ask_now = asyncio.Event()
        self._wanted: dict[asyncio.Event, list[asyncio.Future[None]]] = {self._poll_now: [], self._ask_now: []}
        self._ring_viewed_s = float("-inf")
        self._ring_wanted = False
        self._ring_watched = False
        self._chosen = ""
        self._home = _Home()
        self._comparison = Comparison()
        self._restarts = Restarts()
        self._connected: frozenset[str] = frozenset()
        self._settings_refused = False
        self._settings_wanted = True
        self._reading = Reading(LinkState(LinkStatus.CONNECTING, ring.in_use.name, since_mono_s=times.mono_s()))

    def read_now(self) -> None:
        """Take the next reading at once, of every director, and forget that earlier attempts failed."""
        self._ring.retry_now()
        self._settings_refused = False
        self._settings_wanted = True
        self._poll_now.set()
        self._ask_now.set()
        self._say_trying(asking=any(view.failure is not None for view in self._reading.views))

    def use(self, director: str) -> None:
        """Read from this director from now on, beginning now. Raises ValueError if it is none of the ring's."""
        self._ring.use(director)
        self._chosen = director
        self.read_now()

    def watch_ring(self, watched: bool) -> None:
        """Ask every director more often while somebody looks at what they say, and once at once."""
        self._ring_watched = watched
        if watched:
            self._ask_now.set()

    async def fresh(self) -> Reading:
        """A poll, the ring's state, and a word of every director, all of which begin after this was called.

        Needs run() to be running. Where nobody answers it is the reading that says so; one without the ring's state if
        only that could not be read.
        """
        asked_s = self._times.mono_s()
        self._ring_wanted = True
        begun_later = []
        for now, wanted in self._wanted.items():
            begun_later.append(asyncio.get_running_loop().create_future())
            wanted.append(begun_later[-1])
            now.set()
        await asyncio.gather(*begun_later)
        snapshot = self._reading.snapshot
        if snapshot is None or self._ring_viewed_s >= asked_s:
            return self._reading
        return replace(self._reading, snapshot=replace(snapshot, ring=None))

    async def run(self) -> None:
        """Publish a reading after each poll, and one more whenever something slower has arrived.

        Runs until it is cancelled. A failed poll is a reading, too; a director that hangs does not hold up the others.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._every(self._poll_beat_s, self._poll_now, self._poll), name="poll")
            tasks.create_task(self._every(self._beat_s, self._ask_now, self._ask_every_director), name="ring")

    async def _every(
        self, interval_s: Callable[[], float], now: asyncio.Event, read: Callable[[], Awaitable[None]]
    ) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now.clear()
            wanted, self._wanted[now] = self._wanted[now], []
            began_s = loop.time()
            await read()
            for one in wanted:
                if not one.done():
                    one.set_result(None)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, interval_s() - (loop.time() - began_s))):
                    await now.wait()

    def _poll_beat_s(self) -> float:
        """How long until the next poll."""
        return self._wait_after_s(self._reading.link.failure)

    def _wait_after_s(self, failure: DirectorTuiError | None) -> float:
        causes = failure.causes.values() if isinstance(failure, RingUnreadable) else ()
        return max(self._interval_s, REFUSED_BEAT_S if any(map(refused_by_sudo, causes)) else 0.0)

    def _beat_s(self) -> float:
        """How long until every director is asked again."""
        if self._ring_watched:
            return max(WATCHED_BEAT_S, self._interval_s)
        views = [
            view for view in self._reading.views if view.failure is None or not refused_by_sudo(view.failure)
        ]  # where sudo refuses it only a person can mend that
        well = (
            self._reading.link.status is LinkStatus.LIVE
            and all(view.failure is None and view.ring is not None and view.ring.healthy for view in views)
            and not disagreements({view.director: view.backends for view in views})
        )
        if well and not self._settings_missing:
            return CALM_BEAT_S
        return RING_BEAT_S if len(views) == len(self._reading.views) else REFUSED_BEAT_S

    @property
    def _settings_missing(self) -> bool:
        """Whether the settings are still to be read, and may be."""
        return self._settings_wanted and not self._settings_refused

    def _put(self, reading: Reading) -> None:
        self._reading = reading
        self._publish(reading)

    def _say_trying(self, *, asking: bool) -> None:
        """Another attempt is under way: the failure that is on the screen is not its own."""
        link = replace(self._reading.link, trying=self._reading.link.failure is not None)
        reading = replace(self._reading, link=link, asking=asking, changes=())
        if reading != self._reading:
            self._put(reading)

    async def _poll(self) -> None:
        trying = asyncio.get_running_loop().call_later(
            TRYING_AFTER_S, lambda: self._say_trying(asking=self._reading.asking)
        )
        self._restarts.begin_to_read()
        try:
            answer = await self._ring.on_one(doveadm.status())
        except DirectorTuiError as failure:
            self._put(self._failed(failure))
            return
        finally:
            trying.cancel()
        now_s, now = self._times.mono_s(), self._times.utc()
        before = self._reading.snapshot
        was_away = self._reading.link.status is not LinkStatus.LIVE
        switched = before is not None and before.director != answer.director
        ring = before.ring if before is not None and not switched else None
        doubted = self._restarts.doubts(answer.value, now)
        asked = before is not None and (switched or was_away or doubted)  # the first table comes at once
        if asked:
            ring = await self._ring_view_of(answer.director) or ring
        taken_s, taken_at = now_s - answer.held_s, now - timedelta(seconds=answer.held_s)
        latency_ms = answer.elapsed_s * 1000
        snapshot = Snapshot(answer.value, ring, answer.director, taken_at, taken_s, latency_ms, self._ring_viewed_s)
        self.history.add(taken_s, {backend.ip: backend.users for backend in snapshot.backends})
        changed: tuple[Change, ...] = ()
        restart = None
        if not self._restarts.learning:
            changed = self._comparison.changes(snapshot, self._views, now)
            restart = self._restarts.judged(snapshot, now)
        changes = (*self._link_changes(answer.director, now), *changed, *_said(restart))
        # A poll that was under way when the choice was made says nothing about it: the ring still begins with it then.
        if answer.director == self._chosen or self._ring.in_use.name != self._chosen:
            self._chosen = ""
        link = self._live(answer.director, now_s)
        restart = restart or self._lasting_restart(now)
        self._put(replace(self._reading, link=link, snapshot=snapshot, restart=restart, changes=changes))
        if self._lost_one() or was_away or switched or changed:
            self._ask_now.set()
        if not asked and self._ring_view_is_old(now_s):
            self._show_ring(await self._ring_view_of(answer.director))

    def _lost_one(self) -> bool:
        """Whether a connection is lost that was there at the last poll."""
        before, self._connected = self._connected, frozenset(one.name for one in self._ring.links if one.connected)
        return not before <= self._connected

    def _ring_view_is_old(self, now_s: float) -> bool:
        """Whether to ask for the ring's state again: now and then while it is well, at every poll while it is not."""
        snapshot = self._reading.snapshot
        view = snapshot.ring if snapshot is not None else None
        old = now_s - self._ring_viewed_s >= ring_beat_s(self._interval_s)
        return view is None or not view.healthy or old or self._ring_wanted

    async def _ring_view_of(self, director: str) -> RingView | None:
        """What the director that was read says of the ring; None if nothing. Only its own word tells of its sync."""
        self._ring_wanted = False
        try:
            view = (await self._ring.link(director).call(doveadm.ring_status())).value
        except DirectorTuiError:
            return None
        self._ring_viewed_s = self._times.mono_s()
        self._restarts.viewed(view, self._views)
        return view

    def _show_ring(self, view: RingView | None) -> None:
        snapshot = self._reading.snapshot
        if view is None or snapshot is None:
            return
        before = snapshot.ring
        if before is not None and (view.connected, view.healthy) != (before.connected, before.healthy):
            self._ask_now.set()
        fresh = replace(snapshot, ring=view, ring_taken_mono_s=self._ring_viewed_s)
        if view == snapshot.ring:
            # Nothing to draw at once. Its age, and what it counts up, go with the next reading.
            self._reading = replace(self._reading, snapshot=fresh, changes=())
        else:
            changes: tuple[Change, ...] = ()
            if not self._restarts.learning:
                changes = self._comparison.changes(fresh, self._views, self._times.utc())
            self._put(replace(self._reading, snapshot=fresh, changes=changes))

    def _lasting_restart(self, now: datetime) -> Restart | None:
        """The one that was seen, until what it has forgotten would be forgotten anyway."""
        settings = self._reading.settings or RingSettings()
        restart = self._reading.restart
        return restart if restart and now - restart.at < timedelta(seconds=settings.user_expire_s) else None

    @property
    def _views(self) -> list[RingView]:
        return [view.ring for view in self._reading.views if view.ring is not None]

    async def _ask_every_director(self) -> None:
        if self._reading.snapshot is None:
            # The first table comes first; the first good poll wakes this up again.
            return
        asked_s = self._times.mono_s()
        rings = await self._ring.on_every(doveadm.ring_status())
        statuses = await self._ring.on_every(doveadm.status())
        views = self._home.judged(tuple(_view(name, rings[name], statuses[name]) for name in rings))
        self._ring.leave_out(foreign(views))
        asking = self._ask_now.is_set()
        self._put(replace(self._reading, views=views, views_mono_s=asked_s, asking=asking, changes=()))
        own = rings[self._reading.snapshot.director]
        if not isinstance(own, DirectorTuiError) and asked_s > self._ring_viewed_s:
            self._ring_viewed_s = asked_s
            self._restarts.viewed(own.value, self._views)
            self._show_ring(own.value)
        if self._settings_missing:
            await self._read_settings()

    async def _read_settings(self) -> None:
        try:
            settings = await _settings(self._ring.in_use)
            self._settings_wanted = False
            self._put(replace(self._reading, settings=settings, note="", changes=()))
        except DirectorTuiError as failure:
            # Where sudo refuses it, each attempt would be reported to root over there.
            self._settings_refused = refused_by_sudo(failure)
            self._put(replace(self._reading, note=_without_settings(failure), changes=()))

    def _live(self, director: str, now_s: float) -> LinkState:
        last = self._reading.link
        if last.status is LinkStatus.LIVE and last.director == director:
            return last
        LOG.info("live by %s", director)
        return LinkState(LinkStatus.LIVE, director, since_mono_s=now_s)

    def _failed(self, failure: DirectorTuiError) -> Reading:
        self._restarts.interrupted()
        last = self._reading.link
        if last.status is LinkStatus.LIVE:
            LOG.warning("no director answers: %s", without_output(failure))
        now_s = self._times.mono_s()
        status = LinkStatus.CONNECTING if self._reading.snapshot is None else LinkStatus.RECONNECTING
        retry_in_s = self._ring.retry_in_s
        state = LinkState(
            status,
            last.director,
            failure,
            last.since_mono_s if last.status is status else now_s,
            None if retry_in_s is None else now_s + max(retry_in_s, self._wait_after_s(failure)),
            trying=self._poll_now.is_set(),  # a person asked for another attempt while this one was under way
        )
        changes = (
            (Change(self._times.utc(), Subject.LINK, last.director, "live", "no director answers"),)
            if last.status is LinkStatus.LIVE
            else ()
        )
        return replace(self._reading, link=state, changes=changes)

    def _link_changes(self, director: str, now: datetime) -> tuple[Change, ...]:
        last = self._reading
        if last.snapshot is None or (last.link.status is LinkStatus.LIVE and last.link.director == director):
            return ()
        if last.link.director == director:
            return (Change(now, Subject.LINK, director, "no director answers", "reading again"),)
        after = f"left for {director}" if director == self._chosen else f"failed, now reading {director}"
        return (Change(now, Subject.LINK, last.link.director, "", after),)


def _said(restart: Restart | None) -> tuple[Change, ...]:
    if restart is None:
        return ()
    return (Change(restart.at, Subject.RESTART, "ring", "", f"restarted whole: it forgot {restart.forgotten}"),)


async def read_once(ring: Ring, times: Times = SYSTEM_TIMES) -> Reading:
    """One reading of everything, for those who don't follow the ring. Raises RingUnreadable."""
    answer = await ring.on_one(doveadm.status())
    taken_at, taken_s = times.utc(), times.mono_s()
    rings, statuses = await asyncio.gather(ring.on_every(doveadm.ring_status()), ring.on_every(doveadm.status()))
    views = tuple(_view(name, rings[name], statuses[name]) for name in rings)
    view = next(view for view in views if view.director == answer.director)
    settings: RingSettings | None = None
    note = ""
    try:
        settings = await _settings(ring.link(answer.director))
    except DirectorTuiError as failure:
        note = _without_settings(failure)
    snapshot = Snapshot(
        *(answer.value, view.ring, answer.director, taken_at, taken_s),
        latency_ms=answer.elapsed_s * 1000,
        ring_taken_mono_s=taken_s,
    )
    link = LinkState(LinkStatus.LIVE, answer.director, since_mono_s=taken_s)
    return Reading(link, snapshot, views, settings=settings, note=note, views_mono_s=taken_s)


async def _settings(link: DirectorLink) -> RingSettings:
    version: tuple[int, ...] = ()
    # Its words may not be allowed there; what the settings say is enough to go on.
    with contextlib.suppress(DirectorTuiError):
        version = (await link.call(doveadm.version())).value
    return (await link.call(doveadm.settings(version))).value


def _without_settings(failure: DirectorTuiError) -> str:
    return f"the directors' settings are not known, shares are as of Dovecot 2.3: {failure}"


class _Home:
    """Which ring is ours, kept while its directors are silent: else a foreign one would be all that is left to read.

    It isn't known before the first configured director has said anything: whoever else is heard may be of another ring.
    """

    def __init__(self) -> None:
        self._members: frozenset[tuple[str, int]] = frozenset()
        self._foreign: set[str] = set()
        self._known_as: dict[str, tuple[str, int]] = {}

    def judged(self, views: tuple[DirectorView, ...]) -> tuple[DirectorView, ...]:
        """The views with what is known about them, in the configured order."""
        known = of_a_ring(views)
        for view, ring in known:
            # What the first one said before holds until it, or a member of its ring, says more.
            if view is views[0] or view.identity in self._members:
                self._members = ring.members
                break
        if self._members:
            ours = {view.director for view, _ in known if view.identity in self._members}
            self._foreign = (self._foreign | {view.director for view, _ in known}) - ours
        self._known_as.update({view.director: view.identity for view, _ in known if view.identity})
        return tuple(
            replace(view, foreign=view.director in self._foreign, known_as=self._known_as.get(view.director))
            for view in views
        )


def _view(
    name: str, ring: Answer[RingView] | DirectorTuiError, status: Answer[tuple[Backend, ...]] | DirectorTuiError
) -> DirectorView:
    if isinstance(ring, DirectorTuiError):
        return DirectorView(name, failure=ring)
    if isinstance(status, DirectorTuiError):
        return DirectorView(name, ring.value, failure=status)
    return DirectorView(name, ring.value, status.value)
