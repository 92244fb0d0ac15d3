"""A chart of user counts over the last ten minutes, drawn with block characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.ui import format
from director_tui.ui.format import MUTED, Piece

if TYPE_CHECKING:
    from collections.abc import Sequence

_EIGHTHS: Final = " ▁▂▃▄▅▆▇█"
_EXPECTED: Final = "╌"
_LEAST_SPAN: Final = 1 / 20
"""The scale spans at least this part of its largest value: noise must not look like a mountain."""


def chart(
    values: Sequence[int | None], expected: float | None, width: int, height: int, slots: int
) -> list[list[Piece]]:
    """``height`` lines of at most ``width`` cells: a scale, and the values as columns, the newest at the right edge.

    ``values`` are evenly spaced, oldest first, None where there was no reading; ``slots`` of them fill the chart.
    ``expected`` is drawn as a dashed line behind the columns. Nothing if there are no values or no room.
    """
    known = [value for value in values if value is not None]
    if not known or height < 1:
        return []
    marks = [*known, *([expected] if expected is not None else [])]
    low, high = _scale(min(marks), max(marks))
    labels = _labels(low, high, height)
    label_width = max(map(len, labels))
    room = width - label_width - 2
    if room < 1:
        return []
    columns = _columns(values, min(room, slots * max(1, room // slots)), slots)
    levels = [None if value is None else _level(value, low, high, height) for value in columns]
    line = None if expected is None else height - 1 - min(height - 1, _level(expected, low, high, height) // 8)
    return [
        [Piece(f"{label:>{label_width}} ", MUTED), Piece("│", MUTED), *_row(levels, height - 1 - place, place == line)]
        for place, label in enumerate(labels)
    ]


def _scale(low: float, high: float) -> tuple[float, float]:
    missing = max(0.0, max(high * _LEAST_SPAN, 1.0) - (high - low))
    bottom = max(0.0, low - missing / 2)
    return bottom, bottom + high - low + missing


def _labels(low: float, high: float, height: int) -> list[str]:
    labels = [""] * height
    labels[-1] = format.count(round(low))
    labels[0] = format.count(round(high))
    middle = format.count(round((low + high) / 2))
    if height > 2 and middle not in labels:
        labels[height // 2] = middle
    return labels


def _columns(values: Sequence[int | None], cells: int, slots: int) -> list[int | None]:
    """One value for each cell: the last of its part, or the same one for several cells."""
    padded = [*[None] * (slots - len(values)), *values][-slots:]
    return [
        padded[(cell + 1) * slots // cells - 1 if cells <= slots else cell * slots // cells] for cell in range(cells)
    ]


def _level(value: float, low: float, high: float, height: int) -> int:
    """In eighths of a line from the bottom, at least one: what is there must be seen."""
    return max(1, round((value - low) / (high - low) * height * 8))


def _row(levels: Sequence[int | None], from_bottom: int, has_line: bool) -> list[Piece]:
    pieces: list[Piece] = []
    for level in levels:
        filled = 0 if level is None else max(0, min(8, level - from_bottom * 8))
        piece = Piece(_EXPECTED, "tick") if has_line and not filled else Piece(_EIGHTHS[filled], "bar")
        if pieces and pieces[-1].meaning == piece.meaning:
            pieces[-1] = Piece(pieces[-1].text + piece.text, piece.meaning)
        else:
            pieces.append(piece)
    return pieces
