"""The practice ring: backends, assignments and directors, in simulated time.

Pure and synchronous. Time moves in ticks of a quarter of a second, and only in :meth:`PracticeRing.advance`; the same
seed and the same total time give the same ring, however the time was cut into steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from director_tui.demo import doveadm, flushing
from director_tui.demo.command import CALL_S
from director_tui.demo.configuration import (
    DIRECTORS,
    PORT,
    configured,
    odd_vhosts,
    people_of_tags,
    settings,
)
from director_tui.demo.drills import CALM
from director_tui.demo.hosts import BackendHosts
from director_tui.demo.members import Members
from director_tui.demo.population import TICKS_PER_S, People
from director_tui.demo.running import Running
from director_tui.demo.scenarios import SCENARIOS, Story
from director_tui.demo.sessions import Sessions
from director_tui.demo.side import NOBODY, USER_EXPIRE_S, Side
from director_tui.director import hashring
from director_tui.director.hashring import rings_by_tag
from director_tui.director.model import Assignment, Backend, DirectorPeer, Placement, ProxySession, State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence

    from director_tui.demo.command import Answer


WRITTEN_AFTER_S: Final = 20
"""So long after a backend is removed somebody takes it out of the first director's configuration."""

WRITTEN_APART_S: Final = 5
"""And so much later out of that of the next one."""


