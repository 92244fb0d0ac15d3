"""Whether to quit although an operation runs, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, Static

from director_tui.text import clean
from director_tui.ui.dialogs import Dialog
from director_tui.ui.operation_words import doing, ending, stays_behind

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from director_tui.operations.progress import Progress


class QuitDialog(Dialog[bool]):
    """A question that q opens while something runs. Cancel has the focus."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress
        self._title = Static(classes="title", markup=False)
        self._text = Static(markup=False)
        self._cancel = Button("Cancel", id="cancel", compact=True)
        self._quit = Button("Quit", id="quit", compact=True)

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield self._title
            yield self._text
            with Horizontal():
                yield self._cancel
                yield self._quit
            keys = "Enter presses, Tab or → goes to the other button, Esc cancels."
            yield Static(keys, classes="quiet", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self._cancel)
        self._draw()

    def show_operation(self, progress: Progress | None) -> None:
        if progress is not None:
            self._progress = progress
            self._draw()

    def _draw(self) -> None:
        """What is true now: it goes on behind the question, and may end."""
        if self._progress.running:
            self._title.update("An operation is running")
            said = [f"This program is {doing(self._progress.plan.request)}.", *stays_behind(self._progress)]
        else:
            self._title.update("The operation has ended meanwhile")
            said = [ending(self._progress)]
        self._text.update("\n\n".join(map(clean, said)))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.close_with(event.button is self._quit)
