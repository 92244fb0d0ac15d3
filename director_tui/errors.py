"""Every error of this program.

::

    DirectorTuiError              what failed and where, and what to do about it
    ├── UsageError                a wrong option or argument                                  exit status 2
    ├── ConfigError               config.toml, or the OpenSSH configuration, is not right     exit status 2
    ├── StateError                the state folder can't be read or written                   exit status 2
    ├── OperationRefused          the program does not act on the ring, and says why          exit status 2
    │   └── PlanOutdated          what the plan stands on has changed since; carries what
    ├── LinkError                 a director can't be reached or talked to                    exit status 3
    │   ├── Unreachable           no TCP connection: name, route, refused, time limit
    │   ├── HostKeyError          never tried again by itself, never got round
    │   │   ├── HostKeyUnknown    not in any known_hosts file; carries what a person needs to decide
    │   │   └── HostKeyRefused    changed or revoked: no way to accept it here
    │   ├── AuthenticationFailed  never tried again by itself
    │   ├── ConnectionLost        the connection was there and went away
    │   ├── NoAnswer              a time limit passed while waiting
    │   ├── SessionRefused        connected, but sshd opens no session on it (MaxSessions)
    │   ├── ShellRefused          connected, but no shell there takes several commands (a forced command)
    │   └── RingUnreadable        none of the configured directors can be read; carries the reason for each
    ├── DoveadmError              the command ran on the director and failed; carries status and output
    ├── MalformedOutput           the command ran, but what it printed is not what doveadm prints
    └── InternalFault             what nobody foresaw: a fault of this program itself           exit status 70
"""

from __future__ import annotations

import os
import platform
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from director_tui import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self


class DirectorTuiError(Exception):
    """A failure that has a sentence for the operator.

    ``str(error)`` says what failed and where; ``remedy`` says what to do, and may be empty. Text from outside must be
    cleaned before it is put into either. ``permanent`` means that trying again without a person's help is useless or
    harmful, so nothing in this program does.
    """

    exit_status = 3
    permanent = False

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.remedy = remedy

    def __str__(self) -> str:
        return str(self.args[0])

    def at(self, where: str) -> Self:
        """This error with the place where it happened in front of its sentence."""
        self.args = (f"{where}: {self}",)
        return self


class UsageError(DirectorTuiError):
    """A wrong option or argument."""

    exit_status = 2
    permanent = True


class ConfigError(DirectorTuiError):
    """A configuration file that can't be used; the sentence names file, table and key."""

    exit_status = 2
    permanent = True


class StateError(DirectorTuiError):
    """The state folder, or a file in it, can't be read or written."""

    exit_status = 2
    permanent = True


class OperationRefused(DirectorTuiError):
    """The program does not act on the ring; the sentence says why. Nothing was sent."""

    exit_status = 2
    permanent = True


class PlanOutdated(OperationRefused):
    """What the plan stands on is another by now, so that it has to be looked at again. Nothing was sent.

    ``changes`` says what, each as a sentence: ``10.1.0.3 vhosts: 100 → 0``.
    """

    def __init__(self, changes: tuple[str, ...]) -> None:
        super().__init__(f"changed since it was planned: {'; '.join(changes)}", "plan it again")
        self.changes = changes


class LinkError(DirectorTuiError):
    """A director can't be reached or talked to over SSH."""


class Unreachable(LinkError):
    """No connection was made: unknown name, no route, refused, or nobody answered in time."""


class HostKeyError(LinkError):
    """The host key is not one that known_hosts vouches for."""

    permanent = True


class HostKeyUnknown(HostKeyError):
    """The host is in no known_hosts file.

    ``host`` and ``port`` are what was asked for, ``algorithm`` and ``fingerprint`` (``SHA256:…``) describe the key that
    was offered, ``line`` is the known_hosts line that would accept it, and ``known_hosts`` the file it would go to.
    """

    def __init__(
        self,
        what: str,
        remedy: str,
        *,
        host: str,
        port: int,
        algorithm: str,
        fingerprint: str,
        line: str,
        known_hosts: str,
    ) -> None:
        super().__init__(what, remedy)
        self.host = host
        self.port = port
        self.algorithm = algorithm
        self.fingerprint = fingerprint
        self.line = line
        self.known_hosts = known_hosts


