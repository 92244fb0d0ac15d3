"""What the clean removal of a backend relies on, against the practice ring and against real Dovecot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from director_tui.director import doveadm
from director_tui.director.doveadm import Tool
from director_tui.director.hashring import rings_by_tag, user_hash
from director_tui.director.mail_servers import MailServers, parse_mail_servers
from director_tui.director.model import State

from .test_changing import OK, ips, names, sessions, users

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .conftest import AnyRing

ALL = range(3)


def astray(ring: AnyRing, count: int, ip: str) -> None:
    """Assign so many hashes to this backend, spread over the whole ring, without a session."""
    ring.assign_all(range(1, 2**32, 2**32 // count + 1), ip)


def on_backend(ring: AnyRing, ip: str) -> list[int]:
    """How many users each director counts there."""
    return [users(ring, director).get(ip, 0) for director in ALL]


def sessions_to(ring: AnyRing, ip: str) -> list[int]:
    """How many sessions pass through each director to this backend."""
    return [sum(count for (_, where), count in each.items() if where == ip) for each in sessions(ring)]


def leads_to(ring: AnyRing, user: str, director: int) -> str | None:
    return ring.ask(doveadm.placement(user_hash(user), ""), director).hashed


def wait_until_known(ring: AnyRing, expected: Sequence[str], director: int) -> None:
    ring.wait(lambda: [each.ip for each in ring.ask(doveadm.status(), director)] == expected)


def test_a_vhost_count_of_0_keeps_who_is_there_and_takes_nobody_new(any_ring: AnyRing) -> None:
    [first, *_] = ips(any_ring)
    old, new = names(any_ring, 2, first)
    any_ring.log_in(old, 0)
    assert any_ring.doveadm("director", "update", first, "0", director=1) == OK
    any_ring.wait(lambda: all(leads_to(any_ring, new, each) != first for each in ALL))
    any_ring.log_in(old, 2)
    any_ring.log_in(new, 2)
    assert sessions_to(any_ring, first) == [1, 0, 1]
    assert on_backend(any_ring, first) == [1, 1, 1]


def test_a_flush_of_a_vhost_count_of_0_moves_all_with_and_without_a_session(any_ring: AnyRing) -> None:
    [first, *_] = ips(any_ring)
    people = names(any_ring, 6, first)
    astray(any_ring, 60, first)
    for number, user in enumerate(people):
        any_ring.log_in(user, number % 3)
    assert on_backend(any_ring, first) == [66] * 3
    assert sessions_to(any_ring, first) == [2, 2, 2]
    assert any_ring.doveadm("director", "update", first, "0") == OK
    assert any_ring.doveadm("director", "flush", first, director=1) == OK
    any_ring.wait(lambda: on_backend(any_ring, first) == [0] * 3)
    any_ring.wait(lambda: sessions_to(any_ring, first) == [0] * 3)
    hash_ring = rings_by_tag(any_ring.ask(doveadm.status()))[""]
    for number, user in enumerate(people):
        any_ring.log_in(user, number % 3)
        assert (user, hash_ring.backend_of(user_hash(user))) in sessions(any_ring)[number % 3]
    assert on_backend(any_ring, first) == sessions_to(any_ring, first) == [0] * 3
    assert any_ring.doveadm("director", "flush", first) == OK, "with nobody left"


def test_an_emptied_backend_that_is_removed_is_known_to_nobody_but_the_configuration(any_ring: AnyRing) -> None:
    known = ips(any_ring)
    [first, *rest] = known
    astray(any_ring, 10, first)
    assert any_ring.doveadm("director", "update", first, "0") == OK
    assert any_ring.doveadm("director", "flush", first) == OK
    any_ring.wait(lambda: on_backend(any_ring, first) == [0] * 3)
    before = users(any_ring)
    assert any_ring.doveadm("director", "remove", first, director=2) == OK
    for director in ALL:
        wait_until_known(any_ring, rest, director)
        assert users(any_ring, director) == before
        assert any_ring.ask(doveadm.assignments(first), director) == ()
        answer = any_ring.run(Tool.DOVECONF, "-h", "director_mail_servers", director=director)
        assert (answer.status, answer.stderr) == (0, b"")
        configured = parse_mail_servers(answer.stdout.decode().rstrip("\n"))
        assert configured == MailServers({ip: "gold" if ip in known[6:] else "" for ip in known})
    assert any_ring.doveadm("director", "update", first, "100").status == 75
    assert any_ring.doveadm("director", "flush", first).status == 68


def test_a_backend_that_is_added_again_takes_its_place_but_not_its_state(any_ring: AnyRing) -> None:
    *_, golden, _ = known = ips(any_ring)
    before = rings_by_tag(any_ring.ask(doveadm.status()))["gold"]
    assert any_ring.doveadm("director", "down", golden) == OK
    assert any_ring.doveadm("director", "remove", golden) == OK
    assert any_ring.doveadm("director", "add", "-t", "gold", golden, "100", director=1) == OK
    for director in ALL:
        wait_until_known(any_ring, known, director)
        rows = any_ring.ask(doveadm.status(), director)
        [row] = [one for one in rows if one.ip == golden]
        assert (row.tag, row.vhosts, row.state, row.state_changed, row.users) == ("gold", 100, State.UP, None, 0)
        after = rings_by_tag(rows)["gold"]
        assert [after.backend_of(one) for one in range(1, 2**32, 2**26)] == [
            before.backend_of(one) for one in range(1, 2**32, 2**26)
        ]
