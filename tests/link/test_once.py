"""One piece of work for several that wait."""

from __future__ import annotations

import asyncio

import pytest

from director_tui.link.once import Once


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.cancelled = 0
        self.go = asyncio.Event()
        self.underway = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        self.underway.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return self.begun


async def started(once: Once[str, int], work: Work, count: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(once.run("key", work)) for _ in range(count)]
    await work.underway.wait()
    return tasks


async def test_it_is_done_once_and_again_later() -> None:
    once, work = Once[str, int](), Work()
    tasks = await started(once, work, 3)
    work.go.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert await once.run("key", work) == 2


async def test_one_that_leaves_does_not_disturb_the_others() -> None:
    once, work = Once[str, int](), Work()
    first, second = await started(once, work, 2)
    first.cancel()
    await asyncio.wait([first])
    work.go.set()
    assert await second == 1
    assert not work.cancelled


async def test_it_ends_when_nobody_waits_and_can_begin_anew() -> None:
    once, work = Once[str, int](), Work()
    tasks = await started(once, work, 2)
    for task in tasks:
        task.cancel()
    again = asyncio.create_task(once.run("key", work))
    await asyncio.wait(tasks)
    work.go.set()
    assert await again in {1, 2}
    for task in (tasks := await started(once, Work(), 2)):
        task.cancel()
    await asyncio.wait(tasks)
    assert await once.run("key", work) > 1


async def test_everybody_gets_the_error() -> None:
    async def fail() -> int:
        await asyncio.sleep(0)
        raise OSError("no")

    once = Once[str, int]()
    results = await asyncio.gather(once.run("key", fail), once.run("key", fail), return_exceptions=True)
    assert [str(result) for result in results] == ["no", "no"]
    with pytest.raises(OSError, match="no"):
        await once.run("key", fail)
