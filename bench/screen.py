"""P4, P5 and P8: what a refresh costs, how fast a key is answered, and what stays in memory."""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.crowd import ips
from bench.measure import Line, median, p90
from bench.pseudo_terminal import PseudoTerminal
from bench.screens import FEW_POLLS, MANY_POLLS

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[1]
TABLE_ROUNDS: Final = 2
KEY_ROUNDS: Final = 3
PRESSES: Final = 40
LIMIT_MB: Final = 90.0
MEMORY_LIMIT_S: Final = 600.0


def refreshes() -> list[Line]:
    runs = [(name, count) for count in (100, 400, 1000) for name in ("grid", "datatable")]
    costs: dict[tuple[str, int], list[float]] = {run: [] for run in runs}
    for _ in range(TABLE_ROUNDS):
        for (name, count), taken in costs.items():
            taken += _reported(name, str(count))
    cost_ms = {run: median(taken) * 1000 for run, taken in costs.items()}
    return [
        *(
            Line(
                "P4",
                f"CPU of a refresh, {count:,} backends : Textual's DataTable",
                cost_ms["grid", count],
                cost_ms["datatable", count],
                "ms",
                budget,
            )
            for count, budget in ((400, 1.0), (1000, 0.4))
        ),
        Line(
            "P4", "CPU of a refresh, 1,000 backends : 100 backends", cost_ms["grid", 1000], cost_ms["grid", 100], "ms",
            1.5,
        ),
    ]  # fmt: skip


def keys() -> list[Line]:
    ours: list[float] = []
    peer: list[float] = []
    for _ in range(KEY_ROUNDS):
        with screen("dashboard", "1000") as terminal:
            ours += presses_in_a_table(terminal)
        peer += presses_of_a_counter()
    return [
        Line(
            "P5", f"key to paint, 1,000 backends, polling, {name} : an app of one widget", of(ours) * 1000,
            of(peer) * 1000, "ms", budget,
        )
        for name, of, budget in (("median", median, 1.5), ("p90", p90, 2.5))
    ]  # fmt: skip


def presses_in_a_table(terminal: PseudoTerminal) -> list[float]:
    """How long the cursor of a dashboard takes to the next row, in seconds, again and again, from the first one on."""
    rows = [ip.encode().replace(b".", rb"\.") for ip in ips(PRESSES + 1)]
    terminal.wait_for(rows[0])
    return _presses_s(terminal, [rb"\xe2\x96\xb8(\x1b\[[0-9;]*m| )*" + row + rb"\b" for row in rows[1:]])


def presses_of_a_counter() -> list[float]:
    """The same of an app of one widget."""
    with screen("counter") as terminal:
        terminal.wait_for(rb"pressed 0 times")
        return _presses_s(terminal, [b"pressed %d times" % count for count in range(1, PRESSES + 1)])


def _presses_s(terminal: PseudoTerminal, shown: Sequence[bytes]) -> list[float]:
    chance = random.Random(1)
    terminal.leave_alone(2.0)
    taken: list[float] = []
    for pattern in shown:
        terminal.leave_alone(chance.uniform(0.03, 0.15))
        taken.append(terminal.press(b"j", pattern))
    return taken


def memory() -> list[Line]:
    few, many = _reported("memory", "1000")
    return [
        Line("P8", f"memory, 1,000 backends, after {MANY_POLLS:,} polls : after {FEW_POLLS}", many, few, "MB", 1.02),
        Line("P8", f"memory, 1,000 backends, after {MANY_POLLS:,} polls : the limit", many, LIMIT_MB, "MB", 1.0),
    ]


def _reported(*words: str) -> list[float]:
    """Run one of the screens that measure themselves; its figures."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report"
        with screen(*words, str(report)) as terminal:
            terminal.wait_for_end(MEMORY_LIMIT_S)
            if not report.exists():
                raise RuntimeError(f"{words} reported nothing: {terminal.written[-2000:]!r}")
        figures: list[float] = json.loads(report.read_text())
    return figures


def screen(*words: str) -> PseudoTerminal:
    """One of those of bench/screens.py."""
    return PseudoTerminal([sys.executable, "-m", "bench.screens", *words], folder=ROOT)
