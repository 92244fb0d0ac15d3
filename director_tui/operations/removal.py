"""The clean removal of a backend: what is kept of it, and where it stands.

Where it stands is never believed from a record. It is worked out of what the directors show, each time again; the
record has only what no director can know: how the backend was before, what was decided, and what was done on the
backend itself. So whoever is killed in the middle of a step goes on rightly, and whoever is overtaken by others, too.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from director_tui.director.changes import first_by_ip
from director_tui.director.model import State
from director_tui.errors import OperationRefused
from director_tui.link.reading import foreign
from director_tui.operations.effect import refuse_pace
from director_tui.operations.plan import Request, Target, Verb
from director_tui.operations.stop_record import stamp
from director_tui.operations.words import listed, plural, tag_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from director_tui.director.model import Backend
    from director_tui.link.reading import Reading
    from director_tui.link.users import Sessions

STAY_MOVED: Final = "users already moved stay where they are"
"""What no way back gives back."""


class Step(enum.Enum):
    """The steps in their order; the last two are for a backend that does not come back."""

    CHECK = "Check"
    NO_NEW_USERS = "No new users"
    LET_LEAVE = "Let users leave"
    UPLOAD = "Upload pending metacache"
    MOVE = "Move the rest"
    FINAL_UPLOAD = "Final metacache upload"
    REMOVE = "Remove"
    CONFIGURATION = "Configuration"

    @property
    def number(self) -> int:
        return list(Step).index(self) + 1

    @property
    def title(self) -> str:
        return self.value


UPLOADS: Final = (Step.UPLOAD, Step.FINAL_UPLOAD)
PERMANENT_ONLY: Final = (Step.REMOVE, Step.CONFIGURATION)


class Decided(enum.Enum):
    """How something came to an end of which no director knows."""

    DONE = "done"
    NOT_THERE = "not an obox backend"
    NOT_WANTED = "not wanted"
    SKIPPED = "skipped"


class Course(enum.Enum):
    """Where it is going: on, or back to how the backend was."""

    REMOVING = "removing"
    BACKING_OUT = "backing out"
    BRINGING_BACK = "bringing back"


class Ending(enum.Enum):
    """How a clean removal was over."""

    REMOVED = "removed"
    BROUGHT_BACK = "brought back"
    BACKED_OUT = "backed out"
    BY_HAND = "ended by hand"


@dataclass(frozen=True, slots=True)
class Mark:
    """What was done or decided, when and by whom; ``said`` is what it printed, or the risk that was accepted."""

    at: datetime
    who: str
    how: Decided
    said: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """That it is over: kept for the summary, and not offered again."""

    at: datetime
    who: str
    how: Ending


@dataclass(frozen=True, slots=True)
class Removal:
    """One clean removal. ``tag``, ``vhosts`` and ``state`` are the backend's from before the first step.

    ``max_parallel`` is the pace of its flush (None: the directors' own setting), ``metacache`` whether the backend's
    metacache is to be uploaded. ``leaving`` is that users are not waited for any longer, ``moved`` that it was
    accepted that somebody is left, or that a director could not be asked; the uploads say what came of them.
    """

    cluster: str
    ip: str
    tag: str
    vhosts: int
    state: State
    permanent: bool
    max_parallel: int | None
    metacache: bool
    began: datetime
    who: str
    host: str
    reason: str = ""
    leaving: Mark | None = None
    first_upload: Mark | None = None
    moved: Mark | None = None
    final_upload: Mark | None = None
    course: Course = Course.REMOVING
    ended: Ended | None = None

    @property
    def id(self) -> str:
        """What it is called by: its time, to the millisecond, and the backend."""
        return f"{stamp(self.began)}-{self.ip.replace(':', '_')}"

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for step in Step if self.permanent or step not in PERMANENT_ONLY)

    @property
    def title(self) -> str:
        return f"clean removal of {self.ip}"

    def because(self, step: Step) -> str:
        """What an operation comes from that is a part of this: ``clean removal of 10.1.0.3, step 2 of 8``."""
        return f"{self.title}, step {step.number} of {len(self.steps)}"

    def mark_of(self, step: Step) -> Mark | None:
        """What is kept of a step; the metacache of one that wants none of it counts as dealt with."""
        match step:
            case Step.LET_LEAVE:
                return self.leaving
            case Step.MOVE:
                return self.moved
            case Step.UPLOAD | Step.FINAL_UPLOAD if not self.metacache:
                return Mark(self.began, self.who, Decided.NOT_WANTED)
            case Step.UPLOAD:
                return self.first_upload
            case Step.FINAL_UPLOAD:
                return self.final_upload
            case _:
                return None


@dataclass(frozen=True, slots=True)
class BackendSeen:
    """What the directors show of one backend.

    ``rows`` has its row on each director that answered (None: not listed), ``unasked`` why another one didn't.
    ``sessions`` is how many each director passes on to it, None where they were not asked for; ``sessions_unknown`` why
    one of them could not say. ``beyond`` are the members of the ring that have no SSH destination.
    """

    rows: Mapping[str, Backend | None] = field(default_factory=dict)
    unasked: Mapping[str, str] = field(default_factory=dict)
    sessions: Mapping[str, int] | None = None
    sessions_unknown: Mapping[str, str] = field(default_factory=dict)
    beyond: tuple[str, ...] = ()

    @property
    def listed(self) -> Mapping[str, Backend]:
        return {name: row for name, row in self.rows.items() if row is not None}

    @property
    def least_users(self) -> int:
        return min((row.users for row in self.listed.values()), default=0)

    @property
    def most_users(self) -> int:
        return max((row.users for row in self.listed.values()), default=0)

    @property
    def session_count(self) -> int | None:
        """Through all directors that said it; None where nobody was asked."""
        return sum(self.sessions.values()) if self.sessions is not None else None

    @property
    def silent(self) -> Mapping[str, str]:
        """The directors of which it is not known whether anybody is left, with why."""
        return {**self.unasked, **self.sessions_unknown}

    @property
    def empty(self) -> bool:
        """Whether nobody is left by all that could be asked, and somebody was."""
        return bool(self.rows) and not self.most_users and self.session_count == 0


@dataclass(frozen=True, slots=True)
class Position:
    """Where a removal stands: at ``step``, or with ``done`` at its end. With neither it can't be told, or it goes back.

    ``why`` are sentences on what keeps it there or brought it back there, ``caveats`` on what is not seen at all.
    """

    step: Step | None = None
    done: bool = False
    why: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()


def begin(
    ip: str,
    cluster: str,
    reading: Reading,
    *,
    permanent: bool,
    max_parallel: int | None,
    metacache: bool,
    reason: str,
    at: datetime,
    who: str,
    host: str,
) -> Removal:
    """A removal of a backend as it is listed now. Raises OperationRefused if it isn't, or for a pace that can't be."""
    refuse_pace(max_parallel, reading.settings.version if reading.settings is not None else ())
    row = reading.snapshot.backend(ip) if reading.snapshot is not None else None
    if row is None:
        raise OperationRefused(f"{ip} is not listed")
    return Removal(
        *(cluster, ip, row.tag, row.vhosts, row.state, permanent, max_parallel, metacache, at, who, host, reason)
    )


def seen(ip: str, reading: Reading, sessions: Sessions | None = None) -> BackendSeen:
    """What this reading, and the sessions that were asked for beside it, show of a backend."""
    others = foreign(reading.views)
    rows: dict[str, Backend | None] = {}
    unasked: dict[str, str] = {}
    again: set[tuple[str, int]] = set()
    for view in reading.views:
        if view.director in others or (view.identity is not None and view.identity in again):
            continue
        if view.failure is not None:
            unasked[view.director] = str(view.failure)
            continue
        if view.identity is not None:
            again.add(view.identity)
        rows[view.director] = first_by_ip(view.backends).get(ip)
    counts = unknown = None
    if sessions is not None:
        counts = {name: sum(one.ip == ip for one in each) for name, each in sessions.by_director.items()}
        unknown = {name: str(failure) for name, failure in sessions.failures.items()}
        unknown |= dict.fromkeys(sessions.waiting, "it has not answered yet")
    return BackendSeen(rows, unasked, counts, unknown or {}, tuple(sorted(one for one, _ in reading.unread_members)))


def standing_at(removal: Removal, now: BackendSeen) -> Position:
    """Where it stands, by what the directors show."""
    caveats = tuple(f"{ip} has no SSH destination: what it shows and passes on is not seen" for ip in now.beyond)
    if removal.ended is not None:
        return Position(done=True, why=(f"{removal.ended.how.value} by {removal.ended.who}",))
    if removal.course is not Course.REMOVING:
        return Position(why=(f"{removal.course.value}; {STAY_MOVED}",), caveats=caveats)
    if not now.rows:
        return Position(why=_silent(now.unasked) or ("no director has been read yet",))
    caveats += tuple(_silent(now.unasked))
    if not now.listed:
        if removal.permanent:
            early = removal.mark_of(Step.FINAL_UPLOAD) is None
            removed = f"{removal.ip} is not listed any more: it was removed before its final upload"
            return Position(Step.CONFIGURATION, why=(removed,) if early else (), caveats=caveats)
        return Position(why=(f"{removal.ip} is not listed any more: somebody has removed it",), caveats=caveats)
    step, why = _step(removal, now)
    missing = [name for name, row in now.rows.items() if row is None]
    if missing:
        why = (*why, f"{listed(missing)} {'does' if len(missing) == 1 else 'do'} not list {removal.ip}")
    return Position(step, done=step is None, why=why, caveats=caveats)


def renewed(removal: Removal, now: BackendSeen) -> tuple[Removal, str]:
    """The removal without what doesn't hold any more, and why; with no reason it is the same.

    Users who come back bring new metacache with them, so an upload from before is none any more.
    """
    if removal.ended is not None or removal.course is not Course.REMOVING:
        return removal, ""
    if counts := {row.vhosts for row in now.listed.values() if row.vhosts}:
        fresh = replace(removal, leaving=None, first_upload=None, moved=None, final_upload=None)
        why = f"the vhost count of {removal.ip} was set to {max(counts)}: new users come again, so it is step 2 again"
        return (fresh, why) if fresh != removal else (removal, "")
    if removal.moved is None and removal.final_upload is not None and (now.most_users or now.session_count):
        why = f"{left_words(now)} on {removal.ip} again: step 5, and what follows it, once more"
        return replace(removal, final_upload=None), why
    return removal, ""


# What a person, or an upload, decides. Each gives the removal to be kept.


def skip_leaving(removal: Removal, at: datetime, who: str) -> Removal:
    """Users are not waited for any longer."""
    return replace(removal, leaving=Mark(at, who, Decided.SKIPPED))


def mark_upload(removal: Removal, step: Step, mark: Mark) -> Removal:
    """What came of an upload, or that it was left out. Raises ValueError for a step that is none."""
    match step:
        case Step.UPLOAD:
            return replace(removal, first_upload=mark)
        case Step.FINAL_UPLOAD:
            return replace(removal, final_upload=mark)
        case _:
            raise ValueError(f"{step.title} uploads nothing")


def accept_rest(removal: Removal, at: datetime, who: str, risk: str) -> Removal:
    """Go on although somebody is left, or some director could not be asked."""
    return replace(removal, moved=Mark(at, who, Decided.SKIPPED, risk))


def turn(removal: Removal, course: Course) -> Removal:
    """Go back from here on."""
    return replace(removal, course=course)


def end(removal: Removal, how: Ending, at: datetime, who: str) -> Removal:
    return replace(removal, ended=Ended(at, who, how))


def way_back(removal: Removal, now: BackendSeen) -> tuple[Request, ...] | str:
    """What is still to be done to have the backend as it was, one request after the other; none when it is.

    A backend that was down takes no user in between. What was brought back is set up only if it was up before; that it
    is up now though it was down then is left alone, unless it is so by having been added again. A sentence where it
    can't be done from here.
    """
    if not now.rows:
        return "no director can be read"
    because = f"{removal.course.value} of the {removal.title}"
    if removal.course is Course.BRINGING_BACK:
        because = f"bringing {removal.ip} back after the {removal.title}"
    ip, rows = removal.ip, now.listed.values()
    update = Request(Verb.UPDATE, (Target(ip, removal.vhosts),), because=because)
    up, down = (Request(verb, (Target(ip),), because=because) for verb in (Verb.UP, Verb.DOWN))
    if not rows:
        was_down = removal.state is State.DOWN
        count = 0 if was_down else removal.vhosts
        add = Request(Verb.ADD, (Target(ip, count),), tag=removal.tag, because=because)
        return (add, down, *((update,) if removal.vhosts else ())) if was_down else (add,)
    if other := {row.tag for row in rows} - {removal.tag}:
        return (
            f"{ip} has {tag_name(other.pop())} now, and had {tag_name(removal.tag)}: somebody has added it anew; "
            "a tag is only changed by removing and adding"
        )
    if len(now.listed) < len(now.rows):
        return f"the directors disagree whether {ip} is listed: wait until the ring is synced"
    counts = (update,) if any(row.vhosts != removal.vhosts for row in rows) else ()
    if any(row.state is not removal.state for row in rows):
        if removal.state is State.UP:
            return (*counts, up)
        if removal.course is not Course.BRINGING_BACK or all(map(_just_added, rows)):
            return (down, *counts)
    return counts


def _just_added(row: Backend) -> bool:
    """Whether nobody has set it up: an add leaves it so, and the one here gives it no users."""
    return row.state is State.UP and row.state_changed is None and not row.vhosts


def _step(removal: Removal, now: BackendSeen) -> tuple[Step | None, tuple[str, ...]]:
    """The first step that is not done, of a backend that is listed; None if all are."""
    taking = {name: row.vhosts for name, row in now.listed.items() if row.vhosts}
    if taking:
        where = "" if len(taking) == len(now.rows) else f" on {listed(taking)}"
        return Step.NO_NEW_USERS, (f"its vhost count is {max(taking.values())}{where}",)
    if removal.final_upload is None:
        # Whoever comes after the first upload is moved: to wait for that one to leave is not gone back to.
        if removal.leaving is None and removal.first_upload is None and now.most_users:
            return Step.LET_LEAVE, ()
        if removal.mark_of(Step.UPLOAD) is None:
            return Step.UPLOAD, ()
    if left := _not_moved(removal, now):
        return Step.MOVE, left
    if removal.mark_of(Step.FINAL_UPLOAD) is None:
        return Step.FINAL_UPLOAD, ()
    return (Step.REMOVE if removal.permanent else None), ()


def _not_moved(removal: Removal, now: BackendSeen) -> tuple[str, ...]:
    """Why it is not proven that nobody is left; nothing if it is, or if that was accepted."""
    if removal.moved is not None:
        return ()
    if now.most_users or now.session_count:
        return (f"{left_words(now)} on {removal.ip}",)
    if now.sessions is None:
        return ("the sessions on the directors have not been counted yet",)
    return _silent(now.silent)


def left_words(now: BackendSeen) -> str:
    """``12 users and 1 session are``, to stand in front of *left*, or of where."""
    parts = []
    if now.most_users:
        parts.append(plural(now.most_users, "user"))
    if now.session_count:
        parts.append(plural(now.session_count, "session"))
    return f"{listed(parts)} {'is' if parts == ['1 user'] or parts == ['1 session'] else 'are'}"


def _silent(directors: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"{name} could not be asked: {why}" for name, why in directors.items())
