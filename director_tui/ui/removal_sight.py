"""What is seen of one clean removal while it is on the screen, and where it stands by that.

Readings, counted sessions and the operation come at their own times, and an older one must not pass for the proof of
what was done after it: this is what knows which of them still hold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from director_tui.operations.plan import Outcome, Verb
from director_tui.operations.removal import Position, Step, renewed, seen, standing_at, way_back
from director_tui.operations.removal_progress import Leaving

if TYPE_CHECKING:
    from director_tui.link.reading import Reading
    from director_tui.link.users import Sessions
    from director_tui.operations.progress import Progress
    from director_tui.operations.removal import BackendSeen, Removal
    from director_tui.operations.removal_progress import LeavingProgress
    from director_tui.times import Times

COUNTED: Final = frozenset({Step.MOVE, Step.FINAL_UPLOAD, Step.REMOVE})
"""The steps at which it matters what sessions are left."""

_CHANGES_THE_ROW: Final = frozenset({Verb.UPDATE, Verb.UP, Verb.DOWN, Verb.ADD, Verb.REMOVE})


class RemovalSight:
    """Whoever has it puts in ``removal``, as it is kept (None: not begun), and ``operation``: what runs, or the last.

    ``now``, ``position`` and ``left`` are by the last :meth:`look`; ``left`` is how users leave, while they do.
    """

    def __init__(self, ip: str, removal: Removal | None, times: Times) -> None:
        self.removal = removal
        self.operation: Progress | None = None
        self.now: BackendSeen | None = None
        self.position = Position()
        self.left: LeavingProgress | None = None
        self._ip = ip
        self._times = times
        self._reading: Reading | None = None
        self._sessions: Sessions | None = None
        self._leaving: tuple[Step, Leaving] | None = None
        self._turned_s = times.mono_s()

    def look(self, reading: Reading, removal: Removal) -> str:
        """Work out where it stands by this reading. Returns why it is to be kept as :func:`renewed` has it by ``now``;
        nothing if it needn't be."""
        self._reading = reading
        now = self.now = seen(self._ip, reading, self._counted)
        fresh, why = renewed(removal, now)
        self.position = standing_at(fresh, now)
        if not self.counts:
            self._sessions = None  # when they count again they are others
        self._follow_users(self.position.step, now)
        return why

    def turn(self) -> None:
        """It goes another way from now on."""
        self._turned_s = self._times.mono_s()

    def take_sessions(self, known: Sessions) -> None:
        """What all directors pass on, as far as they could be asked."""
        self._sessions = known

    @property
    def counts(self) -> bool:
        """Whether it matters what sessions are left."""
        return self.position.step in COUNTED or self.position.done

    @property
    def read_since(self) -> bool:
        """Whether every director was asked after it was turned, and after what was done to the backend before: what was
        read earlier may show it as it is not any more. What may still be carried out is not over either."""
        progress, since_s = self.operation, self._turned_s
        if progress is not None and self.is_mine(progress) and progress.plan.request.verb in _CHANGES_THE_ROW:
            if progress.outcome is Outcome.UNKNOWN:
                return False
            since_s = max(since_s, progress.ended_mono_s or since_s)
        return self._reading is not None and self._reading.views_mono_s >= since_s

    @property
    def is_back(self) -> bool:
        """Whether every director shows the backend as it was, and nothing is done to it any more."""
        removal, now = self.removal, self.now
        if removal is None or now is None or not now.rows or now.unasked:
            return False
        busy = self.running_mine and not self.gives_way
        return way_back(removal, now) == () and not busy and self.read_since

    # The operation

    def is_mine(self, progress: Progress) -> bool:
        removal, request = self.removal, progress.plan.request
        return removal is not None and request.ips == (self._ip,) and removal.title in request.because

    @property
    def shows_operation(self) -> bool:
        return self.operation is not None and self.is_mine(self.operation)

    @property
    def running_mine(self) -> bool:
        progress = self.operation
        return progress is not None and progress.running and self.is_mine(progress)

    @property
    def gives_way(self) -> bool:
        """Whether what runs is an upload, beside which the backend may get back what it had."""
        return self.operation is not None and self.operation.gives_way_to(None)

    @property
    def flushed(self) -> bool:
        """Whether this step's flush was carried out, as far as this program has seen."""
        progress = self.operation
        return progress is not None and self.is_mine(progress) and progress.plan.request.verb is Verb.FLUSH

    # Who is left

    @property
    def _counted(self) -> Sessions | None:
        """The sessions, where they matter and are not from before the flush, or its end: one that came meanwhile is not
        among those, and a director that hangs may not say more for a minute."""
        known, progress = self._sessions, self.operation
        if known is None or not self.counts:
            return None
        if self.flushed and progress is not None:
            since_s = progress.ended_mono_s if progress.ended_mono_s is not None else progress.started_mono_s
            return known if known.taken_mono_s >= since_s else None
        return known

    def _follow_users(self, step: Step | None, now: BackendSeen) -> None:
        if step not in {Step.LET_LEAVE, Step.MOVE}:
            self._leaving = self.left = None
            return
        if self._leaving is None or self._leaving[0] is not step:
            self._leaving = (step, Leaving(flushing=step is Step.MOVE))
        self.left = self._leaving[1].add(now, self._times.mono_s())
        if self.left.stuck and step is Step.MOVE and not self.flushed:
            self.left = replace(self.left, stuck="")  # nobody moves them yet
