"""What `make bench` makes of its figures; the figures themselves are no matter for a test."""

from __future__ import annotations

import sys
from itertools import islice

import pytest

from bench.__main__ import ALONE, ON_A_RING
from bench.crowd import CHANGED, status_tables
from bench.measure import Line, in_turns, median, p90, table
from bench.pseudo_terminal import PseudoTerminal
from director_tui.director import parse


def test_each_budget_is_measured() -> None:
    assert sorted([*ALONE, *ON_A_RING]) == [f"P{number}" for number in range(1, 10)]


def test_measures_are_taken_in_turns() -> None:
    taken: list[str] = []

    def measure(name: str, value: float) -> float:
        taken.append(name)
        return value

    assert in_turns(3, lambda: measure("a", 1.0), lambda: measure("b", 2.0)) == [[1.0] * 3, [2.0] * 3]
    assert taken == ["a", "b"] * 3


@pytest.mark.parametrize(
    ("values", "middle", "nine_of_ten"),
    [([7.0], 7.0, 7.0), ([3.0, 1.0], 2.0, 3.0), ([*map(float, range(10, 0, -1))], 5.5, 9.0)],
)
def test_median_and_p90(values: list[float], middle: float, nine_of_ten: float) -> None:
    assert (median(values), p90(values)) == (middle, nine_of_ten)


@pytest.mark.parametrize(("ours", "peer", "ratio", "within"), [(15, 10, 1.5, True), (15.1, 10, 1.51, False)])
def test_a_line_is_within_up_to_its_budget(ours: float, peer: float, ratio: float, within: bool) -> None:
    line = Line("P1", "ours : peer", ours, peer, "ms", 1.5)
    assert line.ratio == pytest.approx(ratio)
    assert line.within is within


def test_nothing_measured_of_the_peer_is_never_within() -> None:
    assert not Line("P1", "ours : peer", 1.0, 0.0, "ms", 1.5).within


def test_the_table_says_what_is_not_kept() -> None:
    head, kept, broken = table(
        [Line("P1", "start", 120.0, 100.0, "ms", 1.5), Line("P8", "memory", 95.0, 90.0, "MB", 1.0)]
    ).splitlines()
    assert head.split() == ["ours", "peer", "ratio", "budget"]
    assert kept.split() == ["P1", "start", "120", "ms", "100", "ms", "1.20", "1.50", "within"]
    assert broken.split() == ["P8", "memory", "95.0", "MB", "90.0", "MB", "1.06", "1.00", "NOT"]


def test_a_crowd_changes_by_a_fifth_at_each_reading() -> None:
    first, second = (parse.backends(printed) for printed in islice(status_tables(100), 2))
    assert len(first) == len(second) == 100
    assert sum(before != after for before, after in zip(first, second, strict=True)) == 100 * CHANGED


def test_a_program_on_a_pseudo_terminal_is_heard_and_answers() -> None:
    says = "import sys; print(*__import__('os').get_terminal_size(0)); print('heard', input()); input()"
    with PseudoTerminal([sys.executable, "-c", says]) as terminal:
        assert terminal.wait_for(rb"120 40") > 0
        assert terminal.press(b"you\n", b"heard you") > 0
        assert b"heard you" in terminal.written
        terminal.press(b"\n", rb"\n")
        terminal.wait_for_end()
