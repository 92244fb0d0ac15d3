"""The clean removal of a backend, step by step: the list of the steps, and the one that it stands at.

What it shows is worked out of every reading anew; it keeps nothing itself, so it can be left and opened again. Every
step that changes something leads to a plan like any other change.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Final, Protocol

from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input

from director_tui.operations.plan import Outcome
from director_tui.operations.removal import (
    STAY_MOVED,
    UPLOADS,
    Course,
    Decided,
    Ending,
    Mark,
    Step,
    accept_rest,
    end,
    mark_upload,
    renewed,
    skip_leaving,
    turn,
    way_back,
)
from director_tui.operations.removal_steps import meanwhile
from director_tui.text import clean
from director_tui.ui.commands import bindings
from director_tui.ui.format import ATTENTION, STYLES
from director_tui.ui.forms import NotThat
from director_tui.ui.header import naming
from director_tui.ui.lines import Lines, Sentences
from director_tui.ui.live import TICK_S, LiveScreen
from director_tui.ui.operation_panel import OperationPanel
from director_tui.ui.removal_buttons import (
    FOCUS_ORDER,
    LABELS,
    ButtonRow,
)
from director_tui.ui.removal_forms import AcceptRisk, Choices
from director_tui.ui.removal_page import Beside, check_page, new_value, removal_page
from director_tui.ui.removal_sight import RemovalSight
from director_tui.ui.removal_text import (
    LIST_WIDTH,
    leaving_words,
    step_list,
    step_strip,
    title_line,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from datetime import datetime

    from textual.binding import BindingType
    from textual.events import Resize
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.link.users import Sessions
    from director_tui.operations.plan import Request, Standing
    from director_tui.operations.progress import Progress
    from director_tui.operations.removal import Removal
    from director_tui.operations.removal_check import Checkup
    from director_tui.operations.removal_configuration import Configuration
    from director_tui.operations.removal_steps import StepView
    from director_tui.operations.removal_upload import Judged
    from director_tui.times import Times
    from director_tui.ui.live import Present
    from director_tui.ui.operation_panel import Question
    from director_tui.ui.removal_forms import Chosen
    from director_tui.ui.removal_page import RemovalPage
    from director_tui.ui.removal_text import Said

ASK_SESSIONS_S: Final = 5.0
"""How often the sessions are counted while it matters whether any are left: it takes each director a list."""
NARROW_CELLS: Final = 72
"""Cells of a screen below which the list of steps is one line above the step."""


class Drives(Protocol):
    """What this needs of the program around it; see :class:`director_tui.ui.removing.Removing`."""

    def check(self, ip: str, take: Callable[[Checkup], None]) -> None: ...
    def begin_removal(self, ip: str, chosen: Chosen, take: Callable[[Removal | None], None]) -> None: ...
    def keep(
        self,
        removal: Removal,
        do: Callable[[Removal], Removal],
        note: str,
        said: str,
        take: Callable[[Removal | None], None],
        *,
        by_itself: bool = False,
    ) -> None: ...
    def look_again(self) -> None: ...
    async def as_shown(self) -> bool: ...
    def now_and_who(self) -> tuple[datetime, str]: ...
    def plan(self, request: Request) -> Awaitable[None]: ...
    def judged(self, removal: Removal, step: Step) -> Judged | None: ...
    def standing(self) -> Standing | None: ...
    def ask_sessions(self, take: Callable[[Sessions], None]) -> None: ...
    def watch_ring(self, watched: bool) -> None: ...
    def read_now(self) -> None: ...
    def configuration(self, ip: str, take: Callable[[Configuration], None]) -> None: ...
    def summary(self, removal: Removal, take: Callable[[tuple[str, ...]], None]) -> None: ...
    def export(self, removal: Removal) -> None: ...
    def decide(self, go_on: bool) -> None: ...


class RemovalScreen(LiveScreen):
    """One clean removal. Without ``removal`` it is at its first step, where it is chosen and begun."""

    AUTO_FOCUS = ""
    GROUPS: ClassVar[tuple[str, ...]] = ("Removal", "Views", "Emergency", "Program", "Back")
    BINDINGS: ClassVar[list[BindingType]] = bindings(*GROUPS, "Scrolling")

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        present: Present | None,
        ip: str,
        removal: Removal | None,
        drives: Drives,
    ) -> None:
        super().__init__(cluster, times, present)
        self._ip = ip
        self._sight = RemovalSight(ip, removal, times)
        self._drives = drives
        self._checkup: Checkup | None = None
        self._configuration: Configuration | None = None
        self._summary: tuple[str, ...] = ()
        self._view: StepView | None = None
        self._sessions_asked_s: float | None = None
        self._told = ""
        self._lost = ""
        self._drawn: tuple[object, ...] = ()
        self._keeping = False
        self._given: Widget | None = None
        access = cluster.backends
        self._title = Lines(id="removal-title")
        self._strip = Lines(id="steps-strip")
        self._steps = Lines(id="steps")
        self._text = Lines(id="step-text")
        self._choices = Choices(metacache=access is None or access.metacache != "no")
        self._page = VerticalScroll(self._text, self._choices, id="step-page", can_focus=False)
        self._panel = OperationPanel(cluster.names)
        self._said = Sentences(id="step-said")
        self._row = ButtonRow(LABELS)

    def head(self) -> Iterable[Widget]:
        yield self._title
        yield self._strip

    def body(self) -> Iterable[Widget]:
        with Horizontal(id="removal"):
            yield self._steps
            with Vertical(id="step"):
                yield self._page
                yield self._panel
        yield self._said
        yield self._row

    def on_mount(self) -> None:
        self._drives.watch_ring(True)
        if self._sight.removal is None:
            self._check()
        self._draw()

    async def on_unmount(self) -> None:
        self._drives.watch_ring(False)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width < NARROW_CELLS, "-narrow")
        super().on_resize(event)
        self._draw_if_changed()

    # What is known

    def show_present(self, present: Present) -> None:
        self._look()
        self._draw_if_changed()
        if self._sight.removal is not None and not self._keeping:
            self._drives.look_again()

    def show_stale(self, stale: bool) -> None:
        self._page.set_class(stale, "-stale")

    @property
    def tick_s(self) -> float:
        """It tells how long things take."""
        return TICK_S

    def tick(self) -> None:
        super().tick()
        self._ask_sessions()
        self._draw_panel()

    @property
    def removal(self) -> Removal | None:
        """As it is shown."""
        return self._sight.removal if self.is_mounted else None

    def take_over(self, removal: Removal) -> None:
        """Another program has changed it."""
        before = self._sight.removal
        if before is not None:
            self._say(meanwhile(before, removal))
            self.took(removal)

    def lost(self, why: str) -> None:
        """It can't be read any more as it is kept; with nothing it can."""
        if why != self._lost:
            self._lost = why
            self._say(why)
            self._draw()

    def _say(self, said: str) -> None:
        self._told = said
        if said and not self.is_current:
            self.notify(said, markup=False, severity="warning")

    def took(self, removal: Removal) -> None:
        """It was changed, by this screen or behind it."""
        if self._sight.removal is None or removal.id == self._sight.removal.id:
            self._sight.removal = removal
            self._look()
            self._draw()

    def _look(self) -> None:
        """Work out where it stands, of what is known now, and do what follows from that by itself."""
        sight, removal, present = self._sight, self._sight.removal, self.present
        if removal is None or present is None or present.reading.snapshot is None:
            return
        before = sight.position.step
        why = sight.look(present.reading, removal)
        if why and (now := sight.now) is not None:
            self._keep(lambda one: renewed(one, now)[0], why, by_itself=True)
        if sight.position.step is not before:
            self._configuration = None
            self._page.scroll_home(animate=False)
            if sight.position.step is Step.CONFIGURATION:
                self._read_configuration()
        if removal.ended is not None and not self._summary:
            self._drives.summary(removal, self._take_summary)
        elif removal.course is not Course.REMOVING and removal.ended is None and sight.is_back:
            how = Ending.BROUGHT_BACK if removal.course is Course.BRINGING_BACK else Ending.BACKED_OUT
            at, who = self._drives.now_and_who()
            self._keep(lambda one: end(one, how, at, who), f"{how.value}; {STAY_MOVED}", by_itself=True)

    def _take_summary(self, summary: tuple[str, ...]) -> None:
        if self.is_mounted:
            self._summary = summary
            self._draw()

    def _ask_sessions(self) -> None:
        now_s = self.times.mono_s()
        due = self._sessions_asked_s is None or now_s - self._sessions_asked_s >= ASK_SESSIONS_S
        if self._sight.removal is not None and self._sight.removal.ended is None and self._sight.counts and due:
            self._sessions_asked_s = now_s
            self._drives.ask_sessions(self._take_sessions)

    def _take_sessions(self, known: Sessions) -> None:
        # As long as some have not answered it is not known; what was known before stands until then.
        if known.waiting or not self.is_mounted:
            return
        self._sight.take_sessions(known)
        self._look()
        self._draw_if_changed()

    def _keep(self, do: Callable[[Removal], Removal], note: str, said: str = "", *, by_itself: bool = False) -> None:
        """Have it written down, whatever becomes of this screen meanwhile."""
        removal = self._sight.removal
        if removal is not None and not self._keeping:
            self._keeping = True
            self._drives.keep(removal, do, note, said, self._kept, by_itself=by_itself)

    def _kept(self, removal: Removal | None) -> None:
        """Nothing where it could not be written down; why has been said."""
        self._keeping = False
        if removal is not None:
            self.took(removal)

    # The operation

    def show_operation(self, progress: Progress | None) -> None:
        ran = self._sight.running_mine
        self._sight.operation = progress
        super().show_operation(progress)
        if ran and not self._sight.running_mine:
            self._sessions_asked_s = None  # those from before it ended prove nothing
        if self.is_mounted:
            self._draw()

    @property
    def shows_operation(self) -> bool:
        return self._sight.shows_operation

    def _draw_panel(self) -> None:
        progress, removal = self._operation, self._sight.removal
        shown = progress is not None and removal is not None and self._sight.is_mine(progress)
        if shown and progress is not None and removal is not None and not progress.running:
            step = self._sight.position.step
            of_this_step = step is not None and progress.plan.request.because == removal.because(step)
            shown = progress.outcome is not Outcome.APPLIED if of_this_step or step is None else False
        if not shown or progress is None:
            self._panel.display = False
            return
        lines = max(2, self.size.height * 4 // 10 - (0 if not self.has_class("-low") else 1))
        # Who is left is said above, as every director counts.
        self._panel.show(replace(progress, flush=None), None, self.times.mono_s(), lines)

    def on_question_decided(self, event: Question.Decided) -> None:
        self._drives.decide(event.go_on)

    # Drawing

    @property
    def _ground(self) -> tuple[object, ...]:
        """All that a reading may change of what is drawn; most readings change nothing."""
        sight, standing = self._sight, self._drives.standing()
        reading = standing.reading if standing is not None else None
        director = reading.snapshot.director if reading is not None and reading.snapshot is not None else ""
        settings = reading.settings if reading is not None else None
        judged = self._judged(sight.removal, sight.position.step) if sight.removal is not None else None
        return (
            *(sight.removal, sight.now, sight.position, sight.read_since, judged, self._leaving_words),
            *(director, settings, self.size, self.classes),
        )

    def _draw_if_changed(self) -> None:
        if self._ground != self._drawn:
            self._draw()

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self._drawn = self._ground
        name = self.cluster.names.get(self._ip, "")
        self._title.show([title_line(self._ip, name, self._sight.removal, self.line_width)])
        self._choices.display = self._sight.removal is None and self._checkup is not None and not self._checkup.refusals
        page = self._present_page
        self._view = page.view
        narrow = self.has_class("-narrow")
        strip = [Content.assemble(" ", step_strip(page.states))] if narrow and not self.has_class("-tiny") else []
        self._strip.show(strip)
        self._steps.show([] if narrow else step_list(page.states))
        self._text.show(page.text)
        self._said.show([Content.styled(clean(self._told), STYLES[ATTENTION])] if self._told else [])
        self._draw_panel()
        self._row.offer(page.may, self.size.width - 2)
        self._show_focus()

    @property
    def _page_width(self) -> int:
        beside = 0 if self.has_class("-narrow") else LIST_WIDTH
        return max(12, self.size.width - beside - 3)

    @property
    def _present_page(self) -> RemovalPage:
        removal, sight, width = self._sight.removal, self._sight, self._page_width
        if removal is None:
            return check_page(self._checkup, width, permanent=self._choices.permanent)
        judged = self._judged(removal, sight.position.step)
        beside = Beside(judged, self._leaving_words, self._configuration, self._summary)
        standing = self._drives.standing()
        return removal_page(removal, sight, standing, beside, width, read_only=self.cluster.read_only)

    @property
    def _leaving_words(self) -> list[Said]:
        if self._sight.left is None or self._sight.now is None or self.present is None:
            return []
        return leaving_words(self._sight.left, self._sight.now, naming(self.present.reading))

    def _judged(self, removal: Removal, step: Step | None) -> Judged | None:
        """What a person has to decide about the last upload of this step; None also of a step that uploads nothing."""
        return self._drives.judged(removal, step) if step in UPLOADS else None

    def _show_focus(self) -> None:
        """Give the keyboard to what leads on, where what had it is gone, or has it only because there was no other."""
        focused = self.focused
        if focused is not None and focused is not self._given and self._can_keep(focused):
            return
        buttons = self._row.buttons
        best = next((buttons[key] for key in FOCUS_ORDER if buttons[key].display), None)
        if best is not None and best is not focused:
            self._given = best
            self.set_focus(best)

    def _can_keep(self, focused: Widget) -> bool:
        within = focused.ancestors
        if self._choices in within:
            return self._choices.display
        return self._panel.display if self._panel in within else focused.display

    # What is pressed

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While a text is typed, its characters are no commands."""
        if action == "check_again":
            return self._sight.position.step is Step.CONFIGURATION
        return not (action == "scroll_page" and isinstance(self.focused, Input))

    def action_scroll_page(self, lines: int) -> None:
        self._page.scroll_relative(y=lines, animate=False)

    def action_check_again(self) -> None:
        self._check_again()

    def read_again(self) -> None:
        self._check_again()

    def _check_again(self) -> None:
        self._sessions_asked_s = None
        if self._sight.removal is None:
            self._check()
        elif self._sight.position.step is Step.CONFIGURATION:
            self._read_configuration()
        else:
            self._drives.read_now()
        self._ask_sessions()

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id not in LABELS:
            return
        event.stop()
        self._told = ""
        match event.button.id:
            case "begin":
                await self._begin()
            case "run":
                await self._run()
            case "check":
                self._check_again()
            case "skip":
                self._skip()
            case "skip-typed":
                await self._ask_to_skip()
            case "back-out":
                self._turn(Course.BACKING_OUT)
            case "bring-back":
                self._turn(Course.BRINGING_BACK)
            case "on":
                self._turn(Course.REMOVING)
            case "end":
                self._end()
            case "copy":
                self._copy()
            case "export" if self._sight.removal is not None:
                self._drives.export(self._sight.removal)
            case "leave":
                self.dismiss(None)
        self._draw()

    # Step 1

    def on_choices_changed(self) -> None:
        self._draw()

    def _check(self) -> None:
        self._checkup = None
        self._drives.check(self._ip, self._take_checkup)

    def _take_checkup(self, checkup: Checkup) -> None:
        if self.is_mounted:
            self._checkup = checkup
            self._draw()
            if not checkup.refusals:
                self.set_focus(self._choices.first)

    async def _begin(self) -> None:
        try:
            chosen = self._choices.chosen()
        except NotThat as error:
            self._told = str(error)
            return
        if not self._keeping:
            self._keeping = True
            self._drives.begin_removal(self._ip, chosen, self._kept)

    # The others

    async def _run(self) -> None:
        removal, now = self._sight.removal, self._sight.now
        if removal is None or now is None or not await self._drives.as_shown():
            return
        if removal.course is not Course.REMOVING:
            left = way_back(removal, now)
            if left and not isinstance(left, str):
                await self._drives.plan(left[0])
        elif self._view is not None and self._view.request is not None:
            await self._drives.plan(self._view.request)

    def _skip(self) -> None:
        at, who = self._drives.now_and_who()
        step = self._sight.position.step
        if step is Step.LET_LEAVE:
            self._keep(lambda one: skip_leaving(one, at, who), f"{self._at(step)}: not waited for any longer")
        elif step in UPLOADS:
            mark = Mark(at, who, Decided.NOT_WANTED)
            self._keep(lambda one: mark_upload(one, step, mark), f"{self._at(step)}: {mark.how.value}")

    async def _ask_to_skip(self) -> None:
        view = self._view
        if view is None:
            return
        step, risk = view.step, view.risk

        def accept() -> None:
            at, who = self._drives.now_and_who()
            note = f"{self._at(step)}: skipped"
            if step in UPLOADS:
                mark = Mark(at, who, Decided.SKIPPED, risk)
                self._keep(lambda one: mark_upload(one, step, mark), note, f"accepted: {risk}")
            else:
                self._keep(lambda one: accept_rest(one, at, who, risk), note, f"accepted: {risk}")

        await self.app.push_screen(
            AcceptRisk(f"Skip step {step.number}: {step.title.lower()}", risk, self.cluster.name, accept)
        )

    def _at(self, step: Step) -> str:
        """``step 3 of 8``."""
        removal = self._sight.removal
        return f"step {step.number} of {len(removal.steps) if removal is not None else len(Step)}"

    def _turn(self, course: Course) -> None:
        self._sight.turn()
        self._drives.read_now()
        self._keep(lambda one: turn(one, course), "goes on" if course is Course.REMOVING else course.value)

    def _end(self) -> None:
        removal = self._sight.removal
        if removal is None:
            return
        how = Ending.BY_HAND
        if self._sight.position.step is Step.CONFIGURATION:
            how = Ending.REMOVED
        said = self._configuration.words if self._configuration is not None else ""
        at, who = self._drives.now_and_who()
        self._keep(lambda one: end(one, how, at, who), how.value, said)

    # The configuration

    def _copy(self) -> None:
        if (value := new_value(self._configuration)) is not None:
            self.app.copy_to_clipboard(value)
            self.notify("copied the new value of director_mail_servers", markup=False)

    def _read_configuration(self) -> None:
        self._configuration = None
        self._drives.configuration(self._ip, self._take_configuration)

    def _take_configuration(self, configuration: Configuration) -> None:
        if self.is_mounted:
            self._configuration = configuration
            self._draw()
