"""The first step of a clean removal: whether it may begin, and what the others would carry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from director_tui.errors import OperationRefused
from director_tui.link.reading import disagreements_of, foreign
from director_tui.operations.confirmation import ring_words
from director_tui.operations.effect import usable
from director_tui.operations.gate import STILL_S, refusal
from director_tui.operations.plan import Request, Target, Verb
from director_tui.operations.planning import make_plan
from director_tui.operations.removal_upload import before_upload
from director_tui.operations.words import listed, plural, some, tag_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from director_tui.director.model import Backend
    from director_tui.operations.gate import Circumstances
    from director_tui.operations.plan import Standing
    from director_tui.operations.prediction import Forecast, Prediction
    from director_tui.operations.removal import Removal

FALLING_PER_MIN: Final = 1_000.0
"""Users that leave a backend in a minute, from which on somebody may be flushing it."""

FALLING_PART: Final = 0.25
"""And that part of those who are left. Those who log out go over the whole time that an assignment lasts."""


@dataclass(frozen=True, slots=True)
class Checkup:
    """``refusals`` are why it can't begin, ``warnings`` what to know before. ``survivors`` is what the other backends
    of the tag would have to carry, None where that can't be told."""

    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    survivors: tuple[Forecast, ...] = ()
    exact: bool = False


def check_up(
    ip: str,
    standing: Standing,
    now: Circumstances,
    unfinished: Iterable[Removal] = (),
    rates: Mapping[str, float | None] | None = None,
) -> Checkup:
    """``standing`` has a reading just taken, of every director; ``now`` is what the gate judges by.

    ``rates`` are the users that each backend gains in a minute, as they are measured: what falls steeply may be flushed
    by somebody else, which no director tells.
    """
    refusals = tuple(dict.fromkeys(_refusals(ip, standing, now, tuple(unfinished))))
    prediction = _prediction(ip, standing)
    survivors = tuple(one for one in prediction.forecasts if one.ip != ip) if prediction is not None else ()
    warnings = tuple(_warnings(ip, standing, survivors, rates or {}))
    return Checkup(refusals, warnings, survivors, prediction is not None and prediction.exact)


def _refusals(ip: str, standing: Standing, now: Circumstances, unfinished: tuple[Removal, ...]) -> Iterator[str]:
    if (refused := refusal(Verb.UPDATE, replace(now, reading=standing.reading))) is not None:
        yield str(refused)
    for one in unfinished:
        if one.ip == ip and one.ended is None:
            yield f"a {one.title} is unfinished, begun {one.began:%Y-%m-%d %H:%M} UTC by {one.who}: go on with that one"
    reading = standing.reading
    if reading.snapshot is None:
        return
    row = reading.snapshot.backend(ip)
    if row is None:
        yield f"{ip} is not listed by {reading.snapshot.director}"
        return
    if words := ring_words(reading):
        yield words
    others = foreign(reading.views)
    for view in reading.views:
        if view.failure is not None and view.director not in others:
            yield f"{view.director} could not be read: {view.failure}"
    if disagreements_of(reading, [ip]):
        yield f"the directors disagree about {ip}: the ring screen (g) shows how"
    if set(usable(reading.snapshot.backends, row.tag)) <= {ip}:
        which = "is the last usable backend" if row.usable else "has no other usable backend beside it"
        whose = f" of {tag_name(row.tag)}" if row.tag else ""
        yield f"{ip} {which}{whose}: its users would have nowhere to go; add another one, or set one up, first"
    if now.unseen:
        flushes = some(f"{one.ip or 'all'} ({one.started_at:%H:%M} UTC, {one.director})" for one in now.unseen)
        yield f"a flush of {flushes} may be running: wait until user counts stand still for {STILL_S:.0f} s"


def _warnings(
    ip: str, standing: Standing, survivors: tuple[Forecast, ...], rates: Mapping[str, float | None]
) -> Iterator[str]:
    reading, cluster = standing.reading, standing.cluster
    rows = reading.snapshot.backends if reading.snapshot is not None else ()
    for row in rows:
        if _falls_steeply(row, rates.get(row.ip)):
            yield (
                f"{row.ip} loses {plural(-round(rates[row.ip] or 0), 'user')} a minute: if somebody flushes it, wait "
                "for its end; two flushes share the directors' pace"
            )
    for one in survivors:
        if one.over_capacity and one.users_after is not None and cluster.capacity is not None:
            yield f"{one.ip} would have {one.users_after:,} users, more than the {cluster.capacity:,} it can carry"
    mine = next((row for row in rows if row.ip == ip), None)
    if mine is not None and not mine.vhosts:
        yield f"{ip} has vhost count 0 already, so that is what it gets back when it is brought back or backed out of"
    if reading.unread_members:
        names = listed(sorted(one for one, _ in reading.unread_members))
        yield f"{names}, of the ring, without an SSH destination: sessions through there are not seen"
    if (known := before_upload(cluster)) is not None and known.how is None:
        yield f"{known.said}; steps 4 and 6 will ask"


def _falls_steeply(row: Backend, per_min: float | None) -> bool:
    fall = -(per_min or 0.0)
    return fall >= FALLING_PER_MIN and fall >= FALLING_PART * row.users


def _prediction(ip: str, standing: Standing) -> Prediction | None:
    """Of setting it to vhost count 0, which is how they will be when all are moved; or of flushing one that has it."""
    for request in (Request(Verb.UPDATE, (Target(ip, 0),)), Request(Verb.FLUSH, (Target(ip),))):
        try:
            return make_plan(request, standing).prediction
        except OperationRefused:
            continue
    return None
