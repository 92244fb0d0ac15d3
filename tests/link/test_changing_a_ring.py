"""Calls that change a real ring, over real sshds; what came of them is read with plain doveadm on every director."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import TYPE_CHECKING

import pytest

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.director import doveadm
from director_tui.errors import ConnectionLost, NoAnswer
from director_tui.link.changing import SENT_AT_A_TIME, Ended, Event, Sent, Slower, carry_out
from director_tui.link.ring import Ring
from tests.link.ssh_setup import host_block, until, write_config
from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from director_tui.link.ring import DirectorLink
    from tests.link.conftest import MakeSsh
    from tests.ring.fixtures import MakeRing, MakeSshd
    from tests.ring.real import RealDirector, RealRing
    from tests.ring.sshd import Sshd

TWO_HUNDRED = [f"127.0.1.{number}" for number in range(1, 201)]


@contextlib.asynccontextmanager
async def linked(director: RealDirector, sshd: Sshd, make_ssh: MakeSsh, folder: Path) -> AsyncIterator[DirectorLink]:
    ssh = make_ssh(write_config(folder / "config", [host_block(sshd)]))
    ring = Ring(ClusterConfig("test", (DirectorConfig(sshd.name, tuple(director.doveadm_words.split())),)), ssh)
    yield ring.links[0]
    await ring.close()


def vhosts(director: RealDirector) -> dict[str, str]:
    return {row["mail server ip"]: row["vhosts"] for row in director.backends()}


def agreed(directors: list[RealDirector]) -> dict[str, str]:
    """The vhost counts by IP, once all of these directors say the same."""
    assert wait_until(lambda: all(vhosts(one) == vhosts(directors[0]) for one in directors), 10)
    return vhosts(directors[0])


async def test_two_hundred_updates_in_one_batch(
    make_ring: MakeRing, make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    ring = make_ring(backends=" ".join(TWO_HUNDRED))
    said: list[Event] = []
    async with linked(ring.directors[0], make_sshd(), make_ssh, tmp_path) as link:
        await carry_out(link, [doveadm.update(ip, 0) for ip in TWO_HUNDRED], said.append)
    ends = [one for one in said if isinstance(one, Ended)]
    assert [(one.index, one.status, one.stdout, one.stderr) for one in ends] == [
        (index, 0, b"", b"") for index in range(200)
    ]
    for director in ring.directors:
        assert wait_until(lambda: vhosts(director) == dict.fromkeys(TWO_HUNDRED, "0"), 10), director.name  # noqa: B023


async def test_a_connection_that_is_cut_in_the_middle_of_a_batch(
    make_ring: MakeRing, make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    ring = make_ring(backends=" ".join(TWO_HUNDRED))
    sshd = make_sshd()
    said: list[Event] = []

    def cut(event: Event) -> None:
        said.append(event)
        if isinstance(event, Ended) and event.index == 60:
            sshd.kill_sessions()

    async with linked(ring.directors[0], sshd, make_ssh, tmp_path) as link:
        with pytest.raises(ConnectionLost):
            await carry_out(link, [doveadm.update(ip, 0) for ip in TWO_HUNDRED], cut)
        assert not link.connected
    ended = max(one.index for one in said if isinstance(one, Ended))
    sent = max(one.index for one in said if isinstance(one, Sent))
    assert 60 <= ended <= sent <= ended + SENT_AT_A_TIME < 199
    now = agreed(ring.directors)
    changed = [index for index, ip in enumerate(TWO_HUNDRED) if now[ip] == "0"]
    assert changed == list(range(len(changed))), "not in order"
    assert ended < len(changed) <= sent + 1


async def test_a_batch_that_goes_on_when_its_connection_is_cut(
    make_ring: MakeRing, make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    ring = make_ring(backends=" ".join(TWO_HUNDRED))
    sshd = make_sshd()
    ended: list[Ended] = []

    def cut(event: Event) -> None:
        if isinstance(event, Ended):
            ended.append(event)
        if isinstance(event, Ended) and event.index == 30:
            sshd.kill_sessions()

    calls = [doveadm.update("192.0.2.1", 0), *(doveadm.update(ip, 0) for ip in TWO_HUNDRED)]
    async with linked(ring.directors[0], sshd, make_ssh, tmp_path) as link:
        with pytest.raises(ConnectionLost):
            await carry_out(link, calls, cut, go_on=True)
    assert [one.status for one in ended] == [75, *[0] * (len(ended) - 1)]
    assert 30 < len(ended) < 150
    for director in ring.directors:
        assert wait_until(lambda: set(vhosts(director).values()) == {"0"}, 30), director.name  # noqa: B023


async def test_a_director_that_is_stopped_in_the_middle_of_a_batch(
    make_ring: MakeRing, make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    ring = make_ring(backends=" ".join(TWO_HUNDRED))
    said: list[Event] = []
    stopping: list[asyncio.Future[None]] = []

    def stop(event: Event) -> None:
        said.append(event)
        if isinstance(event, Ended) and event.index == 20:
            stopping.append(asyncio.ensure_future(asyncio.to_thread(ring.directors[0].stop)))

    async with linked(ring.directors[0], make_sshd(), make_ssh, tmp_path) as link:
        # Forwards and backwards, so that the director has enough to do until it stops.
        turns = [doveadm.update(ip, count) for count in range(40) for ip in TWO_HUNDRED]
        await carry_out(link, turns, stop)
        await stopping[0]
        assert link.connected
    *well, last = [one for one in said if isinstance(one, Ended)]
    assert {one.status for one in well} == {0}
    assert last.status == 75
    assert b"director-admin" in last.stderr
    ring.wait_synced()
    now = agreed(ring.directors[1:])
    counted = dict.fromkeys(TWO_HUNDRED, "100") | {turns[one.index].words[2]: turns[one.index].words[3] for one in well}
    unknown = turns[last.index].words[2]
    assert {ip: count for ip, count in now.items() if ip != unknown} == {
        ip: count for ip, count in counted.items() if ip != unknown
    }


async def test_a_batch_ends_at_the_first_failure(
    make_ring: MakeRing, make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    ring = make_ring(backends="127.0.1.1 127.0.1.2 127.0.1.3")
    said: list[Event] = []
    calls = [doveadm.update(ip, 7) for ip in ("127.0.1.1", "127.0.9.9", "127.0.1.2", "127.0.1.3")]
    async with linked(ring.directors[0], make_sshd(), make_ssh, tmp_path) as link:
        await carry_out(link, calls, said.append)
    first, second = [one for one in said if isinstance(one, Ended)]
    assert (first.index, first.status, second.index, second.status) == (0, 0, 1, 75)
    assert b"doesn't exist" in second.stderr
    assert agreed(ring.directors) == {"127.0.1.1": "7", "127.0.1.2": "100", "127.0.1.3": "100"}


async def test_where_a_forced_command_takes_doveadm_only(
    make_ring: MakeRing, make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    ring = make_ring(backends="127.0.1.1 127.0.1.2 127.0.1.3")
    only = 'ForceCommand case "$SSH_ORIGINAL_COMMAND" in "env TZ=UTC LC_ALL=C doveadm "*) $SSH_ORIGINAL_COMMAND;; esac'
    said: list[Event] = []
    calls = [doveadm.update(ip, 0) for ip in ("127.0.1.1", "127.0.1.2", "127.0.1.3")]
    async with linked(ring.directors[0], make_sshd(extra=[only]), make_ssh, tmp_path) as link:
        await carry_out(link, calls, said.append)
    assert isinstance(said[0], Slower)
    assert [one.index for one in said[1::2] if isinstance(one, Sent)] == [0, 1, 2]
    assert [(one.index, one.status) for one in said[2::2] if isinstance(one, Ended)] == [(0, 0), (1, 0), (2, 0)]
    assert set(agreed(ring.directors).values()) == {"0"}


@pytest.mark.parametrize("batch", [1, 2])
async def test_an_update_that_waits_for_the_ring_takes_effect_after_we_have_stopped_waiting(
    batch: int, make_ring: MakeRing, make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    ring: RealRing = make_ring(backends="127.0.1.1 127.0.1.2 127.0.1.3")
    said: list[Event] = []
    calls = [dataclasses.replace(doveadm.update(f"127.0.1.{number}", 0), limit_s=1.0) for number in range(1, batch + 1)]
    async with linked(ring.directors[0], make_sshd(), make_ssh, tmp_path) as link:
        await link.call(doveadm.status())
        ring.directors[1].freeze()
        with pytest.raises(NoAnswer):
            await carry_out(link, calls, said.append)
        assert not any(isinstance(one, Ended) for one in said)
        assert (await link.call(doveadm.status())).value, "and others don't wait with it"
        ring.directors[1].thaw()
        await until(lambda: [one.status for one in said if isinstance(one, Ended)] == [0] * batch)
    now = agreed(ring.directors)
    assert [now[f"127.0.1.{number}"] for number in (1, 2, 3)] == ["0"] * batch + ["100"] * (3 - batch)
