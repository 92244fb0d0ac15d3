"""What the directors' own views of the ring come to, in words that an operator understands at night."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.director.agreement import twins
from director_tui.link.reading import foreign, undecided
from director_tui.ui import format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from director_tui.director.agreement import Disagreement
    from director_tui.director.model import Backend
    from director_tui.link.reading import Reading
    from director_tui.ui.format import Part

NAMED: Final = 3
"""So many of a kind are named one by one."""


def split_words(reading: Reading, name: Callable[[str], str]) -> str:
    """Who runs apart from whom, where ``reading.split`` says that the ring is split."""
    groups = reading.split
    alone = [group[0] for group in groups if group[0] in reading.alone]
    if alone and len(groups) - len(alone) < 2:
        return f"{format.listed(map(name, alone))} {'sees only itself' if len(alone) == 1 else 'see only themselves'}"
    return f"{len(groups)} rings, {' | '.join(format.listed(map(name, group)) for group in groups)}"


def undecided_words(reading: Reading, name: Callable[[str], str]) -> str:
    """Whose rings can't both be ours, while it can't be told which one is; empty if it can."""
    if not (apart := undecided(reading.views)):
        return ""
    one, other, silent = map(name, (*apart, reading.views[0].director))
    return f"WHICH RING IS OURS? {one} and {other} are of different rings, {silent} says nothing"


def verdict(reading: Reading, disagreeing: Sequence[Disagreement], name: Callable[[str], str]) -> list[Part]:
    """How it stands with the ring, a line for each thing to know, the worst first."""
    if not reading.views:
        return [("asking every director …", "$dt-muted")]
    lines = _troubles(reading, disagreeing, name)
    if not lines:
        lines = [_all_is_well(reading)]
    failures = [view.failure for view in reading.views if view.failure is not None]
    lines.extend((reason, "$dt-attention") for reason in dict.fromkeys(map(str, failures)))
    lines.extend((remedy, "$dt-text") for remedy in dict.fromkeys(one.remedy for one in failures) if remedy)
    for other in foreign(reading.views):
        lines.append(
            (f"{name(other)} BELONGS TO ANOTHER RING and is left out: take it out of this cluster", "$dt-danger")
        )
    rings = reading.rings
    for again, first in twins(rings).items():
        lines.append((f"{name(again)} is the same director as {name(first)}; it counts once", "$dt-muted"))
    if reading.unread_members:
        missing = format.listed(format.address(*member) for member in sorted(reading.unread_members))
        lines.append((f"without a destination here, so not read: {missing}", "$dt-attention"))
    return lines


def _troubles(reading: Reading, disagreeing: Sequence[Disagreement], name: Callable[[str], str]) -> list[Part]:
    rings = reading.rings
    lines: list[Part] = []
    if words := undecided_words(reading, name):
        lines.append((words, "$dt-danger bold"))
    if reading.split:
        lines.append((f"SPLIT: {split_words(reading, name)}", "$dt-danger bold"))
        lines.append(("Change nothing before that is mended: look at the network between them.", "$dt-text"))
    unsynced = [one for one, view in rings.items() if not view.synced]
    if unsynced:
        said = (f"{name(one)} says “{_own_status(reading, one)}”" for one in unsynced)
        lines.append((f"NOT SYNCED: {format.listed(said)}", "$dt-danger bold"))
        lines.append(("A change would wait up to 30 s and then fail.", "$dt-text"))
    if disagreeing:
        ips = [one.ip for one in disagreeing[:NAMED]]
        if len(disagreeing) > NAMED:
            ips.append(f"{len(disagreeing) - NAMED} more")
        lines.append((f"The directors DISAGREE about {format.listed(ips)}", "$dt-danger bold"))
        if not reading.split:
            lines.append(("A change on its way round the ring does this for a moment; it must not stay.", "$dt-text"))
    if reading.split or unsynced:
        return lines
    members = {member for view in rings.values() for member in view.members}
    gone = members - reading.taking_part if reading.taking_part else set()
    unsettled = [name(one) for one, view in rings.items() if view.members == view.connected and not view.healthy]
    if gone:
        away = format.listed(_called(member, reading, name) for member in sorted(gone))
        there = f"{len(members) - len(gone)} of {format.plural(len(members), 'director')}"
        lines.append((f"{there} in the ring; missing: {away}", "$dt-attention bold"))
    if unsettled:
        lines.append((f"{format.listed(unsettled)} still settling with a neighbour", "$dt-attention bold"))
    return lines


def _all_is_well(reading: Reading) -> Part:
    rings = reading.rings
    if not rings:
        return "No director could be asked.", "$dt-danger bold"
    members = {member for view in rings.values() for member in view.members}
    counted = len(rings) - len(twins(rings))
    tables = [one.backends for one in reading.views if one.director in rings and one.failure is None]
    agreed = f"agree about {format.plural(len(tables[0]), 'backend')}" if tables else ""
    if counted < len(members):
        seen = f"{counted} of {format.plural(len(members), 'director')} read"
        said = f", they {agreed}" if counted > 1 and agreed else ""
        return f"Whole as far as seen: {seen}{said}", "$dt-attention bold"
    if counted == 1:
        return "The ring is one director, and it is synced", "$dt-fine bold"
    return f"The ring is whole: {counted} of {counted} directors synced, all {agreed}", "$dt-fine bold"


def _own_status(reading: Reading, director: str) -> str:
    own = reading.rings[director].self_peer
    return own.status if own is not None else "no word about itself"


def _called(member: tuple[str, int], reading: Reading, name: Callable[[str], str]) -> str:
    known = next((one.director for one in reading.views if one.identity == member), None)
    return f"{format.address(*member)} ({name(known)})" if known is not None else format.address(*member)


def said_of(row: Backend | None) -> str:
    """What one director says of a backend."""
    if row is None:
        return "not listed"
    return f"vhosts {row.vhosts}, {row.state.value}{f', tag {row.tag}' if row.tag else ''}"


def listed_sides(one: Disagreement, name: Callable[[str], str]) -> str:
    """Who says what of a backend; those who are few come first, and a crowd is not named one by one."""
    sides = sorted(one.sides, key=lambda side: len(side[1]))
    said = []
    for row, names in sides:
        crowd = len(names) > NAMED and len(sides) > 1 and names is sides[-1][1]
        said.append(f"{f'the {len(names)} others' if crowd else format.listed(map(name, names))}: {said_of(row)}")
    return " · ".join(said)
