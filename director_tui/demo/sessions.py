"""Who is logged in at the practice ring: its own people, who come and go, and guests, who come and go when told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.demo.configuration import tag_of
from director_tui.demo.population import TICKS_PER_S, Visit
from director_tui.demo.side import FOR_EVER, NOBODY
from director_tui.director.hashring import user_hash
from director_tui.director.model import ProxySession

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from director_tui.demo.members import Members
    from director_tui.demo.population import People
    from director_tui.demo.side import Assigned, Side

TRY_AGAIN_S: Final = 120
"""Within which time a mail program comes back that has lost its session, or couldn't log in."""


class Sessions:
    """``sides`` has each director's side, as it is at the time. Whoever has an assignment at tick 0 has it from the
    beginning."""

    def __init__(self, people: People, members: Members, sides: Sequence[Side]) -> None:
        self._people = people
        self._members = members
        self._sides = sides
        self._failing: dict[str, float] = {}
        self._coming_back: dict[int, list[Visit]] = {}
        self._guests: list[tuple[int, ProxySession]] = []
        for visit in people.already_there():
            self._begin(visit, 0)

    def advance(self, tick: int) -> None:
        """To be called at each tick, in order."""
        for visit in self._coming_back.pop(tick, ()):
            self._begin(visit, tick)
        for visit in self._people.arrivals(tick):
            self._begin(visit, tick)

    def through(self, director: int, tick: int) -> list[ProxySession]:
        """The sessions that pass through one director."""
        own = self._sides[director].sessions(director, tick)
        return [self._shown(each) for each in own if each.person != NOBODY] + [
            session for place, session in self._guests if place == director
        ]

    def kick(
        self, directors: Collection[int], chosen: Callable[[ProxySession], bool], tick: int, hash_: int | None = None
    ) -> None:
        """End those sessions through these directors that are chosen, among all or among one user hash's."""

        def struck(each: Assigned) -> bool:
            return each.person != NOBODY and each.director in directors and chosen(self._shown(each))

        for side in dict.fromkeys(self._sides[director] for director in directors):
            self._try_again(side.break_sessions(tick, struck, hash_), tick)
        for director, session in tuple(self._guests):
            if director in directors and hash_ in {None, user_hash(session.user)} and chosen(session):
                self._leave(director, session, tick)

    def log_in(self, user: str, director: int, tick: int) -> None:
        """A guest's session. Raises ValueError if no backend takes the user."""
        ip = self._sides[director].log_in(user_hash(user), tag_of(user), NOBODY, tick, FOR_EVER, director)
        if ip is None:
            raise ValueError(f"no backend takes {user}")
        self._guests.append((director, ProxySession(user, "imap", "127.0.0.1", ip, 143)))

    def log_out(self, user: str, director: int, tick: int) -> None:
        """One of a guest's sessions through this director ends. Raises ValueError if there is none."""
        [ended, *_] = [each for each in self._guests if (each[0], each[1].user) == (director, user)]
        self._leave(*ended, tick)

    def fail(self, ip: str, part: float, tick: int) -> None:
        """A part of a backend's sessions break, 0…1, and so do new ones of the same people, until repair()."""
        self._failing[ip] = part
        for side in dict.fromkeys(self._sides):
            broken = side.break_sessions(
                tick, lambda each: each.backend.ip == ip and each.person != NOBODY and _lot(each.person) < part
            )
            self._try_again(broken, tick)

    def repair(self, ip: str) -> None:
        self._failing.pop(ip, None)

    def healthy(self, ip: str) -> bool:
        return self._failing.get(ip, 0.0) < 1

    def _begin(self, visit: Visit, tick: int) -> None:
        director = self._members.nearest(visit.person % len(self._sides))
        if director is None:
            return
        side, tag = self._sides[director], self._people.tag(visit.person)
        hash_ = self._people.user_hash(visit.person)
        if director == self._members.stalled or side.being_moved(hash_, tag):
            self._try_again([visit], tick)
            return
        ip = side.log_in(hash_, tag, visit.person, visit.since, visit.until, director)
        if ip is None:
            self._try_again([visit], tick)
        elif _lot(visit.person) < self._failing.get(ip, 0.0):
            side.log_out(hash_, tag, tick)
            self._try_again([visit], tick)

    def _try_again(self, broken: Sequence[Visit | Assigned], tick: int) -> None:
        for each in broken:
            again = tick + 1 + each.person * 7919 % (TRY_AGAIN_S * TICKS_PER_S)
            if again < each.until:
                self._coming_back.setdefault(again, []).append(Visit(each.person, again, each.until))

    def _leave(self, director: int, session: ProxySession, tick: int) -> None:
        self._guests.remove((director, session))
        side = self._sides[director]
        if not any(each.user == session.user for place, each in self._guests if self._sides[place] is side):
            side.log_out(user_hash(session.user), tag_of(session.user), tick)

    def _shown(self, each: Assigned) -> ProxySession:
        protocol, port = _PROTOCOLS[each.person % len(_PROTOCOLS)]
        name, source_ip = self._people.name(each.person), self._people.source_ip(each.person)
        return ProxySession(name, protocol, source_ip, each.backend.ip, port)


_PROTOCOLS: Final = (("imap", 143), ("imap", 143), ("imap", 143), ("pop3", 110))


def _lot(person: int) -> float:
    """A number from 0 to 1 that is each person's own."""
    return person * 2654435761 % 1000 / 1000
