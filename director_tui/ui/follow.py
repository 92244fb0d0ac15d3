"""The step that an operation leads to, as the operations screen offers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.director.hashring import shares
from director_tui.operations.following import next_request
from director_tui.operations.plan import Emergency, Outcome, Request, Verb
from director_tui.operations.words import counted_words
from director_tui.ui import format

if TYPE_CHECKING:
    from director_tui.link.reading import Reading
    from director_tui.operations.progress import Progress

SKEWED: Final = 0.1
"""From this part of the users being elsewhere than their shares say, moving them is offered."""


@dataclass(frozen=True, slots=True)
class Follow:
    """What is offered, and why, as words of one sentence: *flush 10.1.0.3* · *for the users still there*.

    It is a request of the usual kind, or something for the whole ring.
    """

    what: str
    why: str
    request: Request | None = None
    emergency: Emergency | None = None


@dataclass(frozen=True, slots=True)
class Spread:
    """How users are spread against the shares: ``out_of_place`` of ``users`` would be elsewhere. ``ip`` is the backend
    that has the most too many, ``expected`` what its share says."""

    users: int
    out_of_place: int
    ip: str
    has: int
    expected: int

    @property
    def skewed(self) -> bool:
        return self.out_of_place > SKEWED * self.users

    @property
    def words(self) -> str:
        if not self.out_of_place:
            return "users are spread as the shares say"
        return (
            f"≈ {self.out_of_place:,} of {format.plural(self.users, 'user')} are elsewhere than the shares say, "
            f"most of them on {self.ip}: {self.has:,}, by its share {self.expected:,}"
        )


def follow(progress: Progress, reading: Reading | None) -> Follow | None:
    """What is offered now; nothing while it runs, nor where nothing follows."""
    emergency, outcome = progress.plan.request.emergency, progress.outcome
    if emergency is None:
        request = next_request(progress)
        return Follow(f"flush {counted_words(request.ips)}", "for the users still there", request) if request else None
    if progress.running or outcome is None:
        return None
    if outcome is not Outcome.APPLIED:
        return Follow("try the rest again", "where it is not applied yet", emergency=emergency)
    if emergency is Emergency.STOP:
        return Follow("disconnect everyone", "because their sessions go on until then", emergency=Emergency.DISCONNECT)
    if emergency is Emergency.RECOVER and (spread := spread_of(reading)) is not None and spread.skewed:
        because = f"follows {progress.id}"
        request = Request(Verb.FLUSH_ALL, because=because)
        return Follow("flush all", "so that users go to where their hash leads", request)
    return None


def spread_of(reading: Reading | None) -> Spread | None:
    """How the users are spread now; None where nobody is, or nothing is known."""
    snapshot = reading.snapshot if reading is not None else None
    if reading is None or snapshot is None or not snapshot.users:
        return None
    share = shares(snapshot.backends, consistent=reading.settings is None or reading.settings.consistent_hashing)
    of_tag: dict[str, int] = {}
    for one in snapshot.backends:
        of_tag[one.tag] = of_tag.get(one.tag, 0) + one.users
    # Where a tag has no backend to go to, nobody is out of place.
    served = [one for one in snapshot.backends if any(share[x.ip] for x in snapshot.backends if x.tag == one.tag)]
    more = {one.ip: one.users - share[one.ip] * of_tag[one.tag] for one in served}
    if not more:
        return None
    fullest = max(served, key=lambda one: more[one.ip])
    return Spread(
        snapshot.users,
        round(sum(number for number in more.values() if number > 0)),
        fullest.ip,
        fullest.users,
        round(share[fullest.ip] * of_tag[fullest.tag]),
    )
