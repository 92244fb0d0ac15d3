"""User names stay out of the journal where that is wanted, and one user can still be followed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.errors import StateError
from director_tui.operations.journal import Extract, Journal
from director_tui.operations.plan import Outcome
from director_tui.operations.record import Event, Record
from director_tui.operations.redaction import UserWords, read_user_words, users_in
from director_tui.state import state_folder, write_state

NOW = datetime(2026, 11, 24, 21, 40, 12, tzinfo=UTC)
WORDS = UserWords(b"k" * 32)
USER = "someone@example.com"
WORD = WORDS.word(USER)
DOVEADM = ("env", "TZ=UTC", "LC_ALL=C", "sudo", "-n", "doveadm")


def moved(user: str) -> Record:
    return Record(
        NOW,
        Event.RESULT,
        "op-1",
        1,
        verb="move",
        title=f"Move {user} to 10.1.0.3",
        targets=(user,),
        who="ops",
        via="root@dir1",
        argv=((*DOVEADM, "director", "move", "--", user, "10.1.0.3"),),
        exit_status=68,
        stdout=f"{user}",
        stderr=f"doveadm({user}): Error: User {user.upper()}: no",
        outcome=Outcome.NOT_APPLIED,
        before={"users": {user: f"on 10.1.0.4 as {user}"}},
        after={user: {"backend": "10.1.0.3"}},
        reason=f"{user}, called twice",
    )


@pytest.mark.parametrize(
    "user", [USER, "o'brien", 'say "hi"; `id`', "żółć-雪", "a b", "*", "--help", "10.1.0.9", "x\u202ey", "op-1", "ops"]
)
def test_no_name_is_written(user: str) -> None:
    Journal("mail-eu", redact_users=True).append(moved(user))
    word = read_user_words("mail-eu").word(user)
    assert re.fullmatch("user-[0-9a-f]{10}", word)
    read = Journal("mail-eu").read()
    assert read == Extract((replace(moved(word), stderr=f"doveadm({word}): Error: User {word}: no"),))


def test_names_stay_where_nobody_wants_them_away() -> None:
    Journal("mail-eu").append(moved(USER))
    assert Journal("mail-eu").read().records == (moved(USER),)
    assert [file.name for file in state_folder("mail-eu").iterdir()] == ["journal.jsonl"]


def test_a_name_that_no_command_has_is_named_to_it() -> None:
    note = Record(NOW, Event.NOTE, "op-1", title=f"{USER} has no session", who="ops")
    Journal("mail-eu", redact_users=True).append(note, users=[USER])
    (read,) = Journal("mail-eu").read().records
    assert read.title == f"{read_user_words('mail-eu').word(USER)} has no session"


def test_one_user_has_one_word_for_ever_and_in_one_cluster() -> None:
    words = read_user_words("mail-eu")
    assert read_user_words("mail-eu") == words
    assert words.word("Someone@Example.com") == words.word(USER)
    assert words.word("someone@example.org") != words.word(USER)
    assert read_user_words("mail-us").word(USER) != words.word(USER)
    assert (state_folder("mail-eu") / "user-words.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_none_is_refused() -> None:
    write_state("mail-eu", "user-words.key", b"short")
    with pytest.raises(StateError, match=r"mail-eu/user-words\.key is no key of 32 bytes"):
        Journal("mail-eu", redact_users=True).append(moved(USER))
    assert Journal("mail-eu").read().records == ()


@pytest.mark.parametrize(
    ("words", "users"),
    [
        (("doveadm", "director", "move", "--", USER, "10.1.0.3"), (USER,)),
        (("doveadm", "director", "move", "--", "10.1.0.3", "10.1.0.3"), ("10.1.0.3",)),
        (("sudo", "-n", "--", "doveadm", "director", "kick", "--", USER), (USER,)),
        (("doveadm", "director", "kick", "--", "director"), ("director",)),
        (("doveadm", "proxy", "kick", "--", "a", "b"), ("a", "b")),
        (("doveadm", "director", "update", "10.1.0.3", "0"), ()),
        (("doveadm", "director", "status", "--", "4711"), ()),
        (("doveadm", "director", "kick"), ()),
        ((), ()),
    ],
)
def test_where_names_stand_in_commands(words: tuple[str, ...], users: tuple[str, ...]) -> None:
    assert users_in(words) == users


def test_a_user_who_is_called_like_a_command() -> None:
    command = ("doveadm", "director", "kick", "--", "director")
    assert WORDS.in_command(command, ["director"]) == (*command[:-1], WORDS.word("director"))
    assert WORDS.in_command(("sh", "-c", "doveadm director kick -- 'o b'"), ["o b"]) == (
        *("sh", "-c", f"doveadm director kick -- {WORDS.word('o b')}"),
    )


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (USER, WORD),
        (f"<{USER}>, {USER.upper()}.", f"<{WORD}>, {WORD}."),
        (f"{USER}.au", f"{USER}.au"),
        (f"not{USER}", f"not{USER}"),
        (f"x.{USER}", f"x.{USER}"),
        ("someone@example", "someone@example"),
        ("", ""),
    ],
)
def test_a_name_goes_only_where_it_stands_by_itself(text: str, redacted: str) -> None:
    assert WORDS.in_text(text, [USER]) == redacted


@given(st.text(min_size=1), st.text(), st.text())
def test_no_name_stays_between_blanks(user: str, before: str, after: str) -> None:
    text = WORDS.in_text(f"{before} {user} {after}", [user])
    assert f" {user} " not in text or f" {user} " in f" {WORDS.word(user)} "


def test_of_names_in_each_other_the_longer_one_counts() -> None:
    assert WORDS.in_text("a b", ["a", "a b", ""]) == WORDS.word("a b")
