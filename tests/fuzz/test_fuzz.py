"""A small share of a fuzz run, structured input from hypothesis, and that the run finds and tells what fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import every_target, run, screens
from tests.fuzz.inputs import HOSTILE, LONGEST, make_input
from tests.fuzz.targets import FIXTURES, OVER, STOP, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20261124
SMALL_SHARE = 10_000
TARGETS = {target.name: target for target in every_target()}


@pytest.fixture(autouse=True)
def no_app_stays() -> Iterator[None]:
    yield
    screens.end_stages()


@pytest.mark.parametrize("name", TARGETS)
def test_a_small_share_of_hostile_input_is_values_or_sentences(name: str) -> None:
    failures = [
        failure
        for part in run.parts([TARGETS[name]], SMALL_SHARE, SEED)
        for number in part.numbers
        if (failure := run.try_input(TARGETS[name], SEED, number)) is not None
    ]
    assert not failures, failures[0].told(SEED)


TEXTS = st.sampled_from(HOSTILE).map(lambda each: each.decode("utf-8", "surrogateescape")) | st.text(max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 2**64) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(("name", "usual"), [("stop record", STOP), ("stop over", OVER), ("recover script", STOP)])
@given(data=st.data())
@settings(max_examples=60)
def test_any_values_in_a_record_of_a_stop(name: str, usual: bytes, data: st.DataObject) -> None:
    values: dict[str, Any] = json.loads(usual)
    changed = data.draw(st.dictionaries(st.sampled_from([*values, "new"]), VALUES, max_size=3))
    TARGETS[name].check(json.dumps(values | changed).encode())


@given(st.dictionaries(st.sampled_from(["ip", "tag", "vhosts", "state", "new"]), VALUES, min_size=1, max_size=2))
def test_any_values_of_a_backend_in_a_record_of_a_stop(changed: dict[str, Any]) -> None:
    values = json.loads(STOP)
    values["backends"][0] |= changed
    TARGETS["stop record"].check(json.dumps(values).encode())


@given(st.dictionaries(st.sampled_from(["dark", "background", "text", "cursor", "accent"]), VALUES, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_a_theme_makes_one_or_an_error(changed: dict[str, Any]) -> None:
    theme = (FIXTURES.parents[1] / "themes" / "harbour.toml").read_text()
    lines = [line for line in theme.splitlines() if line.partition(" ")[0] not in changed]
    # JSON is near enough to TOML to get past its reader often.
    lines += [f"{key} = {json.dumps(value)}" for key, value in changed.items()]
    TARGETS["theme"].check("\n".join(lines).encode())


@given(st.lists(TEXTS, min_size=1, max_size=4).map(" ".join))
@settings(max_examples=60)
def test_any_words_reach_a_command_as_they_are(text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    for name in ("words by a login shell", "words by the kept shell", "destinations in a shell"):
        TARGETS[name].check(data)


# --- the run itself -------------------------------------------------------------------------------------------------


def _fragile(data: bytes) -> None:
    assert b"\x1b" not in data, "an escape"


def test_the_same_seed_makes_the_same_inputs_and_another_one_others() -> None:
    seeds = (b"a\tb\n1\t2\n", b"x")
    first = [make_input(seeds, 1, "x", number) for number in range(200)]
    assert first == [make_input(seeds, 1, "x", number) for number in range(200)]
    assert first != [make_input(seeds, 2, "x", number) for number in range(200)]
    assert first != [make_input(seeds, 1, "y", number) for number in range(200)]
    assert max(map(len, first)) <= LONGEST


def test_what_fails_is_told_with_its_bytes_and_how_to_repeat_it() -> None:
    target = Target("fragile", 1000, (b"a\tb\n",), _fragile)
    failures = [one for number in range(2000) if (one := run.try_input(target, 1, number)) is not None]
    assert failures
    for failure in failures:
        assert failure.data == make_input(target.seeds, 1, "fragile", failure.number)
        assert repr(failure.data) in failure.told(1)
        assert f"--seed 1 --target 'fragile' --number {failure.number}" in failure.told(1)
        assert "an escape" in failure.told(1)


def test_an_input_that_never_ends_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(data: bytes) -> None:
        while True:
            pass

    monkeypatch.setattr(run, "INPUT_LIMIT_S", 0.05)
    with run.limits():
        failure = run.try_input(Target("hanging", 1000, (b"",), hang), 1, 1)
    assert failure is not None
    assert "took longer than 0.05 s" in failure.why


def test_every_target_has_its_share_of_the_inputs() -> None:
    assert sum(target.share for target in TARGETS.values()) >= 1000
    counted = sum(len(part.numbers) for part in run.parts(TARGETS.values(), 1_000_000, 1))
    assert counted >= 1_000_000
