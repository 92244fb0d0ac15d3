"""A backend taken through its whole clean removal, on the practice ring and a real one by the same test bodies.

What became of it is read with plain doveadm on every director, and on the backend itself, not by what the program says.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from director_tui.director.model import State
from director_tui.errors import OperationRefused
from director_tui.operations.gate import Circumstances
from director_tui.operations.journal import Entry, entries
from director_tui.operations.plan import Outcome, Standing
from director_tui.operations.removal import (
    Course,
    Decided,
    Ending,
    Mark,
    Step,
    begin,
    end,
    mark_upload,
    turn,
    way_back,
)
from director_tui.operations.removal_check import check_up
from director_tui.operations.removal_configuration import read_configuration
from director_tui.operations.removal_keeping import read_removals
from director_tui.operations.removal_steps import Act, acts
from director_tui.operations.removal_story import story, uploads_done
from director_tui.operations.removal_upload import RISK, judge
from director_tui.times import SYSTEM_TIMES
from tests.link.fakes import until
from tests.operations.removal_site import SESSIONS, USERS
from tests.operations.removing import Remover

if TYPE_CHECKING:
    from pathlib import Path

    from director_tui.operations.removal import Removal
    from tests.operations.removal_site import RemovalSite

ALL = [*Step][1:]


def _where(site: RemovalSite) -> dict[str, object]:
    """For another process that is to get there."""
    cluster, ssh = site.bench.ring.cluster, site.bench.ring.ssh
    assert cluster.backends is not None
    return {
        "directors": [(one.ssh, one.doveadm, one.doveconf) for one in cluster.directors],
        "backends": (cluster.backends.ssh, cluster.backends.doveadm),
        "known_hosts": str(ssh._known_hosts),
        "identity": str(ssh._identity),
        "ssh_config": str(ssh._ssh_config) if ssh._ssh_config is not None else "",
        "ip": site.ip,
    }


def remover(site: RemovalSite) -> Remover:
    return Remover(site.bench.ring, site.bench.reading, site.bench.executor)


async def begun(site: RemovalSite, wizard: Remover, *, permanent: bool = True) -> Removal:
    reading = await site.bench.reading()
    cluster = site.bench.ring.cluster
    assert check_up(site.ip, Standing(reading, cluster), Circumstances(reading)).refusals == ()
    made = begin(
        site.ip,
        cluster.name,
        reading,
        permanent=permanent,
        max_parallel=None,
        metacache=True,
        reason="its disks are old",
        at=SYSTEM_TIMES.utc(),
        who="ops",
        host="admin-1",
    )
    return await wizard.kept.begin(made)


async def test_the_whole_way(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    assert await site.users() == [USERS] * 3
    assert sum(await site.sessions()) == SESSIONS
    removal, position = await wizard.go_on(await begun(site, wizard))
    assert wizard.stood == ALL
    assert position.step is Step.CONFIGURATION
    assert await site.rows() == [None] * 3
    assert await site.sessions() == [0, 0, 0]
    assert site.hosts.uploads(site.ip) == (0, 0)
    await site.log_in_again()
    assert site.ip not in await site.places()
    assert await site.sessions() == [0, 0, 0]

    reading = await site.bench.reading()
    configuration = await read_configuration(site.ip, site.bench.ring, reading.views)
    assert [one.stands_there for one in configuration.directors] == [True] * 3
    assert (configuration.drift, configuration.clean) == ((), False)

    removal = await wizard.kept.change(
        removal, lambda one: end(one, Ending.REMOVED, SYSTEM_TIMES.utc(), "ops"), "ended"
    )
    told = [one for one in story(removal, _entries(site)) if one.first.title]
    assert [one.first.reason.rpartition("; ")[2] for one in told if one.operation is not None] == [
        removal.because(step) for step in (Step.NO_NEW_USERS, Step.UPLOAD, Step.MOVE, Step.FINAL_UPLOAD, Step.REMOVE)
    ]
    assert [one.first.title.partition(", ")[2] for one in told if one.operation is None] == [
        *("", "step 3 of 8: not waited for any longer", "step 4 of 8: done", "step 6 of 8: done", "ended")
    ]
    assert uploads_done(told) == 2
    assert {one.outcome for one in told if one.operation is not None} == {Outcome.APPLIED}
    page = (await wizard.kept.export(removal)).read_text()
    places = [page.index(words) for words in ("director update", "not waited for", "director flush", "director remove")]
    assert places == sorted(places)


def _entries(site: RemovalSite) -> tuple[Entry, ...]:
    return entries(site.bench.journal.read().records)


async def test_maintenance_and_back(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    before = await site.rows()
    removal, position = await wizard.go_on(await begun(site, wizard, permanent=False))
    assert (position.step, position.done) == (None, True)
    assert wizard.stood == ALL[:5]
    assert site.hosts.uploads(site.ip) == (0, 0)
    # While it is worked on a monitor sets it down.
    await site.bench.by_hand(site.there.set_state, site.ip, State.DOWN, 1)
    await _back(site, wizard, await wizard.kept.change(removal, lambda one: turn(one, Course.BRINGING_BACK), "back"))
    assert [row and (row.vhosts, row.state) for row in await site.rows()] == [(100, State.UP)] * 3
    assert [row and row.tag for row in await site.rows()] == [row and row.tag for row in before]
    assert await site.users() == [0, 0, 0], "users already moved stay where they are"


async def _back(site: RemovalSite, wizard: Remover, removal: Removal) -> list[str]:
    """Planned anew each time, as a restarted program does; what was run, by its verb."""
    ran: list[str] = []
    while True:
        removal, now, position = await wizard.look(removal)
        left = way_back(removal, now)
        assert not isinstance(left, str), left
        may = acts(removal, position, now, site.bench.ring.cluster)
        if not left:
            assert may[0] is Act.END
            await wizard.kept.change(
                removal, lambda one: end(one, Ending.BACKED_OUT, SYSTEM_TIMES.utc(), "ops"), "ended"
            )
            return ran
        assert may[0] is Act.RUN
        assert (await wizard.run(left[0])).outcome is Outcome.APPLIED
        ran.append(left[0].verb.value)


@pytest.mark.parametrize("step", ALL, ids=lambda step: f"step{step.number}")
async def test_back_out(removal_site: RemovalSite, step: Step) -> None:
    site, wizard = removal_site, remover(removal_site)
    before = await site.rows()
    removal, position = await wizard.go_on(await begun(site, wizard), until=[step])
    assert position.step is step
    moved = step in ALL[ALL.index(Step.FINAL_UPLOAD) :]
    assert await site.users() == [-1 if step is Step.CONFIGURATION else 0 if moved else USERS] * 3
    removal = await wizard.kept.change(removal, lambda one: turn(one, Course.BACKING_OUT), "backing out")
    ran = await _back(site, wizard, removal)
    assert ran == ([] if step is Step.NO_NEW_USERS else ["add"] if step is Step.CONFIGURATION else ["update"])
    after = await site.rows()
    assert [row and (row.tag, row.vhosts, row.state) for row in after] == [
        row and (row.tag, row.vhosts, row.state) for row in before
    ]
    assert await site.users() == [0 if moved else USERS] * 3
    assert (await wizard.kept.all()).unfinished == ()


async def test_somebody_sets_the_vhost_count_back(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    removal, _ = await wizard.go_on(await begun(site, wizard), until=[Step.FINAL_UPLOAD])
    await site.bench.by_hand(site.there.set_vhosts, site.ip, 70, 2)
    await site.log_in_again()
    removal, position = await wizard.go_on(removal, until=[Step.NO_NEW_USERS])
    assert position.step is Step.NO_NEW_USERS
    assert wizard.said == [f"the vhost count of {site.ip} was set to 70: new users come again, so it is step 2 again"]
    _, position = await wizard.go_on(removal)
    assert position.step is Step.CONFIGURATION
    assert await site.rows() == [None] * 3
    assert site.hosts.uploads(site.ip) == (0, 0, 0)


async def test_an_upload_that_fails_halts(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    site.hosts.fail_next(site.ip)
    removal, _ = await wizard.go_on(await begun(site, wizard), until=[Step.UPLOAD])
    with pytest.raises(AssertionError, match="exit status 75"):
        await wizard.do(Step.UPLOAD, removal)
    judged = judge(wizard.ended[-1], site.bench.ring.cluster)
    assert (judged.how, judged.risk) == (None, RISK)
    removal, _, position = await wizard.look(removal)
    assert position.step is Step.UPLOAD, "it stays where it is: to try again, skip, or back out"
    skipped = Mark(SYSTEM_TIMES.utc(), "ops", Decided.SKIPPED, RISK)
    removal = await wizard.kept.change(removal, lambda one: mark_upload(one, Step.UPLOAD, skipped), "skipped", RISK)
    _, position = await wizard.go_on(removal)
    assert position.step is Step.CONFIGURATION
    assert site.hosts.uploads(site.ip) == (75, 0)


async def test_a_backend_without_a_metacache(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    site.hosts.without_metacache(site.ip)
    removal, position = await wizard.go_on(await begun(site, wizard))
    assert position.step is Step.CONFIGURATION
    assert removal.first_upload is not None
    assert removal.final_upload is not None
    assert (removal.first_upload.how, removal.final_upload.how) == (Decided.NOT_THERE, Decided.NOT_THERE)


@pytest.mark.parametrize(
    "step",
    [Step.NO_NEW_USERS, Step.UPLOAD, Step.MOVE, Step.FINAL_UPLOAD, Step.REMOVE],
    ids=lambda step: f"step{step.number}",
)
async def test_killed_in_the_middle_of_a_step(removal_site: RemovalSite, step: Step, tmp_path: Path) -> None:
    """Another process goes through with it, and is killed when a command of the step has gone out."""
    site, wizard = removal_site, remover(removal_site)
    removal, _ = await wizard.go_on(await begun(site, wizard), until=[step])
    uploads = len(site.hosts.uploads(site.ip))
    if step in {Step.UPLOAD, Step.FINAL_UPLOAD}:
        site.hosts.hold(site.ip)
    where = tmp_path / "where.json"
    where.write_text(json.dumps(_where(site)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.operations.removing", str(where)),
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = (await process.stdout.readline()).decode().strip()
    assert line == f"sent {removal.because(step)}"
    if step in {Step.UPLOAD, Step.FINAL_UPLOAD}:
        await until(lambda: len(site.hosts.uploads(site.ip)) > uploads)
    process.kill()
    await process.wait()
    site.hosts.release(site.ip)

    # Begun anew, with nothing but what is on the disk.
    wizard = remover(site)
    again = read_removals(removal.cluster).of(site.ip)
    assert again == removal
    removal, _, position = await wizard.look(again)
    assert position.step is not None
    assert position.step.number in {step.number, step.number + 1}
    if step is Step.MOVE:
        with pytest.raises(OperationRefused, match="nobody has seen the end of the flush"):
            await wizard.go_on(removal)
        wizard.override = True  # a person insists, or waits for a minute
        removal = read_removals(removal.cluster).unfinished[0]
    removal, position = await wizard.go_on(removal)
    assert position.step is Step.CONFIGURATION
    assert await site.rows() == [None] * 3
    assert await site.sessions() == [0, 0, 0]
    ended_well = [status for status in site.hosts.uploads(site.ip) if status == 0]
    assert len(ended_well) >= 2
    killed = [one for one in story(removal, _entries(site)) if one.outcome is Outcome.UNKNOWN]
    assert len(killed) == 1, "the journal says that the end of one was not seen"
    assert killed[0].first.reason == removal.because(step)
