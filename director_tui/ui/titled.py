"""Lines of a page that stand beside titles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from textual.content import Content

from director_tui.text import clean
from director_tui.ui.format import MUTED, STYLES, Piece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from director_tui.ui.format import Part

TITLE_WIDTH: Final = 15

Line = list[Piece]


def titled(title: str, lines: Sequence[Line]) -> list[Line]:
    """Lines beside a title, which stands in front of the first."""
    return [[Piece(f"{'' if number else title:<{TITLE_WIDTH}}", MUTED), *line] for number, line in enumerate(lines)]


def content(line: Line, width: int) -> list[Content]:
    """A line as text; where it is longer than the screen is wide it goes on below itself, beside the titles."""
    parts: list[Part] = []
    for piece in line:
        text = clean(piece.text)
        bare = text.lstrip(" ")
        # A gap has no style of its own: some viewers of the pictures drop blanks at the beginning of a styled text.
        parts += [(text[: len(text) - len(bare)], ""), (bare, STYLES[piece.meaning])]
    rest, lines = Content.assemble(*parts), []
    while rest.cell_length > width and (cut := rest.plain.rfind(" ", TITLE_WIDTH + 1, width + 1)) > 0:
        lines.append(rest[:cut])
        rest = Content.assemble(" " * TITLE_WIDTH, rest[cut + 1 :])
    return [*lines, rest.truncate(width, ellipsis=True)]
