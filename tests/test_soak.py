"""What the long run makes of its figures; the run itself is `make soak`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.soak import Figures, judge

MINUTES = 10.0
STEADY = [Figures(60.0 * minute, 100_000, 103_000, 150_000, 27, 3, 17, 3) for minute in range(1, 13)]


def test_what_stays_is_well_also_where_it_grew_in_the_beginning_and_comes_and_goes() -> None:
    early = [replace(one, memory_kb=60_000, tasks=20) if one.at_s < 180 else one for one in STEADY]
    early[-2] = replace(early[-2], descriptors=18, memory_kb=110_000)
    assert judge(early, MINUTES) == []


@pytest.mark.parametrize(
    ("name", "by", "said"),
    [
        ("memory_kb", 400, "memory_kb: 101,"),
        ("resident_kb", 1_000, "resident_kb: 10"),
        ("objects", 1_500, "objects: 15"),
        ("tasks", 1, "tasks: "),
        ("threads", 1, "threads: "),
        ("descriptors", 1, "descriptors: "),
        ("channels", 1, "channels: "),
    ],
)
def test_what_grows_is_named(name: str, by: int, said: str) -> None:
    growing = [replace(one, **{name: getattr(one, name) + number * by}) for number, one in enumerate(STEADY)]
    (sentence,) = judge(growing, MINUTES)
    assert sentence.startswith(said)


def test_too_few_rounds_are_no_proof() -> None:
    assert judge(STEADY[:5], MINUTES) != []
