"""The dashboard: how it stands with the ring, its backends, and what changed."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from director_tui.director.mail_servers import parse_mail_servers, run_time_only
from director_tui.director.model import Condition
from director_tui.link.monitor import LinkStatus, foreign, stale_after_s
from director_tui.ui import format
from director_tui.ui.backends_table import COLUMNS, BackendRow, backend_rows, matches
from director_tui.ui.commands import COMMANDS, bindings
from director_tui.ui.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.app import ComposeResult
    from textual.events import Resize

    from director_tui.config import ClusterConfig
    from director_tui.director.changes import Change
    from director_tui.director.model import Snapshot
    from director_tui.link.history import History
    from director_tui.link.monitor import Reading

TICK_S: Final = 0.5
"""How often ages and the clock are looked at, apart from the readings."""
SHORT_LINES: Final = 30
TINY_LINES: Final = 14
EVENTS_KEPT: Final = 500

Part = tuple[str, str]
"""A text and its style, made of theme variables."""

_STYLES: Final = {
    "": "$dt-text",
    "muted": "$dt-muted",
    "fine": "$dt-fine",
    "attention": "$dt-attention",
    "danger": "$dt-danger bold",
    "accent": "$dt-accent",
}


class StatusHeader(Static):
    """The lines at the top: cluster and link, ring, totals; and in red what must not be overlooked."""


class Message(Static):
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
        return Content("\n").join(lines) if lines else Content.styled("nothing has changed since the start", "$dt-muted")

    def _line(self, change: Change) -> Content:
        pieces = format.change(change, self._names)
        what = Content.assemble(*((piece.text, _STYLES[piece.meaning]) for piece in pieces))
        who = Content.styled("   outside this program", "$dt-muted") if change.subject.is_of_ring else Content("")
        return Content.assemble((f"{change.at:%H:%M:%S}  ", "$dt-muted"), what, who)


class FilterLine(Input):
    """Where the filter is typed. Enter keeps it, Esc drops it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "drop", show=False)]

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


