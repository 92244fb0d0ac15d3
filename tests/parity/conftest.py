"""One way to talk to the practice ring and to a real one, so that the same test bodies hold for both."""

from __future__ import annotations

import asyncio
import itertools
import shlex
import subprocess
import tempfile
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

from director_tui.demo import command
from director_tui.demo.command import Answer
from director_tui.demo.ring import PracticeRing
from director_tui.demo.shell import Shell
from director_tui.director import doveadm
from director_tui.director.doveadm import Tool
from director_tui.director.failures import failure_of
from tests.ring import processes
from tests.ring.real import PATH, RealRing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from director_tui.demo.running import Running
    from director_tui.director.doveadm import Call
    from director_tui.director.model import State
    from tests.ring.fixtures import MakeRing
    from tests.ring.mail import Session

ResultT = TypeVar("ResultT")

SOCKETS = (b"<admin socket>", b"<ipc socket>")


class Started(Protocol):
    """A command that goes on by itself."""

    @property
    def answer(self) -> Answer | None:
        """None as long as it goes on."""

    def abandon(self) -> None:
        """Whoever has begun it disappears."""


class AnyRing(ABC):
    """Three directors, eight backends, two tags, nobody assigned, vhost counts of 100."""

    @abstractmethod
    def run(self, tool: Tool, *words: str, director: int = 0) -> Answer:
        """Status, output and errors; the directors' own socket paths are replaced by SOCKETS."""

    @abstractmethod
    def start(self, *words: str, director: int = 0) -> Started:
        """Begin a doveadm command; what it prints is as in run()."""

    @abstractmethod
    def in_shell(self, mark: str, lines: Sequence[str], *, go_on: bool = False) -> Answer:
        """What the shell of doveadm.one_after_the_other() makes of these lines; where a director's doveadm is to be
        called, a line begins with the word doveadm."""

    @abstractmethod
    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None: ...

    @abstractmethod
    def set_state(self, ip: str, state: State, director: int = 0) -> None: ...

    @abstractmethod
    def assign_all(self, user_hashes: Sequence[int], ip: str) -> None: ...

    def assign(self, user_hash: int, ip: str) -> None:
        self.assign_all([user_hash], ip)

    @abstractmethod
    def stall(self, director: int) -> None:
        """It hangs. Only of stalling_ring."""

    @abstractmethod
    def go_on(self, director: int) -> None: ...

    @abstractmethod
    def stop(self, director: int) -> None: ...

    @abstractmethod
    def start_again(self, director: int) -> None:
        """After stop(); returns when the ring is synced."""

    @abstractmethod
    def cut_off(self, director: int) -> None:
        """Only of splitting_ring."""

    @abstractmethod
    def mend(self) -> None: ...

    @abstractmethod
    def log_in(self, user: str, director: int = 0) -> None: ...

    @abstractmethod
    def log_out(self, user: str, director: int = 0) -> None:
        """A director needs a moment to notice."""

    @property
    @abstractmethod
    def mail_port(self) -> int:
        """Where the backends speak IMAP."""

    @abstractmethod
    def now(self) -> datetime: ...

    @abstractmethod
    def wait(self, condition: Callable[[], bool], deadline_s: float = 30) -> None:
        """Until it is so, in the ring's own time. Raises TimeoutError."""

    def doveadm(self, *words: str, director: int = 0) -> Answer:
        return self.run(Tool.DOVEADM, *words, director=director)

    def ask(self, call: Call[ResultT], director: int = 0) -> ResultT:
        answer = self.run(call.tool, *call.words, director=director)
        assert failure_of(call, answer.status, answer.stdout, answer.stderr) is None, answer
        return call.parse(answer.stdout)


