"""How many users each backend would have after a change: estimated from shares, or summed up from a count."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from director_tui.director.changes import first_by_ip
from director_tui.director.hashring import HashRing, predicted_moves
from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.model import State, ip_order
from director_tui.operations.effect import FLUSHES, tag_of
from director_tui.operations.plan import Verb
from director_tui.operations.prediction import Forecast, Prediction
from director_tui.operations.sentences import at_once, later

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from director_tui.director.model import Backend, RingSettings
    from director_tui.operations.effect import Effect

    Parts = Mapping[str | None, int]
    """Of the users of one backend: how many of them belong to which backend, its own included; None: to none."""


def predict(
    effect: Effect,
    counted: Mapping[str, Parts],
    *,
    capacity: int | None = None,
    settings: RingSettings | None = None,
) -> Prediction | None:
    """None for what moves no users from backend to backend by their hashes: move, kick and an upload.

    Whoever is on a backend that is no source stays there, and so does of a counted one whose hash leads to it.
    """
    if effect.request.verb in {Verb.MOVE, Verb.KICK, Verb.UPLOAD}:
        return None
    outcome = _outcome(effect, counted)
    rows = first_by_ip(effect.before)
    # One that is added is not among those before.
    tags = {**{ip: row.tag for ip, row in rows.items()}, **{row.ip: tag_of(row) for row in effect.rows}}
    forecasts = []
    for ip in sorted(_concerned(effect, outcome), key=ip_order):
        now = outcome.now.get(ip, rows[ip].users if ip in rows else 0)
        after = outcome.after.get(ip, now)
        over = capacity is not None and after is not None and after > capacity and after > now
        shares = effect.shares_before.get(ip, 0.0), effect.shares_after.get(ip, 0.0)
        forecasts.append(Forecast(ip, tags[ip], now, after, *shares, over_capacity=over))
    return Prediction(
        forecasts=tuple(forecasts),
        at_once=at_once(effect, settings),
        later=later(effect, forecasts, outcome.moving, outcome.stranded, exact=outcome.exact, settings=settings),
        exact=outcome.exact,
        moving=outcome.moving,
        stranded=outcome.stranded,
        count_of=outcome.uncounted,
    )


def sources(effect: Effect) -> tuple[str, ...]:
    """The backends whose users move by it: the targets, or all of a tag of which some backend takes a larger part.

    A change that only takes from its targets leads nobody else elsewhere. Without consistent hashing it does, but then
    those move when they are flushed, and nothing is said of that.
    """
    if effect.request.verb is Verb.FLUSH_ALL:
        return tuple(dict.fromkeys(one.ip for one in effect.before))
    growing = {tag_of(row) for row in effect.to_do if _weight(row.after) > _weight(row.now)}
    targets = {row.ip for row in effect.to_do}
    return tuple(dict.fromkeys(one.ip for one in effect.before if one.ip in targets or one.tag in growing))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The users of the sources, and of the others to which users come, before and after; None: unknown.

    ``moving`` go to another backend, ``stranded`` to none.
    """

    now: Mapping[str, int]
    after: Mapping[str, int | None]
    moving: int
    stranded: int
    exact: bool
    uncounted: tuple[str, ...]


def _outcome(effect: Effect, counted: Mapping[str, Parts]) -> _Outcome:
    rows = first_by_ip(effect.before)
    from_ips = sources(effect)
    fractions = _fractions(effect, [ip for ip in from_ips if ip not in counted and rows[ip].users])
    now: dict[str, int] = {}
    arrived: Counter[str | None] = Counter()
    unknown: set[str] = set()
    uncounted: list[str] = []
    staying = 0
    for ip in from_ips:
        parts = counted.get(ip)
        now[ip] = sum(parts.values()) if parts is not None else rows[ip].users
        if parts is None and now[ip]:
            uncounted.append(ip)
            parts = _apportioned(now[ip], fractions[ip]) if ip in fractions else None
            if parts is None:
                unknown.add(rows[ip].tag)
        arrived.update(parts or {})
        staying += (parts or {}).get(ip, 0)
    moving = arrived.total() - staying
    stranded = arrived.pop(None, 0)
    for heir in arrived:
        if heir is not None:
            now.setdefault(heir, rows[heir].users if heir in rows else 0)
    open_ended = {one.ip for one in effect.after if one.usable and one.tag in unknown}
    own = set(now) - set(from_ips)
    after = {ip: None if ip in open_ended else arrived[ip] + (users if ip in own else 0) for ip, users in now.items()}
    return _Outcome(now, after, moving - stranded, stranded, not uncounted, tuple(uncounted))


