"""Readings as they come: what is published when the ring changes, and when reaching it fails and works again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.director import doveadm
from director_tui.director.changes import Change, Subject
from director_tui.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DirectorTuiError,
    DoveadmError,
    RingUnreadable,
    Unreachable,
)
from director_tui.link import monitor as monitor_module
from director_tui.link import ring as ring_module
from director_tui.link.monitor import Monitor, read_once, ring_beat_s
from director_tui.link.reading import DirectorView, LinkStatus, Reading, foreign, stale_after_s, undecided
from director_tui.link.ring import Ring
from director_tui.link.ssh import Reply, Ssh
from director_tui.times import SYSTEM_TIMES
from tests.link.fakes import FakeDirectors, FakeSsh, ring_output, status_output, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from director_tui.director.doveadm import Call
    from director_tui.link.ring import Answer
    from tests.link.fakes import Said
    from tests.ring.fixtures import MakeRing
    from tests.ring.real import RealDirector, RealRing
    from tests.ring.sshd import Agent, Sshd

PATIENCE_S = 60.0
"""Far above what anything here takes; only a hang meets it."""

SOON_S = 0.01

NOT_RUNNING = Reply(
    75,
    b"",
    b"doveadm(root): Error: net_connect_unix(/run/dovecot/director-admin) failed: No such file or directory\n",
    0.01,
)


class Watch:
    """Everything that a monitor has published so far."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.readings: list[Reading] = []
        self._more = asyncio.Condition()
        self._heard: set[asyncio.Task[None]] = set()

    @property
    def last(self) -> Reading:
        return self.readings[-1]

    @property
    def changes(self) -> list[tuple[Subject, str, str, str]]:
        return [_shown(change) for reading in self.readings for change in reading.changes]

    def publish(self, reading: Reading) -> None:
        self.readings.append(reading)
        task = asyncio.create_task(self._notify())
        self._heard.add(task)
        task.add_done_callback(self._heard.discard)

    async def until(self, condition: Callable[[Reading], object]) -> Reading:
        """The first reading from now on, the newest included, for which the condition holds."""
        place = max(0, len(self.readings) - 1)
        async with asyncio.timeout(PATIENCE_S), self._more:
            while True:
                for reading in self.readings[place:]:
                    if condition(reading):
                        return reading
                place = len(self.readings)
                await self._more.wait()

    async def _notify(self) -> None:
        async with self._more:
            self._more.notify_all()


@contextlib.asynccontextmanager
async def watching(ring: Ring) -> AsyncIterator[Watch]:
    watches: list[Watch] = []
    monitor = Monitor(ring, lambda reading: watches[0].publish(reading))
    watches.append(Watch(monitor))
    task = asyncio.create_task(monitor.run())
    try:
        yield watches[0]
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])
        await ring.close()


def _shown(change: Change) -> tuple[Subject, str, str, str]:
    return change.subject, change.of, change.before, change.after


def live(reading: Reading) -> bool:
    return reading.link.status is LinkStatus.LIVE


def complete(reading: Reading) -> bool:
    """Whether everything that is read now and then has been read."""
    return bool(live(reading) and reading.snapshot and reading.snapshot.ring and reading.views and reading.settings)


def ring_read(reading: Reading) -> bool:
    return reading.snapshot is not None and reading.snapshot.ring is not None


def vhosts(ip: str, count: int) -> Callable[[Reading], bool]:
    def condition(reading: Reading) -> bool:
        backend = reading.snapshot.backend(ip) if reading.snapshot else None
        return backend is not None and backend.vhosts == count

    return condition


