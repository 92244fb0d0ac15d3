"""Calls that change a ring, carried out over connections on which everything goes wrong that can."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.director import doveadm
from director_tui.director.doveadm import Call, Tool
from director_tui.errors import ConnectionLost, MalformedOutput, NoAnswer, SessionRefused, Unreachable
from director_tui.link import ssh_session
from director_tui.link.changing import SENT_AT_A_TIME, Ended, Event, Sent, Slower, carry_out
from director_tui.link.ring import Ring
from tests.link.ssh_setup import host_block, until, write_config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from director_tui.link.ring import DirectorLink
    from tests.link.conftest import MakeSsh
    from tests.ring.fixtures import MakeSshd
    from tests.ring.sshd import Sshd

    MakeDirector = Callable[..., "Director"]


class Director:
    """A real sshd with a doveadm that writes down what it is called with.

    A call with the word ``wait`` waits until ``go_on()`` is called for its turn; one with ``fail``, ``shout`` or
    ``flood`` exits with status 1, says something, or prints 2 MiB.
    """

    def __init__(self, folder: Path, sshd: Sshd, make_ssh: MakeSsh) -> None:
        self.sshd = sshd
        self.folder = folder
        self._calls = folder / "calls"
        self._calls.touch()
        words = folder / "doveadm"
        words.write_text(
            f"""#!/bin/sh
echo "by $PPID" >>{self._calls}
echo "begin $*" >>{self._calls}
case " $* " in
    *" wait "*) while ! [ -e {folder}/go ]; do sleep 0.02; done;;
    *" fail "*) echo failed >&2; exit 1;;
    *" shout "*) printf shouted; printf aside >&2;;
    *" flood "*) head -c 2097152 /dev/zero;;
