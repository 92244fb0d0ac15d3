"""Directors that begin anew: one that learns everything from the others, and all of them together, with nobody to learn
from. None of them says so, and what the first one lists in that moment is not the ring's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.director.changes import backend_changes
from director_tui.director.model import State
from director_tui.link.reading import Restart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from director_tui.director.model import Backend, RingView, Snapshot

    Member = tuple[str, int]

LONGEST_GAP_S: Final = 300.0
"""Users who are gone after a longer interruption may have left one by one."""

LONGEST_ABSENCE_S: Final = 1800.0
"""The same where a director has begun anew: over a night one may have, while the users went home."""


class Restarts:
    """Knows by its connections that the director that is read may have begun anew: one that has carried less than it
    had is another one. If it has still forgotten its users, or what somebody had changed, once it has learned what its
    neighbours know, the whole ring has; and so it has if that came with a short interruption of all readings, unless
    its connections went on meanwhile.

    ``learning`` is whether what was read of the backends last may not be the ring's yet.
    """

    def __init__(self) -> None:
        self.learning = False
        self._before: Snapshot | None = None
        self._traffic: dict[Member, Mapping[Member, int]] = {}
        self._handshaking = False
        self._began_anew = False
        self._interrupted = False
        self._went_on = False

    def interrupted(self) -> None:
        """No director could be read."""
        self._interrupted = True
        self._went_on = False

    def begin_to_read(self) -> None:
        """The backends are about to be read: after the last state of the ring that is known."""
        self.learning = self._handshaking

    def doubts(self, backends: Sequence[Backend], at: datetime) -> bool:
        """Whether these are to be believed only with a state of the ring that is read after them."""
        before = self._before
        if before is None:
            return False
        return _halved(before.backends, backends) or bool(backend_changes(before.backends, backends, at))

    def viewed(self, ring: RingView, others: Iterable[RingView]) -> None:
        """Take in a state of the ring that was read just now. ``others`` is what the other directors said last."""
        if ring.identity is None:
            return
        handshaking = any(peer.type == "self" and "handshaking" in peer.status for peer in ring.peers)
        known, now = self._traffic.get(ring.identity, {}), _traffic(ring)
        compared = known.keys() & now.keys()
        anew = any(now[member] < known[member] for member in compared)
        self._went_on = self._went_on or (bool(compared) and not anew)
        anew = anew or (handshaking and not now and bool(known))
        self._began_anew = self._began_anew or anew
        self._handshaking = self._began_anew and handshaking
        self.learning = self.learning or anew or self._handshaking
        for view in (*others, ring):
            if view.identity is not None and (view is ring or view.identity != ring.identity):
                self._traffic[view.identity] = _traffic(view) or self._traffic.get(view.identity, {})

    def judged(self, snapshot: Snapshot, at: datetime) -> Restart | None:
        """What this snapshot, taken while not ``learning``, shows to be forgotten by all since the last one."""
        ring = snapshot.ring
        if ring is None or not ring.synced or ring.alone:
            return None  # the others may be about to tell it
        before, self._before = self._before, snapshot
        anew, interrupted = self._began_anew, self._interrupted and not self._went_on
        self._began_anew = self._interrupted = False
        if before is None or not _forgotten(before.backends, snapshot.backends):
            return None
        gap_s = snapshot.taken_mono_s - before.taken_mono_s
        if gap_s >= (LONGEST_ABSENCE_S if anew else LONGEST_GAP_S if interrupted else 0.0):
            return None
        changed = {change.of for change in backend_changes(before.backends, snapshot.backends, at)}
        restart = Restart(at, max(0, before.users - snapshot.users), len(changed))
        return restart if restart.forgotten else None


def _traffic(ring: RingView) -> dict[Member, int]:
    """The bytes that have gone over the connections to each neighbour."""
    traffic: dict[Member, int] = {}
    for peer in ring.peers:
        if peer.type in {"left", "right"} and peer.input is not None and peer.output is not None:
            traffic[peer.ip, peer.port] = traffic.get((peer.ip, peer.port), 0) + peer.input + peer.output
    return traffic


def _forgotten(before: Sequence[Backend], after: Sequence[Backend]) -> bool:
    return _halved(before, after) or (_as_configured(after) and not _as_configured(before))


def _halved(before: Iterable[Backend], after: Iterable[Backend]) -> bool:
    return 2 * sum(one.users for one in after) < sum(one.users for one in before)


def _as_configured(backends: Iterable[Backend]) -> bool:
    """Whether every backend is as a ring begins with it."""
    from director_tui.director.mail_servers import CONFIGURED_VHOSTS  # not before it is needed: see the header

    return all(
        one.vhosts == CONFIGURED_VHOSTS and one.state is State.UP and one.state_changed is None for one in backends
    )
