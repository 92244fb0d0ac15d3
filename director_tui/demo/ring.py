"""The practice ring: backends, assignments and directors, in simulated time.

Pure and synchronous. Time moves in ticks of a quarter of a second, and only in :meth:`PracticeRing.advance`; the same
seed and the same total time give the same ring, however the time was cut into steps. What each thing does to users is
in Dovecot's director.c and user-directory.c: an assignment is made by the hash ring at login, and stays where it is
until it has expired, whatever happens to the hash ring meanwhile.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Final

from director_tui.demo import doveadm
from director_tui.demo.members import Members
from director_tui.demo.population import TICKS_PER_S, People, Visit
from director_tui.director.hashring import HashRing, rings_by_tag
from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.model import (
    MAX_VHOSTS,
    Assignment,
    Backend,
    DirectorPeer,
    Placement,
    ProxySession,
    State,
    ip_order,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from director_tui.demo.doveadm import Answer

DIRECTORS: Final = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
PORT: Final = 9090

USER_EXPIRE_S: Final = 900
"""``director_user_expire``: how long an assignment outlives the last sign of its user."""

GOLD: Final = "gold"


@dataclass(slots=True, eq=False)
class _PracticeBackend:
    ip: str
    tag: str
    vhosts: int
    state: State = State.UP
    state_changed: datetime | None = None
    users: int = 0

    def value(self) -> Backend:
        return Backend(self.ip, self.tag, self.vhosts, self.state, self.state_changed, self.users)


@dataclass(slots=True, eq=False)
class _Assigned:
    """A user hash on its backend. ``since`` and ``until`` are the ticks of its person's last session."""

    user_hash: int
    backend: _PracticeBackend
    person: int
    since: int
    until: int
    director: int

    def refreshed(self, tick: int) -> int:
        """When the directors last saw the user: login processes say so at login, every half of
        ``director_user_expire`` while the session lasts (``proxy_refresh`` in login-connection.c), and at its end."""
        if tick >= self.until:
            return self.until
        return self.since + (tick - self.since) // _REFRESH * _REFRESH


_EXPIRE: Final = USER_EXPIRE_S * TICKS_PER_S
_REFRESH: Final = _EXPIRE // 2


