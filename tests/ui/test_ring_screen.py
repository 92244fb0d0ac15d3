"""The ring screen: the verdict, what each director says, and choosing the one that is read."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from director_tui.errors import Unreachable
from director_tui.link import monitor
from director_tui.link.ring import Ring
from director_tui.ui import ring_screen
from tests.ui.fakes import DIRECTORS, ROWS, FakeRing, Row, Screen, dashboard, make_app, ring_row

if TYPE_CHECKING:
    from director_tui.config import ClusterConfig
    from director_tui.link.questions import Ask

NINE = tuple(f"ops@dir{number}.example.com" for number in range(1, 10))


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "WATCHED_BEAT_S", 0.1)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """All directors are asked when the screen opens, and then for a long time not again."""
    monkeypatch.setattr(monitor, "WATCHED_BEAT_S", 3600.0)


def rows(screen: Screen) -> list[str]:
    """The lines of the table from top to bottom, without cursor and header."""
    lines = screen.lines
    top = next(number for number, line in enumerate(lines) if line.startswith("   director "))
    below = next(number for number in range(top, len(lines)) if not lines[number].strip() or "──" in lines[number])
    return [line[3:].rstrip() for line in lines[top + 1 : below]]


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_a_whole_ring(size: tuple[int, int]) -> None:
    async with dashboard(size=size) as screen:
        await screen.press("g")
        await screen.until("The ring is whole: 3 of 3 directors synced, all agree about 6 backends", "asked 0s ago")
        assert [re.split(" {2,}", row)[:5] for row in rows(screen)] == [
            ["dir1 ● in use", "10.0.0.11:9090", "self", "ring synced", "5 ms"],
            ["", "dir2", "10.0.0.12:9090", "right", "synced"],
            ["", "dir3", "10.0.0.13:9090", "left", "synced"],
            ["dir2", "10.0.0.12:9090", "self", "ring synced", "5 ms"],
            ["", "dir1", "10.0.0.11:9090", "left", "synced"],
            ["", "dir3", "10.0.0.13:9090", "right", "synced"],
            ["dir3", "10.0.0.13:9090", "self", "ring synced", "5 ms"],
            ["", "dir1", "10.0.0.11:9090", "right", "synced"],
            ["", "dir2", "10.0.0.12:9090", "left", "synced"],
        ]
        assert "never" in rows(screen)[0]
        assert ("400 kB" in screen) is (size[0] == 120)
        await screen.press("j")
        await screen.until("right neighbour, synced; last failed never", "in 400 kB, out 47 kB, buffered 0 B")
        await screen.press("escape")
        await screen.until("28,764")


@pytest.mark.parametrize("read", [0, 1, 2])
async def test_one_that_sees_only_itself_is_called_split_wherever_it_is_looked_at(read: int) -> None:
    ring = FakeRing(directors=DIRECTORS[read:] + DIRECTORS[:read])
    ring.parts = ((ring.directors[0], ring.directors[1]), (ring.directors[2],))
    away = f"dir{DIRECTORS.index(ring.directors[2]) + 1}"
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until(f"SPLIT RING: {away} sees only itself", "ring 2/3 SPLIT")
        await screen.press("g")
        await screen.until(f"SPLIT: {away} sees only itself", "Change nothing before that is mended")
        assert len([row for row in rows(screen) if "not in the ring" in row]) == 4
        assert "SPLIT: alone" in next(row for row in rows(screen) if row.startswith(away))


@pytest.mark.usefixtures("unhurried")
async def test_a_director_that_has_just_found_itself_alone_is_split_before_all_are_asked_again() -> None:
    ring = FakeRing(parts=tuple((name,) for name in DIRECTORS))
    ring.ring_status = ring.seen_by(DIRECTORS[0], b"ring syncing - last sync 21 secs ago")
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until("ring 1/3 SYNCING - LAST SYNC 21 SECS AGO")
        await screen.press("g")
        await screen.until("NOT SYNCED")
        await screen.readings(ring, 8)
        ring.ring_status = ring.seen_by(DIRECTORS[0])
        await screen.until("ring 1/3 SPLIT", "SPLIT: dir1 sees only itself")
        await screen.press("q")
        await screen.until("SPLIT RING: dir1 sees only itself")


async def test_two_halves_are_named() -> None:
    ring = FakeRing(directors=NINE[:4], parts=(NINE[:2], NINE[2:4]))
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until("SPLIT RING: 2 rings, dir1 and dir2 | dir3 and dir4", "ring 2/4 SPLIT")
        await screen.press("g")
        await screen.until("SPLIT: 2 rings, dir1 and dir2 | dir3 and dir4")
        ring.parts = ()
        await screen.until("The ring is whole: 4 of 4", "ring 4/4 synced", gone=["SPLIT"])


async def test_what_directors_disagree_about_comes_first_with_what_each_says() -> None:
    ring = FakeRing(tables={DIRECTORS[1]: [replace(ROWS[0], vhosts=0), *ROWS[1:]]})
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("g")
        await screen.until("DISAGREE about 10.1.0.1")
        assert rows(screen)[0] == "≠ 10.1.0.1     dir2: vhosts 0, up · dir1 and dir3: vhosts 100, up"
        ring.tables[DIRECTORS[1]] = [replace(ROWS[0], tag=b"blue"), Row("10.9.9.9", state=b"down"), *ROWS[1:]]
        await screen.until("dir2: vhosts 100, up, tag blue · dir1 and dir3: vhosts 100, up")
        await screen.until("dir2: vhosts 100, down · dir1 and dir3: not listed", "10.1.0.1 and 10.9.9.9")
        ring.tables.clear()
        await screen.until("The ring is whole", gone=["DISAGREE", "≠"])


async def test_nine_directors_scroll_and_a_crowd_is_not_named_one_by_one() -> None:
    ring = FakeRing(directors=NINE, tables={NINE[4]: [replace(ROWS[0], vhosts=0), *ROWS[1:]]})
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("g")
        await screen.until("≠ 10.1.0.1     dir5: vhosts 0, up · the 8 others: vhosts 100, up")
        await screen.press("end")
        await screen.until("10.0.0.18:9090 as dir9 sees it: left neighbour")
        assert "no neighbour" in screen


async def test_a_ring_that_syncs_and_connections_of_nobody_known() -> None:
    ring = FakeRing()
    broken = b"handshaking - 12 USERs received\t0\t1\t1970-01-01 00:00:02\t3\t4\t0\t0\t-\t-\t-\t-\n"
    syncing = ring.seen_by(DIRECTORS[1], b"ring syncing - last sync 42 secs ago")
    ring.ring_rows = {DIRECTORS[1]: syncing + broken}
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("g")
        await screen.until("NOT SYNCED: dir2 says “ring syncing - last sync 42 secs ago”", "wait up to 30 s")
        (row,) = [row for row in rows(screen) if row.startswith("  ?")]
        assert row.split("  ")[-1].strip() == "handshaking - 12 USERs received"
        ring.ring_rows = {DIRECTORS[1]: ring.seen_by(DIRECTORS[1]) + broken}
        await screen.until("dir2 still settling with a neighbour", gone=["NOT SYNCED"])
        ring.ring_rows = {DIRECTORS[1]: ring_row(0, b"out", b"handshaking - 0 USERs sent")}
        ring.ring_rows[DIRECTORS[1]] += ring_row(1, b"self", b"ring handshaking") + ring_row(2, b"")
        await screen.until("NOT SYNCED: dir2 says “ring handshaking”", "handshaking - 0 USERs sent")


async def test_a_member_that_is_missing_is_named() -> None:
    ring = FakeRing(directors=DIRECTORS[:2])
    ring.ring_rows = {name: ring.seen_by(name) + ring_row(2, b"") for name in ring.directors}
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("g")
        await screen.until("2 of 3 directors in the ring; missing: 10.0.0.13:9090")
        assert "without a destination here, so not read: 10.0.0.13:9090" in screen


async def test_directors_that_can_not_be_read_have_their_reason_and_remedy() -> None:
    ring = FakeRing()
    ring.refuse = {DIRECTORS[2]: Unreachable("ops@dir3.example.com: port 22 [/x] refuses", "is sshd running there?")}
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until("● LIVE")
        await screen.press("g")
        await screen.until("Whole as far as seen: 2 of 3 directors read, they agree about 6 backends")
        await screen.until("ops@dir3.example.com: port 22 [/x] refuses", "is sshd running there?")
        assert rows(screen)[-1] == "dir3           can't be read: port 22 [/x] refuses"
        await screen.press("end", "enter")
        await screen.until("dir3 can't be read")
        await screen.press("home", "j", "j")
        assert rows(screen)[2].startswith("  –"), "who can't be read can't be told by its address"
        await screen.press("enter")
        await screen.until("no destination here is known to lead")
        assert "dir1 ● in use" in screen


async def test_a_director_that_could_be_read_before_keeps_its_name_but_can_not_be_chosen() -> None:
    ring = FakeRing()
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("g")
        await screen.until("The ring is whole")
        ring.refuse = {DIRECTORS[2]: Unreachable("ops@dir3.example.com: gone", "")}
        for connection in ring.connections:
            connection.lost = connection.destination == DIRECTORS[2]
        await screen.until("2 of 3 directors read", "can't be read: gone")
        await screen.press("j", "j")
        assert rows(screen)[2].startswith("  dir3 ")
        await screen.press("enter")
        await screen.until("dir3 can't be read: gone")


async def test_while_it_can_not_be_told_which_ring_is_ours_no_split_is_made_up() -> None:
    ring = FakeRing(refuse={DIRECTORS[0]: Unreachable("ops@dir1.example.com: gone", "")})
    ring.ring_rows = {DIRECTORS[2]: b"10.9.0.1\t9090\tself\tnever\tring synced\t2\t-\t-\t-\t-\t-\t-\n"}
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("g")
        await screen.until("WHICH RING IS OURS? dir2 and dir3 are of different rings, dir1 says nothing")
        assert "SPLIT" not in screen
        assert "10.9.0.1:9090" in screen


async def test_where_no_director_can_be_read_the_reasons_are_all_there_is() -> None:
    ring = FakeRing()
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("g")
        await screen.until("The ring is whole")
        why = "the way there is broken at a place that takes more words than one line of this screen has"
        ring.break_down(Unreachable(why, "mend it"))
        await screen.until("No director could be asked.", "can't be read: the way there is broken", " mend it")
        assert " ".join(line.strip() for line in screen.lines[2:5]) == f"No director could be asked. {why}"


async def test_a_director_of_another_ring_is_named_and_refused() -> None:
    ring = FakeRing()
    ring.ring_rows = {DIRECTORS[1]: b"10.9.0.1\t9090\tself\tnever\tring synced\t2\t-\t-\t-\t-\t-\t-\n"}
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("g")
        await screen.until("dir2 BELONGS TO ANOTHER RING and is left out", "belongs to another ring: left out")
        assert "10.9.0.1" not in screen
        await screen.press("j", "j", "j", "enter")
        await screen.until("dir2 belongs to another ring", gone=["reading from"])


async def test_two_ways_to_one_director_count_once() -> None:
    ring = FakeRing()
    ring.ring_rows = {DIRECTORS[1]: ring.seen_by(DIRECTORS[0])}
    async with dashboard(ring, (120, 36)) as screen:
        await screen.press("g")
        await screen.until("dir2 is the same director as dir1; it counts once", "2 of 3 directors read")
        assert len(rows(screen)) == 7


async def test_enter_makes_a_director_the_one_that_is_read() -> None:
    async with dashboard(size=(80, 24)) as screen:
        await screen.press("g")
        await screen.until("The ring is whole")
        await screen.press("j", "enter")
        await screen.until("reading from dir2 now", "● LIVE   dir2", "dir2 ● in use")
        await screen.press("q")
        await screen.until("dir1.example.com  left for ops@dir2.example.com", "28,764")


async def test_a_ring_that_is_looked_at_before_it_is_opened_is_asked_often_all_the_same() -> None:
    ring, opened = FakeRing(), asyncio.Event()

    async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        await opened.wait()
        return Ring(cluster, cast("Any", ring))

    app = make_app(ring, open_ring=open_ring)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.press("g")
        opened.set()
        await screen.until("The ring is whole")
        ring.tables[DIRECTORS[1]] = [replace(ROWS[0], vhosts=0), *ROWS[1:]]
        await screen.until("DISAGREE about 10.1.0.1")


async def test_a_ring_of_one() -> None:
    async with dashboard(FakeRing(directors=DIRECTORS[:1]), (80, 24)) as screen:
        await screen.press("g")
        await screen.until("The ring is one director, and it is synced")


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (60, 15)])
async def test_small_screens(size: tuple[int, int]) -> None:
    async with dashboard(size=(80, 24)) as screen:
        await screen.press("g")
        await screen.until("The ring is whole")
        await screen.resize(*size)
        await screen.press("j", "k", "g", "question_mark", "q")
        assert "LIVE" in screen
        await screen.press("q")
        await screen.resize(80, 24)
        await screen.until("28,764")


async def test_what_the_directors_said_goes_stale_by_its_own_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_screen, "stale_after_s", lambda interval_s: 0.3)
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.until("ring 3/3 synced")
        gate = ring.gates[DIRECTORS[2], "ring"] = asyncio.Event()
        await screen.press("g")
        await screen.until("● LIVE", "○ STALE: all directors asked")
        gate.set()
        await screen.until("all directors asked 0s ago", gone=["STALE"])
