"""The operations screen: what runs, what was done, and what may follow; by what is on the screen."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from director_tui.errors import OperationRefused, PlanOutdated
from director_tui.link.questions import Question
from director_tui.operations.journal import Journal
from director_tui.operations.plan import Outcome, Target, Verb
from director_tui.operations.progress import FlushProgress, LineStatus, Phase
from director_tui.operations.record import Event, Record
from director_tui.state import state_folder
from director_tui.ui import operation_panel
from director_tui.ui.changing import Changing
from director_tui.ui.dialogs import QuestionDialog
from director_tui.ui.plan_dialog import PlanDialog
from tests.ui.fakes import FakeRing, Row
from tests.ui.operations import AT, operated

if TYPE_CHECKING:
    from pathlib import Path

    from director_tui.errors import DirectorTuiError
    from director_tui.operations.plan import Request
    from tests.ui.operations import Operated

S = LineStatus
DOWN = "doveadm(root): Error: Ring sync timed out"


def written(
    id: str,
    verb: str = "update",
    title: str = "Set vhost count of 10.1.0.3 to 0",
    ip: str = "10.1.0.3",
    *,
    outcome: Outcome = Outcome.APPLIED,
    minute: int = 0,
    stderr: str = "",
    status: int = 0,
    reason: str = "disk swap, ticket 4711",
    before: dict[str, str | int] | None = None,
    after: dict[str, str | int] | None = None,
) -> list[Record]:
    """The records of an operation that has ended."""
    at = AT - timedelta(hours=1) + timedelta(minutes=minute)
    argv = (("env", "TZ=UTC", "LC_ALL=C", "doveadm", "director", verb, ip),)
    common = Record(at, Event.PLANNED, id, verb=verb, title=title, targets=(ip,), via="ops@dir1", argv=argv)
    result = replace(
        common,
        time=at + timedelta(seconds=1.2),
        event=Event.RESULT,
        step=1,
        exit_status=status,
        stderr=stderr,
        outcome=outcome,
        before={ip: before if before is not None else {"vhosts": 100}},
        after={ip: after if after is not None else {"vhosts": 0}},
    )
    return [replace(common, reason=reason), replace(common, event=Event.INTENT, step=1), result]


def keep(*records: Record) -> None:
    Journal("mail-eu").append(*records)


def planned(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests that a plan was wanted of."""
    wanted: list[Request] = []

    async def begin(changing: Changing, request: Request, *, whole: bool = False) -> None:
        wanted.append(request)

    monkeypatch.setattr(Changing, "begin", begin)
    return wanted


# What runs


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_a_line_for_each_command_from_pending_to_its_outcome(size: tuple[int, int]) -> None:
    async with operated(size=size) as one:
        screen = one.screen
        targets = [Target("10.1.0.1", 0), Target("10.1.0.2", 0), Target("10.1.0.7", 0)]
        await one.begin(Verb.UPDATE, *targets, reason="storage groans")
        assert "storage groans" in screen
        assert screen.text.count("· pending") == 3
        one.executor.lines(S.DONE, S.SENT, sent_mono_s=one.executor.times.mono_s() - 7.2)
        await screen.until("2 of 3 sent", "→ not proven", "7s")
        assert "· pending" in screen.line(" 10.1.0.7 ")
        one.executor.lines(S.APPLIED, S.UNKNOWN, S.NOT_APPLIED, note="as it was before")
        one.executor.step(phase=Phase.ENDED, outcome=Outcome.UNKNOWN, notes=("seen on 2 of 3 directors",))
        await screen.until("✓ 1 applied · ✗ 1 not applied · ? 1 unknown", "seen on 2 of 3 directors")
        assert "✓ applied" in screen.line("mail-01")
        assert "? unknown" in screen.line("mail-02")
        assert "✗ not applied" in screen.line("gold-01")
        assert "as it was before" in screen.line("gold-01")


