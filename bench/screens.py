"""What is measured on a pseudo-terminal, each in a process of its own: `python -m bench.screens NAME …`.

Those that measure themselves write their figures as JSON to the file that is their last argument.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import App
from textual.widgets import DataTable, Static

import director_tui.ui
from bench.crowd import Crowd, dashboard_on, status_tables
from director_tui.director import parse
from director_tui.director.model import Snapshot
from director_tui.link.history import SLOT_S, History
from director_tui.link.monitor import read_once
from director_tui.operations.counting import count
from director_tui.operations.plan import Standing
from director_tui.theme_files import DEFAULT
from director_tui.times import Times
from director_tui.ui import themes
from director_tui.ui.app import DirectorApp
from director_tui.ui.backends_table import COLUMNS, BackendRow, backend_rows, matches
from director_tui.ui.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

    from director_tui.config import ClusterConfig
    from director_tui.director.model import Backend
    from director_tui.link.questions import Ask
    from director_tui.link.ring import Ring
    from director_tui.ui.format import Piece

REFRESHES: Final = 25
SETTLE_S: Final = 0.03
"""How long Textual's writer may take to hand a frame to the terminal, in a thread of its own."""
INTERVAL_S: Final = 2.0
TABLES: Final = 50
FEW_POLLS: Final = 500
MANY_POLLS: Final = 10_000


class Table(App[list[float]]):
    """A table that is given a new reading again and again; returns what each cost, in seconds of CPU."""

    CSS_PATH = Path(director_tui.ui.__file__).with_name("app.tcss")

    def __init__(self, count: int) -> None:
        super().__init__()
        tables = itertools.islice(status_tables(count), REFRESHES + 1)
        self._readings = [parse.backends(table) for table in tables]
        self._history = History()
        for past in range(60):
            self._history.add(past * SLOT_S, {backend.ip: backend.users + past % 7 for backend in self._readings[0]})
        for theme in themes.read_themes().by_name.values():
            self.register_theme(theme)
        self.theme = DEFAULT

    def on_mount(self) -> None:
        self.run_worker(self._refresh_all())

    async def _refresh_all(self) -> None:
        self.fill(self.rows(0))
        await asyncio.sleep(0.5)
        costs = []
        for number in range(1, len(self._readings)):
            began_s = time.process_time()
            self.renew(self._readings[number - 1], self.rows(number))
            painted = asyncio.Event()
            self.call_after_refresh(painted.set)
            await painted.wait()
            await asyncio.sleep(SETTLE_S)
            costs.append(time.process_time() - began_s)
        self.exit(costs)

    def rows(self, number: int) -> list[BackendRow]:
        now_s, now = 600.0 + INTERVAL_S * number, datetime.now(UTC)
        backends = self._readings[number]
        self._history.add(now_s, {backend.ip: backend.users for backend in backends})
        snapshot = Snapshot(backends, None, "", now, now_s, 0.0)
        return backend_rows(snapshot, self._history, {}, now, consistent=True)

    def fill(self, rows: Sequence[BackendRow]) -> None:
        raise NotImplementedError

    def renew(self, before: Sequence[Backend], rows: Sequence[BackendRow]) -> None:
        raise NotImplementedError


class OurTable(Table):
    def compose(self) -> ComposeResult:
        self._grid = Grid[BackendRow](COLUMNS, key=lambda row: row.backend.ip, matches=matches)
        yield self._grid

    def fill(self, rows: Sequence[BackendRow]) -> None:
        self._grid.set_rows(rows)

    def renew(self, before: Sequence[Backend], rows: Sequence[BackendRow]) -> None:
        self._grid.set_rows(rows)


