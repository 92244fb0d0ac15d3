"""The application: wires the ring's readings to the screens. No domain logic."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import App, SystemCommand
from textual.binding import Binding

from director_tui.director.changes import ChangeLog
from director_tui.errors import DirectorTuiError, HostKeyUnknown, InternalFault, RingUnreadable, StateError
from director_tui.link.host_keys import add_to_known_hosts
from director_tui.link.monitor import Monitor
from director_tui.link.users import Sessions, sessions
from director_tui.text import clean, clean_lines
from director_tui.theme_files import user_folder
from director_tui.times import SYSTEM_TIMES, Times
from director_tui.ui import themes
from director_tui.ui.commands import commands_of
from director_tui.ui.dashboard import Dashboard
from director_tui.ui.details import DetailsScreen
from director_tui.ui.dialog_queue import DialogQueue
from director_tui.ui.dialogs import Dialog, HostKeyDialog, QuestionDialog
from director_tui.ui.help_screen import HelpScreen
from director_tui.ui.live import LiveScreen, Present
from director_tui.ui.palette import GoToBackend
from director_tui.ui.ring_screen import RingScreen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from textual.binding import BindingType
    from textual.command import Provider
    from textual.filter import LineFilter
    from textual.screen import Screen

    from director_tui.config import ClusterConfig
    from director_tui.link.monitor import Reading
    from director_tui.link.questions import Ask, Question
    from director_tui.link.ring import Ring

OpenRing = Callable[["ClusterConfig", "Ask | None"], Awaitable["Ring"]]
"""Makes the ring of a cluster; asks a person by the second argument, or nobody."""

CLOSE_LIMIT_S: Final = 3.0
"""How long quitting may wait for connections to close."""

FAULTS_NAMED: Final = 4
"""Broken theme files that are named at the start, one by one."""

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class DirectorApp(App[None], inherit_bindings=False):
    """director-tui on a terminal.

    ``open_ring`` is awaited after the first frame is painted; it gets the function that asks a person, None where
    nobody may be asked. ``theme`` is the name of the one for this run; without it the one that was chosen last is
    shown, or ``usual_theme``.
    """

    TITLE = "director-tui"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = App.COMMANDS | {GoToBackend}
    BINDINGS: ClassVar[list[BindingType]] = [
        # Priority reaches it through dialogs, too, which keep every other key of the program away.
        Binding("ctrl+q", "step_back", show=False, priority=True),
        Binding("ctrl+c", "help_quit", show=False),
    ]

    def __init__(
        self,
        cluster: ClusterConfig,
        open_ring: OpenRing,
        *,
        theme: str | None = None,
        usual_theme: str | None = None,
        times: Times = SYSTEM_TIMES,
    ) -> None:
        super().__init__()
        self._cluster = cluster
        self._open_ring = open_ring
        self._times = times
        self._ring: Ring | None = None
        self._monitor: Monitor | None = None
        self._present: Present | None = None
        self._change_log = ChangeLog()
        self._dashboard = Dashboard(cluster, times)
        self._dialogs = DialogQueue(self.push_screen)
        self._offered: set[tuple[str, int, str]] = set()
        self.no_color = not themes.wants_color(os.environ)
        self._themes = themes.read_themes()
        for one in self._themes.by_name.values():
            self.register_theme(one)
        few = themes.SIXTEEN_COLORS if self.console.color_system == "standard" else None
        self.theme = self._themes.first_of(theme, themes.remembered_theme(cluster.name), usual_theme, few)

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, self._told_to_end, number)
        self.push_screen(self._dashboard)
        if self._themes.faults:
            self.notify(_left_out(self._themes.faults), severity="warning", markup=False, timeout=20)
        self.call_after_refresh(self._begin)

    def _told_to_end(self, number: signal.Signals) -> None:
        """Killed, or the terminal was closed: leave like by q, so that nothing stays behind."""
        self.exit(return_code=128 + number)

    def _begin(self) -> None:
        self.run_worker(self._read_ring(), name="readings", exit_on_error=False)

    async def _read_ring(self) -> None:
        try:
            self._ring = await self._open_ring(self._cluster, self.ask)
            self._monitor = Monitor(self._ring, self._take, self._times)
            await self._monitor.run()
        except DirectorTuiError as error:
            self.exit(return_code=error.exit_status, message=_last_words(error, error.remedy))
        except Exception as error:  # noqa: BLE001 - the worker boundary: a fault must end the program, not freeze it
            fault = InternalFault(error)
            self.exit(return_code=fault.exit_status, message=_last_words(fault, fault.remedy))

    def _take(self, reading: Reading) -> None:
        if self._monitor is None:
            return
        if reading.changes:
            self._change_log.add(reading.changes)
        self._present = Present(reading, self._monitor.history, self._change_log.newest_first)
        for screen in self.screen_stack:
            if isinstance(screen, LiveScreen):
                screen.show(self._present)
        for failure in _failures(reading):
            if isinstance(failure, HostKeyUnknown):
                self._offer_host_key(failure)

    async def ask(self, question: Question) -> str | None:
        """Put a question to the person at the terminal. None: declined."""
        return await self._dialogs.show(QuestionDialog(question))

    def _offer_host_key(self, error: HostKeyUnknown) -> None:
        """Show an unknown host key, once; after Cancel again when the person asks for a reading."""
        seen = (error.host, error.port, error.fingerprint)
        if seen not in self._offered:
            self._offered.add(seen)
            self.run_worker(self._decide_host_key(error), name=f"host key of {error.host}")

    async def _decide_host_key(self, error: HostKeyUnknown) -> None:
        if not await self._dialogs.show(HostKeyDialog(error)):
            return
        try:
            add_to_known_hosts(error)
        except OSError as failure:
            self.notify(f"{error.known_hosts}: {failure.strerror}", severity="error", markup=False, timeout=15)
            return
        if self._monitor is not None:
            self._monitor.read_now()

    def read_now(self) -> None:
        self._offered.clear()
        if self._monitor is not None:
            self._monitor.read_now()

    def action_read_now(self) -> None:
        self.read_now()
        if isinstance(self.screen, LiveScreen):
            self.screen.read_again()

    def _ask_sessions(self, publish: Callable[[Sessions], None]) -> None:
        """By the app, not by the screen that wants to know: what has begun goes on when that is closed."""
        if self._ring is not None:
            views = self._present.reading.views if self._present is not None else ()
            self.run_worker(sessions(self._ring, views, publish, self._times), name="sessions")

    def action_palette(self) -> None:
        self.action_command_palette()

    def action_command_palette(self) -> None:
        """Its commands are those of a screen, so it opens on none of the dialogs."""
        if isinstance(self.screen, LiveScreen):
            super().action_command_palette()

    async def action_step_back(self) -> None:
        """Back to where this screen was opened; from the dashboard there is only the end."""
        if self.screen is self._dashboard:
            self.exit()
        elif isinstance(self.screen, Dialog):
            await self.screen.run_action("decline")
        else:
            self.screen.dismiss(None)

    def _open_view(self, view: LiveScreen) -> None:
        """Show a view in front of the dashboard, in the place of any other: q always leads back to the dashboard."""
        self._back_to_dashboard()
        self.push_screen(view)

    def _back_to_dashboard(self) -> None:
        while self.screen is not self._dashboard:
            self.pop_screen()

    def on_live_screen_backend_wanted(self, event: LiveScreen.BackendWanted) -> None:
        self._back_to_dashboard()
        self._dashboard.go_to(event.ip)

    def on_dashboard_details_wanted(self, event: Dashboard.DetailsWanted) -> None:
        self._open_view(DetailsScreen(self._cluster, self._times, self._present, event.ip, self._ask_sessions))

    def action_ring(self) -> None:
        if not isinstance(self.screen, RingScreen):
            view = RingScreen(self._cluster, self._times, self._present, use=self._use_director, watch=self._watch_ring)
            self._open_view(view)

    def _use_director(self, name: str) -> None:
        if self._monitor is not None:
            self._monitor.use(name)

    def _watch_ring(self, watched: bool) -> None:
        if self._monitor is not None:
            self._monitor.watch_ring(watched)

    def action_help(self) -> None:
        groups = self.screen.GROUPS if isinstance(self.screen, LiveScreen) else ()
        self.push_screen(HelpScreen(groups))

    def action_next_theme(self) -> None:
        self.use_theme(self._themes.after(self.theme))

    def use_theme(self, name: str) -> None:
        """Show this theme now, and whenever this cluster is looked at again."""
        self.theme = name
        words = [f"theme: {name}" if not self.no_color else f"theme: {name} (without colour here)"]
        try:
            themes.remember_theme(self._cluster.name, name)
        except StateError as error:
            words.append(f"it can't be remembered: {error}")
        self.notify("\n".join(words), markup=False, timeout=2 if len(words) == 1 else 8)

    def get_line_filters(self) -> Sequence[LineFilter]:
        return themes.filters(super().get_line_filters(), self.current_theme, color=not self.no_color)

    def action_help_quit(self) -> None:
        """ctrl+c with nothing selected."""
        self.notify("q quits", markup=False)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """What the command palette offers: the commands of the screen under it."""
        if isinstance(screen, LiveScreen):
            for command in commands_of(*screen.GROUPS):
                if command.action != "app.palette":
                    run = partial(screen.run_action, command.action)
                    yield SystemCommand(f"{command.label}  ({command.key_text})", command.help, run)
        for name in self._themes.by_name:
            yield SystemCommand(
                f"theme: {name}", "Show it now, and whenever this cluster is opened", partial(self.use_theme, name)
            )

    async def on_unmount(self) -> None:
        for number in ENDING_SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        if self._ring is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._ring.close()


def _last_words(first: object, more: str) -> Text:
    """What the terminal shows after the screen is gone."""
    return Text(clean_lines(f"director-tui: {first}\n{more}"))


def _left_out(faults: Sequence[DirectorTuiError]) -> str:
    """What is wrong with theme files, in as many lines as a notice can hold."""
    folder = clean(str(user_folder()))
    lines = [f"{fault}; {fault.remedy}" if fault.remedy else str(fault) for fault in faults[:FAULTS_NAMED]]
    more = [f"and {len(faults) - FAULTS_NAMED} more"] if len(faults) > FAULTS_NAMED else []
    return "\n".join([f"themes left out, in {folder}:", *(line.removeprefix(f"{folder}/") for line in lines), *more])


def _failures(reading: Reading) -> Iterable[DirectorTuiError]:
    """What keeps from reading now; nothing of an attempt that another one is about to replace."""
    failure = reading.link.failure if not reading.link.trying else None
    if isinstance(failure, RingUnreadable):
        yield from failure.causes.values()
    elif failure is not None:
        yield failure
    if not reading.asking:
        yield from (view.failure for view in reading.views if view.failure is not None)
