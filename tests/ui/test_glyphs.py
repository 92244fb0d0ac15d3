"""What is sent to a terminal that can't show all glyphs."""

from __future__ import annotations

import ast
import unicodedata
from pathlib import Path

import pytest
from rich.cells import cell_len

from director_tui import ui
from director_tui.ui.glyphs import alphabet_of

CONSOLE_SHOWS = set("·←↑→↓≈─│┌┐└┘├┤┼█▲▼")
"""Of ours, those that Debian's console fonts (Lat15) and the kernel's own (code page 437) both have."""


def drawn_with() -> str:
    """Every glyph in a text of the screens."""
    files = Path(ui.__file__).parent.glob("*.py")
    trees = [ast.parse(file.read_text()) for file in files if file.name != "glyphs.py"]
    texts = [node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return "".join(sorted({glyph for text in texts if isinstance(text, str) for glyph in text if not glyph.isascii()}))


@pytest.mark.parametrize("encoding", ["ANSI_X3.4-1968", "ISO-8859-1", "KOI8-R", "EUC-JP", "ARMSCII-8"])
def test_a_terminal_that_is_no_utf_8_gets_ascii(encoding: str) -> None:
    glyphs = drawn_with()
    assert len(glyphs) > 30
    sent = alphabet_of({"TERM": "xterm-256color"}, encoding).encode(glyphs).decode("ascii")
    assert len(sent) == cell_len(glyphs)
    assert {glyph for glyph, instead in zip(glyphs, sent, strict=True) if instead == "?"} <= {"�", "≠"}


def test_a_console_gets_what_its_font_has() -> None:
    glyphs = drawn_with()
    sent = alphabet_of({"TERM": "linux"}, "UTF-8").encode(glyphs).decode()
    assert len(sent) == cell_len(glyphs)
    for glyph, instead in zip(glyphs, sent, strict=True):
        assert instead.isascii() or instead in CONSOLE_SHOWS, unicodedata.name(glyph)


def test_names_stay_as_they_are_where_they_can_be_shown() -> None:
    name = "żółć é 雪 ▸ ▇"
    assert alphabet_of({"TERM": "xterm"}, "UTF-8").encode(name).decode() == name
    assert alphabet_of({"TERM": "linux"}, "UTF-8").encode(name).decode() == "żółć é 雪 > █"
    assert alphabet_of({"TERM": "xterm"}, "ISO-8859-1").encode(name).decode("latin-1") == "?ó?? é ? > #"
    assert alphabet_of({"TERM": "xterm"}, "ANSI_X3.4-1968").encode(name).decode() == "???? ? ? > #"


def test_what_is_typed_is_utf_8_where_the_locale_says_nothing_of_it() -> None:
    typed = {
        encoding: alphabet_of({"TERM": "xterm"}, encoding).typed_as
        for encoding in ("UTF-8", "ANSI_X3.4-1968", "latin1")
    }
    assert typed == {"UTF-8": "utf-8", "ANSI_X3.4-1968": "utf-8", "latin1": "iso8859-1"}


@pytest.mark.parametrize(
    ("environment", "encoding"),
    [
        ({"LC_ALL": "de_DE.UTF-8", "LANG": "C"}, "utf-8"),
        ({"LC_ALL": "", "LC_CTYPE": "xx_YY.utf8"}, "utf-8"),
        ({"LANG": "C.UTF-8"}, "utf-8"),
        ({"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, "ascii"),
        ({}, "ascii"),
    ],
)
def test_a_locale_that_is_not_installed_here_is_utf_8_by_its_name(environment: dict[str, str], encoding: str) -> None:
    assert alphabet_of(environment, "ANSI_X3.4-1968").encoding == encoding


def test_escape_sequences_are_no_glyphs() -> None:
    sequence = "\x1b[?1049h\x1b[38;5;110m"
    for terminal, encoding in (("linux", "UTF-8"), ("vt100", "ANSI_X3.4-1968")):
        assert alphabet_of({"TERM": terminal}, encoding).encode(sequence) == sequence.encode()
