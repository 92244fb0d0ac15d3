"""Where the time comes from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from director_tui.times import SYSTEM_TIMES

if TYPE_CHECKING:
    import pytest


def test_ages_grow_while_the_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {time.CLOCK_MONOTONIC: 1000.0, time.CLOCK_BOOTTIME: 1000.0}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    monkeypatch.setattr(time, "monotonic", lambda: clocks[time.CLOCK_MONOTONIC])
    before_s = SYSTEM_TIMES.mono_s()
    clocks[time.CLOCK_BOOTTIME] += 3 * 3600  # the other one stands still, and so do the event loop's timers
    assert SYSTEM_TIMES.mono_s() - before_s == 3 * 3600
