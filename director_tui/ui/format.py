"""Model values to text: the only place that knows glyphs, units, and which meaning a value has.

A text is a string and the name of its meaning: one of the component classes of the stylesheet. Colours are not known
here, and never carry anything that the characters don't say too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from director_tui.director.changes import Subject
from director_tui.director.model import Condition
from director_tui.operations.words import listed as listed
from director_tui.operations.words import plural as plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from director_tui.director.changes import Change
    from director_tui.director.model import Backend
    from director_tui.operations.plan import Outcome
    from director_tui.operations.progress import LineStatus

PLAIN: Final = ""
MUTED: Final = "muted"
FINE: Final = "fine"
ATTENTION: Final = "attention"
DANGER: Final = "danger"
ACCENT: Final = "accent"

Part = tuple[str, str]
"""A text and its style, made of theme variables."""

STYLES: Final = {
    PLAIN: "$dt-text",
    MUTED: "$dt-muted",
    FINE: "$dt-fine",
    ATTENTION: "$dt-attention",
    DANGER: "$dt-danger bold",
    ACCENT: "$dt-accent",
    "bar": "$dt-bar",
    "tick": "$dt-tick",
}
"""The style of each meaning outside a table."""

# A gap has no style of its own: some viewers of the pictures drop blanks at the edges of a styled text.
DOT: Final[tuple[Part, ...]] = ((" ", ""), ("·", "$dt-muted"), (" ", ""))

NAME_WIDTH: Final = 24
TAG_WIDTH: Final = 20
"""The longest names and tags that are shown whole."""

CONDITION_MEANINGS: Final = {
    Condition.DOWN: DANGER,
    Condition.DRAINING: ATTENTION,
    Condition.DRAINED: ATTENTION,
    Condition.SERVING: FINE,
}

_SPARKS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MINUS = "−"


@dataclass(frozen=True, slots=True)
class Piece:
    """A text with one meaning."""

    text: str
    meaning: str = PLAIN


def shortened(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)).rstrip() + "…"


def count(number: int) -> str:
    return f"{number:,}"


def address(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def size(number: int) -> str:
    """Bytes in their largest unit: 37 B, 1.2 kB, 400 MB."""
    value, units = float(number), iter(("kB", "MB", "GB", "TB"))
    if value < 1000:
        return f"{number} B"
    unit = ""
    while round(value) >= 1000 and (bigger := next(units, "")):
        value, unit = value / 1000, bigger
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:,.0f} {unit}"


def share(fraction: float, *, usable: bool) -> Piece:
    return Piece(f"{fraction * 100:.1f} %") if usable else Piece("–  ", MUTED)


def rate(per_min: float | None) -> Piece:
    """Users a minute, with its sign; nothing as long as it isn't known."""
    if per_min is None:
        return Piece("")
    whole = round(per_min)
    if whole == 0:
        return Piece("0", MUTED)
    return Piece(f"+{whole:,}" if whole > 0 else f"{_MINUS}{-whole:,}")


def span(seconds: float) -> str:
    """A length of time in its largest unit: 42s, 8m, 3h, 5d."""
    whole = max(0, int(seconds))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def short_span(seconds: float) -> str:
    """A length of time that may be less than a second: 0.3s, 9.8s, 42s, 8m."""
    return f"{seconds:.1f}s" if seconds < 9.95 else span(seconds)


def condition(backend: Backend, now: datetime, per_min: float | None) -> tuple[Piece, Piece]:
    """The condition, and what goes with it: how long it has been down, or when it will be drained."""
    meaning = CONDITION_MEANINGS[backend.condition]
    match backend.condition:
        case Condition.DOWN:
            since = backend.state_changed
            return Piece("▼ DOWN", meaning), Piece(span((now - since).total_seconds()) if since else "", MUTED)
        case Condition.DRAINING:
            if per_min is not None and per_min < 0:
                return Piece("◌ draining", meaning), Piece(f"ETA {span(backend.users / -per_min * 60)}", MUTED)
            return Piece("◌ draining", meaning), Piece("")
        case Condition.DRAINED:
            return Piece("○ drained", meaning), Piece("")
        case Condition.SERVING:
            return Piece("serving", meaning), Piece("")


def conditions(backends: Iterable[Backend]) -> list[tuple[Condition, Piece]]:
    """How many backends are in which condition; of those that need attention only what there is."""
    counted = dict.fromkeys(Condition, 0)
    for backend in backends:
        counted[backend.condition] += 1
    words = {
        Condition.SERVING: ("serving", FINE if counted[Condition.SERVING] else MUTED),
        Condition.DRAINING: ("draining", ATTENTION),
        Condition.DRAINED: ("drained", ATTENTION),
        Condition.DOWN: ("DOWN", DANGER),
    }
    return [
        (condition, Piece(f"{counted[condition]} {word}", meaning))
        for condition, (word, meaning) in words.items()
        if counted[condition] or condition is Condition.SERVING
    ]


