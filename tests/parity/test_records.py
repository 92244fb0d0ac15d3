"""Records of stops on a director: the practice ring keeps them as a real shell does."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from director_tui.demo.command import Answer
from director_tui.demo.records import Records
from director_tui.director.record_commands import FILE_LIMIT_BYTES, MOST_FILES, File, fetch, store
from director_tui.errors import MalformedOutput

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from director_tui.director.doveadm import Call

    Run = Callable[[Call[object]], Answer]

LOGIN_SHELLS = ("sh", "bash")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home of ops"
    home.mkdir()
    return home


@pytest.fixture
def real(home: Path) -> Run:
    return lambda call: _by_login_shell("sh", home, call)


def _by_login_shell(shell: str, home: Path, call: Call[object], *, path: str = "") -> Answer:
    """As sshd does it: one line for the login shell. ``path`` stands in front of where programs are found."""
    done = subprocess.run(
        [shell, "-c", shlex.join(call.command(("sh",)))],
        cwd=home,
        env={"HOME": str(home), "PATH": path + os.environ["PATH"]},
        input=call.stdin,
        capture_output=True,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(params=["practice", "real"])
def run(request: pytest.FixtureRequest, home: Path) -> Run:
    records = Records()

    def practice(call: Call[object]) -> Answer:
        answer = records.answer(("sh", *call.words))
        assert answer is not None
        return answer(call.stdin)

    return practice if request.param == "practice" else lambda call: _by_login_shell("sh", home, call)


def test_what_is_stored_is_found_again(run: Run, home: Path) -> None:
    assert run(fetch("~/records", "MARK")) == Answer(0, b"\nMARK end\n", b"", run(fetch("~/r", "M")).delay_s)
    content = b"\nMAR\xff\n\n" * 30_000
    for name, what in (("stop-1.json", content), ("over-1.json", b""), ("recover-1.sh", b"x"), ("stop-1.json", b"new")):
        call = store("~/records", name, what, "token")
        answer = run(call)
        assert (answer.status, answer.stderr) == (0, b"")
        assert call.parse(answer.stdout).path.endswith(f"/records/{name}")
    found = fetch("~/records", "MARK")
    assert found.parse(run(found).stdout) == (File("stop-1.json", b"new"), File("over-1.json", b""))
    run(store("~/records", "stop-2.json", content, "token"))
    assert found.parse(run(found).stdout)[1] == File("stop-2.json", content)


def test_only_the_latest_are_read(run: Run) -> None:
    for number in range(MOST_FILES + 3):
        run(store("~/records", f"stop-{number:03}.json", b"x", "token"))
    call = fetch("~/records", "MARK")
    names = [file.name for file in call.parse(run(call).stdout)]
    assert names == [f"stop-{number:03}.json" for number in range(3, MOST_FILES + 3)]


def test_what_came_in_part_only_is_not_kept(run: Run) -> None:
    call = store("~/records", "stop-1.json", b"whole", "token")
    whole, part = run(call), run(type(call)(call.tool, call.words, call.parse, stdin=b"who"))
    assert (whole.status, part.status, part.stdout, part.stderr) == (0, 73, b"", b"only 3 of 5 bytes are there\n")
    found = fetch("~/records", "MARK")
    assert found.parse(run(found).stdout) == (File("stop-1.json", b"whole"),)


def test_only_so_much_is_read_of_each(run: Run) -> None:
    run(store("~/records", "stop-1.json", b"x" * (FILE_LIMIT_BYTES + 1000), "token"))
    call = fetch("~/records", "MARK")
    assert [len(file.content) for file in call.parse(run(call).stdout)] == [FILE_LIMIT_BYTES + 1]


@pytest.mark.parametrize("stdout", [b"", b"hello\n", b"\nMARK stop-1.json\nx"])
def test_what_is_no_list_of_records_is_not_taken_for_one(stdout: bytes) -> None:
    with pytest.raises(MalformedOutput):
        fetch("~/records", "MARK").parse(stdout)


def test_what_a_login_shell_prints_before_is_passed_over() -> None:
    stored = store("~/records", "stop-1.json", b"x", "token")
    assert stored.parse(b"Welcome!\n\n/home/ops/records/stop-1.json\n").path == "/home/ops/records/stop-1.json"
    with pytest.raises(MalformedOutput, match="Welcome"):
        stored.parse(b"/home\nWelcome!\n")
    files = fetch("~/records", "MARK").parse(b"Welcome!\n\nMARK stop-1.json\nx\nMARK end\n")
    assert files == (File("stop-1.json", b"x"),)


# --- the real shell alone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", LOGIN_SHELLS)
def test_any_login_shell_passes_it_on(shell: str, home: Path) -> None:
    folder = str(home / 'it\'s $HOME `id` "here"')
    stored = _by_login_shell(shell, home, store(folder, "stop-1.json", b"x", "token"))
    assert (stored.status, stored.stderr) == (0, b"")
    call = fetch(folder, "MARK")
    assert call.parse(_by_login_shell(shell, home, call).stdout) == (File("stop-1.json", b"x"),)


def test_no_character_in_it_that_a_csh_would_take_for_its_own() -> None:
    for call in (store("~/records", "stop-1.json", b"", "token"), fetch("~/records", "MARK")):
        assert not set("!'\n") & set(call.words[1])


def test_the_folder_and_the_files_are_the_owners_alone(real: Run, home: Path) -> None:
    real(store("~/a/records", "stop-1.json", b"x", "token"))
    modes = [stat.S_IMODE((home / path).stat().st_mode) for path in ("a", "a/records", "a/records/stop-1.json")]
    assert modes == [0o700, 0o700, 0o600]
    assert [one.name for one in (home / "a/records").iterdir()] == ["stop-1.json"]


def test_a_folder_that_a_group_shares_lets_it_read(real: Run, home: Path) -> None:
    (home / "records").mkdir()
    (home / "records").chmod(0o2770)
    real(store("~/records", "stop-1.json", b"x", "token"))
    assert stat.S_IMODE((home / "records/stop-1.json").stat().st_mode) == 0o640
    assert stat.S_IMODE((home / "records").stat().st_mode) == 0o2770


def test_no_symbolic_link_is_followed(real: Run, home: Path) -> None:
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (home / "records").symlink_to(elsewhere)
    stored, found = real(store("~/records", "stop-1.json", b"x", "token")), real(fetch("~/records", "MARK"))
    assert (stored.status, found.status) == (73, 73)
    assert stored.stderr == found.stderr == f"{home}/records is a symbolic link\n".encode()
    assert not list(elsewhere.iterdir())
    (home / "records").unlink()
    (home / "records").mkdir()
    (elsewhere / "file").write_text("theirs")
    (home / "records/stop-1.json").symlink_to(elsewhere / "file")
    (home / "records/stop-2.json").symlink_to(elsewhere)
    (home / "records/stop-3.json").mkdir()
    os.mkfifo(home / "records/stop-4.json")
    for number in (1, 2, 3):
        stored = real(store("~/records", f"stop-{number}.json", b"x", "token"))
        assert (stored.status, stored.stderr.endswith(b"is no plain file\n")) == (73, True)
    assert real(fetch("~/records", "MARK")).stdout == b"\nMARK end\n"
    assert (elsewhere / "file").read_text() == "theirs"
    assert [one.name for one in elsewhere.iterdir()] == ["file"]


def test_a_folder_to_which_everybody_writes_is_refused(real: Run, home: Path) -> None:
    (home / "records").mkdir()
    (home / "records").chmod(0o777)
    stored = real(store("~/records", "stop-1.json", b"x", "token"))
    assert (stored.status, stored.stderr) == (73, f"everybody may write to {home}/records\n".encode())


def test_a_folder_that_can_not_be_is_said(real: Run, home: Path) -> None:
    (home / "records").write_text("a file")
    stored = real(store("~/records", "stop-1.json", b"x", "token"))
    assert stored.status == 73
    assert b"records" in stored.stderr


def test_a_record_is_on_the_disk_before_it_has_its_name(home: Path, tmp_path: Path) -> None:
    shims, synced = tmp_path / "shims", tmp_path / "synced"
    shims.mkdir()
    (shims / "sync").write_text(f'#!/bin/sh\nls -A . >>{synced}; echo "of $*" >>{synced}\n')
    (shims / "sync").chmod(0o700)
    answer = _by_login_shell("sh", home, store("~/kept", "stop-1.json", b"{}", "abc"), path=f"{shims}:")
    assert answer.status == 0
    assert synced.read_text().splitlines() == [".stop-1.json.abc", "of .stop-1.json.abc", "stop-1.json", "of ."]
