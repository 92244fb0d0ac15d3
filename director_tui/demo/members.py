"""The directors of the practice ring: which of them run and reach each other, and what each says about the others.

The rows were seen on rings of 2.3.19.1 whose members were stopped and started one after the other, or cut off from the
others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.demo.population import TICKS_PER_S
from director_tui.director.model import DirectorPeer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

LEFT_ALONE_S: Final = 21
"""How long a director that has lost its last neighbour calls itself syncing before it sees that it is alone."""

RETRY_S: Final = 30
"""How often a director tries to reach the neighbour that it should have on its right."""

_SYNCED: Final = "ring synced"
_RETRY: Final = RETRY_S * TICKS_PER_S
_LEFT_ALONE: Final = LEFT_ALONE_S * TICKS_PER_S


class Members:
    """The members of a ring in the order of their IPs; each is called by its place in it. All run at first."""

    def __init__(self, ips: Sequence[str], port: int) -> None:
        self._ips = tuple(ips)
        self._port = port
        self._runs = [True] * len(ips)
        self._since = [-1] * len(ips)  # the tick at which it started or stopped
        self.lone: int | None = None  # who is cut off from all others
        self._cut_since = 0
        self.stalled: int | None = None  # who hangs, without a word to anybody
        self._unsynced_since: int | None = None

    def runs(self, member: int) -> bool:
        return self._runs[member]

    def stop(self, member: int, tick: int) -> None:
        self._turn(member, tick, on=False)

    def start(self, member: int, tick: int) -> None:
        self._turn(member, tick, on=True)

    def nearest(self, member: int) -> int | None:
        """This member, or the next one that runs; None if none does."""
        return next((other for other in self._round(member) if self._runs[other]), None)

    def successor(self, member: int) -> int | None:
        """The next one that runs and is connected with this one; None if there is none."""
        return next((other for other in self._round(member) if self._reaches(member, other)), None)

    def stall(self, member: int) -> None:
        """From now on this member hangs: what changes doesn't get round the ring, until go_on(). Not modelled: the
        others drop it after half a minute or a minute, and are synced again."""
        self.stalled = member

    def go_on(self) -> None:
        """Nobody hangs any more."""
        self.stalled = self._unsynced_since = None

    def changed(self, member: int, tick: int) -> None:
        """A member has changed something, and tells the others."""
        if self.hears_nothing_of(member) and self._unsynced_since is None:
            self._unsynced_since = tick

    def hears_nothing_of(self, member: int) -> bool:
        """Whether what a member tells the others doesn't come back to it."""
        return self.stalled is not None and self._reaches(member, self.stalled)

    def synced(self, member: int, tick: int) -> bool:
        return self._own_status(member, tick) == _SYNCED

    def cut_off(self, member: int, tick: int) -> None:
        """From now on this member and the others don't reach each other. Raises ValueError while another one is cut
        off."""
        if self.lone is not None:
            raise ValueError("the ring is split already")
        self.lone, self._cut_since = member, tick

    def reunion(self, tick: int) -> int:
        """If the members of a split ring reach each other again from this tick on: when whoever was cut off tries the
        next time. The others try, too, but on real rings nothing came of that."""
        if self.lone is None:
            return tick
        first = self._first_try(self.lone)
        return max(first, first + -((first - tick) // _RETRY) * _RETRY)

    def rejoin(self) -> None:
        """They are one ring again."""
        self.lone = None

    def seen_by(self, member: int, tick: int, time: Callable[[int], datetime], traffic: int) -> Iterator[DirectorPeer]:
        """``director ring status`` of one member. ``time`` is the time of a tick; ``traffic`` grows with the number of
        users that the directors have told each other about."""
        others = [other for other in range(len(self._ips)) if self._reaches(member, other)]
        for other, ip in enumerate(self._ips):
            if other == member:
                yield DirectorPeer(ip, self._port, "self", None, self._own_status(member, tick), ping_ms=4 + member)
            elif other not in others:
                failed = self._last_failed(member, other, tick)
                yield DirectorPeer(ip, self._port, "", time(failed) if failed is not None else None, "")
            else:
                for side in self._sides(member, other, others):
                    status = "synced" if self.synced(member, tick) else "syncing"
                    yield self._neighbour(other, side, status, tick, time(tick), traffic)

    def _turn(self, member: int, tick: int, *, on: bool) -> None:
        if self._runs[member] is not on:
            self._runs[member] = on
            self._since[member] = tick

    def _round(self, member: int) -> Iterator[int]:
        """Every member, to the right, beginning with this one."""
        yield from range(member, len(self._ips))
        yield from range(member)

    def _separated(self, member: int, other: int) -> bool:
        return self.lone in (member, other)

    def _reaches(self, member: int, other: int) -> bool:
        return other != member and self._runs[other] and not self._separated(member, other)

    def _sides(self, member: int, other: int, others: Sequence[int]) -> tuple[str, ...]:
        if len(others) == 1:  # a ring of two: one connection each way
            return ("right", "left") if member < other else ("left", "right")
        return ("right",) if other == self.successor(member) else ("left",)

    def _neighbour(self, other: int, side: str, status: str, tick: int, now: datetime, traffic: int) -> DirectorPeer:
        # News about users go round the ring to the right; what comes back is little more than pings.
        forth, back = 836 + 33 * traffic, 112 + traffic // 9
        return DirectorPeer(
            self._ips[other],
            self._port,
            side,
            None,
            status,
            ping_ms=((tick // (5 * TICKS_PER_S) + other) * 2654435761 >> 9) % 3,
            input=back if side == "right" else forth,
            output=forth if side == "right" else back,
            buffered=0,
            buffered_peak=266 if side == "right" else 37,
            last_read=now,
            last_write=now,
        )

    def _lost(self, member: int, other: int) -> int:
        """Since when this member is without the other one."""
        return self._cut_since if self._separated(member, other) else self._since[other]

    def _left_alone(self, member: int) -> int:
        """Since when the others are gone."""
        return max((self._lost(member, other) for other in range(len(self._ips)) if other != member), default=0)

    def _own_status(self, member: int, tick: int) -> str:
        since = self._unsynced_since if self.hears_nothing_of(member) else None
        if not any(self._reaches(member, other) for other in range(len(self._ips))):
            gone = self._left_alone(member)
            if self._since[member] < gone and tick - gone < _LEFT_ALONE:
                since = gone
        return _SYNCED if since is None else f"ring syncing - last sync {(tick - since) // TICKS_PER_S} secs ago"

    def _first_try(self, member: int) -> int:
        """When a member that is alone has tried to reach everybody for the first time."""
        gone = self._left_alone(member)
        return max(gone + _LEFT_ALONE if self._since[member] < gone else gone, self._since[member])

    def _last_failed(self, member: int, other: int, tick: int) -> int | None:
        """The tick of the last attempt to reach ``other``. Who should have it on the right tries again and again;
        whoever is left alone tries everybody once, and so does who is cut off from it."""
        on_the_right = other == (member + 1) % len(self._ips)
        if not any(self._reaches(member, each) for each in range(len(self._ips))):
            first = self._first_try(member)
        elif on_the_right:
            first = max(self._lost(member, other), self._since[member])
        elif self._separated(member, other):
            first = self._cut_since
        else:
            return None
        if tick < first:
            return None
        return first + (tick - first) // _RETRY * _RETRY if on_the_right else first
