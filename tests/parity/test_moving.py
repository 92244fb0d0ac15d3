"""What becomes of users and sessions when a ring is changed, against the practice ring and against real Dovecot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from director_tui.demo.command import Answer
from director_tui.director import doveadm
from director_tui.director.hashring import rings_by_tag, user_hash

from .test_changing import OK, assign, change, ips, names, sessions, users

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .conftest import AnyRing, Started


def wait_for_users(ring: AnyRing, expected: Mapping[str, int]) -> None:
    """On every director."""
    ring.wait(lambda: all(users(ring, director) == expected for director in range(3)))


def ended(command: Started) -> bool:
    return command.answer is not None


MOVING = Answer(75, b"", b"Error: User is already being moved, wait a while for it to be finished\n")


def test_a_move_assigns_a_user_for_as_long_as_the_assignment_lasts(any_ring: AnyRing) -> None:
    [first, second, *_, golden, _] = ips(any_ring)
    [jane] = names(any_ring, 1, first)
    assert any_ring.doveadm("director", "down", second) == OK
    assert any_ring.doveadm("director", "move", jane, second) == OK
    assert any_ring.doveadm("director", "move", jane, first) == MOVING
    assert any_ring.doveadm("director", "move", jane, second, director=1) == MOVING
    assert any_ring.doveadm("director", "move", jane, golden) == OK  # another tag, another user
    wait_for_users(any_ring, {second: 1, golden: 1})
    for director in range(3):
        placement = any_ring.ask(doveadm.placement(user_hash(jane), ""), director)
        assert (placement.current, placement.hashed) == (second, first)
    any_ring.wait(lambda: any_ring.doveadm("director", "move", jane, second) == OK)
    # To where the user is already: nothing begins.
    assert any_ring.doveadm("director", "move", jane, second) == OK
    assert any_ring.doveadm("director", "move", jane, first, director=2) == OK
    any_ring.wait(lambda: users(any_ring) == {first: 1, golden: 1})


def test_a_move_to_another_backend_ends_the_users_sessions_everywhere(any_ring: AnyRing) -> None:
    [first, second, *_, golden, _] = ips(any_ring)
    jane, joe = names(any_ring, 2, first)
    for director in (0, 1, 1):
        any_ring.log_in(jane, director)
    any_ring.log_in(joe, 2)
    before = sessions(any_ring)
    assert any_ring.doveadm("director", "move", jane, first) == OK
    assert any_ring.doveadm("director", "move", joe, golden) == OK
    assert sessions(any_ring) == before
    assert any_ring.doveadm("director", "move", jane, second, director=2) == OK
    any_ring.wait(lambda: sessions(any_ring) == [{}, {}, {(joe, first): 1}])
    any_ring.log_in(jane, 0)  # which may have to wait
    assert sessions(any_ring)[0] == {(jane, second): 1}
    assert users(any_ring) == {first: 1, second: 1, golden: 1}


def test_a_kick_ends_all_sessions_of_exactly_this_user(any_ring: AnyRing) -> None:
    [first, *_] = ips(any_ring)
    jane, joe = names(any_ring, 2, first)
    for director in (0, 1, 1):
        any_ring.log_in(jane, director)
    any_ring.log_in(joe, 0)
    before = sessions(any_ring)
    for words in (("kick", jane.upper()), ("kick", "*"), ("kick", jane[:-1]), ("kick", "-f", "host", jane)):
        assert any_ring.doveadm("director", *words) == OK
    assert sessions(any_ring) == before
    assert any_ring.doveadm("director", "kick", jane, director=2) == OK
    any_ring.wait(lambda: sessions(any_ring) == [{(joe, first): 1}, {}, {}])
    assert users(any_ring) == {first: 2}
    any_ring.log_in(jane, 0)
    assert sessions(any_ring)[0] == {(joe, first): 1, (jane, first): 1}


def test_a_proxy_kick_ends_sessions_through_one_director(any_ring: AnyRing) -> None:
    known = ips(any_ring)
    people = [names(any_ring, 2, ip) for ip in known[:3]]
    for both in people:
        for user in both:
            any_ring.log_in(user, 0)
    any_ring.log_in(people[0][0], 1)
    elsewhere = sessions(any_ring)[1:]

    def kick(*words: str) -> None:
        answer = any_ring.doveadm("proxy", "kick", *words)
        # The count is that of whichever login process has answered last.
        assert answer.status == 0
        assert answer.stdout in {b"%s connections kicked\n" % count for count in (b"0", b"1", b"(null)")}
        assert answer.stderr == b""

    def left(*users: str) -> None:
        any_ring.wait(lambda: sorted(user for user, _ in sessions(any_ring)[0]) == sorted(users))

    kick("nobody", people[0][0].upper())
    kick("-f", "host", people[0][0])
    kick("-h", "192.0.2.77")
    left(*people[0], *people[1], *people[2])
    kick(people[0][0], "nobody", people[1][0])
    left(people[0][1], people[1][1], *people[2])
    kick("-h", known[2])
    left(people[0][1], people[1][1])
    kick("-h", known[0], known[1])
    left()
    assert sessions(any_ring)[1:] == elsewhere
    assert users(any_ring) == dict.fromkeys(known[:3], 2)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (
            ("kick",),
            (
                64,
                b"",
                b"doveadm proxy kick [-a <ipc socket path>] [-f <passdb field>] [-h <host> [...] | <user> [...]]\n",
            ),
        ),
        (("kick", "-h"), (64, b"", b"kick: option requires an argument -- 'h'\n")),
        (("kick", "-f"), (64, b"", b"kick: option requires an argument -- 'f'\n")),
        (("kick", "-x"), (64, b"", b"kick: invalid option -- 'x'\n")),
        (
            ("kick", "-a", "/nonexistent", "a"),
            (
                75,
                b"",
                b"Error: connect(/nonexistent) failed: No such file or directory\n"
                b"Error: KICK failed: ipc connect failed\n",
            ),
        ),
    ],
)
def test_a_proxy_kick_that_is_none(any_ring: AnyRing, words: tuple[str, ...], answer: tuple[int, bytes, bytes]) -> None:
    assert any_ring.doveadm("proxy", *words) == Answer(*answer)


def test_whoever_is_on_a_removed_backend_is_forgotten_and_stays_connected(any_ring: AnyRing) -> None:
    [first, second, *_] = ips(any_ring)
    [jane] = names(any_ring, 1, first)
    [joe] = names(any_ring, 1, second)
    any_ring.log_in(jane, 0)
    any_ring.log_in(joe, 1)
    before = sessions(any_ring)
    assert any_ring.doveadm("director", "remove", first, director=2) == OK
    assert sessions(any_ring) == before
    assert [users(any_ring, director) for director in range(3)] == [{second: 1}] * 3
    assert any_ring.ask(doveadm.placement(user_hash(jane), "")).current is None
    assert any_ring.doveadm("director", "add", first) == OK
    assert sessions(any_ring) == before
    assert [users(any_ring, director) for director in range(3)] == [{second: 1}] * 3
    assert any_ring.doveadm("director", "update", first, "0") == OK
    any_ring.log_in(jane, 0)  # and is on two backends now
    assert {ip for user, ip in sessions(any_ring)[0] if user == jane} > {first}


@pytest.mark.parametrize("all_of_them", [False, True])
def test_forced_flushes_forget_users_and_end_no_session(any_ring: AnyRing, all_of_them: bool) -> None:
    [first, second, *_, golden, _] = ips(any_ring)
    people = {ip: names(any_ring, 2, ip, "gold" if ip == golden else "") for ip in (first, second, golden)}
    for director, both in enumerate(people.values()):
        for user in both:
            any_ring.log_in(user, director)
    before = sessions(any_ring)
    assert any_ring.doveadm("director", "flush", "-F", "all" if all_of_them else first, director=1) == OK
    expected = {} if all_of_them else {second: 2, golden: 2}
    wait_for_users(any_ring, expected)
    assert sessions(any_ring) == before
    any_ring.log_in(people[first][0], 2)
    assert users(any_ring) == expected | {first: 1}


def test_a_flush_moves_whoever_belongs_elsewhere_and_ends_their_sessions(any_ring: AnyRing) -> None:
    known = ips(any_ring)
    people = {ip: names(any_ring, 3, ip) for ip in known[:2]}
    for both in people.values():
        for director, user in enumerate(both):
            any_ring.log_in(user, director)
    before = sessions(any_ring)
    assert any_ring.doveadm("director", "flush", known[0]) == OK
    assert any_ring.doveadm("director", "flush", "all") == OK
    assert sessions(any_ring) == before

    assert any_ring.doveadm("director", "update", known[0], "0") == OK
    assert any_ring.doveadm("director", "flush", known[1]) == OK
    assert sessions(any_ring) == before
    assert any_ring.doveadm("director", "flush", known[0], director=2) == OK
    heirs = {user: any_ring.ask(doveadm.placement(user_hash(user), "")).hashed for user in people[known[0]]}
    assert known[0] not in heirs.values()
    any_ring.wait(lambda: not any(known[0] in users(any_ring, director) for director in range(3)))
    any_ring.wait(
        lambda: [list(each) for each in sessions(any_ring)] == [[(user, known[1])] for user in people[known[1]]]
    )
    for user, heir in heirs.items():
        for director in range(3):
            assert any_ring.ask(doveadm.placement(user_hash(user), ""), director).current == heir
    assert any_ring.doveadm("director", "update", known[0], "100") == OK
    any_ring.log_in(people[known[0]][0], 0)
    assert (people[known[0]][0], heirs[people[known[0]][0]]) in sessions(any_ring)[0]


def test_a_flush_of_all_takes_everybody_to_where_the_hash_leads(any_ring: AnyRing) -> None:
    known = ips(any_ring)
    astray = [user for ip in known[1:5] for user in names(any_ring, 5, ip)]
    assign(any_ring, astray, known[0])
    golden = names(any_ring, 5, known[6], "gold")
    assign(any_ring, golden, known[7])
    assert users(any_ring) == {known[0]: 20, known[7]: 5}
    assert any_ring.doveadm("director", "flush", "all", director=1) == OK
    wait_for_users(any_ring, dict.fromkeys(known[1:5], 5) | {known[6]: 5})


def test_a_flush_takes_a_hundred_users_every_two_seconds_and_goes_on_without_whoever_began_it(
    any_ring: AnyRing,
) -> None:
    [first, second, third, *_] = ips(any_ring)
    hash_ring = rings_by_tag(any_ring.ask(doveadm.status()))[""]
    astray = [f"user{number}@example.com" for number in range(2_000)]
    astray = [user for user in astray if hash_ring.backend_of(user_hash(user)) not in {first, second}][:350]
    assert len(astray) == 350
    assign(any_ring, astray, first)
    seen: list[int] = []

    def left(director: int) -> int:
        count = users(any_ring, director).get(first, 0)
        if not seen or seen[-1] != count:
            seen.append(count)
        return count

    began = any_ring.now()
    flush = any_ring.start("director", "flush", first)
    any_ring.wait(lambda: left(0) == 0)
    any_ring.wait(lambda: ended(flush))
    assert flush.answer == OK
    assert (any_ring.now() - began).total_seconds() > 5
    assert seen == sorted(seen, reverse=True)
    assert len(seen) > 2

    assert any_ring.doveadm("director", "flush", "-F", "all") == OK
    wait_for_users(any_ring, {})
    assign(any_ring, astray, first)
    flush = any_ring.start("director", "flush", "--max-parallel", "150", first, director=1)
    any_ring.wait(lambda: users(any_ring, 1).get(first) == 200)
    flush.abandon()
    # Flushes of one director share its count of moves: this one waits until nobody is being moved.
    assert change(any_ring, "flush --max-parallel 1 {1}", director=1) == OK
    any_ring.wait(lambda: first not in users(any_ring, 1))
    assert third in users(any_ring, 1)


def test_who_is_on_the_last_backends_of_a_tag_is_kicked_by_the_flushing_director_only(any_ring: AnyRing) -> None:
    *_, golden, other = ips(any_ring)
    people = {ip: names(any_ring, 3, ip, "gold") for ip in (golden, other)}
    for three in people.values():
        for director, user in enumerate(three):
            any_ring.log_in(user, director)
    for ip in (golden, other):
        assert any_ring.doveadm("director", "update", ip, "0") == OK
    before = sessions(any_ring)
    assert any_ring.doveadm("director", "flush", "--max-parallel", "4", golden, director=1) == OK
    wait_for_users(any_ring, {other: 3})
    any_ring.wait(lambda: sessions(any_ring)[1] == {(people[other][1], other): 1})
    assert [sessions(any_ring)[director] for director in (0, 2)] == [before[director] for director in (0, 2)]

    # As many at a time as there are users is one too few: it looks for another one, and for this there is no room.
    began = any_ring.now()
    flush = any_ring.start("director", "flush", "--max-parallel", "3", other, director=2)
    any_ring.wait(lambda: sessions(any_ring)[2] == {(people[golden][2], golden): 1})
    assert users(any_ring) == {other: 3}
    assert not ended(flush)
    any_ring.wait(lambda: ended(flush), 60)
    assert flush.answer == OK
    assert (any_ring.now() - began).total_seconds() > 29
    wait_for_users(any_ring, {})
    assert sessions(any_ring)[0] == before[0]
    assert any_ring.doveadm("proxy", "kick", "-h", golden, other).status == 0
    any_ring.wait(lambda: sessions(any_ring)[0] == {})


def test_a_flush_stands_still_while_a_director_hangs(stalling_ring: AnyRing) -> None:
    ring = stalling_ring
    [first, second, *_] = ips(ring)
    astray = names(ring, 5, second)
    assign(ring, astray, first)
    ring.stall(2)
    flush = ring.start("director", "flush", "--max-parallel", "2", first)
    ring.wait(lambda: users(ring) == {first: 3, second: 2})
    began = ring.now()
    ring.wait(lambda: (ring.now() - began).total_seconds() > 5)
    assert users(ring) == {first: 3, second: 2}
    assert not ended(flush)
    ring.go_on(2)
    ring.wait(lambda: ended(flush))
    assert flush.answer == OK
    wait_for_users(ring, {second: 5})
