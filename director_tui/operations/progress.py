"""How far an operation is, as values that a screen draws."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.director.abilities import keeps_back_one_only
from director_tui.operations.plan import Emergency, Outcome, Verb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from director_tui.operations.plan import Plan


class Phase(enum.Enum):
    """Where an operation stands."""

    CHECKING = "checking"
    RUNNING = "running"
    ASKING = "asking"
    """A command failed, and nothing goes on before somebody has decided."""
    PROVING = "proving"
    ENDED = "ended"


class LineStatus(enum.Enum):
    """Where one command stands; the last three are the outcomes."""

    PENDING = "pending"
    SENT = "sent"
    DONE = "done"
    """It ended with status 0, and nothing is proven yet."""
    FAILED = "failed"
    """It ended otherwise, and nothing is proven yet."""
    APPLIED = "applied"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


LATER_LIMIT_S: Final = 900.0
"""For how long an unknown is looked at again: so long TCP itself may go on to deliver what was sent over a connection
that we have lost, and what has not been carried out by then is not any more."""

NEVER_KEPT_BACK: Final = frozenset({Verb.FLUSH, Verb.FLUSH_ALL, Verb.MOVE, Verb.KICK, Verb.UPLOAD})
"""What a director begins at once, also while its ring is not synced."""

OUTCOMES: Final[Mapping[LineStatus, Outcome]] = {LineStatus(outcome.value): outcome for outcome in Outcome}
"""Those that are an outcome; whatever else a command is, it is not over."""


@dataclass(frozen=True, slots=True)
class Line:
    """One command of the plan. ``output`` is cleaned; ``note`` is what the proof showed, if that needs words.

    ``sent_mono_s`` is the monotonic clock when it was sent, None of what never was; ``elapsed_s`` is how long it
    took, None until it ended.
    """

    target: str
    text: str
    status: LineStatus = LineStatus.PENDING
    sent_mono_s: float | None = None
    elapsed_s: float | None = None
    exit_status: int | None = None
    output: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class FlushProgress:
    """What is left of a flush, read beside it. ``per_min`` is how many users went in the last
    minute, ``eta_s`` how long it may still take; None while that can't be told."""

    users_at_start: int
    users_left: int
    per_min: float | None = None
    eta_s: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """An operation as it stands. ``id`` is its name in the journal; ``question`` is set while it is asking.

    ``ended_mono_s`` is the monotonic clock at its end: what was read before that may show the ring as it was.
    ``notes`` are what else is to be said: that it is slower, on how many directors the result was seen, that the
    journal could not be written at the end.
    """

    id: str
    plan: Plan
    reason: str
    started_at: datetime
    started_mono_s: float
    lines: tuple[Line, ...]
    phase: Phase = Phase.CHECKING
    question: str = ""
    flush: FlushProgress | None = None
    outcome: Outcome | None = None
    notes: tuple[str, ...] = ()
    ended_mono_s: float | None = None

    @property
    def running(self) -> bool:
        return self.phase is not Phase.ENDED

    def gives_way_to(self, emergency: Emergency | None) -> bool:
        """Whether it goes on beside the next one: an upload on a backend, and before an emergency stop more than that.

        An upload changes nothing on the ring, and waits for a storage that may hang; a flush takes minutes; and what
        asks whether to go on, or is only being proven, sends nothing. Just then a stop must not wait. Nor for what
        leaves no backend with a vhost count, in whichever order a director carries both out: while its ring is not
        synced it keeps them back, and its order among those is not known. Some old ones hang when they keep back two.

        What is left of a recovery goes on over there when nobody listens any more, and would undo the stop.
        """
        request = self.plan.request
        if emergency is Emergency.STOP and request.emergency in {None, Emergency.RECOVER}:
            to_0 = request.verb is Verb.UPDATE and all(target.vhosts == 0 for target in request.targets)
            minds_none = to_0 or request.verb not in {Verb.UPDATE, Verb.ADD}
            if keeps_back_one_only(self.plan.version) and request.verb not in NEVER_KEPT_BACK:
                minds_none = False
            sends_nothing = self.phase in {Phase.ASKING, Phase.PROVING}
            if request.emergency is Emergency.RECOVER:
                sends_nothing = sends_nothing and self._ends_seen
            if sends_nothing or (self.phase is Phase.RUNNING and minds_none):
                return True
        return self.phase is Phase.RUNNING and request.verb is Verb.UPLOAD

    @property
    def _ends_seen(self) -> bool:
        return all(line.sent_mono_s is None or line.exit_status is not None for line in self.lines)

    def stop_waits_s(self, now_mono_s: float) -> float | None:
        """How long a stop waits at most for what runs and does not give way to it: its command ends, or is not waited
        for any more. None where nothing is sent yet, and of a stop or what follows on it, which runs to its end."""
        if self.plan.request.emergency in {Emergency.STOP, Emergency.DISCONNECT}:
            return None
        running = next((index for index, line in enumerate(self.lines) if line.status is LineStatus.SENT), None)
        if running is None or (sent_s := self.lines[running].sent_mono_s) is None:
            return None
        return max(0.0, sent_s + self.plan.commands[running].call.limit_s - now_mono_s)

    @property
    def begun(self) -> bool:
        """Whether it has come so far that something is sent; false also of one that ended before."""
        return self.phase is not Phase.CHECKING and (self.running or self.outcome is not None)