class PracticeRing:
    """Three directors in front of ``backends`` backends, with about ``users`` assigned users from the beginning on.

    About a quarter of the backends, but at least two of four or more, have the tag ``gold``. ``start`` is the time at
    which its clock begins, in UTC. ``scenario`` is what happens from then on: a name of ``scenarios.SCENARIOS``.
    """

    def __init__(
        self, *, backends: int = 8, users: int = 20_000, seed: int = 1, start: datetime, scenario: str = CALM
    ) -> None:
        if not 1 <= backends <= 60_000 or users < 0:
            raise ValueError("a ring has at least one backend, and not fewer than no users")
        self._start = start.astimezone(UTC)
        self._elapsed_s = 0.0
        self._tick = 0
        self._configured = configured(backends)
        self._initial = rings_by_tag(self._configured.values())
        self._members = Members(DIRECTORS, PORT)
        self._sides = [Side(self._configured)] * len(DIRECTORS)  # each director's; the same one unless it is split
        self._gone: dict[str, int] = {}  # which configured backends were removed, and when
        self._joins: tuple[int, int] | None = None  # the director that was cut off, and when it comes back
        self._running: list[Running] = []
        self._busy: set[str] = set()
        self._answers_after_s = [CALL_S] * len(DIRECTORS)
        for ip, vhosts in odd_vhosts(list(self._configured), seed).items():
            self.set_vhosts(ip, vhosts)
        people = People(users, people_of_tags(self._configured.values()), expire_s=USER_EXPIRE_S, seed=seed)
        self._sessions = Sessions(people, self._members, self._sides)
        self._hosts = BackendHosts(self._configured, self._sides, self._sessions, lambda: self._tick)
        self._story = Story(SCENARIOS[scenario], self, seed)

    @property
    def now(self) -> datetime:
        """The ring's own time, UTC, to the tick."""
        return self._time(self._tick)

    @property
    def directors(self) -> tuple[str, ...]:
        """Their IPs; everywhere else they are called by their place in here."""
        return DIRECTORS

    @property
    def backends(self) -> tuple[Backend, ...]:
        """As the first director has them."""
        return self._sides[0].backends

    @property
    def events(self) -> int:
        """How many logins and expiries there have been, those before the start included: what advance() costs."""
        return max(side.events for side in self._sides)

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ValueError if it is to go backwards."""
        if seconds < 0:
            raise ValueError("time goes forward only")
        self._elapsed_s += seconds
        last = int(self._elapsed_s * TICKS_PER_S + 1e-6)
        while self._tick < last:
            self._tick += 1
            self._story.advance(self._tick)
            if self._joins is not None and self._joins[1] <= self._tick:
                self._join(self._joins[0])
            for director, side in enumerate(self._sides):
                answering = not self._members.hears_nothing_of(director)
                side.moves(director).advance(self._tick, answering=answering)
            # What has waited goes on newest first, as in a director: parked commands and flushes both.
            for running in reversed(self._running):
                running.go_on()
            self._running = [each for each in self._running if each.answer is None]
            for side in dict.fromkeys(self._sides):
                side.expire(self._tick)
            self._sessions.advance(self._tick)

    def start(self, director: int, argv: Sequence[str]) -> Running:
        """Run a command on one director; it goes on as time passes. ``env NAME=VALUE…`` and ``sudo -n`` may stand in
        front."""
        return self._begin(Running(doveadm.run(_Director(self, director), argv), self._answers_after_s[director]))

    def start_on_backend(self, ip: str, argv: Sequence[str]) -> Running:
        """The same on a backend itself."""
        return self._begin(Running(self._hosts.run(ip, argv), CALL_S))

    def has_host(self, ip: str) -> bool:
        """Whether there is a backend at this address, though no director may know it any more."""
        return ip in self._hosts

    def _begin(self, running: Running) -> Running:
        if running.answer is None:
            self._running.append(running)
        return running

    def execute(self, director: int, argv: Sequence[str]) -> Answer:
        """The same, and let as much time pass as it takes."""
        running = self.start(director, argv)
        while running.answer is None:
            self.advance(1 / TICKS_PER_S)
        return running.answer

    # What somebody else does to the ring, on one of its directors. Raises KeyError for an IP that it doesn't have.

    def backends_of(self, director: int) -> tuple[Backend, ...]:
        """As this director has them, in its order."""
        return self._sides[director].backends

    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None:
        """Like ``director update``: where new users go. Raises ValueError outside 0…1000."""
        self._sides[director].set_vhosts(ip, vhosts)
        self._members.changed(director, self._tick)

    def set_state(self, ip: str, state: State, director: int = 0) -> None:
        """Like ``director up`` and ``director down``: where new users go, and since when."""
        self._sides[director].set_state(ip, state, self.now)
        self._members.changed(director, self._tick)

    def forget_users(self, ip: str, director: int = 0) -> None:
        """Like ``director flush -F IP``: its users go to where new ones go, as they come back; sessions go on."""
        self._sides[director].forget_users(ip, self._tick)
        self._members.changed(director, self._tick)

    def assign(self, user_hash: int, ip: str) -> None:
        """Like ``director move`` for a user who is nowhere yet: assigned from now on, without a session."""
        self._sides[0].assign(user_hash, ip, NOBODY, self._tick)

    def log_in(self, user: str, director: int = 0) -> None:
        """An IMAP session of somebody who is not one of the ring's own people, until log_out(). Raises ValueError if no
        backend takes the user."""
        self._sessions.log_in(user, director, self._tick)

    def log_out(self, user: str, director: int = 0) -> None:
        """End what log_in() began."""
        self._sessions.log_out(user, director, self._tick)

    # What befalls backends and directors.

    def fail(self, ip: str, part: float) -> None:
        """A part of a backend's sessions break, 0…1, and so do new ones of the same users until repair(). They try
        again within two minutes, wherever the directors send them then."""
        self._sessions.fail(ip, part, self._tick)

    def repair(self, ip: str) -> None:
        """Undo fail(): sessions hold again."""
        self._sessions.repair(ip)

    def healthy(self, ip: str) -> bool:
        """Whether the backend answers at all, which is what a monitor looks at."""
        return self._sessions.healthy(ip)

    def fail_upload(self, ip: str) -> None:
        """The next upload of a backend's metacache breaks off half way; the one after that doesn't."""
        self._hosts.fail_upload(ip)

    def answer_after(self, director: int, seconds: float) -> None:
        """From now on this is how long at least its doveadm takes."""
        self._answers_after_s[director] = max(CALL_S, seconds)

    def set_busy(self, ip: str, busy: bool) -> None:
        """Whether a change of this backend has not ended yet, so that every other one is refused. From 2.2.33 on a
        director lets nobody see that, because whoever wants a change waits first."""
        (self._busy.add if busy else self._busy.discard)(ip)

    def stall(self, director: int) -> None:
        """One director hangs: it answers nobody, and what is changed on others doesn't get round the ring any more. One
        at a time."""
        self._members.stall(director)

    def go_on(self) -> None:
        """Undo stall(). What has been changed meanwhile is known everywhere at once."""
        self._members.go_on()

    def stop_director(self, director: int) -> None:
        """End one director: its sessions go on through another one. The last one of a side takes it along: what was not
        configured is lost."""
        self._members.stop(director, self._tick)
        if director == self._members.stalled:
            self._members.go_on()
        self._sides[director].moves(director).clear()
        successor = self._members.successor(director)
        if successor is not None:
            self._sides[director].pass_on(director, successor)
        else:
            lost = self._sides[director]
            fresh = Side(self._configured)
            self._sides[:] = [fresh if side is lost else side for side in self._sides]

    def start_director(self, director: int) -> None:
        """Start it again: it takes everything from those that run; the first of all knows its configuration only."""
        self._members.start(director, self._tick)

    def cut_off(self, director: int) -> None:
        """Split the ring: this director and the others don't reach each other any more, though logins and doveadm
        reach them all. Raises ValueError if it is split already."""
        self._members.cut_off(director, self._tick)
        self._sides[director] = self._sides[director].split_off([director], self._tick)

    def mend(self) -> None:
        """They reach each other again, and become one ring when one of them tries the next time."""
        alone = self._members.lone
        if alone is not None:
            self._joins = alone, self._members.reunion(self._tick)

    def _join(self, director: int) -> None:
        self._joins = None
        self._members.rejoin()
        other = (director + 1) % len(DIRECTORS)
        self._sides[other].join(self._sides[director])
        self._sides[director] = self._sides[other]

    def _written(self, director: int) -> list[Backend]:
        """What is in a director's configuration now. Somebody takes out what is removed, on one director after the
        other; a director that runs doesn't read it again."""
        due = self._tick - (WRITTEN_AFTER_S + director * WRITTEN_APART_S) * TICKS_PER_S
        return [each for ip, each in self._configured.items() if self._gone.get(ip, self._tick) >= due]

    # What the directors know; _Director hands it out.

    def _placement(self, director: int, user_hash: int, tag: str) -> Placement:
        side = self._sides[director]
        assigned = side.assignment(user_hash, tag)
        initial = self._initial.get(tag)
        return Placement(
            tag=tag,
            current=assigned.backend.ip if assigned else None,
            expires=self._expires(assigned.refreshed(self._tick)) if assigned else None,
            hashed=side.ring(tag).backend_of(user_hash),
            initial_config=initial.backend_of(user_hash) if initial else None,
        )

    def _assignments(self, director: int, ip: str | None) -> Iterator[Assignment]:
        """One tag after the other, and in each whoever was not seen for the longest time first (user-directory.c)."""
        expires = lru_cache(maxsize=8192)(self._expires)
        for _, directory in self._sides[director].assignments(ip):
            listed = [(each.refreshed(self._tick), each.user_hash, each.backend.ip) for each in directory]
            listed.sort(key=itemgetter(0))
            yield from (Assignment(user_hash, ip, expires(tick)) for tick, user_hash, ip in listed)

    def _peers(self, director: int) -> list[DirectorPeer]:
        return list(self._members.seen_by(director, self._tick, self._time, self._sides[director].events))

    def _expires(self, refreshed: int) -> datetime:
        return self._time(refreshed + USER_EXPIRE_S * TICKS_PER_S).replace(microsecond=0)

    def _time(self, tick: int) -> datetime:
        return self._start + timedelta(seconds=tick / TICKS_PER_S)


