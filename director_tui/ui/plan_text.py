"""A plan as a person reads it: what changes, who receives the users, what to mind, and the exact commands.

Everything here is a function of the plan, so it can be written again when the plan or the width is another.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content

from director_tui.director.model import Condition
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.format import (
    ACCENT,
    ATTENTION,
    DANGER,
    MUTED,
    NAME_WIDTH,
    PLAIN,
    STYLES,
    TAG_WIDTH,
    Piece,
    shortened,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from director_tui.director.model import Backend
    from director_tui.operations.plan import Plan, TargetChange
    from director_tui.operations.prediction import Forecast, Prediction
    from director_tui.ui.format import Part

Row = tuple[Piece, ...]
"""A line of a table: cells, some of them empty."""

INDENT: Final = "  "
ARROW: Final = Piece("→", MUTED)
"""Between what is now and what is after; it stands closer to both than other cells do."""
VHOSTS: Final = Piece("vhosts")
"""In front of a count, and close to it."""

_WORDS: Final = {
    Condition.SERVING: "serving",
    Condition.DRAINING: "draining",
    Condition.DRAINED: "drained",
    Condition.DOWN: "DOWN",
}


def plan_text(plan: Plan, names: Mapping[str, str], capacity: int | None, width: int) -> Content:
    """All of a plan but its title, for so many cells. ``names`` are what people call the backends."""
    blocks = [
        target_lines(plan.rows, names, width),
        *(_prediction(plan.prediction, names, capacity, width) if plan.prediction is not None else ()),
        [*marked("▲", plan.warnings, DANGER, width), *marked("▲", _raised(plan), ATTENTION, width)],
        marked("·", plan.notes, MUTED, width),
        command_lines(plan),
    ]
    return Content("\n\n").join(Content("\n").join(block) for block in blocks if block)


def target_lines(rows: Sequence[TargetChange], names: Mapping[str, str], width: int) -> list[Content]:
    return aligned([target_row(row, names) for row in rows], width, right={4, 6, 8}, first_to_go=(1, 2))


def target_row(row: TargetChange, names: Mapping[str, str]) -> Row:
    now, after = row.now, row.after
    one = now or after
    tag = shortened(one.tag, TAG_WIDTH) if one is not None and one.tag else ""
    return (
        Piece(row.ip),
        Piece(_name(row.ip, names), MUTED),
        Piece(tag, MUTED),
        *_vhosts(now, after),
        _condition(now, after),
        Piece(format.plural(now.users, "user") if now is not None else "", MUTED),
    )


def _vhosts(now: Backend | None, after: Backend | None) -> tuple[Piece, Piece, Piece, Piece]:
    """The vhost count, and what it becomes if that is another."""
    one = now or after
    if one is None:
        return Piece(""), Piece(""), Piece(""), Piece("")
    if now is None or after is None or now.vhosts == after.vhosts:
        return VHOSTS, Piece(f"{one.vhosts}"), Piece(""), Piece("")
    return VHOSTS, Piece(f"{now.vhosts}"), ARROW, Piece(f"{after.vhosts}")


def _condition(now: Backend | None, after: Backend | None) -> Piece:
    if now is None:
        return Piece(f"new → {_WORDS[after.condition]}", ATTENTION) if after is not None else Piece("not there", DANGER)
    if after is None:
        return Piece(f"{_WORDS[now.condition]} → removed", DANGER)
    was, becomes = _WORDS[now.condition], _WORDS[after.condition]
    return Piece(f"{was} → {becomes}" if was != becomes else was, format.CONDITION_MEANINGS[after.condition])


def _prediction(
    prediction: Prediction, names: Mapping[str, str], capacity: int | None, width: int
) -> tuple[list[Content], list[Content]]:
    shares = [one for one in prediction.forecasts if one.share_now != one.share_after]
    users = [one for one in prediction.forecasts if one.users_after != one.users_now]
    return (
        [
            *sentence(("At once", STYLES[ACCENT]), prediction.at_once, PLAIN, width),
            *aligned([_share(one, names) for one in shares], width, right={3, 5}, first_to_go=(1, 2)),
        ],
        [
            *sentence(("On flush or expiry", STYLES[ACCENT]), prediction.later, PLAIN, width),
            *aligned(
                [_users(one, names, capacity, exact=prediction.exact) for one in users],
                *(width,),
                right={3, 5, 6, 7},
                first_to_go=(1, 2),
            ),
        ],
    )


def _share(one: Forecast, names: Mapping[str, str]) -> Row:
    return (
        Piece(one.ip),
        Piece(_name(one.ip, names), MUTED),
        Piece(shortened(one.tag, TAG_WIDTH), MUTED),
        Piece(_percent(one.share_now), MUTED),
        ARROW,
        Piece(_percent(one.share_after)),
        Piece("of new users", MUTED),
    )


def _users(one: Forecast, names: Mapping[str, str], capacity: int | None, *, exact: bool) -> Row:
    who = (Piece(one.ip), Piece(_name(one.ip, names), MUTED), Piece(shortened(one.tag, TAG_WIDTH), MUTED))
    if one.users_after is None:
        return (*who, Piece(format.count(one.users_now), MUTED), ARROW, Piece("?"), Piece(""), Piece(""))
    more = one.users_after - one.users_now
    change = f"{'' if exact else '≈ '}{'+' if more > 0 else '−'}{format.count(abs(more))}"
    grows = f"{more / one.users_now * 100:+.0f} %".replace("-", "−") if one.users_now else ""
    full = f"beyond {format.count(capacity)}" if capacity is not None else "beyond its capacity"
    return (
        *who,
        Piece(format.count(one.users_now), MUTED),
        ARROW,
        Piece(format.count(one.users_after), DANGER if one.over_capacity else PLAIN),
        Piece(change),
        Piece(grows, MUTED),
        Piece(full if one.over_capacity else "", DANGER),
    )


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %" if share else "–"


def _raised(plan: Plan) -> Iterable[str]:
    return (f"asks for the cluster's name: {reason}" for reason in plan.raised_by)


def marked(mark: str, sentences: Iterable[str], meaning: str, width: int) -> list[Content]:
    return [line for one in sentences for line in sentence((mark, STYLES[meaning]), one, meaning, width)]


def sentence(lead: Part, text: str, meaning: str, width: int) -> list[Content]:
    """A sentence behind its lead; where it is longer than a line it goes on below, indented."""
    lines: list[tuple[Content, list[str]]] = [(Content.assemble(lead, " " if cell_len(lead[0]) == 1 else "   "), [])]
    room = width - lines[0][0].cell_length
    for word in clean(text).split(" "):
        words = lines[-1][1]
        if words and cell_len(" ".join((*words, word))) > room:
            lines.append((Content(INDENT), [word]))
            room = width - len(INDENT)
        else:
            words.append(word)
    # A gap has no style of its own: some viewers of the pictures drop blanks at the beginning of a styled text.
    return [Content.assemble(start, (" ".join(words), STYLES[meaning])) for start, words in lines]


def command_lines(plan: Plan) -> list[Content]:
    """The exact commands, below the director that each of them runs on."""
    lines: list[Content] = []
    pairs = zip(plan.commands, plan.command_lines, strict=True)
    for director, group in groupby(pairs, lambda pair: plan.director_of(pair[0])):
        there = [line for _, line in group]
        order = ", one after the other" if len(there) > 1 else ""
        runs = "then on " if lines else "Runs on "
        lines.append(Content.assemble((runs, STYLES[MUTED]), clean(director), (order, STYLES[MUTED])))
        lines += [Content.assemble(INDENT, (clean(line), STYLES[PLAIN])) for line in there]
    return lines


def _name(ip: str, names: Mapping[str, str]) -> str:
    return shortened(clean(names.get(ip, "")), NAME_WIDTH)


def aligned(rows: Sequence[Row], width: int, *, right: Collection[int], first_to_go: Iterable[int]) -> list[Content]:
    """A table without a header. Columns that nothing stands in are left out, then those ``first_to_go``."""
    if not rows:
        return []
    count = max(map(len, rows))
    rows = [(*row, *[Piece("")] * (count - len(row))) for row in rows]
    widths = {place: max(cell_len(row[place].text) for row in rows) for place in range(count)}
    shown = [place for place in range(count) if widths[place]]
    arrows = {place for place in shown if any(row[place] is ARROW for row in rows)}
    close = (
        arrows
        | {place - 1 for place in arrows}
        | {place for place in shown if any(row[place] is VHOSTS for row in rows)}
    )
    gaps = {place: 1 if place in close else 2 for place in shown}
    for place in first_to_go:
        if len(INDENT) + sum(widths[one] + gaps[one] for one in shown) - 2 > width and place in shown:
            shown.remove(place)
    lines = []
    for row in rows:
        parts: list[Part] = [(INDENT, "")]
        for place in shown:
            text, free = row[place].text, " " * (widths[place] - cell_len(row[place].text))
            before, behind = (free, "") if place in right else ("", free)
            parts += [(before, ""), (text, STYLES[row[place].meaning]), (behind + " " * gaps[place], "")]
        lines.append(Content.assemble(*parts).rstrip())
    return lines
