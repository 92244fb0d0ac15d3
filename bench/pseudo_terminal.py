"""A program on a pseudo-terminal, and a clock on what it writes there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

COLUMNS: Final = 120
LINES: Final = 40
LIMIT_S: Final = 60.0
KEPT: Final = 20_000
"""How much of what a program wrote is kept for a message when it is only waited for."""
TERMINAL: Final = {"TERM": "xterm-256color", "COLORTERM": "truecolor"}


class PseudoTerminal:
    """Runs a program on a terminal of 120 x 40, between `with PseudoTerminal(words) as terminal:` and its end."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str] | None = None, *, folder: Path | None = None
    ) -> None:
        self._folder = folder
        self._words = list(words)
        self._environment = {**os.environ, **TERMINAL, **(environment or {})}
        self._written = bytearray()

    def __enter__(self) -> Self:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self._began_s = time.perf_counter()
        self._program = subprocess.Popen(
            self._words,
            cwd=self._folder,
            env=self._environment,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._program.poll() is None:
            self._program.terminate()
        with contextlib.suppress(TimeoutError):
            self.wait_for_end(10)
        if self._program.poll() is None:
            self._program.kill()
        self._program.wait()
        os.close(self._master)

    @property
    def written(self) -> bytes:
        """What the program has written since the last key, or since it was left alone."""
        return bytes(self._written)

    @property
    def pid(self) -> int:
        return self._program.pid

    def wait_for(self, *patterns: bytes, limit_s: float = LIMIT_S) -> float:
        """Seconds from the program's start until it has written all of this (regular expressions), in any order."""
        missing = [re.compile(pattern) for pattern in patterns]
        ends_s = time.perf_counter() + limit_s
        while missing := [each for each in missing if not each.search(self._written)]:
            if not self._read(ends_s):
                raise TimeoutError(f"{self._words} never wrote {missing}: {bytes(self._written[-2000:])!r}")
        return time.perf_counter() - self._began_s

    def wait_for_end(self, limit_s: float = LIMIT_S) -> None:
        """Until the program has ended; whatever it still writes is read, or it could never end."""
        ends_s = time.perf_counter() + limit_s
        while self._program.poll() is None:
            if time.perf_counter() > ends_s:
                raise TimeoutError(f"{self._words} does not end: {bytes(self._written[-2000:])!r}")
            self._read(time.perf_counter() + 0.05)
            del self._written[:-KEPT]

    def press(self, keys: bytes, shows: bytes) -> float:
        """Seconds from pressing until the program has written what follows from it (a regular expression)."""
        self._written.clear()
        wanted = re.compile(shows)
        began_s = time.perf_counter()
        os.write(self._master, keys)
        while not wanted.search(self._written):
            if not self._read(began_s + LIMIT_S):
                raise TimeoutError(f"{shows!r} does not follow {keys!r}: {bytes(self._written[-2000:])!r}")
        return time.perf_counter() - began_s

    def leave_alone(self, seconds: float) -> int:
        """Read for so long what the program writes by itself, as a terminal does; how many bytes those are."""
        self._written.clear()
        ends_s = time.perf_counter() + seconds
        while self._read(ends_s):
            pass
        return len(self._written)

    def _read(self, until_s: float) -> bool:
        """Wait for the next output; whether there was any."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, until_s - time.perf_counter()))
        if not ready:
            return False
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:  # the program has closed its end
            time.sleep(max(0.0, min(0.01, until_s - time.perf_counter())))
            return time.perf_counter() < until_s
        self._written += data
        return True
