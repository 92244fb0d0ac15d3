"""A backend taken through its whole clean removal, on the practice ring and a real one by the same test bodies.

What became of it is read with plain doveadm on every director, by what the backend has recorded of its uploads, and by
the sessions themselves; not by what the program says.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from director_tui.director.mail_servers import MailServers, parse_mail_servers
from director_tui.director.model import State
from director_tui.errors import OperationRefused
from director_tui.operations.gate import Circumstances
from director_tui.operations.journal import Entry, entries
from director_tui.operations.plan import Outcome, Standing
from director_tui.operations.removal import (
    UPLOADS,
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
from tests.operations.standing import update

if TYPE_CHECKING:
    from pathlib import Path

    from director_tui.director.model import Backend
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


AT_A_TIME = 500
"""The pace of the flush: four rounds for all of them."""


async def begun(site: RemovalSite, wizard: Remover, *, permanent: bool = True, metacache: bool = True) -> Removal:
    reading = await site.bench.reading()
    cluster = site.bench.ring.cluster
    assert check_up(site.ip, Standing(reading, cluster), Circumstances(reading)).refusals == ()
    made = begin(
        site.ip,
        cluster.name,
        reading,
        permanent=permanent,
        max_parallel=AT_A_TIME,
        metacache=metacache,
        reason="its disks are old",
        at=SYSTEM_TIMES.utc(),
        who="ops",
        host="admin-1",
    )
    return await wizard.kept.begin(made)


async def test_the_whole_way(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    table = await site.bench.backends()
    assert await site.users() == [USERS] * 3
    removal, _ = await wizard.go_on(await begun(site, wizard), until=[Step.UPLOAD])
    assert [row and row.vhosts for row in await site.rows()] == [0, 0, 0]
    assert await site.users() == [USERS] * 3, "nobody is moved by it"

    site.hosts.hold(site.ip)
    uploading = asyncio.create_task(wizard.do(Step.UPLOAD, removal))
    await until(lambda: site.hosts.uploads(site.ip) == (None,))
    beside = await site.bench.run(update(50, next(ip for ip in table if ip != site.ip)))
    assert beside.outcome is Outcome.APPLIED, "an upload that hangs keeps nobody from changing the ring"
    site.hosts.release(site.ip)
    removal = await uploading
    assert site.hosts.uploads(site.ip) == (0,)
    assert sum(await site.sessions()) == SESSIONS, "they are connected to the end"

    removal, _ = await wizard.go_on(removal, until=[Step.FINAL_UPLOAD])
    assert await site.users() == await site.sessions() == [0, 0, 0]
    assert sum(one.users for one in (await site.bench.backends()).values()) == USERS, "all are somewhere else"
    await site.log_in_again()
    everybody = [sorted(each) for each in await site.everybodys_sessions()]
    assert sorted(user for each in everybody for user, _ in each) == sorted(site.people)
    assert site.ip not in {ip for each in everybody for _, ip in each} | await site.places()

    removal, position = await wizard.go_on(removal)
    assert position.step is Step.CONFIGURATION
    assert wizard.stood == ALL
    assert await site.rows() == [None] * 3
    assert [sorted(each) for each in await site.everybodys_sessions()] == everybody
    assert sum(one.users for one in (await site.bench.backends()).values()) == USERS
    assert site.hosts.uploads(site.ip) == (0, 0), "exactly twice"
    await _write_configuration(site, {ip: one.tag for ip, one in table.items()})

    removal = await wizard.kept.change(
        removal, lambda one: end(one, Ending.REMOVED, SYSTEM_TIMES.utc(), "ops"), "ended"
    )
    _assert_told_in_order(site, removal, (await wizard.kept.export(removal)).read_text())


async def _write_configuration(site: RemovalSite, configured: dict[str, str]) -> None:
    """The last step: what a person has to write, and that it is seen when it is written. ``configured`` are the
    backends that stand there, with their tags."""
    reading = await site.bench.reading()
    written = await read_configuration(site.ip, site.bench.ring, reading.views)
    assert (written.drift, written.clean) == ((), False)
    left = {ip: tag for ip, tag in configured.items() if ip != site.ip}
    for one in written.directors:
        assert one.value is not None
        assert one.new is not None
        assert parse_mail_servers(one.value) == MailServers(configured)
        assert parse_mail_servers(one.new.value) == MailServers(left)
    await site.write_configuration([one.new.value for one in written.directors if one.new is not None])
    async with asyncio.timeout(30):
        while not (await read_configuration(site.ip, site.bench.ring, reading.views)).clean:  # noqa: ASYNC110 - what somebody writes sets no event
            await asyncio.sleep(0.05)


def _assert_told_in_order(site: RemovalSite, removal: Removal, page: str) -> None:
    """In the journal, and in the page that is exported."""
    ip, access = site.ip, site.bench.ring.cluster.backends
    assert access is not None
    told = [one for one in story(removal, _entries(site)) if one.first.title]
    steps = (Step.NO_NEW_USERS, Step.UPLOAD, Step.MOVE, Step.FINAL_UPLOAD, Step.REMOVE)
    lines = (
        f"director update {ip} 0",
        "metacache flushall",
        f"director flush --max-parallel {AT_A_TIME} {ip}",
        "metacache flushall",
        f"director remove {ip}",
    )
    operations = [one for one in told if one.operation is not None]
    for one, step, line in zip(operations, steps, lines, strict=True):
        [result] = one.results
        assert one.first.reason.rpartition("; ")[2] == removal.because(step)
        assert (one.outcome, result.exit_status) == (Outcome.APPLIED, 0)
        assert " ".join(result.argv[0]).endswith(f" {line}")
        assert (result.via == access.destination(ip)) is (step in UPLOADS)
    assert [one.first.title.partition(", ")[2] for one in told if one.operation is None] == [
        *("", "step 3 of 8: not waited for any longer", "step 4 of 8: done", "step 6 of 8: done", "ended")
    ]
    assert uploads_done(told) == 2
    times = [one.first.time for one in told]
    assert times == sorted(times)
    places = [page.index(words) for words in ("director update", "not waited for", "director flush", "director remove")]
    assert places == sorted(places)


def _entries(site: RemovalSite) -> tuple[Entry, ...]:
    return entries(site.bench.journal.read().records)


async def test_maintenance_and_back(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    before = await _settings(site)
    removal, position = await wizard.go_on(await begun(site, wizard, permanent=False))
    assert (position.step, position.done) == (None, True)
    assert wizard.stood == ALL[:5]
    assert site.hosts.uploads(site.ip) == (0, 0)
    # While it is worked on a monitor sets it down.
    await site.bench.by_hand(site.there.set_state, site.ip, State.DOWN, 1)
    await _back(site, wizard, await wizard.kept.change(removal, lambda one: turn(one, Course.BRINGING_BACK), "back"))
    assert await _settings(site) == before
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


async def _settings(site: RemovalSite) -> list[Backend | None]:
    """As each director has it, but for when its state has changed, of which one that is added again knows nothing."""
    return [row and replace(row, state_changed=None) for row in await site.rows()]


async def _back_out(site: RemovalSite, wizard: Remover, removal: Removal) -> list[str]:
    return await _back(
        site, wizard, await wizard.kept.change(removal, lambda one: turn(one, Course.BACKING_OUT), "back")
    )


async def test_back_out_of_every_step(removal_site: RemovalSite) -> None:
    site = removal_site
    await site.bench.by_hand(site.there.set_vhosts, site.ip, 37)
    await site.bench.backends()
    before = await _settings(site)
    for step in ALL:
        wizard = remover(site)
        removal, position = await wizard.go_on(await begun(site, wizard, metacache=step in UPLOADS), until=[step])
        moved = step.number > Step.MOVE.number
        assert position.step is step
        ran = await _back_out(site, wizard, removal)
        assert ran == ([] if step is Step.NO_NEW_USERS else ["add"] if step is Step.CONFIGURATION else ["update"])
        await site.bench.backends()
        assert await _settings(site) == before, step
        assert await site.users() == [0 if moved else USERS] * 3, f"{step}: who was moved stays moved, nobody else is"
        assert (await wizard.kept.all()).unfinished == ()


async def test_back_out_of_the_removal_of_one_that_was_down_and_had_a_tag(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    site.ip = next(ip for ip, one in (await site.bench.backends()).items() if one.tag)
    await site.bench.by_hand(site.there.set_vhosts, site.ip, 64)
    await site.bench.by_hand(site.there.set_state, site.ip, State.DOWN)
    await site.bench.backends()
    before = await _settings(site)
    removal, _ = await wizard.go_on(await begun(site, wizard, metacache=False))
    assert await site.rows() == [None] * 3
    assert await _back_out(site, wizard, removal) == ["add", "down", "update"]
    await site.bench.backends()
    assert await _settings(site) == before


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


async def test_an_upload_that_fails_halts_until_it_is_done_or_skipped(removal_site: RemovalSite) -> None:
    site, wizard = removal_site, remover(removal_site)
    removal, _ = await wizard.go_on(await begun(site, wizard), until=[Step.UPLOAD])
    await _fail(site, wizard, removal, Step.UPLOAD)
    removal, _ = await wizard.go_on(removal, until=[Step.FINAL_UPLOAD])
    assert removal.first_upload is not None
    assert (removal.first_upload.how, site.hosts.uploads(site.ip)) == (Decided.DONE, (75, 0))
    await _fail(site, wizard, removal, Step.FINAL_UPLOAD)
    skipped = Mark(SYSTEM_TIMES.utc(), "ops", Decided.SKIPPED, RISK)
    removal = await wizard.kept.change(removal, lambda one: mark_upload(one, Step.FINAL_UPLOAD, skipped), "skipped")
    _, position = await wizard.go_on(removal)
    assert position.step is Step.CONFIGURATION
    assert site.hosts.uploads(site.ip) == (75, 0, 75)


async def _fail(site: RemovalSite, wizard: Remover, removal: Removal, step: Step) -> None:
    """An upload that fails, after which it stands where it stood."""
    site.hosts.fail_next(site.ip)
    with pytest.raises(AssertionError, match="exit status 75"):
        await wizard.do(step, removal)
    judged = judge(wizard.ended[-1], site.bench.ring.cluster)
    assert (judged.how, judged.risk) == (None, RISK)
    removal, now, position = await wizard.look(removal)
    assert position.step is step
    may = acts(removal, position, now, site.bench.ring.cluster)
    assert may == (Act.RUN, Act.SKIP_TYPED, Act.BACK_OUT, Act.LEAVE)


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
