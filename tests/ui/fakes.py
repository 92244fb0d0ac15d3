"""A ring of directors in memory, and the eyes of the tests: what stands on the screen."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.demo.records import Records
from director_tui.director import parse
from director_tui.director.hashring import rings_by_tag, user_hash
from director_tui.errors import ConnectionLost, DirectorTuiError, NoAnswer
from director_tui.link.ring import Ring
from director_tui.times import SYSTEM_TIMES, Times
from director_tui.ui.app import DirectorApp
from director_tui.ui.operating import make_executor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from rich.style import Style
    from textual.pilot import Pilot

    from director_tui.link.questions import Ask
    from director_tui.ui.operating import MakeExecutor
    from director_tui.ui.watch import OpenRing

DIRECTORS = ("ops@dir1.example.com", "ops@dir2.example.com", "ops@dir3.example.com")
STATUS_HEADER = b"mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n"
RING_HEADER = (
    b"director ip\tport\ttype\tlast failed\tstatus\tping ms\tinput\toutput\tbuffered\tbuffered peak\tlast read\t"
    b"last write\n"
)


@dataclass(frozen=True)
class Row:
    """One line of ``doveadm director status``."""

    ip: str
    users: int = 100
    vhosts: int = 100
    tag: bytes = b""
    state: bytes = b"up"
    changed: bytes = b"-"

    @property
    def line(self) -> bytes:
        return b"\t".join(
            [self.ip.encode(), self.tag, b"%d" % self.vhosts, self.state, self.changed, b"%d" % self.users]
        )


ROWS = (
    Row("10.1.0.1", 28764),
    Row("10.1.0.2", 27020),
    Row("10.1.0.3", 9120, vhosts=0),
    Row("10.1.0.4", 4120, state=b"down", changed=b"2026-08-29 19:05:00"),
    Row("10.1.0.7", 9410, tag=b"gold"),
    Row("10.1.0.10", 0, vhosts=0, tag=b"gold"),
)
NAMES = {"10.1.0.1": "mail-01", "10.1.0.2": "mail-02", "10.1.0.7": "gold-01"}


PROXY_HEADER = b"username\tproto\tsrc ip\tdest ip\tport\n"
MAP_HEADER = b"user\thash\tmail server ip\texpire time\n"
PLACEMENT_HEADER = b"status\texpires\thashed\tinitial-config\n"


@dataclass(frozen=True)
class FakeReply:
    """What the UI needs of director_tui.link.ssh.Reply, without loading asyncssh."""

    status: int
    stdout: bytes
    stderr: bytes = b""
    elapsed_s: float = 0.0142


@dataclass
class FakeRing:
    """A ring that answers with the bytes of doveadm; change it while the dashboard runs."""

    rows: list[Row] = field(default_factory=lambda: list(ROWS))
    directors: tuple[str, ...] = DIRECTORS
    mail_servers: bytes = b"10.1.0.1-10.1.0.4 10.1.0.7@gold 10.1.0.10@gold"
    ring_status: bytes | None = None
    ring_rows: dict[str, bytes] = field(default_factory=dict)
    """What ``director ring status`` lists on single directors."""
    parts: tuple[tuple[str, ...], ...] = ()
    """The directors that run in a ring together, where not all of them do."""
    tables: dict[str, list[Row]] = field(default_factory=dict)
    """What single directors list instead of ``rows``."""
    status: bytes | None = None
    """What ``director status`` prints instead of ``rows``."""
    status_failure: tuple[int, bytes] | None = None
    assigned: dict[tuple[int, str], tuple[str, datetime]] = field(default_factory=dict)
    """The backend of a user hash in a tag, and when that expires."""
    placed: list[tuple[int, str]] = field(default_factory=list)
    """The user hashes that ``director map`` lists, each with its backend."""
    sessions: dict[str, Sequence[tuple[str, str]]] = field(default_factory=dict)
    """The sessions through each destination: user and backend."""
    failing: dict[tuple[str, str], FakeReply] = field(default_factory=dict)
    """What a destination answers instead, by it and the subcommand: ``map``, ``status USER``, ``proxy list``."""
    gates: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)
    """What a destination waits for before it answers a subcommand."""
    looked_up: list[str] = field(default_factory=list)
    """The names that hashes were asked for."""
    ring_failure: tuple[int, bytes] | None = None
    """With what status and words ``director ring status`` fails."""
    awake: asyncio.Event = field(default_factory=lambda: _set(asyncio.Event()))
    waiting: list[str] = field(default_factory=list)
    """What was asked while it slept and has no answer yet."""
    """Cleared: every director is stopped and says nothing, until it is set again."""
    records: dict[str, Records] = field(default_factory=lambda: defaultdict(Records))
    """The folders for stop records on the directors, by destination."""
    no_records: dict[str, FakeReply] = field(default_factory=dict)
    """What destinations answer instead when records are kept or looked for."""
    refuse: dict[str, DirectorTuiError] = field(default_factory=dict)
    """Why connecting fails, by destination."""
    connections: list[FakeConnection] = field(default_factory=list)
    calls: int = 0
    asks: list[Ask | None] = field(default_factory=list)
    """Who may be asked a question, for each time that it was opened."""
    on_connect: Callable[[str], Awaitable[None]] | None = None

    def set(self, ip: str, **changes: Any) -> None:
        self.rows = [replace(row, **changes) if row.ip == ip else row for row in self.rows]

    def remove(self, ip: str) -> None:
        self.rows = [row for row in self.rows if row.ip != ip]

    def break_down(self, error: DirectorTuiError) -> None:
        """Every connection is lost, and no new one is made."""
        self.refuse = dict.fromkeys(self.directors, error)
        for connection in self.connections:
            connection.lost = True

    async def connect(self, destination: str) -> FakeConnection:
        if self.on_connect is not None:
            await self.on_connect(destination)
        if destination in self.refuse:
            raise self.refuse[destination]
        connection = FakeConnection(destination, self)
        self.connections.append(connection)
        return connection

    async def close(self) -> None:
        for connection in self.connections:
            await connection.close()

    def answer(self, argv: Sequence[str], destination: str) -> FakeReply:
        self.calls += 1
        if (failure := self.failing.get((destination, _subcommand(argv)))) is not None:
            return failure
        match argv[3:]:
            case ("doveadm", "-f", "tab", "director", "map", "-u", "--", user):
                self.looked_up.append(user)
                return FakeReply(0, b"hash\n%d\n" % user_hash(user))
            case ("doveadm", "-f", "tab", "director", "map", "-f", "/dev/null", *backend):
                wanted = [(hash_, ip) for hash_, ip in self.placed if ip in backend or not backend]
                lines = [f"<unknown>\t{hash_}\t{ip}\t2026-11-23 22:00:00\n" for hash_, ip in wanted]
                return FakeReply(0, MAP_HEADER + "".join(lines).encode())
            case ("doveadm", "-f", "tab", "director", "status", "--", number, *tag):
                return FakeReply(0, PLACEMENT_HEADER + self._placement(int(number), *tag))
            case ("doveadm", "-f", "tab", "proxy", "list"):
                rows = [f"{user}\timap\t192.0.2.1\t{ip}\t143\n" for user, ip in self.sessions.get(destination, ())]
                return FakeReply(0, PROXY_HEADER + "".join(rows).encode() if rows else b"\n")
            case ("doveadm", "-f", "tab", "director", "status"):
                if self.status_failure is not None:
                    return FakeReply(self.status_failure[0], b"", self.status_failure[1])
                table = STATUS_HEADER + b"".join(row.line + b"\n" for row in self.tables.get(destination, self.rows))
                return FakeReply(0, table if self.status is None else self.status)
            case ("doveadm", "-f", "tab", "director", "ring", "status"):
                if self.ring_failure is not None:
                    return FakeReply(self.ring_failure[0], b"", self.ring_failure[1])
                peers = self.ring_rows.get(destination) or self.ring_status or self.seen_by(destination)
                return FakeReply(0, RING_HEADER + peers)
            case ("doveconf", "-n"):
                return FakeReply(0, b"# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf\n")
            case ("doveconf", "-h", "director_mail_servers"):
                return FakeReply(0, self.mail_servers + b"\n")
            case ("doveconf", *_):
                return FakeReply(0, b"director_mail_servers = " + self.mail_servers + b"\n")
        raise AssertionError(f"not a reading call of the dashboard: {argv}")

    def _placement(self, number: int, tag: str = "") -> bytes:
        rings = rings_by_tag(parse.backends(STATUS_HEADER + b"".join(row.line + b"\n" for row in self.rows)))
        hashed = (rings[tag].backend_of(number) if tag in rings else None) or ""
        current, expires = self.assigned.get((number, tag), ("n/a", None))
        until = f"{expires:%Y-%m-%d %H:%M:%S}" if expires is not None else "-1"
        return f"{current}\t{until}\t{hashed}\t{hashed}\n".encode()

    def seen_by(self, destination: str, own_status: bytes = b"ring synced") -> bytes:
        """``director ring status`` of one director, without its header."""
        together = next((part for part in self.parts if destination in part), self.directors)
        place = together.index(destination)
        rows = [
            ring_row(number, b"self", own_status, 5) if one == destination else ring_row(number, b"")
            for number, one in enumerate(self.directors)
        ]
        if len(together) > 1:
            right, left = together[(place + 1) % len(together)], together[place - 1]
            for side, other in ((b"left", left), (b"right", right)):
                number = self.directors.index(other)
                there = rows[number] if other == left == right and side == b"right" else b""
                # In a ring of two there is a row for each of the two connections.
                rows[number] = there + ring_row(number, side, b"synced", 2)
        return b"".join(rows)


def ring_row(number: int, kind: bytes, status: bytes = b"", ping_ms: int | None = None) -> bytes:
    """One line of ``director ring status``; ``number`` is that of the director in the ring, from 0 on."""
    ping = b"%d" % ping_ms if ping_ms is not None else b"-"
    connected = kind not in {b"", b"self"}
    traffic = (
        b"399668\t47444\t0\t2554\t2026-11-23 21:54:00\t2026-11-23 21:54:00" if connected else b"\t".join([b"-"] * 6)
    )
    return b"10.0.0.%d\t9090\t%s\tnever\t%s\t%s\t%s\n" % (11 + number, kind, status, ping, traffic)


@dataclass
class FakeConnection:
    """One connection of the fake SSH."""

    destination: str
    ring: FakeRing
    lost: bool = False
    abandoned: int = 0
    changing: bool = False

    async def run(self, argv: Sequence[str], limit_s: float, *, stdin: bytes = b"", kept: bool = False) -> FakeReply:
        if self.lost:
            raise ConnectionLost(f"{self.destination}: the connection was lost", "")
        try:
            async with asyncio.timeout(limit_s):
                self.ring.waiting.append(_subcommand(argv))
                try:
                    await self.ring.awake.wait()
                finally:
                    self.ring.waiting.remove(_subcommand(argv))
                if (gate := self.ring.gates.get((self.destination, _subcommand(argv)))) is not None:
                    await gate.wait()
        except TimeoutError:
            self.abandoned += 1
            raise NoAnswer(f"{self.destination}: no answer within {limit_s:g} s", "") from None
        if self.lost:
            raise ConnectionLost(f"{self.destination}: the connection was lost", "")
        if (kept_there := self.ring.records[self.destination].answer(argv[3:])) is not None:
            if self.destination in self.ring.no_records:
                return self.ring.no_records[self.destination]
            answer = kept_there(stdin)
            return FakeReply(answer.status, answer.stdout, answer.stderr)
        return self.ring.answer(argv, self.destination)

    async def stream(self, argv: Sequence[str], limit_s: float, take: Callable[[bytes], object]) -> FakeReply:
        reply = await self.run(argv, limit_s)
        take(reply.stdout)
        return replace(reply, stdout=b"")

    async def close(self) -> None:
        self.lost = True


@dataclass
class Clock:
    """The time, which a test can let pass."""

    ahead_s: float = 0.0

    @property
    def times(self) -> Times:
        return Times(mono_s=lambda: time.monotonic() + self.ahead_s)


def _subcommand(argv: Sequence[str]) -> str:
    words = [word for word in argv[4:] if word not in ("-f", "tab", "director")]
    return "status USER" if words[:2] == ["status", "--"] else " ".join(words[: 2 if words[0] == "proxy" else 1])


def _set(event: asyncio.Event) -> asyncio.Event:
    event.set()
    return event


def cluster(ring: FakeRing, **changes: Any) -> ClusterConfig:
    """A configuration that polls fast enough for a test."""
    usual = ClusterConfig(
        "mail-eu",
        tuple(DirectorConfig(destination) for destination in ring.directors),
        interval_s=0.1,
        environment="production",
        names=NAMES,
    )
    return replace(usual, **changes)


def make_app(
    ring: FakeRing,
    *,
    theme: str | None = None,
    usual_theme: str | None = None,
    others: Mapping[str, tuple[FakeRing, dict[str, Any]]] | None = None,
    open_ring: OpenRing | None = None,
    times: Times = SYSTEM_TIMES,
    make_executor: MakeExecutor = make_executor,
    **changes: Any,
) -> DirectorApp:
    """``others`` are more clusters by name, each with what is configured in another way there."""
    config = cluster(ring, **changes)
    rings = {config.name: ring} | {name: one for name, (one, _) in (others or {}).items()}

    async def open_one(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        rings[cluster.name].asks.append(ask)
        return Ring(cluster, cast("Any", rings[cluster.name]))

    more = [cluster(one, name=name, **changes) for name, (one, changes) in (others or {}).items()]
    return DirectorApp(
        *(config, open_ring or open_one),
        clusters=(config, *more),
        theme=theme,
        usual_theme=usual_theme,
        times=times,
        make_executor=make_executor,
    )


class Screen:
    """The running program as a person sees it."""

    def __init__(self, app: DirectorApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def lines(self) -> list[str]:
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def __contains__(self, text: str) -> bool:
        return text in self.text

    def line(self, text: str) -> str:
        """The one line with this text in it."""
        (found,) = [line for line in self.lines if text in line] or [""]
        assert found, f"no line has {text!r}:\n{self.text}"
        return found

    def table(self) -> list[str]:
        """The lines of the backends table, without its header."""
        lines = self.lines
        top = next((number for number, line in enumerate(lines) if line.startswith("   backend")), None)
        assert top is not None, f"no table:\n{self.text}"
        below = (number for number in range(top + 1, len(lines)) if not lines[number].strip() or "──" in lines[number])
        return lines[top + 1 : next(below, len(lines))]

    def ips(self) -> list[str]:
        """The IPs of the table, from top to bottom."""
        return [line.lstrip(" ▸◆").split()[0] for line in self.table()]

    def at_cursor(self) -> str | None:
        """The IP that the cursor stands on."""
        return next((line.lstrip(" ▸◆").split()[0] for line in self.table() if line.startswith("▸")), None)

    def marked(self) -> set[str]:
        return {line.lstrip(" ▸◆").split()[0] for line in self.table() if "◆" in line[:3]}

    def style_of(self, text: str) -> Style:
        """The style of the first piece on the screen that has this text in it."""
        for strip in self.app.screen._compositor.render_strips():
            for segment in strip:
                if text in segment.text and segment.style is not None:
                    return segment.style
        raise AssertionError(f"{text!r} is not on the screen:\n{self.text}")

    async def until(self, *texts: str, gone: Sequence[str] = (), limit_s: float = 30.0) -> None:
        """Wait until all these texts are on the screen, and those of ``gone`` are not."""

        def shown() -> bool:
            screen = self.text
            return all(text in screen for text in texts) and not any(text in screen for text in gone)

        await self.wait(shown, f"{texts}{f' without {gone}' if gone else ''}", limit_s)

    async def wait(self, true: Callable[[], bool], what: str = "", limit_s: float = 30.0) -> None:
        deadline = time.monotonic() + limit_s
        while not true():
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.text}"
            await self.pilot.pause(0.02)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def resize(self, width: int, height: int) -> None:
        await self.pilot.resize_terminal(width, height)
        await self.pilot.pause()

    async def readings(self, ring: FakeRing, number: int = 3) -> None:
        """Wait for this many more answers of the ring, and until they are drawn."""
        wanted = ring.calls + number
        await self.wait(lambda: ring.calls >= wanted, "more readings")
        await self.pilot.pause()


@asynccontextmanager
async def dashboard(
    ring: FakeRing | None = None, size: tuple[int, int] = (120, 36), *, theme: str | None = None, **changes: Any
) -> AsyncGenerator[Screen]:
    """The program on a screen of this size, with the first reading shown if the ring gives one."""
    ring = ring if ring is not None else FakeRing()
    app = make_app(ring, theme=theme, **changes)
    async with app.run_test(size=size, notifications=True) as pilot:
        screen = Screen(app, pilot)
        if not ring.refuse and ring.status is None and ring.status_failure is None and ring.on_connect is None:
            await screen.until("LIVE")
        yield screen
