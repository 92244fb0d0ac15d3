"""The way from `E` and `R` to plans for the whole ring: a stop, a recovery, disconnecting everyone.

Like every changing key they change nothing themselves. What was saved by stops that are not over is looked for first,
so that no count that was saved is ever saved as 0.
"""

from __future__ import annotations

import os.path
from functools import partial
from typing import TYPE_CHECKING, Final

from director_tui.errors import DirectorTuiError, LinkError
from director_tui.link.ring import director_name
from director_tui.link.users import each_once, sessions
from director_tui.operations.emergency import (
    disconnect_plan,
    left_to_stop,
    record_of,
    recover_plan,
    stop_in,
    stop_plan,
)
from director_tui.operations.emergency_ground import kicks_by_name, lowest
from director_tui.operations.gate import Cure, refusal
from director_tui.operations.plan import Emergency, Standing, Verb
from director_tui.operations.stop_keeping import Found
from director_tui.operations.stop_record import recover_script
from director_tui.operations.stop_watch import look_for_stops
from director_tui.operations.who import local_user, who_am_i
from director_tui.state import state_folder
from director_tui.ui.emergency_screen import RecoverForm, StopDialog
from director_tui.ui.emergency_text import KeptAt
from director_tui.ui.forms import ReadingFirst
from director_tui.ui.plan_dialog import PlanDialog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from director_tui.director.model import ProxySession
    from director_tui.operations.emergency import Choice, Stop
    from director_tui.operations.gate import Circumstances
    from director_tui.operations.plan import Plan
    from director_tui.times import Times
    from director_tui.ui.plan_dialog import RunPlan
    from director_tui.ui.sheet import Sheet
    from director_tui.ui.watch import Watch

VERBS: Final = {
    Emergency.STOP: Verb.UPDATE,
    Emergency.RECOVER: Verb.UPDATE,
    Emergency.DISCONNECT: Verb.FLUSH_ALL,
}
"""By which the gate judges them."""


