"""The emergency stop, what is said while one is in force, and the way back."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from director_tui.director import parse
from director_tui.director.record_commands import fetch, store
from director_tui.errors import ConnectionLost, OperationRefused
from director_tui.operations.plan import Emergency, Target, Verb
from director_tui.operations.progress import LineStatus
from director_tui.operations.stop_record import SavedBackend, StopOver, StopRecord, over_json, record_json
from director_tui.state import write_state
from director_tui.ui.dashboard import Dashboard
from director_tui.ui.lookup import LookupScreen
from director_tui.ui.plan_dialog import PlanDialog
from director_tui.ui.stop_watch import LOOK_AGAIN_S
from tests.ui.changing import changing, focus_is_seen, settle
from tests.ui.fakes import DIRECTORS, STATUS_HEADER, Clock, FakeReply, FakeRing, Row, Screen, dashboard
from tests.ui.operations import operated

if TYPE_CHECKING:
    from director_tui.director.model import Backend
    from director_tui.operations.plan import Plan

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
        keep_there(ring, record(time=datetime.now(UTC)))  # an older one would be over: all have their counts yet
        for row in BEFORE:
            ring.set(row.ip, vhosts=0)
        await screen.until(RED, "by ops — R to recover")
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
        await screen.until(f"{RED} 2026-11-23 21:40 by ops — R to recover")


async def test_the_red_line_goes_when_all_have_their_counts_again() -> None:
    ring = stopped_ring()
    keep_there(ring, record(time=datetime.now(UTC)))
    async with dashboard(ring) as screen:
        await screen.until(RED)
        for row in BEFORE[:2]:
            ring.set(row.ip, vhosts=row.vhosts)
        await screen.until("vhosts 0 → 50", RED)
        ring.set("10.1.0.7", vhosts=10)
        await screen.until("vhosts 0 → 10", gone=[RED])


async def test_what_is_back_by_itself_is_said_to_be_over_so_that_a_backend_drained_later_is_no_stop() -> None:
    """As after a recovery by the script; and it is seen although nothing was at 0 any more when this program began."""
    ring, clock = FakeRing(list(BEFORE)), Clock()
    keep_there(ring, record(time=datetime.now(UTC) - timedelta(hours=1)))
    async with dashboard(ring, times=clock.times) as screen:
        await screen.wait(lambda: all(b"over-" in told(ring, name) for name in DIRECTORS), "the word that it is over")
        ring.set("10.1.0.1", vhosts=0)
        await screen.until("vhosts 100 → 0")
        await screen.readings(ring, 6)
        assert RED not in screen


def told(ring: FakeRing, director: str) -> bytes:
    """What is kept on this director."""
    call = fetch("~/.director-tui", "0123456789abcdef")
    answer = ring.records[director].answer(("sh", *call.words))
    assert answer is not None
    return answer(b"").stdout


async def test_the_red_line_goes_when_somebody_has_said_that_it_is_over() -> None:
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


# The stop


async def test_the_stop_says_what_it_does_and_does_not_in_the_rings_own_numbers() -> None:
    ring = FakeRing(list(BEFORE))
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.press("E")
        await screen.until(
            *("Stop all 3 backends", "mail-eu · production", "3 usable backends of 3 in 2 tags get vhost count 0"),
            *("65,194 users are assigned", "44.1 % of them to 10.1.0.1", "logins hang 30 to 60 s and fail"),
            *("keeps reaching it", "their last session", " 50 → 0 ", " 10 → 0 "),
            *("Kept before the first command", "ops@dir2.example.com", "~/.director-tui/"),
            *("whoever logs in as ops", "5 s at most", "disconnecting everyone is offered once no director"),
            "doveadm director update 10.1.0.2 0",
        )
        assert "here:" in screen  # a path as long as that of a test breaks anywhere
        assert "last resort" not in screen
        assert agreed.plans == []


async def test_whose_the_record_here_is_goes_by_the_user_and_not_by_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "who-logged-in")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # in a container there may be no name, and no home
    monkeypatch.delenv("HOME")
    async with changing(FakeRing(list(BEFORE)), (120, 60)) as (screen, _):
        await screen.press("E")
        await screen.until("Stop all 3 backends", f"for user {os.getuid()} alone", gone=["who-logged-in"])


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60), (40, 20)])
async def test_every_backend_can_be_scrolled_to_and_the_field_stays(size: tuple[int, int]) -> None:
    ring = FakeRing([Row(f"10.3.{n // 100}.{n % 100}", vhosts=n % 7 + 1) for n in range(1, 201)])
    async with changing(ring, size) as (screen, _):
        await screen.press("E")
        await screen.until("Stop all 200 backends", "mail-eu")
        seen: set[str] = set()
        for _ in range(250):
            seen.update(word for line in screen.lines for word in line.split() if word.startswith("10.3."))
            assert "the name of the cluster" in screen
            before = screen.text
            await screen.press("pagedown")
            if screen.text == before:
                break
        assert {row.ip for row in ring.rows} <= seen


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
async def test_a_notice_covers_nothing_of_the_stop(size: tuple[int, int]) -> None:
    async with changing(FakeRing(list(BEFORE)), size) as (screen, _):
        await screen.press("E")
        whole: tuple[str, ...] = ("Stop all 3 backends", "What happens   3 usable", "type mail-eu", "Cancel", "script")
        if size[0] >= 80:
            whole += ("3 usable backends of 3 in 2 tags get vhost count 0;",)
        await screen.until(*whole)
        screen.app.tell("the storage groans")
        await screen.until("the storage groans", *whole)
        assert focus_is_seen(screen)
        screen.app.clear_notifications()
        await screen.until(*whole, gone=["the storage groans"])
        sheet = screen.app.screen.query_one(".sheet")
        await screen.wait(lambda: sheet.region.height == size[1], "the sheet on the whole screen")


@pytest.mark.parametrize("typed", [[], ["space"], [*"mail-e"], [*"MAIL-EU"], [*"mail-eu2"]])
async def test_nothing_is_stopped_without_the_typed_name(typed: list[str]) -> None:
    async with changing() as (screen, agreed):
        await screen.press("E")
        await screen.until("Stop all 6 backends")
        await settle(screen)
        await screen.press(*typed, "enter")
        assert agreed.plans == []
        await screen.press("escape")
        await screen.until("LIVE", gone=["Stop all"])
        assert agreed.plans == []


async def test_the_typed_name_stops_all_that_are_not_at_0() -> None:
    async with changing() as (screen, agreed):
        await screen.press("E")
        await screen.until("Stop all 6 backends")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        (plan,) = agreed.plans
        assert plan.request.emergency is Emergency.STOP
        stopped = ("10.1.0.1", "10.1.0.2", "10.1.0.4", "10.1.0.7")
        assert agreed.words == [("director", "update", ip, "0") for ip in stopped]
        saved = {one.ip: one.vhosts for one in plan.request.saves}
        assert saved == {row.ip: row.vhosts for row in FakeRing().rows}


async def test_a_stop_on_top_of_a_stop_saves_what_the_first_has_saved() -> None:
    ring = stopped_ring()
    keep_there(ring, record())
    ring.set("10.1.0.2", vhosts=7)
    async with changing(ring) as (screen, agreed):
        await screen.press("E")
        await screen.until("Stop all 3 backends")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        (plan,) = agreed.plans
        assert {one.ip: one.vhosts for one in plan.request.saves} == {row.ip: row.vhosts for row in BEFORE}
        assert agreed.words == [("director", "update", "10.1.0.2", "0")]


async def test_counts_that_are_kept_of_an_earlier_stop_and_not_as_they_are_now_are_said_for_each_backend() -> None:
    ring = FakeRing(list(BEFORE))
    minutes_ago = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=20)
    keep_there(ring, record(time=minutes_ago))
    ring.set("10.1.0.2", vhosts=7)
    async with changing(ring, (120, 60)) as (screen, _):
        await screen.wait(lambda: screen.app._watch.found is not None, "the records")
        await screen.press("E")
        await screen.until(
            f"nobody has ended the stop of {minutes_ago:%Y-%m-%d %H:%M} UTC: what it saved is kept",
            "10.1.0.2: 50 is kept, not 7",
        )
        assert "10.1.0.1: " not in screen


async def test_a_ring_that_is_not_synced_names_the_last_resort() -> None:
    ring = FakeRing(list(BEFORE))
    ring.ring_rows[DIRECTORS[0]] = ring.seen_by(DIRECTORS[0], b"ring handshaking")
    async with changing(ring, (120, 60)) as (screen, _):
        await screen.until("HANDSHAKING")
        await screen.press("E")
        await screen.until("the last resort is to stop the login services")


async def test_what_changes_meanwhile_takes_the_stop_back_until_it_is_planned_again() -> None:
    ring = FakeRing(list(BEFORE))
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.press("E", *"mail-eu")
        await screen.until("Stop all 3 backends")
        await settle(screen)
        ring.set("10.1.0.2", vhosts=51)
        await screen.until("changed since you opened: 10.1.0.2 vhosts: 50 → 51")
        await screen.press("enter")
        assert agreed.plans == []
        await screen.press("tab", "tab", "tab", "enter")
        await screen.until(" 51 → 0 ", gone=["changed since"])
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        (plan,) = agreed.plans
        assert {one.ip: one.vhosts for one in plan.request.saves}["10.1.0.2"] == 51


async def test_the_script_can_be_read_on_the_screen() -> None:
    ring = FakeRing(list(BEFORE))
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.press("E")
        await screen.until("Show the recovery script")
        await screen.press("tab", "tab", "enter")
        await screen.until("#!/bin/sh", "set_back 10.1.0.1 100", "set_back 10.1.0.2 50", "set_back 10.1.0.7 10")
        await screen.press("escape")
        await screen.until("Stop all 3 backends", gone=["#!/bin/sh"])
        assert agreed.plans == []


async def test_records_that_are_kept_nowhere_are_said_and_nothing_is_sent() -> None:
    refusal = OperationRefused("nothing was sent: kept nowhere", "write the vhost counts down by hand")
    async with operated(FakeRing(list(BEFORE)), refuse=refusal) as one:
        screen = one.screen
        await screen.press("E")
        await screen.until("Stop all 3 backends")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        await screen.until("nothing was sent: kept nowhere", "Show the recovery script")


# Disconnecting everyone


async def test_when_all_are_stopped_e_leads_to_disconnecting_everyone() -> None:
    async with changing(stopped_ring(), (120, 60)) as (screen, agreed):
        await screen.press("E")
        await screen.until("Disconnect everyone", "then on ops@dir3.example.com")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        first, *kicks = agreed.words
        assert first[:3] == ("director", "flush", "--max-parallel")
        assert int(first[3]) >= 65194
        assert kicks == [("proxy", "kick", "-h", row.ip) for _ in DIRECTORS for row in BEFORE]


async def test_what_one_director_does_not_show_at_0_is_stopped_there_and_nobody_is_disconnected_before() -> None:
    ring = stopped_ring()
    ring.tables[DIRECTORS[1]] = [BEFORE[0], *ring.rows[1:]]
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.press("E")
        await screen.until("all 3 are at 0 on ops@dir1.example.com; 1 backend that others still send users")
        await screen.until("Runs on ops@dir2.example.com", "doveadm director update 10.1.0.1 0", gone=["kick"])
        assert _plan(screen).request.saves[0].vhosts == BEFORE[0].vhosts
        assert agreed.plans == []


# The recovery


async def test_another_operators_stop_is_given_back_as_it_was_saved() -> None:
    ring = stopped_ring()
    keep_there(ring, record())
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.until(RED)
        await screen.press("R")
        await screen.until("Stopped 2026-11-23 21:40:00 UTC by ops at admin1: storage groans", "ops@dir2.example.com")
        await screen.until("✓ → 100", "✓ → 50", "✓ → 10")
        await screen.press("enter")
        await screen.until("Bring 3 backends back", "doveadm director update 10.1.0.2 50")
        await settle(screen)
        await screen.press("enter")
        assert agreed.plans == [], "not without the typed name"
        await screen.press(*"mail-eu", "enter")
        (plan,) = agreed.plans
        assert plan.request.emergency is Emergency.RECOVER
        assert plan.request.stops == (record().stamp,)
        assert agreed.words == [("director", "update", row.ip, str(row.vhosts)) for row in BEFORE]


async def test_what_somebody_has_changed_since_is_left_alone_unless_ticked() -> None:
    ring = stopped_ring()
    ring.set("10.1.0.2", vhosts=33)
    keep_there(ring, record())
    async with changing(ring, (80, 24)) as (screen, agreed):
        await screen.press("R")
        line = "10.1.0.2  mail-02           50    33  left alone  changed since"
        await screen.until(line)
        await screen.press("enter")
        await screen.until("Bring 2 backends back")
        await screen.press("escape", "R")
        await screen.until(line)
        await screen.press("j", "space")
        await screen.until("50    33  ✓ → 50      changed since")
        await screen.readings(ring, 4)
        assert "✓ → 50" in screen, "a reading takes no tick away"
        await screen.press("k", "space", "enter")
        await screen.until("Bring 2 backends back", "10.1.0.7")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        assert [words[2:] for words in agreed.words] == [("10.1.0.2", "50"), ("10.1.0.7", "10")]


async def test_100_everywhere_is_the_other_choice() -> None:
    ring = stopped_ring()
    keep_there(ring, record())
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.press("R")
        await screen.until("Plan 100 everywhere", "✓ → 50")
        await screen.press("tab", "tab", "enter")
        await screen.until("Bring 3 backends back")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        assert agreed.words == [("director", "update", row.ip, "100") for row in BEFORE]


async def test_many_files_that_are_no_records_leave_the_table_on_the_screen() -> None:
    ring = stopped_ring()
    for minutes in range(15):
        for director in DIRECTORS:
            keep_there(ring, record(time=AT - timedelta(minutes=minutes + 1), ring=("192.0.2.1",)), director)
    keep_there(ring, record())
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until(RED)
        await screen.press("R")
        await screen.until("is of another ring", "and 42 more like that", "✓ → 50")


async def test_without_a_record_it_says_so_and_offers_100() -> None:
    ring = stopped_ring()
    ring.no_records[DIRECTORS[2]] = FakeReply(73, b"", b"permission denied\n")
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.press("R")
        await screen.until("No record of a stop", "ops@dir3.example.com could not be searched: permission denied")
        assert "Plan the saved counts" not in screen
        await screen.press("enter")
        await screen.until("Bring 3 backends back")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        assert agreed.words == [("director", "update", row.ip, "100") for row in BEFORE]


async def test_what_is_gone_can_not_be_ticked_and_nothing_ticked_is_no_plan() -> None:
    ring = stopped_ring()
    ring.remove("10.1.0.7")
    keep_there(ring, record())
    async with changing(ring) as (screen, _):
        await screen.press("R")
        await screen.until("removed since")
        await screen.press("end", "space")
        await screen.until("10.1.0.7 can't be given back: removed since")
        await screen.press("home", "space", "j", "space", "enter")
        await screen.until("nothing to give back: no backend is ticked")


# When not


@pytest.mark.parametrize("key", ["E", "R"])
async def test_read_only_neither_offers_nor_does_it(key: str) -> None:
    async with changing(stopped_ring(), (200, 60), read_only=True) as (screen, agreed):
        assert "EMERGENCY STOP" not in screen.lines[-1]
        await screen.press(key)
        await screen.until("read-only: nothing is changed from here")
        assert isinstance(screen.app.screen, Dashboard)
        await screen.press("question_mark")
        await screen.until("director-tui")
        assert "No new users anywhere" not in screen
        assert agreed.plans == []


@pytest.mark.parametrize("key", ["E", "R"])
async def test_on_stale_data_nothing_goes_on_without_a_fresh_reading(key: str) -> None:
    ring, clock = FakeRing(list(BEFORE)), Clock()
    async with changing(ring, interval_s=60, times=clock.times) as (screen, agreed):
        clock.ahead_s = 1000
        ring.break_down(ConnectionLost("dir1: the connection was lost", "wait for it"))
        await screen.press(key)
        await screen.until("Nothing was done", "the connection was lost")
        await screen.press("enter")
        assert agreed.plans == []


async def test_on_stale_data_a_reading_comes_first() -> None:
    ring, clock = FakeRing(list(BEFORE)), Clock()
    async with changing(ring, interval_s=60, times=clock.times) as (screen, _):
        clock.ahead_s = 1000
        ring.set("10.1.0.2", vhosts=77)
        ring.awake.clear()
        await screen.press("E")
        await screen.until("Reading first")
        ring.awake.set()
        await screen.until("Stop all 3 backends")
        assert {one.ip: one.vhosts for one in _plan(screen).request.saves}["10.1.0.2"] == 77


async def test_a_plan_that_gets_old_while_it_is_open_can_not_be_agreed_to() -> None:
    clock = Clock()
    async with changing(FakeRing(list(BEFORE)), interval_s=60, times=clock.times) as (screen, agreed):
        await screen.press("E", *"mail-eu")
        await settle(screen)
        clock.ahead_s = 1000
        await screen.until("what this stands on is")
        await screen.press("enter")
        assert agreed.plans == []


@pytest.mark.parametrize("key", ["E", "R"])
async def test_while_an_operation_runs_it_is_refused(key: str) -> None:
    async with operated(FakeRing(list(BEFORE))) as one:
        await one.begin(Verb.UPDATE, Target("10.1.0.1", 70))
        one.executor.lines(LineStatus.SENT)
        await one.screen.press(key)
        await one.screen.until("one change at a time")
        assert "Stop all" not in one.screen
        assert ("s at most it gives way" in one.screen) is (key == "E")


@pytest.mark.parametrize("key", ["E", "R"])
async def test_the_letters_are_text_while_a_text_is_typed(key: str) -> None:
    async with changing() as (screen, _):
        await screen.press("slash", key)
        await screen.until(f"filter “{key}”")
        await screen.press("escape", "l", key)
        await screen.until(key)
        assert isinstance(screen.app.screen, LookupScreen)


async def test_it_works_from_every_screen_and_from_the_palette() -> None:
    async with changing(FakeRing(list(BEFORE)), (120, 60)) as (screen, _):
        for key in ("enter", "g", "c", "o"):
            await screen.press(key, "E")
            await screen.until("Stop all 3 backends")
            await screen.press("escape", "ctrl+q")
            await screen.until("10 min", gone=["Stop all"])
        await screen.press("colon", *"emergency")
        await screen.until("EMERGENCY STOP  (E)")
        await screen.press("enter")
        await screen.until("Stop all 3 backends")


# What follows


async def test_after_a_proven_stop_disconnecting_is_next_and_else_the_rest() -> None:
    ring = FakeRing(list(BEFORE))
    async with operated(ring, (120, 60)) as one:
        screen = one.screen
        await screen.press("E")
        await screen.until("Stop all 3 backends")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        one.executor.lines(LineStatus.SENT)
        await screen.until("1 of 3 sent")
        assert "disconnect everyone" not in screen, "withheld until it is proven"
        one.executor.end(LineStatus.NOT_APPLIED)
        await screen.until("Next: try the rest again")
        await screen.press("n")
        await screen.until("Stop all 3 backends", "To do it, type")
        await screen.press("escape")
        for row in BEFORE:
            ring.set(row.ip, vhosts=0)
        one.executor.end(LineStatus.APPLIED)
        await screen.until("Next: disconnect everyone", "NO USABLE" if "NO USABLE" in screen else "Next")
        await screen.press("n")
        await screen.until("proxy kick -h 10.1.0.1")


async def test_after_a_recovery_the_spread_is_told_live_and_flush_all_offered_where_it_is_skewed() -> None:
    ring = stopped_ring()
    keep_there(ring, record())
    async with operated(ring, (120, 60)) as one:
        screen = one.screen
        await screen.press("R")
        await screen.until("✓ → 50")
        await screen.press("enter")
        await screen.until("Bring 3 backends back")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        one.executor.lines(LineStatus.SENT)
        await screen.until("1 of 3 sent")
        for row in BEFORE:
            ring.set(row.ip, vhosts=row.vhosts)
        one.executor.end(LineStatus.APPLIED)
        await screen.until("users are elsewhere than the shares say", "on 10.1.0.2: 27,020", "Next: flush all")
        await screen.until("by share", "50   27,020    17,392", gone=["doveadm director update"])
        await screen.press("n")
        await screen.until("Flush all backends")
        await screen.press("escape")
        ring.set("10.1.0.1", users=38000)
        ring.set("10.1.0.2", users=17800)
        await screen.until("elsewhere than the shares say", gone=["Next: flush all"])


def _plan(screen: Screen) -> Plan:
    dialog = screen.app.screen
    assert isinstance(dialog, PlanDialog), screen.text
    return dialog.plan
