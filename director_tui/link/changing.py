"""Carrying out calls that change a ring, one after the other on one director, and saying how each ended.

What has been sent is never ended from here: no time limit over there, no channel and no connection closed under it,
also when nobody waits for it any more. Directors of 2.2.33 to 2.3.2.1 crash when their doveadm goes away. When this
program ends, what runs over there does not.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from director_tui.director.doveadm import RING_SYNC_TIMED_OUT
from director_tui.errors import DirectorTuiError, NoAnswer, ShellRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from director_tui.director.doveadm import Call
    from director_tui.link.ring import DirectorLink
    from director_tui.link.ssh import Connection, Reply, Shell

SENT_AT_A_TIME: Final = 4
"""How many calls of a batch are on their way or running: enough that the director never waits for us. When the
connection is lost no more than these can still be carried out. A batch that goes on is sent whole."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A call has gone out: from here on it may be carried out, whatever becomes of us and the connection.

    Of those sent and not ended the first is the one that runs.
    """

    index: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A call ended. ``elapsed_s`` is from when it was the one to run to when we heard of its end."""

    index: int
    status: int
    stdout: bytes
    stderr: bytes
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Slower:
    """No remote shell takes the calls of the batch, so each is run by itself, which is slower; ``reason`` says why."""

    reason: str


Event = Sent | Ended | Slower


async def carry_out(
    link: DirectorLink, calls: Sequence[Call[None]], said: Callable[[Event], None], *, go_on: bool = False
) -> None:
    """Carry these calls out on one director, in order, up to the first that ends with another status than 0.

    With ``go_on`` only one that fails because the ring is not synced is such an end; and a batch, once it is sent, goes
    on over there when the connection is lost.

    It returns when all have ended or one has failed: the last Ended tells. What was sent behind one that failed is not
    carried out. Raises ValueError, before anything is sent, for a call that changes nothing or can't be one line.

    Any other error means that the end of those sent and not ended was not seen; what was not sent has not begun:

    * NoAnswer: the one that runs took longer than its limit, which counts only while it runs. It goes on, and those
      sent behind it follow if it ends well; how each ends is still told to ``said`` when it is heard, after the error.
    * ConnectionLost: the connection went, or the session without an exit status. Those sent may go on.
    * MalformedOutput: one never stops printing. It goes on, and ``said`` is told as after NoAnswer.
    * Other LinkErrors, all before anything is sent: the director can't be reached, sshd has no session for us.

    Nothing is sent a second time, whatever happens. Whoever is cancelled here, because the program ends, leaves what
    was sent to end by itself, and ``said`` is told no more.
    """
    commands = [link.command(call) for call in calls]
    for call, command in zip(calls, commands, strict=True):
        if not call.changes:
            raise ValueError(f"{call.title} changes nothing")
        if any(character in word for word in command for character in "\n\r\0"):
            raise ValueError(f"{call.title} can't be sent with a line break in it")
    if not commands:
        return
    connection = await asyncio.shield(link.connecting())
    batch = _Batch(link.name, [call.limit_s for call in calls], said, go_on=go_on)
    try:
        shell = await _shell(connection, said, go_on=go_on) if len(commands) > 1 else None
        if shell is not None:
            await batch.through(shell, commands)
        else:
            await batch.by_themselves(connection, commands)
    except DirectorTuiError as error:
        batch.listen_on()
        link.note_failure(connection, error)
        raise
    finally:
        batch.send_no_more()


async def _shell(connection: Connection, said: Callable[[Event], None], *, go_on: bool) -> Shell | None:
    try:
        shell = await connection.open_shell(go_on=go_on)
    except ShellRefused as refused:
        said(Slower(str(refused)))
        return None
    connection.keep_for(shell.ended)
    return shell


class _Batch:
    """Calls on their way, oldest first, with the reply that each will have."""

    def __init__(self, director: str, limits_s: Sequence[float], said: Callable[[Event], None], *, go_on: bool) -> None:
        self._go_on = go_on
        self._at_a_time = len(limits_s) if go_on else SENT_AT_A_TIME
        self._director = director
        self._limits_s = limits_s
        self._said = said
        self._open = True
        self._on_their_way: deque[tuple[int, asyncio.Future[Reply]]] = deque()

    async def through(self, shell: Shell, commands: Sequence[Sequence[str]]) -> None:
        try:
            for index, command in enumerate(commands):
                if len(self._on_their_way) == self._at_a_time and not await self._next_is_well():
                    return
                self._said(Sent(index))
                self._on_their_way.append((index, shell.send(command)))
            if self._go_on:
                shell.finish()  # it begins when it has everything
            while self._on_their_way and await self._next_is_well():
                pass
        finally:
            shell.finish()

    async def by_themselves(self, connection: Connection, commands: Sequence[Sequence[str]]) -> None:
        for index, command in enumerate(commands):
            self._on_their_way.append((index, connection.run_to_its_end(command, partial(self._goes_out, index))))
            if not await self._next_is_well():
                return

    def listen_on(self) -> None:
        """Say how those that are on their way end, if it is heard."""
        for index, reply in self._on_their_way:
            reply.add_done_callback(partial(self._late, index))

    def send_no_more(self) -> None:
        self._open = False

    def _goes_out(self, index: int) -> bool:
        if self._open:
            self._said(Sent(index))
        return self._open

    async def _next_is_well(self) -> bool:
        """Wait for the oldest, and whether the next may follow. One whose end is not seen stays on its way."""
        index, reply = self._on_their_way[0]
        limit_s = self._limits_s[index]
        await asyncio.wait([reply], timeout=None if math.isinf(limit_s) else limit_s)
        if not reply.done():
            raise NoAnswer(
                f"{self._director}: not ended within {limit_s:g} s; it is not stopped, and may still take effect",
                "",
            )
        ended = reply.result()
        self._on_their_way.popleft()
        self._end(index, ended)
        return ended.status == 0 or (self._go_on and RING_SYNC_TIMED_OUT.encode() not in ended.stderr)

    def _late(self, index: int, reply: asyncio.Future[Reply]) -> None:
        if not reply.cancelled() and reply.exception() is None:
            self._end(index, reply.result())

    def _end(self, index: int, reply: Reply) -> None:
        self._said(Ended(index, reply.status, reply.stdout, reply.stderr, reply.elapsed_s))
