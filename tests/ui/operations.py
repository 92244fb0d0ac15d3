"""An executor that does what a test tells it, and operations for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from director_tui.operations.plan import Outcome, Request, Standing, Target, Verb
from director_tui.operations.planning import make_plan
from director_tui.operations.progress import Line, LineStatus, Phase, Progress
from tests.ui.fakes import FakeRing, dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from director_tui.config import ClusterConfig
    from director_tui.errors import DirectorTuiError
    from director_tui.link.reading import Reading
    from director_tui.link.ring import Ring
    from director_tui.operations.plan import Plan
    from director_tui.times import Times
    from tests.ui.fakes import Screen

AT = datetime(2026, 11, 24, 3, 0, 0, tzinfo=UTC)


@dataclass
class FakeExecutor:
    """It goes on when the test says so: ``step`` publishes what is different now."""

    times: Times
    publish: Callable[[Progress], None]
    refuse: DirectorTuiError | None = None
    progress: Progress | None = None
    beside: tuple[Progress, ...] = ()
    decisions: list[bool] = field(default_factory=list)
    overrides: list[bool] = field(default_factory=list)
    cancelled: bool = False
    closed: int = 0
    closing: asyncio.Event | None = None
    """What the end of it waits for."""
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, plan: Plan, reason: str, override: bool = False) -> Progress:
        self.overrides.append(override)
        self._ended.clear()
        lines = tuple(Line(one.target, text) for one, text in zip(plan.commands, plan.command_lines, strict=True))
        self.progress = Progress("20261124-030000-abcdef", plan, reason, AT, self.times.mono_s(), lines)
        self.publish(self.progress)
        if self.refuse is not None:
            self.step(phase=Phase.ENDED, notes=(str(self.refuse),))
            raise self.refuse
        try:
            await self._ended.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return self.progress

    def step(self, **changes: Any) -> None:
        assert self.progress is not None
        self.progress = replace(self.progress, **changes)
        self.publish(self.progress)
        if not self.progress.running:
            self._ended.set()

    def lines(self, *statuses: LineStatus, **changes: Any) -> None:
        """Give the first commands these statuses; what else changes is of the last of them."""
        assert self.progress is not None
        lines = list(self.progress.lines)
        for number, status in enumerate(statuses):
            sent_s = self.times.mono_s() if status is not LineStatus.PENDING else None
            lines[number] = replace(lines[number], status=status, sent_mono_s=sent_s)
        lines[len(statuses) - 1] = replace(lines[len(statuses) - 1], **changes)
        self.step(phase=Phase.RUNNING, lines=tuple(lines))

    def end(self, status: LineStatus, **changes: Any) -> None:
        """All commands end like this."""
        assert self.progress is not None
        lines = tuple(replace(line, status=status, elapsed_s=0.24) for line in self.progress.lines)
        ended_s = self.times.mono_s()
        self.step(
            **{
                "phase": Phase.ENDED,
                "ended_mono_s": ended_s,
                "lines": lines,
                "outcome": Outcome(status.value),
                "question": "",
                **changes,
            }
        )

    def decide(self, go_on: bool) -> None:
        self.decisions.append(go_on)

    async def close(self) -> None:
        self.closed += 1
        if self.closing is not None:
            await self.closing.wait()


@dataclass
class Operated:
    """The program, its ring, and whatever runs on it."""

    screen: Screen
    ring: FakeRing
    made: list[FakeExecutor] = field(default_factory=list)

    @property
    def executor(self) -> FakeExecutor:
        return self.made[-1]

    def plan(self, verb: Verb, *targets: Target, **more: Any) -> Plan:
        present = self.screen.app._watch.present
        assert present is not None
        return make_plan(Request(verb, targets, **more), Standing(present.reading, self.screen.app._watch.cluster))

    async def begin(self, verb: Verb, *targets: Target, reason: str = "", **more: Any) -> None:
        """Agree to a plan of this, and see its first step."""
        plan = self.plan(verb, *targets, **more)
        self.screen.app.run_plan(plan, reason)
        await self.screen.until("reading the ring")


@asynccontextmanager
async def operated(
    ring: FakeRing | None = None, size: tuple[int, int] = (120, 36), refuse: DirectorTuiError | None = None, **more: Any
) -> AsyncGenerator[Operated]:
    """The dashboard, with an executor that waits for the test."""
    ring = ring or FakeRing()
    made: list[FakeExecutor] = []

    def make(
        cluster: ClusterConfig,
        ring: Ring,
        fresh: Callable[[], Awaitable[Reading]],
        publish: Callable[[Progress], None],
        times: Times,
    ) -> FakeExecutor:
        made.append(FakeExecutor(times, publish, refuse))
        return made[-1]

    async with dashboard(ring, size, make_executor=make, **more) as screen:
        yield Operated(screen, ring, made)