async def test_the_output_of_what_failed_stands_below_it_and_can_not_steer_the_terminal() -> None:
    async with operated() as one:
        await one.begin(Verb.UPDATE, Target("10.1.0.1", 0), Target("10.1.0.2", 0))
        hostile = "\x1b[31m[bold]no[/bold]\x9b\u202e\n" + "\n".join(f"line {number}" for number in range(9))
        one.executor.lines(S.FAILED, output=hostile, exit_status=75, note="\x1b]0;title\x07", text="[red]rm\x1b[0m")
        await one.screen.until("✗ failed", "[bold]no[/bold]", "line 1", "7 more lines")
        assert not {"\x1b", "\x9b", "\u202e", "\x07"} & set(one.screen.text)
        assert "line 5" not in one.screen


async def test_hundreds_of_commands_scroll_and_are_summed_up() -> None:
    ring = FakeRing(rows=[Row(f"10.1.{number // 250}.{number % 250 + 1}") for number in range(300)])
    async with operated(ring, (80, 24)) as one:
        await one.begin(Verb.UPDATE, *(Target(row.ip, 0) for row in ring.rows[:200]))
        one.executor.lines(*[S.DONE] * 142, S.SENT)
        await one.screen.until("143 of 200 sent", f"▸  {ring.rows[142].ip} ")
        assert "journal" in one.screen, "it takes a part of the screen only"
        await one.screen.press("q")
        await one.screen.until("setting the vhost count of 200 backends to 0 · 143 of 200 · o shows it")
        await one.screen.press("o", "tab", "home")
        await one.screen.until(f"▸  {ring.rows[0].ip} ")
        one.executor.lines(*[S.DONE] * 150, S.SENT)
        await one.screen.until("151 of 200 sent")
        assert f"▸  {ring.rows[0].ip} " in one.screen, "who looks at another command is not moved away from it"
        one.executor.end(S.APPLIED)
        await one.screen.until("✓ 200 applied")


async def test_a_flush_shows_who_is_left_and_never_claims_to_be_cancellable() -> None:
    async with operated() as one:
        await one.begin(Verb.FLUSH, Target("10.1.0.3"))
        one.executor.lines(S.SENT)
        one.executor.step(flush=FlushProgress(9120, 4120, 1204.0, 205.0))
        await one.screen.until("4,120 of 9,120 users left · −1,204/min · ETA 3m", "can't be cancelled")
        await one.screen.press("q")
        await one.screen.until("flushing 10.1.0.3 · 4,120 users left, ETA 3m · o shows it")
        one.executor.end(S.APPLIED)
        await one.screen.until("✓ applied", gone=["o shows it"])


# What it asks


async def ask(one: Operated) -> None:
    await one.begin(Verb.UPDATE, Target("10.1.0.1", 0), Target("10.1.0.2", 0))
    one.executor.lines(S.FAILED, output=DOWN, exit_status=75)
    one.executor.step(phase=Phase.ASKING, question="10.1.0.1 failed: Ring sync timed out. Go on with the last one?")
    await one.screen.until("Ring sync", "Stop here")


@pytest.mark.parametrize(("keys", "go_on"), [(["enter"], False), (["right", "enter"], True), (["tab", "enter"], True)])
@pytest.mark.parametrize("size", [(120, 36), (80, 24), (20, 5)])
async def test_the_answer_that_sends_nothing_more_has_the_focus(
    keys: list[str], go_on: bool, size: tuple[int, int]
) -> None:
    async with operated(size=size) as one:
        await ask(one)
        await one.screen.wait(lambda: getattr(one.screen.app.focused, "id", "") == "stop", "the focus")
        await one.screen.press(*keys)
        assert one.executor.decisions == [go_on]
        await one.screen.press("enter")
        assert one.executor.decisions == [go_on], "it is answered once"


async def test_the_question_takes_nothing_at_first_because_it_opens_under_fingers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(operation_panel, "QUIET_S", 3600.0)
    async with operated() as one:
        await ask(one)
        await one.screen.press("enter", "tab", "enter", "tab", "enter")
        await one.screen.pilot.click("#stop")
        await one.screen.pilot.click("#go-on")
        assert one.executor.decisions == []


