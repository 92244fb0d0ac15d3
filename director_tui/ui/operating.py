"""What this program does to one cluster: the operation that runs, and the journal of all that was done and seen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from director_tui.errors import OperationRefused, StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from director_tui.config import ClusterConfig
    from director_tui.director.changes import Change
    from director_tui.link.reading import Reading
    from director_tui.link.ring import Ring
    from director_tui.operations.journal import Entry, Journal
    from director_tui.operations.own_changes import OwnChanges
    from director_tui.operations.plan import Plan
    from director_tui.operations.progress import Progress
    from director_tui.operations.record import Record
    from director_tui.times import Times

RECORDS_READ: Final = 4_000
"""Records of the journal that a screen shows at most, the newest."""

CLOSE_LIMIT_S: Final = 5.0
"""How long the end of the program waits for the disk, in seconds: it has to give the terminal back. What is being
written then is written all the same, by a thread that the program ends with."""


class Executes(Protocol):
    """What is needed of an executor; see :class:`director_tui.operations.executor.Executor`."""

    progress: Progress | None

    @property
    def beside(self) -> Sequence[Progress]: ...
    async def run(self, plan: Plan, reason: str, override: bool = False) -> Progress: ...
    def decide(self, go_on: bool) -> None: ...
    async def close(self) -> None: ...


MakeExecutor = Callable[
    ["ClusterConfig", "Ring", "Callable[[], Awaitable[Reading]]", "Callable[[Progress], None]", "Times"], Executes
]


def make_executor(
    cluster: ClusterConfig,
    ring: Ring,
    fresh: Callable[[], Awaitable[Reading]],
    publish: Callable[[Progress], None],
    times: Times,
) -> Executes:
    """The real one. Imported when the first plan is carried out: so the first frame comes sooner."""
    from director_tui.operations.executor import Executor

    return Executor(cluster, ring, fresh, publish, times)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the journal holds, newest first: as much of it as screens show, or why it can't be read.

    ``caveats`` say what of it is not there. ``records`` are the same in the order in which they were written.
    """

    entries: tuple[Entry, ...] = ()
    records: tuple[Record, ...] = ()
    caveats: tuple[str, ...] = ()
    failure: StateError | None = None

    def entry(self, operation: str) -> Entry | None:
        return next((one for one in self.entries if one.operation == operation), None)


AskJournal = Callable[[Callable[["Kept"], None]], None]
"""Begins to read the journal, and hands over what is in it."""


