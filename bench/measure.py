"""Figures side by side: taken in turns, compared by their medians, shown as one table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

WHAT_WIDTH: Final = 68


@dataclass(frozen=True, slots=True)
class Line:
    """One budget as measured. ``ours`` and ``peer`` are in ``unit``; ``budget`` is the largest ratio allowed."""

    number: str
    what: str
    ours: float
    peer: float
    unit: str
    budget: float

    @property
    def ratio(self) -> float:
        return self.ours / self.peer if self.peer else float("inf")

    @property
    def within(self) -> bool:
        return self.ratio <= self.budget


def in_turns(rounds: int, *measures: Callable[[], float]) -> list[list[float]]:
    """Take each measure once a round, A B A B …, so that whatever else the machine does falls on all of them alike."""
    taken: list[list[float]] = [[] for _ in measures]
    for _ in range(rounds):
        for values, measure in zip(taken, measures, strict=True):
            values.append(measure())
    return taken


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def p90(values: Sequence[float]) -> float:
    """The value that nine of ten do not exceed."""
    return sorted(values)[max(0, -(-len(values) * 9 // 10) - 1)]


def table(lines: Iterable[Line]) -> str:
    """The lines as a person reads them, and which of them are out of budget."""
    head = f"{'':5}{'':{WHAT_WIDTH}}{'ours':>11}{'peer':>11}{'ratio':>8}{'budget':>8}"
    return "\n".join([head, *map(_row, lines)])


def _row(line: Line) -> str:
    ours, peer = (f"{value:.{1 if value < 100 else 0}f} {line.unit}" for value in (line.ours, line.peer))
    verdict = "within" if line.within else "NOT"
    return f"{line.number:5}{line.what:{WHAT_WIDTH}}{ours:>11}{peer:>11}{line.ratio:8.2f}{line.budget:8.2f}  {verdict}"
