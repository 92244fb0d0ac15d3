"""A request held against one reading: the backends as they are, and as they would be. Refuses what can't be done.

Everything else about a plan follows from this and is worked out from it: how it has to be confirmed, what it does to
shares and users, and what has to be said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.director.abilities import (
    FLUSHES_TO_NOWHERE,
    KICKS_ARE_GARBLED,
    KICKS_ARE_PASSED_ON,
    MAX_PARALLEL,
    lacks,
)
from director_tui.director.hashring import shares
from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.model import Backend, State, ip_order
from director_tui.errors import OperationRefused
from director_tui.link.reading import disagreements_of
from director_tui.operations.plan import Emergency, Request, Target, TargetChange, Verb
from director_tui.operations.words import some, tag_name
from director_tui.text import canonical_ip, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from director_tui.director.doveadm import Call
    from director_tui.director.model import Snapshot
    from director_tui.link.reading import Reading
    from director_tui.operations.plan import Standing

FLUSHES: Final = frozenset({Verb.FLUSH, Verb.FORGET_USERS, Verb.FLUSH_ALL})
OF_BACKENDS: Final = frozenset(Verb) - {Verb.FLUSH_ALL, Verb.KICK}
"""What is done to backends that are named."""

HEADROOM: Final = 100
"""So many users more than were counted, or a tenth more, are let through at a time where all have to be."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a request comes to.

    ``request`` has its IPs in doveadm's own form, each once, and the ``max_parallel`` that is sent. ``before`` and
    ``after`` are all backends of the ring, ``rows`` the targets among them. ``already`` are targets that are as they
    are wanted on every director: no command is sent for them. ``tags`` are those whose users it touches; the shares
    are of their backends only, each a fraction (0…1) of its tag.
    """

    request: Request
    before: tuple[Backend, ...]
    after: tuple[Backend, ...]
    rows: tuple[TargetChange, ...]
    already: tuple[str, ...]
    tags: tuple[str, ...]
    shares_before: Mapping[str, float]
    shares_after: Mapping[str, float]
    consistent: bool

    @property
    def to_do(self) -> tuple[TargetChange, ...]:
        """The targets that need a command."""
        return tuple(row for row in self.rows if row.ip not in self.already)

    @property
    def left_without(self) -> tuple[str, ...]:
        """The tags that have a usable backend, and would have none any more."""
        return tuple(tag for tag in self.tags if usable(self.before, tag) and not usable(self.after, tag))

    @property
    def dead_tags(self) -> tuple[str, ...]:
        """The tags that would have no usable backend, whether they have one now or not."""
        return tuple(tag for tag in self.tags if not usable(self.after, tag))

    def whose(self, tag: str) -> str:
        """To stand behind *backend*, *users*, *logins*: `` of tag gold``; nothing where the ring has no tags at all."""
        if tag:
            return f" of {tag_name(tag)}"
        return " without a tag" if any(one.tag for one in (*self.before, *self.after)) else ""

    def lost_share(self, tag: str) -> float:
        """The fraction of a tag's hash space that leaves all targets together, at once."""
        return self._shifted(tag, self.shares_before, self.shares_after)

    def won_share(self, tag: str) -> float:
        """The fraction of a tag's hash space that comes to all targets together, at once, from other backends."""
        return self._shifted(tag, self.shares_after, self.shares_before) if usable(self.before, tag) else 0.0

    def _shifted(self, tag: str, larger: Mapping[str, float], smaller: Mapping[str, float]) -> float:
        rows = (row for row in self.to_do if tag_of(row) == tag)
        return sum(max(0.0, larger.get(row.ip, 0.0) - smaller.get(row.ip, 0.0)) for row in rows)


def effect_of(request: Request, standing: Standing) -> Effect:
    """Raises OperationRefused, with a sentence that says why, for what can't be done or is done already."""
    snapshot = standing.reading.snapshot
    if snapshot is None:
        raise OperationRefused("the ring has not been read yet")
    settings = standing.reading.settings
    consistent = settings is None or settings.consistent_hashing
    version = settings.version if settings is not None else ()
    request = _tidy(request)
    rows = tuple(_row(request, target, snapshot) for target in request.targets)
    already = _already(request, rows, standing.reading)
    after = _after(snapshot.backends, rows)
    tags = _tags(request, rows, snapshot)
    effect = Effect(
        *(request, snapshot.backends, after, rows, already, tags),
        shares_before=shares((one for one in snapshot.backends if one.tag in tags), consistent=consistent),
        shares_after=shares((one for one in after if one.tag in tags), consistent=consistent),
        consistent=consistent,
    )
    _refuse_what_it_lacks(effect, version)
    return effect if lacks(version, MAX_PARALLEL) else replace(effect, request=_paced(effect))


