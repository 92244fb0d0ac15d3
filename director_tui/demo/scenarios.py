"""What somebody else does to the practice ring while its user watches: drills.

A scenario is one script or several that go on side by side. A script is a generator: it does something to the ring, and
yields how many seconds go by until it does the next thing. The same seed tells the same story.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count, cycle
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from director_tui.demo.drills import CALM, SUMMARIES
from director_tui.demo.population import TICKS_PER_S
from director_tui.director.model import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from director_tui.director.model import Backend

    Script = Callable[["Stage", Random], Iterator[float]]


class Stage(Protocol):
    """What scripts do to a ring (:class:`director_tui.demo.ring.PracticeRing`)."""

    @property
    def backends(self) -> Sequence[Backend]: ...
    def backends_of(self, director: int) -> Sequence[Backend]: ...
    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None: ...
    def set_state(self, ip: str, state: State, director: int = 0) -> None: ...
    def forget_users(self, ip: str, director: int = 0) -> None: ...
    def fail(self, ip: str, part: float) -> None: ...
    def repair(self, ip: str) -> None: ...
    def fail_upload(self, ip: str) -> None: ...
    def healthy(self, ip: str) -> bool: ...
    def answer_after(self, director: int, seconds: float) -> None: ...
    def cut_off(self, director: int) -> None: ...
    def mend(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """``summary`` is one sentence without a stop, for --help."""

    name: str
    summary: str
    scripts: tuple[Script, ...]


class Story:
    """A scenario as it goes on in one ring, from tick 0 on."""

    def __init__(self, scenario: Scenario, stage: Stage, seed: int) -> None:
        # Each its own dice: what one script draws doesn't change what the others do.
        dice = (Random(f"{seed} {scenario.name} {number}") for number in count())  # noqa: S311 (a simulation that can be repeated, no secret)
        self._scripts = [script(stage, own) for script, own in zip(scenario.scripts, dice, strict=False)]
        self._next = [0] * len(self._scripts)

    def advance(self, tick: int) -> None:
        """To be called at each tick, in order."""
        for number, script in enumerate(self._scripts):
            while self._next[number] <= tick:
                wait_s = next(script, None)
                self._next[number] += _FOR_EVER if wait_s is None else max(1, round(wait_s * TICKS_PER_S))


_FOR_EVER: Final = 1 << 60


def _storage_outage(ring: Stage, dice: Random) -> Iterator[float]:
    """Half of the backends lose their storage; a colleague takes pressure off; some storage comes back."""
    plain = _most_alike(ring)
    sick = dice.sample(plain, max(1, len(plain) // 2))[:6]
    spared = [ip for ip in plain if ip not in sick]
    golden = [each.ip for each in ring.backends if each.ip not in plain]
    yield 8
    for number, ip in enumerate(sick):
        ring.fail(ip, 0.4)
        yield 8
        ring.fail(ip, 1.0)
        yield 14
        if number == min(1, len(sick) - 1) and spared:
            _set_vhosts(ring, spared[0], 0)
            yield 8
    if golden:
        _set_vhosts(ring, golden[0], 60)
    yield 170
    for ip in sick[::2]:
        ring.repair(ip)
        yield 40


def _hasty_monitor(ring: Stage, dice: Random) -> Iterator[float]:
    """poolmon of 2.2.36 and later: of ``HOST-DOWN`` and ``HOST-FLUSH``, sent without waiting, the second may get lost,
    and the users stay. Whatever answers is set up again, whoever set it down."""
    del dice
    flushed = cycle((True, False))
    while True:
        yield 10
        for each in ring.backends:
            if each.state is State.UP and not ring.healthy(each.ip):
                ring.set_state(each.ip, State.DOWN)
                if next(flushed):
                    ring.forget_users(each.ip)
            elif each.state is State.DOWN and ring.healthy(each.ip):
                ring.set_state(each.ip, State.UP)


def _stubborn_colleague(ring: Stage, dice: Random) -> Iterator[float]:
    """Somebody sets a backend down for maintenance, sees that it is up, and sets it down again."""
    ip = dice.choice(_most_alike(ring))
    yield 14
    while True:
        _set_state(ring, ip, State.DOWN)
        yield 60


def _stubborn_monitor(ring: Stage, dice: Random) -> Iterator[float]:
    """It looks every 30 s, 28 s after the colleague, and sets up whatever answers."""
    del dice
    yield 12
    while True:
        for each in ring.backends:
            if each.state is State.DOWN and ring.healthy(each.ip):
                ring.set_state(each.ip, State.UP)
        yield 30


def _split_ring(ring: Stage, dice: Random) -> Iterator[float]:
    """The third director is cut off for five minutes; meanwhile people change things on both sides."""
    ips = _most_alike(ring)
    dice.shuffle(ips)
    emptied, shrunk, down, grown = (ips[place % len(ips)] for place in range(4))
    yield 12
    ring.cut_off(_LAST)
    yield 28
    _set_vhosts(ring, emptied, 0)
    yield 15
    _set_vhosts(ring, shrunk, 50, _LAST)
    yield 15
    _set_state(ring, down, State.DOWN, _LAST)
    yield 30
    _set_vhosts(ring, grown, 150)
    yield 100
    _set_state(ring, down, State.UP, _LAST)
    yield 112
    ring.mend()


def _slow_director(ring: Stage, dice: Random) -> Iterator[float]:
    """The first director is slow, and now and then doesn't answer at all."""
    yield 12
    while True:
        for _ in range(dice.randrange(25, 45)):
            ring.answer_after(0, dice.uniform(1.5, 4))
            yield 1
        ring.answer_after(0, _NOT_AT_ALL_S)
        yield 12


def _ailing_backend(ring: Stage, dice: Random) -> Iterator[float]:
    """One backend loses a few of its sessions again and again, and what it has to upload before it can go is refused
    once."""
    del dice
    plain = _most_alike(ring)
    ailing = plain[min(1, len(plain) - 1)]
    ring.fail_upload(ailing)
    yield 10
    ring.fail(ailing, 0.1)


_LAST: Final = 2
_NOT_AT_ALL_S: Final = 90
"""Longer than anybody waits for a reading."""


# People find out that a backend isn't there any more, and leave it at that.


def _set_vhosts(ring: Stage, ip: str, vhosts: int, director: int = 0) -> None:
    if any(each.ip == ip for each in ring.backends_of(director)):
        ring.set_vhosts(ip, vhosts, director)


def _set_state(ring: Stage, ip: str, state: State, director: int = 0) -> None:
    if any(each.ip == ip for each in ring.backends_of(director)):
        ring.set_state(ip, state, director)


def _most_alike(ring: Stage) -> list[str]:
    """The backends of the largest tag."""
    tags = [each.tag for each in ring.backends]
    largest = max(tags, key=tags.count)
    return [each.ip for each in ring.backends if each.tag == largest]


_SCRIPTS: Final[Mapping[str, tuple[Script, ...]]] = {
    CALM: (),
    "storage-outage": (_storage_outage, _hasty_monitor),
    "monitor-fight": (_stubborn_colleague, _stubborn_monitor),
    "split-ring": (_split_ring,),
    "slow-director": (_slow_director,),
    "ailing-backend": (_ailing_backend,),
}
SCENARIOS: Final[Mapping[str, Scenario]] = {
    name: Scenario(name, summary, _SCRIPTS[name]) for name, summary in SUMMARIES.items()
}
