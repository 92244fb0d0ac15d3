"""SSH connections that lead nowhere, and directors that answer from a function: for tests of what uses link/ssh.py."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.errors import ConnectionLost, DirectorTuiError, NoAnswer
from director_tui.link.ring import Ring
from director_tui.link.ssh import Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from director_tui.link.ssh import Ssh

    Said = bytes | Reply | DirectorTuiError
    Answers = Callable[[str, tuple[str, ...]], Said | Awaitable[Said]]
    """Given the destination and the words from doveadm on: standard output, a whole reply, or an error to raise."""


class FakeConnection:
    """What link/ring.py uses of link.ssh.Connection."""

    def __init__(self, destination: str, answers: Answers) -> None:
        self.destination = destination
        self.lost = False
        self.abandoned = 0
        self.changing = False
        self.closed = False
        self.ran: list[tuple[str, ...]] = []
        self._answers = answers

    async def run(self, argv: Sequence[str], limit_s: float, *, stdin: bytes = b"", kept: bool = False) -> Reply:
        assert tuple(argv[:3]) == ("env", "TZ=UTC", "LC_ALL=C")
        assert limit_s > 0
        if self.lost:
            raise ConnectionLost(f"{self.destination}: the connection was lost")
        words = tuple(argv[3:])
        self.ran.append(words)
        said = self._answers(self.destination, words)
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, NoAnswer):
            self.abandoned += 1
        if isinstance(said, ConnectionLost):
            self.lost = True
        if isinstance(said, DirectorTuiError):
            raise said
        return said if isinstance(said, Reply) else Reply(0, said, b"", 0.012)

    async def close(self) -> None:
        self.closed = True
        self.lost = True


class FakeSsh:
    """What link/ring.py uses of link.ssh.Ssh.

    ``refusals`` are raised instead of connecting, ``gates`` are waited for before a connection is there, both by
    destination. ``connections`` holds every one that was made, oldest first.
    """

    def __init__(self, answers: Answers) -> None:
        self.attempts: list[str] = []
        self.refusals: dict[str, DirectorTuiError] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.connections: list[FakeConnection] = []
        self.closed = False
        self._answers = answers

    async def connect(self, destination: str, *, through: FakeConnection | None = None) -> FakeConnection:
        self.attempts.append(destination if through is None else f"{destination} through {through.destination}")
        if gate := self.gates.get(destination):
            await gate.wait()
        if refusal := self.refusals.get(destination):
            raise refusal
        connection = FakeConnection(destination, self._answers)
        self.connections.append(connection)
        return connection

    async def close(self) -> None:
        self.closed = True

    def ring(self, *names: str, cluster: str = "test", interval_s: float = 3600.0) -> Ring:
        """A ring of these destinations over this."""
        directors = tuple(DirectorConfig(name) for name in names)
        return Ring(ClusterConfig(cluster, directors, interval_s), cast("Ssh", self))

    def last(self, destination: str) -> FakeConnection:
        """The newest connection to this destination."""
        return [each for each in self.connections if each.destination == destination][-1]


@dataclass(slots=True)
class FakeDirectors:
    """One ring as its directors tell it; a test changes it between two readings.

    ``backends`` are (tag, vhosts, up or down, users) by IP. ``members`` are the directors' own IPs by SSH destination;
    those in ``gone`` have left the ring. What stands in ``instead`` is what a destination answers to everything, and
    ``ring_status`` what all of them answer when they are asked for that.
    """

    members: dict[str, str]
    backends: dict[str, tuple[str, int, str, int]]
    gone: set[str] = field(default_factory=set)
    unsynced: set[str] = field(default_factory=set)
    instead: dict[str, Said] = field(default_factory=dict)
    ring_status: Said | None = None
    settings: Said = b"director_mail_servers = 10.1.0.1 10.1.0.2\ndirector_user_expire = 7 mins\n"
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __call__(self, destination: str, words: tuple[str, ...]) -> Said:
        what = " ".join(word for word in words[1:] if word not in {"-f", "tab"})
        self.asked[destination, what] += 1
        if destination in self.instead:
            return self.instead[destination]
        if words[0] == "doveconf":
            return b"# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf\n" if words[1] == "-n" else self.settings
        if what == "director status":
            return status_output(self.backends)
        assert what == "director ring status", words
        if self.ring_status is not None:
            return self.ring_status
        return ring_output(
            self.members[destination],
            self.members.values(),
            gone={self.members[name] for name in self.gone},
            synced=destination not in self.unsynced,
        )


def status_output(backends: dict[str, tuple[str, int, str, int]]) -> bytes:
    """``doveadm -f tab director status``."""
    lines = ["mail server ip\ttag\tvhosts\tstate\tstate changed\tusers"]
    lines += [f"{ip}\t{tag}\t{vhosts}\t{state}\t-\t{users}" for ip, (tag, vhosts, state, users) in backends.items()]
    return ("\n".join(lines) + "\n").encode()


def ring_output(own: str, members: Iterable[str], *, gone: set[str], synced: bool = True) -> bytes:
    """``doveadm -f tab director ring status`` on the director ``own``; the others run in the order they are given."""
    order = list(members)
    place = order.index(own)
    others = [ip for ip in (*order[place + 1 :], *order[:place]) if ip not in gone]
    kinds = {own: "self"} | ({others[0]: "right", others[-1]: "left"} if len(others) > 1 else {})
    if len(others) == 1:
        kinds[others[0]] = "l+r"
    lines = [
        "director ip\tport\ttype\tlast failed\tstatus\tping ms\tinput\toutput\tbuffered\tbuffered peak\t"
        "last read\tlast write"
    ]
    for ip in order:
        kind = kinds.get(ip, "")
        status = ("ring synced" if synced else "ring handshaking") if kind == "self" else "synced" if kind else ""
        numbers = "\t".join(["1", "10", "10", "0", "0"] if kind else ["-"] * 5)
        lines.append(f"{ip}\t9090\t{kind}\tnever\t{status}\t{numbers}\t-\t-")
    return ("\n".join(lines) + "\n").encode()


async def until(condition: Callable[[], bool]) -> None:
    """Let the tasks of this loop run until the condition holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("that never happened")
