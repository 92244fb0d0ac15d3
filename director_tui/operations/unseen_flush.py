"""Flushes whose end nobody has seen yet, kept beyond the end of this program.

While one runs, adding or removing a backend makes a director mix up its backends. So each is written down before it
is sent, and taken out again when its end was seen or user counts have stood still; to be called under the operation
lock, because each of these reads and writes the whole file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from director_tui.errors import StateError
from director_tui.state import read_state, state_folder, write_state
from director_tui.text import canonical_ip, clean
from director_tui.times import iso

if TYPE_CHECKING:
    from collections.abc import Iterable

_FILE: Final = "unseen-flush.json"
_LIMIT_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class UnseenFlush:
    """A flush that was sent to this director (its SSH destination) for the backend ``ip``, None for all of them."""

    director: str
    ip: str | None
    started_at: datetime


def remember_flush(cluster: str, flush: UnseenFlush) -> None:
    """Write a flush down; it is on disk when this returns. Raises StateError."""
    _write(cluster, [*unseen_flushes(cluster), flush])


def forget_flushes(cluster: str, seen: Iterable[UnseenFlush]) -> None:
    """Take out those whose end was seen, or that can't be running any more. Raises StateError."""
    over = set(seen)
    _write(cluster, [flush for flush in unseen_flushes(cluster) if flush not in over])


def unseen_flushes(cluster: str) -> tuple[UnseenFlush, ...]:
    """Those there are, the oldest first. Raises StateError, also when the file is not understood: there may be some."""
    content = read_state(cluster, _FILE, _LIMIT_BYTES)
    if content is None:
        return ()
    try:
        return tuple(
            UnseenFlush(
                clean(one["director"]),
                canonical_ip(one["ip"]) if one["ip"] is not None else None,
                datetime.fromisoformat(one["started_at"]).astimezone(UTC),
            )
            for one in json.loads(content)
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        file = clean(str(state_folder(cluster) / _FILE))
        raise StateError(f"{file} is not understood", "when no director runs a flush, remove it") from None


def _write(cluster: str, flushes: Iterable[UnseenFlush]) -> None:
    values = [
        {"director": flush.director, "ip": flush.ip, "started_at": iso(flush.started_at, "microseconds")}
        for flush in flushes
    ]
    write_state(cluster, _FILE, json.dumps(values).encode("ascii"))
