"""The state folder: what this program keeps about a cluster from one run to the next.

``$XDG_STATE_HOME/director-tui/CLUSTER/``, folders for the owner alone (0700), files too (0600). A file is there whole
or not at all, whatever happens while it is written.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from director_tui.errors import StateError
from director_tui.text import clean

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def state_folder(cluster: str) -> Path:
    """Where the state of the cluster of this name is, or would be. Raises StateError if no folder can have the name."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+", cluster) or cluster in {".", ".."}:
        raise StateError(f"no state is kept for {clean(cluster)!r}: that is no name for a folder")
    return _state_home() / "director-tui" / cluster


def read_state(cluster: str, name: str, limit: int) -> bytes | None:
    """The content of one file of the cluster's state, or None if it isn't there.

    Raises StateError if it can't be read, is no plain file, or has more than ``limit`` bytes.
    """
    file = state_folder(cluster) / name
    try:
        return read_plain_file(file, limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(file, "can't be read", error) from None


def write_state(cluster: str, name: str, content: bytes) -> None:
    """Put a file into the cluster's state, or put another in its place. It is on disk when this returns.

    Raises StateError. What was there before is then still there.
    """
    folder = state_folder(cluster)
    file = folder / name
    # Beside it, so that renaming never leaves the file system; of a name that no other run of the program has.
    new = folder / f".{name}.{secrets.token_hex(8)}"
    try:
        _make(folder)
        try:
            _write(new, content)
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)
        _sync_folder(folder)
    except OSError as error:
        raise _failed(file, "can't be written", error) from None


def read_plain_file(file: Path, limit: int) -> bytes:
    """A file's content; at the end of symbolic links there may be a plain file only, of at most ``limit`` bytes.

    Raises OSError.
    """
    with open(file, "rb", opener=_without_waiting) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(0, "no plain file")
        content = opened.read(limit + 1)
    if len(content) > limit:
        raise OSError(0, f"larger than {limit:,} bytes")
    return content


def _without_waiting(file: str, flags: int) -> int:
    """A named pipe would be waited for, for ever."""
    return os.open(file, flags | os.O_NONBLOCK)


def _for_owner(file: str, flags: int) -> int:
    return os.open(file, flags, FILE_MODE)


def _state_home() -> Path:
    """The XDG specification wants a relative path to be ignored."""
    home = os.environ.get("XDG_STATE_HOME", "")
    if home.startswith("/"):
        return Path(home)
    try:
        return Path.home() / ".local" / "state"
    except RuntimeError:
        raise StateError("no state is kept: this account has no home folder", "set XDG_STATE_HOME") from None


def _make(folder: Path) -> None:
    """The cluster's folder and the program's above it, for the owner alone even where they were made by others."""
    folder.parent.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    for own in (folder.parent, folder):
        own.mkdir(mode=FOLDER_MODE, exist_ok=True)
        if stat.S_IMODE(own.stat().st_mode) != FOLDER_MODE:
            own.chmod(FOLDER_MODE)


def _write(file: Path, content: bytes) -> None:
    with open(file, "xb", opener=_for_owner) as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk. Some file systems can't, and then have no need to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _failed(file: Path, what: str, error: OSError) -> StateError:
    remedy = "check its owner and mode, and the room on the disk"
    return StateError(f"{clean(str(file))} {what}: {error.strerror}", remedy)
