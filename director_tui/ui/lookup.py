"""Finding a user: where it is in every tag, where it goes next, and, on demand, its sessions on all directors."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input, Static

from director_tui.director import doveadm
from director_tui.director.failures import refused_by_sudo
from director_tui.director.model import RingSettings
from director_tui.director.whereabouts import (
    Grade,
    on_two_backends,
    whereabouts,
)
from director_tui.errors import DirectorTuiError, LinkError, RingUnreadable
from director_tui.link.reading import stale_after_s
from director_tui.link.users import find_user, not_asked
from director_tui.operations.plan import Request, Verb
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.commands import USER_CHANGED, bindings
from director_tui.ui.format import ATTENTION, DANGER, FINE, MUTED, NAME_WIDTH, PLAIN, STYLES
from director_tui.ui.grid import Grid
from director_tui.ui.header import GAP, SLACK_S, short_name
from director_tui.ui.lines import Rule, Sentences
from director_tui.ui.live import TICK_S, LiveScreen, failure_lines
from director_tui.ui.user_line import UserLine
from director_tui.ui.user_tables import (
    PLACEMENT_COLUMNS,
    SESSION_COLUMNS,
    OwnSessions,
    PlacementRow,
    SessionRow,
    own_sessions,
    placement_rows,
    session_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual.binding import BindingType
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.link.ring import Ring
    from director_tui.link.users import FoundUser, Sessions
    from director_tui.times import Times
    from director_tui.ui.format import Part
    from director_tui.ui.live import AskSessions, BeginChange, Present

LOOK_AGAIN_S: Final = 5.0
"""How often a user is looked up again while it is shown, in seconds; seldomer where it costs many calls."""
CALLS_PER_S: Final = 2.0
"""How many calls a second that may cost on average. One takes about 12 ms of the director's only process."""

NAME_LEAST: Final = 16
"""Cells of a user's name that are shown whatever else there is to say beside it."""
GAP_WIDTH: Final = sum(cell_len(text) for text, _ in GAP)

_MEANINGS: Final = {Grade.DANGER: DANGER, Grade.ATTENTION: ATTENTION, Grade.PLAIN: PLAIN, Grade.FINE: FINE}


