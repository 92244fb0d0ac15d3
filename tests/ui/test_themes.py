"""Themes: what they define, that they can be read, that they are remembered, and that no state needs one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
import tty
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise, starmap
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from rich.color import ColorSystem, ColorType
from textual.color import Color
from textual.command import CommandList
from textual.containers import VerticalScroll
from textual.css.stylesheet import Stylesheet
from textual.widgets._toast import Toast

from director_tui import theme_files
from director_tui.errors import ConfigError, ConnectionLost
from director_tui.link import monitor, reading
from director_tui.link import ring as link_ring
from director_tui.link.questions import Question
from director_tui.state import state_folder
from director_tui.ui import dialogs, themes
from director_tui.ui.plan_dialog import PlanDialog
from tests.ui.fakes import FakeRing, Screen, dashboard, make_app
from tests.ui.test_link import unknown_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from rich.style import Style
    from textual.geometry import Region

    See = Callable[[Screen], Awaitable[Region | None]]

BUILT_IN = {name: themes.read_theme(file) for name, file in theme_files.built_in_files().items()}
RGB = [name for name, theme in BUILT_IN.items() if not theme.ansi]
GRAPHICS = re.compile(r"[─│╭╮╰╯▁-█▉-▏╵▔▕▎\s]+")
"""Bars, sparklines, rules and edges: WCAG asks 3:1 of graphics, and nothing of what only decorates."""

WHOLE = "dark = true\n[colors]\n" + "".join(f'{color} = "#123456"\n' for color in themes.COLORS)


# What the files say


def test_all_of_the_program_s_own_are_there() -> None:
    (folder,) = {file.parent for file in theme_files.built_in_files().values()}
    assert sorted(BUILT_IN) == sorted(file.stem for file in folder.glob("*.toml"))
    assert [name for name, theme in BUILT_IN.items() if not theme.dark] == ["paper"]
    assert [name for name, theme in BUILT_IN.items() if theme.ansi] == ["ansi"]
    assert next(iter(themes.read_themes().by_name)) == theme_files.DEFAULT == "harbour"


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_theme_defines_every_colour_and_nothing_else(name: str) -> None:
    own = {variable for variable in BUILT_IN[name].variables if variable.startswith("dt-")}
    assert own == {f"dt-{color}" for color in themes.COLORS} | {"dt-cursor-style"}


def test_mono_has_no_hue() -> None:
    for color in themes.COLORS:
        red, green, blue = Color.parse(BUILT_IN["mono"].variables[f"dt-{color}"]).rgb
        assert red == green == blue, color


def test_the_manual_shows_the_default_as_it_is(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "themes.md").read_text()
    (example,) = re.findall(r"```toml\n(dark = .*?)```", page, re.DOTALL)
    (tmp_path / "harbour.toml").write_text(example)
    assert themes.read_theme(tmp_path / "harbour.toml") == BUILT_IN["harbour"]


# What is drawn with them


def drawn(screen: Screen, region: Region | None = None) -> Iterator[tuple[str, Style]]:
    """Every piece of the screen, or of a part of it, in the colours that reach the terminal."""
    strips = screen.app.screen._compositor.render_strips()
    if region is not None:
        strips = [strip.crop(region.x, region.right) for strip in strips[region.y : region.bottom]]
    for strip in strips:
        for segment in strip:
            assert segment.style is not None
            yield segment.text, segment.style


def colors(style: Style) -> tuple[Color, Color]:
    """Text and ground."""
    assert style.color is not None
    assert style.bgcolor is not None
    pair = Color.from_rich_color(style.color), Color.from_rich_color(style.bgcolor)
    return (pair[1], pair[0]) if style.reverse else pair


async def on_the_rows(screen: Screen) -> Region | None:
    """The cursor goes over every row, marked and not."""
    await screen.press("space", "j", "j", "space")
    return None


async def stale(screen: Screen) -> Region | None:
    await screen.press("j", "space", "j")
    await screen.until("STALE")
    return None


async def filtering(screen: Screen) -> Region | None:
    await screen.press("slash")
    await screen.until("a part of IP")
    return None


async def helped(screen: Screen) -> Region | None:
    await screen.press("question_mark")
    await screen.until("q or esc goes back")
    return None


async def details(screen: Screen) -> Region | None:
    await screen.press("j", "j", "j", "enter")
    await screen.until("vhost count", "configuration")
    return None


async def palette(screen: Screen) -> Region | None:
    await screen.press("colon", *"mar")
    await screen.until("Mark every backend shown")
    await screen.press("down", "down")
    shown = screen.app.screen
    return shown.query_one("#--input").region.union(shown.query_one(CommandList).region)


async def question(screen: Screen) -> Region | None:
    screen.app.run_worker(screen.app.ask(Question("ops@dir1", "Password:", secret=True)))
    await screen.until("Password:", "Enter sends it")
    await screen.press("x")
    return screen.app.screen.query_one(VerticalScroll).region


async def host_key(screen: Screen) -> Region | None:
    screen.app._host_keys.offer(unknown_key(state_folder("mail-eu"), "dir1"))
    await screen.until("is not known yet", "Esc cancels")
    await screen.press("tab")
    return screen.app.screen.query_one(VerticalScroll).region


async def not_ready(screen: Screen) -> Region | None:
    with patch.object(dialogs, "QUIET_S", 3600.0):
        screen.app.run_worker(screen.app.ask(Question("ops@dir1", "Password:", secret=True)))
        await screen.until("Password:", dialogs.NOT_READY)
    return screen.app.screen.query_one(VerticalScroll).region


def sheet(screen: Screen) -> Region:
    return screen.app.screen.query_one(".sheet").region


async def form(screen: Screen) -> Region | None:
    await screen.press("f")
    await screen.until("max-parallel", "-F")
    return sheet(screen)


async def plan(screen: Screen) -> Region | None:
    await screen.press("d", "right")
    await screen.until("Runs on")
    return sheet(screen)


async def outdated_plan(screen: Screen) -> Region | None:
    await plan(screen)
    dialog = screen.app.screen
    assert isinstance(dialog, PlanDialog)
    dialog.plan_outdated(("10.1.0.1 vhosts: 100 → 0",))
    await screen.until("changed since you opened", "Plan again")
    return sheet(screen)


async def plan_with_a_name(screen: Screen) -> Region | None:
    await screen.press("F", "enter")
    await screen.until("To do it")
    return sheet(screen)


async def backend_choice(screen: Screen) -> Region | None:
    await screen.press("l", "b", "enter")
    await screen.until("hash")
    await screen.press("M")
    await screen.until("Move b to", "10.1.0.10")
    return sheet(screen)


async def notices(screen: Screen) -> Region | None:
    for severity in ("information", "warning", "error"):
        screen.app.notify("something", title="Title", severity=severity, markup=False, timeout=60)
    await screen.wait(lambda: len(screen.app.screen.query(Toast)) == 3)
    await screen.pilot.pause()
    return None


async def unreachable(screen: Screen) -> Region | None:
    await screen.until("RECONNECTING", "look after the network")
    return None


SIGHTS: list[See] = [
    *(on_the_rows, stale, filtering, helped, details, palette, question, not_ready, host_key, notices, unreachable),
    *(form, plan, outdated_plan, plan_with_a_name, backend_choice),
]


@pytest.fixture
def ring(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeRing:
    monkeypatch.setattr(link_ring, "BACK_OFF_S", (0.05,))
    return FakeRing()


def styled_as(screen: Screen, theme: str) -> bool:
    return screen.app._styled_as == theme


@asynccontextmanager
async def seen_in(
    themes: Sequence[str], see: See, ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[AsyncIterator[tuple[str, Screen, Region | None]]]:
    """A sight in each of these themes, one after the other on one screen; another sight starts in another of them."""
    first = SIGHTS.index(see) % len(themes)
    names = [*themes[first:], *themes[:first]]
    async with dashboard(ring, (100, 40), theme=names[0]) as screen:
        if see is unreachable:
            ring.break_down(ConnectionLost("the connection was lost", "look after the network"))
        elif see is stale:
            monkeypatch.setattr(reading, "MIN_STALE_S", 0.5)
            ring.awake.clear()
        region = await see(screen)

        async def each() -> AsyncIterator[tuple[str, Screen, Region | None]]:
            yield names[0], screen, region
            for name in names[1:]:
                if see is palette:  # Textual's own, which keeps its colours: but it closes when a theme is chosen in it
                    screen.app.pop_screen()
                screen.app.theme = name
                await screen.wait(partial(styled_as, screen, name), name)
                await screen.pilot.pause()
                yield name, screen, await palette(screen) if see is palette else region

        yield each()


@pytest.mark.parametrize("see", SIGHTS)
async def test_whatever_is_drawn_can_be_read_and_has_colours_of_the_theme(
    see: See, ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with seen_in(list(BUILT_IN), see, ring, monkeypatch) as sights:
        async for name, screen, region in sights:
            if name == "ansi":
                has_the_terminal_s_own_colours_alone(screen)
            else:
                can_be_read_in_colours_of_the_theme(name, screen, region)


def can_be_read_in_colours_of_the_theme(name: str, screen: Screen, region: Region | None) -> None:
    own = {Color.parse(BUILT_IN[name].variables[f"dt-{color}"]).rgb for color in themes.COLORS}
    pairs = 0
    for text, style in drawn(screen, region):
        if not text.strip():
            assert style.bgcolor is None or Color.from_rich_color(style.bgcolor).rgb in own, (name, style)
            continue
        fore, ground = colors(style)
        assert {fore.rgb, ground.rgb} <= own, f"{name}: {text!r}: {fore.hex} on {ground.hex}"
        if not GRAPHICS.fullmatch(text):
            pairs += 1
            assert contrast(fore, ground) >= 4.5, f"{name}: {text!r}: {fore.hex} on {ground.hex}"
    assert pairs >= 3


def has_the_terminal_s_own_colours_alone(screen: Screen) -> None:
    for text, style in drawn(screen):
        for color in (style.color, style.bgcolor):
            assert color is None or color.type in {ColorType.DEFAULT, ColorType.STANDARD}, (text, style)
        # Whatever has the ground's colour in some palettes is drawn as text, dimmed.
        assert style.color is None or style.color.number != 8 or style.reverse, (text, style)


@pytest.mark.parametrize("colors", [ColorSystem.TRUECOLOR, ColorSystem.EIGHT_BIT])
@pytest.mark.parametrize("name", RGB)
def test_every_meaning_can_be_read_on_every_ground(name: str, colors: ColorSystem) -> None:
    """Those that no state of a test brings together, too, and in a terminal that has no more than 256 colours."""
    one = {color: shown(BUILT_IN[name].variables[f"dt-{color}"], colors) for color in themes.COLORS}
    grounds = ("background", "surface", "cursor", "marked")
    assert len({one[ground].rgb for ground in grounds}) == len(grounds)
    for text in ("text", "muted", "accent", "fine", "attention", "danger"):
        for ground in grounds:
            assert contrast(one[text], one[ground]) >= 4.5, (text, ground)
    for row in ("background", "cursor", "marked"):
        assert contrast(one["bar"], one[row]) >= 3, row
        assert contrast(one["tick"], one[row]) >= 3, row
    assert contrast(one["tick"], one["bar"]) >= 3
    assert contrast(one["text"], one["line"]) >= 4.5, "a button"
    assert contrast(one["background"], one["accent"]) >= 4.5, "a button with the focus"


def shown(color: str, colors: ColorSystem) -> Color:
    """The colour as a terminal with so many of them shows it."""
    return Color(*Color.parse(color).rich_color.downgrade(colors).get_truecolor())


def contrast(one: Color, other: Color) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(color: Color) -> float:
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


async def test_the_cursor_of_ansi_is_one_colour_in_reverse() -> None:
    async with dashboard(theme="ansi") as screen:
        await screen.press("j", "j", "j")
        assert screen.at_cursor() == "10.1.0.4"
        row = next(strip for strip in screen.app.screen._compositor.render_strips() if "▼ DOWN" in strip.text)
        styles = {(segment.style.color, segment.style.reverse) for segment in row if segment.style is not None}
        assert len(styles) == 1
        assert screen.style_of("▼ DOWN").reverse
        assert screen.style_of("▼ DOWN").bold


def in_terminal(*options: str, next_theme: bool = False, **environment: str) -> str:
    """What a terminal is sent by the practice ring's dashboard until it is alive, by t if so wanted, and by the end."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 36, 120, 0, 0))
    program = subprocess.Popen(
        [sys.executable, "-m", "director_tui", "demo", *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    os.close(theirs)
    sent = b""

    def until(*words: bytes) -> None:
        nonlocal sent
        deadline = time.monotonic() + 60
        while not all(word in sent for word in words):
            assert select.select([ours], [], [], max(0, deadline - time.monotonic()))[0], sent[-2000:]
            sent += os.read(ours, 65536)

    try:
        until(b"LIVE", b"10.1.0.8")
        if next_theme:
            os.write(ours, b"t")
            until(b"theme: ")
        os.write(ours, b"q")
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(ours, 65536):
                sent += data
        assert program.wait(timeout=60) == 0
    finally:
        program.kill()
        program.wait()
        os.close(ours)
    return sent.decode("utf-8", "replace")


def color_codes(sent: str) -> set[str]:
    """Every part of an SGR sequence that sets a colour; the default colours, 39 and 49, are none."""
    codes = set()
    for sequence in re.findall(r"\x1b\[([\d;]*)m", sent):
        parts = sequence.split(";")
        if {"38", "48"} & set(parts):
            codes.add("rgb" if "2" in (parts[parts.index(one) + 1] for one in ("38", "48") if one in parts) else "256")
        codes |= {part for part in parts if re.fullmatch(r"3[0-7]|4[0-7]|9[0-7]|10[0-7]", part)}
    return codes


def test_ansi_sends_the_sixteen_colours_alone() -> None:
    codes = color_codes(in_terminal("--theme", "ansi"))
    assert not {"rgb", "256"} & codes
    assert {"31", "32", "36"} & codes


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "vt100"}])
@pytest.mark.parametrize("theme", ["harbour", "ansi"])
def test_no_colour_is_sent_where_none_is_wanted(theme: str, environment: dict[str, str]) -> None:
    sent = in_terminal("--theme", theme, next_theme=True, **environment)
    assert color_codes(sent) == set()
    assert "without colour here" in sent


