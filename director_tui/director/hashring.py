"""Where users go: Dovecot's placement of user hashes on backends, computed here.

Sources: ``mail_user_hash()`` in lib-mail/mail-user-hash.c and ``mail_host_get_by_hash()`` in director/mail-host.c, the
same in 2.2.20 to 2.3.21. Dovecot 2.3 always uses consistent hashing, 2.2 only with ``director_consistent_hashing``.
Without it 2.2.19 has the backends of all tags in one list, and users of a tag go to the next one of theirs in it: that
is not computed here.
"""

from __future__ import annotations

import hashlib
import re
import string
from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, repeat
from math import gcd
from typing import TYPE_CHECKING, Final

from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.model import State, ip_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.director.model import Backend

HASH_SPACE: Final = 1 << 32
"""User hashes and points are numbers from 0 to this, exclusive."""


def user_hash(user: str, username_hash: str = "%Lu") -> int:
    """The hash by which a director knows this user.

    ``username_hash`` is the setting ``director_username_hash``; ``%u``, ``%n`` and ``%d`` with the modifiers ``L`` and
    ``U`` are understood, and ``%%``. Raises ValueError for any other form: ask the ring then (``director map -u``).
    """
    name = _expand(username_hash, user).encode("utf-8", "surrogateescape")
    return _first_32_bits(name) or 1


class HashRing:
    """Which backend each user hash of one tag leads to.

    Built from that tag's backends as they are, or as they would be after a change. Only usable ones take part; the
    order in which they are given plays no role.
    """

    def __init__(self, backends: Iterable[Backend], *, consistent: bool = True) -> None:
        usable = sorted((backend for backend in backends if backend.usable), key=lambda backend: ip_order(backend.ip))
        self.ips: Final = tuple(backend.ip for backend in usable)
        self._vhosts = tuple(backend.vhosts for backend in usable)
        self.consistent: Final = consistent
        self._points, self._owners = _points_of(self.ips, self._vhosts) if consistent else (array("I"), array("H"))
        # Without consistent hashing: where the places of each backend end.
        self._ends = tuple(accumulate(self._vhosts))

    def backend_of(self, hash_: int) -> str | None:
        """The IP of the backend that this user hash leads to, None if the tag has no usable backend."""
        if not self.ips:
            return None
        if self.consistent:
            return self.ips[self._owners[bisect_left(self._points, hash_) % len(self._points)]]
        return self.ips[bisect_right(self._ends, hash_ % self._ends[-1])]

    def backends_of(self, hashes: Iterable[int]) -> list[str | None]:
        """Like :meth:`backend_of`, for many: a few times as fast."""
        if not self.ips or not self.consistent:
            return list(map(self.backend_of, hashes))
        shift, table = _table_of(self.ips, self._vhosts)
        ips, points, owners, end = self.ips, self._points, self._owners, len(self._points)
        return [table[hash_ >> shift] or ips[owners[bisect_left(points, hash_) % end]] for hash_ in hashes]

    def shares(self) -> dict[str, float]:
        """The fraction of the hash space, 0…1, that leads to each usable backend; they add up to 1."""
        if not self.ips:
            return {}
        if not self.consistent:
            # Counted, not assigned: a director can have the same IP twice when its configuration has it twice.
            places: Counter[str] = Counter()
            for ip, vhosts in zip(self.ips, self._vhosts, strict=True):
                places[ip] += vhosts
            return {ip: count / self._ends[-1] for ip, count in places.items()}
        return {ip: width / HASH_SPACE for ip, width in _widths_of(self.ips, self._vhosts)}

    def arcs(self) -> Iterable[tuple[int, str]]:
        """The hash space cut into arcs, ascending: the last hash of each, and the backend that it leads to.

        Only for consistent hashing; raises ValueError otherwise, because there neighbouring hashes go apart.
        """
        if not self.consistent:
            raise ValueError("without consistent hashing the hash space has no arcs")
        for point, owner in zip(self._points, self._owners, strict=True):
            yield point, self.ips[owner]
        if self.ips and self._points[-1] < HASH_SPACE - 1:
            yield HASH_SPACE - 1, self.ips[self._owners[0]]


@dataclass(frozen=True, slots=True)
class Move:
    """A part of the hash space, 0…1, that leads to another backend after a change; None: to no backend."""

    before: str | None
    after: str | None
    share: float


