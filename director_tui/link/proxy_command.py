"""A ProxyCommand as a socket: what the command says on standard error is kept for the error message, not shown.

asyncssh would run the command without a shell and let it write to the terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import tempfile
from typing import IO, Final, Self

from director_tui.text import clean_lines

END_LIMIT_S: Final = 1.0


class ProxyCommand:
    """A running command; ``sock`` is our end of its standard input and output."""

    def __init__(self, process: asyncio.subprocess.Process, sock: socket.socket, stderr: IO[bytes]) -> None:
        self.sock = sock
        self._process = process
        self._stderr = stderr

    @classmethod
    async def start(cls, command: str) -> Self:
        """Run it as OpenSSH does: by the user's shell, which it replaces. Raises OSError."""
        with contextlib.ExitStack() as on_failure:
            ours, theirs = map(on_failure.enter_context, socket.socketpair())
            stderr = on_failure.enter_context(tempfile.TemporaryFile())
            process = await asyncio.create_subprocess_exec(
                os.environ.get("SHELL") or "/bin/sh",
                "-c",
                f"exec {command}",
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=stderr,
                start_new_session=True,  # Ctrl-C is for this program; and its children end with it
            )
            on_failure.pop_all()
        theirs.close()
        return cls(process, ours, stderr)

    def complaint(self) -> str:
        """The last line it wrote on standard error, cleaned; empty if it wrote none."""
        if self._stderr.closed:
            return ""
        size = os.fstat(self._stderr.fileno()).st_size
        lines = clean_lines(os.pread(self._stderr.fileno(), 4096, max(0, size - 4096))).splitlines()
        return lines[-1] if lines else ""

    async def end(self) -> None:
        """End it, and whatever it started. Its socket belongs to the connection by now, which closes it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # as for ssh -G: it has ended already
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_LIMIT_S):
                await self._process.wait()
        self._stderr.close()
