"""One session on a connection: a command that runs over there, and what it says. Part of ssh.py."""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import asyncssh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

OUTPUT_LIMIT_BYTES: Final = 64 * 2**20
HELD_BYTES: Final = 256 * 2**10
"""So much of a streamed output is kept here before the other side is made to wait."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command left behind. A status above 128 may mean that signal ``status - 128`` ended it."""

    status: int
    stdout: bytes
    stderr: bytes
    elapsed_s: float


class Session(asyncssh.SSHClientSession[bytes]):
    """``opened`` is whether sshd has given us the session, so that what was asked for in it may have begun.

    ``ended`` is done when nothing more can come, and ``status`` then stays None if the other side never told it.
    ``wanted`` is asked just before anything is asked for in it: if it isn't any more, the session is given up.
    """

    def __init__(self, wanted: Callable[[], bool] = lambda: True) -> None:
        self.opened = False
        self.given_up = False
        self.status: int | None = None
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted = wanted
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None

    def give_up(self) -> None:
        """Close it, whatever it does. Never one that changes a ring."""
        self.given_up = True
        if self._channel:
            self._channel.abort()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        self._channel = chan
        self.given_up = self.given_up or not self._wanted()
        if self.given_up:
            chan.abort()
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "given up")
        self.opened = True

    def exit_status_received(self, status: int) -> None:
        self.status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        self.status = _status_of_signal(signal)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


class Command(Session):
    """Collects what one command prints.

    Where that is too much, ``overflowed`` is set and the rest is not kept; unless it goes ``to_its_end``, that counts
    as its end.
    """

    def __init__(
        self, stdin: bytes = b"", wanted: Callable[[], bool] = lambda: True, *, to_its_end: bool = False
    ) -> None:
        super().__init__(wanted)
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.overflowed = False
        self._stdin = stdin
        self._to_its_end = to_its_end

    def session_started(self) -> None:
        if self._channel and not self.given_up:
            if self._stdin:
                self._channel.write(self._stdin)
            self._channel.write_eof()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        kept = self.stderr if datatype == asyncssh.EXTENDED_DATA_STDERR else self.stdout
        if len(kept) + len(data) > OUTPUT_LIMIT_BYTES:
            self.overflowed = True
            if not self._to_its_end:
                self._end()
        elif not self.overflowed:
            kept += data


class Streamed(Command):
    """Hands over what a command prints while it prints it; what goes to standard error is collected.

    When nobody takes it, the other side is made to wait.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._more = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """What is printed, in pieces of some tens of kilobytes, until the command has ended."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece)
                if self._channel and not self.given_up and self._held <= HELD_BYTES // 2:
                    self._channel.resume_reading()
                yield piece
            if self.ended.done():
                return
            self._more.clear()
            await self._more.wait()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            super().data_received(data, datatype)
            return
        self._pieces.append(data)
        self._held += len(data)
        if self._channel and self._held > HELD_BYTES:
            self._channel.pause_reading()
        self._more.set()

    def _end(self) -> None:
        super()._end()
        self._more.set()


def _status_of_signal(name: str) -> int:
    try:
        return 128 + signal.Signals[f"SIG{name}"]
    except KeyError:
        return 255
