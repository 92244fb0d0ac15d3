"""What the plans of an emergency stand on beside the backends: what every director shows, and what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.link.reading import foreign

if TYPE_CHECKING:
    from director_tui.link.reading import DirectorView, Reading

KICKED_AT_A_TIME: Final = 100
"""So many users are named in one command at most."""

KICKS_BY_BACKEND: Final = (2, 3, 14)
"""The first version of Dovecot whose ``proxy kick`` takes a backend."""


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
    return reading.settings is not None and () < reading.settings.version < KICKS_BY_BACKEND


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


def _ours(reading: Reading) -> list[DirectorView]:
    others = foreign(reading.views)
    return [view for view in reading.views if view.director not in others]
