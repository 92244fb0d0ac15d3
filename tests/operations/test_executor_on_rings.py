"""Plans carried out for good on a ring behind SSH servers, the practice ring and a real one by the same test bodies.

What became of them is read with plain doveadm on every director, not by what the program says.
"""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.demo.server import serve
from director_tui.director import doveadm
from director_tui.director.hashring import rings_by_tag, user_hash
from director_tui.director.model import State
from director_tui.errors import OperationRefused, PlanOutdated
from director_tui.link.changing import SENT_AT_A_TIME
from director_tui.link.monitor import Monitor
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from director_tui.operations import operation as operation_module
from director_tui.operations import proof as proof_module
from director_tui.operations.executor import Executor
from director_tui.operations.following import next_request, set_back
from director_tui.operations.journal import Entry, Journal
from director_tui.operations.plan import Outcome, Request, Standing, Target, Verb
from director_tui.operations.planning import make_plan
from director_tui.operations.progress import LineStatus, Phase
from director_tui.operations.record import Event
from director_tui.operations.unseen_flush import unseen_flushes
from tests.link.fakes import until
from tests.operations.standing import update
from tests.parity.conftest import Practice, Real
from tests.ring.real import RealRing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from director_tui.demo.server import PracticeServer
    from director_tui.director.model import Backend
    from director_tui.link.reading import Reading
    from director_tui.operations.plan import Plan
    from director_tui.operations.progress import Progress
    from tests.parity.conftest import AnyRing
    from tests.ring.fixtures import MakeRing
    from tests.ring.sshd import Sshd

ResultT = TypeVar("ResultT")

TWO_HUNDRED = tuple(f"127.0.1.{number}" for number in range(1, 201))


class Bench:
    """An executor on a ring that is reached over SSH. ``there`` is the ring as somebody on its directors sees it."""

    def __init__(self, ring: Ring, there: AnyRing | None = None) -> None:
        self.ring = ring
        self._there = there
        self.monitor = Monitor(ring, lambda reading: None)
        self.shown: list[Progress] = []
        self.on_shown: Callable[[Progress], None] = lambda progress: None
        self.journal = Journal(ring.cluster.name)
        self.executor = Executor(ring.cluster, ring, self.monitor.fresh, self._show)

    @property
    def there(self) -> AnyRing:
        assert self._there is not None
        return self._there

    def _show(self, progress: Progress) -> None:
        self.shown.append(progress)
        self.on_shown(progress)

    async def reading(self) -> Reading:
        reading = await self.monitor.fresh()
        return reading if reading.views else await self.monitor.fresh()

    async def plan(self, request: Request) -> Plan:
        sessions = dict.fromkeys(request.ips, 0) if request.verb is Verb.REMOVE else None
        return make_plan(request, Standing(await self.reading(), self.ring.cluster, sessions))

    async def run(self, request: Request, reason: str = "", *, override: bool = False) -> Progress:
        return await self.executor.run(await self.plan(request), reason, override)

    async def by_hand(self, do: Callable[..., ResultT], *args: Any) -> ResultT:
        """Do something to the ring, or look at it, beside the program. A practice ring lives in this thread."""
        return do(*args) if isinstance(self._there, Practice) else await asyncio.to_thread(do, *args)

    async def backends(self) -> dict[str, Backend]:
        """What plain doveadm lists, once all directors list the same but for who is where."""
        return await self.by_hand(self._backends)

    def _backends(self) -> dict[str, Backend]:
        tables: list[dict[str, Backend]] = []

        def the_same() -> bool:
            tables[:] = [{one.ip: one for one in self.there.ask(doveadm.status(), number)} for number in range(3)]
            shapes = [{ip: (one.tag, one.vhosts, one.state) for ip, one in table.items()} for table in tables]
            return shapes[0] == shapes[1] == shapes[2]

        self.there.wait(the_same)
        return tables[0]


