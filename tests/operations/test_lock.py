"""One changing operation at a time, whichever program runs it and however that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from director_tui.errors import OperationRefused, StateError
from director_tui.operations.lock import operation_lock
from director_tui.state import state_folder, write_state

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TITLE = "Set vhost count of 10.1.0.3 to 0"

HOLD = """
import sys
from datetime import UTC, datetime
from director_tui.operations.lock import operation_lock
with operation_lock("mail-eu", sys.argv[1], datetime.now(UTC)):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another_program(title: str = TITLE) -> Iterator[subprocess.Popen[bytes]]:
    """One that holds the lock, until a line is written to it."""
    command = [sys.executable, "-c", HOLD, title]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stdout.readline() == b"held\n"
        try:
            yield program
        finally:
            program.kill()


def refusal() -> OperationRefused:
    with pytest.raises(OperationRefused) as caught, operation_lock("mail-eu", "Flush all", datetime.now(UTC)):
        pytest.fail("it went on")
    return caught.value


def test_a_second_operation_is_refused_and_told_who_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ops")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    before = datetime.now(UTC)
    with another_program() as program:
        error = refusal()
        after = datetime.now(UTC)
        assert (str(error), error.exit_status) in [
            (
                f"mail-eu: another director-tui (pid {program.pid}, {_user()} (sudo by ops), since {time:%H:%M} UTC)"
                f" is at work: {TITLE}",
                2,
            )
            for time in (before, after)
        ]
        assert error.remedy == "one operation at a time: wait for its end, then plan again"
        with operation_lock("mail-us", "another ring", datetime.now(UTC)):
            pass


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def test_the_next_one_runs_when_it_has_ended() -> None:
    with another_program() as program:
        program.communicate(b"\n")
        assert program.returncode == 0
        with operation_lock("mail-eu", TITLE, datetime.now(UTC)):
            assert str(refusal()) == f"mail-eu: this director-tui is at work: {TITLE}"
        with operation_lock("mail-eu", TITLE, datetime.now(UTC)):
            pass


def test_the_kernel_lets_go_of_it_when_the_program_is_killed() -> None:
    with another_program() as program:
        refusal()
        program.send_signal(signal.SIGKILL)
        assert program.wait(60) == -signal.SIGKILL
        with operation_lock("mail-eu", TITLE, datetime.now(UTC)):
            pass


def test_a_failed_operation_lets_go_of_it() -> None:
    with pytest.raises(RuntimeError), operation_lock("mail-eu", TITLE, datetime.now(UTC)):
        raise RuntimeError
    with operation_lock("mail-eu", TITLE, datetime.now(UTC)):
        pass
    assert (state_folder("mail-eu") / "operation.lock").read_bytes() == b""


def test_a_program_that_it_starts_does_not_keep_it() -> None:
    with operation_lock("mail-eu", TITLE, datetime.now(UTC)):
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False)
    try:
        with operation_lock("mail-eu", TITLE, datetime.now(UTC)):
            pass
    finally:
        child.communicate(b"")


@pytest.mark.parametrize(
    "holder",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 4000,
        b'{"pid": 1e400, "host": "h", "who": "w", "since": "2026-11-24T21:40:00Z", "what": "x"}',
        b'{"pid": 1, "host": 1, "who": "w", "since": "2026-11-24T21:40:00Z", "what": "x"}',
        b'{"pid": 1, "host": "h", "who": "w", "since": "soon", "what": "x"}',
        b"x" * 5000,
    ],
)
def test_what_a_holder_says_need_not_be_understood(holder: bytes) -> None:
    with another_program():
        (state_folder("mail-eu") / "operation.lock").write_bytes(holder)
        assert str(refusal()) == "mail-eu: another director-tui is at work"


def test_a_holder_elsewhere_since_yesterday_with_evil_words() -> None:
    evil = "\x1b[31m\u202e"
    yesterday = datetime.now(UTC) - timedelta(days=1)
    holder = {"pid": 7, "host": f"h{evil}", "who": evil, "since": yesterday.isoformat(), "what": evil}
    with another_program():
        (state_folder("mail-eu") / "operation.lock").write_text(json.dumps(holder))
        said = str(refusal())
    assert said.isprintable()
    assert said.startswith("mail-eu: another director-tui (pid 7 on h")
    assert f", since {yesterday:%Y-%m-%d %H:%M} UTC) is at work: " in said


def test_a_disk_without_room_for_words_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with operation_lock("mail-eu", TITLE, datetime.now(UTC)):
        assert str(refusal()) == "mail-eu: another director-tui is at work"


def test_a_state_folder_that_can_not_be_used(tmp_path: Path) -> None:
    (tmp_path / "own-state").write_text("a file")
    with (
        pytest.raises(StateError, match=r"operation\.lock can't be locked: "),
        operation_lock("mail-eu", TITLE, datetime.now(UTC)),
    ):
        pytest.fail("it went on")


def test_a_lock_that_is_no_plain_file() -> None:
    write_state("mail-eu", "theme", b"paper\n")
    os.mkfifo(state_folder("mail-eu") / "operation.lock")
    with (
        pytest.raises(StateError, match=r"operation\.lock can't be locked: no plain file"),
        operation_lock("mail-eu", TITLE, datetime.now(UTC)),
    ):
        pytest.fail("it went on")
