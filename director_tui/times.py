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
