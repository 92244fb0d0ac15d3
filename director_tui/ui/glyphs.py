"""What a terminal is sent in the place of glyphs that it can't show: others of one cell each.

A Linux console has a font of 512 characters at most: here are those that both Debian's and the kernel's own have. A
terminal that is no UTF-8 gets ASCII. What the program says is never in a glyph alone, so that nothing is lost by it.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_ASCII: Final = (
    ("▁▂", "_"),
    ("▃▄╌╍─━–—−·▔▀", "-"),
    ("▅▆", "="),
    ("▇█▉▊▋▌▐", "#"),
    ("▍▎▏", " "),
    ("│┃├┤╵╷▕", "|"),
    ("┌┐└┘┼╭╮╰╯✓", "+"),
    ("◆●", "*"),
    ("◌○", "o"),
    ("▸→", ">"),
    ("←", "<"),
    ("▾▼↓", "v"),
    ("▴↑", "^"),
    ("▲", "!"),
    ("✗", "x"),
    ("≈…", "~"),
    ("≠\ufffd", "?"),
    ("“”", '"'),
)
"""By what they look like. A sparkline has four heights, and a bar ends at a whole cell."""
_CONSOLE_SHOWS: Final = "·←↑→↓≈─│┌┐└┘├┤┼█▲▼"
_CONSOLE_INSTEAD: Final = (("▇▉▊▋▌▐", "█"), ("╵╷┃▕", "│"), ("━╌╍", "─"), ("╭", "┌"), ("╮", "┐"), ("╰", "└"), ("╯", "┘"))


def _table(*groups: tuple[str, str]) -> dict[str, str]:
    return {glyph: instead for glyphs, instead in groups for glyph in glyphs}


ASCII: Final = str.maketrans(_table(*_ASCII))
CONSOLE: Final = {
    glyph: instead
    for glyph, instead in str.maketrans(_table(*_ASCII, *_CONSOLE_INSTEAD)).items()
    if chr(glyph) not in _CONSOLE_SHOWS
}


@dataclass(frozen=True, slots=True)
class Alphabet:
    """How texts become the bytes of a terminal. ``typed_as`` is the encoding of what it sends."""

    encoding: str
    instead: Mapping[int, str]

    def encode(self, text: str) -> bytes:
        shown = text.translate(self.instead) if self.instead else text  # to look at each character is not free
        return shown.encode(self.encoding, "replace")

    @property
    def typed_as(self) -> str:
        return "utf-8" if self.encoding == "ascii" else self.encoding


def alphabet_of(environment: Mapping[str, str], encoding: str) -> Alphabet:
    """That of the terminal of this environment; ``encoding`` is what its locale comes to here.

    A locale that is called UTF-8 is one also where it is not installed, as on a host to which ssh has brought it along.
    """
    told = next(filter(None, map(environment.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    try:
        name = codecs.lookup("utf-8" if re.search(r"utf-?8", told, re.IGNORECASE) else encoding).name
    except LookupError:  # a name that the system has and Python does not know
        name = "ascii"
    if name != "utf-8":
        return Alphabet(name, ASCII)
    return Alphabet(name, CONSOLE if environment.get("TERM") == "linux" else {})
