"""The practice ring's backends as one finds them by SSH: who reaches them, and what their metacache does."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from director_tui import cli
from director_tui.demo.command import Answer
from director_tui.demo.configuration import BACKEND_DESTINATION, backend_names
from director_tui.demo.ring import PracticeRing
from director_tui.demo.scenarios import SCENARIOS
from director_tui.demo.server import PracticeServer, serve
from director_tui.director import doveadm
from director_tui.link.backends import backend_link
from tests.demo.test_server import connect
from tests.ring.real import PATH

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from director_tui.link.ring import Ring

START = datetime(2026, 11, 23, 21, 54, tzinfo=UTC)
FLUSHALL = ("doveadm", "metacache", "flushall")
OBOX, AILING, GOLDEN, ADDED = "10.1.0.1", "10.1.0.2", "10.1.0.8", "10.1.0.77"


def make(assigned: int = 0, scenario: str = "calm") -> PracticeRing:
    ring = PracticeRing(users=0, start=START, scenario=scenario)
    for number in range(1, assigned + 1):
        ring.assign(number * (2**32 // (assigned + 1)), OBOX)
    return ring


def flushall(ring: PracticeRing, ip: str = OBOX) -> tuple[Answer, float]:
    """What came of it, and how many seconds it took."""
    began, running = ring.now, ring.start_on_backend(ip, FLUSHALL)
    while running.answer is None:
        ring.advance(0.25)
    return running.answer, (ring.now - began).total_seconds()


def uploaded(users: int) -> bytes:
    return b"metacache: %d users uploaded\n" % users


def test_an_upload_takes_its_time_by_the_users_who_have_something_to_upload() -> None:
    ring = make(3_000)
    first, first_s = flushall(ring)
    assert (first.status, first.stdout, first.stderr, first_s) == (0, uploaded(3_000), b"", 20)
    again, again_s = flushall(ring)
    assert (again.status, again.stdout, again_s) == (0, uploaded(200), 3)
    for ip, users in ((OBOX, 0), ("10.1.0.2", 0)):
        ring.set_vhosts(ip, users)
    ring.forget_users(OBOX)
    ring.advance(300)
    assert flushall(ring)[0].stdout == uploaded(3_000), "those who have left since have changed something before"
    ring.advance(300)
    assert flushall(ring)[0].stdout == uploaded(0)


def test_an_upload_takes_a_minute_at_most() -> None:
    assert flushall(make(20_000)) == (Answer(0, uploaded(20_000)), 60)


def test_an_upload_that_breaks_off_has_uploaded_nothing_for_good_and_the_next_one_everything() -> None:
    ring = make(3_000)
    ring.fail_upload(OBOX)
    failed, failed_s = flushall(ring)
    assert (failed.status, failed.stdout) == (75, uploaded(1_500))
    assert failed.stderr == b"Error: obox: upload failed after 1500 of 3000 users: HTTP 503 Service Unavailable\n"
    assert failed_s == pytest.approx(10, abs=0.5)
    assert flushall(ring)[0] == Answer(0, uploaded(3_000))


def test_nothing_can_be_uploaded_while_the_storage_fails() -> None:
    ring = make(3_000)
    ring.fail(OBOX, 0.4)
    assert flushall(ring)[0].status == 0, "a part of its sessions break, for whatever reason"
    ring.fail(OBOX, 1.0)
    assert flushall(ring)[0].status == 75
    ring.repair(OBOX)
    assert flushall(ring)[0].status == 0


def test_a_drill_in_which_the_ailing_backend_fails_once() -> None:
    ring = make(300, "ailing-backend")
    ring.advance(20)
    assert backend_names(8)[AILING] in SCENARIOS["ailing-backend"].summary
    assert [flushall(ring, ip)[0].status for ip in (AILING, OBOX, AILING, OBOX)] == [75, 0, 0, 0]


def test_a_backend_without_obox_answers_as_plain_dovecot_does() -> None:
    answer, _ = flushall(make(), GOLDEN)
    assert (answer.status, answer.stdout) == (64, b"")
    assert b"metacache" not in answer.stderr


@pytest.mark.real_ring
def test_plain_dovecot_s_answer_is_that_of_the_real_one() -> None:
    doveadm_path = shutil.which("doveadm", path=PATH)
    assert doveadm_path
    real = subprocess.run([doveadm_path, *FLUSHALL[1:]], capture_output=True, check=False)
    answer, _ = flushall(make(), GOLDEN)
    assert (answer.status, answer.stdout, answer.stderr) == (real.returncode, real.stdout, real.stderr)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("env TZ=UTC LC_ALL=C sudo -n doveadm metacache flushall", 0),
        ("/usr/bin/doveadm -v metacache flushall -i", 0),
        ("doveadm metacache flushall jane", 64),
        ("doveadm metacache flushall -x", 64),
        ("doveadm metacache list", 64),
        ("doveadm director status", 64),
        ("doveadm -x", 89),
        ("doveadm", 64),
        ("doveconf -n", 127),
        ("id", 127),
    ],
)
def test_there_is_nothing_else_on_a_backend(words: str, status: int) -> None:
    ring = make()
    running = ring.start_on_backend(OBOX, words.split())
    ring.advance(5)
    assert running.answer is not None
    assert running.answer.status == status
    assert bool(running.answer.stderr) is (status != 0)


def test_a_backend_that_was_added_is_there_and_a_configured_one_that_was_removed_too() -> None:
    ring = make()
    assert not ring.has_host(ADDED)
    ring.execute(0, ("doveadm", "director", "add", ADDED))
    ring.execute(0, ("doveadm", "director", "remove", OBOX))
    assert ring.has_host(ADDED)
    assert flushall(ring, ADDED)[0].status == flushall(ring, OBOX)[0].status == 0
    ring.execute(0, ("doveadm", "director", "remove", ADDED))
    assert not ring.has_host(ADDED)
    assert ring.has_host(OBOX)


# Over SSH.


@pytest.fixture
async def server() -> AsyncIterator[PracticeServer]:
    async with await serve(make(300), speed=60) as running, asyncio.timeout(20):
        yield running


@contextlib.asynccontextmanager
async def on_backend(
    server: PracticeServer, ip: str, port: int = 22, director: int = 0
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    user, _, host = BACKEND_DESTINATION.format(ip=ip).partition("@")
    async with (
        connect(server, director) as through,
        asyncssh.connect(
            host,
            port,
            tunnel=through,
            username=user,
            known_hosts=str(server.known_hosts),
            client_keys=[str(server.identity)],
            agent_path=None,
            config=None,
        ) as connection,
    ):
        yield connection


async def test_backends_are_reached_through_every_director(server: PracticeServer) -> None:
    for director in range(3):
        async with on_backend(server, OBOX, director=director) as connection:
            done = await connection.run("env TZ=UTC LC_ALL=C doveadm metacache flushall")
            assert (done.exit_status, done.stderr) == (0, "")
    async with on_backend(server, GOLDEN) as connection:
        assert (await connection.run("doveadm metacache flushall")).exit_status == 64


async def test_several_come_to_the_same_backend_at_once(server: PracticeServer) -> None:
    async def flush(director: int) -> int | None:
        async with on_backend(server, OBOX, director=director) as connection:
            return (await connection.run("doveadm metacache flushall")).exit_status

    assert await asyncio.gather(*map(flush, (0, 0, 1, 2))) == [0, 0, 0, 0]


@pytest.mark.parametrize(("ip", "port"), [("10.1.0.99", 22), (OBOX, 143), ("127.0.0.1", 22), ("localhost", 22)])
async def test_no_connection_is_forwarded_elsewhere(server: PracticeServer, ip: str, port: int) -> None:
    with pytest.raises(asyncssh.ChannelOpenError):
        async with on_backend(server, ip, port):
            pass


async def test_a_backend_forwards_nothing_itself(server: PracticeServer) -> None:
    async with on_backend(server, OBOX) as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("10.1.0.2", 22)


async def test_the_host_key_of_a_backend_is_really_checked(server: PracticeServer) -> None:
    lines = server.known_hosts.read_text().splitlines()
    directors, pattern = lines[:3], lines[3].split()[0]
    server.known_hosts.write_text("\n".join([*directors, f"{pattern} {directors[0].partition(' ')[2]}"]))
    with pytest.raises(asyncssh.HostKeyNotVerifiable):
        async with on_backend(server, OBOX):
            pass


async def test_an_upload_goes_on_when_whoever_began_it_disappears() -> None:
    ring = make(3_000)
    async with await serve(ring, speed=60) as server, asyncio.timeout(20):
        async with on_backend(server, OBOX) as connection:
            begun = ring.now
            await connection.create_process("doveadm metacache flushall")
            async with connect(server) as other:  # a round trip later it has begun
                assert (await other.run("doveadm director status")).exit_status == 64
            connection.abort()
        while (ring.now - begun).total_seconds() < 25:  # noqa: ASYNC110 - the ring's time sets no event
            await asyncio.sleep(0.01)
        assert flushall(ring)[0].stdout != uploaded(3_000)


async def test_the_servers_of_backends_end_with_the_practice_ring() -> None:
    async with await serve(make(), speed=60) as server:
        async with on_backend(server, OBOX) as connection:
            [port] = [door.port for door in server._backend_doors.values()]
            await server.close()
            await connection.wait_closed()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_the_demo_s_own_cluster_leads_to_its_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []

    def show(*given: Any) -> int:
        opened.extend(given[:2])
        return 0

    monkeypatch.setattr(cli, "_show", show)
    assert cli.main(["demo", "--users", "0", "--speed", "600"]) == 0
    cluster, open_ring = opened
    ring: Ring = await open_ring(cluster, None)
    try:
        assert ring.cluster.backends == cluster.backends
        link = backend_link(OBOX, ring)
        connection = await link.connecting()
        call = doveadm.upload_metacache().command(cluster.backends.doveadm)
        assert (await connection.run(call, 20)).status == 0
        await link.close()
    finally:
        await ring.close()
