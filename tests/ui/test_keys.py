"""Keys and mouse on the dashboard, by what is on the screen afterwards."""

from __future__ import annotations

import gc

import pytest
from textual._styles_cache import StylesCache
from textual.events import Key, Paste

from director_tui.ui.commands import COMMANDS, commands_of
from director_tui.ui.dashboard import Dashboard
from tests.ui.fakes import ROWS, FakeRing, Row, Screen, dashboard


async def test_the_cursor_moves_by_letters_and_arrows() -> None:
    async with dashboard() as screen:
        assert screen.at_cursor() == "10.1.0.1"
        await screen.press("j", "down")
        assert screen.at_cursor() == "10.1.0.3"
        await screen.press("k", "up", "up")
        assert screen.at_cursor() == "10.1.0.1"
        await screen.press("end")
        assert screen.at_cursor() == "10.1.0.10"
        await screen.press("home")
        assert screen.at_cursor() == "10.1.0.1"


async def test_nothing_that_was_drawn_is_kept_of_views_that_are_closed() -> None:
    def drawn() -> int:
        gc.collect()
        return sum(isinstance(each, StylesCache) for each in gc.get_objects())

    async with dashboard() as screen:
        await screen.press("question_mark", "escape")  # what other tests have left goes, too
        before = drawn()
        for _ in range(3):
            await screen.press("enter", "escape", "g", "escape", "colon", "escape", "question_mark")
            assert drawn() > before
            await screen.press("escape")
        await screen.wait(lambda: drawn() <= before, "the closed views' lines to be forgotten")


async def test_the_cursor_stays_on_its_ip() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.press("j", "j")
        assert screen.at_cursor() == "10.1.0.3"
        await screen.press("S")
        assert screen.ips()[0] == "10.1.0.10"
        assert screen.at_cursor() == "10.1.0.3"
        ring.rows.insert(0, Row("10.0.0.200"))
        await screen.until("10.0.0.200")
        assert screen.at_cursor() == "10.1.0.3"
        ring.remove("10.1.0.4")
        await screen.until("10.1.0.4  removed")
        assert screen.at_cursor() == "10.1.0.3"
        await screen.press("slash", *"dr", "enter")
        assert screen.ips() == ["10.1.0.10", "10.1.0.3"]
        assert screen.at_cursor() == "10.1.0.3"
        await screen.press("escape")
        assert len(screen.ips()) == len(ROWS)
        assert screen.at_cursor() == "10.1.0.3"


async def test_what_happens_to_the_cursor_is_not_said_over_another_view_but_when_the_table_is_seen_again() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.press("j", "question_mark")
        ring.remove("10.1.0.2")
        await screen.readings(ring)
        assert "not there any more" not in screen
        await screen.press("escape")
        await screen.until("UTC: 10.1.0.2 is not there any more")
        assert screen.at_cursor() is None


async def test_a_row_that_disappears_under_the_cursor_is_said_and_nothing_takes_its_place() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.press("j")
        ring.remove("10.1.0.2")
        await screen.until("10.1.0.2 is not there any more")
        assert screen.at_cursor() is None
        await screen.press("space")
        assert screen.marked() == set()
        await screen.press("j")
        assert screen.at_cursor() == "10.1.0.3", "the first press goes to where the row was"


async def test_marks() -> None:
    async with dashboard() as screen:
        await screen.press("space", "j", "space")
        assert screen.marked() == {"10.1.0.1", "10.1.0.2"}
        await screen.until("2 marked")
        await screen.press("space")
        assert screen.marked() == {"10.1.0.1"}
        await screen.press("asterisk")
        assert screen.marked() == {row.ip for row in ROWS}
        await screen.until("6 marked")
        await screen.press("asterisk")
        assert screen.marked() == set()
        assert "marked" not in screen