async def test_the_question_is_told_on_every_other_screen_and_goes_when_it_is_answered() -> None:
    async with operated() as one:
        await one.begin(Verb.UPDATE, Target("10.1.0.1", 0), Target("10.1.0.2", 0))
        await one.screen.press("g")
        one.executor.lines(S.FAILED, output=DOWN, exit_status=75)
        one.executor.step(phase=Phase.ASKING, question="Go on with the last one?")
        await one.screen.until("stopped, and asks · o shows it", "Go on with the last one?")
        await one.screen.press("o")
        await one.screen.wait(lambda: getattr(one.screen.app.focused, "id", "") == "stop", "the focus")
        one.executor.end(S.UNKNOWN)
        await one.screen.until("? 2 unknown", gone=["Stop here"])
        assert getattr(one.screen.app.focused, "id", "") == "journal"


# It belongs to the program


async def test_closing_the_screen_stops_nothing_and_its_end_is_told_elsewhere() -> None:
    async with operated() as one:
        await one.begin(Verb.DOWN, Target("10.1.0.1"))
        one.executor.lines(S.SENT)
        await one.screen.press("q", "enter")
        await one.screen.until("setting 10.1.0.1 down · o shows it", "sessions now")
        assert not one.executor.cancelled
        one.executor.end(S.APPLIED)
        await one.screen.until("Set 10.1.0.1 down: ✓ applied", gone=["o shows it"])
        await one.screen.press("o")
        await one.screen.until("Set 10.1.0.1 down", "✓ applied")


async def test_a_plan_whose_ground_has_moved_is_not_begun_and_says_what_moved() -> None:
    outdated = PlanOutdated(("10.1.0.1 vhosts: 100 → 0",))
    async with operated(refuse=outdated) as one:
        one.screen.app.run_plan(one.plan(Verb.DOWN, Target("10.1.0.1")), "")
        await one.screen.until("nothing was sent", "10.1.0.1 vhosts: 100 → 0")


async def test_a_refusal_is_said_and_stays_to_be_read() -> None:
    refused = OperationRefused("another director-tui changes this ring", "wait for it")
    async with operated(refuse=refused) as one:
        one.screen.app.run_plan(one.plan(Verb.DOWN, Target("10.1.0.1")), "", override=True)
        await one.screen.until("nothing was sent", "wait for it")
        assert one.executor.overrides == [True]
        assert "another director-tui changes this ring" in one.screen


async def test_another_cluster_is_not_shown_while_it_runs() -> None:
    async with operated(others={"mail-us": (FakeRing(), {})}) as one:
        await one.begin(Verb.DOWN, Target("10.1.0.1"))
        one.screen.app.switch_cluster("mail-us")
        await one.screen.until("an operation is running on mail-eu")
        assert " mail-eu ·" in one.screen.lines[0]
        one.executor.end(S.APPLIED)
        one.screen.app.switch_cluster("mail-us")
        await one.screen.until(" mail-us ·")
        await one.screen.wait(lambda: one.executor.closed == 1, "the end of what looked at the other")
        await one.screen.press("o")
        await one.screen.until("nothing has been done", gone=["Set 10.1.0.1 down"])


async def test_the_program_is_not_suspended_while_it_runs() -> None:
    async with operated() as one:
        await one.begin(Verb.DOWN, Target("10.1.0.1"))
        await one.screen.press("ctrl+z")
        await one.screen.until("not while an operation runs")


async def test_what_we_changed_is_ours_in_the_feed_and_a_monitor_that_undoes_it_is_told() -> None:
    async with operated() as one:
        await one.begin(Verb.DOWN, Target("10.1.0.1"))
        one.executor.lines(S.SENT)
        one.ring.set("10.1.0.1", state=b"down")
        one.ring.set("10.1.0.2", vhosts=7)
        await one.screen.press("q")
        await one.screen.until("you · set 10.1.0.1 down", "outside this program")
        assert "you" in one.screen.line("up → DOWN")
        assert "outside" in one.screen.line("vhosts 100 → 7")
        one.executor.end(S.APPLIED)
        one.ring.set("10.1.0.1", state=b"up")
        await one.screen.until("after your down: a monitor")
        await one.screen.press("o")
        await one.screen.until("10.1.0.2: vhosts 100 → 7", "10.1.0.1: state down → up")
        assert "· outside" in one.screen.line("10.1.0.2: vhosts 100 → 7")
        assert "outside this program" not in one.screen, "it is said in that row already"
        assert "state up → down" not in one.screen, "what we do ourselves is in the journal as an operation"


