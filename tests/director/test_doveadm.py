"""What is run on a director, and how it is called in a sentence."""

from __future__ import annotations

import pytest

from director_tui.director import doveadm
from director_tui.director.doveadm import Call, Tool
from director_tui.director.model import Placement

READING: list[tuple[Call[object], str, str]] = [
    (doveadm.status(), "-f tab director status", "doveadm director status"),
    (doveadm.ring_status(), "-f tab director ring status", "doveadm director ring status"),
    (doveadm.user_hash("joe"), "-f tab director map -u -- joe", "doveadm director map"),
    (doveadm.placement(7, ""), "-f tab director status -- 7", "doveadm director status"),
    (doveadm.placement(7, "gold"), "-f tab director status -- 7 gold", "doveadm director status"),
    (doveadm.assignments(), "-f tab director map -f /dev/null", "doveadm director map"),
    (doveadm.assignments("2001:DB8::1"), "-f tab director map -f /dev/null 2001:db8::1", "doveadm director map"),
    (doveadm.dump(), "-f tab director dump", "doveadm director dump"),
    (doveadm.proxy_list(), "-f tab proxy list", "doveadm proxy list"),
    (doveadm.version(), "-n", "doveconf"),
]


@pytest.mark.parametrize(("call", "words", "title"), READING)
def test_words_and_title(call: Call[object], words: str, title: str) -> None:
    assert " ".join(call.words) == words
    assert call.title == title
    assert call.tool is (Tool.DOVECONF if title == "doveconf" else Tool.DOVEADM)
    assert not call.changes
    assert not call.waits_for_sync


def test_a_title_of_words_without_a_format() -> None:
    call = Call(Tool.DOVEADM, ("director", "update", "10.0.0.1", "0"), lambda stdout: None, changes=True)
    assert call.title == "doveadm director update"


def test_the_command_sets_the_time_zone_first() -> None:
    command = doveadm.status().command(("sudo", "-n", "doveadm", "-c", "/etc/a b.conf"))
    assert command == (
        *("env", "TZ=UTC", "LC_ALL=C"),
        *("sudo", "-n", "doveadm", "-c", "/etc/a b.conf"),
        *("-f", "tab", "director", "status"),
    )


def test_a_limit_outlives_the_five_seconds_that_doveadm_waits_itself() -> None:
    assert all(call.limit_s > 5 for call, _, _ in READING)


def test_only_two_calls_lie_about_their_exit_status() -> None:
    assert {call.title for call, _, _ in READING if not call.honest} == {"doveadm director map", "doveadm proxy list"}
    assert doveadm.assignments().honest


@pytest.mark.parametrize("user", ["-u", "--", "a b", "o'neill", 'a";reboot', "$(id)", "12345", "üser@x", "[/b]", "all"])
def test_any_name_is_one_word_after_the_options(user: str) -> None:
    assert doveadm.user_hash(user).words[-2:] == ("--", user)


@pytest.mark.parametrize("user", ["", "a\tb", "a\nHOST-DOWN\t10.0.0.1", "\0", "\x1b[2J", "\x7f", "\x9b", "caf\udce9"])
def test_names_that_would_change_the_line_protocol_are_refused(user: str) -> None:  # case 26
    with pytest.raises(ValueError, match=r"^the user name ") as caught:
        doveadm.user_hash(user)
    assert str(caught.value).isprintable()


def test_a_tag_with_a_control_character_is_refused() -> None:
    with pytest.raises(ValueError, match=r"U\+0009"):
        doveadm.placement(7, "a\tb")


@pytest.mark.parametrize("tag", ["a�b", r"t\xff"])
def test_a_tag_that_had_to_be_cleaned_is_not_asked_for(tag: str) -> None:
    # A director answers "assigned nowhere" for a tag that it doesn't know.
    with pytest.raises(ValueError, match="can't be sent"):
        doveadm.placement(7, tag)


@pytest.mark.parametrize("ip", ["mail-01", "10.0.0.1 foo", "all", "-h"])
def test_assignments_are_asked_for_by_literal_ip_only(ip: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        doveadm.assignments(ip)


def test_the_reader_of_a_placement_knows_its_tag() -> None:
    stdout = b"status\texpires\thashed\tinitial-config\nn/a\t-1\t10.0.0.1\t10.0.0.2\n"
    assert doveadm.placement(7, "gold").parse(stdout) == Placement("gold", None, None, "10.0.0.1", "10.0.0.2")


def test_settings_are_asked_for_by_name_so_that_unknown_ones_can_be_told() -> None:
    call = doveadm.settings((2, 2, 36))
    assert "-h" not in call.words
    assert "director_consistent_hashing" in call.words
    assert call.parse(b"director_mail_servers = 10.0.0.1\n").consistent_hashing is False
