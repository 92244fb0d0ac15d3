"""director-tui on a machine whose clocks do what a file says: it sleeps, and its time of day is put right.

``python asleep.py FILE …``: FILE has the seconds that it has slept so far, and those by which its clock is ahead. The
clock that stands still meanwhile, by which the event loop waits, is the machine's own.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from director_tui import cli, times


def main() -> int:
    file = Path(sys.argv[1])
    of_machine = time.clock_gettime

    def told(place: int) -> float:
        return float(file.read_text().split()[place])

    def clock_gettime(clock: int) -> float:
        return of_machine(clock) + (told(0) if clock == time.CLOCK_BOOTTIME else 0.0)

    class OffTime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> OffTime:
            return super().now(tz) + timedelta(seconds=told(1))

    time.clock_gettime = clock_gettime
    setattr(times, "datetime", OffTime)  # noqa: B010 - it is what the program takes the time of day from
    return cli.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
