"""What every director shows after a change, held against what it was to be: done means seen.

An exit status alone proves nothing. A director may say yes and have done nothing, or say that it timed out and have
done it; so each one is read until it shows what was wanted, or until there is no more time. What only some of them show
is unknown, and so is everything as long as none of them can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.director.changes import first_by_ip
from director_tui.director.failures import EX_USAGE, NOT_EXECUTABLE, NOT_FOUND, never_ran
from director_tui.errors import DirectorTuiError, NoAnswer
from director_tui.operations.plan import (
    FLUSHING,
    Flushed,
    NobodyLeft,
    NoSessions,
    NoUsers,
    Outcome,
    RowIs,
    RowIsGone,
    SessionsEnded,
    Uploaded,
    UserIsOn,
)
from director_tui.operations.record import row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from director_tui.director.model import Backend, Placement, ProxySession
    from director_tui.link.ring import DirectorLink
    from director_tui.operations.plan import Check
    from director_tui.operations.record import Values

PROOF_LIMIT_S: Final = 10.0
"""How long the directors are read before it is said what they show, in seconds."""

PAUSES_S: Final = (0.2, 0.4, 0.8, 1.5)
"""How long to wait between two readings of one director: most changes are there at once. The last one is repeated."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one director shows of the things that checks are about.

    ``rows`` are the backends by IP, ``placements`` by user hash and tag, ``sessions`` those that pass through it.
    ``synced`` is None where nobody asked.
    """

    rows: Mapping[str, Backend] = field(default_factory=dict)
    placements: Mapping[tuple[int, str], Placement] = field(default_factory=dict)
    sessions: tuple[ProxySession, ...] = ()
    synced: bool | None = None


@dataclass(frozen=True, slots=True)
class End:
    """How a command ended: with which exit status and which words. Without a status its end was not seen."""

    status: int | None
    output: str = ""

    @property
    def refused(self) -> bool:
        """Whether it is certain that nothing was begun, so that nothing has to be waited for."""
        if not self.status:
            return False
        return self.status in _REFUSING or never_ran(self.output) or _REFUSED.search(self.output) is not None

    @property
    def may_go_on(self) -> bool:
        """Whether a director may be at it, or come to it yet: it also goes on when its doveadm has broken off."""
        return self.status != 0 and not self.refused


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the directors show of one command; ``note`` says what there is to say beside the outcome."""

    outcome: Outcome
    note: str = ""


async def look(link: DirectorLink, checks: Iterable[Check], *, synced: bool = False) -> Sight:
    """Ask one director for all that these checks are about. Raises what a call raises."""
    checks = tuple(checks)
    hashes = tuple(dict.fromkeys((one.user_hash, one.tag) for one in checks if isinstance(one, UserIsOn)))
    of_rows = any(isinstance(one, (RowIs, RowIsGone, *FLUSHING)) for one in checks)
    backends = (await link.call(doveadm.status())).value if of_rows else ()
    placements = {key: (await link.call(doveadm.placement(*key))).value for key in hashes}
    of_sessions = any(isinstance(one, SessionsEnded) or _place_of(one) == link.name for one in checks)
    sessions = (await link.call(doveadm.proxy_list())).value if of_sessions else ()
    ring = (await link.call(doveadm.ring_status())).value if synced else None
    return Sight(first_by_ip(backends), placements, sessions, ring.synced if ring is not None else None)


async def look_everywhere(
    links: Sequence[DirectorLink], checks: Iterable[Check], *, synced: bool = False
) -> dict[str, Sight | DirectorTuiError]:
    """What each director shows, once; or why it doesn't."""
    checks = tuple(checks)

    async def one(link: DirectorLink) -> Sight | DirectorTuiError:
        try:
            return await look(link, checks, synced=synced)
        except DirectorTuiError as failure:
            return failure

    found = await asyncio.gather(*map(one, links))
    return {link.name: sight for link, sight in zip(links, found, strict=True)}


