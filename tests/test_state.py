"""The state folder: whole files or none, for the owner alone."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from director_tui.errors import StateError
from director_tui.state import read_plain_file, read_state, state_folder, write_state

if TYPE_CHECKING:
    from pathlib import Path


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
