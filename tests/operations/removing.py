"""Takes a backend through its clean removal as the program does: each time by what is kept and what the ring shows.

Used in the process of a test, and in one of its own that can be killed in the middle:
``python -m tests.operations.removing WHERE``, a JSON file with ``directors`` (each an SSH destination and the words for
its doveadm and doveconf), ``backends`` (a destination and the words), ``known_hosts``, ``identity``, ``ssh_config`` and
``ip``. It goes on with the removal of this backend, and prints ``sent STEP`` when a command of a step has gone out.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from director_tui.config import BackendAccess, ClusterConfig, DirectorConfig
from director_tui.link.monitor import Monitor
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from director_tui.link.users import sessions, sessions_by_backend
from director_tui.operations.executor import Executor
from director_tui.operations.journal import Journal
from director_tui.operations.plan import Standing
from director_tui.operations.planning import make_plan
from director_tui.operations.removal import (
    UPLOADS,
    Mark,
    Removal,
    Step,
    mark_upload,
    renewed,
    seen,
    skip_leaving,
    standing_at,
)
from director_tui.operations.removal_keeping import Removals
from director_tui.operations.removal_steps import request_of
from director_tui.operations.removal_upload import judge
from director_tui.times import SYSTEM_TIMES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from director_tui.link.reading import Reading
    from director_tui.operations.plan import Request
    from director_tui.operations.progress import Progress
    from director_tui.operations.removal import BackendSeen, Position


class Remover:
    """The wizard without its screen. ``stood`` is every step that it has come to, in order, each once in a row."""

    def __init__(self, ring: Ring, fresh: Callable[[], Awaitable[Reading]], executor: Executor) -> None:
        self.kept = Removals(ring.cluster.name, Journal(ring.cluster.name), SYSTEM_TIMES)
        self.stood: list[Step] = []
        self.said: list[str] = []
        self.ended: list[Progress] = []
        self.override = False
        self._ring = ring
        self._fresh = fresh
        self._executor = executor

    async def look(self, removal: Removal) -> tuple[Removal, BackendSeen, Position]:
        """Where it stands now; what doesn't hold any more is taken away for good."""
        reading = await self._fresh()
        now = seen(removal.ip, reading, await sessions(self._ring, reading.views))
        _, why = renewed(removal, now)
        if why:
            self.said.append(why)
            removal = await self.kept.change(removal, lambda one: renewed(one, now)[0], why)
        position = standing_at(removal, now)
        if position.step is not None and self.stood[-1:] != [position.step]:
            self.stood.append(position.step)
        return removal, now, position

    async def go_on(self, removal: Removal, until: Sequence[Step] = ()) -> tuple[Removal, Position]:
        """Step by step up to the first of these, or to where nothing is left to be run."""
        while True:
            removal, now, position = await self.look(removal)
            step = position.step
            if step in until or step in {None, Step.CONFIGURATION}:
                return removal, position
            assert step is not None
            if step is Step.MOVE and not now.most_users:
                # Nobody is left to be flushed; a login process takes a moment to end its sessions.
                await self._sessions_ended(removal)
            else:
                removal = await self.do(step, removal)

    async def _sessions_ended(self, removal: Removal) -> None:
        async with asyncio.timeout(30):
            while (await self.look(removal))[1].session_count:  # noqa: ASYNC110 - what directors list sets no event
                await asyncio.sleep(0.05)

    async def do(self, step: Step, removal: Removal) -> Removal:
        """What a person does who goes through with it."""
        if step is Step.LET_LEAVE:
            return await self.kept.change(
                removal,
                lambda one: skip_leaving(one, SYSTEM_TIMES.utc(), "ops"),
                f"step {step.number} of {len(removal.steps)}: not waited for any longer",
            )
        request = request_of(step, removal)
        if request is None:
            return removal
        progress = await self.run(request)
        if step not in UPLOADS:
            return removal
        judged = judge(progress, self._ring.cluster)
        assert judged.how is not None, judged
        mark = Mark(SYSTEM_TIMES.utc(), "ops", judged.how, judged.said)
        note = f"step {step.number} of {len(removal.steps)}: {judged.how.value}"
        return await self.kept.change(removal, lambda one: mark_upload(one, step, mark), note, judged.said)

    async def run(self, request: Request) -> Progress:
        """By way of a plan and its fresh reading, as from the dialog."""
        reading = await self._fresh()
        known = sessions_by_backend(reading, await sessions(self._ring, reading.views))
        plan = make_plan(request, Standing(reading, self._ring.cluster, known))
        self.ended.append(await self._executor.run(plan, "", self.override))
        return self.ended[-1]


def ring_at(where: dict[str, Any]) -> Ring:
    directors = tuple(DirectorConfig(ssh, tuple(words), tuple(conf)) for ssh, words, conf in where["directors"])
    destination, words = where["backends"]
    cluster = ClusterConfig(
        "rings", directors, interval_s=1.0, backends=BackendAccess(destination, doveadm=tuple(words))
    )
    ssh_config = Path(where["ssh_config"]) if where["ssh_config"] else None
    return Ring(
        cluster, Ssh(known_hosts=Path(where["known_hosts"]), identity=Path(where["identity"]), ssh_config=ssh_config)
    )


async def remove(where: dict[str, Any]) -> None:
    ring = ring_at(where)
    monitor = Monitor(ring, lambda reading: None)
    polling = asyncio.create_task(monitor.run())
    told = ""

    def tell(progress: Progress) -> None:
        nonlocal told
        if progress.id != told and any(line.sent_mono_s is not None for line in progress.lines):
            told = progress.id
            print("sent", progress.plan.request.because, flush=True)  # noqa: T201 - it is what it is for

    executor = Executor(ring.cluster, ring, monitor.fresh, tell)
    remover = Remover(ring, monitor.fresh, executor)
    removal = (await remover.kept.all()).of(where["ip"])
    assert removal is not None
    await monitor.fresh()
    await remover.go_on(removal)
    await executor.close()
    polling.cancel()
    await asyncio.wait([polling])
    await ring.close()


if __name__ == "__main__":
    asyncio.run(remove(json.loads(Path(sys.argv[1]).read_text())))
