"""An emergency stop as a person reads it: what it does and what it doesn't, every backend, and where the counts are
kept. A function of the plan, so that it can be written again at another width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content

from director_tui.operations.stop_record import moment
from director_tui.operations.words import listed, percent, plural
from director_tui.text import clean
from director_tui.ui.format import ACCENT, ATTENTION, DANGER, MUTED, PLAIN, STYLES
from director_tui.ui.plan_text import INDENT, command_lines, marked, sentence, target_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from director_tui.operations.plan import Plan


@dataclass(frozen=True, slots=True)
class KeptAt:
    """Where the record and the script are put, and who finds them there."""

    places: tuple[str, ...]
    path: str
    whom: str


def stop_text(plan: Plan, names: Mapping[str, str], places: Sequence[KeptAt], width: int) -> Content:
    """All of the plan of a stop but its title, for so many cells."""
    blocks = [
        [*_head("What happens", _numbers(plan), width), *marked("▲", plan.warnings, DANGER, width)],
        [*_head("What does not, and what stays", "", width), *marked("·", plan.notes, PLAIN, width)],
        [*_head("Every backend", "", width), *_kept_otherwise(plan, width), *target_lines(plan.rows, names, width)],
        [
            *_head("Kept before the first command", "the vhost counts, and a script that gives them back", width),
            *(line for one in places for line in sentence(("·", STYLES[MUTED]), _place(one), PLAIN, width)),
            *marked("·", (_DURABLE,), MUTED, width),
        ],
        [
            *_head("Afterwards", "it is seen on every director, or said where it is not", width),
            *marked("·", (_DISCONNECT, _RECOVER), MUTED, width),
        ],
        command_lines(plan),
    ]
    return Content("\n\n").join(Content("\n").join(block) for block in blocks)


_DURABLE = "nothing is sent before they are on a disk in one of these places; it takes 5 s at most"
_DISCONNECT = "disconnecting everyone is offered once no director has a usable backend: n there, or E again"
_RECOVER = "R gives the counts back, here and from any other place where this ring is operated"


def _head(what: str, more: str, width: int) -> list[Content]:
    if not more:
        return [Content.styled(what, STYLES[ACCENT])]
    return sentence((what, STYLES[ACCENT]), more, PLAIN, width)


def _numbers(plan: Plan) -> str:
    now = [row.now for row in plan.rows if row.now is not None]
    usable, there = [one for one in now if one.usable], sum(one.users for one in now)
    tags = {one.tag for one in usable}
    of_tags = f" in {plural(len(tags), 'tag')}" if len(tags) > 1 else ""
    most = max(now, key=lambda one: one.users, default=None)
    if not usable:
        still = plural(len(plan.commands), "backend")
        return (
            f"all {len(now):,} are at 0 on {clean(plan.director)}; {still} that others still send users to get 0 there"
        )
    said = f"{plural(len(usable), 'usable backend')} of {len(now):,}{of_tags} get vhost count 0"
    if most is None or not there:
        return f"{said}; nobody is assigned to any"
    return f"{said}; {plural(there, 'user')} are assigned, {percent(most.users / there)} of them to {most.ip}"


def _kept_otherwise(plan: Plan, width: int) -> list[Content]:
    """Which counts are saved that are not those of now, because an earlier stop is not ended."""
    now = {row.ip: row.now.vhosts for row in plan.rows if row.now is not None}
    other = [one for one in plan.request.saves if now.get(one.ip, 0) not in {0, one.vhosts}]
    if not other:
        return []
    since = listed(map(moment, plan.request.stops))
    said = f"nobody has ended the stop of {since}: what it saved is kept, and what is now stands in the journal only"
    each = (f"{one.ip}: {one.vhosts} is kept, not {now[one.ip]}" for one in other)
    return [*marked("▲", (said,), ATTENTION, width), *marked("·", each, ATTENTION, width)]


def _place(one: KeptAt) -> str:
    return f"{listed(one.places)}: {one.path} {one.whom}"


def script_text(script: bytes) -> Content:
    """The script that gives the counts back, to be copied by hand."""
    lines = script.decode("utf-8", "replace").splitlines()
    return Content("\n").join(Content.styled(f"{INDENT}{clean(line)}", STYLES[PLAIN]) for line in lines)
