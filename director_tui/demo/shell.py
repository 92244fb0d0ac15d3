"""The one shell of the practice ring: it runs commands one after the other, as the ``sh`` of
:func:`director_tui.director.doveadm.one_after_the_other` does on a real director. No other script is known.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from director_tui.demo.command import EX_NOT_FOUND, OK
from director_tui.director.doveadm import one_after_the_other

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

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
        *_, mark, how = argv
        go_on = how == "on"
        return cls(mark, go_on) if tuple(argv) == one_after_the_other(mark, go_on=go_on) else None

    async def run(
        self,
        lines: Lines,
        execute: Callable[[Sequence[str]], Awaitable[Answer]],
        write: Callable[[bytes, bytes], Awaitable[bool]],
    ) -> int:
        """Its exit status. ``write`` takes what goes to standard output and error, and says whether anybody still
        listens: who writes to nobody is ended, whatever there is still to do."""
        alive = await write(*self._said("ready"))
        while alive and (line := await lines.readline()).endswith(b"\n"):
            try:
                words = shlex.split(line.decode("utf-8", "surrogateescape"))
            except ValueError:
                await write(b"", f"{self.mark}: 1: eval: Syntax error: Unterminated quoted string\n".encode())
                return EX_SYNTAX
            status = OK
            if words:
                answer = await execute(words)
                status, stderr = answer.status, answer.stderr
                if status == EX_NOT_FOUND and words[0] != "env":
                    stderr = f"{self.mark}: 1: eval: {words[0]}: not found\n".encode("utf-8", "surrogateescape")
                await write(answer.stdout, stderr)
            alive = await write(*self._said(str(status)))
            if status != OK and not self.go_on:
                return status
        return OK

    def _said(self, what: str) -> tuple[bytes, bytes]:
        return f"\n{self.mark} {what}\n".encode(), f"\n{self.mark}\n".encode()
