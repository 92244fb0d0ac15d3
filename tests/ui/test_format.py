"""Numbers, times, bars and sparklines as text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from director_tui.ui import format


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (200_000, "2d")],
)
def test_span(seconds: float, text: str) -> None:
    assert format.span(seconds) == text


@pytest.mark.parametrize(
    ("per_min", "text"), [(None, ""), (0.4, "0"), (-0.4, "0"), (1204, "+1,204"), (-1204, "−1,204")]
)
def test_rate(per_min: float | None, text: str) -> None:
    assert format.rate(per_min).text == text


def test_a_rising_line_rises_and_noise_is_flat() -> None:
    assert format.sparkline([0, 100, 200, 300, 400, 500, 600, 700], 8) == "▁▂▃▄▅▆▇█"
    assert set(format.sparkline([100_000, 100_003, 99_998, 100_001], 4)) == {"▄"}
    assert format.sparkline([None, 5, None], 3) == " ▄ "


@given(st.lists(st.none() | st.integers(0, 2**32), max_size=80), st.integers(-1, 40))
def test_a_sparkline_takes_at_most_its_width_and_one_cell_for_each_value(values: list[int | None], width: int) -> None:
    line = format.sparkline(values, width)
    known = any(value is not None for value in values[-1:])
    assert cell_len(line) <= max(0, width)
    if known and width > 0:
        assert cell_len(line) == min(width, len(values))
        assert line[-1] in "▁▂▃▄▅▆▇█", "the newest value is always seen"


@given(
    st.floats(0, 1e7),
    st.none() | st.floats(0, 1e7),
    st.floats(0, 1e7),
    st.integers(0, 60),
)
def test_a_bar_fills_its_width(value: float, expected: float | None, largest: float, width: int) -> None:
    text = "".join(piece.text for piece in format.bar(value, expected, largest, width))
    assert cell_len(text) == width


def test_a_bar_has_its_tick_where_the_share_says() -> None:
    pieces = format.bar(500, 800, 1000, 10)
    assert "".join(piece.text for piece in pieces) == "█████   ╵ "
    pieces = format.bar(900, 500, 1000, 10)
    assert [piece.meaning for piece in pieces if piece.text == "╵"] == ["tick-inside"]
