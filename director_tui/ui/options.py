"""One of a few words to choose, in a line of a form."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from director_tui.ui.format import MUTED, PLAIN, STYLES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.events import Click

    from director_tui.ui.format import Part

CHOSEN, OPEN = "●", "○"


class Options(Static, can_focus=True):
    """The words side by side; ← → and space choose, a click does, too, and enter goes on.

    The one that is chosen has another mark.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "choose(1)", show=False),
        Binding("left", "choose(-1)", show=False),
        Binding("enter", "app.focus_next", show=False),
    ]

    class Changed(Message):
        """Another one is chosen."""

    def __init__(self, words: Sequence[str], chosen: int = 0, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._words = tuple(words)
        self.chosen = chosen

    def render(self) -> Content:
        parts: list[Part] = []
        for number, word in enumerate(self._words):
            here = number == self.chosen
            style = STYLES[PLAIN if here else MUTED]
            if here and self.has_focus:
                style = f"{STYLES[PLAIN]} bold reverse"
            parts += [("   " if number else "", ""), (f"{CHOSEN if here else OPEN} {word}", style)]
        return Content.assemble(*parts)

    def choose(self, number: int) -> None:
        number = max(0, min(number, len(self._words) - 1))
        if number != self.chosen:
            self.chosen = number
            self.refresh()
            self.post_message(self.Changed())

    def action_choose(self, step: int) -> None:
        self.choose((self.chosen + step) % len(self._words))

    def on_click(self, event: Click) -> None:
        at = 0
        for number, word in enumerate(self._words):
            at += len(word) + 2 + 3
            if event.x < at:
                self.choose(number)
                return

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()
