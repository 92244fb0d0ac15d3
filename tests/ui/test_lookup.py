"""Finding a user, by what is on the screen."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from textual.events import Paste

from director_tui.config import DirectorConfig
from director_tui.director.hashring import user_hash
from director_tui.director.model import ProxySession
from director_tui.errors import ConnectionLost
from director_tui.link import reading
from director_tui.link import ring as link_ring
from director_tui.link.users import Sessions
from director_tui.ui import lookup
from tests.ui.fakes import DIRECTORS, FakeReply, FakeRing, Screen, dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

JANE = "jane@example.com"
FIRST = "ops@dir1.example.com"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Users are looked up again after 0.1 s, and connecting is tried again at once."""
    monkeypatch.setattr(lookup, "LOOK_AGAIN_S", 0.1)
    monkeypatch.setattr(lookup, "CALLS_PER_S", 1000.0)
    monkeypatch.setattr(reading, "MIN_STALE_S", 1.5)
    monkeypatch.setattr(link_ring, "BACK_OFF_S", (0.05,))


def assign(ring: FakeRing, ip: str, user: str = JANE, tag: str = "", left_s: float = 725) -> None:
    ring.assigned[user_hash(user), tag] = (ip, datetime.now(UTC) + timedelta(seconds=left_s))


@asynccontextmanager
async def found(
    ring: FakeRing, *says: str, user: str = JANE, size: tuple[int, int] = (120, 36)
) -> AsyncGenerator[Screen]:
    """The screen after a user was looked up."""
    async with dashboard(ring, size) as screen:
        await screen.press("l", *user, "enter")
        await screen.until(f"hash {user_hash(user)}", *says)
        yield screen


def typed(screen: Screen) -> str:
    """What stands in the input line."""
    return next(line for line in screen.lines if line.startswith(" user  "))[6:].strip()


async def paste(screen: Screen, text: str) -> None:
    screen.app.post_message(Paste(text))
    await screen.pilot.pause()


# Asking


async def test_what_is_typed_fast_behind_the_key_is_the_name_and_no_command() -> None:
    async with dashboard() as screen:
        await screen.pilot.press("l", *"qj:l?/ x", "enter")
        await screen.until("qj:l?/ x   hash", "not assigned in any tag", "asked dir1")
        assert screen.app.is_running


async def test_keys_are_commands_again_after_the_look_up_and_l_begins_another_one() -> None:
    ring = FakeRing()
    async with found(ring) as screen:
        await screen.press("l", *"joe", "enter")
        await screen.until("joe   hash", gone=[JANE])
        assert set(ring.looked_up) == {JANE, "joe"}
        await screen.press("question_mark")
        await screen.until("q or esc goes back", "Find a user")
        await screen.press("q", "q")
        await screen.until("10.1.0.10", gone=["joe   hash"])
        assert screen.at_cursor() == "10.1.0.1"


async def test_the_names_of_this_session_come_back_with_the_arrows() -> None:
    async with dashboard() as screen:
        for name in ("anna", "berta", "anna", "carl"):
            await screen.press("l", *name, "enter")
            await screen.until(f"{name}   hash")
        await screen.press("q", "l", "up", "up")
        assert "anna" in typed(screen)
        await screen.press("up")
        assert "berta" in typed(screen)
        await screen.press("up", "down", "down", "down")
        assert "a user name, as it logs in" in typed(screen)
        await screen.press("up", "enter")
        await screen.until("carl   hash")


async def test_esc_leaves_the_line_for_the_result_and_the_screen_without_one() -> None:
    async with found(FakeRing()) as screen:
        await screen.press("l", *"abc", "escape", "question_mark")
        await screen.until("q or esc goes back")
        await screen.press("escape", "q", "l", "x", "escape")
        await screen.until("10.1.0.10", gone=["a user name, as it logs in"])


@pytest.mark.parametrize(
    ("pasted", "why"),
    [
        ("jane\tdoe", "the user name has a control character in it (U+0009)"),
        ("jane\ndoe", "the user name has a control character in it (U+000A)"),
        ("\x1b[31mjane", "the user name has a control character in it (U+001B)"),
        ("x\x9b", "the user name has a control character in it (U+009B)"),
        ("x" * 1025, "the user name is longer than 1,024 characters"),
    ],
)
async def test_what_no_name_can_be_is_refused_before_anything_is_sent(pasted: str, why: str) -> None:
    ring = FakeRing()
    async with dashboard(ring, (80, 24)) as screen:
        await screen.press("l")
        await paste(screen, pasted)
        await screen.until(why)
        assert_harmless(screen)
        await screen.press("enter")
        await screen.until("the user name is empty")
        assert ring.looked_up == []
        await paste(screen, "jane\r\n")
        await screen.until("jane", gone=["is empty"])
        await screen.press("enter")
        await screen.until("jane   hash")
        assert set(ring.looked_up) == {"jane"}


