"""What user counts tell of a flush: how far it is, and whether one that nobody sees has ended."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from director_tui.director.model import Backend, State
from director_tui.operations.flushing import FlushRate
from director_tui.operations.progress import FlushProgress
from director_tui.operations.standstill import Standstill
from director_tui.operations.unseen_flush import UnseenFlush

STARTED = datetime(2026, 11, 24, 21, 40, tzinfo=UTC)
A, B = "10.1.0.1", "10.1.0.2"


def backends(**users: int) -> list[Backend]:
    ips = {"a": A, "b": B}
    return [Backend(ips[name], "", 0, State.UP, None, count) for name, count in users.items()]


def test_there_is_no_rate_before_two_batches_can_have_gone() -> None:
    rate = FlushRate(1000, 0.0, empties=True)
    assert rate.at(900, 2.0) == FlushProgress(1000, 900)
    assert rate.at(800, 4.0) == FlushProgress(1000, 800, 3000.0, 16.0)


def test_the_rate_is_that_of_the_last_minute() -> None:
    rate = FlushRate(10_000, 0.0, empties=True)
    for second in range(2, 62, 2):
        rate.at(10_000 - 100 * second, float(second))
    slow = [rate.at(4_000 - second, 60.0 + second) for second in range(2, 62, 2)]
    assert slow[-1].per_min == 60.0
    assert slow[-1].users_left == 3_940
    assert slow[-1].eta_s == pytest.approx(3_940)


def test_nothing_is_promised_where_users_stay_or_nobody_goes() -> None:
    stays = FlushRate(1000, 0.0, empties=False)
    assert stays.at(800, 10.0) == FlushProgress(1000, 800, 1200.0)
    stuck = FlushRate(1000, 0.0, empties=True)
    assert stuck.at(1000, 10.0) == FlushProgress(1000, 1000, 0.0)


def test_counts_that_stand_still_for_a_minute() -> None:
    still = Standstill([UnseenFlush("d1", A, STARTED)])
    still.add(backends(a=100, b=1), 0.0)
    still.add(backends(a=90, b=2), 50.0)
    assert (still.still_s, still.over) == (0.0, False)
    still.add(backends(a=90, b=3), 109.0)
    assert (still.still_s, still.over) == (59.0, False)
    still.add(backends(a=90, b=4), 110.0)
    assert (still.still_s, still.over) == (60.0, True)


def test_a_flush_of_all_is_over_when_all_counts_stand_still() -> None:
    still = Standstill([UnseenFlush("d1", None, STARTED)])
    still.add(backends(a=100, b=1), 0.0)
    still.add(backends(a=100, b=2), 60.0)
    assert not still.over
    still.add(backends(a=100, b=2), 120.0)
    assert still.over


def test_minutes_in_which_nothing_was_read_do_not_count() -> None:
    still = Standstill([UnseenFlush("d1", A, STARTED)])
    still.add(backends(a=100), 0.0)
    still.interrupted()
    still.add(backends(a=100), 300.0)
    assert (still.still_s, still.over) == (0.0, False)


def test_it_holds_only_for_the_flushes_that_it_watches() -> None:
    first, second = UnseenFlush("d1", A, STARTED), UnseenFlush("d1", B, STARTED)
    still = Standstill([first, second])
    assert still.watches([second])
    assert still.watches([first, second])
    assert not Standstill([first]).watches([first, second])
