"""What the journal tells of one clean removal, in order; and the page that is exported of it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from director_tui.operations.plan import Verb
from director_tui.operations.removal import STAY_MOVED, Ending
from director_tui.operations.report import markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from director_tui.operations.journal import Entry
    from director_tui.operations.removal import Removal


_NOTED_WITHIN: Final = timedelta(seconds=5)
"""So much later than it was ended that may be in the journal; another one of the same backend is later."""


def story(removal: Removal, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Its operations and decisions, and what was seen to change of its backend meanwhile."""
    mine = re.compile(re.escape(removal.title) + r"(?![\w.:])", re.IGNORECASE)
    until = removal.ended.at + _NOTED_WITHIN if removal.ended is not None else None
    return tuple(
        one
        for one in entries
        if one.first.time >= removal.began
        and (until is None or one.first.time <= until)
        and (
            mine.search(one.first.title)
            or mine.search(one.first.reason)
            or (one.operation is None and one.concerns(removal.ip))
        )
    )


def uploads_done(story: Iterable[Entry]) -> int:
    """How often ``metacache flushall`` ended well on the backend."""
    return sum(
        record.exit_status == 0 for one in story if one.first.verb == Verb.UPLOAD.value for record in one.results
    )


def summary_lines(removal: Removal, story: Sequence[Entry]) -> tuple[str, ...]:
    """What it came to, a sentence each."""
    kind = "permanently" if removal.permanent else "for maintenance"
    lines = [
        f"{removal.ip} was taken out {kind}",
        f"begun {removal.began:%Y-%m-%d %H:%M} UTC by {removal.who} on {removal.host}",
        f"before, it had vhost count {removal.vhosts}, tag {removal.tag or '(none)'}, and was {removal.state.value}",
    ]
    for what, mark in (("the first upload", removal.first_upload), ("the final upload", removal.final_upload)):
        if mark is not None:
            said = f": {mark.said.splitlines()[0]}" if mark.said else ""
            lines.append(f"{what} of its metacache: {mark.how.value}, {mark.at:%Y-%m-%d %H:%M} UTC by {mark.who}{said}")
    lines.append(f"metacache flushall ended well {uploads_done(story)} times")
    if removal.moved is not None:
        lines.append(
            f"not all were seen to be gone, and that was accepted by {removal.moved.who}: {removal.moved.said}"
        )
    if removal.ended is None:
        lines.append("it is not ended")
    else:
        lines.append(f"{removal.ended.how.value} {removal.ended.at:%Y-%m-%d %H:%M} UTC by {removal.ended.who}")
        if removal.ended.how in {Ending.BACKED_OUT, Ending.BROUGHT_BACK}:
            lines.append(STAY_MOVED)
    return tuple(lines)


def summary_page(removal: Removal, story: Sequence[Entry]) -> str:
    """As Markdown: what it came to, and everything that the journal has of it."""
    records = [record for one in story for record in one.records]
    said = summary_lines(removal, story)
    return markdown(records, removal.cluster, title=f"Clean removal of {removal.ip}", said=said)
