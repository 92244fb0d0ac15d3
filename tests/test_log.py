"""The log: only if asked for, a line for each event, nothing in it that not everybody may see, and never in the way."""

from __future__ import annotations

import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from director_tui.cli import main
from director_tui.director import doveadm
from director_tui.errors import (
    AuthenticationFailed,
    DirectorTuiError,
    DoveadmError,
    MalformedOutput,
    RingUnreadable,
    ShellRefused,
    Unreachable,
    UsageError,
)
from director_tui.link.ring import Ring
from director_tui.log import LOG, Troubles, open_log, without_output
from director_tui.operations.plan import Request, Verb
from tests.disk import no_file_larger_than
from tests.operations.fakes import IPS, bench
from tests.ui.fakes import FakeReply, FakeRing, cluster, dashboard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
LINE = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) +\S.*")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """Where to log; afterwards nothing is logged any more."""
    loggers = (LOG, logging.getLogger("asyncio"))
    before = [(one, one.level, list(one.handlers)) for one in loggers]
    yield tmp_path / "log"
    added = {handler for one, _, handlers in before for handler in one.handlers if handler not in handlers}
    for one, level, handlers in before:
        one.setLevel(level)
        one.handlers[:] = handlers
    for handler in added:
        handler.close()


def lines(file: Path) -> list[str]:
    found = file.read_text().splitlines()
    assert all(LINE.fullmatch(line) for line in found), found
    return [line.partition("Z ")[2] for line in found]


def test_it_is_for_its_owner_alone_and_grows(file: Path) -> None:
    open_log(file, "info")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    LOG.info("one")
    LOG.debug("not at this level")
    LOG.warning("two\nlines, \x1b[2J")
    assert lines(file)[1:] == [
        "info    one",
        "warning two\ufffdlines, \ufffd[2J",
    ]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda folder: folder, "Is a directory"),
        (lambda folder: folder / "no" / "log", "No such file or directory"),
        (lambda folder: Path("/dev/zero"), "no plain file"),
        (lambda folder: Path("/proc/self/nothing"), "can't be opened"),
        (lambda folder: Path("a\0b"), "is no name for a file"),
        (lambda folder: folder / ("x" * 300), "File name too long"),
    ],
)
def test_what_can_not_be_opened_is_a_sentence(make: Callable[[Path], Path], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        open_log(make(tmp_path), "info")
    assert str(caught.value).startswith("--log: ")
    assert str(caught.value).isprintable()


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="can't be opened"):
        open_log(tmp_path / "pipe", "info")


def test_the_program_says_so_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "-d", "dir1", "--log", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"director-tui: --log: {tmp_path} can't be opened: Is a directory\n")
    assert main(["--log-level", "debug", "journal", "-d", "dir1"]) == 2
    assert "--log-level needs --log FILE" in capsys.readouterr().err


def test_a_disk_that_is_full_is_not_in_the_way(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_log(file, "info")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    LOG.warning("lost")
    monkeypatch.undo()
    LOG.warning("kept")
    assert [line for line in lines(file) if "begins" not in line] == ["warning kept"]


def test_a_line_begins_behind_one_for_which_there_was_no_room(file: Path) -> None:
    open_log(file, "info")
    with no_file_larger_than(file.stat().st_size + 30):
        LOG.warning("torn: there was not enough room for it")
        LOG.warning("lost")
    LOG.warning("kept")
    LOG.warning("kept, too")
    torn, *after = file.read_text().splitlines()[1:]
    assert len(torn) == 30
    assert [line.partition(" warning ")[2] for line in after] == ["kept", "kept, too"]


def test_without_the_option_nothing_is_logged_anywhere() -> None:
    code = "from director_tui.log import LOG; LOG.error('x'); LOG.info('y')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("dir1: connection refused", "is sshd running?"), "dir1: connection refused"),
        (DoveadmError("dir1: doveadm: User joe not found", status=67, stderr="joe"), "DoveadmError, exit status 67"),
        (MalformedOutput("it begins with “joe”"), "MalformedOutput"),
        (ShellRefused("it began with Welcome joe"), "ShellRefused"),
        (
            RingUnreadable({"a": Unreachable("a: refused"), "b": MalformedOutput("b: “joe”")}),
            "a: refused; MalformedOutput",
        ),
    ],
)
def test_what_was_printed_over_there_is_no_part_of_it(error: DirectorTuiError, said: str) -> None:
    assert without_output(error) == said


def test_what_goes_on_failing_is_said_once(file: Path) -> None:
    open_log(file, "info")
    troubles = Troubles()
    for _ in range(100):
        troubles.failed("dir1: connection", Unreachable("dir1: refused"))
    troubles.failed("dir1: connection", Unreachable("dir1: no route"))
    troubles.went_well("dir1: connection")
    troubles.went_well("dir1: connection")
    troubles.failed("dir1: connection", Unreachable("dir1: no route"))
    assert lines(file)[1:] == [
        "warning dir1: connection: failed: dir1: refused",
        "warning dir1: connection: failed: dir1: no route",
        "info    dir1: connection: works again",
        "warning dir1: connection: failed: dir1: no route",
    ]


def test_an_exception_that_nobody_waited_for_has_its_place_and_no_values(file: Path) -> None:
    open_log(file, "warning")
    try:
        doveadm.update("secret", 0)
    except ValueError as error:
        logging.getLogger("asyncio").error(
            "Task exception was never retrieved\nfuture: <Task exception=ValueError('secret')>", exc_info=error
        )
    (line,) = lines(file)
    assert line.startswith("error   asyncio: Task exception was never retrieved: a fault of director-tui itself: ")
    assert "ValueError" in line or "AddressValueError" in line
    assert "secret" not in line


# Whatever of a program that runs in the background fails has a secret: among its arguments, and in what it waited for.
IN_THE_BACKGROUND = """
import asyncio, gc, sys
from pathlib import Path
from director_tui.log import open_log

