"""The rows of the ring screen, and its columns: what each director says, and where they say different things."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len

from director_tui.director.agreement import twins
from director_tui.link.reading import foreign
from director_tui.ui import format
from director_tui.ui.columns import Column
from director_tui.ui.format import ACCENT, ATTENTION, DANGER, FINE, MUTED, PLAIN, Piece
from director_tui.ui.ring_words import listed_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from director_tui.director.agreement import Disagreement
    from director_tui.director.model import DirectorPeer, RingView
    from director_tui.link.reading import DirectorView, Reading

    Name = Callable[[str], str]
    """What a director is called here, by its destination."""

LATELY_S: Final = 3600
INDENT: Final = Piece("  ")


@dataclass(frozen=True, slots=True)
class RingRow:
    """One line: a director, one of the connections that it tells of, or a backend about which they disagree.

    ``director`` is the destination that leads to whom the row is about; where that can't be used, ``refusal`` says why.
    ``detail`` is more about it, a line for each. A ``sentence`` has the room of all columns behind the first.
    """

    key: str
    cells: Mapping[str, Sequence[Piece]]
    director: str = ""
    refusal: str = ""
    detail: tuple[str, ...] = ()
    sentence: bool = field(default=False, kw_only=True)


def ring_rows(reading: Reading, disagreeing: Iterable[Disagreement], name: Name, now: datetime) -> list[RingRow]:
    """First what they disagree about, then every director with its own view, in the configured order."""
    rows = [_disagreement(one, name) for one in disagreeing]
    again = twins(reading.rings)
    unusable = _unusable(reading)
    refusals = {director: f"{name(director)} {why}" for director, why in unusable.items()}
    by_member = {view.identity: view.director for view in reversed(reading.views) if view.identity is not None}
    for view in reading.views:
        head = _head(view.director, reading, name)
        if view.ring is None or view.director in unusable:
            why, refusal = unusable[view.director], refusals[view.director]
            detail = (str(view.failure), view.failure.remedy) if view.failure is not None else ()
            meaning = ATTENTION if view.ring is None else DANGER
            rows.append(_sentence(view.director, head, why, meaning, refusal, detail))
        elif view.director in again:
            what = f"the same director as {name(again[view.director])}; it counts once"
            rows.append(_sentence(view.director, head, what, MUTED))
        else:
            rows.extend(_view(view, view.ring, head, by_member, refusals, name, now))
    return rows


def _unusable(reading: Reading) -> dict[str, str]:
    """The directors that can't be the one that is read, with the reason."""
    reasons = {
        view.director: f"can't be read: {str(view.failure).removeprefix(f'{view.director}: ')}"
        for view in reading.views
        if view.ring is None
    }
    return reasons | dict.fromkeys(foreign(reading.views), "belongs to another ring: left out")


def _head(director: str, reading: Reading, name: Name) -> tuple[Piece, ...]:
    called = Piece(name(director), ACCENT)
    return (called, Piece(" "), Piece("● in use", FINE)) if director == reading.link.director else (called,)


def _sentence(
    director: str, head: tuple[Piece, ...], text: str, meaning: str, refusal: str = "", detail: tuple[str, ...] = ()
) -> RingRow:
    cells = {"director": head, "address": (Piece(text, meaning),)}
    return RingRow(director, cells, director, refusal, detail, sentence=True)


def _disagreement(one: Disagreement, name: Name) -> RingRow:
    said = listed_sides(one, name)
    cells = {"director": (Piece(f"≠ {one.ip}", DANGER),), "address": (Piece(said),)}
    refusal = f"{one.ip} is a backend, not a director"
    return RingRow(one.ip, cells, "", refusal, (f"backend {one.ip}", said), sentence=True)


def _view(
    view: DirectorView,
    ring: RingView,
    head: tuple[Piece, ...],
    by_member: Mapping[tuple[str, int], str],
    refusals: Mapping[str, str],
    name: Name,
    now: datetime,
) -> Iterator[RingRow]:
    """The director's own row first, then those of all others as it prints them."""
    called, own = name(view.director), ring.self_peer
    if own is None:
        yield _sentence(view.director, head, "has no row of its own", DANGER)
    else:
        cells = {**_cells(own, ring, now), "director": head}
        yield RingRow(view.director, cells, view.director, "", _about_itself(view, ring, own))
    keys: dict[str, int] = {}
    for peer in ring.peers:
        if peer is own:
            continue
        address = format.address(peer.ip, peer.port)
        key = f"{address} as {called} sees it"
        # In a ring of two each is the other's neighbour on both sides, in a row for each connection.
        keys[key] = keys.get(key, 0) + 1
        key += f" ({keys[key]})" if keys[key] > 1 else ""
        director = by_member.get((peer.ip, peer.port), "")
        cells = {**_cells(peer, ring, now), "director": (INDENT, Piece(name(director) if director else "–", MUTED))}
        refusal = refusals.get(director, "") if director else f"no destination here is known to lead to {address}"
        yield RingRow(key, cells, director, refusal, _about(peer, called, now))
    for number, status in enumerate(ring.unidentified, start=1):
        cells = {
            "director": (INDENT, Piece("?", ATTENTION)),
            "address": (Piece("not known yet", ATTENTION),),
            "status": (Piece(status, ATTENTION),),
        }
        detail = (f"{called} does not know yet who connects to it", status)
        key = f"connection {number} of nobody known, as {called} sees it,"
        yield RingRow(key, cells, "", "nobody knows yet which director this is", detail)


