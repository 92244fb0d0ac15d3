"""What the program's event loop does otherwise than asyncio's, where a test of the whole program can't see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from director_tui.link.event_loop import EventLoop

if TYPE_CHECKING:
    import pytest


def test_tasks_do_not_begin_before_the_next_turn_whoever_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(asyncio, "eager_task_factory"):  # Python 3.11 has none that could be asked for
        monkeypatch.setattr(asyncio, "eager_task_factory", lambda *_, **__: None, raising=False)
    begun = []

    async def begin() -> None:
        begun.append(True)

    async def ask() -> None:
        asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - not in 3.11
        task = asyncio.create_task(begin())
        assert begun == []
        await task

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(ask())
    assert begun == [True]


def test_another_way_to_make_tasks_is_still_to_be_had() -> None:
    names = []

    def make(loop: asyncio.AbstractEventLoop, coro: Any, **words: Any) -> asyncio.Task[Any]:
        names.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **words)

    async def nothing() -> None: ...

    async def ask() -> None:
        asyncio.get_running_loop().set_task_factory(make)
        await asyncio.create_task(nothing())

    with asyncio.Runner(loop_factory=EventLoop) as runner:
        runner.run(ask())
    assert "nothing" in names
