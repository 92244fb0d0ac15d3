"""The dashboard's parts at every width: what they say, and what gives way when there is no room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from director_tui.ui.grid import Grid
from tests.ui.fakes import FakeRing, Row, Screen, dashboard

if TYPE_CHECKING:
    from textual.geometry import Region

TITLES = ("backend", "name", "tag", "vhosts", "share", "condition", "users", "/min", "last 10 min")


def titles(screen: Screen) -> list[str]:
    """The columns on the screen; the bar has no title, but its tick shows."""
    head = screen.line("condition")
    found = [title for title in TITLES if title in head]
    return [*found, "bar"] if "╵" in screen.text else found


@pytest.mark.parametrize("size", [(200, 50), (120, 36), (80, 24), (40, 24)])
async def test_ip_vhosts_condition_and_users_are_there_at_every_width(size: tuple[int, int]) -> None:
    async with dashboard(size=size) as screen:
        assert screen.ips() == ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.7", "10.1.0.10"]
        for ip, vhosts, condition, users in (
            ("10.1.0.1", "100", "serving", "28,764"),
            ("10.1.0.3", "0", "draining", "9,120"),
            ("10.1.0.4", "100", "DOWN", "4,120"),
            ("10.1.0.10", "0", "drained", "0"),
        ):
            (row,) = [line for line in screen.table() if line.split(ip, 1)[-1][:1] == " " and f" {ip} " in line]
            words = row.split()
            assert vhosts in words, row
            assert condition in words, row
            assert users in words, row


async def test_columns_give_way_in_their_order() -> None:
    order = ["last 10 min", "bar", "/min", "share", "name", "tag"]
    async with dashboard(size=(120, 30)) as screen:
        gone: list[str] = []
        assert set(titles(screen)) == {*TITLES, "bar"}
        for width in range(118, 39, -2):
            await screen.resize(width, 30)
            there = titles(screen)
            gone += [column for column in order if column not in there and column not in gone]
            assert set(there) == {*TITLES, "bar"} - set(gone), f"a column came back at {width}"
            assert {"backend", "vhosts", "condition", "users"} <= set(there)
        assert gone == order


async def test_numbers_end_below_the_end_of_their_title() -> None:
    async with dashboard() as screen:
        head = screen.line("condition")
        for row in screen.table():
            for title in ("vhosts", "users"):
                end = head.index(title) + len(title)
                assert row[end - 1].isdigit(), row
                assert row[end : end + 1] == " ", row
            assert row[head.index("condition")] != " ", row
            assert row[head.index("backend")] != " ", row


@pytest.mark.parametrize("size", [(20, 5), (10, 5), (4, 2), (1, 1), (300, 100)])
async def test_nothing_breaks_on_a_strange_screen(size: tuple[int, int]) -> None:
    async with dashboard(size=(80, 24)) as screen:
        await screen.resize(*size)
        assert [len(line) for line in screen.lines] == [size[0]] * size[1]
        await screen.press("j", "slash", "g", "escape", "question_mark", "q", "s", "ctrl+p", "escape")
        await screen.resize(80, 24)
        assert "10.1.0.1" in screen


async def test_the_state_and_a_row_are_there_at_20_by_5() -> None:
    async with dashboard(size=(20, 5)) as screen:
        assert "● LIVE" in screen
        assert "10.1.0.1" in screen
        assert "? help" in screen


@pytest.mark.parametrize("width", [200, 120, 80, 60, 40, 30, 20])
async def test_the_footer_keeps_help(width: int) -> None:
    async with dashboard(size=(width, 24)) as screen:
        assert "? help" in screen.lines[-1]


async def test_the_header_says_it_all() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.until("ping 2 ms", "run-time-only change")
        first, second = screen.lines[:2]
        for text in ("mail-eu", "production", "● LIVE", "dir1", "14 ms", "ring 3/3 synced", "ping 2 ms", "UTC"):
            assert text in first
        for text in ("6 backends", "3 serving", "1 draining", "1 drained", "1 DOWN", "78,434 users"):
            assert text in second
        # 10.1.0.3 and .10 have vhost count 0, and 10.1.0.4 is down: a full restart would undo all three.
        assert "3 run-time-only changes" in second


async def test_the_header_drops_clock_ping_and_latency_in_that_order() -> None:
    async with dashboard(size=(120, 24)) as screen:
        await screen.until("ping 2 ms")
        gone: list[str] = []
        for width in range(118, 40, -3):
            await screen.resize(width, 24)
            first = screen.lines[0]
            gone += [text for text in ("UTC", "ping", "14 ms") if text not in first and text not in gone]
            assert "mail-eu" in first
            assert "● LIVE" in first
        assert gone == ["UTC", "ping", "14 ms"]


async def test_users_without_a_usable_backend_are_a_red_line() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        assert "NO USABLE BACKEND" not in screen
        ring.set("10.1.0.7", state=b"down")
        await screen.until("NO USABLE BACKEND for tag gold: new logins wait 30 to 60 s and fail")
        assert screen.style_of("NO USABLE BACKEND").bold
        ring.set("10.1.0.7", state=b"up")
        await screen.until("3 serving", gone=["NO USABLE BACKEND"])


async def test_a_stop_of_every_tag_is_one_line() -> None:
    ring = FakeRing(rows=[Row(f"10.0.0.{n}", vhosts=0, tag=b"tag%d" % n) for n in range(1, 31)])
    async with dashboard(ring, (80, 24)) as screen:
        assert "NO USABLE BACKEND for ANY TAG" in screen
        assert len(screen.ips()) > 10


async def test_a_split_ring_is_called_what_it_is() -> None:
    alone = b"10.0.0.11\t9090\tself\tnever\tring synced\t0\t-\t-\t-\t-\t-\t-\n" + b"".join(
        b"10.0.0.%d\t9090\t\t2026-11-23 19:05:00\t\t-\t-\t-\t-\t-\t-\t-\n" % n for n in (12, 13)
    )
    async with dashboard(FakeRing(ring_status=alone, directors=("ops@dir1.example.com",))) as screen:
        await screen.until("SPLIT RING", "ring 1/3")


async def test_a_ring_that_is_not_synced_is_said() -> None:
    rows = b"10.0.0.11\t9090\tself\tnever\tring syncing - last sync 42 secs ago\t0\t-\t-\t-\t-\t-\t-\n"
    async with dashboard(FakeRing(ring_status=rows, directors=("ops@dir1.example.com",))) as screen:
        await screen.until("SYNCING - LAST SYNC 42 SECS AGO")


async def test_changes_by_others_are_events() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        assert "nothing has changed since the start" in screen
        ring.set("10.1.0.2", vhosts=0)
        await screen.until("10.1.0.2  mail-02  vhosts 100 → 0")
        assert "outside this program" in screen.line("vhosts 100 → 0")
        ring.set("10.1.0.1", state=b"down")
        ring.set("10.1.0.3", tag=b"gold")
        ring.rows.append(Row("10.1.0.20", 0))
        await screen.until("up → DOWN", "tag none → gold", "added with vhost count 100")
        ring.remove("10.1.0.20")
        await screen.until("10.1.0.20  removed")
        times = [line[:10] for line in screen.lines if "outside this program" in line]
        assert times == sorted(times, reverse=True), "the newest is not first"
        assert len({line.index("outside") for line in screen.lines if "outside this program" in line}) == 1


async def test_an_empty_list_is_said() -> None:
    async with dashboard(FakeRing(rows=[])) as screen:
        await screen.until("the director lists no backend at all")


async def test_ipv6_addresses_lose_their_common_prefix_only_where_there_is_no_room() -> None:
    ips = ["2001:db8:1234:5678:9abc:def0:1:1", "2001:db8:1234:5678:9abc:def0:1:2", "2001:db8:1234:5678:9abc:def0:2:1"]
    rows = [Row("10.200.100.250"), *(Row(ip) for ip in ips)]
    async with dashboard(FakeRing(rows=rows), (120, 24)) as screen:
        assert screen.ips() == ["10.200.100.250", *ips]
        await screen.resize(40, 24)
        assert screen.ips() == ["10.200.100.250", "…:1:1", "…:1:2", "…:2:1"]
        assert all("serving" in row and "100" in row.split()[-1] for row in screen.table())


async def test_the_longest_ipv4_fits_on_40_columns() -> None:
    async with dashboard(FakeRing(rows=[Row("192.168.100.200", 999999, vhosts=1000)]), (40, 24)) as screen:
        assert screen.table()[0].split()[1:] == ["192.168.100.200", "1000", "serving", "999,999"]


async def test_wide_characters_keep_the_columns_straight() -> None:
    names = {"10.1.0.1": "郵便サーバー一号", "10.1.0.2": "mail-02"}
    async with dashboard(names=names) as screen:
        # Two cells for each of them: so many characters less in the line.
        rows = [line for line in screen.table() if "serving" in line]
        wide = sum(character in "郵便サーバー一号" for character in rows[0])
        assert rows[0].index("serving") + wide == rows[1].index("serving")


async def test_the_columns_stay_when_the_widest_value_shrinks() -> None:
    ring = FakeRing(rows=[Row("10.1.0.1", 10_000_000), Row("10.1.0.2", 5)])
    async with dashboard(ring) as screen:
        before = screen.line("condition")
        ring.set("10.1.0.1", users=9_999_999)
        await screen.until("9,999,999", "10,000,004")
        assert screen.line("condition") == before


async def test_a_reading_without_news_draws_nothing_and_one_with_news_its_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        # Two readings make a line of the past; everything else is there by then, too.
        await screen.until("ring 3/3 synced", "run-time-only", "▄▄")
        await screen.readings(ring)
        drawn: list[tuple[Region, ...]] = []

        def refresh(grid: Grid[object], *regions: Region, **how: object) -> Grid[object]:
            drawn.append(regions)
            return redraw(grid, *regions)

        redraw = Grid.refresh
        monkeypatch.setattr(Grid, "refresh", refresh)
        await screen.readings(ring, 10)
        assert drawn == []
        ring.set("10.1.0.4", vhosts=77)
        await screen.until(" 77 ")
        assert [[region.height for region in regions] for regions in drawn] == [[1]]
