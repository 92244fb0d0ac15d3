"""What directors that are connected know together: the backends, and who is assigned where.

A whole ring has one side; a split one has two, each with a truth of its own. What each thing does to users is in
Dovecot's director.c and user-directory.c: an assignment is made by the hash ring at login, and stays where it is until
it has expired, whatever happens to the hash ring meanwhile. Times are ticks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from director_tui.demo.flushing import Moves
from director_tui.demo.population import TICKS_PER_S
from director_tui.director.hashring import HashRing
from director_tui.director.model import MAX_VHOSTS, Backend, State, ip_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

USER_EXPIRE_S: Final = 900
"""``director_user_expire``: how long an assignment outlives the last sign of its user."""

FOR_EVER: Final = 1 << 60
"""When a session ends that nobody has ended yet."""

NOBODY: Final = -1
"""In the place of a person: somebody who is not one of the ring's own people, and whose sessions are kept elsewhere."""


@dataclass(slots=True, eq=False)
class SideBackend:
    """A backend as this side has it. ``users`` are the assignments on it."""

    ip: str
    tag: str
    vhosts: int
    state: State = State.UP
    state_changed: datetime | None = None
    users: int = 0

    def value(self) -> Backend:
        return Backend(self.ip, self.tag, self.vhosts, self.state, self.state_changed, self.users)


@dataclass(slots=True, eq=False)
class Assigned:
    """A user hash on its backend. ``since`` and ``until`` are the ticks of its person's last session."""

    user_hash: int
    backend: SideBackend
    person: int
    since: int
    until: int
    director: int

    @property
    def due(self) -> int:
        """When it expires, if nobody comes before."""
        return self.until + _EXPIRE

    def refreshed(self, tick: int) -> int:
        """When the directors last saw the user: login processes say so at login, every half of
        ``director_user_expire`` while the session lasts (``proxy_refresh`` in login-connection.c), and at its end."""
        if tick >= self.until:
            return self.until
        return self.since + (tick - self.since) // _REFRESH * _REFRESH


_EXPIRE: Final = USER_EXPIRE_S * TICKS_PER_S
_REFRESH: Final = _EXPIRE // 2


