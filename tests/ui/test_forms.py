"""The forms in front of a plan: what they take, what they refuse, and that they lose nothing that was typed."""

from __future__ import annotations

import pytest
from textual.events import Key, Paste

from director_tui.ui.dashboard import Dashboard
from director_tui.ui.forms import BackendChoice, Form
from director_tui.ui.plan_dialog import PlanDialog
from tests.ui.changing import changing, focus_is_seen, focused
from tests.ui.fakes import FakeRing, Row, Screen


def request_on(screen: Screen) -> object:
    dialog = screen.app.screen
    assert isinstance(dialog, PlanDialog), screen.text
    return dialog.plan.request


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "type a vhost count, 0 to 1000"),
        ("1001", "“1001” is no vhost count: it is 0 to 1000"),
        ("-1", "“-1” is no vhost count"),
        ("1e2", "“1e2” is no vhost count"),
        ("٣", "“٣” is no vhost count"),
        ("99999999999999999999", "is no vhost count"),
    ],
)
async def test_a_count_that_is_none_is_said_and_kept(typed: str, why: str) -> None:
    async with changing() as (screen, agreed):
        await screen.press("v", *typed, "enter")
        await screen.until(why)
        assert isinstance(screen.app.screen, Form)
        assert typed in screen
        await screen.press(*["backspace"] * len(typed), "5")
        assert "is no vhost count" not in screen
        await screen.press("enter")
        await screen.until("Set vhost count of 10.1.0.1 to 5")
        assert agreed.plans == []


@pytest.mark.parametrize("typed", ["0", "1000", "007"])
async def test_counts_from_0_to_1000_are_taken(typed: str) -> None:
    async with changing() as (screen, _):
        await screen.press("v", *typed, "enter")
        await screen.until(f"Set vhost count of 10.1.0.1 to {int(typed)}")


async def test_the_form_says_what_the_targets_have_now() -> None:
    ring = FakeRing([Row(f"10.2.0.{number}", vhosts=number) for number in range(1, 11)])
    async with changing(ring, (80, 24)) as (screen, _):
        await screen.press("asterisk", "v")
        await screen.until("Set the vhost count of 10 backends", "10.2.0.6   vhosts 6, up, 100 users", "and 4 more")


@pytest.mark.parametrize(
    ("ip", "tag", "count", "why"),
    [
        ("", "", "100", "type the IP of the backend"),
        ("mail-01.example.com", "", "100", "“mail-01.example.com” is no literal IP address"),
        ("10.1.0.300", "", "100", "“10.1.0.300” is no literal IP address"),
        ("fe80::1%eth0", "", "100", "is no literal IP address"),
        ("10.1.0.9", "a@b", "100", "has an @ in it"),
        ("10.1.0.9", "", "1001", "“1001” is no vhost count"),
        ("10.1.0.1", "", "100", "exist"),
    ],
)
async def test_what_can_not_be_added_is_said_and_kept(ip: str, tag: str, count: str, why: str) -> None:
    async with changing() as (screen, agreed):
        await screen.press("a", *ip, "tab", *tag, "tab", *count, "enter")
        await screen.until(why)
        assert isinstance(screen.app.screen, Form)
        for text in (ip, tag, count):
            assert text in screen
        assert agreed.plans == []


async def test_an_address_is_taken_in_the_form_that_doveadm_prints() -> None:
    async with changing() as (screen, _):
        await screen.press("a", *"2001:DB8:0::9", "enter")
        await screen.until("doveadm director add 2001:db8::9 100")


def type_at_once(screen: Screen, *keys: str) -> None:
    """As keys come over a slow connection: all before the first of them is taken."""
    for key in keys:
        screen.app.post_message(Key(key, key if len(key) == 1 else None))


async def test_what_is_typed_at_once_is_taken_in_its_order() -> None:
    async with changing() as (screen, _):
        await screen.press("v")
        await screen.until("0 to 1000")
        type_at_once(screen, "9", "1", "ctrl+u", "1", "5", "backspace", "0", "left", "2", "enter")
        await screen.until("doveadm director update 10.1.0.1 120")


