"""The state folder: what this program keeps about a cluster from one run to the next.

``$XDG_STATE_HOME/director-tui/CLUSTER/``, folders for the owner alone (0700), files too (0600). A file is there whole
or not at all, whatever happens while it is written; of one that grows by lines each line is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from director_tui.errors import StateError
from director_tui.plain_file import check_plain, read_plain_file, without_waiting
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

APPEND_WAIT_S: Final = 5.0
"""How long another program may take to append before this one gives up: it takes milliseconds."""
APPEND_PAUSE_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a file; ``whole`` says that it is all of it. Where it isn't, the first line may lack its beginning."""

    content: bytes
    whole: bool


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


def state_names(cluster: str) -> tuple[str, ...]:
    """The names of what is in the cluster's state, in their order; nothing if there is none. Raises StateError."""
    folder = state_folder(cluster)
    try:
        return tuple(sorted(os.listdir(folder)))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _failed(folder, "can't be read", error) from None


def write_state(cluster: str, name: str, content: bytes) -> None:
    """Put a file into the cluster's state, or put another in its place. It is on disk when this returns.

    Raises StateError. What was there before is then still there.
    """
    folder = state_folder(cluster)
    file = folder / name
    # Beside it, so that renaming never leaves the file system; of a name that no other run of the program has.
    new = folder / f".{name}.{os.urandom(8).hex()}"
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


def keep_state(cluster: str, name: str, content: bytes, limit: int) -> bytes:
    """Put a file into the cluster's state unless it is there, and return what is there then: whoever comes first, wins.

    Raises StateError, as :func:`read_state` and :func:`write_state` do.
    """
    folder = state_folder(cluster)
    file = folder / name
    new = folder / f".{name}.{os.urandom(8).hex()}"
    try:
        _make(folder)
        try:
            _write(new, content)
            with suppress(FileExistsError):
                os.link(new, file)
        finally:
            new.unlink(missing_ok=True)
        _sync_folder(folder)
        return read_plain_file(file, limit)
    except OSError as error:
        raise _failed(file, "can't be written", error) from None


def append_state(
    cluster: str,
    name: str,
    lines: Iterable[bytes],
    *,
    left: Callable[[Tail], Iterable[bytes]] | None = None,
    limit: int = 0,
) -> None:
    """Add lines, given without their ends, to a file of the cluster's state. They are on disk when this returns.

    Several programs may do it at once. ``left`` says which of the lines are left to be added, by the last ``limit``
    bytes of the file; nobody else adds any meanwhile. Behind a line that was torn a new one begins. Raises StateError;
    none of these lines is in the file then, as far as the disk lets them be taken back.
    """
    folder = state_folder(cluster)
    file = folder / name
    try:
        _make(folder)
        with open(file, "ab+", buffering=0, opener=_for_owner) as opened:
            descriptor = opened.fileno()
            check_plain(descriptor)
            _wait_for_turn(descriptor)
            end = os.fstat(descriptor).st_size
            torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
            if left is not None:
                lines = left(Tail(os.pread(descriptor, limit, max(0, end - limit)), whole=end <= limit))
            try:
                if torn:
                    _append(descriptor, b"\n")
                for line in lines:
                    _append(descriptor, line + b"\n")
                _to_disk(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, end)
                raise
        if not end:
            _sync_folder(folder)
    except OSError as error:
        raise _failed(file, "can't be written", error) from None


def read_state_tail(cluster: str, name: str, limit: int) -> Tail | None:
    """The last ``limit`` bytes of one file of the cluster's state, or None if it isn't there. Raises StateError."""
    file = state_folder(cluster) / name
    try:
        with open(file, "rb", opener=without_waiting) as opened:
            check_plain(opened.fileno())
            size = os.fstat(opened.fileno()).st_size
            opened.seek(max(0, size - limit))
            return Tail(opened.read(limit), whole=size <= limit)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _failed(file, "can't be read", error) from None


def lock_state(cluster: str, name: str) -> int | None:
    """Lock a file of the cluster's state, which is made for this, and return its descriptor; closing that unlocks it,
    and so does the end of the program, whatever ends it. None if another one has it locked.

    Raises StateError.
    """
    folder = state_folder(cluster)
    file = folder / name
    try:
        _make(folder)
        descriptor = _for_owner(str(file), os.O_RDWR | os.O_CREAT)
        try:
            check_plain(descriptor)
            if _locked(descriptor):
                return descriptor
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    except OSError as error:
        raise _failed(file, "can't be locked", error) from None
    return None


def _to_disk(descriptor: int) -> None:
    """See what was written to the disk itself. What macOS calls fsync leaves it in the disk's own memory."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:  # a file system that doesn't know it
            os.fsync(descriptor)
    else:
        os.fsync(descriptor)


def _for_owner(file: str, flags: int) -> int:
    return os.open(file, flags | os.O_NONBLOCK, FILE_MODE)


def _locked(descriptor: int) -> bool:
    """Lock it, unless another program has. The kernel lets go of it when the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
            return False
        raise
    return True


def _wait_for_turn(descriptor: int) -> None:
    """Only whoever appends alone can take back half a line. Somebody who was stopped at it must not stop us, too."""
    deadline_s = time.monotonic() + APPEND_WAIT_S
    while not _locked(descriptor):
        if time.monotonic() > deadline_s:
            raise OSError(0, f"another program has been writing to it for {APPEND_WAIT_S:g} s")
        time.sleep(APPEND_PAUSE_S)


def _append(descriptor: int, line: bytes) -> None:
    """In one write, so that nobody reads half a line as long as there is room on the disk; the second says why not."""
    while line:
        line = line[os.write(descriptor, line) :]


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
        _to_disk(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk. Some file systems can't, and then have no need to."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            _to_disk(descriptor)
        finally:
            os.close(descriptor)


def _failed(file: Path, what: str, error: OSError) -> StateError:
    if error.errno in {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}:
        remedy = "keep the state on a file system of this machine: set XDG_STATE_HOME"
    else:
        remedy = "check its owner and mode, and the room on the disk"
    return StateError(f"{clean(str(file))} {what}: {error.strerror}", remedy)
