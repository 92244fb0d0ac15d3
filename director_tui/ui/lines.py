"""Lines of text between the tables: they are laid out and drawn again only when there is something new to see."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.widgets import Static

if TYPE_CHECKING:
    from director_tui.ui.format import Part


class Lines(Static):
    """Lines that are laid out again only when their number changes, and drawn again only when they change."""

    WRAPS: ClassVar[bool] = False
    """Whether a long line makes two, so that other words may need another number of them."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.display = False
        self._lines: list[Content] = []

    def show(self, lines: list[Content]) -> None:
        other_height = len(lines) != len(self._lines)
        # Two contents are equal when their texts are, whatever their styles.
        if other_height or not all(new.is_same(old) for new, old in zip(lines, self._lines, strict=True)):
            self._lines = lines
            self.display = bool(lines)
            self.update(Content("\n").join(lines), layout=other_height or self.WRAPS)


class Sentences(Lines):
    """Lines that may be longer than the screen is wide."""

    WRAPS = True


class Remark(Sentences):
    """What keeps the program from reading, and what to do about it; hidden while all is well."""


class Rule(Static):
    """A line between two parts, which may say something about the part above it."""

    def __init__(self, *words: Part, id: str | None = None) -> None:
        super().__init__(id=id, classes="rule")
        self._words: list[Part] = list(words)

    def say(self, *words: Part) -> None:
        if list(words) != self._words:
            self._words = list(words)
            self.refresh()

    def render(self) -> Content:
        said = [(f" {text} ", style) for text, style in self._words if text]
        used = 2 + sum(len(text) for text, _ in said) if said else 0
        lead: list[Part] = [("──", "$dt-line"), *said] if said else []
        return Content.assemble(*lead, ("─" * max(0, self.size.width - used), "$dt-line"))
