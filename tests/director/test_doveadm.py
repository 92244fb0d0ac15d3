"""What is run on a director, and how it is called in a sentence."""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from director_tui.director import doveadm
from director_tui.director.doveadm import Call, Tool
from director_tui.director.model import Placement

if TYPE_CHECKING:
    from collections.abc import Callable

READING: list[tuple[Call[object], str, str]] = [
    (doveadm.status(), "-f tab director status", "doveadm director status"),
    (doveadm.ring_status(), "-f tab director ring status", "doveadm director ring status"),
    (doveadm.user_hash("joe"), "-f tab director map -u -- joe", "doveadm director map"),
    (doveadm.placement(7, ""), "-f tab director status -- 7", "doveadm director status"),
    (doveadm.placement(7, "gold"), "-f tab director status -- 7 gold", "doveadm director status"),
    (doveadm.assignments(), "-f tab director map -f /dev/null", "doveadm director map"),
    (doveadm.assignments("2001:DB8::1"), "-f tab director map -f /dev/null -- 2001:db8::1", "doveadm director map"),
    (doveadm.dump(), "-f tab director dump", "doveadm director dump"),
    (doveadm.proxy_list(), "-f tab proxy list", "doveadm proxy list"),
    (doveadm.version(), "-n", "doveconf"),
]


CHANGING: list[tuple[Call[None], str, bool]] = [
    (doveadm.update("10.0.0.1", 0), "director update 10.0.0.1 0", True),
    (doveadm.update("2001:DB8::1", 1000), "director update 2001:db8::1 1000", True),
    (doveadm.up("10.0.0.1"), "director up 10.0.0.1", True),
    (doveadm.down("10.0.0.1"), "director down 10.0.0.1", True),
    (doveadm.add("10.0.0.1", 100), "director add 10.0.0.1 100", True),
    (doveadm.add("10.0.0.1", 100, "-t"), "director add -t -t 10.0.0.1 100", True),
    (doveadm.remove("10.0.0.1"), "director remove 10.0.0.1", True),
    (doveadm.flush("10.0.0.1"), "director flush 10.0.0.1", False),
    (doveadm.flush(None, 500), "director flush --max-parallel 500 all", False),
    (doveadm.forget_users("10.0.0.1"), "director flush -F 10.0.0.1", True),
    (doveadm.forget_users(None), "director flush -F all", False),
    (doveadm.move("-joe", "10.0.0.1"), "director move -- -joe 10.0.0.1", False),
    (doveadm.kick("joe"), "director kick -- joe", False),
    (doveadm.kick_sessions_to("2001:DB8::1"), "proxy kick -h 2001:db8::1", False),
    (doveadm.kick_sessions_of(["joe", "-jane"]), "proxy kick -- joe -jane", False),
]


@pytest.mark.parametrize(("call", "words", "waits"), CHANGING)
def test_changing_calls(call: Call[None], words: str, waits: bool) -> None:
    assert " ".join(call.words) == words
    assert call.changes
    assert call.waits_for_sync is waits
    assert call.limit_s >= 75


def test_every_vhost_count_there_is_and_no_other() -> None:
    assert [doveadm.update("10.0.0.1", count).words[-1] for count in range(1001)] == [str(one) for one in range(1001)]
    for count in (-1, 1001, 4294967295):
        with pytest.raises(ValueError, match="no vhost count"):
            doveadm.update("10.0.0.1", count)
        with pytest.raises(ValueError, match="no vhost count"):
            doveadm.add("10.0.0.1", count)


@pytest.mark.parametrize("name", ["localhost", "all", "10.0.0.1@gold", "10.0.0.1 10.0.0.2", "5", "", "10.0.0.1-2"])
def test_a_backend_is_a_literal_ip(name: str) -> None:
    makers: list[Callable[[str], Call[None]]] = [
        *(doveadm.up, doveadm.down, doveadm.remove, doveadm.flush, doveadm.forget_users),
        *(lambda ip: doveadm.update(ip, 1), lambda ip: doveadm.add(ip, 1), lambda ip: doveadm.move("joe", ip)),
    ]
    for maker in makers:
        with pytest.raises(ValueError, match="IP"):
            maker(name)


@pytest.mark.parametrize("tag", ["a@b", "a\tb", "a\nb", "\x7f"])
def test_no_tag_that_a_director_would_take_for_another(tag: str) -> None:
    with pytest.raises(ValueError, match="the tag"):
        doveadm.add("10.0.0.1", 100, tag)


@pytest.mark.parametrize("count", [0, -1, 2**32])
def test_no_pace_that_doveadm_would_take_no_notice_of(count: int) -> None:
    with pytest.raises(ValueError, match="moved at a time"):
        doveadm.flush("10.0.0.1", count)


@pytest.mark.parametrize(("go_on", "printed"), [(False, ["ready", "0", "3"]), (True, ["ready", "0", "3", "0"])])
def test_a_shell_runs_lines_in_order_and_says_how_each_ended(go_on: bool, printed: list[str]) -> None:
    lines = b"echo \"a  b\"; echo mark >&2\nsh -c 'cat; exit 3'\nprintf mark\n"
    words = doveadm.one_after_the_other("M", go_on=go_on)
    # As sshd does it: one line for the login shell.
    ran = subprocess.run(["sh", "-c", shlex.join(words)], input=lines, capture_output=True, check=False)
    parts = ran.stdout.split(b"\nM ")
    assert [part.partition(b"\n")[0].decode() for part in parts[1:]] == printed
    assert parts[1] == b"ready\na  b\n"
    assert [part.strip() for part in ran.stderr.split(b"\nM\n")] == [b"", b"mark", *[b""] * (len(printed) - 1)]


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
