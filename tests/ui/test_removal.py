"""The clean removal by its screen: the steps, what each leads to, how it goes on by what the ring shows, and back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from textual.app import App, ComposeResult

from director_tui import state
from director_tui.config import BackendAccess
from director_tui.operations.journal import Journal
from director_tui.operations.plan import Target, Verb
from director_tui.operations.progress import LineStatus, Phase
from director_tui.operations.removal import Course, Step, turn
from director_tui.operations.removal_keeping import Removals, read_removals
from director_tui.operations.removal_record import file_name
from director_tui.operations.removal_steps import StepView, step_view
from director_tui.times import SYSTEM_TIMES
from director_tui.ui import plan_dialog, removal_page, removal_screen
from director_tui.ui.plan_dialog import PlanDialog
from director_tui.ui.removal_buttons import ButtonRow
from director_tui.ui.removal_screen import RemovalScreen
from director_tui.ui.removing import Removing
from tests.ui.changing import focus_is_seen, focused, settle
from tests.ui.fakes import FakeRing, Row
from tests.ui.operations import Operated, operated
from tests.ui.test_operations import keep, written

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from director_tui.operations.plan import Request

OUT = "10.1.0.2"
RISK = "mail that is not yet in object storage may be lost"
ACCESS = BackendAccess("ops@{ip}")


def a_ring(**changes: Any) -> FakeRing:
    rows = [Row("10.1.0.1", 500), Row(OUT, 400, vhosts=80), Row("10.1.0.3", 600), Row("10.1.0.7", 90, tag=b"gold")]
    return FakeRing(rows=rows, mail_servers=b"10.1.0.1-10.1.0.3 10.1.0.7@gold", **changes)


def labels_are_whole(row: ButtonRow) -> bool:
    shown = [button for button in row.buttons.values() if button.display]
    return all(
        button.region.width >= len(str(button.label)) + 2 and button.region.right <= row.screen.region.width
        for button in shown
    )


class Wizard:
    """The program with the wizard of a backend, by what is pressed and seen."""

    def __init__(self, operated: Operated) -> None:
        self.operated = operated
        self.screen, self.ring = operated.screen, operated.ring

    async def choose(self, ip: str = OUT) -> None:
        """Press w on this backend."""
        await self.screen.until(ip)
        await self.screen.press("home")
        for _ in range(12):
            if self.screen.at_cursor() == ip:
                break
            await self.screen.press("j")
        assert self.screen.at_cursor() == ip
        await self.screen.press("w")

    async def begin(self, *, permanent: bool = False, ip: str = OUT) -> None:
        await self.choose(ip)
        await self.screen.until("the ring is synced, and others take over")
        if permanent:
            await self.screen.press("right")
        await self.press("begin")
        await self.screen.until("2  No new users")

    async def press(self, button: str) -> None:
        """Press the button of the wizard that does this, by keys."""
        await self.screen.wait(lambda: self.offers(button), f"the button {button}")
        for _ in range(20):
            if focused(self.screen) == button:
                break
            await self.screen.press("tab")
        assert focused(self.screen) == button, focused(self.screen)
        assert focus_is_seen(self.screen)
        await self.screen.wait(self.every_label_is_whole, "every label whole")
        await self.screen.press("enter")

    def every_label_is_whole(self) -> bool:
        """Whether no button is cut, and none is out of the screen."""
        return labels_are_whole(self.screen.app.screen.query_one(ButtonRow))

    def offers(self, button: str) -> bool:
        front = self.screen.app.screen
        return isinstance(front, RemovalScreen) and front.query_one(f"#{button}").display

    async def agree(self) -> Request:
        """Lead the step to its plan, agree to it, and return what will be carried out."""
        await self.press("run")
        await self.screen.wait(lambda: isinstance(self.screen.app.screen, PlanDialog), "a plan")
        dialog = self.screen.app.screen
        assert isinstance(dialog, PlanDialog)
        await settle(self.screen)
        await self.screen.press("tab", "enter")
        await self.screen.wait(lambda: self.running, "the operation")
        return dialog.plan.request

    @property
    def running(self) -> bool:
        made = self.operated.made
        return bool(made) and made[-1].progress is not None and made[-1].progress.running

    async def run(self, **row: Any) -> Request:
        """Have the step carried out, with this as what the ring shows then."""
        request = await self.agree()
        self.operated.executor.lines(LineStatus.SENT)
        await self.screen.until("Leave; it goes on")
        self.ring.set(OUT, **row)
        self.operated.executor.end(LineStatus.APPLIED, notes=())
        return request

    async def upload(self, status: int = 0, output: str = "") -> Request:
        """Have the upload carried out with this end."""
        request = await self.agree()
        self.end_upload(status, output)
        return request

    def end_upload(self, status: int = 0, output: str = "") -> None:
        executor = self.operated.executor
        executor.lines(LineStatus.SENT, exit_status=status, output=output)
        executor.end(LineStatus.APPLIED if status == 0 else LineStatus.NOT_APPLIED)

    async def until_step(self, number: int, *texts: str) -> None:
        await self.screen.until(f"▸ {number} ", *texts)

    async def drain(self) -> None:
        """Steps 2 and 3."""
        await self.run(vhosts=0)
        await self.until_step(3)
        await self.press("skip")
        await self.until_step(4)

    async def empty(self) -> None:
        """Steps 4 and 5."""
        await self.upload()
        await self.until_step(5)
        await self.run(users=0)
        await self.until_step(6)


@asynccontextmanager
async def wizard(
    ring: FakeRing | None = None, size: tuple[int, int] = (120, 36), **more: Any
) -> AsyncGenerator[Wizard]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_dialog, "FIRST_S", 0.01)
        patch.setattr(removal_screen, "ASK_SESSIONS_S", 0.1)
        more.setdefault("backends", ACCESS)
        async with operated(ring or a_ring(), size, **more) as running:
            yield Wizard(running)


# The steps


async def test_permanently_through_all_eight_steps() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin(permanent=True)
        assert "vhost count 80 before" in screen
        request = await wizard_.run(vhosts=0)
        assert (request.verb, request.targets) == (Verb.UPDATE, (Target(OUT, 0),))
        assert request.because == f"clean removal of {OUT}, step 2 of 8"
        await wizard_.until_step(3, "400 users left")
        ring.set(OUT, users=350)
        await screen.until("350 users left, of 400")
        await wizard_.press("skip")
        await wizard_.until_step(4, "doveadm metacache flushall", f"ops@{OUT}")
        assert (await wizard_.upload()).verb is Verb.UPLOAD
        await wizard_.until_step(5, "350 users left")
        request = await wizard_.run(users=0)
        assert (request.verb, request.ips) == (Verb.FLUSH, (OUT,))
        await wizard_.until_step(6)
        assert (await wizard_.upload()).because.endswith("step 6 of 8")
        await wizard_.until_step(7)
        request = await wizard_.agree()
        assert request.verb is Verb.REMOVE
        ring.remove(OUT)
        wizard_.operated.executor.end(LineStatus.APPLIED)
        await wizard_.until_step(8, f"{OUT} still stands in director_mail_servers on")
        new = "10.1.0.1 10.1.0.3 10.1.0.7@gold"
        await screen.until(new)
        await wizard_.press("copy")
        assert screen.app.clipboard == new
        ring.mail_servers = new.encode()
        await wizard_.press("check")
        await screen.until(f"{OUT} stands in no director_mail_servers any more")
        await wizard_.press("end")
        await screen.until(f"The clean removal of {OUT} is over", "Removed ")
        await wizard_.press("export")
        await screen.until(".md")
        (done,) = read_removals("mail-eu").ended
        assert done.ended is not None
        assert done.ended.how.value == "removed"


async def test_for_maintenance_and_brought_back() -> None:
    async with wizard() as wizard_:
        screen = wizard_.screen
        await wizard_.begin()
        assert "7 Remove" not in screen
        await wizard_.drain()
        await wizard_.empty()
        await wizard_.upload()
        await screen.until(f"{OUT} is ready to work on")
        await screen.press("q")
        await screen.until(f"clean removal of {OUT} unfinished — w to resume")
        await wizard_.choose()
        await screen.until(f"{OUT} is ready to work on")
        await wizard_.press("bring-back")
        await screen.until("Bring it back", f"setting the vhost count of {OUT} to 80", "Users already moved stay")
        request = await wizard_.run(vhosts=80)
        assert request.targets == (Target(OUT, 80),)
        await screen.until(f"The clean removal of {OUT} is over", "Brought back", "Users already moved stay")
        await screen.press("q")
        await screen.until("▸", gone=["unfinished"])


async def test_a_step_goes_on_only_by_what_the_ring_shows() -> None:
    async with wizard() as wizard_:
        await wizard_.begin()
        await wizard_.run()
        await wizard_.screen.until("its vhost count is 80")
        await wizard_.until_step(2)
        wizard_.ring.set(OUT, vhosts=0)
        await wizard_.until_step(3)


async def test_a_count_that_is_set_meanwhile_leads_back_to_step_2() -> None:
    async with wizard() as wizard_:
        await wizard_.begin()
        await wizard_.drain()
        wizard_.ring.set(OUT, vhosts=55)
        await wizard_.until_step(2, "its vhost count is 55")
        await wizard_.screen.wait(lambda: read_removals("mail-eu").unfinished[0].leaving is None, "a fresh beginning")


async def test_who_is_left_by_the_smallest_and_the_largest_count() -> None:
    async with wizard() as wizard_:
        ring = wizard_.ring
        await wizard_.begin()
        ring.set(OUT, vhosts=0)
        await wizard_.until_step(3)
        fewer = [row for row in ring.rows if row.ip != OUT]
        ring.tables["ops@dir2.example.com"] = [*fewer, Row(OUT, 390, vhosts=0)]
        await wizard_.screen.until("390 users left by dir2", "400 by ")


async def test_sessions_that_are_left_hold_step_5() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin()
        await wizard_.drain()
        ring.sessions["ops@dir3.example.com"] = [("jane", OUT), ("joe", OUT), ("tom", "10.1.0.1")]
        await wizard_.upload()
        await wizard_.until_step(5, "2 sessions passed on to it")
        await wizard_.run(users=0)
        await screen.until("0 users left", "2 sessions passed on to it")
        await wizard_.until_step(5)
        ring.sessions.clear()
        await wizard_.until_step(6)


async def test_who_was_left_by_somebody_is_not_said_to_be_gone() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin()
        await wizard_.drain()
        ring.sessions["ops@dir3.example.com"] = [("jane", OUT)]
        await wizard_.upload()
        await wizard_.until_step(5, "1 session passed on to it")
        await wizard_.press("skip-typed")
        await screen.until("Skip step 5")
        await screen.press(*"mail-eu", "enter")
        await wizard_.until_step(6)
        await wizard_.upload()
        await screen.until(f"{OUT} is ready to work on, by what was accepted", "not all were seen to be gone")
        await screen.until("step 5 was skipped by", "1 session are on", "could be open in two places")
        assert "no user and no session is left" not in screen


async def test_sessions_that_were_counted_before_the_flush_prove_nothing() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin()
        await wizard_.drain()
        await wizard_.upload()
        await wizard_.until_step(5, "0 sessions passed on to it")
        hangs = ring.gates["ops@dir3.example.com", "proxy list"] = asyncio.Event()
        await wizard_.agree()
        wizard_.operated.executor.lines(LineStatus.SENT)
        ring.sessions["ops@dir3.example.com"] = [("jane", OUT)]
        ring.set(OUT, users=0)
        await wizard_.until_step(5, "now    0 users left", "the sessions on the directors have not been counted yet")
        wizard_.operated.executor.end(LineStatus.APPLIED)
        await screen.until("Check again", "the sessions on the directors have not been counted yet")
        hangs.set()
        await wizard_.until_step(5, "1 session passed on to it")


# The upload


async def test_an_upload_shows_its_clock_and_goes_on_when_it_is_left() -> None:
    async with wizard() as wizard_:
        screen = wizard_.screen
        await wizard_.begin()
        await wizard_.drain()
        await wizard_.agree()
        wizard_.operated.executor.lines(LineStatus.SENT)
        await screen.until("running for", "→ sent", "Leave; it goes on")
        assert wizard_.offers("back-out")
        assert not wizard_.offers("run")
        await wizard_.press("leave")
        await screen.until("uploading the metacache", "o shows it")
        await screen.press("q")
        await screen.until("An operation is running")
        await screen.press("escape")
        wizard_.end_upload()
        await screen.wait(lambda: read_removals("mail-eu").unfinished[0].first_upload is not None, "what came of it")
        await wizard_.choose()
        await wizard_.until_step(5)


async def test_a_failed_upload_asks_and_is_skipped_only_by_typing() -> None:
    async with wizard() as wizard_:
        screen = wizard_.screen
        await wizard_.begin()
        await wizard_.drain()
        await wizard_.upload(75, "obox: bucket unreachable")
        await screen.until("it ended with exit status 75: obox: bucket unreachable", "Try again")
        await wizard_.until_step(4)
        await wizard_.press("skip-typed")
        await screen.until("Skip step 4", "ail that is not yet in object storage may be lost", "type mail-eu")
        await screen.press("enter", *"no", "enter")
        await screen.until("the cluster is called mail-eu")
        await screen.press("backspace", "backspace", *"mail-eu", "enter")
        await wizard_.until_step(5)
        mark = read_removals("mail-eu").unfinished[0].first_upload
        assert mark is not None
        assert mark.said == RISK


async def test_a_doveadm_without_metacache_is_told_and_passed_over() -> None:
    async with wizard() as wizard_:
        await wizard_.begin()
        await wizard_.drain()
        await wizard_.upload(64, "Usage: doveadm [-Dv] [-f <formatter>] <command> [<args>]")
        await wizard_.until_step(5)
        mark = read_removals("mail-eu").unfinished[0].first_upload
        assert mark is not None
        assert mark.how.value == "not an obox backend"


async def test_without_a_way_to_the_backend_it_asks() -> None:
    async with wizard(backends=None) as wizard_:
        await wizard_.choose()
        await wizard_.screen.until("how to reach the backends is not configured")
        await wizard_.press("begin")
        await wizard_.screen.until("2  No new users")
        await wizard_.drain()
        await wizard_.screen.until("how to reach the backends is not configured")
        assert not wizard_.offers("run")
        assert wizard_.offers("skip-typed")


# Back out


@pytest.mark.parametrize("at", [2, 3, 4, 5, 6])
async def test_back_out_at_every_step(at: int) -> None:
    async with wizard() as wizard_:
        screen = wizard_.screen
        await wizard_.begin(permanent=True)
        if at > 2:
            await wizard_.run(vhosts=0)
            await wizard_.until_step(3)
        if at > 3:
            await wizard_.press("skip")
            await wizard_.until_step(4)
        if at > 4:
            await wizard_.upload()
            await wizard_.until_step(5)
        if at > 5:
            await wizard_.run(users=0)
            await wizard_.until_step(6)
        await wizard_.press("back-out")
        if at > 2:
            await screen.until("Back out", f"setting the vhost count of {OUT} to 80")
            request = await wizard_.run(vhosts=80)
            assert (request.verb, request.targets) == (Verb.UPDATE, (Target(OUT, 80),))
        await screen.until(f"The clean removal of {OUT} is over", "Backed out", "Users already moved stay")


async def test_it_is_not_back_by_what_was_read_before_it_was_changed() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin()
        await wizard_.agree()
        wizard_.operated.executor.lines(LineStatus.SENT)
        hangs = ring.gates["ops@dir3.example.com", "status"] = asyncio.Event()  # what all show is not told meanwhile
        ring.set(OUT, vhosts=0)
        wizard_.operated.executor.end(LineStatus.APPLIED)
        await wizard_.press("back-out")
        await screen.until("nothing, if every director shows it so once more")
        hangs.set()
        await screen.until(f"setting the vhost count of {OUT} to 80")
        assert read_removals("mail-eu").unfinished


async def test_a_full_disk_is_told_once_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Path] = []

    def full(file: Path, content: bytes) -> None:
        tried.append(file)
        raise OSError(28, words[0])

    words = ["no space"]
    async with wizard() as wizard_:
        screen = wizard_.screen
        await wizard_.begin()
        wizard_.ring.set(OUT, vhosts=0)
        await wizard_.press("skip")
        await wizard_.until_step(4)
        with monkeypatch.context() as patch:
            patch.setattr(state, "_write", full)
            wizard_.ring.set(OUT, vhosts=55)
            await screen.until("it could not be kept")
            await screen.wait(lambda: len(tried) >= 5, "it is tried again")
            assert screen.text.count("it could not be kept") == 1
            words[0] = "quota"
            await screen.until("quota")
        await screen.wait(lambda: read_removals("mail-eu").unfinished[0].leaving is None, "what it could not keep")


async def test_it_is_not_back_while_a_command_may_still_be_carried_out() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin()
        await wizard_.agree()
        wizard_.operated.executor.lines(LineStatus.SENT)
        wizard_.operated.executor.end(LineStatus.UNKNOWN)
        await wizard_.press("back-out")
        await screen.until("nothing, if every director shows it so once more")
        await screen.readings(ring, 20)
        assert read_removals("mail-eu").unfinished
        ring.set(OUT, vhosts=0)
        await screen.until(f"setting the vhost count of {OUT} to 80")


async def test_back_out_after_the_removal_adds_it_again() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin(permanent=True)
        await wizard_.drain()
        await wizard_.empty()
        await wizard_.upload()
        await wizard_.until_step(7)
        ring.remove(OUT)
        await wizard_.until_step(8)
        await wizard_.press("back-out")
        request = await wizard_.agree()
        assert (request.verb, request.targets, request.tag) == (Verb.ADD, (Target(OUT, 80),), "")
        ring.rows.append(Row(OUT, 0, vhosts=80))
        wizard_.operated.executor.end(LineStatus.APPLIED)
        await screen.until("Backed out")


async def test_who_backs_out_can_go_on_all_the_same() -> None:
    async with wizard() as wizard_:
        await wizard_.begin()
        await wizard_.drain()
        await wizard_.press("back-out")
        await wizard_.screen.until("Back out")
        await wizard_.press("on")
        await wizard_.until_step(4)


async def another_program_turns(course: Course) -> None:
    there = Removals("mail-eu", Journal("mail-eu"), SYSTEM_TIMES)
    await there.change(read_removals("mail-eu").unfinished[0], lambda one: turn(one, course), course.value)


async def test_what_another_program_makes_of_it_is_said_and_not_worked_against() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin()
        ring.set(OUT, vhosts=0)
        await wizard_.until_step(3)
        await another_program_turns(Course.BACKING_OUT)
        await screen.until("another director-tui goes on with it, too: backing out", "setting the vhost count")
        ring.set(OUT, vhosts=80)
        await screen.until("Backed out")


async def test_a_step_is_not_begun_that_another_program_has_turned_away_from(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wizard() as wizard_:
        screen = wizard_.screen
        await wizard_.begin()
        monkeypatch.setattr(Removing, "look_again", lambda removing: None)  # as between two readings
        await another_program_turns(Course.BACKING_OUT)
        await wizard_.press("run")
        await screen.until("another director-tui goes on with it, too: backing out")
        assert not isinstance(screen.app.screen, PlanDialog)


async def test_a_record_that_was_taken_away_is_said() -> None:
    async with wizard() as wizard_:
        await wizard_.begin()
        (begun,) = read_removals("mail-eu").unfinished
        (state.state_folder("mail-eu") / file_name(begun)).unlink()
        await wizard_.screen.until(f"the clean removal of {OUT} is not kept here any more")


# Beginning, and resuming


async def test_the_last_usable_backend_of_a_tag_is_refused() -> None:
    async with wizard() as wizard_:
        await wizard_.choose("10.1.0.7")
        await wizard_.screen.until("is the last usable backend of tag gold")
        assert not wizard_.offers("begin")
        assert wizard_.offers("check")


async def test_a_pace_that_cannot_be_is_said_and_one_that_can_is_used() -> None:
    async with wizard() as wizard_:
        await wizard_.choose()
        await wizard_.screen.until("the ring is synced, and others take over")
        await wizard_.screen.press("tab", "tab", *"many")
        await wizard_.press("begin")
        await wizard_.screen.until("“many”")
        assert not read_removals("mail-eu").unfinished
        await wizard_.screen.press(*["backspace"] * 4, *"7")
        await wizard_.press("begin")
        await wizard_.screen.until("2  No new users")
        assert read_removals("mail-eu").unfinished[0].max_parallel == 7


async def test_enter_leads_through_the_choices_and_then_begins() -> None:
    async with wizard() as wizard_:
        await wizard_.choose()
        await wizard_.screen.until("the ring is synced, and others take over")
        await wizard_.screen.press("right", *["enter"] * 4)
        assert focused(wizard_.screen) == "begin"
        assert not read_removals("mail-eu").unfinished
        await wizard_.screen.press("enter")
        await wizard_.screen.until("2  No new users")
        assert read_removals("mail-eu").unfinished[0].permanent


async def test_unfinished_ones_are_offered_at_the_next_start() -> None:
    ring = a_ring()
    async with wizard(ring) as wizard_:
        await wizard_.begin()
        await wizard_.drain()
    async with wizard(ring) as wizard_:
        screen = wizard_.screen
        await screen.until(f"clean removal of {OUT} unfinished — w to resume")
        await wizard_.choose()
        await wizard_.until_step(4)


async def test_several_are_listed_and_another_can_be_begun() -> None:
    ring = a_ring()
    ring.rows.append(Row("10.1.0.4", 10))
    async with wizard(ring) as wizard_:
        screen = wizard_.screen
        await wizard_.begin()
        await screen.press("q")
        await wizard_.choose("10.1.0.3")
        await screen.until("Clean removals that are not over", f"Resume {OUT}", "Begin that of 10.1.0.3")
        await screen.press("tab", "enter")
        await screen.until("clean removal of 10.1.0.3", "the ring is synced")
        await wizard_.press("begin")
        await screen.until("2  No new users")
        await screen.press("q")
        await screen.until(f"2 clean removals unfinished: {OUT}, 10.1.0.3 — w to resume")
        await wizard_.choose("10.1.0.3")
        await screen.until(f"Resume {OUT}", "Resume 10.1.0.3", gone=["Begin that of"])
        await screen.press("escape")
        assert len(read_removals("mail-eu").unfinished) == 2


async def test_one_backend_at_a_time() -> None:
    async with wizard() as wizard_:
        await wizard_.screen.press("space", "j", "space", "w")
        await wizard_.screen.until("a clean removal is of one backend at a time")


async def test_read_only_has_no_w_and_says_why() -> None:
    ring = a_ring()
    async with wizard(ring) as wizard_:
        await wizard_.begin()
    async with wizard(ring, read_only=True) as wizard_:
        screen = wizard_.screen
        await screen.until(f"clean removal of {OUT} unfinished", gone=["w to resume", "remove cleanly"])
        await screen.press("w")
        await screen.until("read-only")
        assert not isinstance(screen.app.screen, RemovalScreen)


async def test_set_back_of_an_add_leads_to_it() -> None:
    keep(*written("a", "add", "Add 10.1.0.1", "10.1.0.1"))
    async with wizard() as wizard_:
        screen = wizard_.screen
        await screen.press("o")
        await screen.until("Add 10.1.0.1")
        await screen.press("b")
        await screen.until("clean removal of 10.1.0.1", "the ring is synced, and others take over")


# The screen


async def test_it_is_drawn_again_only_when_something_of_it_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Step] = []

    def counted(step: Step, *others: Any) -> StepView:
        drawn.append(step)
        return step_view(step, *others)

    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin()
        ring.set(OUT, vhosts=0)
        await wizard_.until_step(3, "400 users left")
        await screen.readings(ring, 20)
        monkeypatch.setattr(removal_page, "step_view", counted)
        ring.set("10.1.0.1", users=501)
        await screen.readings(ring, 30)
        assert not drawn
        ring.set(OUT, users=399)
        await wizard_.until_step(3, "399 users left")
        assert drawn
        await screen.resize(80, 24)
        await screen.wait(lambda: "399 users left" in screen, "the same on another screen")


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 12), (20, 5)])
async def test_it_holds_on_every_screen(size: tuple[int, int]) -> None:
    async with wizard() as wizard_:
        screen = wizard_.screen
        await wizard_.begin(permanent=True)
        await wizard_.drain()
        await screen.resize(*size)
        assert focus_is_seen(screen)
        if size[1] > 5:
            await screen.until("4  Upload pending")
        if size[0] < 72 and size[1] > 5:
            await screen.until("✓1 ✓2 –3 ▸4 ·5")
        await wizard_.press("run")
        await screen.wait(lambda: isinstance(screen.app.screen, PlanDialog), "the plan")


async def test_c_leads_to_the_clusters_except_where_it_checks_again() -> None:
    async with wizard() as wizard_:
        screen, ring = wizard_.screen, wizard_.ring
        await wizard_.begin(permanent=True)
        ring.set(OUT, vhosts=0, users=0)
        await wizard_.until_step(4)
        ring.remove(OUT)
        await wizard_.until_step(8, "still stands in director_mail_servers")
        ring.mail_servers = b"10.1.0.1"
        await screen.press("c")
        await screen.until("stands in no director_mail_servers any more")
        await wizard_.press("end")
        await screen.until("is over")
        await screen.press("c")
        await screen.until("mail-eu", gone=["is over"])


async def test_a_line_that_fills_the_page_is_whole_beside_the_scrollbar() -> None:
    async with wizard(size=(80, 18)) as wizard_:
        await wizard_.begin(permanent=True)
        wizard_.ring.set(OUT, vhosts=0, users=0)
        await wizard_.until_step(4)
        wizard_.ring.remove(OUT)
        await wizard_.until_step(8, f"{OUT} still stands in director_mail_servers")


async def test_a_question_of_the_operation_is_answered_here() -> None:
    async with wizard() as wizard_:
        screen = wizard_.screen
        await wizard_.begin()
        await wizard_.agree()
        wizard_.operated.executor.step(phase=Phase.ASKING, question="Ring sync timed out. Go on?")
        await screen.until("Ring sync timed out. Go on?")
        await screen.wait(lambda: focused(screen) == "stop", "the question")
        await screen.press("enter")
        assert wizard_.operated.executor.decisions == [False]


async def test_a_button_has_the_width_of_the_label_that_it_has_now() -> None:
    row = ButtonRow(dict.fromkeys(("run", "leave"), ""))

    class Alone(App[None]):
        CSS = "Button, Button.-textual-compact { width: auto; min-width: 12; }"

        def compose(self) -> ComposeResult:
            yield row

    async with Alone().run_test(size=(80, 24)) as pilot:
        for run in ("Try again", "Plan the flush of many"):
            row.offer({"run": run, "leave": "Leave"}, 78)
            await pilot.pause()
            assert labels_are_whole(row)
