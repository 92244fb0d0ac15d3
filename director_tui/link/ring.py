"""A ring through any of its directors: one kept connection to each, and fail-over between them."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

from director_tui.director import doveadm
from director_tui.director.doveadm import Tool
from director_tui.director.failures import failure_of
from director_tui.errors import ConnectionLost, DirectorTuiError, LinkError, NoAnswer, RingUnreadable
from director_tui.log import LOG, Troubles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from director_tui.config import ClusterConfig, DirectorConfig
    from director_tui.director.doveadm import Call
    from director_tui.link.ssh import Connection, Ssh

ResultT = TypeVar("ResultT")

BACK_OFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""How long to wait after a connection failed for the first, second … time; each is varied by up to a fifth."""

HEAD_START_S: Final = 2.0
"""How long a director may take before the next one is asked as well."""

NEXT_START_S: Final = 0.5
"""How long after that the one behind it is asked, and so on: where two say nothing, it may be all of them."""

ONCE_MORE_WITHIN_S: Final = 1.5
"""A director whose connection was lost is asked once more if that may be tried so soon: the others wait meanwhile, and
perhaps a stop."""

MAX_ABANDONED: Final = 3
"""Sessions given up on one connection before it is replaced: sshd keeps each one's slot until its command ends."""

POLLED: Final = frozenset({doveadm.status(), doveadm.ring_status()})
"""What is asked again and again, and takes little of a director's time beside that of a session of its own."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[ResultT]):
    """What one director answered. ``stdout`` is kept for those who compare bytes; ``elapsed_s`` is the round trip.

    ``held_s`` is how long ago it arrived when it is handed on: it may have been kept back while others were waited for.
    """

    value: ResultT
    director: str
    elapsed_s: float
    stdout: bytes
    held_s: float = 0.0


class Connects(Protocol):
    """What a link needs of :class:`~director_tui.link.ssh.Ssh`."""

    async def connect(self, destination: str) -> Connection: ...


class DirectorLink:
    """One director as configured: its connection, made when it is first needed and again after it was lost."""

    def __init__(self, config: DirectorConfig, ssh: Connects, name: str = "") -> None:
        """``name`` tells it from the others of its ring; without one it is called by its SSH destination."""
        self.config: Final = config
        self.name: Final = name or config.ssh
        self.failure: DirectorTuiError | None = None
        self._ssh = ssh
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[Connection] | None = None
        self._failures = 0
        self._retry_at_s = 0.0
        self._running = 0
        self._troubles = Troubles()

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.lost

    @property
    def retry_in_s(self) -> float | None:
        """Seconds until another connection is tried; None if only a person can mend what is wrong."""
        if self.failure is not None and self.failure.permanent:
            return None
        return max(0.0, self._retry_at_s - time.monotonic())

    async def call(self, call: Call[ResultT]) -> Answer[ResultT]:
        """Run one call here that only reads; those that change something are carried out by link/changing.py.

        Raises LinkError, DoveadmError or MalformedOutput, with this director's name in it.
        """
        if call.changes:
            raise ValueError("a changing call is never given up, as this one would be when its time is over")
        connection = await asyncio.shield(self.connecting())
        title = f"{self.name}: {call.title}"
        try:
            answer = await self._asked(connection, call)
        except DirectorTuiError as error:
            self._troubles.failed(title, error)
            raise
        self._troubles.went_well(title)
        LOG.debug("%s: %d bytes in %.0f ms", title, len(answer.stdout), answer.elapsed_s * 1000)
        return answer

    async def _asked(self, connection: Connection, call: Call[ResultT]) -> Answer[ResultT]:
        self._running += 1
        try:
            reply = await connection.run(self.command(call), call.limit_s, stdin=call.stdin, kept=call in POLLED)
        except DirectorTuiError as error:
            self.note_failure(connection, error)
            raise
        finally:
            self._running -= 1
            self._replace_worn_out(connection)
        failure = failure_of(call, reply.status, reply.stdout, reply.stderr)
        if failure is not None:
            self.failure = failure.at(self.name)
            raise failure
        try:
            value = call.parse(reply.stdout)
        except DirectorTuiError as error:
            self.failure = error.at(self.name)
            raise
        self.failure = None
        return Answer(value, self.name, reply.elapsed_s, reply.stdout)

    async def stream(self, call: Call[object], take: Callable[[bytes], object]) -> float:
        """Run one call here that only reads and prints much: its output goes to ``take`` in pieces, and is not parsed.

        Returns how long it took, in seconds. ``limit_s`` of the call is how long it may say nothing. Raises what
        :meth:`call` does, and whatever ``take`` raises.
        """
        if call.changes:
            raise ValueError("a changing call is never given up, as this one would be when it says nothing")
        connection = await asyncio.shield(self.connecting())
        self._running += 1
        try:
            reply = await connection.stream(self.command(call), call.limit_s, take)
        except LinkError as error:
            self._troubles.failed(f"{self.name}: {call.title}", error)
            self.note_failure(connection, error)
            raise
        finally:
            self._running -= 1
            self._replace_worn_out(connection)
        failure = failure_of(call, reply.status, b"", reply.stderr)
        if failure is not None:
            raise failure.at(self.name)
        LOG.debug("%s: %s: streamed in %.0f ms", self.name, call.title, reply.elapsed_s * 1000)
        return reply.elapsed_s

    def command(self, call: Call[object]) -> tuple[str, ...]:
        """The argument vector of a call here, with this director's own words for doveadm or doveconf."""
        words = {Tool.DOVEADM: self.config.doveadm, Tool.DOVECONF: self.config.doveconf, Tool.SH: ("sh",)}
        return call.command(words[call.tool])

    def connecting(self) -> asyncio.Task[Connection]:
        """The connection, or the attempt to make one that is under way or is begun by this.

        Raises the failure of the last attempt while it is too early for another, and for ever when it is permanent.
        """
        if self._connecting is None or (self._connecting.done() and not self.connected):
            if self.failure is not None and self.retry_in_s != 0.0:
                # Without its traceback: that would grow by a few frames each time it is raised again.
                raise self.failure.with_traceback(None)
            self._connecting = asyncio.create_task(self._connect(), name=f"connect {self.name}")
            # Nobody may be waiting for it any more when it fails; the failure is kept in this link all the same.
            self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._connecting

    def retry_now(self) -> None:
        """Forget the last failure: a person wants another attempt."""
        self._retry_at_s = 0.0
        self.failure = None

    async def close(self) -> None:
        connecting, self._connecting = self._connecting, None
        if connecting is not None and not connecting.done():
            connecting.cancel()
            await asyncio.wait([connecting])
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self) -> Connection:
        began_s = time.monotonic()
        try:
            connection = await self._ssh.connect(self.config.ssh)
        except DirectorTuiError as error:
            self._troubles.failed(f"{self.name}: connection", error)
            self._back_off(error)
            raise
        self._troubles.went_well(f"{self.name}: connection")
        LOG.info("%s: connected in %.2f s", self.name, time.monotonic() - began_s)
        self._connection = connection
        self._failures = 0
        self.failure = None
        return connection

    def _back_off(self, error: DirectorTuiError) -> None:
        wait_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        self.failure = error
        # Many dashboards lose the same director at the same moment; they should not all come back in the same one.
        self._retry_at_s = time.monotonic() + wait_s * random.uniform(0.8, 1.2)  # noqa: S311 - no secret depends on it

    def note_failure(self, connection: Connection, error: DirectorTuiError) -> None:
        """Part with a connection that is gone or worn out.

        A command that did not end in time keeps its slot in sshd, and the peer may be frozen as a whole. Closing frees
        us of it; but not while a changing call runs over it, because old directors crash when its client goes away.
        """
        if self._connection is not connection:
            return  # parted with before: that this failed, too, only comes of it
        self.failure = error
        frozen = isinstance(error, NoAnswer)
        if connection.lost:
            LOG.warning("%s: the connection was lost", self.name)
            self._connection = None
            self._back_off(error)
        elif not connection.changing and (frozen or connection.abandoned >= MAX_ABANDONED):
            LOG.warning("%s: the connection is given up: commands do not end on it", self.name)
            self._connection = None
            self._back_off(error)
            _closing(connection)

    def _replace_worn_out(self, connection: Connection) -> None:
        """Calls that were cancelled wear a connection out as well, without a failure; no other call loses by this."""
        idle = not self._running and not connection.changing
        if self._connection is connection and idle and connection.abandoned >= MAX_ABANDONED:
            self._connection = None
            _closing(connection)


