"""The last ten minutes of user counts: what is kept, and how fast they change."""

from __future__ import annotations

import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.link.history import SLOT_S, SPAN_S, History


def filled(seconds: int, every: int, users_at: dict[str, float] | None = None) -> History:
    """Polled for so long, every so many seconds; each backend gains as many users a second as given."""
    history = History()
    for second in range(0, seconds + 1, every):
        history.add(1000.0 + second, {ip: 500 + round(second * gain) for ip, gain in (users_at or {"a": 1}).items()})
    return history


def test_nothing_is_known_before_the_first_reading() -> None:
    history = History()
    assert history.users("a") == ()
    assert history.total() == ()
    assert history.rates_per_min(["a"]) == {}


def test_one_count_is_kept_per_slot_and_the_newest_is_always_there() -> None:
    history = filled(0, 2)
    assert history.users("a") == (500,)
    history = filled(2, 2)
    assert history.users("a") == (500, 502)
    history = filled(10, 2)
    assert history.users("a") == (500, 510)
    history = filled(12, 2)
    assert history.users("a") == (500, 510, 512)
    history = filled(60, 2)
    assert history.users("a") == (500, 510, 520, 530, 540, 550, 560)


def test_the_total_counts_every_backend() -> None:
    history = History()
    history.add(0.0, {"a": 1, "b": 10})
    history.add(10.0, {"a": 2, "b": 20})
    history.add(20.0, {"b": 30})
    history.add(30.0, {})
    assert history.total() == (11, 22, 30, 0)


def test_a_backend_has_a_gap_where_it_was_not_there() -> None:
    history = History()
    history.add(0.0, {"a": 1})
    history.add(10.0, {})
    history.add(20.0, {"a": 3, "b": 1})
    assert history.users("a") == (1, None, 3)
    assert history.users("b") == (None, None, 1)


def test_time_without_a_reading_is_a_gap_as_long_as_it_was() -> None:
    history = filled(60, 2)
    history.add(1000.0 + 60 + 125, {"a": 7})
    assert history.users("a") == (500, 510, 520, 530, 540, 550, 560, *[None] * 12, 7)
    assert history.total() == history.users("a")
    history.add(1000.0 + 60 + 127, {"a": 8})
    assert history.total()[-2:] == (None, 8)


def test_a_gap_moves_out_with_time_and_not_at_once() -> None:
    history = History()
    history.add(0.0, {"a": 1})
    for second in range(500, 1101, 2):
        history.add(float(second), {"a": second})
        counts, slot = history.total(), math.ceil(second / SLOT_S)
        assert len(counts) == min(SPAN_S / SLOT_S, slot) + 1
        assert counts.count(None) == max(0, min(49, 110 - slot))


@pytest.mark.parametrize("interval_s", [0.2, 2.0, 7.0, 10.0, 12.0, 30.0, 120.0])
def test_readings_at_their_interval_leave_no_gap_even_when_each_is_late(interval_s: float) -> None:
    history = History(interval_s)
    now_s = 0.0
    for number in range(int(2000 / interval_s)):
        now_s += interval_s * (1.0, 1.01, 1.3)[number % 3]
        history.add(now_s, {"a": number})
    assert None not in history.total()
    assert len(history.total()) > 1


def test_a_reading_stands_for_the_time_up_to_the_next_one_where_they_are_far_between() -> None:
    history = History(30.0)
    for second in (0, 30, 61, 150):
        history.add(float(second), {"a": second})
    # 0 is in slot 0, 30 in 3, 61 in 7; after that nothing was read for too long.
    assert history.users("a") == (0, 0, 0, 30, 30, 30, 30, 61, *[None] * 7, 150)


@pytest.mark.parametrize("interval_s", [2.0, 60.0, 3600.0])
def test_a_person_who_reads_more_often_than_the_interval_sees_more(interval_s: float) -> None:
    history = History(interval_s)
    for second in range(0, 61, 10):
        history.add(float(second), {"a": second})
    assert history.users("a") == (0, 10, 20, 30, 40, 50, 60)
    assert history.rates_per_min(["a"]) == {"a": 60.0}


@pytest.mark.parametrize("every", [1, 2, 3, 7, 10, 15, 30])
@pytest.mark.parametrize("seconds", [30, 60, 75, 121, 630])
def test_an_even_rate_is_told_as_it_is(every: int, seconds: int) -> None:
    history = filled(seconds, every, {"a": 2, "b": -1, "c": 0})
    assert history.rates_per_min(["a", "b", "c"]) == pytest.approx({"a": 120.0, "b": -60.0, "c": 0.0})


def test_a_rate_needs_ten_seconds() -> None:
    assert filled(8, 2).rates_per_min(["a"]) == {}
    assert filled(10, 2).rates_per_min(["a"]) == pytest.approx({"a": 60.0})


def test_a_rate_looks_back_one_minute() -> None:
    history = History()
    for second in range(0, 301, 10):
        history.add(float(second), {"a": 1000 if second < 200 else 1000 + (second - 200) * 3})
    assert history.rates_per_min(["a"]) == pytest.approx({"a": 180.0})


def test_a_rate_over_a_gap_in_the_readings_is_left_out() -> None:
    history = History()
    history.add(0.0, {"a": 0})
    history.add(10.0, {"a": 10})
    history.add(500.0, {"a": 10_000})
    assert history.rates_per_min(["a"]) == {}


def test_a_new_backend_and_one_that_went_have_no_rate() -> None:
    history = History()
    history.add(0.0, {"old": 1, "both": 1})
    history.add(30.0, {"new": 1, "both": 2})
    assert history.rates_per_min(["old", "new", "both", "never"]) == {"both": 2.0}


def test_ten_minutes_are_kept_and_not_more() -> None:
    for seconds in (600, 601, 4000):
        counts = filled(seconds, 1).users("a")
        assert counts[-1] == 500 + seconds
        assert len(counts) >= min(seconds, SPAN_S) / SLOT_S
        assert counts[0] is not None
        assert counts[0] >= 500 + seconds - SPAN_S
        assert len(counts) <= SPAN_S / SLOT_S + 2


def test_a_reading_after_a_long_silence_stands_alone() -> None:
    history = filled(600, 2)
    history.add(1000.0 + 600 + 3600, {"a": 7})
    assert history.users("a") == (7,)
    history.add(1000.0 + 600 + 3610, {"a": 8})
    assert history.rates_per_min(["a"]) == {"a": 6.0}


def test_a_thousand_backends_polled_for_an_hour_stay_small() -> None:
    ips = [f"10.0.{number // 250}.{number % 250}" for number in range(1000)]
    history = History()
    tracemalloc.start()
    try:
        sizes = []
        for minute in range(60):
            for second in range(0, 60, 2):
                history.add(minute * 60.0 + second, dict.fromkeys(ips, 1_000_000 + minute))
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(history.total()) <= SPAN_S / SLOT_S + 2
    assert sizes[-1] < sizes[10] * 1.1
    assert len(history.rates_per_min(ips)) == 1000


@given(st.lists(st.floats(0.0, 700.0), min_size=1, max_size=200))
def test_however_readings_come_it_stays_bounded_and_ends_with_the_newest(pauses: list[float]) -> None:
    history = History()
    now_s = 0.0
    for number, pause_s in enumerate(pauses):
        now_s += pause_s
        history.add(now_s, {"a": number})
        counts = history.users("a")
        assert counts[-1] == number
        assert len(counts) <= SPAN_S / SLOT_S + 2
        known = [count for count in counts if count is not None]
        assert known == sorted(known)
        assert counts == history.total()
        history.rates_per_min(["a"])
