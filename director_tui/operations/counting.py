"""Exact prediction: the hashes of the users themselves, read from a director and sorted by where they belong."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.director.assignment_stream import AssignmentStream
from director_tui.director.changes import first_by_ip
from director_tui.director.hashring import HashRing, rings_by_tag
from director_tui.errors import OperationRefused
from director_tui.operations.effect import effect_of
from director_tui.operations.forecasting import sources
from director_tui.operations.plan import Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from director_tui.director.doveadm import Call
    from director_tui.link.ring import Ring
    from director_tui.operations.effect import Effect
    from director_tui.operations.plan import Request, Standing

FEW: Final = 8
"""So many backends are read one by one. For more than these a director prints all its users once."""


async def count(
    request: Request, standing: Standing, ring: Ring, progress: Callable[[int], object] | None = None
) -> Mapping[str, Mapping[str | None, int]]:
    """What :attr:`Standing.counted` wants, read from the director that the reading is of.

    It takes some seconds for a million users, in small pieces between which everything else has its turn; ``progress``
    is given the number of users read so far. Cancel it to give it up. Raises OperationRefused for a request that can't
    be planned or counts nobody, LinkError, DoveadmError and MalformedOutput.
    """
    effect = effect_of(request, standing)
    snapshot = standing.reading.snapshot
    if snapshot is None or request.verb in {Verb.MOVE, Verb.KICK, Verb.UPLOAD}:
        raise OperationRefused(f"there is nothing to count for {request.verb.value}")
    counting = Count(effect, sources(effect), progress)
    link = ring.link(snapshot.director)
    for call in calls(effect):
        stream = AssignmentStream(counting.add)
        await link.stream(call, stream.feed)
        stream.end()
    return counting.parts


def calls(effect: Effect) -> tuple[Call[object], ...]:
    """What has to be read for it: the backends one by one, or where they are many, everything."""
    rows = first_by_ip(effect.before)
    read = [ip for ip in sources(effect) if rows[ip].users]
    return tuple(map(doveadm.assignments, read)) if len(read) <= FEW else (doveadm.assignments(),)


class Count:
    """Counts how many users of each backend belong where, once a request is carried out.

    ``wanted`` are the backends whose users are counted. ``parts`` has each of them, also those on which nobody is.
    """

    def __init__(self, effect: Effect, wanted: Sequence[str], progress: Callable[[int], object] | None = None) -> None:
        rows = first_by_ip(effect.before)
        self._tags = {ip: rows[ip].tag for ip in wanted}
        # Where all are of one tag nobody has to be sorted first, and those of other backends are left out at the end.
        tags = set(self._tags.values())
        self._only_tag = tags.pop() if len(tags) == 1 else None
        self._rings = rings_by_tag(effect.after, consistent=effect.consistent)
        self._progress = progress
        self._read = 0
        self._found: Counter[tuple[str, str | None]] = Counter()

    def add(self, hashes: Sequence[int], ips: Sequence[str]) -> None:
        """Take in some users: the hash of each, and its backend. Those of other backends are passed over."""
        tag = self._only_tag if self._only_tag is not None else self._tag_of_all(ips)
        if tag is not None:
            self._add(tag, hashes, ips)
        else:
            by_tag: dict[str, tuple[list[int], list[str]]] = {one: ([], []) for one in self._tags.values()}
            for hash_, ip in zip(hashes, ips, strict=True):
                if ip in self._tags:
                    of_tag = by_tag[self._tags[ip]]
                    of_tag[0].append(hash_)
                    of_tag[1].append(ip)
            for one, (those, at) in by_tag.items():
                self._add(one, those, at)
        self._read += len(hashes)
        if self._progress is not None:
            self._progress(self._read)

    def _tag_of_all(self, ips: Sequence[str]) -> str | None:
        """The tag of all of these backends, if they have one in common and are all wanted."""
        tags = {self._tags.get(ip) for ip in set(ips)}
        return tags.pop() if len(tags) == 1 else None

    def _add(self, tag: str, hashes: Sequence[int], ips: Sequence[str]) -> None:
        ring = self._rings.get(tag, _NOBODY)
        self._found.update(zip(ips, ring.backends_of(hashes), strict=True))

    @property
    def parts(self) -> Mapping[str, Mapping[str | None, int]]:
        parts: dict[str, dict[str | None, int]] = {ip: {} for ip in self._tags}
        for (ip, heir), number in self._found.items():
            if ip in parts:
                parts[ip][heir] = number
        return parts


_NOBODY: Final = HashRing(())
