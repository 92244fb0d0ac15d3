"""A ring through any of its directors: fail-over, back-off, and when a connection is given up."""

from __future__ import annotations

import asyncio
import traceback
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.director import doveadm
from director_tui.director.doveadm import Call, Tool
from director_tui.errors import (
    AuthenticationFailed,
    ConfigError,
    ConnectionLost,
    DirectorTuiError,
    DoveadmError,
    HostKeyUnknown,
    MalformedOutput,
    NoAnswer,
    RingUnreadable,
    SessionRefused,
    Unreachable,
)
from director_tui.link import ring as ring_module
from director_tui.link.ring import MAX_ABANDONED, Answer, Ring
from director_tui.link.ssh import Reply
from tests.link.fakes import FakeSsh, status_output, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from director_tui.link.ssh import Ssh
    from tests.link.fakes import Said

GOOD = status_output({"10.1.0.1": ("", 100, "up", 7)})
NOT_RUNNING = Reply(
    75,
    b"",
    b"doveadm(root): Error: net_connect_unix(/run/dovecot/director-admin) failed: No such file or directory\n",
    0.01,
)
UPDATE: Call[bytes] = Call(Tool.DOVEADM, ("director", "update", "10.1.0.1", "50"), bytes, 40.0, changes=True)


class Clock:
    """The monotonic clock and the dice of link/ring.py."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1000.0
        self.varied: Callable[[float, float], float] = lambda low, high: (low + high) / 2
        monkeypatch.setattr(ring_module, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        monkeypatch.setattr(ring_module, "random", SimpleNamespace(uniform=lambda low, high: self.varied(low, high)))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def good(destination: str, words: tuple[str, ...]) -> Said:
    return GOOD


def unknown_host_key(name: str) -> HostKeyUnknown:
    return HostKeyUnknown(
        f"{name}: its host key is not known", "add it", host=name, port=22, algorithm="ssh-ed25519",
        fingerprint="SHA256:x", line="x", known_hosts="~/.ssh/known_hosts",
    )  # fmt: skip


async def read(ring: Ring) -> str:
    return (await ring.on_one(doveadm.status())).director


async def test_an_answer_says_who_gave_it_and_what_it_was() -> None:
    ssh = FakeSsh(good)
    answer = await ssh.ring("d1", "d2").on_one(doveadm.status())
    assert (answer.director, answer.stdout, answer.elapsed_s) == ("d1", GOOD, 0.012)
    assert [backend.users for backend in answer.value] == [7]
    assert ssh.attempts == ["d1"]
    assert ssh.last("d1").ran == [("doveadm", "-f", "tab", "director", "status")]


async def test_each_director_gets_its_own_words() -> None:
    ssh = FakeSsh(lambda _, words: GOOD if words[-1] == "status" else b"director_user_expire = 7 mins\n")
    cluster = ClusterConfig("test", (DirectorConfig("d1", ("sudo", "-n", "doveadm"), ("sudo", "-n", "doveconf")),))
    ring = Ring(cluster, ssh)  # type: ignore[arg-type] # a fake
    await ring.on_one(doveadm.status())
    await ring.on_one(doveadm.settings())
    ran = ssh.last("d1").ran
    assert ran[0] == ("sudo", "-n", "doveadm", "-f", "tab", "director", "status")
    assert ran[1][:3] == ("sudo", "-n", "doveconf")


async def test_reading_goes_on_with_the_next_director_and_stays_there() -> None:
    down = {"d2"}
    ssh = FakeSsh(lambda name, _: NOT_RUNNING if name in down else GOOD)
    ring = ssh.ring("d1", "d2", "d3")
    ring.use("d2")
    assert await read(ring) == "d3"
    assert ring.in_use.name == "d3"
    down.clear()
    assert await read(ring) == "d3"
    down.add("d3")
    assert await read(ring) == "d1"  # behind d3 comes d1, not d2
    assert [len(ssh.last(name).ran) for name in ("d1", "d2", "d3")] == [1, 1, 3]


class Slow:
    """Directors that answer when they are told to; those that are ``quick`` at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *quick: str) -> None:
        monkeypatch.setattr(ring_module, "HEAD_START_S", 0.01)
        monkeypatch.setattr(ring_module, "NEXT_START_S", 0.01)
        self.quick = {*quick}
        self.pending: dict[str, asyncio.Future[Said]] = {}
        self.ssh = FakeSsh(self._answer)

    def _answer(self, name: str, words: tuple[str, ...]) -> Said | asyncio.Future[Said]:
        if name in self.quick:
            return GOOD
        self.pending[name] = asyncio.get_running_loop().create_future()
        return self.pending[name]

    async def connected_ring(self, *names: str) -> Ring:
        ring = self.ssh.ring(*names)
        await asyncio.gather(*(link.connecting() for link in ring.links))
        return ring

    def asked(self, name: str) -> int:
        return len(self.ssh.last(name).ran)