async def test_the_filter_drops_the_marks_that_it_hides_and_says_so() -> None:
    async with dashboard() as screen:
        await screen.press("space", "end", "space")
        await screen.press("slash", *"gold", "enter")
        await screen.until("mark dropped: 10.1.0.1", "1 marked")
        assert screen.marked() == {"10.1.0.10"}
        await screen.press("escape")
        assert screen.marked() == {"10.1.0.10"}


async def test_what_is_typed_fast_behind_the_slash_is_the_filter() -> None:
    async with dashboard() as screen:
        await screen.pilot.press("slash", "g", "o")
        await screen.pilot.pause()
        assert screen.ips() == ["10.1.0.7", "10.1.0.10"]
        await screen.until("4 hidden", "filter “go”")
        await screen.press("enter")
        assert screen.ips() == ["10.1.0.7", "10.1.0.10"]
        await screen.until("4 hidden")
        await screen.press("j")
        assert screen.at_cursor() == "10.1.0.10"


async def test_keys_that_wait_behind_the_slash_already_are_the_filter() -> None:
    async with dashboard() as screen:
        for key in ("slash", *"qs"):
            screen.app.post_message(Key(key, None if key == "slash" else key))
        await screen.until("filter “qs”", "6 hidden")
        assert screen.app.return_code is None


async def test_command_keys_are_text_in_the_filter() -> None:
    async with dashboard() as screen:
        await screen.press("slash", *"qs*?:r", "slash")
        assert "qs*?:r/" in screen
        assert "filter “qs*?:r/”" in screen
        assert "6 hidden" in screen
        await screen.press("ctrl+p")
        await screen.until("Search for commands")
        await screen.press("escape")
        assert "qs*?:r/" in screen
        await screen.press("escape")
        assert len(screen.ips()) == len(ROWS)
        assert "hidden" not in screen
        await screen.press("j")
        assert screen.at_cursor() == "10.1.0.2", "the table has no focus after the filter"


@pytest.mark.parametrize(
    ("text", "ips"),
    [
        ("mail-0", ["10.1.0.1", "10.1.0.2"]),
        ("GOLD", ["10.1.0.7", "10.1.0.10"]),
        ("down", ["10.1.0.4"]),
        ("0.10", ["10.1.0.10"]),
    ],
)
async def test_the_filter_looks_at_ip_name_tag_and_condition(text: str, ips: list[str]) -> None:
    async with dashboard() as screen:
        await screen.press("slash", *text, "enter")
        assert screen.ips() == ips


async def test_the_arrows_move_in_the_table_while_the_filter_is_typed() -> None:
    async with dashboard() as screen:
        await screen.press("slash", *"gold", "down")
        assert screen.at_cursor() == "10.1.0.10"
        await screen.press("escape", "k")
        assert screen.at_cursor() == "10.1.0.7"


async def test_esc_drops_the_filter_then_the_marks_then_nothing() -> None:
    async with dashboard() as screen:
        await screen.press("slash", *"gold", "enter", "space")
        assert screen.marked() == {"10.1.0.7"}
        await screen.press("escape")
        assert len(screen.ips()) == len(ROWS)
        assert screen.marked() == {"10.1.0.7"}
        await screen.press("escape")
        assert screen.marked() == set()
        await screen.press("escape", "escape")
        assert screen.at_cursor() == "10.1.0.7"
        assert "● LIVE" in screen


async def test_s_goes_through_the_columns_on_the_screen() -> None:
    async with dashboard() as screen:
        assert "backend▴" in screen
        for title in ("name▴", "tag▴", "▾vhosts", "▾share", "condition▴", "▾users", "▾/min", "backend▴"):
            await screen.press("s")
            assert title in screen


async def test_sorting_by_users_and_back() -> None:
    async with dashboard() as screen:
        while "▾users" not in screen:
            await screen.press("s")
        assert screen.ips() == ["10.1.0.1", "10.1.0.2", "10.1.0.7", "10.1.0.3", "10.1.0.4", "10.1.0.10"]
        await screen.press("S")
        assert "▴users" in screen
        assert screen.ips() == ["10.1.0.10", "10.1.0.4", "10.1.0.3", "10.1.0.7", "10.1.0.2", "10.1.0.1"]


