"""What a changing key asks before there can be a plan: a count, an address, a pace, the backend to move to.

Enter shows the plan, Esc leaves everything as it is. What can't be is said below the fields, which keep what was typed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static

from director_tui.director import doveadm
from director_tui.director.model import MAX_VHOSTS
from director_tui.errors import DirectorTuiError
from director_tui.operations.plan import Target, Verb
from director_tui.text import canonical_ip, clean
from director_tui.ui import format
from director_tui.ui.backends_table import COLUMNS, BackendRow, backend_rows, matches
from director_tui.ui.format import ATTENTION, MUTED, PLAIN, STYLES
from director_tui.ui.grid import Grid
from director_tui.ui.key_bar import TypedLine
from director_tui.ui.lines import Sentences
from director_tui.ui.live import failure_lines
from director_tui.ui.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.director.model import Backend
    from director_tui.operations.plan import Request
    from director_tui.times import Times
    from director_tui.ui.format import Part
    from director_tui.ui.live import Present

NAMED: Final = 6
"""Backends that a form names with what they have now; the plan names every one."""
USUAL_VHOSTS: Final = 100
"""The vhost count of a backend that is added without one."""


class ReadingFirst(Sheet):
    """What is known is too old, or not enough, to ask anything about it: read, then go on. Esc leaves it.

    ``read`` raises DirectorTuiError when it can't; nothing goes on then. ``go_on`` shows what comes in its place, or
    says why nothing does.
    """

    def __init__(
        self, what: str, read: Callable[[], Awaitable[None]], go_on: Callable[[Sheet], Awaitable[str]]
    ) -> None:
        super().__init__()
        self._read, self._go_on = read, go_on
        self._what = Static(f"Reading first… {what}", markup=False)
        self._why = Sentences()
        self._close = Button("Close", id="cancel", compact=True)
        self._in_front = asyncio.Event()

    def page(self) -> Iterable[Widget]:
        yield self._what
        yield self._why

    def foot(self) -> Iterable[Widget]:
        yield Horizontal(self._close, id="buttons")

    def on_mount(self) -> None:
        self._close.display = False
        self.run_worker(self._read_and_go_on(), name="reading first", exit_on_error=False)

    def on_screen_resume(self) -> None:
        self._in_front.set()

    def on_screen_suspend(self) -> None:
        self._in_front.clear()

    async def _read_and_go_on(self) -> None:
        try:
            await self._read()
        except DirectorTuiError as error:
            self._refuse(*failure_lines(error))
            return
        # A question of the link may stand in front; taking that away would be an answer.
        await self._in_front.wait()
        if why := await self._go_on(self):
            self._refuse((why, STYLES[ATTENTION]))

    def _refuse(self, *why: Part) -> None:
        self._what.update(Content.styled("Nothing was done: there is no plan to show.", "$dt-accent bold"))
        self._why.show([Content.styled(clean(text), style) for text, style in why])
        self._close.display = True
        self.set_focus(self._close)

    def on_button_pressed(self) -> None:
        self.close_with(None)


@dataclass(frozen=True, slots=True)
class Field:
    """A line to fill in. ``hint`` says what can stand there."""

    label: str
    hint: str
    value: str = ""


class NotThat(ValueError):
    """What was typed can't be; ``place`` is the field where, from 0 on."""

    def __init__(self, why: str, place: int = 0) -> None:
        super().__init__(why)
        self.place = place


