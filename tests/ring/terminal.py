"""A real terminal for a test: tmux with a server of its own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[2]
GONE: Final = "left with"
"""What the terminal says, with the exit status behind it, when the program has ended."""


def missing() -> list[str]:
    """What a terminal lacks on this machine, in Debian's package names."""
    return [] if shutil.which("tmux") else ["tmux"]


class Terminal:
    """A tmux server of its own with one window; what runs in it is followed by a line with its exit status."""

    def __init__(self, folder: Path) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        # COLUMNS and LINES would win over the size of the window.
        foreign = {"TMUX", "COLUMNS", "LINES"}
        self._environment = {name: value for name, value in os.environ.items() if name not in foreign}

    def start(self, words: Sequence[str], width: int, height: int, **environment: str) -> None:
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
        # ctrl+c is for the program, not for the shell that says how it ended.
        line = f"trap : INT; cd {shlex.quote(str(ROOT))}; {settings} {shlex.join(words)}; echo {GONE} $?; exec cat"
        size = ["-x", str(width), "-y", str(height)]
        self._run("new-session", "-d", *size, "sh", "-c", line, ";", "set", "-g", "set-clipboard", "on")

    def press(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def send_bytes(self, typed: bytes) -> None:
        """What no key gives."""
        self._run("send-keys", "-H", *(f"{byte:x}" for byte in typed))

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def lines(self) -> list[str]:
        return self._run("capture-pane", "-p").splitlines()

    def still_lines(self) -> list[str]:
        """The lines of a picture that was found twice in a row: a frame comes to a terminal in pieces, so that one
        text of it may be there before another."""
        before, now = self.lines(), self.lines()
        while before != now:
            before, now = now, self.lines()
        return now

    def styled(self) -> str:
        """The screen with its colours and styles as escape sequences."""
        return self._run("capture-pane", "-p", "-e")

    def shows(self, *texts: str) -> bool:
        screen = "\n".join(self.lines())
        return all(text in screen for text in texts)

    def wait_for(self, *texts: str, limit_s: float = 20) -> None:
        assert wait_until(lambda: self.shows(*texts), limit_s), "\n".join([str(texts), *self.lines()])

    def copied(self) -> str:
        """What the program has put into the terminal's clipboard (OSC 52); empty if nothing."""
        words = [*self._tmux, "show-buffer"]
        shown = subprocess.run(words, check=False, capture_output=True, env=self._environment, timeout=20)
        return shown.stdout.decode()

    @property
    def pid(self) -> int:
        """The process that the program is a child of."""
        return int(self._run("display-message", "-p", "#{pane_pid}"))

    @property
    def server_pid(self) -> int:
        """The terminal itself, as a process: it reads what is drawn."""
        return int(self._run("display-message", "-p", "#{pid}"))

    @property
    def is_a_shell_s(self) -> bool:
        """Whether it shows what it showed before the program, has its cursor, and sends nothing of the mouse."""
        modes = self._run("display-message", "-p", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}")
        return modes.split() == ["0", "0", "1"]

    @property
    def echoes(self) -> bool:
        """Whether what is typed is shown, as the terminal itself has it."""
        descriptor = os.open(self._run("display-message", "-p", "#{pane_tty}").strip(), os.O_RDWR | os.O_NOCTTY)
        try:
            return bool(termios.tcgetattr(descriptor)[3] & termios.ECHO)
        finally:
            os.close(descriptor)

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True, env=self._environment)

    def _run(self, *words: str) -> str:
        done = subprocess.run([*self._tmux, *words], check=True, capture_output=True, env=self._environment, timeout=20)
        return done.stdout.decode()
