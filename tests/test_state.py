"""The state folder: whole files or none, for the owner alone."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from director_tui import state
from director_tui.errors import StateError
from director_tui.plain_file import read_plain_file
from director_tui.state import (
    Tail,
    append_state,
    keep_state,
    lock_state,
    read_state,
    read_state_tail,
    state_folder,
    state_names,
    write_state,
)
from tests.disk import no_file_larger_than

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
NOBODY = 65534


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    assert read_state("mail-eu", "theme", 100) is None
    write_state("mail-eu", "theme", b"paper\n")
    assert read_state("mail-eu", "theme", 100) == b"paper\n"
    write_state("mail-eu", "theme", b"mono\n")
    assert read_state("mail-eu", "theme", 100) == b"mono\n"
    assert read_state("mail-us", "theme", 100) is None
    assert state_folder("mail-eu") == tmp_path / "own-state" / "director-tui" / "mail-eu"
    assert [file.name for file in state_folder("mail-eu").iterdir()] == ["theme"]


def test_what_is_there_is_listed() -> None:
    assert state_names("mail-eu") == ()
    write_state("mail-eu", "b.json", b"")
    write_state("mail-eu", "a.json", b"")
    assert state_names("mail-eu") == ("a.json", "b.json")
    state_folder("file").write_bytes(b"")
    with pytest.raises(StateError, match="can't be read"):
        state_names("file")


def test_it_is_for_the_owner_alone() -> None:
    before = os.umask(0)
    try:
        write_state("mail-eu", "theme", b"paper\n")
    finally:
        os.umask(before)
    folder = state_folder("mail-eu")
    assert [mode(folder.parent), mode(folder), mode(folder / "theme")] == [0o700, 0o700, 0o600]
    assert mode(folder.parent.parent) & 0o022 == 0


def test_folders_that_were_open_to_others_are_closed() -> None:
    state_folder("mail-eu").mkdir(parents=True, mode=0o755)
    state_folder("mail-eu").parent.chmod(0o755)
    write_state("mail-eu", "theme", b"paper\n")
    assert mode(state_folder("mail-eu")) == mode(state_folder("mail-eu").parent) == 0o700


@pytest.mark.parametrize("home", ["", "relative/state"])
def test_without_a_usable_xdg_state_home(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", home)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_folder("mail-eu") == tmp_path / ".local" / "state" / "director-tui" / "mail-eu"


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../x", "a\n", "a\x1b[31m"])
def test_no_cluster_leads_out_of_the_folder(name: str) -> None:
    with pytest.raises(StateError, match="no name for a folder") as raised:
        state_folder(name)
    assert str(raised.value).isprintable()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "own-state").write_text("a file")
    with pytest.raises(StateError, match=r"mail-eu/theme can't be written: (File exists|Not a directory)"):
        write_state("mail-eu", "theme", b"paper\n")
    with pytest.raises(StateError, match="mail-eu/theme can't be read: Not a directory"):
        read_state("mail-eu", "theme", 100)


def test_what_was_there_survives_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    write_state("mail-eu", "theme", b"paper\n")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StateError, match="No space left on device"):
        write_state("mail-eu", "theme", b"mono\n")
    assert read_state("mail-eu", "theme", 100) == b"paper\n"
    assert [file.name for file in state_folder("mail-eu").iterdir()] == ["theme"]


def test_only_plain_files_of_a_sensible_size_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 11)
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    assert read_plain_file(tmp_path / "link", 11) == b"x" * 11
    for name, limit, fault in (
        ("file", 10, "larger than 10 bytes"),
        ("pipe", 10, "no plain file"),
        ("/dev/zero", 10, "no plain file"),
        (".", 10, "Is a directory"),
        ("none", 10, "No such file"),
    ):
        with pytest.raises(OSError, match=fault):
            read_plain_file(tmp_path / name, limit)


def test_lines_are_added(tmp_path: Path) -> None:
    assert read_state_tail("mail-eu", "log", 100) is None
    append_state("mail-eu", "log", [b"one"])
    append_state("mail-eu", "log", [b"two", b"three"])
    assert read_state_tail("mail-eu", "log", 14) == Tail(b"one\ntwo\nthree\n", whole=True)
    assert read_state_tail("mail-eu", "log", 13) == Tail(b"ne\ntwo\nthree\n", whole=False)
    assert mode(state_folder("mail-eu") / "log") == 0o600
    assert mode(state_folder("mail-eu")) == 0o700


def test_a_line_begins_behind_a_torn_one() -> None:
    write_state("mail-eu", "log", b"one\ntw")
    append_state("mail-eu", "log", [b"three"])
    assert read_state("mail-eu", "log", 100) == b"one\ntw\nthree\n"


def test_lines_are_on_disk_before_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[str, bytes]] = []

    def watched(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        synced.append((Path(name).name, Path(name).read_bytes() if Path(name).is_file() else b""))

    monkeypatch.setattr(os, "fsync", watched)
    append_state("mail-eu", "log", [b"one", b"two"])
    assert synced == [("log", b"one\ntwo\n"), ("mail-eu", b"")]
    append_state("mail-eu", "log", [b"three"])
    assert synced[2:] == [("log", b"one\ntwo\nthree\n")]


@pytest.mark.parametrize("known", [True, False])
def test_what_macos_needs_for_the_disk_itself(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def full(descriptor: int, command: int) -> None:
        asked.append(f"fcntl {command}")
        if not known:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", full)
    monkeypatch.setattr(os, "fsync", lambda descriptor: asked.append("fsync"))
    write_state("mail-eu", "theme", b"paper\n")
    each = ["fcntl 51"] if known else ["fcntl 51", "fsync"]
    assert asked == 2 * each, "the file, and the folder that has its name"


@pytest.mark.parametrize("room", range(0, 12, 3))
@pytest.mark.parametrize("before", [b"one\n", b"one\ntorn", b""])
def test_no_half_line_stays_where_there_is_no_room(room: int, before: bytes) -> None:
    if before:
        write_state("mail-eu", "log", before)
    with (
        no_file_larger_than(len(before) + room),
        pytest.raises(StateError, match=r"mail-eu/log can't be written: File too large") as raised,
    ):
        append_state("mail-eu", "log", [b"two", b"a third line"])
    assert "the room on the disk" in raised.value.remedy
    assert read_state("mail-eu", "log", 100) == before


def test_lines_that_did_not_reach_the_disk_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    append_state("mail-eu", "log", [b"one"])

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(StateError, match="Input/output error"):
        append_state("mail-eu", "log", [b"two"])
    assert read_state("mail-eu", "log", 100) == b"one\n"


@pytest.fixture
def read_only_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for state in which nothing can be made: not by root either, who is somebody else meanwhile."""
    with tempfile.TemporaryDirectory() as name:
        monkeypatch.setenv("XDG_STATE_HOME", name)
        home = Path(name)
        home.chmod(0o555)
        was = os.geteuid()
        if was == 0:
            os.seteuid(NOBODY)
        try:
            yield home
        finally:
            os.seteuid(was)
            home.chmod(0o755)


