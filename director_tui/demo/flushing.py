"""``director flush``, as director/doveadm-connection.c and director.c of 2.3.19.1 do it.

A director moves so many users at a time. A move is over ``director_user_kick_delay`` after all directors have ended the
user's sessions, or after 30 s if one of them doesn't say so. Where a tag has no usable backend left there is nowhere to
move to: the executing director ends the sessions that pass through itself, and waits for an answer that never comes;
only at the very end all that is assigned to the backend is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from director_tui.demo.population import TICKS_PER_S

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

KICK_DELAY_S: Final = 2
"""``director_user_kick_delay``"""

MOVE_LIMIT_S: Final = 30
"""How long a director waits for the others to say that a user's sessions have ended."""

MAX_PARALLEL_MOVES: Final = 100
"""``director_max_parallel_moves``"""


class Moves:
    """The users whom one director moves at the moment, by tag and hash."""

    def __init__(self) -> None:
        self._moves: dict[tuple[str, int], _Move] = {}

    def __len__(self) -> int:
        return len(self._moves)

    def __contains__(self, user: tuple[str, int]) -> bool:
        return user in self._moves

    def begin(self, tag: str, user_hash: int, tick: int, *, answering: bool) -> None:
        """``answering`` is whether all directors say now that they have ended the user's sessions."""
        self._moves[tag, user_hash] = _Move(tick, answered=True, ended=tick if answering else None)

    def begin_nowhere(self, tag: str, user_hash: int, tick: int) -> None:
        """To no backend: no other director is asked to do anything, and so none will answer."""
        self._moves[tag, user_hash] = _Move(tick, answered=False)

    def forget(self, tag: str, user_hash: int) -> None:
        self._moves.pop((tag, user_hash), None)

    def clear(self) -> None:
        """The director has ended."""
        self._moves.clear()

    def advance(self, tick: int, *, answering: bool) -> None:
        """To be called at each tick. ``answering`` is whether all directors answer now."""
        for user, move in list(self._moves.items()):
            if move.ended is None and move.answered and answering:
                move.ended = tick
            over = move.begun + _MOVE_LIMIT if move.ended is None else move.ended + _KICK_DELAY
            if over <= tick:
                del self._moves[user]


@dataclass(slots=True)
class _Move:
    begun: int
    answered: bool
    ended: int | None = None  # when all directors had ended the user's sessions


_KICK_DELAY: Final = KICK_DELAY_S * TICKS_PER_S
_MOVE_LIMIT: Final = MOVE_LIMIT_S * TICKS_PER_S


class Mover(Protocol):
    """What a flush needs of the director that carries it out."""

    @property
    def moving(self) -> int: ...
    def users(self, ip: str) -> Sequence[int]:
        """Their hashes, in the director's order; none if there is no such backend."""

    def leaves(self, user_hash: int, ip: str) -> bool:
        """Whether a user is on this backend still, stands still, and belongs elsewhere."""

    def move_away(self, user_hash: int, ip: str) -> None:
        """To where the hash leads; to nowhere if there is no usable backend."""

    def forget_if_last(self, ip: str) -> None:
        """Forget who is assigned here if there is no usable backend."""


def flush(mover: Mover, ips: Sequence[str], max_parallel: int | None) -> Generator[None, None, None]:
    """Begin the moves of all who don't belong where they are; over as soon as the last has begun."""
    limit = max_parallel or MAX_PARALLEL_MOVES
    for ip in ips:
        users = (each for each in mover.users(ip) if mover.leaves(each, ip))
        while True:
            # Even who has begun the last one looks for another, and for this there has to be room.
            while mover.moving >= limit:
                yield
            user_hash = next(users, None)
            if user_hash is None:
                break
            mover.move_away(user_hash, ip)
        mover.forget_if_last(ip)
