"""The one shell of the practice ring: it runs commands one after the other, as the ``sh`` of
:func:`director_tui.director.doveadm.one_after_the_other` does on a real director. No other script is known.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from director_tui.demo.command import EX_NOT_FOUND, OK, behind_env
from director_tui.director.doveadm import RING_SYNC_TIMED_OUT, one_after_the_other

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from director_tui.demo.command import Answer

EX_SYNTAX: Final = 2


class Lines(Protocol):
    """Standard input: each line with its end, and then without end nothing."""

    async def readline(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Shell:
    """``mark`` and ``go_on`` are those of ``one_after_the_other``."""

    mark: str
    go_on: bool

    @classmethod
    def of(cls, argv: Sequence[str]) -> Shell | None:
        """What these words start; None if it is anything else."""
        if len(argv) != len(one_after_the_other("")):
            return None
        mark = argv[-1]
        kinds = (cls(mark, go_on) for go_on in (False, True) if tuple(argv) == one_after_the_other(mark, go_on=go_on))
        return next(kinds, None)

    async def run(
        self,
        lines: Lines,
        execute: Callable[[Sequence[str]], Awaitable[Answer]],
        write: Callable[[bytes, bytes], Awaitable[bool]],
    ) -> int:
        """Its exit status. ``write`` takes what goes to standard output and error, and says whether anybody still
        listens: who writes to nobody is ended, whatever there is still to do, unless it is to go on."""
        alive = await write(*self._said("ready"))
        if self.go_on:
            return await self._to_the_end([line async for line in _whole(lines)], execute, write)
        while alive and (line := await lines.readline()).endswith(b"\n"):
            try:
                words = _words(line)
            except ValueError:
                await write(b"", self._syntax_error)
                return EX_SYNTAX
            status, stdout, stderr = await self._run(words, execute)
            await write(stdout, stderr)
            alive = await write(*self._said(str(status)))
            if status != OK:
                return status
        return OK

    async def _to_the_end(
        self,
        lines: Sequence[bytes],
        execute: Callable[[Sequence[str]], Awaitable[Answer]],
        write: Callable[[bytes, bytes], Awaitable[bool]],
    ) -> int:
        for line in lines:
            try:
                status, stdout, stderr = await self._run(_words(line), execute)
            except ValueError:
                status, stdout, stderr = EX_SYNTAX, b"", self._syntax_error
            await write(stdout, stderr.rstrip(b"\n") + b"\n" if stderr else b"")
            await write(*self._said(str(status)))
            if status != OK and RING_SYNC_TIMED_OUT.encode() in stderr:
                return status
        return OK

    async def _run(
        self, words: Sequence[str], execute: Callable[[Sequence[str]], Awaitable[Answer]]
    ) -> tuple[int, bytes, bytes]:
        # What is assigned in front of a command is its environment, as with env.
        command = words if words[:1] == ["env"] else behind_env(["env", *words])
        if not command:
            return OK, b"", b""
        answer = await execute(command)
        if answer.status == EX_NOT_FOUND and command[0] != "env":
            stderr = f"{self.mark}: 1: eval: {command[0]}: not found\n".encode("utf-8", "surrogateescape")
            return answer.status, answer.stdout, stderr
        return answer.status, answer.stdout, answer.stderr

    @property
    def _syntax_error(self) -> bytes:
        return f"{self.mark}: 1: eval: Syntax error: Unterminated quoted string\n".encode()

    def _said(self, what: str) -> tuple[bytes, bytes]:
        return f"\n{self.mark} {what}\n".encode(), f"\n{self.mark}\n".encode()


async def _whole(lines: Lines) -> AsyncIterator[bytes]:
    """Every line that has an end."""
    while (line := await lines.readline()).endswith(b"\n"):
        yield line


def _words(line: bytes) -> list[str]:
    """Raises ValueError where a quotation does not end."""
    return shlex.split(line.decode("utf-8", "surrogateescape"))