def call_of(request: Request, target: Target | None) -> Call[None]:
    """The doveadm call for one target; without one, for a request that has none. Raises ValueError."""
    ip = target.ip if target is not None else None
    match request.verb, ip, target.vhosts if target is not None else None:
        case Verb.UPDATE, str(ip), int(vhosts):
            return doveadm.update(ip, vhosts)
        case Verb.UP, str(ip), _:
            return doveadm.up(ip)
        case Verb.DOWN, str(ip), _:
            return doveadm.down(ip)
        case Verb.ADD, str(ip), int(vhosts):
            return doveadm.add(ip, vhosts, request.tag)
        case Verb.REMOVE, str(ip), _:
            return doveadm.remove(ip)
        case Verb.FLUSH, str(ip), _:
            return doveadm.flush(ip, request.max_parallel)
        case Verb.FORGET_USERS, str(ip), _:
            return doveadm.forget_users(ip)
        case Verb.FLUSH_ALL, None, _:
            return doveadm.flush(None, request.max_parallel)
        case Verb.MOVE, str(ip), _:
            return doveadm.move(request.user, ip)
        case Verb.UPLOAD, str(_), _:
            return doveadm.upload_metacache()
        case Verb.KICK, None, _:
            return doveadm.kick(request.user)
        case Verb.UPDATE, _, None:
            raise ValueError("no vhost count was given")
        case _:
            raise ValueError(
                f"{request.verb.value}: {'no backend is' if target is None else 'a backend is not to be'} named"
            )


def usable(backends: Iterable[Backend], tag: str) -> list[str]:
    """The IPs of the backends to which new users of this tag can be sent."""
    return [one.ip for one in backends if one.tag == tag and one.usable]


def tag_of(row: TargetChange) -> str:
    backend = row.now or row.after
    return backend.tag if backend is not None else ""


def unsynced(reading: Reading) -> tuple[str, ...]:
    """The directors of this ring that say that they are not synced. The director in use is asked most often."""
    views = reading.rings
    if reading.snapshot is not None and reading.snapshot.ring is not None:
        views = {**views, reading.snapshot.director: reading.snapshot.ring}
    return tuple(name for name, view in views.items() if not view.synced)


def _tidy(request: Request) -> Request:
    """The request with its IPs in doveadm's form, each once. Checks all that needs no reading."""
    targets: dict[str, Target] = {}
    for target in request.targets:
        try:
            ip = canonical_ip(target.ip)
        except ValueError:
            raise OperationRefused(
                f"{clean(target.ip) or 'nothing'} is no IP address",
                "backends are named by IP only, because a name can have several",
            ) from None
        vhosts = target.vhosts
        if request.verb is Verb.ADD and vhosts is None:
            vhosts = CONFIGURED_VHOSTS
        tidy = Target(ip, vhosts if request.verb in {Verb.UPDATE, Verb.ADD} else None)
        if targets.setdefault(ip, tidy) != tidy:
            raise OperationRefused(f"{ip} is named twice, with two vhost counts")
    if request.verb in OF_BACKENDS and not targets:
        raise OperationRefused("no backend is named")
    request = replace(request, targets=tuple(targets.values()))
    try:
        for each in request.targets or (None,):
            call_of(request, each)
    except ValueError as error:
        raise OperationRefused(clean(str(error))) from None
    if request.verb is Verb.MOVE and (len(targets) != 1 or request.user_hash is None):
        raise OperationRefused("a user is moved to one backend, and by the hash that the ring gives it")
    return request


def _row(request: Request, target: Target, snapshot: Snapshot) -> TargetChange:
    now = snapshot.backend(target.ip)
    if request.verb is Verb.ADD:
        if now is not None:
            raise OperationRefused(f"{target.ip} exists; use v (update) to set its vhost count")
        assert target.vhosts is not None  # noqa: S101 - _tidy gave it one
        return TargetChange(target.ip, None, Backend(target.ip, request.tag, target.vhosts, State.UP, None, 0))
    if now is None:
        raise OperationRefused(
            f"{target.ip} is not listed by {snapshot.director}",
            "it was removed, or never added; director-tui status lists all",
        )
    match request.verb:
        case Verb.UPDATE:
            return TargetChange(target.ip, now, replace(now, vhosts=target.vhosts or 0))
        case Verb.UP:
            return TargetChange(target.ip, now, replace(now, state=State.UP))
        case Verb.DOWN:
            return TargetChange(target.ip, now, replace(now, state=State.DOWN))
        case Verb.REMOVE:
            return TargetChange(target.ip, now, None)
        case Verb.MOVE if request.user_hash is not None:
            try:
                doveadm.placement(request.user_hash, now.tag)
            except ValueError as error:
                why = f"whether the user gets to {target.ip} could not be seen: {error}"
                raise OperationRefused(clean(why)) from None
            return TargetChange(target.ip, now, now)
        case _:
            return TargetChange(target.ip, now, now)


