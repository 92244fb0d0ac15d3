"""The way from `w` to the wizard, and what a clean removal needs of the program while it is on the screen or not.

It changes nothing on the ring itself: that is done by plans, like any other change. What is kept of a removal lies on
the disk; an upload that ends when nobody looks is kept there all the same.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING

from director_tui.errors import DirectorTuiError, LinkError, OperationRefused, StateError
from director_tui.operations.gate import Circumstances
from director_tui.operations.journal import entries
from director_tui.operations.plan import Standing
from director_tui.operations.removal import UPLOADS, Mark, begin, mark_upload
from director_tui.operations.removal_check import Checkup, check_up
from director_tui.operations.removal_configuration import read_configuration
from director_tui.operations.removal_keeping import Removals
from director_tui.operations.removal_story import story, summary_lines
from director_tui.operations.removal_upload import judge
from director_tui.operations.unseen_flush import unseen_flushes
from director_tui.operations.who import who_am_i
from director_tui.text import clean
from director_tui.ui.changing import running_words
from director_tui.ui.removal_forms import WhichRemoval
from director_tui.ui.removal_screen import RemovalScreen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from datetime import datetime

    from director_tui.operations.plan import Request
    from director_tui.operations.progress import Progress
    from director_tui.operations.removal import Removal, Step
    from director_tui.operations.removal_configuration import Configuration
    from director_tui.operations.removal_upload import Judged
    from director_tui.times import Times
    from director_tui.ui.live import AskSessions, InBackground, Tell
    from director_tui.ui.operating import Operating
    from director_tui.ui.removal_forms import Chosen
    from director_tui.ui.sheet import Sheet
    from director_tui.ui.watch import Watch


class Removing:
    """The clean removals of one cluster.

    ``open_view`` shows the wizard, ``push`` a dialog in front of it. ``plan`` begins what a changing key is for.
    ``unfinished`` is called with those that are not over, whenever they may be others than before.
    """

    def __init__(
        self,
        watch: Watch,
        operating: Operating,
        times: Times,
        *,
        open_view: Callable[[RemovalScreen], Awaitable[object]],
        push: Callable[[Sheet], Awaitable[object]],
        plan: Callable[[Request], Awaitable[None]],
        ask_sessions: AskSessions,
        in_background: InBackground,
        tell: Tell,
        unfinished: Callable[[Sequence[Removal]], None],
    ) -> None:
        self._watch, self._operating, self._times = watch, operating, times
        self._open_view, self._push, self._tell = open_view, push, tell
        self.plan = plan
        self.ask_sessions = ask_sessions
        self._in_background = in_background
        self._show_unfinished = unfinished
        self._removals = Removals(watch.cluster.name, operating.journal, times)
        self._unfinished: tuple[Removal, ...] = ()
        self._judged: dict[tuple[str, Step], Judged] = {}
        self._shown: RemovalScreen | None = None
        self._said_not_kept = ""
        self._one_at_a_time = asyncio.Lock()
        """What is on the disk is only compared with what is known here while nothing is being written from here."""

    async def begin(self, ips: Sequence[str]) -> None:
        """`w` was pressed with these backends chosen: go on with a removal, or begin one."""
        if self._watch.cluster.read_only:
            self._tell("read-only: nothing is changed from here")
            return
        if not await self._look():
            return
        fresh = [ip for ip in ips if ip not in {one.ip for one in self._unfinished}]
        if len(ips) > 1:
            self._tell("a clean removal is of one backend at a time: unmark the others")
        elif not self._unfinished:
            if ips:
                await self._open(ips[0])
            else:
                self._tell("no backend is selected")
        elif len(self._unfinished) == 1 and not fresh:
            await self._open(self._unfinished[0].ip)
        else:
            await self._push(WhichRemoval(self._unfinished, fresh[0] if fresh else "", self._open))

    async def look(self) -> None:
        """Look for removals that are not over, at the start."""
        await self._look()

    async def _look(self) -> bool:
        try:
            kept = await self._removals.all()
        except StateError as error:
            self._tell(f"unfinished clean removals can't be looked for: {_whole(error)}")
            return False
        if kept.notes:
            self._tell("\n".join(("clean removals that are not understood:", *kept.notes)))
        self._unfinished = kept.unfinished
        self._show_unfinished(kept.unfinished)
        return True

    async def _open(self, ip: str) -> None:
        removal = next((one for one in self._unfinished if one.ip == ip), None)
        watch = self._watch
        self._shown = RemovalScreen(watch.cluster, self._times, watch.present, ip, removal, self)
        await self._open_view(self._shown)

    # An operation

    def take(self, progress: Progress) -> None:
        """An operation has ended: keep what came of an upload, whether anybody looks or not."""
        because = progress.plan.request.because
        for removal in self._unfinished:
            for step in UPLOADS:
                if progress.plan.request.ips == (removal.ip,) and because == removal.because(step):
                    self._take_upload(removal, step, progress)

    def _take_upload(self, removal: Removal, step: Step, progress: Progress) -> None:
        if not progress.lines or progress.outcome is None:
            return  # nothing was sent; the plan says why
        judged = judge(progress, self._watch.cluster)
        if judged.how is None:
            self._judged[removal.id, step] = judged
            return
        self._judged.pop((removal.id, step), None)
        at, who = self.now_and_who()
        mark = Mark(at, who, judged.how, judged.said)
        note = f"step {step.number} of {len(removal.steps)}: {judged.how.value}"
        # Whatever somebody else has decided meanwhile: it has come to this.
        keep = partial(self._removals.change, removal, lambda one: mark_upload(one, step, mark), note, judged.said)
        self._in_background(partial(self._kept, keep, self._took))

    def _took(self, removal: Removal | None) -> None:
        if removal is not None and self._shown is not None:
            self._shown.took(removal)

    def judged(self, removal: Removal, step: Step) -> Judged | None:
        """What a person has to decide about the last upload of this step; None if there is nothing to."""
        return self._judged.get((removal.id, step))

    def decide(self, go_on: bool) -> None:
        self._operating.decide(go_on)

    # What is known

    def now_and_who(self) -> tuple[datetime, str]:
        return self._times.utc(), who_am_i()

    def standing(self) -> Standing | None:
        present, ring = self._watch.present, self._watch.ring
        if present is None or present.reading.snapshot is None or ring is None:
            return None
        return Standing(present.reading, ring.cluster)

    def watch_ring(self, watched: bool) -> None:
        self._watch.watch_ring(watched)

    def read_now(self) -> None:
        self._watch.read_now()

    def check(self, ip: str, take: Callable[[Checkup], None]) -> None:
        """Begin to read every director, and hand over whether it may begin."""
        self._in_background(partial(self._check, ip, take))

    async def _check(self, ip: str, take: Callable[[Checkup], None]) -> None:
        watch = self._watch
        try:
            reading = await watch.fresh()
            unseen = await asyncio.to_thread(unseen_flushes, watch.cluster.name)
            kept = await self._removals.all()
        except DirectorTuiError as error:
            take(Checkup((_whole(error),), ()))
            return
        ring, present, running = watch.ring, watch.present, self._operating.progress
        if ring is None or present is None:
            take(Checkup(("no director has been reached yet",), ()))
            return
        now = Circumstances(
            reading,
            read_only=watch.cluster.read_only,
            running=running_words(running)
            if running is not None and running.running and not running.gives_way_to(None)
            else "",
            unseen=unseen,
        )
        standing = Standing(reading, ring.cluster)
        rates = present.history.rates_per_min([ip])
        take(check_up(ip, standing, now, kept.unfinished, rates))

    def configuration(self, ip: str, take: Callable[[Configuration], None]) -> None:
        """Begin to read ``director_mail_servers`` on every director, and hand over what stands there."""
        self._in_background(partial(self._read_configuration, ip, take))

    async def _read_configuration(self, ip: str, take: Callable[[Configuration], None]) -> None:
        ring, present = self._watch.ring, self._watch.present
        if ring is not None and present is not None:
            take(await read_configuration(ip, ring, present.reading.views))

    # What is kept

    def begin_removal(self, ip: str, chosen: Chosen, take: Callable[[Removal | None], None]) -> None:
        """Keep a new one, and hand it over; or say why not, and hand over nothing."""

        async def keep() -> Removal:
            standing = self.standing()
            if standing is None:
                raise LinkError("the ring has not been read yet")
            at, who = self.now_and_who()
            removal = begin(
                *(ip, self._watch.cluster.name, standing.reading),
                permanent=chosen.permanent,
                max_parallel=chosen.max_parallel,
                metacache=chosen.metacache,
                reason=chosen.reason,
                at=at,
                who=who,
                host=socket.gethostname(),
            )
            return await self._removals.begin(removal)

        self._in_background(partial(self._kept, keep, take))

    def keep(
        self,
        removal: Removal,
        do: Callable[[Removal], Removal],
        note: str,
        said: str,
        take: Callable[[Removal | None], None],
        *,
        by_itself: bool = False,
    ) -> None:
        """Change what is kept, with a note in the journal, and hand it over; or say why not, and hand over nothing.

        ``removal`` is as a person has seen it, and as it has to be still. What nobody has asked for, ``by_itself``, is
        tried again and again: why it can't be kept is said once until that is something else.
        """
        keep = partial(self._removals.change, removal, do, note, said, as_seen=True)
        self._in_background(partial(self._kept, keep, take, by_itself=by_itself))

    async def _kept(
        self,
        keep: Callable[[], Awaitable[Removal]],
        take: Callable[[Removal | None], None],
        *,
        by_itself: bool = False,
    ) -> None:
        async with self._one_at_a_time:
            try:
                removal = await keep()
            except (LinkError, OperationRefused, StateError) as error:
                why = f"it could not be kept: {_whole(error)}"
                if not by_itself or why != self._said_not_kept:
                    self._tell(why)
                self._said_not_kept = why
                take(None)
                return
            self._said_not_kept = ""
            self._take_in(removal)
            take(removal)

    def _take_in(self, removal: Removal) -> None:
        others = tuple(one for one in self._unfinished if one.id != removal.id)
        self._unfinished = (*others, removal) if removal.ended is None else others
        self._show_unfinished(self._unfinished)

    def look_again(self) -> None:
        """Begin to look whether another program has gone on with what is on the screen."""
        self._in_background(self._look_again)

    async def _look_again(self) -> None:
        if not self._one_at_a_time.locked():
            await self.as_shown()

    async def as_shown(self) -> bool:
        """Whether what is on the screen is what is on the disk; the screen is told what else is there."""
        async with self._one_at_a_time:
            shown = self._shown
            removal = shown.removal if shown is not None else None
            if shown is None or removal is None:
                return True
            try:
                now = await self._removals.now(removal)
            except (OperationRefused, StateError) as error:
                shown.lost(_whole(error))
                return False
            if now == removal:
                shown.lost("")
                return True
            self._take_in(now)
            shown.take_over(now)
            return False

    def summary(self, removal: Removal, take: Callable[[tuple[str, ...]], None]) -> None:
        """Begin to read the journal, and hand over what the removal came to."""
        self._in_background(partial(self._summary, removal, take))

    async def _summary(self, removal: Removal, take: Callable[[tuple[str, ...]], None]) -> None:
        try:
            extract = await asyncio.to_thread(self._operating.journal.read, removal.began)
        except StateError as error:
            take((f"the journal can't be read: {_whole(error)}",))
        else:
            take(summary_lines(removal, story(removal, entries(extract.records))))

    def export(self, removal: Removal) -> None:
        """Write the summary, and say where."""
        self._in_background(partial(self._export, removal))

    async def _export(self, removal: Removal) -> None:
        try:
            path = await self._removals.export(removal)
        except StateError as error:
            self._tell(f"there is no summary: {_whole(error)}")
        else:
            self._tell(f"the clean removal of {removal.ip} written to\n{clean(str(path))}", fine=True)


def _whole(error: DirectorTuiError) -> str:
    return f"{error}: {error.remedy}" if error.remedy else str(error)
