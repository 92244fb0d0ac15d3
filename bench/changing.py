"""P6: the vhost counts of 200 backends, set and proven, and the emergency stop of as many, beside doveadm by hand: on
the director, and from here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from bench.measure import Line, median
from director_tui.config import read_config
from director_tui.link.monitor import Monitor
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from director_tui.operations.emergency import stop_plan
from director_tui.operations.executor import Executor
from director_tui.operations.plan import Request, Standing, Target, Verb
from director_tui.operations.planning import make_plan
from director_tui.operations.progress import LineStatus
from tests.ring.processes import wait_until
from tests.ring.site import Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from director_tui.config import ClusterConfig

MANY: Final = tuple(f"127.0.2.{number}" for number in range(1, 201))
ROUNDS: Final = 3
FROM_HERE: Final = 40
"""So many are set over a connection for each, and the time is scaled up to all."""


def changes() -> list[Line]:
    with Site(backends=f"{MANY[0]}-{MANY[-1]}", by_socket=True) as site:
        # The journal is nobody's own, but on a disk like one.
        with patch.dict(os.environ, {"XDG_STATE_HOME": str(site.folder / "state")}):
            ours, stops, there = asyncio.run(_changes_s(site))
        from_here_s = _from_here_s(site) * len(MANY) / FROM_HERE
    what = f"vhost count 0 for {len(MANY)} backends, proven :"
    stop, loop = f"stop of {len(MANY)} backends, records included, proven :", "a loop on the director"
    return [
        Line("P6", f"{what} {loop}", median(ours), median(there), "s", 1.25),
        Line("P6", f"{what} ssh for each ({FROM_HERE}, scaled)", median(ours), from_here_s, "s", 0.15),
        Line(
            "P6",
            f"{stop} {loop}",
            median(stops),
            median(there),
            "s",
            1.25,
        ),
    ]


async def _changes_s(site: Site) -> tuple[list[float], list[float], list[float]]:
    """Of the program from the confirmed plan to the last proof, while it polls, of an update and of an emergency stop;
    and of a loop of doveadm there."""
    ours: list[float] = []
    stops: list[float] = []
    there: list[float] = []
    cluster = read_config(site.config).cluster(None)
    # All directors are on this machine: none but the ring's own folder may have a record.
    cluster = replace(cluster, records=str(site.folder / "records"))
    ring = Ring(cluster, Ssh(known_hosts=cluster.known_hosts, identity=site.client_key))
    request = Request(Verb.UPDATE, tuple(Target(ip, 0) for ip in MANY))
    async with _executor(cluster, ring) as (monitor, executor):
        for _ in range(ROUNDS):
            for measured, plan_on in ((ours, partial(make_plan, request)), (stops, stop_plan)):
                plan = plan_on(Standing(await monitor.fresh(), cluster))
                began_s = time.perf_counter()
                ended = await executor.run(plan, "")
                measured.append(time.perf_counter() - began_s)
                if any(line.status is not LineStatus.APPLIED for line in ended.lines):
                    raise RuntimeError(f"not all were set: {ended.notes}")
                await asyncio.to_thread(_set_back, site)
            there.append(await asyncio.to_thread(_there_s, site))
            await asyncio.to_thread(_set_back, site)
    return ours, stops, there


@asynccontextmanager
async def _executor(cluster: ClusterConfig, ring: Ring) -> AsyncIterator[tuple[Monitor, Executor]]:
    monitor = Monitor(ring, lambda reading: None)
    executor = Executor(cluster, ring, monitor.fresh, lambda progress: None)
    polling = asyncio.create_task(monitor.run())
    try:
        await monitor.fresh()
        yield monitor, executor
    finally:
        await executor.close()
        polling.cancel()
        await asyncio.wait([polling])
        await ring.close()


def _there_s(site: Site, vhosts: int = 0) -> float:
    """Seconds that a shell on the director takes for all."""
    update = f"{site.doveadm_words(site.ring.directors[0])} director update"
    return _run_s(["sh", "-c", f'for ip do {update} "$ip" {vhosts} || exit; done', "sh", *MANY])


def _from_here_s(site: Site) -> float:
    """Seconds for some of them with a connection of its own for each."""
    doveadm = site.doveadm_words(site.ring.directors[0])
    words = ["ssh", "-F", str(site.ssh_config), "d1", "--", doveadm, "director", "update"]
    return sum(_run_s([*words, ip, "0"]) for ip in MANY[:FROM_HERE])


def _set_back(site: Site) -> None:
    _there_s(site, 100)
    if not wait_until(lambda: all(_counts(site, number) == {"100"} for number in range(3)), 30):
        raise RuntimeError("the vhost counts are not set back")


def _counts(site: Site, director: int) -> set[str]:
    return {row["vhosts"] for row in site.ring.directors[director].backends()}


def _run_s(words: Sequence[str]) -> float:
    began_s = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began_s
