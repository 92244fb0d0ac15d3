"""All configured clusters on one line each; those that are not shown anyway are read only while this screen is open."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.content import Content

from director_tui.link.reading import LinkStatus, stale_after_s
from director_tui.text import clean, clean_lines
from director_tui.ui import format
from director_tui.ui.columns import Column
from director_tui.ui.commands import bindings
from director_tui.ui.format import ACCENT, ATTENTION, DANGER, FINE, MUTED, NAME_WIDTH, PLAIN, STYLES, Piece, shortened
from director_tui.ui.grid import Grid
from director_tui.ui.header import SLACK_S, is_production, ring_word, stop_since, warnings
from director_tui.ui.lines import Lines, Remark, Rule
from director_tui.ui.live import TICK_S, LiveScreen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from textual.binding import BindingType
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.times import Times
    from director_tui.ui.live import Present
    from director_tui.ui.watch import Watch

    LookAt = Callable[[ClusterConfig, Callable[[Present], None]], Watch]
    """Begins to read a cluster without asking anybody; the second argument is called with each reading."""

THE_ONLY_ONE: Final = "The only cluster. Each further one is a table [clusters.NAME] in config.toml."


_NONE: Final = "NONE USABLE"


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """One cluster, ``present`` as far as it is known at ``now_s``, and at this time of the day. ``shown`` is whether it
    is on the dashboard."""

    cluster: ClusterConfig
    present: Present | None
    shown: bool
    now_s: float
    now: datetime

    @property
    def name(self) -> str:
        return clean(self.cluster.name)

    @property
    def stopped_since(self) -> str:
        """Since when an emergency stop is in force there, in a few cells; nothing if none is."""
        stop = self.present.stop if self.present is not None else None
        if stop is None:
            return ""
        began = stop.began.time
        return f"{began:%H:%M}" if began.date() == self.now.date() else f"{began.day} {began:%b}"

    @property
    def problem(self) -> str:
        """Why nothing is known of it."""
        if self.present is None or self.present.reading.snapshot is not None:
            return ""
        failure = self.present.reading.link.failure
        return str(failure) if failure is not None else ""


class ClustersScreen(LiveScreen):
    """Which of the clusters needs somebody, and a way there."""

    GROUPS: ClassVar[tuple[str, ...]] = ("Clusters", "Views", "Emergency", "Program", "Back")
    BINDINGS: ClassVar[list[BindingType]] = bindings(*GROUPS)

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        present: Present | None,
        clusters: Sequence[ClusterConfig],
        *,
        look_at: LookAt,
        switch: Callable[[str], None],
    ) -> None:
        """``cluster`` is the one that is shown, one of ``clusters``; ``switch`` shows another one, by its name."""
        super().__init__(cluster, times, present)
        self._clusters = clusters
        self._look_at = look_at
        self._switch = switch
        self._watches: dict[str, Watch] = {}
        self._remark = Remark()
        self._grid = Grid[ClusterRow](
            COLUMNS, key=lambda row: row.name, wide=lambda row: "condition" if row.problem else ""
        )
        self._rule = Rule(id="row-rule")
        self._detail = Lines(id="row-detail")

    def body(self) -> Iterable[Widget]:
        yield self._remark
        yield self._grid
        yield self._rule
        yield self._detail

    def on_mount(self) -> None:
        if len(self._clusters) == 1:
            self._remark.show([Content.styled(THE_ONLY_ONE, "$dt-muted")])
        for cluster in self._clusters:
            if cluster.name != self.cluster.name:
                self._watches[cluster.name] = self._look_at(cluster, self._looked)
        self._show_rows()
        self._grid.move_cursor(clean(self.cluster.name))
        self._grid.focus()

    async def on_unmount(self) -> None:
        await asyncio.gather(*(watch.end() for watch in self._watches.values()))

    def read_again(self) -> None:
        for watch in self._watches.values():
            watch.read_now()

    def show_present(self, present: Present) -> None:
        self._show_rows()

    @property
    def tick_s(self) -> float:
        """It tells ages of its own."""
        return TICK_S

    def tick(self) -> None:
        super().tick()
        self._show_rows()

    def _looked(self, present: Present) -> None:
        if self.is_mounted:
            self._show_rows()

    def _show_rows(self) -> None:
        now_s, now = self.times.mono_s(), self.times.utc()
        rows = []
        for cluster in self._clusters:
            shown = cluster.name == self.cluster.name
            present = self.present if shown else self._watches[cluster.name].present
            rows.append(ClusterRow(cluster, present, shown, now_s, now))
        self._grid.set_rows(rows)
        self._show_detail()

    def on_grid_cursor_moved(self) -> None:
        self._show_detail()

    def action_switch(self) -> None:
        row = self._at_cursor()
        if row is not None:
            self._switch(row.cluster.name)

    def _at_cursor(self) -> ClusterRow | None:
        return next((row for row in self._grid.rows if row.name == self._grid.cursor_key), None)

    def _show_detail(self) -> None:
        row = self._at_cursor()
        lines = _detail(row) if row is not None else []
        self._detail.show([Content.styled(clean_lines(text), style) for text, style in lines] or [Content("")])


def _detail(row: ClusterRow) -> list[format.Part]:
    """What is to be known of a cluster beside its line, in two lines at most."""
    reading = row.present.reading if row.present is not None else None
    if reading is not None and reading.link.failure is not None:
        failure = reading.link.failure
        return [(str(failure), STYLES[ATTENTION]), (failure.remedy, STYLES[PLAIN])][: 2 if failure.remedy else 1]
    if reading is not None and (found := warnings(reading)):
        if row.present is not None and row.present.stop is not None:
            by = shortened(clean(row.present.stop.began.who), NAME_WIDTH)
            way = "" if row.cluster.read_only else " — Enter, then R"
            since = stop_since(row.present.stop, row.now)
            found.insert(0, f"EMERGENCY STOP in force since {since} by {by}{way}")
        return [(text, STYLES[DANGER]) for text in found[:2]]
    own = "read-only · " if row.cluster.read_only else ""
    listed = format.listed(director.ssh for director in row.cluster.directors)
    lines = [(f"{own}{format.plural(len(row.cluster.directors), 'director')}: {listed}", STYLES[MUTED])]
    if reading is not None and reading.snapshot is not None:
        counted = format.listed(piece.text for _, piece in format.conditions(reading.snapshot.backends))
        lines.insert(0, (f"{format.plural(len(reading.snapshot.backends), 'backend')}: {counted}", STYLES[MUTED]))
    return lines


def _cluster_cell(row: ClusterRow, width: int) -> Sequence[Piece]:
    called = Piece(shortened(row.name, NAME_WIDTH), ACCENT)
    return (called, Piece(" "), Piece("● shown", FINE)) if row.shown else (called,)


def _environment_cell(row: ClusterRow, width: int) -> Sequence[Piece]:
    meaning = ATTENTION if is_production(row.cluster) else MUTED
    return (Piece(shortened(clean(row.cluster.environment), NAME_WIDTH), meaning),)


def _condition_cell(row: ClusterRow, width: int) -> Sequence[Piece]:
    """How old it is if it isn't new, and how many backends are in which condition; the worst first."""
    reading = row.present.reading if row.present is not None else None
    if row.problem:
        return (Piece("○ ", DANGER), Piece(row.problem, ATTENTION))
    if reading is None or reading.snapshot is None:
        return (Piece("◌ connecting", ACCENT),)
    pieces = [piece for _, piece in reversed(format.conditions(reading.snapshot.backends))]
    if not reading.snapshot.backends:
        pieces = [Piece("NO BACKEND AT ALL", DANGER)]
    elif reading.snapshot.tags_without_backend:
        pieces.insert(0, Piece(_NONE, DANGER))
    if row.stopped_since:
        # On purpose: that there is none usable goes without saying.
        pieces = [Piece(f"STOPPED since {row.stopped_since}", DANGER), *(one for one in pieces if one.text != _NONE)]
    age_s = row.now_s - reading.snapshot.taken_mono_s
    if age_s > stale_after_s(row.cluster.interval_s):
        pieces.insert(0, Piece(f"STALE {format.span(age_s)} old", DANGER))
    elif age_s > row.cluster.interval_s + SLACK_S or reading.link.status is not LinkStatus.LIVE:
        pieces.insert(0, Piece(f"{format.span(age_s)} old", ATTENTION))
    # Where there is no room for all, they stand below for the cluster under the cursor.
    said: list[Piece] = []
    used = 0
    for number, piece in enumerate(pieces, start=1):
        lead = " · " if said else ""
        used += len(lead) + len(piece.text)
        if used + (2 if number < len(pieces) else 0) > width:
            return [*said, Piece(" …" if said else piece.text, MUTED)]
        said += [Piece(lead, MUTED), piece]
    return said


