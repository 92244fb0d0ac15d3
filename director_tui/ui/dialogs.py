"""Dialogs of the link: a question that sshd or a key asks, and a host key that nobody vouches for yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from director_tui.errors import HostKeyUnknown
    from director_tui.link.questions import Question

ResultT = TypeVar("ResultT")


class Dialog(ModalScreen[ResultT]):
    """A question in front of the screen. Esc declines; what declining means is each dialog's own."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "decline", "cancel"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def action_decline(self) -> None:
        self.dismiss(None)


class QuestionDialog(Dialog[str]):
    """A passphrase, a password, or whatever else the server wants to know. The answer is kept nowhere."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(self._question.title, classes="title", markup=False)
            yield Static(self._question.prompt, markup=False)
            yield Input(password=self._question.secret)
            yield Static("Enter sends it, Esc declines. It is kept nowhere.", classes="quiet", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class HostKeyDialog(Dialog[bool]):
    """A host that no known_hosts file knows: its fingerprint, and the choice to add it. Cancel has the focus."""

    def __init__(self, error: HostKeyUnknown) -> None:
        super().__init__()
        self._error = error

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
                yield Button("Cancel", id="cancel", compact=True)
                yield Button("Add this host key", id="add", compact=True)

    def on_mount(self) -> None:
        self.query_one("#cancel", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "add")
