"""The users of every backend against what its share says: how they come back after an emergency stop."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from director_tui.ui import format
from director_tui.ui.backends_table import COLUMNS, BackendRow
from director_tui.ui.columns import Column
from director_tui.ui.format import MUTED, Piece

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def _expected(row: BackendRow, width: int) -> Sequence[Piece]:
    return (Piece(format.count(round(row.expected)), MUTED),)


def _expected_width(row: BackendRow) -> int:
    return len(format.count(round(row.expected)))


def _columns() -> Iterator[Column[BackendRow]]:
    """Those of the dashboard that tell of it, and the number where the tick of the bar stands."""
    for column in COLUMNS:
        if column.id in {"ip", "name", "tag", "vhosts", "users", "bar"}:
            yield replace(column, keep=20) if column.id == "bar" else column
        if column.id == "users":
            yield Column("expected", "by share", _expected, _expected_width, keep=70, right=True)


SPREAD_COLUMNS: Final = tuple(_columns())