def _fractions(effect: Effect, ips: Iterable[str]) -> dict[str, dict[str | None, float]]:
    """Where the users of these backends belong after the change, as fractions; left out if only a count tells.

    Users spread evenly over the hash space, and are taken to be where their hash leads. One that is not usable has no
    arcs any more; its users are taken to be there by those it had, with the vhost count that it keeps while down, or
    else the one that every configured backend starts with.
    """
    wanted = defaultdict(set)
    rows = first_by_ip(effect.before)
    usable_ones = Counter(one.tag for one in effect.after if one.usable)
    for ip in ips:
        alone = usable_ones[rows[ip].tag] == 1
        if effect.request.verb not in FLUSHES or not rows[ip].usable or alone:
            wanted[rows[ip].tag].add(ip)
    found: dict[str, dict[str | None, float]] = {}
    for tag, those in wanted.items():
        members = [one for one in rows.values() if one.tag == tag]
        after = HashRing((one for one in effect.after if one.tag == tag), consistent=effect.consistent)
        idle = {ip for ip in those if not rows[ip].usable}
        if idle:
            had = HashRing((_serving(one) if one.ip in idle else one for one in members), consistent=effect.consistent)
            found.update(_leaving(had, after, idle))
        if busy := those - idle:
            as_is = _leaving(HashRing(members, consistent=effect.consistent), after, busy)
            # Those whom an idle one still has are not elsewhere, so they do not leave from there.
            there = _still_there(members, idle, had) if idle else 0.0
            as_was = _leaving(had, after, busy) if there else as_is
            found.update({ip: _blended(as_is[ip], as_was[ip], there) for ip in busy})
    return found


def _leaving(before: HashRing, after: HashRing, ips: set[str]) -> dict[str, dict[str | None, float]]:
    """Of each of these, which fraction of its arcs leads where after the change, to itself included."""
    shares = before.shares()
    found: dict[str, dict[str | None, float]] = {ip: {ip: 1.0} for ip in ips}
    # Of one alone nothing else has to be looked at.
    for move in predicted_moves(before, after, leaving=next(iter(ips)) if len(ips) == 1 else None):
        if move.before is not None and move.before in ips:
            part = move.share / shares[move.before]
            found[move.before][move.after] = part
            found[move.before][move.before] -= part
    return found


def _still_there(members: Iterable[Backend], idle: set[str], had: HashRing) -> float:
    """How many of the users that belonged on idle backends are there still: 0…1."""
    listed = list(members)
    shares = had.shares()
    due = sum(shares[ip] for ip in idle) * sum(one.users for one in listed)
    return min(1.0, sum(one.users for one in listed if one.ip in idle) / due)


def _blended(one: dict[str | None, float], other: dict[str | None, float], part: float) -> dict[str | None, float]:
    return {ip: one.get(ip, 0.0) * (1 - part) + other.get(ip, 0.0) * part for ip in one.keys() | other.keys()}


def _serving(backend: Backend) -> Backend:
    return backend if backend.usable else replace(backend, state=State.UP, vhosts=backend.vhosts or CONFIGURED_VHOSTS)


def _apportioned(users: int, fractions: Mapping[str | None, float]) -> dict[str | None, int]:
    """Whole users by fractions, none lost: the largest remainders get one more."""
    exact = {ip: users * max(0.0, part) for ip, part in fractions.items()}
    whole = {ip: int(part) for ip, part in exact.items()}
    left = users - sum(whole.values())
    for ip in sorted(exact, key=lambda one: (whole[one] - exact[one], one or ""))[:left]:
        whole[ip] += 1
    return whole


def _concerned(effect: Effect, outcome: _Outcome) -> set[str]:
    """The targets, and who else gains or loses."""
    share_changes = {
        ip
        for ip in effect.shares_before.keys() | effect.shares_after.keys()
        if effect.shares_before.get(ip, 0.0) != effect.shares_after.get(ip, 0.0)
    }
    moving = {ip for ip, after in outcome.after.items() if after != outcome.now[ip]}
    targets = sources(effect) if effect.request.verb is Verb.FLUSH_ALL else effect.request.ips
    return share_changes | moving | set(targets)


def _weight(backend: Backend | None) -> int:
    return backend.vhosts if backend is not None and backend.usable else 0
