"""What is drawn gets to the terminal, on pseudo-terminals that take it late, never, or are gone."""

from __future__ import annotations

import os
import threading
import tty
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from director_tui.ui.driver import BACKLOG_BYTES, Output
from director_tui.ui.glyphs import alphabet_of
from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_S = 30.0
MUCH = [f"{number:>100}" for number in range(2000)]
KERNEL_TAKES_BYTES = 65536
"""More than a terminal holds that nobody looks at."""


@dataclass
class Pty:
    """A terminal, whose other end takes only what is asked of it, and what writes to it."""

    other_end: int
    end: int
    gone: threading.Event = field(default_factory=threading.Event)
    caught_up: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.output = Output(self.end, alphabet_of({}, "utf-8"), gone=self.gone.set, caught_up=self.caught_up.set)
        self.output.start()

    def write(self, *texts: str) -> None:
        for text in texts:
            self.output.write(text)

    def take(self, length: int) -> str:
        taken = b""
        while len(taken) < length:
            taken += os.read(self.other_end, length - len(taken))
        return taken.decode()


@pytest.fixture
def pty() -> Iterator[Pty]:
    other_end, end = os.openpty()
    tty.setraw(end)
    made = Pty(other_end, end)
    yield made
    made.output.finish()
    for descriptor in (made.other_end, end):
        if descriptor >= 0:
            os.close(descriptor)
    made.output.join(LIMIT_S)
    assert not made.output.is_alive()


def test_nobody_waits_for_a_terminal_that_takes_nothing(pty: Pty) -> None:
    pty.write(*MUCH)
    assert pty.output.behind
    assert pty.take(100 * len(MUCH)) == "".join(MUCH)
    assert pty.caught_up.wait(LIMIT_S)
    assert wait_until(lambda: not pty.output.behind, LIMIT_S)
    pty.write("and on")
    assert pty.take(6) == "and on"


def test_it_stays_behind_until_all_is_taken(pty: Pty) -> None:
    pty.write(*MUCH)
    assert pty.output.behind
    rest = KERNEL_TAKES_BYTES + BACKLOG_BYTES // 2
    pty.take(100 * len(MUCH) - rest)
    assert pty.output.behind
    assert not pty.caught_up.is_set()
    pty.take(rest)
    assert pty.caught_up.wait(LIMIT_S)


def test_the_end_waits_for_what_is_left_but_not_for_a_terminal_that_takes_nothing(pty: Pty) -> None:
    pty.write("left")
    pty.output.finish()
    assert not pty.output.is_alive()
    assert pty.take(4) == "left"
    again = Pty(pty.other_end, pty.end)
    again.write(*MUCH)
    assert again.output.behind
    again.output.finish()
    assert again.output.is_alive()
    again.write("too late")
    assert again.take(100 * len(MUCH)) == "".join(MUCH)
    assert wait_until(lambda: not again.output.is_alive(), LIMIT_S)
    assert not again.caught_up.is_set(), "nobody is there any more to draw anew"


def test_a_terminal_that_is_gone_is_said_and_blocks_nobody(pty: Pty) -> None:
    pty.write(*MUCH)
    os.close(pty.other_end)
    pty.other_end = -1
    assert pty.gone.wait(LIMIT_S)
    pty.write(*MUCH)
    pty.output.finish()
    assert not pty.output.is_alive()


def test_one_that_another_program_left_without_waiting_gets_all_of_it(pty: Pty) -> None:
    os.set_blocking(pty.end, False)
    pty.write(*MUCH)
    assert pty.take(100 * len(MUCH)) == "".join(MUCH)