class Ring:
    """The directors of one cluster. Reading sticks to one of them until it fails, then goes on with the next."""

    def __init__(
        self, cluster: ClusterConfig, ssh: Ssh, *, closing: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """``closing`` is awaited last when this is closed: what the ring lives on, if that is ours."""
        self.cluster: Final = cluster
        self._closing = closing
        self.links: Final = tuple(DirectorLink(one, ssh, director_name(one, cluster)) for one in cluster.directors)
        self.ssh: Final = ssh
        self._in_use = self.links[0]
        self._foreign: frozenset[str] = frozenset()
        self._left: set[asyncio.Task[object]] = set()

    @property
    def in_use(self) -> DirectorLink:
        """The director that is read from."""
        return self._in_use

    def use(self, name: str) -> None:
        """Read from this director from now on. Raises ValueError if it is not one of this ring's."""
        self._in_use = self.link(name)
        LOG.info("reading from %s, as somebody chose", name)

    def link(self, name: str) -> DirectorLink:
        """The director of this name. Raises ValueError if it is not one of this ring's."""
        link = next((link for link in self.links if link.name == name), None)
        if link is None:
            raise ValueError(f"{name} is no director of {self.cluster.name}")
        return link

    def leave_out(self, names: Iterable[str]) -> None:
        """Never fail over to these: they belong to another ring."""
        self._foreign = frozenset(names)

    @property
    def retry_in_s(self) -> float | None:
        """Seconds until the next attempt at any director; None if every one of them needs a person."""
        return min((wait for link in self.links if (wait := link.retry_in_s) is not None), default=None)

    def retry_now(self) -> None:
        for link in self.links:
            link.retry_now()

    async def on_one(self, call: Call[ResultT]) -> Answer[ResultT]:
        """Run a reading call on the director in use, or on the next that answers, which is then in use.

        One that is slow is not left for that. After HEAD_START_S the next is asked, too, but while the one in use is
        connected its own answer is waited for, up to the limit of the call, and the other's only stands by for when it
        fails. Raises RingUnreadable when none answers. A call that changes the ring is never sent twice: give those to
        one director's link.
        """
        if call.changes:
            raise ValueError("a changing call belongs to one director and is never tried again on another")
        began_with = self._in_use
        asking = _Asking(call, self.in_order())
        try:
            answered = await asking.outcome()
        finally:
            self._let_end(asking)
        if answered is None:
            raise RingUnreadable(
                {link.name: asking.causes[link.name] for link in self.links if link.name in asking.causes}
            )
        answer, link = answered
        if self._in_use is began_with:
            if link is not began_with:
                LOG.warning("reading from %s, no longer from %s", link.name, began_with.name)
            self._in_use = link
        return answer

    async def on_every(self, call: Call[ResultT]) -> dict[str, Answer[ResultT] | DirectorTuiError]:
        """Run a reading call on every configured director side by side: its answer, or what went wrong there, by name.

        A connection that is lost by then says nothing about its director: that is asked once more, over another one.
        One that loses every connection at once would have to be waited for longer and longer, and is not.
        """

        async def one(link: DirectorLink) -> Answer[ResultT] | DirectorTuiError:
            try:
                try:
                    return await link.call(call)
                except ConnectionLost:
                    if isinstance(link.failure, NoAnswer):
                        return link.failure  # it was closed from here, for that
                    wait_s = link.retry_in_s or 0.0
                    if wait_s > ONCE_MORE_WITHIN_S:
                        raise
                    await asyncio.sleep(wait_s)
                    return await link.call(call)
            except DirectorTuiError as error:
                return error

        answers = await asyncio.gather(*(one(link) for link in self.links))
        return {link.name: answer for link, answer in zip(self.links, answers, strict=True)}

    async def close(self) -> None:
        for task in self._left:
            task.cancel()
        if self._left:
            await asyncio.wait(self._left)
        await asyncio.gather(*(link.close() for link in self.links))
        await self.ssh.close()
        if self._closing is not None:
            await self._closing()

    def _let_end(self, asking: _Asking[ResultT]) -> None:
        """Calls that nobody waits for end by their own limits, so that a connection on which nothing comes is noticed.

        Cancelled, each would wear its connection out, and say nothing of it.
        """
        for task, link in asking.asked.items():
            if not link.connected:
                task.cancel()  # it only waits for the connection, which goes on being made
            self._left.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # or asyncio complains about an error that nobody was left to hear

    def in_order(self) -> list[DirectorLink]:
        """The director in use first, then the others as configured, beginning behind it."""
        place = self.links.index(self._in_use)
        turned = (*self.links[place:], *self.links[:place])
        return [link for link in turned if link.name not in self._foreign] or list(turned)


class _Asking(Generic[ResultT]):
    """One reading call put to one director after the other, until there is an answer to go on with.

    ``asked`` are the calls that still run, by the task of each; ``causes`` is why the others failed.
    """

    def __init__(self, call: Call[ResultT], order: Sequence[DirectorLink]) -> None:
        self.asked: dict[asyncio.Task[Answer[ResultT]], DirectorLink] = {}
        self._call = call
        self._waiting = list(order)
        # Only what is connected can be lost: before that whoever is there first is as good as another.
        self._in_use = order[0] if order[0].connected else None
        self._once_more = {link for link in order if link.connected}
        self._late = False
        self._standing_by: tuple[Answer[ResultT], DirectorLink, float] | None = None
        self.causes: dict[str, DirectorTuiError] = {}

    async def outcome(self) -> tuple[Answer[ResultT], DirectorLink] | None:
        """The answer, and who gave it; None if nobody did."""
        while self._ask_next() or self.asked:
            done, _ = await asyncio.wait(self.asked, timeout=self._patience_s(), return_when=asyncio.FIRST_COMPLETED)
            self._late = self._late or not done
            for task in [one for one in self.asked if one in done]:
                link = self.asked.pop(task)
                try:
                    answer = task.result()
                except DirectorTuiError as error:
                    self._failed(link, error)
                    continue
                if self._in_use in {None, link}:
                    return answer, link
                self._standing_by = self._standing_by or (answer, link, time.monotonic())
            if self._standing_by is not None and self._in_use is None:
                answer, link, arrived_s = self._standing_by
                return replace(answer, held_s=time.monotonic() - arrived_s), link
        for link in self._waiting:
            if link.failure is not None:
                self.causes.setdefault(link.name, link.failure)
        return None

    def _ask_next(self) -> bool:
        if self._standing_by is not None:
            return False
        for link in self._waiting:
            if link.connected or not link.retry_in_s:
                self._waiting.remove(link)
                self.asked[asyncio.create_task(link.call(self._call), name=f"ask {link.name}")] = link
                return True
        return False

    def _patience_s(self) -> float | None:
        """How long to wait before another is asked: the next, or one whose time to be tried again has come."""
        if self._standing_by is not None or not self._waiting:
            return None
        waits = [0.0 if link.connected else link.retry_in_s or 0.0 for link in self._waiting]
        return max(min(waits), NEXT_START_S if self._late else HEAD_START_S)

    def _failed(self, link: DirectorLink, error: DirectorTuiError) -> None:
        self.causes[link.name] = error
        if link is self._in_use:
            self._in_use = None
        if link in self._once_more and isinstance(error, NoAnswer | ConnectionLost):
            # The connection was dead, which says nothing about the director: it is worth another one.
            self._once_more.remove(link)
            self._waiting.append(link)


def director_name(director: DirectorConfig, cluster: ClusterConfig) -> str:
    """Its SSH destination; with the words for its doveadm where several directors are reached at the same place."""
    there = [one for one in cluster.directors if one.ssh == director.ssh]
    return director.ssh if len(there) == 1 else f"{director.ssh} ({' '.join(director.doveadm)})"


_being_closed: set[asyncio.Task[None]] = set()


def _closing(connection: Connection) -> None:
    """Close without waiting; asyncio itself keeps only a weak reference to a task."""
    task = asyncio.create_task(connection.close(), name=f"close {connection.destination}")
    _being_closed.add(task)
    task.add_done_callback(_being_closed.discard)
