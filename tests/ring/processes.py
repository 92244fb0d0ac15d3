"""Ending what a test started, by process id, whatever became of the test.

Every ring and sshd lives in a folder of its own that holds its pid files. `ended_with_us` tells it to the guard, one
for each process that runs tests: this module as a program, which waits until that process is gone (however it died,
SIGKILL included), then kills what the pid files name and removes the folders that were not ended in an orderly way.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Process(NamedTuple):
    """One process; with its start time, because the system uses a pid again."""

    pid: int
    started: int
    parent: int
    group: int
    name: str
    state: str


def processes() -> list[Process]:
    """All processes of this machine (Linux: /proc)."""
    found = (_process(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())
    return [process for process in found if process is not None]


def descendants(pid: int) -> list[Process]:
    """The children of pid, their children, and so on."""
    everything = processes()
    found: list[Process] = []
    parents = {pid}
    while parents:
        children = [process for process in everything if process.parent in parents]
        found += children
        parents = {child.pid for child in children}
    return found


def group(pid: int) -> list[Process]:
    """The processes of the group that pid leads: a Dovecot instance whole."""
    return [process for process in processes() if process.group == pid]


def alive(process: Process) -> bool:
    now = _process(process.pid)
    return now is not None and now.started == process.started and now.state != "Z"


def send(targets: Iterable[Process], sig: signal.Signals) -> None:
    for process in targets:
        if alive(process):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, sig)


def end(targets: Iterable[Process], patience_s: float = 5.0) -> None:
    """SIGTERM, and SIGKILL for what is still there after patience_s; returns when all are gone."""
    targets = list(targets)
    send(targets, signal.SIGTERM)
    send(targets, signal.SIGCONT)  # a stopped process takes no SIGTERM
    if not wait_until(lambda: not any(map(alive, targets)), patience_s):
        send(targets, signal.SIGKILL)
        if not wait_until(lambda: not any(map(alive, targets)), 5.0):
            raise RuntimeError(f"still there after SIGKILL: {[process for process in targets if alive(process)]}")


def wait_until(condition: Callable[[], bool], deadline_s: float) -> bool:
    """Whether condition came true before the deadline. It is asked at once, and less and less often after that.

    Most conditions start a program to find out: what takes seconds is not to cost a core as long as it takes.
    """
    began = time.monotonic()
    while not condition():
        waited_s = time.monotonic() - began
        if waited_s > deadline_s:
            return False
        time.sleep(min(max(0.02, waited_s / 10), 0.25))
    return True


def read_pid(path: Path) -> int | None:
    """The pid that a pid file names, if it is there and whole."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, ValueError):
        return None


@contextlib.contextmanager
def ended_with_us(prefix: str) -> Iterator[Path]:
    """A short temporary folder (unix sockets: 108 bytes) whose pid files' processes never outlive this one."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    _tell_guard("watch", folder)
    try:
        yield folder
    finally:
        _clear(folder)
        _tell_guard("leave", folder)


_guards: list[subprocess.Popen[bytes]] = []


def _tell_guard(what: str, folder: Path) -> None:
    if not _guards:
        # A session of its own: Ctrl-C in the terminal is for us, not for the guard. Its standard input ends when we do.
        words = [sys.executable, __file__]
        _guards.append(subprocess.Popen(words, stdin=subprocess.PIPE, bufsize=0, start_new_session=True))
        atexit.register(_end_guard)
    (guard,) = _guards
    assert guard.stdin is not None
    guard.stdin.write(f"{what} {folder}\n".encode())


def _end_guard() -> None:
    with _guards.pop() as guard:
        guard.communicate()


def _process(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    head, _, tail = stat.rpartition(")")  # the name may itself hold blanks and parentheses
    fields = tail.split()
    return Process(
        pid=pid,
        started=int(fields[19]),
        parent=int(fields[1]),
        group=int(fields[2]),
        name=head.partition("(")[2],
        state=fields[0],
    )


def _clear(folder: Path) -> None:
    for path in [*folder.glob("*.pid"), *folder.glob("*/run/master.pid")]:
        leader = read_pid(path)
        if leader is not None:
            end({*group(leader), *descendants(leader)})
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, signal.SIG_IGN)
    left: list[Path] = []
    for line in sys.stdin:
        word, _, path = line.strip().partition(" ")
        if word == "watch":
            left.append(Path(path))
        else:
            left.remove(Path(path))
    with ThreadPoolExecutor() as side_by_side:
        list(side_by_side.map(_clear, left))
