"""The operator's own machine and terminal. Where no ring matters it is the practice ring inside the program."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import asleep
from tests.faults.practice import PROMPT, Practice
from tests.faults.scene import FRAME_S, LIMIT_S, Scene
from tests.faults.table import INTERVAL_S, fault
from tests.ring import processes
from tests.ring.dashboard import Dashboard
from tests.ring.processes import wait_until
from tests.ring.terminal import GONE, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.table import Measured
    from tests.ring.real import RealRing
    from tests.ring.sshd import Agent, Sshd

JOURNAL = Path("/nonexistent")
"""Where nothing is reached nothing is written down."""


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    opened = Terminal(tmp_path_factory.mktemp("t"))
    practice = Practice(opened, tmp_path_factory.mktemp("practice"))
    try:
        practice.open()
        yield practice
    finally:
        opened.end()


@pytest.fixture
def practice(one_for_all: Practice, measured: Measured) -> Practice:
    """A program that has survived the faults before this one: to start it costs more than each of them."""
    one_for_all.is_well()
    measured.injected(one_for_all.journal)
    return one_for_all


FRAMES = 40
"""More than Textual's own writer has room for, and the system besides."""


@fault(
    "the terminal takes nothing of what is drawn, as in the copy mode of screen",
    note="readings go on all the same; all is drawn anew when it takes something",
)
def test_a_terminal_that_takes_nothing(practice: Practice, measured: Measured) -> None:
    with practice.nothing_is_taken():
        practice.reads_on(FRAMES)
    measured.mended()
    practice.is_well()
    measured.recovered()
    measured.lost_nothing()


NO_KEY = b"\x1b[99999999u"
"""As a key by the number of its character, but there are not so many."""


@fault("bytes that no key sends: half a character, eight-bit controls", note="nothing of it; keys go on to work")
def test_bytes_that_no_key_sends(practice: Practice, measured: Measured) -> None:
    for typed in (b"\xff", b"\xc3", b"\x9b", b"\xe9\xe9\xe9", b"\x00", b"\x1b", b"\x1b[\xff", b"\xed\xa0\x80", NO_KEY):
        practice.terminal.send_bytes(typed)
    practice.reads_on()
    practice.terminal.press("?")
    practice.sees("Give back what an emergency stop has taken")
    measured.recovered()
    practice.terminal.press("q")
    practice.is_well()
    measured.lost_nothing()


SIZES = [(1, 1), (20, 5), (400, 120), (2, 200), (300, 1), (80, 24), (5, 3), (133, 7), (40, 10), (9, 99), (200, 60)]


@fault("the terminal is resized again and again, from 1x1 to 400x120, with a plan open", note="it fits each time")
def test_a_terminal_of_any_size(practice: Practice, measured: Measured) -> None:
    practice.terminal.press("d")
    practice.sees("Set 10.1.0.1 down")
    for width, height in SIZES:
        practice.terminal.resize(width, height)
        practice.terminal.press("Tab")
    practice.terminal.resize(120, 36)
    practice.sees("Set 10.1.0.1 down", "10.1.0.6  mail-06", "Cancel")
    practice.terminal.press("Escape")
    for width, height in SIZES:
        practice.terminal.resize(width, height)
    practice.terminal.resize(120, 36)
    practice.is_well()
    measured.recovered()
    measured.lost_nothing()


@fault("ctrl+z, and fg some time later", "Stopped", note="at the shell the terminal is as it was before")
def test_in_the_background_for_a_while(practice: Practice, measured: Measured) -> None:
    practice.terminal.press("C-z")
    practice.sees("Stopped", PROMPT)
    measured.noticed()
    assert wait_until(lambda: practice.terminal.is_a_shell_s, LIMIT_S)
    practice.terminal.press("sleep 3; echo a while later", "Enter")
    practice.sees("\na while later")
    practice.terminal.press("fg", "Enter")
    measured.mended()
    practice.is_well()
    assert not practice.terminal.is_a_shell_s
    measured.recovered()
    measured.lost_nothing()


@fault(
    "the clock of the machine is put five hours forward, and then back before where it was",
    "● LIVE",
    note="ages, rates and what is fresh go by another clock",
)
def test_a_clock_that_is_put_right(practice: Practice, measured: Measured) -> None:
    for ahead_s in (5 * 3600.0, -3600.0):
        before = practice.clock
        practice.clocks(ahead_s=ahead_s)
        assert wait_until(lambda before=before: practice.clock[:2] not in {"", before[:2]}, LIMIT_S)  # type: ignore[misc]
        practice.reads_on(2)
        assert practice.terminal.shows("● LIVE")
        assert not practice.terminal.shows("STALE")
    practice.clocks()
    practice.is_well()
    measured.recovered()
    measured.lost_nothing()