# Without colour


@pytest.mark.parametrize("see", SIGHTS)
async def test_no_color_sends_none(see: See, ring: FakeRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with seen_in(["harbour", "ansi"], see, ring, monkeypatch) as sights:
        async for name, screen, _ in sights:
            for text, style in drawn(screen):
                for color in (style.color, style.bgcolor):
                    assert color is None or color.type is ColorType.DEFAULT, (name, text, style)


async def test_an_empty_no_color_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    async with dashboard() as screen:
        assert len({style.color for _, style in drawn(screen)}) > 4
        fore, _ = colors(screen.style_of("serving"))
        assert fore.rgb == Color.parse(BUILT_IN["harbour"].variables["dt-fine"]).rgb


async def test_cursor_and_focus_are_seen_without_colour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with dashboard() as screen:
        assert screen.style_of("10.1.0.1").reverse
        assert not screen.style_of("10.1.0.2").reverse
        screen.app._host_keys.offer(unknown_key(tmp_path, "dir1"))
        await screen.until("is not known yet", "Esc cancels")
        assert screen.style_of("Cancel").reverse
        assert not screen.style_of("Add this host key").reverse
        await screen.press("tab")
        assert not screen.style_of("Cancel").reverse
        assert screen.style_of("Add this host key").reverse


async def test_every_condition_has_words_of_its_own() -> None:
    async with dashboard() as screen:
        words = ("serving", "◌ draining", "▼ DOWN", "○ drained")
        said = [[word for word in words if word in row] for row in screen.table()]
        assert said == [["serving"], ["serving"], ["◌ draining"], ["▼ DOWN"], ["serving"], ["○ drained"]]
        await screen.press("space")
        assert screen.marked() == {"10.1.0.1"}
        assert screen.at_cursor() == "10.1.0.1"


async def test_every_state_of_link_and_ring_has_words_of_its_own(
    ring: FakeRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MIN_STALE_S", 1.0)
    monkeypatch.setattr(monitor, "RING_BEAT_S", 0.1)
    seen: dict[str, str] = {}

    def look(screen: Screen, state: str) -> None:
        """Clock, ages and latency aside: they differ by themselves."""
        seen[state] = re.sub(r"\d+", "0", " ".join(screen.lines[:4]))

    async with dashboard(ring) as screen:
        await screen.until("ring 3/3 synced")
        look(screen, "live")
        own = b"10.0.0.11\t9090\tself\tnever\t%s\t2\t0\t0\t0\t0\t-\t-\n"
        others = b"".join(ring.seen_by(ring.directors[0]).splitlines(keepends=True)[1:])
        ring.ring_status = own % b"ring handshaking" + others
        await screen.until("HANDSHAKING")
        look(screen, "not synced")
        ring.ring_status = own % b"ring synced" + re.sub(rb"right|left", b"", others)
        await screen.until("SPLIT RING")
        look(screen, "split")
        ring.ring_status = None
        await screen.until("ring 3/3 synced", gone=["SPLIT"])
        ring.awake.clear()
        await screen.until("STALE")
        look(screen, "stale")
        ring.break_down(ConnectionLost("the connection was lost", ""))
        ring.awake.set()
        await screen.until("STALE", "RECONNECTING")
        look(screen, "lost")
    refused = FakeRing(refuse=dict.fromkeys(ring.directors, ConnectionLost("the connection was lost", "")))
    async with dashboard(refused) as screen:
        look(screen, "connecting")
        await screen.until("NOT CONNECTED")
        look(screen, "not connected")
    assert len(set(seen.values())) == len(seen), seen


# Choosing one


def ground_of(screen: Screen) -> str:
    return colors(screen.style_of("10.1.0.2"))[1].hex.lower()


def background(name: str) -> str:
    return str(BUILT_IN[name].variables["dt-background"])


async def test_the_styles_are_parsed_again_for_another_theme_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = []
    reparse = Stylesheet.reparse

    def keep(stylesheet: Stylesheet) -> None:
        parsed.append(stylesheet)
        reparse(stylesheet)

    monkeypatch.setattr(Stylesheet, "reparse", keep)
    async with dashboard(theme="paper") as screen:
        assert ground_of(screen) == background("paper")
        assert parsed == []
        await screen.press("t")
        await screen.wait(lambda: ground_of(screen) == background("contrast"), "contrast")
        assert len(parsed) == 1


async def test_t_shows_the_next_theme_at_once_and_it_is_remembered() -> None:
    async with dashboard() as screen:
        assert ground_of(screen) == background("harbour")
        await screen.press("t")
        await screen.until("theme: paper")
        await screen.wait(lambda: ground_of(screen) == background("paper"), "paper")
    assert (state_folder("mail-eu") / "theme").read_text() == "paper\n"
    async with dashboard() as screen:
        assert ground_of(screen) == background("paper")
        await screen.press("t")
        await screen.until("theme: contrast")
    async with dashboard(name="mail-us") as screen:
        assert ground_of(screen) == background("harbour"), "another cluster has its own"


async def test_t_goes_round() -> None:
    async with dashboard() as screen:
        seen = []
        for _ in BUILT_IN:
            await screen.press("t")
            seen.append(screen.app.theme)
        assert seen == [*list(BUILT_IN)[1:], "harbour"]
        assert all(starmap(str.__ne__, pairwise(seen)))


async def test_the_palette_has_each_theme_by_its_name() -> None:
    async with dashboard() as screen:
        await screen.press("colon", *"theme: mono")
        await screen.until("Show it now")
        await screen.press("enter")
        await screen.wait(lambda: ground_of(screen) == background("mono"), "mono")
    assert themes.remembered_theme("mail-eu") == "mono"


@pytest.mark.parametrize(
    ("theme", "remembered", "usual", "shown"),
    [
        ("mono", "paper", "contrast", "mono"),
        (None, "paper", "contrast", "paper"),
        (None, None, "contrast", "contrast"),
        (None, "gone", "contrast", "contrast"),
        (None, "[/x]\x1b[31m\n" * 50, "contrast", "contrast"),
        (None, None, None, "harbour"),
        ("broken", None, None, "harbour"),
    ],
)
def test_which_theme_is_shown(theme: str | None, remembered: str | None, usual: str | None, shown: str) -> None:
    if remembered is not None:
        themes.remember_theme("mail-eu", remembered)
    assert make_app(FakeRing(), theme=theme, usual_theme=usual).theme == shown


async def test_a_choice_for_one_run_is_not_remembered() -> None:
    async with dashboard(theme="mono"):
        pass
    assert themes.remembered_theme("mail-eu") is None


def test_a_terminal_with_sixteen_colours_gets_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLORTERM", raising=False)
    monkeypatch.setenv("TERM", "linux")
    assert make_app(FakeRing()).theme == "ansi"
    assert make_app(FakeRing(), theme="paper").theme == "paper"
    monkeypatch.setenv("TERM", "xterm-256color")
    assert make_app(FakeRing()).theme == "harbour"


async def test_a_choice_that_cannot_be_remembered_is_shown_and_said(tmp_path: Path) -> None:
    (tmp_path / "own-state").write_text("a file")
    async with dashboard(size=(120, 36)) as screen:
        await screen.press("t")
        await screen.until("theme: paper", "it can't be remembered")
        await screen.wait(lambda: ground_of(screen) == background("paper"), "paper")
        await screen.press("j")
        assert screen.at_cursor() == "10.1.0.2"


# A person's own


@pytest.fixture
def own_themes() -> Path:
    folder = theme_files.user_folder()
    folder.mkdir(parents=True)
    return folder


async def test_a_theme_of_one_s_own_is_the_last_of_the_round(own_themes: Path) -> None:
    (own_themes / "mine.toml").write_text(WHOLE)
    async with dashboard(theme="mono") as screen:
        await screen.press("t")
        await screen.until("theme: mine")
        await screen.wait(lambda: ground_of(screen) == "#123456", "mine")
        await screen.press("t")
        assert screen.app.theme == "harbour"


async def test_bad_files_are_named_and_hide_no_good_one(own_themes: Path) -> None:
    (own_themes / "mine.toml").write_text(WHOLE)
    (own_themes / "bad.toml").write_text(WHOLE.replace('tick = "#123456"', 'tick = "[/x]"'))
    (own_themes / "binary.toml").write_bytes(bytes(range(256)))
    (own_themes / "big.toml").write_text(WHOLE + "#" * themes.FILE_LIMIT)
    (own_themes / "paper.toml").write_text(WHOLE)
    async with dashboard(size=(80, 24)) as screen:
        await screen.until("themes left out", "paper.toml: paper is a theme", "● LIVE")
        (notice,) = screen.app._notifications
        for said in (
            "\nbad.toml: [colors] tick: '[/x]' is no colour; write it like",
            "\nbinary.toml: line 2 is not UTF-8",
            "\nbig.toml: can't be read: larger than 65,536 bytes",
            "\npaper.toml: paper is a theme of the program itself",
        ):
            assert said in notice.message
        assert list(screen.app._themes.by_name) == [*BUILT_IN, "mine"]


async def test_many_bad_files_are_one_notice(own_themes: Path) -> None:
    for number in range(20):
        (own_themes / f"bad{number:02}.toml").write_text("")
    async with dashboard() as screen:
        await screen.until("bad00.toml", "and 16 more")
        assert len(screen.app.screen.query(Toast)) == 1


@pytest.mark.parametrize(
    ("text", "fault", "remedy"),
    [
        (WHOLE.replace('tick = "#123456"\n', ""), "[colors] tick: is missing", ""),
        (WHOLE.replace('tick = "#123456"', 'tick = "#zz"'), "[colors] tick: '#zz' is no colour", "write it like"),
        (WHOLE.replace('tick = "#123456"', "tick = 5"), "[colors] tick: '5' is no colour", "write it like"),
        (WHOLE.replace('tick = "#123456"', 'tick = "auto"'), "[colors] tick: 'auto' is no colour", "write it like"),
        (WHOLE.replace('tick = "#123456"', 'tick = "#1234567f"'), "tick: '#1234567f' is transparent", "write it like"),
        (
            WHOLE.replace('tick = "#123456"', 'tick = "ansi_red"'),
            "[colors] tick: the terminal's own",
            "from the one kind",
        ),
        (WHOLE + 'backgruond = "#123456"\n', "[colors]: backgruond: unknown key", "do you mean background?"),
        ("xyzzy = 1\n" + WHOLE, "xyzzy: unknown key", "known here: dark, colors"),
        (WHOLE.replace("true", '"yes"'), "dark: true or false was expected", ""),
        ("dark = true\n", "a table [colors] is needed", ""),
        ("colors = 1\n", "a table [colors] is needed", ""),
        ("[colors\n", "Expected", "TOML needs quotes"),
        ("a = " + "[" * 5000, "nested too deeply", ""),
        ("a = " + "1" * 5000, "too many digits", ""),
    ],
)
def test_a_bad_theme_file_is_named_with_its_fault(tmp_path: Path, text: str, fault: str, remedy: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as raised:
        themes.read_theme(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert fault in str(raised.value)
    assert remedy in raised.value.remedy


def test_what_is_no_plain_file_is_said(own_themes: Path) -> None:
    (own_themes / "good.toml").write_text(WHOLE)
    (own_themes / "link.toml").symlink_to(own_themes / "good.toml")
    (own_themes / "nowhere.toml").symlink_to(own_themes / "gone")
    (own_themes / "folder.toml").mkdir()
    os.mkfifo(own_themes / "pipe.toml")
    (own_themes / "a b.toml").write_text(WHOLE)
    (own_themes / "x\x1b[31m\udcff.toml").write_text(WHOLE)
    (own_themes / "notes.txt").write_text("not looked at")
    found = themes.read_themes()
    assert list(found.by_name) == [*BUILT_IN, "good", "link"]
    said = "\n".join(map(str, found.faults))
    assert said.replace("\n", "").isprintable()
    assert len(found.faults) == 5
    for fault in (
        *("nowhere.toml: can't be read: No such file", "folder.toml: can't be read: Is a directory"),
        *("pipe.toml: can't be read: no plain file", "a b.toml: a theme's name has letters"),
    ):
        assert fault in said


def test_a_themes_folder_that_is_a_file_is_said() -> None:
    folder = theme_files.user_folder()
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    (fault,) = themes.read_themes().faults
    assert str(fault) == f"{folder}: can't be read: Not a directory"
