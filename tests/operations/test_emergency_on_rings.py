"""Stop, disconnecting everyone, and recovery on the practice ring and on a real one; the worst cases on a real one.

What became of them is read with plain doveadm on every director.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.demo.server import serve
from director_tui.director import doveadm
from director_tui.director.model import State
from director_tui.errors import OperationRefused
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from director_tui.link.users import each_once
from director_tui.operations.emergency import Stop, disconnect_plan, recover_plan, stop_in, stop_plan
from director_tui.operations.plan import Outcome, Request, Standing, Target, Verb
from director_tui.operations.stop_keeping import Found, find_records
from director_tui.operations.stop_record import addresses
from director_tui.operations.unseen_flush import unseen_flushes
from director_tui.state import state_folder
from tests.link.fakes import until
from tests.operations.test_executor_on_rings import TWO_HUNDRED, Bench, benched, ring_of
from tests.parity.conftest import Practice, Real
from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from director_tui.director.model import ProxySession
    from director_tui.link.reading import Reading
    from director_tui.operations.progress import Progress
    from tests.parity.conftest import AnyRing
    from tests.ring.fixtures import MakeRing
    from tests.ring.real import RealDirector, RealRing
    from tests.ring.sshd import Sshd

ODD = (100, 0, 17, 250, 1000, 1, 64, 99)


@pytest.fixture(params=["practice", pytest.param("real", marks=pytest.mark.real_ring)])
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Three directors, eight backends of two tags with many different vhost counts."""
    if request.param == "practice":
        practice = Practice()
        async with await serve(practice.ring) as server:
            ssh = Ssh(known_hosts=server.known_hosts, identity=server.identity, ssh_config=server.ssh_config)
            directors = tuple(DirectorConfig(destination) for destination in server.destinations)
            async with with_odd_counts(Ring(ClusterConfig("rings", directors, interval_s=1.0), ssh), practice) as made:
                yield made
        return
    real: RealRing = request.getfixturevalue("make_ring")()
    sshds = request.getfixturevalue("real_sshds")
    ring = ring_of(real, sshds, request.getfixturevalue("ring_known_hosts"))
    async with with_odd_counts(kept_in(ring, tmp_path / "records"), Real(real)) as made:
        yield made


def kept_in(ring: Ring, folder: Path) -> Ring:
    """All directors of a real ring are on this machine, so that they have one folder for records."""
    return Ring(dataclasses.replace(ring.cluster, records=str(folder)), ring.ssh)


@asynccontextmanager
async def with_odd_counts(ring: Ring, there: AnyRing) -> AsyncIterator[Bench]:
    async with benched(ring, there) as made:
        for ip, count in zip(await made.backends(), ODD, strict=True):
            await made.by_hand(there.set_vhosts, ip, count)
        yield made


async def counts(bench: Bench) -> dict[str, int]:
    return {ip: one.vhosts for ip, one in (await bench.backends()).items()}


async def found(bench: Bench, reading: Reading) -> Found:
    cluster = bench.ring.cluster
    links = each_once(bench.ring.links, reading.views)
    return await find_records(cluster.name, links, cluster.records, addresses(reading.rings.values()))


async def now(bench: Bench) -> tuple[Standing, Stop | None]:
    reading = await bench.monitor.fresh()
    reading = reading if reading.views else await bench.monitor.fresh()
    return Standing(reading, bench.ring.cluster), stop_in(await found(bench, reading), reading)


