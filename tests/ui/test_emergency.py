"""The emergency stop, what is said while one is in force, and the way back."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from director_tui.director import parse
from director_tui.director.record_commands import store
from director_tui.operations.stop_record import SavedBackend, StopRecord, record_json
from director_tui.state import write_state
from director_tui.ui.stop_watch import LOOK_AGAIN_S
from tests.ui.fakes import DIRECTORS, STATUS_HEADER, Clock, FakeReply, FakeRing, Row, dashboard

if TYPE_CHECKING:
    from director_tui.director.model import Backend

RING = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
AT = datetime(2026, 11, 23, 21, 40, 0, tzinfo=UTC)
BEFORE = (Row("10.1.0.1", 28764), Row("10.1.0.2", 27020, vhosts=50), Row("10.1.0.7", 9410, tag=b"gold", vhosts=10))
RED = "EMERGENCY STOP in force since"


def backends(*rows: Row) -> tuple[Backend, ...]:
    return parse.backends(STATUS_HEADER + b"".join(row.line + b"\n" for row in rows))


def record(*rows: Row, time: datetime = AT, who: str = "ops", ring: tuple[str, ...] = RING) -> StopRecord:
    saved = tuple(SavedBackend(one.ip, one.tag, one.vhosts, one.state) for one in backends(*(rows or BEFORE)))
    return StopRecord("mail-eu", ring, time, who, "admin1", "storage groans", saved)


def keep_there(ring: FakeRing, one: StopRecord, director: str = DIRECTORS[1]) -> None:
    """Another operator has stopped the ring: the record lies on this director."""
    call = store("~/.director-tui", one.name, record_json(one), "0123456789abcdef")
    answer = ring.records[director].answer(("sh", *call.words))
    assert answer is not None
    assert answer(call.stdin).status == 0


def stopped_ring() -> FakeRing:
    return FakeRing([replace(row, vhosts=0) for row in BEFORE])


# The red line


async def test_another_operators_stop_is_a_red_line_on_every_screen() -> None:
    ring = FakeRing(list(BEFORE))
    async with dashboard(ring, (80, 24)) as screen:
        assert RED not in screen
        keep_there(ring, record())
        for row in BEFORE:
            ring.set(row.ip, vhosts=0)
        await screen.until(f"{RED} 2026-11-23 21:40 by ops — R to recover")
        for key in ("enter", "g", "c", "o", "l"):
            await screen.press(key)
            await screen.until(RED, gone=["1 of 3", "run-time-only"])
            await screen.press("ctrl+q")
            await screen.until(RED, "run-time-only")
        assert screen.style_of(RED).reverse


async def test_a_stop_that_was_made_here_is_known_with_no_director_that_keeps_any_record() -> None:
    ring = stopped_ring()
    ring.no_records = {name: FakeReply(73, b"", b"no space left\n") for name in DIRECTORS}
    write_state("mail-eu", record().name, record_json(record()))
    async with dashboard(ring) as screen:
        await screen.until(RED)


async def test_the_red_line_goes_when_all_have_their_counts_again() -> None:
    ring = stopped_ring()
    keep_there(ring, record())
    async with dashboard(ring) as screen:
        await screen.until(RED)
        for row in BEFORE[:2]:
            ring.set(row.ip, vhosts=row.vhosts)
        await screen.until("vhosts 0 → 50", RED)
        ring.set("10.1.0.7", vhosts=10)
        await screen.until("vhosts 0 → 10", gone=[RED])


async def test_the_red_line_goes_when_somebody_has_said_that_it_is_over() -> None:
    from director_tui.operations.stop_record import StopOver, over_json

    ring, clock, one = stopped_ring(), Clock(), record()
    keep_there(ring, one)
    async with dashboard(ring, times=clock.times) as screen:
        await screen.until(RED)
        over = StopOver(one.stamp, AT, "ops", "admin1")
        call = store("~/.director-tui", over.name, over_json(over), "0123456789abcdef")
        answer = ring.records[DIRECTORS[2]].answer(("sh", *call.words))
        assert answer is not None
        answer(call.stdin)
        clock.ahead_s = LOOK_AGAIN_S + 1
        await screen.until("LIVE", gone=[RED])


@pytest.mark.parametrize("ring_of", [("10.9.9.1", "10.9.9.2"), RING])
async def test_a_record_of_another_ring_and_one_of_nothing_that_is_away_say_nothing(ring_of: tuple[str, ...]) -> None:
    """The backend that is at 0 had 0 before."""
    ring = FakeRing([*BEFORE[:2], replace(BEFORE[2], vhosts=0)])
    rows = BEFORE if ring_of != RING else (replace(BEFORE[2], vhosts=0),)
    keep_there(ring, record(*rows, ring=ring_of))
    async with dashboard(ring) as screen:
        await screen.readings(ring, 12)
        assert RED not in screen


async def test_records_are_not_looked_for_at_every_reading() -> None:
    ring = stopped_ring()
    keep_there(ring, record())
    asked = 0

    class Counting(dict[str, FakeReply]):
        def __contains__(self, key: object) -> bool:
            nonlocal asked
            asked += 1
            return super().__contains__(key)

    ring.no_records = Counting()
    async with dashboard(ring) as screen:
        await screen.until(RED)
        await screen.readings(ring, 12)
        before = asked
        await screen.readings(ring, 12)
        assert asked == before


async def test_who_stopped_it_is_no_markup_and_gives_way_to_the_way_back() -> None:
    ring = stopped_ring()
    keep_there(ring, record(who="[@click=app.quit]x[/]\x1b[31m" + "long" * 40))
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until(RED, "by [@click=app.", "— R to recover")
        await screen.resize(40, 20)
        assert RED in screen


async def test_a_read_only_session_is_not_told_to_recover() -> None:
    ring = stopped_ring()
    keep_there(ring, record())
    async with dashboard(ring, read_only=True) as screen:
        await screen.until(RED)
        assert "to recover" not in screen
