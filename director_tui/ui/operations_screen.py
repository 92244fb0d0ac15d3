"""Operations: the one that runs or ran last on top, and below it the journal of all that was done and seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.content import Content
from textual.widgets import Button, Input

from director_tui.operations.plan import Emergency, Outcome
from director_tui.operations.progress import Phase
from director_tui.text import clean, clean_lines
from director_tui.ui import format
from director_tui.ui.backends_table import backend_rows
from director_tui.ui.commands import bindings
from director_tui.ui.dashboard import FilterLine
from director_tui.ui.follow import follow, spread_of
from director_tui.ui.grid import Grid
from director_tui.ui.journal_rows import COLUMNS, EntryRow, entry_rows, matches
from director_tui.ui.lines import Remark, Rule
from director_tui.ui.live import TICK_S, LiveScreen
from director_tui.ui.operation_panel import OperationPanel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from textual.binding import BindingType
    from textual.events import DescendantFocus
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.operations.journal import Entry
    from director_tui.operations.plan import Request
    from director_tui.operations.progress import Progress
    from director_tui.times import Times
    from director_tui.ui.backends_table import BackendRow
    from director_tui.ui.format import Part
    from director_tui.ui.live import Present
    from director_tui.ui.operating import AskJournal, Kept
    from director_tui.ui.operation_panel import Question


class OperationsScreen(LiveScreen):
    """What this program is doing to the ring, and what was done. Leaving it stops nothing."""

    GROUPS: ClassVar[tuple[str, ...]] = ("Operations", "Views", "Emergency", "Program", "Back")
    BINDINGS: ClassVar[list[BindingType]] = bindings(*GROUPS)

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        present: Present | None,
        *,
        decide: Callable[[bool], None],
        ask_journal: AskJournal,
        plan: Callable[[Request], Awaitable[None]],
        plan_emergency: Callable[[Emergency], Awaitable[None]],
        open_entry: Callable[[Entry], None],
        set_back: Callable[[Entry], Awaitable[None]],
        export: Callable[[Sequence[Entry]], None],
    ) -> None:
        """``decide`` answers the question of the operation, whether to go on; ``plan`` shows what would be done, and so
        does ``plan_emergency`` of what is for the whole ring."""
        super().__init__(cluster, times, present)
        self._decide = decide
        self._ask_journal = ask_journal
        self._plan, self._plan_emergency = plan, plan_emergency
        self._open_entry, self._set_back, self._export = open_entry, set_back, export
        self._kept: Kept | None = None
        self._panel = OperationPanel(cluster.names)
        self._rule = Rule(("journal", "$dt-muted"), id="journal-rule")
        self._message = Remark()
        self._grid = Grid[EntryRow](COLUMNS, key=lambda row: row.key, matches=matches, id="journal")
        self._filter_line = FilterLine("a part of what, who, outcome, reason or time")

    @property
    def shows_operation(self) -> bool:
        return True

    def body(self) -> Iterable[Widget]:
        yield self._panel
        yield self._rule
        yield self._message
        yield self._grid
        yield self._filter_line

    def on_mount(self) -> None:
        self._grid.focus()
        self._draw_panel()
        self._ask_journal(self._take_journal)

    def read_again(self) -> None:
        self._ask_journal(self._take_journal)

    def journal_grew(self) -> None:
        self._ask_journal(self._take_journal)

    # The operation

    def show_operation(self, progress: Progress | None) -> None:
        before = self._operation
        super().show_operation(progress)
        if not self.is_mounted:
            return
        self._draw_panel()
        stands = (progress.id, progress.phase, progress.outcome) if progress is not None else None
        if stands != ((before.id, before.phase, before.outcome) if before is not None else None):
            self._draw_journal()
            self._ask_journal(self._take_journal)

    def _draw_panel(self) -> None:
        progress = self._operation
        reading = self.present.reading if self.present is not None else None
        following = follow(progress, reading) if progress is not None else None
        self._keys.withhold(*(() if following is not None else ("follow",)))
        if progress is None:
            return
        self.set_class(progress.running, "-running")
        # While it runs it matters most; then what was done before may be looked for.
        recovered = progress.plan.request.emergency is Emergency.RECOVER and progress.outcome is Outcome.APPLIED
        lines = self.size.height * (6 if progress.running or recovered else 4) // 10
        if self.has_class("-low") and progress.running:
            lines = self.size.height - (2 if self.has_class("-tiny") else 4)
        was_asked = isinstance(self.focused, Button)
        spread = spread_of(reading) if recovered else None
        more, rows = "", self._spread_rows() if recovered else ()
        if recovered:
            more = spread.words if spread is not None else "no user is assigned to a backend yet"
        self._panel.show(progress, following, self.times.mono_s(), lines, more, rows)
        if was_asked and progress.phase is not Phase.ASKING:
            self.set_focus(self._grid)

    def _spread_rows(self) -> Sequence[BackendRow]:
        present = self.present
        if present is None or present.reading.snapshot is None:
            return ()
        settings, now = present.reading.settings, self.times.utc()
        consistent = settings is None or settings.consistent_hashing
        return backend_rows(present.reading.snapshot, present.history, self.cluster.names, now, consistent=consistent)

    def on_question_decided(self, event: Question.Decided) -> None:
        self.set_focus(self._grid)
        self._decide(event.go_on)

    async def action_follow(self) -> None:
        reading = self.present.reading if self.present is not None else None
        following = follow(self._operation, reading) if self._operation is not None else None
        if following is not None and following.emergency is not None:
            await self._plan_emergency(following.emergency)
        elif following is not None and following.request is not None:
            await self._plan(following.request)
        else:
            self.notify("nothing follows: a flush does, after an applied down or vhost count 0", markup=False)

    # The journal

    def _take_journal(self, kept: Kept) -> None:
        self._kept = kept
        if self.is_mounted:
            self._draw_journal()

    def _draw_journal(self) -> None:
        kept = self._kept
        if kept is None:
            return
        running = self._operation.id if self._operation is not None and self._operation.running else None
        lines: list[Part] = [(caveat, "$dt-muted") for caveat in kept.caveats]
        if kept.failure is not None:
            lines = [(f"the journal can't be read: {kept.failure}", "$dt-danger"), (kept.failure.remedy, "$dt-text")]
        elif not kept.entries:
            lines = [("nothing has been done or seen to change yet", "$dt-muted")]
        self._message.show([Content.styled(clean_lines(text), style) for text, style in lines if text])
        self._grid.set_rows(entry_rows(kept.entries, running))
        self._say_filter()

    @property
    def tick_s(self) -> float:
        """It tells how long a command has been running."""
        return TICK_S

    def tick(self) -> None:
        super().tick()
        self._draw_panel()

    def _at_cursor(self) -> Entry | None:
        """The entry under the cursor; in the commands of the operation on top that operation's."""
        if self._panel.grid.has_focus and self._operation is not None:
            return self._kept.entry(self._operation.id) if self._kept is not None else None
        return next((row.entry for row in self._grid.rows if row.key == self._grid.cursor_key), None)

    def action_whole(self) -> None:
        if (entry := self._at_cursor()) is not None:
            self._open_entry(entry)
        else:
            self.notify("there is no entry of the journal under the cursor", markup=False)

    async def action_set_back(self) -> None:
        if (entry := self._at_cursor()) is not None:
            await self._set_back(entry)
        else:
            self.notify("there is no entry of the journal under the cursor", markup=False)

    def action_export(self) -> None:
        shown = [row.entry for row in self._grid.rows]
        if shown:
            self._export(shown)
        else:
            self.notify("there is nothing to export", markup=False)

    # The filter

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a text is typed, its characters are no commands; without a filter to drop, Esc leads back."""
        if action == "clear":
            return bool(self._grid.filter_text)
        return not (action == "filter" and isinstance(self.focused, Input))

    def action_filter(self) -> None:
        line = self._filter_line
        # Not by a class: styles are applied later, and what is not displayed takes no focus, so keys would be lost.
        line.display = True
        self.set_focus(line)

    def action_cursor(self, direction: str) -> None:
        """The arrows move in the journal while the filter is typed, too."""
        if direction == "down":
            self._grid.action_cursor_down()
        else:
            self._grid.action_cursor_up()

    def action_clear(self) -> None:
        self._filter_line.value = ""

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        if event.widget is not self._filter_line:
            self._filter_line.display = False

    def on_input_changed(self, event: Input.Changed) -> None:
        self._grid.set_filter(event.value)
        self._say_filter()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.set_focus(self._grid)

    def on_grid_notice(self, event: Grid.Notice) -> None:
        self.notify(event.text, markup=False)

    def _say_filter(self) -> None:
        words: list[Part] = [("journal", "$dt-muted")]
        if self._grid.filter_text:
            words.append((f"filter “{clean(self._grid.filter_text)}”", "$dt-accent"))
            words.append((f"{format.count(self._grid.hidden)} hidden · esc shows all", "$dt-muted"))
        self._rule.say(*words)