async def test_nobody_else_is_asked_while_the_one_in_use_answers(clock: Clock) -> None:
    ssh = FakeSsh(good)
    ring = ssh.ring("d1", "d2", "d3")
    await asyncio.gather(*(link.connecting() for link in ring.links))
    for _ in range(20):
        assert await read(ring) == "d1"
    assert [len(ssh.last(name).ran) for name in ("d1", "d2", "d3")] == [20, 0, 0]


async def test_a_slow_director_is_not_left_and_only_one_other_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, "d2", "d3")
    ring = await slow.connected_ring("d1", "d2", "d3")
    for number in range(1, 4):
        reading = asyncio.create_task(read(ring))
        await until(lambda: slow.asked("d2") == number)  # noqa: B023 - awaited in this turn
        slow.pending["d1"].set_result(GOOD)
        assert await reading == "d1"
        assert ring.in_use.name == "d1"
    assert slow.asked("d3") == 0


async def test_the_answer_that_stands_by_is_taken_when_the_one_in_use_fails(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    slow = Slow(monkeypatch, "d2")
    ring = await slow.connected_ring("d1", "d2", "d3")
    reading = asyncio.create_task(ring.on_one(doveadm.status()))
    await until(lambda: slow.asked("d2") == 1)
    await until(lambda: not any(task.get_name() == "ask d2" for task in asyncio.all_tasks()))
    clock.now_s += 4.0
    slow.pending["d1"].set_result(NoAnswer("d1: no answer within 6 s"))
    answer = await reading
    assert (answer.director, answer.held_s) == ("d2", 4.0), "it would look fresher than it is"
    assert ring.in_use.name == "d2"
    assert slow.asked("d2") == 1


async def test_whoever_answers_first_wins_when_the_one_in_use_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    ring = await slow.connected_ring("d1", "d2", "d3")
    reading = asyncio.create_task(read(ring))
    await until(lambda: len(slow.pending) == 3)
    slow.pending["d1"].set_result(NOT_RUNNING)
    slow.pending["d3"].set_result(GOOD)
    assert await reading == "d3"
    assert ring.in_use.name == "d3"
    slow.pending["d2"].set_result(NoAnswer("d2: no answer within 6 s"))
    await until(lambda: ring.links[1].failure is not None)
    await until(lambda: slow.ssh.last("d2").closed)  # its call went on until then, and was not cancelled
    assert slow.ssh.last("d2").abandoned == 1


async def test_a_director_whose_connection_was_dead_is_asked_once_more_over_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_module, "BACK_OFF_S", (0.01,))
    slow = Slow(monkeypatch)
    ring = await slow.connected_ring("d1", "d2", "d3")
    reading = asyncio.create_task(read(ring))
    await until(lambda: len(slow.pending) == 3)
    slow.quick = {"d1"}
    slow.pending["d1"].set_result(NoAnswer("d1: no answer within 6 s"))
    assert await reading == "d1", "it waited for connections that are as dead"
    assert slow.ssh.attempts.count("d1") == 2
    assert not slow.pending["d2"].done()
    await ring.close()


async def test_all_of_them_frozen_is_a_failure_with_every_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    ring = await slow.connected_ring("d1", "d2")
    reading = asyncio.create_task(read(ring))
    await until(lambda: len(slow.pending) == 2)
    for name, answer in slow.pending.items():
        answer.set_result(NoAnswer(f"{name}: no answer within 6 s"))
    with pytest.raises(RingUnreadable) as caught:
        await reading
    assert list(caught.value.causes) == ["d1", "d2"]
    assert slow.ssh.attempts == ["d1", "d2"], "it is too early for new connections"


async def test_closing_ends_the_calls_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch, "d3")
    ring = await slow.connected_ring("d1", "d2", "d3")
    before = asyncio.all_tasks()
    reading = asyncio.create_task(read(ring))
    await until(lambda: slow.asked("d3") == 1)
    slow.pending["d1"].set_result(GOOD)
    await reading
    await until(lambda: len(asyncio.all_tasks() - before) == 1)
    (left,) = asyncio.all_tasks() - before
    assert left.get_name() == "ask d2"
    await ring.close()
    assert left.done()


