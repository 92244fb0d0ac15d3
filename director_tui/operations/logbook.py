"""What one operation writes into the journal: what is to be done, what is about to be sent, and what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from director_tui.errors import StateError
from director_tui.operations.plan import Outcome
from director_tui.operations.progress import OUTCOMES
from director_tui.operations.proof import value_of
from director_tui.operations.record import Event, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from director_tui.link.ring import DirectorLink
    from director_tui.operations.journal import Journal
    from director_tui.operations.plan import Command
    from director_tui.operations.progress import Progress
    from director_tui.operations.proof import Sight
    from director_tui.times import Times


class Logbook:
    """Writes by way of threads: a journal takes as long as the disk does. All of it raises StateError.

    Commands are called by their place in the plan; the journal counts them from 1. ``intended`` is how many of them,
    from the first on, have an intent in the journal, so that they need a result.
    """

    def __init__(
        self, journal: Journal, begun: Progress, link: Callable[[Command], DirectorLink], times: Times
    ) -> None:
        """``link`` is the way to where a command runs."""
        self.intended = 0
        self._journal = journal
        self._begun: Final = begun
        self._commands = begun.plan.commands
        self._link = link
        self._times = times

    async def intend(self, indices: Sequence[int]) -> None:
        """Put on disk that these are about to be sent; and before the first of all, what the whole is."""
        first = not self.intended
        records = [self._planned()] if first else []
        records.append(
            self._record(
                Event.INTENT,
                step=indices[0] + 1,
                targets=tuple(self._commands[index].target for index in indices),
                argv=tuple(self._argv(index) for index in indices),
            )
        )
        before, self.intended = self.intended, indices[-1] + 1  # also for whoever is cancelled while the disk writes
        try:
            await self._append(*records)
        except StateError:
            self.intended = before
            raise

    async def conclude(
        self, now: Progress, indices: Sequence[int], before: Mapping[str, Sight], after: Mapping[str, Sight]
    ) -> None:
        """The results of these, as they stand now."""
        if indices:
            await self._append(*(self._result(now, index, before, after) for index in indices))

    async def note(self, index: int, text: str, exit_status: int, output: str) -> None:
        """Something that came too late to be a part of the result."""
        late = self._record(Event.NOTE, step=index + 1, exit_status=exit_status, stderr=output, reason=text)
        await self._append(late)

    async def _append(self, *records: Record) -> None:
        user = self._begun.plan.request.user
        await asyncio.to_thread(self._journal.append, *records, users=(user,) if user else ())

    def _planned(self) -> Record:
        return self._record(
            Event.PLANNED,
            targets=tuple(command.target for command in self._commands),
            argv=tuple(map(self._argv, range(len(self._commands)))),
            reason="; ".join(filter(None, (self._begun.reason, self._begun.plan.request.because))),
        )

    def _result(self, now: Progress, index: int, before: Mapping[str, Sight], after: Mapping[str, Sight]) -> Record:
        command, line = self._commands[index], now.lines[index]
        director = self._begun.plan.director_of(command)
        return self._record(
            Event.RESULT,
            step=index + 1,
            via=director,
            targets=(command.target,),
            argv=(self._argv(index),),
            exit_status=line.exit_status,
            stderr=line.output,
            outcome=OUTCOMES.get(line.status, Outcome.UNKNOWN),
            before=value_of(command.check, command.target, director, before),
            after=value_of(command.check, command.target, director, after),
            reason=line.note,
        )

    def _record(self, event: Event, **fields: Any) -> Record:
        plan = self._begun.plan
        return Record(
            self._times.utc(),
            event,
            self._begun.id,
            verb=(plan.request.emergency or plan.request.verb).value,
            title=plan.title,
            **{"via": plan.director, **fields},
        )

    def _argv(self, index: int) -> tuple[str, ...]:
        command = self._commands[index]
        return self._link(command).command(command.call)
