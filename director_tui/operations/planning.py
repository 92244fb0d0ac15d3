"""From a request and a reading to a plan; pure, nothing is sent.

:func:`make_plan` for what a person is to look at, :func:`fingerprint` for whether that still holds: it is made again at
each reading while a dialog is open, so it does not predict where users go.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from director_tui.director import doveadm
from director_tui.director.model import State
from director_tui.errors import ConfigError, OperationRefused
from director_tui.link.backends import access_to
from director_tui.link.reading import disagreements_of
from director_tui.link.ring import director_name
from director_tui.operations.confirmation import confirmation, disagreed_about, ring_words, sides_words
from director_tui.operations.effect import Effect, call_of, effect_of
from director_tui.operations.emergency_ground import (
    forgets,
    kicked_at_a_time,
    kicks_by_name,
    still_usable,
    tables,
    talking,
)
from director_tui.operations.forecasting import predict
from director_tui.operations.gate import not_our_ring
from director_tui.operations.plan import (
    Command,
    Emergency,
    Fingerprint,
    Flushed,
    NobodyLeft,
    NoSessions,
    NoUsers,
    Plan,
    RowIs,
    RowIsGone,
    SessionsEnded,
    Uploaded,
    UserIsOn,
    Verb,
)
from director_tui.operations.sentences import notes, title, warnings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from director_tui.config import DirectorConfig
    from director_tui.director.model import Backend
    from director_tui.operations.plan import Check, Confirmation, Request, Standing, Target, TargetChange


def make_plan(request: Request, standing: Standing) -> Plan:
    """What would be done, with what effect, on the director in use.

    Raises OperationRefused where it can't be done at all, with a sentence that says why.
    """
    effect = _effect(request, standing)
    request = effect.request
    director = _director_in_use(standing)
    prediction = predict(
        effect,
        standing.counted or {},
        capacity=standing.cluster.capacity,
        settings=standing.reading.settings,
    )
    kind, raised_by = confirmation(effect, standing)
    commands = tuple(sorted(_commands(effect, standing), key=lambda one: one.director))
    if request.emergency is Emergency.DISCONNECT:
        commands = tuple(_disconnecting(effect, standing))
    elif request.verb is Verb.UPLOAD:
        commands = tuple(
            replace(one, director=_destination(one.target, standing), backend=one.target) for one in commands
        )
    return Plan(
        request=request,
        cluster=standing.cluster.name,
        title=title(request),
        director=director_name(director, standing.cluster),
        commands=commands,
        command_lines=tuple(_line(one, director, standing) for one in commands),
        rows=effect.rows,
        prediction=prediction,
        warnings=tuple(warnings(effect, standing, prediction)),
        notes=tuple(notes(effect, standing)),
        confirmation=kind,
        raised_by=raised_by,
        fingerprint=_fingerprint(effect, standing, kind),
        version=standing.reading.settings.version if standing.reading.settings is not None else (),
    )


def fingerprint(request: Request, standing: Standing) -> Fingerprint:
    """What the plan for this request stands on now. Raises OperationRefused where there is no plan for it any more."""
    effect = _effect(request, standing)
    return _fingerprint(effect, standing, confirmation(effect, standing)[0])


def changes_to_rest(plan: Plan, done: Collection[str], failed: Collection[str], standing: Standing) -> tuple[str, ...]:
    """What is different now of all that the rest of a plan stands on: everything, with the targets done that are.

    How those are that ``failed`` is what a person has been asked about, and so is the ring of a plan that goes on.
    Raises OperationRefused where there is no plan for the rest any more.
    """
    sent = {*done, *failed}
    rest = replace(plan.request, targets=tuple(one for one in plan.request.targets if one.ip not in sent))
    now = _fingerprint(_effect(rest, standing), standing, plan.confirmation, apart=failed)
    facts = {name: fact for name, fact in plan.fingerprint.facts.items() if name.partition(" ")[0] not in sent}
    for row in plan.rows:
        if row.ip in done and row.after is not None and row.after.usable:
            facts[row.ip] = f"vhosts {row.after.vhosts}"
    if plan.goes_on:
        facts["ring"] = now.facts["ring"]
    return Fingerprint(facts).changes_to(now)


def _effect(request: Request, standing: Standing) -> Effect:
    if why := not_our_ring(standing.reading):
        raise OperationRefused(why)
    if request.emergency is Emergency.DISCONNECT and (why := still_usable(standing.reading)):
        raise OperationRefused(f"nobody is disconnected yet: {why}", "stop all backends first")
    return effect_of(request, standing)


def _director_in_use(standing: Standing) -> DirectorConfig:
    snapshot = standing.reading.snapshot
    wanted = snapshot.director if snapshot is not None else ""
    for one in standing.cluster.directors:
        if director_name(one, standing.cluster) == wanted:
            return one
    raise OperationRefused(f"{wanted} is no director of {standing.cluster.name}")


def _commands(effect: Effect, standing: Standing) -> list[Command]:
    request = effect.request
    if request.verb is Verb.FLUSH_ALL:
        return [Command("all", call_of(request, None), Flushed(None))]
    if request.verb is Verb.KICK:
        return [Command(request.user, call_of(request, None), SessionsEnded(request.user))]
    targets = {target.ip: target for target in request.targets}
    return [
        Command(
            request.user if request.verb is Verb.MOVE else row.ip,
            call_of(request, targets[row.ip]),
            _check(request, targets[row.ip], row.now),
            _where_else(row, standing) if request.emergency is not None else "",
        )
        for row in effect.to_do
    ]


def _disconnecting(effect: Effect, standing: Standing) -> Iterator[Command]:
    """The flush first, so that nobody is assigned any more who comes back at once; it kicks only those who come through
    the director that it runs on."""
    flush = doveadm.forget_users(None) if forgets(standing.reading) else call_of(effect.request, None)
    yield Command("all", flush, NobodyLeft())
    by_name, at_a_time = dict(effect.request.kicks), kicked_at_a_time(standing.reading)
    for director in talking(standing.reading):
        if not kicks_by_name(standing.reading):
            for ip in dict.fromkeys(one.ip for one in effect.before):
                yield Command(ip, doveadm.kick_sessions_to(ip), NoSessions(director, ip), director)
            continue
        users = by_name.get(director, ())
        for part, start in enumerate(range(0, len(users), at_a_time)):
            some_users = users[start : start + at_a_time]
            yield Command("users", doveadm.kick_sessions_of(some_users), NoSessions(director, None, part), director)


def _destination(ip: str, standing: Standing) -> str:
    try:
        return access_to(ip, standing.cluster).destination(ip)
    except ConfigError as error:
        raise OperationRefused(str(error), error.remedy) from None


def _where_else(row: TargetChange, standing: Standing) -> str:
    """Where what the director in use shows already is to be done, as in another part of a split ring; else nothing."""
    if row.after is None or row.now != row.after:
        return ""
    vhosts = row.after.vhosts
    others = tables(standing.reading).items()
    return next((name for name, table in others if row.ip in table and table[row.ip].vhosts != vhosts), "")


def _line(command: Command, director: DirectorConfig, standing: Standing) -> str:
    there = director
    if command.backend:
        return shlex.join(command.call.command(access_to(command.backend, standing.cluster).doveadm))
    if command.director:
        there = next(
            one for one in standing.cluster.directors if director_name(one, standing.cluster) == command.director
        )
    return shlex.join(command.call.command(there.doveadm))


def _check(request: Request, target: Target, now: Backend | None) -> Check:
    match request.verb:
        case Verb.UPDATE:
            return RowIs(target.ip, vhosts=target.vhosts)
        case Verb.UP | Verb.DOWN:
            return RowIs(target.ip, state=State(request.verb.value))
        case Verb.ADD:
            return RowIs(target.ip, tag=request.tag, vhosts=target.vhosts)
        case Verb.REMOVE:
            return RowIsGone(target.ip)
        case Verb.MOVE if request.user_hash is not None and now is not None:
            # A director looks for the user among those of the backend's tag, whatever tag the user has.
            return UserIsOn(request.user_hash, now.tag, target.ip)
        case Verb.UPLOAD:
            return Uploaded(target.ip)
        case _:
            return Flushed(target.ip) if now is not None and now.usable else NoUsers(target.ip)


def _fingerprint(effect: Effect, standing: Standing, kind: Confirmation, apart: Collection[str] = ()) -> Fingerprint:
    """``apart`` are backends that nothing is said of."""
    reading = standing.reading
    facts: dict[str, str] = {}
    for row in effect.rows:
        if row.now is None:
            facts[row.ip] = "not listed"
            continue
        facts[f"{row.ip} vhosts"] = str(row.now.vhosts)
        if effect.request.emergency is None:  # a monitor that flaps does not keep anybody from stopping
            facts[f"{row.ip} state"] = row.now.state.value
        facts[f"{row.ip} tag"] = row.now.tag or "none"
    for backend in effect.before:
        if backend.tag in effect.tags and backend.usable and backend.ip not in {*effect.request.ips, *apart}:
            facts[backend.ip] = f"vhosts {backend.vhosts}"
    differing = {one.ip: one for one in disagreements_of(reading, effect.request.ips)}
    if effect.request.emergency is not None:
        differing = {ip: one for ip, one in differing.items() if len({row and row.vhosts for row, _ in one.sides}) > 1}
    for ip in effect.request.ips:
        facts[f"{ip} on the directors"] = sides_words(differing[ip]) if ip in differing else "the same"
    if effect.request.emergency is None:
        others = "; ".join(
            f"{one.ip} {sides_words(one)}" for one in disagreed_about(effect, reading) if one.ip not in apart
        )
        facts["the other backends on the directors"] = others or "the same"
    facts["director in use"] = reading.snapshot.director if reading.snapshot is not None else ""
    facts["ring"] = ring_words(reading) or "synced"
    facts["confirmation"] = kind.value
    return Fingerprint(facts)
