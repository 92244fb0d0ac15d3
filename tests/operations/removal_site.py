"""A ring with a backend that is to be removed: assigned users, live sessions, and a metacache to be reached by SSH.

The practice ring and a real one, by the same words. What becomes of them is read with plain doveadm on every director,
and of the uploads by what the backend itself has recorded.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from director_tui.config import BackendAccess, ClusterConfig, DirectorConfig
from director_tui.demo.configuration import BACKEND_DESTINATION
from director_tui.demo.hosts import BackendHosts as PracticeHosts
from director_tui.demo.server import serve
from director_tui.director import doveadm
from director_tui.director.hashring import user_hash
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from tests.operations.test_executor_on_rings import Bench, benched, ring_of
from tests.parity.conftest import Practice, Real
from tests.ring.sshd import write_known_hosts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from director_tui.demo.command import Steps
    from director_tui.demo.ring import PracticeRing
    from director_tui.director.model import Backend
    from tests.parity.conftest import AnyRing
    from tests.ring.backend_hosts import BackendHosts
    from tests.ring.real import RealRing
    from tests.ring.sshd import Sshd

USERS = 2_000
SESSIONS = 20


class AnyHosts(ABC):
    """The machines of the backends."""

    @abstractmethod
    def uploads(self, ip: str) -> tuple[int | None, ...]:
        """The exit status of every upload of its metacache that has begun, oldest first; None while it goes on."""

    @abstractmethod
    def hold(self, ip: str) -> None:
        """From now on an upload doesn't end before release()."""

    @abstractmethod
    def release(self, ip: str) -> None: ...

    @abstractmethod
    def fail_next(self, ip: str) -> None:
        """The next upload ends with exit status 75; the one after that doesn't."""

    @abstractmethod
    def without_metacache(self, ip: str) -> None:
        """From now on it is plain Dovecot, whose doveadm has no metacache."""


class OnPractice(AnyHosts, PracticeHosts):
    """In the place of a practice ring's own."""

    def __init__(self, ring: PracticeRing) -> None:
        super().__init__(ring._configured, ring._sides, ring._sessions, lambda: ring._tick)
        ring._hosts = self
        self._uploads: dict[str, list[int | None]] = {}
        self._held: set[str] = set()
        self._plain: set[str] = set()

    def uploads(self, ip: str) -> tuple[int | None, ...]:
        return tuple(self._uploads.get(ip, ()))

    def hold(self, ip: str) -> None:
        self._held.add(ip)

    def release(self, ip: str) -> None:
        self._held.discard(ip)

    def fail_next(self, ip: str) -> None:
        self.fail_upload(ip)

    def without_metacache(self, ip: str) -> None:
        self._plain.add(ip)

    def _has_obox(self, ip: str) -> bool:
        return ip not in self._plain

    def _flushall(self, ip: str) -> Steps:
        uploads = self._uploads.setdefault(ip, [])
        place = len(uploads)
        uploads.append(None)
        while ip in self._held:
            yield
        uploads[place] = 75
        answer = yield from super()._flushall(ip)
        uploads[place] = answer.status
        return answer


class OnReal(AnyHosts):
    def __init__(self, hosts: BackendHosts) -> None:
        self._hosts = hosts

    def uploads(self, ip: str) -> tuple[int | None, ...]:
        return tuple(each.status for each in self._hosts.uploads(ip))

    def hold(self, ip: str) -> None:
        self._hosts.hold(ip)

    def release(self, ip: str) -> None:
        self._hosts.release(ip)

    def fail_next(self, ip: str) -> None:
        self._hosts.fail_next(ip)

    def without_metacache(self, ip: str) -> None:
        self._hosts.without_metacache(ip)


