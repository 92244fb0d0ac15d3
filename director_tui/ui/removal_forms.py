"""What a clean removal asks of a person: its choices at the beginning, which one to go on with, and a risk to accept.

None of it changes anything on the ring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Static

from director_tui.director import doveadm
from director_tui.text import clean
from director_tui.ui.format import ATTENTION, STYLES
from director_tui.ui.forms import NotThat
from director_tui.ui.key_bar import TypedLine
from director_tui.ui.lines import Sentences
from director_tui.ui.options import Options
from director_tui.ui.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from textual.app import ComposeResult
    from textual.events import Resize
    from textual.widget import Widget

    from director_tui.operations.removal import Removal

LABEL: Final = 12
NARROW_CELLS: Final = 40
"""Cells below which the words of a choice stand below its label."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen at the first step."""

    permanent: bool
    max_parallel: int | None
    metacache: bool
    reason: str


class PaceLine(TypedLine):
    """The pace of the flush; where it is empty the directors' own setting holds."""

    KEYS = (("enter", "next line"), ("tab", "next line"))


class Choices(Vertical):
    """For how long, at which pace, and whether the backend has a metacache."""

    class Changed(Message):
        """It is another procedure than before."""

    def __init__(self, *, metacache: bool) -> None:
        super().__init__(id="choices")
        self._kind = Options(("maintenance", "permanent"), id="kind")
        self._metacache = Options(("upload it", "there is none"), 0 if metacache else 1, id="metacache")
        self._pace = PaceLine("empty: the directors' own pace")
        self._reason = PaceLine("optional; it goes into the journal")
        self._fields: Sequence[Widget] = (self._kind, self._metacache, self._pace, self._reason)

    def compose(self) -> ComposeResult:
        labels = ("kind", "metacache", "max-parallel", "reason")
        for label, field in zip(labels, self._fields, strict=True):
            yield Horizontal(Static(f"{label:<{LABEL}}", classes="label", markup=False), field, classes="field")

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < NARROW_CELLS, "-narrow")

    @property
    def permanent(self) -> bool:
        return self._kind.chosen == 1

    @property
    def first(self) -> Widget:
        return self._kind

    def chosen(self) -> Chosen:
        """Raises NotThat for a pace that can't be."""
        pace = self._pace.value.strip()
        number: int | None = None
        if pace:
            number = int(pace) if pace.isascii() and pace.isdigit() and len(pace) <= 10 else 0
            try:
                doveadm.flush(None, number)
            except ValueError as error:
                self.screen.set_focus(self._pace)
                raise NotThat(f"“{pace}”: {error}") from None
        return Chosen(self.permanent, number, self._metacache.chosen == 0, clean(self._reason.value.strip()))

    def on_options_changed(self, event: Options.Changed) -> None:
        event.stop()
        self.post_message(self.Changed())

    def on_input_submitted(self) -> None:
        self.screen.focus_next()


class AcceptRisk(Sheet):
    """Something is left out that may cost mail: said, and agreed to by typing the name of the cluster."""

    def __init__(self, title: str, risk: str, cluster: str, accept: Callable[[], None]) -> None:
        super().__init__()
        self._heading, self._risk, self._cluster = title, risk, cluster
        self._accept = accept
        self._line = TypedLine("the name of the cluster")
        self._why = Sentences(id="status")
        self._cancel = Button("Cancel", id="cancel", compact=True)
        self._accepted = False

    def page(self) -> Iterable[Widget]:
        yield Static(Content(clean(self._heading)), classes="title", markup=False)
        yield Static(clean(f"{self._risk[:1].upper()}{self._risk[1:]}."), classes="danger", markup=False)
        yield Static("What you accept here goes into the journal.", classes="quiet", markup=False)

    def foot(self) -> Iterable[Widget]:
        yield self._why
        label = f"To skip it, type {clean(self._cluster)} and press Enter"
        yield Horizontal(Static(label, classes="label", markup=False), self._line, classes="field")
        yield Horizontal(self._cancel, id="buttons")

    def on_mount(self) -> None:
        self.begin_at(self._line)

    async def on_input_submitted(self) -> None:
        typed = self._line.value.strip()
        if typed == self._cluster and not self._accepted:
            self._accepted = True
            self._accept()
            self.close_with(None)
        elif typed:
            self._why.show([Content.styled(clean(f"the cluster is called {self._cluster}"), STYLES[ATTENTION])])

    def on_button_pressed(self) -> None:
        self.close_with(None)


class WhichRemoval(Sheet):
    """The clean removals that are not over, to go on with one, or to begin another."""

    def __init__(self, unfinished: Sequence[Removal], fresh: str, go_on: Callable[[str], Awaitable[None]]) -> None:
        """``fresh`` is the backend of which one can be begun, if there is one; ``go_on`` takes the backend chosen."""
        super().__init__()
        self._unfinished, self._go_on = unfinished, go_on
        self._ips = [one.ip for one in unfinished] + ([fresh] if fresh else [])
        self._buttons = [Button(f"Resume {one.ip}", compact=True) for one in unfinished]
        if fresh:
            self._buttons.append(Button(f"Begin that of {fresh}", compact=True))
        self._cancel = Button("Cancel", id="cancel", compact=True)

    def page(self) -> Iterable[Widget]:
        yield Static("Clean removals that are not over", classes="title", markup=False)
        width = max(len(one.ip) for one in self._unfinished)
        lines = [
            f"{one.ip:<{width}}   {'permanent' if one.permanent else 'maintenance'}   "
            f"begun {one.began:%Y-%m-%d %H:%M} UTC by {clean(one.who)}"
            for one in self._unfinished
        ]
        yield Static("\n".join(lines), markup=False)

    def foot(self) -> Iterable[Widget]:
        yield Horizontal(*self._buttons, self._cancel, id="buttons", classes="-stacked")

    def on_mount(self) -> None:
        self.begin_at(self._buttons[0])

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.close_with(None)
        if event.button in self._buttons:
            await self._go_on(self._ips[self._buttons.index(event.button)])
