"""A remote shell that runs one command after the other. Part of ssh.py.

Each command costs one round trip, and over there neither a session of sshd nor a login shell. What the shell is told
and says is :func:`~director_tui.director.doveadm.one_after_the_other`'s.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import asyncssh

from director_tui.director.doveadm import as_a_line, one_after_the_other
from director_tui.errors import ConnectionLost, DirectorTuiError, LinkError, MalformedOutput, ShellRefused
from director_tui.link import ssh_session
from director_tui.link.ssh_session import Reply, Session
from director_tui.text import clean_lines

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence


class Shell(Session):
    """Made by ``Connection.open_shell``. What stands in here never ends it, and nothing that it runs.

    ``words`` is what it is started with, ``greeting`` done when it is ready to run something; its exception is a
    ShellRefused, or ConnectionLost.
    """

    def __init__(self, where: str, *, go_on: bool = False) -> None:
        super().__init__()
        mark = secrets.token_hex(16)
        self.words: Final = one_after_the_other(mark, go_on=go_on)
        self.greeting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._where = where
        self._ready = f"\n{mark} ready\n".encode()
        self._stdout = _Output(mark, len(self._ready))
        self._stderr = _Output(mark, len(self._ready))
        self._sent: deque[asyncio.Future[Reply]] = deque()
        self._began_s = 0.0

    @property
    def idle(self) -> bool:
        """Whether it would run a command at once."""
        return self.greeting.done() and not self._sent and not self.ended.done()

    async def run(self, argv: Sequence[str]) -> Reply:
        """Run one command behind those that were sent before. Raises what send() may.

        Whoever is cancelled here only waits no longer: the command runs, and the next one comes behind it.
        """
        reply = self.send(argv)
        await asyncio.wait([reply])
        return reply.result()

    def send(self, argv: Sequence[str]) -> asyncio.Future[Reply]:
        """Write one command; it runs when those before have ended, if they ended as they should.

        The reply's time is counted from when it was the one to run. Instead of it there is ConnectionLost when the
        shell ended first, or MalformedOutput when the command never stops printing. Raises ValueError for words that
        can't be one line.
        """
        line = command_line(argv)
        if b"\n" in line or b"\0" in line:
            raise ValueError("a command with a line break in it can't be given to a shell")
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self.ended.done() or self._channel is None:
            _fail(reply, self._lost())
            return reply
        try:
            self._channel.write(line + b"\n")
        except OSError:  # it is closed already, and we are about to be told so
            _fail(reply, self._lost())
            return reply
        if not self._sent:
            self._began_s = time.monotonic()
        self._sent.append(reply)
        return reply

    def finish(self) -> None:
        """No more commands come: it ends by itself after those that were sent."""
        if self._channel is not None and not self.ended.done():
            self._channel.write_eof()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        output = self._stderr if datatype == asyncssh.EXTENDED_DATA_STDERR else self._stdout
        output.take(data)
        if not self.greeting.done() and not self._ready.startswith(self._stdout.beginning(len(self._ready))):
            self._refuse(_beginning_with(self._stdout.beginning(80)))
        while self._stdout.parts and self._stderr.parts:
            (stdout, word), (stderr, _) = self._stdout.parts.popleft(), self._stderr.parts.popleft()
            if not self.greeting.done():
                if stdout:
                    self._refuse(_beginning_with(stdout))
                else:
                    self.greeting.set_result(None)
            elif self._sent:
                now_s = time.monotonic()
                reply, began_s, self._began_s = self._sent.popleft(), self._began_s, now_s
                if not reply.done():
                    reply.set_result(Reply(int(word), stdout, stderr, now_s - began_s))
        if output.overflowed and len(self._sent) > len(output.parts):
            _fail(self._sent[len(output.parts)], overflow(self._where))

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.status is None:
            _fail(self.greeting, self._lost())
        else:
            said = clean_lines(self._stderr.beginning(200)).strip()
            self._refuse(f"it ended with exit status {self.status}{f': {said}' if said else ''}")
        while self._sent:
            _fail(self._sent.popleft(), self._lost())

    def _refuse(self, why: str) -> None:
        _fail(self.greeting, no_shell(self._where, why))

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"{self._where}: the connection or the remote shell went away before the command ended")


class _Output:
    """One of the two outputs, cut at the lines that begin with the mark.

    ``parts`` is what came before each of them, and the word behind the mark, if there is one. Of what is longer than
    the limit only the end is kept until its mark comes, and ``overflowed`` is set until then.
    """

    def __init__(self, mark: str, longest_mark: int) -> None:
        self.parts: deque[tuple[bytes, bytes]] = deque()
        self.overflowed = False
        self._mark = f"\n{mark}".encode()
        self._longest_mark = longest_mark
        self._open = bytearray()

    def take(self, data: bytes) -> None:
        unread_from = max(0, len(self._open) - self._longest_mark)
        self._open += data
        while (at := self._open.find(self._mark, unread_from)) >= 0:
            word = at + len(self._mark)
            end = self._open.find(b"\n", word)
            if end < 0:
                break
            self.parts.append((bytes(self._open[:at]), bytes(self._open[word:end]).strip()))
            del self._open[: end + 1]
            unread_from = 0
            self.overflowed = False
        if len(self._open) > ssh_session.OUTPUT_LIMIT_BYTES:
            self.overflowed = True
            del self._open[: -self._longest_mark]

    def beginning(self, length: int) -> bytes:
        """The first bytes behind the last mark, or of all."""
        return bytes(self._open[:length]) if not self.parts else b""


class KeptShell:
    """The shell that a connection keeps for what is asked over it again and again.

    It is opened beside everything else once something is asked for the second time, and is in nobody's way: what comes
    while it is not ready or is busy has to be run by itself. Once it has failed in any way, no other is opened.
    """

    def __init__(self, open_: Callable[[], Awaitable[Shell]], abandon: Callable[[Shell], object]) -> None:
        self._open = open_
        self._abandon = abandon
        self._asked: set[tuple[str, ...]] = set()
        self._opening: asyncio.Task[None] | None = None
        self._shell: Shell | None = None
        self._over = False

    async def run(self, argv: Sequence[str]) -> Reply | None:
        """The reply, or None if the command, which only reads, has to be run by itself.

        Whoever waits no longer gives the shell up.
        """
        shell = self._shell
        if self._over or shell is None or not shell.idle:
            return None
        known = tuple(argv) in self._asked
        self._asked.add(tuple(argv))
        try:
            return await shell.run(as_a_line(argv) if known else argv)
        except ConnectionLost:
            self._over = True
            return None
        except (asyncio.CancelledError, MalformedOutput):
            self._over = True
            self._abandon(shell)
            raise

    def ran(self, argv: Sequence[str]) -> None:
        """This has been run by itself: if it is not for the first time, a shell is worth it."""
        if tuple(argv) not in self._asked:
            self._asked.add(tuple(argv))
        elif self._opening is None and not self._over:
            self._opening = asyncio.create_task(self._open_it(), name="open a shell for readings")

    def finish(self) -> None:
        """Let it end, and open no other: its session is wanted for something else."""
        self._over = True
        if self._shell is not None:
            self._shell.finish()

    async def close(self) -> None:
        self._over = True
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])

    async def _open_it(self) -> None:
        try:
            self._shell = await self._open()
        except LinkError:  # then each is run by itself, and fails by itself if it has to
            self._over = True
            return
        if self._over:
            self._shell.finish()


def no_shell(where: str, why: str) -> ShellRefused:
    """There is no shell there that takes commands."""
    return ShellRefused(
        f"{where}: no remote shell takes several commands there ({why})",
        "is there a forced command, or an unusual login shell?",
    )


def overflow(where: str) -> MalformedOutput:
    limit = f"{ssh_session.OUTPUT_LIMIT_BYTES >> 20} MiB"
    return MalformedOutput(f"{where}: a command printed more than {limit}; the rest was not read")


def _beginning_with(stdout: bytes) -> str:
    lines = clean_lines(stdout[:80]).split("\n")
    return f"it began with {' '.join(line.strip() for line in lines).strip() or 'an empty line'}"


def _fail(future: asyncio.Future[Any], error: DirectorTuiError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # or asyncio complains where nobody is left to hear it


def command_line(argv: Sequence[str]) -> bytes:
    """The words as a shell reads them, whatever is in them."""
    return shlex.join(argv).encode("utf-8", "surrogateescape")
