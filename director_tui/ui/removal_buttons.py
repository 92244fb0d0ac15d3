"""The buttons of a clean removal: which there are, what stands on them, and which of them gets the keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button

from director_tui.operations.removal import UPLOADS, Course, Step
from director_tui.operations.removal_steps import Act

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from textual.app import ComposeResult
    from textual.binding import BindingType

    from director_tui.operations.removal import Position, Removal

FOCUS_ORDER: Final = ("begin", "run", "bring-back", "check", "export", "leave")
"""What gets the keyboard when what had it is gone: never what decides something without being asked again."""

LABELS: Final[Mapping[str, str]] = {
    "begin": "Begin",
    "run": "Plan it",
    "check": "Check again",
    "copy": "Copy new value",
    "on": "Go on removing",
    "skip": "Go on without",
    "skip-typed": "Skip it…",
    "bring-back": "Bring it back",
    "export": "Export the summary",
    "end": "Finish",
    "back-out": "Back out",
    "leave": "Leave",
}
"""All there are, in their order."""

_IDS: Final[Mapping[Act, str]] = {
    Act.RUN: "run",
    Act.CHECK_AGAIN: "check",
    Act.SKIP: "skip",
    Act.SKIP_TYPED: "skip-typed",
    Act.BRING_BACK: "bring-back",
    Act.END: "end",
    Act.BACK_OUT: "back-out",
    Act.LEAVE: "leave",
}
_RUNS: Final[Mapping[Step, str]] = {
    Step.NO_NEW_USERS: "Plan: no new users",
    Step.UPLOAD: "Plan the upload",
    Step.MOVE: "Plan the flush",
    Step.FINAL_UPLOAD: "Plan the upload",
    Step.REMOVE: "Plan the removal",
}
_CHANGE_NOTHING: Final = frozenset({"check", "copy", "export", "leave"})


def offered_before(*, may_begin: bool) -> dict[str, str]:
    """The buttons of the first step, with what stands on them."""
    return {key: LABELS[key] for key in ("begin", "check", "leave") if may_begin or key != "begin"}


def offered_meanwhile(*, gives_way: bool, read_only: bool) -> dict[str, str]:
    """While something of it runs; ``gives_way`` is whether the backend may get back beside it what it had."""
    back = {"back-out": LABELS["back-out"]} if gives_way and not read_only else {}
    return {**back, "leave": "Leave; it goes on"}


def offered(
    removal: Removal, position: Position, acts: Iterable[Act], *, tried: bool, copies: bool, read_only: bool
) -> dict[str, str]:
    """For what may be done where it stands. ``tried`` is whether the step was carried out before and is not done by
    that, ``copies`` whether there is a new value for the configuration."""
    may = {_IDS[act]: LABELS[_IDS[act]] for act in acts}
    step = position.step
    if step is Step.LET_LEAVE and "skip" in may:
        may["skip"] = "Don't wait"
    if "run" in may and step is not None and step in _RUNS:
        may["run"] = _RUNS[step]
        if tried and step is Step.MOVE:
            may["run"] = "Flush again"
        elif tried and step in UPLOADS:
            may["run"] = "Try again"
    if removal.ended is None and removal.course is not Course.REMOVING:
        may["on"] = LABELS["on"]
        if "run" in may:
            may["run"] = f"Plan: {removal.course.value}"
    if step is Step.CONFIGURATION and copies:
        may["copy"] = LABELS["copy"]
    if removal.ended is not None or position.done:
        may["export"] = LABELS["export"]
    return {key: may[key] for key in LABELS if key in may and (key in _CHANGE_NOTHING or not read_only)}


class ButtonRow(Horizontal):
    """Buttons side by side; below each other where that is too wide."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__(id="buttons")
        self.buttons: Final = {key: Button(label, id=key, compact=True) for key, label in labels.items()}

    def compose(self) -> ComposeResult:
        for button in self.buttons.values():
            button.display = False
            yield button

    def offer(self, labels: Mapping[str, str], room: int) -> None:
        """Show just these, in this order of the row, with these labels."""
        for key, button in self.buttons.items():
            button.display = key in labels
            if key in labels and str(button.label) != labels[key]:
                button.label = Content(labels[key])
                button.refresh(layout=True)  # it is laid out by its old label else, and cuts the new one
        wide = sum(max(12, cell_len(label) + 4) + 2 for label in labels.values()) - 2
        self.set_class(wide > room, "-stacked")