class PracticeRing:
    """Three directors in front of ``backends`` backends, with about ``users`` assigned users from the beginning on.

    About a quarter of the backends, but at least two of four or more, have the tag ``gold``. ``start`` is the time at
    which its clock begins, in UTC.
    """

    def __init__(self, *, backends: int = 8, users: int = 20_000, seed: int = 1, start: datetime) -> None:
        if not 1 <= backends <= 60_000 or users < 0:
            raise ValueError("a ring has at least one backend, and not fewer than no users")
        self._start = start.astimezone(UTC)
        self._elapsed_s = 0.0
        self._tick = 0
        self._configured = _configured(backends)
        self._initial = rings_by_tag(self._configured.values())
        self._members = Members(DIRECTORS, PORT)
        self._backends: dict[str, _PracticeBackend] = {}
        self._rings: dict[str, HashRing] = {}
        self._assigned: dict[str, dict[int, _Assigned]] = {}
        self._due: dict[int, list[_Assigned]] = {}
        self._events = 0
        self._load_configuration()
        for ip, vhosts in _odd_vhosts(list(self._configured), seed).items():
            self.set_vhosts(ip, vhosts)
        self._people = People(users, _people_of_tags(self._configured.values()), expire_s=USER_EXPIRE_S, seed=seed)
        for visit in self._people.already_there():
            self._log_in(visit)

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
        """In a director's order."""
        return tuple(each.value() for each in self._backends.values())

    @property
    def events(self) -> int:
        """How many logins and expiries there have been, those before the start included: what advance() costs."""
        return self._events

    def advance(self, seconds: float) -> None:
        """Let time pass. Raises ValueError if it is to go backwards."""
        if seconds < 0:
            raise ValueError("time goes forward only")
        self._elapsed_s += seconds
        last = int(self._elapsed_s * TICKS_PER_S + 1e-6)
        while self._tick < last:
            self._tick += 1
            for assigned in self._due.pop(self._tick, ()):
                # Whoever logged in again meanwhile is due later, once more.
                if assigned.until + _EXPIRE == self._tick:
                    self._forget(assigned)
            for visit in self._people.arrivals(self._tick):
                self._log_in(visit)

    def execute(self, director: int, argv: Sequence[str]) -> Answer:
        """Run a command on one director. ``argv`` begins behind ``env NAME=VALUE…``; ``sudo -n`` may stand in front."""
        return doveadm.answer(_Director(self, director), argv)

    # What somebody else does to the ring. Raises KeyError for an IP that it doesn't have.

    def set_vhosts(self, ip: str, vhosts: int) -> None:
        """Like ``director update``: where new users go. Raises ValueError outside 0…1000."""
        if not 0 <= vhosts <= MAX_VHOSTS:
            raise ValueError(f"a vhost count is 0 to {MAX_VHOSTS}")
        backend = self._backends[ip]
        if backend.vhosts != vhosts:
            backend.vhosts = vhosts
            self._rings.pop(backend.tag, None)

    def set_state(self, ip: str, state: State) -> None:
        """Like ``director up`` and ``director down``: where new users go, and since when."""
        backend = self._backends[ip]
        if backend.state is not state:
            backend.state = state
            backend.state_changed = self.now.replace(microsecond=0)
            self._rings.pop(backend.tag, None)

    def assign(self, user_hash: int, ip: str) -> None:
        """Like ``director move`` for a user who is nowhere yet: assigned from now on, without a session."""
        backend = self._backends[ip]
        if user_hash in self._assigned.setdefault(backend.tag, {}):
            raise ValueError(f"{user_hash} is assigned already")
        self._assign(_Assigned(user_hash, backend, _NOBODY, self._tick, self._tick, 0))

    def stop_director(self, director: int) -> None:
        """End one director: its sessions go on through another one. The last one takes the ring with it:
        what was not configured is lost."""
        self._members.stop(director, self._tick)
        successor = self._members.nearest(director)
        for directory in self._assigned.values():
            for assigned in directory.values():
                if assigned.director == director and successor is not None:
                    assigned.director = successor
        if successor is None:
            self._load_configuration()

    def start_director(self, director: int) -> None:
        """Start it again: it takes everything from those that run; the first of all knows its configuration only."""
        self._members.start(director, self._tick)

    # How logins become assignments.

    def _log_in(self, visit: Visit) -> None:
        self._events += 1
        director = self._members.nearest(visit.person % len(DIRECTORS))
        if director is None:
            return
        tag = self._people.tag(visit.person)
        user_hash = self._people.user_hash(visit.person)
        assigned = self._assigned.setdefault(tag, {}).get(user_hash)
        if assigned is None:
            ip = self._ring(tag).backend_of(user_hash)
            if ip is not None:  # else the login waits, and then fails
                backend = self._backends[ip]
                self._assign(_Assigned(user_hash, backend, visit.person, visit.since, visit.until, director))
            return
        assigned.person = visit.person  # another one, where two names have the same hash
        if assigned.until <= visit.since:
            assigned.since, assigned.until, assigned.director = visit.since, visit.until, director
        elif assigned.until >= visit.until:
            return
        assigned.until = visit.until
        self._due.setdefault(assigned.until + _EXPIRE, []).append(assigned)

    def _assign(self, assigned: _Assigned) -> None:
        self._assigned[assigned.backend.tag][assigned.user_hash] = assigned
        assigned.backend.users += 1
        self._due.setdefault(assigned.until + _EXPIRE, []).append(assigned)

    def _forget(self, assigned: _Assigned) -> None:
        self._events += 1
        del self._assigned[assigned.backend.tag][assigned.user_hash]
        assigned.backend.users -= 1

    def _load_configuration(self) -> None:
        """A ring that starts has the backends of ``director_mail_servers``, all up, and knows no user."""
        self._backends = {
            ip: _PracticeBackend(ip, backend.tag, backend.vhosts) for ip, backend in self._configured.items()
        }
        self._rings = {}
        self._assigned = {backend.tag: {} for backend in self._configured.values()}
        self._due = {}

    def _ring(self, tag: str) -> HashRing:
        ring = self._rings.get(tag)
        if ring is None:
            ring = self._rings[tag] = HashRing(each.value() for each in self._backends.values() if each.tag == tag)
        return ring

    # What the directors know; _Director hands it out.

    def _placement(self, user_hash: int, tag: str) -> Placement:
        assigned = self._assigned.get(tag, {}).get(user_hash)
        initial = self._initial.get(tag)
        return Placement(
            tag=tag,
            current=assigned.backend.ip if assigned else None,
            expires=self._expires(assigned.refreshed(self._tick)) if assigned else None,
            hashed=self._ring(tag).backend_of(user_hash),
            initial_config=initial.backend_of(user_hash) if initial else None,
        )

    def _assignments(self, ip: str | None) -> Iterator[Assignment]:
        """One tag after the other, and in each whoever was not seen for the longest time first (user-directory.c)."""
        backend = self._backends.get(ip) if ip is not None else None
        if ip is not None and backend is None:
            return
        expires = lru_cache(maxsize=8192)(self._expires)
        for tag, directory in self._assigned.items():
            if backend is None or backend.tag == tag:
                listed = [
                    (each.refreshed(self._tick), each.user_hash, each.backend.ip)
                    for each in directory.values()
                    if backend is None or each.backend is backend
                ]
                listed.sort(key=itemgetter(0))
                yield from (Assignment(user_hash, ip, expires(tick)) for tick, user_hash, ip in listed)

    def _sessions(self, director: int) -> list[ProxySession]:
        return [
            ProxySession(self._people.name(each.person), protocol, self._people.source_ip(each.person), ip, port)
            for directory in self._assigned.values()
            for each in directory.values()
            if each.director == director and each.until > self._tick
            for ip, (protocol, port) in ((each.backend.ip, _PROTOCOLS[each.person % len(_PROTOCOLS)]),)
        ]

    def _peers(self, director: int) -> list[DirectorPeer]:
        return list(self._members.seen_by(director, self._tick, self._time, self._events))

    def _settings(self) -> dict[str, str]:
        return {
            "director_mail_servers": _mail_servers(self._configured.values()),
            "director_servers": " ".join(f"{ip}:{PORT}" for ip in DIRECTORS),
            "protocols": "imap pop3",
            **_DEFAULT_SETTINGS,
        }

    def _expires(self, refreshed: int) -> datetime:
        return self._time(refreshed + _EXPIRE).replace(microsecond=0)

    def _time(self, tick: int) -> datetime:
        return self._start + timedelta(seconds=tick / TICKS_PER_S)


