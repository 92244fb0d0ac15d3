"""TCP to an SSH server: also ahead, so that the server has begun to speak while SSH is still imported here."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any, Final

from director_tui.errors import DirectorTuiError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from director_tui.link.ssh_config import HostConfig


QUICK_ACK: Final = getattr(socket, "TCP_QUICKACK", None)
"""Linux has it, macOS has not."""


class Socket(socket.socket):
    """TCP that acknowledges what it has received at once.

    sshd leaves Nagle's algorithm on until the first command of a connection begins, and answers in several small
    pieces: each is held back until the one before is acknowledged, and Linux waits 40 ms for something to send it with.
    The option is set anew each time, because Linux falls back as soon as something is sent (tcp(7)).
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        received = super().recv(size, flags)
        if QUICK_ACK is not None:
            with contextlib.suppress(OSError):  # as where TCP is made something else for us, by mptcpize
                self.setsockopt(socket.IPPROTO_TCP, QUICK_ACK, 1)
        return received


class Dialed:
    """A connection to a host whose configuration is still being asked for. It goes to whoever takes it first."""

    def __init__(self, configuration: Awaitable[HostConfig]) -> None:
        self._dialing: asyncio.Task[Socket | None] = asyncio.create_task(_dialed(configuration), name="dial")
        # Whoever takes it hears of a failure; it may be that nobody does any more.
        self._dialing.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def take(self) -> Socket | None:
        """None where the way there is another one, or where the configuration can't be read, which others say.

        Raises what keeps it from being made: OSError, or UnicodeError for a name that can't be asked for.
        """
        try:
            return await self._dialing
        except asyncio.CancelledError:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """Nobody needs it."""
        if self._dialing.cancel() or self._dialing.cancelled() or self._dialing.exception():
            return
        if there := self._dialing.result():
            there.close()


async def dial(config: HostConfig) -> Socket | None:
    """TCP to this host; None where the way there is another one. Raises OSError, or UnicodeError for a name that can't
    be asked for."""
    if config.proxy_command or config.bind_address:
        return None
    failures: list[OSError] = []
    for family, kind, protocol, _, address in await asyncio.get_running_loop().getaddrinfo(
        config.host, config.port, family=config.address_family, type=socket.SOCK_STREAM
    ):
        try:
            return await _connected(family, kind, protocol, address)
        except OSError as failure:
            failures.append(failure)
    # That a host is there and refuses says more than that there is no way to another address of it.
    refused = [failure for failure in failures if isinstance(failure, ConnectionRefusedError)]
    raise [*refused, *failures, socket.gaierror(socket.EAI_NONAME, "it has no address")][0]


async def _dialed(configuration: Awaitable[HostConfig]) -> Socket | None:
    try:
        config = await configuration
    except DirectorTuiError:
        return None
    return None if config.proxy_jump else await dial(config)


async def _connected(family: int, kind: int, protocol: int, address: Any) -> Socket:
    with contextlib.ExitStack() as on_failure:
        there = on_failure.enter_context(Socket(family, kind, protocol))
        there.setblocking(False)
        await asyncio.get_running_loop().sock_connect(there, address)
        on_failure.pop_all()
    return there