def _cells(peer: DirectorPeer, ring: RingView, now: datetime) -> dict[str, Sequence[Piece]]:
    def size(number: int | None) -> Sequence[Piece]:
        return (Piece(format.size(number)),) if number is not None else (Piece("–", MUTED),)

    def ago(time: datetime | None) -> Sequence[Piece]:
        return (Piece(_ago(time, now)),) if time is not None else (Piece("–", MUTED),)

    lately = peer.last_failed is not None and (now - peer.last_failed).total_seconds() < LATELY_S
    return {
        "address": (Piece(format.address(peer.ip, peer.port)),),
        "type": (Piece(peer.type or "–", PLAIN if peer.type else MUTED),),
        "status": (_status(peer, ring),),
        "ping": (Piece(f"{peer.ping_ms} ms") if peer.ping_ms is not None else Piece("–", MUTED),),
        "failed": (Piece(_ago(peer.last_failed, now), ATTENTION if lately else MUTED),),
        "buffered": size(peer.buffered),
        "peak": size(peer.buffered_peak),
        "input": size(peer.input),
        "output": size(peer.output),
        "read": ago(peer.last_read),
        "write": ago(peer.last_write),
    }


def _status(peer: DirectorPeer, ring: RingView) -> Piece:
    if peer.type == "self":
        if ring.alone:
            return Piece(f"SPLIT: alone · {peer.status}", DANGER)
        return Piece(peer.status, FINE if ring.synced else DANGER)
    if peer.type == "removed":
        return Piece(peer.status or "removed from the ring", MUTED)
    if peer.status:
        return Piece(peer.status, FINE if peer.status == "synced" else ATTENTION)
    if ring.closed and (peer.ip, peer.port) not in ring.connected:
        return Piece("not in the ring", ATTENTION)
    return Piece("no neighbour", MUTED)


def _about_itself(view: DirectorView, ring: RingView, own: DirectorPeer) -> tuple[str, ...]:
    took = f"; its last sync took {own.ping_ms} ms round the ring" if own.ping_ms is not None else ""
    counted = f"it lists {format.plural(len(ring.members), 'director')}"
    if view.failure is not None:
        return f"{view.director}: {own.status}{took}", f"{counted}; its backends can't be read: {view.failure}"
    return f"{view.director}: {own.status}{took}", f"{counted} and {format.plural(len(view.backends), 'backend')}"


def _about(peer: DirectorPeer, called: str, now: datetime) -> tuple[str, ...]:
    address = format.address(peer.ip, peer.port)
    kind = {"left": "left neighbour", "right": "right neighbour", "l+r": "neighbour on both sides"}.get(peer.type)
    said = ", ".join(filter(None, (kind or peer.type, peer.status))) or "no neighbour, so it says nothing about it"
    first = f"{address} as {called} sees it: {said}; last failed {_ago(peer.last_failed, now)}"
    if peer.input is None or peer.output is None:
        return (first,)
    traffic = f"in {format.size(peer.input)}, out {format.size(peer.output)}"
    if peer.buffered is not None and peer.buffered_peak is not None:
        traffic += f", buffered {format.size(peer.buffered)}, peak {format.size(peer.buffered_peak)}"
    return first, f"{traffic}, read {_ago(peer.last_read, now)}, written {_ago(peer.last_write, now)}"


def _ago(time: datetime | None, now: datetime) -> str:
    return f"{format.span((now - time).total_seconds())} ago" if time is not None else "never"


def _column(
    id: str, title: str, width: int = 0, *, keep: int | None = None, least: int = 0, right: bool = False
) -> Column[RingRow]:
    """A column as wide as its cells, or of that width."""

    def natural(row: RingRow) -> int:
        # A sentence needs its column to begin in, and then takes all that there is.
        if row.sentence and id != "director":
            return len(title) if id == "address" else 0
        return sum(cell_len(piece.text) for piece in row.cells.get(id, ()))

    def cell(row: RingRow, room: int) -> Sequence[Piece]:
        return row.cells.get(id, ())

    return Column(id, title, cell, width or natural, keep=keep, right=right, least=least)


COLUMNS: Final[tuple[Column[RingRow], ...]] = (
    _column("director", "director", least=8),
    _column("address", "address"),
    _column("type", "type", 5, keep=90),
    _column("status", "status", least=8),
    _column("ping", "ping", 7, keep=80, right=True),
    _column("failed", "last failed", 11, keep=70),
    _column("buffered", "buffered", 8, keep=60, right=True),
    _column("peak", "peak", 7, keep=30, right=True),
    _column("input", "in", 7, keep=40, right=True),
    _column("output", "out", 7, keep=35, right=True),
    _column("read", "last read", 9, keep=20),
    _column("write", "last written", 12, keep=10),
)
