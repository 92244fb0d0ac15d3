"""A long run: `python -m tests.soak --minutes 10` (`make soak`).

The practice ring at speed 60 in a process of its own, its directors lost, frozen and back again and again; the program
beside it, on a screen without a terminal, by whose keys every view is visited and changes are made. At the end of each
round, when all is quiet, its memory, tasks, channels and file descriptors are counted: nothing of it may grow.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import gc
import multiprocessing
import os
import re
import sys
import tempfile
import threading
import time
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.geometry import Region, Spacing

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.demo.configuration import backend_names
from director_tui.demo.ring import PracticeRing
from director_tui.demo.server import serve
from director_tui.link.event_loop import EventLoop
from director_tui.link.opening import import_ssh
from director_tui.link.reading import LinkStatus
from director_tui.link.ring import Ring
from director_tui.log import open_log
from director_tui.ui.app import DirectorApp
from director_tui.ui.plan_dialog import PlanDialog

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from textual.pilot import Pilot

    from director_tui.link.questions import Ask

SPEED: Final = 60.0
USERS: Final = 20_000
BACKENDS: Final = 12
INTERVAL_S: Final = 0.5
MOST_GROWTH: Final = {"memory_kb": 0.02, "resident_kb": 0.05, "objects": 0.05}
"""How much may be added after the warm-up, of what comes and goes with what is on the screen; of the rest nothing."""
WARM_UP: Final = 0.4
"""The part of a run in which it may still grow: what Textual keeps of lines, histories, the events."""
PATIENCE_S: Final = 60.0
VIEWS: Final = (
    (("enter",), "DetailsScreen"),
    (("g",), "RingScreen"),
    (("c",), "ClustersScreen"),
    (("o",), "OperationsScreen"),
    (("l", *"user1@example.com", "enter"), "LookupScreen"),
    (("question_mark",), "HelpScreen"),
    (("colon",), "CommandPalette"),
)
"""Keys on the dashboard, and the screen that they open."""
PLANS: Final = (("d",), ("v", "5", "0", "enter"), ("f", "enter"), ("F", "enter"), ("E",))
"""Keys that show a plan, which is not agreed to."""
CHAOS: Final = (
    *(("sever", 0), ("sever", 1), ("restore", 0), ("freeze", 2), ("restore", 1), ("restore", 2)),
    *(("sever", 0), ("sever", 1), ("sever", 2), ("restore", 1), ("restore", 0), ("restore", 2)),
)
CHAOS_BEAT_S: Final = 2.5
MOST_KEPT: Final = 4096
"""What Textual's largest caches hold."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is counted while all is quiet. ``at_s`` is since the beginning.

    ``memory_kb`` is what is in use, ``resident_kb`` what the system says of the process: in steps of a megabyte, which
    is what Python takes at a time, and with what is free in between.
    """

    at_s: float
    memory_kb: int
    resident_kb: int
    objects: int
    tasks: int
    threads: int
    descriptors: int
    channels: int


def judge(figures: Sequence[Figures], minutes: float) -> list[str]:
    """What has grown, a sentence each; nothing if all is well."""
    settled = [one for one in figures if one.at_s >= 60 * minutes * WARM_UP]
    if len(settled) < 6:
        return [f"only {len(settled)} rounds after the warm-up: too few to tell anything; let it run longer"]
    third = len(settled) // 3
    first, last = settled[:third], settled[-third:]
    found = []
    for each in fields(Figures)[1:]:
        before, after = (median(getattr(one, each.name) for one in part) for part in (first, last))
        allowed = before * MOST_GROWTH.get(each.name, 0)
        if after - before > allowed:
            found.append(f"{each.name}: {before:,.0f} → {after:,.0f}")
    return found


# --- the ring, in a process of its own ------------------------------------------------------------------------------


def run_ring(pipe: Connection) -> None:
    asyncio.run(_run_ring(pipe))


async def _run_ring(pipe: Connection) -> None:
    ring = PracticeRing(backends=BACKENDS, users=USERS, seed=1, start=datetime.now(UTC))
    async with await serve(ring, speed=SPEED) as server:
        pipe.send((server.destinations, server.known_hosts, server.identity, server.ssh_config))
        with contextlib.suppress(EOFError):  # whoever gave the orders is gone
            while (order := await asyncio.to_thread(pipe.recv)) is not None:
                what, director = order
                done = getattr(server, what)(director)
                if done is not None:
                    await done


# --- the program ----------------------------------------------------------------------------------------------------


def fill_caches() -> None:
    """Textual keeps some thousand results of each step of its geometry, which takes it hours. What they need is there
    from the start then, and what grows afterwards does so for another reason."""
    for number in range(MOST_KEPT):
        region, other, margin = Region(number, 0, 9, 9), Region(0, number, 9, 9), Spacing(1, 1, 1, number)
        region.intersection(other)
        region.union(other)
        region.shrink(margin)
        region.grow(margin)
        region.translate((number, 0))
        region.overlaps(other)
        region.contains_region(other)
        region.split(number, number)
        region.split_vertical(number)
        region.split_horizontal(number)
        region.__contains__((number, number))


class Soak:
    def __init__(self, app: DirectorApp, pilot: Pilot[None], pipe: Connection) -> None:
        self.figures: list[Figures] = []
        self.troubles: list[str] = []
        self._app = app
        self._pilot = pilot
        self._pipe = pipe
        self._began_s = time.monotonic()
        self._round = 0

    async def run(self, minutes: float) -> None:
        ends_s = self._began_s + 60 * minutes
        await self._until_quiet()
        while time.monotonic() < ends_s and not self._ended:
            self._round += 1
            chaos = asyncio.create_task(self._chaos())
            try:
                await self._visit()
            finally:
                chaos.cancel()
                await asyncio.wait([chaos])
            await self._change()
            await self._until_quiet()
            await self._count()
        if self._ended:
            self.troubles.append(f"round {self._round}: the program ended with {self._app.return_code}")

    @property
    def _ended(self) -> bool:
        """By a fault, or because somebody wants no more of it."""
        return self._app.return_code is not None

    async def _chaos(self) -> None:
        for what in CHAOS:
            await asyncio.sleep(CHAOS_BEAT_S)
            self._pipe.send(what)

    async def _visit(self) -> None:
        app = self._app
        for keys, wanted in VIEWS:
            await self._pilot.press(*keys)
            if not await self._wait(lambda wanted=wanted: type(app.screen).__name__ == wanted, 15.0):
                self.troubles.append(f"round {self._round}: {keys} opened {type(app.screen).__name__}, not {wanted}")
            await self._pilot.pause(0.5)
            await self._home()
        for keys in PLANS:
            await self._pilot.press(*keys)
            await self._pilot.pause(0.5)
            await self._home()
        await self._pilot.press("s", "S", "slash", *"10.", "enter", "space", "escape", "escape", "j", "t", "r")
        await self._pilot.resize_terminal(*((80, 24), (200, 60), (40, 12), (120, 36))[self._round % 4])
        await self._pilot.pause(0.2)

    async def _change(self) -> None:
        """A vhost count that somebody agrees to, carried out to its proof."""
        await self._until_quiet()
        before = self._app.operation
        await self._pilot.press("v", *str(40 + self._round % 50), "enter")  # never the count it has: that is refused
        if not await self._wait(lambda: isinstance(self._app.screen, PlanDialog) and self._app.screen.may_act, 15.0):
            self.troubles.append(f"round {self._round}: no plan to agree to, but {self._shown()}")
        else:
            await self._pilot.press("right", "enter")
            ended = await self._wait(
                lambda: (now := self._app.operation) is not None and now is not before and not now.running, PATIENCE_S
            )
            if not ended:
                self.troubles.append(f"round {self._round}: the operation did not end")
        await self._home()

    def _shown(self) -> str:
        lines = (strip.text.strip() for strip in self._app.screen._compositor.render_strips())
        return f"{type(self._app.screen).__name__}: {' / '.join(filter(None, lines))}"

    async def _home(self) -> None:
        """Back to the dashboard, from wherever."""
        for _ in range(6):
            if type(self._app.screen).__name__ == "Dashboard":
                return
            await self._pilot.press("escape")
            await self._pilot.pause(0.05)
            if type(self._app.screen).__name__ != "Dashboard":
                await self._pilot.press("ctrl+q")
                await self._pilot.pause(0.05)
        self.troubles.append(f"round {self._round}: no way back from {type(self._app.screen).__name__}")

    async def _until_quiet(self) -> None:
        """Every director is back, everything is connected, and nothing is under way."""
        for director in range(3):
            self._pipe.send(("restore", director))
        await self._home()
        if not await self._wait(self._quiet, PATIENCE_S):
            self.troubles.append(f"round {self._round}: not all directors were reached again in {PATIENCE_S:.0f} s")

    def _quiet(self) -> bool:
        watch, operation = self._app._watch, self._app.operation
        reading = watch.present.reading if watch.present is not None else None
        return (
            reading is not None
            and reading.link.status is LinkStatus.LIVE
            and watch.ring is not None
            and all(link.connected for link in watch.ring.links)
            and (operation is None or not operation.running)
        )

    async def _wait(self, true: Any, limit_s: float) -> bool:
        ends_s = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > ends_s or self._ended:
                return False
            await self._pilot.pause(0.05)
        return True

    async def _count(self) -> None:
        """The least of some: a reading comes and goes."""
        self._app.clear_notifications()
        some = []
        for _ in range(12):
            await self._pilot.pause(0.1)
            some.append(self._counted())
        gc.collect()
        least = Figures(*(min(values) for values in zip(*map(astuple, some), strict=True)))
        figures = replace(
            least,
            at_s=time.monotonic() - self._began_s,
            objects=len(gc.get_objects()),
            memory_kb=_in_use_kb(),
            resident_kb=_resident_kb(),
        )
        self.figures.append(figures)
        values = "".join(f"{value:>12,.0f}" for value in astuple(figures))
        print(values, flush=True)

    def _counted(self) -> Figures:
        ring = self._app._watch.ring
        links = ring.links if ring is not None else ()
        open_channels = sum(
            len(link._connection.login.connection._channels) for link in links if link._connection is not None
        )
        descriptors = len(os.listdir("/proc/self/fd"))
        return Figures(0, 0, 0, 0, len(asyncio.all_tasks()), threading.active_count(), descriptors, open_channels)


def _resident_kb() -> int:
    """What of this process is in memory, in KiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


