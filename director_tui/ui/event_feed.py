"""The feed of events: what changed on the ring and on the way to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.format import STYLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from director_tui.director.changes import Change

WHO_COLUMN: Final = 44
NAMES_FROM_WIDTH: Final = 60


class EventFeed(Static):
    """What changed, the newest first; as many lines as there is room for."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self._names = names
        self._changes: Sequence[Change] = ()

    def show(self, changes: Sequence[Change]) -> None:
        """``changes`` are all that are kept, the newest first."""
        if changes != self._changes:
            self._changes = changes
            self.refresh()

    def render(self) -> Content:
        room = max(1, self.size.height)
        lines: list[Content] = []
        for change in self._changes[:room]:
            lines.append(self._line(change))
            if change.undone_after is not None:
                lines.append(Content.styled(f"          {format.undone(change)}", "$dt-attention"))
        if not lines:
            return Content.styled("nothing has changed since the start", "$dt-muted")
        return Content("\n").join(lines[:room])

    def _line(self, change: Change) -> Content:
        # On a narrow screen the name would push what changed over the edge.
        pieces = format.change(change, self._names if self.size.width >= NAMES_FROM_WIDTH else {})
        what = [(clean(piece.text), STYLES[piece.meaning]) for piece in pieces]
        # Below each other where there is room, so that the eye finds who did it.
        gap = max(3, WHO_COLUMN - sum(cell_len(text) for text, _ in what))
        line = Content.assemble((f"{change.at:%H:%M:%S}", "$dt-muted"), "  ", *what, " " * gap)
        who = clean(format.cause(change))
        if change.by and line.cell_length + cell_len(who) > self.size.width:
            who = "you"  # by what stands in the journal
        return Content.assemble(line, (who, "$dt-accent" if change.by else "$dt-muted"))
