"""Why an action can't start now: the one place that knows, for the screens and for what carries plans out."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.link.reading import LinkStatus, foreign, undecided
from director_tui.operations.plan import Verb
from director_tui.operations.words import listed, some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from director_tui.link.reading import Reading
    from director_tui.operations.unseen_flush import UnseenFlush

STILL_S: Final = 60.0
"""So long have user counts to stand still before a flush whose end nobody saw is taken to be over."""

NEEDS_TARGET: Final = frozenset(Verb) - {Verb.ADD, Verb.FLUSH_ALL, Verb.MOVE, Verb.KICK}
"""What is done to backends that somebody has to point at. Those of a user are found by looking the user up."""

CHANGES_THE_LIST: Final = frozenset({Verb.ADD, Verb.REMOVE})
"""A director remembers the backend of a running flush by its place in the list, and these shift it."""


class Cure(enum.Enum):
    """What would let the action begin all the same."""

    NONE = "none"
    READING = "a fresh reading"
    TYPED = "a person who insists, by typing the name of the cluster"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not now, as a sentence; ``cure`` is what would help, of what can be done here and at once."""

    reason: str
    cure: Cure = Cure.NONE

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What decides whether an action can start.

    ``fresh`` is whether the reading is young enough to act on. ``running`` says which operation runs, and since when,
    as it stands in a sentence; empty if none does. ``unseen`` are the flushes whose end was not seen, while neither
    user counts (standstill.py) nor a person say that they are over. The executor, which takes a fresh reading itself
    and is the operation that runs, says so here: ``fresh=True, running=""``.
    """

    reading: Reading | None
    read_only: bool = False
    fresh: bool = True
    running: str = ""
    unseen: Sequence[UnseenFlush] = ()


def refusal(verb: Verb, now: Circumstances, *, targets: int | None = None) -> Refusal | None:
    """Why this can't start now; None if it can. What will not change by itself comes first.

    ``targets`` is the number of backends that are pointed at; None leaves that out.
    """
    if now.read_only:
        return Refusal("read-only: nothing is changed from here")
    if now.running:
        return Refusal(f"one change at a time: {now.running}")
    if targets == 0 and verb in NEEDS_TARGET:
        return Refusal("no backend is selected")
    reading = now.reading
    if reading is None or reading.snapshot is None:
        return Refusal("the ring has not been read yet", Cure.READING)
    if why := not_our_ring(reading):
        return Refusal(why)
    if reading.link.status is not LinkStatus.LIVE:
        return Refusal(f"no connection to the ring{_failure(reading)}", Cure.READING)
    if not now.fresh:
        return Refusal("what is shown is too old to act on", Cure.READING)
    if now.unseen and verb in CHANGES_THE_LIST:
        flushes = some(f"{one.ip or 'all'} ({one.started_at:%H:%M} UTC, {one.director})" for one in now.unseen)
        return Refusal(
            f"nobody has seen the end of the flush of {flushes}: a director would go on with another backend; "
            f"wait until user counts stand still for {STILL_S:.0f} s",
            Cure.TYPED,
        )
    return None


def not_our_ring(reading: Reading) -> str:
    """Why nothing may be changed through the director in use, where it is of another ring; else nothing."""
    if apart := undecided(reading.views):
        return f"{listed(apart)} are of different rings, and which one is ours can't be told"
    director = reading.snapshot.director if reading.snapshot is not None else ""
    if director in foreign(reading.views):
        return f"{director} belongs to another ring"
    return ""


def _failure(reading: Reading) -> str:
    return f": {reading.link.failure}" if reading.link.failure is not None else ""
