"""What all screens of one ring have in common: they follow its readings, and say on top how old what they show is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from textual.message import Message
from textual.screen import Screen

from director_tui.errors import RingUnreadable
from director_tui.link.reading import stale_after_s
from director_tui.ui.compositor import Compositor
from director_tui.ui.header import calm_left_s, status_line, stop_line
from director_tui.ui.key_bar import KeyBar
from director_tui.ui.lines import Lines, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.app import ComposeResult
    from textual.events import DescendantFocus, Resize
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.director.changes import Change
    from director_tui.errors import DirectorTuiError
    from director_tui.link.history import History
    from director_tui.link.reading import Reading
    from director_tui.link.users import Sessions
    from director_tui.operations.emergency import Stop
    from director_tui.operations.plan import Request
    from director_tui.operations.progress import Progress
    from director_tui.times import Times
    from director_tui.ui.format import Part

TICK_S: Final = 0.5
"""How often ages are looked at, apart from the readings, while there are any to be seen."""
CALM_TICK_S: Final = 2.5
"""How often at least while there are none, but only the clock. Each reading sets it, too, and is drawn anyway: to draw
is what costs most of an idle dashboard."""
SHORT_LINES: Final = 30
LOW_LINES: Final = 14
TINY_LINES: Final = 8
"""Below so many lines of screen: two events, then none, then nothing but the state, the table and the keys."""


@dataclass(frozen=True, slots=True)
class Present:
    """All that is known of a ring now. ``events`` are the changes seen since the start, the newest first.

    ``stop`` is the emergency stop that is in force, if one is known.
    """

    reading: Reading
    history: History
    events: Sequence[Change] = ()
    stop: Stop | None = None


def failure_lines(failure: DirectorTuiError) -> list[Part]:
    """What failed, a line for each director, and what to do about it."""
    causes = list(failure.causes.values()) if isinstance(failure, RingUnreadable) else [failure]
    lines = [(text, "$dt-attention") for text in dict.fromkeys(str(cause) for cause in causes)]
    lines.extend((text, "$dt-text") for text in dict.fromkeys(cause.remedy for cause in causes if cause.remedy))
    return lines


AskSessions = Callable[[Callable[["Sessions"], None]], None]
"""Asks every director for its sessions, and hands over what is known after each answer."""

BeginChange = Callable[["Request"], Awaitable[None]]
"""Begins what a changing key is for; returns when whatever it opens has the keyboard."""

RemoveCleanly = Callable[["Sequence[str]"], Awaitable[None]]
"""Begins the clean removal of a backend, or goes on with one; returns when whatever it opens has the keyboard."""

InBackground = Callable[[Callable[[], Awaitable[None]]], None]
"""Begins something that goes on whatever is on the screen, and waits for nothing."""


class Tell(Protocol):
    """Shows a notice that must be read; one that isn't ``fine`` warns."""

    def __call__(self, text: str, *, fine: bool = False) -> None: ...


