"""One entry of the journal, whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from director_tui.operations.report import summary
from director_tui.ui.commands import bindings
from director_tui.ui.journal_rows import commands, entry_lines
from director_tui.ui.live import LiveScreen
from director_tui.ui.titled import content

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from textual.binding import BindingType
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.operations.journal import Entry
    from director_tui.operations.progress import Progress
    from director_tui.times import Times
    from director_tui.ui.live import Present
    from director_tui.ui.operating import AskJournal, Kept


class EntryScreen(LiveScreen):
    """An operation or a change with all that the journal holds of it; what is added to it meanwhile is shown, too."""

    GROUPS: ClassVar[tuple[str, ...]] = ("Operation", "Views", "Emergency", "Program", "Back")
    BINDINGS: ClassVar[list[BindingType]] = bindings(*GROUPS, "Scrolling")

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        present: Present | None,
        entry: Entry,
        *,
        ask_journal: AskJournal,
        set_back: Callable[[Entry], Awaitable[None]],
        export: Callable[[Sequence[Entry]], None],
    ) -> None:
        super().__init__(cluster, times, present)
        self._entry = entry
        self._ask_journal = ask_journal
        self._set_back = set_back
        self._export = export
        self._text = Static()
        self._page = VerticalScroll(self._text)

    def body(self) -> Iterable[Widget]:
        yield self._page

    def on_mount(self) -> None:
        self._page.focus()
        self._draw()

    def show_present(self, present: Present) -> None:
        self._draw()

    def show_operation(self, progress: Progress | None) -> None:
        before = self._operation
        super().show_operation(progress)
        if progress is not None and progress.id == self._entry.operation:
            self._draw()
            if before is None or (before.phase, before.outcome) != (progress.phase, progress.outcome):
                self._ask_journal(self._take)

    def read_again(self) -> None:
        self._ask_journal(self._take)

    def journal_grew(self) -> None:
        self._ask_journal(self._take)

    def _take(self, kept: Kept) -> None:
        if self._entry.operation is not None and (entry := kept.entry(self._entry.operation)) is not None:
            self._entry = entry
            self._draw()

    def _draw(self) -> None:
        if self.is_mounted:
            width = max(10, self.size.width - 3)
            running = self._operation.id if self._operation is not None and self._operation.running else None
            lines = entry_lines(self._entry, running)
            self._text.update(Content("\n").join(part for line in lines for part in content(line, width)))

    async def action_set_back(self) -> None:
        await self._set_back(self._entry)

    def action_export(self) -> None:
        self._export([self._entry])

    def action_copy(self) -> None:
        if found := commands(self._entry):
            self.app.copy_to_clipboard("\n".join(found))
            self.notify(f"copied the commands of {summary(self._entry)}", markup=False)
        else:
            self.notify("it has no commands: it was not done here", markup=False)

    def action_scroll_page(self, lines: int) -> None:
        self._page.scroll_relative(y=lines, animate=False)
