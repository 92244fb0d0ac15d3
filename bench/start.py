"""P1 and P2: from the command to the first frame, and to the first table of real data."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.measure import Line, in_turns, median
from bench.pseudo_terminal import PseudoTerminal

if TYPE_CHECKING:
    from tests.ring.site import Site

ROUNDS: Final = 15
PROGRAM: Final = str(Path(sys.executable).with_name("director-tui"))


def first_frame(site: Site) -> list[Line]:
    words = [sys.executable, "-c", "import textual.app"]
    ours, peer = in_turns(ROUNDS, lambda: _first_frame_s(site), lambda: _run_s(words))
    return [_line("P1", "start to first frame : python -c 'import textual.app'", ours, peer, 1.5)]


def first_table(site: Site) -> list[Line]:
    doveadm = site.doveadm_words(site.ring.directors[0])
    words = ["ssh", "-F", str(site.ssh_config), "d1", "--", doveadm, "director", "status"]
    ips = [f"127.0.1.{number}".encode().replace(b".", rb"\.") + rb"\b" for number in range(1, 9)]
    frames: list[float] = []

    def table_s() -> float:
        with dashboard(site) as terminal:
            frames.append(terminal.wait_for(b"CONNECTING"))
            return terminal.wait_for(*ips)

    tables, fresh = in_turns(ROUNDS, table_s, lambda: _run_s(words))
    both = [frame + ssh for frame, ssh in zip(frames, fresh, strict=True)]
    return [_line("P2", "start to first table of a real ring : fresh ssh + first frame", tables, both, 1.0)]


def _first_frame_s(site: Site) -> float:
    with dashboard(site) as terminal:
        return terminal.wait_for(b"CONNECTING")


def dashboard(site: Site) -> PseudoTerminal:
    """The program itself on the real ring."""
    return PseudoTerminal([PROGRAM, "--config", str(site.config)], site.environment)


def _run_s(words: list[str]) -> float:
    began_s = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began_s


def _line(number: str, what: str, ours_s: list[float], peer_s: list[float], budget: float) -> Line:
    return Line(number, what, median(ours_s) * 1000, median(peer_s) * 1000, "ms", budget)
