"""One plan being carried out: written down, sent, proven, and written down again.

Whoever makes it has checked that it may begin, and holds the lock. Nothing in here sends a command a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from director_tui.director import doveadm
from director_tui.director.changes import first_by_ip
from director_tui.errors import DirectorTuiError, OperationRefused, StateError
from director_tui.link.backends import backend_link
from director_tui.link.changing import Ended, Sent, Slower, carry_out
from director_tui.log import LOG, without_output
from director_tui.operations.flushing import FlushRate
from director_tui.operations.logbook import Logbook
from director_tui.operations.plan import (
    FLUSHING,
    Emergency,
    Flushed,
    NobodyLeft,
    NoSessions,
    NoUsers,
    Outcome,
    SessionsEnded,
    Uploaded,
    UserIsOn,
)
from director_tui.operations.progress import LATER_LIMIT_S, OUTCOMES, LineStatus, Phase
from director_tui.operations.proof import End, Proof, Sight, look_everywhere, sessions_before
from director_tui.operations.record import output_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence

    from director_tui.link.changing import Event as SendingEvent
    from director_tui.link.reading import Reading
    from director_tui.link.ring import DirectorLink, Ring
    from director_tui.operations.journal import Journal
    from director_tui.operations.plan import Check, Command
    from director_tui.operations.progress import Line, Progress
    from director_tui.operations.proof import Verdict
    from director_tui.times import Times

FLUSH_BEAT_S: Final = 2.0
"""How often the user counts are read while a flush runs: it moves its users in batches of two seconds."""

LATER_BEAT_S: Final = 5.0
"""How often an unknown is looked at again, in seconds."""


class Operation:
    """Carries out one plan, and shows how far it is by ``show``.

    ``links`` are the directors that can prove something, ``silent`` the others of the ring with why they can't;
    ``reading`` is the one that was taken just before. ``changes_to_rest`` is asked before it goes on with the targets
    that are neither done nor failed.
    """

    def __init__(
        self,
        progress: Progress,
        ring: Ring,
        links: Sequence[DirectorLink],
        reading: Reading,
        journal: Journal,
        show: Callable[[Progress], None],
        times: Times,
        *,
        silent: Mapping[str, DirectorTuiError],
        changes_to_rest: Callable[[Collection[str], Collection[str]], Awaitable[Sequence[str]]],
    ) -> None:
        self.progress = progress
        self._commands: Final = progress.plan.commands
        self._ring = ring
        self._backends: dict[str, DirectorLink] = {}
        self._links = links
        self._reading = reading
        self._logbook: Final = Logbook(journal, progress, self._link, times)
        self._show = show
        self._times = times
        self._silent = silent
        self._changes_to_rest = changes_to_rest
        self._before: dict[str, Sight] = {}
        self._ends: dict[Check, End] = {}
        self._decision: asyncio.Future[bool] | None = None
        self.unwatched = False
        """Whether another one is shown in its place: then nobody can answer, and it does not go on past a failure."""
        self._carrying_out = False
        self._left = False
        self._seen = False
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def flushed(self) -> tuple[str | None, ...]:
        """The backends that it flushes, None for all: meanwhile none may be added or removed."""
        checks = [command.check for command in self._commands]
        return tuple(check.ip for check in checks if isinstance(check, FLUSHING))

    @property
    def end_of_flush_unseen(self) -> bool:
        """Whether a flush of it may still be going on at the director."""
        return any(end.may_go_on for check, end in self._ends.items() if isinstance(check, FLUSHING))

    @property
    def may_be_running_here(self) -> bool:
        """Whether it was left in the middle of a command that nobody waits for any more."""
        return self._left and any(end.status is None for end in self._ends.values())

    @property
    def can_be_looked_at_again(self) -> bool:
        """Whether a later reading could tell what is unknown now."""
        return bool(self._unknown)

    def decide(self, go_on: bool) -> None:
        """Answer the question. Without one it does nothing."""
        if self._decision is not None and not self._decision.done():
            self._decision.set_result(go_on)

    async def run(self) -> None:
        """From the journal's first record to the proof. Raises OperationRefused if that record can't be written: then
        nothing was sent."""
        verb = self.progress.plan.request.verb.value
        LOG.info("operation %s: begins, %s by %d commands", self.progress.id, verb, len(self._commands))
        await self._look_before()
        left = list(range(len(self._commands)))
        while left:
            if not await self._intend(left):
                break
            ended_well = await self._send(left)
            left = [index for index in left if self.progress.lines[index].status is LineStatus.PENDING]
            if not left or not ended_well or not await self._asked_to_go_on(left) or not await self._may_go_on():
                break
        await self._prove()

    async def leave(self) -> None:
        """The program ends. What was sent goes on by itself, and the journal says so; nothing is stopped."""
        self._left = True
        open_ = [
            index
            for index, line in enumerate(self.progress.lines)
            if line.status in {LineStatus.SENT, LineStatus.DONE, LineStatus.FAILED}
        ]
        self._end_lines(open_, LineStatus.UNKNOWN, "the program ended before it was proven")
        self._end_lines(self._pending, LineStatus.NOT_APPLIED, "not sent")
        if self.may_be_running_here:
            self.note("the program ended while it ran: what was sent goes on")
        await self._write_results(range(self._logbook.intended))
        self._conclude()

    async def look_again(self) -> None:
        """Read what is unknown until it is known, for as long as that makes sense; then say it and write it down."""
        deadline_s = self._times.mono_s() + LATER_LIMIT_S
        last = False
        while not last:
            await asyncio.sleep(LATER_BEAT_S)
            last = self._times.mono_s() >= deadline_s
            unknown = self._unknown
            if not unknown:
                return
            checks = [self._commands[index].check for index in unknown]
            ends = {check: self._ends[check] for check in checks}
            proof = Proof(self._links, ends, self._before, silent=self._silent, last=last)
            await proof.look_once()
            self._seen = self._seen or bool(proof.sights)
            verdicts = {index: proof.verdict(self._commands[index].check) for index in unknown}
            found = {index: one for index, one in verdicts.items() if one.outcome is not Outcome.UNKNOWN}
            if found:
                self._say(found)
                self.note(f"looked at again: {self._seen_on(proof)}")
                await self._write_results(tuple(found), proof.sights)
                self._conclude()

    # What happens in this order.

    async def _look_before(self) -> None:
        """Rows are in the reading; where users and their sessions are is not."""
        for view in self._reading.views:
            if view.backends:
                self._before[view.director] = Sight(first_by_ip(view.backends))
        checks = [one.check for one in self._commands if isinstance(one.check, UserIsOn | SessionsEnded)]
        if not checks:
            return
        silent = {view.director for view in self._reading.views if view.failure is not None}
        seen = await look_everywhere([link for link in self._links if link.name not in silent], checks)
        self._before = {name: sight for name, sight in seen.items() if isinstance(sight, Sight)}

    async def _intend(self, indices: Sequence[int]) -> bool:
        """Put on disk what is about to be sent. Nothing else is sent, but a stop and what follows on it."""
        first = not self._logbook.intended
        try:
            await self._logbook.intend(indices)
        except StateError as error:
            if self.progress.plan.request.emergency in {Emergency.STOP, Emergency.DISCONNECT}:
                # What is to be given back is on a disk, or it would not have come here; a full one here is no reason.
                self.note(f"the journal has nothing of this: {error}")
                return True
            if first:
                why = f"nothing was sent, because it can't be recorded: {error}"
                raise OperationRefused(why, error.remedy) from None
            self.note(f"the rest was not sent, because it can't be recorded: {error}")
            return False
        return True

    async def _send(self, indices: Sequence[int]) -> bool:
        """Carry these out, up to the first that fails; whether the end of all that were sent was seen.

        Those of a plan that goes on are carried out at one director also where those at another were not seen to end.
        """
        self._publish(phase=Phase.RUNNING, question="")
        plan = self.progress.plan
        all_seen = True
        for director, group in groupby(indices, lambda index: plan.director_of(self._commands[index])):
            there = list(group)
            if not await self._send_to(director, there):
                all_seen = False
                if not plan.goes_on:
                    break
            elif any(self.progress.lines[index].status is LineStatus.PENDING for index in there):
                break
        return all_seen

    async def _send_to(self, director: str, indices: Sequence[int]) -> bool:
        """The same for those at one director."""
        calls = [self._commands[index].call for index in indices]
        link = self._link(self._commands[indices[0]])
        self._carrying_out = True
        try:
            async with self._watching_flush(indices):
                await carry_out(
                    link,
                    calls,
                    lambda event: self._heard(indices, event),
                    go_on=self.progress.plan.goes_on,
                )
        except DirectorTuiError as error:
            LOG.warning("operation %s: %s: %s", self.progress.id, director, without_output(error))
            self.note(str(error))
            return False
        finally:
            self._carrying_out = False
            if link in self._backends.values():
                await link.close()  # when what runs over it has ended
        for index in indices:  # sent behind one that failed, so that it was not carried out
            if self.progress.lines[index].status is LineStatus.SENT:
                self._ends.pop(self._commands[index].check)
                self._set(index, status=LineStatus.PENDING, sent_mono_s=None)
        return True

    def _link(self, command: Command) -> DirectorLink:
        """To where it runs: a director, or a backend itself."""
        if not command.backend:
            return self._ring.link(self.progress.plan.director_of(command))
        if command.backend not in self._backends:
            self._backends[command.backend] = backend_link(command.backend, self._ring)
        return self._backends[command.backend]

    async def _asked_to_go_on(self, left: Sequence[int]) -> bool:
        """Only a person decides what a failure means for the rest."""
        if self.unwatched:
            return False
        failed = next(line for line in reversed(self.progress.lines) if line.status is LineStatus.FAILED)
        others = f"the other {len(left)}" if len(left) > 1 else "the last one"
        if doveadm.RING_SYNC_TIMED_OUT in failed.output:
            what = f"The ring was not synced in time: {failed.target} may have been changed, or may be later."
        else:
            first = failed.output.partition("\n")[0] or "it said nothing"
            what = f"{failed.target} failed with exit status {failed.exit_status}: {first}."
        self._decision = asyncio.get_running_loop().create_future()
        self._publish(phase=Phase.ASKING, question=f"{what} Go on with {others}?")
        try:
            return await self._decision
        finally:
            self._decision = None

    async def _may_go_on(self) -> bool:
        """Whether what was agreed to still holds for the rest: the question may have stood for a long time."""
        self._publish(phase=Phase.RUNNING, question="")
        done = {line.target for line in self.progress.lines if line.status is LineStatus.DONE}
        failed = {line.target for line in self.progress.lines if line.status is LineStatus.FAILED}
        try:
            changes = await self._changes_to_rest(done, failed)
        except DirectorTuiError as error:
            self.note(f"the rest was not sent: {error}")
            return False
        if changes:
            self.note(f"the rest was not sent, plan it again: changed since it was agreed to: {'; '.join(changes)}")
        return not changes

    async def _prove(self) -> None:
        self._publish(phase=Phase.PROVING, question="")
        not_sent = self._pending  # and so it stands there until the end: only what was sent is counted as sent
        sent = [
            index
            for index, line in enumerate(self.progress.lines)
            if line.status not in OUTCOMES and index not in not_sent
        ]
        sights: dict[str, Sight] = {}
        if sent:
            # The same dictionary that is told of an end that comes late.
            proof = Proof(self._links, self._ends, self._before, silent=self._silent)
            shows_on_the_ring = not all(isinstance(self._commands[index].check, Uploaded) for index in sent)
            if shows_on_the_ring:
                await proof.run()
            sights = proof.sights
            self._seen = bool(sights)
            self._say({index: proof.verdict(self._commands[index].check) for index in sent})
            if shows_on_the_ring:
                self.note(self._seen_on(proof))
        self._end_lines(not_sent, LineStatus.NOT_APPLIED, "not sent")
        await self._write_results(range(self._logbook.intended), sights)
        self._conclude()

    def _conclude(self) -> None:
        outcomes = {OUTCOMES[line.status] for line in self.progress.lines}
        if Outcome.UNKNOWN in outcomes:
            outcome = Outcome.UNKNOWN
        else:
            outcome = Outcome.NOT_APPLIED if Outcome.NOT_APPLIED in outcomes else Outcome.APPLIED
        LOG.info("operation %s: %s", self.progress.id, outcome.value)
        self._publish(phase=Phase.ENDED, question="", outcome=outcome, ended_mono_s=self._times.mono_s())

    # What is heard of the commands.

    def _heard(self, indices: Sequence[int], event: SendingEvent) -> None:
        now_s = self._times.mono_s()
        match event:
            case Slower(reason):
                self.note(f"one command at a time, which is slower: {reason}")
            case Sent(number):
                index = indices[number]
                self._ends[self._commands[index].check] = End(None)
                self._set(index, status=LineStatus.SENT, sent_mono_s=now_s)
            case Ended(number, status, stdout, stderr, elapsed_s):
                index = indices[number]
                title = self._commands[index].call.title  # without the words in it: they may name a user
                of = f"command {index + 1}, {title}"
                LOG.info("operation %s: %s: exit status %d in %.2f s", self.progress.id, of, status, elapsed_s)
                output = output_of(stderr + stdout)
                self._ends[self._commands[index].check] = End(status, output)
                if not self._carrying_out:
                    self._heard_late(index, status, output)
                    return
                ended = LineStatus.FAILED if status else LineStatus.DONE
                self._set(index, status=ended, elapsed_s=elapsed_s, exit_status=status, output=output)
                self._runs_from_now(indices, now_s)

    def _runs_from_now(self, indices: Sequence[int], now_s: float) -> None:
        """Several are on their way at once, but only the first of them runs."""
        following = next((index for index in indices if self.progress.lines[index].status is LineStatus.SENT), None)
        if following is not None:
            self._set(following, sent_mono_s=now_s)

    def _heard_late(self, index: int, status: int, output: str) -> None:
        """Nobody waited for it any more. What it did is for a reading to say."""
        line = self.progress.lines[index]
        text = f"{line.target} ended at last, with exit status {status}"
        self._set(index, exit_status=status, output=output)
        self.note(text)
        task = asyncio.create_task(self._write_late(index, text, status, output), name="journal a late end")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    @contextlib.asynccontextmanager
    async def _watching_flush(self, indices: Sequence[int]) -> AsyncIterator[None]:
        """Count users meanwhile, over a session of its own."""
        checks = [self._commands[index].check for index in indices]
        flushed = [check.ip for check in checks if isinstance(check, FLUSHING)]
        if not flushed:
            yield
            return
        empties = all(isinstance(check, NoUsers | NobodyLeft | NoSessions) for check in checks)
        watching = asyncio.create_task(self._count_users(flushed, empties), name="count users")
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _count_users(self, ips: Sequence[str | None], empties: bool) -> None:
        rate: FlushRate | None = None
        while True:
            with contextlib.suppress(DirectorTuiError):  # then the counts stay as they are
                backends = (await self._ring.on_one(doveadm.status())).value
                users = sum(one.users for one in backends if None in ips or one.ip in ips)
                now_s = self._times.mono_s()
                if rate is None:
                    rate = FlushRate(users, now_s, empties=empties)
                self._publish(flush=rate.at(users, now_s))
            await asyncio.sleep(FLUSH_BEAT_S)

    # What is shown.

    @property
    def _pending(self) -> list[int]:
        return [index for index, line in enumerate(self.progress.lines) if line.status is LineStatus.PENDING]

    @property
    def _unknown(self) -> list[int]:
        """Those of which a reading could tell more."""
        return [
            index
            for index, line in enumerate(self.progress.lines)
            if line.status is LineStatus.UNKNOWN and self._may_be_seen_later(self._commands[index].check)
        ]

    def _may_be_seen_later(self, check: Check) -> bool:
        """Sessions end by themselves, too: those that were there behind a kick may be gone later for another reason."""
        match check:
            case Flushed() | Uploaded():
                return False
            case SessionsEnded():
                there_were = sessions_before(check, self._before) != 0
                return there_were and (self._ends[check].status is None or not self._seen)
            case _:
                return True

    def _publish(self, **changes: Any) -> None:
        self.progress = replace(self.progress, **changes)
        self._show(self.progress)

    def _set(self, index: int, **changes: Any) -> None:
        self._set_lines({index: replace(self.progress.lines[index], **changes)})

    def _set_lines(self, changed: Mapping[int, Line]) -> None:
        self._publish(lines=tuple(changed.get(index, line) for index, line in enumerate(self.progress.lines)))

    def _end_lines(self, indices: Sequence[int], status: LineStatus, note: str) -> None:
        self._set_lines({index: replace(self.progress.lines[index], status=status, note=note) for index in indices})

    def _say(self, verdicts: Mapping[int, Verdict]) -> None:
        """Put what the directors show on the lines."""
        self._set_lines(
            {
                index: replace(self.progress.lines[index], status=LineStatus(one.outcome.value), note=one.note)
                for index, one in verdicts.items()
            }
        )

    def note(self, text: str) -> None:
        """Say something beside the lines, once."""
        if text and text not in self.progress.notes:
            self._publish(notes=(*self.progress.notes, text))

    def _seen_on(self, proof: Proof) -> str:
        return _seen_on(proof, self._reading, len(self._links) + len(self._silent))

    # What is written down. What was seen is not lost because it can't be.

    async def _write_results(self, indices: Sequence[int], after: Mapping[str, Sight] | None = None) -> None:
        try:
            await self._logbook.conclude(self.progress, indices, self._before, after or {})
        except StateError as error:
            self.note(f"the result is not in the journal: {error}")

    async def _write_late(self, index: int, text: str, status: int, output: str) -> None:
        try:
            await self._logbook.note(index, text, status, output)
        except StateError as error:
            self.note(f"that is not in the journal: {error}")


def _seen_on(proof: Proof, reading: Reading, asked: int) -> str:
    """On how many directors of the ring it was seen, and on which not."""
    ring = reading.snapshot.ring if reading.snapshot is not None else None
    unread = sorted(ip for ip, _ in reading.unread_members)
    total = max(len(ring.members) if ring is not None else 0, asked + len(unread))
    seen = len(proof.sights)
    if not seen:
        return ""
    if seen == total:
        return f"seen on all {total} directors" if total > 1 else "seen on the only director"
    missing = [f"{name} ({failure})" for name, failure in proof.failures.items() if name not in proof.sights]
    missing += [f"{ip} (no SSH destination is configured for it)" for ip in unread]
    return f"seen on {seen} of {total} directors" + (f"; not on {', '.join(missing)}" if missing else "")
