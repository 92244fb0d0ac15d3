"""The event loop of the program: one that does not wait for a name server at its end, and in which SSH works."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selectors import BaseSelector


class EventLoop(asyncio.SelectorEventLoop):
    """asyncio's own, but for how it looks up names and when tasks begin.

    A name is looked up in a thread which can't be stopped and may take half a minute where no name server answers.
    asyncio's are waited for when the loop is closed and once more when Python ends, also by whoever has long pressed q.

    Tasks begin at the loop's next turn, never within the call that makes them, as Textual wants it from Python 3.12 on:
    a login of asyncssh (2.24.1) never ends then.
    """

    def __init__(self, selector: BaseSelector | None = None) -> None:
        super().__init__(selector)

    def set_task_factory(self, factory: Any) -> None:
        if factory is not getattr(asyncio, "eager_task_factory", None):
            super().set_task_factory(factory)

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        found: asyncio.Future[list[Any]] = self.create_future()

        def look_up() -> None:
            try:
                answer: list[Any] | Exception = socket.getaddrinfo(host, port, family, type, proto, flags)
            except (OSError, UnicodeError) as error:
                answer = error
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
                self.call_soon_threadsafe(answered, answer)

        def answered(answer: list[Any] | Exception) -> None:
            if found.done():
                return
            if isinstance(answer, Exception):
                found.set_exception(answer)
            else:
                found.set_result(answer)

        threading.Thread(target=look_up, name=f"look up {host!r}", daemon=True).start()
        return await found