class Proof:
    """Reads every director until all of them show what was wanted.

    ``ends`` has each check with how its command ended. ``before`` is what was seen before the command; only sessions
    need it. ``silent`` are directors that can't prove anything, with the reason. ``last`` is whether so much time has
    passed that a command whose end was not seen can't be on its way any more. ``sights`` is the last that each director
    showed, ``failures`` why one shows nothing.
    """

    def __init__(
        self,
        links: Sequence[DirectorLink],
        ends: Mapping[Check, End],
        before: Mapping[str, Sight] | None = None,
        *,
        silent: Mapping[str, DirectorTuiError] | None = None,
        last: bool = False,
    ) -> None:
        self.sights: Final[dict[str, Sight]] = {}
        self.failures: Final[dict[str, DirectorTuiError]] = {**(silent or {})}
        self._links = links
        self._ends = ends
        self._awaited = [check for check, end in ends.items() if not end.refused]
        self._before = before or {}
        self._last = last
        # A command that has not ended well may still wait until the ring is synced.
        self._ask_synced = any(end.may_go_on for end in ends.values())
        self._failed: Counter[str] = Counter()
        self._news = asyncio.Event()
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Returns when all that answer show what was wanted, or when the time is over."""
        tasks = [asyncio.create_task(self._watch(link), name=f"prove {link.name}") for link in self._links]
        try:
            async with asyncio.timeout(PROOF_LIMIT_S):
                while self._links and not self._settled():
                    await self._news.wait()
                    self._news.clear()
        except TimeoutError:
            pass
        finally:
            self._over.set()
            for task in tasks:
                _let_end(task)
        for task in tasks:
            if task.done():
                task.result()  # what nobody foresaw

    async def look_once(self) -> None:
        """Read each director, without waiting for anything."""
        seen = await look_everywhere(self._links, self._ends, synced=self._ask_synced)
        for name, sight in seen.items():
            if isinstance(sight, Sight):
                self.sights[name] = sight
            else:
                self.failures[name] = sight

    def verdict(self, check: Check) -> Verdict:
        """What the sights say of one of the checks."""
        end = self._ends[check]
        if isinstance(check, Uploaded):
            return _of_upload(end)
        if not self.sights:
            why = "; ".join(dict.fromkeys(str(failure) for failure in self.failures.values()))
            return Verdict(Outcome.UNKNOWN, f"no director could be read afterwards{f': {why}' if why else ''}")
        if isinstance(check, Flushed):
            return self._of_flush(check, end)
        if isinstance(check, NoSessions) and check.director not in self.sights:
            unread = self.failures.get(check.director)
            because = f": {unread}" if unread is not None else ""
            return Verdict(Outcome.UNKNOWN, f"{check.director} could not be read{because}")
        held = {name: self._holds(check, name) for name in self.sights if _place_of(check) in {None, name}}
        if isinstance(check, SessionsEnded) and sessions_before(check, self._before, self.sights) == 0:
            return self._of_nobody(end)
        if all(held.values()):
            return Verdict(Outcome.APPLIED, _in_spite_of(end))
        if any(held.values()):
            said = "; ".join(f"{name}: {_shown(check, self._before.get(name), self.sights[name])}" for name in held)
            return Verdict(Outcome.UNKNOWN, f"the directors disagree: {said}")
        return self._of_unchanged(check, end)

    def _of_unchanged(self, check: Check, end: End) -> Verdict:
        """No director shows it; but that may be too early to say."""
        name = _place_of(check) or next(iter(self.sights))
        shown = _shown(check, self._before.get(name), self.sights[name])
        if end.may_go_on and not all(sight.synced for sight in self.sights.values()):
            return Verdict(Outcome.UNKNOWN, f"{shown}, but the ring is not synced: it may still be carried out")
        if isinstance(check, NoUsers | NobodyLeft) and end.may_go_on:
            return Verdict(Outcome.UNKNOWN, f"{shown}; the flush may still be going on")
        if end.status is None and not self._last:
            return Verdict(Outcome.UNKNOWN, f"{shown}; its end was not seen: it may still be carried out")
        if end.status == 0 and isinstance(check, SessionsEnded):
            return Verdict(Outcome.UNKNOWN, f"{shown}: they may have come back at once")
        said_yes = ", though doveadm said that it was done" if end.status == 0 else ""
        return Verdict(Outcome.NOT_APPLIED, shown + said_yes)

    def _of_flush(self, check: Flushed, end: End) -> Verdict:
        name = next(iter(self.sights))
        now = _users(check, self.sights[name])
        before = _users(check, self._before[name]) if name in self._before else None
        counts = f"users {before:,} → {now:,}" if before is not None else f"users now {now:,}"
        if end.status == 0:
            return Verdict(Outcome.APPLIED, f"by its exit status, nothing else proves it; {counts}")
        if end.refused:
            return Verdict(Outcome.NOT_APPLIED, counts)
        why = "its end was not seen" if end.status is None else "it may have begun"
        return Verdict(Outcome.UNKNOWN, f"{why}; {counts}")

    def _of_nobody(self, end: End) -> Verdict:
        """There was no session that could have ended, so only the exit status is left."""
        outcome = Outcome.NOT_APPLIED if end.refused else Outcome.UNKNOWN
        return Verdict(outcome if end.status != 0 else Outcome.APPLIED, "nothing to kick: there was no session before")

    async def _watch(self, link: DirectorLink) -> None:
        for pause_s in chain(PAUSES_S, repeat(PAUSES_S[-1])):
            try:
                sight = await look(link, self._ends, synced=self._ask_synced)
            except DirectorTuiError as failure:
                self.failures[link.name] = failure
                self._failed[link.name] += 2 if failure.permanent or isinstance(failure, NoAnswer) else 1
            else:
                if self._over.is_set():
                    return
                self.sights[link.name] = sight
                self.failures.pop(link.name, None)
                self._failed[link.name] = 0
            self._news.set()
            if self._over.is_set() or self._shows_all(link.name):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._over.wait()
                    return

    def _settled(self) -> bool:
        """Whether nobody has to be read again. Who fails twice says nothing; but somebody has to."""
        shows = [self._shows_all(link.name) for link in self._links]
        return any(shows) and all(
            done or self._failed[link.name] > 1 for done, link in zip(shows, self._links, strict=True)
        )

    def _shows_all(self, name: str) -> bool:
        mine = (check for check in self._awaited if _place_of(check) in {None, name})
        return name in self.sights and all(self._holds(check, name) for check in mine)

    def _holds(self, check: Check, name: str) -> bool:
        return holds(check, self._before.get(name), self.sights[name])


def _of_upload(end: End) -> Verdict:
    if end.status is None:
        return Verdict(Outcome.UNKNOWN, "its end was not seen: it may be running there still")
    return Verdict(Outcome.NOT_APPLIED) if end.status else Verdict(Outcome.APPLIED, "by its exit status")


_ending: set[asyncio.Task[None]] = set()


def _let_end(task: asyncio.Task[None]) -> None:
    """A reading that is under way is cheap, and one that is given up costs its connection."""
    _ending.add(task)
    task.add_done_callback(_ending.discard)


def holds(check: Check, before: Sight | None, now: Sight) -> bool:
    """Whether a director shows what was wanted."""
    match check:
        case RowIs(ip, tag, vhosts, state):
            row = now.rows.get(ip)
            wanted = ((tag, row.tag), (vhosts, row.vhosts), (state, row.state)) if row is not None else ()
            return row is not None and all(want in {None, found} for want, found in wanted)
        case RowIsGone(ip):
            return ip not in now.rows
        case NoUsers(ip):
            return ip in now.rows and not now.rows[ip].users
        case UserIsOn(user_hash, tag, ip):
            return now.placements[user_hash, tag].current == ip
        case NobodyLeft():
            return not _users(check, now)
        case NoSessions():
            return not _open(check, now)
        case SessionsEnded():
            return not _left(check, before, now)
        case Flushed() | Uploaded():
            return True  # nothing that a director shows could prove it


def value_of(check: Check, target: str, director: str, sights: Mapping[str, Sight]) -> Values:
    """What a check is about, as the journal keeps it: by what ``director`` shows, or else the first that shows
    anything. Sessions are those of all directors."""
    sight = sights.get(director) or next(iter(sights.values()), None)
    if sight is None:
        return {}
    match check:
        case RowIs(ip) | RowIsGone(ip) | NoUsers(ip) | Flushed(str(ip)):
            return {ip: row(sight.rows.get(ip))}
        case UserIsOn(user_hash, tag, _):
            placement = sight.placements.get((user_hash, tag))
            current = placement.current if placement is not None else None
            return {target: {"user_hash": user_hash, "tag": tag, **({"ip": current} if current is not None else {})}}
        case SessionsEnded():
            return {target: {"sessions": sum(_sessions(check, one).total() for one in sights.values())}}
        case NoSessions(place):
            return {target: {"sessions": _open(check, sights[place])}} if place in sights else {}
        case Flushed() | NobodyLeft():
            return {target: {"users": _users(check, sight)}}
        case Uploaded():
            return {}


def _shown(check: Check, before: Sight | None, now: Sight) -> str:
    """What a director shows instead of what was wanted, or just that, in words."""
    match check:
        case RowIs(ip, tag, vhosts, state):
            row = now.rows.get(ip)
            if row is None:
                return "not listed"
            parts = (
                f"vhost count {row.vhosts}" if vhosts is not None else "",
                row.state.value if state is not None else "",
                f"tag {row.tag or '(none)'}" if tag is not None else "",
            )
            return ", ".join(filter(None, parts)) or "listed"
        case RowIsGone(ip):
            return "still listed" if ip in now.rows else "not listed"
        case NoUsers(ip):
            return f"{now.rows[ip].users:,} users left" if ip in now.rows else "not listed"
        case UserIsOn(user_hash, tag, _):
            current = now.placements[user_hash, tag].current
            return f"on {current}" if current is not None else "on no backend"
        case SessionsEnded():
            return f"{_left(check, before, now)} of the sessions from before are listed"
        case NoSessions(place):
            return f"{_open(check, now):,} sessions left on {place}"
        case NobodyLeft():
            return f"{_users(check, now):,} users left"
        case Flushed():
            return f"{_users(check, now):,} users"
        case Uploaded():
            return ""


def _sessions(check: SessionsEnded, sight: Sight) -> Counter[ProxySession]:
    return Counter(session for session in sight.sessions if session.user == check.user)


def sessions_before(check: SessionsEnded, before: Mapping[str, Sight], on: Iterable[str] = ()) -> int | None:
    """How many sessions the user had; None if one of these directors has not been asked before."""
    if not before or not before.keys() >= set(on):
        return None
    return sum(_sessions(check, sight).total() for sight in before.values())


def _left(check: SessionsEnded, before: Sight | None, now: Sight) -> int:
    """How many of the sessions from before are there. Where nobody has looked before, all count."""
    there = _sessions(check, now)
    return (there & _sessions(check, before)).total() if before is not None else there.total()


def _place_of(check: Check) -> str | None:
    """The one director that can prove it; None if all have to."""
    return check.director if isinstance(check, NoSessions) else None


def _open(check: NoSessions, sight: Sight) -> int:
    return sum(check.ip in {None, session.ip} for session in sight.sessions)


def _users(check: Flushed | NobodyLeft, sight: Sight) -> int:
    return sum(row.users for ip, row in sight.rows.items() if check.ip in {None, ip})


def _in_spite_of(end: End) -> str:
    return f"seen, though doveadm ended with exit status {end.status}" if end.status else ""


_REFUSING: Final = frozenset({EX_USAGE, 68, NOT_EXECUTABLE, NOT_FOUND})
"""68 is doveadm's own: there is no such backend."""

_REFUSED: Final = re.compile(
    r"doesn't exist|vhost count too large|host tag can't be changed|already being updated|already being moved"
    r"|net_connect_unix\([^)]*director-admin\) failed",
)