# Over connections that lead nowhere.


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats and waits that a test need not sit through."""
    monkeypatch.setattr(monitor_module, "RING_BEAT_S", SOON_S)
    monkeypatch.setattr(ring_module, "BACK_OFF_S", (SOON_S,))


@pytest.fixture
def directors() -> FakeDirectors:
    return FakeDirectors(
        members={"d1": "10.0.0.1", "d2": "10.0.0.2", "d3": "10.0.0.3"},
        backends={"10.1.0.1": ("", 100, "up", 10), "10.1.0.2": ("gold", 100, "up", 20)},
    )


@pytest.fixture
def ssh(directors: FakeDirectors, hurried: None) -> FakeSsh:
    return FakeSsh(directors)


def ring_of(ssh: FakeSsh, *names: str) -> Ring:
    return ssh.ring(*(names or ("d1", "d2", "d3")), interval_s=SOON_S)


async def test_the_first_table_comes_first_and_then_everything_else(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ring_of(ssh)) as watch:
        reading = await watch.until(complete)
        first = watch.readings[0]
    assert first.snapshot is not None
    assert (first.link.status, first.link.director, first.views) == (LinkStatus.LIVE, "d1", ())
    assert first.snapshot.users == 30
    assert watch.monitor.history.total()[-1] == 30
    assert [view.director for view in reading.views] == ["d1", "d2", "d3"]
    assert all(view.backends == reading.views[0].backends != () for view in reading.views)
    assert reading.snapshot is not None
    assert reading.snapshot.ring is not None
    assert reading.snapshot.ring.healthy
    assert reading.settings is not None
    assert reading.settings.user_expire_s == 420.0
    assert reading.settings.version == (2, 3, 19, 1)
    assert reading.note == ""
    assert watch.changes == []


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (("", 0, "up", 10), (Subject.VHOSTS, "10.1.0.1", "100", "0")),
        (("", 100, "down", 10), (Subject.STATE, "10.1.0.1", "up", "down")),
        (("x", 100, "up", 10), (Subject.TAG, "10.1.0.1", "", "x")),
    ],
)
async def test_a_change_is_published_once(
    ssh: FakeSsh, directors: FakeDirectors, row: tuple[str, int, str, int], change: tuple[Subject, str, str, str]
) -> None:
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        directors.backends["10.1.0.1"] = row
        await watch.until(lambda reading: reading.changes)
        directors.backends["10.1.0.3"] = ("", 50, "up", 0)
        await watch.until(lambda reading: reading.snapshot and reading.snapshot.backend("10.1.0.3"))
        del directors.backends["10.1.0.3"]
        await watch.until(lambda reading: reading.snapshot and not reading.snapshot.backend("10.1.0.3"))
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 20)
    assert watch.changes == [
        change,
        (Subject.BACKEND, "10.1.0.3", "", "added with vhost count 50"),
        (Subject.BACKEND, "10.1.0.3", "", "removed"),
    ]


async def test_a_fresh_reading_begins_after_it_was_asked_for(directors: FakeDirectors) -> None:
    """A poll that is under way tells of before; and nothing of it may be older, not even what one director says."""
    held: list[asyncio.Event] = []
    holding = False

    async def answers(destination: str, words: tuple[str, ...]) -> Said:
        said = directors(destination, words)  # what a director knew when it was asked
        if holding and destination == "d1" and words[-1] == "status" and words[-2] == "director":
            held.append(asyncio.Event())
            await held[-1].wait()
        return said

    async with watching(FakeSsh(answers).ring("d1", "d2", "d3", interval_s=SOON_S)) as watch:
        await watch.until(complete)
        holding = True
        await until(lambda: len(held) == 1)  # the poll that is under way
        fresh = asyncio.create_task(watch.monitor.fresh())
        await until(lambda: len(held) == 2)  # what d1 says among all
        directors.backends["10.1.0.1"] = ("", 0, "up", 10)
        directors.unsynced = {"d1"}
        held[0].set()
        await until(lambda: len(held) == 3)  # the poll after that
        seen = len(watch.readings)
        held[1].set()
        await until(lambda: len(watch.readings) > seen)
        await asyncio.wait([fresh], timeout=SOON_S)
        assert not fresh.done()
        holding = False
        held[2].set()
        reading = await fresh
    assert vhosts("10.1.0.1", 0)(reading)
    assert reading.snapshot is not None
    assert reading.snapshot.ring is not None
    assert not reading.snapshot.ring.synced
    assert all(view.ring is not None for view in reading.views)


async def test_a_fresh_reading_of_nobody_says_so(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ssh.ring("d1", "d2", interval_s=3600.0)) as watch:
        await watch.until(complete)
        directors.instead = dict.fromkeys(("d1", "d2"), ConnectionLost("gone"))
        reading = await watch.monitor.fresh()
    assert reading.link.status is LinkStatus.RECONNECTING
    assert all(view.failure is not None for view in reading.views)


async def test_users_alone_make_no_event_but_history(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        directors.backends["10.1.0.1"] = ("", 100, "up", 999)
        await watch.until(lambda reading: reading.snapshot and reading.snapshot.users == 1019)
        assert watch.monitor.history.users("10.1.0.1")[-1] == 999
    assert watch.changes == []


async def test_changes_published_while_others_read_are_never_lost(ssh: FakeSsh, directors: FakeDirectors) -> None:
    """The backends and the ring change at every step while poll, ring, views and settings publish side by side."""
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        expected = []
        for step in range(30):
            count = 99 - step
            expected.append((Subject.VHOSTS, "10.1.0.1", str(count + 1), str(count)))
            directors.backends["10.1.0.1"] = ("", count, "up", step)
            directors.unsynced = {"d1"} if step % 2 else set()
            await watch.until(vhosts("10.1.0.1", count))
            await watch.until(
                lambda reading, synced=not step % 2: reading.snapshot.ring.synced is synced  # type: ignore[misc]
            )
    assert [change for change in watch.changes if change[0] is Subject.VHOSTS] == expected
    ring_changes = [change for change in watch.changes if change[0] is Subject.RING]
    assert ring_changes == [
        (Subject.RING, "ring", "synced", "not synced"),
        (Subject.RING, "ring", "not synced", "synced"),
    ] * 14 + [(Subject.RING, "ring", "synced", "not synced")]


async def test_the_state_of_the_ring_has_an_age_of_its_own(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ring_of(ssh, "d1")) as watch:
        await watch.until(complete)
        await watch.until(lambda reading: _ring_lag_s(reading) < 1.0)
        directors.ring_status = NOT_RUNNING
        failed_s = SYSTEM_TIMES.mono_s()
        late = await watch.until(lambda reading: _ring_lag_s(reading) > 3 * SOON_S)
        assert live(late)
        assert late.snapshot is not None
        assert late.snapshot.ring_taken_mono_s <= failed_s + SOON_S
        directors.ring_status = None
        back_s = SYSTEM_TIMES.mono_s()
        await watch.until(lambda reading: reading.snapshot and reading.snapshot.ring_taken_mono_s >= back_s)
    assert watch.changes == []


async def test_what_a_syncing_ring_counts_up_is_shown_and_makes_no_reading_of_its_own(
    ssh: FakeSsh, directors: FakeDirectors
) -> None:
    def syncing(seconds: int) -> bytes:
        synced = ring_output("10.0.0.1", directors.members.values(), gone=set())
        return synced.replace(b"ring synced", b"ring syncing - last sync %d secs ago" % seconds)

    directors.ring_status = syncing(3)
    async with watching(ring_of(ssh, "d1")) as watch:
        await watch.until(complete)
        first = len(watch.readings)
        for seconds in range(4, 30):
            directors.ring_status = syncing(seconds)
            await watch.until(lambda reading, seconds=seconds: f" {seconds} secs ago" in _own_status(reading))  # type: ignore[misc]
        taken = [reading.snapshot.taken_mono_s for reading in watch.readings[first:] if reading.snapshot]
        views = [reading.views for reading in watch.readings[first:]]
    assert watch.changes == []
    # Each published reading is a poll, or has other views.
    assert len(set(zip(taken, map(id, views), strict=True))) == len(taken)


def _own_status(reading: Reading) -> str:
    own = reading.snapshot.ring.self_peer if reading.snapshot and reading.snapshot.ring else None
    return own.status if own else ""


def _ring_lag_s(reading: Reading) -> float:
    """How much older the ring's state is than the backends."""
    snapshot = reading.snapshot
    return snapshot.taken_mono_s - snapshot.ring_taken_mono_s if snapshot and snapshot.ring else 0.0


