"""The links between the directors of a real ring, made so that they can be cut: a ring split in two.

A director tells the others where it listens, and there they come, so that nothing can stand between two of them unless
it changes what they say. Here each director has its own view of the ring: the others are at their own IPs, but at ports
on which `Links` listens. It passes on line by line what they say, and wherever an IP and a port name a director, it
puts the port by which whoever is told knows that one.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping


class Links:
    """Every link between these directors, between `with Links(…) as links:` and its end, in a thread of its own.

    ports: for each director's IP, at which port it finds each of the others, and where it listens itself.
    """

    def __init__(self, ports: Mapping[str, Mapping[str, int]]) -> None:
        self._links = [_Link(caller, called, ports) for caller in ports for called in ports if caller != called]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links")

    def __enter__(self) -> Self:
        self._thread.start()
        self.mend()
        return self

    def __exit__(self, *exc: object) -> None:
        self._run(*(link.close() for link in self._links))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def cut_off(self, ip: str) -> None:
        """Break what there is between this director and all others, and refuse what comes from now on."""
        self._run(*(link.close() for link in self._links if ip in (link.caller, link.called)))

    def mend(self) -> None:
        """Let everybody reach everybody."""
        self._run(*(link.open() for link in self._links))

    def _run(self, *steps: Coroutine[None, None, None]) -> None:
        async def together() -> None:
            await asyncio.gather(*steps)

        asyncio.run_coroutine_threadsafe(together(), self._loop).result(10)


class _Link:
    """One director's way to another. Connections from `caller` to `called`, which carry words both ways."""

    def __init__(self, caller: str, called: str, ports: Mapping[str, Mapping[str, int]]) -> None:
        self.caller = caller
        self.called = called
        self._ports = ports
        self._server: asyncio.Server | None = None
        self._passing: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._pass_on, self.called, self._ports[self.caller][self.called])

    async def close(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for to_caller in self._passing.values():
            to_caller.transport.abort()  # which ends the other way, too
        await asyncio.gather(*self._passing)

    async def _pass_on(self, from_caller: asyncio.StreamReader, to_caller: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing[task] = to_caller
        try:
            # A director takes connections from the IPs of its ring only.
            from_called, to_called = await asyncio.open_connection(
                self.called, self._ports[self.called][self.called], local_addr=(self.caller, 0)
            )
            try:
                async with asyncio.TaskGroup() as both_ways:
                    both_ways.create_task(self._tell(from_caller, to_called, self._ports[self.called]))
                    both_ways.create_task(self._tell(from_called, to_caller, self._ports[self.caller]))
            finally:
                to_called.transport.abort()
        except* (OSError, EOFError):
            pass  # one end has gone, so the other one goes
        finally:
            to_caller.transport.abort()
            del self._passing[task]

    async def _tell(
        self, speaker: asyncio.StreamReader, listener: asyncio.StreamWriter, ports: Mapping[str, int]
    ) -> None:
        """Pass on what one says, with the ports by which the other one knows the directors. Raises at the end."""
        while line := await speaker.readline():
            cells = line.rstrip(b"\n").split(b"\t")
            for place, cell in enumerate(cells[:-1]):
                if (port := ports.get(cell.decode("latin-1"))) is not None:
                    cells[place + 1] = str(port).encode()
            listener.write(b"\t".join(cells) + b"\n")
            await listener.drain()
        raise EOFError
