"""One-shot commands that ask, in a real terminal: what is typed, what interrupts it, and what is left after it."""

from __future__ import annotations

import asyncio
import errno
import os
import shlex
import shutil
import signal
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from director_tui import terminal as terminals
from director_tui.link.questions import Question
from tests.link.ssh_setup import host_block, write_config
from tests.ring.processes import wait_until
from tests.ring.sshd import make_key
from tests.ring.terminal import GONE, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.ring.fixtures import MakeSshd
    from tests.ring.real import RealRing
    from tests.ring.sshd import Sshd

pytestmark = pytest.mark.real_ring

PASSPHRASE = "open-sesame"
PROMPT = "Passphrase for "


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    opened = Terminal(tmp_path_factory.mktemp("t"))
    yield opened
    opened.end()


@pytest.fixture
def status(make_sshd: MakeSshd, real_sshds: list[Sshd], real_ring: RealRing, tmp_path: Path) -> Status:
    return Status(make_sshd, real_sshds[0], real_ring.directors[0].doveadm_words, tmp_path)


class Status:
    """``director-tui status`` of a director behind a key with a passphrase: ``locked``; ``open`` lets everybody in."""

    def __init__(self, make_sshd: MakeSshd, unlocked: Sshd, doveadm: str, folder: Path) -> None:
        locked = make_sshd("locked", make_key(folder / "key", PASSPHRASE))
        config = write_config(folder / "config", [host_block(locked), host_block(unlocked, name="open")])
        ssh = folder / "bin" / "ssh"  # so that no setting of whoever runs the tests plays a part
        ssh.parent.mkdir()
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {shlex.quote(str(config))} "$@"\n')
        ssh.chmod(0o755)
        self.pid_file = folder / "pid"
        self._doveadm = doveadm
        self._environment = {"PATH": f"{ssh.parent}:{os.environ['PATH']}"}

    def words(
        self,
        *directors: str,
        program: Sequence[str] = (sys.executable, "-m", "director_tui"),
        more: Sequence[str] = (),
    ) -> list[str]:
        named = [word for one in directors for word in ("-d", one)]
        program = [*program, *named, "--doveadm", self._doveadm, *more, "status"]
        return ["sh", "-c", f"ulimit -c 0; echo $$ > {shlex.quote(str(self.pid_file))}; exec {shlex.join(program)}"]

    def start(self, terminal: Terminal, words: list[str]) -> None:
        terminal.start(words, 110, 30, **self._environment)
        terminal.wait_for(PROMPT)
        assert not terminal.echoes


def ends(terminal: Terminal, status: int) -> None:
    """It ends with this exit status; and then the terminal shows what is typed, and has kept nothing of before."""
    terminal.wait_for(f"{GONE} {status}")
    assert terminal.echoes
    assert not any(PROMPT in line and GONE in line for line in terminal.lines())
    terminal.press("some more", "Enter")
    assert wait_until(lambda: terminal.lines().count("some more") == 2, 10), terminal.lines()  # typed, and cat's
    assert not terminal.shows("sesame")
    assert not terminal.shows("Traceback")


def test_an_answer_is_not_shown_and_not_kept(terminal: Terminal, status: Status, tmp_path: Path) -> None:
    log = tmp_path / "log"
    status.start(terminal, status.words("locked", more=["--log", str(log), "--log-level", "debug"]))
    terminal.press("open-sesame, I think", "Enter")
    terminal.wait_for("That was not it.")
    terminal.press(PASSPHRASE, "Enter")
    terminal.wait_for("ring 3/3 synced", "127.0.1.8")
    ends(terminal, 0)
    assert "doveadm director status: " in log.read_text()
    assert [file for file in tmp_path.rglob("*") if file.is_file() and b"sesame" in file.read_bytes()] == []


@pytest.mark.parametrize("typed", [[], ["open-sesame"]])
def test_ctrl_c_ends_it_at_once(terminal: Terminal, status: Status, typed: list[str]) -> None:
    status.start(terminal, status.words("locked"))
    terminal.press(*typed, "C-c")
    ends(terminal, 130)


def test_ctrl_c_ends_the_installed_program_as_well(terminal: Terminal, status: Status) -> None:
    status.start(terminal, status.words("locked", program=[str(Path(sys.executable).with_name("director-tui"))]))
    terminal.press("C-c")
    ends(terminal, 130)


def test_ctrl_d_declines(terminal: Terminal, status: Status) -> None:
    status.start(terminal, status.words("locked"))
    terminal.press("C-d")
    terminal.wait_for("locked: login as ", "/key was not unlocked")
    ends(terminal, 3)


def test_a_question_that_is_given_up_holds_nothing(terminal: Terminal, status: Status) -> None:
    status.start(terminal, status.words("locked", "open"))  # the second answers while the first one asks
    terminal.press("open-sesame")
    terminal.wait_for("open  ", "ring 3/3 synced", "127.0.1.8")
    ends(terminal, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_leaves_the_terminal_as_it_was(terminal: Terminal, status: Status, number: signal.Signals) -> None:
    status.start(terminal, status.words("locked"))
    terminal.press("open-sesame")
    os.kill(int(status.pid_file.read_text()), number)
    ends(terminal, 128 + number)


def test_ctrl_z_and_on_again(terminal: Terminal, status: Status) -> None:
    jobs = f"{shlex.join(status.words('locked'))}; echo it stands; read go_on; fg; exit $?"
    status.start(terminal, ["sh", "-m", "-c", jobs])
    terminal.press("open-sesame", "C-z")
    terminal.wait_for("it stands")
    assert terminal.echoes
    terminal.press("Enter")
    assert wait_until(lambda: not terminal.echoes, 10)
    terminal.wait_for(PROMPT)
    terminal.press(PASSPHRASE, "Enter")
    terminal.wait_for("ring 3/3 synced", "127.0.1.8")
    ends(terminal, 0)


def test_what_is_no_secret_is_shown_while_it_is_typed(terminal: Terminal) -> None:
    script = """
import asyncio
from director_tui.link.questions import Question
from director_tui.terminal import ask
print("heard", asyncio.run(ask(Question("ops@dir1", "Code from the card:", secret=False))))
"""
    terminal.start([sys.executable, "-c", script], 80, 24)
    terminal.wait_for("ops@dir1: Code from the card:")
    assert terminal.echoes
    terminal.press("12 34\N{SNOWMAN}", "Enter")
    terminal.wait_for(f"{GONE} 0")
    assert terminal.lines()[:3] == [
        "ops@dir1: Code from the card: 12 34\N{SNOWMAN}",
        "heard 12 34\N{SNOWMAN}",
        f"{GONE} 0",
    ]


async def test_a_terminal_that_can_not_be_read_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a background that nobody can bring back to the front."""
    ours, theirs = os.openpty()

    def fail(descriptor: int, length: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(terminals, "TERMINAL", os.ttyname(theirs))
    asking = asyncio.create_task(terminals.ask(Question("dir1", "Password:", secret=True)))
    assert (await asyncio.to_thread(os.read, ours, 100)).startswith(b"dir1: Password:")
    monkeypatch.setattr(os, "read", fail)
    os.write(ours, b"secret\n")
    assert await asking is None
    monkeypatch.undo()
    said = capsys.readouterr().err
    assert said == f"director-tui: nobody can be asked at {os.ttyname(theirs)}: Input/output error\n"
    assert termios.tcgetattr(theirs)[3] & termios.ECHO
    os.close(ours)
    os.close(theirs)
