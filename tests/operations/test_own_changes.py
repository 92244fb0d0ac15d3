"""Which changes of the ring are called ours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from director_tui.director import doveadm
from director_tui.director.changes import Change, Subject
from director_tui.director.model import State
from director_tui.operations.own_changes import SEEN_WITHIN_S, OwnChanges
from director_tui.operations.plan import (
    Check,
    Command,
    Confirmation,
    Fingerprint,
    NoUsers,
    Outcome,
    Plan,
    Request,
    RowIs,
    RowIsGone,
    Verb,
)
from director_tui.operations.progress import LATER_LIMIT_S, Line, LineStatus, Phase, Progress

AT = datetime(2026, 11, 24, 3, tzinfo=UTC)
TITLE = "Set it"


def operation(verb: Verb, *checks: Check, sent: int = 1000, id: str = "a") -> Progress:
    """An operation of which the first commands have been sent."""
    commands = tuple(Command("10.1.0.1", doveadm.up("10.1.0.1"), check) for check in checks)
    plan = Plan(
        *(Request(verb), "mail-eu", TITLE, "dir1", commands, (), (), None, (), (), Confirmation.PLAIN, ()),
        fingerprint=Fingerprint({}),
    )
    lines = tuple(
        Line("10.1.0.1", "", LineStatus.SENT, sent_mono_s=0.0) if number < sent else Line("10.1.0.1", "")
        for number, _ in enumerate(commands)
    )
    return Progress(id, plan, "", AT, 0.0, lines, Phase.RUNNING)


def vhosts(ip: str, before: str, after: str) -> Change:
    return Change(AT, Subject.VHOSTS, ip, before, after)


def whose(own: OwnChanges, *changes: Change, now_s: float = 0.0) -> list[str]:
    return [one.by for one in own.mark(changes, now_s)]


def test_what_a_sent_command_changes_is_ours_and_what_none_changes_is_not() -> None:
    own = OwnChanges()
    own.follow(operation(Verb.UPDATE, RowIs("10.1.0.1", vhosts=0), RowIs("10.1.0.2", vhosts=0), sent=1), 0.0)
    changes = [vhosts("10.1.0.1", "100", "0"), vhosts("10.1.0.2", "100", "0"), vhosts("10.1.0.1", "100", "5")]
    assert whose(own, *changes) == [TITLE, "", ""]
    assert own.mark(changes, 0.0)[0] == changes[0], "it is ours once; the next time somebody else did the same"


def test_what_is_a_part_of_a_clean_removal_says_so() -> None:
    for because, by in (
        ("clean removal of 10.1.0.1, step 2 of 8", "clean removal, step 2 of 8"),
        ("backing out of the clean removal of 2001:db8::1", "backing out of the clean removal"),
        ("sets back 20261124-030000-3fa9c1", TITLE),
    ):
        own, progress = OwnChanges(), operation(Verb.UPDATE, RowIs("10.1.0.1", vhosts=0))
        request = replace(progress.plan.request, because=because)
        own.follow(replace(progress, plan=replace(progress.plan, request=request)), 0.0)
        assert whose(own, vhosts("10.1.0.1", "100", "0")) == [by]


def test_what_was_planned_and_never_sent_is_not_ours_when_somebody_else_does_it() -> None:
    stopped = operation(Verb.UPDATE, RowIs("10.1.0.1", vhosts=0), RowIs("10.1.0.2", vhosts=0), sent=1)
    sent, pending = stopped.lines
    lines = (
        replace(sent, status=LineStatus.NOT_APPLIED),
        replace(pending, status=LineStatus.NOT_APPLIED, note="not sent"),
    )
    own = OwnChanges()
    own.follow(replace(stopped, phase=Phase.ENDED, lines=lines), 0.0)
    assert whose(own, vhosts("10.1.0.2", "100", "0"), vhosts("10.1.0.1", "100", "0")) == ["", TITLE]


def test_every_verb_is_recognised_by_what_it_changes() -> None:
    own = OwnChanges()
    own.follow(operation(Verb.DOWN, RowIs("10.1.0.1", state=State.DOWN), id="down"), 0.0)
    own.follow(operation(Verb.ADD, RowIs("10.1.0.9", tag="", vhosts=50), id="add"), 0.0)
    own.follow(operation(Verb.REMOVE, RowIsGone("10.1.0.2"), id="remove"), 0.0)
    own.follow(operation(Verb.FLUSH, NoUsers("10.1.0.3"), id="flush"), 0.0)
    ours = [
        Change(AT, Subject.STATE, "10.1.0.1", "up", "down"),
        Change(AT, Subject.BACKEND, "10.1.0.9", "", "added with vhost count 50"),
        Change(AT, Subject.BACKEND, "10.1.0.2", "", "removed"),
    ]
    theirs = [
        Change(AT, Subject.STATE, "10.1.0.1", "down", "up"),
        vhosts("10.1.0.9", "100", "50"),
        Change(AT, Subject.BACKEND, "10.1.0.3", "", "removed"),
        Change(AT, Subject.RING, "ring", "synced", "not synced"),
    ]
    assert whose(own, *theirs, *ours) == ["", "", "", "", TITLE, TITLE, TITLE]


def test_what_a_director_held_back_may_be_seen_a_while_after_the_end_and_no_longer() -> None:
    running = operation(Verb.UPDATE, RowIs("10.1.0.1", vhosts=0))
    ended = replace(running, phase=Phase.ENDED)
    for late_s, by in ((SEEN_WITHIN_S, TITLE), (SEEN_WITHIN_S + 1, "")):
        own = OwnChanges()
        own.follow(running, 0.0)
        assert whose(own, now_s=10_000.0) == [], "a running one is never forgotten"
        own.follow(ended, 10_000.0)
        own.follow(ended, 10_050.0)
        assert whose(own, vhosts("10.1.0.1", "100", "0"), now_s=10_000.0 + late_s) == [by]


def test_what_is_unknown_is_ours_for_as_long_as_it_may_come_true() -> None:
    running = operation(Verb.UPDATE, RowIs("10.1.0.1", vhosts=0))
    unknown = replace(running, phase=Phase.ENDED, outcome=Outcome.UNKNOWN)
    seen = vhosts("10.1.0.1", "100", "0")
    for late_s, by in ((LATER_LIMIT_S, TITLE), (LATER_LIMIT_S + SEEN_WITHIN_S + 1, "")):
        own = OwnChanges()
        own.follow(running, 0.0)
        own.follow(unknown, 10.0)
        assert whose(own, seen, now_s=10.0 + late_s) == [by]
    # It may be looked at again, and known, just before the change is seen.
    own = OwnChanges()
    own.follow(unknown, 0.0)
    own.follow(replace(unknown, outcome=Outcome.APPLIED), LATER_LIMIT_S)
    assert whose(own, seen, now_s=LATER_LIMIT_S + SEEN_WITHIN_S) == [TITLE]
