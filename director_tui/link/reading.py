"""What is known of a ring at one moment: a value that screens draw, and that plans stand on."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from director_tui.director.agreement import disagreements, parts, twins
from director_tui.director.model import RingView, Snapshot, taking_part

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from director_tui.director.agreement import Disagreement
    from director_tui.director.changes import Change
    from director_tui.director.model import Backend, RingSettings
    from director_tui.errors import DirectorTuiError

MIN_STALE_S: Final = 10.0


class LinkStatus(enum.Enum):
    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"


@dataclass(frozen=True, slots=True)
class LinkState:
    """How it stands with reaching the ring.

    ``failure`` is why the last reading failed, ``since_mono_s`` when this status began, ``retry_at_mono_s`` when the
    next attempt is made: None if it waits for a person. ``trying`` is whether one is under way; ``failure`` is then
    that of the attempt before.
    """

    status: LinkStatus
    director: str
    failure: DirectorTuiError | None = None
    since_mono_s: float = 0.0
    retry_at_mono_s: float | None = None
    trying: bool = False


@dataclass(frozen=True, slots=True)
class DirectorView:
    """What one director says: its view of the ring and of the backends, or why it said nothing.

    ``foreign`` is whether it is known from before that it belongs to another ring, ``known_as`` as what it was known
    in the ring when it last said so.
    """

    director: str
    ring: RingView | None = None
    backends: tuple[Backend, ...] = ()
    failure: DirectorTuiError | None = None
    foreign: bool = False
    known_as: tuple[str, int] | None = None

    @property
    def identity(self) -> tuple[str, int] | None:
        """Address and port of this director's own row, by which it is known in the ring."""
        return (self.ring.identity if self.ring is not None else None) or self.known_as


@dataclass(frozen=True, slots=True)
class Restart:
    """That the whole ring began anew, and with what it was configured with: when that was seen, how many ``users`` had
    been assigned, and how many backends had been ``changed``."""

    at: datetime
    users: int
    changed: int

    @property
    def forgotten(self) -> str:
        """What the ring has lost, in words."""
        lost = [f"{self.users:,} user{'s' * (self.users != 1)}"] if self.users else []
        if self.changed:
            lost.append(f"changes of {self.changed} backend{'s' * (self.changed != 1)}")
        return " and ".join(lost)


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known after a poll. ``snapshot`` is the last good one, None before the first.

    ``views`` is what every director said when they were last asked, at ``views_mono_s``; ``asking`` is whether a person
    has asked for another word of them since, that is not there yet. ``settings`` is None until they could be read, and
    ``note`` says why they couldn't. ``restart`` is the last of the whole ring, as long as an assignment would have
    lasted. ``changes`` holds only what is new with this reading.
    """

    link: LinkState
    snapshot: Snapshot | None = None
    views: tuple[DirectorView, ...] = ()
    asking: bool = False
    settings: RingSettings | None = None
    note: str = ""
    restart: Restart | None = None
    changes: tuple[Change, ...] = field(default=(), compare=False)
    views_mono_s: float = field(default=float("-inf"), compare=False)

    @property
    def rings(self) -> dict[str, RingView]:
        """What each director of this ring said about it when they were last asked, side by side.

        While it can't be told which ring is ours, these are those of the first director that says anything.
        """
        others = foreign(self.views)
        said = {one.director: one.ring for one in self.views if one.ring is not None and one.director not in others}
        if apart := undecided(self.views):
            members = said[apart[0]].members
            said = {name: view for name, view in said.items() if view.identity in members}
        return said

    @property
    def taking_part(self) -> frozenset[tuple[str, int]]:
        """The members that take part in the ring, by all that is known; none before its state has been read.

        Where it is split, it is the part of the director in use.
        """
        if self.snapshot is None or self.snapshot.ring is None:
            return frozenset()
        rings = self.rings
        groups = parts(rings)
        mine = next((group for group in groups if self.snapshot.director in group), None)
        others = (view for name, view in rings.items() if mine is None or name in mine)
        return taking_part(self.snapshot.ring, others)

    @property
    def alone(self) -> tuple[str, ...]:
        """The directors that run in the ring without anybody else, by their own word; each once."""
        rings = self.rings
        again = twins(rings)
        alone = [name for name, view in rings.items() if view.alone and name not in again]
        # What the director in use says was asked later than what all say.
        if self.snapshot is not None and self.snapshot.ring is not None and self.snapshot.ring.alone:
            alone.append(again.get(self.snapshot.director, self.snapshot.director))
        return tuple(dict.fromkeys(alone))

    @property
    def split(self) -> tuple[tuple[str, ...], ...]:
        """The directors by the part of a split ring that each runs in, each once; empty while nothing shows a split.

        There is one part alone where only one director can be heard, and says that it is alone.
        """
        rings = self.rings
        again = twins(rings)
        groups = parts({name: view for name, view in rings.items() if name not in again})
        return groups if len(groups) > 1 else tuple((name,) for name in self.alone)

    @property
    def unread_members(self) -> frozenset[tuple[str, int]]:
        """The members of the ring that none of the configured directors is, so that nothing is seen on them.

        Empty as long as one has never said which member it is: it could be any of them.
        """
        ring = self.snapshot.ring if self.snapshot is not None else None
        ours = {view.identity for view in self.views if not view.foreign}
        if ring is None or not ours or None in ours:
            return frozenset()
        return ring.members - ours


def stale_after_s(interval_s: float) -> float:
    """The age, in seconds, from which data is called stale."""
    return max(3 * interval_s, MIN_STALE_S)


def foreign(views: tuple[DirectorView, ...]) -> tuple[str, ...]:
    """The SSH destinations that belong to another ring than ours, which is that of the first configured director.

    Every director lists all members it was configured with, even when the ring is split, so one that is missing there
    is no member. While the first is silent, and nothing is known from before, the others may be all of another ring:
    see :func:`undecided`.
    """
    known = of_a_ring(views)
    members = known[0][1].members if known and not undecided(views) else frozenset()
    others = {view.director for view, _ in known if members and view.identity not in members}
    return tuple(view.director for view in views if view.foreign or view.director in others)


def undecided(views: tuple[DirectorView, ...]) -> tuple[str, ...]:
    """Two SSH destinations of different rings, while it can't be told which of the two is ours; empty if it can.

    As long as there are any, nothing may be changed through any of these directors.
    """
    known = of_a_ring(views)
    if not known or known[0][0] is views[0]:
        return ()
    (first, ring), *rest = known
    other = next((view for view, _ in rest if view.identity not in ring.members), None)
    return (first.director, other.director) if other is not None else ()


def disagreements_of(reading: Reading, ips: Collection[str] | None = None) -> tuple[Disagreement, ...]:
    """The backends about which this ring's directors disagree, of all or of these.

    Without ``ips`` it looks at every row of every director.
    """
    rings = reading.rings
    counted = rings.keys() - twins(rings).keys()
    return disagreements(
        {
            one.director: [row for row in one.backends if ips is None or row.ip in ips]
            for one in reading.views
            if one.director in counted and one.failure is None
        }
    )


def of_a_ring(views: tuple[DirectorView, ...]) -> list[tuple[DirectorView, RingView]]:
    """Those who say which ring they are of, without those of whom it is known that it is not ours."""
    return [(view, view.ring) for view in views if view.ring is not None and view.identity and not view.foreign]
