"""Exact prediction: what is counted, how it is read, and that a real flush then does just that."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.director.hashring import HASH_SPACE, rings_by_tag
from director_tui.errors import DoveadmError, MalformedOutput, OperationRefused
from director_tui.link.monitor import read_once
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from director_tui.operations.counting import FEW, Count, calls, count
from director_tui.operations.effect import effect_of
from director_tui.operations.forecasting import sources
from director_tui.operations.plan import Request, Standing, Target, Verb
from director_tui.operations.planning import make_plan
from tests.operations.standing import EIGHT, GOLD1, GOLD2, A, B, backend, of, reading, standing, update
from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from director_tui.operations.plan import Plan
    from tests.ring.fixtures import MakeRing
    from tests.ring.real import RealRing
    from tests.ring.sshd import Sshd

USERS = 20_000


def test_each_user_is_counted_for_where_its_hash_leads_in_its_own_tag() -> None:
    effect = effect_of(update(0, A, GOLD1), standing())
    counting = Count(effect, [A, GOLD1])
    after = rings_by_tag(effect.after)
    hashes = [random.Random(3).randrange(HASH_SPACE) for _ in range(600)]
    ips = [A, GOLD1, B] * 200
    for begin in range(0, 600, 7):
        counting.add(hashes[begin : begin + 7], ips[begin : begin + 7])
    expected: dict[str, Counter[str | None]] = {A: Counter(), GOLD1: Counter()}
    for hash_, ip in zip(hashes, ips, strict=True):
        if ip in expected:
            expected[ip][after["gold" if ip == GOLD1 else ""].backend_of(hash_)] += 1
    assert counting.parts == expected
    assert sum(counting.parts[A].values()) == 200


def test_users_without_a_usable_backend_are_counted_for_none() -> None:
    counting = Count(effect_of(update(0, GOLD1, GOLD2), standing()), [GOLD1, GOLD2])
    counting.add([5, 6, 7], [GOLD1, GOLD2, GOLD1])
    assert counting.parts == {GOLD1: {None: 2}, GOLD2: {None: 1}}


def test_few_backends_are_read_one_by_one_and_many_at_once() -> None:
    assert [call.words[4:] for call in calls(effect_of(of(Verb.FLUSH, A, B), standing()))] == [
        ("-f", "/dev/null", "--", A),
        ("-f", "/dev/null", "--", B),
    ]
    many = [backend(f"10.2.0.{number}", users=5) for number in range(1, FEW + 2)]
    request = of(Verb.FLUSH, *(one.ip for one in many))
    assert [call.words[4:] for call in calls(effect_of(request, standing(many)))] == [("-f", "/dev/null")]
    assert calls(effect_of(of(Verb.FLUSH, A), standing([backend(A), backend(B)]))) == ()


@given(st.integers(0, 2**32), st.sampled_from([Verb.FLUSH, Verb.REMOVE, Verb.DOWN, Verb.FLUSH_ALL]))
def test_a_count_loses_nobody(seed: int, verb: Verb) -> None:
    generator = random.Random(seed)
    request = Request(verb) if verb is Verb.FLUSH_ALL else of(verb, A, GOLD1)
    effect = effect_of(request, standing())
    counting = Count(effect, sources(effect))
    ips = [generator.choice(EIGHT).ip for _ in range(200)]
    counting.add([generator.randrange(HASH_SPACE) for _ in ips], ips)
    plan = make_plan(request, standing(counted=counting.parts))
    prediction = plan.prediction
    assert prediction is not None
    assert prediction.exact
    moving = [one for one in prediction.forecasts if one.users_after is not None]
    assert sum(one.users_now for one in moving) == sum(one.users_after or 0 for one in moving) + prediction.stranded


# --- on the real ring -----------------------------------------------------------------------------------------------


@pytest.fixture
def quick_ring(make_ring: MakeRing) -> RealRing:
    """Where a flush does not wait for the ends of sessions."""
    return make_ring(settings={"director_user_kick_delay": "0"})


def linked(ring: RealRing, sshds: list[Sshd], known_hosts: Path) -> Ring:
    directors = tuple(
        DirectorConfig(sshd.destination, tuple(one.doveadm_words.split()), tuple(one.doveconf_words.split()))
        for one, sshd in zip(ring.directors, sshds, strict=True)
    )
    return Ring(ClusterConfig("real", directors), Ssh(known_hosts=known_hosts, identity=sshds[0].client_key))


def scattered(ring: RealRing) -> dict[int, str]:
    """Users as years leave them: most where their hash leads, one in eight on another backend of the tag."""
    generator = random.Random(11)
    rows = ring.directors[0].backends()
    tags = {row["mail server ip"]: row["tag"] for row in rows}
    rings = rings_by_tag(backend(ip, tag=tag) for ip, tag in tags.items())
    placed: dict[int, str] = {}
    while len(placed) < USERS:
        hash_ = generator.randrange(1, HASH_SPACE)
        tag = generator.choice(["", "", "", "gold"])
        there = rings[tag].backend_of(hash_)
        assert there is not None
        if generator.randrange(8) == 0:
            there = generator.choice([ip for ip, of_tag in tags.items() if of_tag == tag])
        placed[hash_] = there
    return placed


def users_by_ip(ring: RealRing) -> list[dict[str, int]]:
    return [{row["mail server ip"]: int(row["users"]) for row in one.backends()} for one in ring.directors]


async def planned_exactly(request: Request, ring: Ring) -> Plan:
    seen: list[int] = []
    stands = Standing(await read_once(ring), ring.cluster)
    counted = await count(request, stands, ring, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == sum(sum(parts.values()) for parts in counted.values())
    plan = make_plan(request, Standing(stands.reading, ring.cluster, counted=counted))
    assert plan.prediction is not None
    assert plan.prediction.exact
    return plan


def forecast(plan: Plan) -> Mapping[str, int | None]:
    assert plan.prediction is not None
    return {one.ip: one.users_after for one in plan.prediction.forecasts}


async def test_what_is_predicted_exactly_is_what_a_flush_really_does(
    quick_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    quick_ring.assign_users(scattered(quick_ring))
    first, second = "127.0.1.2", "127.0.1.7"
    director = quick_ring.directors[0]
    link = linked(quick_ring, real_sshds, ring_known_hosts)
    try:
        for steps in (
            [of(Verb.FLUSH, first)],  # a usable one: whoever has been moved there by hand leaves, nobody else
            [update(0, first), Request(Verb.FLUSH, (Target(first),), max_parallel=1000)],
            [update(0, second), Request(Verb.FLUSH, (Target(second),), max_parallel=1000)],
            [Request(Verb.FLUSH_ALL, max_parallel=1000)],
            [update(300, "127.0.1.4", first), Request(Verb.FLUSH_ALL, max_parallel=1000)],
        ):
            before = users_by_ip(quick_ring)[0]
            plans = [await planned_exactly(steps[0], link)]
            expected = {**before, **forecast(plans[0])}
            if len(steps) > 1:
                # The second step's own plan is of the ring as it is after the first.
                for command in plans[0].commands:
                    director.doveadm(*command.call.words)
                quick_ring.wait_synced()
                plans.append(await planned_exactly(steps[1], link))
                later = {**users_by_ip(quick_ring)[0], **forecast(plans[1])}
                if steps[0].verb is Verb.UPDATE and len(steps[0].targets) == 1:
                    assert later == expected
                expected = later
            for command in plans[-1].commands:
                director.doveadm(*command.call.words)
            assert expected != before
            assert wait_until(lambda: all(said == expected for said in users_by_ip(quick_ring)), 30), (  # noqa: B023
                steps,
                expected,
                users_by_ip(quick_ring),
            )
            assert sum(users_by_ip(quick_ring)[0].values()) == USERS
    finally:
        await link.close()


async def test_a_count_that_fails_says_why_and_leaves_the_connection_good(
    real_sshds: list[Sshd], ring_known_hosts: Path, tmp_path: Path
) -> None:
    destination, printing = real_sshds[0].destination, tmp_path / "doveadm"
    cluster = ClusterConfig("real", (DirectorConfig(destination, (str(printing),)),))
    ring = Ring(cluster, Ssh(known_hosts=ring_known_hosts, identity=real_sshds[0].client_key))
    told = reading()
    assert told.snapshot is not None
    stands = Standing(replace(told, snapshot=replace(told.snapshot, director=destination)), cluster)
    table = r"user\thash\tmail server ip\texpire time\n<unknown>\t1\t10.1.0.1"
    try:
        for script, error, why in (
            ("echo nonsense", MalformedOutput, "not what doveadm director map prints"),
            ("echo 'Fatal: no such thing' >&2; exit 75", DoveadmError, "no such thing"),
            ("yes nonsense", MalformedOutput, "not what doveadm director map prints"),
            (f"printf '{table}'", MalformedOutput, "not complete"),
            (f"printf '{table}\\t-\\n'", None, ""),
        ):
            printing.write_text(f"#!/bin/sh\n{script}\n")
            printing.chmod(0o755)
            if error is None:
                assert await count(of(Verb.FLUSH, A), stands, ring) == {A: {rings_by_tag(EIGHT)[""].backend_of(1): 1}}
            else:
                with pytest.raises(error, match=why):
                    await count(of(Verb.FLUSH, A), stands, ring)
    finally:
        await ring.close()


async def test_there_is_nothing_to_count_for_a_kick() -> None:
    ring = Ring(ClusterConfig("none", (DirectorConfig("dir1"),)), Ssh())
    with pytest.raises(OperationRefused, match="nothing to count for kick"):
        await count(Request(Verb.KICK, user="joe"), standing(), ring)
