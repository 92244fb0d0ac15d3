"""What may come after an operation: the next step of a drain, and the way back. Both are only requests, to be planned
and looked at like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from director_tui.director.model import State
from director_tui.operations.journal import Entry
from director_tui.operations.plan import Emergency, Outcome, Request, Target, Verb
from director_tui.operations.progress import LineStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.link.reading import Reading
    from director_tui.operations.progress import Progress
    from director_tui.operations.record import Record


def next_request(progress: Progress) -> Request | None:
    """The flush that follows a down or a vhost count of 0: of those backends where it was applied. Else None."""
    request = progress.plan.request
    if progress.running or request.emergency is not None or request.verb not in {Verb.DOWN, Verb.UPDATE}:
        return None
    applied = {line.target for line in progress.lines if line.status is LineStatus.APPLIED}
    emptied = tuple(
        Target(target.ip)
        for target in request.targets
        if target.ip in applied and (request.verb is Verb.DOWN or target.vhosts == 0)
    )
    return Request(Verb.FLUSH, emptied, because=f"follows {progress.id}") if emptied else None


def set_back(records: Iterable[Record], reading: Reading) -> Request | str:
    """The request that makes an operation undone where it was applied, or a sentence that says why there is none.

    ``records`` are all of one operation, from the journal. A backend that is as it was before has nothing to be set
    back, and so has one that is not listed any more.
    """
    entry = Entry(tuple(records))
    # A planned record that could not be read any more leaves the words of the command itself.
    verb = entry.first.verb
    if verb not in _INVERSE:
        return _NO_WAY_BACK.get(verb, f"{verb or 'this'} can't be set back")
    applied = [one for one in entry.results if one.outcome is Outcome.APPLIED]
    if not applied:
        return "nothing of it was applied, so there is nothing to set back"
    if reading.snapshot is None:
        return "the ring has not been read yet"
    targets = []
    for record in applied:
        for ip, before in record.before.items():
            now = reading.snapshot.backend(ip)
            if now is None:
                continue
            if verb == Verb.UPDATE.value:
                vhosts = before.get("vhosts")
                if isinstance(vhosts, int) and vhosts != now.vhosts:
                    targets.append(Target(ip, vhosts))
            elif before.get("state") not in {None, now.state.value}:
                targets.append(Target(ip))
    if not targets:
        return "every backend is as it was before, or is not listed any more"
    return Request(_INVERSE[verb], tuple(targets), because=f"sets back {entry.operation}")


_INVERSE = {Verb.UPDATE.value: Verb.UPDATE, State.UP.value: Verb.DOWN, State.DOWN.value: Verb.UP}

_NO_WAY_BACK = {
    Verb.ADD.value: "to take a backend out again, remove it cleanly: w",
    Verb.REMOVE.value: "a removed backend comes back by adding it: a",
    Verb.FLUSH.value: "a flush can't be set back: users stay where they were moved",
    Verb.FLUSH_ALL.value: "a flush can't be set back: users stay where they were moved",
    Verb.FORGET_USERS.value: "forgotten assignments can't be set back: users go where the ring sends them",
    Verb.MOVE.value: "a move is set back by moving the user again: find the user with l, then M",
    Verb.UPLOAD.value: "an upload can't be set back, and needs not be",
    Emergency.STOP.value: "an emergency stop is set back by R alone, which knows every count that was saved",
    Emergency.RECOVER.value: "a recovery is not set back: E stops all traffic again",
    Emergency.DISCONNECT.value: "sessions that were ended stay ended; R lets users log in again",
    Verb.KICK.value: "a kick can't be set back: sessions that ended stay ended",
}
