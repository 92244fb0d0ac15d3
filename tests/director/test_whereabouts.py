"""What is said of a user: one sentence for every case that a director's answer can be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from director_tui.director.hashring import user_hash
from director_tui.director.model import Backend, Placement, ProxySession, State
from director_tui.director.whereabouts import (
    Grade,
    Whereabouts,
    expiry,
    is_session_of,
    misplaced,
    on_two_backends,
    whereabouts,
)

NOW = datetime(2026, 11, 24, 21, 54, 3, tzinfo=UTC)
NAMES = {"10.1.0.1": "mail-01", "10.1.0.3": "mail-03"}
ONE, TWO = "10.1.0.1", "10.1.0.2"
DRAINING, DRAINED, DOWN = "10.1.0.3", "10.1.0.4", "10.1.0.5"
GOLD, OFF = "10.1.0.7", "10.1.0.8"


def backend(ip: str, tag: str = "", vhosts: int = 100, state: State = State.UP, users: int = 5) -> Backend:
    return Backend(ip, tag, vhosts, state, None, users)


BACKENDS = (
    backend(ONE),
    backend(TWO),
    backend(DRAINING, vhosts=0),
    backend(DRAINED, vhosts=0, users=0),
    backend(DOWN, state=State.DOWN),
    backend(GOLD, "gold"),
    backend(OFF, "off", vhosts=0),
)


def placed(current: str | None, hashed: str | None, tag: str = "") -> Placement:
    return Placement(tag, current, NOW + timedelta(minutes=12) if current else None, hashed, ONE)


def said(*placements: Placement, expire_s: float | None = 900.0, backends: tuple[Backend, ...] = BACKENDS) -> list[str]:
    """The sentences with their grades."""
    found = whereabouts(placements, backends, names=NAMES, user_expire_s=expire_s)
    return [f"{one.grade.value}: {one.sentence}" for one in found]


# Assigned in the only tag.


def test_on_a_serving_backend_where_its_hash_leads() -> None:
    assert said(placed(ONE, ONE)) == ["fine: on 10.1.0.1 (mail-01), where its hash leads"]


def test_on_a_serving_backend_where_its_hash_does_not_lead() -> None:
    assert said(placed(ONE, TWO)) == [
        "plain: on 10.1.0.1 (mail-01), though its hash leads to 10.1.0.2; it was moved by hand, or the shares have "
        "changed since; moves to 10.1.0.2 when flushed, or 15 min after its last session"
    ]


@pytest.mark.parametrize("ip", [DRAINING, DRAINED], ids=["draining", "drained an answer before"])
def test_on_a_draining_backend(ip: str) -> None:
    (one,) = said(placed(ip, ONE))
    assert one.startswith(f"attention: on {ip}")
    assert one.endswith(
        ", which is draining; moves to 10.1.0.1 (mail-01) when flushed, or 15 min after its last session"
    )


def test_on_a_backend_that_is_down() -> None:
    assert said(placed(DOWN, TWO)) == [
        "danger: on 10.1.0.5, which is DOWN; its logins still go there; moves to 10.1.0.2 when flushed, or 15 min "
        "after its last session"
    ]


@pytest.mark.parametrize(("ip", "what"), [(DRAINING, "draining"), (DOWN, "DOWN")])
def test_on_a_backend_that_is_not_serving_and_no_other_is_usable(ip: str, what: str) -> None:
    (one,) = said(placed(ip, None))
    assert one.startswith("danger: on ")
    assert f", which is {what}; " in one
    assert one.endswith(
        "no backend of its tag is usable: when flushed, or 15 min after its last session, a login waits 30 to 60 s "
        "and fails"
    )


def test_on_a_backend_that_is_gone() -> None:
    assert said(placed("10.9.9.9", ONE)) == [
        "attention: assigned to 10.9.9.9, which is not in the ring any more; the next login goes to 10.1.0.1 (mail-01)"
    ]
    assert said(placed("10.9.9.9", None)) == [
        "attention: assigned to 10.9.9.9, which is not in the ring any more; the next login waits 30 to 60 s and fails"
    ]


def test_answers_that_contradict_each_other_promise_no_move_to_where_it_is() -> None:
    assert said(placed(DRAINING, DRAINING)) == ["attention: on 10.1.0.3 (mail-03), which is draining"]
    assert said(placed(DOWN, DOWN)) == ["danger: on 10.1.0.5, which is DOWN; its logins still go there"]
    assert said(placed(ONE, None)) == ["fine: on 10.1.0.1 (mail-01)"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (900.0, "15 min after"),
        (90.0, "1 min 30 s after"),
        (10.0, "10 s after"),
        (3600.0, "1 h after"),
        (5400.0, "1 h 30 min after"),
        (None, "when flushed, or when its assignment expires"),
    ],
)
def test_how_long_it_stays_is_the_ring_s_own_setting(seconds: float | None, words: str) -> None:
    (one,) = said(placed(DRAINING, ONE), expire_s=seconds)
    assert words in one


# Not assigned.


def test_not_assigned_in_the_only_tag() -> None:
    assert said(placed(None, TWO)) == ["plain: not assigned; the next login goes to 10.1.0.2"]
    assert said(placed(None, GOLD, "gold")) == ["plain: not assigned in tag gold; the next login goes to 10.1.0.7"]


def test_not_assigned_and_no_usable_backend() -> None:
    assert said(placed(None, None)) == [
        "danger: not assigned, and no backend is usable; a login waits 30 to 60 s and fails"
    ]
    assert said(placed(None, None, "off")) == [
        "danger: not assigned, and no backend of tag off is usable; a login waits 30 to 60 s and fails"
    ]
    assert said(placed(None, None), placed(None, None, "off")) == [
        "danger: not assigned, and no backend of any tag is usable; a login waits 30 to 60 s and fails"
    ]


def test_not_assigned_in_any_of_several_tags() -> None:
    assert said(placed(None, ONE), placed(None, GOLD, "gold")) == [
        "plain: not assigned in any tag; the next login goes to 10.1.0.1 (mail-01) without a tag, to 10.1.0.7 in tag "
        "gold"
    ]
    many = [placed(None, ONE, f"tag{number}") for number in range(20)]
    assert said(*many) == [
        "plain: not assigned in any tag; the next login goes to where its hash leads in the tag of the user"
    ]


def test_not_assigned_and_one_of_the_tags_has_no_usable_backend() -> None:
    assert said(placed(None, ONE), placed(None, None, "off")) == [
        "danger: no backend is usable in tag off; if this user belongs there, a login waits 30 to 60 s and fails",
        "plain: not assigned in any tag; the next login goes to 10.1.0.1 (mail-01) without a tag",
    ]
    dead = [placed(None, None, f"t{number}") for number in range(5)]
    assert "no backend is usable in tag t0, in tag t1, in tag t2 and 2 tags more" in said(placed(None, ONE), *dead)[0]


def test_a_ring_without_backends() -> None:
    assert said(placed(None, None), backends=()) == [
        "danger: the director lists no backend at all; every login waits 30 to 60 s and fails"
    ]


# Several tags.


def test_assigned_in_one_of_several_tags_names_the_tag_and_says_nothing_of_the_others() -> None:
    assert said(placed(None, None, "off"), placed(None, ONE), placed(GOLD, GOLD, "gold")) == [
        "fine: tag gold: on 10.1.0.7, where its hash leads"
    ]
    assert said(placed(ONE, ONE), placed(None, GOLD, "gold")) == ["fine: on 10.1.0.1 (mail-01), where its hash leads"]


def test_assigned_in_several_tags_the_most_urgent_first() -> None:
    lines = said(placed(ONE, ONE), placed(GOLD, GOLD, "gold"), placed(DOWN, TWO, "x"))
    assert [line.partition(":")[0] for line in lines] == ["danger", "attention", "fine", "fine"]
    assert lines[0].startswith("danger: tag x: on 10.1.0.5, which is DOWN")
    assert lines[1] == (
        "attention: assigned in 3 tags; users of all of them have this hash, or the user's tag was changed"
    )
    both = said(placed(ONE, ONE), placed(GOLD, GOLD, "gold"))
    assert "users of both have this hash" in both[0]
    assert both[1] == "fine: no tag: on 10.1.0.1 (mail-01), where its hash leads"


def test_names_and_tags_from_outside_are_cleaned_and_cut() -> None:
    (one,) = whereabouts(
        [placed(ONE, ONE, "t" * 300 + "\x1b"), placed(None, TWO)],
        BACKENDS,
        names={ONE: "\x1b[31m" + "n" * 300},
        user_expire_s=900,
    )
    assert one.sentence.isprintable()
    assert len(one.sentence) < 120


def test_a_sentence_of_one_half() -> None:
    assert Whereabouts(Grade.FINE, "on it").sentence == "on it"


# When it expires.


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        (900, "in 15 min"),
        (899, "in 14 min"),
        (60, "in 1 min"),
        (59, "in 59 s"),
        (1, "in 1 s"),
        (0, "at any moment"),
        (-59, "at any moment"),
        (959, "in 15 min"),
        (961, "at 22:10:04 UTC"),
        (-61, "at 21:53:02 UTC"),
        (3600 + 720, "at 23:06:03 UTC"),
        (-3600 + 720, "at 21:06:03 UTC"),
        (86400 * 300, "at 2027-09-20 21:54:03 UTC"),
    ],
)
def test_a_time_left_is_believed_only_when_it_can_be(left_s: int, words: str) -> None:
    assert expiry(NOW + timedelta(seconds=left_s), NOW, 900) == words


def test_no_time_and_a_long_one() -> None:
    assert expiry(None, NOW, 900) == ""
    assert expiry(NOW + timedelta(hours=2, minutes=5), NOW, 4 * 3600) == "in 2 h 5 min"


# Whose sessions, and where.


def session(user: str = "jane", ip: str = ONE) -> ProxySession:
    return ProxySession(user, "imap", "192.0.2.1", ip, 143)


JANE = 1480892766


@pytest.mark.parametrize(
    ("name", "looked_up", "hash_", "setting", "own"),
    [
        ("jane", "jane", JANE, "%Lu", True),
        ("jane", "JANE", JANE, "%Lu", True),
        ("jane@example.com", "jane", JANE, "%Lu", False),
        ("jane@example.com", "jane", JANE, "%Ln", True),  # one hash is one user to a director
        ("jane", "JANE", user_hash("JANE", "%u"), "%u", False),  # and two hashes are two
        ("jane", "jane", 99, "%Lu", True),  # the very same name, whatever the hash
        ("jane", "JANE", 99, "%Lu", True),  # not the setting that the ring runs with
        ("joe", "JANE", user_hash("joe"), "%Lu", False),
        ("jane", "JANE", 99, None, True),
        ("joe", "JANE", user_hash("joe"), None, False),
        ("jane", "JANE", 99, "%{unknown}", True),  # a form that only the ring itself can compute
        ("joe", "JANE", 99, "%{unknown}", False),
        ("ja\ufffdne", "ja\u200dne", 99, "%Lu", True),  # cleaned when it was read
        ("ja\ufffdne", "jane", 99, "%Lu", False),
    ],
)
def test_whose_session_it_is(name: str, looked_up: str, hash_: int, setting: str | None, own: bool) -> None:
    assert is_session_of(session(name), looked_up, hash_, setting) is own


@pytest.mark.parametrize(
    ("ip", "placements", "what"),
    [
        (ONE, [placed(ONE, ONE)], ""),
        (TWO, [placed(ONE, ONE)], "not current"),
        (TWO, [placed(None, ONE)], "not assigned"),
        ("10.9.9.9", [placed(ONE, ONE)], "not in ring"),
        (GOLD, [placed(ONE, ONE), placed(GOLD, GOLD, "gold")], ""),
        (GOLD, [placed(ONE, ONE), placed(None, GOLD, "gold")], "not assigned"),
        (GOLD, [placed(ONE, ONE)], ""),  # of that tag nothing is known
    ],
)
def test_a_session_beside_the_current_backend(ip: str, placements: list[Placement], what: str) -> None:
    assert misplaced(session(ip=ip), placements, BACKENDS) == what


def test_sessions_on_two_backends_at_once() -> None:
    def both(*ips: str) -> tuple[str, ...]:
        return on_two_backends([session(ip=ip) for ip in ips], BACKENDS)

    assert both() == both(ONE, ONE) == ()
    assert both(ONE, TWO, ONE) == (ONE, TWO)
    assert both(ONE, GOLD) == (), "two tags are two users with one hash"
    assert both(ONE, "10.9.9.9") == (ONE, "10.9.9.9")
    assert both("10.9.9.9") == ()
    assert both("10.9.9.9", "10.9.9.8") == ("10.9.9.9", "10.9.9.8")