async def test_a_stop_and_its_recovery_by_another_operator(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = await counts(bench)
    assert sorted(before.values()) == sorted(ODD)
    ended = await bench.executor.run(stop_plan(*await now(bench)), "the storage groans")
    assert ended.outcome is Outcome.APPLIED
    assert set((await counts(bench)).values()) == {0}
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another"))
    standing, stop = await now(bench)
    assert stop is not None
    assert (stop.in_force, stop.record.reason) == (True, "the storage groans")
    ended = await bench.executor.run(recover_plan(standing, stop), "")
    assert ended.outcome is Outcome.APPLIED
    assert await counts(bench) == before
    assert (await now(bench))[1] is None


async def test_a_director_that_is_down_during_a_stop_is_back_for_the_recovery(bench: Bench) -> None:
    before = await counts(bench)
    await now(bench)
    await bench.by_hand(bench.there.stop, 2)
    standing, _ = await now(bench)
    ended = await bench.executor.run(stop_plan(standing), "")
    assert ended.outcome is Outcome.APPLIED
    assert any(note.startswith("seen on 2 of 3 directors; not on ") for note in ended.notes), ended.notes
    await bench.by_hand(bench.there.start_again, 2)
    assert await counts(bench) == dict.fromkeys(before, 0), "it takes the counts of the ring, and not its configuration"
    standing, stop = await now(bench)
    assert stop is not None
    ended = await bench.executor.run(recover_plan(standing, stop), "")
    assert ended.outcome is Outcome.APPLIED
    assert await counts(bench) == before


async def test_what_a_monitor_sets_meanwhile_is_seen_and_no_saved_count_is_lost(bench: Bench) -> None:
    before = await counts(bench)
    first = next(ip for ip, count in before.items() if count == 17)
    met: list[asyncio.Task[None]] = []

    def interfere(progress: object) -> None:
        """It sets one up that is up, and gives it a count of its own, as soon as it is at 0."""
        line = next((line for line in bench.shown[-1].lines if line.target == first), None)
        if line is not None and line.elapsed_s is not None and not met:
            met.append(asyncio.create_task(bench.by_hand(bench.there.set_state, first, State.UP)))
            met.append(asyncio.create_task(bench.by_hand(bench.there.set_vhosts, first, 55)))

    bench.on_shown = interfere
    ended = await bench.executor.run(stop_plan(*await now(bench)), "")
    await asyncio.gather(*met)
    assert met
    assert ended.outcome is not Outcome.APPLIED, "it is not at 0 on every director, or was so for a moment only"
    assert await counts(bench) == dict.fromkeys(before, 0) | {first: 55}
    standing, stop = await now(bench)
    assert stop is not None
    ended = await bench.executor.run(stop_plan(standing, stop), "the rest")
    assert [line.target for line in ended.lines] == [first]
    assert ended.outcome is Outcome.APPLIED
    standing, stop = await now(bench)
    assert stop is not None
    assert {ip: one.vhosts for ip, one in stop.saved.items()} == before
    # And once more before the recovery, on another one: that one is left as it is unless somebody wants it back.
    other = next(ip for ip, count in before.items() if count == 250)
    await bench.by_hand(bench.there.set_vhosts, other, 100)
    standing, stop = await now(bench)
    ended = await bench.executor.run(recover_plan(standing, stop), "")
    assert ended.outcome is Outcome.APPLIED
    assert await counts(bench) == before | {other: 100}
    assert (await now(bench))[1] is None


async def test_real_a_stop_does_not_wait_for_a_flush(
    make_ring: MakeRing, real_sshds: list[Sshd], ring_known_hosts: Path, tmp_path: Path
) -> None:
    """A director takes vhost counts while it flushes: five users at a time take a hundred seconds."""
    real = make_ring()
    flushed = "127.0.1.1"
    real.assign_users(dict.fromkeys(range(1, 2**32, 2**32 // 250), flushed))
    async with benched(kept_in(ring_of(real, real_sshds, ring_known_hosts), tmp_path / "records"), Real(real)) as made:
        await made.run(Request(Verb.UPDATE, (Target(flushed, 0),)))
        before = await counts(made)
        flushing = asyncio.create_task(made.run(Request(Verb.FLUSH, (Target(flushed),), max_parallel=5)))
        await until(lambda: any(one.flush is not None for one in made.shown))
        ended = await made.executor.run(stop_plan(*await now(made)), "")
        assert ended.outcome is Outcome.APPLIED
        assert await counts(made) == dict.fromkeys(before, 0)
        assert not flushing.done()
        assert [one.ip for one in unseen_flushes("rings")] == [flushed]
        _, stop = await now(made)
        assert stop is not None
        assert {ip: one.vhosts for ip, one in stop.saved.items()} == before
        real_sshds[0].kill_sessions()  # or its connection would be there for as long as it takes
        assert (await flushing).outcome is Outcome.UNKNOWN
        assert [one.ip for one in unseen_flushes("rings")] == [flushed], "no backend is added or removed before its end"


@pytest.mark.parametrize("by_name", [False, True], ids=["by backend", "by name"])
async def test_everyone_is_disconnected_on_every_director(bench: Bench, by_name: bool) -> None:
    first, *_, last = await bench.backends()
    for ip, start in ((first, 1), (last, 3)):
        await bench.by_hand(bench.there.assign_all, range(start, 2**32, 2**32 // 1000), ip)
    for number in range(30):
        await bench.by_hand(bench.there.log_in, f"user{number}@example.com", number % 3)
    assert [len(await sessions(bench, number)) for number in range(3)] == [10, 10, 10]
    with pytest.raises(OperationRefused, match=r"nobody is disconnected yet: .* is usable on"):
        disconnect_plan((await now(bench))[0])
    await bench.executor.run(stop_plan(*await now(bench)), "")
    assert sum([len(await sessions(bench, number)) for number in range(3)]) == 30, "they keep reaching their backends"
    standing, _ = await now(bench)
    known = {}
    if by_name:
        assert standing.reading.settings is not None
        version = min((2, 3, 13), standing.reading.settings.version)
        old = dataclasses.replace(standing.reading.settings, version=version)
        standing = dataclasses.replace(standing, reading=dataclasses.replace(standing.reading, settings=old))
        known = {link.name: await sessions(bench, number) for number, link in enumerate(bench.ring.links)}
    plan = disconnect_plan(standing, known)
    assert any("proxy kick --" in line for line in plan.command_lines) is by_name
    ended = await bench.executor.run(plan, "")
    assert ended.outcome is Outcome.APPLIED, [(line.text, line.status, line.note, line.output) for line in ended.lines]
    assert [len(await sessions(bench, number)) for number in range(3)] == [0, 0, 0]
    assert {one.users for one in (await bench.backends()).values()} == {0}
    assert ended.lines[0].elapsed_s is not None
    assert ended.lines[0].elapsed_s < 25, "a round of 30 s was waited for"


async def sessions(bench: Bench, director: int) -> Sequence[ProxySession]:
    return await bench.by_hand(bench.there.ask, doveadm.proxy_list(), director)


# --- two hundred backends, on a real ring alone -------------------------------------------------------------------

TAGGED = " ".join(f"{ip}@gold" if number % 3 == 0 else ip for number, ip in enumerate(TWO_HUNDRED))


def vhosts(director: RealDirector) -> dict[str, int]:
    return {row["mail server ip"]: int(row["vhosts"]) for row in director.backends()}


@pytest.fixture
def large(make_ring: MakeRing, real_sshds: list[Sshd], ring_known_hosts: Path, tmp_path: Path) -> Large:
    ring = make_ring(backends=TAGGED)
    # Every fourth is set to a count of its own, and some of these to 0: a director needs a while for each.
    odd = {ip: (number * 37) % 101 if number % 11 else 0 for number, ip in enumerate(TWO_HUNDRED) if number % 4 == 0}
    before = dict.fromkeys(TWO_HUNDRED, 100) | odd
    lines = "\n".join(f"{ring.directors[0].doveadm_words} director update {ip} {count}" for ip, count in odd.items())
    subprocess.run(["sh", "-ec", lines], check=True)
    made = Large(ring, real_sshds, ring_known_hosts, tmp_path, before)
    assert made.everywhere(before)
    return made


@dataclasses.dataclass
class Large:
    ring: RealRing
    sshds: list[Sshd]
    known_hosts: Path
    folder: Path
    before: dict[str, int]

    @property
    def records(self) -> Path:
        return self.folder / "records"

    def everywhere(self, wanted: dict[str, int]) -> bool:
        return wait_until(lambda: all(vhosts(one) == wanted for one in self.ring.directors), 30)

    def settle(self) -> dict[str, int]:
        """The counts, once no doveadm changes them any more."""
        tables: list[list[dict[str, int]]] = [[]]

        def still() -> bool:
            tables.append([vhosts(one) for one in self.ring.directors])
            return tables[-1] == tables[-2] and all(one == tables[-1][0] for one in tables[-1])

        assert wait_until(still, 30)
        return tables[-1][0]

    def stopping(self) -> subprocess.Popen[str]:
        places = zip(self.ring.directors, self.sshds, strict=True)
        where = {
            "directors": [(sshd.destination, one.doveadm_words.split()) for one, sshd in places],
            "known_hosts": str(self.known_hosts),
            "identity": str(self.sshds[0].client_key),
            "records": str(self.records),
        }
        (self.folder / "where.json").write_text(json.dumps(where))
        return subprocess.Popen(
            [sys.executable, "-m", "tests.operations.stopping", str(self.folder / "where.json")],
            env=os.environ | {"XDG_STATE_HOME": str(self.folder / "killed")},
            stdout=subprocess.PIPE,
            text=True,
        )

    @asynccontextmanager
    async def bench(self) -> AsyncIterator[Bench]:
        ring = kept_in(ring_of(self.ring, self.sshds, self.known_hosts), self.records)
        async with benched(ring, Real(self.ring)) as made:
            yield made


@pytest.mark.parametrize("ended", [1, 60, 150])
async def test_a_program_that_is_killed_in_the_middle_of_a_stop_and_a_recovery_by_another(
    large: Large, monkeypatch: pytest.MonkeyPatch, ended: int
) -> None:
    def kill_in_the_middle() -> dict[str, int]:
        with large.stopping() as program:
            assert program.stdout is not None
            for line in program.stdout:
                if line == f"ended {ended}\n":
                    program.kill()
                    break
        assert program.returncode < 0, "it came to its end before"
        return large.settle()

    after = await asyncio.to_thread(kill_in_the_middle)
    assert list(after.values()).count(0) > ended
    monkeypatch.setenv("XDG_STATE_HOME", str(large.folder / "another"))
    async with large.bench() as made:
        standing, stop = await now(made)
        assert stop is not None
        assert {ip: one.vhosts for ip, one in stop.saved.items()} == large.before
        progress = await made.executor.run(recover_plan(standing, stop), "")
        assert progress.outcome is Outcome.APPLIED
    assert await asyncio.to_thread(large.everywhere, large.before)


async def test_a_recovery_with_the_script_alone_on_any_director(large: Large) -> None:
    async with large.bench() as made:
        progress = await made.executor.run(stop_plan(*await now(made)), "")
        assert progress.outcome is Outcome.APPLIED
        script = next(large.records.glob("recover-*.sh"))
        assert await asyncio.to_thread(large.everywhere, dict.fromkeys(large.before, 0))
        shutil.rmtree(state_folder("rings"))
        # One folder has the three directors' copies here, so that its words may be those of any of them.
        ran = await asyncio.to_thread(subprocess.run, ["sh", str(script)], capture_output=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, b"")
        assert await asyncio.to_thread(large.everywhere, large.before)
        assert (await now(made))[1] is None


async def test_a_stop_whose_connection_is_cut_in_the_middle_is_carried_out_and_proven(large: Large) -> None:
    async with large.bench() as made:
        cut: list[bool] = []
        proven = asyncio.Event()

        def watch(progress: Progress) -> None:
            if progress.outcome is Outcome.APPLIED:
                proven.set()
            if not cut and sum(line.elapsed_s is not None for line in made.shown[-1].lines) > 40:
                cut.append(True)
                large.sshds[0].kill_sessions()

        made.on_shown = watch
        progress = await made.executor.run(stop_plan(*await now(made)), "")
        assert cut
        assert progress.outcome is not Outcome.NOT_APPLIED
        async with asyncio.timeout(120):  # a machine that is busy may be at it longer than the proof waits
            await proven.wait()
    assert await asyncio.to_thread(large.everywhere, dict.fromkeys(large.before, 0))
