"""What each scenario does to the practice ring, as doveadm shows it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from director_tui.demo.drills import CALM
from director_tui.demo.ring import PracticeRing
from director_tui.demo.scenarios import SCENARIOS
from director_tui.director import doveadm
from director_tui.director.failures import failure_of
from director_tui.director.model import Backend, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from director_tui.director.doveadm import Call

ResultT = TypeVar("ResultT")

START = datetime(2026, 11, 23, 21, 54, tzinfo=UTC)
COMMANDS = Path(__file__).parents[2] / "docs" / "commands.md"
EVENTFUL = sorted(SCENARIOS.keys() - {CALM})
SIZES = [1, 2, 4, 8, 400]


def make(scenario: str, backends: int = 8, users: int = 2_000, seed: int = 1) -> PracticeRing:
    return PracticeRing(backends=backends, users=users, seed=seed, start=START, scenario=scenario)


def ask(ring: PracticeRing, call: Call[ResultT], director: int = 0) -> ResultT:
    answer = ring.execute(director, ("doveadm", *call.words))
    assert failure_of(call, answer.status, answer.stdout, answer.stderr) is None, answer
    return call.parse(answer.stdout)


def settings(ring: PracticeRing, director: int = 0) -> dict[str, tuple[int, State]]:
    return {each.ip: (each.vhosts, each.state) for each in ask(ring, doveadm.status(), director)}


def said(ring: PracticeRing) -> list[object]:
    """All that its directors print, and how long they take for it."""
    calls = doveadm.status(), doveadm.ring_status(), doveadm.assignments(), doveadm.proxy_list()
    return [ring.execute(director, ("doveadm", *call.words)) for director in range(3) for call in calls]


def seconds(ring: PracticeRing, until_s: int) -> Iterator[int]:
    """Let a ring's time pass from 0, second by second."""
    for second in range(1, until_s + 1):
        ring.advance(1)
        yield second


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_seed_tells_the_same_story_whatever_the_steps(scenario: str) -> None:
    one, other = make(scenario, users=300, seed=3), make(scenario, users=300, seed=3)
    one.advance(400)
    for _ in range(1_600):
        other.advance(0.25)
    assert said(one) == said(other)


@pytest.mark.parametrize("scenario", ["storage-outage", "monitor-fight", "split-ring"])
def test_another_seed_strikes_other_backends(scenario: str) -> None:
    struck = set()
    for seed in range(8):
        ring = make(scenario, users=50, seed=seed)
        before = settings(ring)
        later = [settings(ring) for _ in seconds(ring, 50)]
        struck.add(frozenset(ip for ip in before if any(each[ip] != before[ip] for each in later)))
    assert len(struck) > 1


@pytest.mark.parametrize("scenario", EVENTFUL)
def test_something_happens_within_twenty_seconds(scenario: str) -> None:
    calm, eventful = make(CALM, users=300), make(scenario, users=300)
    for ring in (calm, eventful):
        ring.advance(20)
    assert said(calm) != said(eventful)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("backends", SIZES)
def test_rings_of_any_size_have_every_scenario(scenario: str, backends: int) -> None:
    ring = make(scenario, backends=backends, users=200)
    ring.advance(700)
    assert all(len(ask(ring, doveadm.status(), director)) == backends for director in range(3))


def test_nothing_but_users_changes_on_a_calm_day() -> None:
    ring = make(CALM)
    before = settings(ring)
    users = [each.users for each in ask(ring, doveadm.status())]
    ring.advance(1800)
    assert settings(ring) == before
    assert [each.users for each in ask(ring, doveadm.status())] != users
    assert all(ask(ring, doveadm.ring_status(), director).healthy for director in range(3))


def test_in_a_storage_outage_sessions_drop_and_backends_go_down_and_come_back_in_part() -> None:
    ring = make("storage-outage", users=4_000)

    def sessions() -> dict[str, int]:
        listed = [each.ip for director in range(3) for each in ask(ring, doveadm.proxy_list(), director)]
        return {ip: listed.count(ip) for ip in settings(ring)}

    first = {each.ip: each for each in ask(ring, doveadm.status())}
    first_sessions = sessions()
    went_down: dict[str, Backend] = {}
    sessions_then: dict[str, int] = {}
    came_back: dict[str, int] = {}
    for second in seconds(ring, 400):
        for each in ask(ring, doveadm.status()):
            if each.state is State.DOWN and each.ip not in went_down:
                went_down[each.ip] = each
                sessions_then[each.ip] = sessions()[each.ip]
                assert each.state_changed is not None
                assert (each.state_changed - START).total_seconds() == second
            if each.state is State.UP and each.ip in went_down:
                came_back.setdefault(each.ip, second)
    assert len(went_down) == 3
    times = [each.state_changed for each in went_down.values()]
    assert times == sorted(set(times), key=str)
    assert {each.tag for each in went_down.values()} == {""}
    assert all(sessions_then[ip] < first_sessions[ip] / 10 for ip in went_down)
    # Its monitor's flush gets lost every other time, and then the users stay.
    assert [each.users > first[each.ip].users / 2 for each in went_down.values()] == [False, True, False]
    assert len(came_back) == 2
    assert min(came_back.values()) > 240
    last = {each.ip: each for each in ask(ring, doveadm.status())}
    assert sum(each.users for each in last.values()) == pytest.approx(4_000, rel=0.15)
    [drained] = [each for each in last.values() if each.vhosts == 0]
    assert 0 < drained.users < first[drained.ip].users
    [golden] = [each for each in last.values() if each.tag and each.vhosts != first[each.ip].vhosts]
    assert golden.usable