async def agree(one: Operated) -> None:
    """Press the button of a plan that sets 10.1.0.1 down, as soon as it can be pressed."""
    await one.screen.press("d")
    await one.screen.until("Set 10.1.0.1 down", "Cancel")
    dialog = one.screen.app.screen
    assert isinstance(dialog, PlanDialog)
    await one.screen.wait(lambda: dialog.may_act, "that it can be agreed to")
    await one.screen.press("right", "enter")
    await one.screen.wait(lambda: bool(one.made), "the executor")


async def test_the_plan_stays_until_it_is_begun_and_gives_way_to_the_operation() -> None:
    async with operated() as one:
        await agree(one)
        await one.screen.until("checking once more", "Cancel")
        one.executor.lines(S.SENT)
        await one.screen.until("running for", "journal", gone=["Cancel"])
        await one.screen.press("q")
        await one.screen.until("setting 10.1.0.1 down", "o shows it")


async def test_the_way_back_leads_to_the_user_who_was_moved() -> None:
    async with operated() as one:
        await one.screen.press("l", *"bob", "enter")
        await one.screen.until("hash")
        await one.screen.press("K")
        await one.screen.until("Kick bob", "Cancel")
        dialog = one.screen.app.screen
        assert isinstance(dialog, PlanDialog)
        await one.screen.wait(lambda: dialog.may_act, "that it can be agreed to")
        await one.screen.press("right", "enter")
        await one.screen.wait(lambda: bool(one.made), "the executor")
        one.executor.lines(S.SENT)
        await one.screen.until("running for", gone=["Cancel"])
        one.executor.end(S.APPLIED)
        await one.screen.until("✓ applied")
        await one.screen.press("q")
        await one.screen.until("bob", "hash", gone=["journal"])
        await one.screen.press("q")
        await one.screen.until("LIVE", "10.1.0.1", gone=["bob"])


async def test_what_is_set_back_is_shown_where_the_journal_is() -> None:
    keep(*written("a"))
    async with operated() as one:
        await one.screen.press("o")
        await one.screen.until("✓ applied")
        await one.screen.press("enter")
        await one.screen.until("last record")
        one.screen.app.run_plan(one.plan(Verb.DOWN, Target("10.1.0.1")), "")
        await one.screen.until("reading the ring")
        assert len(one.screen.app.screen_stack) == 2, "the dashboard and the operations"


async def test_a_plan_with_something_unasked_in_front_of_it_gives_way_when_that_is_gone() -> None:
    async with operated() as one:
        await agree(one)
        in_front = QuestionDialog(Question("ops@dir2", "Password:", secret=True))
        one.screen.app.push_screen(in_front)
        await one.screen.until("ops@dir2")
        one.executor.lines(S.SENT)
        await one.screen.readings(one.ring)
        assert one.screen.app.screen is in_front, "taking it away would be an answer"
        in_front.close_with(None)
        await one.screen.until("running for", gone=["Cancel"])


@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        (PlanOutdated(("10.1.0.1 vhosts: 100 → 0",)), "10.1.0.1 vhosts: 100 → 0"),
        (OperationRefused("another director-tui changes this ring"), "another director-tui changes this ring"),
    ],
)
async def test_what_is_not_begun_is_said_in_its_plan(refuse: DirectorTuiError, said: str) -> None:
    async with operated(refuse=refuse) as one:
        await agree(one)
        await one.screen.until(said, "Plan again", "Cancel")


