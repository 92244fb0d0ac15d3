"""Carries out plans on one ring: one at a time, checked before, proven after, and all of it in the journal.

An operation belongs to the program, not to a screen: it goes on when whoever began it is gone, and can be looked at
again. What may begin is decided here once more, whatever a screen has shown: read-only, another operation in this
program or on this machine, a ring that can't be read or is not ours, a plan whose ground has moved.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.errors import DirectorTuiError, LinkError, OperationRefused, PlanOutdated, StateError
from director_tui.link.users import each_once, sessions, sessions_by_backend
from director_tui.log import LOG, without_output
from director_tui.operations.emergency import record_of
from director_tui.operations.emergency_ground import lowest
from director_tui.operations.gate import CHANGES_THE_LIST, Circumstances, refusal
from director_tui.operations.journal import Journal, new_operation_id
from director_tui.operations.lock import beside_the_loop, operation_lock
from director_tui.operations.operation import Operation
from director_tui.operations.plan import Emergency, Outcome, Standing, Verb
from director_tui.operations.planning import changes_to_rest, fingerprint
from director_tui.operations.progress import Line, LineStatus, Phase, Progress
from director_tui.operations.standstill import Standstill
from director_tui.operations.stop_keeping import HERE, keep_over, keep_record
from director_tui.operations.stop_record import StopOver
from director_tui.operations.unseen_flush import UnseenFlush, forget_flushes, remember_flush, unseen_flushes
from director_tui.operations.who import who_am_i
from director_tui.operations.words import listed, some
from director_tui.text import clean
from director_tui.times import SYSTEM_TIMES, Times

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence

    from director_tui.config import ClusterConfig
    from director_tui.link.reading import Reading
    from director_tui.link.ring import DirectorLink, Ring
    from director_tui.operations.plan import Plan

STANDSTILL_BEAT_S: Final = 5.0
"""How often user counts are read after a flush whose end was not seen, in seconds."""

_left_to_the_kernel: list[ExitStack] = []
"""The locks of operations that the program left while they ran: they hold as long as the program lives."""


class Executor:
    """Carries out plans, and hands each step of the one that runs to ``publish``.

    ``fresh`` takes a reading now, of every director. ``progress`` is the operation that runs, or else the last one.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        ring: Ring,
        fresh: Callable[[], Awaitable[Reading]],
        publish: Callable[[Progress], None],
        times: Times = SYSTEM_TIMES,
        journal: Journal | None = None,
    ) -> None:
        self.progress: Progress | None = None
        self.journal: Final = journal or Journal(cluster.name, redact_users=cluster.redact_users)
        self._cluster = cluster
        self._ring = ring
        self._fresh = fresh
        self._publish = publish
        self._times = times
        self._operation: Operation | None = None
        self._running: asyncio.Task[Progress] | None = None
        self._held: ExitStack | None = None
        self._beside: dict[asyncio.Task[Progress], Operation] = {}
        self._uploads: dict[str, asyncio.Task[Progress]] = {}
        self._looking_again: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._standstill = Standstill()

    async def run(self, plan: Plan, reason: str, override: bool = False) -> Progress:
        """Carry a plan out, and return how it ended. Whoever is cancelled here only waits no longer.

        ``override`` adds or removes a backend although the end of a flush was not seen. Raises, before anything is
        sent, PlanOutdated if what the plan stands on is another by now, and OperationRefused if it may not begin.
        """
        if self._cluster.read_only:  # known before anything is asked, so nothing has to be read for it
            self._gate(plan, None)
        if plan.cluster != self._cluster.name:
            raise OperationRefused(f"this plan is for {plan.cluster}, not for {self._cluster.name}")
        beside = self.progress is not None and self.progress.running
        if beside and self.progress is not None and not self.progress.gives_way_to(plan.request.emergency):
            raise OperationRefused(f"one change at a time: {self.progress.plan.title} is running")
        if plan.request.verb is Verb.UPLOAD and self._uploads.keys() & set(plan.request.ips):
            raise OperationRefused(f"the last upload of the metacache of {listed(plan.request.ips)} is running still")
        lines = tuple(Line(one.target, text) for one, text in zip(plan.commands, plan.command_lines, strict=True))
        now = self._times.utc()
        progress = Progress(new_operation_id(now), plan, reason, now, self._times.mono_s(), lines)
        self.progress = progress
        self._publish(progress)
        if beside and self._running is not None and self._operation is not None:
            self._set_aside(self._running, self._operation)
        operating = self._operate(progress, override, self._running)
        self._running = asyncio.create_task(operating, name=f"operation {progress.id}")
        self._running.add_done_callback(lambda task: task.cancelled() or task.exception())
        if plan.request.verb is Verb.UPLOAD:
            self._uploads.update(dict.fromkeys(plan.request.ips, self._running))
            self._running.add_done_callback(self._uploaded)
        return await asyncio.shield(self._running)

    def decide(self, go_on: bool) -> None:
        """Answer the question that the operation has asked: whether to go on with the rest."""
        if self._operation is not None:
            self._operation.decide(go_on)

    @property
    def beside(self) -> tuple[Progress, ...]:
        """Those that gave way and go on beside what is shown."""
        return tuple(operation.progress for operation in self._beside.values())

    def _set_aside(self, running: asyncio.Task[Progress], operation: Operation) -> None:
        """It goes on by itself, without the lock, and its end is written down."""
        operation.unwatched = True
        operation.decide(go_on=False)
        self._beside[running] = operation
        running.add_done_callback(self._beside.pop)
        self._running = None

    async def close(self) -> None:
        """The program ends: wait no longer. Nothing is stopped at the directors, and the journal says what is left."""
        ours = (self._running, *self._beside, self._looking_again, self._watching)
        tasks = [task for task in ours if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _operate(self, progress: Progress, override: bool, last: asyncio.Task[Progress] | None) -> Progress:
        """Everything from the lock to the proof. However it ends, nothing is left that says it is running."""
        plan = progress.plan
        operation: Operation | None = None
        try:
            if last is not None:
                await asyncio.wait([last])  # it is over, but may not have given its lock back yet
            elif self._held is not None:
                await asyncio.to_thread(self._held.close)
            unlocked: list[str] = []
            async with beside_the_loop(partial(self._lock, plan, unlocked.append)) as held:
                self._held = held
                progress = replace(progress, notes=(*progress.notes, *unlocked))
                reading = await self._checked(plan)
                await self._check_flushes(plan, reading, override)
                if self._looking_again is not None:  # what it looks for would be mixed up with what is done now
                    self._looking_again.cancel()
                links = each_once(self._ring.links, reading.views)
                progress = await self._keep(progress, reading, links)
                silent = _unidentified(links, reading)
                operation = Operation(
                    *(progress, self._ring, [link for link in links if link.name not in silent], reading),
                    *(self.journal, self._show, self._times),
                    silent=silent,
                    changes_to_rest=partial(self._changes_to_rest, plan),
                )
                self._operation = operation
                if plan.request.verb is Verb.UPLOAD:  # it gives way, also to others on this machine
                    await asyncio.to_thread(held.close)
                try:
                    await self._carry_out(operation)
                    await self._end_stops(operation, links)
                finally:
                    # Not for a command that did not end in its time: that is longer than a director itself waits.
                    if operation.may_be_running_here:
                        _left_to_the_kernel.append(held.pop_all())
        except DirectorTuiError as error:
            LOG.warning("operation %s: not begun: %s", progress.id, without_output(error))
            self._end_early(progress.id, str(error))
            if isinstance(error, OperationRefused):
                raise
            raise OperationRefused(f"nothing was sent: {error}", error.remedy) from None
        finally:
            if self._operation is operation:
                self._operation = None
            self._end_early(progress.id, "")
        if operation.can_be_looked_at_again:
            self._looking_again = asyncio.create_task(operation.look_again(), name="look again")
        return operation.progress

    def _uploaded(self, task: asyncio.Task[Progress]) -> None:
        self._uploads = {ip: one for ip, one in self._uploads.items() if one is not task}

    @contextmanager
    def _lock(self, plan: Plan, say: Callable[[str], None]) -> Iterator[None]:
        """Held as long as this stands. A disk on which nothing can be locked is no reason not to stop all."""
        with ExitStack() as held:
            try:
                user = plan.request.user
                title = self.journal.as_kept(plan.title, (user,)) if user else plan.title
                held.enter_context(operation_lock(self._cluster.name, title, self._times.utc()))
            except StateError as error:
                if plan.request.emergency not in {Emergency.STOP, Emergency.DISCONNECT}:
                    raise
                say(f"another director-tui on this machine is not kept from changing anything meanwhile: {error}")
            yield

    async def _checked(self, plan: Plan) -> Reading:
        """A fresh reading on which the plan still stands. Raises OperationRefused, and PlanOutdated."""
        reading = await self._fresh()
        self._gate(plan, reading)
        known = None
        if plan.request.verb is Verb.REMOVE:  # only that stands on sessions
            known = await sessions(self._ring, reading.views, times=self._times)
            # To list them may take a minute, and the rows have to be from just before the command.
            reading = await self._fresh()
            self._gate(plan, reading)
        counted = sessions_by_backend(reading, known) if known is not None else None
        standing = Standing(reading, self._cluster, counted)
        changes = plan.fingerprint.changes_to(fingerprint(plan.request, standing))
        if changes:
            raise PlanOutdated(changes)
        return reading

    async def _changes_to_rest(self, plan: Plan, done: Collection[str], failed: Collection[str]) -> tuple[str, ...]:
        """What is different on a fresh reading of all that the rest of it stands on. Raises OperationRefused.

        A stop stands on nothing but that it is still wanted, and so does what follows it.
        """
        if plan.request.emergency in {Emergency.STOP, Emergency.DISCONNECT}:
            return ()
        reading = await self._fresh()
        self._gate(plan, reading)
        return changes_to_rest(plan, done, failed, Standing(reading, self._cluster))

    def _gate(self, plan: Plan, reading: Reading | None, unseen: tuple[UnseenFlush, ...] = ()) -> None:
        """Raise OperationRefused for what the gate of the screens refuses, too."""
        now = Circumstances(reading, self._cluster.read_only, unseen=unseen)
        if why := refusal(plan.request.verb, now):
            so_far = f"they have stood still for {self._standstill.still_s:.0f} s so far" if unseen else ""
            raise OperationRefused(f"{self._cluster.name}: {why}", so_far)

    async def _check_flushes(self, plan: Plan, reading: Reading, override: bool) -> None:
        """While a flush may be going on, a director mixes its backends up when one is added or removed."""
        if plan.request.verb not in CHANGES_THE_LIST:
            return
        unseen = await asyncio.to_thread(unseen_flushes, self._cluster.name)
        if not unseen or override:
            return
        if not (self._standstill.watches(unseen) and self._standstill.over):
            self._watch_flushes(unseen)
            self._gate(plan, reading, unseen)
        await asyncio.to_thread(forget_flushes, self._cluster.name, unseen)

    async def _keep(self, progress: Progress, reading: Reading, links: Sequence[DirectorLink]) -> Progress:
        """Before a stop sends its first command the counts that it takes are on a disk, or it sends none."""
        if progress.plan.request.emergency is not Emergency.STOP:
            return progress
        now, host = self._times.utc(), clean(socket.gethostname())
        who = await asyncio.to_thread(who_am_i)
        record = record_of(progress.plan, reading, progress.reason, now, who, host)
        kept = await keep_record(record, self._cluster.name, links, self._cluster.records)
        if not kept.durable:
            raise OperationRefused(
                f"nothing was sent: {'; '.join(kept.sentences)}", "write the vhost counts down by hand"
            )
        progress = replace(progress, notes=(*progress.notes, *kept.sentences))
        self._show(progress)
        return progress

    async def _end_stops(self, operation: Operation, links: Sequence[DirectorLink]) -> None:
        """What was given back as far as it was wanted is not offered again."""
        request, progress = operation.progress.plan.request, operation.progress
        if request.emergency is not Emergency.RECOVER or progress.outcome is not Outcome.APPLIED or not request.stops:
            return
        # A stop of somebody else may have gone on meanwhile: with its word gone nobody would be told what is away.
        saved = {one.ip for one in request.saves if one.vhosts}
        try:
            away = [one.ip for one in lowest(await self._fresh()) if one.ip in saved and not one.vhosts]
        except DirectorTuiError as error:
            operation.note(f"whether the stop is over could not be seen: {error}")
            return
        if away:
            operation.note(f"the stop is not over, for {some(away)} {'is' if len(away) == 1 else 'are'} at 0: R again")
            return
        who = await asyncio.to_thread(who_am_i)
        for stamp in request.stops:
            over = StopOver(stamp, self._times.utc(), who, clean(socket.gethostname()))
            kept = await keep_over(over, self._cluster.name, links, self._cluster.records)
            for place, why in kept.failures.items():
                operation.note(f"that the stop is over is not kept {'here' if place == HERE else f'on {place}'}: {why}")

    async def _carry_out(self, operation: Operation) -> None:
        flushes = tuple(
            UnseenFlush(operation.progress.plan.director, ip, self._times.utc()) for ip in operation.flushed
        )
        try:
            for flush in flushes:
                await asyncio.to_thread(remember_flush, self._cluster.name, flush)
        except StateError as error:
            if operation.progress.plan.request.emergency is not Emergency.DISCONNECT:
                raise
            # A full disk here is no reason to leave anybody on a storage that groans.
            flushes = ()
            blocked = "add and remove no backend before the flush has ended; nothing here keeps you from it"
            operation.note(f"{blocked}: {error}")
        try:
            await operation.run()
        except asyncio.CancelledError:
            await operation.leave()
            if not operation.end_of_flush_unseen:
                await self._forget(flushes, operation)
            raise
        except OperationRefused:
            await self._forget(flushes, operation)
            raise
        if operation.end_of_flush_unseen and flushes:
            self._watch_flushes(flushes)
        else:
            await self._forget(flushes, operation)

    async def _forget(self, flushes: tuple[UnseenFlush, ...], operation: Operation) -> None:
        if not flushes:
            return
        try:
            await asyncio.to_thread(forget_flushes, self._cluster.name, flushes)
        except StateError as error:
            operation.note(f"adding and removing backends stays blocked for a while: {error}")

    def _watch_flushes(self, unseen: tuple[UnseenFlush, ...]) -> None:
        """Look at the user counts of these until they have stood still; a new one begins it again."""
        if self._standstill.watches(unseen):
            return
        if self._watching is not None:
            self._watching.cancel()
        self._standstill = Standstill(unseen)
        self._watching = asyncio.create_task(self._watch(self._standstill), name="watch an unseen flush")

    async def _watch(self, standstill: Standstill) -> None:
        while not standstill.over:
            try:
                backends = (await self._ring.on_one(doveadm.status())).value
            except DirectorTuiError:
                standstill.interrupted()
            else:
                standstill.add(backends, self._times.mono_s())
            await asyncio.sleep(STANDSTILL_BEAT_S)

    def _show(self, progress: Progress) -> None:
        """What is heard late of an operation doesn't take the place of the next one."""
        if self.progress is not None and self.progress.id == progress.id:
            self.progress = progress
            self._publish(progress)

    def _end_early(self, operation: str, note: str) -> None:
        """Nothing says that it is running when it isn't: what was sent and not proven is unknown."""
        progress = self.progress
        if progress is None or progress.id != operation or not progress.running:
            return
        sent = {LineStatus.SENT, LineStatus.DONE, LineStatus.FAILED}
        lines = tuple(
            replace(line, status=LineStatus.UNKNOWN) if line.status in sent else line for line in progress.lines
        )
        outcome = Outcome.UNKNOWN if lines != progress.lines else None
        notes = (*progress.notes, note) if note else progress.notes
        ended_s = self._times.mono_s()
        ended = replace(progress, phase=Phase.ENDED, question="", lines=lines, outcome=outcome, notes=notes)
        self._show(replace(ended, ended_mono_s=ended_s))


def _unidentified(links: Sequence[DirectorLink], reading: Reading) -> dict[str, DirectorTuiError]:
    """Those that have never said which director they are, so that what they show may be of another ring."""
    views = {view.director: view for view in reading.views}
    return {
        link.name: (view.failure if view is not None else None)
        or LinkError(f"{link.name}: it has not said which director it is")
        for link in links
        if (view := views.get(link.name)) is None or view.identity is None
    }
