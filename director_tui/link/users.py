"""Where a user is, and the sessions that pass through the directors: what is asked for on demand, not polled."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.errors import DirectorTuiError, LinkError
from director_tui.link.reading import foreign
from director_tui.text import clean
from director_tui.times import SYSTEM_TIMES, Times

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from director_tui.director.doveadm import Call
    from director_tui.director.model import Backend, Placement, ProxySession
    from director_tui.link.reading import DirectorView, Reading
    from director_tui.link.ring import DirectorLink, Ring

ATTEMPTS: Final = 3
"""How often a user is looked up again when another director took over in the middle of it."""


@dataclass(frozen=True, slots=True)
class FoundUser:
    """Where a user is and would be, all of it from one director.

    ``placements`` has one for each tag, or only the one that was asked for; ``backends`` are all of the ring.
    ``left_out`` says of each tag that could not be asked for why not. The times are ours, from before the first answer.
    """

    user: str
    hash: int
    placements: tuple[Placement, ...]
    backends: tuple[Backend, ...]
    director: str
    taken_at: datetime
    taken_mono_s: float
    left_out: tuple[str, ...] = ()


async def find_user(ring: Ring, user: str, tag: str | None = None, times: Times = SYSTEM_TIMES) -> FoundUser:
    """Look a user up on the director in use, in every tag or only in ``tag``. It costs one call and two for each tag.

    The hash comes from that director's own setting. Raises ValueError, before anything is sent, if the name or the tag
    can't be sent to a director; RingUnreadable if no director answers; LinkError if they took turns all the time.
    """
    hash_call = doveadm.user_hash(user)
    if tag is not None:
        doveadm.placement(0, tag)
    for attempts_left in reversed(range(ATTEMPTS)):
        taken_at, taken_mono_s = times.utc(), times.mono_s()
        hashed, listed = await asyncio.gather(ring.on_one(hash_call), ring.on_one(doveadm.status()))
        backends = listed.value
        tags = (tag,) if tag is not None else tuple(dict.fromkeys(one.tag for one in backends)) or ("",)
        calls, left_out = _placement_calls(hashed.value, tags)
        # Side by side as far as the connection lets them: a ring may have many tags.
        answers = await asyncio.gather(*(ring.on_one(call) for call in calls))
        placements = tuple(answer.value for answer in answers)
        if {hashed.director, *(answer.director for answer in answers)} != {listed.director}:
            continue
        # A backend that is added in the middle of it is not in the list yet.
        if attempts_left and not {one.current for one in placements} <= {None, *(one.ip for one in backends)}:
            continue
        tag_of = {one.ip: one.tag for one in backends}
        placements = tuple(_in_its_tag(one, tag_of) for one in placements)
        return FoundUser(user, hashed.value, placements, backends, listed.director, taken_at, taken_mono_s, left_out)
    raise LinkError(f"{ring.cluster.name}: the directors took turns while the user was looked up", "try again")


def _in_its_tag(placement: Placement, tag_of: Mapping[str, str]) -> Placement:
    """Without an assignment that is of another tag: up to 2.2.26 a hash has one for all tags, shown with each."""
    if placement.current is None or tag_of.get(placement.current, placement.tag) == placement.tag:
        return placement
    return replace(placement, current=None, expires=None)


def _placement_calls(hash_: int, tags: Sequence[str]) -> tuple[list[Call[Placement]], tuple[str, ...]]:
    calls, left_out = [], []
    for tag in tags:
        try:
            calls.append(doveadm.placement(hash_, tag))
        except ValueError as error:
            left_out.append(clean(str(error)))
    return calls, tuple(left_out)


@dataclass(frozen=True, slots=True)
class Sessions:
    """The sessions that pass through the directors now; LMTP deliveries are not among them.

    ``by_director`` has those of each director that answered, in the configured order, ``failures`` why another one did
    not, and ``waiting`` which have not answered yet: as long as there is one of either, no session seen does not mean
    none there. The times are ours, from before the first answer.
    """

    by_director: Mapping[str, tuple[ProxySession, ...]]
    failures: Mapping[str, DirectorTuiError]
    waiting: tuple[str, ...]
    taken_at: datetime
    taken_mono_s: float

    @property
    def all(self) -> tuple[ProxySession, ...]:
        """Those of all directors that answered."""
        return tuple(one for sessions in self.by_director.values() for one in sessions)


async def sessions(
    ring: Ring,
    views: Sequence[DirectorView] = (),
    publish: Callable[[Sessions], None] | None = None,
    times: Times = SYSTEM_TIMES,
) -> Sessions:
    """Ask every director side by side for the sessions that pass through it; a failure is a value.

    One that hangs takes a minute, so what is known is handed to ``publish`` after each answer. By what ``views`` say,
    directors of another ring are left out, and one that is configured twice is asked once.
    """
    links = each_once(ring.links, views)
    known = Sessions({}, {}, tuple(link.name for link in links), times.utc(), times.mono_s())

    async def ask(link: DirectorLink) -> None:
        nonlocal known
        try:
            answer = (await link.call(doveadm.proxy_list())).value
        except DirectorTuiError as error:
            known = replace(known, failures={**known.failures, link.name: error})
        else:
            answers = {**known.by_director, link.name: answer}
            known = replace(known, by_director={one.name: answers[one.name] for one in links if one.name in answers})
        known = replace(known, waiting=tuple(name for name in known.waiting if name != link.name))
        if publish is not None:
            publish(known)

    await asyncio.gather(*map(ask, links))
    return known


def not_asked(reading: Reading, known: Sessions) -> int:
    """How many members of the ring were never asked, at least: no SSH destination is configured for them."""
    ring = reading.snapshot.ring if reading.snapshot is not None else None
    asked = len(known.by_director) + len(known.failures) + len(known.waiting)
    # Which ones they are is not known before each director has said who it is; how many there are in all is.
    return max(len(reading.unread_members), len(ring.members) - asked if ring is not None else 0)


def sessions_by_backend(reading: Reading, known: Sessions) -> dict[str, int] | None:
    """How many sessions there are to each backend that is listed; None unless every member of the ring has said its
    own."""
    if reading.snapshot is None or known.failures or known.waiting or not_asked(reading, known):
        return None
    counted = Counter(one.ip for one in known.all)
    return {backend.ip: counted[backend.ip] for backend in reading.snapshot.backends}


def each_once(links: Sequence[DirectorLink], views: Sequence[DirectorView]) -> list[DirectorLink]:
    """Those of our ring, by what ``views`` say; of one that is configured twice the first."""
    others = foreign(tuple(views))
    identities = {view.director: view.identity for view in views}
    seen = set()
    chosen = []
    for link in links:
        identity = identities.get(link.name)
        if link.name in others or (identity is not None and identity in seen):
            continue
        seen.add(identity)
        chosen.append(link)
    return chosen