@dataclass(frozen=True, slots=True)
class _Director:
    """One director as its doveadm sees it (:class:`doveadm.Director`)."""

    ring: PracticeRing
    number: int

    @property
    def running(self) -> bool:
        return self.ring._members.runs(self.number)

    def settings(self) -> Mapping[str, str]:
        return self.ring._settings()

    def backends(self) -> Sequence[Backend]:
        return self.ring.backends

    def configured(self) -> Sequence[str]:
        return list(self.ring._configured)

    def placement(self, user_hash: int, tag: str) -> Placement:
        return self.ring._placement(user_hash, tag)

    def assignments(self, ip: str | None) -> Iterator[Assignment]:
        return self.ring._assignments(ip)

    def peers(self) -> Sequence[DirectorPeer]:
        return self.ring._peers(self.number)

    def sessions(self) -> Sequence[ProxySession]:
        return self.ring._sessions(self.number)


_NOBODY: Final = -1
_PROTOCOLS: Final = (("imap", 143), ("imap", 143), ("imap", 143), ("pop3", 110))

# As doveconf of 2.3.19.1 prints them.
_DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "base_dir": "/run/dovecot",
    "director_flush_socket": "",
    "director_max_parallel_kicks": "100",
    "director_max_parallel_moves": "100",
    "director_output_buffer_size": "10 M",
    "director_ping_idle_timeout": "30 secs",
    "director_ping_max_timeout": "1 mins",
    "director_user_expire": "15 mins",
    "director_user_kick_delay": "2 secs",
    "director_username_hash": "%Lu",
}


def _configured(count: int) -> dict[str, Backend]:
    """What ``director_mail_servers`` names, by IP."""
    golden = max(2, round(count / 4)) if count >= 4 else 0
    ips = sorted((f"10.1.{number // 250}.{number % 250 + 1}" for number in range(count)), key=ip_order)
    return {
        ip: Backend(ip, GOLD if place >= count - golden else "", CONFIGURED_VHOSTS, State.UP, None, 0)
        for place, ip in enumerate(ips)
    }


def backend_names(count: int) -> dict[str, str]:
    """What people call the backends of a ring of this size, by IP: mail-01 …, and gold-01 … for those with the tag."""
    numbers: Counter[str] = Counter()
    names = {}
    for ip, backend in _configured(count).items():
        kind = backend.tag or "mail"
        numbers[kind] += 1
        names[ip] = f"{kind}-{numbers[kind]:02}"
    return names


def _odd_vhosts(ips: Sequence[str], seed: int) -> dict[str, int]:
    """The vhost counts that somebody has changed since the start, as on every ring that has run for a while."""
    random = Random(seed)  # noqa: S311 (a simulation that can be repeated, no secret)
    chosen = random.sample(ips, len(ips) // 4) if len(ips) > 1 else []
    return {ip: random.choice((50, 60, 80, 120, 150, 200)) for ip in chosen}


def _people_of_tags(backends: Iterable[Backend]) -> dict[str, float]:
    """Each tag's part of the people: by its backends, but the golden ones have fewer users to themselves."""
    tags = Counter(each.tag for each in backends)
    return {tag: count * (0.6 if tag == GOLD else 1.0) for tag, count in tags.items()}


def _mail_servers(backends: Iterable[Backend]) -> str:
    """``director_mail_servers``: ranges as far as Dovecot takes them, which is within a /24."""
    entries = []
    for (_, tag), members in groupby(backends, key=lambda each: (each.ip.rpartition(".")[0], each.tag)):
        ips = [each.ip for each in members]
        entries.append((ips[0] if len(ips) == 1 else f"{ips[0]}-{ips[-1]}") + (f"@{tag}" if tag else ""))
    return " ".join(entries)