async def test_nothing_else_is_planned_while_something_runs() -> None:
    async with operated() as one:
        await one.begin(Verb.DOWN, Target("10.1.0.1"))
        one.executor.lines(S.SENT)
        await one.screen.press("q", "u")
        await one.screen.until("one change at a time")


async def test_the_key_for_what_follows_is_shown_where_something_does() -> None:
    async with operated() as one:
        await one.screen.press("o")
        await one.screen.until("e export")
        assert "n next" not in one.screen.lines[-1]
        await one.screen.press("q")
        await one.begin(Verb.DOWN, Target("10.1.0.1"))
        assert "n next" not in one.screen.lines[-1]
        one.executor.end(S.APPLIED)
        await one.screen.until("n next", "Next: flush 10.1.0.1")


async def test_one_command_is_not_counted() -> None:
    async with operated() as one:
        await one.begin(Verb.DOWN, Target("10.1.0.1"))
        one.executor.lines(S.SENT)
        await one.screen.until("running for")
        assert "1 of 1" not in one.screen


async def test_a_read_only_session_has_a_journal_and_no_way_to_change_anything() -> None:
    keep(*written("a"))
    async with operated(read_only=True) as one:
        await one.screen.press("o")
        await one.screen.until("✓ applied", "e export")
        assert "set back" not in one.screen.lines[-1]
        assert "n next" not in one.screen.lines[-1]
        await one.screen.press("b")
        await one.screen.until("read-only")


# The journal


async def test_the_journal_is_shown_newest_first_and_one_entry_whole() -> None:
    keep(
        *written("a"),
        *written(
            "b",
            "down",
            "Set 10.1.0.4 down",
            "10.1.0.4",
            minute=9,
            outcome=Outcome.NOT_APPLIED,
            status=75,
            stderr="Error: \x1b[31m[red]no",
            before={"state": "up"},
            after={"state": "up"},
        ),
    )
    async with operated() as one:
        screen = one.screen
        await screen.press("o")
        await screen.until("Set 10.1.0.4 down", "Set vhost count of 10.1.0.3 to 0")
        newest, older = (line for line in screen.lines if "2026-11-24" in line)
        assert newest.startswith("▸  2026-11-24 02:09:00  ✗ not applied")
        assert older.startswith("   2026-11-24 02:00:00  ✓ applied")
        await screen.press("enter")
        await screen.until("exit status 75", "env TZ=UTC LC_ALL=C doveadm director down 10.1.0.4", "[red]no", "ticket")
        assert "\x1b" not in screen.text
        await screen.press("q")
        await screen.until("time (UTC)")
        await screen.press("j", "enter")
        await screen.until("✓ applied   vhosts 100 → 0", "disk swap, ticket 4711", "ops@dir1", "exit status 0")


async def test_the_journal_can_be_filtered() -> None:
    keep(*written("a"), *written("b", "down", "Set 10.1.0.4 down", "10.1.0.4"))
    async with operated() as one:
        await one.screen.press("o")
        await one.screen.until("Set 10.1.0.4 down")
        await one.screen.press("slash", *"vhost", "enter")
        await one.screen.until("filter “vhost”", "1 hidden", gone=["Set 10.1.0.4 down"])
        await one.screen.press("escape")
        await one.screen.until("Set 10.1.0.4 down", gone=["filter “"])
        await one.screen.press("escape")
        await one.screen.until("nothing has changed since the start")


async def test_what_is_shown_is_exported_for_its_owner_alone() -> None:
    keep(*written("a"), *written("b", "down", "Set 10.1.0.4 down", "10.1.0.4"))
    async with operated() as one:
        await one.screen.press("o", "slash", *"vhost", "enter")
        await one.screen.until("1 hidden")
        await one.screen.press("e")
        await one.screen.until("1 entry of the journal written to")
        (file,) = state_folder("mail-eu").glob("*.md")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        report = file.read_text("utf-8")
        assert "Set vhost count of 10.1.0.3 to 0" in report
        assert "10.1.0.4" not in report