async def test_a_director_that_leaves_the_ring_and_comes_back_is_an_event(
    ssh: FakeSsh, directors: FakeDirectors
) -> None:
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        directors.gone = {"d3"}
        await watch.until(lambda reading: reading.changes)
        directors.gone = set()
        await watch.until(lambda reading: reading.changes and watch.changes[-1][3] == "in the ring again")
    assert watch.changes == [
        (Subject.RING, "10.0.0.3:9090", "", "left the ring"),
        (Subject.RING, "10.0.0.3:9090", "", "in the ring again"),
    ]


async def test_reading_goes_on_from_another_director_with_an_event(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        directors.instead["d1"] = NOT_RUNNING
        reading = await watch.until(lambda reading: reading.link.director == "d2")
        assert live(reading)
        assert reading.snapshot is not None
        assert reading.snapshot.director == "d2"
        directors.instead.clear()
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 20)
        assert watch.last.link.director == "d2"  # no automatic return
    assert [change for change in watch.changes if change[0] is Subject.LINK] == [
        (Subject.LINK, "d1", "", "failed, now reading d2")
    ]
    assert LinkStatus.RECONNECTING not in {each.link.status for each in watch.readings}


async def test_an_answer_that_was_held_back_is_as_old_as_it_is(ssh: FakeSsh, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = ring_of(ssh, "d1")
    at_once = ring.on_one

    async def later(call: Call[Any]) -> Answer[Any]:
        return replace(await at_once(call), held_s=4.0)

    monkeypatch.setattr(ring, "on_one", later)
    async with watching(ring) as watch:
        reading = await watch.until(live)
        assert reading.snapshot is not None
        assert reading.snapshot.taken_mono_s <= SYSTEM_TIMES.mono_s() - 4.0
        assert reading.snapshot.taken_at <= datetime.now(UTC) - timedelta(seconds=4.0)


async def test_a_person_chooses_the_director_that_is_read(ssh: FakeSsh) -> None:
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        with pytest.raises(ValueError, match="d9"):
            watch.monitor.use("d9")
        watch.monitor.use("d3")
        reading = await watch.until(lambda reading: reading.link.director == "d3")
        assert live(reading)
        assert reading.snapshot is not None
        assert reading.snapshot.director == "d3"
        assert reading.snapshot.ring is not None
        assert reading.snapshot.ring.identity == ("10.0.0.3", 9090)
    assert watch.changes == [(Subject.LINK, "d1", "", "left for d3")]


async def test_a_choice_that_failed_explains_no_later_switch(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ring_of(ssh, "d1", "d2")) as watch:
        await watch.until(complete)
        directors.instead["d2"] = NOT_RUNNING
        polls = directors.asked["d1", "director status"]
        watch.monitor.use("d2")
        await until(lambda: directors.asked["d1", "director status"] > polls + 2)
        assert watch.last.link.director == "d1"
        directors.instead = {"d1": NOT_RUNNING}
        await watch.until(lambda reading: reading.link.director == "d2")
    assert watch.changes == [(Subject.LINK, "d1", "", "failed, now reading d2")]


async def test_a_choice_that_was_read_explains_no_later_switch(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        watch.monitor.use("d2")
        await watch.until(lambda reading: reading.link.director == "d2")
        directors.instead["d2"] = NOT_RUNNING
        await watch.until(lambda reading: reading.link.director == "d3")
        directors.instead = {"d3": NOT_RUNNING, "d1": NOT_RUNNING}
        await watch.until(lambda reading: reading.link.director == "d2")
    assert [change[3] for change in watch.changes if change[0] is Subject.LINK] == [
        "left for d2",
        "failed, now reading d3",
        "failed, now reading d2",
    ]


async def test_a_choice_stands_although_another_director_answers_after_it(directors: FakeDirectors) -> None:
    hold, held, answer = False, asyncio.Event(), asyncio.Event()

    async def slow(name: str, words: tuple[str, ...]) -> bytes | Reply | DirectorTuiError:
        if hold and name == "d1" and "ring" not in words:
            held.set()
            await answer.wait()
        return directors(name, words)

    async with watching(ring_of(FakeSsh(slow))) as watch:
        await watch.until(complete)
        hold = True
        await held.wait()
        watch.monitor.use("d2")
        answer.set()
        await watch.until(lambda reading: reading.link.director == "d2")
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 5)
        assert watch.last.link.director == "d2"


async def test_every_director_is_asked_more_often_while_somebody_looks(
    ssh: FakeSsh, directors: FakeDirectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "RING_BEAT_S", 3600.0)
    monkeypatch.setattr(monitor_module, "WATCHED_BEAT_S", SOON_S)
    async with watching(ring_of(ssh)) as watch:
        first = await watch.until(complete)
        asked = directors.asked["d3", "director ring status"]
        watch.monitor.watch_ring(True)
        newer = await watch.until(lambda _: directors.asked["d3", "director ring status"] > asked + 3)
        assert newer.views_mono_s >= first.views_mono_s
        watch.monitor.watch_ring(False)


@pytest.mark.parametrize(("own", "taking_part"), [("d1", ["1", "3"]), ("d2", ["2"])])
async def test_a_split_ring_is_known_whoever_is_read(
    directors: FakeDirectors, own: str, taking_part: list[str]
) -> None:
    alone = FakeDirectors(directors.members, directors.backends, gone={"d1", "d3"})
    directors.gone = {"d2"}
    ssh = FakeSsh(lambda name, words: (alone if name == "d2" else directors)(name, words))
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        watch.monitor.use(own)
        reading = await watch.until(lambda reading: reading.link.director == own and reading.taking_part)
    assert reading.split == (("d1", "d3"), ("d2",))
    assert [ip.rpartition(".")[2] for ip, _ in sorted(reading.taking_part)] == taking_part


async def test_a_ring_with_members_that_are_gone_is_not_split(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.gone = {"d2"}
    directors.instead["d2"] = NOT_RUNNING
    async with watching(ring_of(ssh)) as watch:
        reading = await watch.until(complete)
    assert reading.split == ()
    assert len(reading.taking_part) == 2


@pytest.mark.parametrize("unsynced", [set(), {"d2"}, {"d1"}], ids=["both synced", "the new one not", "the old one not"])
async def test_a_switch_makes_change_events_only_where_both_were_synced(
    ssh: FakeSsh, directors: FakeDirectors, unsynced: set[str]
) -> None:
    directors.unsynced = unsynced
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        directors.instead["d1"] = NOT_RUNNING
        directors.backends["10.1.0.1"] = ("", 7, "up", 10)
        await watch.until(lambda reading: vhosts("10.1.0.1", 7)(reading) and reading.link.director == "d2")
    of_ring = [change for change in watch.changes if change[0].is_of_ring]
    assert of_ring == ([] if unsynced else [(Subject.VHOSTS, "10.1.0.1", "100", "7")])


async def test_a_director_that_leaves_the_ring_together_with_the_switch_is_an_event(
    ssh: FakeSsh, directors: FakeDirectors
) -> None:
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        directors.instead["d1"] = NOT_RUNNING
        directors.gone = {"d1"}
        await watch.until(lambda reading: reading.link.director == "d2")
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 20)
    assert watch.changes == [
        (Subject.LINK, "d1", "", "failed, now reading d2"),
        (Subject.RING, "10.0.0.1:9090", "", "left the ring"),
    ]


async def test_what_changed_with_a_switch_to_one_that_is_not_synced_yet_is_said_when_it_is(
    ssh: FakeSsh, directors: FakeDirectors
) -> None:
    stale = FakeDirectors(directors.members, {**directors.backends, "10.1.0.2": ("gold", 3, "up", 20)})
    stale.unsynced = {"d2"}
    stale.gone = {"d1"}
    behind = True
    late = FakeSsh(lambda name, words: (stale if name == "d2" and behind else directors)(name, words))
    async with watching(ring_of(late)) as watch:
        await watch.until(complete)
        directors.instead["d1"] = NOT_RUNNING
        directors.gone = {"d1"}
        directors.backends["10.1.0.1"] = ("", 7, "up", 10)
        await watch.until(lambda reading: reading.link.director == "d2")
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 20)
        assert watch.changes == [(Subject.LINK, "d1", "", "failed, now reading d2")]
        behind = False
        await watch.until(lambda reading: reading.snapshot and reading.snapshot.ring and reading.snapshot.ring.synced)
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 20)
    # And neither the vhost count 3 that only the director that was behind had, nor a ring that became synced.
    assert watch.changes[1:] == [
        (Subject.VHOSTS, "10.1.0.1", "100", "7"),
        (Subject.RING, "10.0.0.1:9090", "", "left the ring"),
    ]


