"""`python -m bench [P1 …]`: measure these budgets, or all; status 1 if one is not kept."""

from __future__ import annotations

import argparse
import compileall
import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import director_tui
from bench import changing, counting, polling, screen, start
from bench.measure import Line, table
from tests.ring.fixtures import missing_packages
from tests.ring.site import Site

if TYPE_CHECKING:
    from collections.abc import Callable

ON_A_RING: dict[str, Callable[[Site], list[Line]]] = {
    "P1": start.first_frame,
    "P2": start.first_table,
    "P3": polling.polls,
    "P9": polling.idling,
}
ALONE: dict[str, Callable[[], list[Line]]] = {
    "P4": screen.refreshes,
    "P5": screen.keys,
    "P6": changing.changes,
    "P7": counting.predictions,
    "P8": screen.memory,
}
NEED_PACKAGES: Final = {*ON_A_RING, "P6", "P7"}
"""Those that start a Dovecot or an sshd of their own."""


def main() -> int:
    numbers = sorted([*ON_A_RING, *ALONE])
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("numbers", nargs="*", metavar="P", help=f"which to measure: {' '.join(numbers)} (all)")
    wanted = parser.parse_args().numbers or numbers
    if unknown := sorted(set(wanted) - set(numbers)):
        parser.error(f"not measured here: {' '.join(unknown)}; there are {' '.join(numbers)}")
    if not NEED_PACKAGES.isdisjoint(wanted) and (missing := missing_packages()):
        parser.error(f"no real ring here: install {' '.join(missing)}")
    if "P9" in wanted and not shutil.which("watch"):
        parser.error("P9 needs watch: install procps")
    # As pip leaves an installed program and its peers, and PYTHONDONTWRITEBYTECODE would not.
    compileall.compile_dir(Path(director_tui.__file__).parent, quiet=1)
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores at the start", flush=True)
    lines: list[Line] = []
    with contextlib.ExitStack() as stack:
        site: Site | None = None
        for number in wanted:
            print(f"measuring {number} …", flush=True)
            if number in ALONE:
                lines += ALONE[number]()
            else:
                site = site or stack.enter_context(Site(by_socket=True))
                lines += ON_A_RING[number](site)
    print(f"\n{table(lines)}\n\nload {os.getloadavg()[0]:.2f} at the end")
    return 0 if all(line.within for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