class Dashboard(Screen[None]):
    """One ring, live."""

    BINDINGS: ClassVar[list[BindingType]] = bindings("Backends", "Program")

    def __init__(self, cluster: ClusterConfig) -> None:
        super().__init__()
        self._cluster = cluster
        self._reading: Reading | None = None
        self._history: History | None = None

    def compose(self) -> ComposeResult:
        yield StatusHeader()
        yield Rule()
        yield Message(markup=False)
        yield Grid[BackendRow](COLUMNS, key=lambda row: row.backend.ip, matches=matches, id="backends")
        yield FilterLine()
        yield Rule(id="feed-rule")
        yield EventFeed(self._cluster.names)
        yield Rule(id="key-rule")
        yield KeyBar()

    def on_mount(self) -> None:
        self._grid.focus()
        self.set_interval(TICK_S, self._tick)

    @property
    def _grid(self) -> Grid[BackendRow]:
        return self.query_one("#backends", Grid)

    # Readings

    def show(self, reading: Reading, history: History) -> None:
        """Show this reading; called for each one, changed or not."""
        self._history = history
        before = self._reading
        self._reading = reading
        with self.app.batch_update():
            self.query_one(EventFeed).add(reading.changes)
            if reading.snapshot is not None and (before is None or reading.snapshot is not before.snapshot):
                self._show_backends(reading.snapshot)
            self._show_message()
            self._tick()

    def _show_backends(self, snapshot: Snapshot) -> None:
        assert self._history is not None and self._reading is not None
        settings = self._reading.settings
        consistent = settings.consistent_hashing if settings is not None else True
        rows = backend_rows(
            snapshot, self._history, self._cluster.names, datetime.now(UTC), consistent=consistent
        )
        self._grid.set_rows(rows)
        self._say_filter()

    def _show_message(self) -> None:
        assert self._reading is not None
        link = self._reading.link
        parts: list[Part] = []
        if link.failure is not None:
            parts.append((str(link.failure), "$dt-attention"))
            if link.failure.remedy:
                parts.append((f"\n{link.failure.remedy}", "$dt-text"))
        elif self._reading.snapshot is not None and not self._reading.snapshot.backends:
            parts.append(("the director lists no backend at all", "$dt-attention"))
        elif self._reading.note:
            parts.append((self._reading.note, "$dt-muted"))
        message = self.query_one(Message)
        message.update(Content.assemble(*parts))
        message.set_class(bool(parts), "-shown")

    def _tick(self) -> None:
        """Whatever changes by the clock alone: ages, and with them what may be believed."""
        now_s = time.monotonic()
        stale = False
        if self._reading is not None and self._reading.snapshot is not None:
            age_s = now_s - self._reading.snapshot.taken_mono_s
            stale = age_s > stale_after_s(self._cluster.interval_s)
        self._grid.set_stale(stale)
        header = header_lines(
            self._cluster, self._reading, self._history, now_s, datetime.now(UTC), max(10, self.size.width - 2)
        )
        self.query_one(StatusHeader).update(Content("\n").join(header))

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height < SHORT_LINES, "-short")
        self.set_class(event.size.height < TINY_LINES, "-tiny")
        self._tick()

    # Commands

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a text is typed, its characters are no commands."""
        return not (action == "filter" and isinstance(self.focused, Input))

    def action_filter(self) -> None:
        line = self.query_one(FilterLine)
        # Not by a class: styles are applied later, and what is not displayed takes no focus, so keys would be lost.
        line.display = True
        line.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._grid.set_filter(event.value)
        self._say_filter()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._grid.focus()
        self.query_one(FilterLine).display = False
        self._say_filter()

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
            self.query_one(FilterLine).value = ""
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
        self.query_one("#feed-rule", Rule).say(*words)


def header_lines(
    cluster: ClusterConfig,
    reading: Reading | None,
    history: History | None,
    now_s: float,
    now: datetime,
    width: int,
) -> list[Content]:
    """The lines of the header, each at most ``width`` cells wide, with a space in front."""
    link = _link_parts(cluster, reading, now_s)
    ring = _ring_parts(reading)
    identity: list[Part] = [(cluster.name, "$dt-text bold")]
    if cluster.environment:
        warning = cluster.environment.casefold() in {"production", "prod", "live"}
        identity.append((f" · {cluster.environment}", "$dt-attention" if warning else "$dt-accent"))
    if cluster.read_only:
        identity.append((" · read-only", "$dt-muted"))
    lines = [_fitted([(identity, 0), *link, *ring], [(f"{now:%H:%M:%S} UTC", "$dt-muted")], width)]
    if reading is not None and reading.snapshot is not None:
        lines.append(_fitted(_total_parts(reading, history), [], width))
        for tag in reading.snapshot.tags_without_backend:
            where = f"TAG {tag}" if tag else "UNTAGGED USERS"
            lines.append(_warning(f"NO USABLE BACKEND FOR {where}: new logins wait 30 to 60 s and fail", width))
        if reading.snapshot.ring is not None and reading.snapshot.ring.alone:
            lines.append(_warning("SPLIT RING: this director believes that it is the only one", width))
        for name in foreign(reading.views):
            lines.append(_warning(f"{name} BELONGS TO ANOTHER RING and is left out", width))
    return lines


Group = tuple[list[Part], int]
"""Parts that stand together, and when they give way: the highest number first, 0 never."""


def _fitted(groups: list[Group], right: list[Part], width: int) -> Content:
    kept = [group for group in groups if group[0]]

    def length(parts: Sequence[Part]) -> int:
        return sum(len(text) for text, _ in parts)

    def total() -> int:
        return sum(length(parts) for parts, _ in kept) + 3 * (len(kept) - 1)

    right_fits = bool(right) and total() + length(right) + 3 <= width
    while total() > width and any(rank for _, rank in kept):
        kept.remove(max(kept, key=lambda group: group[1]))
    pieces: list[Part] = [(" ", "")]
    for number, (parts, _) in enumerate(kept):
        pieces.extend(parts if number == 0 else [("   ", ""), *parts])
    if right_fits:
        pieces.extend([(" " * (width - total() - length(right)), ""), *right])
    return Content.assemble(*pieces)


def _warning(text: str, width: int) -> Content:
    shown = text if len(text) <= width else text[: width - 1] + "…"
    return Content.assemble((" ", ""), (shown, "$dt-danger bold"))


def _link_parts(cluster: ClusterConfig, reading: Reading | None, now_s: float) -> list[Group]:
    if reading is None:
        return [([("◌ CONNECTING", "$dt-accent")], 0)]
    name = short_name(reading.link.director, [director.ssh for director in cluster.directors])
    snapshot = reading.snapshot
    if snapshot is None:
        waiting = reading.link.failure is not None
        word: Part = ("○ NOT CONNECTED", "$dt-danger bold") if waiting else ("◌ CONNECTING", "$dt-accent")
        return [([word], 0), ([(name, "$dt-text")], 1), ([(_retry(reading, now_s), "$dt-muted")], 2)]
    age_s = now_s - snapshot.taken_mono_s
    old = f"{format.span(age_s)} old" if age_s > cluster.interval_s else ""
    stale = age_s > stale_after_s(cluster.interval_s)
    live = reading.link.status is LinkStatus.LIVE
    words: list[Part] = []
    if stale:
        words.append((f"○ STALE {old}", "$dt-danger bold"))
    elif live:
        words.append(("● LIVE", "$dt-fine"))
    if not live:
        words.append((("  " if words else "") + "◌ RECONNECTING", "$dt-attention bold"))
    if old and not stale:
        words.append((f" {old}", "$dt-attention"))
    groups: list[Group] = [(words, 0), ([(name, "$dt-text")], 1)]
    if live:
        groups.append(([(f"{snapshot.latency_ms:.0f} ms", "$dt-muted")], 3))
    else:
        groups.append(([(_retry(reading, now_s), "$dt-muted")], 2))
    return groups


def _retry(reading: Reading, now_s: float) -> str:
    link = reading.link
    if link.failure is None:
        return ""
    if link.retry_at_mono_s is None:
        return "waits for you: r tries again"
    return f"next try in {max(0, round(link.retry_at_mono_s - now_s))} s"


def _ring_parts(reading: Reading | None) -> list[Group]:
    view = reading.snapshot.ring if reading is not None and reading.snapshot is not None else None
    if view is None:
        return []
    there, members = len(view.connected), len(view.members)
    whole = there == members
    own = view.self_peer
    word = "synced" if view.synced else (own.status.removeprefix("ring ").upper() if own is not None else "UNKNOWN")
    style = "$dt-fine" if whole and view.synced else "$dt-attention" if view.synced else "$dt-danger bold"
    groups: list[Group] = [([(f"ring {there}/{members} {word}", style)], 0)]
    if view.ping_ms is not None:
        groups.append(([(f"ping {view.ping_ms} ms", "$dt-muted")], 4))
    return groups


def _total_parts(reading: Reading, history: History | None) -> list[Group]:
    snapshot = reading.snapshot
    assert snapshot is not None
    by_condition = {one: 0 for one in Condition}
    for backend in snapshot.backends:
        by_condition[backend.condition] += 1
    groups: list[Group] = [
        ([(format.plural(len(snapshot.backends), "backend"), "$dt-text")], 0),
        ([(f"{by_condition[Condition.SERVING]} serving", "$dt-fine")], 0),
    ]
    for condition, word, style in (
        (Condition.DRAINING, "draining", "$dt-attention"),
        (Condition.DRAINED, "drained", "$dt-attention"),
        (Condition.DOWN, "DOWN", "$dt-danger bold"),
    ):
        if by_condition[condition]:
            groups.append(([(f"{by_condition[condition]} {word}", style)], 0))
    groups.append(([(format.plural(snapshot.users, "user"), "$dt-text bold")], 0))
    if history is not None:
        rates = history.rates_per_min(backend.ip for backend in snapshot.backends)
        if rates:
            groups.append(([(f"{format.rate(sum(rates.values())).text}/min", "$dt-muted")], 2))
        groups.append(([(format.sparkline(history.total(), 12), "$dt-accent")], 3))
    settings = reading.settings
    if settings is not None and settings.mail_servers is not None:
        drift = len(run_time_only(snapshot.backends, parse_mail_servers(settings.mail_servers)))
        if drift:
            groups.append(([(format.plural(drift, "run-time-only change"), "$dt-attention")], 1))
    return groups


def short_name(destination: str, all_destinations: Sequence[str]) -> str:
    """The host of an SSH destination; its first label where that is enough to tell the directors apart."""

    def host(text: str) -> str:
        return text.rpartition("@")[2]

    def label(text: str) -> str:
        first, dot, _ = host(text).partition(".")
        return first if dot and not first.isdigit() else host(text)

    labels = [label(one) for one in all_destinations]
    return label(destination) if len(set(labels)) == len(labels) else host(destination)