async def test_a_switch_shows_nothing_that_only_the_other_director_can_not_know() -> None:
    """d3 is gone for long. d2 and d4 stand next to it, and know; d1 and d5 don't, and still count it."""
    members = {f"d{number}": f"10.0.0.{number}" for number in range(1, 6)}
    knowing = FakeDirectors(members, {"10.1.0.1": ("", 100, "up", 10)}, gone={"d3"})
    unknowing = FakeDirectors(members, knowing.backends)
    dead: set[str] = {"d3"}

    def answers(name: str, words: tuple[str, ...]) -> Said:
        return NOT_RUNNING if name in dead else (knowing if name in {"d2", "d4"} else unknowing)(name, words)

    ring = FakeSsh(answers).ring("d2", "d5", "d4", interval_s=SOON_S)
    async with watching(ring) as watch:
        reading = await watch.until(lambda reading: len(reading.views) == 3 and ring_read(reading))
        assert len(reading.taking_part) == 4
        dead.add("d2")
        reading = await watch.until(lambda reading: reading.link.director == "d5" and ring_read(reading))
        assert len(reading.taking_part) == 4
    assert watch.changes == [(Subject.LINK, "d2", "", "failed, now reading d5")]


async def test_a_switch_between_two_rings_makes_no_change_events(ssh: FakeSsh, directors: FakeDirectors) -> None:
    elsewhere = FakeDirectors({"e1": "10.9.0.1"}, {"10.8.0.1": ("", 1, "up", 1)})
    both = FakeSsh(lambda name, words: (elsewhere if name in elsewhere.members else directors)(name, words))
    directors.instead["d1"] = NOT_RUNNING
    async with watching(ring_of(both, "d1", "e1")) as watch:
        await watch.until(lambda reading: reading.link.director == "e1" and reading.views)
        directors.instead.clear()
        elsewhere.instead["e1"] = NOT_RUNNING
        await watch.until(lambda reading: reading.link.director == "d1" and ring_read(reading))
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 20)
    assert watch.changes == [(Subject.LINK, "e1", "", "failed, now reading d1")]