async def test_a_director_that_a_person_chooses_meanwhile_stays_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    ring = await slow.connected_ring("d1", "d2")
    reading = asyncio.create_task(read(ring))
    await until(lambda: "d1" in slow.pending)
    ring.use("d2")
    slow.pending["d1"].set_result(GOOD)
    assert await reading == "d1"
    assert ring.in_use.name == "d2"
    await ring.close()


async def test_use_takes_only_directors_of_the_ring() -> None:
    ring = FakeSsh(good).ring("d1", "d2")
    ring.use("d2")
    assert await read(ring) == "d2"
    with pytest.raises(ValueError, match="d9 is no director of test"):
        ring.use("d9")


async def test_a_lost_connection_leads_to_the_next_director_and_is_made_again_later(clock: Clock) -> None:
    lost: set[str] = {"d1"}
    ssh = FakeSsh(lambda name, _: ConnectionLost(f"{name}: lost") if name in lost else GOOD)
    ring = ssh.ring("d1", "d2")
    assert await read(ring) == "d2"
    assert not ring.links[0].connected
    lost.clear()
    with pytest.raises(ConnectionLost):
        await ring.links[0].call(doveadm.status())
    assert ssh.attempts == ["d1", "d2"]
    clock.now_s += 1.0
    await ring.links[0].call(doveadm.status())
    assert ssh.attempts == ["d1", "d2", "d1"]
    assert ring.links[0].failure is None


async def test_the_next_is_asked_when_the_first_is_slow_and_the_first_may_still_win(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_module, "HEAD_START_S", 0.01)
    ssh = FakeSsh(good)
    ssh.gates = {"d1": asyncio.Event(), "d2": asyncio.Event()}
    ring = ssh.ring("d1", "d2", "d3")
    assert await read(ring) == "d3"
    ssh.gates["d1"].set()
    ssh.gates["d2"].set()
    await asyncio.gather(*(link.connecting() for link in ring.links))
    assert ssh.attempts == ["d1", "d2", "d3"]
    assert await read(ring) == "d3"

    late = FakeSsh(good)
    late.gates = {"d1": asyncio.Event(), "d2": asyncio.Event()}
    ring = late.ring("d1", "d2")
    reading = asyncio.create_task(read(ring))
    await until(lambda: late.attempts == ["d1", "d2"])
    late.gates["d1"].set()
    assert await reading == "d1"
    late.gates["d2"].set()


async def test_a_first_director_within_its_head_start_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "HEAD_START_S", 60.0)
    ssh = FakeSsh(good)
    ssh.gates = {"d1": asyncio.Event()}
    ring = ssh.ring("d1", "d2")
    reading = asyncio.create_task(read(ring))
    await until(lambda: bool(ssh.attempts))
    ssh.gates["d1"].set()
    assert await reading == "d1"
    assert ssh.attempts == ["d1"]