class Practice(AnyRing):
    def __init__(self) -> None:
        self.ring = PracticeRing(backends=8, users=0, start=datetime.now(UTC))
        for backend in self.ring.backends:
            self.ring.set_vhosts(backend.ip, 100)

    def run(self, tool: Tool, *words: str, director: int = 0) -> Answer:
        answer = self.ring.execute(director, (tool.value, *words))
        return shown(answer, command.SOCKET, command.IPC_SOCKET)

    def start(self, *words: str, director: int = 0) -> Started:
        return _OnPractice(self.ring.start(director, ("doveadm", *words)))

    def in_shell(self, mark: str, lines: Sequence[str], *, go_on: bool = False) -> Answer:
        given = iter(f"{line}\n".encode() for line in lines)
        printed: tuple[list[bytes], list[bytes]] = [], []

        class Lines:
            async def readline(self) -> bytes:
                return next(given, b"")

        async def execute(words: Sequence[str]) -> Answer:
            return self.ring.execute(0, words)

        async def write(stdout: bytes, stderr: bytes) -> bool:
            printed[0].append(stdout)
            printed[1].append(stderr)
            return True

        shell = Shell.of(doveadm.one_after_the_other(mark, go_on=go_on))
        assert shell is not None
        return Answer(asyncio.run(shell.run(Lines(), execute, write)), b"".join(printed[0]), b"".join(printed[1]))

    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None:
        self.ring.set_vhosts(ip, vhosts, director)

    def set_state(self, ip: str, state: State, director: int = 0) -> None:
        self.ring.set_state(ip, state, director)

    def assign_all(self, user_hashes: Sequence[int], ip: str) -> None:
        for user_hash in user_hashes:
            self.ring.assign(user_hash, ip)

    def stall(self, director: int) -> None:
        self.ring.stall(director)

    def go_on(self, director: int) -> None:
        self.ring.go_on()

    def stop(self, director: int) -> None:
        self.ring.stop_director(director)

    def start_again(self, director: int) -> None:
        self.ring.start_director(director)

    def cut_off(self, director: int) -> None:
        self.ring.cut_off(director)

    def mend(self) -> None:
        self.ring.mend()

    def log_in(self, user: str, director: int = 0) -> None:
        self.ring.log_in(user, director)

    def log_out(self, user: str, director: int = 0) -> None:
        self.ring.log_out(user, director)

    @property
    def mail_port(self) -> int:
        return 143

    def now(self) -> datetime:
        return self.ring.now

    def wait(self, condition: Callable[[], bool], deadline_s: float = 30) -> None:
        ends = self.ring.now + timedelta(seconds=deadline_s)
        while not condition():
            if self.ring.now > ends:
                raise TimeoutError
            self.ring.advance(0.25)


class Real(AnyRing):
    def __init__(self, ring: RealRing) -> None:
        self.ring = ring
        self._configured = {row["mail server ip"]: row["tag"] for row in ring.directors[0].backends()}
        self._started: list[_OnReal] = []
        self._stalled: set[int] = set()
        self._stopped: set[int] = set()
        self._sessions: dict[tuple[str, int], list[Session]] = {}

    def run(self, tool: Tool, *words: str, director: int = 0) -> Answer:
        done = subprocess.run(
            self._argv(tool, words, director),
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=90,
            check=False,
        )
        return self._shown(Answer(done.returncode, done.stdout, done.stderr), director)

    def start(self, *words: str, director: int = 0) -> Started:
        argv = self._argv(Tool.DOVEADM, words, director)
        started = _OnReal(argv, lambda answer: self._shown(answer, director))
        self._started.append(started)
        return started

    def in_shell(self, mark: str, lines: Sequence[str], *, go_on: bool = False) -> Answer:
        words = self.ring.directors[0].doveadm_words
        given = "".join(
            f"{words + line.removeprefix('doveadm') if line.startswith('doveadm ') else line}\n" for line in lines
        )
        argv = ["sh", "-c", shlex.join(doveadm.one_after_the_other(mark, go_on=go_on))]  # as sshd does it
        done = subprocess.run(
            argv, env=_ENVIRONMENT, input=given.encode(), capture_output=True, timeout=90, check=False
        )
        return self._shown(Answer(done.returncode, done.stdout, done.stderr), 0)

    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None:
        self.ring.directors[director].doveadm("director", "update", ip, str(vhosts))

    def set_state(self, ip: str, state: State, director: int = 0) -> None:
        self.ring.directors[director].doveadm("director", state.value, ip)

    def assign_all(self, user_hashes: Sequence[int], ip: str) -> None:
        self.ring.assign_users(dict.fromkeys(user_hashes, ip))

    def stall(self, director: int) -> None:
        self._stalled.add(director)
        self.ring.directors[director].freeze()

    def go_on(self, director: int) -> None:
        self._stalled.discard(director)
        self.ring.directors[director].thaw()

    def stop(self, director: int) -> None:
        self._stopped.add(director)
        self.ring.directors[director].stop()

    def start_again(self, director: int) -> None:
        self._stopped.discard(director)
        self.ring.directors[director].start()
        self.ring.wait_synced(60)

    def cut_off(self, director: int) -> None:
        self.ring.cut_off(director)

    def mend(self) -> None:
        self.ring.mend()

    def log_in(self, user: str, director: int = 0) -> None:
        self._sessions.setdefault((user, director), []).append(self.ring.log_in(user, director))

    def log_out(self, user: str, director: int = 0) -> None:
        self._sessions[user, director].pop().close()

    @property
    def mail_port(self) -> int:
        return self.ring.mail_port

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, condition: Callable[[], bool], deadline_s: float = 30) -> None:
        if not processes.wait_until(condition, deadline_s):
            raise TimeoutError

    def set_back(self) -> None:
        for director in tuple(self._stalled):
            self.go_on(director)
        for director in self._stopped:
            self.ring.directors[director].start()
        self.ring.wait_synced(60)
        for started in self._started:
            started.abandon()
        for session in itertools.chain.from_iterable(self._sessions.values()):
            session.close()
        first = self.ring.directors[0]
        rows = {row["mail server ip"]: row for row in first.backends()}
        for ip in rows.keys() - self._configured.keys():
            first.doveadm("director", "remove", ip)
        for ip, tag in self._configured.items():
            row = rows.get(ip, {})
            if row.get("tag") != tag or row.get("vhosts") != "100":
                first.doveadm("director", "add", *(("-t", tag) if tag else ()), ip, "100")
            if row.get("state") == "down":
                first.doveadm("director", "up", ip)
        first.doveadm("director", "flush", "-F", "all")
        self.wait(lambda: not any(each.users() for each in self.ring.directors))
        if self._sessions:
            self.wait(lambda: not any(self.ask(doveadm.proxy_list(), director) for director in range(3)))

    def _argv(self, tool: Tool, words: Sequence[str], director: int) -> list[str]:
        return [tool.value, "-c", str(self.ring.directors[director].config), *words]

    def _shown(self, answer: Answer, director: int) -> Answer:
        socket = self.ring.directors[director].admin_socket
        return shown(answer, str(socket), str(socket.with_name("ipc")))