def test_a_folder_that_may_only_be_read_is_a_sentence(read_only_home: Path) -> None:
    with pytest.raises(StateError, match="mail-eu/log can't be written: Permission denied"):
        append_state("mail-eu", "log", [b"one"])
    with pytest.raises(StateError, match="mail-eu/lock can't be locked: Permission denied"):
        lock_state("mail-eu", "lock")
    with pytest.raises(StateError, match="mail-eu/key can't be written: Permission denied"):
        keep_state("mail-eu", "key", b"one", 10)
    assert list(read_only_home.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "full", "folder"])
def test_lines_go_into_a_plain_file_only(kind: str) -> None:
    write_state("mail-eu", "theme", b"paper\n")
    file = state_folder("mail-eu") / "log"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "full":
        file.symlink_to("/dev/full")
    else:
        file.mkdir()
    with pytest.raises(StateError, match=r"can't be written: (no plain file|Is a directory|Illegal seek)"):
        append_state("mail-eu", "log", [b"one"])
    with pytest.raises(StateError, match=r"can't be read: (no plain file|Is a directory)"):
        read_state_tail("mail-eu", "log", 100)
    with pytest.raises(StateError, match=r"can't be locked: (no plain file|Is a directory)"):
        lock_state("mail-eu", "log")


def test_another_program_that_is_appending_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    append_state("mail-eu", "log", [b"one"])
    other = os.open(state_folder("mail-eu") / "log", os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            fcntl.flock(other, fcntl.LOCK_UN)

    monkeypatch.setattr(time, "sleep", pause)
    try:
        append_state("mail-eu", "log", [b"two"])
        assert len(waited) == 3
        assert read_state("mail-eu", "log", 100) == b"one\ntwo\n"
        fcntl.flock(other, fcntl.LOCK_EX)
        monkeypatch.setattr(state, "APPEND_WAIT_S", 0.0)
        with pytest.raises(StateError, match="another program has been writing to it for"):
            append_state("mail-eu", "log", [b"three"])
        assert read_state("mail-eu", "log", 100) == b"one\ntwo\n"
    finally:
        os.close(other)


APPEND = """
import sys
from director_tui.state import append_state
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    append_state("mail-eu", "log", [f"{sys.argv[1]} {number} ".encode() + b"x" * 10_000])
"""


def test_two_programs_append_at_once() -> None:
    each = 60
    programs = [
        subprocess.Popen([sys.executable, "-c", APPEND, name, str(each)], cwd=ROOT, stdin=subprocess.PIPE)
        for name in ("a", "b")
    ]
    for program in programs:
        assert program.stdin is not None
        program.stdin.write(b"go\n")
        program.stdin.close()
    assert [program.wait(60) for program in programs] == [0, 0]
    tail = read_state_tail("mail-eu", "log", 10**8)
    assert tail is not None
    lines = tail.content.decode().splitlines()
    for name in ("a", "b"):
        own = [line for line in lines if line.startswith(name)]
        assert own == [f"{name} {number} {'x' * 10_000}" for number in range(each)]
    assert len(lines) == 2 * each


def test_a_lock_is_held_once() -> None:
    held = lock_state("mail-eu", "lock")
    assert held is not None
    assert lock_state("mail-eu", "lock") is None
    elsewhere = lock_state("mail-us", "lock")
    assert elsewhere is not None
    os.close(elsewhere)
    os.close(held)
    again = lock_state("mail-eu", "lock")
    assert again is not None
    os.close(again)
    assert mode(state_folder("mail-eu") / "lock") == 0o600


def test_a_file_system_that_knows_no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(StateError, match="can't be locked: No locks available") as raised:
        lock_state("mail-eu", "lock")
    assert raised.value.remedy == "keep the state on a file system of this machine: set XDG_STATE_HOME"
    with pytest.raises(StateError, match="can't be written: No locks available"):
        append_state("mail-eu", "log", [b"one"])


def test_who_comes_first_decides_what_is_kept() -> None:
    assert keep_state("mail-eu", "key", b"one", 10) == b"one"
    assert keep_state("mail-eu", "key", b"two", 10) == b"one"
    assert [file.name for file in state_folder("mail-eu").iterdir()] == ["key"]
    assert mode(state_folder("mail-eu") / "key") == 0o600
