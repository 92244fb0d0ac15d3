"""What the plans of an emergency stand on beside the backends: what every director shows, and what it can do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from director_tui.director.abilities import FLUSHES_TO_NOWHERE, KICKS_BY_BACKEND, KICKS_SEVERAL, lacks
from director_tui.director.changes import first_by_ip
from director_tui.director.model import ip_order
from director_tui.link.reading import foreign

if TYPE_CHECKING:
    from collections.abc import Mapping

    from director_tui.director.model import Backend
    from director_tui.link.reading import DirectorView, Reading

KICKED_AT_A_TIME: Final = 100
"""So many users are named in one command at most."""


def tables(reading: Reading) -> Mapping[str, Mapping[str, Backend]]:
    """What each director of this ring lists that could be read, by IP; the one in use first, as it was read last."""
    snapshot = reading.snapshot
    found = {snapshot.director: first_by_ip(snapshot.backends)} if snapshot is not None else {}
    for view in _ours(reading):
        if view.failure is None and view.backends:
            found.setdefault(view.director, first_by_ip(view.backends))
    return found


def lowest(reading: Reading) -> tuple[Backend, ...]:
    """The backends of the director in use, each with the lowest vhost count that any director gives it: it is not back
    before it is back everywhere."""
    snapshot, each = reading.snapshot, tables(reading).values()
    if snapshot is None:
        return ()
    rows = first_by_ip(snapshot.backends)
    least = {ip: min(table[ip].vhosts for table in each if ip in table) for ip in rows}
    return tuple(replace(one, vhosts=least[ip]) if least[ip] < one.vhosts else one for ip, one in rows.items())


def highest(reading: Reading) -> tuple[Backend, ...]:
    """All backends that any director lists, each with the highest vhost count that one gives it: it is not stopped
    before it is stopped everywhere."""
    found: dict[str, Backend] = {}
    for table in tables(reading).values():
        for ip, one in table.items():
            if ip not in found or one.vhosts > found[ip].vhosts:
                found[ip] = one
    return tuple(sorted(found.values(), key=lambda one: ip_order(one.ip)))


def listed_elsewhere(reading: Reading) -> Mapping[str, str]:
    """The backends that the director in use does not list, and that another one would send users to: by IP, which."""
    (here, *others) = tables(reading).items() or [("", {})]
    found = {}
    for name, table in reversed(others):
        found.update({ip: name for ip, one in table.items() if one.vhosts and ip not in here[1]})
    return found


def still_usable(reading: Reading) -> str:
    """Which backend is still usable, and where that is seen; nothing if none is on any director that can be read.

    As long as there is one, whoever is thrown out would be sent there.
    """
    for view in _ours(reading):
        for one in view.backends:
            if one.usable:
                return f"{one.ip} is usable on {view.director}, with vhost count {one.vhosts}"
    snapshot = reading.snapshot
    usable = next((one for one in snapshot.backends if one.usable), None) if snapshot is not None else None
    if usable is not None and snapshot is not None:
        return f"{usable.ip} is usable on {snapshot.director}, with vhost count {usable.vhosts}"
    return ""


def kicks_by_name(reading: Reading) -> bool:
    """Whether sessions can only be ended by the names of their users: before Dovecot 2.3.14."""
    return lacks(_version(reading), KICKS_BY_BACKEND)


def kicked_at_a_time(reading: Reading) -> int:
    """How many users one command may name."""
    return 1 if lacks(_version(reading), KICKS_SEVERAL) else KICKED_AT_A_TIME


def forgets(reading: Reading) -> bool:
    """Whether users can only be forgotten, not flushed, where no backend is usable: before Dovecot 2.2.33."""
    return lacks(_version(reading), FLUSHES_TO_NOWHERE)


def talking(reading: Reading) -> tuple[str, ...]:
    """The directors of this ring that could be read, each once."""
    seen = set()
    names = []
    for view in _ours(reading):
        if view.failure is None and view.identity not in seen:
            seen.add(view.identity)
            names.append(view.director)
    return tuple(names)


def silent(reading: Reading) -> tuple[str, ...]:
    """The directors of this ring that could not be read, or that no destination is configured for."""
    unread = (view.director for view in _ours(reading) if view.failure is not None)
    return (*unread, *(ip for ip, _ in sorted(reading.unread_members)))


def _version(reading: Reading) -> tuple[int, ...]:
    return reading.settings.version if reading.settings is not None else ()


def _ours(reading: Reading) -> list[DirectorView]:
    others = foreign(reading.views)
    return [view for view in reading.views if view.director not in others]
