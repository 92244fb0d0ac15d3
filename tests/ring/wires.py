"""Wires to sshds that can be disturbed as a network disturbs: nothing is closed, it only comes late, or never.

A held wire is a black hole: what is sent is taken and comes nowhere, in neither direction, and whoever connects hears
nothing, not even that the connection stands: the kernel drops the first packet because the queue of those to be
accepted is full.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from typing import TYPE_CHECKING, Final, Self

from tests.ring.real import free_port

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.ring.sshd import Sshd

PIECE: Final = 65_536
STALL_S: Final = 1.0
"""How long one piece and all behind it is late when it had to be sent again, and again."""


class Wire:
    """One way to one sshd, between `with Wire(sshd) as wire:` and its end, in a thread of its own."""

    def __init__(self, sshd: Sshd) -> None:
        self.port = 0
        self._sshd = sshd
        self._open = asyncio.Event()
        self._delay_s = 0.0
        self._stalls = 0.0
        self._random = random.Random(7)
        self._listener: socket.socket
        self._queue_fillers: list[socket.socket] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire")

    @property
    def destination(self) -> str:
        """USER@HOST:PORT, as config.toml takes it."""
        return f"{self._sshd.user}@{self._sshd.host}:{self.port}"

    @property
    def known_hosts(self) -> str:
        """The line of known_hosts(5) for who comes this way."""
        key = self._sshd.host_key.with_suffix(".pub").read_text()
        return f"[{self._sshd.host}]:{self.port} {key}"

    def __enter__(self) -> Self:
        self.port = free_port(self._sshd.host)
        self._listener = socket.create_server((self._sshd.host, self.port), backlog=0)
        self._listener.setblocking(False)
        self._open.set()
        self._thread.start()
        self._loop.call_soon_threadsafe(self._start, self._accept())
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
        self._listener.close()
        self._let_in()

    def hold(self) -> None:
        """From now on nothing gets through."""
        self._loop.call_soon_threadsafe(self._open.clear)
        for _ in range(3):  # more than the queue takes
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((self._sshd.host, self.port))
            self._queue_fillers.append(filler)

    def release(self) -> None:
        """All that was sent meanwhile comes now, and new connections are accepted."""
        self._let_in()
        self._loop.call_soon_threadsafe(self._open.set)

    def slow_down(self, round_trip_s: float, stalls: float) -> None:
        """From now on a round trip takes so much longer, and this part of all pieces is late by STALL_S besides."""
        self._delay_s, self._stalls = round_trip_s / 2, stalls

    def _let_in(self) -> None:
        while self._queue_fillers:
            self._queue_fillers.pop().close()

    def _start(self, what: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(what)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self) -> None:
        while True:
            await self._open.wait()
            connection, _ = await self._loop.sock_accept(self._listener)
            self._start(self._serve(connection))

    async def _serve(self, near: socket.socket) -> None:
        with near, socket.socket() as far:
            far.setblocking(False)
            await self._open.wait()
            try:
                await self._loop.sock_connect(far, (self._sshd.host, self._sshd.port))
                async with asyncio.TaskGroup() as both_ways:
                    both_ways.create_task(self._carry(near, far))
                    both_ways.create_task(self._carry(far, near))
            except* (OSError, EOFError):
                pass  # one end has gone, so the other one goes

    async def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        """One direction. Whatever is late keeps what comes behind it waiting, as TCP does; the end comes last."""
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        async with asyncio.TaskGroup() as both_ends:
            both_ends.create_task(self._take(source, pieces))
            both_ends.create_task(self._give(sink, pieces))

    async def _take(self, source: socket.socket, pieces: asyncio.Queue[tuple[float, bytes]]) -> None:
        data = b"?"
        while data:
            try:
                data = await self._loop.sock_recv(source, PIECE)
            except ConnectionError:
                data = b""
            stall_s = STALL_S if self._random.random() < self._stalls else 0.0
            pieces.put_nowait((self._loop.time() + self._delay_s + stall_s, data))

    async def _give(self, sink: socket.socket, pieces: asyncio.Queue[tuple[float, bytes]]) -> None:
        """Raises at the end."""
        while True:
            due_s, data = await pieces.get()
            await asyncio.sleep(due_s - self._loop.time())
            await self._open.wait()
            if not data:
                raise EOFError
            await self._loop.sock_sendall(sink, data)
