"""The dashboard: how it stands with the ring, its backends, and what changed."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from director_tui.errors import RingUnreadable
from director_tui.link.monitor import stale_after_s
from director_tui.text import clean, clean_lines
from director_tui.ui import format
from director_tui.ui.backends_table import COLUMNS, BackendRow, backend_rows, matches
from director_tui.ui.commands import COMMANDS, bindings
from director_tui.ui.grid import Grid
from director_tui.ui.header import status_line, totals_line, warning_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.app import ComposeResult
    from textual.events import DescendantFocus, Resize

    from director_tui.config import ClusterConfig
    from director_tui.director.changes import Change
    from director_tui.director.model import Snapshot
    from director_tui.errors import DirectorTuiError
    from director_tui.link.history import History
    from director_tui.link.monitor import Reading
    from director_tui.ui.header import Part

TICK_S: Final = 0.5
"""How often ages and the clock are looked at, apart from the readings."""
SHORT_LINES: Final = 30
LOW_LINES: Final = 14
TINY_LINES: Final = 8
"""Below so many lines of screen: two events, then none, then nothing but the state, the table and the keys."""
EVENTS_KEPT: Final = 500
WHO_COLUMN: Final = 44
NAMES_FROM_WIDTH: Final = 60

_STYLES: Final = {
    "": "$dt-text",
    "muted": "$dt-muted",
    "fine": "$dt-fine",
    "attention": "$dt-attention",
    "danger": "$dt-danger bold",
    "accent": "$dt-accent",
}


class Lines(Static):
    """Lines that are laid out again only when their number changes, and drawn again only when they change."""

    def __init__(self) -> None:
        super().__init__()
        self.display = False
        self._lines: list[Content] = []

    def show(self, lines: list[Content]) -> None:
        other_height = len(lines) != len(self._lines)
        # Two contents are equal when their texts are, whatever their styles.
        if other_height or not all(new.is_same(old) for new, old in zip(lines, self._lines, strict=True)):
            self._lines = lines
            self.display = bool(lines)
            self.update(Content("\n").join(lines), layout=other_height)


class Message(Lines):
    """What keeps the program from reading, and what to do about it; hidden while all is well."""


class Rule(Static):
    """A line between two parts, which may say something about the part above it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="rule")
        self._words: list[Part] = []

    def say(self, *words: Part) -> None:
        self._words = list(words)
        self.refresh()

    def render(self) -> Content:
        said = [(f" {text} ", style) for text, style in self._words if text]
        used = 2 + sum(len(text) for text, _ in said) if said else 0
        lead: list[Part] = [("──", "$dt-line"), *said] if said else []
        return Content.assemble(*lead, ("─" * max(0, self.size.width - used), "$dt-line"))


