"""Leaving while something runs, by what is on the screen."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from director_tui.operations.plan import Target, Verb
from director_tui.operations.progress import LineStatus, Phase
from director_tui.ui import operating
from director_tui.ui.live import LiveScreen
from tests.ui.operations import operated

if TYPE_CHECKING:
    from tests.ui.operations import Operated

S = LineStatus


async def ended(one: Operated) -> None:
    app = one.screen.app
    await one.screen.wait(lambda: not app.is_running or app._exit, "the end")


async def running(one: Operated) -> None:
    """A batch of which one command runs, and the dashboard in front of it."""
    await one.begin(Verb.UPDATE, Target("10.1.0.1", 0), Target("10.1.0.2", 0), Target("10.1.0.7", 0))
    one.executor.lines(S.DONE, S.SENT)
    await one.screen.press("q")
    await one.screen.until("2 of 3")


@pytest.mark.parametrize("key", ["q", "ctrl+q"])
async def test_q_asks_while_something_runs_and_cancel_has_the_focus(key: str) -> None:
    async with operated() as one:
        await running(one)
        await one.screen.press(key)
        await one.screen.until("An operation is running", "The command that runs goes on", "1 command not sent yet")
        await one.screen.press("enter")
        await one.screen.until("LIVE", gone=["An operation is running"])
        assert not one.screen.app._exit
        await one.screen.press(key)
        await one.screen.until("An operation is running")
        await one.screen.press("escape")
        await one.screen.until("LIVE", gone=["An operation is running"])
        assert one.executor.closed == 0
        await one.screen.press(key, "right", "enter")
        await ended(one)
    assert not one.screen.app.return_code
    assert one.executor.closed == 1


async def test_a_flush_goes_on_without_us_and_what_that_blocks_is_said() -> None:
    async with operated() as one:
        await one.begin(Verb.FLUSH, Target("10.1.0.3"))
        one.executor.lines(S.SENT)
        await one.screen.press("q", "q")
        await one.screen.until("The flush goes on by itself on the director", "add and remove stay blocked")


async def test_a_disk_that_takes_nothing_does_not_keep_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operating, "CLOSE_LIMIT_S", 0.01)
    async with operated() as one:
        await running(one)
        one.executor.closing = asyncio.Event()
        await one.screen.press("q", "right", "enter")
        await ended(one)
    assert one.executor.closed == 1


async def test_what_was_not_sent_is_not_sent() -> None:
    async with operated() as one:
        await one.begin(Verb.DOWN, Target("10.1.0.1"))
        await one.screen.press("q", "q")
        await one.screen.until("Nothing has been sent yet, and nothing will be.")


async def test_the_question_goes_out_of_the_way_when_the_operation_has_ended() -> None:
    async with operated() as one:
        await running(one)
        await one.screen.press("q")
        await one.screen.until("An operation is running")
        one.executor.end(S.APPLIED)
        await one.screen.until("has ended meanwhile")
        await one.screen.press("enter")
        await one.screen.press("q")
        await ended(one)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_ends_the_program_without_asking_and_the_journal_gets_what_is_left(
    number: signal.Signals,
) -> None:
    async with operated() as one:
        await running(one)
        os.kill(os.getpid(), number)
        await ended(one)
    assert one.executor.closed == 1
    assert one.screen.app.return_code == 128 + number


async def test_a_second_signal_does_not_cut_short_what_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: list[object] = []

    async def close() -> None:
        handlers.append(signal.getsignal(signal.SIGHUP))

    async with operated() as one:
        await running(one)
        monkeypatch.setattr(one.executor, "close", close)
        os.kill(os.getpid(), signal.SIGHUP)
        await ended(one)
    assert len(handlers) == 1
    assert handlers[0] is not signal.SIG_DFL, "the kernel tells of a closed terminal once more"


async def test_a_fault_of_the_program_ends_it_with_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    async with operated() as one:
        await running(one)

        async def fail(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr(one.screen.app._operating, "run", fail)
        one.screen.app.run_plan(one.plan(Verb.DOWN, Target("10.1.0.2")), "")
        await ended(one)
    assert one.screen.app.return_code == 70
    assert one.executor.closed == 1


async def test_what_can_not_be_drawn_ends_the_program_behind_the_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    async with operated() as one:
        await running(one)
        drawn = 0

        def fail(*_: object) -> None:
            nonlocal drawn
            drawn += 1
            raise ZeroDivisionError

        monkeypatch.setattr(LiveScreen, "show_operation", fail)
        one.executor.step(phase=Phase.PROVING)
        await one.screen.wait(lambda: drawn == 1, "the fault")
        assert not one.screen.app._exit
        one.executor.end(S.APPLIED)  # raises nothing
        await ended(one)
    assert one.screen.app.return_code == 70
    assert one.executor.closed == 1


async def test_q_quits_at_once_when_nothing_runs_any_more() -> None:
    async with operated() as one:
        await running(one)
        one.executor.end(S.APPLIED)
        await one.screen.press("q")
        await ended(one)


async def test_what_gave_way_to_a_stop_is_asked_about_as_well() -> None:
    async with operated() as one:
        await running(one)
        flush = one.executor.progress
        assert flush is not None
        one.executor.end(S.APPLIED)
        one.executor.beside = (flush,)
        await one.screen.press("q")
        await one.screen.press("q")
        await one.screen.until("An operation is running")
        assert not one.screen.app._exit
