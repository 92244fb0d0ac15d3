"""Numbers, tags and lists as they stand in the sentences of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAMED: Final = 3
"""Of more backends than this a sentence names only so many; the plan lists every one elsewhere."""

LONGEST_TAG: Final = 20
"""Characters of a tag that a sentence repeats."""


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def does(number: int, one: str, several: str) -> str:
    """The form of a verb behind so many of something."""
    return one if number == 1 else several


def listed(words: Iterable[str]) -> str:
    """One, two and three."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def some(words: Iterable[str]) -> str:
    """The first of them by name, the rest by their number."""
    every = list(words)
    if len(every) <= NAMED + 1:
        return listed(every)
    return listed([*every[:NAMED], f"{len(every) - NAMED} more"])


def counted_words(ips: Sequence[str]) -> str:
    """One backend by its IP, several by their number."""
    return ips[0] if len(ips) == 1 else plural(len(ips), "backend")


def percent(share: float) -> str:
    """A fraction 0…1 in per cent, one digit behind the point: 25.2 %. What is there is never shown as nothing."""
    return "< 0.1 %" if 0 < share < 0.0005 else f"{share:.1%}".replace("%", " %")


def tag_name(tag: str) -> str:
    shown = clean(tag)
    short = f"{shown[: LONGEST_TAG - 1]}…" if len(shown) > LONGEST_TAG else shown
    return f"tag {short}" if tag else "no tag"


def users(number: int, *, exact: bool = True) -> str:
    return ("" if exact else "≈ ") + plural(number, "user")
