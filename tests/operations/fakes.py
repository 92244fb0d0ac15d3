"""Directors in memory that carry changes out, and an executor on top of them: for tests of what goes wrong."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from director_tui.demo.records import Records
from director_tui.director.doveadm import RING_SYNC_TIMED_OUT
from director_tui.errors import ConnectionLost, DirectorTuiError, ShellRefused
from director_tui.link.monitor import Monitor
from director_tui.link.ring import Ring
from director_tui.link.ssh import Reply
from director_tui.link.users import sessions, sessions_by_backend
from director_tui.operations.executor import Executor
from director_tui.operations.journal import Journal
from director_tui.operations.plan import Request, Standing, Verb
from director_tui.operations.planning import make_plan
from director_tui.times import SYSTEM_TIMES, Times
from tests.link.fakes import FakeConnection, FakeDirectors, FakeSsh, ring_output, status_output, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from director_tui.config import ClusterConfig
    from director_tui.link.reading import Reading
    from director_tui.operations.plan import Plan
    from director_tui.operations.progress import Progress
    from director_tui.operations.record import Record
    from tests.link.fakes import Answers

    Row = tuple[str, int, str, int]
    Met = Reply | DirectorTuiError
    Meets = Callable[[], Met | Awaitable[Met]]

IPS = ("10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4")


@dataclass(slots=True)
class ChangingDirectors(FakeDirectors):
    """Directors that do what they are told, on all of them at once; those that are no members are of another ring.

    ``own`` are rows that a single director lists in another way, by destination (None: it doesn't list it). ``met`` is
    what happens instead of a change, by its words behind ``doveadm director``; :meth:`carry_out` may be a part of it.
    ``changes`` is every change that was sent, oldest first, with its destination. ``placed`` says on which backend a
    user hash is, by destination, hash and tag; ``sessions`` who is where through which director; ``on_sessions`` what
    happens while a director is asked for them. Those in ``nameless`` have no row of their own in the ring.
    ``uploads`` are the places where ``metacache flushall`` was run.
    """

    own: dict[str, dict[str, Row | None]] = field(default_factory=dict)
    met: dict[str, Meets] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    placed: dict[tuple[str, int, str], str] = field(default_factory=dict)
    sessions: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    on_sessions: Callable[[], object] = lambda: None
    uploads: list[str] = field(default_factory=list)
    nameless: set[str] = field(default_factory=set)

    def __call__(self, destination: str, words: tuple[str, ...]) -> Any:
        if destination in self.instead:
            return self.instead[destination]
        if words[3:] == ("director", "ring", "status") and destination not in self.members:
            return ring_output("10.9.0.1", ["10.9.0.1", "10.9.0.2"], gone=set())
        if words[3:] == ("director", "ring", "status") and destination in self.nameless:
            own = self.members[destination]
            whole = ring_output(own, self.members.values(), gone=set()).decode()
            return "".join(line for line in whole.splitlines(keepends=True) if not line.startswith(f"{own}\t")).encode()
        if words[-2:] == ("metacache", "flushall"):
            self.uploads.append(destination)
            return self.met["metacache flushall"]() if "metacache flushall" in self.met else b""
        if words[0] == "sh":
            return None  # it has a folder for records of its own
        if words[:4] == ("doveadm", "-f", "tab", "proxy"):
            self.on_sessions()
            rows = [f"{user}\timap\t192.0.2.1\t{ip}\t143\n" for user, ip in self.sessions.get(destination, [])]
            return ("username\tproto\tsrc ip\tdest ip\tport\n" + "".join(rows)).encode() if rows else b"\n"
        if words[:6] == ("doveadm", "-f", "tab", "director", "status", "--"):
            current = self.placed.get((destination, int(words[6]), " ".join(words[7:])), "n/a")
            return f"status\texpires\thashed\tinitial-config\n{current}\t-1\t10.1.0.1\t10.1.0.1\n".encode()
        if words[:5] == ("doveadm", "-f", "tab", "director", "status"):
            rows_ = self.backends | self.own.get(destination, {})
            return status_output({ip: row for ip, row in rows_.items() if row is not None})
        if words[0] == "doveadm" and words[1] != "-f":
            return self._change(destination, " ".join(words[2:]))
        return FakeDirectors.__call__(self, destination, words)

    def carry_out(self, change: str) -> None:
        verb, *rest = change.split()
        rest = [word for word in rest if word not in {"--", "-F"}]
        if rest[:1] == ["-t"]:
            rest = [rest[2], rest[3], rest[1]]
        if verb == "kick":
            for there in self.sessions.values():
                there[:] = [one for one in there if one[0] != rest[0]]
            return
        ip = rest[-1] if verb in {"flush", "move"} else rest[0]
        tag, vhosts, state, users = self.backends.get(ip, (rest[2] if len(rest) > 2 else "", 0, "up", 0))
        match verb:
            case "update" | "add":
                self.backends[ip] = (tag, int(rest[1]), state, users)
            case "up" | "down":
                self.backends[ip] = (tag, vhosts, verb, users)
            case "remove":
                del self.backends[ip]
            case "flush" if ip != "all":
                self.backends[ip] = (tag, vhosts, state, 0)
            case "move":
                self.placed.update(dict.fromkeys(self.placed, ip))

    def _change(self, destination: str, change: str) -> Any:
        self.changes.append((destination, change))
        if change in self.met:
            return self.met[change]()
        self.carry_out(change)
        return b""


class ChangingConnection(FakeConnection):
    """With what link/changing.py needs beside. ``shell`` is whether there is one over there."""

    shell = True
    records: Records

    async def run(self, argv: Sequence[str], limit_s: float, *, stdin: bytes = b"", kept: bool = False) -> Reply:
        keep = self.records.answer(argv[3:]) if argv[3] == "sh" else None
        if keep is None or self.lost:
            return await FakeConnection.run(self, argv, limit_s, stdin=stdin, kept=kept)
        said = self._answers(self.destination, tuple(argv[3:]))
        if inspect.isawaitable(said):
            await said
        if isinstance(said, DirectorTuiError):
            raise said
        answer = keep(stdin)
        return Reply(answer.status, answer.stdout, answer.stderr, 0.02)

    def keep_for(self, change: asyncio.Future[Any]) -> None:
        """The real one is not closed before; this one is closed by nobody."""

    def run_to_its_end(self, argv: Sequence[str], wanted: Callable[[], bool]) -> asyncio.Task[Reply]:
        async def run() -> Reply:
            assert wanted()
            return await self.change(argv)

        return asyncio.create_task(run())

    async def open_shell(self, *, go_on: bool = False) -> FakeShell:
        if not self.shell:
            raise ShellRefused(f"{self.destination}: no remote shell takes several commands there")
        return FakeShell(self, go_on=go_on)

    async def change(self, argv: Sequence[str]) -> Reply:
        words = tuple(argv[3:])
        said = self._answers(self.destination, words)
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, ConnectionLost):
            self.lost = True
        if isinstance(said, DirectorTuiError):
            raise said
        return said if isinstance(said, Reply) else Reply(0, said, b"", 0.02)


class FakeShell:
    """Runs what it is sent in order, up to the first that fails, unless it is to go on: then past it."""

    def __init__(self, connection: ChangingConnection, *, go_on: bool = False) -> None:
        self._go_on = go_on
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connection = connection
        self._waiting: deque[tuple[Sequence[str], asyncio.Future[Reply]]] = deque()
        self._working: asyncio.Task[None] | None = None
        self._failure: DirectorTuiError | None = None

    def send(self, argv: Sequence[str]) -> asyncio.Future[Reply]:
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            reply.set_exception(self._failure)
            reply.exception()
            return reply
        self._waiting.append((argv, reply))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return reply

    def finish(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    async def _work(self) -> None:
        while self._waiting:
            argv, reply = self._waiting.popleft()
            try:
                said = await self._connection.change(argv)
            except DirectorTuiError as error:
                failure = error
            else:
                reply.set_result(said)
                if said.status == 0 or (self._go_on and RING_SYNC_TIMED_OUT.encode() not in said.stderr):
                    continue
                failure = ConnectionLost("the remote shell ended before the command did")
            self._failure = failure
            for one in (reply, *(each for _, each in self._waiting)):
                if not one.done():
                    one.set_exception(failure)
                    one.exception()
            self._waiting.clear()


class ChangingSsh(FakeSsh):
    """``shell`` is whether the directors have a shell that takes several commands, ``records`` what they keep."""

    shell = True

    def __init__(self, answers: Answers) -> None:
        super().__init__(answers)
        self.records: dict[str, Records] = {}

    async def connect(self, destination: str, *, through: FakeConnection | None = None) -> ChangingConnection:
        self.attempts.append(destination if through is None else f"{destination} through {through.destination}")
        if refusal := self.refusals.get(destination):
            raise refusal
        connection = ChangingConnection(destination, self._answers)
        connection.shell = self.shell
        connection.records = self.records.setdefault(destination, Records())
        self.connections.append(connection)
        return connection


class Clock:
    """Times that pass only when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    @property
    def times(self) -> Times:
        return Times(
            lambda: self.now_s, lambda: datetime(2026, 11, 24, 21, 0, tzinfo=UTC) + timedelta(seconds=self.now_s)
        )


class Bench:
    """An executor on three directors in memory, with everything that it has shown."""

    def __init__(self, directors: ChangingDirectors, ssh: ChangingSsh, ring: Ring, cluster: ClusterConfig) -> None:
        self.directors = directors
        self.ssh = ssh
        self.ring = ring
        self.cluster = cluster
        self.clock = Clock()
        # Readings go by the real beat, and are of the day that the executor writes down.
        self.monitor = Monitor(ring, lambda reading: None, Times(SYSTEM_TIMES.mono_s, self.clock.times.utc))
        self.shown: list[Progress] = []
        self.journal = Journal(cluster.name)
        self.executor = self.another_executor(self.shown.append)

    def another_executor(self, publish: Callable[[Progress], None] = lambda progress: None, **more: Any) -> Executor:
        return Executor(self.cluster, self.ring, self.monitor.fresh, publish, self.clock.times, **more)

    async def plan(self, request: Request) -> Plan:
        reading = await self.reading()
        known = await sessions(self.ring, reading.views) if request.verb is Verb.REMOVE else None
        counted = sessions_by_backend(reading, known) if known is not None else None
        return make_plan(request, Standing(reading, self.cluster, counted))

    async def reading(self) -> Reading:
        reading = await self.monitor.fresh()
        return reading if reading.views else await self.monitor.fresh()

    async def run(self, request: Request, reason: str = "", *, override: bool = False) -> Progress:
        return await self.executor.run(await self.plan(request), reason, override)

    async def asked(self) -> str:
        """The question, as soon as there is one."""
        await until(lambda: bool(self.shown and self.shown[-1].question))
        return self.shown[-1].question

    @property
    def sent(self) -> list[str]:
        """Every change, as it was sent to the first director."""
        assert {destination for destination, _ in self.directors.changes} <= {"d1"}
        return [change for _, change in self.directors.changes]

    @property
    def records(self) -> tuple[Record, ...]:
        return self.journal.read().records


@asynccontextmanager
async def bench(*, shell: bool = True, configured: Sequence[str] = (), **settings: Any) -> AsyncIterator[Bench]:
    """Three directors of which ``configured`` have a destination, four backends of one tag with 100 users each.

    ``settings`` are the cluster's own.
    """
    directors = ChangingDirectors(
        members={"d1": "10.0.0.1", "d2": "10.0.0.2", "d3": "10.0.0.3"},
        backends=dict.fromkeys(IPS, ("", 100, "up", 100)),
    )
    ssh = ChangingSsh(directors)
    ssh.shell = shell
    ring = ssh.ring(*(configured or ("d1", "d2", "d3")))
    cluster = replace(ring.cluster, **settings)
    ring = Ring(cluster, ring.ssh)
    made = Bench(directors, ssh, ring, cluster)
    polling = asyncio.create_task(made.monitor.run())
    try:
        yield made
    finally:
        await made.executor.close()
        polling.cancel()
        await asyncio.wait([polling])
        await ring.close()


def failed(status: int, words: str) -> Reply:
    """How doveadm ends that says this on standard error."""
    return Reply(status, b"", words.encode() + b"\n", 0.02)
