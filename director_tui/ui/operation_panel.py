"""The operation that runs, or the last one: how far it is, a line for each command, and what it asks."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button

from director_tui.director.doveadm import ENVIRONMENT
from director_tui.operations.progress import LineStatus, Phase
from director_tui.text import clean, clean_lines
from director_tui.ui import format
from director_tui.ui.backends_table import BackendRow
from director_tui.ui.columns import Column
from director_tui.ui.dialogs import QUIET_S
from director_tui.ui.format import ATTENTION, DANGER, DOT, MUTED, NAME_WIDTH, PLAIN, STYLES, Piece, shortened
from director_tui.ui.grid import Grid
from director_tui.ui.lines import Lines, Sentences
from director_tui.ui.operation_words import FLUSHES, NOT_CANCELLABLE, flush_words, standing
from director_tui.ui.spread_table import SPREAD_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from textual.app import ComposeResult
    from textual.timer import Timer

    from director_tui.operations.progress import Line, Progress
    from director_tui.ui.follow import Follow
    from director_tui.ui.format import Part

OUTPUT_SHOWN: Final = 3
"""Lines of what a command said that stand below it; all of them are in its journal entry."""
NOTES_SHOWN: Final = 4
CRAMPED_LINES: Final = 7
"""With fewer there is no room for notes, and only for a question or what it is about."""

NO_STATUS: Final = Piece("")
SPOKEN: Final = frozenset({LineStatus.FAILED, LineStatus.NOT_APPLIED, LineStatus.UNKNOWN})
"""Below commands that stand like this is what they said."""


SAME_EVERYWHERE: Final = f"{shlex.join(ENVIRONMENT)} "
"""Stands in front of every command, and would only push apart what differs; journal entries have it."""


@dataclass(frozen=True, slots=True)
class CommandRow:
    """One command, or in its ``said`` one line of what it put out."""

    key: str
    target: str = ""
    name: str = ""
    status: Piece = NO_STATUS
    took: str = ""
    note: str = ""
    command: str = ""
    said: str = ""


def command_rows(progress: Progress, names: Mapping[str, str], now_s: float) -> Iterator[CommandRow]:
    """The commands in their order, each with what it said if it failed."""
    for number, line in enumerate(progress.lines):
        yield CommandRow(
            str(number),
            line.target,
            names.get(line.target, ""),
            format.line_status(line.status),
            took(line, now_s),
            clean(line.note),
            clean(line.text.removeprefix(SAME_EVERYWHERE)),
        )
        if line.status in SPOKEN:
            said = [one for one in clean_lines(line.output).splitlines() if one.strip()]
            for place, text in enumerate(said[:OUTPUT_SHOWN]):
                yield CommandRow(f"{number}.{place}", said=text)
            if len(said) > OUTPUT_SHOWN:
                more = f"… {format.plural(len(said) - OUTPUT_SHOWN, 'more line')}"
                yield CommandRow(f"{number}.more", said=more)


def took(line: Line, now_s: float) -> str:
    """How long the command took, or has been under way."""
    if line.elapsed_s is not None:
        return format.short_span(line.elapsed_s)
    if line.status is LineStatus.SENT and line.sent_mono_s is not None:
        return format.span(now_s - line.sent_mono_s)
    return ""


def _command(row: CommandRow, width: int) -> Sequence[Piece]:
    meaning = row.status.meaning if row.status.meaning in {ATTENTION, DANGER} else PLAIN
    note = [Piece(f"{row.note}   ", meaning)] if row.note else []
    return [*note, Piece(row.command, MUTED)]


COLUMNS: Final[tuple[Column[CommandRow], ...]] = (
    Column("target", "target", lambda row, width: [Piece(row.target)], lambda row: len(row.target), least=8),
    Column(
        "name",
        "",
        lambda row, width: [Piece(shortened(row.name, width), MUTED)],
        lambda row: min(len(row.name), NAME_WIDTH),
        keep=1,
    ),
    Column(
        "status",
        "result",
        lambda row, width: [Piece(row.said, ATTENTION)] if row.said else [row.status],
        lambda row: len(row.status.text),
        least=13,
    ),
    Column("took", "took", lambda row, width: [Piece(row.took, MUTED)], lambda row: len(row.took), keep=3, right=True),
    Column("command", "command", _command, lambda row: min(len(row.command), 24), keep=2, max_width=1000),
)


class Question(Vertical):
    """What a failure means for the rest. The answer that changes nothing more has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    class Decided(Message):
        """Somebody wants to go on with the rest, or to stop here."""

        def __init__(self, *, go_on: bool) -> None:
            super().__init__()
            self.go_on = go_on

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._asked = ""
        self._words = Sentences()
        self._stop = Button("Stop here", id="stop", compact=True)
        self._go_on = Button("Go on with the rest", id="go-on", compact=True)
        self._trying: Timer | None = None

    def compose(self) -> ComposeResult:
        yield self._words
        with Horizontal():
            yield self._stop
            yield self._go_on

    def ask(self, question: str, lines: int) -> None:
        """Show the question in at most so many lines above the buttons; none hides it."""
        self._words.styles.max_height = lines
        if question == self._asked:
            return
        self._asked = question
        self.display = bool(question)
        self._words.show([Content.styled(clean_lines(question), f"{STYLES[ATTENTION]} bold")] if question else [])
        self._stop.disabled = self._go_on.disabled = True
        if self._trying is not None:
            self._trying.stop()
        if question:
            # It opens under fingers that may be pressing something else.
            self._trying = self.set_timer(QUIET_S, self._open_up)

    def _open_up(self) -> None:
        self._stop.disabled = self._go_on.disabled = False
        self.screen.set_focus(self._stop)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self._stop.disabled = self._go_on.disabled = True
        self.post_message(self.Decided(go_on=event.button is self._go_on))


