"""Where a user is, where it goes next, and which sessions are its own: what a director says of a user hash, in words.

What comes of an assignment is in Dovecot's director.c and user-directory.c: it holds while the user has sessions and
for ``director_user_expire`` after the last one, whatever becomes of its backend meanwhile; a flush moves it to where
its hash leads, and where that is nowhere, its sessions end.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from director_tui.director.hashring import user_hash
from director_tui.director.model import Condition
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from director_tui.director.model import Backend, Placement, ProxySession

TAGS_NAMED: Final = 3
"""Of more tags than this a sentence does not name every one."""

LONGEST_TAG: Final = 20
LONGEST_NAME: Final = 24
"""Characters of a tag or name that a sentence repeats."""

CLOCK_SLACK: Final = timedelta(seconds=60)
"""How far the clock there and the one here may be apart before a time left is no longer believed."""

_WAITS: Final = "waits 30 to 60 s and fails"


class Grade(enum.Enum):
    """How urgent a sentence is, the most urgent first."""

    DANGER = "danger"
    ATTENTION = "attention"
    PLAIN = "plain"
    FINE = "fine"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """One thing to say of a user: ``now`` is how it is, in the meaning of ``grade``, ``then`` what comes of it."""

    grade: Grade
    now: str
    then: str = ""

    @property
    def sentence(self) -> str:
        return f"{self.now}; {self.then}" if self.then else self.now


def whereabouts(
    placements: Sequence[Placement],
    backends: Sequence[Backend],
    *,
    names: Mapping[str, str],
    user_expire_s: float | None,
) -> tuple[Whereabouts, ...]:
    """What is to be said of a user, the most urgent first.

    ``placements`` are those in every tag, or in the one that was asked for, and ``backends`` all of the ring, both from
    one director. ``names`` are what people call the IPs; ``user_expire_s`` is ``director_user_expire``, None if it is
    not known. A director answers for every name, a mistyped one too: it is assigned nowhere then.
    """
    said = _Said({backend.ip: backend for backend in backends}, names, user_expire_s)
    at = [(one, one.current) for one in placements if one.current is not None]
    found = [said.assigned(one, current, name_tag=bool(one.tag) or len(at) > 1) for one, current in at]
    if len(at) > 1:
        whose = "both" if len(at) == 2 else "all of them"
        then = f"users of {whose} have this hash, or the user's tag was changed"
        found.append(Whereabouts(Grade.ATTENTION, f"assigned in {len(at)} tags", then))
    if not at:
        found = said.not_assigned(placements)
    return tuple(sorted(found, key=lambda one: list(Grade).index(one.grade)))


def named(ip: str, names: Mapping[str, str]) -> str:
    """An IP, and what people call it."""
    return f"{ip} ({_short(names[ip], LONGEST_NAME)})" if names.get(ip) else ip


def expiry(expires: datetime | None, now: datetime, user_expire_s: float) -> str:
    """When an assignment expires, to stand behind that word: ``in 12 min``, ``at any moment``.

    The time is the director's and ``now`` is ours. No assignment has more than ``user_expire_s`` left, or less than
    nothing: where it looks so, the clocks differ, and the director's own time is said.
    """
    if expires is None:
        return ""
    left = expires - now
    if not -CLOCK_SLACK <= left <= timedelta(seconds=user_expire_s) + CLOCK_SLACK:
        near = abs(left) < timedelta(hours=20)
        return f"at {expires:%H:%M:%S} UTC" if near else f"at {expires:%Y-%m-%d %H:%M:%S} UTC"
    if left < timedelta(seconds=1):
        return "at any moment"
    seconds = left.total_seconds()
    return f"in {lasting(seconds if seconds < 60 else seconds // 60 * 60)}"


def is_session_of(session: ProxySession, user: str, hash_: int, username_hash: str | None) -> bool:
    """Whether this is a session of ``user``, whose hash is ``hash_``.

    A session's name is the one that logged in, after Dovecot's own normalising (``auth_username_format``, lower case by
    default), so it need not be written like ``user``. For the directors a user is its hash: two names with one hash
    are placed, moved and kicked together, and the sessions of both are meant here. Where ``username_hash``
    (``director_username_hash``) is not known, or does not make ``hash_`` of ``user``, and where characters of the
    session's name were lost in cleaning it, names are compared without regard to case.
    """
    shown = clean(user)
    same_name = session.user.casefold() == shown.casefold()
    if session.user == shown or (same_name and not user.isprintable()):
        return True
    if username_hash is None or not _makes(username_hash, user, hash_):
        return same_name
    return user_hash(session.user, username_hash) == hash_


@lru_cache(maxsize=4)
def _makes(username_hash: str, user: str, hash_: int) -> bool:
    """Whether a director with this setting makes this hash of the user. Kept for the next of very many sessions."""
    try:
        return user_hash(user, username_hash) == hash_
    except ValueError:
        return False


def misplaced(session: ProxySession, placements: Sequence[Placement], backends: Sequence[Backend]) -> str:
    """What is wrong with the backend of a user's session: ``not current``, ``not assigned``, ``not in ring``.

    Nothing is where the user is assigned to that backend, or where it is not known. A user that is being moved has
    sessions on its old backend for a moment: until they are kicked there.
    """
    backend = next((one for one in backends if one.ip == session.ip), None)
    if backend is None:
        return "not in ring"
    placement = next((one for one in placements if one.tag == backend.tag), None)
    if placement is None or placement.current == session.ip:
        return ""
    return "not assigned" if placement.current is None else "not current"


def on_two_backends(sessions: Sequence[ProxySession], backends: Sequence[Backend]) -> tuple[str, ...]:
    """The backends that sessions of one user are on at once, where those are two or more of one tag.

    A mailbox that is open on two backends can be damaged. One that is not in the ring any more counts with all.
    """
    tags = {backend.ip: backend.tag for backend in backends}
    by_tag: dict[str | None, list[str]] = {}
    for ip in dict.fromkeys(session.ip for session in sessions):
        by_tag.setdefault(tags.get(ip), []).append(ip)
    removed = by_tag.pop(None, [])
    groups = [[*ips, *removed] for ips in by_tag.values()] or [removed]
    return tuple(dict.fromkeys(ip for group in groups if len(group) > 1 for ip in group))


@dataclass(frozen=True, slots=True)
class _Said:
    """What the sentences of one user have in common."""

    backends: Mapping[str, Backend]
    names: Mapping[str, str]
    user_expire_s: float | None

    def assigned(self, placement: Placement, current: str, *, name_tag: bool) -> Whereabouts:
        """Of a user that is assigned to ``current`` in this tag."""
        said = self._assigned(placement, current)
        return replace(said, now=f"{_tag(placement.tag)}: {said.now}") if name_tag else said

    def _assigned(self, placement: Placement, current: str) -> Whereabouts:
        backend = self.backends.get(current)
        if backend is None:
            # A director forgets the assignments of a backend that is removed: this one is being removed just now.
            now = f"assigned to {self._named(current)}, which is not in the ring any more"
            return Whereabouts(Grade.ATTENTION, now, self._next_login(placement.hashed))
        now = f"on {self._named(current)}"
        if placement.hashed == current:
            # Where the two contradict each other, the backend was changed between two answers: the next says more.
            return self._by_condition(backend, now, ", where its hash leads", "")
        leaves = self._leaves(placement.hashed)
        if backend.condition is Condition.SERVING:
            if placement.hashed is None:
                return Whereabouts(Grade.FINE, now)
            now += f", though its hash leads to {self._named(placement.hashed)}"
            then = f"it was moved by hand, or the shares have changed since; {leaves}"
            return Whereabouts(Grade.PLAIN, now, then)
        said = self._by_condition(backend, now, "", leaves)
        return said if placement.hashed is not None else replace(said, grade=Grade.DANGER)

    def not_assigned(self, placements: Sequence[Placement]) -> list[Whereabouts]:
        """Of a user that is assigned in none of these tags."""
        if not self.backends:
            return [Whereabouts(Grade.DANGER, "the director lists no backend at all", f"every login {_WAITS}")]
        usable = [one for one in placements if one.hashed is not None]
        dead = [one for one in placements if one.hashed is None]
        if not usable:
            where = " of any tag" if len(dead) > 1 else f" of {_tag(dead[0].tag)}" if dead and dead[0].tag else ""
            return [Whereabouts(Grade.DANGER, f"not assigned, and no backend{where} is usable", f"a login {_WAITS}")]
        said = []
        if dead:
            tags = ", ".join(_within(one.tag) for one in dead[:TAGS_NAMED])
            more = f" and {len(dead) - TAGS_NAMED} tags more" if len(dead) > TAGS_NAMED else ""
            then = f"if this user belongs there, a login {_WAITS}"
            said.append(Whereabouts(Grade.DANGER, f"no backend is usable {tags}{more}", then))
        if len(placements) == 1:
            where = f" {_within(usable[0].tag)}" if usable[0].tag else ""
            said.append(Whereabouts(Grade.PLAIN, f"not assigned{where}", self._next_login(usable[0].hashed)))
        elif len(usable) > TAGS_NAMED:
            then = "the next login goes to where its hash leads in the tag of the user"
            said.append(Whereabouts(Grade.PLAIN, "not assigned in any tag", then))
        else:
            ways = ", ".join(f"to {self._named(one.hashed)} {_within(one.tag)}" for one in usable if one.hashed)
            said.append(Whereabouts(Grade.PLAIN, "not assigned in any tag", f"the next login goes {ways}"))
        return said

    def _by_condition(self, backend: Backend, now: str, when_serving: str, then: str) -> Whereabouts:
        match backend.condition:
            case Condition.DOWN:
                still = "its logins still go there"
                return Whereabouts(Grade.DANGER, f"{now}, which is DOWN", f"{still}; {then}" if then else still)
            case Condition.DRAINING | Condition.DRAINED:
                return Whereabouts(Grade.ATTENTION, f"{now}, which is draining", then)
            case Condition.SERVING:
                return Whereabouts(Grade.FINE, now + when_serving, then)

    def _leaves(self, hashed: str | None) -> str:
        """When and where to it goes from where it is assigned."""
        after = (
            "when its assignment expires"
            if self.user_expire_s is None
            else f"{lasting(self.user_expire_s)} after its last session"
        )
        if hashed is None:
            return f"no backend of its tag is usable: when flushed, or {after}, a login {_WAITS}"
        return f"moves to {self._named(hashed)} when flushed, or {after}"

    def _next_login(self, hashed: str | None) -> str:
        return f"the next login {_WAITS}" if hashed is None else f"the next login goes to {self._named(hashed)}"

    def _named(self, ip: str) -> str:
        return named(ip, self.names)


def _tag(tag: str) -> str:
    return f"tag {_short(tag, LONGEST_TAG)}" if tag else "no tag"


def _within(tag: str) -> str:
    return f"in {_tag(tag)}" if tag else "without a tag"


def _short(text: str, length: int) -> str:
    shown = clean(text)
    return f"{shown[: length - 1]}…" if len(shown) > length else shown


def lasting(seconds: float) -> str:
    """A length of time in words: 42 s, 15 min, 2 h, 2 h 5 min."""
    minutes, rest_s = divmod(int(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    parts = (hours, "h"), (rest_min, "min"), (rest_s, "s")
    return " ".join(f"{number} {unit}" for number, unit in parts if number) or "0 s"