class Side:
    """Starts with the backends of ``configured``, as they are there, and nobody assigned.

    Whatever takes an IP raises KeyError for one that isn't there. ``events`` counts logins and expiries.
    """

    def __init__(self, configured: Mapping[str, Backend]) -> None:
        self.events = 0
        self._backends = {ip: SideBackend(ip, each.tag, each.vhosts) for ip, each in configured.items()}
        self._rings: dict[str, HashRing] = {}
        self._assigned: dict[str, dict[int, Assigned]] = {each.tag: {} for each in configured.values()}
        self._due: dict[int, list[Assigned]] = {}
        # Sessions of people who are not assigned there any more, by user hash; as they were assigned.
        self._strays: dict[int, list[Assigned]] = {}
        self._moves: dict[int, Moves] = {}

    @property
    def backends(self) -> tuple[Backend, ...]:
        """In a director's order."""
        return tuple(each.value() for each in self._backends.values())

    def backend(self, ip: str) -> SideBackend | None:
        return self._backends.get(ip)

    def set_vhosts(self, ip: str, vhosts: int) -> None:
        """Raises ValueError outside 0…1000."""
        if not 0 <= vhosts <= MAX_VHOSTS:
            raise ValueError(f"a vhost count is 0 to {MAX_VHOSTS}")
        backend = self._backends[ip]
        if backend.vhosts != vhosts:
            backend.vhosts = vhosts
            self._rings.pop(backend.tag, None)

    def set_state(self, ip: str, state: State, now: datetime) -> None:
        backend = self._backends[ip]
        if backend.state is not state:
            backend.state = state
            backend.state_changed = now.replace(microsecond=0)
            self._rings.pop(backend.tag, None)

    def add(self, ip: str, tag: str, vhosts: int) -> None:
        self._backends[ip] = SideBackend(ip, tag, vhosts)
        self._assigned.setdefault(tag, {})
        self._rings.pop(tag, None)
        self._sort()

    def remove(self, ip: str) -> None:
        """For one to which nobody is assigned any more."""
        self._rings.pop(self._backends.pop(ip).tag, None)

    def ring(self, tag: str) -> HashRing:
        """Where new users of a tag go."""
        ring = self._rings.get(tag)
        if ring is None:
            ring = self._rings[tag] = HashRing(each.value() for each in self._backends.values() if each.tag == tag)
        return ring

    def assignment(self, user_hash: int, tag: str) -> Assigned | None:
        return self._assigned.get(tag, {}).get(user_hash)

    def assignments(self, ip: str | None = None) -> Iterator[tuple[str, list[Assigned]]]:
        """Of one backend or of all: each tag, and in it whoever has the tag, in no order."""
        backend = self._backends.get(ip) if ip is not None else None
        if ip is not None and backend is None:
            return
        for tag, directory in self._assigned.items():
            if backend is None:
                yield tag, list(directory.values())
            elif backend.tag == tag:
                yield tag, [each for each in directory.values() if each.backend is backend]

    def sessions(self, director: int, tick: int) -> list[Assigned]:
        """Whose session passes through this director now, and to which backend."""
        return [each for each in self._everywhere() if each.director == director and each.until > tick]

    def moves(self, director: int) -> Moves:
        """The users whom a director of this side moves at the moment."""
        return self._moves.setdefault(director, Moves())

    def being_moved(self, user_hash: int, tag: str) -> bool:
        """By whichever director."""
        return any((tag, user_hash) in moves for moves in self._moves.values())

    # What happens to users.

    def log_in(self, user_hash: int, tag: str, person: int, since: int, until: int, director: int) -> str | None:
        """A session from ``since`` to ``until``. The backend to which it goes; None if the tag has no usable one: the
        login waits, and then fails."""
        self.events += 1
        assigned = self._assigned.setdefault(tag, {}).get(user_hash)
        if assigned is None:
            ip = self.ring(tag).backend_of(user_hash)
            if ip is not None:
                self._add(Assigned(user_hash, self._backends[ip], person, since, until, director))
            return ip
        assigned.person = person  # another one, where two names have the same hash
        if assigned.until <= since:
            assigned.since, assigned.until, assigned.director = since, until, director
            self._expect(assigned)
        elif assigned.until < until:
            assigned.until = until
            self._expect(assigned)
        return assigned.backend.ip

    def assign(self, user_hash: int, ip: str, person: int, tick: int) -> None:
        """Raises ValueError for a user who is somewhere already."""
        backend = self._backends[ip]
        if self.assignment(user_hash, backend.tag) is not None:
            raise ValueError(f"{user_hash} is assigned already")
        self._add(Assigned(user_hash, backend, person, tick, tick, 0))

    def move(self, user_hash: int, ip: str, tick: int) -> str | None:
        """Assign a user to a backend, whatever the hash ring says, as if seen just now; sessions are left as they are.
        The IP of the backend on which the user was, if any in this tag."""
        backend = self._backends[ip]
        assigned = self.assignment(user_hash, backend.tag)
        if assigned is None:
            self._add(Assigned(user_hash, backend, NOBODY, tick, tick, 0))
            return None
        before = assigned.backend
        before.users -= 1
        backend.users += 1
        assigned.backend = backend
        assigned.since, assigned.until = tick, max(tick, assigned.until)
        self._expect(assigned)
        return before.ip

    def log_out(self, user_hash: int, tag: str, tick: int) -> None:
        """The user's session ends before its time."""
        assigned = self.assignment(user_hash, tag)
        if assigned is not None and assigned.until > tick:
            self._end(assigned, tick)

    def break_sessions(
        self, tick: int, chosen: Callable[[Assigned], bool], user_hash: int | None = None
    ) -> list[Assigned]:
        """End those sessions that are chosen among all, or among one hash's in all tags. Whose they were, as they were
        before."""
        among = self._everywhere() if user_hash is None else self._of_hash(user_hash)
        broken = [each for each in among if each.until > tick and chosen(each)]
        before = [replace(each) for each in broken]
        for each in broken:
            self._end(each, tick)
        return before

    def forget_users(self, ip: str, tick: int) -> None:
        """Like ``director flush -F``: nobody is assigned to the backend any more, nor moved, though sessions go on."""
        backend = self._backends[ip]
        forgotten = [each for each in self._assigned[backend.tag].values() if each.backend is backend]
        for assigned in forgotten:
            self._forget(assigned)
            for moves in self._moves.values():
                moves.forget(backend.tag, assigned.user_hash)
            if assigned.until > tick and assigned.person != NOBODY:
                self._add_stray(assigned)

    def expire(self, tick: int) -> None:
        """Forget whom nobody has seen for long enough. To be called at each tick."""
        for assigned in self._due.pop(tick, ()):
            # Whoever logged in again meanwhile is due later, once more.
            if assigned.due != tick:
                continue
            if self.assignment(assigned.user_hash, assigned.backend.tag) is assigned:
                self._forget(assigned)
            elif assigned in (strays := self._strays.get(assigned.user_hash, [])):
                strays.remove(assigned)
                if not strays:
                    del self._strays[assigned.user_hash]

    # Directors that come and go.

    def pass_on(self, director: int, successor: int) -> None:
        """One director's sessions go on through another one."""
        for assigned in self._everywhere():
            if assigned.director == director:
                assigned.director = successor

    def split_off(self, directors: Iterable[int], tick: int) -> Side:
        """These directors lose the others, and the others them: each side knows what it knew, and sees from now on only
        the sessions that pass through directors of its own."""
        gone = set(directors)
        other = Side({})
        other.events = self.events
        other._backends = {ip: replace(each, users=0) for ip, each in self._backends.items()}
        other._assigned = {tag: {} for tag in self._assigned}
        for assigned in self._all():
            other._add(replace(assigned, backend=other._backends[assigned.backend.ip]))
        for side in (self, other):
            for assigned in side._all():
                if assigned.until > tick and (assigned.director in gone) is (side is self):
                    side._end(assigned, assigned.refreshed(tick))
        for stray in list(self._stray_sessions()):
            if stray.director in gone:
                self._strays[stray.user_hash].remove(stray)
                other._add_stray(stray)
        other._moves = {director: self._moves.pop(director) for director in gone & self._moves.keys()}
        return other

    def join(self, other: Side) -> None:
        """Become one with another side that was alone for a while.

        Directors that both have had a whole ring merge what they have (director_cmd_host_hand_start in
        director-connection.c); only one that has just started takes all from the ring. On real rings of 2.3.19.1 each
        vhost count was that of the director that had been alone, or else the smaller one; here it is always the first.
        Not modelled: which users each director then knows differs until they expire, and a state that differed may
        change for ever, hundreds of times a second.
        """
        for ip, theirs in other._backends.items():
            mine = self._backends.setdefault(ip, replace(theirs, users=0))
            mine.vhosts, mine.state = theirs.vhosts, theirs.state
            changes = [each.state_changed for each in (mine, theirs) if each.state_changed is not None]
            mine.state_changed = max(changes, default=None)
        self._sort()
        self._rings = {}
        for theirs_assigned in other._all():
            mine_assigned = self._assigned.setdefault(theirs_assigned.backend.tag, {}).get(theirs_assigned.user_hash)
            if mine_assigned is None:
                backend = self._backends[theirs_assigned.backend.ip]
                self._add(replace(theirs_assigned, backend=backend))
            elif mine_assigned.until < theirs_assigned.until:
                mine_assigned.person = theirs_assigned.person
                mine_assigned.since, mine_assigned.until = theirs_assigned.since, theirs_assigned.until
                mine_assigned.director = theirs_assigned.director
                self._expect(mine_assigned)
        for stray in other._stray_sessions():
            self._add_stray(stray)
        self._moves.update(other._moves)
        self.events = max(self.events, other.events)

    def _all(self) -> Iterator[Assigned]:
        for directory in self._assigned.values():
            yield from directory.values()

    def _stray_sessions(self) -> Iterator[Assigned]:
        for strays in self._strays.values():
            yield from strays

    def _everywhere(self) -> Iterator[Assigned]:
        yield from self._all()
        yield from self._stray_sessions()

    def _of_hash(self, user_hash: int) -> Iterator[Assigned]:
        for directory in self._assigned.values():
            if (assigned := directory.get(user_hash)) is not None:
                yield assigned
        yield from self._strays.get(user_hash, ())

    def _sort(self) -> None:
        self._backends = dict(sorted(self._backends.items(), key=lambda each: ip_order(each[0])))

    def _add(self, assigned: Assigned) -> None:
        self._assigned[assigned.backend.tag][assigned.user_hash] = assigned
        assigned.backend.users += 1
        self._expect(assigned)

    def _add_stray(self, session: Assigned) -> None:
        self._strays.setdefault(session.user_hash, []).append(session)
        self._expect(session)

    def _end(self, assigned: Assigned, tick: int) -> None:
        assigned.until = tick
        self._expect(assigned)

    def _expect(self, assigned: Assigned) -> None:
        self._due.setdefault(assigned.due, []).append(assigned)

    def _forget(self, assigned: Assigned) -> None:
        self.events += 1
        del self._assigned[assigned.backend.tag][assigned.user_hash]
        assigned.backend.users -= 1