@asynccontextmanager
async def benched(ring: Ring, there: AnyRing | None = None) -> AsyncIterator[Bench]:
    made = Bench(ring, there)
    polling = asyncio.create_task(made.monitor.run())
    try:
        yield made
    finally:
        await made.executor.close()
        polling.cancel()
        await asyncio.wait([polling])
        await ring.close()


def _behind(server: PracticeServer) -> Ring:
    directors = tuple(DirectorConfig(destination) for destination in server.destinations)
    ssh = Ssh(known_hosts=server.known_hosts, identity=server.identity, ssh_config=server.ssh_config)
    return Ring(ClusterConfig("rings", directors, interval_s=1.0), ssh)


def ring_of(real: RealRing, sshds: Sequence[Sshd], known_hosts: Path) -> Ring:
    directors = tuple(
        DirectorConfig(sshd.destination, tuple(one.doveadm_words.split()), tuple(one.doveconf_words.split()))
        for one, sshd in zip(real.directors, sshds, strict=True)
    )
    return Ring(
        ClusterConfig("rings", directors, interval_s=1.0), Ssh(known_hosts=known_hosts, identity=sshds[0].client_key)
    )


@pytest.fixture(scope="module")
def own_real_ring() -> Iterator[RealRing]:
    """Nobody else is on it: what is added and removed here is in nobody's way."""
    with RealRing() as ring:
        yield ring


@pytest.fixture(params=["practice", pytest.param("real", marks=pytest.mark.real_ring)])
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """Three directors, eight backends, two tags, nobody assigned, vhost counts of 100."""
    if request.param == "practice":
        practice = Practice()
        async with await serve(practice.ring) as server, benched(_behind(server), practice) as made:
            yield made
        return
    real: RealRing = request.getfixturevalue("own_real_ring")
    ring = ring_of(real, request.getfixturevalue("real_sshds"), request.getfixturevalue("ring_known_hosts"))
    there = Real(real)
    before = there.ask(doveadm.status())
    async with benched(ring, there) as made:
        yield made
    await asyncio.to_thread(_set_back, there, before)


def _set_back(there: Real, before: Sequence[Backend]) -> None:
    there.set_back()
    there.doveadm("director", "flush", "-F", "all")
    now = {one.ip: one for one in there.ask(doveadm.status())}
    for ip in now.keys() - {one.ip for one in before}:
        there.doveadm("director", "remove", ip)
    for one in before:
        if one.ip not in now:
            there.doveadm("director", "add", *(("-t", one.tag) if one.tag else ()), one.ip, str(one.vhosts))
        there.doveadm("director", "update", one.ip, "100")
        there.doveadm("director", "up", one.ip)


async def test_vhost_counts_of_several_and_back_again(bench: Bench) -> None:
    first, second, third = tuple(await bench.backends())[:3]
    await bench.by_hand(bench.there.set_vhosts, second, 37)
    ended = await bench.run(update(0, first, second), "storage is slow")
    assert (ended.outcome, ended.notes) == (Outcome.APPLIED, ("seen on all 3 directors",))
    now = await bench.backends()
    assert [now[ip].vhosts for ip in (first, second, third)] == [0, 0, 100]
    entry = Entry(bench.journal.read().records)
    assert [one.before[ip]["vhosts"] for one, ip in zip(entry.results, (first, second), strict=True)] == [100, 37]
    assert [one.after[ip]["vhosts"] for one, ip in zip(entry.results, (first, second), strict=True)] == [0, 0]
    assert [one.exit_status for one in entry.results] == [0, 0]
    back = set_back(entry.records, await bench.reading())
    assert isinstance(back, Request)
    assert (await bench.run(back)).outcome is Outcome.APPLIED
    now = await bench.backends()
    assert [now[ip].vhosts for ip in (first, second, third)] == [100, 37, 100]


async def test_down_and_up(bench: Bench) -> None:
    ip, *_ = await bench.backends()
    for verb, state in ((Verb.DOWN, State.DOWN), (Verb.UP, State.UP)):
        ended = await bench.run(Request(verb, (Target(ip),)))
        assert ended.outcome is Outcome.APPLIED
        assert (await bench.backends())[ip].state is state


