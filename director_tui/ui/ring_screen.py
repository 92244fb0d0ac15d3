"""The ring: what each director says about it, whether they agree, and which of them is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.content import Content

from director_tui.link.reading import disagreements_of, stale_after_s
from director_tui.text import clean, clean_lines
from director_tui.ui import format
from director_tui.ui.commands import bindings
from director_tui.ui.grid import Grid
from director_tui.ui.header import naming
from director_tui.ui.lines import Lines, Remark, Rule
from director_tui.ui.live import LiveScreen
from director_tui.ui.ring_rows import COLUMNS, RingRow, ring_rows
from director_tui.ui.ring_words import verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from textual.binding import BindingType
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.director.agreement import Disagreement
    from director_tui.link.reading import DirectorView
    from director_tui.times import Times
    from director_tui.ui.live import Present


class RingScreen(LiveScreen):
    """Each director's own view of the ring, with a verdict on top."""

    GROUPS: ClassVar[tuple[str, ...]] = ("Ring", "Views", "Emergency", "Program", "Back")
    BINDINGS: ClassVar[list[BindingType]] = bindings(*GROUPS)

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        present: Present | None,
        *,
        use: Callable[[str], None],
        watch: Callable[[bool], None],
    ) -> None:
        """``use`` makes a director the one that is read; ``watch`` has all of them asked often, or not any more."""
        super().__init__(cluster, times, present)
        self._use = use
        self._watch = watch
        self._opened_s = times.mono_s()
        self._compared: tuple[DirectorView, ...] = ()
        self._disagreeing: tuple[Disagreement, ...] = ()
        self._verdict = Remark(id="verdict")
        self._grid = Grid[RingRow](COLUMNS, key=lambda row: row.key, wide=lambda row: "address" if row.sentence else "")
        self._rule = Rule(id="row-rule")
        self._detail = Lines(id="row-detail")

    def body(self) -> Iterable[Widget]:
        yield self._verdict
        yield self._grid
        yield self._rule
        yield self._detail

    def on_mount(self) -> None:
        self._grid.focus()
        self._watch(True)

    async def on_unmount(self) -> None:
        self._watch(False)

    def show_present(self, present: Present) -> None:
        reading = present.reading
        if reading.views is not self._compared:
            self._compared, self._disagreeing = reading.views, disagreements_of(reading)
        name = naming(reading)
        lines = verdict(reading, self._disagreeing, name)
        self._verdict.show([Content.styled(clean_lines(text), style) for text, style in lines])
        self._grid.set_rows(ring_rows(reading, self._disagreeing, name, self.times.utc()))
        self._show_detail()

    def show_stale(self, stale: bool) -> None:
        old = stale or self._views_are_old()
        self._grid.set_stale(old)
        self._verdict.set_class(old, "-stale")
        reading = self.present.reading if self.present is not None else None
        if reading is not None and reading.views:
            asked = f"all directors asked {format.span(self.times.mono_s() - reading.views_mono_s)} ago"
            self._rule.say((f"○ STALE: {asked}", "$dt-danger bold") if old else (asked, "$dt-muted"))

    def _views_are_old(self) -> bool:
        """What every director says has an age of its own. From before the screen was opened it may be older: they are
        asked at once then."""
        reading = self.present.reading if self.present is not None else None
        if reading is None or not reading.views:
            return False
        since_s = max(reading.views_mono_s, self._opened_s)
        return self.times.mono_s() - since_s > stale_after_s(self.cluster.interval_s)

    def on_grid_cursor_moved(self) -> None:
        self._show_detail()

    def on_grid_notice(self, event: Grid.Notice) -> None:
        self.notify(event.text, markup=False)

    def action_use(self) -> None:
        row = self._at_cursor()
        if row is None or self.present is None:
            self.notify("the cursor stands on no director", markup=False)
        elif row.refusal:
            self.notify(clean(row.refusal), severity="warning", markup=False)
        else:
            called = naming(self.present.reading)(row.director)
            already = row.director == self.present.reading.link.director
            self.notify(f"{called} is read already" if already else f"reading from {called} now", markup=False)
            self._use(row.director)

    def _at_cursor(self) -> RingRow | None:
        return next((row for row in self._grid.rows if row.key == self._grid.cursor_key), None)

    def _show_detail(self) -> None:
        row = self._at_cursor()
        lines = [Content.styled(clean(line), "$dt-muted") for line in row.detail if line] if row is not None else []
        self._detail.show(lines or [Content("")])
