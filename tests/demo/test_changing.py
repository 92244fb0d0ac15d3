"""What commands do to the practice ring as its time goes by; tests/parity/ compares what they say with Dovecot."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from director_tui.demo.command import CHANGE_S, Answer
from director_tui.demo.ring import PracticeRing
from director_tui.demo.side import USER_EXPIRE_S
from director_tui.director import doveadm
from director_tui.director.hashring import rings_by_tag, user_hash
from director_tui.director.model import State

if TYPE_CHECKING:
    from director_tui.demo.running import Running

START = datetime(2026, 11, 23, 21, 54, tzinfo=UTC)
IP, OTHER, GOLDEN, ALSO_GOLDEN = "10.1.0.1", "10.1.0.2", "10.1.0.7", "10.1.0.8"
TIMED_OUT = f"Error: {IP}: Ring sync timed out\n".encode()


def make(users: int = 0, scenario: str = "calm") -> PracticeRing:
    return PracticeRing(users=users, start=START, scenario=scenario)


def start(ring: PracticeRing, words: str, director: int = 0) -> Running:
    return ring.start(director, ("doveadm", "director", *words.split()))


def answer(ring: PracticeRing, words: str, director: int = 0) -> Answer | None:
    """None if it takes any of the ring's time."""
    return start(ring, words, director).answer


def waits(running: Running) -> bool:
    return running.answer is None


def users(ring: PracticeRing, ip: str, director: int = 0) -> int:
    return next(each.users for each in ring.backends_of(director) if each.ip == ip)


def sessions(ring: PracticeRing, director: int = 0) -> Counter[str]:
    """How many pass through this director, by backend."""
    done = ring.execute(director, ("doveadm", *doveadm.proxy_list().words))
    return Counter(each.ip for each in doveadm.proxy_list().parse(done.stdout))