async def test_a_slow_director_that_fails_is_not_tried_a_second_time_in_one_reading(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(ring_module, "HEAD_START_S", 0.01)
    ssh = FakeSsh(good)
    ssh.gates = {"d1": asyncio.Event(), "d2": asyncio.Event()}
    ssh.refusals["d1"] = Unreachable("d1: refused")
    ring = ssh.ring("d1", "d2")
    reading = asyncio.create_task(read(ring))
    await until(lambda: ssh.attempts == ["d1", "d2"])
    ssh.gates["d1"].set()
    await until(lambda: ring.links[0].failure is not None)
    clock.now_s += 100.0  # its back-off is over before the other one is there
    ssh.gates["d2"].set()
    assert await reading == "d2"
    assert ssh.attempts == ["d1", "d2"]


async def test_waits_between_attempts_grow_to_a_quarter_of_a_minute(clock: Clock) -> None:
    ssh = FakeSsh(good)
    ssh.refusals["d1"] = Unreachable("d1: refused")
    ring = ssh.ring("d1")
    waits = []
    for attempt in range(1, 8):
        with pytest.raises(RingUnreadable):
            await read(ring)
        assert len(ssh.attempts) == attempt
        assert ring.retry_in_s is not None
        waits.append(ring.retry_in_s)
        clock.now_s += ring.retry_in_s - 0.001
        with pytest.raises(RingUnreadable):
            await read(ring)
        assert len(ssh.attempts) == attempt
        clock.now_s += 0.002
    assert waits == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    ssh.refusals.clear()
    assert await read(ring) == "d1"
    await ssh.last("d1").close()
    ssh.refusals["d1"] = Unreachable("d1: refused")
    with pytest.raises(RingUnreadable):
        await read(ring)
    assert ring.retry_in_s == 1.0  # from the start again


async def test_waits_are_varied_by_a_fifth(clock: Clock) -> None:
    ssh = FakeSsh(good)
    ssh.refusals["d1"] = Unreachable("d1: refused")
    waits = []
    for varied in (min, max):
        clock.varied = varied
        ring = ssh.ring("d1")
        with pytest.raises(RingUnreadable):
            await read(ring)
        waits.append(ring.retry_in_s)
    assert waits == pytest.approx([0.8, 1.2])


@pytest.mark.parametrize(
    "refusal",
    [AuthenticationFailed("d1: none of the keys"), unknown_host_key("d1"), ConfigError("d1: ProxyJump leads nowhere")],
    ids=lambda error: type(error).__name__,
)
async def test_no_second_attempt_where_only_a_person_helps(clock: Clock, refusal: DirectorTuiError) -> None:
    ssh = FakeSsh(good)
    ssh.refusals["d1"] = refusal
    ring = ssh.ring("d1")
    frames = set()
    for _ in range(5):
        with pytest.raises(RingUnreadable) as caught:
            await read(ring)
        assert caught.value.causes == {"d1": refusal}
        assert caught.value.permanent
        assert ring.retry_in_s is None
        frames.add(len(traceback.extract_tb(refusal.__traceback__)))
        clock.now_s += 1e6
    assert ssh.attempts == ["d1"]
    assert max(frames) < 8, "the error grows each time it is raised again"
    ssh.refusals.clear()
    ring.retry_now()
    assert await read(ring) == "d1"


async def test_retry_now_shortens_a_wait(clock: Clock) -> None:
    ssh = FakeSsh(good)
    ssh.refusals["d1"] = Unreachable("d1: refused")
    ring = ssh.ring("d1")
    with pytest.raises(RingUnreadable):
        await read(ring)
    ring.retry_now()
    assert ring.retry_in_s == 0.0
    ssh.refusals.clear()
    assert await read(ring) == "d1"


async def test_a_command_without_an_answer_ends_its_connection(clock: Clock) -> None:
    silent = {"d1"}
    ssh = FakeSsh(lambda name, _: NoAnswer(f"{name}: no answer within 6 s") if name in silent else GOOD)
    ring = ssh.ring("d1")
    with pytest.raises(RingUnreadable, match="no answer within 6 s"):
        await read(ring)
    await until(lambda: ssh.last("d1").closed)
    silent.clear()
    clock.now_s += 1.0
    assert await read(ring) == "d1"
    assert len(ssh.connections) == 2


async def test_calls_that_end_with_a_connection_that_was_given_up_are_no_other_reason(clock: Clock) -> None:
    later: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
    ssh = FakeSsh(lambda _, words: later if "ring" in words else NoAnswer("d1: no answer within 6 s"))
    ring = ssh.ring("d1")
    link = ring.links[0]
    other = asyncio.create_task(link.call(doveadm.ring_status()))
    with pytest.raises(RingUnreadable, match="no answer within 6 s"):
        await read(ring)
    await until(lambda: ssh.last("d1").closed)
    later.set_result(ConnectionLost("d1: the connection was lost before the command ended"))
    with pytest.raises(ConnectionLost):
        await other
    assert str(link.failure) == "d1: no answer within 6 s"


async def test_no_connection_is_closed_while_a_changing_call_runs_over_it(clock: Clock) -> None:
    ssh = FakeSsh(lambda *_: NoAnswer("d1: no answer within 6 s"))
    link = ssh.ring("d1").links[0]
    (await link.connecting()).changing = True  # type: ignore[misc] # a fake
    for _ in range(MAX_ABANDONED + 1):
        with pytest.raises(NoAnswer):
            await link.call(doveadm.status())
    assert not ssh.last("d1").closed
    ssh.last("d1").changing = False
    with pytest.raises(NoAnswer):
        await link.call(doveadm.status())
    await until(lambda: ssh.last("d1").closed)  # and now nothing speaks for keeping it
    assert len(ssh.connections) == 1


async def test_a_changing_call_is_not_sent_where_it_could_be_given_up() -> None:
    ssh = FakeSsh(good)
    ring = ssh.ring("d1")
    with pytest.raises(ValueError, match="never given up"):
        await ring.links[0].call(UPDATE)
    with pytest.raises(ValueError, match="never given up"):
        await ring.on_every(UPDATE)
    assert ssh.attempts == []


@pytest.mark.parametrize("error", [SessionRefused("d1: no further session"), MalformedOutput("d1: 64 MiB")])
async def test_a_worn_out_connection_is_replaced(clock: Clock, error: DirectorTuiError) -> None:
    failing = True
    ssh = FakeSsh(lambda *_: error if failing else GOOD)
    link = ssh.ring("d1").links[0]
    for abandoned in range(MAX_ABANDONED + 1):
        assert len(ssh.connections) == min(abandoned, 1)
        if ssh.connections:
            assert not ssh.last("d1").closed
            ssh.last("d1").abandoned = abandoned
        with pytest.raises(type(error)):
            await link.call(doveadm.status())
    await until(lambda: ssh.last("d1").closed)
    failing = False
    clock.now_s += 1.0
    await link.call(doveadm.status())
    assert len(ssh.connections) == 2


async def test_cancelled_calls_wear_a_connection_out_but_never_end_another_call() -> None:
    finish: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
    ssh = FakeSsh(lambda _, words: finish if words[-1] == "dump" else GOOD)
    link = ssh.ring("d1").links[0]
    listing = asyncio.create_task(link.call(doveadm.dump()))
    await until(lambda: bool(ssh.connections) and bool(ssh.last("d1").ran))
    ssh.last("d1").abandoned = MAX_ABANDONED  # as after so many that were cancelled
    await link.call(doveadm.status())
    assert not ssh.last("d1").closed
    finish.set_result(b"command\tsocket-path\thost\tvhost_count\n")
    await listing
    await until(lambda: ssh.last("d1").closed)
    await link.call(doveadm.status())
    assert len(ssh.connections) == 2
    assert link.failure is None


async def test_a_failed_command_names_its_director() -> None:
    ssh = FakeSsh(lambda *_: NOT_RUNNING)
    ring = ssh.ring("ops@dir1:2222")
    with pytest.raises(DoveadmError) as caught:
        await ring.links[0].call(doveadm.status())
    assert str(caught.value) == "ops@dir1:2222: there is no director socket /run/dovecot/director-admin"
    assert "Dovecot is not running there" in caught.value.remedy
    assert caught.value.status == 75
    assert ring.links[0].failure is caught.value
    assert ring.links[0].connected


async def test_output_of_something_else_names_its_director() -> None:
    ssh = FakeSsh(lambda *_: b"Welcome!\n")
    with pytest.raises(MalformedOutput, match=r"^d1: this is not what doveadm director status prints; .*“Welcome!”"):
        await ssh.ring("d1").links[0].call(doveadm.status())


async def test_an_unreadable_ring_says_why_for_every_director(clock: Clock) -> None:
    said: dict[str, Said] = {"d2": NOT_RUNNING, "d3": b"Welcome!\n"}
    ssh = FakeSsh(lambda name, _: said[name])
    ssh.refusals["d1"] = AuthenticationFailed("d1: none of the keys was accepted", "ssh-add it")
    ring = ssh.ring("d1", "d2", "d3")
    with pytest.raises(RingUnreadable) as caught:
        await read(ring)
    assert {name: type(error) for name, error in caught.value.causes.items()} == {
        "d1": AuthenticationFailed,
        "d2": DoveadmError,
        "d3": MalformedOutput,
    }
    for part in ("d1: none of the keys", "d2: there is no director socket", "d3: this is not what"):
        assert part in str(caught.value)
    assert "ssh-add it; Dovecot is not running there" in caught.value.remedy
    assert not caught.value.permanent
    assert ring.retry_in_s == 0.0  # d2 and d3 can be asked at any time


async def test_on_one_refuses_changing_calls() -> None:
    ssh = FakeSsh(good)
    with pytest.raises(ValueError, match="never tried again on another"):
        await ssh.ring("d1", "d2").on_one(UPDATE)
    assert ssh.attempts == []


async def test_every_director_is_asked_and_one_that_fails_does_not_hide_the_others() -> None:
    ssh = FakeSsh(lambda name, _: NOT_RUNNING if name == "d2" else GOOD)
    ssh.refusals["d3"] = Unreachable("d3: refused")
    answers = await ssh.ring("d1", "d2", "d3").on_every(doveadm.status())
    assert list(answers) == ["d1", "d2", "d3"]
    assert isinstance(answers["d1"], Answer)
    assert isinstance(answers["d2"], DoveadmError)
    assert isinstance(answers["d3"], Unreachable)


async def test_a_connection_that_was_lost_is_made_anew_before_its_director_counts_as_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ring_module, "BACK_OFF_S", (0.01,))
    lost: list[Said] = [ConnectionLost("d2: the connection was lost before the command ended")]
    ssh = FakeSsh(lambda name, _: lost.pop() if name == "d2" and lost else GOOD)
    answers = await ssh.ring("d1", "d2").on_every(doveadm.status())
    assert all(isinstance(answer, Answer) for answer in answers.values())
    assert ssh.attempts == ["d1", "d2", "d2"]
    lost += [ConnectionLost("d2: lost again"), ConnectionLost("d2: lost")]
    assert str((await ssh.ring("d1", "d2").on_every(doveadm.status()))["d2"]) == "d2: lost again"