async def test_when_none_answers_the_data_stays_and_it_recovers_by_itself(
    ssh: FakeSsh, directors: FakeDirectors
) -> None:
    async with watching(ring_of(ssh)) as watch:
        good = await watch.until(complete)
        directors.instead = dict.fromkeys(directors.members, NOT_RUNNING)
        lost = await watch.until(lambda reading: reading.link.status is LinkStatus.RECONNECTING)
        again = await watch.until(lambda reading: reading is not lost and not live(reading))
        directors.instead.clear()
        back = await watch.until(live)
    assert isinstance(lost.link.failure, RingUnreadable)
    assert set(lost.link.failure.causes) == {"d1", "d2", "d3"}
    assert lost.snapshot == good.snapshot
    assert lost.settings == good.settings
    assert lost.link.retry_at_mono_s is not None
    assert again.link.since_mono_s == lost.link.since_mono_s
    assert again.changes == ()
    assert back.link.failure is None
    assert back.link.director == "d1"
    assert [change for change in watch.changes if change[0] is Subject.LINK] == [
        (Subject.LINK, "d1", "live", "no director answers"),
        (Subject.LINK, "d1", "no director answers", "reading again"),
    ]


async def test_it_is_connecting_until_the_first_reading(ssh: FakeSsh, directors: FakeDirectors) -> None:
    ssh.refusals = {name: Unreachable(f"{name}: refused") for name in directors.members}
    async with watching(ring_of(ssh)) as watch:
        failed = await watch.until(lambda reading: reading.link.failure)
        ssh.refusals.clear()
        await watch.until(complete)
    assert failed.link.status is LinkStatus.CONNECTING
    assert failed.snapshot is None
    assert watch.changes == []


async def test_what_only_a_person_can_mend_waits_for_one(ssh: FakeSsh) -> None:
    ssh.refusals = {"d1": AuthenticationFailed("d1: none of the keys")}
    async with watching(ring_of(ssh, "d1")) as watch:
        failed = await watch.until(lambda _: len(watch.readings) > 20)
        assert failed.link.retry_at_mono_s is None
        assert ssh.attempts == ["d1"]
        ssh.refusals.clear()
        watch.monitor.read_now()
        await watch.until(live)
    assert ssh.attempts == ["d1", "d1"]


async def test_a_sudo_that_refuses_is_not_asked_at_every_interval(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        directors.instead["d1"] = Reply(1, b"", b"sudo: a password is required\n", 0.01)
        await watch.until(lambda reading: live(reading) and reading.link.director == "d2")
        directors.instead |= dict.fromkeys(["d2", "d3"], NOT_RUNNING)
        lost = await watch.until(lambda reading: reading.link.status is LinkStatus.RECONNECTING)
        assert lost.link.retry_at_mono_s is not None
        assert lost.link.retry_at_mono_s - SYSTEM_TIMES.mono_s() > monitor_module.REFUSED_BEAT_S / 2
        directors.instead.clear()
        watch.monitor.read_now()
        await watch.until(live)


async def test_a_sudo_that_refuses_on_one_director_hides_no_trouble_of_the_others(
    ssh: FakeSsh, directors: FakeDirectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "CALM_BEAT_S", PATIENCE_S)
    monkeypatch.setattr(monitor_module, "REFUSED_BEAT_S", SOON_S)
    directors.instead["d3"] = Reply(1, b"", b"sudo: a password is required\n", 0.01)
    async with watching(ring_of(ssh)) as watch:
        await watch.until(lambda reading: reading.views and reading.settings)
        seen = directors.asked["d3", "director status"]
        polled = directors.asked["d1", "director status"]
        await watch.until(lambda _: directors.asked["d1", "director status"] > polled + 9)
        assert directors.asked["d3", "director status"] <= seen + 1, "it is well but for that"
        directors.instead["d2"] = NOT_RUNNING
        watch.monitor.watch_ring(True)
        watch.monitor.watch_ring(False)
        await watch.until(lambda reading: reading.views[1].failure)
        directors.instead["d2"] = ConnectionLost("d2: gone")
        await watch.until(lambda reading: isinstance(reading.views[1].failure, ConnectionLost))
        del directors.instead["d2"]
        await watch.until(lambda reading: reading.views[1].failure is None)


async def test_read_now_takes_a_reading_at_once(ssh: FakeSsh, directors: FakeDirectors) -> None:
    async with watching(ssh.ring("d1", interval_s=3600.0)) as watch:
        await watch.until(complete)
        directors.backends["10.1.0.1"] = ("", 1, "up", 10)
        watch.monitor.read_now()
        await watch.until(vhosts("10.1.0.1", 1))


async def test_a_director_of_another_ring_is_never_read(ssh: FakeSsh, directors: FakeDirectors) -> None:
    elsewhere = FakeDirectors({"e1": "10.9.0.1"}, {"10.8.0.1": ("", 1, "up", 1)})
    both = FakeSsh(lambda name, words: (elsewhere if name in elsewhere.members else directors)(name, words))
    async with watching(ring_of(both, "d1", "e1", "d2")) as watch:
        reading = await watch.until(complete)
        assert foreign(reading.views) == ("e1",)
        directors.instead["d1"] = NOT_RUNNING
        await watch.until(lambda reading: reading.link.director == "d2")
        directors.instead["d2"] = NOT_RUNNING
        await watch.until(lambda reading: reading.link.status is LinkStatus.RECONNECTING)
        # Every director has been asked again meanwhile, and only the foreign one has said anything.
        silent = await watch.until(
            lambda reading: [view.director for view in reading.views if view.failure] == ["d1", "d2"]
        )
        assert foreign(silent.views) == ("e1",)
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 20)
        assert watch.last.link.status is LinkStatus.RECONNECTING
        elsewhere.instead["e1"] = NOT_RUNNING  # and it stays foreign while it is silent
        quiet = await watch.until(lambda reading: all(view.failure for view in reading.views))
        assert foreign(quiet.views) == ("e1",)
        directors.instead.clear()
        await watch.until(live)
    assert {each.snapshot.director for each in watch.readings if each.snapshot} == {"d1", "d2"}