def predicted_moves(before: HashRing, after: HashRing, leaving: str | None = None) -> tuple[Move, ...]:
    """What part of a tag's hash space changes its backend, from where to where, the largest first.

    With ``leaving`` only what leaves this backend, which costs far less where hashing is not consistent. Raises
    ValueError unless both rings are of the same kind, consistent or not.
    """
    if before.consistent is not after.consistent:
        raise ValueError("one ring hashes consistently, the other does not")
    parts: dict[tuple[str | None, str | None], float] = {}
    for share, old, new in _overlay(before, after, leaving):
        if old != new and leaving in {None, old}:
            parts[old, new] = parts.get((old, new), 0.0) + share
    moves = (Move(old, new, share) for (old, new), share in parts.items())
    return tuple(sorted(moves, key=lambda move: (-move.share, move.before or "", move.after or "")))


def heirs(backends: Iterable[Backend], ip: str, *, consistent: bool = True) -> dict[str | None, float]:
    """Where the users of one backend would go if it were to keep none: the fraction of them for each heir, the largest
    first; None stands for no backend at all.

    As users spread evenly over the hash space, these are the fractions of the backend's arcs that each heir inherits.
    One that isn't usable has no arcs any more; its users are taken to be there by those it had, with the vhost count
    that it keeps while down, or else the one that every configured backend starts with. Raises ValueError if there is
    no backend with this IP.
    """
    listed = list({backend.ip: backend for backend in reversed(list(backends))}.values())
    own = next((backend for backend in listed if backend.ip == ip), None)
    if own is None:
        raise ValueError(f"there is no backend {ip}")
    others = [backend for backend in listed if backend.tag == own.tag and backend is not own]
    serving = replace(own, state=State.UP, vhosts=own.vhosts or CONFIGURED_VHOSTS)
    before, after = (HashRing(members, consistent=consistent) for members in ([*others, serving], others))
    leaving = {move.after: move.share for move in predicted_moves(before, after, leaving=ip)}
    whole = sum(leaving.values())
    return {heir: share / whole for heir, share in leaving.items()} if whole else {None: 1.0}


def rings_by_tag(backends: Iterable[Backend], *, consistent: bool = True) -> dict[str, HashRing]:
    """One hash ring for each tag: users of one tag never go to a backend of another."""
    by_tag: dict[str, list[Backend]] = {}
    for backend in backends:
        by_tag.setdefault(backend.tag, []).append(backend)
    return {tag: HashRing(members, consistent=consistent) for tag, members in by_tag.items()}


def shares(backends: Iterable[Backend], *, consistent: bool = True) -> dict[str, float]:
    """Each backend's exact share, 0…1, of its own tag's hash space, by IP; 0 for those that take no new users."""
    listed = tuple(backends)
    result = dict.fromkeys((backend.ip for backend in listed), 0.0)
    for ring in rings_by_tag(listed, consistent=consistent).values():
        result.update(ring.shares())
    return result


def _first_32_bits(data: bytes) -> int:
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[:4], "big")


@lru_cache(maxsize=8192)
def _points(ip: str, vhosts: int) -> array[int]:
    """The points of one backend, in no order. MD5 of the IP as text, a dash, and the number of the vhost."""
    prefix = hashlib.md5(f"{ip}-".encode(), usedforsecurity=False)
    points = array("I")
    for number in range(vhosts):
        digest = prefix.copy()
        digest.update(b"%d" % number)
        points.append(int.from_bytes(digest.digest()[:4], "big"))
    return points


@lru_cache(maxsize=64)
def _points_of(ips: tuple[str, ...], vhosts: tuple[int, ...]) -> tuple[array[int], array[int]]:
    """All points of a tag, ascending, and the index of the backend that owns each.

    Where two points are equal the director keeps both, in the order of the IPs, and takes either.
    """
    keyed = [
        point << 16 | index
        for index, (ip, count) in enumerate(zip(ips, vhosts, strict=True))
        for point in _points(ip, count)
    ]
    keyed.sort()
    return array("I", (key >> 16 for key in keyed)), array("H", (key & 0xFFFF for key in keyed))


