"""Commands whose output is read while it is printed, on a real sshd."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from director_tui.errors import ConnectionLost, NoAnswer
from director_tui.link.ssh_session import HELD_BYTES, Streamed
from tests.link.ssh_setup import until

if TYPE_CHECKING:
    from pathlib import Path

    from director_tui.link.ssh import Connection
    from tests.link.conftest import MakeSsh
    from tests.ring.fixtures import MakeSshd
    from tests.ring.sshd import Sshd

MEGABYTES = 20


@pytest.fixture
def sshd(make_sshd: MakeSshd) -> Sshd:
    return make_sshd()


@pytest.fixture
async def connection(sshd: Sshd, make_ssh: MakeSsh) -> Connection:
    return await make_ssh(sshd.ssh_config).connect(sshd.name)


async def test_all_that_is_printed_comes_in_pieces_while_everything_else_has_its_turn(connection: Connection) -> None:
    sizes: list[int] = []
    turns = 0

    async def something_else() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(something_else())
    words = ["sh", "-c", f"head -c {MEGABYTES}000000 /dev/zero; echo end >&2; exit 3"]
    reply = await connection.stream(words, 30, lambda piece: sizes.append(len(piece)))
    beside.cancel()
    assert (reply.status, reply.stdout, reply.stderr) == (3, b"", b"end\n")
    assert sum(sizes) == MEGABYTES * 1_000_000
    assert max(sizes) <= 64 * 1024
    assert turns >= len(sizes)
    assert connection.abandoned == 0


async def test_the_limit_is_for_silence(connection: Connection) -> None:
    pieces: list[bytes] = []
    dripping = ["sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done"]
    await connection.stream(dripping, 1, pieces.append)
    assert b"".join(pieces) == b"1\n2\n3\n4\n5\n6\n"
    with pytest.raises(NoAnswer, match=r"no answer within 0\.5 s"):
        await connection.stream(["sh", "-c", "echo begun; sleep 60"], 0.5, pieces.append)
    assert pieces[-1] == b"begun\n"
    assert connection.abandoned == 1


async def test_what_nobody_can_read_is_given_up_and_the_connection_stays(connection: Connection, sshd: Sshd) -> None:
    def refuse(piece: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await connection.stream(["yes"], 10, refuse)
    assert connection.abandoned == 1
    assert (await connection.run(["echo", "on"], 10)).stdout == b"on\n"
    await until(lambda: len(sshd.session_pids()) <= 1)


async def test_cancelled_it_is_given_up(connection: Connection) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(connection.stream(["yes"], 10, lambda _: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert connection.abandoned == 1
    assert (await connection.run(["echo", "on"], 10)).stdout == b"on\n"


async def test_a_connection_that_is_lost_in_the_middle_is_no_end(
    connection: Connection, sshd: Sshd, tmp_path: Path
) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(connection.stream(["sh", "-c", "echo x; sleep 60"], 30, lambda _: begun.set()))
    await begun.wait()
    sshd.stop()
    with pytest.raises(ConnectionLost):
        await task


class Channel:
    """What a streamed session uses of asyncssh's channel; ``said`` is what it was told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def pause_reading(self) -> None:
        self.said.append("wait")

    def resume_reading(self) -> None:
        self.said.append("go on")


async def test_what_nobody_takes_makes_the_other_side_wait() -> None:
    session, channel = Streamed(), Channel()
    session.connection_made(cast("Any", channel))
    piece = b"x" * (HELD_BYTES // 4)
    for _ in range(4):
        session.data_received(piece, None)
    assert channel.said == []
    session.data_received(piece, None)
    assert channel.said == ["wait"]
    session.connection_lost(None)
    taken = [(one, list(channel.said)) async for one in session.pieces()]
    assert [said[-1] for _, said in taken] == ["wait", "wait", "go on", "go on", "go on"]
    assert b"".join(one for one, _ in taken) == piece * 5