def bar(value: float, expected: float | None, largest: float, width: int) -> list[Piece]:
    """A bar for ``value`` where ``largest`` fills ``width`` cells, with a tick where ``expected`` would end."""
    if width <= 0 or largest <= 0:
        return [Piece(" " * max(0, width))]
    eighths = round(max(0.0, min(1.0, value / largest)) * width * 8)
    cells = list("█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else ""))
    cells += " " * (width - len(cells))
    if expected is None:
        return [Piece("".join(cells), "bar")]
    tick = min(width - 1, int(max(0.0, min(1.0, expected / largest)) * width))
    inside = cells[tick] == "█"
    return [
        Piece("".join(cells[:tick]), "bar"),
        Piece("╵", "tick-inside" if inside else "tick"),
        Piece("".join(cells[tick + 1 :]), "bar"),
    ]


def sparkline(values: Sequence[int | None], width: int) -> str:
    """The newest values, at most ``width``, scaled between their own smallest and largest.

    Where there are more values than cells, each cell shows the last of its part.
    """
    if width <= 0 or not values:
        return ""
    picked = values if len(values) <= width else [values[(i + 1) * len(values) // width - 1] for i in range(width)]
    known = [value for value in picked if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    # Noise of a few users must not look like a mountain: the scale spans at least a twentieth of the value.
    room = max(high - low, high / 20, 1)
    # The middle of the scale lies in the middle of a glyph, not between two, so that noise stays on one.
    middle = (low + high) / 2
    steps = (None if value is None else int((value - middle) / room * 7 + 3.5 + 1e-9) for value in picked)
    cells = (" " if step is None else _SPARKS[max(0, min(7, step))] for step in steps)
    return "".join(cells)


def change(one: Change, names: Mapping[str, str]) -> list[Piece]:
    """A change as a line of the feed, without its time."""
    who = f"{one.of}  {shortened(names[one.of], NAME_WIDTH)}" if one.of in names else one.of
    match one.subject:
        case Subject.VHOSTS:
            meaning = ATTENTION if one.after == "0" else PLAIN
            return [Piece(f"{who}  "), Piece(f"vhosts {one.before} → {one.after}", meaning)]
        case Subject.STATE:
            down = one.after == "down"
            return [Piece(f"{who}  "), Piece("up → DOWN" if down else "DOWN → up", DANGER if down else FINE)]
        case Subject.TAG:
            return [Piece(f"{who}  "), Piece(f"tag {_tag(one.before)} → {_tag(one.after)}", ATTENTION)]
        case Subject.BACKEND:
            return [Piece(f"{who}  "), Piece(one.after, ATTENTION)]
        case Subject.RING:
            bad = one.after in {"left the ring", "not synced"}
            text = f"{one.before} → {one.after}" if one.before else one.after
            return [Piece(f"{who}  "), Piece(text, DANGER if bad else FINE)]
        case Subject.RESTART:
            return [Piece(f"{one.of}  "), Piece(one.after, DANGER)]
        case Subject.LINK:
            bad = one.after == "no director answers" or one.after.startswith("failed")
            return [Piece(f"{one.of}  "), Piece(one.after, ATTENTION if bad else FINE)]


def undone(change: Change) -> str:
    """What a state that flipped back by itself may mean, and what to do."""
    after = span(change.undone_after.total_seconds()) if change.undone_after is not None else ""
    other = "down" if change.after == "up" else "up"
    advice = " Use vhost count 0 for maintenance" if change.after == "up" else ""
    whose = "your" if change.undid_ours else "the"
    return f"set {change.after} again {after} after {whose} {other}: a monitor (dovemon, poolmon)?{advice}"


def cause(change: Change) -> str:
    """Who changed the ring: this program, or somebody else."""
    if not change.subject.is_of_ring:
        return ""
    return f"you · {decapitalized(change.by)}" if change.by else "outside this program"


def decapitalized(sentence: str) -> str:
    """A title in the middle of a line."""
    return sentence[:1].lower() + sentence[1:]


def line_status(status: LineStatus) -> Piece:
    """Where one command stands."""
    return _LINE_STATUSES[status.value]


def outcome(one: Outcome) -> Piece:
    """What a re-reading of the ring has shown."""
    return _LINE_STATUSES[one.value]


# By the words of LineStatus and Outcome, which nobody needs before the first operation.
_LINE_STATUSES: Final = {
    "pending": Piece("· pending", MUTED),
    "sent": Piece("→ sent", ACCENT),
    "done": Piece("→ not proven", ACCENT),
    "failed": Piece("✗ failed", ATTENTION),
    "applied": Piece("✓ applied", FINE),
    "not applied": Piece("✗ not applied", DANGER),
    "unknown": Piece("? unknown", DANGER),
}


def _tag(tag: str) -> str:
    return shortened(tag, TAG_WIDTH) or "none"
