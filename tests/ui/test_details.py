"""The details of one backend, and how one gets there and away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

import pytest
from rich.cells import cell_len

from director_tui.director import hashring
from director_tui.link.questions import Question
from director_tui.ui import details
from director_tui.ui.chart import chart
from director_tui.ui.dashboard import Dashboard
from director_tui.ui.live import LiveScreen
from tests.ui.fakes import DIRECTORS, FakeReply, FakeRing, Row, dashboard

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.director.model import Backend
    from tests.ui.fakes import Screen

LOOK_ALIKE = [Row(f"10.1.0.{number}", 1000) for number in range(1, 4)]


async def test_enter_opens_the_backend_under_the_cursor_and_q_and_esc_lead_back() -> None:
    async with dashboard() as screen:
        for key in ("q", "escape", "ctrl+q"):
            await screen.press("j", "enter")
            await screen.until("changed", "vhost count")
            assert "q back" in screen
            assert "a add" not in screen
            await screen.press(key)
            await screen.until("a add", gone=("vhost count",))
        assert screen.at_cursor() == "10.1.0.4"


async def test_a_serving_backend() -> None:
    async with dashboard() as screen:
        await screen.press("enter")
        await screen.until("10.1.0.1  mail-01   serving", "28,764")
        assert "it has" in screen.line("of the untagged users")
        assert "only users whose hash leads elsewhere" in screen.line("on flush")
        # The only other usable backend without a tag receives everybody.
        assert "27,020 → 55,784   ≈ +28,764" in screen.line("→ 10.1.0.2")
        assert "in director_mail_servers: 10.1.0.1-10.1.0.4" in screen.line("configuration")
        assert "would change nothing" in screen
        assert "none since the start" in screen.line("changes")


async def test_one_that_is_out_of_use_says_so() -> None:
    async with dashboard() as screen:
        await screen.press("j", "j", "enter")
        await screen.until("10.1.0.3   ◌ draining", "takes no new users")
        assert "all of its users move" in screen.line("on flush")
        gains = [int(screen.line(f"→ 10.1.0.{n}").rpartition("+")[2].replace(",", "")) for n in (1, 2)]
        assert sum(gains) == pytest.approx(9120, abs=1)
        assert "has vhost count 0, a restart gives it 100" in screen


async def test_the_last_usable_one_of_its_tag() -> None:
    async with dashboard() as screen:
        await screen.press("j", "j", "j", "j", "enter")
        await screen.until("10.1.0.7  gold-01  tag gold   serving", "no other usable backend for tag gold")


async def test_it_follows_the_ring() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.press("enter")
        await screen.until("28,764", "state          up")
        ring.set("10.1.0.1", users=100, vhosts=50, state=b"down", changed=b"2026-08-29 19:05:00")
        await screen.until("▼ DOWN", "state          down", "vhosts 100 → 50", "up → DOWN", "has vhost count 50")
        ring.set("10.1.0.1", users=0)
        await screen.until("nobody is left to move")
        ring.remove("10.1.0.1")
        await screen.until("is not there any more", "removed")


async def test_where_its_users_go_is_computed_again_only_when_that_can_have_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def counted(backends: Iterable[Backend], ip: str, *, consistent: bool = True) -> dict[str | None, float]:
        asked.append(ip)
        return hashring.heirs(backends, ip, consistent=consistent)

    monkeypatch.setattr(details, "heirs", counted)
    details._heirs.cache_clear()
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.press("enter")
        await screen.until("→ 10.1.0.2")
        ring.set("10.1.0.2", users=27_021)
        await screen.until("27,021 → 55,785")
        assert asked == ["10.1.0.1"]
        ring.set("10.1.0.3", vhosts=100)
        await screen.until("→ 10.1.0.3")
        assert asked == ["10.1.0.1", "10.1.0.1"]


async def test_beyond_the_capacity() -> None:
    async with dashboard(capacity=50_000) as screen:
        await screen.press("enter")
        await screen.until("beyond 50,000")


async def test_settings_that_are_not_known() -> None:
    async with dashboard(FakeRing(mail_servers=b"mail.example.com")) as screen:
        await screen.press("enter")
        await screen.until("it may be one of the host names")


# Its sessions.


async def test_the_sessions_of_all_directors_are_counted_and_r_counts_again() -> None:
    ring = FakeRing()
    ring.sessions = {
        DIRECTORS[0]: [("ann", "10.1.0.1"), ("bob", "10.1.0.2")],
        DIRECTORS[1]: [("cid", "10.1.0.1")],
    }
    async with dashboard(ring) as screen:
        await screen.press("enter")
        await screen.until("sessions now   2 through 3 directors   imap 2")
        ring.sessions = {}
        await screen.press("r")
        await screen.until("sessions now   0 through 3 directors")


async def test_a_director_that_is_not_heard_is_named_and_none_is_not_claimed() -> None:
    ring = FakeRing()
    ring.failing[DIRECTORS[1], "proxy list"] = FakeReply(
        0, b"\n", b"Error: connect(/run/dovecot/ipc) failed: Permission denied\n"
    )
    gate = ring.gates[DIRECTORS[2], "proxy list"] = asyncio.Event()
    async with dashboard(ring) as screen:
        await screen.press("enter")
        await screen.until("0 through 1 director ", f"still asking {DIRECTORS[2]}")
        await screen.until(f"not counted: {DIRECTORS[1]}: the director's login processes can't be asked")
        gate.set()
        await screen.until("0 through 2 directors", gone=["still asking"])


class Gate(asyncio.Event):
    """Closed, and counts who came to it."""

    came = 0

    async def wait(self) -> Literal[True]:
        self.came += 1
        return await super().wait()


async def test_every_director_is_asked_once_at_a_time_however_often_somebody_asks() -> None:
    ring = FakeRing()
    gates = [Gate() for _ in DIRECTORS]
    ring.gates.update({(name, "proxy list"): gate for name, gate in zip(DIRECTORS, gates, strict=True)})
    async with dashboard(ring) as screen:
        await screen.press("enter")
        await screen.until("asking every director")
        await screen.press("r", "r", "q", "enter", "r")
        await screen.readings(ring, 3)
        assert [gate.came for gate in gates] == [1, 1, 1]
        gates[0].set()
        await screen.until("0 through 1 director ")
        # Who comes later has at once what is known.
        await screen.press("q", "enter", "r")
        await screen.until("0 through 1 director ", f"still asking {DIRECTORS[1]}, {DIRECTORS[2]}")
        assert [gate.came for gate in gates] == [1, 1, 1]
        for gate in gates:
            gate.set()
        await screen.until("0 through 3 directors", gone=["still asking"])
        for gate in gates:
            gate.clear()
        # Again, with the old ones still shown.
        await screen.press("r", "r", "r")
        await screen.readings(ring, 3)
        assert [gate.came for gate in gates] == [2, 2, 2]


@pytest.mark.parametrize("size", [(80, 24), (40, 12), (20, 5)])
async def test_nothing_breaks_on_small_screens(size: tuple[int, int]) -> None:
    async with dashboard(size=size) as screen:
        await screen.press("enter")
        await screen.until("10.1.0.1")
        await screen.press("j", "j", "k")
        assert all(len(line) <= size[0] for line in screen.lines)


async def test_a_long_sentence_goes_on_below_and_names_are_measured_in_cells() -> None:
    ring = FakeRing(rows=[Row("10.1.0.1"), Row("10.1.0.2"), Row("10.1.0.3")])
    async with dashboard(ring, (60, 40), names={"10.1.0.2": "郵件二號", "10.1.0.3": "mail-03"}) as screen:
        await screen.press("enter")
        await screen.until("hash leads elsewhere", "known without counting")
        assert "…" not in screen.text
        ends = {cell_len(screen.line(f"→ 10.1.0.{number}").partition("100 →")[0]) for number in (2, 3)}
        assert len(ends) == 1


async def test_it_scrolls_by_letters() -> None:
    async with dashboard(size=(80, 20)) as screen:
        await screen.press("enter")
        await screen.until("vhost count")
        assert "configuration" not in screen
        await screen.press(*["j"] * 30)
        await screen.until("changes")
        await screen.press(*["k"] * 30)
        await screen.until("10.1.0.1  mail-01")


async def test_a_question_that_opened_meanwhile_is_not_answered_by_going_somewhere() -> None:
    async with dashboard() as screen:
        asked = screen.app.run_worker(screen.app.ask(Question("ops@dir1", "Password:", secret=True)))
        await screen.until("Password:")
        screen.app._dashboard.post_message(Dashboard.DetailsWanted("10.1.0.1"))
        screen.app._dashboard.post_message(LiveScreen.BackendWanted("10.1.0.2"))
        await screen.until("Password:", "Enter sends it")
        assert not asked.is_finished
        await screen.press("escape")
        await screen.until("a add", gone=["Password:"])
        assert asked.result is None


# Copying, and going to a backend by the palette.


def copied(screen: Screen) -> str:
    return screen.app.clipboard


async def test_copy_takes_the_cursor_the_marks_or_the_details() -> None:
    async with dashboard() as screen:
        await screen.press("j", "y")
        assert copied(screen) == "10.1.0.2"
        await screen.until("copied 10.1.0.2")
        await screen.press("space", "j", "space", "y")
        assert copied(screen) == "10.1.0.2 10.1.0.3"
        await screen.until("copied 2 IPs")
        await screen.press("escape", "k", "k", "enter")
        await screen.until("vhost count")
        await screen.press("y")
        assert copied(screen) == "10.1.0.1"


@pytest.mark.parametrize("typed", ["0.7", "gold-01"])
async def test_the_palette_goes_to_a_backend_by_ip_and_name(typed: str) -> None:
    async with dashboard() as screen:
        await screen.press("slash", *"mail", "enter")
        assert "10.1.0.7" not in screen
        await screen.press("colon")
        await screen.until("Search for commands")
        await screen.press(*typed)
        await screen.until("go to backend 10.1.0.7  gold-01")
        await screen.press("enter")
        await screen.wait(lambda: screen.at_cursor() == "10.1.0.7", "the cursor on 10.1.0.7")
        assert "filter" not in screen.text.partition("vhosts")[2].partition("/ filter")[0]


async def test_a_name_is_no_markup_in_the_palette() -> None:
    async with dashboard(names={"10.1.0.7": "[/gold] [@click=app.quit]x[/]"}) as screen:
        await screen.press("colon")
        await screen.until("Search for commands")
        await screen.press(*"0.7")
        await screen.until("[/gold] [@click=app.quit]x[/]")


# The chart.


def drawn(values: list[int | None], expected: float | None = None, width: int = 12, height: int = 4) -> list[str]:
    return ["".join(piece.text for piece in line) for line in chart(values, expected, width, height, 6)]


def test_a_chart_has_its_newest_value_at_the_right_edge() -> None:
    assert drawn([0, 32]) == ["32 │     █", "   │     █", "16 │     █", " 0 │    ▁█"]


def test_gaps_stay_gaps() -> None:
    assert drawn([8, None, 8], height=1) == ["8 │   ▄ ▄"]


def test_the_share_is_a_dashed_line_behind_the_columns() -> None:
    lines = drawn([10, 20, 30], expected=10.0)
    assert lines[-1] == "10 │╌╌╌▁██"
    assert "╌" not in "".join(lines[:-1])


def test_a_chart_of_nothing_says_so_once() -> None:
    assert sum(line.startswith("0 ") for line in drawn([0, 0])) == 1


def test_noise_is_no_mountain() -> None:
    assert len({line[5:] for line in drawn([100_000, 100_003, 99_998, 100_001], width=16)[2:]}) == 1


def test_a_wide_chart_repeats_and_a_narrow_one_thins() -> None:
    assert drawn([1, 2, 3, 4, 5, 6], width=16, height=1)[0].count("█") == 2
    assert len(drawn([1, 2, 3, 4, 5, 6], width=6, height=1)[0]) == 6


@pytest.mark.parametrize(("values", "width", "height"), [([], 20, 4), ([None, None], 20, 4), ([1], 3, 4), ([1], 9, 0)])
def test_no_chart_without_values_or_room(values: list[int | None], width: int, height: int) -> None:
    assert drawn(values, width=width, height=height) == []
