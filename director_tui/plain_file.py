"""Reading a file that somebody else has named, held up by nothing that lies there: no pipe, no endless device."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def read_plain_file(file: Path, limit: int) -> bytes:
    """A file's content; at the end of symbolic links there may be a plain file only, of at most ``limit`` bytes.

    Raises OSError.
    """
    with open(file, "rb", opener=without_waiting) as opened:
        check_plain(opened.fileno())
        content = opened.read(limit + 1)
    if len(content) > limit:
        raise OSError(0, f"larger than {limit:,} bytes")
    return content


def without_waiting(file: str, flags: int) -> int:
    """A named pipe would be waited for, for ever."""
    return os.open(file, flags | os.O_NONBLOCK)


def check_plain(descriptor: int) -> None:
    """Raises OSError for what is no plain file."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(0, "no plain file")
