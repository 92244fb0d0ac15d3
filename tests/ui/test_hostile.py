"""Text from outside on the screen: never markup, never a control byte, never a crash."""

from __future__ import annotations

import unicodedata

import pytest

from director_tui.errors import AuthenticationFailed
from director_tui.ui import app
from tests.ui.fakes import FakeRing, Row, Screen, dashboard

HOSTILE = (
    "[/x]",
    "[red]",
    "[@click=app.quit]Q[/]",
    "[@click=app.quit",
    "\x1b]0;title\x07\x1b[31mred\x1b[0m",
    "\x9b31m\x00\x7f",
    "a\u202eb\u2066c\u200f",
    "\ufeff\u2028\u2029",
    "x" * 300,
    "郵" * 300,
    "e\u0301" * 50,
    "\\[/x]",
    "{0} %s $dt-text",
    "",
    " ",
)


def assert_harmless(screen: Screen) -> None:
    assert "● LIVE" in screen or "CONNECT" in screen
    for line in screen.lines:
        for character in line:
            assert character.isprintable(), f"U+{ord(character):04X} in {line!r}"
            assert unicodedata.bidirectional(character) not in {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI", "FSI"}


@pytest.mark.parametrize(("text", "width"), [*((text, 120) for text in HOSTILE), ("[/x]", 40), ("郵" * 300, 40)])
async def test_tags_names_and_labels(text: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # No folder can have some of these names, which is said, and would stand in front of the feed.
    monkeypatch.setattr(app, "NOTICE_S", 0.1)
    # A tag can hold anything but a tab and a line break, which the table's format can't.
    tag = text.encode("utf-8", "surrogatepass")
    ring = FakeRing(rows=[Row("10.1.0.1", tag=tag, vhosts=0), Row("10.1.0.2", tag=tag, state=b"down"), Row("10.1.0.3")])
    names = {"10.1.0.1": text, "10.1.0.3": text}
    async with dashboard(ring, (width, 30), names=names, environment=text, name=text or "x") as screen:
        assert screen.ips() == ["10.1.0.1", "10.1.0.2", "10.1.0.3"]
        ring.set("10.1.0.3", vhosts=0, tag=b"")
        ring.set("10.1.0.2", tag=b"other" + tag)
        await screen.until("vhosts 100 → 0")
        assert_harmless(screen)
        await screen.press("s", "s", "space", "slash", *"[/", "enter", "asterisk")
        assert_harmless(screen)
        for y in (0, 2, 4):
            await screen.pilot.click(offset=(1, y))
        assert_harmless(screen)
        assert screen.app.return_code is None


async def test_markup_in_a_tag_is_shown_as_it_is() -> None:
    async with dashboard(FakeRing(rows=[Row("10.1.0.1", tag=b"[@click=app.quit]Q", vhosts=0)])) as screen:
        await screen.until("NO USABLE BACKEND")
        assert "[@click=app.quit]Q" in screen.table()[0]
        assert "[@click=app.quit]Q" in screen.line("NO USABLE BACKEND")


@pytest.mark.parametrize("text", HOSTILE)
async def test_failures(text: str) -> None:
    ring = FakeRing()
    ring.refuse = {name: AuthenticationFailed(f"{name}: {text}", text) for name in ring.directors}
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until("NOT CONNECTED")
        assert_harmless(screen)


@pytest.mark.parametrize(
    "stdout",
    [
        b"",
        b"Welcome [/x]\n\x1b[2J",
        b"mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n10.0.0.1\t\t100\tup",
        b"mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n10.0.0.1\ta\tb\t100\tup\t-\t0\n",
        b"\xff\xfe\x00[@click=app.quit]",
    ],
)
async def test_output_of_something_else_is_a_sentence(stdout: bytes) -> None:
    ring = FakeRing(status=stdout)
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until("NOT CONNECTED", "doveadm director status")
        assert_harmless(screen)
        ring.status = None
        await screen.press("r")
        await screen.until("● LIVE", "28,764")


async def test_a_tag_that_is_not_utf_8_is_shown() -> None:
    async with dashboard(FakeRing(rows=[Row("10.1.0.1", tag=b"gold\xff")])) as screen:
        assert "gold\\xff" in screen.table()[0]
        assert_harmless(screen)
