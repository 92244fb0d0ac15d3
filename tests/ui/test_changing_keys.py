"""From a changing key to its plan: which targets, when not, and what comes first. Nothing is changed by any key."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from textual.events import Key

from director_tui.errors import ConnectionLost
from director_tui.operations.plan import Target, Verb
from director_tui.operations.progress import LineStatus
from director_tui.ui.commands import COMMANDS
from director_tui.ui.dashboard import Dashboard
from director_tui.ui.plan_dialog import PlanDialog
from tests.ui.changing import changing, focused, settle
from tests.ui.fakes import DIRECTORS, Clock, FakeReply, FakeRing, Row, Screen, dashboard
from tests.ui.operations import operated

if TYPE_CHECKING:
    from director_tui.operations.plan import Plan

CHANGING = {"v": "vhosts", "d": "down", "u": "up", "f": "flush", "x": "remove", "a": "add", "F": "flush all"}


def plan_on(screen: Screen) -> Plan:
    dialog = screen.app.screen
    assert isinstance(dialog, PlanDialog), screen.text
    return dialog.plan


@pytest.mark.parametrize(
    ("keys", "title", "command"),
    [
        (["v", "5", "0", "enter"], "Set vhost count of 10.1.0.1 to 50", "doveadm director update 10.1.0.1 50"),
        (["d"], "Set 10.1.0.1 down", "doveadm director down 10.1.0.1"),
        (["end", "k", "k", "u"], "Set 10.1.0.4 up", "doveadm director up 10.1.0.4"),
        (["f", "enter"], "Flush 10.1.0.1", "doveadm director flush 10.1.0.1"),
        (["f", "7", "enter"], "Flush 10.1.0.1", "doveadm director flush --max-parallel 7 10.1.0.1"),
        (["F", "enter"], "Flush all", "doveadm director flush all"),
        (["x"], "Remove 10.1.0.1", "doveadm director remove 10.1.0.1"),
        (
            ["a", *"10.1.0.9", "tab", *"gold", "enter"],
            "Add 10.1.0.9 to tag gold, vhost count 100",
            "doveadm director add -t gold 10.1.0.9 100",
        ),
    ],
)
async def test_every_key_leads_to_a_plan_with_the_exact_command(keys: list[str], title: str, command: str) -> None:
    async with changing() as (screen, agreed):
        await screen.press(*keys)
        await screen.until(title, command, "Runs on ops@dir1.example.com", "Cancel")
        assert agreed.plans == []


async def test_what_follows_an_operation_is_planned_on_a_reading_from_after_it() -> None:
    ring = FakeRing()
    async with operated(ring) as made:
        await made.begin(Verb.UPDATE, Target("10.1.0.1", 0))
        ring.awake.clear()
        await made.screen.wait(lambda: "status" in ring.waiting, "the last answer to be read")
        made.executor.end(LineStatus.APPLIED)
        await made.screen.until("Next: flush 10.1.0.1")
        await made.screen.press("n")
        await made.screen.until("Reading first")
        ring.rows[0] = replace(ring.rows[0], vhosts=0)
        ring.awake.set()
        await made.screen.until("max-parallel", "vhosts 0")
        await made.screen.press("enter")
        await made.screen.until("Flush 10.1.0.1", "vhosts 0", "Cancel")


async def test_marks_win_over_the_cursor_and_every_one_is_named() -> None:
    async with changing() as (screen, _):
        await screen.press("space", "j", "space", "end", "v")
        await screen.until("Set the vhost count of 2 backends", "10.1.0.1  mail-01  vhosts 100", "10.1.0.2")
        await screen.press("0", "enter")
        await screen.until("doveadm director update 10.1.0.1 0", "doveadm director update 10.1.0.2 0")
        assert plan_on(screen).request.ips == ("10.1.0.1", "10.1.0.2")


async def test_a_mark_that_the_filter_hides_is_no_target() -> None:
    async with changing() as (screen, _):
        await screen.press("space", "end", "space", "slash", *"gold", "enter")
        await screen.until("mark dropped: 10.1.0.1")
        await screen.press("d")
        await screen.until("doveadm director down 10.1.0.10")
        assert plan_on(screen).request.ips == ("10.1.0.10",)


async def test_the_targets_are_frozen_when_the_key_is_pressed() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, agreed):
        await screen.press("j", "v")
        await screen.until("Set the vhost count of 10.1.0.2")
        # The table under the form becomes another: nothing of the plan follows it.
        ring.rows = [Row("10.0.0.1"), *ring.rows[2:], ring.rows[0], ring.rows[1]]
        await screen.readings(ring, 6)
        await screen.press("5", "enter")
        await screen.until("Set vhost count of 10.1.0.2 to 5")
        await settle(screen)
        await screen.press("right", "enter")
        assert agreed.words == [("director", "update", "10.1.0.2", "5")]


async def test_without_a_cursor_there_is_no_target() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, _):
        ring.remove("10.1.0.1")
        await screen.until("10.1.0.1 is not there any more")
        await screen.press("d")
        await screen.until("no backend is selected")
        assert isinstance(screen.app.screen, Dashboard)


async def test_the_keys_work_on_details_for_its_backend() -> None:
    async with changing() as (screen, _):
        await screen.press("j", "enter")
        await screen.until("10.1.0.2  mail-02", "sessions now")
        await screen.press("d")
        await screen.until("doveadm director down 10.1.0.2")
        await screen.press("escape")
        await screen.until("sessions now", gone=["Runs on"])


async def test_move_and_kick_are_of_the_user_that_was_found() -> None:
    async with changing() as (screen, agreed):
        await screen.press("l", "M", "K", "enter")
        await screen.until("hash")
        assert "MK" in screen, "typed letters are no commands"
        await screen.press("K")
        await screen.until("Kick MK", "doveadm director kick -- MK")
        await screen.press("escape", "M")
        await screen.until("Move MK to", "10.1.0.1   mail-01")
        await screen.press("down", "enter")
        await screen.until("Move MK to 10.1.0.2", "doveadm director move -- MK 10.1.0.2")
        await settle(screen)
        await screen.press("tab", "enter")
        assert agreed.words == [("director", "move", "--", "MK", "10.1.0.2")]


async def test_a_user_that_is_not_found_yet_is_neither_moved_nor_kicked() -> None:
    ring = FakeRing(failing={(name, "map"): FakeReply(75, b"", b"Fatal: no\n") for name in DIRECTORS})
    async with changing(ring) as (screen, agreed):
        await screen.press("l", "b", "enter")
        await screen.until("exit status 75")
        await screen.press("M")
        await screen.until("no user has been found yet")
        await screen.press("K")
        assert not isinstance(screen.app.screen, PlanDialog)
        assert agreed.plans == []


@pytest.mark.parametrize("key", ["v", "d", "u", "f", "x", "a", "F"])
async def test_letters_are_text_while_the_filter_is_typed(key: str) -> None:
    async with changing() as (screen, _):
        await screen.press("slash", key)
        await screen.until(f"filter “{key}”")
        assert isinstance(screen.app.screen, Dashboard)


# Read-only


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
async def test_read_only_hides_the_changing_keys_and_refuses_them(size: tuple[int, int]) -> None:
    async with dashboard(FakeRing(), size, read_only=True) as screen:
        footer = screen.lines[-1]
        for key, label in CHANGING.items():
            assert f"{key} {label}" not in footer
        await screen.press("question_mark")
        await screen.until("Backends")
        assert "Changing" not in screen
        for command in COMMANDS:
            assert (command.help[:40] in screen.text) <= (not command.changes)
        await screen.press("q", "colon", *"vhost")
        await screen.until("Search for commands" if "Search" in screen else "vhost")
        assert "Set the vhost count" not in screen
        await screen.press("escape")
        for key in CHANGING:
            await screen.press(key)
            await screen.until("read-only: nothing is changed")
            assert isinstance(screen.app.screen, Dashboard)


async def test_without_read_only_they_are_offered_everywhere() -> None:
    async with dashboard(FakeRing(), (280, 60)) as screen:
        for key, label in CHANGING.items():
            assert f"{key} {label}" in screen.lines[-1]
        await screen.press("question_mark")
        await screen.until("Changing backends", "Set the vhost count")
        await screen.press("q", "colon", *"vhosts")
        await screen.until("Set the vhost count")


@pytest.mark.parametrize(
    ("width", "there", "not_there"),
    [(160, ["v vhosts", "a add", "l find user", "/ filter", "E EMERGENCY STOP", "? help", "q quit"], ["F flush all"]),
     (120, ["v vhosts", "x remove", "w remove cleanly", "a add", "l find user", "E EMERGENCY", "? help"], ["/ filter"]),
     (80, ["v vhosts", "d down", "u up", "f flush", "x remove", "l find user", "E STOP", "? help"], ["a add"]),
     (40, ["v vhosts", "d down", "E STOP", "? help"], ["u up", "x remove"]),
     (20, ["E STOP", "? help"], ["v vhosts"])],
)  # fmt: skip
async def test_the_footer_drops_what_is_wanted_least(width: int, there: list[str], not_there: list[str]) -> None:
    async with dashboard(FakeRing(), (width, 24)) as screen:
        for text in there:
            assert text in screen.lines[-1]
        for text in not_there:
            assert text not in screen.lines[-1]


async def test_a_click_on_the_footer_does_what_its_key_does() -> None:
    async with changing() as (screen, _):
        await screen.pilot.click(offset=(screen.lines[-1].index("d down"), 35))
        await screen.until("Set 10.1.0.1 down")


# Rapid typing


@pytest.mark.parametrize("keys", [["v", "0", "enter", "enter"], ["v", "0", "enter", "right", "enter"], ["d", "enter"]])
async def test_what_is_typed_in_one_burst_changes_nothing(keys: list[str]) -> None:
    ring = FakeRing()
    async with changing(ring, first_s=3600) as (screen, agreed):
        for key in keys:
            screen.app.post_message(Key(key, key if len(key) == 1 else None))
        await screen.readings(ring, 6)
        assert agreed.plans == []
        assert "sessions now" not in screen, "the second Enter has opened what lies below"


async def test_a_changing_key_never_overtakes_the_keys_in_front_of_it() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, _):
        for key in ("j", "space", "down", "space", "k", "s", "S", "d"):
            screen.app.post_message(Key(key, key if len(key) == 1 else None))
        await screen.until("doveadm director down 10.1.0.2", "doveadm director down 10.1.0.3")
        assert set(plan_on(screen).request.ips) == {"10.1.0.2", "10.1.0.3"}


# Old data


async def test_on_stale_data_a_reading_comes_first() -> None:
    ring, clock = FakeRing(), Clock()
    async with changing(ring, interval_s=60, times=clock.times) as (screen, agreed):
        clock.ahead_s = 1000
        ring.set("10.1.0.1", vhosts=7)
        ring.awake.clear()
        await screen.press("d")
        await screen.until("Reading first")
        await screen.press("enter", "right", "enter")
        assert "Reading first" in screen
        ring.awake.set()
        await screen.until("Set 10.1.0.1 down", "vhosts 7")
        assert focused(screen) == "cancel"
        assert agreed.plans == []


async def test_without_a_fresh_reading_nothing_goes_on() -> None:
    ring, clock = FakeRing(), Clock()
    async with changing(ring, interval_s=60, times=clock.times) as (screen, _):
        clock.ahead_s = 1000
        ring.break_down(ConnectionLost("dir1: the connection was lost", "wait for it"))
        await screen.press("v")
        await screen.until("Nothing was done", "the connection was lost")
        assert "vhost count" not in screen
        await screen.press("enter")
        await screen.until("10.1.0.1", gone=["Nothing was done"])
        assert isinstance(screen.app.screen, Dashboard)


async def test_esc_leaves_a_reading_that_takes_too_long() -> None:
    ring, clock = FakeRing(), Clock()
    async with changing(ring, interval_s=60, times=clock.times) as (screen, _):
        clock.ahead_s = 1000
        ring.awake.clear()
        await screen.press("d")
        await screen.until("Reading first")
        await screen.press("escape")
        ring.awake.set()
        await screen.readings(ring, 1)
        assert isinstance(screen.app.screen, Dashboard)
