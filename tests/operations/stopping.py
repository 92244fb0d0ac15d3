"""Stops a ring as the program does, in a process of its own that can be killed in the middle.

``python -m tests.operations.stopping WHERE``: a JSON file with ``directors`` (each an SSH destination and the words for
its doveadm), ``known_hosts``, ``identity`` and ``records``. It prints ``ended N`` for each command that has ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.link.monitor import Monitor
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from director_tui.operations.emergency import stop_plan
from director_tui.operations.executor import Executor
from director_tui.operations.plan import Standing

if TYPE_CHECKING:
    from director_tui.operations.progress import Progress


def ring_at(where: dict[str, Any]) -> Ring:
    directors = tuple(DirectorConfig(destination, tuple(words)) for destination, words in where["directors"])
    ssh = Ssh(known_hosts=Path(where["known_hosts"]), identity=Path(where["identity"]))
    return Ring(ClusterConfig("rings", directors, interval_s=1.0, records=where["records"]), ssh)


async def stop(where: dict[str, Any]) -> None:
    ring = ring_at(where)
    monitor = Monitor(ring, lambda reading: None)
    polling = asyncio.create_task(monitor.run())
    told = 0

    def tell(progress: Progress) -> None:
        nonlocal told
        ended = sum(line.elapsed_s is not None for line in progress.lines)
        for number in range(told, ended):
            print("ended", number + 1, flush=True)  # noqa: T201 - it is what it is for
        told = max(told, ended)

    executor = Executor(ring.cluster, ring, monitor.fresh, tell)
    reading = await monitor.fresh()
    reading = reading if reading.views else await monitor.fresh()
    await executor.run(stop_plan(Standing(reading, ring.cluster)), "a drill")
    await executor.close()
    polling.cancel()
    await asyncio.wait([polling])
    await ring.close()


if __name__ == "__main__":
    asyncio.run(stop(json.loads(Path(sys.argv[1]).read_text())))
