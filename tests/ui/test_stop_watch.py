"""When records of stops are looked for, by what is read meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from director_tui.operations import stop_watch
from director_tui.operations.stop_keeping import Found
from director_tui.operations.stop_watch import StopsSeen
from director_tui.times import SYSTEM_TIMES
from director_tui.ui.stop_watch import StopWatch
from tests.link.fakes import until
from tests.operations.standing import EIGHT, reading

if TYPE_CHECKING:
    import pytest

    from director_tui.link.reading import Reading
    from director_tui.link.ring import Ring


async def test_what_changes_while_it_is_looked_is_looked_for_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else may come that begins it: what stays as it is is not published again."""
    asked: list[Reading] = []
    answered = asyncio.Event()

    async def slowly(ring: object, on: Reading, times: object) -> StopsSeen:
        asked.append(on)
        await answered.wait()
        return StopsSeen(Found(), None)

    monkeypatch.setattr(stop_watch, "look_for_stops", slowly)
    watch = StopWatch(lambda: None, SYSTEM_TIMES)
    ring = cast("Ring", object())
    first, stopped = reading(), reading(replace(one, vhosts=0) for one in EIGHT)
    watch.take(first, ring)
    await until(lambda: asked == [first])
    watch.take(stopped, ring)
    answered.set()
    await until(lambda: asked == [first, stopped])
    await watch.end()
