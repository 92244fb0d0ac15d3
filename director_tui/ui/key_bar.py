"""The footer: the commands of a screen that there is room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.highlighter import Highlighter
from textual.content import Content
from textual.widgets import Input, Static

from director_tui.text import clean
from director_tui.ui.commands import commands_of

if TYPE_CHECKING:
    from rich.text import Text
    from textual.events import Key
    from textual.widget import Widget

GAP: Final = 3
NARROW: Final = 100
"""Cells of a footer below which commands have their short labels."""


class _Cleaned(Highlighter):
    """Shows what may be part of a text and yet must not reach a terminal as it is."""

    def highlight(self, text: Text) -> None:
        text.plain = clean(text.plain)


class TypedLine(Input):
    """A line of text that is typed on a screen: while it has the focus, letters are no commands.

    ``KEYS`` are its own keys and what they do, which the footer shows meanwhile. Keys take effect in the order in which
    they are pressed, however fast they come.
    """

    KEYS: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, placeholder: str) -> None:
        super().__init__(placeholder=placeholder, compact=True, highlighter=_Cleaned())

    async def _on_key(self, event: Key) -> None:
        # Textual looks for bindings when a key has gone up to the app and back; letters behind it overtake it there.
        own = self._bindings.key_to_bindings.get(event.key, ())
        if not own or event.is_printable:
            await super()._on_key(event)
        elif await self.app.run_action(own[0].action, self):  # a line has nothing to scroll, and leaves that to others
            event.stop()
            event.prevent_default()


class KeyBar(Static):
    """Keys and what they do, the most wanted where it is narrow; clicking one does it."""

    def __init__(self, *groups: str, read_only: bool = False) -> None:
        """``groups`` are those of the screen that it stands on, in the order in which they are shown."""
        super().__init__()
        self._commands = commands_of(*groups, read_only=read_only)
        self._typed: tuple[tuple[str, str], ...] = ()
        self._withheld: tuple[str, ...] = ()

    def show_for(self, focused: Widget | None) -> None:
        """Show the keys that work now, when this has the focus."""
        typed = focused.KEYS if isinstance(focused, TypedLine) else ()
        if typed != self._typed:
            self._typed = typed
            self.refresh()

    def withhold(self, *actions: str) -> None:
        """Leave out what would do nothing now."""
        if actions != self._withheld:
            self._withheld = actions
            self.refresh()

    def render(self) -> Content:
        if self._typed:
            return Content(" " * GAP).join(
                Content.assemble((key, "$dt-accent"), " ", (label, "$dt-muted")) for key, label in self._typed
            )
        ranked = sorted(
            (one for one in self._commands if one.rank and one.action not in self._withheld), key=lambda one: -one.rank
        )
        room = max(0, self.size.width)
        labels = {one: one.short if one.short and room < NARROW else one.label for one in ranked}
        chosen = []
        for command in ranked:
            width = len(command.first_key) + 1 + len(labels[command])
            if width > room:
                break
            chosen.append(command)
            room -= width + GAP
        parts: list[Content] = []
        for command in sorted(chosen, key=self._commands.index):
            key = Content.styled(command.first_key, f"$dt-accent @click={_qualified(command.action)}")
            parts.append(Content.assemble(key, " ", (labels[command], "$dt-muted")))
        return Content(" " * GAP).join(parts)


def _qualified(action: str) -> str:
    called = action if action.endswith(")") else f"{action}()"
    return called if "." in action else f"screen.{called}"
