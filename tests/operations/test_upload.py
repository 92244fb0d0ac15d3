"""A metacache upload carried out by the executor on a backend in memory, and what its end is taken to mean."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from director_tui.config import BackendAccess
from director_tui.errors import ConnectionLost, HostKeyUnknown, OperationRefused, Unreachable
from director_tui.link.ssh import Reply
from director_tui.operations.emergency import stop_plan
from director_tui.operations.plan import Confirmation, Outcome, Request, Standing, Target, Verb
from director_tui.operations.progress import LineStatus
from director_tui.operations.record import OUTPUT_LIMIT, Event
from director_tui.operations.removal import Decided
from director_tui.operations.removal_upload import RISK, Judged, before_upload, judge
from tests.link.fakes import until
from tests.operations.fakes import IPS, Bench, bench, failed
from tests.operations.standing import CLUSTER, update

if TYPE_CHECKING:
    from tests.operations.fakes import Meets

IP = IPS[2]
BACKEND = f"ops@{IP}"
ACCESS = BackendAccess("ops@{ip}", doveadm=("sudo", "-n", "doveadm"))
UPLOAD = Request(Verb.UPLOAD, (Target(IP),), because=f"clean removal of {IP}, step 4 of 8")
LINE = "env TZ=UTC LC_ALL=C sudo -n doveadm metacache flushall"

USAGE = "usage: doveadm [-Dv] [-f <formatter>] <command> [<args>]\n  altmove [-u <user>|-A] [-r] <search query>"


async def test_it_is_planned_run_on_the_backend_and_written_down() -> None:
    async with bench(backends=ACCESS) as on:
        on.directors.met["metacache flushall"] = lambda: Reply(0, b"uploaded 12 indexes\n", b"", 0.1)
        plan = await on.plan(UPLOAD)
        assert (plan.title, plan.confirmation) == (f"Upload the metacache of {IP}", Confirmation.PLAIN)
        assert plan.command_lines == (LINE,)
        assert plan.prediction is None
        assert plan.director_of(plan.commands[0]) == BACKEND
        progress = await on.executor.run(plan, "")
        assert progress.outcome is Outcome.APPLIED
        assert (progress.lines[0].output, progress.lines[0].note) == ("uploaded 12 indexes", "by its exit status")
        assert progress.notes == ()
        assert on.directors.uploads == [BACKEND]
        assert on.ssh.attempts[-1] == f"{BACKEND} through d1"
        assert on.ssh.last(BACKEND).closed
        assert not on.directors.changes
        planned, intent, result = on.records
        assert planned.reason == UPLOAD.because
        assert intent.argv == ((*LINE.split(),),)
        assert (result.event, result.via, result.exit_status) == (Event.RESULT, BACKEND, 0)
        assert result.stderr == "uploaded 12 indexes"
        assert judge(progress, on.cluster) == Judged(Decided.DONE, "uploaded 12 indexes")


async def test_directly_where_no_director_leads_there() -> None:
    async with bench(backends=replace(ACCESS, via_director=False)) as on:
        await on.run(UPLOAD)
        assert on.ssh.attempts[-1] == BACKEND


async def test_it_has_no_time_limit_and_the_ring_is_read_meanwhile() -> None:
    async with bench(backends=ACCESS) as on:
        end = asyncio.Event()

        async def long() -> Reply:
            await end.wait()
            return Reply(0, b"", b"", 3_600.0)

        on.directors.met["metacache flushall"] = long
        running = asyncio.create_task(on.run(UPLOAD))
        await until(lambda: bool(on.directors.uploads))
        on.clock.now_s += 7_200
        assert (await on.reading()).snapshot is not None
        assert on.executor.progress is not None
        assert on.executor.progress.lines[0].status is LineStatus.SENT
        assert on.executor.progress.lines[0].sent_mono_s == 1_000.0
        assert on.executor.progress.gives_way_to(None)
        end.set()
        assert (await running).outcome is Outcome.APPLIED


async def test_a_storage_that_hangs_keeps_nobody_from_stopping_everything() -> None:
    """Then an upload hangs, too. It goes on beside what is done to the ring, here and by others on this machine."""
    async with bench(backends=ACCESS) as on:
        end = asyncio.Event()

        async def hanging() -> Reply:
            await end.wait()
            return Reply(0, b"uploaded at last\n", b"", 3_600.0)

        on.directors.met["metacache flushall"] = hanging
        uploading = asyncio.create_task(on.run(UPLOAD))
        await until(lambda: bool(on.directors.uploads))
        stopped = await on.executor.run(stop_plan(Standing(await on.reading(), on.cluster)), "storage is down")
        assert stopped.outcome is Outcome.APPLIED
        assert {row[1] for row in on.directors.backends.values()} == {0}
        elsewhere = on.another_executor()
        assert (await elsewhere.run(await on.plan(update(100, IPS[0])), "")).outcome is Outcome.APPLIED
        await elsewhere.close()
        with pytest.raises(OperationRefused, match=f"^the last upload of the metacache of {IP} is running still$"):
            await on.run(UPLOAD)
        assert not uploading.done()
        end.set()
        progress = await uploading
        assert (progress.outcome, progress.lines[0].output) == (Outcome.APPLIED, "uploaded at last")
        assert on.executor.progress is stopped, "what is shown is what was done last"
        assert on.records[-1].operation == progress.id
        assert on.records[-1].outcome is Outcome.APPLIED
        assert (await on.run(UPLOAD)).outcome is Outcome.APPLIED


async def test_an_upload_that_was_put_aside_is_left_like_any_other() -> None:
    async with bench(backends=ACCESS) as on:
        never = asyncio.Event()

        async def hanging() -> Reply:
            await never.wait()
            raise AssertionError

        on.directors.met["metacache flushall"] = hanging
        uploading = asyncio.create_task(on.run(UPLOAD))
        await until(lambda: bool(on.directors.uploads))
        assert (await on.run(update(0, IPS[0]))).outcome is Outcome.APPLIED
        await on.executor.close()
        with pytest.raises(asyncio.CancelledError):
            await uploading
        assert (on.records[-1].targets, on.records[-1].outcome) == ((IP,), Outcome.UNKNOWN)


async def test_a_director_that_can_not_be_reached_is_no_reason_not_to() -> None:
    """It goes through the next one: what is uploaded is the backend's own matter."""
    async with bench(backends=ACCESS) as on:
        plan = await on.plan(UPLOAD)
        on.ring.use("d2")
        progress = await on.executor.run(await on.plan(UPLOAD), "")
        assert progress.outcome is Outcome.APPLIED
        assert on.ssh.attempts[-1] == f"{BACKEND} through d2"
        assert plan.commands == progress.plan.commands


