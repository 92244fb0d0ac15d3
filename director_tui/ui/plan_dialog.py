"""The plan of a change, in front of the screen: what would be done, with what effect, and the way to agree to it.

What is agreed to is what is on the screen. When something that it stands on is different by now, that is said, and
nothing can be agreed to before it is planned again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from rich.cells import cell_len
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static

from director_tui.errors import DirectorTuiError, OperationRefused
from director_tui.link.reading import stale_after_s
from director_tui.operations.plan import Confirmation
from director_tui.operations.planning import fingerprint, make_plan
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.format import ATTENTION, DANGER, MUTED, STYLES, shortened
from director_tui.ui.header import is_production
from director_tui.ui.key_bar import TypedLine
from director_tui.ui.lines import Sentences
from director_tui.ui.live import TICK_S, failure_lines
from director_tui.ui.plan_text import plan_text
from director_tui.ui.sheet import Sheet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from textual.events import Resize
    from textual.timer import Timer
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.operations.plan import Plan, Standing
    from director_tui.times import Times
    from director_tui.ui.format import Part
    from director_tui.ui.live import Present

FIRST_S: Final = 0.5
"""So long a plan that is new on the screen can't be agreed to: what was being pressed was not for it."""
TOO_SOON: Final = "the plan has only just appeared: press again"
CHANGES_SAID: Final = 3


class RunPlan(Protocol):
    """Carries out what was agreed to; ``override`` although the end of a flush was not seen."""

    def __call__(self, plan: Plan, reason: str, override: bool = ...) -> None: ...