async def test_the_first_configured_director_decides_which_ring_is_ours_even_if_it_comes_late(
    ssh: FakeSsh, directors: FakeDirectors
) -> None:
    elsewhere = FakeDirectors({"e1": "10.9.0.1"}, {"10.8.0.1": ("", 1, "up", 1)})
    both = FakeSsh(lambda name, words: (elsewhere if name in elsewhere.members else directors)(name, words))
    directors.instead["d1"] = NOT_RUNNING
    async with watching(ring_of(both, "d1", "e1")) as watch:
        await watch.until(lambda reading: reading.link.director == "e1" and reading.views)
        assert foreign(watch.last.views) == ()
        directors.instead.clear()
        reading = await watch.until(lambda reading: foreign(reading.views))
        assert foreign(reading.views) == ("e1",)
        await watch.until(lambda reading: reading.link.director == "d1")


async def test_it_is_said_when_it_can_not_be_told_which_ring_is_ours(ssh: FakeSsh, directors: FakeDirectors) -> None:
    elsewhere = FakeDirectors({"e1": "10.9.0.1"}, {"10.8.0.1": ("", 1, "up", 1)})
    both = FakeSsh(lambda name, words: (elsewhere if name in elsewhere.members else directors)(name, words))
    directors.instead["d1"] = NOT_RUNNING
    async with watching(ring_of(both, "d1", "e1", "d2")) as watch:
        reading = await watch.until(lambda reading: reading.views)
        assert undecided(reading.views) == ("e1", "d2")
        assert foreign(reading.views) == (), "neither may be called the wrong one"
        directors.instead.clear()
        reading = await watch.until(lambda reading: foreign(reading.views))
        assert (foreign(reading.views), undecided(reading.views)) == (("e1",), ())
        directors.instead["d1"] = NOT_RUNNING  # what it has said stays known
        reading = await watch.until(lambda reading: reading.views and reading.views[0].failure)
        assert (foreign(reading.views), undecided(reading.views)) == (("e1",), ())


