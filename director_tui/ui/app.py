"""The application: wires the ring's readings to the screens. No domain logic."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual._styles_cache import StylesCache
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.widgets import Input

from director_tui.errors import DirectorTuiError, InternalFault, StateError, boundary
from director_tui.log import LOG, where_more_is
from director_tui.text import clean, clean_lines
from director_tui.theme_files import user_folder
from director_tui.times import SYSTEM_TIMES, Times
from director_tui.ui import themes
from director_tui.ui.carrying_out import CarryingOut
from director_tui.ui.commands import commands_of
from director_tui.ui.dashboard import Dashboard
from director_tui.ui.dialog_queue import DialogQueue
from director_tui.ui.dialogs import Dialog, QuestionDialog
from director_tui.ui.driver import Driver
from director_tui.ui.host_key_offers import HostKeyOffers
from director_tui.ui.journal_views import JournalViews
from director_tui.ui.live import LiveScreen
from director_tui.ui.operating import Operating, make_executor
from director_tui.ui.palette import GoToBackend
from director_tui.ui.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from rich.console import RenderableType
    from textual.await_complete import AwaitComplete
    from textual.binding import BindingType
    from textual.command import Provider
    from textual.filter import LineFilter
    from textual.notifications import SeverityLevel
    from textual.screen import Screen
    from textual.widget import AwaitMount
    from textual.worker import WorkType

    from director_tui.config import ClusterConfig
    from director_tui.link.questions import Ask, Question
    from director_tui.link.users import Sessions
    from director_tui.operations.plan import Emergency, Plan, Request
    from director_tui.operations.progress import Progress
    from director_tui.ui.changing import Changing
    from director_tui.ui.live import Present
    from director_tui.ui.operating import Kept, MakeExecutor
    from director_tui.ui.removing import Removing
    from director_tui.ui.watch import OpenRing

FAULTS_NAMED: Final = 4
"""Broken theme files that are named at the start, one by one."""

OF_THE_SHOWN: Final = "of the cluster that is shown"
"""The group of the workers that end when another cluster is shown."""

NOTICE_S: Final = 12
"""How long a notice stays that must be read."""

THREADS_WAIT_S: Final = 0.0002
"""How long a thread may be kept from running, in seconds. Textual reads keys and writes frames in threads of their own,
each of which has to wait a few times for every key: by Python's own 5 ms one would feel it while users are counted."""

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
        make_executor: MakeExecutor = make_executor,
    ) -> None:
        super().__init__(driver_class=Driver)
        self._open_ring = open_ring
        self._make_executor = make_executor
        self._times = times
        self._clusters = {one.name: one for one in clusters or (cluster,)}
        self._ending: set[asyncio.Task[None]] = set()
        self._looked_up: list[str] = []
        self._dialogs = DialogQueue(self.push_screen)
        self._host_keys = HostKeyOffers(
            self._dialogs,
            in_background=partial(self._in_background, name="host key", group="host keys"),
            say=partial(self.notify, severity="error", markup=False, timeout=15),
            added=lambda: self._watch.read_now(),
        )
        self._follow(cluster)
        self.no_color = not themes.wants_color(os.environ)
        self._themes = themes.read_themes()
        for one in self._themes.by_name.values():
            self.register_theme(one)
        self._theme_of_run, self._usual_theme = theme, usual_theme
        self.theme = self._styled_as = self._theme_for(cluster)
        self.stylesheet.set_variables(self.get_css_variables())

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            loop.add_signal_handler(number, self._told_to_end, number)
        if self._themes.faults:
            self.notify(_left_out(self._themes.faults), severity="warning", markup=False, timeout=20)
        # Not before: what it imports would compete with the first frame for the interpreter, and delay both. The
        # dashboard paints that when it hears that it is the screen that is seen, which it does before this.
        self._dashboard.call_later(self._begin)

    def get_default_screen(self) -> Dashboard:
        """The first and lowest: Textual would lay out an empty one, and ours then on top of that."""
        self._dashboard._push_result_callback(self._dashboard, None)  # as push_screen; switch_screen takes it away
        return self._dashboard

    def _told_to_end(self, number: signal.Signals) -> None:
        """Killed, or the terminal was closed: leave like by q, so that nothing stays behind."""
        self.exit(return_code=128 + number)

    def on_driver_hung_up(self) -> None:
        self._told_to_end(signal.SIGHUP)

    def _failed_to_show(self, error: BaseException) -> None:
        """How far an operation is can't be drawn: that ends the program, but not the operation."""

        async def end() -> None:
            await self._operating.at_rest()
            raise error

        self._in_background(end, "end at a fault", "faults")

    def _theme_for(self, cluster: ClusterConfig) -> str:
        few = themes.SIXTEEN_COLORS if self.console.color_system == "standard" else None
        remembered = themes.remembered_theme(cluster.name)
        return self._themes.first_of(self._theme_of_run, remembered, self._usual_theme, few)

    def _follow(self, cluster: ClusterConfig) -> None:
        """Make whatever follows this cluster, in the place of what follows another; nothing of it runs yet."""
        times = self._times
        self._carrying_out = CarryingOut(
            screens=lambda: self.screen_stack,
            later=self.set_timer,
            in_background=partial(self._in_background, name="operation", group="operations"),
            open_operations=self._show_what_runs,
            tell=self.tell,
            ended=lambda: self._watch.read_now(),  # what is on the screen is from before
        )
        self._operating = Operating(
            *(cluster, times),
            show=self._carrying_out.show,
            failed=self._failed_to_show,
            say=self.tell,
            kept=self._journal_grew,
            make=self._make_executor,
        )
        self._watch = Watch(cluster, self._open_ring, self._show, times, self._operating)
        self._journal_views = JournalViews(
            *(self._watch, self._operating, times),
            ask_journal=self._ask_journal,
            push=self.push_screen,
            plan=self.open_plan,
            plan_emergency=self.open_emergency,
            remove_cleanly=self.remove_cleanly,
            in_background=partial(self._in_background, name="report", group="reports"),
            tell=self.tell,
        )
        self._dashboard = Dashboard(cluster, times, self.open_plan, self.remove_cleanly)
        self._changing: Changing | None = None
        self._removing: Removing | None = None

    def _begin(self) -> None:
        sys.setswitchinterval(THREADS_WAIT_S)
        self._start(self._watch, self.ask, OF_THE_SHOWN)
        self._in_background(self._look_for_removals, "unfinished clean removals", OF_THE_SHOWN)

    def _start(self, watch: Watch, ask: Ask | None, group: str) -> None:
        self._in_background(partial(self._read_ring, watch, ask), f"readings of {watch.cluster.name}", group)

    def _in_background(self, work: Callable[[], Awaitable[None]], name: str, group: str) -> None:
        """``work`` is called when the worker runs: one that is cancelled before leaves nothing unawaited."""

        async def bounded() -> None:
            with boundary(self._end_at):
                await work()

        task: WorkType[None] = bounded
        self.run_worker(task, name=name, group=group, exit_on_error=False)

    def _end_at(self, error: Exception) -> None:
        fault, words = _reported(error)
        self.exit(return_code=fault.exit_status, message=words)

    def _handle_exception(self, error: Exception) -> None:
        """What Textual calls for a fault in a handler, or while it draws, to end the program.

        Its own way shows the local variables of every frame, whatever is in them: what was typed, what was read.
        """
        if self._exception is None:  # of several the first tells most
            fault, words = _reported(error)
            self._return_code = fault.exit_status
            self._exit_renderables.append(words)
            self._exception = error  # for the pilot of a test, which raises it
            self._exception_event.set()
        self._close_messages_no_wait()

    async def _read_ring(self, watch: Watch, ask: Ask | None) -> None:
        try:
            await watch.run(ask)
        except DirectorTuiError as error:
            if watch is self._watch:
                self.exit(return_code=error.exit_status, message=_last_words(error, error.remedy))
            else:
                watch.fail(error)

    def _show(self, present: Present) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, LiveScreen | Dialog):
                screen.show(present)
        self._host_keys.take(present.reading)

    def _look_at(self, cluster: ClusterConfig, show: Callable[[Present], None]) -> Watch:
        """Read another cluster beside the one that is shown; nobody is asked anything for it."""
        watch = Watch(cluster, self._open_ring, show, self._times)
        self._start(watch, None, "of a list of clusters")
        return watch

    def switch_cluster(self, name: str) -> None:
        """Show the dashboard of this cluster; the one that was shown until now is not read any more."""
        shown = self._watch.cluster.name
        if name != shown and self._operating.going_on is not None:
            self.tell(f"an operation is running on {shown}: another cluster can be shown when it has ended")
            return
        self._back_to_dashboard()
        if name == shown:
            return
        self._watch.stop()
        self.workers.cancel_group(self, OF_THE_SHOWN)
        ending = asyncio.create_task(_end(self._operating, self._watch), name=f"end of {shown}")
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        self._host_keys.again()
        cluster = self._clusters[name]
        self._follow(cluster)
        self.theme = self._theme_for(cluster)
        self.switch_screen(self._dashboard)
        self._begin()

    async def ask(self, question: Question) -> str | None:
        """Put a question to the person at the terminal. None: declined."""
        return await self._dialogs.show(QuestionDialog(question))

    def read_now(self) -> None:
        self._host_keys.again()
        self._watch.read_now()

    def action_read_now(self) -> None:
        self.read_now()
        if isinstance(self.screen, LiveScreen):
            self.screen.read_again()

    def _ask_sessions(self, publish: Callable[[Sessions], None]) -> None:
        """By the app, not by the screen that wants to know: what has begun goes on when that is closed."""
        self._in_background(partial(self._watch.ask_sessions, publish), "sessions", OF_THE_SHOWN)

    # Operations

    @property
    def operation(self) -> Progress | None:
        """The one that runs, or else the last one."""
        return self._operating.progress

    def run_plan(self, plan: Plan, reason: str, override: bool = False) -> None:
        """Carry out a plan that somebody has agreed to, and show how far it is. It goes on when that is closed."""
        self._carrying_out.begin(partial(self._carry_out, self._watch, plan, reason, override))

    async def _carry_out(self, watch: Watch, plan: Plan, reason: str, override: bool) -> None:
        ended = await self._operating.run(watch.ring, watch.fresh, plan, reason, override)
        if self._removing is not None:
            self._removing.take(ended)

    def tell(self, text: str, *, fine: bool = False) -> None:
        """Show a notice that must be read."""
        severity: SeverityLevel = "information" if fine else "warning"
        self.notify(clean_lines(text), severity=severity, markup=False, timeout=NOTICE_S)

    def _journal_grew(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, LiveScreen):
                screen.journal_grew()

    def _ask_journal(self, take: Callable[[Kept], None]) -> None:
        self._in_background(partial(self._operating.read, take), "journal", OF_THE_SHOWN)

    def action_operations(self) -> None:
        from director_tui.ui.operations_screen import OperationsScreen

        if isinstance(self.screen, Dialog):
            return  # it opened meanwhile, and taking it away would be an answer
        if not isinstance(self.screen, OperationsScreen):
            self._open_view(self._journal_views.operations())

    def _show_what_runs(self) -> None:
        """In front of the view in which it was agreed to, and q leads back there."""
        from director_tui.ui.operations_screen import OperationsScreen

        if isinstance(self.screen, Dialog) or (isinstance(self.screen, LiveScreen) and self.screen.shows_operation):
            return
        if any(isinstance(screen, OperationsScreen) for screen in self.screen_stack):
            while not isinstance(self.screen, OperationsScreen):
                self.pop_screen()
        else:
            view = self._journal_views.operations()
            view.show_operation(self._operating.progress)
            self.push_screen(view)

    def action_suspend_process(self) -> None:
        """Put the program in the background, where it would see nothing of what it has begun."""
        if self._operating.going_on is not None:
            self.tell("not while an operation runs: nobody would see how it ends")
        else:
            super().action_suspend_process()

    def action_palette(self) -> None:
        self.action_command_palette()

    def action_command_palette(self) -> None:
        """Its commands are those of a screen, so it opens on none of the dialogs."""
        if isinstance(self.screen, LiveScreen):
            super().action_command_palette()

    async def action_step_back(self) -> None:
        """Back to where this screen was opened; from the dashboard there is only the end."""
        going_on = self._operating.going_on
        if self.screen is self._dashboard and going_on is not None:
            self._ask_to_quit(going_on)
        elif self.screen is self._dashboard:
            self.exit()
        elif isinstance(self.screen, Dialog):
            await self.screen.run_action("decline")
        else:
            self.screen.dismiss(None)

    def _ask_to_quit(self, progress: Progress) -> None:
        from director_tui.ui.quit_dialog import QuitDialog

        self.push_screen(QuitDialog(progress), self._quit_if)

    def _quit_if(self, wanted: bool | None) -> None:
        if wanted:
            self.exit()

    def _open_view(self, view: LiveScreen) -> AwaitMount:
        """Show a view in front of the dashboard, in the place of any other: q always leads back to the dashboard."""
        self._back_to_dashboard()
        view.show_operation(self._operating.progress)
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
            DetailsScreen(
                *(watch.cluster, self._times, watch.present, event.ip),
                ask_sessions=self._ask_sessions,
                ask_journal=self._ask_journal,
                change=self.open_plan,
                remove_cleanly=self.remove_cleanly,
            )
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
        return not (action in {"find_user", "emergency"} and isinstance(self.focused, Input))

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

    async def open_plan(self, request: Request, *, whole: bool = False) -> None:
        """Show what would be done, after asking for what is still open; nothing is done before it is agreed to."""
        await self._changes().begin(request, whole=whole)

    async def open_emergency(self, what: Emergency) -> None:
        """The same for what is done to the whole ring."""
        await self._changes().begin_emergency(what)

    async def action_emergency(self, what: str) -> None:
        from director_tui.operations.plan import Emergency

        if not isinstance(self.screen, Dialog):
            await self.open_emergency(Emergency(what))

    def _changes(self) -> Changing:
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
        return self._changing

    async def remove_cleanly(self, ips: Sequence[str]) -> None:
        """Take a backend out step by step, or go on with that."""
        await self._removes().begin(ips)

    async def _look_for_removals(self) -> None:
        from director_tui.ui.unfinished import some_unfinished

        # Most often there are none, and then nothing more is imported.
        if await asyncio.to_thread(some_unfinished, self._watch.cluster.name):
            await self._removes().look()

    def _removes(self) -> Removing:
        from director_tui.ui.removing import Removing

        if self._removing is None:
            self._removing = Removing(
                *(self._watch, self._operating, self._times),
                open_view=self._open_view,
                push=self.push_screen,
                plan=partial(self.open_plan, whole=True),
                ask_sessions=self._ask_sessions,
                in_background=partial(self._in_background, name="clean removal", group="clean removals"),
                tell=self.tell,
                unfinished=lambda left: self._dashboard.show_unfinished(tuple(one.ip for one in left)),
            )
        return self._removing

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

    def pop_screen(self) -> AwaitComplete:
        self.call_after_refresh(self._forget_what_was_drawn)
        return super().pop_screen()

    def _forget_what_was_drawn(self) -> None:
        """Of views that are closed. Textual remembers a thousand pairs of colours with the widget that each was asked
        for, and so all its lines (its issue 6665): after some views that was a third of our memory."""
        StylesCache.get_inner_outer.cache_clear()

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        """Draw. Not for a terminal that takes nothing at the moment: what it has missed is drawn when it does again."""
        if not (isinstance(self._driver, Driver) and self._driver.behind):
            super()._display(screen, renderable)

    def refresh_css(self, animate: bool = True) -> None:
        """Parse the styles for another theme. Textual also does it for the first one, with which they were just parsed:
        that would be a tenth of the time to the first frame."""
        if self.theme != self._styled_as:
            self._styled_as = self.theme
            super().refresh_css(animate)

    def get_line_filters(self) -> Sequence[LineFilter]:
        # Asked for by every widget that is drawn: Textual's current_theme makes a table of all themes each time.
        shown = self._themes.by_name[self.theme]
        return themes.filters(super().get_line_filters(), shown, color=not self.no_color)

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
        try:
            await asyncio.gather(_end(self._operating, self._watch), *self._ending)
        finally:
            # Not before: who closes a terminal is told so twice, by it and by the kernel.
            for number in ENDING_SIGNALS:
                asyncio.get_running_loop().remove_signal_handler(number)


async def _end(operating: Operating, watch: Watch) -> None:
    """The operation first: what is left of it is written down while its connections still stand."""
    try:
        await operating.close()
    finally:
        await watch.end()


def _reported(error: Exception) -> tuple[InternalFault, Text]:
    """A fault of this program, logged, and what there is to say of it."""
    fault = InternalFault(error)
    LOG.error("%s", fault)
    return fault, _last_words(fault, f"{fault.remedy}; {where_more_is()}")


def _last_words(first: object, more: str) -> Text:
    """What the terminal shows after the screen is gone."""
    return Text(clean_lines(f"director-tui: {first}\n{more}"))


def _left_out(faults: Sequence[DirectorTuiError]) -> str:
    """What is wrong with theme files, in as many lines as a notice can hold."""
    folder = clean(str(user_folder()))
    lines = [f"{fault}; {fault.remedy}" if fault.remedy else str(fault) for fault in faults[:FAULTS_NAMED]]
    more = [f"and {len(faults) - FAULTS_NAMED} more"] if len(faults) > FAULTS_NAMED else []
    return "\n".join([f"themes left out, in {folder}:", *(line.removeprefix(f"{folder}/") for line in lines), *more])
