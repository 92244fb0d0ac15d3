"""The program's own log, for whoever looks for a fault: only if asked for by ``--log FILE``, a line for each event.

Anybody may be sent one. So no line has a name of a user in it, a passphrase, what a command printed or what an
exception that nobody foresaw says; of a command there is its name, its exit status and its time. Whoever logs keeps
to that, and says what goes on in vain again and again once.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from director_tui import __version__
from director_tui.errors import (
    ConfigError,
    DirectorTuiError,
    InternalFault,
    LinkError,
    RingUnreadable,
    ShellRefused,
    UsageError,
)
from director_tui.text import clean
from director_tui.times import iso

if TYPE_CHECKING:
    from pathlib import Path

LOG: Final = logging.getLogger("director_tui")
"""What everything is logged by. Silent until :func:`open_log`: nothing may write over the screen."""
LOG.propagate = False
LOG.addHandler(logging.NullHandler())
LOG.setLevel(logging.CRITICAL + 1)

_ASYNCIO: Final = logging.getLogger("asyncio")
"""Here alone is heard what failed while nobody waited for it. Python would put it on the terminal, values and all."""
_ASYNCIO.addHandler(logging.NullHandler())


def open_log(file: Path, level: str) -> None:
    """Log to this file from now on, behind what is in it; it is made for its owner alone. Raises UsageError.

    ``level`` is ``debug``, where every command that only reads has a line, too, ``info``, or ``warning``.
    """
    try:
        descriptor = os.open(
            file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o600
        )
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "no plain file")
    except OSError as error:
        raise UsageError(
            f"--log: {clean(str(file))} can't be opened: {error.strerror}", "name a file that you may write to"
        ) from None
    except ValueError:
        raise UsageError(f"--log: {clean(str(file))} is no name for a file") from None
    LOG.setLevel(level.upper())
    handler = _Lines(file, descriptor)
    LOG.addHandler(handler)
    _ASYNCIO.addHandler(handler)
    LOG.info("director-tui %s begins, on Python %s", __version__, platform.python_version())


def where_more_is() -> str:
    """For whoever reports a fault: where the log is, or how there is one."""
    file = next((one.file for one in LOG.handlers if isinstance(one, _Lines)), None)
    return f"its log is in {clean(str(file))}" if file is not None else "with --log FILE there is more to report"


class Troubles:
    """What fails, said once for as long as it fails in the same way."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def failed(self, what: str, error: DirectorTuiError) -> None:
        why = without_output(error)
        if self._known.get(what) != why:
            self._known[what] = why
            LOG.warning("%s: failed: %s", what, why)

    def went_well(self, what: str) -> None:
        if self._known.pop(what, None) is not None:
            LOG.info("%s: works again", what)


def without_output(error: DirectorTuiError) -> str:
    """What an error is, without what was printed over there, which may have anybody's name in it."""
    if isinstance(error, RingUnreadable):
        return "; ".join(dict.fromkeys(map(without_output, error.causes.values())))
    if isinstance(error, LinkError | ConfigError | InternalFault) and not isinstance(error, ShellRefused):
        return str(error)
    status = getattr(error, "status", None)
    return type(error).__name__ + (f", exit status {status}" if status is not None else "")


class _Lines(logging.Handler):
    """Writes each as one line in one write. What can't be written, to a full disk, is lost: the program goes on."""

    def __init__(self, file: Path, descriptor: int) -> None:
        super().__init__()
        self.file: Final = file
        self._descriptor = descriptor
        self._torn = False

    def emit(self, record: logging.LogRecord) -> None:
        time = iso(datetime.fromtimestamp(record.created, UTC))
        text = f"{time} {record.levelname.lower():<7} {clean(_text(record))}\n"
        line = (b"\n" if self._torn else b"") + text.encode("utf-8", "replace")
        try:
            written = os.write(self._descriptor, line)
        except OSError:
            return
        self._torn = written < len(line)

    def close(self) -> None:
        super().close()
        os.close(self._descriptor)


_BEHIND: Final = re.compile(r"[^\w .,!-]")
"""Where what asyncio says ends, and of what failed the name: its arguments begin, and how things looked."""


def _text(record: logging.LogRecord) -> str:
    """What is said; of an exception what kind it is, and where in this program it happened."""
    ours = record.name == LOG.name
    text = record.getMessage() if ours else f"{record.name}: {_BEHIND.split(str(record.msg), 1)[0].strip()}"
    error = record.exc_info[1] if record.exc_info else None
    return f"{text}: {InternalFault(error)}" if isinstance(error, Exception) else text
