"""The emergency stop in front of the screen, and the choice of what to give back after one.

Both lead to plans, which are agreed to by typing the name of the cluster, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from director_tui.operations.emergency import Choice, Now, RecoverRow, recover_rows
from director_tui.operations.emergency_ground import lowest
from director_tui.operations.stop_keeping import HERE
from director_tui.operations.words import listed
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.columns import Column
from director_tui.ui.emergency_text import script_text, stop_text
from director_tui.ui.format import ACCENT, ATTENTION, MUTED, NAME_WIDTH, PLAIN, STYLES, TAG_WIDTH, Piece, shortened
from director_tui.ui.grid import Grid
from director_tui.ui.lines import Sentences
from director_tui.ui.plan_dialog import PlanDialog
from director_tui.ui.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.operations.emergency import Stop
    from director_tui.operations.stop_keeping import Found
    from director_tui.ui.emergency_text import KeptAt
    from director_tui.ui.live import Present


NOTES_SHOWN: Final = 3
"""Files that are said not to be understood; a director may have dozens, and the table is what it is about."""


class StopDialog(PlanDialog):
    """The plan of a stop. ``script`` is what gives the counts back, for whoever wants to keep it by hand."""

    def __init__(self, *plan: Any, places: Sequence[KeptAt], script: bytes, **more: Any) -> None:
        super().__init__(*plan, **more)
        self._places, self._script_text = places, script
        self._script = Button("Show the recovery script", id="script", compact=True)

    def text(self, width: int) -> Content:
        return stop_text(self.plan, self._cluster.names, self._places, width)

    def more_buttons(self) -> Iterable[Button]:
        yield self._script

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button is self._script:
            event.stop()
            await self.app.push_screen(ScriptSheet(self._script_text))


class ScriptSheet(Sheet):
    """The script that gives the counts back, to read and to copy. Nothing is done from here."""

    WIDTH = 100

    def __init__(self, script: bytes) -> None:
        super().__init__()
        self._script = script
        self._copy = Button("Copy it", id="copy", compact=True)
        self._close = Button("Close", id="cancel", compact=True)

    def page(self) -> Iterable[Widget]:
        yield Static("The script that gives the vhost counts back", classes="title", markup=False)
        yield Static(script_text(self._script), markup=False)

    def foot(self) -> Iterable[Widget]:
        yield Static("To be kept where no disk takes it; sh runs it on any director.", classes="quiet", markup=False)
        yield Horizontal(self._close, self._copy, id="buttons")

    def on_mount(self) -> None:
        self.begin_at(self._close)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button is self._copy:
            self.app.copy_to_clipboard(self._script.decode("utf-8", "replace"))
            self.notify("copied the script", markup=False)
        else:
            self.close_with(None)


@dataclass(frozen=True, slots=True)
class TickedRow:
    """A line of the table of a recovery, and whether it is to be given back."""

    row: RecoverRow
    name: str
    ticked: bool

    @property
    def can_be_ticked(self) -> bool:
        return self.row.to is not None


_MEANINGS: Final = {
    Now.STOPPED: MUTED,
    Now.BACK: MUTED,
    Now.WAS_ZERO: MUTED,
    Now.SERVING: MUTED,
    Now.CHANGED: ATTENTION,
    Now.ADDED: ATTENTION,
    Now.REMOVED: ATTENTION,
}


def _number(vhosts: int | None) -> str:
    return str(vhosts) if vhosts is not None else "–"


def _what_then(one: TickedRow) -> Piece:
    if not one.ticked:
        return Piece("left alone", MUTED)
    return Piece(f"✓ → {one.row.to}", ACCENT)


COLUMNS: Final[tuple[Column[TickedRow], ...]] = (
    Column("ip", "backend", lambda one, width: [Piece(one.row.ip)], lambda one: len(one.row.ip), least=8),
    Column(
        "name",
        "name",
        lambda one, width: [Piece(shortened(one.name, width), MUTED)],
        lambda one: min(len(one.name), NAME_WIDTH),
        keep=1,
    ),
    Column(
        "tag",
        "tag",
        lambda one, width: [Piece(shortened(one.row.tag, width), MUTED)],
        lambda one: min(len(one.row.tag), TAG_WIDTH),
        keep=2,
    ),
    Column("saved", "saved", lambda one, width: [Piece(_number(one.row.saved), PLAIN)], 5, right=True),
    Column("now", "now", lambda one, width: [Piece(_number(one.row.now), PLAIN)], 4, right=True),
    Column("then", "then", lambda one, width: [_what_then(one)], 10),
    Column(
        "what",
        "",
        lambda one, width: [Piece(one.row.what.value, _MEANINGS[one.row.what])],
        lambda one: len(one.row.what.value),
        keep=3,
    ),
)


class RecoverForm(Sheet):
    """What to give back: saved against now, each line ticked or not. It changes nothing; ``go_on`` shows the plan in
    its place, or says why there is none.

    ``touched`` is what a person has ticked and unticked, by IP; it is kept there.
    """

    WIDTH = 100
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "tick", show=False, priority=True),
        Binding("enter", "plan", show=False),
    ]

    def __init__(
        self,
        cluster: ClusterConfig,
        present: Present,
        found: Found,
        stop: Stop | None,
        touched: dict[str, bool],
        go_on: Callable[[Sheet, Choice, Collection[str]], Awaitable[str]],
    ) -> None:
        super().__init__()
        self._cluster, self._present = cluster, present
        self._found, self._stop, self._touched = found, stop, touched
        self._go_on = go_on
        self._gone_on = False
        self._choice = Choice.SAVED if stop is not None else Choice.HUNDRED
        self._grid = Grid[TickedRow](COLUMNS, key=lambda one: one.row.ip)
        self._why = Sentences(id="status")
        self._saved = Button("Plan the saved counts", id="saved", compact=True)
        self._hundred = Button("Plan 100 everywhere", id="hundred", compact=True)
        self._cancel = Button("Cancel", id="cancel", compact=True)

    def page(self) -> Iterable[Widget]:
        yield Static("What to give back after the emergency stop", classes="title", markup=False)
        yield Static(Content("\n").join(_origin(self._found, self._stop)), markup=False)
        yield self._grid

    def foot(self) -> Iterable[Widget]:
        yield self._why
        hint = "↑ ↓ move, space ticks, Enter shows the plan; nothing is changed before it. Esc goes back."
        yield Static(f"{hint}\n", classes="quiet", markup=False)
        with Horizontal(id="buttons"):
            if self._stop is not None:
                yield self._saved
            yield self._hundred
            yield self._cancel

    def on_mount(self) -> None:
        self._draw()
        self.begin_at(self._grid)

    def show(self, present: Present) -> None:
        """Take in a reading; what a person has ticked stays ticked."""
        self._present = present
        if self.is_mounted:
            self._draw()

    def _draw(self) -> None:
        names = self._cluster.names
        self._grid.set_rows(TickedRow(row, clean(names.get(row.ip, "")), row.ip in self._ticked) for row in self._rows)
        self.fit()

    @property
    def _rows(self) -> tuple[RecoverRow, ...]:
        return recover_rows(lowest(self._present.reading), self._stop, self._choice)

    @property
    def _ticked(self) -> frozenset[str]:
        return frozenset(row.ip for row in self._rows if row.to is not None and self._touched.get(row.ip, row.ticked))

    def fit(self) -> None:
        """The table has a height of its own, and scrolls in it."""
        self._grid.styles.height = max(2, min(len(self._grid.rows) + 1, self.size.height - 12))
        super().fit()

    def action_tick(self) -> None:
        if (ip := self._grid.cursor_key) is None:
            return
        one = next((one for one in self._grid.rows if one.row.ip == ip), None)
        if one is None or not one.can_be_ticked:
            self._refuse(f"{ip} can't be given back: {one.row.what.value if one is not None else 'it is gone'}")
            return
        self._refuse("")
        self._touched[ip] = not one.ticked
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """On a button these keys press it."""
        return not (action in {"tick", "plan"} and isinstance(self.focused, Button))

    async def action_plan(self) -> None:
        await self._plan(self._choice)

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button is self._cancel:
            self.close_with(None)
        else:
            await self._plan(Choice.HUNDRED if event.button is self._hundred else Choice.SAVED)

    async def _plan(self, choice: Choice) -> None:
        if not self._gone_on:
            self._gone_on = True
            if why := await self._go_on(self, choice, self._ticked):
                self._gone_on = False
                self._refuse(why)

    def _refuse(self, why: str) -> None:
        self._why.show([Content.styled(clean(why), STYLES[ATTENTION])] if why else [])


def _origin(found: Found, stop: Stop | None) -> list[Content]:
    """Whose records these are, and where they were looked for in vain."""
    lines = []
    if stop is None:
        nothing = "No record of a stop that is not over is found, here or on any director that could be asked."
        lines.append(Content.styled(nothing, STYLES[ATTENTION]))
        lines.append(Content.styled("Those at 0 can be given 100 each, which is the manual's way.", STYLES[PLAIN]))
    else:
        record = stop.record
        lines.append(
            Content.assemble(
                *(("Stopped", STYLES[MUTED]), " ", (f"{record.time:%Y-%m-%d %H:%M:%S} UTC", STYLES[PLAIN]), " "),
                *(("by", STYLES[MUTED]), " ", (clean(record.who), STYLES[PLAIN]), " "),
                *(("at", STYLES[MUTED]), " ", (clean(record.host), STYLES[PLAIN])),
                *((": ", (clean(record.reason), STYLES[PLAIN])) if record.reason else ()),
            )
        )
        where = listed(place if place == HERE else f"on {clean(place)}" for place in found.where[record.stamp])
        lines.append(Content.assemble(("its record lies", STYLES[MUTED]), " ", (where, STYLES[PLAIN])))
        if len(stop.records) > 1:
            began = f"{stop.began.time:%Y-%m-%d %H:%M} UTC by {clean(stop.began.who)}"
            earlier = format.plural(len(stop.records) - 1, "earlier stop")
            on_top = f"on top of {earlier}, since {began}; the oldest counts win"
            lines.append(Content.styled(on_top, STYLES[MUTED]))
    said = [f"{clean(place)} could not be searched: {clean(why)}" for place, why in found.failures.items()]
    said += map(clean, found.notes[:NOTES_SHOWN])
    if (more := len(found.notes) - NOTES_SHOWN) > 0:
        said.append(f"and {more:,} more like that")
    return [*lines, *(Content.styled(text, STYLES[ATTENTION]) for text in said)]
