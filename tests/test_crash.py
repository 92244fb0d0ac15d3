"""A fault of the program, of whatever kind, in a real terminal: a short report without anybody's secrets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.ring.terminal import GONE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ring.terminal import Terminal

# Where it is called it has a secret in a local variable, in the exception and in what caused that.
FAULT = """
import pkgutil, sys
from director_tui import cli

owner, name, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
place = pkgutil.resolve_name(owner)
usual = getattr(place, name)

def fail(*args, **more):
    global calls
    calls -= 1
    if calls >= 0:
        return usual(*args, **more)
    password = "hunter" + "2"
    try:
        raise KeyError(password)
    except KeyError as error:
        raise ZeroDivisionError(f"\\x1b[31m[/x] {password}") from error

setattr(place, name, fail)
sys.exit(cli.main(sys.argv[4:]))
"""


@pytest.mark.parametrize(
    ("owner", "name", "calls", "keys", "place"),
    [
        ("director_tui.ui.dashboard:Dashboard", "action_sort_next", 0, ["s"], "outside its own code, in "),
        ("director_tui.ui.grid:Grid", "render_lines", 2, [], "outside its own code, in "),
        ("director_tui.ui.grid:Grid", "set_rows", 1, [], "ui/dashboard.py line "),
        ("director_tui.ui.live:LiveScreen", "tick", 2, [], "ui/live.py line "),
        ("director_tui.ui.app:DirectorApp", "on_mount", 0, [], "fault.py line "),
        ("director_tui.ui.help_screen:HelpScreen", "compose", 0, ["?"], "outside its own code"),
        ("director_tui.ui.driver:Driver", "run_input_thread", 0, [], "ui/driver.py line "),
    ],
)
def test_it_ends_with_a_short_report(
    owner: str, name: str, calls: int, keys: list[str], place: str, terminal: Terminal, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    program = tmp_path / "fault.py"
    program.write_text(FAULT)
    words = [sys.executable, str(program), owner, name, str(calls), "demo", "--users", "100", "--log", str(log)]
    terminal.start(words, 100, 30, XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME=str(tmp_path))
    if keys:
        terminal.wait_for("LIVE")
        terminal.press(*keys)
    terminal.wait_for(f"{GONE} 70", limit_s=60)
    lines = [line for line in terminal.lines() if line.strip()]
    report = " ".join(lines)
    assert lines[0].startswith("director-tui: a fault of director-tui itself: ZeroDivisionError ")
    assert place in report.replace("  ", " ")
    assert "please report it with the line above, what director-tui --version says, and what you did" in report
    assert "its log is in" in report
    assert len(lines) <= 9, "\n".join(lines)  # with the line of the shell
    assert terminal.echoes
    for text in (report, log.read_text()):
        assert "hunter2" not in text
        assert "Traceback" not in text
    assert "a fault of director-tui itself: ZeroDivisionError" in log.read_text()