@fault(
    "a laptop sleeps for three hours, and its connections are dead when it wakes up",
    "STALE",
    "3h",
    note="at once, though nothing has failed yet; then it connects again",
)
def test_a_machine_that_slept(
    terminal: Terminal,
    measured: Measured,
    real_ring: RealRing,
    real_sshds: list[Sshd],
    ring_agent: Agent,
    ring_known_hosts: Path,
    restored: None,
    tmp_path: Path,
) -> None:
    clocks = tmp_path / "clocks"
    clocks.write_text("0 0")
    dashboard = Dashboard(
        *(real_sshds, ring_agent, ring_known_hosts, tmp_path / "config.toml"), f"interval = {INTERVAL_S}\n"
    )
    dashboard.program = [sys.executable, asleep.__file__, str(clocks)]
    scene = Scene(terminal, dashboard, real_ring, Path(os.environ["XDG_STATE_HOME"]), measured)
    scene.open()
    scene.breaks()
    for sshd in real_sshds:
        sshd.freeze_sessions()
    clocks.write_text(f"{3 * 3600} {3 * 3600}")
    scene.notices("STALE", "3h")
    scene.recovers()
    assert wait_until(lambda: not terminal.shows("STALE"), FRAME_S)
    scene.lost_nothing()


@fault(
    "the disk under the state folder is full",
    "it can't be remembered",
    "nothing was sent, because it can't be recorded",
    "not kept here",
    note="an emergency stop goes on, with its record on the directors; nothing else is changed",
)
def test_a_full_disk(terminal: Terminal, measured: Measured, tmp_path: Path) -> None:
    practice = Practice(terminal, tmp_path)
    practice.open()
    measured.injected(practice.journal)
    with practice.disk_full():
        terminal.press("t")
        practice.sees("theme: ", "it can't be remembered")
    measured.noticed()
    terminal.press("d")
    practice.sees("Set 10.1.0.1 down", "Count exactly")
    practice.reads_on(2)  # a plan that has only just appeared takes no Enter
    with practice.disk_full():
        terminal.press("Right", "Enter")
        practice.sees("nothing was sent, because it can't be recorded")
    terminal.press("Escape")
    practice.is_well()
    terminal.press("E")
    practice.sees("To do it, type practice")
    practice.reads_on(2)
    terminal.press("practice")
    practice.sees("press Enter   practice")
    with practice.disk_full():
        terminal.press("Enter")
        practice.sees("8 applied", "kept dir1, dir2 and dir3", "not kept here", "the journal has nothing of this")
    measured.mended()
    terminal.press("q")
    practice.sees("● LIVE", "EMERGENCY STOP in force")
    measured.recovered()
    measured.lost_nothing()


WAKES = 4


@fault("kill -TERM", note="it ends, and leaves the terminal as it was")
def test_told_to_end(terminal: Terminal, measured: Measured, tmp_path: Path) -> None:
    _ends(terminal, measured, tmp_path, signal.SIGTERM)


@fault("kill -HUP", note="it ends, and leaves the terminal as it was")
def test_told_that_the_terminal_is_closed(terminal: Terminal, measured: Measured, tmp_path: Path) -> None:
    _ends(terminal, measured, tmp_path, signal.SIGHUP)


def _ends(terminal: Terminal, measured: Measured, folder: Path, number: signal.Signals) -> None:
    program = _without_a_ring(terminal, folder)
    for _ in range(WAKES):  # each had it read the terminal once more, and one of those readers might never end
        os.kill(program, signal.SIGCONT)
        terminal.press("r")
        assert wait_until(lambda: terminal.shows("refuses the connection"), LIMIT_S)
    measured.injected(JOURNAL)
    os.kill(program, number)
    os.kill(program, signal.SIGCONT)  # as systemd does, so that also one that is stopped ends
    terminal.wait_for(f"{GONE} {128 + number}", limit_s=LIMIT_S)
    assert not terminal.shows("refuses the connection")
    assert terminal.is_a_shell_s
    assert terminal.echoes
    measured.recovered()
    measured.lost_nothing()


def _without_a_ring(terminal: Terminal, folder: Path) -> int:
    """A program that goes on trying, because nothing listens there; its pid."""
    pid_file = folder / "pid"
    program = shlex.join([sys.executable, "-m", "director_tui", "-d", "root@127.0.0.1:1"])
    terminal.start(["sh", "-c", f"echo $$ > {shlex.quote(str(pid_file))}; exec {program}"], 80, 24)
    terminal.wait_for("refuses the connection", limit_s=LIMIT_S)
    return int(pid_file.read_text())


@fault("the terminal is closed, with the program in it", note="it ends; no process stays behind")
def test_a_terminal_that_is_closed(terminal: Terminal, measured: Measured, tmp_path: Path) -> None:
    _without_a_ring(terminal, tmp_path)
    inside = processes.descendants(terminal.pid)
    assert inside
    measured.injected(JOURNAL)
    terminal.end()
    assert wait_until(lambda: not any(map(processes.alive, inside)), LIMIT_S)
    measured.recovered()
    measured.lost_nothing()


@fault(
    "the terminal is closed, and the program is none that it controls, so that no signal comes",
    note="it ends; no process stays behind",
)
def test_a_terminal_that_is_gone(measured: Measured) -> None:
    other_end, terminal = os.openpty()
    words = [sys.executable, "-m", "director_tui", "-d", "root@127.0.0.1:1"]
    program = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    try:
        shown = b""
        while b"refuses the connection" not in shown:
            shown += os.read(other_end, 65536)
        measured.injected(JOURNAL)
        os.close(other_end)
        assert program.wait(LIMIT_S) == 128 + signal.SIGHUP
    finally:
        program.kill()
        program.wait()
    measured.recovered()
    measured.lost_nothing()