async def test_a_director_that_loses_every_connection_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ring_module, "BACK_OFF_S", (3600.0,))
    ssh = FakeSsh(lambda *_: GOOD)
    ssh.refusals["d2"] = ConnectionLost("d2: lost during the login")
    ring = ssh.ring("d1", "d2")
    for _ in range(2):
        answers = await asyncio.wait_for(ring.on_every(doveadm.status()), 60.0)
        assert isinstance(answers["d1"], Answer)
        assert str(answers["d2"]) == "d2: lost during the login"
    assert ssh.attempts == ["d1", "d2"]


async def test_a_director_whose_connection_was_given_up_counts_as_silent_for_that_reason() -> None:
    later: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
    ssh = FakeSsh(lambda _, words: later if "ring" in words else NoAnswer("d1: no answer within 6 s"))
    ring = ssh.ring("d1")
    asking = asyncio.create_task(ring.on_every(doveadm.ring_status()))
    assert isinstance((await ring.on_every(doveadm.status()))["d1"], NoAnswer)
    later.set_result(ConnectionLost("d1: the connection was lost before the command ended"))
    assert str((await asking)["d1"]) == "d1: no answer within 6 s"
    assert ssh.attempts == ["d1"]


async def test_fail_over_leaves_foreign_directors_out() -> None:
    down = {"d1"}
    ssh = FakeSsh(lambda name, _: NOT_RUNNING if name in down else GOOD)
    ring = ssh.ring("d1", "d2", "d3")
    ring.leave_out(["d2"])
    assert await read(ring) == "d3"
    down.add("d3")
    with pytest.raises(RingUnreadable) as caught:
        await read(ring)
    assert list(caught.value.causes) == ["d1", "d3"]
    assert "d2" not in ssh.attempts


