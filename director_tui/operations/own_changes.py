"""Which of the changes that are seen on the ring this program has made itself."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from director_tui.director.changes import Change, Subject
from director_tui.director.doveadm import CHANGE_LIMIT_S
from director_tui.operations.plan import Outcome, RowIs, RowIsGone, Verb
from director_tui.operations.progress import LATER_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from director_tui.operations.plan import Check
    from director_tui.operations.progress import Progress

SEEN_WITHIN_S: Final = CHANGE_LIMIT_S
"""How long after the end of an operation its effect may still be seen: so long a director may hold a command back. What
is unknown may come true for as long as it is looked at again."""


class OwnChanges:
    """Knows what the operations of this program would change, and recognises it when it is seen.

    A change is ours when a command that was sent changes this very thing to this very value, and each is once only:
    who sets a backend to 0 again after somebody has set it back is somebody else.
    """

    def __init__(self) -> None:
        self._operations: dict[str, tuple[Progress, float]] = {}
        self._seen: set[tuple[str, int, Subject]] = set()

    def follow(self, progress: Progress, now_s: float) -> None:
        """Take in how far an operation is. It ends once more when what was unknown is known."""
        before, since_s = self._operations.get(progress.id, (progress, now_s))
        same = (before.running, before.outcome) == (progress.running, progress.outcome)
        self._operations[progress.id] = progress, since_s if same else now_s

    def mark(self, changes: Iterable[Change], now_s: float) -> tuple[Change, ...]:
        """The same changes, those of ours with what they come from."""
        for id_, (progress, since_s) in list(self._operations.items()):
            within_s = SEEN_WITHIN_S + (LATER_LIMIT_S if progress.outcome is Outcome.UNKNOWN else 0.0)
            if not progress.running and now_s - since_s > within_s:
                del self._operations[id_]
                self._seen = {one for one in self._seen if one[0] != id_}
        return tuple(replace(one, by=self._cause(one)) for one in changes)

    def _cause(self, change: Change) -> str:
        for id_, (progress, _) in reversed(self._operations.items()):
            adds = progress.plan.request.verb is Verb.ADD
            for number, (command, line) in enumerate(zip(progress.plan.commands, progress.lines, strict=True)):
                seen = id_, number, change.subject
                if line.sent_mono_s is None or seen in self._seen:
                    continue
                if any(_is(change, effect) for effect in _effects(command.check, adds=adds)):
                    self._seen.add(seen)
                    return _part_of(progress.plan.request.because) or progress.plan.title
        return ""


def _part_of(because: str) -> str:
    """What an operation is to a clean removal; of which backend stands beside it."""
    match = re.fullmatch(r"((?:backing out of the )?clean removal) of [^\s,]+(, step [0-9]+ of [0-9]+|)", because)
    return f"{match[1]}{match[2]}" if match else ""


def _effects(check: Check, *, adds: bool) -> Iterator[tuple[Subject, str, str]]:
    """What a command changes, by what it is proven with: subject, of which backend, to what."""
    match check:
        case RowIs(ip=ip, vhosts=vhosts) if adds:
            yield Subject.BACKEND, ip, f"added with vhost count {vhosts}"
        case RowIs(ip=ip, vhosts=vhosts, state=state):
            if vhosts is not None:
                yield Subject.VHOSTS, ip, str(vhosts)
            if state is not None:
                yield Subject.STATE, ip, state.value
        case RowIsGone(ip=ip):
            yield Subject.BACKEND, ip, "removed"


def _is(change: Change, effect: tuple[Subject, str, str]) -> bool:
    return (change.subject, change.of, change.after) == effect