class HostKeyRefused(HostKeyError):
    """The host offers another key than known_hosts holds for it, or one that is marked as revoked."""


class AuthenticationFailed(LinkError):
    """The director's sshd accepted none of the keys and passwords that were tried."""

    permanent = True


class ConnectionLost(LinkError):
    """The connection went away, perhaps in the middle of a command whose end was not seen."""


class NoAnswer(LinkError):
    """A time limit passed. The command may still be running there."""


class SessionRefused(LinkError):
    """The connection stands, but sshd opened no further session on it."""


class ShellRefused(LinkError):
    """The connection stands, but no remote shell takes several commands over it: each has to be run by itself."""


class RingUnreadable(LinkError):
    """No director could be read. ``causes`` has the reason for each, by its SSH destination."""

    def __init__(self, causes: Mapping[str, DirectorTuiError]) -> None:
        if len(causes) == 1:
            (cause,) = causes.values()
            super().__init__(str(cause), cause.remedy)
        else:
            super().__init__("; ".join(dict.fromkeys(str(cause) for cause in causes.values())), _shared_remedy(causes))
        self.causes = dict(causes)
        self.permanent = all(cause.permanent for cause in causes.values())


def _shared_remedy(causes: Mapping[str, DirectorTuiError]) -> str:
    return "; ".join(dict.fromkeys(cause.remedy for cause in causes.values() if cause.remedy))


class DoveadmError(DirectorTuiError):
    """The command ran on the director and failed.

    ``status`` is its exit status as the director's shell gave it, ``stderr`` its cleaned standard error.
    """

    def __init__(self, what: str, remedy: str = "", *, status: int, stderr: str) -> None:
        super().__init__(what, remedy)
        self.status = status
        self.stderr = stderr


class MalformedOutput(DirectorTuiError):
    """What arrived on standard output is not what this doveadm command prints."""


@contextmanager
def boundary(tell: Callable[[Exception], object]) -> Iterator[None]:
    """Where a task or a thread of the program ends: a fault goes to ``tell``, which ends the program, instead of into
    nothing, where it would only freeze."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - the one place of all tasks and threads
        tell(error)


class InternalFault(DirectorTuiError):
    """A fault of this program itself, made from the exception that nobody foresaw.

    Its sentence has what a report needs: which exception, and where in this program. Not what the exception says, and
    no values: there could be a secret in them. Only what the operating system calls its own errors is none.
    """

    exit_status = 70  # EX_SOFTWARE of sysexits.h
    permanent = True

    def __init__(self, unforeseen: Exception) -> None:
        while isinstance(unforeseen, ExceptionGroup):
            unforeseen = unforeseen.exceptions[0]
        kind = type(unforeseen)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        if isinstance(unforeseen, OSError) and unforeseen.errno is not None:
            name += f" ({os.strerror(unforeseen.errno)})"
        versions = f"director-tui {__version__}, Python {platform.python_version()}"
        super().__init__(
            f"a fault of director-tui itself: {name} {_place(unforeseen)} ({versions})",
            "please report it with the line above, what director-tui --version says, and what you did",
        )


CALLERS_NAMED: Final = 3


def _place(unforeseen: Exception) -> str:
    """Where in this program it happened, as far in as can be told, and from where it had come there."""
    package = Path(__file__).parent
    places, outside = [], ""
    for frame, line in traceback.walk_tb(unforeseen.__traceback__):
        file = Path(frame.f_code.co_filename)
        where = f"line {line} ({frame.f_code.co_qualname})"
        if file.is_relative_to(package):
            places.append(f"{file.relative_to(package)} {where}")
        else:
            outside = f", in {'/'.join(file.parts[-2:])} {where}"  # without the home folder that it may lie in
    if not places:
        return f"outside its own code{outside}"
    callers = places[-2 : -2 - CALLERS_NAMED : -1]
    return f"in {places[-1]}" + (f", called in {', '.join(callers)}" if callers else "")