async def ended(on: Bench, meets: Meets) -> Judged:
    on.directors.met["metacache flushall"] = meets
    return judge(await on.run(UPLOAD), on.cluster)


async def test_a_dovecot_without_it_is_no_obox_backend() -> None:
    async with bench(backends=ACCESS) as on:
        said = "this doveadm knows no metacache: not an obox backend (exit status 64)"
        assert await ended(on, lambda: failed(64, USAGE)) == Judged(Decided.NOT_THERE, said)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            {"backends": replace(ACCESS, metacache="yes")},
            'the configuration says metacache = "yes"',
        ),
        (
            {"backends": ACCESS, "monitor": "dovemon"},
            'the configuration says monitor = "dovemon", which comes with it',
        ),
    ],
)
async def test_where_there_should_be_one_it_asks(settings: dict[str, Any], why: str) -> None:
    async with bench(**settings) as on:
        said = f"this doveadm knows no metacache: not an obox backend (exit status 64), but {why}"
        assert await ended(on, lambda: failed(64, USAGE)) == Judged(None, said, RISK)


async def test_other_ends_ask() -> None:
    async with bench(backends=ACCESS) as on:
        usage_of_it = "doveadm metacache flushall [-i]: unknown option"
        assert await ended(on, lambda: failed(64, usage_of_it)) == Judged(
            None, f"it ended with exit status 64: {usage_of_it}", RISK
        )
        assert await ended(on, lambda: failed(75, "Error: object storage: timeout\nError: 3 users failed")) == Judged(
            None, "it ended with exit status 75: Error: 3 users failed", RISK
        )
        error = "doveadm(root): Error: obox: upload failed: HTTP 503"
        half = Reply(75, b"metacache: 12 users uploaded\n", f"{error}\n".encode(), 0.1)
        assert (await ended(on, lambda: half)).said == f"it ended with exit status 75: {error}"
        assert await ended(on, lambda: failed(1, "sudo: a password is required")) == Judged(
            None, "it ended with exit status 1: sudo: a password is required", RISK
        )
        lost = ConnectionLost(f"{BACKEND}: the connection was lost before the command ended")
        assert await ended(on, lambda: lost) == Judged(
            None, "its end was not seen: it may be running on the backend still", RISK
        )