async def test_two_calls_share_one_connection_attempt() -> None:
    ssh = FakeSsh(good)
    ssh.gates["d1"] = asyncio.Event()
    link = ssh.ring("d1").links[0]
    first, second = (asyncio.create_task(link.call(doveadm.status())) for _ in range(2))
    await until(lambda: bool(ssh.attempts))
    first.cancel()  # one who gives up takes nothing from the other
    ssh.gates["d1"].set()
    assert (await second).director == "d1"
    assert ssh.attempts == ["d1"]
    assert first.cancelled()


async def test_closing_ends_everything_attempts_under_way_included() -> None:
    ended = []

    async def closing() -> None:
        ended.append("the ground it lives on")

    ssh = FakeSsh(good)
    ssh.gates["d2"] = asyncio.Event()
    cluster = ClusterConfig("test", (DirectorConfig("d1"), DirectorConfig("d2")))
    ring = Ring(cluster, ssh, closing=closing)  # type: ignore[arg-type] # a fake
    assert await read(ring) == "d1"
    attempt = ring.links[1].connecting()
    await until(lambda: "d2" in ssh.attempts)
    await ring.close()
    assert attempt.cancelled()
    assert ssh.last("d1").closed
    assert ssh.closed
    assert ended == ["the ground it lives on"]


def test_two_directors_at_one_place_have_names_of_their_own() -> None:
    directors = tuple(DirectorConfig("root@host", ("doveadm", "-c", one)) for one in "ab")
    ring = Ring(ClusterConfig("lab", directors), cast("Ssh", None))
    assert [link.name for link in ring.links] == ["root@host (doveadm -c a)", "root@host (doveadm -c b)"]
