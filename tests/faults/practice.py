"""The program on its practice ring, in a shell in a terminal: for faults that have nothing to do with a ring."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shlex
import signal
import sys
from typing import TYPE_CHECKING, Final

from tests.faults import asleep
from tests.faults.scene import LIMIT_S
from tests.ring import processes
from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ring.terminal import Terminal

PROMPT: Final = "shell>"
IPS: Final = tuple(f"10.1.0.{number}" for number in range(1, 9))


class Practice:
    """One program. ``clocks`` is what the file of asleep.py is told."""

    def __init__(self, terminal: Terminal, folder: Path) -> None:
        self.terminal: Final = terminal
        self.journal: Final = folder / "director-tui" / "practice" / "journal.jsonl"
        self._folder = folder
        self._log = folder / "log"
        self._clocks = folder / "clocks"

    def open(self) -> None:
        """Returns when all is well."""
        self.clocks()
        options = [
            "demo",
            "--users",
            "2000",
            "--interval",
            "0.5",
            "--speed",
            "10",
            "--log",
            str(self._log),
            "--log-level",
            "debug",
        ]
        program = [sys.executable, asleep.__file__, str(self._clocks), *options]
        settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8", "PS1": PROMPT}
        own = {"XDG_STATE_HOME": str(self._folder), "XDG_CONFIG_HOME": str(self._folder)}
        self.terminal.start(["bash", "--norc", "--noprofile", "-i"], 120, 36, **settings, **own)
        self.sees(PROMPT)
        self.terminal.press(shlex.join(program), "Enter")
        self.is_well()

    @property
    def program_pid(self) -> int:
        """It is the newest process in the terminal."""
        return processes.descendants(self.terminal.pid)[-1].pid

    def clocks(self, *, slept_s: float = 0.0, ahead_s: float = 0.0) -> None:
        new = self._clocks.with_suffix(".new")
        new.write_text(f"{slept_s} {ahead_s}")
        new.replace(self._clocks)

    def sees(self, *texts: str) -> None:
        self.terminal.wait_for(*texts, limit_s=LIMIT_S)

    def is_well(self) -> None:
        """Live, with the whole table, and read once more from now on."""
        self.reads_on()
        self.sees("● LIVE", "ring 3/3 synced", *IPS)

    def reads_on(self, times: int = 1) -> None:
        """It takes so many readings more, whatever becomes of what is drawn."""
        before = self._readings()
        assert wait_until(lambda: self._readings() >= before + times, LIMIT_S), self._log.read_text()[-2000:]

    @property
    def clock(self) -> str:
        """The time of day as the program shows it."""
        found = re.search(r"(\d\d:\d\d:\d\d) UTC", "\n".join(self.terminal.lines()[:1]))
        return found[1] if found else ""

    def _readings(self) -> int:
        return self._log.read_text().count(": doveadm director status") if self._log.exists() else 0

    @contextlib.contextmanager
    def nothing_is_taken(self) -> Iterator[None]:
        """The terminal takes nothing of what is drawn, as in the copy mode of screen."""
        server = self.terminal.server_pid
        os.kill(server, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(server, signal.SIGCONT)

    @contextlib.contextmanager
    def disk_full(self) -> Iterator[None]:
        """Nothing the program writes is taken, wherever it goes."""
        before = resource.prlimit(self.program_pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(self.program_pid, resource.RLIMIT_FSIZE, before)