async def test_directors_of_one_ring_need_no_word_of_the_first(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.instead["d1"] = NOT_RUNNING
    async with watching(ring_of(ssh)) as watch:
        reading = await watch.until(lambda reading: reading.views)
        assert (foreign(reading.views), undecided(reading.views)) == ((), ())


async def test_a_ring_that_grows_takes_its_new_director_in(ssh: FakeSsh, directors: FakeDirectors) -> None:
    del directors.members["d3"]
    directors.members["d3"] = "10.0.0.9"
    everyone = directors.members
    directors.members = {"d1": "10.0.0.1", "d2": "10.0.0.2"}
    alone = FakeDirectors({"d3": "10.0.0.9"}, dict(directors.backends))
    ssh = FakeSsh(lambda name, words: (directors if name in directors.members else alone)(name, words))
    async with watching(ring_of(ssh)) as watch:
        await watch.until(lambda reading: foreign(reading.views) == ("d3",))
        directors.members = everyone
        await watch.until(lambda reading: reading.views and foreign(reading.views) == ())


async def test_members_that_no_configured_director_is_are_known(
    ssh: FakeSsh, directors: FakeDirectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "CALM_BEAT_S", SOON_S)
    async with watching(ring_of(ssh, "d1", "d2")) as watch:
        reading = await watch.until(complete)
        assert reading.unread_members == {("10.0.0.3", 9090)}
        directors.instead["d2"] = NOT_RUNNING  # which member it is stays known while it is silent
        reading = await watch.until(lambda reading: reading.views[1].failure)
        assert reading.unread_members == {("10.0.0.3", 9090)}


async def test_a_director_that_never_said_anything_could_be_any_member(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.instead["d2"] = NOT_RUNNING
    async with watching(ring_of(ssh, "d1", "d2")) as watch:
        reading = await watch.until(complete)
        assert reading.unread_members == frozenset()
        directors.instead.clear()
        await watch.until(lambda reading: reading.unread_members == {("10.0.0.3", 9090)})


async def test_every_member_is_read_where_every_director_is_configured(ssh: FakeSsh) -> None:
    async with watching(ring_of(ssh)) as watch:
        reading = await watch.until(complete)
        assert reading.unread_members == frozenset()


async def test_settings_that_can_not_be_read_are_said_and_not_asked_for_again_and_again(
    ssh: FakeSsh, directors: FakeDirectors
) -> None:
    directors.settings = Reply(1, b"", b"sudo: a password is required\n", 0.01)
    async with watching(ring_of(ssh, "d1")) as watch:
        reading = await watch.until(lambda reading: reading.note)
        said = "the directors' settings are not known, shares are as of Dovecot 2.3: d1: sudo asks for a password there"
        assert reading.note.startswith(said)
        seen = len(watch.readings)
        await watch.until(lambda _: len(watch.readings) > seen + 20)
        assert watch.last.note == reading.note
    asked = [count for (_, what), count in directors.asked.items() if what.startswith("director_mail_servers")]
    assert asked == [1]


async def test_settings_are_read_again_after_the_connection_was_lost(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.settings, good = ConnectionLost("d1: lost"), directors.settings
    async with watching(ring_of(ssh, "d1")) as watch:
        await watch.until(lambda reading: reading.note)
        directors.settings = good
        reading = await watch.until(lambda reading: reading.settings)
        assert reading.note == ""


async def test_a_director_that_says_nothing_is_shown_with_its_reason(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.instead["d2"] = NOT_RUNNING
    async with watching(ring_of(ssh)) as watch:
        reading = await watch.until(complete)
    assert [type(view.failure) for view in reading.views] == [type(None), DoveadmError, type(None)]
    assert reading.views[1].identity is None
    assert foreign(reading.views) == ()


async def test_while_all_is_well_only_the_director_in_use_is_asked_often(
    ssh: FakeSsh, directors: FakeDirectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(destination: str) -> int:
        return directors.asked[destination, "director ring status"]

    monkeypatch.setattr(monitor_module, "CALM_BEAT_S", PATIENCE_S)
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        calm = directors.asked.copy()
        await watch.until(lambda _: asked("d1") > calm["d1", "director ring status"] + 9)
        assert asked("d2") <= calm["d2", "director ring status"] + 1
        # What the director in use says of the ring is reason to ask them all, and again for as long as it lasts.
        directors.gone.add("d3")
        await watch.until(lambda _: asked("d2") > calm["d2", "director ring status"] + 9)


async def test_a_change_is_reason_to_ask_every_director(
    ssh: FakeSsh, directors: FakeDirectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "CALM_BEAT_S", PATIENCE_S)
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        directors.backends["10.1.0.1"] = ("", 7, "up", 5)
        await watch.until(
            lambda reading: [view.backends[0].vhosts for view in reading.views if view.backends] == [7, 7, 7]
        )


async def test_a_lost_connection_is_reason_to_ask_every_director(
    ssh: FakeSsh, directors: FakeDirectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "CALM_BEAT_S", PATIENCE_S)
    async with watching(ring_of(ssh)) as watch:
        await watch.until(complete)
        polled = directors.asked["d1", "director status"]
        await watch.until(lambda _: directors.asked["d1", "director status"] > polled + 4)  # it was there at a poll
        asked = directors.asked["d3", "director status"]
        ssh.last("d2").lost = True
        await watch.until(lambda _: directors.asked["d3", "director status"] > asked)


async def test_directors_that_disagree_are_asked_often_until_they_agree(
    ssh: FakeSsh, directors: FakeDirectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_module, "CALM_BEAT_S", PATIENCE_S)
    other = status_output({**directors.backends, "10.1.0.1": ("", 7, "up", 5)})

    def answers(destination: str, words: tuple[str, ...]) -> Said:
        alike = directors(destination, words)
        return other if destination == "d2" and words[-2:] == ("director", "status") and disagreeing else alike

    disagreeing = True
    fake = FakeSsh(answers)
    async with watching(ring_of(fake)) as watch:
        await watch.until(complete)
        seen = directors.asked["d3", "director status"]
        await watch.until(lambda _: directors.asked["d3", "director status"] > seen + 5)
        disagreeing = False
        await watch.until(lambda reading: len({view.backends for view in reading.views}) == 1)


@pytest.mark.parametrize("interval_s", [0.2, 0.5, 1.0, 2.0, 3.0, 3.4, 5.0, 10.0, 60.0])
def test_the_ring_is_asked_before_its_state_is_stale(interval_s: float) -> None:
    assert ring_beat_s(interval_s) > 0
    assert ring_beat_s(interval_s) + interval_s < stale_after_s(interval_s)


def test_data_is_stale_after_three_intervals_but_not_before_ten_seconds() -> None:
    assert [stale_after_s(interval_s) for interval_s in (0.2, 2.0, 5.0)] == [10.0, 10.0, 15.0]


def test_nobody_is_foreign_where_nobody_says_anything() -> None:
    assert foreign(()) == ()
    assert foreign((DirectorView("d1"), DirectorView("d2"))) == ()


# Over real sshds, to a real ring.


@pytest.fixture
def in_agent(ring_agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(ring_agent.socket))


def cluster_of(directors: Sequence[RealDirector], sshds: Sequence[Sshd], known_hosts: Path) -> ClusterConfig:
    return ClusterConfig(
        "real",
        tuple(
            DirectorConfig(sshd.destination, tuple(each.doveadm_words.split()), tuple(each.doveconf_words.split()))
            for each, sshd in zip(directors, sshds, strict=True)
        ),
        interval_s=0.2,
        known_hosts=known_hosts,
    )


def open_ring(directors: Sequence[RealDirector], sshds: Sequence[Sshd], known_hosts: Path) -> Ring:
    return Ring(cluster_of(directors, sshds, known_hosts), Ssh(known_hosts=known_hosts))


@pytest.fixture
def restored(real_ring: RealRing, real_sshds: list[Sshd]) -> Iterator[None]:
    """However a test ends, the ring and its sshds are as they were before."""
    yield
    for sshd in real_sshds:
        sshd.thaw_sessions()
    for director in real_ring.directors:
        if not director.running:
            director.start()
    real_ring.wait_synced()


pytest_real = pytest.mark.usefixtures("in_agent", "restored")


@pytest_real
async def test_real_a_change_by_somebody_else_shows_within_two_readings(
    real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    async with watching(open_ring(real_ring.directors, real_sshds, ring_known_hosts)) as watch:
        await watch.until(complete)
        ip = watch.last.snapshot.backends[2].ip if watch.last.snapshot else ""
        try:
            await asyncio.to_thread(real_ring.directors[1].doveadm, "director", "update", ip, "0")
            polls = _polls(watch)
            await watch.until(vhosts(ip, 0))
            assert _polls(watch) - polls <= 2
            assert (Subject.VHOSTS, ip, "100", "0") in watch.changes
            assert len(watch.changes) == 1
        finally:
            await asyncio.to_thread(real_ring.directors[1].doveadm, "director", "update", ip, "100")


def _polls(watch: Watch) -> int:
    return len({reading.snapshot.taken_mono_s for reading in watch.readings if reading.snapshot})


@pytest_real
async def test_real_settings_and_views_are_those_of_the_ring(
    real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    async with watching(open_ring(real_ring.directors, real_sshds, ring_known_hosts)) as watch:
        reading = await watch.until(complete)
    assert reading.settings is not None
    printed = real_ring.directors[0].doveconf("-h", "director_mail_servers").decode().strip()
    assert reading.settings.mail_servers == printed
    assert reading.settings.version[:2] == (2, 3)
    assert [view.identity for view in reading.views] == [(each.ip, each.port) for each in real_ring.directors]
    assert foreign(reading.views) == ()
    assert reading.snapshot is not None
    assert reading.snapshot.ring is not None
    assert reading.snapshot.ring.healthy


@pytest_real
async def test_real_directors_that_stop_and_start(
    real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    first, second, third = real_ring.directors
    names = [sshd.destination for sshd in real_sshds]
    async with watching(open_ring(real_ring.directors, real_sshds, ring_known_hosts)) as watch:
        await watch.until(complete)
        await asyncio.to_thread(first.stop)
        await watch.until(lambda reading: live(reading) and reading.link.director == names[1])
        assert (Subject.LINK, names[0], "", f"failed, now reading {names[1]}") in watch.changes
        await asyncio.gather(asyncio.to_thread(second.stop), asyncio.to_thread(third.stop))
        lost = await watch.until(lambda reading: reading.link.status is LinkStatus.RECONNECTING)
        assert isinstance(lost.link.failure, RingUnreadable)
        assert "Dovecot is not running there" in lost.link.failure.remedy
        assert lost.snapshot is not None
        assert len(lost.snapshot.backends) == 8
        for director in real_ring.directors:
            await asyncio.to_thread(director.start)
        back = await watch.until(live)
        assert back.snapshot is not None
        assert len(back.snapshot.backends) == 8


@pytest_real
async def test_real_all_sessions_frozen_are_left_for_new_ones(
    real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    async with watching(open_ring(real_ring.directors, real_sshds, ring_known_hosts)) as watch:
        await watch.until(complete)
        frozen = {pid for sshd in real_sshds for pid in sshd.session_pids()}
        for sshd in real_sshds:
            sshd.freeze_sessions()
        frozen_s = SYSTEM_TIMES.mono_s()
        back = await watch.until(
            lambda reading: live(reading) and reading.snapshot and reading.snapshot.taken_mono_s > frozen_s + 1.0
        )
        assert back.link.director == real_sshds[0].destination, "the first that was given up is the first to be back"
        assert {pid for sshd in real_sshds for pid in sshd.session_pids()} - frozen
        await watch.until(lambda reading: not any(view.failure for view in reading.views))


@pytest_real
async def test_real_a_second_ring_is_left_out(
    real_ring: RealRing, make_ring: MakeRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    other = await asyncio.to_thread(make_ring, 1, "127.0.2.1")
    mixed = [real_ring.directors[0], other.directors[0], real_ring.directors[2]]
    names = [sshd.destination for sshd in real_sshds]
    ring = open_ring(mixed, real_sshds, ring_known_hosts)
    async with watching(ring) as watch:
        reading = await watch.until(complete)
        assert foreign(reading.views) == (names[1],)
        await asyncio.to_thread(mixed[0].stop)
        await watch.until(lambda reading: live(reading) and reading.link.director == names[2])
        assert (await ring.on_one(doveadm.status())).director == names[2]
    assert {each.snapshot.director for each in watch.readings if each.snapshot} == {names[0], names[2]}


# --- one reading ----------------------------------------------------------------------------------------------------


def three() -> FakeDirectors:
    members = {"d1": "10.0.0.11", "d2": "10.0.0.12", "d3": "10.0.0.13"}
    return FakeDirectors(members, {"10.1.0.1": ("", 100, "up", 5), "10.1.0.2": ("", 0, "down", 7)})


async def test_one_reading_has_all_that_is_known_of_a_ring() -> None:
    directors = three()
    reading = await read_once(FakeSsh(directors).ring("d1", "d2", "d3"))
    assert reading.snapshot is not None
    assert (reading.link.status, reading.snapshot.director) == (LinkStatus.LIVE, "d1")
    rows = [(one.ip, one.vhosts, one.users) for one in reading.snapshot.backends]
    assert rows == [("10.1.0.1", 100, 5), ("10.1.0.2", 0, 7)]
    assert reading.snapshot.ring is not None
    assert reading.snapshot.ring.synced
    assert [view.director for view in reading.views] == ["d1", "d2", "d3"]
    assert all(view.backends == reading.snapshot.backends for view in reading.views)
    assert reading.settings is not None
    assert reading.settings.user_expire_s == 420
    assert reading.settings.version == (2, 3, 19, 1)


async def test_one_reading_of_a_ring_with_silent_directors_and_secret_settings() -> None:
    directors = three()
    directors.instead["d1"] = ConnectionLost("d1: the connection was lost")
    directors.settings = NOT_RUNNING
    reading = await read_once(FakeSsh(directors).ring("d1", "d2", "d3"))
    assert reading.snapshot is not None
    assert reading.snapshot.director == "d2"
    assert [view.failure is None for view in reading.views] == [False, True, True]
    assert reading.settings is None
    assert "the directors' settings are not known" in reading.note
    directors.instead.update(dict.fromkeys(("d2", "d3"), NOT_RUNNING))
    with pytest.raises(RingUnreadable):
        await read_once(FakeSsh(directors).ring("d1", "d2", "d3"))
