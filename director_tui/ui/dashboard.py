"""The dashboard: how it stands with the ring, its backends, and what changed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from director_tui.director.model import State
from director_tui.text import clean, clean_lines
from director_tui.ui import format
from director_tui.ui.backends_table import COLUMNS, BackendRow, backend_rows, matches
from director_tui.ui.commands import BACKENDS_CHANGED, RING_CHANGED, bindings, commands_of
from director_tui.ui.event_feed import EventFeed
from director_tui.ui.grid import Grid
from director_tui.ui.header import totals_line, unfinished_line, warning_lines
from director_tui.ui.key_bar import TypedLine
from director_tui.ui.lines import Lines, Remark, Rule
from director_tui.ui.live import LiveScreen, failure_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.events import DescendantFocus
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.director.model import Snapshot
    from director_tui.link.reading import Reading
    from director_tui.times import Times
    from director_tui.ui.format import Part
    from director_tui.ui.live import BeginChange, Present, RemoveCleanly


class FilterLine(TypedLine):
    """Where the filter is typed. Enter keeps it, Esc drops it."""

    KEYS = (("enter", "keep it"), ("esc", "drop it"), ("↑ ↓", "move in the table"))

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "drop", show=False),
        Binding("down", "screen.cursor('down')", show=False),
        Binding("up", "screen.cursor('up')", show=False),
    ]

    def action_drop(self) -> None:
        self.value = ""
        self.post_message(self.Submitted(self, ""))


def _of_last_attempt(lines: list[Part]) -> list[Part]:
    """The same lines while another attempt is under way: what failed before may be mended by now."""
    return [(text if number else f"last attempt: {text}", "$dt-muted") for number, (text, _) in enumerate(lines)]


_OWN: Final = (BACKENDS_CHANGED, RING_CHANGED, "Backends")
_LETTERS: Final = frozenset(one.action.partition("(")[0] for one in commands_of(*_OWN) if one.priority)
"""The actions that would take characters away from a text that is typed."""


NOTICES_HELD: Final = 3
"""The newest of what could not be said at once."""


class Dashboard(LiveScreen):
    """One ring, live."""

    GROUPS: ClassVar[tuple[str, ...]] = (*_OWN, "Views", "Emergency", "Program", "Quit")
    BINDINGS: ClassVar[list[BindingType]] = bindings(*GROUPS)

    class DetailsWanted(Message):
        """Somebody wants to see everything about this backend."""

        def __init__(self, ip: str) -> None:
            super().__init__()
            self.ip = ip

    def __init__(
        self, cluster: ClusterConfig, times: Times, change: BeginChange, remove_cleanly: RemoveCleanly
    ) -> None:
        super().__init__(cluster, times)
        self._change, self._remove_cleanly = change, remove_cleanly
        self._unfinished: tuple[str, ...] = ()
        self._notices: deque[str] = deque(maxlen=NOTICES_HELD)
        self._drawn: Snapshot | None = None
        self._rows_stand_on: tuple[object, ...] = ()
        self._lines_stand_on: tuple[object, ...] = ()
        self._totals = Lines()
        self._message = Remark()
        self._grid = Grid[BackendRow](COLUMNS, key=lambda row: row.backend.ip, matches=matches)
        self._filter_line = FilterLine("a part of IP, name, tag or condition")
        self._feed_rule = Rule(id="feed-rule")
        self._feed = EventFeed(cluster.names)

    def head(self) -> Iterable[Widget]:
        yield self._totals

    def body(self) -> Iterable[Widget]:
        yield self._message
        yield self._grid
        yield self._filter_line
        yield self._feed_rule
        yield self._feed

    def on_mount(self) -> None:
        self._grid.focus()

    # Readings

    def show_present(self, present: Present) -> None:
        reading = present.reading
        self._feed.show(present.events)
        if reading.snapshot is not None and reading.snapshot is not self._drawn:
            self._drawn = reading.snapshot
            self._show_backends(present, reading.snapshot)
        # The same reading in the same slot says nothing new here: of most, only the status line is another one.
        stands_on = reading, present.history.slot, self.line_width, self.has_class("-tiny")
        if stands_on != self._lines_stand_on:
            self._lines_stand_on = stands_on
            self._show_message(reading)
            self._show_totals()

    def show_stale(self, stale: bool) -> None:
        self._grid.set_stale(stale)

    def _show_backends(self, present: Present, snapshot: Snapshot) -> None:
        settings = present.reading.settings
        consistent = settings.consistent_hashing if settings is not None else True
        stands_on = snapshot.backends, present.history.slot, consistent
        if stands_on == self._rows_stand_on and not any(each.state is State.DOWN for each in snapshot.backends):
            return  # only how long one has been down changes by the clock alone
        self._rows_stand_on = stands_on
        self._grid.set_rows(
            backend_rows(snapshot, present.history, self.cluster.names, self.times.utc(), consistent=consistent)
        )
        self._say_filter()

    def _show_message(self, reading: Reading) -> None:
        lines: list[Part] = []
        failed = [view.failure for view in reading.views if view.failure is not None]
        if reading.link.failure is not None:
            said = failure_lines(reading.link.failure)
            lines.extend(_of_last_attempt(said) if reading.link.trying else said)
        elif reading.snapshot is not None and not reading.snapshot.backends:
            lines.append(("the director lists no backend at all", "$dt-attention"))
        elif failed:
            more = f"   (and {format.plural(len(failed) - 1, 'more director')})" if len(failed) > 1 else ""
            said = [(f"{failed[0]}{more}", "$dt-attention")]
            lines.extend(_of_last_attempt(said) if reading.asking else said)
        elif reading.note:
            lines.append((reading.note, "$dt-muted"))
        # Without any data there is nothing more important to fill the screen with.
        self._message.set_class(reading.snapshot is None, "-alone")
        self._message.show([Content.styled(clean_lines(text), style) for text, style in lines])

    def _show_totals(self) -> None:
        """The part of the header that only a reading or another width can change."""
        lines: list[Content] = []
        present = self.present
        if present is not None and present.reading.snapshot is not None:
            if not self.has_class("-tiny"):
                lines.append(totals_line(present.reading, present.history, self.line_width))
            lines.extend(warning_lines(present.reading, self.line_width))
        if self._unfinished and not self.has_class("-tiny"):
            can_resume = not self.cluster.read_only
            lines.append(unfinished_line(self._unfinished, self.line_width, can_resume=can_resume))
        self._totals.show(lines)

    def show_unfinished(self, ips: tuple[str, ...]) -> None:
        """Say that clean removals of these backends are not over."""
        if ips != self._unfinished:
            self._unfinished = ips
            if self.is_mounted:
                self._show_totals()

    def go_to(self, ip: str) -> None:
        """Put the cursor on this backend; a filter that hides it is dropped."""
        if ip not in {row.backend.ip for row in self._grid.rows}:
            self._filter_line.value = ""
            self._grid.set_filter("")
            self._say_filter()
        self._grid.move_cursor(ip)
        self._grid.focus()

    # Commands

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a text is typed, its characters are no commands."""
        return not (action in _LETTERS and isinstance(self.focused, Input))

    def action_filter(self) -> None:
        line = self._filter_line
        # Not by a class: styles are applied later, and what is not displayed takes no focus, so keys would be lost.
        line.display = True
        # Not by Widget.focus(), which comes later: the next keys are already waiting.
        self.set_focus(line)

    def action_cursor(self, direction: str) -> None:
        """The arrows move in the table while the filter is typed, too."""
        if direction == "down":
            self._grid.action_cursor_down()
        else:
            self._grid.action_cursor_up()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        if event.widget is self._grid and self._filter_line.display:  # being told so costs a layout
            self._filter_line.display = False

    def on_input_changed(self, event: Input.Changed) -> None:
        self._grid.set_filter(event.value)
        self._say_filter()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.set_focus(self._grid)

    def action_sort_next(self) -> None:
        self._grid.sort_next()

    def action_sort_reverse(self) -> None:
        column, reverse = self._grid.sorted_by
        self._grid.sort_by(column, reverse=not reverse)

    def action_details(self) -> None:
        if self._grid.cursor_key is None:
            self.notify("the cursor stands on no backend", markup=False)
        else:
            self.post_message(self.DetailsWanted(self._grid.cursor_key))

    async def action_change(self, verb: str) -> None:
        """Begin a change of what is marked, or of the backend under the cursor, as it stands there now."""
        # Imported with the first changing key: so the first frame comes sooner.
        from director_tui.operations.gate import NEEDS_TARGET
        from director_tui.operations.plan import Request, Target, Verb

        wanted = Verb(verb)
        ips = self._chosen() if wanted in NEEDS_TARGET else []
        await self._change(Request(wanted, tuple(map(Target, ips))))

    async def action_remove_cleanly(self) -> None:
        """Take the backend under the cursor out step by step, or go on with that."""
        await self._remove_cleanly(self._chosen())

    def _chosen(self) -> list[str]:
        """The marked backends as they are shown, or the one under the cursor; none where it stands on none."""
        ips = [row.backend.ip for row in self._grid.rows if row.backend.ip in self._grid.marks]
        if not ips and self._grid.cursor_key is not None:
            ips = [self._grid.cursor_key]
        return ips

    def action_copy(self) -> None:
        if ips := self._chosen():
            self.app.copy_to_clipboard(" ".join(ips))
            self.notify(f"copied {ips[0]}" if len(ips) == 1 else f"copied {len(ips)} IPs", markup=False)

    def action_mark(self) -> None:
        self._grid.toggle_mark()

    def action_mark_all(self) -> None:
        self._grid.mark_shown()

    def action_clear(self) -> None:
        if self._grid.filter_text:
            self._filter_line.value = ""
        else:
            self._grid.clear_marks()

    def on_grid_marks_changed(self) -> None:
        self._say_filter()

    def on_grid_notice(self, event: Grid.Notice) -> None:
        """Not over another view, or over a dialog: it tells of the table, so it is said when that is seen again, with
        when it was, for it may be otherwise by then."""
        if self.app.screen is self:
            self.notify(event.text, markup=False)
        else:
            self._notices.append(f"{self.times.utc():%H:%M:%S} UTC: {event.text}")

    def on_screen_resume(self) -> None:
        for text in self._notices:
            self.notify(text, markup=False)
        self._notices.clear()

    def _say_filter(self) -> None:
        grid = self._grid
        words: list[Part] = []
        if grid.filter_text:
            words.append((f"filter “{clean(grid.filter_text)}”", "$dt-accent"))
            words.append((f"{grid.hidden} hidden · esc shows all", "$dt-muted"))
        if grid.marks:
            words.append((f"{len(grid.marks)} marked", "$dt-accent"))
        self._feed_rule.say(*words)