class TextualsTable(Table):
    """The same in Textual's own table as its manual has it: fixed widths, and only what changed is updated."""

    WIDTHS: ClassVar = {"bar": 12, "past": 12, "condition": 18, "ip": 15, "name": 1, "tag": 1}
    CHANGING: Final = ("users", "bar", "rate", "past")

    def compose(self) -> ComposeResult:
        self._table: DataTable[Text] = DataTable(cursor_type="row")
        yield self._table

    def fill(self, rows: Sequence[BackendRow]) -> None:
        for column in COLUMNS:
            self._table.add_column(Text(column.title), width=self._width(column.id), key=column.id)
        for row in rows:
            cells = [_text(column.cell(row, self._width(column.id))) for column in COLUMNS]
            self._table.add_row(*cells, key=row.backend.ip)

    def renew(self, before: Sequence[Backend], rows: Sequence[BackendRow]) -> None:
        changing = [column for column in COLUMNS if column.id in self.CHANGING]
        for old, row in zip(before, rows, strict=True):
            if old != row.backend:
                for column in changing:
                    cell = _text(column.cell(row, self._width(column.id)))
                    self._table.update_cell(row.backend.ip, column.id, cell)

    def _width(self, column: str) -> int:
        return self.WIDTHS.get(column, 7)


def _text(pieces: Sequence[Piece]) -> Text:
    return Text.assemble(*((piece.text, "cyan" if piece.meaning else "") for piece in pieces))


class Counter(App[None]):
    """The smallest program that answers a key."""

    BINDINGS: ClassVar = [("j", "count", "")]

    def compose(self) -> ComposeResult:
        self._count = 0
        self._shown = Static("pressed 0 times")
        yield self._shown

    def action_count(self) -> None:
        self._count += 1
        self._shown.update(f"pressed {self._count} times")


def _table(table: Table, report: str) -> None:
    Path(report).write_text(json.dumps(table.run()))


def _dashboard(count: int) -> None:
    crowd = Crowd(printed=list(itertools.islice(status_tables(count), TABLES)))
    dashboard_on(crowd, interval_s=1.0).run()


def _memory(count: int, report: str) -> None:
    """The dashboard as fast as it can poll, its clock going on by the usual interval with each."""
    import director_tui.link.ssh  # noqa: F401 - what the real program has in memory, too

    start = datetime.now(UTC)
    sizes_mb: list[float] = []

    def polled() -> None:
        if crowd.readings in {FEW_POLLS, MANY_POLLS}:
            sizes_mb.append(_resident_mb())
        if crowd.readings == MANY_POLLS:
            app.exit()

    crowd = Crowd(printed=list(itertools.islice(status_tables(count), TABLES)), polled=polled)
    times = Times(lambda: crowd.readings * INTERVAL_S, lambda: start + timedelta(seconds=crowd.readings * INTERVAL_S))
    app = dashboard_on(crowd, interval_s=0.0, times=times)
    app.run()
    Path(report).write_text(json.dumps(sizes_mb))


def _counting(folder: str, destination: str, report: str) -> None:
    """The dashboard of a ring of a million users, on which all of them are counted over and over until it ends."""
    from bench.large import EVERYBODY, Large

    large = Large(Path(folder), destination)
    counts = 0

    async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        ring = large.ring()
        app.run_worker(count_on(ring))
        return ring

    async def count_on(ring: Ring) -> None:
        nonlocal counts
        standing = Standing(await read_once(ring), ring.cluster)
        while True:
            await count(EVERYBODY, standing, ring)
            counts += 1

    app = DirectorApp(large.cluster, open_ring)
    app.run()
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(report).write_text(json.dumps([peak_mb, counts]))


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def main(name: str, *words: str) -> None:
    match name, words:
        case "grid", (count, report):
            _table(OurTable(int(count)), report)
        case "datatable", (count, report):
            _table(TextualsTable(int(count)), report)
        case "dashboard", (count,):
            _dashboard(int(count))
        case "counter", ():
            Counter().run()
        case "memory", (count, report):
            _memory(int(count), report)
        case "counting", (folder, destination, report):
            _counting(folder, destination, report)
        case _:
            raise SystemExit(f"{os.path.basename(sys.argv[0])}: unknown: {name} {words}")


if __name__ == "__main__":
    main(*sys.argv[1:])
