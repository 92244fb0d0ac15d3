"""The columns of the backends table, and the rows they are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from os.path import commonprefix
from typing import TYPE_CHECKING

from rich.cells import cell_len

from director_tui.director.model import Backend, Condition, State, ip_order
from director_tui.ui import format
from director_tui.ui.columns import Column
from director_tui.ui.format import MUTED, NAME_WIDTH, TAG_WIDTH, Piece

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from director_tui.director.model import Snapshot
    from director_tui.link.history import History


@dataclass(frozen=True, slots=True)
class BackendRow:
    """A backend with what is computed around it.

    ``expected`` is how many of its tag's users the share would give it, ``largest`` the most that any backend of the
    tag has or would have, ``per_min`` its measured gain or loss in users. ``history`` has its counts of the last ten
    minutes, which only a row on the screen needs. ``short_ip`` is the address without what all IPv6 addresses of the
    ring have in front.
    """

    backend: Backend
    name: str
    share: float
    expected: float
    largest: float
    per_min: float | None
    history: History
    now: datetime
    short_ip: str


def backend_rows(
    snapshot: Snapshot, history: History, names: Mapping[str, str], now: datetime, *, consistent: bool
) -> list[BackendRow]:
    """One row for each backend, in the director's order."""
    placement = tuple((backend.ip, backend.tag, backend.vhosts, backend.state) for backend in snapshot.backends)
    share = _shares(placement, consistent)
    short = _short_ips(tuple(backend.ip for backend in snapshot.backends))
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
            history,
            now,
            short[backend.ip],
        )
        for backend in snapshot.backends
    ]


@lru_cache(maxsize=4)
def _shares(placement: tuple[tuple[str, str, int, State], ...], consistent: bool) -> dict[str, float]:
    """Kept because user counts, which have no part in it, change at every reading."""
    backends = (Backend(ip, tag, vhosts, state, None, 0) for ip, tag, vhosts, state in placement)
    # Imported with the first reading: so the first frame comes sooner.
    from director_tui.director.hashring import shares

    return shares(backends, consistent=consistent)


@lru_cache(maxsize=4)
def _short_ips(ips: tuple[str, ...]) -> dict[str, str]:
    """Each IP, an IPv6 one without the groups that all of them begin with. What is left is still unique."""
    common = commonprefix([ip for ip in ips if ":" in ip]).rpartition(":")[0]  # noqa: RUF071 - no paths, but texts
    return {ip: f"…{ip[len(common) :]}" if ":" in ip and len(common) > 1 else ip for ip in ips}


def matches(row: BackendRow, text: str) -> bool:
    """Whether the filter lets this row through: a part of IP, name, tag or condition."""
    backend = row.backend
    fields = (backend.ip, row.name, backend.tag, backend.condition.value)
    return any(text in field.casefold() for field in fields)


def _condition_cell(row: BackendRow, width: int) -> Sequence[Piece]:
    word, extra = format.condition(row.backend, row.now, row.per_min)
    if len(word.text) > width:
        word = Piece(word.text.rpartition(" ")[2], word.meaning)
    free = width - len(word.text)
    if not extra.text or len(extra.text) >= free:
        return (word,)
    # Behind the longest word where that fits, so that the extras stand below each other.
    return word, Piece(" " * max(1, min(12 - len(word.text), free - len(extra.text)))), extra


def _usable_meaning(row: BackendRow) -> str:
    return "" if row.backend.usable else MUTED


_WEIGHT = {Condition.DOWN: 0, Condition.DRAINING: 1, Condition.DRAINED: 2, Condition.SERVING: 3}

COLUMNS: tuple[Column[BackendRow], ...] = (
    Column(
        "ip",
        "backend",
        lambda row, width: (Piece(row.backend.ip if len(row.backend.ip) <= width else row.short_ip),),
        lambda row: len(row.backend.ip),
        lambda row: ip_order(row.backend.ip),
        least=lambda row: len(row.short_ip),
    ),
    Column(
        "name",
        "name",
        lambda row, width: (Piece(row.name, MUTED),),
        lambda row: min(NAME_WIDTH, cell_len(row.name)) if row.name else 0,
        lambda row: (not row.name, row.name),
        keep=50,
    ),
    Column(
        "tag",
        "tag",
        lambda row, width: (Piece(row.backend.tag),),
        lambda row: min(TAG_WIDTH, cell_len(row.backend.tag)) if row.backend.tag else 0,
        lambda row: (not row.backend.tag, row.backend.tag),
        keep=60,
    ),
    Column(
        "vhosts",
        "vhosts",
        lambda row, width: (Piece(str(row.backend.vhosts), _usable_meaning(row)),),
        6,
        lambda row: row.backend.vhosts,
        right=True,
        least=4,
        descending=True,
    ),
    Column(
        "share",
        "share",
        lambda row, width: (format.share(row.share, usable=row.backend.usable),),
        lambda row: 7 if row.share >= 0.9995 else 6,  # 100.0 %; asked for every row at every reading
        lambda row: row.share,
        keep=40,
        right=True,
        descending=True,
    ),
    Column(
        "condition",
        "condition",
        _condition_cell,
        18,
        lambda row: _WEIGHT[row.backend.condition],
        least=8,
    ),
    Column(
        "users",
        "users",
        lambda row, width: (Piece(format.count(row.backend.users)),),
        lambda row: 7 if row.backend.users < 1_000_000 else len(format.count(row.backend.users)),  # see share
        lambda row: row.backend.users,
        right=True,
        least=lambda row: max(5, len(format.count(row.backend.users))),
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
        lambda row: 5 if abs(row.per_min or 0) < 999 else len(format.rate(row.per_min).text),
        lambda row: row.per_min or 0.0,
        keep=30,
        right=True,
        descending=True,
    ),
    Column(
        "past",
        "last 10 min",
        lambda row, width: (Piece(format.sparkline(row.history.users(row.backend.ip), width), "accent"),),
        12,
        keep=10,
        right=True,
        max_width=60,
    ),
)
