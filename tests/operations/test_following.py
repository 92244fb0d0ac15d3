"""What may come after an operation, and the way back: by operations that an executor has really carried out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from director_tui.link.ssh import Reply
from director_tui.operations import proof as proof_module
from director_tui.operations.following import next_request, set_back
from director_tui.operations.plan import Emergency, Outcome, Request, Target, Verb
from tests.operations.fakes import IPS, Bench, bench, failed
from tests.operations.standing import update

A, B, C, D = IPS


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_module, "PAUSES_S", (0.005,))
    monkeypatch.setattr(proof_module, "PROOF_LIMIT_S", 0.1)


async def set_back_now(made: Bench) -> Request | str:
    return set_back(made.records, await made.reading())


@pytest.mark.parametrize("request_", [update(0, A, B), Request(Verb.DOWN, (Target(A), Target(B)))], ids=["0", "down"])
async def test_a_backend_without_new_users_is_flushed_next(request_: Request) -> None:
    async with bench() as made:
        ended = await made.run(request_)
        following = next_request(ended)
        assert following == Request(Verb.FLUSH, (Target(A), Target(B)), because=f"follows {ended.id}")
        flushed = await made.run(following)
        assert flushed.outcome is Outcome.APPLIED
        assert next_request(flushed) is None


async def test_only_what_was_applied_is_flushed_next() -> None:
    async with bench() as made:
        made.directors.met[f"update {B} 0"] = lambda: Reply(0, b"", b"", 0.02)
        following = next_request(await made.run(update(0, A, B)))
        assert following is not None
        assert following.ips == (A,)


async def test_a_vhost_count_above_0_is_followed_by_nothing() -> None:
    async with bench() as made:
        assert next_request(await made.run(update(50, A))) is None


async def test_vhost_counts_are_set_back_to_what_each_backend_had() -> None:
    async with bench() as made:
        made.directors.backends[B] = ("", 37, "up", 100)
        ended = await made.run(update(0, A, B))
        back = await set_back_now(made)
        assert back == Request(Verb.UPDATE, (Target(A, 100), Target(B, 37)), because=f"sets back {ended.id}")
        await made.run(back)
        assert [made.directors.backends[ip][1] for ip in (A, B)] == [100, 37]


async def test_what_was_not_applied_is_not_set_back() -> None:
    async with bench() as made:
        made.directors.met[f"update {B} 0"] = lambda: failed(75, f"Error: {B}: vhost count too large")
        await made.run(update(0, A, B))
        back = await set_back_now(made)
        assert isinstance(back, Request)
        assert back.targets == (Target(A, 100),)


@pytest.mark.parametrize(("verb", "state", "inverse"), [(Verb.DOWN, "up", Verb.UP), (Verb.UP, "down", Verb.DOWN)])
async def test_up_and_down_are_each_other_s_way_back(verb: Verb, state: str, inverse: Verb) -> None:
    async with bench() as made:
        made.directors.backends[A] = ("", 100, state, 100)
        await made.run(Request(verb, (Target(A),)))
        back = await set_back_now(made)
        assert isinstance(back, Request)
        assert (back.verb, back.targets) == (inverse, (Target(A),))


async def test_what_is_as_it_was_before_has_no_way_back() -> None:
    async with bench() as made:
        await made.run(update(0, A, B))
        made.directors.carry_out(f"update {A} 100")
        back = await set_back_now(made)
        assert isinstance(back, Request)
        assert back.ips == (B,)
        del made.directors.backends[B]
        assert await set_back_now(made) == "every backend is as it was before, or is not listed any more"


async def test_nothing_applied_is_nothing_to_set_back() -> None:
    async with bench() as made:
        made.directors.met[f"update {A} 0"] = lambda: failed(75, f"Error: {A}: vhost count too large")
        await made.run(update(0, A))
        assert await set_back_now(made) == "nothing of it was applied, so there is nothing to set back"


async def test_an_add_is_set_back_by_the_removal() -> None:
    async with bench() as made:
        await made.run(Request(Verb.ADD, (Target("10.1.0.9", 30),)))
        assert await set_back_now(made) == "to take a backend out again, remove it cleanly: w"


@pytest.mark.parametrize(("emergency", "way"), [(Emergency.STOP, "R alone"), (Emergency.RECOVER, "E stops")])
async def test_what_is_for_the_whole_ring_is_set_back_by_its_own_key_alone(emergency: Emergency, way: str) -> None:
    """By another way the records of the stop would say nothing of it."""
    async with bench() as made:
        await made.run(replace(update(0, A, B), emergency=emergency))
        back = await set_back_now(made)
        assert isinstance(back, str)
        assert way in back


async def test_a_flush_has_no_way_back() -> None:
    async with bench() as made:
        await made.run(Request(Verb.FLUSH, (Target(A),)))
        back = await set_back_now(made)
        assert isinstance(back, str)
        assert "can't be set back" in back