class Form(Sheet):
    """A few lines to fill in. ``go_on`` shows the plan in the place of the form, or says why there is none."""

    FIELDS: ClassVar[tuple[Field, ...]]

    def __init__(
        self, title: str, request: Request, now: Sequence[Content], go_on: Callable[[Sheet, Request], Awaitable[str]]
    ) -> None:
        """``now`` says what the targets have, for which ``title`` stands."""
        super().__init__()
        self._heading, self._now = title, now
        self._request = request
        self._go_on = go_on
        self._lines = [TypedLine(field.hint) for field in self.FIELDS]
        self._why = Sentences(id="status")
        self._gone_on = False

    def completed(self, request: Request, texts: Sequence[str]) -> Request:
        """The request with what stands in the fields. Raises NotThat."""
        raise NotImplementedError

    def page(self) -> Iterable[Widget]:
        yield Static(Content(clean(self._heading)), classes="title", markup=False)
        if self._now:
            yield Static(Content("\n").join(self._now), markup=False)
        width = max(cell_len(field.label) for field in self.FIELDS)
        for field, line in zip(self.FIELDS, self._lines, strict=True):
            line.value = field.value
            label = Static(f"{field.label:<{width}}", classes="label", markup=False)
            yield Horizontal(label, line, classes="field")

    def foot(self) -> Iterable[Widget]:
        yield self._why
        yield Static("Enter shows the plan, nothing is changed before it. Esc goes back.", classes="quiet")

    def on_mount(self) -> None:
        self.begin_at(self._lines[0])

    async def on_input_submitted(self) -> None:
        await self.submit(self._request)

    async def submit(self, request: Request) -> None:
        """Go on with what stands in the fields."""
        if self._gone_on:
            return
        try:
            complete = self.completed(request, [line.value.strip() for line in self._lines])
        except NotThat as error:
            self._refuse(str(error))
            self.set_focus(self._lines[error.place])
            return
        self._gone_on = True
        if why := await self._go_on(self, complete):
            self._gone_on = False
            self._refuse(why)

    def _refuse(self, why: str) -> None:
        self._why.show([Content.styled(clean(why), STYLES[ATTENTION])] if why else [])

    def on_input_changed(self) -> None:
        self._refuse("")


class VhostsForm(Form):
    """The vhost count that every target is to have."""

    FIELDS = (Field("vhost count", f"0 to {MAX_VHOSTS}"),)

    def completed(self, request: Request, texts: Sequence[str]) -> Request:
        vhosts = _vhosts(texts[0], 0)
        return replace(request, targets=tuple(Target(ip, vhosts) for ip in request.ips))


class AddForm(Form):
    """A backend that is not there yet."""

    FIELDS = (
        Field("IP", "the literal address"),
        Field("tag", "empty: none"),
        Field("vhost count", f"0 to {MAX_VHOSTS}", str(USUAL_VHOSTS)),
    )

    def completed(self, request: Request, texts: Sequence[str]) -> Request:
        address, tag, count = texts
        if not address:
            raise NotThat("type the IP of the backend", 0)
        try:
            ip = canonical_ip(address)
        except ValueError:
            raise NotThat(f"“{address}” is no literal IP address; a name could stand for several", 0) from None
        vhosts = _vhosts(count, 2)
        try:
            doveadm.add(ip, vhosts, tag)
        except ValueError as error:
            raise NotThat(str(error), 1) from None
        return replace(request, targets=(Target(ip, vhosts),), tag=tag)


class FlushForm(Form):
    """How many users are moved at a time; and apart from it, forgetting where they are instead of moving them."""

    FIELDS = (Field("max-parallel", "users moved at a time; empty: the director's setting"),)

    def __init__(
        self, title: str, request: Request, now: Sequence[Content], go_on: Callable[[Sheet, Request], Awaitable[str]]
    ) -> None:
        super().__init__(title, request, now, go_on)
        self._forget = Button("Forget them instead (-F)", id="forget", compact=True)

    def completed(self, request: Request, texts: Sequence[str]) -> Request:
        if request.verb is Verb.FORGET_USERS or not texts[0]:
            return replace(request, max_parallel=None)
        number = int(texts[0]) if _is_number(texts[0]) else 0
        try:
            doveadm.flush(None, number)
        except ValueError as error:
            raise NotThat(f"“{texts[0]}”: {error}") from None
        return replace(request, max_parallel=number)

    def page(self) -> Iterable[Widget]:
        yield from super().page()
        if self._request.verb is Verb.FLUSH:
            yield Static(
                "\nForgetting moves nobody and ends no session: whoever comes back can be on two backends at once.",
                classes="quiet",
            )
            yield self._forget

    async def on_button_pressed(self) -> None:
        await self.submit(replace(self._request, verb=Verb.FORGET_USERS))


