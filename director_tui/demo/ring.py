"""The practice ring: backends, assignments and directors, in simulated time.

Pure and synchronous. Time moves in ticks of a quarter of a second, and only in :meth:`PracticeRing.advance`; the same
seed and the same total time give the same ring, however the time was cut into steps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import TYPE_CHECKING, Final

from director_tui.demo import doveadm
from director_tui.demo.doveadm import CALL_S
from director_tui.demo.members import Members
from director_tui.demo.population import TICKS_PER_S, People, Visit
from director_tui.demo.scenarios import CALM, SCENARIOS, Story
from director_tui.demo.side import FOR_EVER, USER_EXPIRE_S, Side
from director_tui.director import hashring
from director_tui.director.hashring import rings_by_tag
from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.model import (
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

GOLD: Final = "gold"


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
        self._configured = _configured(backends)
        self._initial = rings_by_tag(self._configured.values())
        self._members = Members(DIRECTORS, PORT)
        self._sides = [Side(self._configured)] * len(DIRECTORS)  # each director's; the same one unless it is split
        self._joins: tuple[int, int] | None = None  # the director that was cut off, and when it comes back
        self._answers_after_s = [CALL_S] * len(DIRECTORS)
        self._failing: dict[str, float] = {}
        self._coming_back: dict[int, list[Visit]] = {}
        self._guests: list[tuple[int, ProxySession]] = []
        for ip, vhosts in _odd_vhosts(list(self._configured), seed).items():
            self.set_vhosts(ip, vhosts)
        self._people = People(users, _people_of_tags(self._configured.values()), expire_s=USER_EXPIRE_S, seed=seed)
        for visit in self._people.already_there():
            self._log_in(visit)
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
            for side in dict.fromkeys(self._sides):
                side.expire(self._tick)
            for visit in self._coming_back.pop(self._tick, ()):
                self._log_in(visit)
            for visit in self._people.arrivals(self._tick):
                self._log_in(visit)

    def execute(self, director: int, argv: Sequence[str]) -> Answer:
        """Run a command on one director. ``argv`` begins behind ``env NAME=VALUE…``; ``sudo -n`` may stand in front."""
        answer = doveadm.answer(_Director(self, director), argv)
        return replace(answer, delay_s=max(answer.delay_s, self._answers_after_s[director]))

    # What somebody else does to the ring, on one of its directors. Raises KeyError for an IP that it doesn't have.

    def backends_of(self, director: int) -> tuple[Backend, ...]:
        """As this director has them, in its order."""
        return self._sides[director].backends

    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None:
        """Like ``director update``: where new users go. Raises ValueError outside 0…1000."""
        self._sides[director].set_vhosts(ip, vhosts)

    def set_state(self, ip: str, state: State, director: int = 0) -> None:
        """Like ``director up`` and ``director down``: where new users go, and since when."""
        self._sides[director].set_state(ip, state, self.now)

    def forget_users(self, ip: str, director: int = 0) -> None:
        """Like ``director flush -F IP``: its users go to where new ones go, as they come back."""
        self._sides[director].forget_users(ip)

    def assign(self, user_hash: int, ip: str) -> None:
        """Like ``director move`` for a user who is nowhere yet: assigned from now on, without a session."""
        self._sides[0].assign(user_hash, ip, _NOBODY, self._tick)

    def log_in(self, user: str, director: int = 0) -> None:
        """An IMAP session of somebody who is not one of the ring's own people, until log_out(). Raises ValueError if no
        backend takes the user."""
        ip = self._sides[director].log_in(
            hashring.user_hash(user), _tag_of(user), _NOBODY, self._tick, FOR_EVER, director
        )
        if ip is None:
            raise ValueError(f"no backend takes {user}")
        self._guests.append((director, ProxySession(user, "imap", "127.0.0.1", ip, 143)))

    def log_out(self, user: str, director: int = 0) -> None:
        """End what log_in() began."""
        [ended, *_] = [each for each in self._guests if (each[0], each[1].user) == (director, user)]
        self._guests.remove(ended)
        side = self._sides[director]
        if not any(each.user == user for other, each in self._guests if self._sides[other] is side):
            side.log_out(hashring.user_hash(user), _tag_of(user), self._tick)

    # What befalls backends and directors.

    def fail(self, ip: str, part: float) -> None:
        """A part of a backend's sessions break, 0…1, and so do new ones of the same users until repair(). They try
        again within two minutes, wherever the directors send them then."""
        self._failing[ip] = part
        for side in dict.fromkeys(self._sides):
            for each in side.break_sessions(ip, self._tick, lambda each: 0 <= _lot(each.person) < part):
                self._try_again(each.person, each.until)

    def repair(self, ip: str) -> None:
        """Undo fail(): sessions hold again."""
        self._failing.pop(ip, None)

    def healthy(self, ip: str) -> bool:
        """Whether the backend answers at all, which is what a monitor looks at."""
        return self._failing.get(ip, 0.0) < 1

    def answer_after(self, director: int, seconds: float) -> None:
        """From now on this is how long at least its doveadm takes."""
        self._answers_after_s[director] = max(CALL_S, seconds)

    def stop_director(self, director: int) -> None:
        """End one director: its sessions go on through another one. The last one of a side takes it along: what was not
        configured is lost."""
        self._members.stop(director, self._tick)
        successor = self._members.successor(director)
        if successor is not None:
            self._sides[director].pass_on(director, successor)
        else:
            lost = self._sides[director]
            fresh = Side(self._configured)
            self._sides = [fresh if side is lost else side for side in self._sides]

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

    def _log_in(self, visit: Visit) -> None:
        director = self._members.nearest(visit.person % len(DIRECTORS))
        if director is None:
            return
        side, tag = self._sides[director], self._people.tag(visit.person)
        user_hash = self._people.user_hash(visit.person)
        ip = side.log_in(user_hash, tag, visit.person, visit.since, visit.until, director)
        if ip in self._failing and _lot(visit.person) < self._failing[ip]:
            side.log_out(user_hash, tag, self._tick)
            self._try_again(visit.person, visit.until)

    def _try_again(self, person: int, until: int) -> None:
        again = self._tick + 1 + person * 7919 % (_TRY_AGAIN_S * TICKS_PER_S)
        if again < until:
            self._coming_back.setdefault(again, []).append(Visit(person, again, until))

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

    def _sessions(self, director: int) -> list[ProxySession]:
        own = [
            ProxySession(self._people.name(each.person), protocol, self._people.source_ip(each.person), ip, port)
            for each in self._sides[director].sessions(director, self._tick)
            if each.person != _NOBODY
            for ip, (protocol, port) in ((each.backend.ip, _PROTOCOLS[each.person % len(_PROTOCOLS)]),)
        ]
        return own + [session for place, session in self._guests if place == director]

    def _peers(self, director: int) -> list[DirectorPeer]:
        return list(self._members.seen_by(director, self._tick, self._time, self._sides[director].events))

    def _settings(self) -> dict[str, str]:
        return {
            "director_mail_servers": _mail_servers(self._configured.values()),
            "director_servers": " ".join(f"{ip}:{PORT}" for ip in DIRECTORS),
            "protocols": "imap pop3",
            **_DEFAULT_SETTINGS,
        }

    def _expires(self, refreshed: int) -> datetime:
        return self._time(refreshed + USER_EXPIRE_S * TICKS_PER_S).replace(microsecond=0)

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
        return self.ring._sessions(self.number)


_NOBODY: Final = -1
"""In the place of a person: somebody who is not one of the ring's own people."""

_TRY_AGAIN_S: Final = 120
"""Within which time a mail program comes back that has lost its session."""

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


def _tag_of(user: str) -> str:
    """The tag that the user database gives this user."""
    return GOLD if user.endswith(f"@{GOLD}.example.com") else ""


def _lot(person: int) -> float:
    """A number from 0 to 1 that is each person's own; less for a guest, whose sessions hold."""
    return -1.0 if person == _NOBODY else person * 2654435761 % 1000 / 1000


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