class PlanDialog(Sheet):
    """A plan to agree to, with Cancel focused, or with an empty field for the name of the cluster.

    ``agree`` takes the plan with the reason; whoever carries it out closes this when it begins, or says here why it
    doesn't. ``again`` plans the same anew in the place of this, or says why it can't. ``count`` asks for the exact
    moves, saying how far it is, and gives what is known with them.
    """

    WIDTH = 100

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        plan: Plan,
        standing: Standing,
        *,
        agree: Callable[[Plan, str], None],
        again: Callable[[PlanDialog, Plan, str], Awaitable[str]],
        count: Callable[[Plan, Standing, Callable[[str], None]], Awaitable[Standing]],
        reason: str = "",
    ) -> None:
        super().__init__()
        self._cluster, self._times = cluster, times
        self._plan, self._standing = plan, standing
        self._agree, self._plan_again, self._ask_count = agree, again, count
        self._changed: tuple[str, ...] = ()
        self._refused = ""
        self._age_s = 0.0
        self._settled = False
        self._settling: Timer | None = None
        self._agreed = False
        self._counting = False
        self._said: list[Part] = []
        self._text = Static(classes="plan", markup=False)
        self._reason = TypedLine("optional; it goes into the journal")
        self._reason.value = reason
        self._cluster_line = TypedLine("the name of the cluster")
        self._cluster_label = Static(classes="label", markup=False)
        self._below = Static(id="below", markup=False)
        self._status = Sentences(id="status")
        self._cancel = Button("Cancel", id="cancel", compact=True)
        self._action = Button("", id="action", compact=True, classes="-off")
        self._count = Button("Count exactly", id="count", compact=True)
        self._again = Button("Plan again", id="again", compact=True)
        self._buttons = Horizontal(id="buttons")

    @property
    def plan(self) -> Plan:
        """The plan that is on the screen."""
        return self._plan

    @property
    def typed(self) -> bool:
        return self._plan.confirmation is Confirmation.TYPED

    # What is on it

    def page(self) -> Iterable[Widget]:
        yield Static(self._title(), classes="title", markup=False)
        yield self._text
        yield Horizontal(Static("reason", classes="label", markup=False), self._reason, classes="field")

    def text(self, width: int) -> Content:
        """What is on the page, for so many cells."""
        return plan_text(self._plan, self._cluster.names, self._cluster.capacity, width)

    def more_buttons(self) -> Iterable[Button]:
        """Buttons of a particular plan."""
        return ()

    def foot(self) -> Iterable[Widget]:
        yield self._below
        yield self._status
        if self.typed:
            yield Horizontal(self._cluster_label, self._cluster_line, classes="field")
        with self._buttons:
            yield self._cancel
            if not self.typed:
                yield self._action
            yield self._count
            yield from self.more_buttons()
            yield self._again

    def on_mount(self) -> None:
        self._again.display = False
        self._draw()
        self.begin_at(self._cluster_line if self.typed else self._cancel)
        self.watch(self._page, "scroll_y", self._say_what_is_below, init=False)
        self.call_after_refresh(self._settle)
        self.set_interval(TICK_S, self.tick)
        self.tick()

    def on_resize(self, event: Resize) -> None:
        super().on_resize(event)
        self._draw()

    def _title(self) -> Content:
        cluster = self._cluster
        title = Content.assemble(
            (clean(self._plan.title), "$dt-accent bold"), "   ", (clean(cluster.name), STYLES[MUTED])
        )
        if not cluster.environment:
            return title
        colour = STYLES[ATTENTION if is_production(cluster) else MUTED]
        return Content.assemble(title, " ", ("·", STYLES[MUTED]), " ", (clean(cluster.environment), colour))

    def _draw(self) -> None:
        self._text.update(self.text(self.page_width))
        name = clean(self._plan.cluster)
        self._cluster_label.update(f"type {name}" if self.narrow else f"To do it, type {name} and press Enter")
        prediction = self._plan.prediction
        # Who goes where is no reason for or against a plan for the whole ring.
        countable = prediction is not None and bool(prediction.count_of) and self._plan.request.emergency is None
        self._count.display = countable and not self._again.display
        self._arrange_buttons()

    def fit(self) -> None:
        super().fit()
        self.call_after_refresh(self._say_what_is_below)

    def _say_what_is_below(self) -> None:
        """Warnings come behind the numbers, so where they may be out of sight it is said that there are some."""
        said: list[Part] = []
        if self._page.scroll_y < self._page.max_scroll_y:
            said.append(("↓ shows the rest of the plan", STYLES[MUTED]))
            if warnings := len(self._plan.warnings) + len(self._plan.raised_by):
                said.append((f", with {format.plural(warnings, 'warning')}", STYLES[DANGER]))
        self._below.update(Content.assemble(*said))

    def _arrange_buttons(self) -> None:
        """Side by side, or below each other where that is too wide."""
        room = max(10, self.page_width)
        self._action.label = Content(shortened(clean(self._plan.title), room - 4))
        shown = [one for one in self._buttons.children if isinstance(one, Button) and one.display]
        wide = sum(max(12, cell_len(str(one.label)) + 4) + 2 for one in shown) - 2
        self._buttons.set_class(wide > room, "-stacked")

    # What may be agreed to

    def _settle(self) -> None:
        """From now on it has been on the screen; a moment later it can be agreed to."""
        self._settled = False
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(FIRST_S, self._become_settled)
        self._show_status()

    def _become_settled(self) -> None:
        self._settled = True
        self._show_status()

    @property
    def may_act(self) -> bool:
        """Whether what is on the screen can be agreed to now."""
        return self._settled and not self._agreed and not self._outdated

    @property
    def _outdated(self) -> bool:
        """Whether it has to be planned again."""
        return bool(self._changed or self._refused or self._stale)

    def plan_outdated(self, changes: Sequence[str]) -> None:
        """What was agreed to has not begun: the last look before it showed these changes."""
        self._agreed = False
        self._changed = tuple(changes)
        self._say()

    def refused(self, why: str) -> None:
        """What was agreed to has not begun, and why."""
        self._agreed = False
        self._refused = why
        self._say()

    def show(self, present: Present) -> None:
        """Hold the plan against a new reading."""
        self.stand_on(replace(self._standing, reading=present.reading))

    def stand_on(self, standing: Standing) -> None:
        """Hold the plan against what is known now. What has changed once stays said, also when it changes back."""
        self._standing = standing
        try:
            changes = self._plan.fingerprint.changes_to(fingerprint(self._plan.request, standing))
        except OperationRefused as error:
            self._refused = str(error)
        else:
            self._changed = changes or self._changed
        self.tick()

    @property
    def standing(self) -> Standing:
        """What is known now."""
        return self._standing

    def tick(self) -> None:
        """Whatever changes by the clock alone."""
        snapshot = self._standing.reading.snapshot
        self._age_s = self._times.mono_s() - snapshot.taken_mono_s if snapshot is not None else 0.0
        if self.is_mounted:
            self._show_status()

    @property
    def _stale(self) -> bool:
        return self._age_s > stale_after_s(self._cluster.interval_s)

    def _show_status(self) -> None:
        said: list[Part] = []
        if self._changed:
            more = len(self._changed) - CHANGES_SAID
            what = "; ".join(self._changed[:CHANGES_SAID]) + (f"; and {more} more" if more > 0 else "")
            said.append((f"changed since you opened: {what}", STYLES[DANGER]))
        if self._refused:
            said.append((self._refused, STYLES[DANGER]))
        if self._stale:
            said.append((f"what this stands on is {format.span(self._age_s)} old", STYLES[DANGER]))
        self._action.set_class(not self.may_act, "-off")
        if self._outdated and not self._again.display:
            # It stays, so that no button ever comes under fingers that were pressing another one.
            self._again.display = True
            if self._count.has_focus:
                self.set_focus(self._again)
            self._count.display = False
            self._arrange_buttons()
        self._status.show([Content.styled(clean(text), style) for text, style in (*said, *self._said)])

    def _say(self, *said: Part) -> None:
        self._said = list(said)
        self._show_status()

    # Keys

    def action_decline(self) -> None:
        """Once it is agreed to, going away would look like taking it back."""
        if not self._agreed:
            super().action_decline()

    async def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button is self._cancel:
            self.action_decline()
        elif event.button is self._action:
            self._act()
        elif event.button is self._count:
            self._begin_to_count()
        elif (
            event.button is self._again
            and not self._agreed
            and (why := await self._plan_again(self, self._plan, self._reason.value))
        ):
            self.refused(why)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input is self._reason:
            self.set_focus(self._cluster_line if self.typed else self._cancel)
        elif event.value.strip() == self._plan.cluster:
            self._act()
        elif event.value:
            self._say((f"the cluster is called {self._plan.cluster}", STYLES[ATTENTION]))

    def _act(self) -> None:
        self.tick()
        if self.may_act and self.is_active:
            self._agreed = True
            self._say(("checking once more…", STYLES[MUTED]))
            self._agree(self._plan, clean(self._reason.value.strip()))
        elif not self._settled:
            self._say((TOO_SOON, STYLES[ATTENTION]))

    # Counting

    def _begin_to_count(self) -> None:
        if not self._counting:
            self._counting = True
            self._say(("counting…", STYLES[MUTED]))
            self.run_worker(self._count_exactly(), name="count", exit_on_error=False)

    async def _count_exactly(self) -> None:
        plan = self._plan
        try:
            counted = await self._ask_count(plan, self._standing, self._note_count)
            # Of the ring as it is now: if that is another, it has been said, and the plan on the screen stays.
            standing = replace(self._standing, counted=counted.counted)
            exact = make_plan(plan.request, standing)
        except DirectorTuiError as error:
            self._say(*failure_lines(error))
        else:
            self._say()
            self._take_exact(exact, standing)
        finally:
            self._counting = False

    def _note_count(self, far: str) -> None:
        """How far it is; the next tick shows it. Drawing it each time would take longer than counting."""
        self._said = [(far, STYLES[MUTED])]

    def _take_exact(self, exact: Plan, standing: Standing) -> None:
        self.stand_on(standing)
        if self._changed or self._agreed:
            return
        if self._count.has_focus:
            self.set_focus(self._cancel)
        self._plan = exact
        self._draw()
        self._settle()
