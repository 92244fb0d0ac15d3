"""The views of what is being done and was done to one cluster, and what can be done with it there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from director_tui.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from director_tui.operations.journal import Entry
    from director_tui.operations.plan import Emergency
    from director_tui.times import Times
    from director_tui.ui.entry_screen import EntryScreen
    from director_tui.ui.live import BeginChange, InBackground, RemoveCleanly, Tell
    from director_tui.ui.operating import AskJournal, Operating
    from director_tui.ui.operations_screen import OperationsScreen
    from director_tui.ui.watch import Watch


class JournalViews:
    """Makes them. ``push`` shows one in front of another, ``plan`` and ``plan_emergency`` show what would be done."""

    def __init__(
        self,
        watch: Watch,
        operating: Operating,
        times: Times,
        *,
        ask_journal: AskJournal,
        push: Callable[[EntryScreen], object],
        plan: BeginChange,
        plan_emergency: Callable[[Emergency], Awaitable[None]],
        remove_cleanly: RemoveCleanly,
        in_background: InBackground,
        tell: Tell,
    ) -> None:
        self._watch, self._operating, self._times = watch, operating, times
        self._ask_journal = ask_journal
        self._push, self._plan, self._plan_emergency = push, plan, plan_emergency
        self._remove_cleanly = remove_cleanly
        self._in_background, self._tell = in_background, tell

    def operations(self) -> OperationsScreen:
        """The operation that runs, and the journal."""
        from director_tui.ui.operations_screen import OperationsScreen

        watch = self._watch
        return OperationsScreen(
            *(watch.cluster, self._times, watch.present),
            decide=self._operating.decide,
            ask_journal=self._ask_journal,
            plan=self._plan,
            plan_emergency=self._plan_emergency,
            open_entry=self._open_entry,
            set_back=self._set_back,
            export=self._export,
        )

    def _open_entry(self, entry: Entry) -> None:
        """In front of the journal that it is in, and q leads back there."""
        from director_tui.ui.entry_screen import EntryScreen

        watch = self._watch
        view = EntryScreen(
            *(watch.cluster, self._times, watch.present, entry),
            ask_journal=self._ask_journal,
            set_back=self._set_back,
            export=self._export,
        )
        view.show_operation(self._operating.progress)
        self._push(view)

    async def _set_back(self, entry: Entry) -> None:
        """Show the plan that makes it undone, or say why there is none."""
        from director_tui.operations.following import set_back
        from director_tui.operations.plan import Verb

        present = self._watch.present
        if present is None:
            self._tell("the ring has not been read yet")
        elif entry.first.verb == Verb.ADD.value and (added := entry.first.targets):
            await self._remove_cleanly(added)
        elif isinstance(wanted := set_back(entry.records, present.reading), str):
            self._tell(wanted)
        else:
            await self._plan(wanted)

    def _export(self, shown: Sequence[Entry]) -> None:
        self._in_background(partial(self._write_report, shown))

    async def _write_report(self, shown: Sequence[Entry]) -> None:
        try:
            path = await self._operating.export(shown)
        except StateError as error:
            self._tell(f"there is no report: {error}\n{error.remedy}")
        else:
            what = "1 entry" if len(shown) == 1 else f"{len(shown):,} entries"
            self._tell(f"{what} of the journal written to\n{path}", fine=True)
