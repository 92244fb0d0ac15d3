"""Plans: what is sent, how it has to be confirmed, what is said, and when there is none."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.director.model import State
from director_tui.errors import ConnectionLost, OperationRefused
from director_tui.link.reading import DirectorView
from director_tui.operations import forecasting
from director_tui.operations.plan import (
    Confirmation,
    Flushed,
    NoUsers,
    Request,
    RowIs,
    RowIsGone,
    SessionsEnded,
    Target,
    UserIsOn,
    Verb,
)
from director_tui.operations.planning import fingerprint, make_plan
from tests.operations.standing import (
    CLUSTER,
    EIGHT,
    GOLD1,
    GOLD2,
    SETTINGS,
    A,
    B,
    C,
    D,
    backend,
    changed,
    of,
    reading,
    ring_of,
    standing,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.director.model import Backend
    from director_tui.link.reading import Reading
    from director_tui.operations.plan import Check, Plan, Standing

NEW = "10.1.0.9"
DRAINED = changed(EIGHT, backend(C, 0, 0))
DRAINING = changed(EIGHT, backend(C, 0, 2_900))
DEAD_GOLD = changed(EIGHT, backend(GOLD1, 0, 900, tag="gold"), backend(GOLD2, 100, 1_100, tag="gold", up=False))
MOVE = Request(Verb.MOVE, (Target(B),), user="jane o'neill", user_hash=4711)
KICK = Request(Verb.KICK, user="jane o'neill")
ADD = Request(Verb.ADD, (Target(NEW),))


# --- what is sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "backends", "title", "lines", "checks"),
    [
        (update(0, C), EIGHT, f"Set vhost count of {C} to 0", [f"update {C} 0"], [RowIs(C, vhosts=0)]),
        (
            update(1000, A, B),
            EIGHT,
            "Set vhost count of 2 backends to 1000",
            [f"update {A} 1000", f"update {B} 1000"],
            [RowIs(A, vhosts=1000), RowIs(B, vhosts=1000)],
        ),
        (
            Request(Verb.UPDATE, (Target(A, 5), Target(B, 6))),
            EIGHT,
            "Set vhost counts of 2 backends",
            [f"update {A} 5", f"update {B} 6"],
            [RowIs(A, vhosts=5), RowIs(B, vhosts=6)],
        ),
        (of(Verb.DOWN, C), EIGHT, f"Set {C} down", [f"down {C}"], [RowIs(C, state=State.DOWN)]),
        (of(Verb.UP, GOLD2), DEAD_GOLD, f"Set {GOLD2} up", [f"up {GOLD2}"], [RowIs(GOLD2, state=State.UP)]),
        (ADD, EIGHT, f"Add {NEW}, vhost count 100", [f"add {NEW} 100"], [RowIs(NEW, tag="", vhosts=100)]),
        (
            Request(Verb.ADD, (Target("2001:DB8:0:0::9", 0),), tag="gold"),
            EIGHT,
            "Add 2001:db8::9 to tag gold, vhost count 0",
            ["add -t gold 2001:db8::9 0"],
            [RowIs("2001:db8::9", tag="gold", vhosts=0)],
        ),
        (of(Verb.REMOVE, C), EIGHT, f"Remove {C}", [f"remove {C}"], [RowIsGone(C)]),
        (of(Verb.FLUSH, C), EIGHT, f"Flush {C}", [f"flush {C}"], [Flushed(C)]),
        (of(Verb.FLUSH, C), DRAINING, f"Flush {C}", [f"flush {C}"], [NoUsers(C)]),
        (
            Request(Verb.FLUSH, (Target(C),), max_parallel=500),
            DRAINING,
            f"Flush {C}",
            [f"flush --max-parallel 500 {C}"],
            [NoUsers(C)],
        ),
        (of(Verb.FORGET_USERS, C), EIGHT, f"Force a flush of {C}", [f"flush -F {C}"], [Flushed(C)]),
        (of(Verb.FORGET_USERS, C), DRAINING, f"Force a flush of {C}", [f"flush -F {C}"], [NoUsers(C)]),
        (Request(Verb.FLUSH_ALL, max_parallel=7), EIGHT, "Flush all", ["flush --max-parallel 7 all"], [Flushed(None)]),
        (MOVE, EIGHT, f"Move jane o'neill to {B}", [f"""move -- 'jane o'"'"'neill' {B}"""], [UserIsOn(4711, "", B)]),
        (
            replace(MOVE, targets=(Target(GOLD1),)),
            EIGHT,
            f"Move jane o'neill to {GOLD1}",
            [f"""move -- 'jane o'"'"'neill' {GOLD1}"""],
            [UserIsOn(4711, "gold", GOLD1)],
        ),
        (KICK, EIGHT, "Kick jane o'neill", ["""kick -- 'jane o'"'"'neill'"""], [SessionsEnded("jane o'neill")]),
    ],
)
def test_the_exact_commands_and_their_proofs(
    request_: Request, backends: tuple[Backend, ...], title: str, lines: list[str], checks: list[Check]
) -> None:
    plan = make_plan(request_, standing(backends))
    assert (plan.title, plan.director, plan.cluster) == (title, "dir1", "mail-eu")
    assert plan.command_lines == tuple(f"env TZ=UTC LC_ALL=C sudo -n doveadm director {line}" for line in lines)
    assert [one.check for one in plan.commands] == checks
    assert all(one.call.changes for one in plan.commands)


def test_commands_run_on_the_director_in_use_in_its_own_words() -> None:
    told = reading()
    assert told.snapshot is not None
    second = replace(CLUSTER.directors[1], doveadm=("doveadm", "-c", "/etc/two words.conf"))
    cluster = replace(CLUSTER, directors=(CLUSTER.directors[0], second))
    on_second = replace(told, snapshot=replace(told.snapshot, director="dir2"))
    plan = make_plan(update(0, C), replace(standing(on=on_second), cluster=cluster))
    assert plan.director == "dir2"
    (line,) = plan.command_lines
    assert line == f"env TZ=UTC LC_ALL=C doveadm -c '/etc/two words.conf' director update {C} 0"
    with pytest.raises(OperationRefused, match="dir2 is no director of mail-eu"):
        make_plan(
            update(0, C), replace(standing(on=on_second), cluster=replace(cluster, directors=cluster.directors[:1]))
        )


def test_each_target_now_and_after() -> None:
    plan = make_plan(update(7, C, A), standing())
    assert [(row.ip, row.now and row.now.vhosts, row.after and row.after.vhosts) for row in plan.rows] == [
        (C, 100, 7),
        (A, 100, 7),
    ]
    (row,) = make_plan(ADD, standing()).rows
    assert (row.now, row.after) == (None, backend(NEW))
    (row,) = make_plan(of(Verb.REMOVE, C), standing()).rows
    assert (row.now, row.after) == (backend(C, users=2_900), None)


def test_targets_that_are_so_already_stay_named_and_get_no_command() -> None:
    plan = make_plan(update(0, A, C), standing(DRAINING))
    assert plan.title == "Set vhost count of 2 backends to 0"
    assert [row.ip for row in plan.rows] == [A, C]
    assert [one.target for one in plan.commands] == [A]
    assert f"{C} has vhost count 0 already: no command for it" in plan.notes


def test_what_a_director_says_otherwise_is_not_so_already() -> None:
    plan = make_plan(update(0, C), standing(on=reading(DRAINING, elsewhere={"dir3": EIGHT})))
    assert [one.target for one in plan.commands] == [C]


def test_the_first_of_two_rows_is_the_one_that_commands_reach() -> None:
    twice = (*EIGHT, backend(C, 50))
    plan = make_plan(update(0, C), standing(twice))
    assert f"{C} is listed twice: commands reach the first row only" in plan.warnings
    assert plan.prediction is not None
    (there,) = [one for one in plan.prediction.forecasts if one.ip == C]
    assert there.share_after > 0


# --- when there is none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (update(1001, C), "1001 is no vhost count: it is 0 to 1000"),
        (update(-1, C), "-1 is no vhost count"),
        (Request(Verb.UPDATE, (Target(C),)), "no vhost count was given"),
        (Request(Verb.UPDATE, (Target(C, 1), Target(C, 2))), f"{C} is named twice"),
        (update(0, "mail-01"), "mail-01 is no IP address"),
        (update(0, "10.1.0.3\x1b[31m"), "10.1.0.3\ufffd.31m is no IP address"),
        (update(0, ""), "nothing is no IP address"),
        (update(0, NEW), f"{NEW} is not listed by dir1"),
        (Request(Verb.UPDATE), "no backend is named"),
        (Request(Verb.FLUSH_ALL, (Target(A),)), "not to be named"),
        (of(Verb.UP, C), f"nothing to do: {C} is up already"),
        (update(100, A, B), f"nothing to do: {A} and {B} have vhost count 100 already"),
        (update(100, A, B, C, D, GOLD1), f"nothing to do: {A}, {B}, {C} and 2 more have vhost count 100 already"),
        (Request(Verb.ADD, (Target(C),)), f"{C} exists; use v"),
        (replace(ADD, tag="a@b"), "has an @ in it"),
        (replace(ADD, tag="a\tb"), "control character"),
        (replace(ADD, targets=(Target(NEW, 1001),)), "1001 is no vhost count"),
        (Request(Verb.FLUSH, (Target(C),), max_parallel=0), "the number of users moved at a time is 1 to"),
        (replace(MOVE, targets=(Target(A), Target(B))), "to one backend"),
        (replace(MOVE, user_hash=None), "by the hash"),
        (replace(MOVE, user="a\nb"), "control character"),
        (replace(KICK, user=""), "the user name is empty"),
        (replace(KICK, targets=(Target(A),)), "not to be named"),
    ],
)
def test_what_is_refused_and_why(request_: Request, why: str) -> None:
    with pytest.raises(OperationRefused, match=why):
        make_plan(request_, standing())
    with pytest.raises(OperationRefused, match=why):
        fingerprint(request_, standing())


# --- how it has to be confirmed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "stands"),
    [
        (update(0, C), standing()),
        (update(0, A, GOLD1), standing()),  # half of no tag
        (of(Verb.DOWN, GOLD1), standing()),  # 46 %
        (of(Verb.UP, GOLD2), standing(DEAD_GOLD)),
        (update(0, GOLD1), standing(changed(EIGHT, backend(GOLD2, 900, tag="gold")))),
        (of(Verb.FLUSH, C), standing()),
        (of(Verb.REMOVE, C), standing(DRAINED, sessions={C: 0})),
        (ADD, standing()),
        (MOVE, standing()),
        (KICK, standing()),
    ],
)
def test_a_button_is_enough(request_: Request, stands: Standing) -> None:
    plan = make_plan(request_, stands)
    assert (plan.confirmation, plan.raised_by) == (Confirmation.PLAIN, ())


@pytest.mark.parametrize(
    ("request_", "stands", "why"),
    [
        (update(0, GOLD1, GOLD2), standing(), "no usable backend of tag gold"),
        (
            of(Verb.DOWN, GOLD1),
            standing(changed(EIGHT, backend(GOLD2, 0, tag="gold"))),
            "no usable backend of tag gold",
        ),
        (of(Verb.REMOVE, *(A, B, C, D)), standing(EIGHT[:4]), "it leaves no usable backend"),
        (update(0, GOLD2), standing(), "takes 53.7 % of the new users of tag gold elsewhere at once"),
        (update(0, A, B, C), standing(), "takes 72.3 % of the new users without a tag elsewhere at once"),
        (update(1000, C), standing(), "draws .* % of the new users"),
        (Request(Verb.ADD, (Target(NEW, 900),)), standing(EIGHT[:4]), "draws .* % of the new users at once"),
        (update(0, C), standing(on=reading(unsynced=["dir3"])), "the ring is not synced .dir3."),
        (KICK, standing(on=reading(unsynced=["dir1", "dir3"])), "the ring is not synced .dir1 and dir3."),
        (update(0, C), standing(on=reading(elsewhere={"dir2": DRAINING})), f"the directors disagree about {C}"),
        (of(Verb.FLUSH, A, C), standing(), "it flushes 2 backends"),
        (of(Verb.FLUSH, GOLD1), standing(DEAD_GOLD), "no usable backend of tag gold is there"),
        (of(Verb.FORGET_USERS, A, C), standing(), "it forces 2 backends"),
        (of(Verb.REMOVE, A, C), standing(), "it removes 2 backends"),
        (of(Verb.REMOVE, C), standing(DRAINED), "whether sessions are left is not known"),
        (of(Verb.REMOVE, C), standing(DRAINED, sessions={A: 0}), "whether sessions are left is not known"),
        (of(Verb.REMOVE, C), standing(DRAINED, sessions={C: 1}), "there are sessions to 10.1.0.3 .1 session."),
        (of(Verb.REMOVE, C), standing(DRAINING, sessions={C: 0}), "there are users on 10.1.0.3 .2,900 users."),
    ],
)
def test_what_raises_it_to_the_name_typed(request_: Request, stands: Standing, why: str) -> None:
    plan = make_plan(request_, stands)
    assert plan.confirmation is Confirmation.TYPED
    assert any(re.search(why, reason) for reason in plan.raised_by), plan.raised_by


@pytest.mark.parametrize("request_", [of(Verb.FORGET_USERS, C), Request(Verb.FLUSH_ALL)])
def test_what_is_always_confirmed_by_the_name(request_: Request) -> None:
    plan = make_plan(request_, standing())
    assert (plan.confirmation, plan.raised_by) == (Confirmation.TYPED, ())


def test_a_ring_whose_state_was_never_read_is_not_taken_for_synced() -> None:
    told = reading()
    assert told.snapshot is not None
    unread = replace(told, snapshot=replace(told.snapshot, ring=None))
    assert make_plan(update(0, C), standing(on=unread)).raised_by == ("whether the ring is synced is not known",)


def test_the_newest_word_of_the_director_in_use_counts() -> None:
    late = reading(unsynced=["dir1"])
    assert late.snapshot is not None
    settled = replace(late, snapshot=replace(late.snapshot, ring=ring_of("dir1")))
    assert make_plan(update(0, C), standing(on=settled)).confirmation is Confirmation.PLAIN


# --- what is said ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "stands", "expected"),
    [
        (
            update(0, GOLD1, GOLD2),
            standing(),
            [
                f"{GOLD1} and {GOLD2} are the last usable backends of tag gold: "
                "logins of tag gold will hang 30 s and fail"
            ],
        ),
        (
            of(Verb.DOWN, A),
            standing(EIGHT[:1]),
            [f"{A} is the last usable backend: logins will hang 30 s and fail"],
        ),
        (update(0, C), standing(capacity=3_900), [f"{D} would have ≈ 3,989 users, it can carry 3,900"]),
        (
            of(Verb.DOWN, C),
            standing(monitor="poolmon"),
            ["poolmon may set it up again by itself: use vhost count 0 for maintenance"],
        ),
        (
            of(Verb.UP, GOLD2),
            standing(DEAD_GOLD, monitor="dovemon"),
            ["dovemon sets it down again by itself if it finds it not well"],
        ),
        (
            update(0, C),
            standing(on=reading(unsynced=["dir2"])),
            ["the ring is not synced (dir2): the commands will wait up to 30 s for it, and may time out"],
        ),
        (of(Verb.FLUSH, C), standing(on=reading(unsynced=["dir2"])), ["the ring is not synced (dir2)"]),
        (
            update(0, C),
            standing(on=reading(settings=None)),
            ["the directors' settings are not known: shares are as of Dovecot 2.3, times as it has them by default"],
        ),
        (
            of(Verb.REMOVE, C),
            standing(DRAINING, sessions={C: 12}),
            [
                f"2,900 users are still assigned to {C}: their mailboxes could be open in two places",
                f"12 sessions to {C} would go on: their mailboxes could be open in two places",
            ],
        ),
        (
            update(0, C),
            standing(on=reading(elsewhere={"dir2": DRAINING})),
            [f"the directors disagree about {C}: vhosts 100 up on dir1 and dir3, vhosts 0 up on dir2"],
        ),
        (
            update(0, A),
            standing(on=reading(elsewhere={"dir2": DRAINING, "dir3": EIGHT[1:]})),
            [
                f"the directors disagree about {A}: vhosts 100 up on dir1 and dir2, not listed on dir3",
                f"the directors disagree about {C}, by which users are shared out: "
                "vhosts 100 up on dir1 and dir3, vhosts 0 up on dir2",
            ],
        ),
        (update(0, GOLD1), standing(on=reading(elsewhere={"dir2": DRAINING})), []),
        (
            update(0, A),
            standing(on=reading(elsewhere={"dir2": changed(EIGHT, backend(C, tag="gold"))})),
            [
                f"the directors disagree about {C}, by which users are shared out: "
                "vhosts 100 up no tag on dir1 and dir3, vhosts 100 up tag gold on dir2"
            ],
        ),
        (of(Verb.FORGET_USERS, C), standing(), ["-F ends no session: a user can be on two backends at once"]),
        (Request(Verb.FLUSH_ALL), standing(), ["it goes through all backends of all 2 tags and undoes moves by hand"]),
        (
            replace(MOVE, targets=(Target(GOLD1),)),
            standing(),
            [f"{GOLD1} has tag gold, the user has no tag: logins will not go there"],
        ),
        (
            replace(MOVE, targets=(Target(C),)),
            standing(DRAINING),
            [f"{C} is draining: new users are kept away from it, this one would be sent there"],
        ),
        (
            replace(ADD, tag="silver"),
            standing(),
            ["there is no other backend of tag silver: only users whose passdb says so go there"],
        ),
    ],
)
def test_warnings(request_: Request, stands: Standing, expected: list[str]) -> None:
    assert list(make_plan(request_, stands).warnings) == expected


def test_members_that_nobody_sees_are_named() -> None:
    told = reading()
    silent = DirectorView("dir3", failure=ConnectionLost("dir3: gone"), known_as=("10.0.0.13", 9090))
    (only,) = make_plan(update(0, C), standing(on=replace(told, views=(*told.views[:2], silent)))).warnings
    assert only == "dir3 can't be read: what becomes of it there is not seen"
    (only,) = make_plan(update(0, C), standing(on=replace(told, views=told.views[:2]))).warnings
    assert only == "no destination is configured for 10.0.0.13: what becomes of it there is not seen"


def test_a_flush_of_a_tag_without_a_usable_backend_lets_all_users_through_at_once_and_says_so() -> None:
    plan = make_plan(Request(Verb.FLUSH, (Target(GOLD1), Target(GOLD2)), max_parallel=50), standing(DEAD_GOLD))
    assert plan.request.max_parallel == 2_200
    assert [line.rpartition("director ")[2] for line in plan.command_lines] == [
        f"flush --max-parallel 2200 {GOLD1}",
        f"flush --max-parallel 2200 {GOLD2}",
    ]
    assert plan.warnings == (
        "no backend of tag gold is usable: its users are thrown out, and logins of tag gold hang 30 s and fail",
        "sessions end only on the director that runs this; those through the other directors stay, although all of "
        "them then show no users",
        "each round of it takes 30 s: --max-parallel 2200 is set, so that all 2,000 users are in the first",
    )
    assert plan.prediction is not None
    assert plan.prediction.stranded == 2_000
    more = make_plan(Request(Verb.FLUSH, (Target(GOLD1),), max_parallel=5_000), standing(DEAD_GOLD))
    assert more.request.max_parallel == 5_000
    everything = make_plan(Request(Verb.FLUSH_ALL), standing(DEAD_GOLD))
    assert everything.request.max_parallel == 2_200
    usual = make_plan(of(Verb.FLUSH, C), standing(DRAINING))
    assert usual.request.max_parallel is None


def of_version(backends: Iterable[Backend], *version: int) -> Standing:
    return standing(on=reading(backends, settings=replace(SETTINGS, version=version)))


@pytest.mark.parametrize("request_", [of(Verb.FLUSH, GOLD1), Request(Verb.FLUSH_ALL)], ids=["one", "all"])
def test_a_director_that_would_crash_is_not_asked_to_flush_to_nowhere(request_: Request) -> None:
    for old in ((2, 2, 19), (2, 2, 32)):
        with pytest.raises(OperationRefused, match=r"no backend of tag gold is usable: a director of .* crashes"):
            make_plan(request_, of_version(DEAD_GOLD, *old))
        assert make_plan(of(Verb.FLUSH, C), of_version(DRAINING, *old)).command_lines
        assert make_plan(of(Verb.FORGET_USERS, GOLD1), of_version(DEAD_GOLD, *old)).command_lines
    for new in ((2, 2, 33), (2, 3, 0, 1), ()):
        assert make_plan(request_, of_version(DEAD_GOLD, *new)).request.max_parallel


def test_a_kick_that_would_break_the_ring_is_not_asked_for() -> None:
    kick = Request(Verb.KICK, user="joe", user_hash=1)
    for broken in ((2, 2, 26), (2, 2, 26, 0), (2, 2, 27)):
        with pytest.raises(OperationRefused, match=r"^a kick breaks the ring of Dovecot .* for a minute$"):
            make_plan(kick, of_version(EIGHT, *broken))
    for whole in ((2, 2, 19), (2, 2, 25, 4), (2, 2, 28), (2, 3, 21), ()):
        assert make_plan(kick, of_version(EIGHT, *whole)).command_lines


def test_before_2_2_26_a_flush_has_no_pace() -> None:
    paced = Request(Verb.FLUSH, (Target(C),), max_parallel=500)
    with pytest.raises(OperationRefused, match=r"Dovecot 2\.2\.25\.4 has no --max-parallel, and moves all"):
        make_plan(paced, of_version(DRAINING, 2, 2, 25, 4))
    plan = make_plan(of(Verb.FLUSH, C), of_version(DRAINING, 2, 2, 19))
    assert plan.prediction is not None
    assert plan.prediction.at_once == "users whose hash leads elsewhere begin to move, all at once; their sessions end"
    assert plan.prediction.later.endswith(", in about 2 s")
    newer = make_plan(paced, of_version(DRAINING, 2, 2, 26))
    assert newer.request.max_parallel == 500
    assert newer.prediction is not None
    assert newer.prediction.at_once.endswith("begin to move, 500 at a time; their sessions end")


@pytest.mark.parametrize(
    ("request_", "stands", "expected"),
    [
        (
            update(0, C),
            standing(),
            [
                f"users already on {C} stay until they are flushed or 15 min after their last session",
                "it lasts until all directors are stopped at the same time: then every backend starts up, "
                "with vhost count 100",
            ],
        ),
        (
            update(0, C),
            standing(on=reading(settings=replace(SETTINGS, user_expire_s=5400.0))),
            [f"users already on {C} stay until they are flushed or 1 h 30 min after their last session", "it lasts"],
        ),
        (
            update(100, C),
            standing(DRAINED),
            [
                "users already elsewhere stay until they are flushed or 15 min after their last session: "
                "it fills up slowly"
            ],
        ),
        (
            update(50, GOLD2),
            standing(DEAD_GOLD),
            [
                f"users already on {GOLD2} stay until they are flushed or 15 min after their last session",
                f"{GOLD2}: down, so no new users come before up, too",
                "it lasts",
            ],
        ),
        (
            of(Verb.UP, C),
            standing(changed(EIGHT, backend(C, 0, up=False))),
            [f"{C}: with vhost count 0 no new users come before that is set, too", "it lasts"],
        ),
        (
            replace(ADD, tag="gold"),
            standing(),
            [
                "users who are assigned stay where they are; flush all would spread them",
                "a restart of the whole ring loses it unless it is written down on every director: "
                f"director_mail_servers = {A}-{D} {GOLD1}@gold {GOLD2}@gold {NEW}@gold",
            ],
        ),
        (
            Request(Verb.ADD, (Target(NEW, 50),)),
            standing(on=reading(settings=None)),
            [
                "users who are assigned",
                "a restart of the whole ring loses it unless it is written to director_mail_servers on every director",
            ],
        ),
        (
            Request(Verb.ADD, (Target(C, 50),)),
            standing(EIGHT[:2]),
            ["users who are assigned", "after a restart of the whole ring its vhost count is 100"],
        ),
        (
            of(Verb.REMOVE, C),
            standing(DRAINED, sessions={C: 0}),
            [f"a restart of the whole ring brings it back: {C} stands in director_mail_servers, as {A}-{D}"],
        ),
        (of(Verb.REMOVE, NEW), standing((*EIGHT, backend(NEW))), []),
        (
            of(Verb.FLUSH, C),
            standing(),
            ["users whose hash leads to where they are stay there", "once begun it can't be cancelled"],
        ),
        (MOVE, standing(), ["it lasts as long as the assignment: 15 min after their last session the hash decides"]),
        (KICK, standing(), ["the assignment stays, and the user can log in again at once"]),
    ],
)
def test_notes(request_: Request, stands: Standing, expected: list[str]) -> None:
    notes = make_plan(request_, stands).notes
    assert len(notes) == len(expected), notes
    assert all(note.startswith(beginning) for note, beginning in zip(notes, expected, strict=True)), notes


def test_nothing_from_outside_reaches_a_sentence_as_it_is() -> None:
    hostile = "x‮y" * 30
    plan = make_plan(replace(KICK, user="joe‮"), standing())
    assert plan.title == "Kick joe�"
    plan = make_plan(replace(ADD, tag=hostile), standing())
    assert all(text.isprintable() for text in (plan.title, *plan.warnings, *plan.notes))


# --- whether it still holds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "later", "changes"),
    [
        (update(0, C), reading(changed(EIGHT, backend(C, 50, 2_900))), [f"{C} vhosts: 100 → 50"]),
        (
            update(0, C),
            reading(changed(EIGHT, backend(C, 100, 2_900, up=False))),
            [f"{C} state: up → down"],
        ),
        (update(0, C), reading(changed(EIGHT, backend(A, 50))), [f"{A}: vhosts 100 → vhosts 50"]),
        (update(0, C), reading(changed(EIGHT, backend(A, 0))), [f"{A}: vhosts 100 → not usable"]),
        (update(0, C), reading(EIGHT[1:]), [f"{A}: vhosts 100 → not usable"]),
        (update(0, C), reading((*EIGHT, backend(NEW, 30))), [f"{NEW}: not usable → vhosts 30"]),
        (update(0, C), reading((*EIGHT, backend(NEW, 0))), []),
        (update(0, C), reading(changed(EIGHT, backend(GOLD1, 0, tag="gold"))), []),
        (update(0, C), reading(changed(EIGHT, backend(C, 100, 77), backend(A, users=1))), []),
        (
            update(0, C),
            reading(unsynced=["dir2"]),
            ["ring: synced → the ring is not synced (dir2)", "confirmation: plain → typed"],
        ),
        (
            update(0, C),
            reading(elsewhere={"dir2": DRAINING}),
            [
                f"{C} on the directors: the same → vhosts 100 up on dir1 and dir3, vhosts 0 up on dir2",
                "confirmation: plain → typed",
            ],
        ),
        (
            Request(Verb.FLUSH_ALL),
            reading(changed(EIGHT, backend(GOLD1, 7, tag="gold"))),
            [f"{GOLD1}: vhosts 100 → vhosts 7"],
        ),
        (
            update(0, A),
            reading(elsewhere={"dir2": DRAINING}),
            [
                "the other backends on the directors: the same → "
                f"{C} vhosts 100 up on dir1 and dir3, vhosts 0 up on dir2"
            ],
        ),
        (update(0, GOLD1), reading(elsewhere={"dir2": DRAINING}), []),
        (KICK, reading(elsewhere={"dir2": DRAINING}), []),
        (KICK, reading(DRAINING), []),
        (ADD, reading(DRAINING), [f"{C}: vhosts 100 → not usable"]),
    ],
)
def test_what_changed_since_it_was_looked_at(request_: Request, later: Reading, changes: list[str]) -> None:
    before = fingerprint(request_, standing())
    assert before == make_plan(request_, standing()).fingerprint
    after = fingerprint(request_, standing(on=later))
    assert list(before.changes_to(after)) == changes
    assert (before == after) is not bool(changes)


def test_a_target_that_came_back_with_another_tag_is_another_target() -> None:
    before = fingerprint(update(0, C), standing())
    after = fingerprint(update(0, C), standing(changed(EIGHT, backend(C, tag="gold"))))
    assert f"{C} tag: none → gold" in before.changes_to(after)


def test_another_director_is_another_plan() -> None:
    told = reading()
    assert told.snapshot is not None
    later = replace(told, snapshot=replace(told.snapshot, director="dir2"))
    before = fingerprint(KICK, standing())
    assert before.changes_to(fingerprint(KICK, standing(on=later))) == ("director in use: dir1 → dir2",)


def test_who_is_left_on_a_backend_changes_how_its_removal_is_confirmed() -> None:
    request = of(Verb.REMOVE, C)
    before = fingerprint(request, standing(DRAINED, sessions={C: 0}))
    after = fingerprint(request, standing(DRAINED, sessions={C: 2}))
    assert before.changes_to(after) == ("confirmation: plain → typed",)


def test_a_fingerprint_predicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def too_slow(*_: object, **__: object) -> None:
        raise AssertionError("a fingerprint is made at each reading")

    monkeypatch.setattr(forecasting, "predicted_moves", too_slow)
    fingerprint(update(0, C), standing())


def test_a_move_that_could_not_be_looked_for_afterwards_is_refused() -> None:
    """The tag was cleaned when it was read, so a director would be asked for another one."""
    odd = standing(changed(EIGHT, backend(B, tag="go\N{REPLACEMENT CHARACTER}ld")))
    with pytest.raises(OperationRefused, match="can't be sent to a director"):
        make_plan(MOVE, odd)


ANY_BACKENDS = st.lists(
    st.builds(
        backend,
        st.integers(1, 12).map(lambda number: f"10.1.0.{number}"),
        st.sampled_from([0, 1, 50, 100, 1000]),
        st.integers(0, 5000),
        tag=st.sampled_from(["", "gold"]),
        up=st.booleans(),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one.ip,
)


@given(ANY_BACKENDS, st.sampled_from(sorted(set(Verb) - {Verb.MOVE, Verb.KICK}, key=str)), st.data())
def test_every_plan_is_whole(backends: list[Backend], verb: Verb, data: st.DataObject) -> None:
    some_ips = st.lists(st.sampled_from([*(one.ip for one in backends), NEW]), min_size=1, max_size=4, unique=True)
    ips = data.draw(some_ips) if verb is not Verb.FLUSH_ALL else []
    request = Request(verb, tuple(Target(ip, data.draw(st.integers(0, 1000))) for ip in ips))
    stands = standing(backends)
    try:
        plan = make_plan(request, stands)
    except OperationRefused:
        return
    assert plan.commands
    assert len(plan.commands) == len(plan.command_lines)
    assert [row.ip for row in plan.rows] == ips
    assert plan.raised_by == () or plan.confirmation is Confirmation.TYPED
    assert plan.fingerprint == fingerprint(request, stands)
    prediction = plan.prediction
    assert prediction is not None
    rows = {one.ip: one for one in backends}
    after = {one.ip: one for one in backends_after(plan, rows)}
    known = [one for one in prediction.forecasts if one.users_after is not None]
    if len(known) == len(prediction.forecasts):
        moved = sum(one.users_now for one in known)
        assert moved == sum(one.users_after or 0 for one in known) + prediction.stranded
    for one in known:
        if one.users_after is not None and one.users_after > one.users_now:
            assert after[one.ip].usable, "nobody goes to a backend that takes no users"
            losing = {
                other.tag for other in known if other.users_after is not None and other.users_after < other.users_now
            }
            assert one.tag in losing, "nobody comes from another tag"


def backends_after(plan: Plan, rows: dict[str, Backend]) -> Iterable[Backend]:
    """The backends as the plan's rows say they would be."""
    becoming = {row.ip: row.after for row in plan.rows}
    every = {**rows, **becoming}
    return [one for one in every.values() if one is not None]


def test_the_first_backend_to_come_back_is_said_to_be_sent_everyone() -> None:
    stopped = tuple(replace(one, vhosts=0) for one in EIGHT)
    plan = make_plan(update(100, A), standing(stopped))
    (warning,) = [one for one in plan.warnings if "is sent to" in one]
    others = sum(one.tag == "" for one in EIGHT) - 1
    assert f"is sent to {A}, for {others} others are at 0; after an emergency stop R gives" in warning
    assert not any("is sent to" in one for one in make_plan(update(50, A), standing()).warnings)
    (one, *_) = [each for each in EIGHT if each.tag == ""]
    assert not any(
        "is sent to" in each for each in make_plan(update(9, one.ip), standing((replace(one, vhosts=0),))).warnings
    )
