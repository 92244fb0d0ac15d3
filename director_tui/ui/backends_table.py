"""The columns of the backends table, and the rows they are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rich.cells import cell_len

from director_tui.director.hashring import shares
from director_tui.director.model import Backend, Condition, State, ip_order
from director_tui.ui import format
from director_tui.ui.format import MUTED, Piece
from director_tui.ui.grid import Column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from director_tui.director.model import Snapshot
    from director_tui.link.history import History


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend with what is computed around it.

    ``expected`` is how many of its tag's users the share would give it, ``largest`` the most that any backend of the
    tag has or would have, ``per_min`` its measured gain or loss in users, ``past`` its counts of the last ten minutes.
    """

    backend: Backend
    name: str
    share: float
    expected: float
    largest: float
    per_min: float | None
    past: tuple[int | None, ...]
    now: datetime


def backend_rows(
    snapshot: Snapshot, history: History, names: Mapping[str, str], now: datetime, *, consistent: bool
) -> list[BackendRow]:
    """One row for each backend, in the director's order."""
    placement = tuple((backend.ip, backend.tag, backend.vhosts, backend.state) for backend in snapshot.backends)
    share = _shares(placement, consistent)
    rates = history.rates_per_min(backend.ip for backend in snapshot.backends)
    users: dict[str, int] = {}
    for backend in snapshot.backends:
        users[backend.tag] = users.get(backend.tag, 0) + backend.users
    expected = {backend.ip: share[backend.ip] * users[backend.tag] for backend in snapshot.backends}
    largest: dict[str, float] = {}
    for backend in snapshot.backends:
        largest[backend.tag] = max(largest.get(backend.tag, 0.0), backend.users, expected[backend.ip])
    return [
        BackendRow(
            backend,
            names.get(backend.ip, ""),
            share[backend.ip],
            expected[backend.ip],
            largest[backend.tag],
            rates.get(backend.ip),
            history.users(backend.ip),
            now,
        )
        for backend in snapshot.backends
    ]


@lru_cache(maxsize=4)
def _shares(placement: tuple[tuple[str, str, int, State], ...], consistent: bool) -> dict[str, float]:
    """Kept because user counts, which have no part in it, change at every reading."""
    backends = (Backend(ip, tag, vhosts, state, None, 0) for ip, tag, vhosts, state in placement)
    return shares(backends, consistent=consistent)


def matches(row: BackendRow, text: str) -> bool:
    """Whether the filter lets this row through: a part of IP, name, tag or condition."""
    backend = row.backend
    fields = (backend.ip, row.name, backend.tag, backend.condition.value)
    return any(text in field.casefold() for field in fields)


def _condition_cell(row: BackendRow, width: int) -> Sequence[Piece]:
    word, extra = format.condition(row.backend, row.now, row.per_min)
    free = width - len(word.text)
    if not extra.text or len(extra.text) + 2 > free:
        return (word,)
    return word, Piece(" " * (12 - len(word.text)) if free >= 12 - len(word.text) + len(extra.text) else "  "), extra


def _usable_meaning(row: BackendRow) -> str:
    return "" if row.backend.usable else MUTED


_WEIGHT = {Condition.DOWN: 0, Condition.DRAINING: 1, Condition.DRAINED: 2, Condition.SERVING: 3}

COLUMNS: tuple[Column[BackendRow], ...] = (
    Column(
        "ip",
        "backend",
        lambda row, width: (Piece(row.backend.ip),),
        lambda row: len(row.backend.ip),
        lambda row: ip_order(row.backend.ip),
    ),
    Column(
        "name",
        "name",
        lambda row, width: (Piece(row.name, MUTED),),
        lambda row: cell_len(row.name),
        lambda row: (not row.name, row.name),
        keep=50,
    ),
    Column(
        "tag",
        "tag",
        lambda row, width: (Piece(row.backend.tag),),
        lambda row: min(20, cell_len(row.backend.tag)),
        lambda row: (not row.backend.tag, row.backend.tag),
        keep=60,
    ),
    Column(
        "vhosts",
        "vhosts",
        lambda row, width: (Piece(str(row.backend.vhosts), _usable_meaning(row)),),
        8,
        lambda row: row.backend.vhosts,
        right=True,
        min_width=6,
        descending=True,
    ),
    Column(
        "share",
        "share",
        lambda row, width: (format.share(row.share, usable=row.backend.usable),),
        7,
        lambda row: row.share,
        keep=40,
        right=True,
        descending=True,
    ),
    Column(
        "condition",
        "condition",
        _condition_cell,
        20,
        lambda row: _WEIGHT[row.backend.condition],
        min_width=10,
    ),
    Column(
        "users",
        "users",
        lambda row, width: (Piece(format.count(row.backend.users)),),
        9,
        lambda row: row.backend.users,
        right=True,
        min_width=7,
        descending=True,
    ),
    Column(
        "bar",
        "",
        lambda row, width: format.bar(
            row.backend.users, row.expected if row.backend.usable else None, row.largest, width
        ),
        12,
        keep=20,
        max_width=40,
    ),
    Column(
        "rate",
        "/min",
        lambda row, width: (format.rate(row.per_min),),
        7,
        lambda row: row.per_min or 0.0,
        keep=30,
        right=True,
        descending=True,
    ),
    Column(
        "past",
        "last 10 min",
        lambda row, width: (Piece(format.sparkline(row.past, width), "accent"),),
        12,
        keep=10,
        max_width=60,
    ),
)
