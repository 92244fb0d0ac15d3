"""Outside text on its way to the cells of a terminal: in the table widget, on every kind of screen, and in a pipe.

The program runs without a terminal and is given readings, journals and errors that are made of the input; then each
cell of its screen is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, cast

from textual.app import App, ComposeResult
from textual.geometry import Region

from director_tui import oneshot
from director_tui.director import parse
from director_tui.director.changes import Change, Subject
from director_tui.director.model import Snapshot
from director_tui.errors import DirectorTuiError, HostKeyUnknown, MalformedOutput
from director_tui.link.history import History
from director_tui.link.questions import Question
from director_tui.link.reading import DirectorView, LinkState, LinkStatus, Reading
from director_tui.link.ring import Ring
from director_tui.operations.journal import entries
from director_tui.operations.record import from_json
from director_tui.terminal import tell
from director_tui.text import clean, clean_lines
from director_tui.times import SYSTEM_TIMES
from director_tui.ui.columns import Column
from director_tui.ui.dialogs import HostKeyDialog, QuestionDialog
from director_tui.ui.format import Piece
from director_tui.ui.grid import Grid
from director_tui.ui.live import Present
from tests.fuzz.targets import JOURNAL, NOW, STRANGERS, Target, captured, harmless, text_of
from tests.ui.fakes import FakeRing, cluster, make_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from textual.pilot import Pilot
    from textual.strip import Strip

    from director_tui.ui.app import DirectorApp

SIZES: Final = ((80, 24), (120, 36), (40, 12), (200, 50))


def harmless_strips(strips: Iterable[Strip], width: int) -> None:
    """Every line is as wide as the screen, has nothing but text in it, and no text in it was taken for markup."""
    for strip in strips:
        harmless(strip.text)
        assert "\n" not in strip.text
        assert strip.cell_length == width, f"{strip.cell_length} cells of {width}: {strip.text!r}"
        for segment in strip:
            assert segment.control is None
            style = segment.style
            assert style is None or (not style.link and "fuzzed" not in str(style.meta)), style


class Stage:
    """An event loop with an app in it, which both stay until this process ends."""

    def __init__(self, begin: Callable[[AsyncExitStack], Awaitable[Any]]) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.app = self._runner.run(_awaited(begin(self._stack)))

    def run(self, doing: Awaitable[object]) -> None:
        try:
            self._runner.run(_awaited(doing))
        except BaseException:
            _stages.clear()  # what failed must not fail what comes next, too
            raise

    def end(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


async def _awaited(one: Awaitable[Any]) -> Any:
    return await one


_stages: dict[str, Stage] = {}


def stage(name: str, begin: Callable[[AsyncExitStack], Awaitable[Any]]) -> Stage:
    if name not in _stages:
        _stages[name] = Stage(begin)
    return _stages[name]


def end_stages() -> None:
    """End the apps of this process."""
    while _stages:
        _stages.popitem()[1].end()


# --- the table widget -----------------------------------------------------------------------------------------------


class GridApp(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.grid: Grid[tuple[str, ...]] = Grid(
            [
                Column("a", "first", lambda row, width: [Piece(row[0])], lambda row: len(row[0]), max_width=30),
                Column("b", "second", lambda row, width: [Piece(row[1], "danger"), Piece(row[2])], 10, right=True),
                Column("c", "third", lambda row, width: [Piece(row[-1])], 7, keep=1),
            ],
            key=lambda row: row[0],
            matches=lambda row, text: text in row[1].casefold(),
        )

    def compose(self) -> ComposeResult:
        yield self.grid


async def _begin_grid(stack: AsyncExitStack) -> GridApp:
    app = GridApp()
    await stack.enter_async_context(app.run_test(size=(50, 10)))
    return app


def _grid(data: bytes) -> None:
    showing = stage("grid", _begin_grid)

    async def show() -> None:
        grid = showing.app.grid
        texts = text_of(data).split("\t")
        grid.set_rows({text: (text, *(texts * 3)[at : at + 3]) for at, text in enumerate(texts[:8])}.values())
        width = grid.size.width
        harmless_strips(grid.render_lines(Region(0, 0, width, 10)), width)

    showing.run(show())


# --- the screens ----------------------------------------------------------------------------------------------------


def _reading(data: bytes) -> Present:
    """What the monitor makes of this output, as that of every command."""
    text = text_of(data)
    line = clean(text)
    backends = parse.backends(captured("director-status"))
    ring = parse.ring_view(captured("director-ring-status"))
    link = LinkState(LinkStatus.LIVE, "ops@dir1.example.com")
    failure: DirectorTuiError | None = None
    for read in (parse.backends, parse.ring_view):
        try:
            found: Any = read(data)
        except MalformedOutput as error:
            failure = error
        else:
            if read is parse.backends:
                backends = found
            else:
                ring = found
    snapshot = Snapshot(backends, ring, link.director, NOW, SYSTEM_TIMES.mono_s(), 14.0)
    views = (DirectorView("d1", ring, backends), DirectorView("d2", failure=failure), DirectorView("d3", ring))
    if failure is not None and len(data) % 2:
        link = LinkState(LinkStatus.RECONNECTING, link.director, DirectorTuiError(line, line), SYSTEM_TIMES.mono_s())
    changes = [Change(NOW, subject, line[:40], line[40:80], line[-40:]) for subject in Subject]
    reading = Reading(link, snapshot, views, note=line, views_mono_s=SYSTEM_TIMES.mono_s())
    return Present(reading, History(), changes)


async def _begin_screens(stack: AsyncExitStack) -> tuple[DirectorApp, Pilot[None]]:
    never = asyncio.Event()

    async def wait(destination: str) -> None:
        await never.wait()

    ring = FakeRing(on_connect=wait)
    app = make_app(ring)
    return app, await stack.enter_async_context(app.run_test(size=SIZES[0], notifications=True))


def _look(app: DirectorApp) -> None:
    width = app.size.width
    harmless_strips(app.screen._compositor.render_strips(), width)


def _screens(data: bytes) -> None:
    showing = stage("screens", _begin_screens)

    async def show() -> None:
        app, pilot = cast("tuple[DirectorApp, Pilot[None]]", showing.app)
        kind = len(data) % 5
        await pilot.resize_terminal(*SIZES[sum(data) % len(SIZES)])
        present, line = _reading(data), clean(data)
        if kind == 1:
            app.tell(text_of(data))
        elif kind == 2:
            records = [one for each in data.split(b"\n") if (one := from_json(each)) is not None]
            records = records or [one for each in JOURNAL.split() if (one := from_json(each)) is not None]
            for entry in entries(records)[:1]:
                app._journal_views._open_entry(entry)
        elif kind == 3:
            app.action_ring()
        elif kind == 4:
            error = HostKeyUnknown(
                *(line, line),
                **dict.fromkeys(("host", "algorithm", "fingerprint", "line", "known_hosts"), line),
                port=22,
            )
            dialog = QuestionDialog(Question(line, line, secret=True)) if data[:1] > b"m" else HostKeyDialog(error)
            app.push_screen(dialog)
        await pilot.pause()
        app._show(present)
        await pilot.pause()
        _look(app)
        app.clear_notifications()
        app._back_to_dashboard()
        await pilot.pause()
        assert app.return_code is None, f"the program ended: {app._exception!r}"

    showing.run(show())


# --- a pipe ---------------------------------------------------------------------------------------------------------


def _status_command(data: bytes) -> None:
    """``director-tui status`` of a ring that answers with this."""
    fake = FakeRing(status=data, mail_servers=data.replace(b"\n", b""))
    ring = Ring(cluster(fake, names={"127.0.1.1": clean(data)}), cast("Any", fake))
    for as_json in (False, True):
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
            try:
                asyncio.run(oneshot.status(ring, as_json=as_json))
            except DirectorTuiError as error:
                tell(str(error))
        harmless(out.getvalue(), errors.getvalue())
        assert clean_lines(out.getvalue()).isascii() or not as_json


TARGETS: Final[tuple[Target, ...]] = (
    Target("screens", 0.3, (captured("director-status"), STRANGERS, JOURNAL), _screens),
    Target("cells of a table", 6, (captured("director-status"), "郵\te\u0301\t한글\t[/x]".encode()), _grid),
    Target("status command", 2, (captured("director-status"),), _status_command),
)