class ChoiceLine(TypedLine):
    """A part of what the wanted backend is called; the arrows move in the table meanwhile."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "screen.move_in_table('down')", show=False),
        Binding("up", "screen.move_in_table('up')", show=False),
        Binding("pagedown", "screen.move_in_table('page_down')", show=False),
        Binding("pageup", "screen.move_in_table('page_up')", show=False),
    ]


class BackendChoice(Sheet):
    """The backend that a user is to be moved to, chosen from the table of all."""

    WIDTH = 100

    def __init__(
        self,
        title: str,
        request: Request,
        cluster: ClusterConfig,
        times: Times,
        present: Present,
        go_on: Callable[[Sheet, Request], Awaitable[str]],
    ) -> None:
        super().__init__()
        self._heading = title
        self._request = request
        self._cluster, self._times, self._present = cluster, times, present
        self._go_on = go_on
        self._gone_on = False
        self._line = ChoiceLine("a part of IP, name, tag or condition")
        self._grid = Grid[BackendRow](COLUMNS, key=lambda row: row.backend.ip, matches=matches)
        self._grid.can_focus = False
        self._why = Sentences(id="status")

    def page(self) -> Iterable[Widget]:
        yield Static(Content(clean(self._heading)), classes="title", markup=False)
        yield Horizontal(Static("find", classes="label", markup=False), self._line, classes="field")
        yield self._grid

    def foot(self) -> Iterable[Widget]:
        yield self._why
        hint = "↑ ↓ choose, Enter shows the plan, nothing is changed before it. Esc goes back."
        yield Static(hint, classes="quiet")

    def on_mount(self) -> None:
        self.show(self._present)
        self.begin_at(self._line)

    def show(self, present: Present) -> None:
        """Take in a reading; the cursor stays on its backend."""
        self._present = present
        snapshot, settings = present.reading.snapshot, present.reading.settings
        if snapshot is None or not self.is_mounted:
            return
        consistent = settings.consistent_hashing if settings is not None else True
        names, now = self._cluster.names, self._times.utc()
        self._grid.set_rows(backend_rows(snapshot, present.history, names, now, consistent=consistent))
        self.fit()  # its height follows its rows, which may come after the first layout

    def fit(self) -> None:
        """The table has a height of its own, and scrolls in it."""
        self._grid.styles.height = max(2, min(len(self._grid.rows) + 1, self.size.height - 9))
        super().fit()

    def action_move_in_table(self, way: str) -> None:
        match way:
            case "down":
                self._grid.action_cursor_down()
            case "up":
                self._grid.action_cursor_up()
            case "page_down":
                self._grid.action_page_down()
            case _:
                self._grid.action_page_up()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._why.show([])
        self._grid.set_filter(event.value)
        self.fit()

    async def on_input_submitted(self) -> None:
        ip = self._grid.cursor_key
        if ip is None:
            self._refuse("the cursor stands on no backend")
        elif not self._gone_on:
            self._gone_on = True
            if why := await self._go_on(self, replace(self._request, targets=(Target(ip),))):
                self._gone_on = False
                self._refuse(why)

    def _refuse(self, why: str) -> None:
        self._why.show([Content.styled(clean(why), STYLES[ATTENTION])])


def now_lines(targets: Sequence[str], backends: Mapping[str, Backend], names: Mapping[str, str]) -> list[Content]:
    """What the targets have now, a line for each, as far as there is room."""
    lines = []
    width = max(map(len, targets), default=0)
    for ip in targets[:NAMED]:
        backend, name = backends.get(ip), format.shortened(clean(names.get(ip, "")), format.NAME_WIDTH)
        gap = ("  ", (name, STYLES[MUTED])) if name else ()
        has = "not there any more"
        if backend is not None:
            has = f"vhosts {backend.vhosts}, {backend.state.value}, {format.plural(backend.users, 'user')}"
        lines.append(Content.assemble("  ", (f"{ip:<{width}}", STYLES[PLAIN]), *gap, "  ", (has, STYLES[PLAIN])))
    if len(targets) > NAMED:
        lines.append(Content.styled(f"  and {len(targets) - NAMED} more", STYLES[MUTED]))
    return lines


def _vhosts(text: str, place: int) -> int:
    if not text:
        raise NotThat(f"type a vhost count, 0 to {MAX_VHOSTS}", place)
    if not _is_number(text) or int(text) > MAX_VHOSTS:
        raise NotThat(f"“{text}” is no vhost count: it is 0 to {MAX_VHOSTS}", place)
    return int(text)


def _is_number(text: str) -> bool:
    """Whether these are some digits, and nothing else that Python would take for a number."""
    return text.isascii() and text.isdigit() and len(text) <= 10