class LiveScreen(Screen[None]):
    """A screen of one ring: the state of link and ring on top, the keys at the bottom, a body of its own between.

    A subclass names its ``GROUPS`` of commands, makes its :meth:`body`, and says in :meth:`show_present` what a reading
    changes there. ``present`` is None until the first reading.
    """

    GROUPS: ClassVar[tuple[str, ...]] = ()

    class BackendWanted(Message):
        """Somebody wants to go to this backend on the dashboard."""

        def __init__(self, ip: str) -> None:
            super().__init__()
            self.ip = ip

    def __init__(self, cluster: ClusterConfig, times: Times, present: Present | None = None) -> None:
        super().__init__()
        self._compositor = Compositor()
        self.cluster: Final = cluster
        self.times: Final = times
        self.present = present
        # Kept here, not looked up: a reading may still arrive while the screen is being taken down.
        self._status = Lines()
        self._stop_line = Lines(id="stop-in-force")
        self._operation_line = Lines()
        self._operation: Progress | None = None
        self._keys = KeyBar(*self.GROUPS, read_only=cluster.read_only)
        self._next_tick: asyncio.TimerHandle | None = None

    def compose(self) -> ComposeResult:
        yield self._status
        yield self._stop_line
        yield from self.head()
        yield self._operation_line
        yield Rule(id="header-rule")
        yield from self.body()
        yield Rule(id="key-rule")
        yield self._keys

    def head(self) -> Iterable[Widget]:
        """More lines of the header."""
        return ()

    def body(self) -> Iterable[Widget]:
        """What stands between header and footer."""
        raise NotImplementedError

    def show_present(self, present: Present) -> None:
        """Draw what is new; called for each reading, changed or not, and when the screen has another size."""

    def show_operation(self, progress: Progress | None) -> None:
        """How far the operation is that runs on this ring; else how the last one has ended, if there was one."""
        self._operation = progress
        self._show_operation_line()

    @property
    def shows_operation(self) -> bool:
        """Whether all of it can be seen here, so that no line and no notice has to tell of it."""
        return False

    def _show_operation_line(self) -> None:
        progress = self._operation
        if progress is None or not progress.running or self.shows_operation:
            self._operation_line.show([])
        else:
            # Imported when there is one: so the first frame comes sooner.
            from director_tui.ui.operation_words import hint

            self._operation_line.show([hint(progress, self.line_width)])

    def read_again(self) -> None:
        """A person wants a reading now: ask also for what is not polled."""

    def journal_grew(self) -> None:
        """There is more in the journal than before."""

    def show_stale(self, stale: bool) -> None:
        """The data has become too old to be believed, or is fresh again; called at every tick."""

    def show(self, present: Present) -> None:
        """Take in a reading."""
        self.present = present
        if not self.is_mounted:
            return
        with self.app.batch_update():
            self.show_present(present)
            self.tick()

    def on_mount(self) -> None:
        if self.present is not None:
            self.show_present(self.present)
        self._show_operation_line()
        self.tick()

    async def on_unmount(self) -> None:
        if self._next_tick is not None:
            self._next_tick.cancel()

    def tick(self) -> None:
        """Whatever changes by the clock alone: ages, and with them what may be believed. Calls itself again."""
        now_s = self.times.mono_s()
        reading = self.present.reading if self.present is not None else None
        stale = False
        if reading is not None and reading.snapshot is not None:
            stale = now_s - reading.snapshot.taken_mono_s > stale_after_s(self.cluster.interval_s)
        self.show_stale(stale)
        self._status.show([status_line(self.cluster, reading, now_s, self.times.utc(), self.line_width)])
        self._show_stop()
        if self._next_tick is not None:
            self._next_tick.cancel()
        self._next_tick = asyncio.get_running_loop().call_later(self.tick_s, self.tick)

    def _show_stop(self) -> None:
        stop = self.present.stop if self.present is not None else None
        lines = []
        if stop is not None:
            can_recover = not self.cluster.read_only
            lines = [stop_line(stop, self.times.utc(), self.line_width, can_recover=can_recover)]
        self._stop_line.show(lines)

    @property
    def tick_s(self) -> float:
        """How long until the next tick, in seconds, if no reading comes before."""
        reading = self.present.reading if self.present is not None else None
        calm_s = calm_left_s(self.cluster, reading, self.times.mono_s()) if reading is not None else 0.0
        return max(TICK_S, min(calm_s, CALM_TICK_S))

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self._keys.show_for(self.focused)

    def on_descendant_blur(self) -> None:
        self._keys.show_for(self.focused)

    @property
    def line_width(self) -> int:
        """Cells of a header line."""
        return max(10, self.size.width - 2)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height < SHORT_LINES, "-short")
        self.set_class(event.size.height < LOW_LINES, "-low")
        self.set_class(event.size.height < TINY_LINES, "-tiny")
        if self.present is not None:
            self.show_present(self.present)
        self._show_operation_line()
        self.tick()