def _already(request: Request, rows: tuple[TargetChange, ...], reading: Reading) -> tuple[str, ...]:
    """Those that are as they are wanted, on every director. Raises OperationRefused if that is all of them."""
    if request.verb not in {Verb.UPDATE, Verb.UP, Verb.DOWN}:
        return ()
    same = [row.ip for row in rows if row.now == row.after]
    counts = request.verb is Verb.UPDATE
    differing = {
        one.ip
        for one in (disagreements_of(reading, same) if same else ())
        if len({row and (row.vhosts if counts else row.state) for row, _ in one.sides}) > 1
    }
    already = tuple(ip for ip in same if ip not in differing)
    if len(already) == len(rows):
        raise OperationRefused(f"nothing to do: {already_words(request, already)}")
    return already


def already_words(request: Request, ips: tuple[str, ...]) -> str:
    """Which of the targets are as they are wanted, as a sentence."""
    wanted = {target.ip: target.vhosts for target in request.targets}
    if request.verb is not Verb.UPDATE:
        return f"{some(ips)} {'is' if len(ips) == 1 else 'are'} {request.verb.value} already"
    counts = {wanted[ip] for ip in ips}
    if len(counts) > 1:
        return f"{some(ips)} have the vhost counts that were asked for already"
    return f"{some(ips)} {'has' if len(ips) == 1 else 'have'} vhost count {counts.pop()} already"


def _after(before: tuple[Backend, ...], rows: tuple[TargetChange, ...]) -> tuple[Backend, ...]:
    """The backends as they would be. Where an IP is listed twice, a command reaches its first row only."""
    changing = {row.ip: row.after for row in rows}
    after: list[Backend] = []
    for backend in before:
        becomes = changing.pop(backend.ip, backend)
        if becomes is not None:
            after.append(becomes)
    after.extend(new for new in changing.values() if new is not None)
    return tuple(sorted(after, key=lambda one: ip_order(one.ip)))


def _tags(request: Request, rows: tuple[TargetChange, ...], snapshot: Snapshot) -> tuple[str, ...]:
    if request.verb is Verb.FLUSH_ALL:
        return snapshot.tags
    return tuple(dict.fromkeys(map(tag_of, rows)))


def refuse_pace(max_parallel: int | None, version: tuple[int, ...]) -> None:
    """Raises OperationRefused for a number of users at a time where this version of Dovecot takes none."""
    if max_parallel is not None and lacks(version, MAX_PARALLEL):
        shown = ".".join(map(str, version))
        raise OperationRefused(
            f"Dovecot {shown} has no --max-parallel, and moves all users at once", "leave the number of users out"
        )


def _refuse_what_it_lacks(effect: Effect, version: tuple[int, ...]) -> None:
    """Raises OperationRefused for a flush or a kick that this version of Dovecot doesn't know, or doesn't survive.

    Not where everyone is disconnected: there such a version is not asked to flush, see planning.py.
    """
    request = effect.request
    shown = ".".join(map(str, version))
    if request.verb is Verb.KICK and KICKS_ARE_GARBLED <= version < KICKS_ARE_PASSED_ON:
        raise OperationRefused(
            f"a kick breaks the ring of Dovecot {shown} for a minute", "doveadm proxy kick on each director does not"
        )
    if request.verb not in FLUSHES - {Verb.FORGET_USERS} or request.emergency is Emergency.DISCONNECT:
        return
    refuse_pace(request.max_parallel, version)
    if lacks(version, FLUSHES_TO_NOWHERE) and (dead := effect.dead_tags):
        raise OperationRefused(
            f"no backend{effect.whose(dead[0])} is usable: a director of Dovecot {shown} crashes when it flushes then",
            "give one of them a vhost count first, or forget the users (-F) and kick them",
        )


def _paced(effect: Effect) -> Request:
    """The request with as many users at a time as are needed where their tag has no usable backend.

    There each round of a flush waits for 30 s, unless all users are in the first.
    """
    request = effect.request
    waiting = stranded(effect)
    if not waiting or request.verb is Verb.FORGET_USERS:
        return request
    needed = waiting + max(HEADROOM, waiting // 10)
    return replace(request, max_parallel=max(request.max_parallel or 0, needed))


def stranded(effect: Effect) -> int:
    """How many users a flush would throw out, because no backend of their tag is usable."""
    if effect.request.verb not in FLUSHES:
        return 0
    dead = effect.dead_tags
    flushed = effect.before if effect.request.verb is Verb.FLUSH_ALL else [row.now for row in effect.rows]
    return sum(one.users for one in flushed if one is not None and one.tag in dead)