async def test_a_report_that_can_not_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(*written("a"))
    async with operated() as one:
        await one.screen.press("o")
        await one.screen.until("✓ applied")
        monkeypatch.setenv("XDG_STATE_HOME", "/dev/null")
        await one.screen.press("e")
        await one.screen.until("there is no report", "check its owner and mode")


async def test_a_journal_that_can_not_be_read_says_why_and_the_program_goes_on() -> None:
    folder = state_folder("mail-eu")
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").mkdir()
    async with operated() as one:
        await one.screen.press("o")
        await one.screen.until("the journal can't be read", "journal.jsonl")
        one.ring.set("10.1.0.1", vhosts=1)
        await one.screen.until("what is seen to change is not in the journal")
        await one.screen.press("q")
        await one.screen.until("vhosts 100 → 1", "LIVE")


async def test_a_full_disk_is_said_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with operated() as one:
        monkeypatch.setenv("XDG_STATE_HOME", "/dev/full")
        one.ring.set("10.1.0.1", vhosts=1)
        await one.screen.until("what is seen to change is not in the journal")
        one.ring.set("10.1.0.1", vhosts=2)
        await one.screen.until("vhosts 1 → 2")
        await one.screen.readings(one.ring)
        assert one.screen.text.count("not in the journal") == 1
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        one.ring.set("10.1.0.1", vhosts=3)
        await one.screen.press("o")
        await one.screen.until("10.1.0.1: vhosts 2 → 3")


async def test_lines_that_are_no_records_are_said() -> None:
    keep(*written("a"))
    with (state_folder("mail-eu") / "journal.jsonl").open("ab") as file:
        file.write(b'{"time": "torn\n')
    async with operated() as one:
        await one.screen.press("o")
        await one.screen.until("✓ applied", "1 line of", "left out")


# What may follow


async def test_after_vhost_count_0_the_flush_is_the_next_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    async with operated() as one:
        wanted = planned(monkeypatch)
        await one.begin(Verb.UPDATE, Target("10.1.0.1", 0))
        await one.screen.press("n")
        await one.screen.until("nothing follows")
        one.executor.end(S.APPLIED)
        await one.screen.until("Next: flush 10.1.0.1", "n plans it")
        await one.screen.press("n")
        (request,) = wanted
        assert (request.verb, request.ips) == (Verb.FLUSH, ("10.1.0.1",))


async def test_an_entry_is_set_back_by_its_inverse_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(*written("a", before={"vhosts": 80}), *written("b", "remove", "Remove 10.1.0.1", "10.1.0.1"))
    async with operated() as one:
        wanted = planned(monkeypatch)
        await one.screen.press("o")
        await one.screen.until("Remove 10.1.0.1")
        await one.screen.press("b")
        await one.screen.until("comes back by adding it: a")
        await one.screen.press("j", "b")
        (request,) = wanted
        assert (request.verb, request.targets) == (Verb.UPDATE, (Target("10.1.0.3", 80),))
        assert request.because == "sets back a"
        await one.screen.press("enter")
        await one.screen.until("ticket 4711")
        await one.screen.press("b")
        assert wanted == [request, request]


async def test_the_details_of_a_backend_have_its_last_journal_entries() -> None:
    keep(*written("a", ip="10.1.0.1", title="Set vhost count of 10.1.0.1 to 50"), *written("b"))
    async with operated() as one:
        await one.screen.press("enter")
        await one.screen.press("end")
        await one.screen.until("Set vhost count of 10.1.0.1 to 50", "2026-11-24 02:00:00")
        assert "10.1.0.3 to 0" not in one.screen


async def test_nothing_breaks_where_there_is_hardly_any_room() -> None:
    keep(*written("a"))
    async with operated(size=(20, 5)) as one:
        await one.begin(Verb.UPDATE, Target("10.1.0.1", 0), Target("10.1.0.2", 0))
        one.executor.lines(S.SENT)
        await one.screen.until("1 of 2 sent")
        one.executor.end(S.APPLIED)
        await one.screen.until("✓ 2 applied")
        await one.screen.until("▸  02:00:00 Set vho")
