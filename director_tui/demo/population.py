"""The people of the practice ring: who they are, when they log in, and how long they stay.

Nothing in here depends on backends or directors, so the same seed gives the same logins whatever is done to the ring.
Time is counted in ticks from the start of the ring, as integers; before the start it is negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final

from director_tui.director import hashring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TICKS_PER_S: Final = 4

PEOPLE_PER_USER: Final = 4
"""How many people there are for each who is assigned at a time."""

STAYS_S: Final = ((0.55, 120.0), (0.45, 1800.0))
"""Sessions are of two kinds, a phone that looks for mail and a desktop that stays: (how frequent, mean length in
seconds), each exponentially distributed."""

WAVES: Final = ((0.16, 1500.0), (0.09, 420.0))
"""How logins swell and ebb: (fraction of the mean rate, period in seconds)."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One session: its person, its first tick, and the tick at which it is over."""

    person: int
    since: int
    until: int


class People:
    """A population in which about ``users`` hold an assignment at a time, if one outlives its last session by
    ``expire_s`` seconds.

    ``tags`` has each tag's part of the people; the parts are scaled to add up to 1.
    """

    def __init__(self, users: int, tags: Mapping[str, float], *, expire_s: float, seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 (a simulation that can be repeated, no secret)
        self._count = users * PEOPLE_PER_USER
        self._ends = _cumulated(tags, self._count)
        self._expire_s = expire_s
        self._mean_stay_s = sum(part * mean for part, mean in STAYS_S)
        # Logins of one person arrive independently of each other, and each covers a stretch of time with an
        # assignment. How many stretches cover a moment is then Poisson distributed, so the part of the people who hold
        # one is 1 - exp(-rate * length), which is solved here for the rate.
        self._covering = -self._count * math.log1p(-1 / PEOPLE_PER_USER)
        self._rate_per_s = self._covering / (self._mean_stay_s + expire_s)
        self._phases = [self._random.random() for _ in WAVES]

    def name(self, person: int) -> str:
        """The user name, the same whatever the seed."""
        first = _FIRST_NAMES[person % len(_FIRST_NAMES)]
        rest = person // len(_FIRST_NAMES)
        last, number = _LAST_NAMES[rest % len(_LAST_NAMES)], rest // len(_LAST_NAMES)
        tag = self.tag(person)
        return f"{first}.{last}{number or ''}@{f'{tag}.' if tag else ''}example.com"

    def user_hash(self, person: int) -> int:
        """By Dovecot's default ``director_username_hash``."""
        return hashring.user_hash(self.name(person))

    def tag(self, person: int) -> str:
        """The tag that the user database gives this person."""
        for tag, end in self._ends:
            if person < end:
                return tag
        raise ValueError(f"there are {self._count} people, no number {person}")

    def source_ip(self, person: int) -> str:
        """Where the person's sessions come from: one of the networks that are reserved for documentation."""
        network = ("192.0.2", "198.51.100", "203.0.113")[person // 3 % 3]
        return f"{network}.{1 + person * 7919 % 254}"

    def already_there(self) -> list[Visit]:
        """The visits whose assignments hold at tick 0, by their beginning: the ring as if it had run for ever."""
        pick = self._random
        total_s = self._mean_stay_s + self._expire_s
        visits = []
        for _ in range(_poisson(pick, self._covering)):
            # A moment falls into a stretch with a probability that grows with its length. That makes the length of the
            # stretch a mix again: the usual one, or one whose stay is itself drawn by its length.
            stay_s = self._stay_s() if pick.random() < self._expire_s / total_s else self._longer_stay_s()
            begin_s = -pick.random() * (stay_s + self._expire_s)
            visits.append(self._visit(int(begin_s * TICKS_PER_S), stay_s))
        visits.sort(key=lambda visit: visit.since)
        return visits

    def arrivals(self, tick: int) -> Iterator[Visit]:
        """Who logs in at this tick. Ask for each tick once, in order."""
        if not self._count:
            return
        time_s = tick / TICKS_PER_S
        wave = sum(
            part * math.sin(2 * math.pi * (time_s / period_s + phase))
            for (part, period_s), phase in zip(WAVES, self._phases, strict=True)
        )
        for _ in range(_poisson(self._random, self._rate_per_s / TICKS_PER_S * (1 + wave))):
            yield self._visit(tick, self._stay_s())

    def _visit(self, since: int, stay_s: float) -> Visit:
        person = int(self._random.random() * self._count)
        return Visit(person, since, since + 1 + int(stay_s * TICKS_PER_S))

    def _stay_s(self) -> float:
        (short, short_s), (_, long_s) = STAYS_S
        return self._random.expovariate(1 / (short_s if self._random.random() < short else long_s))

    def _longer_stay_s(self) -> float:
        (short, short_s), (_, long_s) = STAYS_S
        is_short = self._random.random() * self._mean_stay_s < short * short_s
        return self._random.gammavariate(2, short_s if is_short else long_s)


def _cumulated(tags: Mapping[str, float], count: int) -> tuple[tuple[str, int], ...]:
    """Which people have which tag: each tag with the number of the first person who has a later one."""
    total, reached, ends = sum(tags.values()), 0.0, []
    for tag, part in tags.items():
        reached += part
        ends.append((tag, round(count * reached / total)))
    return tuple(ends)


def _poisson(random: Random, mean: float) -> int:
    """How many independent events happen if ``mean`` are to be expected."""
    if mean > 60:
        return max(0, round(random.gauss(mean, math.sqrt(mean))))
    limit, product, count = math.exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count


_FIRST: Final = """
ada ahmed aiko alice anna ben bianca carlos chen clara david diego elena emil eva fatima felix grace hana hugo
ines ivan jana jonas julia kofi lars lea lin luca maria marta mateo mila nadia nils noor olga omar paul petra
priya rosa sam sara tariq tom uma vera victor wei yara yusuf zoe
"""
_LAST: Final = """
abe adler ali bauer berg bianchi blanc borg braun castro chan costa cruz dahl diaz diop dubois evans fischer
garcia gomez haas hansen horvat huang ito jansen jensen kaur keller khan kim koch kumar lang larsen lopez ma
mendes meyer moreau mori nagy nielsen novak okafor olsen park patel peters popov reyes ricci rossi roth sato
schmidt silva singh smit suzuki tanaka toth vega vogel wagner walker wang weber wolf wong yilmaz zhang
"""
_FIRST_NAMES: Final = tuple(_FIRST.split())
_LAST_NAMES: Final = tuple(_LAST.split())