class EventFeed(Static):
    """What changed, the newest first; as many lines as there is room for."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__()
        self._names = names
        self._changes: deque[Change] = deque(maxlen=EVENTS_KEPT)

    def add(self, changes: Sequence[Change]) -> None:
        if changes:
            self._changes.extendleft(changes)
            self.refresh()

    def render(self) -> Content:
        lines = [self._line(change) for change in list(self._changes)[: max(1, self.size.height)]]
        if not lines:
            return Content.styled("nothing has changed since the start", "$dt-muted")
        return Content("\n").join(lines)

    def _line(self, change: Change) -> Content:
        # On a narrow screen the name would push what changed over the edge.
        pieces = format.change(change, self._names if self.size.width >= NAMES_FROM_WIDTH else {})
        what = [(clean(piece.text), _STYLES[piece.meaning]) for piece in pieces]
        # Below each other where there is room, so that the eye finds who did it.
        gap = " " * max(3, WHO_COLUMN - sum(cell_len(text) for text, _ in what))
        who = "outside this program" if change.subject.is_of_ring else ""
        return Content.assemble((f"{change.at:%H:%M:%S}", "$dt-muted"), "  ", *what, gap, (who, "$dt-muted"))


class FilterLine(Input):
    """Where the filter is typed. Enter keeps it, Esc drops it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "drop", show=False),
        Binding("down", "screen.cursor('down')", show=False),
        Binding("up", "screen.cursor('up')", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(placeholder="a part of IP, name, tag or condition", compact=True)

    def action_drop(self) -> None:
        self.value = ""
        self.post_message(self.Submitted(self, ""))


class KeyBar(Static):
    """The footer: the commands that there is room for; clicking one does it."""

    def render(self) -> Content:
        ranked = sorted((one for one in COMMANDS if one.rank), key=lambda one: -one.rank)
        room = max(0, self.size.width)
        chosen = []
        for command in ranked:
            width = len(command.first_key) + 1 + len(command.label)
            if width > room:
                break
            chosen.append(command)
            room -= width + 3
        parts: list[Content] = []
        for command in sorted(chosen, key=COMMANDS.index):
            key = Content.styled(command.first_key, f"$dt-accent @click={_qualified(command.action)}()")
            parts.append(Content.assemble(key, " ", (command.label, "$dt-muted")))
        return Content("   ").join(parts)


def _qualified(action: str) -> str:
    return action if "." in action else f"screen.{action}"


def _failure_lines(failure: DirectorTuiError) -> list[Part]:
    """What failed, a line for each director, and what to do about it."""
    causes = list(failure.causes.values()) if isinstance(failure, RingUnreadable) else [failure]
    lines = [(text, "$dt-attention") for text in dict.fromkeys(str(cause) for cause in causes)]
    lines.extend((text, "$dt-text") for text in dict.fromkeys(cause.remedy for cause in causes if cause.remedy))
    return lines


class Dashboard(Screen[None]):
    """One ring, live."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("Backends", "Program")

    def __init__(self, cluster: ClusterConfig) -> None:
        super().__init__()
        self._cluster = cluster
        self._reading: Reading | None = None
        self._history: History | None = None
        # Kept here, not looked up: a reading may still arrive while the screen is being taken down.
        self._status = Lines()
        self._totals = Lines()
        self._message = Message()
        self._grid = Grid[BackendRow](COLUMNS, key=lambda row: row.backend.ip, matches=matches)
        self._filter_line = FilterLine()
        self._feed_rule = Rule(id="feed-rule")
        self._feed = EventFeed(cluster.names)

    def compose(self) -> ComposeResult:
        yield self._status
        yield self._totals
        yield Rule(id="header-rule")
        yield self._message
        yield self._grid
        yield self._filter_line
        yield self._feed_rule
        yield self._feed
        yield Rule(id="key-rule")
        yield KeyBar()

    def on_mount(self) -> None:
        self._grid.focus()
        self.set_interval(TICK_S, self._tick)

    # Readings

    def show(self, reading: Reading, history: History) -> None:
        """Show this reading; called for each one, changed or not."""
        before, self._reading = self._reading, reading
        self._history = history
        with self.app.batch_update():
            self._feed.add(reading.changes)
            if reading.snapshot is not None and (before is None or reading.snapshot is not before.snapshot):
                self._show_backends(reading, reading.snapshot, history)
            self._show_message(reading)
            self._show_totals()
            self._tick()

    def _show_backends(self, reading: Reading, snapshot: Snapshot, history: History) -> None:
        consistent = reading.settings.consistent_hashing if reading.settings is not None else True
        self._grid.set_rows(
            backend_rows(snapshot, history, self._cluster.names, datetime.now(UTC), consistent=consistent)
        )
        self._say_filter()

    def _show_message(self, reading: Reading) -> None:
        lines: list[Part] = []
        failed = [view.failure for view in reading.views if view.failure is not None]
        if reading.link.failure is not None:
            lines.extend(_failure_lines(reading.link.failure))
        elif reading.snapshot is not None and not reading.snapshot.backends:
            lines.append(("the director lists no backend at all", "$dt-attention"))
        elif failed:
            more = f"   (and {format.plural(len(failed) - 1, 'more director')})" if len(failed) > 1 else ""
            lines.append((f"{failed[0]}{more}", "$dt-attention"))
        elif reading.note:
            lines.append((reading.note, "$dt-muted"))
        # Without any data there is nothing more important to fill the screen with.
        self._message.set_class(reading.snapshot is None, "-alone")
        self._message.show([Content.styled(clean_lines(text), style) for text, style in lines])

    def _show_totals(self) -> None:
        """The part of the header that only a reading or another width can change."""
        lines: list[Content] = []
        if self._reading is not None and self._reading.snapshot is not None and self._history is not None:
            width = self._line_width
            if not self.has_class("-tiny"):
                lines.append(totals_line(self._reading, self._history, width))
            lines.extend(warning_lines(self._reading, width))
        self._totals.show(lines)

    def _tick(self) -> None:
        """Whatever changes by the clock alone: ages, and with them what may be believed."""
        now_s = time.monotonic()
        stale = False
        if self._reading is not None and self._reading.snapshot is not None:
            age_s = now_s - self._reading.snapshot.taken_mono_s
            stale = age_s > stale_after_s(self._cluster.interval_s)
        self._grid.set_stale(stale)
        status = status_line(self._cluster, self._reading, now_s, datetime.now(UTC), self._line_width)
        self._status.show([status])

    @property
    def _line_width(self) -> int:
        return max(10, self.size.width - 2)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height < SHORT_LINES, "-short")
        self.set_class(event.size.height < LOW_LINES, "-low")
        self.set_class(event.size.height < TINY_LINES, "-tiny")
        self._show_totals()
        self._tick()

    # Commands

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a text is typed, its characters are no commands."""
        return not (action == "filter" and isinstance(self.focused, Input))

    def action_filter(self) -> None:
        line = self._filter_line
        # Not by a class: styles are applied later, and what is not displayed takes no focus, so keys would be lost.
        line.display = True
        line.focus()

    def action_cursor(self, direction: str) -> None:
        """The arrows move in the table while the filter is typed, too."""
        if direction == "down":
            self._grid.action_cursor_down()
        else:
            self._grid.action_cursor_up()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        if event.widget is self._grid:
            self._filter_line.display = False

    def on_input_changed(self, event: Input.Changed) -> None:
        self._grid.set_filter(event.value)
        self._say_filter()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._grid.focus()

    def action_sort_next(self) -> None:
        self._grid.sort_next()

    def action_sort_reverse(self) -> None:
        column, reverse = self._grid.sorted_by
        self._grid.sort_by(column, reverse=not reverse)

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
        self.notify(event.text, markup=False)

    def _say_filter(self) -> None:
        grid = self._grid
        words: list[Part] = []
        if grid.filter_text:
            words.append((f"filter “{grid.filter_text}”", "$dt-accent"))
            words.append((f"{grid.hidden} hidden · esc shows all", "$dt-muted"))
        if grid.marks:
            words.append((f"{len(grid.marks)} marked", "$dt-accent"))
        self._feed_rule.say(*words)
