"""The list of all clusters: read while it is open, and a way from one dashboard to another."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from director_tui.director.model import State
from director_tui.errors import ConfigError, Unreachable
from director_tui.link import reading
from director_tui.link.questions import Question
from director_tui.link.ring import Ring
from director_tui.operations.stop_record import SavedBackend, StopRecord
from tests.ui.fakes import FakeRing, Row, Screen, dashboard, make_app
from tests.ui.test_emergency import AT, keep_there

US = ("ops@us1.example.com", "ops@us2.example.com")
TEST = ("ops@test1.example.com",)


def us(**changes: Any) -> FakeRing:
    return FakeRing(directors=US, rows=[Row("10.2.0.1", 4711), Row("10.2.0.2", 42, state=b"down")], **changes)


def row(screen: Screen, name: str) -> str:
    """The line of a cluster, without the cursor."""
    (found,) = [line for line in screen.lines if line[3:].startswith(f"{name} ")]
    return found[3:].rstrip()


def tasks() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_every_cluster_has_a_line_and_is_left_alone_again(size: tuple[int, int]) -> None:
    other = us()
    async with dashboard(size=size, others={"mail-us": (other, {"environment": "staging"})}) as screen:
        assert not other.asks, "nobody has asked for the other cluster yet"
        await screen.press("c")
        await screen.until("1 DOWN · 1 serving", "4,753", "2/2 synced")
        assert "staging" in row(screen, "mail-us")
        await screen.until("6 backends: 3 serving, 1 draining, 1 drained and 1 DOWN", "78,434", "3/3 synced")
        assert row(screen, "mail-eu").startswith("mail-eu ● shown")
        assert other.asks == [None], "a person could be asked"
        other.set("10.2.0.1", users=5000)
        await screen.until("5,042")
        await screen.press("q")
        await screen.until("28,764")
        await screen.wait(lambda: all(one.lost for one in other.connections), "the end of the connections")
        calls = other.calls
        await screen.pilot.pause(0.4)
        assert other.calls == calls


async def test_one_that_hangs_or_can_not_be_reached_does_not_hold_up_the_others() -> None:
    hangs, broken = us(), FakeRing(directors=TEST)
    hangs.awake.clear()
    broken.refuse = {TEST[0]: Unreachable("ops@test1.example.com: port 22 [/x] refuses", "is sshd running there?")}
    others: dict[str, tuple[FakeRing, dict[str, Any]]] = {
        "hangs": (hangs, {}),
        "broken": (broken, {"interval_s": 0.2}),
        "well": (us(), {"read_only": True}),
    }
    async with dashboard(size=(80, 24), others=others) as screen:
        await screen.press("c")
        await screen.until("1 DOWN · 1 serving", "2/2 synced")
        assert "◌ connecting" in row(screen, "hangs")
        await screen.until("○ ops@test1")
        assert row(screen, "broken").endswith("○ ops@test1.example.com: port 22 [/x] refuses")
        await screen.press("j", "j")
        await screen.until("port 22 [/x] refuses", "is sshd running there?")
        await screen.press("j")
        await screen.until("read-only · 2 directors: ops@us1.example.com and ops@us2.example.com")
        broken.refuse.clear()
        await screen.press("r")
        await screen.until("1/1 synced", gone=["○"])


async def test_old_data_says_its_age_and_is_called_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MIN_STALE_S", 1.5)
    other = us()
    async with dashboard(size=(80, 24), others={"mail-us": (other, {})}) as screen:
        await screen.press("c")
        await screen.until("1 DOWN · 1 serving", gone=["old"])
        other.awake.clear()
        await screen.until("1s old · 1 DOWN")
        await screen.until("STALE 2s old · 1 DOWN", "4,753")
        other.awake.set()
        await screen.until("1 DOWN · 1 serving", gone=["old", "STALE"])


async def test_what_must_not_be_overlooked_is_said_for_every_cluster() -> None:
    stopped = us(parts=((US[0],), (US[1],)))
    stopped.rows = [Row("10.2.0.1", 4711, vhosts=0)]
    async with dashboard(size=(80, 24), others={"mail-us": (stopped, {})}) as screen:
        await screen.press("c", "j")
        await screen.until("NONE USABLE · 1 draining", "1/2 SPLIT")
        await screen.until("NO USABLE BACKEND for untagged users", "SPLIT RING: us1 and us2 see only themselves")


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_a_stop_that_is_in_force_is_said_of_every_cluster(size: tuple[int, int]) -> None:
    stopped = us()
    stopped.rows = [Row("10.2.0.1", 4711, vhosts=0), Row("10.2.0.2", 42, vhosts=0)]
    saved = tuple(SavedBackend(row.ip, "", 70, State.UP) for row in stopped.rows)
    ring = ("10.0.0.11", "10.0.0.12")
    keep_there(stopped, StopRecord("elsewhere", ring, AT, "ops[/]", "admin1", "", saved), US[1])
    async with dashboard(size=size, others={"mail-us": (stopped, {})}) as screen:
        await screen.press("c", "j")
        await screen.until("STOPPED since 23 Nov", gone=["NONE USABLE"])
        await screen.until("EMERGENCY STOP in force since 2026-11-23 21:40 by ops[/] — Enter, then R")
        assert stopped.asks == [None], "a person could be asked"
        stopped.set("10.2.0.1", vhosts=70)
        stopped.set("10.2.0.2", vhosts=70)
        await screen.until("2 serving", gone=["STOPPED"])


async def test_enter_shows_another_cluster_and_nothing_is_left_of_the_first() -> None:
    ring, other = FakeRing(), us()
    async with dashboard(ring, (80, 24), others={"mail-us": (other, {"environment": "", "read_only": True})}) as screen:
        await screen.press("c", "j")
        await screen.until("1 DOWN · 1 serving")
        await screen.press("enter")
        await screen.until("mail-us · read-only   ● LIVE   us1", "10.2.0.1", "4,711", gone=["10.1.0.1", "mail-eu"])
        assert other.asks[0] is None
        assert other.asks[1] is not None, "nobody could be asked for the one that is shown"
        await screen.wait(lambda: all(one.lost for one in ring.connections), "the end of the first ring")
        await screen.wait(lambda: "readings of mail-eu" not in tasks() and "end of mail-eu" not in tasks())
        calls = ring.calls
        await screen.readings(other)
        assert ring.calls == calls
        await screen.press("c")
        await screen.until("mail-us ● shown", "3/3 synced")
        await screen.press("home", "enter")
        await screen.until("mail-eu · production   ● LIVE", "28,764", gone=["10.2.0.1"])
        await screen.press("g")
        await screen.until("3 of 3 directors synced")
    assert all(one.lost for one in (*ring.connections, *other.connections))
    assert not {name for name in tasks() if "mail" in name or "dir" in name}


async def test_enter_on_the_cluster_that_is_shown_goes_back_to_it() -> None:
    ring = FakeRing()
    async with dashboard(ring, others={"mail-us": (us(), {})}) as screen:
        await screen.press("c")
        await screen.until("● shown")
        await screen.press("enter")
        await screen.until("28,764", gone=["● shown"])
        assert len(ring.asks) == 1


async def test_the_palette_switches_too() -> None:
    async with dashboard(others={"mail-us": (us(), {})}) as screen:
        await screen.press("colon")
        await screen.until("Search for commands")
        await screen.press(*"cluster mail")
        await screen.until("cluster mail-us", gone=["cluster mail-eu", "Turn the order"])
        await screen.press("down", "enter")
        await screen.until("mail-us", "10.2.0.1", gone=["28,764"])


async def test_a_cluster_that_needs_an_answer_asks_when_it_is_shown_and_only_then() -> None:
    other, answers = us(), []
    other.directors = US[:1]

    async def ask(destination: str) -> None:
        who = other.asks[-1]
        if who is None:
            raise Unreachable(f"{destination}: nobody may be asked", "")
        answers.append(await who(Question(destination, "Password:", secret=True)))

    other.on_connect = ask
    app = make_app(FakeRing(), others={"mail-us": (other, {})})
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until("● LIVE")
        await screen.press("c", "j")
        await screen.until("nobody may be asked")
        assert "Password:" not in screen
        await screen.press("enter")
        await screen.until("ops@us1.example.com", "Password:", "Enter sends it")
        await screen.press("x", "enter")
        await screen.until("mail-us", "4,711")
        assert answers == ["x"]


async def test_quitting_with_the_list_open_closes_everything() -> None:
    ring, other = FakeRing(), us()
    app = make_app(ring, others={"mail-us": (other, {})})
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until("● LIVE")
        await screen.press("c")
        await screen.until("1 DOWN · 1 serving")
    assert all(one.lost for one in (*ring.connections, *other.connections))
    assert not {name for name in tasks() if "mail" in name or "example" in name}


async def test_a_cluster_that_can_not_even_be_opened_is_a_line_of_the_list() -> None:
    ring = FakeRing()

    async def open_ring(cluster: Any, ask: object) -> Ring:
        if cluster.name == "mail-us":
            raise ConfigError("no such [/x] jump host", "mend ~/.ssh/config")
        return Ring(cluster, ring)  # type: ignore[arg-type]  # the fake does all that a ring needs

    app = make_app(ring, others={"mail-us": (us(), {})}, open_ring=open_ring)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until("● LIVE")
        await screen.press("c", "j")
        await screen.until("○ no such [/x] jump host", "mend ~/.ssh/config")


async def test_the_only_cluster_is_shown_with_a_word_about_more() -> None:
    async with dashboard(size=(80, 24)) as screen:
        await screen.press("c")
        await screen.until(
            "The only cluster. Each further one is a table [clusters.NAME] in config.toml.", "3/3 synced"
        )
        assert row(screen, "mail-eu").startswith("mail-eu ● shown")
        await screen.press("enter")
        await screen.until("28,764")