@lru_cache(maxsize=8)
def _table_of(ips: tuple[str, ...], vhosts: tuple[int, ...]) -> tuple[int, list[str | None]]:
    """The hash space cut into pieces of ``1 << shift`` hashes, and the backend that all of a piece lead to.

    It is None where a point lies inside. The pieces are so small that this is rare.
    """
    points, owners = _points_of(ips, vhosts)
    shift = max(12, 32 - len(points).bit_length() - 3)
    table: list[str | None] = []
    for point, owner in zip(points, owners, strict=True):
        piece = point >> shift
        if len(table) <= piece:
            table.extend(repeat(ips[owner], piece - len(table)))
            table.append(None)
    table.extend(repeat(ips[owners[0]], (HASH_SPACE >> shift) - len(table)))
    return shift, table


@lru_cache(maxsize=64)
def _widths_of(ips: tuple[str, ...], vhosts: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
    """How many hashes lead to each backend of a tag. Kept, because every reading asks for the same ones."""
    points, owners = _points_of(ips, vhosts)
    widths = [0] * len(ips)
    begin = 0
    for point, owner in zip(points, owners, strict=True):
        widths[owner] += point + 1 - begin
        begin = point + 1
    widths[owners[0]] += HASH_SPACE - begin
    summed = dict.fromkeys(ips, 0)
    for ip, width in zip(ips, widths, strict=True):
        summed[ip] += width
    return tuple(summed.items())


def _overlay(before: HashRing, after: HashRing, leaving: str | None) -> Iterable[tuple[float, str | None, str | None]]:
    """Pieces of the hash space with their backend before and after; the shares add up to 1.

    With ``leaving`` those that lead to other backends before may be left out.
    """
    if not before.ips or not after.ips:
        for ip, share in before.shares().items() if before.ips else ():
            yield share, ip, None
        for ip, share in after.shares().items() if after.ips else ():
            yield share, None, ip
        return
    if before.consistent:
        ends = sorted({last for ring in (before, after) for last, _ in ring.arcs()})
        begin = 0
        for last in ends:
            yield (last + 1 - begin) / HASH_SPACE, before.backend_of(last), after.backend_of(last)
            begin = last + 1
        return
    # A hash stands at place h % m before and h % n after. Both places agree modulo gcd(m, n), and all such pairs of
    # places are equally frequent (the Chinese remainder theorem), so it is enough to count the pairs that agree.
    old_places, new_places = before._ends[-1], after._ends[-1]
    common = gcd(old_places, new_places)
    pairs = old_places // common * new_places
    for old, old_end, old_count in zip(before.ips, before._ends, before._vhosts, strict=True):
        if leaving not in {None, old}:
            continue
        for new, new_end, new_count in zip(after.ips, after._ends, after._vhosts, strict=True):
            agreeing = _agreeing(old_end - old_count, old_count, new_end - new_count, new_count, common)
            if agreeing:
                yield agreeing / pairs, old, new


def _agreeing(begin: int, count: int, other_begin: int, other_count: int, modulus: int) -> int:
    """How many pairs of numbers, one from each of two ranges, leave the same remainder."""
    rounds, rest = divmod(count, modulus)
    other_rounds, other_rest = divmod(other_count, modulus)
    begin %= modulus
    other_begin %= modulus
    overlap = 0
    # What is left of the two ranges after whole rounds overlaps directly, or with one of them turned once.
    for turn in (other_begin - modulus, other_begin, other_begin + modulus):
        overlap += max(0, min(begin + rest, turn + other_rest) - max(begin, turn))
    return modulus * rounds * other_rounds + rounds * other_rest + other_rounds * rest + overlap


_VARIABLE = re.compile(r"%([LU]?)([und])|%(%)|%(.?)")
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UPPER = str.maketrans(string.ascii_lowercase, string.ascii_uppercase)


def _expand(username_hash: str, user: str) -> str:
    local, _, domain = user.partition("@")
    values = {"u": user, "n": local, "d": domain}

    def value(match: re.Match[str]) -> str:
        modifier, variable, percent, _ = match.groups()
        if percent:
            return "%"
        if not variable:
            raise ValueError(f"director_username_hash = {username_hash}: only the ring itself can compute this form")
        text = values[variable]
        # Dovecot folds ASCII only, whatever the locale.
        return text.translate(_LOWER if modifier == "L" else _UPPER) if modifier else text

    return _VARIABLE.sub(value, username_hash)
