"""A ring of many backends in memory: what `doveadm director status` prints at each reading, a fifth of it new."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.link.ring import Ring
from director_tui.times import SYSTEM_TIMES, Times
from director_tui.ui.app import DirectorApp
from tests.ui.fakes import STATUS_HEADER, FakeReply, FakeRing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from director_tui.link.questions import Ask

CHANGED: Final = 0.2
"""Which part of the backends has other users at the next reading."""


def ips(count: int) -> list[str]:
    return [f"10.1.{number // 200}.{number % 200 + 1}" for number in range(count)]


def status_tables(count: int, seed: int = 1) -> Iterator[bytes]:
    """What a director with this many backends prints, reading after reading, for ever."""
    chance = random.Random(seed)
    users = {ip: chance.randrange(20_000, 30_000) for ip in ips(count)}
    while True:
        lines = (f"{ip}\t\t100\tup\t-\t{number}\n" for ip, number in users.items())
        yield STATUS_HEADER + "".join(lines).encode()
        for ip in chance.sample(sorted(users), int(count * CHANGED)):
            users[ip] += chance.choice((-1, 1)) * chance.randrange(1, 400)


@dataclass
class Crowd(FakeRing):
    """Answers with what is ``printed``, one after the other, over and over; ``polled`` is called at each reading."""

    printed: Sequence[bytes] = ()
    polled: Callable[[], None] = lambda: None
    readings: int = field(default=0, init=False)

    def answer(self, argv: Sequence[str], destination: str) -> FakeReply:
        if tuple(argv[3:]) == ("doveadm", "-f", "tab", "director", "status") and destination == self.directors[0]:
            self.readings += 1
            self.status = self.printed[self.readings % len(self.printed)]
            self.polled()
        return super().answer(argv, destination)


def dashboard_on(crowd: Crowd, interval_s: float, times: Times = SYSTEM_TIMES) -> DirectorApp:
    cluster = ClusterConfig("crowd", tuple(DirectorConfig(one) for one in crowd.directors), interval_s)

    async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        return Ring(cluster, cast("Any", crowd))

    return DirectorApp(cluster, open_ring, times=times)
