"""Where the time comes from: one value that whoever shows or measures time is given, so that it can be another's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _utc() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Times:
    """``mono_s`` is a clock that only goes forward, in seconds, for ages and durations; ``utc`` the time of day."""

    mono_s: Callable[[], float] = time.monotonic
    utc: Callable[[], datetime] = _utc


SYSTEM_TIMES = Times()


def iso(time: datetime, precision: str = "milliseconds") -> str:
    """A time as JSON has it: ``2026-11-24T21:40:12.345Z``; ``precision`` is that of :meth:`datetime.isoformat`."""
    return time.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")
