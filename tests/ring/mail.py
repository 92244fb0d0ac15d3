"""Real sessions: backends with just enough IMAP for a login process to proxy to, and users who log in.

What imap-login says to a backend (2.3.19.1): `I ID (…)`, `L LOGIN "user" "password"`, then whatever the user says.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

GREETING = b"* OK [CAPABILITY IMAP4rev1 SASL-IR LITERAL+ ID AUTH=PLAIN] ready\r\n"


class MailBackends:
    """Mail servers on this machine that let anybody in, between `with MailBackends(port) as backends:` and its end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._servers: dict[str, asyncio.Server] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail backends")
        self._sessions: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def listen(self, ips: Iterable[str]) -> None:
        """From now on there is one at each of these addresses, too."""
        asyncio.run_coroutine_threadsafe(self._listen(ips), self._loop).result(10)

    def sessions(self) -> Counter[str]:
        """How many sessions there are now at each address, as the backends themselves see it."""

        async def count() -> Counter[str]:
            return Counter(writer.get_extra_info("sockname")[0] for writer in self._sessions.values())

        return asyncio.run_coroutine_threadsafe(count(), self._loop).result(10)

    async def _listen(self, ips: Iterable[str]) -> None:
        for ip in ips:
            if ip not in self._servers:
                self._servers[ip] = await asyncio.start_server(self._serve, ip, self.port)

    async def _close(self) -> None:
        for server in self._servers.values():
            server.close()
        for writer in self._sessions.values():
            writer.transport.abort()
        await asyncio.gather(*self._sessions)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = asyncio.current_task()
        assert session is not None
        self._sessions[session] = writer
        try:
            with contextlib.suppress(ConnectionError):
                await _answer(reader, writer)
        finally:
            writer.transport.abort()
            del self._sessions[session]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(GREETING)
    while words := (await reader.readline()).split():
        if words[-1] == b"LOGOUT":
            writer.write(b"* BYE\r\n")
        writer.write(b"%s OK done\r\n" % words[0])
        await writer.drain()


class Session:
    """A user's IMAP session through a director, from the login on. Raises RuntimeError if that fails."""

    def __init__(self, director: tuple[str, int], user: str) -> None:
        self._socket = socket.create_connection(director, timeout=40)  # a login without a usable backend fails after 30
        try:
            with self._socket.makefile("rb") as replies:
                name = user.encode("utf-8", "surrogateescape")
                self._socket.sendall(b"a LOGIN {%d+}\r\n%s x\r\n" % (len(name), name))
                reply = next((line for line in replies if line.startswith(b"a ")), b"")
            if not reply.startswith(b"a OK"):
                raise RuntimeError(f"{user!r} can't log in at {director}: {reply!r}")
        except BaseException:
            self._socket.close()
            raise

    @property
    def ended(self) -> bool:
        """Whether the other side has hung up."""
        self._socket.setblocking(False)
        try:
            while self._socket.recv(4096):
                pass
        except BlockingIOError:
            return False
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        """Hang up, as phones do; the director notices at once, but not before this returns."""
        self._socket.close()