class _Heap(ctypes.Structure):
    """glibc's ``struct mallinfo2``, see mallinfo(3)."""

    _fields_: ClassVar = [
        ("free_and_more", ctypes.c_size_t * 4),
        ("hblkhd", ctypes.c_size_t),
        ("other", ctypes.c_size_t * 2),
        ("uordblks", ctypes.c_size_t),
        ("fordblks_and_more", ctypes.c_size_t * 2),
    ]


def _in_use_kb() -> int:
    """What Python's and the C library's allocators have given out, in KiB.

    Python says its part on standard error only: in a copy of this process, where that is a pipe.
    """
    ours, theirs = os.pipe()
    copy = os.fork()
    if not copy:
        try:
            os.dup2(theirs, 2)
            sys._debugmallocstats()
        finally:
            os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as told:
        said = re.search(r"bytes in allocated blocks *= *([0-9,]+)", told.read())
    os.waitpid(copy, 0)
    if said is None:
        raise RuntimeError("this Python does not say how much memory it has given out")
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Heap
    heap = mallinfo2()
    in_use: int = int(said[1].replace(",", "")) + heap.uordblks + heap.hblkhd
    return in_use // 1024


async def soak(minutes: float, pipe: Connection) -> Soak:
    destinations, known_hosts, identity, ssh_config = await asyncio.to_thread(pipe.recv)
    cluster = ClusterConfig(
        "practice",
        tuple(DirectorConfig(one) for one in destinations),
        INTERVAL_S,
        environment="DEMO",
        names=backend_names(BACKENDS),
    )

    async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        ssh = import_ssh()
        return Ring(cluster, ssh(known_hosts=known_hosts, identity=identity, ssh_config=ssh_config, ask=ask))

    app = DirectorApp(cluster, open_ring)
    fill_caches()
    async with app.run_test(size=(120, 36), notifications=True) as pilot:
        soaking = Soak(app, pilot, pipe)
        await soaking.run(minutes)
        return soaking


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.environ |= {"XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder, "TERM": "xterm-256color"}
        log = Path(folder) / "log"
        open_log(log, "info")
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(target=run_ring, args=(theirs,))
        process.start()
        theirs.close()
        print("".join(f"{each.name:>12}" for each in fields(Figures)), flush=True)
        try:
            with asyncio.Runner(loop_factory=EventLoop) as runner:
                soaking = runner.run(soak(options.minutes, ours))
        finally:
            with contextlib.suppress(OSError):
                ours.send(None)
            process.join(20)
            if process.is_alive():
                process.kill()
        lines = log.read_text().splitlines()
    errors = [f"in the log: {line}" for line in lines if line.partition("Z ")[2].startswith("error")]
    problems = [*judge(soaking.figures, options.minutes), *soaking.troubles, *errors]
    print(f"{len(soaking.figures)} rounds of {len(VIEWS)} views, {len(lines):,} lines in the log")
    print("\n".join(problems) if problems else "nothing has grown, nothing went wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