async def test_a_click_on_a_title_sorts_and_a_second_one_turns_round() -> None:
    async with dashboard() as screen:
        head = screen.line("condition")
        at = (head.index("users") + 1, screen.lines.index(head))
        await screen.pilot.click(offset=at)
        assert screen.ips()[0] == "10.1.0.1"
        assert "▾users" in screen
        await screen.pilot.click(offset=at)
        assert screen.ips()[0] == "10.1.0.10"


def four_hundred() -> FakeRing:
    return FakeRing(rows=[Row(f"10.1.{n // 200}.{n % 200 + 1}", n) for n in range(400)])


async def test_four_hundred_rows_scroll_with_the_cursor() -> None:
    async with dashboard(four_hundred(), (80, 24)) as screen:
        await screen.until("400 serving")
        page = len(screen.ips())
        await screen.press("end")
        assert screen.at_cursor() == "10.1.1.200"
        assert screen.ips()[-1] == "10.1.1.200"
        assert len(screen.ips()) == page
        await screen.press("home")
        assert screen.ips()[0] == screen.at_cursor() == "10.1.0.1"
        await screen.press("pagedown", "pagedown")
        assert screen.at_cursor() in screen.ips()
        assert screen.line("condition"), "the titles stay"
        await screen.press("s", "S")
        assert screen.at_cursor() in screen.ips(), "sorting keeps the cursor in sight"


async def test_the_scrollbar_takes_no_character_of_a_column() -> None:
    async with dashboard(four_hundred(), (80, 24)) as screen:
        for width in range(60, 90):
            await screen.resize(width, 24)
            head = screen.line("condition").rstrip()
            assert head.endswith(("users", "/min")), head
            assert len(head) < width


async def test_a_click_hits_the_row_under_it_when_scrolled() -> None:
    async with dashboard(four_hundred(), (80, 24)) as screen:
        await screen.press("end")
        wanted = screen.ips()[3]
        (y,) = [number for number, line in enumerate(screen.lines) if f" {wanted} " in line]
        await screen.pilot.click(offset=(10, y))
        assert screen.at_cursor() == wanted


async def test_the_help_page_has_every_command() -> None:
    async with dashboard(size=(120, 160)) as screen:
        await screen.press("question_mark")
        for command in COMMANDS:
            assert command.help in screen
            assert command.key_text in screen
        assert "director_user_expire" in screen
        await screen.press("q")
        assert "● LIVE" in screen
        await screen.press("question_mark", "ctrl+q")
        assert "● LIVE" in screen
        await screen.press("question_mark", "escape", "j")
        assert screen.at_cursor() == "10.1.0.2"


async def test_a_line_of_the_help_page_is_one_line_at_80_columns() -> None:
    async with dashboard(size=(80, 160)) as screen:
        await screen.press("question_mark")
        for command in COMMANDS:
            assert any(command.help in line for line in screen.lines), command.help


async def test_the_help_page_scrolls() -> None:
    async with dashboard(size=(80, 24)) as screen:
        await screen.press("question_mark")
        top = screen.text
        await screen.press("j", "j")
        assert screen.text != top
        await screen.press("k", "k")
        assert screen.text == top


@pytest.mark.parametrize("key", ["ctrl+p", "colon"])
async def test_the_palette_lists_and_runs_commands(key: str) -> None:
    async with dashboard(size=(120, 100)) as screen:
        await screen.press(key)
        offered = [one for one in commands_of(*Dashboard.GROUPS) if one.action != "app.palette"]
        await screen.until(*(one.help for one in offered))
        assert "Theme" not in screen, "Textual's own commands are not this program's"
        await screen.press(*"mark all")
        await screen.until("Mark every backend shown", gone=["Turn the order round"])
        await screen.press("down", "enter")
        await screen.until("6 marked")
        await screen.press("j")
        assert screen.at_cursor() == "10.1.0.2"


