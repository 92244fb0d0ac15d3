"""The way from a changing key to a plan that somebody agrees to. It changes nothing itself.

A key names the targets, and nothing follows the cursor from there on. Then, each only where it is needed: a reading, a
form for what is still open, and always the plan.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from director_tui.errors import DirectorTuiError, LinkError, StateError
from director_tui.link.reading import stale_after_s
from director_tui.link.users import sessions_by_backend
from director_tui.operations.counting import count
from director_tui.operations.gate import Circumstances, Cure, refusal
from director_tui.operations.plan import Confirmation, Emergency, Standing, Verb
from director_tui.operations.planning import make_plan
from director_tui.operations.unseen_flush import unseen_flushes
from director_tui.operations.words import counted_words, plural
from director_tui.text import clean
from director_tui.ui.emergencies import Emergencies
from director_tui.ui.forms import AddForm, BackendChoice, FlushForm, Form, ReadingFirst, VhostsForm, now_lines
from director_tui.ui.plan_dialog import PlanDialog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from director_tui.link.users import Sessions
    from director_tui.operations.plan import Plan, Request
    from director_tui.operations.progress import Progress
    from director_tui.times import Times
    from director_tui.ui.live import AskSessions
    from director_tui.ui.plan_dialog import RunPlan
    from director_tui.ui.sheet import Sheet
    from director_tui.ui.watch import Watch

SESSIONS_WAIT_S: Final = 5.0
"""How long a removal waits for what sessions there are; without knowing it asks for more."""

GoOn = Callable[["Sheet | None"], Awaitable[str]]
"""Shows what comes next, in the place of a sheet; or says why nothing does."""


class Changing:
    """What the changing keys of one cluster do.

    ``push`` puts a dialog in front of the screen, ``say`` shows a sentence. ``running`` is the operation under way, or
    the last one; ``run`` takes a plan that was agreed to, with the reason.
    """

    def __init__(
        self,
        watch: Watch,
        times: Times,
        *,
        push: Callable[[Sheet], Awaitable[object]],
        say: Callable[[str], None],
        ask_sessions: AskSessions,
        running: Callable[[], Progress | None],
        run: RunPlan,
    ) -> None:
        self._watch, self._times = watch, times
        self._push, self._say = push, say
        self._ask_sessions = ask_sessions
        self._running, self._run = running, run
        self._sessions: Sessions | None = None
        self._all_sessions = asyncio.Event()
        self._shown: PlanDialog | None = None
        self._emergencies = Emergencies(watch, times, open=self._open, circumstances=self._circumstances, run=run)

    async def begin(self, request: Request, *, whole: bool = False) -> None:
        """A changing key was pressed: ``request`` has its targets, and perhaps not yet all of what is to be done; if it
        is ``whole`` nothing is asked for any more."""
        go_on = partial(self._plan, request=request) if whole else partial(self._ask, request)
        if why := self._refusal(request) or await self._after_reading(request, go_on, None):
            self._say(why)

    async def begin_emergency(self, what: Emergency) -> None:
        """A key for the whole ring was pressed."""
        if why := await self._emergencies.begin(what):
            self._say(why)

    def _refusal(self, request: Request) -> str:
        """Why it can't begin; nothing where a reading may help, which is taken first."""
        refused = refusal(request.verb, self._circumstances(), targets=len(request.targets))
        return str(refused) if refused is not None and refused.cure is not Cure.READING else ""

    def _circumstances(self, emergency: Emergency | None = None) -> Circumstances:
        present, running = self._watch.present, self._running()
        in_the_way = running is not None and running.running and not running.gives_way_to(emergency)
        wait_s = running.stop_waits_s(self._times.mono_s()) if running is not None else None
        until = f"; in {wait_s:.0f} s at most it gives way: E again" if wait_s and emergency is Emergency.STOP else ""
        return Circumstances(
            reading=present.reading if present is not None else None,
            read_only=self._watch.cluster.read_only,
            fresh=not self._stale,
            running=running_words(running) + until if running is not None and in_the_way else "",
        )

    async def _open(self, sheet: Sheet, before: Sheet | None) -> None:
        if before is not None:
            before.give_way_to(sheet)
        else:
            await self._push(sheet)

    # Reading

    async def _after_reading(self, request: Request, go_on: GoOn, before: Sheet | None) -> str:
        """Go on, at once or when what is needed has been read."""
        refused = refusal(request.verb, self._circumstances())
        stale, removes = refused is not None and refused.cure is Cure.READING, request.verb is Verb.REMOVE
        self._sessions, self._shown = None, None
        if not stale and not removes:
            return await go_on(before)
        what = "what is shown is too old" if stale else "the sessions that the directors still pass on"
        await self._open(ReadingFirst(what, partial(self._read, stale=stale, sessions=removes), go_on), before)
        return ""

    @property
    def _stale(self) -> bool:
        present = self._watch.present
        snapshot = present.reading.snapshot if present is not None else None
        if snapshot is None:
            return True
        done = self._running()
        if done is not None and done.ended_mono_s is not None and snapshot.asked_mono_s < done.ended_mono_s:
            return True  # it may show the ring as it was before
        return self._times.mono_s() - snapshot.taken_mono_s > stale_after_s(self._watch.cluster.interval_s)

    async def _read(self, *, stale: bool, sessions: bool) -> None:
        if stale:
            await self._watch.fresh()
        if sessions:
            self._all_sessions.clear()
            self._ask_sessions(self._take_sessions)
            with suppress(TimeoutError):
                async with asyncio.timeout(SESSIONS_WAIT_S):
                    await self._all_sessions.wait()

    def _take_sessions(self, known: Sessions) -> None:
        self._sessions = known
        if not known.waiting:
            self._all_sessions.set()
        if self._shown is not None:
            # Whoever had not answered in time may make it another plan.
            self._shown.stand_on(replace(self._shown.standing, sessions=self._session_counts()))

    def _session_counts(self) -> Mapping[str, int] | None:
        known, present = self._sessions, self._watch.present
        return sessions_by_backend(present.reading, known) if known is not None and present is not None else None

    # Asking

    async def _ask(self, request: Request, before: Sheet | None) -> str:
        """Ask for what is still open, then show the plan."""
        sheet = self._form(request)
        if sheet is None:
            return await self._plan(before, request)
        await self._open(sheet, before)
        return ""

    def _form(self, request: Request) -> Sheet | None:
        present, cluster = self._watch.present, self._watch.cluster
        snapshot = present.reading.snapshot if present is not None else None
        if present is None or snapshot is None:
            return None
        whole = all(target.vhosts is not None for target in request.targets)
        form: type[Form]
        match request.verb:
            case Verb.UPDATE if not whole:
                title, form = f"Set the vhost count of {counted_words(request.ips)}", VhostsForm
            case Verb.ADD if not request.targets:
                title, form = "Add a backend", AddForm
            case Verb.FLUSH:
                title, form = f"Flush {counted_words(request.ips)}", FlushForm
            case Verb.FLUSH_ALL:
                title, form = "Flush all backends", FlushForm
            case Verb.MOVE if not request.targets:
                title = f"Move {request.user} to"
                return BackendChoice(title, request, cluster, self._times, present, self._plan)
            case _:
                return None
        backends = {backend.ip: backend for backend in snapshot.backends}
        return form(title, request, now_lines(request.ips, backends, cluster.names), self._plan)

    # Planning

    async def _plan(self, before: Sheet | None, request: Request, reason: str = "", unseen: str = "") -> str:
        """Show the plan in the place of what is there; or say why there is none.

        ``unseen`` says of a flush whose end nobody saw, when somebody insists all the same.
        """
        present, ring = self._watch.present, self._watch.ring
        if present is None or ring is None:
            return "nothing has been read yet"
        standing = Standing(present.reading, ring.cluster, self._session_counts())
        try:
            plan = make_plan(request, standing)
        except DirectorTuiError as error:
            return f"{error}: {error.remedy}" if error.remedy else str(error)
        if unseen:
            plan = replace(plan, confirmation=Confirmation.TYPED, raised_by=(*plan.raised_by, unseen))
        self._shown = PlanDialog(
            *(self._watch.cluster, self._times, plan, standing),
            agree=partial(self._run, override=bool(unseen)),
            again=self._plan_again,
            count=self._count,
            reason=reason,
        )
        await self._open(self._shown, before)
        return ""

    async def _plan_again(self, shown: PlanDialog, plan: Plan, reason: str) -> str:
        """The same request, on what is known now, in the place of the plan that is shown."""

        async def go_on(before: Sheet | None) -> str:
            unseen = await self._unseen_flush(plan.request)
            return await self._plan(before, plan.request, reason, unseen)

        return self._refusal(plan.request) or await self._after_reading(plan.request, go_on, shown)

    async def _unseen_flush(self, request: Request) -> str:
        """What keeps a backend from being added or removed, unless somebody insists on it."""
        try:
            flushes = await asyncio.to_thread(unseen_flushes, self._watch.cluster.name)
        except StateError:
            return ""  # whoever carries the plan out says so, and does nothing
        refused = refusal(request.verb, replace(self._circumstances(), unseen=flushes))
        return str(refused) if refused is not None and refused.cure is Cure.TYPED else ""

    async def _count(self, plan: Plan, standing: Standing, say: Callable[[str], None]) -> Standing:
        """The standing with the exact moves of those users that the plan only estimates."""
        if (ring := self._watch.ring) is None:
            raise LinkError("no director has been reached yet", "it is tried again by itself")
        counted = await count(plan.request, standing, ring, lambda read: say(f"counting… {plural(read, 'user')} read"))
        return replace(standing, counted=counted)


def running_words(running: Progress) -> str:
    """The operation under way, as it stands in a sentence."""
    return f"“{clean(running.plan.title)}” runs since {running.started_at:%H:%M:%S}"
