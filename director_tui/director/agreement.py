"""What the directors of one ring say when they are held against each other.

Directors are named here as the caller names them; ``views`` is what each of them says of the ring, ``tables`` of the
backends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from director_tui.director.changes import first_by_ip

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from director_tui.director.model import Backend, RingView


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A backend of which directors say different things. ``by_director`` has its row on each, None where it has none.

    User counts are no part of it: at any moment they differ from director to director.
    """

    ip: str
    by_director: Mapping[str, Backend | None]

    def differing_from(self, director: str) -> tuple[str, ...]:
        """The directors that say something else than this one."""
        said = _shape(self.by_director[director])
        return tuple(name for name, row in self.by_director.items() if _shape(row) != said)

    @property
    def sides(self) -> tuple[tuple[Backend | None, tuple[str, ...]], ...]:
        """Each thing that is said, with the directors that say it."""
        sides: dict[object, tuple[Backend | None, tuple[str, ...]]] = {}
        for name, row in self.by_director.items():
            first, names = sides.get(_shape(row), (row, ()))
            sides[_shape(row)] = first, (*names, name)
        return tuple(sides.values())


def disagreements(tables: Mapping[str, Iterable[Backend]]) -> tuple[Disagreement, ...]:
    """The backends about which not all directors say the same, in the order in which they are listed."""
    rows = {name: first_by_ip(backends) for name, backends in tables.items()}
    found = []
    for ip in dict.fromkeys(ip for by_ip in rows.values() for ip in by_ip):
        said = {name: by_ip.get(ip) for name, by_ip in rows.items()}
        if len({_shape(row) for row in said.values()}) > 1:
            found.append(Disagreement(ip, said))
    return tuple(found)


def twins(views: Mapping[str, RingView]) -> dict[str, str]:
    """The directors that were reached before under another name, with that name: they count once."""
    first: dict[tuple[str, int], str] = {}
    found = {}
    for name, view in views.items():
        if view.identity is not None and (other := first.setdefault(view.identity, name)) != name:
            found[name] = other
    return found


def unread(views: Mapping[str, RingView]) -> tuple[tuple[str, int], ...]:
    """The members of the ring that none of ``views`` is from, by address."""
    members = {member for view in views.values() for member in view.members}
    return tuple(sorted(members - {view.identity for view in views.values()}))


def parts(views: Mapping[str, RingView]) -> tuple[tuple[str, ...], ...]:
    """The synced directors by the ring that each of them runs in: one group as long as nothing proves a split.

    Those who stand next to each other, or on two sides of the same one, run in one ring. Two run in different ones for
    certain when one of them has closed its ring without the other. ``views`` must have been asked for side by side:
    between an older and a newer one a director may have come or gone.
    """
    groups: list[list[str]] = []
    for name in (name for name, view in views.items() if view.synced and view.identity is not None):
        beside = [group for group in groups if any(_beside(views[name], views[other]) for other in group)]
        groups = [group for group in groups if group not in beside]
        groups.append([*(other for group in beside for other in group), name])
    found: list[list[str]] = []
    for group in groups:
        for home in found:
            if not any(_apart(views[one], views[other]) for one in group for other in home):
                home.extend(group)
                break
        else:
            found.append(group)
    in_order = sorted(found, key=lambda group: min(map(list(views).index, group)))
    return tuple(tuple(name for name in views if name in group) for group in in_order)


def _beside(one: RingView, other: RingView) -> bool:
    return not ({one.identity} | one.neighbours).isdisjoint({other.identity} | other.neighbours)


def _apart(one: RingView, other: RingView) -> bool:
    return (one.closed and other.identity not in one.connected) or (
        other.closed and one.identity not in other.connected
    )


def _shape(row: Backend | None) -> tuple[str, int, str] | None:
    return (row.tag, row.vhosts, row.state.value) if row is not None else None
