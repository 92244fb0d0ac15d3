"""One way to talk to the practice ring and to a real one, so that the same test bodies hold for both."""

from __future__ import annotations

import itertools
import subprocess
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest

from director_tui.demo import doveadm as practice_doveadm
from director_tui.demo.doveadm import Answer
from director_tui.demo.ring import PracticeRing
from director_tui.director import doveadm
from director_tui.director.doveadm import Tool
from director_tui.director.failures import failure_of
from tests.ring import processes
from tests.ring.real import PATH, RealRing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from director_tui.director.doveadm import Call
    from director_tui.director.model import State
    from tests.ring.fixtures import MakeRing
    from tests.ring.mail import Session

ResultT = TypeVar("ResultT")

SOCKETS = (b"<admin socket>", b"<ipc socket>")


class AnyRing(ABC):
    """Three directors, eight backends, two tags, nobody assigned, vhost counts of 100."""

    @abstractmethod
    def run(self, tool: Tool, *words: str, director: int = 0) -> Answer:
        """Status, output and errors; the directors' own socket paths are replaced by SOCKETS."""

    @abstractmethod
    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None: ...

    @abstractmethod
    def set_state(self, ip: str, state: State, director: int = 0) -> None: ...

    @abstractmethod
    def assign(self, user_hash: int, ip: str) -> None: ...

    @abstractmethod
    def stop(self, director: int) -> None: ...

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
        return shown(answer, practice_doveadm.SOCKET, practice_doveadm.IPC_SOCKET)

    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None:
        self.ring.set_vhosts(ip, vhosts, director)

    def set_state(self, ip: str, state: State, director: int = 0) -> None:
        self.ring.set_state(ip, state, director)

    def assign(self, user_hash: int, ip: str) -> None:
        self.ring.assign(user_hash, ip)

    def stop(self, director: int) -> None:
        self.ring.stop_director(director)

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
        self._changed: set[str] = set()
        self._assigned: set[str] = set()
        self._stopped: set[int] = set()
        self._sessions: dict[tuple[str, int], list[Session]] = {}

    def run(self, tool: Tool, *words: str, director: int = 0) -> Answer:
        one = self.ring.directors[director]
        done = subprocess.run(
            [tool.value, "-c", one.config, *words],
            env={"PATH": PATH, "TZ": "UTC", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=90,
            check=False,
        )
        answer = Answer(done.returncode, done.stdout, done.stderr)
        return shown(answer, str(one.admin_socket), str(one.admin_socket.with_name("ipc")))

    def set_vhosts(self, ip: str, vhosts: int, director: int = 0) -> None:
        self._changed.add(ip)
        self.ring.directors[director].doveadm("director", "update", ip, str(vhosts))

    def set_state(self, ip: str, state: State, director: int = 0) -> None:
        self._changed.add(ip)
        self.ring.directors[director].doveadm("director", state.value, ip)

    def assign(self, user_hash: int, ip: str) -> None:
        self._assigned.add(ip)
        self.ring.assign_users({user_hash: ip})

    def stop(self, director: int) -> None:
        self._stopped.add(director)
        self.ring.directors[director].stop()

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
        for director in self._stopped:
            self.ring.directors[director].start()
        if self._stopped:
            self.ring.wait_synced(60)
        first = self.ring.directors[0]
        for ip in self._changed:
            first.doveadm("director", "update", ip, "100")
            first.doveadm("director", "up", ip)
        for session in itertools.chain.from_iterable(self._sessions.values()):
            session.close()
        for ip in self._assigned:
            first.doveadm("director", "flush", "-F", ip)
        if self._sessions:
            first.doveadm("director", "flush", "-F", "all")
            self.wait(lambda: not any(self.ask(doveadm.proxy_list(), director) for director in range(3)))


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
