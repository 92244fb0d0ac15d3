"""The two tables of a user: where it is in every tag, and its sessions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len

from director_tui.director.model import ip_order
from director_tui.director.whereabouts import expiry, is_session_of, misplaced
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.columns import Column
from director_tui.ui.format import ATTENTION, DANGER, FINE, MUTED, NAME_WIDTH, PLAIN, TAG_WIDTH, Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from director_tui.director.model import Backend, Placement, ProxySession
    from director_tui.link.users import FoundUser, Sessions


@dataclass(frozen=True, slots=True)
class PlacementRow:
    """What one tag says of the user. ``expires`` is in words."""

    placement: Placement
    expires: str
    backends: Mapping[str, Backend]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SessionRow:
    """Sessions of the user that are alike. ``number`` is how many; ``user`` is the name that logged in, where it is
    another than the one that was looked up; ``wrong`` is what is wrong with the backend."""

    session: ProxySession
    number: int
    director: str
    user: str
    wrong: str
    names: Mapping[str, str]

    @property
    def key(self) -> str:
        one = self.session
        return "\t".join((self.director, one.user, one.protocol, one.source_ip, one.ip, str(one.port)))


def placement_rows(found: FoundUser, names: Mapping[str, str], now: datetime, expire_s: float) -> list[PlacementRow]:
    """A row for each tag, those in which the user is assigned first."""
    backends = {backend.ip: backend for backend in found.backends}
    ordered = sorted(found.placements, key=lambda one: one.current is None)
    return [PlacementRow(one, expiry(one.expires, now, expire_s), backends, names) for one in ordered]


OwnSessions = dict[str, "Counter[ProxySession]"]
"""A user's sessions by director, those that are alike counted."""


def own_sessions(known: Sessions, user: str, hash_: int, username_hash: str | None) -> OwnSessions:
    """Of all sessions those of one user."""
    return {
        director: Counter(one for one in listed if is_session_of(one, user, hash_, username_hash))
        for director, listed in known.by_director.items()
    }


def session_rows(
    own: OwnSessions, found: FoundUser, names: Mapping[str, str], label: Callable[[str], str]
) -> list[SessionRow]:
    """A row for each kind of session of the user; those on a backend that is not the current one first."""
    rows = []
    for director, counted in own.items():
        for session, number in counted.items():
            other = session.user if session.user.casefold() != clean(found.user).casefold() else ""
            wrong = misplaced(session, found.placements, found.backends)
            rows.append(SessionRow(session, number, label(director), other, wrong, names))
    return sorted(rows, key=lambda row: (not row.wrong, ip_order(row.session.ip)))


def _backend(ip: str, names: Mapping[str, str], meaning: str = PLAIN) -> list[Piece]:
    name = names.get(ip, "")
    shown = [Piece("  "), Piece(format.shortened(name, NAME_WIDTH), MUTED)] if name else []
    return [Piece(ip, meaning), *shown]


def _backend_width(ip: str | None, names: Mapping[str, str], otherwise: str) -> int:
    return sum(cell_len(piece.text) for piece in _backend(ip, names)) if ip else len(otherwise)


def _current(row: PlacementRow, width: int) -> Sequence[Piece]:
    current = row.placement.current
    if current is None:
        return [Piece(_NOT_ASSIGNED, MUTED)]
    backend = row.backends.get(current)
    meaning = ATTENTION if backend is None else format.CONDITION_MEANINGS[backend.condition]
    return _backend(current, row.names, PLAIN if meaning == FINE else meaning)


def _hashed(row: PlacementRow, width: int) -> Sequence[Piece]:
    hashed = row.placement.hashed
    return [Piece(_NONE_USABLE, DANGER)] if hashed is None else _backend(hashed, row.names)


def _initial(row: PlacementRow, width: int) -> Sequence[Piece]:
    initial = row.placement.initial_config
    return [Piece("none", MUTED)] if initial is None else _backend(initial, row.names, MUTED)


_NOT_ASSIGNED: Final = "not assigned"
_NONE_USABLE: Final = "none usable"

PLACEMENT_COLUMNS: Final[tuple[Column[PlacementRow], ...]] = (
    Column(
        "tag",
        "tag",
        lambda row, width: (Piece(row.placement.tag),),
        lambda row: min(TAG_WIDTH, cell_len(row.placement.tag)),
    ),
    Column(
        "current",
        "current",
        _current,
        lambda row: _backend_width(row.placement.current, row.names, _NOT_ASSIGNED),
        least=lambda row: len(row.placement.current or _NOT_ASSIGNED),
    ),
    Column(
        "expires", "expires", lambda row, width: (Piece(row.expires, MUTED),), lambda row: len(row.expires), keep=30
    ),
    Column(
        "hashed",
        "hashed",
        _hashed,
        lambda row: _backend_width(row.placement.hashed, row.names, _NONE_USABLE),
        keep=20,
        least=lambda row: len(row.placement.hashed or _NONE_USABLE),
    ),
    Column(
        "initial",
        "initial config",
        _initial,
        lambda row: _backend_width(row.placement.initial_config, row.names, "none"),
        keep=10,
    ),
)

SESSION_COLUMNS: Final[tuple[Column[SessionRow], ...]] = (
    Column("protocol", "protocol", lambda row, width: (Piece(row.session.protocol),), 8, least=4),
    Column(
        "source",
        "from",
        lambda row, width: (Piece(row.session.source_ip),),
        lambda row: min(39, cell_len(row.session.source_ip)),
        keep=40,
    ),
    Column(
        "backend",
        "backend",
        lambda row, width: _backend(row.session.ip, row.names, DANGER if row.wrong else PLAIN),
        lambda row: _backend_width(row.session.ip, row.names, ""),
        least=lambda row: len(row.session.ip),
    ),
    Column("wrong", "", lambda row, width: (Piece(row.wrong, DANGER),), lambda row: len(row.wrong)),
    Column(
        "director",
        "director",
        lambda row, width: (Piece(row.director),),
        lambda row: min(NAME_WIDTH, cell_len(row.director)),
        keep=50,
    ),
    Column(
        "number",
        "times",
        lambda row, width: (Piece(format.count(row.number)),),
        lambda row: 5 if row.number > 1 else 0,
        keep=30,
        right=True,
    ),
    Column(
        "user",
        "logged in as",
        lambda row, width: (Piece(row.user, ATTENTION),),
        lambda row: min(NAME_WIDTH, cell_len(row.user)),
        keep=20,
    ),
)
