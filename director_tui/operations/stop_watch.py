"""Whether a stop is in force, asked of the records here and on the directors and of the ring itself."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from director_tui.director import doveadm
from director_tui.link.ring import Answer
from director_tui.link.users import each_once
from director_tui.operations.emergency import settled, stop_in
from director_tui.operations.emergency_ground import tables
from director_tui.operations.stop_keeping import Found, find_records, keep_over
from director_tui.operations.stop_record import StopOver, addresses
from director_tui.operations.who import who_am_i
from director_tui.operations.words import listed
from director_tui.text import clean
from director_tui.times import SYSTEM_TIMES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from director_tui.director.model import Backend
    from director_tui.link.reading import Reading
    from director_tui.link.ring import Ring
    from director_tui.operations.emergency import Stop
    from director_tui.times import Times


@dataclass(frozen=True, slots=True)
class StopsSeen:
    """What was found, and the stop that is open; None if there is none."""

    found: Found
    stop: Stop | None


async def look_for_stops(ring: Ring, reading: Reading, times: Times = SYSTEM_TIMES) -> StopsSeen:
    """Look everywhere, once. Never raises, and takes a few seconds at most.

    Where every director that can be read shows that a stop is over, and nobody has said so yet, it is said here and
    there; unless nothing is to be changed from here. They are asked once more before: one that has begun anew lists
    what it is configured with until it has heard of the others.
    """
    cluster, snapshot = ring.cluster, reading.snapshot
    if snapshot is None:
        return StopsSeen(Found(), None)
    links = each_once(ring.links, reading.views)
    found = await find_records(cluster.name, links, cluster.records, addresses(reading.rings.values()))
    if not cluster.read_only:
        now = times.utc()
        known = tables(reading)
        over = _over(found, (table.values() for table in known.values()), now)
        if over and snapshot.ring is not None and (not snapshot.ring.synced or snapshot.ring.alone):
            over = frozenset()
        if over:
            said = await ring.on_every(doveadm.status())
            again = [one.value for name, one in said.items() if name in known and isinstance(one, Answer)]
            over &= _over(found, again, now)
        for stamp in sorted(over):
            host = clean(socket.gethostname())
            await keep_over(StopOver(stamp, now, who_am_i(), host), cluster.name, links, cluster.records)
        found = replace(found, over=found.over | over)
    stop = stop_in(found, reading)
    doubted = [one for one in stop.stamps if one in found.doubted] if stop is not None else []
    notes = tuple(
        f"over-{one}.json on {listed(found.doubted[one])} is not believed: all is away that this stop took, "
        "and its record here counts"
        for one in doubted
    )
    return StopsSeen(replace(found, notes=(*notes, *found.notes)), stop)


def _over(found: Found, each: Iterable[Iterable[Backend]], now: datetime) -> frozenset[str]:
    """The stops that are over by all of these tables; none if there is no table."""
    stamps = [frozenset(one.stamp for one in settled(found, table, now)) for table in each]
    return frozenset.intersection(*stamps) if stamps else frozenset()
