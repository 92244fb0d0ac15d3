"""The plan dialog: nothing is changed unasked, what is seen is what is agreed to, and what has changed is said."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from director_tui.errors import OperationRefused
from director_tui.operations.plan import Request, Verb
from director_tui.operations.unseen_flush import UnseenFlush, remember_flush
from director_tui.ui import changing as way
from director_tui.ui.dashboard import Dashboard
from director_tui.ui.plan_dialog import PlanDialog
from tests.ui.changing import changing, focus_is_seen, focused, settle
from tests.ui.fakes import DIRECTORS, Clock, FakeRing, Row, Screen

if TYPE_CHECKING:
    from collections.abc import Sequence


def dialog_on(screen: Screen) -> PlanDialog:
    dialog = screen.app.screen
    assert isinstance(dialog, PlanDialog), screen.text
    return dialog


async def press_until_focused(screen: Screen, wanted: str, key: str = "tab") -> None:
    for _ in range(8):
        if focused(screen) == wanted:
            return
        await screen.press(key)
    raise AssertionError(f"{wanted} takes no focus:\n{screen.text}")


# What stands on it


async def test_everything_is_on_it_in_the_promised_order() -> None:
    async with changing(FakeRing(), (120, 60), capacity=40000) as (screen, _):
        await screen.press("v", "0", "enter")
        await screen.until("Cancel")
        text = screen.text
        parts = [
            "Set vhost count of 10.1.0.1 to 0",
            "vhosts 100 → 0  serving → draining",
            "At once",
            "On flush or expiry",
            "beyond 40,000",
            "▲ 10.1.0.2 would have",
            "· users already on 10.1.0.1 stay",
            "Runs on ops@dir1.example.com",
            "doveadm director update 10.1.0.1 0",
            "reason",
            "Cancel",
        ]
        assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
        assert "27,020 → 55,784  ≈ +28,764" in screen
        assert "mail-eu · production" in screen


async def test_every_one_of_many_targets_is_on_it() -> None:
    ring = FakeRing([Row(f"10.2.0.{number}") for number in range(1, 201)])
    async with changing(ring, (80, 24)) as (screen, _):
        await screen.press("asterisk", "d")
        await screen.until("Cancel" if "Cancel" in screen else "type mail-eu")
        seen: set[str] = set()
        for _ in range(60):
            seen |= {word for word in screen.text.split() if word.startswith("10.2.0.")}
            await screen.press("pagedown")
        assert seen >= {f"10.2.0.{number}" for number in range(1, 201)}


async def test_hostile_words_are_only_shown() -> None:
    ring = FakeRing([Row("10.1.0.1", tag=b"[@click=app.quit]x[/]\x1b[31m"), Row("10.1.0.2", tag=b"[/foo]")])
    async with changing(ring, (120, 60), names={"10.1.0.1": "[b]\x9b31m‮x"}) as (screen, _):
        await screen.press("d")
        await screen.until("[@click=app.quit]", "doveadm director down 10.1.0.1")
        assert not {"\x1b", "\x9b", "‮"} & set(screen.text)


@pytest.mark.parametrize("size", [(120, 36), (80, 24), (40, 12), (20, 5)])
@pytest.mark.parametrize("keys", [["v", "0", "enter"], ["F", "enter"]])
async def test_the_buttons_stay_in_sight_while_the_page_scrolls(size: tuple[int, int], keys: list[str]) -> None:
    async with changing(FakeRing(), size) as (screen, agreed):
        await screen.press(*keys)
        await screen.wait(lambda: isinstance(screen.app.screen, PlanDialog))
        for key in ("j", "k", "pagedown", "pageup", "end"):
            if keys[0] == "F" and len(key) == 1:
                continue  # it would be a letter of the name
            await screen.press(key)
            await screen.wait(lambda: focus_is_seen(screen), "what has the keyboard")
        assert agreed.plans == []


async def test_the_page_scrolls_while_a_button_has_the_focus() -> None:
    async with changing(FakeRing(), (80, 24)) as (screen, _):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down   mail-eu", "Cancel", gone=["director down"])
        await screen.until("↓ shows the rest of the plan")
        await screen.press("pagedown", "pagedown")
        await screen.until("director down", "Cancel", gone=["Set 10.1.0.1 down   mail-eu", "rest of the plan"])
        assert focused(screen) == "cancel"
        await screen.press(*["k"] * 40)
        await screen.until("Set 10.1.0.1 down   mail-eu")


async def test_a_notice_covers_neither_what_has_changed_nor_the_buttons() -> None:
    ring = FakeRing()
    async with changing(ring, (80, 24)) as (screen, _):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        ring.remove("10.1.0.1")
        screen.app.notify("said meanwhile", timeout=60)
        await screen.until("said meanwhile", "10.1.0.1 is not listed by ops@dir1.example.com", "Cancel", "Plan again")


async def test_where_warnings_are_out_of_sight_it_is_said_that_there_are_some() -> None:
    async with changing(FakeRing(), (80, 20)) as (screen, _):
        await screen.press("asterisk", "d")
        await screen.until("↓ shows the rest of the plan, with", gone=["▲"])
        await screen.press(*["pagedown"] * 6)
        await screen.until("director down", gone=["rest of the plan"])
    async with changing(FakeRing(), (80, 18)) as (screen, _):
        await screen.press("space", "down", "space", "f", "enter")
        # Why a name has to be typed is one, too.
        await screen.until("type mail-eu", "↓ shows the rest of the plan, with 1 warning", gone=["▲"])


# Plain


@pytest.mark.parametrize("keys", [["enter"], ["escape"], ["ctrl+q"], ["enter", "enter", "enter"], ["space"], ["y"]])
async def test_on_a_fresh_dialog_no_key_changes_anything(keys: Sequence[str]) -> None:
    async with changing() as (screen, agreed):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        await settle(screen)
        assert focused(screen) == "cancel"
        await screen.press(*keys)
        assert agreed.plans == []


@pytest.mark.parametrize("key", ["tab", "right"])
async def test_one_step_and_enter_agree_to_what_is_on_the_screen(key: str) -> None:
    async with changing() as (screen, agreed):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        await settle(screen)
        await screen.press(key)
        assert focused(screen) == "action"
        plan = dialog_on(screen).plan
        await screen.press("enter", "enter")
        assert agreed.plans == [plan]
        assert agreed.words == [("director", "down", "10.1.0.1")]
        await screen.until("checking once more")
        await screen.press("escape")
        assert dialog_on(screen).plan is plan, "going away would look like taking it back"


async def test_left_goes_back_to_cancel() -> None:
    async with changing() as (screen, agreed):
        await screen.press("d", "right", "left", "enter")
        await screen.until("LIVE", gone=["Cancel"])
        assert agreed.plans == []


async def test_a_new_dialog_takes_no_press_at_first() -> None:
    async with changing(first_s=3600) as (screen, agreed):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        await screen.press("right", "enter")
        await screen.pilot.click("#action")
        assert focused(screen) == "action"
        assert agreed.plans == []
        assert isinstance(screen.app.screen, PlanDialog)


async def test_the_reason_goes_with_the_plan_and_its_enter_agrees_to_nothing() -> None:
    async with changing() as (screen, agreed):
        await screen.press("d", "shift+tab", *"disk full", "enter")
        assert focused(screen) == "cancel"
        assert agreed.plans == []
        await settle(screen)
        await screen.press("right", "enter")
        assert agreed.reasons == ["disk full"]


# Typed


async def test_typed_only_the_name_of_the_cluster_agrees() -> None:
    async with changing() as (screen, agreed):
        await screen.press("F", "enter")
        await screen.until("To do it, type mail-eu")
        await settle(screen)
        assert not screen.app.screen.query("#action"), "one gate for an action, never two"
        await screen.press("enter")
        assert agreed.plans == []
        await screen.press(*"mail-e", "enter")
        await screen.until("the cluster is called mail-eu")
        assert agreed.plans == []
        await screen.press("u", "enter", "enter")
        assert agreed.words == [("director", "flush", "all")]


@pytest.mark.parametrize("keys", [["enter"], ["escape"], ["tab", "enter"]])
async def test_typed_neither_enter_nor_esc_changes_anything(keys: Sequence[str]) -> None:
    async with changing() as (screen, agreed):
        await screen.press("F", "enter")
        await screen.until("To do it")
        await settle(screen)
        await screen.press(*keys)
        assert agreed.plans == []


async def test_a_plain_one_becomes_typed_when_a_tag_loses_its_last_backend() -> None:
    async with changing(FakeRing(), (120, 60)) as (screen, _):
        await screen.press("end", "k", "d")
        await screen.until("Set 10.1.0.7 down", "asks for the cluster's name: it leaves no usable", "type mail-eu")


# What has changed since


async def test_a_change_is_said_and_nothing_can_be_agreed_to_before_planning_again() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, agreed):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        await settle(screen)
        await screen.press("right")
        ring.set("10.1.0.1", vhosts=50)
        await screen.until("changed since you opened: 10.1.0.1 vhosts: 100 → 50", "Plan again")
        assert focused(screen) == "action", "no other button comes under the fingers"
        await screen.press("enter", "enter")
        await screen.pilot.click("#action")
        assert agreed.plans == []
        # Also when it changes back: what was looked at is not what happened.
        ring.set("10.1.0.1", vhosts=100)
        await screen.readings(ring, 6)
        await screen.press("enter")
        assert agreed.plans == []
        ring.set("10.1.0.1", vhosts=60)
        await screen.until("10.1.0.1 vhosts: 100 → 60")
        await press_until_focused(screen, "again")
        await screen.press("enter")
        await screen.until("vhosts 60", gone=["changed since", "Plan again"])
        assert focused(screen) == "cancel"
        await settle(screen)
        await screen.press("right", "enter")
        (plan,) = agreed.plans
        assert plan.fingerprint.facts["10.1.0.1 vhosts"] == "60"


async def test_planning_again_keeps_the_reason_and_begins_anew() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, agreed):
        await screen.press("F", "enter")
        await screen.until("To do it")
        await screen.press("shift+tab", *"because", "enter", *"mail-eu")
        ring.set("10.1.0.1", vhosts=50)
        await screen.until("Plan again")
        await screen.press("enter")
        assert agreed.plans == []
        await press_until_focused(screen, "again")
        await screen.press("enter")
        await screen.until("because", gone=["Plan again"])
        await settle(screen)
        await screen.press("enter")
        assert agreed.plans == [], "the name has to be typed again"
        await screen.press(*"mail-eu", "enter")
        assert agreed.reasons == ["because"]


async def test_another_kind_of_confirmation_is_a_change() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, agreed):
        await screen.press("v", "5", "0", "enter")
        await screen.until("Set vhost count of 10.1.0.1 to 50", "Cancel")
        await settle(screen)
        ring.ring_rows = {name: ring.seen_by(name, b"ring syncing") for name in DIRECTORS}
        await screen.until("changed since you opened", "Plan again", limit_s=15)
        await press_until_focused(screen, "action")
        await screen.press("enter")
        assert agreed.plans == []
        await press_until_focused(screen, "again")
        await screen.press("enter")
        await screen.until("type mail-eu", "not synced")


async def test_a_target_that_is_gone_ends_the_plan_with_a_sentence() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, agreed):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        await settle(screen)
        await screen.press("right")
        ring.remove("10.1.0.1")
        await screen.until("Plan again")
        await screen.press("enter")
        await press_until_focused(screen, "again")
        await screen.press("enter")
        await screen.readings(ring)
        assert "10.1.0.1" in screen
        assert agreed.plans == []


async def test_users_that_come_and_go_are_no_change() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, agreed):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        ring.set("10.1.0.1", users=12)
        ring.set("10.1.0.2", users=99)
        await screen.readings(ring, 8)
        await settle(screen)
        assert "changed since" not in screen
        await screen.press("right", "enter")
        assert len(agreed.plans) == 1


async def test_on_old_data_nothing_can_be_agreed_to_until_it_is_fresh_again() -> None:
    ring, clock = FakeRing(), Clock()
    async with changing(ring, times=clock.times) as (screen, agreed):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        await settle(screen)
        ring.awake.clear()
        await screen.press("right")
        clock.ahead_s = 100
        await screen.until("what this stands on is 1m old", "Plan again")
        await screen.press("enter")
        assert agreed.plans == []
        ring.awake.set()
        await settle(screen)
        assert "what this stands on" not in screen
        assert focused(screen) == "action"
        # Textual's button shows a press for a moment, and takes no other meanwhile.
        await screen.wait(lambda: not screen.app.screen.query(".-active"), "a button that can be pressed again")
        await screen.press("enter")
        await screen.wait(lambda: len(agreed.plans) == 1, "the plan to be agreed to")


async def test_what_the_last_look_before_it_finds_comes_back_to_the_dialog() -> None:
    async with changing() as (screen, agreed):
        await screen.press("d")
        await screen.until("Set 10.1.0.1 down")
        await settle(screen)
        await screen.press("right", "enter")
        await screen.until("checking once more")
        dialog_on(screen).plan_outdated(("10.1.0.1 vhosts: 100 → 0",))
        await screen.until("changed since you opened: 10.1.0.1 vhosts: 100 → 0", gone=["checking once more"])
        await screen.press("enter")
        assert len(agreed.plans) == 1, "only once, until it is planned again"
        await screen.press("escape")
        assert isinstance(screen.app.screen, Dashboard)


async def test_an_unseen_flush_can_be_overridden_by_a_person_who_insists() -> None:
    async with changing() as (screen, agreed):
        await screen.press("end", "x")
        await screen.until("Remove 10.1.0.10", "Cancel")
        await settle(screen)
        await screen.press("right", "enter")
        assert agreed.overrides == [False]
        times = screen.app._times
        remember_flush("mail-eu", UnseenFlush(DIRECTORS[0], "10.1.0.3", times.utc()))
        dialog_on(screen).refused("the end of the flush of 10.1.0.3 was not seen")
        await screen.until("was not seen", "Plan again")
        await press_until_focused(screen, "again")
        await screen.press("enter")
        await screen.until("nobody has seen the end of the flush of 10.1.0.3", "type mail-eu")
        await settle(screen)
        await screen.press(*"mail-eu", "enter")
        assert agreed.overrides == [False, True]


# Removing


async def test_a_drained_backend_without_sessions_is_removed_with_a_button() -> None:
    async with changing() as (screen, _):
        await screen.press("end", "x")
        await screen.until("Remove 10.1.0.10", "Cancel", gone=["type mail-eu"])
        assert focused(screen) == "cancel"


async def test_sessions_ask_for_the_name() -> None:
    ring = FakeRing(sessions={DIRECTORS[1]: [("bob", "10.1.0.10")]})
    async with changing(ring) as (screen, _):
        await screen.press("end", "x")
        await screen.until("there are sessions to 10.1.0.10 (1 session)", "type mail-eu")


async def test_sessions_that_are_not_known_ask_for_the_name_and_say_so_when_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(way, "SESSIONS_WAIT_S", 0.05)
    ring = FakeRing(gates={(DIRECTORS[2], "proxy list"): asyncio.Event()})
    async with changing(ring) as (screen, agreed):
        await screen.press("end", "x")
        await screen.until("whether sessions are left is not known", "type mail-eu")
        await settle(screen)
        ring.gates[DIRECTORS[2], "proxy list"].set()
        await screen.until("changed since you opened: confirmation: typed → plain", "Plan again")
        await screen.press(*"mail-eu", "enter")
        assert agreed.plans == []
        await press_until_focused(screen, "again")
        await screen.press("enter")
        await screen.until("Remove 10.1.0.10", gone=["type mail-eu"])
        assert focused(screen) == "cancel"


# Counting


async def test_counting_makes_it_exact_without_moving_the_focus_to_the_action() -> None:
    ring = FakeRing(placed=[(number * 2654435761 % 2**32, "10.1.0.1") for number in range(50)])
    ring.set("10.1.0.1", users=50)
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.press("d")
        await screen.until("≈ +50", "Count exactly")
        await press_until_focused(screen, "count")
        await screen.press("enter")
        await screen.until("27,070  +50", gone=["≈", "Count exactly", "counting"])
        assert focused(screen) == "cancel"
        await settle(screen)
        await screen.press("right", "enter")
        (plan,) = agreed.plans
        assert plan.prediction is not None
        assert plan.prediction.exact


async def test_what_changes_while_it_is_counted_is_said_and_stays() -> None:
    gate = asyncio.Event()
    ring = FakeRing(gates={(DIRECTORS[0], "map"): gate})
    async with changing(ring, (120, 60)) as (screen, agreed):
        await screen.press("d")
        await screen.until("Count exactly")
        await press_until_focused(screen, "count")
        await screen.press("enter")
        await screen.until("counting")
        ring.set("10.1.0.1", vhosts=50)
        await screen.until("changed since you opened")
        gate.set()
        await screen.until("changed since you opened", "vhosts 100", gone=["counting"])
        await press_until_focused(screen, "action")
        await screen.press("enter")
        assert agreed.plans == []


async def test_a_count_that_fails_says_why_and_leaves_the_plan_as_it_is() -> None:
    async with changing() as (screen, _):
        await screen.press("d")
        await screen.until("Count exactly")

        async def fail(*_: object) -> None:
            raise OperationRefused("nobody can be counted", "try later")

        dialog_on(screen)._ask_count = fail  # type: ignore[assignment]
        await press_until_focused(screen, "count")
        await screen.press("enter")
        await screen.until("nobody can be counted", "Count exactly", "≈")


# From elsewhere


async def test_a_plan_can_be_asked_for_by_its_request() -> None:
    async with changing() as (screen, agreed):
        await screen.app.open_plan(Request(Verb.FLUSH_ALL))
        await screen.until("Flush all", "max-parallel")
        assert agreed.plans == []