async def test_a_backend_that_can_not_be_reached_asks() -> None:
    async with bench(backends=ACCESS) as on:
        on.ssh.refusals[BACKEND] = Unreachable(f"{BACKEND}: connection refused")
        progress = await on.run(UPLOAD)
        assert progress.outcome is Outcome.NOT_APPLIED
        assert progress.lines[0].sent_mono_s is None
        assert judge(progress, on.cluster) == Judged(None, f"{BACKEND}: connection refused", RISK)
        assert not on.directors.uploads


async def test_an_unknown_host_key_is_refused_as_of_any_host() -> None:
    async with bench(backends=ACCESS) as on:
        on.ssh.refusals[BACKEND] = HostKeyUnknown(
            f"{BACKEND}: its host key is not known",
            "compare it",
            host=IP,
            port=22,
            algorithm="ssh-ed25519",
            fingerprint="SHA256:x",
            line="x",
            known_hosts="known_hosts",
        )
        assert judge(await on.run(UPLOAD), on.cluster) == Judged(None, f"{BACKEND}: its host key is not known", RISK)


async def test_much_output_is_kept_by_its_ends() -> None:
    async with bench(backends=ACCESS) as on:
        printed = b"first\n" + b"user \x1b[31m\xff\n" * 100_000 + b"last\n"
        on.directors.met["metacache flushall"] = lambda: Reply(0, printed, b"", 1.0)
        progress = await on.run(UPLOAD)
        output = progress.lines[0].output
        assert len(output) <= 8 * OUTPUT_LIMIT
        assert output.startswith("first\n")
        assert output.endswith("last")
        assert "\x1b" not in output
        assert len(on.records[-1].stderr) < 2 * OUTPUT_LIMIT


async def test_without_a_way_there_is_no_plan() -> None:
    async with bench() as on:
        with pytest.raises(OperationRefused, match=f"^how to reach {IP} itself is not configured$"):
            await on.plan(UPLOAD)
    async with bench(backends=ACCESS, read_only=True) as on:
        with pytest.raises(OperationRefused, match="read-only"):
            await on.run(UPLOAD)
        assert not on.directors.uploads


async def test_the_program_ends_in_the_middle() -> None:
    async with bench(backends=ACCESS) as on:
        never = asyncio.Event()

        async def long() -> Reply:
            await never.wait()
            raise AssertionError

        on.directors.met["metacache flushall"] = long
        running = asyncio.create_task(on.run(UPLOAD))
        await until(lambda: bool(on.directors.uploads))
        await on.executor.close()
        with pytest.raises(asyncio.CancelledError):
            await running
        progress = on.executor.progress
        assert progress is not None
        assert progress.outcome is Outcome.UNKNOWN
        assert "the program ended while it ran: what was sent goes on" in progress.notes
        assert judge(progress, on.cluster).how is None
        assert on.records[-1].outcome is Outcome.UNKNOWN


def test_what_is_known_before_it_is_tried() -> None:
    assert before_upload(replace(CLUSTER, backends=ACCESS)) is None
    none = replace(CLUSTER, backends=BackendAccess("", metacache="no"))
    assert before_upload(none) == Judged(Decided.NOT_WANTED, 'metacache = "no" in the configuration')
    assert before_upload(CLUSTER) == Judged(
        None, "how to reach the backends is not configured: [clusters.mail-eu.backends] with ssh and metacache", RISK
    )
