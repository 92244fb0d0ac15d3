"""The first step of a clean removal, how users leave, and what is said of the configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from director_tui.config import BackendAccess
from director_tui.director.model import State
from director_tui.errors import ConnectionLost
from director_tui.operations.gate import Circumstances
from director_tui.operations.removal import BackendSeen, Ending, Removal, end
from director_tui.operations.removal_check import Checkup, check_up
from director_tui.operations.removal_configuration import configuration
from director_tui.operations.removal_progress import Leaving
from director_tui.operations.unseen_flush import UnseenFlush
from tests.operations.standing import CLUSTER, EIGHT, GOLD1, GOLD2, NOON, A, B, backend, changed, reading, standing

if TYPE_CHECKING:
    from director_tui.operations.plan import Standing

ACCESS = BackendAccess("ops@{ip}")
UNFINISHED = Removal("mail-eu", A, "", 100, State.UP, True, None, True, NOON, "eva", "admin-1")


def checked(ip: str = A, on: Standing | None = None, **now: object) -> Checkup:
    on = on if on is not None else standing()
    on = replace(on, cluster=replace(on.cluster, backends=ACCESS))
    return check_up(ip, on, replace(Circumstances(on.reading), **now))  # type: ignore[arg-type] # what a test wants


def test_nothing_against_it() -> None:
    found = checked()
    assert (found.refusals, found.warnings) == ((), ())
    assert [one.ip for one in found.survivors] == ["10.1.0.2", "10.1.0.3", "10.1.0.4"]
    gained = [(one.users_after or 0) - one.users_now for one in found.survivors]
    assert all(one > 0 for one in gained)
    assert sum(gained) == 2_800


def test_of_one_that_is_drained_already() -> None:
    found = checked(on=standing(changed(EIGHT, backend(A, 0, 500))))
    assert found.refusals == ()
    assert sum((one.users_after or 0) - one.users_now for one in found.survivors) == 500
    assert found.warnings == (
        f"{A} has vhost count 0 already, so that is what it gets back when it is brought back or backed out of",
    )


def test_the_last_usable_backend_of_a_tag() -> None:
    why = "its users would have nowhere to go; add another one, or set one up, first"
    on = standing(changed(EIGHT, backend(GOLD2, 0, 5, tag="gold")))
    assert checked(GOLD1, on).refusals == (f"{GOLD1} is the last usable backend of tag gold: {why}",)
    both = standing(changed(EIGHT, backend(GOLD1, 0, 5, tag="gold"), backend(GOLD2, up=False, tag="gold")))
    assert checked(GOLD1, both).refusals == (f"{GOLD1} has no other usable backend beside it of tag gold: {why}",)


def test_a_ring_that_is_not_well() -> None:
    assert checked(on=standing(on=reading(unsynced=["dir2"]))).refusals == ("the ring is not synced (dir2)",)
    differing = reading(elsewhere={"dir3": changed(EIGHT, backend(A, 50, 2_800))})
    assert checked(on=standing(on=differing)).refusals == (
        f"the directors disagree about {A}: the ring screen (g) shows how",
    )
    fine = reading()
    lost = replace(fine.views[2], ring=None, backends=(), failure=ConnectionLost("dir3: the connection was lost"))
    silent = replace(fine, views=(*fine.views[:2], lost))
    assert checked(on=standing(on=silent)).refusals == ("dir3 could not be read: dir3: the connection was lost",)


def test_what_else_is_against_it() -> None:
    assert checked(read_only=True).refusals == ("read-only: nothing is changed from here",)
    assert checked(running="Flush all is running").refusals == ("one change at a time: Flush all is running",)
    assert checked("10.9.9.9").refusals == ("10.9.9.9 is not listed by dir1",)
    unseen = (UnseenFlush("dir2", B, NOON), UnseenFlush("dir2", None, NOON))
    (why,) = checked(unseen=unseen).refusals
    assert why == (
        f"a flush of {B} (12:00 UTC, dir2) and all (12:00 UTC, dir2) may be running: "
        "wait until user counts stand still for 60 s"
    )


def test_an_unfinished_one_of_the_same_backend() -> None:
    on = standing()
    now = Circumstances(on.reading)
    (why,) = check_up(A, on, now, [UNFINISHED]).refusals
    assert why == (f"a clean removal of {A} is unfinished, begun 2026-11-23 12:00 UTC by eva: go on with that one")
    assert check_up(B, on, now, [UNFINISHED]).refusals == ()
    assert check_up(A, on, now, [end(UNFINISHED, Ending.BACKED_OUT, NOON, "eva")]).refusals == ()


def test_what_has_to_be_known_before() -> None:
    on = standing(capacity=3_600)
    found = check_up(A, on, Circumstances(on.reading), (), {B: -2_000.0, "10.1.0.3": -200.0, "10.1.0.4": None})
    assert found.warnings[0] == (
        f"{B} loses 2,000 users a minute: if somebody flushes it, wait for its end; "
        "two flushes share the directors' pace"
    )
    assert any("more than the 3,600 it can carry" in one for one in found.warnings)
    assert found.warnings[-1] == (
        "how to reach the backends is not configured: [clusters.mail-eu.backends] with ssh and metacache; "
        "steps 4 and 6 will ask"
    )


# --- how users leave ---------------------------------------------------------------------------------------------


def users(least: int, most: int, sessions: int | None = None) -> BackendSeen:
    rows = {"dir1": backend(A, 0, most), "dir2": backend(A, 0, least), "dir3": backend(A, 0, most)}
    return BackendSeen(rows, sessions=None if sessions is None else {"dir1": sessions})


def test_rate_and_how_long_it_takes() -> None:
    leaving = Leaving(flushing=True)
    first = leaving.add(users(1_990, 2_000), 0.0)
    assert (first.at_start, first.least, first.most, first.per_min, first.eta_s) == (2_000, 1_990, 2_000, None, None)
    later = leaving.add(users(1_480, 1_500), 10.0)
    assert (later.at_start, later.most, later.per_min, later.eta_s) == (2_000, 1_500, 3_000.0, 30.0)
    assert later.stuck == ""


@pytest.mark.parametrize(
    ("flushing", "words"),
    [
        (
            True,
            "not moving for 60 s: the flush may have been lost, or the rest hash back here; flush again",
        ),
        (
            False,
            "not moving for 60 s: who stays connected keeps the assignment; go on when you don't want to wait",
        ),
    ],
)
def test_it_does_not_move(flushing: bool, words: str) -> None:
    leaving = Leaving(flushing=flushing)
    leaving.add(users(7, 7, 3), 0.0)
    assert leaving.add(users(7, 7, 3), 59.0).stuck == ""
    assert leaving.add(users(7, 7, 3), 60.0).stuck == words
    # It counts anew from whatever changes, be it on one director or of the sessions alone.
    assert leaving.add(users(6, 7, 3), 61.0).stuck == ""
    assert leaving.add(users(6, 7, 2), 120.0).still_s == 0.0
    assert leaving.add(users(6, 7, 2), 180.0).stuck == words
    assert "-F" not in words


def test_sessions_without_users() -> None:
    leaving = Leaving(flushing=True)
    leaving.add(users(0, 0, 2), 0.0)
    assert leaving.add(users(0, 0, 2), 60.0).stuck.startswith("not moving for 60 s: sessions without a user are left")
    empty = Leaving(flushing=True)
    empty.add(users(0, 0, 0), 0.0)
    assert empty.add(users(0, 0, 0), 600.0).stuck == ""


# --- the configuration -------------------------------------------------------------------------------------------


def test_where_it_still_stands_and_what_to_write() -> None:
    found = configuration(
        A,
        {
            "dir1": "10.1.0.1-10.1.0.4 10.1.0.7@gold",
            "dir2": "10.1.0.2 10.1.0.3 10.1.0.4 10.1.0.7@gold",
            "dir3": ConnectionLost("dir3: the connection was lost"),
        },
    )
    assert [one.stands_there for one in found.directors] == [True, False, False]
    first = found.directors[0].new
    assert first is not None
    assert first.value == "10.1.0.2-10.1.0.4 10.1.0.7@gold"
    assert first.changes == (("10.1.0.1-10.1.0.4", "10.1.0.2-10.1.0.4"),)
    assert found.directors[2].failure == "dir3: the connection was lost"
    assert found.drift == (f"{A}: on dir1, not on dir2",)
    assert not found.clean
    assert found.words == f"{A} still stands in director_mail_servers on dir1"


def test_when_it_stands_nowhere() -> None:
    lost = ConnectionLost("dir2: the connection was lost")
    assert not configuration(A, {"dir1": "10.1.0.2", "dir2": lost}).clean
    assert configuration(A, {"dir1": B, "dir2": lost}).words == "director_mail_servers could not be read on dir2"
    fine = configuration(A, {"dir1": "10.1.0.2  mail.example.com", "dir2": "10.1.0.2 mail.example.com"})
    assert fine.clean
    assert fine.drift == ()
    assert fine.words == (
        f"{A} stands in no director_mail_servers any more, unless one of the host names there is it: mail.example.com"
    )
    assert not configuration(A, {}).clean


def test_in_what_the_lists_differ() -> None:
    found = configuration(
        A, {"dir1": "10.1.0.2@a b.example.com", "dir2": "10.1.0.2 10.1.0.3", "dir3": "10.1.0.2 \x1b[31m 10.1.0.3"}
    )
    assert found.drift == (
        "10.1.0.2: with tag a on dir1, without a tag on dir2 and dir3",
        "b.example.com: on dir1, not on dir2 and dir3",
        "10.1.0.3: on dir2 and dir3, not on dir1",
        "dir3: a director does not start with \N{REPLACEMENT CHARACTER}[31m in it",
    )
    assert found.ip == A
    assert CLUSTER.name == "mail-eu"
