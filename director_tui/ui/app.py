"""The application: wires the ring's readings to the screens. No domain logic."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.widgets import Input

from director_tui.errors import DirectorTuiError, HostKeyUnknown, InternalFault, RingUnreadable, StateError
from director_tui.link.host_keys import add_to_known_hosts
from director_tui.text import clean, clean_lines
from director_tui.theme_files import user_folder
from director_tui.times import SYSTEM_TIMES, Times
from director_tui.ui import themes
from director_tui.ui.commands import commands_of
from director_tui.ui.dashboard import Dashboard
from director_tui.ui.dialog_queue import DialogQueue
from director_tui.ui.dialogs import Dialog, HostKeyDialog, QuestionDialog
from director_tui.ui.live import LiveScreen
from director_tui.ui.palette import GoToBackend
from director_tui.ui.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual.binding import BindingType
    from textual.command import Provider
    from textual.filter import LineFilter
    from textual.screen import Screen
    from textual.widget import AwaitMount

    from director_tui.config import ClusterConfig
    from director_tui.link.monitor import Reading
    from director_tui.link.questions import Ask, Question
    from director_tui.link.users import Sessions
    from director_tui.operations.plan import Plan, Request
    from director_tui.operations.progress import Progress
    from director_tui.ui.changing import Changing
    from director_tui.ui.live import Present
    from director_tui.ui.watch import OpenRing

FAULTS_NAMED: Final = 4
"""Broken theme files that are named at the start, one by one."""

OF_THE_SHOWN: Final = "of the cluster that is shown"
"""The group of the workers that end when another cluster is shown."""

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class DirectorApp(App[None], inherit_bindings=False):
    """director-tui on a terminal.

    ``open_ring`` is awaited after the first frame is painted; it gets the function that asks a person, None where
    nobody may be asked. ``clusters`` are all that can be shown, ``cluster`` among them. ``theme`` is the name of the
    one for this run; without it the one that was chosen last for the cluster is shown, or ``usual_theme``.
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
        clusters: Sequence[ClusterConfig] = (),
        theme: str | None = None,
        usual_theme: str | None = None,
        times: Times = SYSTEM_TIMES,
    ) -> None:
        super().__init__()
        self._open_ring = open_ring
        self._times = times
        self._clusters = {one.name: one for one in clusters or (cluster,)}
        self._watch = Watch(cluster, open_ring, self._show, times)
        self._ending: set[asyncio.Task[None]] = set()
        self._dashboard = Dashboard(cluster, times, self.open_plan)
        self._changing: Changing | None = None
        self._looked_up: list[str] = []
        self.operation: Progress | None = None
        self._dialogs = DialogQueue(self.push_screen)
        self._offered: set[tuple[str, int, str]] = set()
        self.no_color = not themes.wants_color(os.environ)
        self._themes = themes.read_themes()
        for one in self._themes.by_name.values():
            self.register_theme(one)
        self._theme_of_run, self._usual_theme = theme, usual_theme
        self.theme = self._theme_for(cluster)

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, self._told_to_end, number)
        self.push_screen(self._dashboard)
        if self._themes.faults:
            self.notify(_left_out(self._themes.faults), severity="warning", markup=False, timeout=20)
        # Not before: what it imports would compete with the first frame for the interpreter, and delay both.
        self.call_after_refresh(self._begin)

    def _told_to_end(self, number: signal.Signals) -> None:
        """Killed, or the terminal was closed: leave like by q, so that nothing stays behind."""
        self.exit(return_code=128 + number)

    def _theme_for(self, cluster: ClusterConfig) -> str:
        few = themes.SIXTEEN_COLORS if self.console.color_system == "standard" else None
        remembered = themes.remembered_theme(cluster.name)
        return self._themes.first_of(self._theme_of_run, remembered, self._usual_theme, few)

    def _begin(self) -> None:
        self._start(self._watch, self.ask, OF_THE_SHOWN)

    def _start(self, watch: Watch, ask: Ask | None, group: str) -> None:
        name = f"readings of {watch.cluster.name}"
        self.run_worker(self._read_ring(watch, ask), name=name, group=group, exit_on_error=False)

    async def _read_ring(self, watch: Watch, ask: Ask | None) -> None:
        try:
            await watch.run(ask)
        except DirectorTuiError as error:
            if watch is self._watch:
                self.exit(return_code=error.exit_status, message=_last_words(error, error.remedy))
            else:
                watch.fail(error)
        except Exception as error:  # noqa: BLE001 - the worker boundary: a fault must end the program, not freeze it
            fault = InternalFault(error)
            self.exit(return_code=fault.exit_status, message=_last_words(fault, fault.remedy))

    def _show(self, present: Present) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, LiveScreen | Dialog):
                screen.show(present)
        for failure in _failures(present.reading):
            if isinstance(failure, HostKeyUnknown):
                self._offer_host_key(failure)

    def _look_at(self, cluster: ClusterConfig, show: Callable[[Present], None]) -> Watch:
        """Read another cluster beside the one that is shown; nobody is asked anything for it."""
        watch = Watch(cluster, self._open_ring, show, self._times)
        self._start(watch, None, "of a list of clusters")
        return watch

    def switch_cluster(self, name: str) -> None:
        """Show the dashboard of this cluster; the one that was shown until now is not read any more."""
        self._back_to_dashboard()
        if name == self._watch.cluster.name:
            return
        self._watch.stop()
        self.workers.cancel_group(self, OF_THE_SHOWN)
        ending = asyncio.create_task(self._watch.end(), name=f"end of {self._watch.cluster.name}")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        self._offered.clear()
        cluster = self._clusters[name]
        self._watch = Watch(cluster, self._open_ring, self._show, self._times)
        self._dashboard, self._changing = Dashboard(cluster, self._times, self.open_plan), None
        self.theme = self._theme_for(cluster)
        self.switch_screen(self._dashboard)
        self._begin()

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
        self._watch.read_now()

    def read_now(self) -> None:
        self._offered.clear()
        self._watch.read_now()

    def action_read_now(self) -> None:
        self.read_now()
        if isinstance(self.screen, LiveScreen):
            self.screen.read_again()

    def _ask_sessions(self, publish: Callable[[Sessions], None]) -> None:
        """By the app, not by the screen that wants to know: what has begun goes on when that is closed."""
        self.run_worker(self._watch.ask_sessions(publish), name="sessions", group=OF_THE_SHOWN)

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

    def _open_view(self, view: LiveScreen) -> AwaitMount:
        """Show a view in front of the dashboard, in the place of any other: q always leads back to the dashboard."""
        self._back_to_dashboard()
        return self.push_screen(view)

    def _back_to_dashboard(self) -> None:
        while self.screen is not self._dashboard:
            self.pop_screen()

    # The screens that a key opens are imported when it does: so the first frame comes sooner.

    def on_live_screen_backend_wanted(self, event: LiveScreen.BackendWanted) -> None:
        if isinstance(self.screen, Dialog):
            return  # it opened meanwhile, and taking it away would be an answer
        self._back_to_dashboard()
        self._dashboard.go_to(event.ip)

    def on_dashboard_details_wanted(self, event: Dashboard.DetailsWanted) -> None:
        if isinstance(self.screen, Dialog):
            return
        from director_tui.ui.details import DetailsScreen

        watch = self._watch
        self._open_view(
            DetailsScreen(*(watch.cluster, self._times, watch.present, event.ip), self._ask_sessions, self.open_plan)
        )

    def action_ring(self) -> None:
        from director_tui.ui.ring_screen import RingScreen

        if not isinstance(self.screen, RingScreen):
            watch = self._watch
            self._open_view(
                RingScreen(watch.cluster, self._times, watch.present, use=watch.use, watch=watch.watch_ring)
            )

    def action_clusters(self) -> None:
        from director_tui.ui.clusters_screen import ClustersScreen

        if not isinstance(self.screen, ClustersScreen):
            watch, clusters = self._watch, tuple(self._clusters.values())
            self._open_view(
                ClustersScreen(
                    *(watch.cluster, self._times, watch.present, clusters),
                    look_at=self._look_at,
                    switch=self.switch_cluster,
                )
            )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a text is typed, its characters are no commands."""
        return not (action == "find_user" and isinstance(self.focused, Input))

    async def action_find_user(self) -> None:
        from director_tui.ui.lookup import LookupScreen

        if isinstance(self.screen, LookupScreen):
            self.screen.ask_for_a_name()
        else:
            # Waited for: what is typed right behind the key is the name.
            watch = self._watch
            await self._open_view(
                LookupScreen(
                    *(watch.cluster, self._times, watch.present),
                    ring=lambda: watch.ring,
                    ask_sessions=self._ask_sessions,
                    names=self._looked_up,
                    change=self.open_plan,
                )
            )

    async def open_plan(self, request: Request) -> None:
        """Show what would be done, after asking for what is still open; nothing is done before it is agreed to."""
        from director_tui.ui.changing import Changing

        if self._changing is None:
            self._changing = Changing(
                *(self._watch, self._times),
                push=self.push_screen,
                say=partial(self.notify, markup=False),
                ask_sessions=self._ask_sessions,
                running=lambda: self.operation,
                run=self.run_plan,
            )
        await self._changing.begin(request)

    def run_plan(self, plan: Plan, reason: str, override: bool = False) -> None:
        """SEAM: taken from ops."""
        self.notify(f"would run {plan.title}", markup=False)

    def action_help(self) -> None:
        from director_tui.ui.help_screen import HelpScreen

        groups = self.screen.GROUPS if isinstance(self.screen, LiveScreen) else ()
        self.push_screen(HelpScreen(groups, read_only=self._watch.cluster.read_only))

    def action_next_theme(self) -> None:
        self.use_theme(self._themes.after(self.theme))

    def use_theme(self, name: str) -> None:
        """Show this theme now, and whenever this cluster is looked at again."""
        self.theme = name
        words = [f"theme: {name}" if not self.no_color else f"theme: {name} (without colour here)"]
        try:
            themes.remember_theme(self._watch.cluster.name, name)
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
            for command in commands_of(*screen.GROUPS, read_only=screen.cluster.read_only):
                if command.action != "app.palette":
                    run = partial(screen.run_action, command.action)
                    yield SystemCommand(f"{command.label}  ({command.key_text})", command.help, run)
            for name in self._clusters:
                if name != self._watch.cluster.name:
                    yield SystemCommand(
                        f"cluster {name}", "Show this cluster instead", partial(self.switch_cluster, name)
                    )
        for name in self._themes.by_name:
            yield SystemCommand(
                f"theme: {name}", "Show it now, and whenever this cluster is opened", partial(self.use_theme, name)
            )

    async def on_unmount(self) -> None:
        for number in ENDING_SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        await asyncio.gather(self._watch.end(), *self._ending)


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
