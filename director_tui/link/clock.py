"""A time limit that does not run while a person is being asked."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


class Clock:
    """The time limits of one connection attempt, in seconds: first for reaching the host, then for the login.

    What stands in it is cancelled when the limit is over, and TimeoutError is raised from it.
    """

    def __init__(self, connect_s: float, login_s: float) -> None:
        self._timeout = asyncio.timeout(connect_s)
        self._login_s = login_s
        self._running = False
        self._paused = 0
        self._left_s = 0.0

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()
        self._running = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running = False
        await self._timeout.__aexit__(kind, error, traceback)

    def start_login(self) -> None:
        self._reschedule(self._login_s)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        when = self._timeout.when()
        if not self._paused and when is not None:
            self._left_s = when - asyncio.get_running_loop().time()
            self._reschedule(None)
        self._paused += 1
        try:
            yield
        finally:
            self._paused -= 1
            if not self._paused:
                self._reschedule(self._left_s)

    def _reschedule(self, in_s: float | None) -> None:
        if self._running and not self._timeout.expired():
            self._timeout.reschedule(None if in_s is None else asyncio.get_running_loop().time() + in_s)