async def test_the_palette_can_open_the_filter() -> None:
    async with dashboard() as screen:
        await screen.press("colon")
        await screen.until("Search for commands")
        await screen.press(*"filter")
        await screen.until("filter  (/)", gone=["Mark every backend"])
        await screen.press("down", "enter")
        await screen.pilot.pause()
        await screen.press(*"gold")
        await screen.until("filter “gold”", "4 hidden")


async def ended(screen: Screen) -> None:
    await screen.wait(lambda: not screen.app.is_running or screen.app._exit, "the end")


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_q_quits(key: str) -> None:
    async with dashboard() as screen:
        await screen.press(key)
        await ended(screen)
        assert not screen.app.return_code


async def test_ctrl_q_quits_from_within_the_filter_where_q_is_a_letter() -> None:
    async with dashboard() as screen:
        await screen.press("slash", "q")
        assert "filter “q”" in screen
        await screen.press("ctrl+q")
        await ended(screen)


async def test_ctrl_c_says_how_to_quit() -> None:
    async with dashboard() as screen:
        await screen.press("ctrl+c")
        await screen.until("q quits")


async def test_ctrl_z_harms_nothing_where_nobody_can_be_suspended() -> None:
    async with dashboard() as screen:
        await screen.press("ctrl+z", "j")
        assert screen.at_cursor() == "10.1.0.2"


async def test_clicking_a_key_in_the_footer_does_it() -> None:
    async with dashboard() as screen:
        await screen.pilot.click(offset=(screen.lines[-1].index("?"), len(screen.lines) - 1))
        await screen.until("q or esc goes back")


async def test_clicking_the_table_leaves_the_filter_line() -> None:
    async with dashboard() as screen:
        await screen.press("slash", *"gold")
        (y,) = [number for number, line in enumerate(screen.lines) if " 10.1.0.10 " in line]
        await screen.pilot.click(offset=(10, y))
        await screen.press("k")
        assert screen.at_cursor() == "10.1.0.7"
        assert screen.ips() == ["10.1.0.7", "10.1.0.10"]


@pytest.mark.parametrize("keys", [("g",), ("l", "x", "enter"), ("c",), ("enter",)], ids=lambda keys: keys[0])
@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 5)])
async def test_the_stop_help_and_the_way_back_are_in_the_footer_of_every_view(
    keys: tuple[str, ...], size: tuple[int, int]
) -> None:
    # Where there is room for two only, they are those that nobody may have to look for.
    wanted = ["E STOP", "? help", *(["q back"] if size[0] >= 40 else [])]
    async with dashboard(size=size) as screen:
        await screen.press(*keys)
        await screen.wait(lambda: not isinstance(screen.app.screen, Dashboard), "the view")
        await screen.until(*wanted)
        for text in wanted:
            assert text in screen.lines[-1]


async def test_the_footer_says_what_works_while_a_text_is_typed() -> None:
    async with dashboard() as screen:
        await screen.press("slash")
        await screen.until("enter keep it   esc drop it")
        assert "a add" not in screen.lines[-1]
        await screen.press(*"mail", "enter")
        await screen.until("a add", gone=["enter keep it"])
        await screen.press("l")
        await screen.until("enter look it up   esc leave")
        assert "q back" not in screen.lines[-1]
        await screen.press("j", "enter")
        await screen.until("q back", gone=["enter look it up"])


async def test_a_filter_that_was_pasted_can_not_steer_the_terminal() -> None:
    async with dashboard() as screen:
        await screen.press("slash")
        line = screen.app.focused
        assert line is not None
        line.post_message(Paste("a\u202eb\x9b31mc"))
        await screen.until("filter “a\ufffdb\ufffd31mc”")
        assert not {"\u202e", "\x9b"} & set(screen.text)