class Emergencies:
    """What `E` and `R` do on one cluster. ``open`` shows a sheet, in the place of another if one is given."""

    def __init__(
        self,
        watch: Watch,
        times: Times,
        *,
        open: Callable[[Sheet, Sheet | None], Awaitable[None]],
        circumstances: Callable[[Emergency], Circumstances],
        run: RunPlan,
    ) -> None:
        self._watch, self._times = watch, times
        self._open, self._circumstances, self._run = open, circumstances, run
        self._found = Found()
        self._sessions: Mapping[str, Sequence[ProxySession]] = {}
        self._touched: dict[str, bool] = {}

    async def begin(self, what: Emergency, before: Sheet | None = None, reason: str = "") -> str:
        """Show what it would do, in the place of a sheet; or say why nothing is shown."""
        if before is None:
            self._touched = {}
        refused = refusal(VERBS[what], self._circumstances(what))
        if refused is not None and refused.cure is not Cure.READING:
            return str(refused)
        go_on = partial(self._show, what, reason)
        # Where nothing is at 0 what was found before is enough, and a stop waits for nothing.
        if refused is None and what is Emergency.STOP and not self._some_are_at_0 and self._watch.found is not None:
            self._found = self._watch.found
            return await go_on(before)
        words = {
            Emergency.STOP: "the records of stops, here and on the directors",
            Emergency.RECOVER: "the records of stops, here and on the directors",
            Emergency.DISCONNECT: "every director, for a backend that is still usable",
        }
        await self._open(ReadingFirst(words[what], partial(self._read, what), go_on), before)
        return ""

    async def again(self, shown: PlanDialog, plan: Plan, reason: str) -> str:
        """The same on what is known now, in the place of the plan that is shown."""
        return await self.begin(plan.request.emergency or Emergency.STOP, shown, reason)

    @property
    def _some_are_at_0(self) -> bool:
        present = self._watch.present
        least = lowest(present.reading) if present is not None else ()
        return not least or not all(one.vhosts for one in least)

    async def _read(self, what: Emergency) -> None:
        """A reading of every director, and what else the plan stands on. Raises DirectorTuiError."""
        reading = await self._watch.fresh()
        ring = self._watch.ring
        if ring is None:
            raise LinkError("no director has been reached yet", "it is tried again by itself")
        if what is not Emergency.DISCONNECT:
            self._found = (await look_for_stops(ring, reading, self._times)).found
        self._sessions = {}
        if what is not Emergency.RECOVER and not left_to_stop(reading) and kicks_by_name(reading):
            self._sessions = (await sessions(ring, reading.views, times=self._times)).by_director

    async def _show(self, what: Emergency, reason: str, before: Sheet | None) -> str:
        standing = self._standing()
        if standing is None:
            return "nothing has been read yet"
        try:
            match what:
                case Emergency.STOP if left_to_stop(standing.reading) or not lowest(standing.reading):
                    return await self._show_stop(standing, reason, before)
                case Emergency.RECOVER:
                    return await self._show_recovery(standing, reason, before)
                case _:  # and also where all that a stop does is done: what is left of it is this
                    plan = disconnect_plan(standing, self._sessions)
        except DirectorTuiError as error:
            return f"{error}: {error.remedy}" if error.remedy else str(error)
        await self._open(self._dialog(plan, standing, reason), before)
        return ""

    def _standing(self) -> Standing | None:
        present, ring = self._watch.present, self._watch.ring
        if present is None or present.reading.snapshot is None or ring is None:
            return None
        return Standing(present.reading, ring.cluster)

    def _stop(self, standing: Standing) -> Stop | None:
        return stop_in(self._found, standing.reading)

    async def _show_stop(self, standing: Standing, reason: str, before: Sheet | None) -> str:
        plan = stop_plan(standing, self._stop(standing))
        record = record_of(plan, standing.reading, reason, self._times.utc(), who_am_i(), "")
        dialog = StopDialog(
            *(self._watch.cluster, self._times, plan, standing),
            agree=self._run,
            again=self.again,
            count=_no_count,
            reason=reason,
            places=self._places(standing),
            script=recover_script(record, self._watch.cluster.directors[0].doveadm),
        )
        await self._open(dialog, before)
        return ""

    def _places(self, standing: Standing) -> list[KeptAt]:
        """Where a stop puts its record and the script, and who finds them."""
        cluster, ring = self._watch.cluster, self._watch.ring
        there: dict[str, list[str]] = {}
        for link in each_once(ring.links, standing.reading.views) if ring is not None else ():
            user, at, _ = link.config.ssh.rpartition("@")
            whom = f"for whoever logs in as {user}" if at else "for whoever logs in as the same user"
            if not cluster.records.startswith("~"):
                whom = "for whoever may read that folder"
            there.setdefault(whom, []).append(director_name(link.config, standing.cluster))
        here, home = str(state_folder(cluster.name)), os.path.expanduser("~")
        if here.startswith(f"{home}/"):
            here = f"~{here.removeprefix(home)}"
        return [
            KeptAt(("here",), f"{here}/", f"for {local_user()} alone"),
            *(KeptAt(tuple(names), f"{cluster.records}/", whom) for whom, names in there.items()),
        ]

    async def _show_recovery(self, standing: Standing, reason: str, before: Sheet | None) -> str:
        stop, present = self._stop(standing), self._watch.present
        if present is None:
            return "nothing has been read yet"

        async def go_on(form: Sheet, choice: Choice, ticked: Collection[str]) -> str:
            return await self._plan_recovery(stop, choice, ticked, reason, form)

        form = RecoverForm(self._watch.cluster, present, self._found, stop, self._touched, go_on)
        await self._open(form, before)
        return ""

    async def _plan_recovery(
        self, stop: Stop | None, choice: Choice, ticked: Collection[str], reason: str, before: Sheet
    ) -> str:
        if (refused := refusal(VERBS[Emergency.RECOVER], self._circumstances(Emergency.RECOVER))) is not None:
            return str(refused)
        standing = self._standing()
        if standing is None:
            return "nothing has been read yet"
        try:
            plan = recover_plan(standing, stop, choice, ticked)
        except DirectorTuiError as error:
            return f"{error}: {error.remedy}" if error.remedy else str(error)
        await self._open(self._dialog(plan, standing, reason), before)
        return ""

    def _dialog(self, plan: Plan, standing: Standing, reason: str) -> PlanDialog:
        return PlanDialog(
            *(self._watch.cluster, self._times, plan, standing),
            agree=self._run,
            again=self.again,
            count=_no_count,
            reason=reason,
        )


async def _no_count(plan: Plan, standing: Standing, say: Callable[[str], None]) -> Standing:
    """Where users go doesn't matter to a plan for the whole ring."""
    return standing