class LookupScreen(LiveScreen):
    """One user: looked up again and again while it is shown; its sessions only when they are asked for.

    ``ring`` gives the ring, None as long as there is none; ``names`` are those looked up so far, to which this adds.
    """

    GROUPS: ClassVar[tuple[str, ...]] = (USER_CHANGED, "User", "Views", "Emergency", "Program", "Back")
    BINDINGS: ClassVar[list[BindingType]] = bindings(*GROUPS)
    AUTO_FOCUS = ""

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        present: Present | None,
        *,
        ring: Callable[[], Ring | None],
        ask_sessions: AskSessions,
        names: list[str],
        change: BeginChange,
    ) -> None:
        super().__init__(cluster, times, present)
        self._change = change
        self._ring = ring
        self._ask_sessions = ask_sessions
        self._names = names
        self._user = ""
        self._found: FoundUser | None = None
        self._failure: DirectorTuiError | None = None
        self._refusal = ""
        self._again = asyncio.Event()
        self._sessions: Sessions | None = None
        self._asking = False
        self._own: OwnSessions = {}
        self._own_of: tuple[Sessions, int, str | None] | None = None
        self._user_line = UserLine(names)
        self._about = Sentences()
        self._words = Sentences(id="words")
        self._placements = Grid[PlacementRow](
            PLACEMENT_COLUMNS, key=lambda row: row.placement.tag, matches=_all, id="placements"
        )
        self._sessions_rule = Rule(id="sessions-rule")
        self._sessions_words = Sentences(id="sessions-words")
        self._sessions_grid = Grid[SessionRow](SESSION_COLUMNS, key=lambda row: row.key, matches=_all, id="sessions")
        self._placement_rows: list[PlacementRow] = []
        self._session_rows: list[SessionRow] = []

    def body(self) -> Iterable[Widget]:
        yield Horizontal(Static("user", id="user-label"), self._user_line, id="user-row")
        yield self._about
        yield self._words
        yield self._placements
        yield self._sessions_rule
        yield self._sessions_words
        yield self._sessions_grid

    def on_mount(self) -> None:
        self.ask_for_a_name()

    # Looking up

    def ask_for_a_name(self) -> None:
        """Wait for the next name; the old one is selected, so that typing replaces it."""
        # Not by Widget.focus(), which comes later: the next keys are already waiting.
        self.set_focus(self._user_line)
        self._user_line.select_all()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        user = event.value
        try:
            doveadm.user_hash(user)
        except ValueError as error:
            self._refuse(clean(str(error)))
            return
        if user in self._names:
            self._names.remove(user)
        self._names.append(user)
        self._user_line.looked_up()
        self._user, self._found, self._failure, self._refusal = user, None, None, ""
        self._sessions, self._asking = None, False
        self.set_focus(self._placements)
        self._draw()
        self.run_worker(self._keep_looking_up(user), group="user", exclusive=True)

    def _refuse(self, why: str) -> None:
        self._refusal = why
        self._draw()

    async def _keep_looking_up(self, user: str) -> None:
        while True:
            self._again.clear()
            await self._look_up(user)
            self._draw()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._beat_s if _may_pass(self._failure) else None):
                    await self._again.wait()

    async def _look_up(self, user: str) -> None:
        ring = self._ring()
        if ring is None:
            self._failure = LinkError("no director has been reached yet", "it is tried again by itself")
            return
        try:
            self._found = await find_user(ring, user, times=self.times)
        except DirectorTuiError as failure:
            self._failure = failure
        else:
            self._failure = None

    @property
    def _beat_s(self) -> float:
        calls = 2 + len(self._found.placements) if self._found is not None else 0
        return max(self.cluster.interval_s, LOOK_AGAIN_S, calls / CALLS_PER_S)

    def read_again(self) -> None:
        self._again.set()
        if self._sessions is not None:
            self.action_sessions()

    # Sessions

    def action_sessions(self) -> None:
        """Ask every director for sessions; where the user is belongs to it, so that is read again, too."""
        if not self._user:
            self.ask_for_a_name()
        # What a director has begun to list it lists to the end: asking twice at a time would only cost it more.
        elif self._ring() is not None and not self._asking:
            self._asking = True
            self._again.set()
            self._ask_sessions(partial(self._take_sessions, self._user))
            self._draw()

    def _take_sessions(self, user: str, known: Sessions) -> None:
        if user != self._user or not self._asking:
            return  # put away meanwhile
        if self._sessions is not None and known.taken_mono_s < self._sessions.taken_mono_s:
            return  # of an earlier request
        first = self._sessions is None
        self._sessions, self._asking = known, bool(known.waiting)
        self._draw()
        if first and self.focused is self._placements and self._session_rows:
            self.set_focus(self._sessions_grid)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Without sessions to put away, Esc leads back. While a name is typed, its characters are no commands."""
        if action == "change":
            return not isinstance(self.focused, Input)
        return action != "clear" or self._sessions is not None or self._asking

    async def action_change(self, verb: str) -> None:
        """Begin to move or kick the user that is shown."""
        found = self._found
        if found is None:
            self.notify("no user has been found yet: l finds one", markup=False)
            return
        # Where it has several places, the one under the cursor.
        tag = self._placements.cursor_key or ""
        await self._change(Request(Verb(verb), user=found.user, user_hash=found.hash, user_tag=tag))

    def action_clear(self) -> None:
        self._sessions, self._asking = None, False
        self.set_focus(self._placements)
        self._draw()

    def on_user_line_left(self) -> None:
        if self._user:
            self.set_focus(self._placements)
        else:
            self.dismiss(None)

    def on_user_line_refused(self, event: UserLine.Refused) -> None:
        self._refuse(event.why)

    def on_input_changed(self) -> None:
        if self._refusal:
            self._refuse("")

    # Drawing

    def show_present(self, present: Present) -> None:
        self._draw()

    @property
    def tick_s(self) -> float:
        """It tells ages of its own."""
        return TICK_S

    def tick(self) -> None:
        super().tick()
        self._draw()

    def _draw(self) -> None:
        """Everything that a look-up, sessions or the clock may have changed."""
        if not self.is_mounted:
            return
        self._draw_user()
        self._draw_sessions()

    @property
    def _settings(self) -> RingSettings | None:
        return self.present.reading.settings if self.present is not None else None

    def _draw_user(self) -> None:
        settings, found = self._settings, self._found
        lines: list[list[Part]] = []
        if self._refusal:
            lines.append([(self._refusal, STYLES[ATTENTION])])
        if not self._user:
            hint = "Enter looks it up in every tag, by the hash that the director itself makes of it."
            lines.append([(hint, STYLES[MUTED])])
        else:
            lines.append(self._about_line())
        self._about.show([Content.assemble(*parts) for parts in lines])
        words: list[list[Part]] = []
        if self._failure is not None:
            words.extend([part] for part in failure_lines(self._failure))
            if not _may_pass(self._failure):
                words.append([("r looks it up again", STYLES[MUTED])])
        if found is not None:
            expire_s = settings.user_expire_s if settings is not None else None
            for one in whereabouts(found.placements, found.backends, names=self.cluster.names, user_expire_s=expire_s):
                words.append([(one.now, f"{STYLES[_MEANINGS[one.grade]]} bold")])
                if one.then:
                    words.append([(one.then, STYLES[PLAIN])])
            words.extend([(f"left out: {why}", STYLES[MUTED])] for why in found.left_out)
        self._words.show([Content.assemble(*parts) for parts in words])
        rows: list[PlacementRow] = []
        if found is not None:
            expire_s = (settings or RingSettings()).user_expire_s
            rows = placement_rows(found, self.cluster.names, self.times.utc(), expire_s)
        if rows != self._placement_rows:
            self._placement_rows = rows
            self._placements.set_rows(rows)
        self._placements.set_stale(found is not None and self._age_s(found) > stale_after_s(self._beat_s))

    def _about_line(self) -> list[Part]:
        found, user = self._found, clean(self._user)
        said: list[Part] = []
        if where := _blanks(self._user):
            said.append((f"looked up with a blank at its {where}", STYLES[ATTENTION]))
        if found is not None:
            age_s = self._age_s(found)
            asked = f"asked {self._label(found.director)} {_ago(age_s)}"
            if age_s > stale_after_s(self._beat_s):
                said.append((f"○ STALE, {asked}", STYLES[DANGER]))
            else:
                said.append((asked, STYLES[ATTENTION if age_s > self._beat_s + SLACK_S else MUTED]))
        elif self._failure is None:
            said.append(("looking it up", STYLES[MUTED]))
        room = self.line_width - sum(cell_len(text) + GAP_WIDTH for text, _ in said)
        if found is not None:
            # Where there is no room for it beside a name that can be told from others, the hash gives way.
            hash_ = f"hash {found.hash}"
            if room - len(hash_) - GAP_WIDTH >= min(NAME_LEAST, cell_len(user)):
                room -= len(hash_) + GAP_WIDTH
                said.insert(0, (hash_, STYLES[MUTED]))
        name = (format.shortened(user, max(8, room)), "$dt-accent bold")
        return [part for one in (name, *said) for part in (*GAP, one)][len(GAP) :]

    def _draw_sessions(self) -> None:
        known = self._sessions
        shown = known is not None or self._asking
        for widget in (self._sessions_rule, self._sessions_grid):
            widget.display = shown
        self.set_class(shown, "-sessions")
        rows: list[SessionRow] = []
        if known is not None and self._found is not None:
            own = self._own_sessions(known, self._found.hash)
            rows = session_rows(own, self._found, self.cluster.names, self._label)
        if rows != self._session_rows:
            self._session_rows = rows
            self._sessions_grid.set_rows(rows)
        if shown:
            self._say_sessions(rows)
        else:
            self._sessions_words.show([])
        self._sessions_grid.set_stale(known is not None and self._age_s(known) > stale_after_s(self._beat_s))

    def _own_sessions(self, known: Sessions, hash_: int) -> OwnSessions:
        """Sorted out once: there may be very many of other users."""
        form = self._settings.username_hash if self._settings is not None else None
        of = (known, hash_, form)
        if of != self._own_of:
            self._own = own_sessions(known, self._user, hash_, form)
            self._own_of = of
        return self._own

    def _say_sessions(self, rows: Sequence[SessionRow]) -> None:
        known = self._sessions
        if known is None:
            self._sessions_rule.say(("sessions", "$dt-accent"), ("asking every director", STYLES[MUTED]))
            self._sessions_words.show([])
            return
        age_s = self._age_s(known)
        stale = age_s > stale_after_s(self._beat_s)
        age = f"○ STALE, {format.span(age_s)} old · r reads again" if stale else _ago(age_s)
        missing = not_asked(self.present.reading, known) if self.present is not None else 0
        number = sum(row.number for row in rows)
        count = format.plural(number, "session") if number else "no session"
        if known.failures or known.waiting or missing:
            # Of the others it is not known, so nobody must take this for all there are.
            count = f"{format.plural(number, 'session')} seen" if number else "sessions"
        self._sessions_rule.say((count, "$dt-accent"), (age, STYLES[DANGER if stale else MUTED]))
        lines: list[Part] = []
        two = on_two_backends([row.session for row in rows], self._found.backends if self._found is not None else ())
        if two:
            lines.append((f"SESSIONS ON {len(two)} BACKENDS AT ONCE: {', '.join(two)}", STYLES[DANGER]))
        for name, failure in known.failures.items():
            why = str(failure).removeprefix(f"{name}: ")
            remedy = f" ({failure.remedy})" if failure.remedy else ""
            lines.append((f"{self._label(name)}: not known: {why}{remedy}", STYLES[ATTENTION]))
        lines.extend((f"{self._label(name)}: no answer yet", STYLES[ATTENTION]) for name in known.waiting)
        if missing:
            what = format.plural(missing, "director")
            lines.append((f"{what} of the ring can't be asked: no SSH destination is configured", STYLES[ATTENTION]))
        if not rows and self._found is not None:
            asked = ", ".join(self._label(name) for name in known.by_director)
            if asked:
                lines.append((f"no session of this user through {asked}; LMTP is not listed", STYLES[MUTED]))
        self._sessions_words.show([Content.styled(clean(text), style) for text, style in lines])

    def _age_s(self, of: FoundUser | Sessions) -> float:
        return self.times.mono_s() - of.taken_mono_s

    def _label(self, director: str) -> str:
        return format.shortened(short_name(director, [one.ssh for one in self.cluster.directors]), NAME_WIDTH)


def _ago(age_s: float) -> str:
    return f"{format.span(age_s)} ago" if age_s >= 1 else "just now"


def _may_pass(failure: DirectorTuiError | None) -> bool:
    """Whether to try again without being asked: where sudo refuses it, root would hear of each attempt."""
    if failure is None:
        return True
    causes = failure.causes.values() if isinstance(failure, RingUnreadable) else [failure]
    return not any(map(refused_by_sudo, causes))


def _blanks(user: str) -> str:
    """Where a name has a blank that nobody sees."""
    return " and its ".join(where for where, end in (("beginning", user[:1]), ("end", user[-1:])) if end.isspace())


def _all(row: object, text: str) -> bool:
    return True
