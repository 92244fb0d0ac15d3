"""Where the time comes from: one value that whoever shows or measures time is given, so that it can be another's."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _mono_s() -> float:
    """Python's own stands still while the machine sleeps: what was read before would look as if it were of now."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    elif sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC_RAW)
    else:
        return time.monotonic()


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Times:
    """Where ages and times are from.

    ``mono_s`` is a clock that only goes forward, in seconds, for ages and durations, also while the machine sleeps;
    ``utc`` is the time of day. How long something is waited for goes by the event loop, which sleeps with the machine.
    """

    mono_s: Callable[[], float] = _mono_s
    utc: Callable[[], datetime] = _utc


SYSTEM_TIMES = Times()


def iso(time: datetime, precision: str = "milliseconds") -> str:
    """A time as JSON has it: ``2026-11-24T21:40:12.345Z``; ``precision`` is that of :meth:`datetime.isoformat`."""
    return time.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
