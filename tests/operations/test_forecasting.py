"""What becomes of shares and users: estimates beside counts, and what only a count can tell."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from director_tui.director.hashring import HASH_SPACE, rings_by_tag, shares
from director_tui.operations.counting import Count
from director_tui.operations.effect import effect_of
from director_tui.operations.forecasting import predict, sources
from director_tui.operations.plan import Request, Target, Verb
from director_tui.operations.planning import make_plan
from tests.operations.standing import (
    EIGHT,
    GOLD1,
    GOLD2,
    SETTINGS,
    A,
    B,
    C,
    D,
    backend,
    changed,
    of,
    reading,
    standing,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.director.model import Backend
    from director_tui.operations.prediction import Prediction

NEW = "10.1.0.9"
DRAINING = changed(EIGHT, backend(C, 0, 2_900))


def predicted(request: Request, backends: Iterable[Backend] = EIGHT, **more: object) -> Prediction:
    prediction = make_plan(request, standing(backends, **more)).prediction  # type: ignore[arg-type]
    assert prediction is not None
    return prediction


def users(prediction: Prediction) -> dict[str, tuple[int, int | None]]:
    return {one.ip: (one.users_now, one.users_after) for one in prediction.forecasts}


def test_shares_are_exact_before_and_after() -> None:
    prediction = predicted(update(0, C))
    before, after = shares(EIGHT), shares(DRAINING)
    assert [(one.ip, one.share_now, one.share_after) for one in prediction.forecasts] == [
        (ip, before[ip], after[ip]) for ip in (A, B, C, D)
    ]
    assert prediction.at_once == f"{C} gets no new users any more; its 26.7 % of those without a tag go to 3 others"
    assert prediction.later == "≈ 2,900 users move when flushed, or 15 min after their last session"


def test_one_user_moves() -> None:
    one = changed(EIGHT, backend(C, 100, 1))
    assert predicted(update(0, C), one).later.startswith("≈ 1 user moves when flushed")
    assert predicted(of(Verb.FLUSH, C), one).later == "whether 1 user moves is unknown until counted"
    assert predicted(of(Verb.FORGET_USERS, C), one).at_once == "1 assignment is forgotten, and no session ends"
    none_left = tuple(replace(row, vhosts=0) for row in one if not row.tag)
    assert predicted(of(Verb.FLUSH, C), none_left).at_once.startswith("1 user is thrown out")


def test_nobody_but_the_targets_moves_when_they_take_less() -> None:
    prediction = predicted(update(50, C))
    assert prediction.count_of == (C,)
    gains = {ip: after - now for ip, (now, after) in users(prediction).items() if after is not None}
    assert gains[C] < 0
    assert all(gain >= 0 for ip, gain in gains.items() if ip != C)
    assert sum(gains.values()) == 0


def test_everybody_may_move_to_one_that_takes_more() -> None:
    prediction = predicted(Request(Verb.ADD, (Target(NEW),)))
    assert prediction.count_of == (A, B, C, D)
    gains = {ip: after - now for ip, (now, after) in users(prediction).items() if after is not None}
    assert gains[NEW] == pytest.approx(11_400 * shares([*EIGHT[:4], backend(NEW)])[NEW], rel=0.05)
    assert all(gain <= 0 for ip, gain in gains.items() if ip != NEW)
    assert prediction.at_once == f"{NEW} gets 20.9 % of the new users without a tag instead of none"


def test_who_is_still_on_a_backend_that_comes_back_is_not_elsewhere() -> None:
    back = predicted(update(100, C), DRAINING)
    assert users(back)[C][1] == pytest.approx(2_950, abs=120)
    empty = changed(EIGHT, backend(C, 0, 0), backend(A, users=3_500), backend(B, users=3_900), backend(D, users=4_000))
    fills = predicted(update(100, C), empty)
    assert users(fills)[C][1] == pytest.approx(11_400 * shares(EIGHT)[C], rel=0.05)


@pytest.mark.parametrize(
    ("request_", "ips"),
    [(of(Verb.FLUSH, A), {A}), (Request(Verb.FLUSH_ALL), {A, B, D, GOLD1, GOLD2}), (of(Verb.FORGET_USERS, A), {A})],
)
def test_who_leaves_a_usable_backend_is_unknown_until_counted(request_: Request, ips: set[str]) -> None:
    prediction = predicted(request_, DRAINING)
    assert not prediction.exact
    assert {ip for ip, (_, after) in users(prediction).items() if after is None} == ips
    assert "unknown until counted" in prediction.later
    assert set(prediction.count_of) >= ips


def test_the_only_usable_backend_keeps_its_users() -> None:
    prediction = predicted(of(Verb.FLUSH, A), EIGHT[:1])
    assert users(prediction) == {A: (2_800, 2_800)}
    assert prediction.later == "nobody moves"


def test_where_a_flush_brings_users_to_one_that_is_flushed_too_nothing_is_known_of_it() -> None:
    prediction = predicted(of(Verb.FLUSH, A, C), DRAINING)
    assert users(prediction) == {A: (2_800, None), B: (2_700, None), C: (2_900, 0), D: (3_000, None)}


def test_a_count_takes_the_place_of_the_estimate() -> None:
    counted: dict[str, dict[str | None, int]] = {C: {A: 1_000, B: 900, D: 905}}
    prediction = predicted(update(0, C), counted=counted)
    assert prediction.exact
    assert prediction.count_of == ()
    assert users(prediction) == {A: (2_800, 3_800), B: (2_700, 3_600), C: (2_805, 0), D: (3_000, 3_905)}
    assert prediction.later == "2,805 users move when flushed, or 15 min after their last session"


def test_after_a_count_of_a_usable_backend_those_who_belong_there_stay() -> None:
    prediction = predicted(of(Verb.FLUSH, A), counted={A: {A: 2_700, D: 100}})
    assert users(prediction) == {A: (2_800, 2_700), D: (3_000, 3_100)}
    assert prediction.later == "100 users move to where their hash leads, in about 2 s"


def test_users_that_come_and_go_are_all_counted_as_moving() -> None:
    counted: dict[str, dict[str | None, int]] = {one.ip: {one.ip: one.users} for one in EIGHT}
    counted[A], counted[B] = {A: 2_790, B: 10}, {B: 2_690, A: 10}
    prediction = predicted(Request(Verb.FLUSH_ALL), counted=counted)
    assert users(prediction)[A] == (2_800, 2_800)
    assert prediction.moving == 20
    assert prediction.later == "20 users move to where their hash leads, in about 2 s"


def test_half_a_count_is_no_exact_prediction() -> None:
    prediction = predicted(update(0, A, C), counted={C: {B: 1_450, D: 1_450}})
    assert not prediction.exact
    assert prediction.count_of == (A,)


def test_nobody_there_needs_no_count() -> None:
    prediction = predicted(update(0, C), changed(EIGHT, backend(C)))
    assert prediction.exact
    assert (prediction.count_of, prediction.later) == ((), "nobody moves")


def test_users_without_a_backend_to_go_to_are_stranded() -> None:
    prediction = predicted(update(0, GOLD1, GOLD2))
    assert prediction.stranded == 2_000
    assert users(prediction) == {GOLD1: (900, 0), GOLD2: (1_100, 0)}
    assert prediction.at_once == "no backend of tag gold takes new users any more"
    assert prediction.later == "≈ 2,000 users have no backend to go to"


def test_what_a_backend_can_not_carry() -> None:
    prediction = predicted(
        update(0, C), changed(EIGHT, backend(C, users=2_900), backend(A, users=5_000)), capacity=3_950
    )
    assert [one.ip for one in prediction.forecasts if one.over_capacity] == [A, D]
    relieved = predicted(Request(Verb.ADD, (Target(NEW),)), changed(EIGHT, backend(A, users=9_000)), capacity=3_950)
    assert [one.ip for one in relieved.forecasts if one.over_capacity] == []


def test_how_long_a_flush_takes() -> None:
    def lasts(request: Request, **settings: float) -> str:
        told = reading(DRAINING, settings=replace(SETTINGS, **settings))  # type: ignore[arg-type]
        prediction = make_plan(request, standing(on=told)).prediction
        assert prediction is not None
        return prediction.later.rpartition(" in about ")[2]

    assert lasts(of(Verb.FLUSH, C)) == "58 s"
    assert lasts(Request(Verb.FLUSH, (Target(C),), max_parallel=1000)) == "6 s"
    assert lasts(of(Verb.FLUSH, C), max_parallel_moves=10) == "10 min"
    assert lasts(of(Verb.FLUSH, C), user_kick_delay_s=0.0) == "1 s"


def test_without_consistent_hashing_it_is_predicted_that_way() -> None:
    told = reading(settings=replace(SETTINGS, consistent_hashing=False))
    prediction = make_plan(update(0, C), standing(on=told)).prediction
    assert prediction is not None
    assert [one.share_after for one in prediction.forecasts] == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    assert users(prediction)[C] == (2_900, 0)


def test_the_only_kinds_without_a_prediction() -> None:
    for request in (Request(Verb.KICK, user="joe"), Request(Verb.MOVE, (Target(A),), user="joe", user_hash=1)):
        assert make_plan(request, standing()).prediction is None


@given(
    st.lists(st.sampled_from([0, 20, 100, 300]), min_size=2, max_size=6),
    st.integers(0, 5),
    st.sampled_from([0, 50, 100, 400]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_an_estimate_is_close_to_a_count(
    counts: list[int], place: int, vhosts: int, consistent: bool, seed: int
) -> None:
    """Of users who are where their hash leads, as they are unless backends have come and gone meanwhile."""
    generator = random.Random(seed)
    settled = [backend(f"10.1.0.{number}", count or 100) for number, count in enumerate(counts, start=1)]
    ring = rings_by_tag(settled, consistent=consistent)[""]
    people = 4_000
    placed = [(generator.randrange(HASH_SPACE),) for _ in range(people)]
    at = [ring.backend_of(hash_) or "" for (hash_,) in placed]
    there = Counter(at)
    # Those with count 0 have been set to it since: their users are still there.
    now = [replace(one, vhosts=counts[number], users=there[one.ip]) for number, one in enumerate(settled)]
    target = now[place % len(now)]
    told = reading(now, settings=replace(SETTINGS, consistent_hashing=consistent))
    request = update(vhosts, target.ip)
    assume(target.vhosts != vhosts)
    assume(consistent or all(counts))  # each step reshuffles everybody there
    stands = standing(on=told)
    effect = effect_of(request, stands)
    counting = Count(effect, sources(effect))
    counting.add([hash_ for (hash_,) in placed], at)
    estimate, exact = predict(effect, {}), predict(effect, counting.parts)
    assert estimate is not None
    assert exact is not None
    assert exact.exact
    guessed = {one.ip: one.users_after or 0 for one in estimate.forecasts}
    for one in exact.forecasts:
        assert abs(guessed[one.ip] - (one.users_after or 0)) <= 0.08 * people