async def test_fields_that_are_filled_at_once_get_their_own_text() -> None:
    async with changing() as (screen, _):
        await screen.press("a")
        await screen.until("tag")
        keys = ("tab", *"gold", "tab", "ctrl+u", *"50", "shift+tab", "shift+tab", *"2001:db8::9", "enter")
        type_at_once(screen, *keys)
        await screen.until("doveadm director add -t gold 2001:db8::9 50")


async def test_control_characters_in_a_tag_are_refused_and_never_shown() -> None:
    async with changing() as (screen, _):
        await screen.press("a", *"10.1.0.9", "tab")
        screen.app.screen.focused.post_message(Paste("go\x1b[31mld"))  # type: ignore[union-attr]
        await screen.pilot.pause()
        await screen.press("enter")
        await screen.until("control character")
        assert "\x1b" not in screen.text


@pytest.mark.parametrize("typed", ["0", "x", "-3"])
async def test_a_pace_that_doveadm_would_not_notice_is_refused(typed: str) -> None:
    async with changing() as (screen, _):
        await screen.press("f", *typed, "enter")
        await screen.until(f"“{typed}”: the number of users moved at a time")


async def test_forgetting_is_apart_from_the_flush_and_typed() -> None:
    async with changing() as (screen, agreed):
        await screen.press("f")
        await screen.until("Forget them instead (-F)")
        assert focused(screen) != "forget"
        await screen.press("tab", "enter")
        await screen.until("doveadm director flush -F 10.1.0.1", "type mail-eu")
        assert agreed.plans == []


async def test_a_flush_of_all_offers_no_forgetting() -> None:
    async with changing() as (screen, _):
        await screen.press("F")
        await screen.until("Flush all", "max-parallel")
        assert "-F" not in screen


@pytest.mark.parametrize("key", ["v", "a", "f", "F"])
async def test_esc_goes_back_with_nothing_changed(key: str) -> None:
    async with changing() as (screen, agreed):
        await screen.press("j", key, "5", "escape")
        await screen.until("LIVE", gone=["Enter shows the plan"])
        assert isinstance(screen.app.screen, Dashboard)
        assert screen.at_cursor() == "10.1.0.2"
        assert agreed.plans == []


async def test_the_backend_to_move_to_is_found_by_what_is_typed() -> None:
    async with changing() as (screen, _):
        await screen.press("l", *"bob", "enter")
        await screen.until("hash")
        await screen.press("M")
        await screen.until("Move bob to")
        await screen.press(*"gold-", "enter")
        await screen.until("Move bob to 10.1.0.7", "director move -- bob 10.1.0.7")


async def test_every_backend_to_move_to_is_shown_where_there_is_room() -> None:
    async with changing(FakeRing(), (80, 24)) as (screen, _):
        await screen.press("l", *"bob", "enter")
        await screen.until("hash")
        await screen.press("M")
        ips = [row.ip for row in FakeRing().rows]
        await screen.until("Move bob to", *[f" {ip} " for ip in ips])
        await screen.press(*"gold-")
        await screen.until("gold", gone=[f" {ips[0]} "])
        await screen.press(*["backspace"] * 5)
        await screen.until(*[f" {ip} " for ip in ips])


async def test_a_backend_that_is_gone_under_the_cursor_is_not_chosen() -> None:
    ring = FakeRing()
    async with changing(ring) as (screen, _):
        await screen.press("l", *"bob", "enter")
        await screen.until("hash")
        await screen.press("M")
        await screen.until("Move bob to")
        ring.remove("10.1.0.1")
        await screen.until("▸", gone=["▸  10.1.0.1 "])
        await screen.press("enter")
        await screen.until("the cursor stands on no backend")


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (20, 5)])
@pytest.mark.parametrize("keys", [["v"], ["a"], ["f"], ["F"], ["l", "b", "enter"]])
async def test_forms_work_on_small_screens(size: tuple[int, int], keys: list[str]) -> None:
    async with changing(FakeRing(), size) as (screen, _):
        await screen.press(*keys)
        if keys[0] == "l":
            await screen.wait(lambda: screen.app.screen._found is not None, "a user")  # type: ignore[attr-defined]
            await screen.press("M")
            await screen.wait(lambda: isinstance(screen.app.screen, BackendChoice))
        await screen.wait(lambda: focus_is_seen(screen), "what has the keyboard")
