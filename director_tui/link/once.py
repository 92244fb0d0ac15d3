"""One piece of work for everybody who wants it at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

KeyT = TypeVar("KeyT", bound="Hashable")
ResultT = TypeVar("ResultT")


class Once(Generic[KeyT, ResultT]):
    """Runs one coroutine per key, however many wait for it; all of them get its result, or its error.

    One of them being cancelled does not disturb the others; when nobody waits any more the work is cancelled, too.
    """

    def __init__(self) -> None:
        self._work: dict[KeyT, asyncio.Task[ResultT]] = {}
        self._waiting: dict[asyncio.Task[ResultT], int] = {}

    async def run(self, key: KeyT, start: Callable[[], Coroutine[object, object, ResultT]]) -> ResultT:
        """Wait for the work of this key; it is begun if it isn't under way."""
        task = self._work.get(key)
        if task is None:
            task = self._work[key] = asyncio.create_task(start())
            task.add_done_callback(lambda ended: self._ended(key, ended))
            self._waiting[task] = 0
        self._waiting[task] += 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiting[task] -= 1
            if not self._waiting[task]:
                del self._waiting[task]
                if not task.done():
                    task.cancel()
                    self._forget(key, task)

    def _ended(self, key: KeyT, task: asyncio.Task[ResultT]) -> None:
        self._forget(key, task)
        if not task.cancelled():
            task.exception()  # or asyncio complains about an error that nobody was left to hear

    def _forget(self, key: KeyT, task: asyncio.Task[ResultT]) -> None:
        if self._work.get(key) is task:
            del self._work[key]
