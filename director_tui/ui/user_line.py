"""The line in which the name of a user is typed, pasted, or brought back."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from director_tui.director import doveadm
from director_tui.text import clean
from director_tui.ui.key_bar import TypedLine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.events import Paste


class UserLine(TypedLine):
    """Where the name is typed. Enter looks it up, Esc leaves, the arrows bring back names looked up before."""

    KEYS = (("enter", "look it up"), ("esc", "leave"), ("↑ ↓", "names looked up before"))
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", show=False),
        Binding("up", "recall(-1)", show=False),
        Binding("down", "recall(1)", show=False),
    ]

    class Left(Message):
        """Esc was pressed."""

    class Refused(Message):
        """Something was pasted that no user name can be."""

        def __init__(self, why: str) -> None:
            super().__init__()
            self.why = why

    def __init__(self, names: Sequence[str]) -> None:
        """``names`` are those looked up so far, the newest last; it grows while this is used."""
        super().__init__("a user name, as it logs in")
        self._names = names
        self._place = len(names)

    def action_leave(self) -> None:
        self.post_message(self.Left())

    def action_recall(self, by: int) -> None:
        place = self._place + by
        if 0 <= place <= len(self._names):
            self._place = place
            self.value = self._names[place] if place < len(self._names) else ""
            self.cursor_position = len(self.value)

    def on_paste(self, event: Paste) -> None:
        """An Input would take the first line and drop the rest without a word."""
        event.prevent_default()
        event.stop()
        text = event.text.strip("\r\n")
        if not text:
            return
        try:
            doveadm.user_hash(text)
        except ValueError as error:
            self.post_message(self.Refused(f"not pasted: {clean(str(error))}"))
        else:
            self.replace(text, *self.selection)

    def looked_up(self) -> None:
        """The name was taken: the next arrow goes back from there."""
        self._place = len(self._names)
