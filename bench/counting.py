"""P7: the exact prediction for a million users: how long it takes, and what it leaves of memory and keyboard."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from typing import TYPE_CHECKING, Final

from bench.large import EVERYBODY, USERS, large
from bench.measure import Line, median
from bench.screen import presses_in_a_table, presses_of_a_counter, screen
from director_tui.link.monitor import read_once
from director_tui.operations.counting import count
from director_tui.operations.plan import Standing
from director_tui.operations.planning import make_plan

if TYPE_CHECKING:
    from bench.large import Large

ROUNDS: Final = 5
KEY_ROUNDS: Final = 2
LIMIT_MB: Final = 150.0
AWK: Final = ("awk", "-F", "\t", "NR > 1 { users[$3]++ } END { for (ip in users) print ip, users[ip] }")


def predictions() -> list[Line]:
    pressed: list[float] = []
    small: list[float] = []
    peaks_mb: list[float] = []
    with large() as director:
        ours, peer = asyncio.run(_counts_s(director))
        for _ in range(KEY_ROUNDS):
            taken, peak_mb = _beside_the_keyboard(director)
            pressed += taken
            peaks_mb.append(peak_mb)
            small += presses_of_a_counter()
    return [
        Line(
            "P7", f"exact prediction for {USERS:,} users, read over SSH : awk on a file", median(ours) * 1000,
            median(peer) * 1000, "ms", 6.0,
        ),
        Line("P7", "memory of the dashboard that counts them : the limit", max(peaks_mb), LIMIT_MB, "MB", 1.0),
        Line(
            "P7", "key to paint meanwhile, median : an app of one widget", median(pressed) * 1000,
            median(small) * 1000, "ms", 3.0,
        ),
    ]  # fmt: skip


async def _counts_s(director: Large) -> tuple[list[float], list[float]]:
    """Of the program from request to plan, over a connection that stands; and of awk on the same bytes in a file."""
    ours: list[float] = []
    peer: list[float] = []
    ring = director.ring()
    try:
        reading = await read_once(ring)
        for _ in range(ROUNDS):
            began_s = time.perf_counter()
            counted = await count(EVERYBODY, Standing(reading, ring.cluster), ring)
            make_plan(EVERYBODY, Standing(reading, ring.cluster, counted=counted))
            ours.append(time.perf_counter() - began_s)
            if sum(sum(heirs.values()) for heirs in counted.values()) != USERS:
                raise RuntimeError("not everybody was counted")
            began_s = time.perf_counter()
            subprocess.run([*AWK, director.map], check=True, stdout=subprocess.DEVNULL)  # noqa: ASYNC221
            peer.append(time.perf_counter() - began_s)
    finally:
        await ring.close()
    return ours, peer


def _beside_the_keyboard(director: Large) -> tuple[list[float], float]:
    """How long each key takes while all are counted over and over, in seconds, and the most memory that takes."""
    report = director.folder / "report"
    with screen("counting", str(director.folder), director.destination, str(report)) as terminal:
        taken = presses_in_a_table(terminal)
        terminal.press(b"q", b"")
        terminal.wait_for_end()
    peak_mb, counts = json.loads(report.read_text())
    if not counts:
        raise RuntimeError("nothing was counted to its end while keys were pressed")
    return taken, peak_mb
