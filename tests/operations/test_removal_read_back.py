"""A backend is removed cleanly, and taken back, on the practice ring and on a real one by the same test bodies.

What became of it is read with plain doveadm on every director, by what the backend has recorded of its uploads, and by
the sessions themselves; not by what the program says.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from director_tui.director.mail_servers import MailServers, parse_mail_servers
from director_tui.director.model import State
from director_tui.link.users import sessions, sessions_by_backend
from director_tui.operations.gate import Circumstances
from director_tui.operations.journal import entries
from director_tui.operations.plan import Outcome, Standing, Verb
from director_tui.operations.planning import make_plan
from director_tui.operations.removal import (
    Course,
    Decided,
    Ending,
    Mark,
    Step,
    begin,
    end,
    mark_upload,
    renewed,
    seen,
    skip_leaving,
    standing_at,
    turn,
    way_back,
)
from director_tui.operations.removal_check import check_up
from director_tui.operations.removal_configuration import read_configuration
from director_tui.operations.removal_keeping import Removals
from director_tui.operations.removal_steps import Act, step_view
from director_tui.operations.removal_story import story, uploads_done
from director_tui.operations.removal_upload import judge
from director_tui.times import SYSTEM_TIMES
from tests.link.fakes import until
from tests.operations.fakes import update
from tests.operations.removal_site import SESSIONS, USERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from director_tui.operations.plan import Request
    from director_tui.operations.progress import Progress
    from director_tui.operations.removal import BackendSeen, Position, Removal
    from director_tui.operations.removal_configuration import Configuration
    from director_tui.operations.removal_steps import StepView
    from tests.operations.removal_site import RemovalSite

AT_A_TIME = 500
"""The pace of the flush: four rounds for all of them."""


class Wizard:
    """Takes one removal from step to step, as the screen does: whatever it needs to know it reads again each time, and
    from the disk."""

    def __init__(self, site: RemovalSite, removal: Removal) -> None:
        self.site = site
        self._removal = removal
        self._removals = _removals(site)

    async def removal(self) -> Removal:
        kept = (await self._removals.all()).of(self._removal.ip)
        assert kept is not None
        return kept

    async def look(self) -> tuple[Standing, BackendSeen, Removal, Position]:
        removal = await self.removal()
        standing, now = await _look(self.site)
        fresh, why = renewed(removal, now)
        if why:
            removal = await self._removals.change(removal, lambda one: renewed(one, now)[0], why)
            assert removal == fresh
        return standing, now, removal, standing_at(removal, now)

    async def reach(self, step: Step | None) -> StepView | None:
        """Wait until it stands there; None is its end."""
        async with asyncio.timeout(30):
            while True:
                standing, now, removal, position = await self.look()
                if position.step is step and (step is not None or position.done):
                    return step and step_view(step, removal, position, now, standing)

    async def run(self, step: Step) -> Progress:
        """Wait for the step, and carry it out by its own request."""
        view = await self.reach(step)
        assert view is not None
        assert view.request is not None
        assert Act.RUN in view.acts
        return await self._carry_out(view.request)

    async def upload(self, step: Step) -> Decided | None:
        """The same for an upload, and keep what it came to; None where a person has to decide."""
        progress = await self.run(step)
        judged = judge(progress, self.site.bench.ring.cluster)
        if judged.how is not None:
            mark = Mark(SYSTEM_TIMES.utc(), "ops", judged.how, judged.said)
            await self.change(lambda one: mark_upload(one, step, mark), f"{step.title}: {judged.how.value}")
        return judged.how

    async def skip_leaving(self) -> None:
        await self.reach(Step.LET_LEAVE)
        await self.change(lambda one: skip_leaving(one, SYSTEM_TIMES.utc(), "ops"), "step 3: not waited for any longer")

    async def go_to(self, step: Step | None) -> None:
        """All that comes before it, one after the other; before its end, which is None, all steps."""
        steps = (await self.removal()).steps
        for before in steps if step is None else steps[: step.number - 1]:
            match before:
                case Step.CHECK:
                    pass
                case Step.LET_LEAVE:
                    if any(users > 0 for users in await self.site.users()):
                        await self.skip_leaving()
                case Step.UPLOAD | Step.FINAL_UPLOAD:
                    assert await self.upload(before) is Decided.DONE
                case Step.MOVE:
                    if any(users > 0 for users in await self.site.users()):
                        assert (await self.run(before)).outcome is Outcome.APPLIED
                case _:
                    assert (await self.run(before)).outcome is Outcome.APPLIED
        await self.reach(step)

    async def go_back(self, course: Course = Course.BACKING_OUT) -> list[Verb]:
        """Until the backend is as it was; what was done for it."""
        await self.change(lambda one: turn(one, course), course.value)
        done = []
        while True:
            _, now, removal, _ = await self.look()
            left = way_back(removal, now)
            assert not isinstance(left, str), left
            if not left:
                break
            assert (await self._carry_out(left[0])).outcome is Outcome.APPLIED
            done.append(left[0].verb)
        how = Ending.BACKED_OUT if course is Course.BACKING_OUT else Ending.BROUGHT_BACK
        await self.end(how)
        return done

    async def end(self, how: Ending) -> Removal:
        return await self.change(lambda one: end(one, how, SYSTEM_TIMES.utc(), "ops"), how.value)

    async def change(self, do: Callable[[Removal], Removal], note: str) -> Removal:
        return await self._removals.change(await self.removal(), do, note)

    async def configuration(self) -> Configuration:
        standing, _ = await _look(self.site)
        return await read_configuration(self.site.ip, self.site.bench.ring, standing.reading.views)

    async def page(self) -> str:
        """What is exported of it."""
        [ended] = [one for one in (await self._removals.all()).ended if one.id == self._removal.id]
        return (await self._removals.export(ended)).read_text()

    async def _carry_out(self, request: Request) -> Progress:
        reading = await self.site.bench.reading()
        counted = None
        if request.verb is Verb.REMOVE:
            counted = sessions_by_backend(reading, await sessions(self.site.bench.ring, reading.views))
        plan = make_plan(request, Standing(reading, self.site.bench.ring.cluster, counted))
        return await self.site.bench.executor.run(plan, "")


def _removals(site: RemovalSite) -> Removals:
    return Removals(site.bench.ring.cluster.name, site.bench.journal, SYSTEM_TIMES)


async def _look(site: RemovalSite) -> tuple[Standing, BackendSeen]:
    reading = await site.bench.reading()
    found = await sessions(site.bench.ring, reading.views)
    standing = Standing(reading, site.bench.ring.cluster, sessions_by_backend(reading, found))
    return standing, seen(site.ip, reading, found)


async def begun(site: RemovalSite, *, permanent: bool = True) -> Wizard:
    """The first step: nothing speaks against it, and it is on the disk."""
    standing, _ = await _look(site)
    kept = await _removals(site).all()
    checked = check_up(site.ip, standing, Circumstances(standing.reading), kept.unfinished)
    assert checked.refusals == ()
    removal = begin(
        *(site.ip, standing.cluster.name, standing.reading),
        permanent=permanent,
        max_parallel=AT_A_TIME,
        metacache=True,
        reason="its disk groans",
        at=SYSTEM_TIMES.utc(),
        who="ops",
        host="desk",
    )
    return Wizard(site, await _removals(site).begin(removal))


async def test_all_eight_steps(removal_site: RemovalSite) -> None:
    site, before = removal_site, await removal_site.users()
    table = await site.bench.backends()
    assert before == [USERS] * 3
    wizard = await begun(site)

    assert (await wizard.run(Step.NO_NEW_USERS)).outcome is Outcome.APPLIED
    assert [row and row.vhosts for row in await site.rows()] == [0, 0, 0]
    assert await site.users() == before, "nobody is moved by it"
    await wizard.skip_leaving()

    site.hosts.hold(site.ip)
    uploading = asyncio.create_task(wizard.upload(Step.UPLOAD))
    await until(lambda: site.hosts.uploads(site.ip) == (None,))
    beside = await site.bench.run(update(50, next(ip for ip in await site.bench.backends() if ip != site.ip)))
    assert beside.outcome is Outcome.APPLIED, "an upload that hangs keeps nobody from changing the ring"
    site.hosts.release(site.ip)
    assert await uploading is Decided.DONE
    assert site.hosts.uploads(site.ip) == (0,)
    assert sum(await site.sessions()) == SESSIONS, "they are connected to the end"

    assert (await wizard.run(Step.MOVE)).outcome is Outcome.APPLIED
    await wizard.reach(Step.FINAL_UPLOAD)
    assert await site.users() == await site.sessions() == [0, 0, 0]
    assert sum(one.users for one in (await site.bench.backends()).values()) == USERS, "all are somewhere else"
    await site.log_in_again()
    everybody = await site.everybodys_sessions()
    assert sorted(user for each in everybody for user, _ in each) == sorted(site.people)
    places = {ip for each in everybody for _, ip in each}
    assert site.ip not in places
    assert len(places) > 1

    assert await wizard.upload(Step.FINAL_UPLOAD) is Decided.DONE
    assert site.hosts.uploads(site.ip) == (0, 0)
    assert (await wizard.run(Step.REMOVE)).outcome is Outcome.APPLIED
    await wizard.reach(Step.CONFIGURATION)
    assert await site.rows() == [None, None, None]
    assert [sorted(each) for each in await site.everybodys_sessions()] == [sorted(each) for each in everybody]
    assert sum(one.users for one in (await site.bench.backends()).values()) == USERS

    configured = {ip: one.tag for ip, one in table.items()}
    left = {ip: tag for ip, tag in configured.items() if ip != site.ip}
    written = await wizard.configuration()
    assert written.drift == ()
    for one in written.directors:
        assert one.value is not None
        assert one.new is not None
        assert parse_mail_servers(one.value) == MailServers(configured)
        assert parse_mail_servers(one.new.value) == MailServers(left)
    await site.write_configuration([one.new.value for one in written.directors if one.new is not None])
    async with asyncio.timeout(30):
        while not (await wizard.configuration()).clean:  # noqa: ASYNC110 - what somebody writes sets no event
            await asyncio.sleep(0.05)
    ended = await wizard.end(Ending.REMOVED)
    assert site.hosts.uploads(site.ip) == (0, 0), "exactly twice"
    told_in_order(site, ended, await wizard.page())


def told_in_order(site: RemovalSite, ended: Removal, page: str) -> None:
    """The whole removal in the journal, and in the page that is exported."""
    ip, access = site.ip, site.bench.ring.cluster.backends
    assert access is not None
    told = story(ended, entries(site.bench.journal.read().records))
    results = [(one.first.verb, result) for one in told for result in one.results]
    expected = (
        (Verb.UPDATE, f"director update {ip} 0"),
        (Verb.UPLOAD, "metacache flushall"),
        (Verb.FLUSH, f"director flush --max-parallel {AT_A_TIME} {ip}"),
        (Verb.UPLOAD, "metacache flushall"),
        (Verb.REMOVE, f"director remove {ip}"),
    )
    assert uploads_done(told) == 2
    for (verb, result), (expected_verb, line) in zip(results, expected, strict=True):
        assert (verb, result.outcome) == (expected_verb.value, Outcome.APPLIED)
        assert " ".join(result.argv[0]).endswith(f" {line}")
        assert (result.via == access.destination(ip)) is (expected_verb is Verb.UPLOAD)
    times = [one.first.time for one in told]
    assert times == sorted(times)
    steps = [page.index(f"{ended.title}, step {number} of 8") for number in (2, 4, 5, 6, 7)]
    assert steps == sorted(steps)


async def test_the_way_back_from_every_step(removal_site: RemovalSite) -> None:
    site = removal_site
    await site.bench.by_hand(site.there.set_vhosts, site.ip, 37)
    await site.bench.backends()
    before = await site.rows()
    assert before[0] is not None
    for step in list(Step)[1:]:
        wizard = await begun(site)
        await wizard.go_to(step)
        users, changed = await site.users(), await site.rows() != before
        assert changed is (step is not Step.NO_NEW_USERS)
        done = await wizard.go_back()
        assert bool(done) is changed
        await site.bench.backends()
        assert await site.rows() == before, step
        left = USERS if step.number <= Step.MOVE.number else 0
        assert await site.users() == [left] * 3, f"{step}: users already moved stay moved, nobody else is"
        assert users in ([left] * 3, [-1] * 3)
        assert (await _removals(site).all()).unfinished == ()


async def test_the_way_back_of_a_backend_that_was_down_and_had_a_tag(removal_site: RemovalSite) -> None:
    site = removal_site
    golden = next(ip for ip, one in (await site.bench.backends()).items() if one.tag)
    site.ip = golden
    await site.bench.by_hand(site.there.set_vhosts, golden, 64)
    await site.bench.by_hand(site.there.set_state, golden, State.DOWN)
    await site.bench.backends()
    before = [row and replace(row, state_changed=None) for row in await site.rows()]
    wizard = await begun(site)
    await wizard.go_to(Step.CONFIGURATION)
    assert await site.rows() == [None, None, None]
    assert await wizard.go_back() == [Verb.ADD, Verb.DOWN, Verb.UPDATE]
    await site.bench.backends()
    assert [row and replace(row, state_changed=None) for row in await site.rows()] == before


async def test_a_backend_that_was_worked_on_is_brought_back(removal_site: RemovalSite) -> None:
    site = removal_site
    before = await site.rows()
    wizard = await begun(site, permanent=False)
    await wizard.go_to(None)
    assert [row and (row.vhosts, row.state) for row in await site.rows()] == [(0, State.UP)] * 3
    await site.bench.by_hand(site.there.set_state, site.ip, State.DOWN)
    await site.bench.backends()
    assert await wizard.go_back(Course.BRINGING_BACK) == [Verb.UPDATE, Verb.UP]
    await site.bench.backends()
    assert [row and replace(row, state_changed=None) for row in await site.rows()] == before
    assert await site.users() == [0, 0, 0]


async def test_an_upload_that_fails_is_asked_about_and_one_that_can_not_be_is_said(removal_site: RemovalSite) -> None:
    site = removal_site
    wizard = await begun(site)
    await wizard.go_to(Step.UPLOAD)
    site.hosts.fail_next(site.ip)
    assert await wizard.upload(Step.UPLOAD) is None
    view = await wizard.reach(Step.UPLOAD)
    assert view is not None
    assert {Act.RUN, Act.SKIP_TYPED, Act.BACK_OUT} <= set(view.acts)
    assert await wizard.upload(Step.UPLOAD) is Decided.DONE
    assert site.hosts.uploads(site.ip) == (75, 0)
    await wizard.go_back()
    site.hosts.without_metacache(site.ip)
    wizard = await begun(site)
    await wizard.go_to(Step.UPLOAD)
    assert await wizard.upload(Step.UPLOAD) is Decided.NOT_THERE
    await wizard.reach(Step.MOVE)
    assert site.hosts.uploads(site.ip) == (75, 0)