class _OnPractice:
    def __init__(self, running: Running) -> None:
        self._running = running

    @property
    def answer(self) -> Answer | None:
        answer = self._running.answer
        return None if answer is None else shown(answer, command.SOCKET, command.IPC_SOCKET)

    def abandon(self) -> None:
        pass


class _OnReal:
    def __init__(self, argv: Sequence[str], show: Callable[[Answer], Answer]) -> None:
        self._show = show
        self._stdout, self._stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 (abandon() closes them)
        self._process = subprocess.Popen(
            argv, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=self._stdout, stderr=self._stderr
        )
        self._answer: Answer | None = None

    @property
    def answer(self) -> Answer | None:
        if self._answer is None and (status := self._process.poll()) is not None:
            for file in (self._stdout, self._stderr):
                file.seek(0)
            self._answer = self._show(Answer(status, self._stdout.read(), self._stderr.read()))
        return self._answer

    def abandon(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stdout.close()
        self._stderr.close()


_ENVIRONMENT = {"PATH": PATH, "TZ": "UTC", "LC_ALL": "C"}


def shown(answer: Answer, *sockets: str) -> Answer:
    stdout, stderr = answer.stdout, answer.stderr
    for path, name in zip(sockets, SOCKETS, strict=True):
        stdout, stderr = stdout.replace(path.encode(), name), stderr.replace(path.encode(), name)
    return Answer(answer.status, stdout, stderr)


@pytest.fixture(scope="module")
def own_real_ring() -> Iterator[RealRing]:
    """Not the one that all tests share: when a backend was last up or down can't be set back."""
    with RealRing() as ring:
        yield ring


@pytest.fixture(params=["practice", pytest.param("real", marks=pytest.mark.real_ring)])
def any_ring(request: pytest.FixtureRequest) -> Iterator[AnyRing]:
    if request.param == "practice":
        yield Practice()
        return
    real = Real(request.getfixturevalue("own_real_ring"))
    yield real
    real.set_back()


@pytest.fixture(params=["practice", pytest.param("real", marks=pytest.mark.real_ring)])
def splitting_ring(request: pytest.FixtureRequest) -> AnyRing:
    """One that can be cut_off() and mended."""
    if request.param == "practice":
        return Practice()
    make_ring: MakeRing = request.getfixturevalue("make_ring")
    return Real(make_ring(can_split=True))


@pytest.fixture(params=["practice", pytest.param("real", marks=pytest.mark.real_ring)])
def stalling_ring(request: pytest.FixtureRequest) -> Iterator[AnyRing]:
    """One that doesn't drop a director that hangs, at least not for minutes."""
    if request.param == "practice":
        yield Practice()
        return
    make_ring: MakeRing = request.getfixturevalue("make_ring")
    real = Real(make_ring(settings={"director_ping_idle_timeout": "10 mins", "director_ping_max_timeout": "20 mins"}))
    yield real
    real.set_back()
