"""Connecting ahead: TCP is there, and the SSH server has begun to speak, while SSH is still imported here."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

from director_tui.errors import DirectorTuiError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from director_tui.link.ssh_config import HostConfig


class Dialed:
    """A connection to a host whose configuration is still being asked for. It goes to whoever takes it first."""

    def __init__(self, configuration: Awaitable[HostConfig]) -> None:
        self._dialing: asyncio.Task[socket.socket | None] = asyncio.create_task(_dial(configuration), name="dial")

    async def take(self) -> socket.socket | None:
        """None where there is none: then whoever needs one connects as ever, and hears why it can't be."""
        try:
            return await self._dialing
        except asyncio.CancelledError:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """Nobody needs it."""
        if not self._dialing.cancel() and not self._dialing.cancelled() and (there := self._dialing.result()):
            there.close()


async def _dial(configuration: Awaitable[HostConfig]) -> socket.socket | None:
    loop = asyncio.get_running_loop()
    try:
        config = await configuration
        if config.proxy_jump or config.proxy_command or config.bind_address:
            return None  # the way there is another one
        found = await loop.getaddrinfo(config.host, config.port, family=config.address_family, type=socket.SOCK_STREAM)
    except (DirectorTuiError, OSError, UnicodeError):
        return None
    for family, kind, protocol, _, address in found:
        if (there := await _connected(socket.socket(family, kind, protocol), address)) is not None:
            return there
    return None


async def _connected(there: socket.socket, address: Any) -> socket.socket | None:
    try:
        there.setblocking(False)
        await asyncio.get_running_loop().sock_connect(there, address)
    except OSError:
        there.close()
        return None
    except asyncio.CancelledError:
        there.close()
        raise
    return there
