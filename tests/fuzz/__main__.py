"""`python -m tests.fuzz --inputs 1000000`: hostile input to everything that reads or shows what comes from outside."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.fuzz import every_target
from tests.fuzz.inputs import make_input
from tests.fuzz.run import NAMED_FAILURES, begin, parts, run, try_input

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.targets import Target


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many in all (1000000)")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="same seed, same inputs")
    parser.add_argument("--target", action="append", help="only this one; repeatable")
    parser.add_argument("--number", type=int, help="only the input of this number")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    targets = [one for one in every_target() if not options.target or one.name in options.target]
    if not targets:
        parser.error(f"there are: {', '.join(one.name for one in every_target())}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        # Nobody's own journal, themes and terminal are a part of this.
        os.environ |= {"XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder, "HOME": folder, "TERM": "xterm-256color"}
        if options.number is not None:
            begin()
            for target in targets:
                print(f"{target.name}: {make_input(target.seeds, options.seed, target.name, options.number)!r}")
            failures = [try_input(target, options.seed, options.number) for target in targets]
            found = [one for one in failures if one is not None]
            print(*(one.told(options.seed) for one in found) if found else ("no failure",), sep="\n\n")
            return 1 if found else 0
        return _whole_run(options, targets)


def _whole_run(options: argparse.Namespace, targets: Sequence[Target]) -> int:
    began_s = time.monotonic()
    print(f"seed {options.seed}", flush=True)
    done: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for part, failures in run(parts(targets, options.inputs, options.seed), options.processes):
        done[part.target] += len(part.numbers)
        for failure in failures:
            failed[part.target] += 1
            if failed[part.target] <= NAMED_FAILURES:
                print(f"\n{failure.told(options.seed)}", flush=True)
    for target in targets:
        worse = f"{failed[target.name]:>9,} FAILED" if failed[target.name] else ""
        print(f"{done[target.name]:>9,}  {target.name}{worse}")
    took_s = time.monotonic() - began_s
    print(f"{done.total():>9,} inputs in {took_s:.0f} s, {failed.total():,} failed, seed {options.seed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