class RemovalSite:
    """``bench`` carries plans out on the ring; ``ip`` is the backend that is to be removed, the third of six without a
    tag. ``people`` have the sessions, one after the other through each director in turn."""

    def __init__(self, bench: Bench, hosts: AnyHosts, ip: str, people: Sequence[str]) -> None:
        self.bench = bench
        self.hosts = hosts
        self.ip = ip
        self.people = people

    @property
    def there(self) -> AnyRing:
        return self.bench.there

    async def users(self) -> list[int]:
        """How many users each director counts on the backend; -1 where it doesn't know it."""
        tables = [await self._table(director) for director in range(3)]
        return [next((one.users for one in table if one.ip == self.ip), -1) for table in tables]

    async def rows(self) -> list[Backend | None]:
        """The backend as each director has it, but for its users."""
        tables = [await self._table(director) for director in range(3)]
        rows = [next((one for one in table if one.ip == self.ip), None) for table in tables]
        return [row and dataclasses.replace(row, users=0) for row in rows]

    async def sessions(self) -> list[int]:
        """How many sessions pass through each director to the backend."""
        return [sum(ip == self.ip for _, ip in each) for each in await self.everybodys_sessions()]

    async def everybodys_sessions(self) -> list[list[tuple[str, str]]]:
        """Through each director: who has a session, and on which backend."""
        calls = [await self.bench.by_hand(self.there.ask, doveadm.proxy_list(), number) for number in range(3)]
        return [[(one.user, one.ip) for one in each] for each in calls]

    async def places(self) -> set[str | None]:
        """The backends to which the people with a session are assigned now, by every director's word."""
        hashes = [user_hash(user) for user in self.people]
        asked = [(number, hash_) for number in range(3) for hash_ in hashes]
        found = [
            await self.bench.by_hand(self.there.ask, doveadm.placement(hash_, ""), number) for number, hash_ in asked
        ]
        return {each.current for each in found}

    async def log_in_again(self) -> None:
        """Everybody who had a session opens another one, as a mail program does that has lost its own."""
        for number, user in enumerate(self.people):
            await self.bench.by_hand(self.there.log_in, user, number % 3)

    async def write_configuration(self, mail_servers: Sequence[str]) -> None:
        """Put `director_mail_servers` into each director's configuration, without a reload. Nobody has to do that for
        the practice ring."""
        if isinstance(self.there, Real):
            for director, value in zip(self.there.ring.directors, mail_servers, strict=True):
                director.write_setting("director_mail_servers", value)

    async def _table(self, director: int) -> tuple[Backend, ...]:
        return await self.bench.by_hand(self.there.ask, doveadm.status(), director)


@asynccontextmanager
async def practice_site(
    *, users: int = USERS, sessions: int = SESSIONS, speed: float = 30.0
) -> AsyncIterator[RemovalSite]:
    """``speed`` is how fast its time goes by."""
    practice = Practice()
    hosts = OnPractice(practice.ring)
    async with await serve(practice.ring, speed=speed) as server:
        ssh = Ssh(known_hosts=server.known_hosts, identity=server.identity, ssh_config=server.ssh_config)
        directors = tuple(DirectorConfig(destination) for destination in server.destinations)
        cluster = ClusterConfig("rings", directors, interval_s=1.0, backends=BackendAccess(BACKEND_DESTINATION))
        async with benched(Ring(cluster, ssh), practice) as bench:
            yield await _populated(bench, hosts, users, sessions)


@asynccontextmanager
async def real_site(
    real: RealRing,
    sshds: Sequence[Sshd],
    hosts: BackendHosts,
    folder: Path,
    *,
    users: int = USERS,
    sessions: int = SESSIONS,
) -> AsyncIterator[RemovalSite]:
    """Afterwards the ring and the backends are as they were: all backends with a vhost count of 100, and empty."""
    known_hosts = write_known_hosts(folder / "known_hosts_of_all", [*sshds, hosts.sshd])
    made = ring_of(real, sshds, known_hosts)
    access = BackendAccess(hosts.destination, doveadm=(hosts.doveadm,))
    ring = Ring(
        dataclasses.replace(made.cluster, backends=access), Ssh(known_hosts=known_hosts, identity=sshds[0].client_key)
    )
    there = Real(real)
    before = [director.config.read_text() for director in real.directors]
    hosts.forget()
    try:
        async with benched(ring, there) as bench:
            yield await _populated(bench, OnReal(hosts), users, sessions)
    finally:
        for director, text in zip(real.directors, before, strict=True):
            director.config.write_text(text)
        hosts.forget()
        there.set_back()


async def _populated(bench: Bench, hosts: AnyHosts, users: int, sessions: int) -> RemovalSite:
    """So many users are assigned to the backend, and some of them have a session each."""
    ip = [each for each, one in (await bench.backends()).items() if not one.tag][2]
    people = [f"user{number}@example.com" for number in range(sessions)]
    hashes = {user_hash(user) for user in people}
    others = [one for one in range(1, 2**32, 2**32 // (users + 1)) if one not in hashes][: users - sessions]
    await bench.by_hand(bench.there.assign_all, [*hashes, *others], ip)
    site = RemovalSite(bench, hosts, ip, people)
    await site.log_in_again()
    return site