esac
echo "end $*" >>{self._calls}
"""
        )
        words.chmod(0o755)
        ssh = make_ssh(write_config(folder / "config", [host_block(sshd)]))
        self.ring = Ring(ClusterConfig("test", (DirectorConfig(sshd.name, (str(words),)),)), ssh)
        self.said: list[Event] = []

    @property
    def link(self) -> DirectorLink:
        return self.ring.links[0]

    @property
    def begun(self) -> list[str]:
        return [line.removeprefix("begin ") for line in self._lines("begin ")]

    @property
    def ended(self) -> list[str]:
        return [line.removeprefix("end ") for line in self._lines("end ")]

    @property
    def callers(self) -> list[str]:
        """The process ids of the remote shell, or of sshd, that called each of them."""
        return [line.removeprefix("by ") for line in self._lines("by ")]

    def go_on(self) -> None:
        (self.folder / "go").touch()

    async def carry_out(self, *words: str, limit_s: float = 60.0) -> None:
        await carry_out(self.link, [call(word, limit_s) for word in words], self.said.append)

    def sent(self) -> list[int]:
        return [one.index for one in self.said if isinstance(one, Sent)]

    def ends(self) -> list[tuple[int, int]]:
        return [(one.index, one.status) for one in self.said if isinstance(one, Ended)]

    def _lines(self, beginning: str) -> list[str]:
        return [line for line in self._calls.read_text().splitlines() if line.startswith(beginning)]


def call(words: str, limit_s: float = 60.0) -> Call[None]:
    return dataclasses.replace(doveadm.update("10.1.0.1", 5), words=tuple(words.split()), limit_s=limit_s)


@pytest.fixture
async def make_director(tmp_path: Path, make_sshd: MakeSshd, make_ssh: MakeSsh) -> AsyncIterator[MakeDirector]:
    made: list[Director] = []

    def make(*extra: str) -> Director:
        made.append(Director(tmp_path, make_sshd(extra=extra), make_ssh))
        return made[-1]

    yield make
    for one in made:
        one.go_on()
        await until(lambda: len(one.begun) == len(one.ended) + sum("fail" in call for call in one.begun))  # noqa: B023
        await one.ring.close()


ONLY_DOVEADM = 'ForceCommand case "$SSH_ORIGINAL_COMMAND" in env*) eval "$SSH_ORIGINAL_COMMAND";; *) exit 7; esac'


async def test_one_call(make_director: MakeDirector) -> None:
    director = make_director()
    await director.carry_out("a shout")
    sent, ended = director.said
    assert sent == Sent(0)
    assert isinstance(ended, Ended)
    assert (ended.index, ended.status, ended.stdout, ended.stderr) == (0, 0, b"shouted", b"aside")
    assert 0 < ended.elapsed_s < 60
    assert director.begun == ["a shout"]


async def test_none_at_all(make_director: MakeDirector) -> None:
    director = make_director()
    await director.carry_out()
    assert director.said == []
    assert not director.link.connected


@pytest.mark.parametrize("extra", [(), (ONLY_DOVEADM,)], ids=["shell", "one by one"])
async def test_many_in_order(extra: tuple[str, ...], make_director: MakeDirector) -> None:
    director = make_director(*extra)
    words = [f"call {number}" for number in range(10)]
    await director.carry_out(*words)
    assert director.begun == words
    assert director.ends() == [(number, 0) for number in range(10)]
    assert director.sent() == list(range(10))
    slower = [one for one in director.said if isinstance(one, Slower)]
    assert ["status 7" in one.reason for one in slower] == ([True] if extra else [])
    await until(lambda: not director.link.connecting().result().changing)


@pytest.mark.parametrize("extra", [(), (ONLY_DOVEADM,)], ids=["shell", "one by one"])
async def test_the_first_failure_ends_it(extra: tuple[str, ...], make_director: MakeDirector) -> None:
    director = make_director(*extra)
    await director.carry_out("one", "two fail", "three", "four")
    assert director.ends() == [(0, 0), (1, 1)]
    last = director.said[-1]
    assert isinstance(last, Ended)
    assert last.stderr == b"failed\n"
    assert director.sent() == ([0, 1] if extra else [0, 1, 2, 3])
    await until(lambda: not director.link.connecting().result().changing)
    assert director.begun == ["one", "two fail"]
    await director.carry_out("five")  # the connection is as good as before
    assert director.ends()[-1] == (0, 0)


async def test_no_more_than_a_few_are_ahead(make_director: MakeDirector) -> None:
    director = make_director()
    carrying = asyncio.create_task(director.carry_out("wait", *map(str, range(9))))
    await until(lambda: director.begun == ["wait"])
    assert director.sent() == list(range(SENT_AT_A_TIME))
    director.go_on()
    await carrying
    assert director.sent() == list(range(10))


@pytest.mark.parametrize("extra", [(), (ONLY_DOVEADM,)], ids=["shell", "one by one"])
async def test_one_that_takes_too_long_is_only_waited_for_no_longer(
    extra: tuple[str, ...], make_director: MakeDirector
) -> None:
    director = make_director(*extra)
    with pytest.raises(NoAnswer, match=r"not ended within 0\.5 s; it is not stopped") as caught:
        await director.carry_out("one", "wait", "three", limit_s=0.5)
    assert str(caught.value).startswith(director.link.name)
    assert director.ends() == [(0, 0)]
    connection = director.link.connecting().result()
    assert director.link.connected
    assert connection.changing
    await director.ring.close()  # somebody leaves this cluster meanwhile
    assert not connection.lost
    assert connection.abandoned == 0
    assert director.ended == ["one"]
    director.go_on()
    await until(lambda: director.ended[:2] == ["one", "wait"])
    # What was on its way follows; what was not, doesn't.
    follows = [(2, 0)] if 2 in director.sent() else []
    await until(lambda: director.ends() == [(0, 0), (1, 0), *follows])
    await until(lambda: connection.lost)  # and then it is closed
    await connection.close()
    assert director.begun == ["one", "wait", *(["three"] if follows else [])]


async def test_a_flush_is_waited_for_without_a_limit(make_director: MakeDirector) -> None:
    director = make_director()
    flush = dataclasses.replace(doveadm.flush("10.1.0.1"), words=("wait",))
    carrying = asyncio.create_task(carry_out(director.link, [flush], director.said.append))
    await until(lambda: director.begun == ["wait"])
    director.go_on()
    await carrying
    assert director.ends() == [(0, 0)]


@pytest.mark.parametrize("batch", [["wait"], ["wait", "two"]], ids=["one", "several"])
async def test_a_program_that_ends_leaves_what_runs_alone(batch: list[str], make_director: MakeDirector) -> None:
    director = make_director()
    carrying = asyncio.create_task(director.carry_out(*batch))
    await until(lambda: director.begun == ["wait"])
    connection = director.link.connecting().result()
    carrying.cancel()
    await asyncio.wait([carrying])
    await director.ring.close()
    assert not connection.lost
    assert connection.abandoned == 0
    director.go_on()
    await until(lambda: director.ended == batch)
    await until(lambda: connection.lost)
    await connection.close()
    assert director.ends() == []


async def test_a_jump_host_is_kept_for_what_runs_behind_it(
    make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    jump = make_sshd("jump")
    director = Director(tmp_path, make_sshd(client_key=jump.client_key), make_ssh)
    host = host_block(director.sshd, "ProxyJump jump")
    (tmp_path / "config").write_text(host + host_block(jump))
    carrying = asyncio.create_task(director.carry_out("wait"))
    await until(lambda: director.begun == ["wait"])
    connection = director.link.connecting().result()
    (through,) = connection.jumps
    await director.ring.close()
    assert not connection.lost
    assert not through.lost
    director.go_on()
    await carrying
    assert director.ends() == [(0, 0)]
    await until(lambda: connection.lost and through.lost)
    await connection.close()
    await through.close()


@pytest.mark.parametrize("batch", [["wait"], ["wait", *map(str, range(9))]], ids=["one", "several"])
async def test_a_lost_connection(batch: list[str], make_director: MakeDirector) -> None:
    director = make_director()
    carrying = asyncio.create_task(director.carry_out(*batch))
    await until(lambda: director.begun == ["wait"])
    director.sshd.kill_sessions()
    with pytest.raises(ConnectionLost):
        await carrying
    assert director.ends() == []
    assert not director.link.connected
    (caller,) = director.callers
    director.go_on()
    await until(lambda: director.ended[:1] == ["wait"])
    await until(lambda: not Path("/proc", caller).exists())
    # Nobody is left to hear how it ended, so the remote shell ends there; all that was sent could have followed.
    assert director.begun == ["wait"]
    assert len(director.sent()) == min(len(batch), SENT_AT_A_TIME)


async def test_a_session_that_ends_without_a_status(make_director: MakeDirector) -> None:
    director = make_director()
    director.folder.joinpath("doveadm").write_text(
        f"#!/bin/sh\necho begin $* >>{director.folder}/calls\necho end $* >>{director.folder}/calls\nkill -9 $PPID\n"
    )
    with pytest.raises(ConnectionLost):
        await director.carry_out("one", "two", "three")
    assert director.begun == ["one"]
    assert director.link.connected
    assert not director.ends()


async def test_no_session_to_be_had(make_director: MakeDirector) -> None:
    director = make_director("MaxSessions 1")
    connection = await director.link.connecting()
    reading = asyncio.create_task(connection.run([*director.link.config.doveadm, "wait"], 60))
    await until(lambda: director.begun == ["wait"])
    for batch in (["one"], ["one", "two"]):
        with pytest.raises(SessionRefused):
            await director.carry_out(*batch)
    assert director.said == []
    director.go_on()
    await reading
    await director.carry_out("one", "two")
    assert director.begun == ["wait", "one", "two"]


async def test_a_session_that_comes_too_late_begins_nothing(make_director: MakeDirector) -> None:
    director = make_director()
    await director.link.connecting()
    director.sshd.freeze_sessions()
    with pytest.raises(NoAnswer):
        await director.carry_out("one", limit_s=0.2)
    director.sshd.thaw_sessions()
    connection = director.link.connecting().result()
    await until(lambda: not connection.changing)
    assert director.said == []
    assert director.begun == []


async def test_a_call_that_prints_without_end(make_director: MakeDirector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_session, "OUTPUT_LIMIT_BYTES", 1 << 20)
    director = make_director()
    for batch in (["flood"], ["flood", "two"]):
        with pytest.raises(MalformedOutput, match="more than 1 MiB"):
            await director.carry_out(*batch)
    await until(lambda: director.ended == ["flood", "flood", "two"])
    await until(lambda: director.ends() == [(1, 0)])


async def test_nothing_is_sent_where_nobody_listens(make_director: MakeDirector) -> None:
    director = make_director()
    director.sshd.stop()
    with pytest.raises(Unreachable):
        await director.carry_out("one", "two")
    assert director.said == []


async def test_what_can_not_be_sent(make_director: MakeDirector) -> None:
    director = make_director()
    with pytest.raises(ValueError, match="line break"):
        await carry_out(director.link, [call("one"), dataclasses.replace(call("x"), words=("a\nb",))], print)
    reading = Call(Tool.DOVEADM, ("director", "status"), lambda _: None)
    with pytest.raises(ValueError, match="director status changes nothing"):
        await carry_out(director.link, [call("one"), reading], print)
    assert not director.link.connected
