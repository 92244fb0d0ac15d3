"""What is said of an operation, in words: while it runs, when it ends, and when somebody wants to leave meanwhile."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from textual.content import Content

from director_tui.operations.plan import Emergency, Outcome, Verb
from director_tui.operations.progress import LineStatus, Phase
from director_tui.operations.words import counted_words
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.format import ACCENT, ATTENTION, DOT, MUTED, PLAIN, STYLES, Piece, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.operations.plan import Request
    from director_tui.operations.progress import FlushProgress, Line, Progress
    from director_tui.ui.format import Part

FLUSHES: Final = frozenset({Verb.FLUSH, Verb.FLUSH_ALL})
"""What takes minutes, and goes on by itself on the director."""

NOT_CANCELLABLE: Final = "A flush can't be cancelled; it goes on when you leave."


def doing(request: Request) -> str:
    """``setting the vhost count of 200 backends to 0``."""
    ips, whom = request.ips, counted_words(request.ips)
    match request.emergency:
        case Emergency.STOP:
            return f"stopping all {whom}"
        case Emergency.RECOVER:
            return f"bringing {whom} back"
        case Emergency.DISCONNECT:
            return "disconnecting everyone"
    match request.verb:
        case Verb.UPDATE:
            counts = {target.vhosts for target in request.targets}
            to = f" to {counts.pop()}" if len(counts) == 1 else ""
            return f"setting the vhost count of {whom}{to}"
        case Verb.UP | Verb.DOWN:
            return f"setting {whom} {request.verb.value}"
        case Verb.ADD:
            return f"adding {whom}"
        case Verb.REMOVE:
            return f"removing {whom}"
        case Verb.FLUSH:
            return f"flushing {whom}"
        case Verb.FORGET_USERS:
            return f"forgetting the users of {whom if ips else 'all backends'}"
        case Verb.FLUSH_ALL:
            return "flushing all backends"
        case Verb.MOVE:
            return f"moving {request.user} to {whom}"
        case Verb.KICK:
            return f"kicking {request.user}"
        case Verb.UPLOAD:
            return f"uploading the metacache of {whom}"


def sent(lines: Iterable[Line]) -> int:
    """How many of the commands have been sent."""
    return sum(line.status is not LineStatus.PENDING for line in lines)


def hint(progress: Progress, width: int) -> Content:
    """One line about an operation that runs, for every screen but its own."""
    total = len(progress.lines)
    far: Part | None = None
    if progress.phase is Phase.ASKING:
        far = ("stopped, and asks", STYLES[ATTENTION])
    elif progress.flush is not None:
        far = (_left(progress.flush), STYLES[PLAIN])
    elif total > 1:
        far = (f"{sent(progress.lines)} of {total}", STYLES[PLAIN])
    elif progress.phase in {Phase.CHECKING, Phase.PROVING}:
        far = (progress.phase.value, STYLES[PLAIN])
    rest = Content.assemble(*((*DOT, far) if far is not None else ()), *DOT, ("o shows it", STYLES[MUTED]))
    what = shortened(clean(doing(progress.plan.request)), max(8, width - rest.cell_length))
    return Content.assemble(" ", (what, STYLES[ACCENT]), rest).truncate(width + 1, ellipsis=True)


def standing(progress: Progress, now_s: float) -> list[Piece]:
    """How far it is, or how it has ended: ``143 of 200 sent · 120 applied · 1 not applied``."""
    if progress.phase is Phase.CHECKING:
        return [Piece("reading the ring once more before anything is sent", MUTED)]
    lines = progress.lines
    counted = Counter(line.status for line in lines)
    pieces: list[Piece] = []
    if progress.running:
        age = format.span(now_s - progress.started_mono_s)
        if len(lines) > 1:
            pieces.append(Piece(f"{sent(lines)} of {len(lines)} sent", PLAIN))
        proving = progress.phase is Phase.PROVING
        pieces.append(Piece("reading every director for the proof" if proving else f"running for {age}", MUTED))
    elif progress.outcome is None:
        return [Piece("nothing was sent", ATTENTION)]
    elif len(lines) == 1:
        return [format.outcome(progress.outcome)]
    for status in (LineStatus.APPLIED, LineStatus.NOT_APPLIED, LineStatus.UNKNOWN, LineStatus.FAILED):
        if counted[status]:
            word = format.line_status(status)
            mark, _, words = word.text.partition(" ")
            pieces.append(Piece(f"{mark} {counted[status]} {words}", word.meaning))
    if not progress.running and counted[LineStatus.PENDING]:
        pieces.append(Piece(f"{counted[LineStatus.PENDING]} not sent", MUTED))
    return _dotted(pieces)


def flush_words(flush: FlushProgress) -> list[Piece]:
    """``9,120 of 12,000 users left · −1,204/min · ETA 8m``."""
    pieces = [Piece(f"{format.count(flush.users_left)} of {format.plural(flush.users_at_start, 'user')} left")]
    if flush.per_min is not None:
        pieces.append(Piece(f"{format.rate(-flush.per_min).text}/min", MUTED))
    if flush.eta_s is not None:
        pieces.append(Piece(f"ETA {format.span(flush.eta_s)}", MUTED))
    return _dotted(pieces)


def ending(progress: Progress) -> str:
    """What a notice says when it has ended while another screen was shown."""
    how = "".join(piece.text for piece in standing(progress, 0.0))
    return f"{progress.plan.title}: {how}"


def news(before: Progress, progress: Progress) -> tuple[str, bool] | None:
    """What a notice says of a step to somebody who looks at another screen, and whether all is fine; None of most."""
    if progress.phase is Phase.ASKING and before.phase is not Phase.ASKING:
        return f"{progress.question}\no shows it", False
    if progress.outcome is not None and (before.running or before.outcome is not progress.outcome):
        return ending(progress), progress.outcome is Outcome.APPLIED
    return None


def stays_behind(progress: Progress) -> list[str]:
    """What goes on without this program, and what doesn't, when somebody leaves now."""
    request, left = progress.plan.request, len(progress.lines) - sent(progress.lines)
    sentences = []
    if progress.phase is Phase.CHECKING:
        return ["Nothing has been sent yet, and nothing will be."]
    if request.verb in FLUSHES:
        sentences += [
            "The flush goes on by itself on the director, to its end.",
            "As its end is not seen, add and remove stay blocked here until the user counts stand still for 60 s.",
        ]
    elif under_way := sum(line.status is LineStatus.SENT for line in progress.lines):
        sentences.append("The command that runs goes on to its end.")
        if under_way > 1:
            sentences.append(f"Of the {under_way - 1:,} behind it, some may still be carried out.")
    if left:
        sentences.append(f"{format.plural(left, 'command').capitalize()} not sent yet will not be sent.")
    sentences.append("What has not been seen to be applied stays unknown in the journal.")
    return sentences


def _left(flush: FlushProgress) -> str:
    eta = f", ETA {format.span(flush.eta_s)}" if flush.eta_s is not None else ""
    return f"{format.plural(flush.users_left, 'user')} left{eta}"


def _dotted(pieces: list[Piece]) -> list[Piece]:
    dotted = pieces[:1]
    for piece in pieces[1:]:
        dotted += [Piece(" "), Piece("·", MUTED), Piece(" "), piece]
    return dotted