def test_a_monitor_sets_up_28_s_later_what_a_colleague_sets_down() -> None:
    ring = make("monitor-fight", users=100)
    before = settings(ring)
    seen = [before]
    times = []
    for second in seconds(ring, 300):
        now = settings(ring)
        if now != seen[-1]:
            seen.append(now)
            times.append(second)
    assert times == [14, 42, 74, 102, 134, 162, 194, 222, 254, 282]
    assert seen[::2] == [before] * 6
    [target] = [ip for ip in before if seen[1][ip] != before[ip]]
    assert seen[1::2] == [before | {target: (before[target][0], State.DOWN)}] * 5


def test_the_monitor_sets_up_what_anybody_sets_down() -> None:
    ring = make("monitor-fight", users=0)
    ring.set_state("10.1.0.8", State.DOWN)
    ring.advance(43)
    assert settings(ring)["10.1.0.8"][1] is State.UP


def test_the_sides_of_a_split_ring_go_apart_and_one_day_agree_again() -> None:
    ring = make("split-ring")
    before = settings(ring)
    views = {second: [ask(ring, doveadm.ring_status(), one) for one in range(3)] for second in seconds(ring, 11)}
    assert all(view.healthy for each in views.values() for view in each)
    ring.advance(3)
    own = ask(ring, doveadm.ring_status(), 2).self_peer
    assert own is not None
    assert own.status == "ring syncing - last sync 2 secs ago"
    ring.advance(20)
    assert ask(ring, doveadm.ring_status(), 2).alone
    majority = [ask(ring, doveadm.ring_status(), one) for one in (0, 1)]
    assert all(view.synced and not view.healthy and len(view.connected) == 2 for view in majority)
    ring.advance(126)  # 160 s
    assert settings(ring, 0) == settings(ring, 1)
    changed = {ip: value for ip, value in settings(ring, 0).items() if value != before[ip]}
    elsewhere = {ip: value for ip, value in settings(ring, 2).items() if value != before[ip]}
    assert sorted(vhosts for vhosts, _ in changed.values()) == [0, 150]
    assert sorted(state.value for _, state in elsewhere.values()) == ["down", "up"]
    assert not changed.keys() & elsewhere.keys()
    # Who logs in on one side is not seen on the other, and who is only there expires here.
    ring.advance(140)  # 300 s
    hashes = [{each.user_hash for each in ask(ring, doveadm.assignments(), director)} for director in range(3)]
    assert hashes[0] == hashes[1]
    assert hashes[0] - hashes[2]
    assert hashes[2] - hashes[0]
    lone = settings(ring, 2)
    ring.advance(60)
    assert all(ask(ring, doveadm.ring_status(), director).healthy for director in range(3))
    assert settings(ring, 0) == settings(ring, 1) == settings(ring, 2) == lone
    together = [{each.user_hash for each in ask(ring, doveadm.assignments(), director)} for director in range(3)]
    assert together[0] == together[1] == together[2]
    assert together[0] & (hashes[0] - hashes[2])
    assert together[0] & (hashes[2] - hashes[0])


def test_the_slow_director_takes_its_time_and_the_others_do_not() -> None:
    ring = make("slow-director", users=50)

    def delay_s(director: int) -> float:
        return ring.execute(director, ("doveadm", *doveadm.status().words)).delay_s

    delays = [delay_s(0) for _ in seconds(ring, 11)]
    assert max(delays) < 0.1
    ring.advance(1)
    delays = []
    for _ in seconds(ring, 200):
        assert max(delay_s(1), delay_s(2)) < 0.1
        assert settings(ring, 0) == settings(ring, 1)
        delays.append(delay_s(0))
    answered = [each for each in delays if each <= 4]
    assert len(answered) > 120
    assert min(answered) >= 1.5
    assert max(answered) - min(answered) > 1
    unanswered = [each for each in delays if each > 4]
    assert 12 <= len(unanswered) < 80
    assert min(unanswered) > 30


def test_the_manual_lists_every_scenario_in_its_own_words() -> None:
    page = COMMANDS.read_text("utf-8")
    for each in SCENARIOS.values():
        assert f"| `{each.name}` | {each.summary}" in page