@pytest.mark.parametrize(
    "user",
    [
        "two words",
        'it\'s "quoted"; $(id) `id` \\',
        "-leading",
        "--",
        "12345",
        "[/x][@click=app.quit]Q",
        "a%b%%u",
        "üser@example.com",
        "名@例え.jp",
        "e\u0301" * 50,
        "a\u202eb\u200dc\ufeff",
        "x" * 500,
        "*",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("width", [80, 20])
async def test_odd_names_reach_the_director_as_they_are_and_the_screen_cleaned(user: str, width: int) -> None:
    ring = FakeRing()
    async with dashboard(ring, (width, 24)) as screen:
        await screen.press("l")
        await paste(screen, user)
        assert_harmless(screen)
        await screen.press("enter")
        await screen.wait(lambda: user in ring.looked_up)
        await screen.until("not assigned")
        assert_harmless(screen)
        await screen.press("enter")
        await screen.until("no session")
        assert_harmless(screen)


def assert_harmless(screen: Screen) -> None:
    for line in screen.lines:
        for character in line:
            assert character.isprintable(), f"U+{ord(character):04X} in {line!r}"
            assert unicodedata.bidirectional(character) not in {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI", "FSI"}


@pytest.mark.parametrize(
    ("user", "where"), [("jane ", "at its end"), (" jane", "at its beginning"), (" ", "at its beginning and its end")]
)
async def test_a_blank_at_an_end_is_part_of_the_name_and_said(user: str, where: str) -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.press("l", *user, "enter")
        await screen.until(f"looked up with a blank {where}")
        assert set(ring.looked_up) == {user}


# What is said


async def test_where_a_user_is_and_where_it_goes() -> None:
    ring = FakeRing()
    assign(ring, "10.1.0.3")
    async with found(ring) as screen:
        await screen.until("on 10.1.0.3, which is draining", "when flushed, or 15 min after its last session")
        assert screen.style_of("which is draining").color != screen.style_of("when flushed").color
        row = screen.line("in 12 min")
        assert row.split()[:2] == ["▸", "10.1.0.3"]
        gold = screen.line("   gold ")
        assert "not assigned" in gold
        assert "10.1.0.7  gold-01" in gold


async def test_a_user_is_watched_while_it_moves() -> None:
    ring = FakeRing()
    assign(ring, "10.1.0.4")
    async with found(ring, "on 10.1.0.4, which is DOWN", "its logins still go there") as screen:
        down = screen.style_of("which is DOWN").color
        ring.set("10.1.0.4", state=b"up")
        await screen.until("on 10.1.0.4", gone=["DOWN; ", "which is DOWN"])
        assign(ring, "10.1.0.1")
        await screen.until("on 10.1.0.1 (mail-01)", gone=["on 10.1.0.4"])
        assert screen.style_of("on 10.1.0.1 (mail-01)").color != down


async def test_a_clock_an_hour_off_never_makes_nonsense() -> None:
    ring = FakeRing()
    assign(ring, "10.1.0.1", left_s=-3600 + 600)
    expires = ring.assigned[user_hash(JANE), ""][1]
    async with found(ring, f"at {expires:%H:%M:%S} UTC") as screen:
        assert "in -" not in screen
        assert "ago UTC" not in screen


async def test_tags_without_a_usable_backend_are_told() -> None:
    ring = FakeRing()
    ring.set("10.1.0.7", vhosts=0)
    async with found(ring, "no backend is usable in tag gold", "a login waits 30 to 60 s and fails") as screen:
        assert "none usable" in screen.line("   gold ")


# Age and failures


async def test_a_failing_director_leaves_the_old_result_with_its_age_and_says_what_to_do() -> None:
    ring = FakeRing(directors=(FIRST,))
    assign(ring, "10.1.0.1")
    async with found(ring, "on 10.1.0.1 (mail-01)") as screen:
        fresh = screen.style_of("in 12 min").color
        assert fresh is not None
        ring.break_down(ConnectionLost("the connection was lost", "look after the network"))
        await screen.until("the connection was lost", "look after the network", "on 10.1.0.1 (mail-01)")
        await screen.until("○ STALE, asked dir1")
        ring.refuse.clear()
        await screen.until("on 10.1.0.1 (mail-01)", gone=["the connection was lost", "STALE"])


async def test_what_sudo_refuses_is_not_tried_again_before_somebody_asks() -> None:
    ring = FakeRing(directors=(FIRST,))
    ring.failing[FIRST, "map"] = FakeReply(1, b"", b"sudo: a password is required\n")
    async with dashboard(ring) as screen:
        await screen.press("l", *"jane", "enter")
        await screen.until("sudo asks for a password there", "see the sudoers line", "r looks it up again")
        del ring.failing[FIRST, "map"]
        await screen.readings(ring, 10)
        assert ring.looked_up == []
        await screen.press("r")
        await screen.until("jane   hash", gone=["sudo", "r looks it up again"])


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (FakeReply(75, b"", b"Fatal: read(/run/dovecot/director-admin) failed: x\n"), "ended the conversation"),
        (FakeReply(0, b"never seen\n"), "never seen"),
    ],
    ids=["restarted", "malformed"],
)
async def test_what_a_restart_does_is_tried_again_by_itself(reply: FakeReply, says: str) -> None:
    ring = FakeRing(directors=(FIRST,))
    ring.failing[FIRST, "map"] = reply
    async with dashboard(ring) as screen:
        await screen.press("l", *"jane", "enter")
        await screen.until(says, gone=["r looks it up again"])
        del ring.failing[FIRST, "map"]
        await screen.until("jane   hash", gone=[says])


async def test_another_director_takes_over() -> None:
    ring = FakeRing()
    async with found(ring, "asked dir1") as screen:
        ring.refuse = {FIRST: ConnectionLost("gone", "")}
        for connection in ring.connections:
            connection.lost = connection.destination == FIRST
        await screen.until("asked dir2")


# Sessions


async def test_the_sessions_of_the_user_on_all_directors() -> None:
    ring = FakeRing()
    assign(ring, "10.1.0.1")
    ring.sessions = {
        FIRST: [(JANE, "10.1.0.1"), ("joe", "10.1.0.2"), (JANE, "10.1.0.1")],
        "ops@dir3.example.com": [(JANE, "10.1.0.1")],
    }
    async with found(ring, user="Jane@Example.com") as screen:
        await screen.press("enter")
        await screen.until("3 sessions")
        rows = [line.split() for line in screen.lines if "192.0.2.1" in line]
        assert [row[-5:] for row in rows] == [
            ["192.0.2.1", "10.1.0.1", "mail-01", "dir1", "2"],
            ["192.0.2.1", "10.1.0.1", "mail-01", "dir3", "1"],
        ]
        assert "AT ONCE" not in screen
        await screen.press("escape")
        await screen.until("hash", gone=["3 sessions", "192.0.2.1"])


async def test_sessions_on_two_backends_at_once_are_shouted() -> None:
    ring = FakeRing()
    assign(ring, "10.1.0.1")
    ring.sessions = {FIRST: [(JANE, "10.1.0.1")], "ops@dir2.example.com": [(JANE, "10.1.0.2")]}
    async with found(ring) as screen:
        await screen.press("enter")
        await screen.until("SESSIONS ON 2 BACKENDS AT ONCE", "not current")
        assert "not current" in screen.line("dir2 ")
        assert "not current" not in screen.line("dir1  ")


async def test_users_who_share_the_hash_are_told_apart() -> None:
    ring = FakeRing(mail_servers=b"10.1.0.1\ndirector_username_hash = %Ln")
    ring.sessions = {FIRST: [(JANE, "10.1.0.1"), ("jane@example.net", "10.1.0.1"), ("joe@example.com", "10.1.0.1")]}
    ring.failing[FIRST, "map"] = FakeReply(0, b"hash\n%d\n" % user_hash(JANE, "%Ln"))
    async with dashboard(ring) as screen:
        await screen.press("l", *JANE, "enter")
        await screen.until("hash")
        await screen.press("enter")
        await screen.until("2 sessions", "logged in as", "jane@example.net", gone=["joe"])


async def test_sessions_are_not_denied_where_the_ring_hashes_otherwise_than_its_settings_say() -> None:
    ring = FakeRing()
    ring.sessions = {FIRST: [(JANE, "10.1.0.1"), ("jane@example.net", "10.1.0.1")]}
    ring.failing[FIRST, "map"] = FakeReply(0, b"hash\n%d\n" % user_hash(JANE, "%Ln"))
    async with dashboard(ring) as screen:
        await screen.press("l", *"Jane@Example.com", "enter")
        await screen.until("hash")
        await screen.press("enter")
        await screen.until("1 session", gone=["logged in as"])


async def test_no_session_is_claimed_only_where_every_director_was_asked() -> None:
    ring = FakeRing()
    async with found(ring) as screen:
        await screen.press("enter")
        await screen.until("no session", "no session of this user through dir1, dir2, dir3; LMTP is not listed")
        ring.failing["ops@dir2.example.com", "proxy list"] = FakeReply(
            0, b"\n", b"Error: connect(/run/dovecot/ipc) failed: Permission denied\nError: LIST-FULL failed: x\n"
        )
        await screen.press("r")
        await screen.until(
            "dir2: not known: the director's login processes can't be asked through /run/dovecot/ipc",
            "no session of this user through dir1, dir3; LMTP",
            gone=["── no session"],
        )
        ring.sessions = {FIRST: [(JANE, "10.1.0.1")]}
        await screen.press("r")
        await screen.until("1 session seen", "dir2: not known")


async def test_a_member_of_the_ring_without_a_destination_is_not_forgotten() -> None:
    two = tuple(DirectorConfig(destination) for destination in DIRECTORS[:2])
    async with dashboard(FakeRing(), directors=two) as screen:
        await screen.press("l", *JANE, "enter")
        await screen.until("hash")
        await screen.press("enter")
        await screen.until("1 director of the ring can't be asked", gone=["── no session"])


async def test_a_director_that_hangs_does_not_hold_up_what_the_others_say() -> None:
    ring = FakeRing()
    ring.sessions = {FIRST: [(JANE, "10.1.0.1")]}
    async with found(ring) as screen:
        gate = ring.gates["ops@dir2.example.com", "proxy list"] = asyncio.Event()
        await screen.press("enter")
        await screen.until("1 session seen", "dir2: no answer yet")
        gate.set()
        await screen.until("1 session", gone=["no answer yet", "seen"])


async def test_sessions_show_their_age_and_go_stale() -> None:
    ring = FakeRing()
    ring.sessions = {FIRST: [(JANE, "10.1.0.1")]}
    async with found(ring) as screen:
        await screen.press("enter")
        await screen.until("1 session")
        await screen.until("STALE, 2s old · r reads again")
        await screen.press("r")
        await screen.until("1 session", gone=["STALE"])


async def test_an_old_answer_never_takes_the_place_of_a_newer_one() -> None:
    ring, takers = FakeRing(), list[Callable[[Sessions], None]]()

    def known(taken_mono_s: float, number: int, *waiting: str) -> Sessions:
        listed = (ProxySession(JANE, "imap", "192.0.2.1", "10.1.0.1", 143),) * number
        answered = {name: listed if name == FIRST else () for name in DIRECTORS if name not in waiting}
        return Sessions(answered, {}, waiting, datetime.now(UTC), taken_mono_s)

    async with found(ring) as screen:
        view = screen.app.screen
        assert isinstance(view, lookup.LookupScreen)
        mono_s = view.times.mono_s()
        view._ask_sessions = takers.append
        await screen.press("enter", "escape", "enter")
        first, second = takers
        second(known(mono_s, 2, "ops@dir2.example.com"))
        await screen.until("2 sessions seen")
        first(known(mono_s - 1, 7))
        await screen.press("j")
        await screen.until("2 sessions seen", gone=["7 sessions"])
        second(known(mono_s, 3))
        await screen.until("3 sessions", gone=["seen"])


@pytest.mark.parametrize("size", [(20, 5), (40, 24), (80, 24), (200, 60)])
async def test_any_size(size: tuple[int, int]) -> None:
    ring = FakeRing()
    assign(ring, "10.1.0.3")
    ring.sessions = {FIRST: [(JANE, "10.1.0.3")]}
    async with found(ring, size=(120, 36)) as screen:
        await screen.press("enter")
        await screen.until("1 session")
        await screen.resize(*size)
        assert_harmless(screen)
        assert len(screen.lines) == size[1]
        if size[0] >= 40:
            assert "10.1.0.3" in screen