@dataclass(frozen=True, slots=True)
class _Director:
    """One director as its doveadm sees it (:class:`~director_tui.demo.command.Director`)."""

    ring: PracticeRing
    number: int

    @property
    def running(self) -> bool:
        return self.ring._members.runs(self.number)

    @property
    def stalled(self) -> bool:
        return self.ring._members.stalled == self.number

    @property
    def synced(self) -> bool:
        return self.ring._members.synced(self.number, self.ring._tick)

    def settings(self) -> Mapping[str, str]:
        return settings(self.ring._written(self.number))

    def backends(self) -> Sequence[Backend]:
        return self.ring.backends_of(self.number)

    def configured(self) -> Sequence[str]:
        return list(self.ring._configured)

    def placement(self, user_hash: int, tag: str) -> Placement:
        return self.ring._placement(self.number, user_hash, tag)

    def assignments(self, ip: str | None) -> Iterator[Assignment]:
        return self.ring._assignments(self.number, ip)

    def peers(self) -> Sequence[DirectorPeer]:
        return self.ring._peers(self.number)

    def sessions(self) -> Sequence[ProxySession]:
        return self.ring._sessions.through(self.number, self.ring._tick)

    def busy(self, ip: str) -> bool:
        return ip in self.ring._busy

    def add(self, ip: str, tag: str, vhosts: int) -> None:
        self._side.add(ip, tag, vhosts)
        self.ring._gone.pop(ip, None)
        self._changed()

    def set_vhosts(self, ip: str, vhosts: int) -> None:
        self.ring.set_vhosts(ip, vhosts, self.number)

    def set_state(self, ip: str, state: State) -> None:
        self.ring.set_state(ip, state, self.number)

    def remove(self, ip: str) -> None:
        self.forget_users(ip)
        self._side.remove(ip)
        self.ring._gone[ip] = self.ring._tick
        self._changed()

    def forget_users(self, ip: str) -> None:
        self.ring.forget_users(ip, self.number)

    def flush(self, ip: str | None, max_parallel: int | None) -> Generator[None, None, None]:
        ips = [each.ip for each in self.backends()] if ip is None else [ip]
        return flushing.flush(self, ips, max_parallel)

    def move(self, user_hash: int, ip: str) -> bool:
        if self._side.being_moved(user_hash, self._tag(ip)):
            return False
        self._begin_move(user_hash, ip)
        return True

    def kick(self, user: str) -> None:
        self._kick(self._together, lambda session: session.user == user, hashring.user_hash(user))

    def kick_sessions(self, chosen: Callable[[ProxySession], bool]) -> None:
        self._kick([self.number], chosen)

    # What a flush needs (:class:`~director_tui.demo.flushing.Mover`).

    @property
    def moving(self) -> int:
        return len(self._side.moves(self.number))

    def users(self, ip: str) -> Sequence[int]:
        return [each.user_hash for each in self.assignments(ip)]

    def leaves(self, user_hash: int, ip: str) -> bool:
        backend = self._side.backend(ip)
        if backend is None:
            return False
        assigned = self._side.assignment(user_hash, backend.tag)
        return (
            assigned is not None
            and assigned.backend is backend
            and self._side.ring(backend.tag).backend_of(user_hash) != ip
            and not self._side.being_moved(user_hash, backend.tag)
        )

    def move_away(self, user_hash: int, ip: str) -> None:
        tag = self._tag(ip)
        target = self._side.ring(tag).backend_of(user_hash)
        if target is not None:
            self._begin_move(user_hash, target)
        else:
            self._kick([self.number], _everybody, user_hash)
            self._side.moves(self.number).begin_nowhere(tag, user_hash, self.ring._tick)

    def forget_if_last(self, ip: str) -> None:
        backend = self._side.backend(ip)
        if backend is not None and not self._side.ring(backend.tag).ips:
            self.forget_users(ip)

    def _begin_move(self, user_hash: int, ip: str) -> None:
        before = self._side.move(user_hash, ip, self.ring._tick)
        if before != ip:
            answering = not self.ring._members.hears_nothing_of(self.number)
            moves = self._side.moves(self.number)
            moves.begin(self._tag(ip), user_hash, self.ring._tick, answering=answering)
        if before not in {None, ip}:
            self._kick(self._together, _everybody, user_hash)

    def _kick(
        self, directors: Collection[int], chosen: Callable[[ProxySession], bool], user_hash: int | None = None
    ) -> None:
        self.ring._sessions.kick(directors, chosen, self.ring._tick, user_hash)

    @property
    def _together(self) -> list[int]:
        """The directors that are connected with this one, and itself."""
        return [place for place, side in enumerate(self.ring._sides) if side is self._side]

    @property
    def _side(self) -> Side:
        return self.ring._sides[self.number]

    def _tag(self, ip: str) -> str:
        backend = self._side.backend(ip)
        if backend is None:
            raise KeyError(ip)
        return backend.tag

    def _changed(self) -> None:
        self.ring._members.changed(self.number, self.ring._tick)


def _everybody(session: ProxySession) -> bool:
    del session
    return True
