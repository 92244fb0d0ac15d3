"""The program as a process of its own that is forked from a Python which has loaded it already.

Two thirds of the time of a command are the start of Python and the import of asyncssh. Here only these are shared: a
fork has its own arguments, environment, folder, session, descriptors and end, as after any start. What Python makes of
its settings and of closed descriptors when it starts is not to be seen in a fork.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from io import FileIO
    from pathlib import Path

MESSAGE_LIMIT_BYTES: Final = 1 << 17
LIMIT_S: Final = 120.0


class Forks:
    """Starts the program again and again, between `with Forks() as forks:` and its end; one at a time."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._ours: socket.socket
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                server = subprocess.Popen(
                    [sys.executable, "-m", "tests.forks"],
                    env=self._environment,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C in the terminal is for the tests
                )
            cleanup.callback(server.wait)
            self._ours = cleanup.enter_context(ours)
            self._ours.settimeout(LIMIT_S)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._cleanup.close()

    def like(self, environment: Mapping[str, str]) -> bool:
        """Whether a Python that is started with this environment would have the same settings."""
        return _settings(environment) == _settings(self._environment)

    def run(
        self,
        args: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.CompletedProcess[bytes]:
        """As subprocess.run() does it; the descriptors are numbers, or one of its constants."""
        words = json.dumps([list(args), dict(environment), str(folder)]).encode()
        with contextlib.ExitStack() as stack:
            null = stack.enter_context(open(os.devnull, "r+b")).fileno()
            given = [null if stdin == subprocess.DEVNULL else stdin]
            pipes: list[FileIO | None] = []
            with contextlib.ExitStack() as until_sent:
                for wanted in (stdout, stderr):
                    reader, writer = os.pipe() if wanted == subprocess.PIPE else (None, wanted)
                    if reader is not None:
                        until_sent.callback(os.close, writer)
                    pipes.append(None if reader is None else stack.enter_context(open(reader, "rb", buffering=0)))
                    given.append(writer)
                socket.send_fds(self._ours, [words], given)
            out, err = _whole(pipes)
        return subprocess.CompletedProcess(list(args), int(self._ours.recv(64)), out, err)


def _whole(pipes: Sequence[FileIO | None]) -> list[bytes | None]:
    """What comes out of each of them until its end; None for None."""
    read = {pipe: b"" for pipe in pipes if pipe is not None}
    going_on = list(read)
    while going_on:
        ready, _, _ = select.select(going_on, [], [], LIMIT_S)
        assert ready, f"nothing for {LIMIT_S:g} s after {read}"
        for pipe in ready:
            more = pipe.read(1 << 16)
            read[pipe] += more
            if not more:
                going_on.remove(pipe)
    return [None if pipe is None else read[pipe] for pipe in pipes]


def _settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(("PYTHON", "LC_", "LANG"))}


def serve(requests: socket.socket) -> None:
    """Fork for each request and answer with the exit status; returns in the fork, and at the end of the requests."""
    import director_tui.director
    import director_tui.link

    for package in (director_tui.director, director_tui.link):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    importlib.import_module("director_tui.oneshot")
    gc.collect()
    gc.freeze()  # what a collection in a fork touches would have to be copied
    while True:
        words, descriptors, *_ = socket.recv_fds(requests, MESSAGE_LIMIT_BYTES, 3)
        if not words:
            return
        pid = os.fork()
        if pid == 0:
            args, environment, folder = json.loads(words)
            os.setsid()
            os.chdir(folder)
            for standard, descriptor in enumerate(descriptors):
                os.dup2(descriptor, standard)
                os.close(descriptor)
            requests.detach()
            os.environ.clear()
            os.environ.update(environment)
            sys.argv = ["director-tui", *args]
            return
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        requests.send(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    sys.argv = []
    serve(socket.socket(fileno=os.dup(0)))
    if sys.argv:
        from director_tui.__main__ import main

        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, encoding=stream.encoding, errors=stream.errors, closefd=False)  # noqa: SIM115
            for number, (mode, stream) in enumerate(zip("rww", (sys.stdin, sys.stdout, sys.stderr), strict=True))
        )
        sys.exit(main())