class OperationPanel(Vertical):
    """One operation, live. It takes as many lines as it needs, up to a part of the screen."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self.display = False
        self._names = names
        self._shown = ""
        self._head = Lines(id="operation-head")
        self._question = Question()
        self.grid: Final = Grid[CommandRow](
            COLUMNS,
            key=lambda row: row.key,
            matches=lambda row, text: True,
            wide=lambda row: "status" if row.said else "",
            id="commands",
        )
        self._spread = Grid[BackendRow](SPREAD_COLUMNS, key=lambda row: row.backend.ip, id="spread")
        self._notes = Sentences(id="operation-notes")

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._question
        yield self.grid
        yield self._spread
        yield self._notes

    def on_grid_notice(self, event: Grid.Notice) -> None:
        """What a command said may take the lines below it; nobody need be told."""
        event.stop()

    def show(
        self,
        progress: Progress,
        follow: Follow | None,
        now_s: float,
        room: int,
        more: str = "",
        spread: Sequence[BackendRow] = (),
    ) -> None:
        """Draw it in at most ``room`` lines. ``follow`` is the next step that is offered, ``more`` one more note. Where
        all is well, ``spread`` takes the place of the commands, which the journal has."""
        self.display = True
        question = progress.question if progress.phase is Phase.ASKING else ""
        self._question.ask(question, max(1, room - 1))
        head, notes = list(_head(progress, now_s)), list(_notes(progress, follow, more))
        if room < CRAMPED_LINES:
            head, notes = [] if question else head[1:2], []
        self._head.show(head)
        self._notes.show(notes)
        rows = list(command_rows(progress, self._names, now_s))
        self.grid.set_rows(rows)
        if not self.grid.has_focus and (at := _at(progress)) is not None:
            self.grid.move_cursor(str(at))
        taken = len(head) + len(notes) + (3 if question else 0)
        self._spread.set_rows(spread)
        lines = min(len(spread or rows) + 1, room - taken)
        shown, other = (self._spread, self.grid) if spread else (self.grid, self._spread)
        # Its header alone would say nothing.
        shown.display, other.display = lines > 1, False
        shown.styles.height = max(2, lines)


def _head(progress: Progress, now_s: float) -> Iterator[Content]:
    title: list[Part] = [(clean(progress.plan.title), f"{STYLES[PLAIN]} bold")]
    if progress.reason:
        title += [("   ", ""), (clean(progress.reason), STYLES[MUTED])]
    yield Content.assemble(" ", *title)
    yield _content(standing(progress, now_s))
    if progress.flush is not None and progress.running:
        yield _content(flush_words(progress.flush))
    if progress.running and progress.plan.request.verb in FLUSHES:
        yield Content.assemble(" ", (NOT_CANCELLABLE, STYLES[MUTED]))


def _notes(progress: Progress, follow: Follow | None, more: str) -> Iterator[Content]:
    fine = progress.running or progress.outcome is not None
    for note in progress.notes[-NOTES_SHOWN:]:
        yield Content.styled(clean(note), STYLES[MUTED if fine else ATTENTION])
    if more:
        yield Content.styled(clean(more), STYLES[PLAIN])
    if follow is not None:
        yield Content.assemble(
            *(("Next:", STYLES[MUTED]), " ", (clean(follow.what), STYLES[PLAIN]), " "),
            *((clean(follow.why), STYLES[MUTED]), *DOT),
            *(("n", "$dt-accent"), " ", ("plans it", STYLES[MUTED])),
        )


def _content(pieces: Iterable[Piece]) -> Content:
    return Content.assemble(" ", *((clean(piece.text), STYLES[piece.meaning]) for piece in pieces))


def _at(progress: Progress) -> int | None:
    """The command that is looked at: the one that runs; at the end the first that needs attention."""
    wanted = {LineStatus.SENT} if progress.running else SPOKEN
    return next((number for number, line in enumerate(progress.lines) if line.status in wanted), None)
