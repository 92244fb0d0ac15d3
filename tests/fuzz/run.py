"""Runs targets over their inputs, and says of each that fails what it was and how to repeat it."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import resource
import signal
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.fuzz.inputs import make_input

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.fuzz.targets import Target

INPUT_LIMIT_S: Final = 60
"""No input may take longer, on a busy machine either."""
MEMORY_LIMIT_BYTES: Final = 4 * 2**30
CHUNKS: Final = 50
"""Parts of a target's inputs: enough that two processors end at about the same time."""
NAMED_FAILURES: Final = 5
"""So many of a target are told; there will be more of the same."""


@dataclass(frozen=True, slots=True)
class Failure:
    target: str
    number: int
    data: bytes
    why: str

    def told(self, seed: int) -> str:
        """What it was, and how to repeat it."""
        return (
            f"{self.target}, input {self.number}: {self.why.strip()}\n"
            f"  the input: {self.data!r}\n"
            f"  again:     python -m tests.fuzz --seed {seed} --target '{self.target}' --number {self.number}"
        )


@dataclass(frozen=True, slots=True)
class Part:
    """Some inputs of one target."""

    target: str
    seed: int
    numbers: range


def parts(targets: Iterable[Target], inputs: int, seed: int) -> list[Part]:
    """All inputs, at least so many, each target's share of them; those that take longest first."""
    found = []
    for target in targets:
        count = max(1, math.ceil(inputs * target.share / 1000))
        size = -(-count // CHUNKS)
        found += [Part(target.name, seed, range(begin, min(begin + size, count))) for begin in range(0, count, size)]
    return found


def try_input(target: Target, seed: int, number: int) -> Failure | None:
    data = make_input(target.seeds, seed, target.name, number)
    watched = signal.getsignal(signal.SIGALRM) is _too_long
    if watched:
        signal.setitimer(signal.ITIMER_REAL, INPUT_LIMIT_S)
    try:
        target.check(data)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        return Failure(target.name, number, data, "".join(traceback.format_exception(error, limit=-6)))
    finally:
        if watched:  # pytest has an alarm of its own
            signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def run_part(part: Part) -> tuple[Part, list[Failure]]:
    target = _targets()[part.target]
    failures = (try_input(target, part.seed, number) for number in part.numbers)
    return part, [one for one in failures if one is not None]


def run(todo: Sequence[Part], processes: int) -> Iterator[tuple[Part, list[Failure]]]:
    """Each part with what failed in it, as they end."""
    with multiprocessing.get_context("spawn").Pool(processes, initializer=begin) as pool:
        yield from pool.imap_unordered(run_part, todo)


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Within it no input may take longer than its time."""
    before = signal.signal(signal.SIGALRM, _too_long)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, before)


def begin() -> None:
    """What holds in a process that is there for inputs alone: an end to their time and to their memory."""
    signal.signal(signal.SIGALRM, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError(f"took longer than {INPUT_LIMIT_S} s")


def _targets() -> dict[str, Target]:
    from tests.fuzz import every_target

    return {target.name: target for target in every_target()}