def astray(ring: PracticeRing, count: int, ip: str, first: int = 1) -> list[int]:
    """So many user hashes, now on this backend, that belong elsewhere."""
    hash_ring = rings_by_tag(ring.backends)[""]
    hashes = [hash_ for hash_ in range(first, 2**32, 2**32 // (3 * count)) if hash_ring.backend_of(hash_) != ip][:count]
    assert len(hashes) == count
    for hash_ in hashes:
        ring.assign(hash_, ip)
    return hashes


def seconds(ring: PracticeRing, ip: str, running: Running) -> list[tuple[int, int]]:
    """At which second how many users were left, as far as that changed; last, when the command ended."""
    seen = [(0, users(ring, ip))]
    second = 0
    while running.answer is None:
        second += 1
        ring.advance(1)
        if users(ring, ip) != seen[-1][1]:
            seen.append((second, users(ring, ip)))
    return [*seen, (second, users(ring, ip))]


def test_a_change_of_a_synced_ring_takes_as_long_as_it_takes_to_go_round() -> None:
    ring = make()
    assert answer(ring, f"update {IP} 7") == Answer(0, b"", b"", CHANGE_S)
    ring.answer_after(0, 3)
    assert answer(ring, f"update {IP} 8") == Answer(0, b"", b"", 3)


def test_a_flush_moves_a_hundred_users_every_two_seconds_and_ends_when_the_last_move_has_begun() -> None:
    ring = make()
    astray(ring, 350, IP)
    assert seconds(ring, IP, start(ring, f"flush {IP}")) == [(0, 250), (2, 150), (4, 50), (6, 0), (6, 0)]
    ring = make()
    astray(ring, 350, IP)
    assert seconds(ring, IP, start(ring, f"flush --max-parallel 200 {IP}")) == [(0, 150), (2, 0), (2, 0)]
    ring = make()
    astray(ring, 200, IP)
    # The one behind the last is looked for as soon as there is room for it.
    assert seconds(ring, IP, start(ring, f"flush {IP}")) == [(0, 100), (2, 0), (4, 0)]


def test_flushes_of_one_director_share_their_moves_and_the_newest_comes_first() -> None:
    ring = make()
    for ip in (IP, OTHER):
        ring.set_vhosts(ip, 0)
    astray(ring, 250, IP)
    astray(ring, 250, OTHER, first=2)
    old = start(ring, f"flush {IP}")
    new = start(ring, f"flush --max-parallel 150 {OTHER}")
    left = [(users(ring, IP), users(ring, OTHER))]
    while waits(old):
        ring.advance(2)
        left.append((users(ring, IP), users(ring, OTHER)))
        assert waits(new) is (left[-1][1] > 0)
    assert left == [(150, 200), (150, 50), (100, 0), (0, 0), (0, 0)]
    # Each director counts its own.
    astray(ring, 250, IP, first=3)
    astray(ring, 250, OTHER, first=4)
    start(ring, f"flush {IP}")
    start(ring, f"flush {OTHER}", director=1)
    assert (users(ring, IP), users(ring, OTHER)) == (150, 150)


def test_a_flush_leaves_whoever_belongs_there_or_has_gone() -> None:
    ring = make()
    hashes = astray(ring, 150, IP)
    belonging = next(
        hash_ for hash_ in range(1, 2**32, 99991) if rings_by_tag(ring.backends)[""].backend_of(hash_) == IP
    )
    ring.assign(belonging, IP)
    running = start(ring, f"flush {IP}")
    assert users(ring, IP) == 51
    ring.advance(1)
    assert answer(ring, f"remove {IP}", director=1) == Answer(0, b"", b"", CHANGE_S)
    ring.advance(1)
    assert running.answer == Answer(0, b"", b"", CHANGE_S)
    assert sum(each.users for each in ring.backends) == 100
    assert len(hashes) == 150


def test_the_last_users_of_a_tag_wait_half_a_minute_for_each_batch_and_are_forgotten_at_the_end() -> None:
    ring = make(users=3_000)
    for ip in (GOLDEN, ALSO_GOLDEN):
        ring.set_vhosts(ip, 0)
    before = [sessions(ring, director)[GOLDEN] for director in range(3)]
    left = users(ring, GOLDEN)
    assert 200 < left < 400
    running = start(ring, f"flush {GOLDEN}", director=1)
    assert sessions(ring, 0)[GOLDEN] == before[0]
    assert 0 < sessions(ring, 1)[GOLDEN] < before[1]
    passed = seconds(ring, GOLDEN, running)
    assert passed[-1][0] == 30 * (left // 100)
    assert [count for second, count in passed if second < passed[-1][0]][-1] > 150  # only by expiry
    assert users(ring, GOLDEN) == 0
    # Who comes back after half a minute is still assigned here, and not looked at again.
    assert sessions(ring, 1)[GOLDEN] < before[1] / 10
    assert sessions(ring, 0)[GOLDEN] > before[0] / 3
    assert answer(ring, f"flush --max-parallel 1000 {ALSO_GOLDEN}") is not None
    assert users(ring, ALSO_GOLDEN) == 0


def test_people_come_back_within_two_minutes_of_a_kick() -> None:
    ring = make(users=2_000)
    names = [each.user for each in doveadm.proxy_list().parse(listed(ring))]
    here, elsewhere = sessions(ring), sessions(ring, 1)
    assert ring.execute(0, ("doveadm", "proxy", "kick", *names)).status == 0
    assert sessions(ring) == {}
    assert sessions(ring, 1) == elsewhere
    ring.advance(121)
    assert sum(sessions(ring).values()) > 0.8 * sum(here.values())


def listed(ring: PracticeRing) -> bytes:
    return ring.execute(0, ("doveadm", *doveadm.proxy_list().words)).stdout


def test_whoever_finds_no_backend_tries_again() -> None:
    ring = make(users=2_000)
    for ip in (GOLDEN, ALSO_GOLDEN):
        ring.set_vhosts(ip, 0)
        answer(ring, f"flush -F {ip}")
        for director in range(3):
            ring.execute(director, ("doveadm", "proxy", "kick", "-h", ip))
    ring.advance(300)
    assert users(ring, GOLDEN) == users(ring, ALSO_GOLDEN) == 0
    ring.set_vhosts(GOLDEN, 100)
    before = sum(each.users for each in ring.backends)
    ring.advance(121)
    assert users(ring, GOLDEN) > 100
    assert sum(each.users for each in ring.backends) > before


def test_sessions_on_a_removed_backend_go_on_until_their_end() -> None:
    ring = make(users=2_000)
    before = sessions(ring)
    assert answer(ring, f"remove {IP}") is not None
    assert sessions(ring) == before
    assert IP not in {each.ip for each in ring.backends}
    ring.advance(USER_EXPIRE_S)
    assert 0 < sessions(ring)[IP] < before[IP]
    ring.cut_off(0)
    assert sessions(ring)[IP] > 0
    assert sessions(ring, 1)[IP] > 0
    ring.advance(60)
    ring.mend()
    ring.advance(60)
    assert sessions(ring)[IP] > 0
    for director in range(3):
        ring.execute(director, ("doveadm", "proxy", "kick", "-h", IP))
    assert [sessions(ring, director)[IP] for director in range(3)] == [0, 0, 0]


def test_what_waits_for_a_director_that_hangs_is_done_newest_first_when_it_goes_on() -> None:
    ring = make()
    ring.stall(2)
    begun = start(ring, f"update {IP} 10")
    assert ring.backends[0].vhosts == 10
    waiting = [start(ring, f"update {IP} {vhosts}") for vhosts in (11, 12, 13)]
    ring.advance(29)
    ring.go_on()
    ring.advance(0.25)
    assert [each.answer for each in (begun, *waiting)] == [Answer(0, b"", b"", CHANGE_S)] * 4
    assert ring.backends[0].vhosts == 11


def test_what_waits_too_long_was_done_or_not() -> None:
    ring = make()
    ring.stall(2)
    begun = start(ring, f"update {IP} 10")
    ring.advance(20)
    waiting = start(ring, f"update {IP} 11", director=1)
    ring.advance(9.75)
    assert waits(begun)
    ring.advance(0.25)
    assert begun.answer == Answer(75, b"", TIMED_OUT)
    ring.advance(19.75)
    assert waits(waiting)
    ring.advance(0.25)
    assert waiting.answer == Answer(75, b"", TIMED_OUT)
    assert ring.backends[0].vhosts == 10


def test_a_user_is_held_until_a_director_that_hangs_has_answered_or_half_a_minute_is_over() -> None:
    ring = make()
    jane, joe = user_hash("jane"), user_hash("joe")
    ring.assign(jane, IP)
    ring.assign(joe, IP)
    ring.stall(2)
    assert answer(ring, f"move jane {OTHER}") is not None
    ring.advance(29)
    assert answer(ring, f"move jane {IP}") == Answer(
        75, b"", b"Error: User is already being moved, wait a while for it to be finished\n"
    )
    ring.advance(1)
    assert answer(ring, f"move joe {OTHER}") == answer(ring, f"move jane {IP}") == Answer(0, b"", b"", CHANGE_S)
    ring.advance(5)
    ring.go_on()
    ring.advance(2)
    assert answer(ring, f"move jane {OTHER}") is not None
    assert (answer(ring, f"move jane {IP}") or Answer(0)).status == 75
    ring.advance(2.25)
    assert answer(ring, f"move jane {IP}") == Answer(0, b"", b"", CHANGE_S)


def test_a_director_that_is_left_alone_waits_until_it_knows() -> None:
    ring = make()
    ring.cut_off(2)
    waiting = start(ring, f"update {IP} 10", director=2)
    assert answer(ring, f"update {IP} 20") is not None
    ring.advance(20)
    assert waits(waiting)
    ring.advance(1)
    assert waiting.answer == Answer(0, b"", b"", CHANGE_S)
    assert [ring.backends_of(director)[0].vhosts for director in range(3)] == [20, 20, 10]


@pytest.mark.parametrize("words", ["update 10.1.0.1 50", "flush 10.1.0.1"])
def test_a_director_that_is_stopped_takes_leave_of_whoever_waits(words: str) -> None:
    ring = make()
    astray(ring, 200, IP)
    ring.stall(2)
    answer(ring, f"update {OTHER} 50")
    waiting = start(ring, words)
    ring.advance(1)
    assert waits(waiting)
    ring.stop_director(0)
    ring.advance(0.25)
    assert waiting.answer == Answer(75, b"", b"Error: /run/dovecot/director-admin unexpectedly disconnected\n")
    left = users(ring, IP, director=1)
    ring.advance(60)
    assert users(ring, IP, director=1) == left == (100 if words.startswith("flush") else 200)


def test_a_stopped_director_hangs_no_more() -> None:
    ring = make()
    ring.stall(2)
    waiting = start(ring, f"update {IP} 50")
    ring.stop_director(2)
    ring.advance(0.25)
    assert waiting.answer == Answer(0, b"", b"", CHANGE_S)
    ring.start_director(2)
    assert answer(ring, f"update {IP} 51", director=2) == Answer(0, b"", b"", CHANGE_S)


def test_a_busy_backend_refuses_other_changes() -> None:
    ring = make()
    before = ring.backends
    ring.set_busy(IP, busy=True)
    refused = Answer(75, b"", f"Error: {IP}: host is already being updated - try again later\n".encode())
    assert [answer(ring, words) for words in (f"update {IP} 5", f"add {IP} 5", f"down {IP}")] == [refused] * 3
    assert answer(ring, f"up {IP}") == Answer(0, b"", b"", CHANGE_S)  # which it is already
    assert ring.backends == before
    ring.set_busy(IP, busy=False)
    assert answer(ring, f"down {IP}") == Answer(0, b"", b"", CHANGE_S)


def test_the_monitor_sets_up_again_what_a_command_sets_down() -> None:
    ring = make(scenario="monitor-fight")
    assert answer(ring, f"down {ALSO_GOLDEN}") is not None
    states = [ring.backends[-1].state]
    ring.advance(43)
    states.append(ring.backends[-1].state)
    assert states == [State.DOWN, State.UP]


@pytest.mark.parametrize("scenario", ["storage-outage", "monitor-fight", "split-ring"])
def test_the_stories_go_on_though_backends_are_removed(scenario: str) -> None:
    ring = make(users=200, scenario=scenario)
    ring.advance(1)
    for each in ring.backends[1:]:
        assert answer(ring, f"remove {each.ip}") is not None
    ring.advance(450)
    assert IP in {each.ip for each in ring.backends}
