"""Placement, against vectors that a real director confirmed (sections 3.6 and 3.7 of the reference)."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import islice, pairwise
from math import isclose
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.director import hashring
from director_tui.director.hashring import (
    HASH_SPACE,
    HashRing,
    heirs,
    predicted_moves,
    rings_by_tag,
    shares,
    user_hash,
)
from director_tui.director.model import Backend, State


def backend(ip: str, vhosts: int = 100, state: State = State.UP, tag: str = "") -> Backend:
    return Backend(ip, tag, vhosts, state, None, 0)


A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.10"
THREE: Final = (backend(A), backend(B), backend(C))


# --- the hash of a user ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "setting", "expected"),
    [
        ("testuser", "%Lu", 1570531526),
        ("TestUser", "%Lu", 1570531526),
        ("TestUser", "%u", 2056642242),
        ("testuser@domain", "%Lu", 3813799143),
        ("testuser@domain", "%n", 1570531526),
        ("testuser@domain", "%d", 2908717800),
        ("TESTUSER@domain", "%Ln", 1570531526),
        ("testuser", "%d", 3558706393),
        ("TestUser@Example.COM", "%Lu", 2126995564),
        ("", "%Lu", 3558706393),
        ("@", "%Lu", 1368314517),
        ("@domain", "%Lu", 3749630072),
        ("test@user@domain", "%Lu", 2029259821),
        ("test@user@domain", "%n", 160394189),
        ("test@user@domain", "%d", 1841230927),
        ("john@example.com", "%Lu", 3569829268),
        ("üser@example.com", "%Lu", 3844184270),
        ("ÜSER@example.com", "%Lu", 1905998873),
        ("12345", "%Lu", 2189216526),
        ("jane", "%Lu", 1480892766),
        ("user0001", "%Lu", 1419941427),
        ("user0004", "%Lu", 1019214079),
        ("testuser", "test%%u%Lu", user_hash("test%utestuser")),
        ("joe", "%Uu", user_hash("JOE", "%u")),
    ],
)
def test_user_hash(user: str, setting: str, expected: int) -> None:
    assert user_hash(user, setting) == expected


@pytest.mark.parametrize("setting", ["%{user}", "%Mu", "%5u", "%", "%x", "%\n", "%Hu"])
def test_a_form_that_only_the_ring_can_compute(setting: str) -> None:
    with pytest.raises(ValueError, match="only the ring itself"):
        user_hash("joe", setting)


# --- the points of 2.3 ----------------------------------------------------------------------------------------------


def test_points() -> None:
    arcs = list(HashRing(THREE).arcs())
    assert arcs[:5] == [(4057482, C), (9647523, A), (12190147, C), (21405613, C), (29473875, B)]
    assert arcs[-2:] == [(4277506494, C), (HASH_SPACE - 1, C)]  # what lies beyond the last point goes to the first
    assert len(arcs) == 301


def test_a_hash_on_a_point_and_beside_it() -> None:
    ring = HashRing(THREE)
    for (point, ip), (_, following) in islice(pairwise(ring.arcs()), 300):
        assert ring.backend_of(point) == ip
        assert ring.backend_of(point + 1) == following


def test_the_ends_of_the_hash_space() -> None:
    ring = HashRing(THREE)
    assert [ring.backend_of(hash_) for hash_ in (0, 1, 4057482, 4277506495, HASH_SPACE - 1)] == [C] * 5


@pytest.mark.parametrize(
    ("user", "vhosts_of_b", "consistent", "expected"),
    [
        ("user0004", 100, True, B),
        ("user0004", 0, True, A),
        ("user0004", 100, False, A),
        ("jane", 100, True, A),
        ("jane", 0, True, A),
        ("jane", 100, False, A),
        ("jane", 0, False, C),
    ],
)
def test_where_users_go(user: str, vhosts_of_b: int, consistent: bool, expected: str) -> None:
    ring = HashRing([backend(A), backend(B, vhosts_of_b), backend(C)], consistent=consistent)
    assert ring.backend_of(user_hash(user)) == expected


def test_equal_points_lead_to_the_smaller_ip() -> None:
    smaller, larger, point = "10.0.3.100", "10.0.4.1", 3144914449  # two that share a point, found by trying
    for ip in (smaller, larger):
        assert point in {last for last, _ in HashRing([backend(ip)]).arcs()}
    assert HashRing([backend(larger), backend(smaller)]).backend_of(point) == smaller


# --- 2.2 without consistent hashing ---------------------------------------------------------------------------------


def test_without_consistent_hashing_places_are_in_the_order_of_the_ips() -> None:
    ring = HashRing([backend("2001:db8::1", 1), backend(C, 2), backend(B, 1)], consistent=False)
    assert [ring.backend_of(hash_) for hash_ in range(6)] == [B, C, C, "2001:db8::1", B, C]
    with pytest.raises(ValueError, match="no arcs"):
        list(ring.arcs())


# --- shares ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consistent", [True, False])
def test_backends_that_are_not_usable_have_no_share(consistent: bool) -> None:
    backends = [backend(A), backend(B, 0), backend(C, 100, State.DOWN)]
    assert shares(backends, consistent=consistent) == {A: 1.0, B: 0.0, C: 0.0}


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("backends", [[], [backend(A, 0)], [backend(A, 5, State.DOWN)]])
def test_no_usable_backend(backends: list[Backend], consistent: bool) -> None:
    ring = HashRing(backends, consistent=consistent)
    assert ring.backend_of(7) is None
    assert ring.shares() == {}


def test_shares_are_exact() -> None:
    ring = HashRing(THREE)
    generator = random.Random(1)
    found = [ring.backend_of(generator.randrange(HASH_SPACE)) for _ in range(20_000)]
    for ip, share in ring.shares().items():
        assert isclose(found.count(ip) / len(found), share, abs_tol=0.015)


def test_shares_stay_within_the_tag() -> None:
    backends = [*THREE, backend("10.0.1.1", tag="gold")]
    result = shares(backends)
    assert result["10.0.1.1"] == 1.0
    assert result == {**shares(THREE), "10.0.1.1": 1.0}
    assert set(rings_by_tag(backends)) == {"", "gold"}


@pytest.mark.parametrize("consistent", [True, False])
def test_an_ip_that_is_there_twice_loses_no_share(consistent: bool) -> None:
    result = HashRing([backend(A, 100), backend(A, 50), backend(B, 100)], consistent=consistent).shares()
    assert isclose(sum(result.values()), 1.0)
    assert set(result) == {A, B}


RINGS = st.dictionaries(
    st.integers(1, 40).map(lambda number: f"10.0.0.{number}"), st.integers(0, 12), min_size=1, max_size=6
)


def ring_of(vhosts: dict[str, int], *, consistent: bool = True) -> HashRing:
    return HashRing([backend(ip, count) for ip, count in vhosts.items()], consistent=consistent)


@given(RINGS, st.booleans())
def test_shares_add_up(vhosts: dict[str, int], consistent: bool) -> None:
    result = ring_of(vhosts, consistent=consistent).shares()
    assert isclose(sum(result.values()), 1.0 if any(vhosts.values()) else 0.0)


@given(RINGS, st.booleans(), st.randoms(use_true_random=False), st.integers(0, HASH_SPACE - 1))
def test_the_order_of_the_list_plays_no_role(
    vhosts: dict[str, int], consistent: bool, generator: random.Random, hash_: int
) -> None:
    shuffled = list(vhosts.items())
    generator.shuffle(shuffled)
    before = ring_of(vhosts, consistent=consistent)
    assert before.backend_of(hash_) == ring_of(dict(shuffled), consistent=consistent).backend_of(hash_)


# --- predicted moves ------------------------------------------------------------------------------------------------


@given(RINGS, st.data())
def test_taking_a_backend_away_moves_only_its_own_hashes(vhosts: dict[str, int], data: st.DataObject) -> None:
    gone = data.draw(st.sampled_from(sorted(vhosts)))
    before, after = ring_of(vhosts), ring_of({**vhosts, gone: 0})
    moves = predicted_moves(before, after)
    assert all(move.before == gone for move in moves)
    assert isclose(sum(move.share for move in moves), before.shares().get(gone, 0.0))


@given(RINGS, st.data())
def test_more_vhosts_only_take(vhosts: dict[str, int], data: st.DataObject) -> None:
    grown = data.draw(st.sampled_from(sorted(vhosts)))
    moves = predicted_moves(ring_of(vhosts), ring_of({**vhosts, grown: vhosts[grown] + 3}))
    assert all(move.after == grown for move in moves)


@given(RINGS, RINGS)
def test_without_consistent_hashing_the_prediction_is_a_count(old: dict[str, int], new: dict[str, int]) -> None:
    before, after = ring_of(old, consistent=False), ring_of(new, consistent=False)
    period = max(1, sum(old.values())) * max(1, sum(new.values()))  # after so many hashes everything repeats
    counted: dict[tuple[str | None, str | None], int] = {}
    for hash_ in range(period):
        pair = before.backend_of(hash_), after.backend_of(hash_)
        if pair[0] != pair[1]:
            counted[pair] = counted.get(pair, 0) + 1
    predicted = {(move.before, move.after): move.share for move in predicted_moves(before, after)}
    assert predicted.keys() == counted.keys()
    assert all(isclose(predicted[pair], count / period) for pair, count in counted.items())


@given(RINGS, RINGS)
def test_with_consistent_hashing_the_prediction_is_a_count(old: dict[str, int], new: dict[str, int]) -> None:
    before, after = ring_of(old), ring_of(new)
    # Between two points of either ring nothing changes, so one hash for each such piece, with its width, is a count.
    ends = sorted({last for ring in (before, after) for last, _ in ring.arcs()} | {HASH_SPACE - 1})
    counted: dict[tuple[str | None, str | None], int] = {}
    for begin, last in pairwise([-1, *ends]):
        inside = (begin + 1 + last) // 2
        pair = before.backend_of(inside), after.backend_of(inside)
        if pair[0] != pair[1]:
            counted[pair] = counted.get(pair, 0) + last - begin
    predicted = {(move.before, move.after): move.share for move in predicted_moves(before, after)}
    assert predicted.keys() == counted.keys()
    assert all(isclose(predicted[pair], width / HASH_SPACE) for pair, width in counted.items())


@pytest.mark.parametrize("consistent", [True, False])
def test_the_prediction_agrees_with_random_users(consistent: bool) -> None:
    before = HashRing(THREE, consistent=consistent)
    after = HashRing([backend(A, 40), backend(B, 0), backend(C, 100)], consistent=consistent)
    generator = random.Random(2)
    sample = [generator.randrange(HASH_SPACE) for _ in range(20_000)]
    pairs = [(before.backend_of(hash_), after.backend_of(hash_)) for hash_ in sample]
    for move in predicted_moves(before, after):
        assert isclose(pairs.count((move.before, move.after)) / len(pairs), move.share, abs_tol=0.015)


@pytest.mark.parametrize("consistent", [True, False])
def test_when_the_last_backend_goes_or_the_first_comes(consistent: bool) -> None:
    some, none = HashRing(THREE, consistent=consistent), HashRing([], consistent=consistent)
    assert {(move.before, move.after) for move in predicted_moves(some, none)} == {(A, None), (B, None), (C, None)}
    assert {(move.before, move.after) for move in predicted_moves(none, some)} == {(None, A), (None, B), (None, C)}
    assert isclose(sum(move.share for move in predicted_moves(none, some)), 1.0)
    assert predicted_moves(none, none) == ()
    assert predicted_moves(some, some) == ()


def test_moves_are_listed_largest_first() -> None:
    found = [move.share for move in predicted_moves(HashRing(THREE), HashRing([backend(A), backend(B, 0), backend(C)]))]
    assert found == sorted(found, reverse=True)
    assert len(found) == 2


def test_rings_of_two_kinds_can_not_be_compared() -> None:
    with pytest.raises(ValueError, match="consistently"):
        predicted_moves(HashRing(THREE), HashRing(THREE, consistent=False))


# --- who inherits the users of one backend --------------------------------------------------------------------------


@pytest.mark.parametrize("consistent", [True, False])
def test_heirs_of_a_backend_in_use_are_what_leaves_it(consistent: bool) -> None:
    before, after = (HashRing(members, consistent=consistent) for members in (THREE, [backend(A), backend(C)]))
    leaving = {move.after: move.share for move in predicted_moves(before, after) if move.before == B}
    found = heirs(THREE, B, consistent=consistent)
    assert sum(found.values()) == pytest.approx(1.0)
    assert found == pytest.approx({heir: share / sum(leaving.values()) for heir, share in leaving.items()})
    assert list(found) == sorted(found, key=lambda heir: -found[heir])


def test_heirs_without_consistent_hashing_compare_only_the_places_of_that_backend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs: list[int] = []

    def counted(begin: int, count: int, *others: int) -> int:
        pairs.append(begin)
        return agreeing(begin, count, *others)

    agreeing = hashring._agreeing
    monkeypatch.setattr(hashring, "_agreeing", counted)
    many = [backend(f"10.0.0.{number}", 100 + number) for number in range(40)]
    heirs(many, "10.0.0.7", consistent=False)
    assert len(pairs) == 39


def test_heirs_of_a_backend_out_of_use_are_those_of_the_arcs_that_it_had() -> None:
    whole = heirs(THREE, B)
    assert heirs([backend(A), backend(B, 0), backend(C)], B) == whole
    down = replace(backend(B), state=State.DOWN)
    assert heirs([backend(A), down, backend(C)], B) == whole
    assert heirs([backend(A), replace(down, vhosts=50), backend(C)], B) == heirs(
        [backend(A), backend(B, 50), backend(C)], B
    )


def test_heirs_are_of_the_same_tag_and_there_may_be_none() -> None:
    gold = replace(backend(C), tag="gold")
    assert heirs([backend(A), backend(B), gold], B) == {A: 1.0}
    assert heirs([backend(B), gold], B) == {None: 1.0}
    assert heirs([backend(A, 0), backend(B, 0)], B) == {None: 1.0}
    with pytest.raises(ValueError, match="no backend"):
        heirs(THREE, "10.0.0.99")


def test_an_ip_that_is_listed_twice_counts_as_its_first_row() -> None:
    assert heirs([*THREE, backend(B, 7)], B) == heirs(THREE, B)
