"""The theme files, and that no theme is needed to tell one state from another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.color import Color

from director_tui.errors import ConfigError, UsageError
from director_tui.ui import themes
from tests.ui.fakes import FakeRing, dashboard, make_app

if TYPE_CHECKING:
    from pathlib import Path

BUILT_IN = themes.built_in_themes()


def test_harbour_and_paper_are_there() -> None:
    assert {"harbour", "paper"} <= set(BUILT_IN)
    assert BUILT_IN["harbour"].dark
    assert not BUILT_IN["paper"].dark


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_theme_defines_every_colour_and_can_be_read(name: str) -> None:
    variables = BUILT_IN[name].variables
    assert {f"dt-{color}" for color in themes.COLORS} <= set(variables)
    ground = Color.parse(variables["dt-background"])
    for color in ("text", "muted", "accent", "fine", "attention", "danger"):
        assert contrast(ground, Color.parse(variables[f"dt-{color}"])) >= 4.5, color


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(color: Color) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", sorted(BUILT_IN))
async def test_the_dashboard_shows_the_theme(name: str) -> None:
    async with dashboard(theme=name) as screen:
        style = screen.style_of("10.1.0.2")
        assert style.bgcolor is not None
        assert style.bgcolor.triplet is not None
        assert style.bgcolor.triplet.hex == Color.parse(BUILT_IN[name].variables["dt-background"]).hex.lower()


async def test_states_are_told_apart_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with dashboard() as screen:
        rows = screen.table()
        assert "serving" in rows[0]
        assert "◌ draining" in rows[2]
        assert "▼ DOWN" in rows[3]
        assert "○ drained" in rows[5]
        await screen.press("space")
        assert screen.marked() == {"10.1.0.1"}
        assert screen.at_cursor() == "10.1.0.1"


def test_an_unknown_theme_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="there is no theme sepia"):
        make_app(FakeRing(), theme="sepia")


WHOLE = "dark = true\n[colors]\n" + "".join(f'{color} = "#123456"\n' for color in themes.COLORS)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (WHOLE.replace('tick = "#123456"\n', ""), "the colour tick is missing"),
        (WHOLE.replace('tick = "#123456"', 'tick = "#zz"'), "tick = '#zz' is no colour"),
        (WHOLE + 'sky = "#123456"\n', "unknown colour sky"),
        ("dark = true\n", r"a table \[colors\] is needed"),
        ("[colors\n", "theme .*mine.toml"),
    ],
)
def test_a_bad_theme_file_is_named_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=fault) as raised:
        themes.read_theme(file)
    assert "mine.toml" in str(raised.value)


def test_a_whole_theme_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(WHOLE)
    assert themes.read_theme(tmp_path / "mine.toml").name == "mine"
