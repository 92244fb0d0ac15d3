"""The values of a ring: backends, directors, placements, and the snapshot that the screen draws.

All text in these values has been cleaned by :mod:`director_tui.director.parse`; all times are in UTC.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from director_tui.director.abilities import MAX_PARALLEL, lacks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

MAX_VHOSTS = 1000
"""The largest vhost count that a director takes (``MAX_VALID_VHOST_COUNT`` in Dovecot's mail-host.c)."""


@lru_cache(maxsize=4096)
def ip_order(ip: str) -> tuple[int, int]:
    """Sort key that puts IPs in a director's own order: IPv4 first, then by number.

    Raises ValueError if ``ip`` is not a literal IP address.
    """
    address = ipaddress.ip_address(ip)
    return address.version, int(address)


class State(enum.Enum):
    """What up and down set; it says nothing about the vhost count."""

    UP = "up"
    DOWN = "down"


class Condition(enum.Enum):
    """What a backend is doing, judged from its state, its vhost count and its users."""

    SERVING = "serving"
    DRAINING = "draining"
    DRAINED = "drained"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Backend:
    """One row of ``doveadm director status``.

    ``users`` counts assigned user hashes, not sessions: an assignment outlives the last session by up to
    ``director_user_expire``. ``state_changed`` is the last flip between up and down, None if there was none since the
    ring was born; setting a vhost count does not touch it.
    """

    ip: str
    tag: str
    vhosts: int
    state: State
    state_changed: datetime | None
    users: int

    @property
    def usable(self) -> bool:
        """Whether new users of its tag can be sent here."""
        return self.state is State.UP and self.vhosts > 0

    @property
    def condition(self) -> Condition:
        if self.state is State.DOWN:
            return Condition.DOWN
        if self.vhosts:
            return Condition.SERVING
        return Condition.DRAINING if self.users else Condition.DRAINED


@dataclass(frozen=True, slots=True)
class DirectorPeer:
    """One row of ``doveadm director ring status``: a director as another one sees it.

    ``type`` is ``self``, ``left``, ``right``, ``l+r`` (2.2 up to .33), ``in``, ``out``, ``removed`` or empty for a
    director that is not a neighbour. Sizes are in bytes. None where the director prints ``-``. What only
    counts traffic does not compare: two rows are equal when they say the same of the ring. On the ``self`` row
    ``ping_ms`` is how long its last sync took round the ring. ``stage`` is the status without what it counts up at
    every second (``ring syncing - last sync 3 secs ago``).
    """

    ip: str
    port: int
    type: str
    last_failed: datetime | None
    status: str = field(compare=False)
    ping_ms: int | None = None
    input: int | None = field(default=None, compare=False)
    output: int | None = field(default=None, compare=False)
    buffered: int | None = None
    buffered_peak: int | None = field(default=None, compare=False)
    last_read: datetime | None = field(default=None, compare=False)
    last_write: datetime | None = field(default=None, compare=False)
    stage: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stage", self.status.partition(" - ")[0])


@dataclass(frozen=True, slots=True)
class RingView:
    """What one director says about the ring.

    ``unidentified`` holds the status of each incoming connection whose director is not known yet; the director prints
    those without an address.
    """

    peers: tuple[DirectorPeer, ...]
    unidentified: tuple[str, ...] = ()
    self_peer: DirectorPeer | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Kept: all that is told of a ring begins with it.
        object.__setattr__(self, "self_peer", next((peer for peer in self.peers if peer.type == "self"), None))

    @property
    def identity(self) -> tuple[str, int] | None:
        """Address and port of this director's own row, by which it is known in the ring."""
        own = self.self_peer
        return (own.ip, own.port) if own is not None else None

    @property
    def members(self) -> frozenset[tuple[str, int]]:
        """Address and port of every director that belongs to the ring, whether it is there or not."""
        return frozenset((peer.ip, peer.port) for peer in self.peers if peer.type != "removed")

    @property
    def connected(self) -> frozenset[tuple[str, int]]:
        """The members that take part in the ring, as far as this director can know.

        A director says of those that are not its neighbours nothing at all, be they healthy or gone. But the ring
        runs in the order of the addresses, so those that its own neighbours have skipped are gone. With three members
        or fewer that is certain; with more, a director counts here until all who stand next to it have been asked too:
        the members that take part are those that are in ``connected`` of every director.
        """
        me = self.identity
        if me is None:
            return frozenset()
        right, left = self._synced_neighbour("right"), self._synced_neighbour("left")
        if right is None or left is None:
            return frozenset(member for member in (me, right, left) if member is not None)
        order = sorted(self.members, key=lambda member: (ip_order(member[0]), member[1]))
        place = order.index(me)
        others = order[place + 1 :] + order[:place]
        # Empty while the ring is still finding its order.
        between = others[others.index(right) : others.index(left)]
        return frozenset((me, right, left, *between))

    @property
    def neighbours(self) -> frozenset[tuple[str, int]]:
        """The members on both its sides with which it is synced."""
        sides = (self._synced_neighbour("right"), self._synced_neighbour("left"))
        return frozenset(member for member in sides if member is not None)

    @property
    def closed(self) -> bool:
        """Whether it runs in a ring that is whole in itself: whoever is not in ``connected`` then has no part in it."""
        links = [peer for peer in self.peers if peer.type in _NEIGHBOURS]
        both = self._synced_neighbour("right") is not None and self._synced_neighbour("left") is not None
        return self.synced and (both or not links)

    @property
    def synced(self) -> bool:
        """Whether this director calls itself synced (2.2 up to .33 leaves out the word ring)."""
        own = self.self_peer
        return own is not None and own.status in {"ring synced", "synced"}

    @property
    def alone(self) -> bool:
        """Whether this director calls itself synced, but has no neighbour: a split ring, or the others are gone."""
        return self.synced and len(self.members) > 1 and not any(peer.type in _NEIGHBOURS for peer in self.peers)

    @property
    def healthy(self) -> bool:
        """Whether this director is synced with both its neighbours, misses no member, and negotiates with none."""
        links = [peer for peer in self.peers if peer.type in _LINKS]
        return (
            self.synced
            and not self.unidentified
            and sorted(peer.type for peer in links) in _COMPLETE
            and all(peer.status == "synced" for peer in links)
            and self.connected == self.members
        )

    @property
    def ping_ms(self) -> int | None:
        """The slowest answer of a neighbour, in milliseconds."""
        pings = [peer.ping_ms for peer in self.peers if peer.type in _NEIGHBOURS and peer.ping_ms is not None]
        return max(pings, default=None)

    def _synced_neighbour(self, side: str) -> tuple[str, int] | None:
        for peer in self.peers:
            if peer.type in {side, "l+r"} and peer.status == "synced":
                return peer.ip, peer.port
        return None


def taking_part(own: RingView, others: Iterable[RingView]) -> frozenset[tuple[str, int]]:
    """The members that take part in the ring, judged from one director's view and from what the others say.

    A director can't tell that a member is gone which stands next to neither it nor its neighbours; those who stand next
    to that one can. Only the word of directors that ``own`` counts as taking part has weight, and only while synced.
    """
    there = own.connected
    for view in others:
        if view.identity in own.connected and view.synced and not view.alone:
            there &= view.connected
    return there


_NEIGHBOURS = frozenset({"left", "right", "l+r"})
_LINKS = _NEIGHBOURS | {"in", "out"}
_COMPLETE: Final[tuple[list[str], ...]] = ([], ["l+r"], ["left", "right"])


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a user hash is, and would be, within one tag (``doveadm director status USER TAG``).

    ``current`` is the backend it is assigned to until ``expires``, ``hashed`` the one that the hash ring leads to now,
    ``initial_config`` the one that the configuration as read at start would lead to. None: assigned to none, or no
    usable backend.
    """

    tag: str
    current: str | None
    expires: datetime | None
    hashed: str | None
    initial_config: str | None


@dataclass(frozen=True, slots=True)
class Assignment:
    """One row of ``doveadm director map``: a user hash assigned to a backend until it expires."""

    user_hash: int
    ip: str
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class ProxySession:
    """One row of ``doveadm proxy list``: a session that one director passes on to a backend."""

    user: str
    protocol: str
    source_ip: str
    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class DumpedCommand:
    """One row of ``doveadm director dump``: a command that would rebuild, or clean, the list of backends."""

    verb: str
    ip: str
    tag: str
    vhosts: int | None


@dataclass(frozen=True, slots=True)
class RingSettings:
    """What the directors' own configuration says, read with doveconf. The defaults are Dovecot 2.3's.

    ``mail_servers`` is the text of ``director_mail_servers`` as the file on disk has it now; the running ring uses what
    it loaded when the whole ring last started.
    """

    version: tuple[int, ...] = ()
    mail_servers: str | None = None
    username_hash: str = "%Lu"
    user_expire_s: float = 900.0
    user_kick_delay_s: float = 2.0
    max_parallel_moves: int = 100
    consistent_hashing: bool = True

    @property
    def moves_all_at_once(self) -> bool:
        """Whether a flush knows no pace."""
        return lacks(self.version, MAX_PARALLEL)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of the ring from one director.

    Two snapshots are equal when there is nothing new to draw: when they were taken and how long that took does not
    count. ``ring`` is None as long as no ring status has been read. ``taken_mono_s`` is the monotonic clock, and so is
    ``ring_taken_mono_s``: the ring's state is read apart from the backends, and may fail to be read while they are.
    """

    backends: tuple[Backend, ...]
    ring: RingView | None
    director: str
    taken_at: datetime = field(compare=False)
    taken_mono_s: float = field(compare=False)
    latency_ms: float = field(compare=False)
    ring_taken_mono_s: float = field(default=0.0, compare=False)

    @property
    def asked_mono_s(self) -> float:
        """When the director was asked, on the monotonic clock: it may show the ring as it was at any moment since."""
        return self.taken_mono_s - self.latency_ms / 1000

    def backend(self, ip: str) -> Backend | None:
        return next((backend for backend in self.backends if backend.ip == ip), None)

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag in the order in which its first backend stands in the list."""
        return tuple(dict.fromkeys(backend.tag for backend in self.backends))

    @property
    def users(self) -> int:
        return sum(backend.users for backend in self.backends)

    @property
    def tags_without_backend(self) -> tuple[str, ...]:
        """The tags whose new logins wait and then fail, because none of their backends is usable."""
        usable = {backend.tag for backend in self.backends if backend.usable}
        return tuple(tag for tag in self.tags if tag not in usable)