def _users_cell(row: ClusterRow, width: int) -> Sequence[Piece]:
    snapshot = row.present.reading.snapshot if row.present is not None else None
    return (Piece(format.count(snapshot.users)),) if snapshot is not None else ()


def _ring_cell(row: ClusterRow, width: int) -> Sequence[Piece]:
    reading = row.present.reading if row.present is not None else None
    if reading is None or reading.snapshot is None:
        return ()
    view = reading.snapshot.ring
    if view is None or row.now_s - reading.snapshot.ring_taken_mono_s > stale_after_s(row.cluster.interval_s):
        return (Piece("?", ATTENTION if view is not None else MUTED),)
    return (ring_word(reading, view),)


def _column(
    id: str,
    cell: Callable[[ClusterRow, int], Sequence[Piece]],
    title: str,
    width: int = 0,
    *,
    keep: int | None = None,
    right: bool = False,
    least: int = 0,
    max_width: int = 0,
) -> Column[ClusterRow]:
    """A column of that width, or as wide as its cells."""

    def natural(row: ClusterRow) -> int:
        return sum(cell_len(piece.text) for piece in cell(row, 0))

    return Column(id, title, cell, width or natural, keep=keep, least=least, right=right, max_width=max_width)


COLUMNS: Final[tuple[Column[ClusterRow], ...]] = (
    _column("cluster", _cluster_cell, "cluster", least=8),
    _column("environment", _environment_cell, "environment", keep=10),
    _column("condition", _condition_cell, "backends", 24, least=9, max_width=60),
    _column("users", _users_cell, "users", keep=30, right=True),
    _column("ring", _ring_cell, "ring", 10, keep=20),
)
