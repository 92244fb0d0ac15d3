"""What the dashboard says when the ring can't be read, and what only a person can answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
from textual.events import Paste
from textual.widgets import Input

from director_tui.config import DirectorConfig
from director_tui.errors import (
    AuthenticationFailed,
    ConnectionLost,
    HostKeyUnknown,
    UsageError,
)
from director_tui.link import reading
from director_tui.link import ring as link_ring
from director_tui.link.questions import Question
from director_tui.ui import dialogs
from tests.ui.fakes import FakeRing, Screen, dashboard, make_app

if TYPE_CHECKING:
    from pathlib import Path

    from director_tui.ui.app import DirectorApp


KEY_READY = "Esc cancels."
"""What a host key's dialog says when it takes keys."""


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data is stale after 1.5 s, and connecting is tried again at once."""
    monkeypatch.setattr(reading, "MIN_STALE_S", 1.5)
    monkeypatch.setattr(link_ring, "BACK_OFF_S", (0.05,))


@pytest.mark.usefixtures("hasty")
async def test_a_lost_ring_ages_goes_stale_and_comes_back_by_itself() -> None:
    ring = FakeRing(directors=("ops@dir1",))
    async with dashboard(ring) as screen:
        fresh = screen.style_of("28,764").color
        ring.break_down(ConnectionLost("the connection was lost", "look after the network"))
        await screen.until("RECONNECTING", "the connection was lost", "look after the network")
        assert "STALE" not in screen
        await screen.until("1s old")
        await screen.until("○ STALE", "RECONNECTING")
        assert "28,764" in screen, "the last good data stays"
        assert screen.style_of("28,764").color != fresh, "it is not dimmed"
        assert "no director answers" in screen
        ring.refuse.clear()
        await screen.until("● LIVE", "reading again", gone=["STALE", "RECONNECTING", " old", "look after"])
        assert screen.style_of("28,764").color == fresh


@pytest.mark.usefixtures("hasty")
async def test_a_frozen_ring_goes_stale_although_nothing_has_failed_yet() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        ring.awake.clear()
        await screen.until("1s old")
        await screen.until("STALE")
        ring.awake.set()
        await screen.until("● LIVE", gone=["STALE"])


@pytest.mark.usefixtures("hasty")
async def test_the_state_of_the_ring_ages_apart_from_the_backends() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.until("ring 3/3 synced")
        ring.ring_failure = (1, b"sudo: a password is required\n")
        await screen.until("● LIVE", "ring ? – last seen synced 1s ago", gone=["3/3", "ping"])
        assert screen.style_of("ring ?").color == screen.style_of("production").color, "it does not ask for attention"
        await screen.until("last seen synced 2s ago")
        ring.ring_failure = None
        await screen.until("ring 3/3 synced", gone=["last seen"])


@pytest.mark.usefixtures("hasty")
async def test_a_ring_whose_state_was_never_read_is_not_known() -> None:
    async with dashboard(FakeRing(ring_failure=(1, b"sudo: a password is required\n"))) as screen:
        await screen.until("● LIVE", "ring ?")
        await screen.wait(lambda: screen.style_of("ring ?").color == screen.style_of("production").color)


@pytest.mark.usefixtures("hasty")
async def test_the_next_director_takes_over_and_that_is_an_event() -> None:
    ring = FakeRing()
    async with dashboard(ring) as screen:
        await screen.until("dir1")
        ring.refuse = {ring.directors[0]: ConnectionLost("gone", "")}
        for connection in ring.connections:
            connection.lost = connection.destination == ring.directors[0]
        await screen.until("● LIVE   dir2", "now reading ops@dir2.example.com")


async def test_a_failure_before_the_first_reading_is_told_with_its_remedy() -> None:
    ring = FakeRing(status_failure=(1, b"sudo: a password is required\n"))
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until("NOT CONNECTED", "dir1")
        assert "sudo" in screen
        ring.status_failure = None
        await screen.press("r")
        await screen.until("● LIVE", "28,764", gone=["sudo"])


@pytest.mark.usefixtures("hasty")
async def test_an_old_failure_is_not_shown_as_the_present_one_while_another_attempt_is_under_way() -> None:
    ring = FakeRing(directors=("ops@dir1",))
    async with dashboard(ring) as screen:
        ring.break_down(AuthenticationFailed("none of the keys was accepted", "ssh-add it"))
        await screen.until("RECONNECTING", "r tries again", "none of the keys was accepted")
        alarming = screen.style_of("none of the keys").color
        gate = asyncio.Event()

        async def wait(destination: str) -> None:
            await gate.wait()

        ring.on_connect = wait
        await screen.press("r")
        await screen.until("RECONNECTING", "trying again", "last attempt: none of the keys", gone=["r tries again"])
        assert screen.style_of("none of the keys").color != alarming
        gate.set()
        await screen.until("r tries again", gone=["trying again", "last attempt"])
        assert screen.style_of("none of the keys").color == alarming


@pytest.mark.usefixtures("hasty")
async def test_an_attempt_by_itself_is_said_while_it_lasts() -> None:
    ring = FakeRing(directors=("ops@dir1",))
    ring.refuse = {"ops@dir1": ConnectionLost("the network is away", "")}
    async with dashboard(ring) as screen:
        await screen.until("NOT CONNECTED", "the network is away")
        gate = asyncio.Event()

        async def wait(destination: str) -> None:
            await gate.wait()

        ring.on_connect = wait
        await screen.until("CONNECTING", "trying again", "last attempt: the network", gone=["NOT CONNECTED"])
        ring.refuse.clear()
        gate.set()
        await screen.until("● LIVE", gone=["trying", "last attempt"])


async def test_a_failure_beside_the_one_in_use_is_that_of_the_last_attempt_until_the_next_has_ended() -> None:
    ring = FakeRing()
    ring.refuse = {ring.directors[2]: AuthenticationFailed("ops@dir3.example.com: none of the keys", "")}
    async with dashboard(ring) as screen:
        await screen.until("● LIVE", "ops@dir3.example.com: none of the keys")
        gate = asyncio.Event()

        async def wait(destination: str) -> None:
            await gate.wait()

        ring.on_connect = wait
        await screen.press("r")
        await screen.until("● LIVE", "last attempt: ops@dir3.example.com: none of the keys")
        gate.set()
        await screen.until("ops@dir3.example.com: none of the keys", gone=["last attempt"])


@pytest.mark.parametrize("width", [80, 120])
async def test_a_member_without_a_destination_is_said(width: int) -> None:
    ring = FakeRing()
    async with dashboard(ring, (width, 24), directors=(DirectorConfig(ring.directors[0]),)) as screen:
        await screen.until("ring 3/3 synced · seen on 1 of 3")


async def test_two_rings_with_the_first_director_silent_are_said_at_80_columns() -> None:
    ring = FakeRing()
    ring.refuse = {ring.directors[0]: ConnectionLost("ops@dir1.example.com: gone", "")}
    elsewhere = b"10.9.0.1\t9090\tself\tnever\tring synced\t0\t-\t-\t-\t-\t-\t-\n"
    ring.ring_rows[ring.directors[1]] = elsewhere
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until("WHICH RING IS OURS? dir2 and dir3 are of different rings, dir1 says nothing")
        assert "BELONGS TO ANOTHER RING" not in screen


async def test_different_failures_of_three_directors_are_all_there_at_80_columns() -> None:
    ring = FakeRing()
    ring.refuse = {
        name: AuthenticationFailed(f"{name}: none of the keys was accepted", f"remedy {number}")
        for number, name in enumerate(ring.directors)
    }
    async with dashboard(ring, (80, 24)) as screen:
        await screen.until("NOT CONNECTED", *ring.refuse, "remedy 0", "remedy 1", "remedy 2")
        await screen.until("r tries again")


async def test_a_director_that_fails_beside_the_one_in_use_is_named() -> None:
    ring = FakeRing()
    ring.refuse = {ring.directors[2]: AuthenticationFailed("ops@dir3.example.com: none of the keys", "")}
    async with dashboard(ring) as screen:
        await screen.until("● LIVE", "ops@dir3.example.com: none of the keys")


def unknown_key(tmp_path: Path, host: str) -> HostKeyUnknown:
    return HostKeyUnknown(
        f"{host}: no known_hosts file has its host key",
        "add it",
        host=host,
        port=22,
        algorithm="ssh-ed25519",
        fingerprint=f"SHA256:{host}AAAAAAAA",
        line=f"{host} ssh-ed25519 AAAAC3Nza",
        known_hosts=str(tmp_path / "known_hosts"),
    )


def with_unknown_key(tmp_path: Path, *hosts: str) -> FakeRing:
    """A ring that can be connected to as soon as known_hosts has a line of the host."""
    ring = FakeRing(directors=tuple(f"ops@{host}" for host in hosts))

    async def check(destination: str) -> None:
        host = destination.removeprefix("ops@")
        file = tmp_path / "known_hosts"
        if not file.exists() or unknown_key(tmp_path, host).line not in file.read_text().splitlines():
            raise unknown_key(tmp_path, host)

    ring.on_connect = check
    return ring


async def test_enter_on_a_fresh_host_key_dialog_adds_nothing(tmp_path: Path) -> None:
    async with dashboard(with_unknown_key(tmp_path, "dir1")) as screen:
        await screen.until("dir1 port 22 is not known yet", "SHA256:dir1AAAAAAAA", KEY_READY)
        await screen.press("enter")
        await screen.until("NOT CONNECTED", gone=["is not known yet"])
        assert not (tmp_path / "known_hosts").exists()
        await screen.press("r")
        await screen.until("is not known yet", KEY_READY)  # asking for a reading offers it again
        await screen.press("escape")
        await screen.until("NOT CONNECTED", gone=["is not known yet"])
        assert not (tmp_path / "known_hosts").exists()


@pytest.mark.parametrize("key", ["tab", "right"])
async def test_the_other_button_adds_the_key_and_the_program_reads_on(tmp_path: Path, key: str) -> None:
    (tmp_path / "known_hosts").write_text("other ssh-rsa AAAA")
    async with dashboard(with_unknown_key(tmp_path, "dir1")) as screen:
        await screen.until("is not known yet", KEY_READY)
        await screen.press(key, "enter")
        await screen.until("● LIVE", "28,764")
        assert (tmp_path / "known_hosts").read_text() == "other ssh-rsa AAAA\ndir1 ssh-ed25519 AAAAC3Nza\n"


async def test_unknown_keys_are_offered_one_at_a_time(tmp_path: Path) -> None:
    async with dashboard(with_unknown_key(tmp_path, "dir1", "dir2")) as screen:
        await screen.until("SHA256:dir1", KEY_READY)
        assert "SHA256:dir2" not in screen
        await screen.press("tab", "enter")
        await screen.until("SHA256:dir2", KEY_READY)
        await screen.press("tab", "enter")
        await screen.until("● LIVE")
        assert len((tmp_path / "known_hosts").read_text().splitlines()) == 2


async def test_a_known_hosts_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").mkdir()
    ring = FakeRing(directors=("ops@dir1",))
    ring.refuse = {"ops@dir1": unknown_key(tmp_path, "dir1")}
    async with dashboard(ring) as screen:
        await screen.until("is not known yet", KEY_READY)
        await screen.press("tab", "enter")
        await screen.until("Is a directory", "NOT CONNECTED")


def asking(answers: list[str | None], *, secret: bool) -> tuple[FakeRing, list[DirectorApp]]:
    """A ring that asks a question before it lets anybody in."""
    ring = FakeRing(directors=("ops@dir1",))
    apps: list[DirectorApp] = []

    async def ask(destination: str) -> None:
        if not answers:
            answers.append(await apps[0].ask(Question(destination, "Pass[/x]word [@click=app.quit]now[/]:", secret)))
            if answers[0] is None:
                raise AuthenticationFailed("ops@dir1: nobody answered", "")

    ring.on_connect = ask
    return ring, apps


@pytest.mark.parametrize("secret", [True, False])
async def test_a_question_is_asked_in_a_dialog_and_its_answer_handed_on(secret: bool) -> None:
    answers: list[str | None] = []
    ring, apps = asking(answers, secret=secret)
    app = make_app(ring)
    apps.append(app)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until("ops@dir1", "Pass[/x]word [@click=app.quit]now[/]:", "Enter sends it")
        await screen.press(*"s3:?q", "ctrl+p")
        assert ("s3:?q" in screen) is not secret
        await screen.press("enter")
        await screen.until("● LIVE")
        assert answers == ["s3:?q"]
        await screen.press("j")
        assert screen.at_cursor() == "10.1.0.2", "the table has no focus after the dialog"


async def test_esc_declines_a_question() -> None:
    answers: list[str | None] = []
    ring, apps = asking(answers, secret=True)
    app = make_app(ring)
    apps.append(app)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until("Enter sends it")
        await screen.press("x", "escape")
        await screen.until("nobody answered", gone=["Enter sends it"])
        assert answers == [None]


@pytest.mark.parametrize("secret", [True, False])
async def test_a_secret_answer_can_not_be_copied_out(secret: bool) -> None:
    async with dashboard() as screen:
        asked = asyncio.create_task(screen.app.ask(Question("ops@dir1", "Password:", secret=secret)))
        await screen.until("Enter sends it")
        await screen.press(*"hunter2", "shift+home", "ctrl+c")
        assert screen.app.clipboard == ("" if secret else "hunter2")
        await screen.press("ctrl+x", *"else", "enter")
        assert screen.app.clipboard == ("" if secret else "hunter2")
        assert await asked == "else"


async def test_a_question_that_nobody_waits_for_any_more_goes_away() -> None:
    async with dashboard() as screen:
        asked = asyncio.create_task(screen.app.ask(Question("ops@dir1", "Password:", secret=True)))
        await screen.until("Password:")
        asked.cancel()
        await screen.until("28,764", gone=["Password:"])


ENDLESS_S = 3600.0
HURRIED_S = 0.01


async def test_a_dialog_that_opens_unasked_takes_no_key_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialogs, "QUIET_S", ENDLESS_S)
    async with dashboard(with_unknown_key(tmp_path, "dir1")) as screen:
        await screen.until("is not known yet", dialogs.NOT_READY)
        await screen.press("enter", "tab", "enter", "right", "enter", "space", "escape", "ctrl+q", "q")
        assert "is not known yet" in screen
        assert dialogs.NOT_READY in screen
        await screen.pilot.click("#add")
        assert not (tmp_path / "known_hosts").exists()
        monkeypatch.setattr(dialogs, "QUIET_S", HURRIED_S)
        await screen.press("enter")  # begins the wait anew
        await screen.until(KEY_READY, gone=[dialogs.NOT_READY])
        await screen.press("tab", "enter")
        await screen.until("● LIVE")


async def test_a_password_typed_before_the_field_is_ready_is_dropped_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    async with dashboard() as screen:
        monkeypatch.setattr(dialogs, "QUIET_S", ENDLESS_S)
        asked = asyncio.create_task(screen.app.ask(Question("ops@dir1", "Code:", secret=False)))
        await screen.until("Code:", dialogs.NOT_READY)
        await screen.press(*"hunter2", "enter")
        screen.app.post_message(Paste("pasted"))
        await screen.press("escape", "ctrl+q")
        assert not asked.done()
        monkeypatch.setattr(dialogs, "QUIET_S", HURRIED_S)
        await screen.press("x")
        await screen.until("Enter sends it", gone=["hunter2", "pasted"])
        await screen.press(*"right", "enter")
        assert await asked == "right"


async def test_dialogs_open_one_after_the_other(tmp_path: Path) -> None:
    async with dashboard(with_unknown_key(tmp_path, "dir1")) as screen:
        await screen.until("is not known yet", KEY_READY)
        first, second = (
            asyncio.create_task(screen.app.ask(Question(f"ops@dir{number}", "Password:", secret=True)))
            for number in (2, 3)
        )
        await screen.press("tab")  # and whatever else was waiting has had its turn
        assert "Password:" not in screen
        assert not first.done()
        await screen.press("escape")
        await screen.until("ops@dir2", "Enter sends it", gone=["is not known yet", "ops@dir3"])
        await screen.press("a", "enter")
        await screen.until("ops@dir3", "Enter sends it", gone=["ops@dir2"])
        await screen.press("b", "enter")
        assert [await first, await second] == ["a", "b"]
        await screen.until("NOT CONNECTED", gone=["Password:"])


async def test_a_question_that_nobody_waits_for_any_more_leaves_the_queue(tmp_path: Path) -> None:
    async with dashboard() as screen:
        first, second, third = (
            asyncio.create_task(screen.app.ask(Question(f"ops@dir{number}", "Password:", secret=True)))
            for number in (1, 2, 3)
        )
        await screen.until("ops@dir1", "Enter sends it")
        second.cancel()
        await screen.press("a", "enter")
        await screen.until("ops@dir3", "Enter sends it", gone=["ops@dir1", "ops@dir2"])
        await screen.press("c", "enter")
        assert [await first, await third] == ["a", "c"]


async def test_a_question_that_nobody_waits_for_closes_nothing_but_itself() -> None:
    async with dashboard() as screen:
        asked = asyncio.create_task(screen.app.ask(Question("ops@dir1", "Password:", secret=True)))
        await screen.until("Password:")
        screen.app.action_help()
        await screen.until("goes back")
        asked.cancel()
        await screen.wait(asked.done)
        await screen.until("goes back")
        await screen.press("q")
        await screen.until("28,764", gone=["Password:", "goes back"])


async def test_a_dialog_that_is_taken_away_is_declined_and_the_next_one_opens() -> None:
    async with dashboard() as screen:
        first, second = (
            asyncio.create_task(screen.app.ask(Question(f"ops@dir{number}", "Password:", secret=True)))
            for number in (1, 2)
        )
        await screen.until("ops@dir1", "Enter sends it")
        screen.app.pop_screen()
        await screen.until("ops@dir2", "Enter sends it", gone=["ops@dir1"])
        assert await first is None
        await screen.press("b", "enter")
        assert await second == "b"


async def test_enter_pressed_twice_answers_one_question() -> None:
    async with dashboard() as screen:
        first, second = (
            asyncio.create_task(screen.app.ask(Question(f"ops@dir{number}", "Password:", secret=True)))
            for number in (1, 2)
        )
        await screen.until("ops@dir1", "Enter sends it")
        await screen.press("a")
        field = screen.app.screen.query_one(Input)
        for _ in range(2):  # both are on their way before the dialog is gone
            field.post_message(Input.Submitted(field, "a"))
        await screen.until("ops@dir2", "Enter sends it")
        assert await first == "a"
        assert not second.done()
        await screen.press("escape")
        assert await second is None


async def test_quitting_with_frozen_directors_ends_promptly() -> None:
    ring = FakeRing()
    app = make_app(ring)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until("● LIVE")
        ring.awake.clear()
        await pilot.pause(0.2)
        began = time.monotonic()
        await pilot.press("q")
    assert time.monotonic() - began < 5.0
    assert not app.return_code
    assert all(connection.lost for connection in ring.connections)


async def test_quitting_while_a_question_is_open() -> None:
    answers: list[str | None] = []
    ring, apps = asking(answers, secret=True)
    app = make_app(ring)
    apps.append(app)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = Screen(app, pilot)
        await screen.until("Enter sends it")
        await screen.press("ctrl+q")
        await screen.until("nobody answered")
        await screen.press("q")
    assert not app.return_code


async def test_quitting_at_any_moment_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        app = make_app(FakeRing(), interval_s=0.001)
        async with app.run_test(size=(80, 24)) as pilot:
            await Screen(app, pilot).until("● LIVE")
        assert not app.return_code
    out, err = capsys.readouterr()
    assert (out, err) == ("", "")


async def test_a_fault_of_this_program_ends_it_with_a_message(capsys: pytest.CaptureFixture[str]) -> None:
    ring = FakeRing(directors=("ops@dir1",))

    async def fail(destination: str) -> None:
        raise RuntimeError("bad [/x] thing \x1b]0;title\x07")

    ring.on_connect = fail
    app = make_app(ring)
    async with app.run_test(size=(80, 24)) as pilot:
        await Screen(app, pilot).wait(lambda: app.return_code is not None, "the end")
    assert app.return_code == 70
    error = " ".join(capsys.readouterr().err.split())
    assert error.startswith("director-tui: a fault of director-tui itself: RuntimeError in link/ring.py line ")
    assert "please report it" in error
    assert "with --log FILE there is more to report" in error
    assert "bad [/x] thing" not in error  # there could be a secret in it
    assert "\x1b" not in error


async def test_a_configuration_error_while_opening_has_its_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    ring = FakeRing(directors=("ops@dir1",))

    async def open_ring(cluster: object, ask: object) -> link_ring.Ring:
        raise UsageError("dir[1]: that is no host", "write [another]")

    app = make_app(ring, open_ring=open_ring)
    async with app.run_test(size=(80, 24)) as pilot:
        await Screen(app, pilot).wait(lambda: app.return_code is not None, "the end")
    assert app.return_code == 2
    assert "director-tui: dir[1]: that is no host\nwrite [another]" in capsys.readouterr().err