async def test_add_and_remove(bench: Bench) -> None:
    ended = await bench.run(Request(Verb.ADD, (Target("127.0.1.99", 30),), tag="gold"))
    assert ended.outcome is Outcome.APPLIED
    added = (await bench.backends())["127.0.1.99"]
    assert (added.tag, added.vhosts, added.state) == ("gold", 30, State.UP)
    ended = await bench.run(Request(Verb.REMOVE, (Target("127.0.1.99"),)))
    assert ended.outcome is Outcome.APPLIED
    assert "127.0.1.99" not in await bench.backends()


async def test_a_backend_is_emptied_by_what_follows_its_vhost_count_of_0(bench: Bench) -> None:
    ip, *_ = await bench.backends()
    hashes = dict.fromkeys(range(1, 2**32, 2**32 // 150), ip)

    def assign() -> None:
        for number in hashes:
            bench.there.assign(number, ip)

    await bench.by_hand(assign)
    stopped = await bench.run(update(0, ip))
    assert (await bench.backends())[ip].users == len(hashes), "they stay until they are flushed"
    following = next_request(stopped)
    assert following is not None
    ended = await bench.run(following)
    assert ended.outcome is Outcome.APPLIED
    assert any(one.flush is not None for one in bench.shown), "its progress is shown"
    for number in range(3):
        assert await bench.by_hand(_users_on, bench.there, ip, number) == 0
    assert unseen_flushes("rings") == ()


def _users_on(there: AnyRing, ip: str, director: int) -> int:
    return next(one.users for one in there.ask(doveadm.status(), director) if one.ip == ip)


async def test_a_flush_of_a_usable_backend_moves_those_whose_hash_leads_elsewhere(bench: Bench) -> None:
    table = await bench.backends()
    ip, *_ = table
    ring = rings_by_tag(table.values())[""]
    numbers = range(7, 2**32, 2**32 // 60)
    stay = [number for number in numbers if ring.backend_of(number) == ip]

    def assign() -> None:
        for number in numbers:
            bench.there.assign(number, ip)

    await bench.by_hand(assign)
    ended = await bench.run(Request(Verb.FLUSH, (Target(ip),)))
    assert ended.outcome is Outcome.APPLIED
    assert ended.lines[0].note == (f"by its exit status, nothing else proves it; users {len(numbers)} → {len(stay)}")
    assert (await bench.backends())[ip].users == len(stay)


async def test_move_a_user(bench: Bench) -> None:
    number = user_hash("jane@example.com")
    await bench.by_hand(bench.there.log_in, "jane@example.com", 1)
    before = (await bench.by_hand(bench.there.ask, doveadm.placement(number, ""))).current
    other = next(ip for ip in await bench.backends() if ip != before)
    request = Request(Verb.MOVE, (Target(other),), user="jane@example.com", user_hash=number)
    ended = await bench.run(request)
    assert (ended.outcome, ended.lines[0].note) == (Outcome.APPLIED, ""), ended.lines
    for director in range(3):
        placement = await bench.by_hand(bench.there.ask, doveadm.placement(number, ""), director)
        assert placement.current == other
    (result,) = Entry(bench.journal.read().records).results
    assert result.before["jane@example.com"]["ip"] == before


async def test_kick_a_user(bench: Bench) -> None:
    request = Request(Verb.KICK, user="jane@example.com", user_hash=user_hash("jane@example.com"))
    ended = await bench.run(request)
    assert (ended.outcome, ended.lines[0].note) == (
        Outcome.APPLIED,
        "nothing to kick: there was no session before",
    )
    for director in (0, 2):
        await bench.by_hand(bench.there.log_in, "jane@example.com", director)
    await bench.by_hand(bench.there.log_in, "joe@example.com", 1)
    ended = await bench.run(request)
    assert (ended.outcome, ended.lines[0].note) == (Outcome.APPLIED, "")
    left = [await bench.by_hand(bench.there.ask, doveadm.proxy_list(), number) for number in range(3)]
    assert [one.user for sessions in left for one in sessions] == ["joe@example.com"]


async def test_what_somebody_else_changed_since_the_plan_was_made(bench: Bench) -> None:
    ip, other, *_ = await bench.backends()
    plan = await bench.plan(update(0, ip))
    await bench.by_hand(bench.there.set_vhosts, ip, 50, 1)
    with pytest.raises(PlanOutdated) as outdated:
        await bench.executor.run(plan, "")
    assert outdated.value.changes == (f"{ip} vhosts: 100 → 50",)
    assert (await bench.backends())[ip].vhosts == 50
    plan = await bench.plan(update(0, other))
    await bench.by_hand(bench.there.doveadm, "director", "remove", other)
    with pytest.raises(OperationRefused):
        await bench.executor.run(plan, "")
    assert other not in await bench.backends()
    assert bench.journal.read().records == ()


# Only a real ring can be broken like this.


@dataclass(frozen=True)
class BreakableRing:
    ring: RealRing
    sshds: list[Sshd]


@pytest.fixture
def two_hundred(make_ring: MakeRing, real_sshds: list[Sshd]) -> BreakableRing:
    return BreakableRing(make_ring(backends=" ".join(TWO_HUNDRED)), real_sshds)


def zeroes(real: RealRing, director: int = 0) -> set[str]:
    return {row["mail server ip"] for row in real.directors[director].backends() if row["vhosts"] == "0"}


async def test_real_two_hundred_backends_at_once(two_hundred: BreakableRing, ring_known_hosts: Path) -> None:
    async with benched(ring_of(two_hundred.ring, two_hundred.sshds, ring_known_hosts)) as bench:
        ended = await bench.run(update(0, *TWO_HUNDRED))
        assert (ended.outcome, ended.notes) == (Outcome.APPLIED, ("seen on all 3 directors",))
    for director in range(3):
        assert zeroes(two_hundred.ring, director) == set(TWO_HUNDRED)


async def test_real_a_connection_that_is_lost_between_intent_and_result(
    two_hundred: BreakableRing, ring_known_hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 2.0)
    async with benched(ring_of(two_hundred.ring, two_hundred.sshds, ring_known_hosts)) as bench:
        cut = False

        def cut_it(progress: Progress) -> None:
            nonlocal cut
            if not cut and sum(line.status is LineStatus.DONE for line in progress.lines) == 60:
                cut = True
                two_hundred.sshds[0].kill_sessions()

        bench.on_shown = cut_it
        ended = await bench.run(update(0, *TWO_HUNDRED))
        results = Entry(bench.journal.read().records).results
    applied = {line.target for line in ended.lines if line.status is LineStatus.APPLIED}
    assert 60 <= len(applied) < 200
    assert applied == zeroes(two_hundred.ring, 1) == set(TWO_HUNDRED[: len(applied)])
    unknown = {line.target for line in ended.lines if line.status is LineStatus.UNKNOWN}
    assert 0 < len(unknown) <= SENT_AT_A_TIME, "no more can be on their way, and of these the end was not seen"
    not_sent = {line.target for line in ended.lines if line.note == "not sent"}
    assert len(applied) + len(unknown) + len(not_sent) == 200
    assert ended.outcome is Outcome.UNKNOWN
    assert any("went away before the command ended" in note for note in ended.notes), ended.notes
    assert {one.targets[0] for one in results if one.outcome is Outcome.APPLIED} == applied
    assert len(results) == 200


async def test_real_a_director_that_is_stopped_in_the_middle_of_many(
    two_hundred: BreakableRing, ring_known_hosts: Path
) -> None:
    real = two_hundred.ring
    async with benched(ring_of(real, two_hundred.sshds, ring_known_hosts)) as bench:
        stopping: list[asyncio.Future[None]] = []

        def stop_it(progress: Progress) -> None:
            if not stopping and any(line.status is LineStatus.DONE for line in progress.lines):
                stopping.append(asyncio.ensure_future(asyncio.to_thread(real.directors[0].stop)))

        bench.on_shown = stop_it
        running = asyncio.create_task(bench.run(update(0, *TWO_HUNDRED)))
        await until(lambda: bool(bench.shown and bench.shown[-1].phase in {Phase.ASKING, Phase.ENDED}))
        assert bench.shown[-1].phase is Phase.ASKING
        assert "Go on with the other" in bench.shown[-1].question
        await stopping[0]
        bench.executor.decide(False)
        ended = await running
    applied = {line.target for line in ended.lines if line.status is LineStatus.APPLIED}
    assert applied == zeroes(real, 1) == zeroes(real, 2)
    assert LineStatus.UNKNOWN not in {line.status for line in ended.lines}
    assert any(note.startswith("seen on 2 of 3 directors; not on ") for note in ended.notes), ended.notes


async def test_real_a_ring_that_gets_out_of_sync_is_unknown_until_it_is_read_again(
    make_ring: MakeRing, real_sshds: list[Sshd], ring_known_hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 1.0)
    monkeypatch.setattr(operation_module, "LATER_BEAT_S", 0.2)
    real = make_ring(backends="127.0.1.1 127.0.1.2 127.0.1.3")
    async with benched(ring_of(real, real_sshds, ring_known_hosts)) as bench:
        frozen = False

        def freeze(progress: Progress) -> None:
            nonlocal frozen
            if not frozen and progress.phase is Phase.RUNNING:
                frozen = True
                real.directors[1].freeze()

        bench.on_shown = freeze
        # Two, because the first is made before the director can know that its neighbour is silent.
        plan = await bench.plan(update(0, "127.0.1.1", "127.0.1.2"))
        short = [dataclasses.replace(one, call=dataclasses.replace(one.call, limit_s=1.0)) for one in plan.commands]
        ended = await bench.executor.run(dataclasses.replace(plan, commands=tuple(short)), "")
        assert LineStatus.UNKNOWN in {line.status for line in ended.lines}
        assert ended.outcome is Outcome.UNKNOWN
        real.directors[1].thaw()
        await until(lambda: bench.shown[-1].outcome is Outcome.APPLIED)
        await until(lambda: Entry(bench.journal.read().records).outcome is Outcome.APPLIED)
        assert any(one.event is Event.NOTE and one.exit_status == 0 for one in bench.journal.read().records)
    for director in range(3):
        assert zeroes(real, director) == {"127.0.1.1", "127.0.1.2"}


async def test_real_a_flush_whose_end_is_not_seen(
    make_ring: MakeRing, real_sshds: list[Sshd], ring_known_hosts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five users at a time take a hundred seconds, so it is still going on when it is lost."""
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 2.0)
    real = make_ring(backends="127.0.1.7 127.0.1.8")
    numbers = range(1, 2**32, 2**32 // 250)
    real.assign_users(dict.fromkeys(numbers, "127.0.1.7"))
    async with benched(ring_of(real, real_sshds, ring_known_hosts)) as bench:
        await bench.run(update(0, "127.0.1.7"))
        lost = False

        def lose_it(progress: Progress) -> None:
            nonlocal lost
            if not lost and progress.flush is not None:
                lost = True
                real_sshds[0].kill_sessions()

        bench.on_shown = lose_it
        ended = await bench.run(Request(Verb.FLUSH, (Target("127.0.1.7"),), max_parallel=5))
        assert ended.outcome is Outcome.UNKNOWN
        assert "the flush may still be going on" in ended.lines[0].note
        (unseen,) = unseen_flushes("rings")
        assert unseen.ip == "127.0.1.7"
        with pytest.raises(OperationRefused, match=r"nobody has seen the end of the flush of 127\.0\.1\.7"):
            await bench.run(Request(Verb.ADD, (Target("127.0.1.9", 100),)))
        added = await bench.run(Request(Verb.ADD, (Target("127.0.1.200", 100),)), override=True)
        assert added.outcome is Outcome.APPLIED
