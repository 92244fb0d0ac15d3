"""The feed of events, by what is on the screen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from director_tui.director.changes import Change, ChangeLog, Subject
from director_tui.ui.format import cause, undone
from tests.ui.fakes import FakeRing, dashboard

FIGHT = "set up again"


async def test_a_state_that_flips_back_by_itself_is_called_a_monitor() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        ring.set("10.1.0.1", state=b"down")
        await screen.until("10.1.0.1  mail-01  up → DOWN")
        assert FIGHT not in screen
        ring.set("10.1.0.1", state=b"up")
        await screen.until("10.1.0.1  mail-01  DOWN → up", FIGHT, "Use vhost count 0 for maintenance")
        ring.set("10.1.0.2", vhosts=0)
        await screen.until("vhosts 100 → 0")
        assert screen.text.count(FIGHT) == 1
        lines = [number for number, line in enumerate(screen.lines) if FIGHT in line or "DOWN → up" in line]
        assert lines[1] == lines[0] + 1, "the remark stands under its change"


@pytest.mark.parametrize("width", [80, 100])
async def test_the_remark_is_whole_where_the_screen_is_first_class(width: int) -> None:
    ring = FakeRing()
    async with dashboard(ring, (width, 24)) as screen:
        ring.set("10.1.0.1", state=b"down")
        await screen.until("up → DOWN")
        ring.set("10.1.0.1", state=b"up")
        await screen.until("a monitor (dovemon, poolmon)?")


def test_the_words_of_a_flip_back() -> None:
    log = ChangeLog()
    at = datetime(2026, 11, 24, tzinfo=UTC)
    log.add([Change(at, Subject.STATE, "10.1.0.1", "up", "down")])
    log.add([Change(at + timedelta(seconds=28), Subject.STATE, "10.1.0.1", "down", "up")])
    assert undone(log.newest_first[0]) == (
        "set up again 28s after the down: a monitor (dovemon, poolmon)? Use vhost count 0 for maintenance"
    )


def test_a_flip_back_of_what_we_changed_says_so() -> None:
    log = ChangeLog()
    at = datetime(2026, 11, 24, tzinfo=UTC)
    log.add([Change(at, Subject.STATE, "10.1.0.1", "up", "down", by="Set 10.1.0.1 down")])
    log.add([Change(at + timedelta(seconds=28), Subject.STATE, "10.1.0.1", "down", "up")])
    up, down = log.newest_first
    assert undone(up).startswith("set up again 28s after your down: a monitor")
    assert (cause(down), cause(up)) == ("you · set 10.1.0.1 down", "outside this program")
