"""Connecting ahead: TCP is there, and the SSH server has begun to speak, while SSH is still imported here."""

from __future__ import annotations

import asyncio
import contextlib
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
        # Whoever takes it hears of a failure; it may be that nobody does any more.
        self._dialing.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def take(self) -> socket.socket | None:
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


async def _dial(configuration: Awaitable[HostConfig]) -> socket.socket | None:
    try:
        config = await configuration
    except DirectorTuiError:
        return None
    if config.proxy_jump or config.proxy_command or config.bind_address:
        return None
    failures: list[OSError] = []
    for family, kind, protocol, _, address in await asyncio.get_running_loop().getaddrinfo(
        config.host, config.port, family=config.address_family, type=socket.SOCK_STREAM
    ):
        try:
            return await _connected(family, kind, protocol, address)
        except OSError as failure:
            failures.append(failure)
    raise failures[0]


async def _connected(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    with contextlib.ExitStack() as on_failure:
        there = on_failure.enter_context(socket.socket(family, kind, protocol))
        there.setblocking(False)
        await asyncio.get_running_loop().sock_connect(there, address)
        on_failure.pop_all()
    return there
