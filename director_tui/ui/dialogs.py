"""Dialogs of the link: a question that sshd or a key asks, and a host key that nobody vouches for yet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from textual.actions import SkipAction
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

if TYPE_CHECKING:
    from textual.app import ComposeResult
    from textual.events import Key
    from textual.timer import Timer

    from director_tui.errors import HostKeyUnknown
    from director_tui.link.questions import Question
    from director_tui.operations.progress import Progress
    from director_tui.ui.live import Present

ResultT = TypeVar("ResultT")


QUIET_S: Final = 0.5
"""A dialog that opens unasked takes no key before so long no key was pressed: what was being typed was not for it."""

NOT_READY: Final = "One moment: what is typed now is dropped."


class Dialog(ModalScreen[ResultT]):
    """A question in front of the screen. Esc declines; what declining means is each dialog's own."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "decline", "cancel"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def show(self, present: Present) -> None:
        """Take in a reading. Most dialogs don't depend on any."""

    def close_with(self, result: ResultT | None) -> None:
        """Close it, once. Textual takes the screen away that is in front, whichever is told to go."""
        if self.is_active:
            self.dismiss(result)

    def show_operation(self, progress: Progress | None) -> None:
        """The operation that runs behind it has gone on, or ended."""

    def action_decline(self) -> None:
        self.close_with(None)


class UnaskedDialog(Dialog[ResultT]):
    """A dialog that opens by itself, perhaps under fingers that are typing or about to press Enter.

    So it drops every key until none has been pressed for :data:`QUIET_S`; a password is taken whole or not at all.
    Until then whatever takes keys in it is disabled, and its last line says so; a subclass says in ``READY`` what that
    line tells afterwards, and in :meth:`open_up` what is enabled.

    ``answer`` is None when the person declined, also when the screen was taken away in another way.
    """

    READY: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.answer: asyncio.Future[ResultT | None] = asyncio.get_running_loop().create_future()
        self._ready = False
        self._withdrawn = False
        self._quiet: Timer | None = None
        self._last_line = Static(NOT_READY, classes="quiet", markup=False)

    def open_up(self) -> None:
        """Enable what takes keys, and give one of it the focus."""
        raise NotImplementedError

    def close_with(self, result: ResultT | None) -> None:
        self._answer_with(result)
        super().close_with(result)

    def withdraw(self) -> None:
        """Nobody waits for an answer any more: close it, now or when it is in front again."""
        self._withdrawn = True
        self.close_with(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A key may have been pressed on the screen before, and arrive as a command of this one."""
        return self._ready

    def on_mount(self) -> None:
        self._wait_for_quiet()

    def on_key(self, event: Key) -> None:
        if not self._ready:
            event.stop()
            self._wait_for_quiet()

    def on_screen_resume(self) -> None:
        if self._withdrawn:
            self.close_with(None)

    def on_unmount(self) -> None:
        self._answer_with(None)

    def _answer_with(self, result: ResultT | None) -> None:
        if not self.answer.done():
            self.answer.set_result(result)

    def _wait_for_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.stop()
        self._quiet = self.set_timer(QUIET_S, self._become_ready)

    def _become_ready(self) -> None:
        self._ready = True
        self._last_line.update(self.READY)
        self.open_up()


class _Secret(Input):
    """What is typed here leaves it by Enter alone: a clipboard is the terminal's, and whoever else's."""

    def __init__(self) -> None:
        super().__init__(password=True, disabled=True)

    def action_copy(self) -> None:
        raise SkipAction

    def action_cut(self) -> None:
        self.delete_selection()


class QuestionDialog(UnaskedDialog[str]):
    """A passphrase, a password, or whatever else the server wants to know. The answer is kept nowhere."""

    READY = "Enter sends it, Esc declines. It is kept nowhere."

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question
        self._field = _Secret() if question.secret else Input(disabled=True)

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(self._question.title, classes="title", markup=False)
            yield Static(self._question.prompt, markup=False)
            yield self._field
            yield self._last_line

    def open_up(self) -> None:
        self._field.disabled = False
        self.set_focus(self._field)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.close_with(event.value)


class HostKeyDialog(UnaskedDialog[bool]):
    """A host that no known_hosts file knows: its fingerprint, and the choice to add it. Cancel has the focus."""

    READY = "Enter presses, Tab or → goes to the other button, Esc cancels."

    def __init__(self, error: HostKeyUnknown) -> None:
        super().__init__()
        self._error = error
        self._cancel = Button("Cancel", id="cancel", compact=True, disabled=True)
        self._add = Button("Add this host key", id="add", compact=True, disabled=True)

    def compose(self) -> ComposeResult:
        error = self._error
        with VerticalScroll(can_focus=False):
            yield Static(f"{error.host} port {error.port} is not known yet", classes="title", markup=False)
            yield Static(
                "No known_hosts file has a key of this host. Compare the fingerprint with the one that its "
                "administrator gives you, by another way than this network.",
                markup=False,
            )
            yield Static(f"{error.algorithm}\n{error.fingerprint}", markup=False)
            yield Static(f"It would be added to {error.known_hosts}.", classes="quiet", markup=False)
            with Horizontal():
                yield self._cancel
                yield self._add
            yield self._last_line

    def open_up(self) -> None:
        self._cancel.disabled = self._add.disabled = False
        self.set_focus(self._cancel)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.close_with(event.button is self._add)