class Login:
    def answered(self, password):
        raise ValueError(password)

async def log_in(password):
    raise KeyError(password)

async def main():
    loop = asyncio.get_running_loop()
    loop.call_soon(Login().answered, "hunter2")
    asking = loop.create_future()
    asking.add_done_callback(Login().answered)
    asking.set_result("hunter2")
    task = asyncio.create_task(log_in("hunter2"))
    await asyncio.wait([task])

if sys.argv[1:]:
    open_log(Path(sys.argv[1]), "debug")
asyncio.run(main())
gc.collect()
"""


def test_what_fails_in_the_background_is_told_to_the_log_alone_and_without_its_values(tmp_path: Path) -> None:
    for words in ([], [str(tmp_path / "log")]):
        program = [sys.executable, "-c", IN_THE_BACKGROUND, *words]
        done = subprocess.run(program, cwd=ROOT, capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")
    said = [line.partition(" outside its own code")[0] for line in lines(tmp_path / "log")[1:]]
    fault = "a fault of director-tui itself"
    assert said == [
        f"error   asyncio: Exception in callback Login.answered: {fault}: ValueError",
        f"error   asyncio: Exception in callback Login.answered: {fault}: ValueError",
        f"error   asyncio: Task exception was never retrieved: {fault}: KeyError",
    ]
    assert "hunter2" not in (tmp_path / "log").read_text()


async def test_each_command_has_its_time_at_debug_and_no_user_in_it(file: Path) -> None:
    open_log(file, "debug")
    ring = FakeRing()
    opened = Ring(cluster(ring), ring)  # type: ignore[arg-type]
    await opened.links[0].call(doveadm.user_hash("joe@example.com"))
    ring.failing[(ring.directors[0], "map")] = FakeReply(67, b"", b"doveadm(joe): Error: no joe here\n")
    ring.refuse = {ring.directors[1]: AuthenticationFailed("dir2: refused")}
    with pytest.raises(DirectorTuiError):
        await opened.links[0].call(doveadm.user_hash("joe@example.com"))
    with pytest.raises(DirectorTuiError):
        await opened.links[1].call(doveadm.status())
    assert not [line for line in lines(file) if "joe" in line]
    name = ring.directors[0]
    assert [re.sub(r"\d+\.\d\d s", "T", line) for line in lines(file)[1:]] == [
        f"info    {name}: connected in T",
        f"debug   {name}: doveadm director map: 16 bytes in 14 ms",
        f"warning {name}: doveadm director map: failed: DoveadmError, exit status 67",
        f"warning {ring.directors[1]}: connection: failed: dir2: refused",
    ]


async def test_a_ring_that_is_gone_for_long_leaves_few_lines(file: Path) -> None:
    open_log(file, "info")
    ring = FakeRing()
    async with dashboard(ring) as screen:
        ring.break_down(Unreachable("nobody there"))
        await screen.until("RECONNECTING")
        for _ in range(5):
            await screen.press("r")  # each time every director is tried again
            await screen.until("nobody there")
        ring.refuse.clear()
        await screen.press("r")
        await screen.until("● LIVE")
    said = lines(file)
    assert sum("no director answers" in line for line in said) == 1
    assert sum("failed: nobody there" in line for line in said) == len(ring.directors)
    assert sum("live by" in line for line in said) == 2
    assert len(said) < 30, said


async def test_an_operation_is_followed_without_the_user_it_is_about(file: Path) -> None:
    open_log(file, "info")
    async with bench() as made:
        made.directors.sessions = {"d1": [("jane", IPS[0])]}
        ended = await made.run(Request(Verb.KICK, user="jane"), "jane asked for it")
    assert made.sent == ["kick -- jane"]
    said = [re.sub(r"\d+\.\d\d s", "T", line) for line in lines(file) if "operation" in line]
    assert said == [
        f"info    operation {ended.id}: begins, kick by 1 commands",
        f"info    operation {ended.id}: command 1, doveadm director kick: exit status 0 in T",
        f"info    operation {ended.id}: applied",
    ]
    assert not [line for line in lines(file) if "jane" in line]
