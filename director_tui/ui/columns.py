"""The columns of a grid, and which of them are shown how wide in the room there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from rich.cells import cell_len

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from director_tui.ui.format import Piece

RowT = TypeVar("RowT")

GAP: Final = 2
"""Cells between two columns; one where there is no room for two."""
MARGIN: Final = 1
"""Cells behind the last column, where there is room."""


@dataclass(frozen=True, slots=True)
class Column(Generic[RowT]):
    """One column of a grid.

    ``cell`` makes the pieces of a cell of the given width. ``width`` is a number of cells, or tells how much a row
    needs. Columns of the lowest ``keep`` go first when there is no room; those that have none stay always, and shrink
    to ``least`` at last, the rightmost first. Spare room goes to the columns that grow, up to ``max_width``.
    """

    id: str
    title: str
    cell: Callable[[RowT, int], Sequence[Piece]]
    width: int | Callable[[RowT], int]
    order: Callable[[RowT], Any] | None = None
    keep: int | None = None
    right: bool = False
    least: int | Callable[[RowT], int] = 0
    max_width: int = 0
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Layout(Generic[RowT]):
    """The columns that are shown, each with its width in cells, and the cells between them."""

    columns: tuple[tuple[Column[RowT], int], ...] = ()
    gap: int = GAP

    def at(self, x: int) -> Column[RowT] | None:
        """The column at this cell, counted from where the first begins; the gap behind a column belongs to it."""
        begin = 0
        for column, width in self.columns:
            if begin <= x < begin + width + self.gap:
                return column
            begin += width + self.gap
        return None


class Widths(Generic[RowT]):
    """Lays columns out, again and again, without jumps: one that was wider a moment ago stays so."""

    def __init__(self, columns: Sequence[Column[RowT]]) -> None:
        self._columns = tuple(columns)
        self._widest: dict[str, int] = {}

    def forget(self) -> None:
        """Forget how wide columns were."""
        self._widest.clear()

    def lay_out(self, rows: Sequence[RowT], room: int) -> Layout[RowT]:
        """Choose columns and widths for so many cells."""
        wanted = {column.id: self._natural(column, rows) for column in self._columns}
        chosen = [column for column in self._columns if wanted[column.id] > 0]
        gap = GAP

        def excess() -> int:
            return sum(wanted[column.id] + gap for column in chosen) - gap - room

        while excess() > 0 and any(column.keep is not None for column in chosen):
            chosen.remove(min((one for one in chosen if one.keep is not None), key=lambda one: one.keep or 0))
        if excess() > 0:
            gap = 1
        for column in reversed(chosen):
            if (too_much := excess()) > 0 and column.least:
                least = _most(column.least, rows)
                wanted[column.id] = max(min(least, wanted[column.id]), wanted[column.id] - too_much)
        spare = max(0, -excess() - MARGIN)
        growing = [column for column in chosen if column.max_width]
        for number, column in enumerate(growing):
            extra = min(spare // (len(growing) - number), column.max_width - wanted[column.id])
            wanted[column.id] += extra
            spare -= extra
        return Layout(tuple((column, wanted[column.id]) for column in chosen), gap)

    def _natural(self, column: Column[RowT], rows: Sequence[RowT]) -> int:
        # The table must not jump when 10,000 users become 9,999.
        width = self._widest[column.id] = max(_most(column.width, rows), self._widest.get(column.id, 0))
        return max(width, cell_len(column.title)) if width else 0


def _most(width: int | Callable[[RowT], int], rows: Sequence[RowT]) -> int:
    return width if isinstance(width, int) else max(map(width, rows), default=0)