class Operating:
    """At most one operation at a time, which goes on whatever is on the screen. Whoever makes this has to close it.

    ``show`` is called with every step of an operation, ``failed`` with what it raised; ``say`` with a sentence that
    somebody has to know, ``kept`` when there is more in the journal than before.
    """

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        *,
        show: Callable[[Progress], None],
        failed: Callable[[BaseException], None],
        say: Callable[[str], None],
        kept: Callable[[], None],
        make: MakeExecutor = make_executor,
    ) -> None:
        self.progress: Progress | None = None
        self._cluster = cluster
        self._times = times
        self._show = show
        self._failed = failed
        self._say = say
        self._kept = kept
        self._make = make
        self._executor: Executes | None = None
        self._own: OwnChanges | None = None
        self._journal: Journal | None = None
        self._unwritten: list[Record] = []
        self._writing: asyncio.Task[None] | None = None
        self._failing = False
        self._at_rest = asyncio.Event()
        self._at_rest.set()
        self._showing: set[asyncio.Task[None]] = set()

    @property
    def going_on(self) -> Progress | None:
        """The operation that runs, or else one that gave way and goes on beside it; None where nothing does."""
        if self.progress is not None and self.progress.running:
            return self.progress
        return next(iter(self._executor.beside), None) if self._executor is not None else None

    async def run(
        self, ring: Ring | None, fresh: Callable[[], Awaitable[Reading]], plan: Plan, reason: str, override: bool
    ) -> Progress:
        """Carry it out until it has ended. Raises PlanOutdated and OperationRefused, and has then sent nothing."""
        if ring is None:
            raise OperationRefused("no director has been reached yet")
        if self._executor is None:
            self._executor = self._make(ring.cluster, ring, fresh, self._take, self._times)
        return await self._executor.run(plan, reason, override)

    def decide(self, go_on: bool) -> None:
        """Answer the question of the operation that runs."""
        if self._executor is not None:
            self._executor.decide(go_on)

    async def close(self) -> None:
        """Wait for nothing any more: the journal says what is left of the operation, and what was seen until now."""
        closing = [asyncio.create_task(self._executor.close())] if self._executor is not None else []
        if self._writing is not None:
            closing.append(self._writing)
        if closing:
            done, _ = await asyncio.wait(closing, timeout=CLOSE_LIMIT_S)
            for one in done:
                one.result()

    def _take(self, progress: Progress) -> None:
        self.progress = progress
        if self._own is None:
            # Imported with the first operation, like the executor.
            from director_tui.operations.own_changes import OwnChanges

            self._own = OwnChanges()
        self._own.follow(progress, self._times.mono_s())
        if progress.running and not progress.question:
            self._at_rest.clear()
        else:
            self._at_rest.set()
        # Not from here: what can't be drawn must not end what is being carried out, proven and written down.
        showing = asyncio.create_task(self._show_beside(progress), name="show a step of the operation")
        self._showing.add(showing)
        showing.add_done_callback(self._shown)

    async def _show_beside(self, progress: Progress) -> None:
        self._show(progress)

    def _shown(self, showing: asyncio.Task[None]) -> None:
        self._showing.discard(showing)
        if not showing.cancelled() and (error := showing.exception()) is not None:
            self._failed(error)

    async def at_rest(self) -> None:
        """Returns when nothing runs, or what does waits for an answer."""
        await self._at_rest.wait()

    # The journal

    def mark(self, changes: Iterable[Change]) -> tuple[Change, ...]:
        """The same changes, those that this program has made with what they come from."""
        return tuple(changes) if self._own is None else self._own.mark(changes, self._times.mono_s())

    def keep(self, changes: Iterable[Change], director: str) -> None:
        """Write down what happened outside this program, as ``director`` has shown it, without waiting for the disk."""
        from director_tui.operations.record import observed

        self._unwritten += [observed(one, director) for one in changes if one.subject.is_of_ring and not one.by]
        if self._unwritten and self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="journal what was observed")

    async def _write(self) -> None:
        try:
            while self._unwritten:
                records, self._unwritten = self._unwritten, []
                await self._append(records)
        finally:
            self._writing = None

    async def _append(self, records: list[Record]) -> None:
        try:
            await asyncio.to_thread(self.journal.append, *records)
        except StateError as error:
            # Once for each time that it begins: a full disk is full at every change.
            if not self._failing:
                self._say(f"what is seen to change is not in the journal: {error}; {error.remedy}")
            self._failing = True
        else:
            self._failing = False
            self._kept()

    async def read(self, take: Callable[[Kept], None]) -> None:
        """Read the journal, and hand over what is in it."""
        from director_tui.operations.journal import entries
        from director_tui.operations.report import caveats

        try:
            extract = await asyncio.to_thread(self.journal.read, None, RECORDS_READ)
        except StateError as error:
            take(Kept(failure=error))
            return
        newest_first = tuple(reversed(entries(extract.records)))
        take(Kept(newest_first, extract.records, caveats(extract, self._cluster.name)))

    async def export(self, shown: Sequence[Entry]) -> Path:
        """Write these entries, newest first as they are shown, into a report, and return where. Raises StateError."""
        from director_tui.operations.report import export, markdown

        name, now = self._cluster.name, self._times.utc()
        records = [record for entry in reversed(shown) for record in entry.records]
        return await asyncio.to_thread(lambda: export(markdown(records, name), name, now))

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            from director_tui.operations.journal import Journal

            self._journal = Journal(self._cluster.name, redact_users=self._cluster.redact_users)
        return self._journal
