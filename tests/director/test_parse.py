"""`doveadm -f tab` bytes to values. "Case n" is the number in section 10 of the reference on directors."""

from __future__ import annotations

import gc
import ipaddress
import socket
import unicodedata
from dataclasses import astuple, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from director_tui.director import parse
from director_tui.director.model import (
    Assignment,
    Backend,
    DirectorPeer,
    DumpedCommand,
    Placement,
    ProxySession,
    RingSettings,
    State,
)
from director_tui.errors import MalformedOutput
from director_tui.text import canonical_ip, cells, clean, clean_lines

if TYPE_CHECKING:
    from collections.abc import Callable

STATUS = b"mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n"
RING = (
    b"director ip\tport\ttype\tlast failed\tstatus\tping ms\t"
    b"input\toutput\tbuffered\tbuffered peak\tlast read\tlast write\n"
)
PLACEMENT = b"status\texpires\thashed\tinitial-config\n"
MAP = b"user\thash\tmail server ip\texpire time\n"
DUMP = b"command\tsocket-path\thost\tvhost_count\n"
PROXY = b"username\tproto\tsrc ip\tdest ip\tport\n"
PROXY_AGAIN = b"username\tservice\tsrc-ip\tdest-ip\tdest-port\n"
AT = datetime(2019, 8, 29, 19, 5, tzinfo=UTC)


# --- director status ------------------------------------------------------------------------------------------------


def test_status_of_two_backends() -> None:  # case 1
    stdout = STATUS + b"10.0.0.1\t\t100\tup\t-\t3\n10.0.0.2\ta\t0\tdown\t2019-08-29 19:05:00\t12\n"
    assert parse.backends(stdout) == (
        Backend("10.0.0.1", "", 100, State.UP, None, 3),
        Backend("10.0.0.2", "a", 0, State.DOWN, AT, 12),
    )


@pytest.mark.parametrize(
    ("stdout", "expected"),
    [
        (b"mail server ip\tvhosts\tusers\n10.0.0.1\t100\t3\n", Backend("10.0.0.1", "", 100, State.UP, None, 3)),
        (
            b"mail server ip\ttag\tvhosts\tusers\n10.0.0.1\ta\t100\t3\n",
            Backend("10.0.0.1", "a", 100, State.UP, None, 3),
        ),
    ],
)
def test_status_of_old_versions_has_fewer_columns(stdout: bytes, expected: Backend) -> None:
    assert parse.backends(stdout) == (expected,)


def test_header_alone_is_an_empty_list() -> None:  # cases 2 and 6
    assert parse.backends(STATUS) == ()


def test_a_tag_with_a_tab_is_refused_not_shifted() -> None:  # case 3
    with pytest.raises(MalformedOutput, match="line 2 has 7 cells, its header has 6") as caught:
        parse.backends(STATUS + b"2001:db8::1\tb@x\ty\t100\tup\t2019-08-29 19:05:00\t0\n")
    assert "tab" in caught.value.remedy


def test_one_bad_row_spoils_the_whole_reading() -> None:
    with pytest.raises(MalformedOutput):
        parse.backends(STATUS + b"10.0.0.1\t\t100\tup\t-\t3\nBroadcast message from root\n")


def test_largest_numbers_and_an_ip_that_is_there_twice() -> None:  # case 7
    stdout = STATUS + b"10.0.0.1\t\t1000\tup\t-\t4294967295\n10.0.0.1\t\t100\tup\t-\t1\n"
    assert [(backend.ip, backend.vhosts, backend.users) for backend in parse.backends(stdout)] == [
        ("10.0.0.1", 1000, 4294967295),
        ("10.0.0.1", 100, 1),
    ]


def test_nothing_of_an_output_is_kept_beside_its_values() -> None:
    """The program reads for days, and lists of sessions have megabytes."""
    for number in range(10):
        parse.backends(STATUS + b"10.0.0.1\t\t100\tup\t-\t%d\n" % number)
        parse.proxy_sessions(PROXY + b"user%d\timap\t192.0.2.1\t10.0.0.1\t143\n" % number)
    gc.collect()
    assert [one for one in gc.get_objects() if isinstance(one, parse._Table)] == []


def test_the_director_s_order_is_kept() -> None:  # case 37
    ips = ["10.0.0.2", "10.0.0.10", "2001:db8::1"]
    stdout = STATUS + b"".join(f"{ip}\t\t100\tup\t-\t0\n".encode() for ip in ips)
    assert [backend.ip for backend in parse.backends(stdout)] == ips


def test_an_ambiguous_local_time_is_utc() -> None:  # case 39
    (backend,) = parse.backends(STATUS + b"10.0.0.1\t\t100\tup\t2019-10-27 02:30:00\t0\n")
    assert backend.state_changed == datetime(2019, 10, 27, 2, 30, tzinfo=UTC)


def test_a_tag_that_is_no_utf_8_stays_recognisable() -> None:  # case 44
    (backend,) = parse.backends(STATUS + b"10.0.0.1\tt\xff\t100\tup\t-\t0\n")
    assert backend.tag == r"t\xff"


def test_two_tags_that_differ_in_a_bad_byte_stay_two() -> None:
    rows = b"10.0.0.1\t\xe9\t100\tup\t-\t0\n10.0.0.2\t\xea\t100\tup\t-\t0\n"
    first, second = parse.backends(STATUS + rows)
    assert first.tag != second.tag


def test_markup_in_a_tag_is_plain_text() -> None:
    (backend,) = parse.backends(STATUS + "10.0.0.1\t[/b]ü[@click=app.quit]x\t100\tup\t-\t0\n".encode())
    assert backend.tag == "[/b]ü[@click=app.quit]x"


def test_a_terminal_escape_in_a_tag_does_not_survive() -> None:
    (backend,) = parse.backends(STATUS + b"10.0.0.1\t\x1b]0;owned\x07\t100\tup\t-\t0\n")
    assert backend.tag == "�]0;owned�"


def test_line_breaks_of_a_terminal_are_tolerated() -> None:
    assert len(parse.backends((STATUS + b"10.0.0.1\t\t100\tup\t-\t3\n").replace(b"\n", b"\r\n"))) == 1


def test_what_a_login_shell_prints_first_is_passed_over() -> None:
    stdout = b"Welcome to \x1b[1mdir1\x1b[0m!\n\n" + STATUS + b"10.0.0.1\t\t100\tup\t-\t3\n"
    assert len(parse.backends(stdout)) == 1


def test_line_numbers_in_errors_count_from_the_first_line() -> None:
    with pytest.raises(MalformedOutput, match="line 4, column vhosts: a number was expected, not “many”"):
        parse.backends(b"motd\n" + STATUS + b"10.0.0.1\t\t100\tup\t-\t3\n10.0.0.2\t\tmany\tup\t-\t3\n")


@pytest.mark.parametrize("stdout", [b"", b"\n", b" \n"])
def test_nothing_is_not_an_empty_list(stdout: bytes) -> None:
    with pytest.raises(MalformedOutput, match="printed nothing"):
        parse.backends(stdout)


def test_output_that_ends_within_a_line_is_not_complete() -> None:  # case 36
    with pytest.raises(MalformedOutput, match="not complete"):
        parse.backends(STATUS + b"10.0.0.1\t\t100\tup\t-\t3")


@pytest.mark.parametrize(
    "stdout",
    [
        b"hello\n",
        b"mail server ip  tag vhosts state state changed users\n10.0.0.1            100   up     -             3\n",
        b'[{"mail server ip":"10.0.0.1","tag":"","vhosts":"100","state":"up"}]\n',  # case 5
        STATUS.replace(b"vhosts", b"weight"),
        STATUS.replace(b"\tusers", b""),
        RING,
    ],
)
def test_output_of_something_else_is_quoted(stdout: bytes) -> None:
    with pytest.raises(MalformedOutput, match="begins with “") as caught:
        parse.backends(stdout)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "row",
    [
        b"mail-01\t\t100\tup\t-\t3",
        b"10.0.0.256\t\t100\tup\t-\t3",
        b"fe80::1%eth0\t\t100\tup\t-\t3",
        b"10.0.0.1\t\t-5\tup\t-\t3",
        b"10.0.0.1\t\t\tup\t-\t3",
        "10.0.0.1\t\t\u0661\u0660\tup\t-\t3".encode(),  # digits, but not ASCII
        b"10.0.0.1\t\t4294967295\tup\t-\t3",
        b"10.0.0.1\t\t100\tup\t-\t" + b"9" * 5000,
        b"10.0.0.1\t\t100\tUP\t-\t3",
        b"10.0.0.1\t\t100\t\t-\t3",
        b"10.0.0.1\t\t100\tup\tyesterday\t3",
        b"10.0.0.1\t\t100\tup\t\t3",
        b"10.0.0.1\t\t100\tup\t2019-02-30 00:00:00\t3",
        b"10.0.0.1\t\t100\tup\t2019-W35-4 19:05:00\t3",
        b"",
    ],
)
def test_a_cell_that_is_wrong_is_an_error(row: bytes) -> None:
    with pytest.raises(MalformedOutput):
        parse.backends(STATUS + row + b"\n")


# --- director ring status -------------------------------------------------------------------------------------------


def test_a_ring_of_three() -> None:  # case 13, and a real one of 2.3.19.1
    view = parse.ring_view(
        RING + b"127.0.4.1\t19091\tself\tnever\tring synced\t7\t-\t-\t-\t-\t-\t-\n"
        b"127.0.4.2\t19092\tright\tnever\tsynced\t0\t1930\t3529\t0\t266\t2019-08-29 19:05:00\t2019-08-29 19:05:00\n"
        b"127.0.4.3\t19093\tleft\t2019-08-29 19:05:00\tsynced\t2\t2574\t1623\t0\t37\tnever\tnever\n"
    )
    assert view.unidentified == ()
    assert view.peers == (
        DirectorPeer("127.0.4.1", 19091, "self", None, "ring synced", 7),
        DirectorPeer("127.0.4.2", 19092, "right", None, "synced", 0, 1930, 3529, 0, 266, AT, AT),
        DirectorPeer("127.0.4.3", 19093, "left", AT, "synced", 2, 2574, 1623, 0, 37, None, None),
    )


def test_a_director_that_is_no_neighbour() -> None:  # case 14
    view = parse.ring_view(RING + b"10.0.0.3\t9090\t\t2019-08-29 19:05:00\t\t-\t-\t-\t-\t-\t-\t-\n")
    assert view.peers == (DirectorPeer("10.0.0.3", 9090, "", AT, ""),)


def test_an_incoming_connection_without_a_name_is_not_read_shifted() -> None:  # case 15
    row = b"handshaking - 12 USERs received\t0\t1\t1970-01-01 00:00:02\t3\t4\t0\t0\t-\t-\t-\t-\n"
    view = parse.ring_view(RING + row)
    assert view.peers == ()
    assert view.unidentified == ("handshaking - 12 USERs received",)


def test_anything_else_in_the_first_cell_is_an_error() -> None:
    with pytest.raises(MalformedOutput, match="column director ip: an IP address was expected, not “dir1”"):
        parse.ring_view(RING + b"dir1\t9090\tself\tnever\tring synced\t3\t-\t-\t-\t-\t-\t-\n")


@pytest.mark.parametrize(
    "stdout",
    [
        b"director ip\tport\ttype\tlast failed\tstatus\n10.0.0.2\t9090\tl+r\tnever\tsynced\n",  # case 16
        b"director ip\tport\ttype\tlast failed\n10.0.0.2\t9090\tl+r\tnever\n",
    ],
)
def test_ring_status_of_old_versions_has_fewer_columns(stdout: bytes) -> None:
    (peer,) = parse.ring_view(stdout).peers
    assert (peer.ip, peer.port, peer.type, peer.last_failed, peer.ping_ms) == ("10.0.0.2", 9090, "l+r", None, None)


# --- director status USER, map, dump --------------------------------------------------------------------------------


def test_a_user_that_is_assigned() -> None:
    stdout = PLACEMENT + b"10.0.0.1\t2019-08-29 19:05:00\t10.0.0.2\t10.0.0.1\n"
    assert parse.placement(stdout, "gold") == Placement("gold", "10.0.0.1", AT, "10.0.0.2", "10.0.0.1")


@pytest.mark.parametrize("words", [b"n/a\t-1", b"not assigned\t-"])  # the latter up to 2.2.20
def test_a_user_that_is_assigned_nowhere(words: bytes) -> None:  # case 8
    assert parse.placement(PLACEMENT + words + b"\t\t\n", "") == Placement("", None, None, None, None)


@pytest.mark.parametrize(
    "stdout",
    [
        b"\n",  # case 9
        PLACEMENT,
        PLACEMENT + b"n/a\t-1\t\t\nn/a\t-1\t\t\n",
        b"Current: n/a (expires -1)\nHashed: \nInitial config: \n",  # case 8, without -f tab
    ],
)
def test_no_placement_or_more_than_one_is_an_error(stdout: bytes) -> None:
    with pytest.raises(MalformedOutput):
        parse.placement(stdout, "")


def test_a_map() -> None:  # case 10
    stdout = (
        MAP + b"<unknown>\t1570531526\t10.0.0.1\t2019-08-29 19:05:00\n"
        b"<unknown>\t4294967295\t2001:db8::1\t2019-08-29 19:05:00\n"
    )
    assert parse.assignments(stdout) == (
        Assignment(1570531526, "10.0.0.1", AT),
        Assignment(4294967295, "2001:db8::1", AT),
    )


def test_two_names_with_one_hash_are_one_assignment() -> None:  # case 11
    rows = b"TestUser\t1570531526\t10.0.0.1\t2019-08-29 19:05:00\ntestuser\t1570531526\t10.0.0.1\t2019-08-29 19:05:00\n"
    assert parse.assignments(MAP + rows) == (Assignment(1570531526, "10.0.0.1", AT),)


def test_one_hash_in_two_tags_is_two_assignments() -> None:
    rows = b"<unknown>\t7\t10.0.0.1\t2019-08-29 19:05:00\n<unknown>\t7\t10.0.0.9\t2019-08-29 19:05:00\n"
    assert [assignment.ip for assignment in parse.assignments(MAP + rows)] == ["10.0.0.1", "10.0.0.9"]


@pytest.mark.parametrize("hash_", [b"4294967296", b"-1", b""])
def test_a_hash_has_32_bits(hash_: bytes) -> None:
    with pytest.raises(MalformedOutput):
        parse.assignments(MAP + b"u\t" + hash_ + b"\t10.0.0.1\t2019-08-29 19:05:00\n")
    with pytest.raises(MalformedOutput):
        parse.user_hash(b"hash\n" + hash_ + b"\n")


def test_a_user_hash() -> None:
    assert parse.user_hash(b"hash\n1570531526\n") == 1570531526


def test_a_user_hash_that_could_not_be_computed() -> None:
    with pytest.raises(MalformedOutput, match="printed nothing"):
        parse.user_hash(b"\n")


def test_a_dump() -> None:  # case 32, with -f tab
    stdout = (
        DUMP + b"add\t/run/dovecot/director-admin\t10.0.0.2@a@b\t0\n"
        b"add\t/run/dovecot/director-admin\t2001:db8::1\t100\nremove\t/run/dovecot/director-admin\t10.0.0.7\t\n"
    )
    assert parse.dumped_commands(stdout) == (
        DumpedCommand("add", "10.0.0.2", "a@b", 0),
        DumpedCommand("add", "2001:db8::1", "", 100),
        DumpedCommand("remove", "10.0.0.7", "", None),
    )


def test_a_dump_without_tab_format_is_refused() -> None:  # case 32
    with pytest.raises(MalformedOutput):
        parse.dumped_commands(b"doveadm director add 10.0.0.2@a 0\ndoveadm director remove 10.0.0.7 \n")


# --- proxy list -----------------------------------------------------------------------------------------------------


def test_proxy_list_with_two_login_processes() -> None:  # case 30; bytes of a real 2.3.19.1
    stdout = (
        PROXY
        + b"joe@example.com\timap\t127.0.0.1\t127.0.45.3\t143\n"
        + PROXY_AGAIN
        + b"ann\timap\t127.0.0.1\t127.0.45.2\t143\n"
    )
    assert parse.proxy_sessions(stdout) == (
        ProxySession("joe@example.com", "imap", "127.0.0.1", "127.0.45.3", 143),
        ProxySession("ann", "imap", "127.0.0.1", "127.0.45.2", 143),
    )


@pytest.mark.parametrize("stdout", [b"\n", b"", PROXY, PROXY + PROXY_AGAIN])  # case 30
def test_no_sessions(stdout: bytes) -> None:
    assert parse.proxy_sessions(stdout) == ()


def test_alternative_user_names_stand_between() -> None:
    stdout = b"username\tuser_mail\tproto\tsrc ip\tdest ip\tport\njoe\tj@x\tpop3\t2001:db8::5\t10.0.0.1\t110\n"
    assert parse.proxy_sessions(stdout) == (ProxySession("joe", "pop3", "2001:db8::5", "10.0.0.1", 110),)


@pytest.mark.parametrize(
    "row",
    [
        b"joe\tj@x\timap\t127.0.0.1\t10.0.0.1\t143",
        b"joe\timap\t127.0.0.1\t10.0.0.1\timaps",
        b"joe\timap\t127.0.0.1\tmail-01\t143",
        b"joe\timap\t127.0.0.1\t10.0.0.1",
    ],
)
def test_a_session_that_does_not_fit_the_header_is_refused(row: bytes) -> None:
    with pytest.raises(MalformedOutput, match="line 2"):
        parse.proxy_sessions(PROXY + row + b"\n")


def test_who_in_json_is_no_proxy_list() -> None:  # case 31: it isn't even JSON
    with pytest.raises(MalformedOutput):
        parse.proxy_sessions(b'[{"username":"x"}],{"username":"u@d"}]\n')


# --- doveconf -------------------------------------------------------------------------------------------------------


def test_settings_of_2_3() -> None:  # bytes of a real 2.3.19.1; it leaves out the setting that it doesn't know
    stdout = (
        b"director_mail_servers = 127.0.1.1-127.0.1.6 127.0.1.7@gold 127.0.1.8@gold\ndirector_username_hash = %Lu\n"
        b"director_user_expire = 15 mins\ndirector_user_kick_delay = 2 secs\ndirector_max_parallel_moves = 100\n"
    )
    assert parse.ring_settings(stdout, (2, 3, 19, 1)) == RingSettings(
        version=(2, 3, 19, 1),
        mail_servers="127.0.1.1-127.0.1.6 127.0.1.7@gold 127.0.1.8@gold",
        username_hash="%Lu",
        user_expire_s=900.0,
        user_kick_delay_s=2.0,
        max_parallel_moves=100,
        consistent_hashing=True,
    )


@pytest.mark.parametrize(
    ("line", "version", "expected"),
    [
        (b"director_consistent_hashing = no\n", (2, 2, 36), False),
        (b"director_consistent_hashing = yes\n", (2, 2, 36), True),
        (b"", (2, 2, 27), False),
        (b"", (2, 3), True),
        (b"", (), True),
    ],
)
def test_consistent_hashing_by_setting_or_version(line: bytes, version: tuple[int, ...], expected: bool) -> None:
    assert parse.ring_settings(b"director_mail_servers = \n" + line, version).consistent_hashing is expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"15 mins", 900.0),
        (b"1 hours 30 mins", 5400.0),
        (b"500 msecs", 0.5),
        (b"1 days", 86400.0),
        (b"1 weeks", 604800.0),
        (b"0", 0.0),
        (b"90", 90.0),
        (b"never", 900.0),
        (b"", 900.0),
        (b"9" * 400 + b" weeks", 900.0),
    ],
)
def test_durations(text: bytes, seconds: float) -> None:
    assert parse.ring_settings(b"director_user_expire = " + text + b"\n").user_expire_s == seconds


@pytest.mark.parametrize(
    ("stdout", "sentence"),
    [
        (b"", "doveconf printed nothing"),
        (b"\nhello\n", "doveconf printed no setting of a director, but “hello”"),
        (b"protocols = imap\n", "doveconf printed no setting of a director, but “protocols = imap”"),
    ],
)
def test_output_without_settings(stdout: bytes, sentence: str) -> None:
    with pytest.raises(MalformedOutput) as caught:
        parse.ring_settings(stdout)
    assert str(caught.value) == sentence


def test_a_tab_in_director_mail_servers_does_not_part_it() -> None:  # case 43
    value = parse.ring_settings(b"director_mail_servers = 10.0.0.1\t10.0.0.2\n").mail_servers
    assert value is not None
    assert value.split() == [value]


@pytest.mark.parametrize(
    ("stdout", "expected"),
    [
        (b"# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf\n# OS: Linux 6.18 x86_64\n", (2, 3, 19, 1)),
        (b"# 2.2.36 (1f10bfa63): /etc/dovecot/dovecot.conf\n", (2, 2, 36)),
        (b"motd\n# 2.2.10: /etc/dovecot/dovecot.conf\n", (2, 2, 10)),
        (b"# 2.4.1-4 (7d8c0e5759): /etc/dovecot/dovecot.conf\n", (2, 4, 1)),
    ],
)
def test_version(stdout: bytes, expected: tuple[int, ...]) -> None:
    assert parse.version(stdout) == expected


@pytest.mark.parametrize("stdout", [b"", b"# Pigeonhole version 0.5.19\n", b"2.3.19.1\n"])
def test_no_version(stdout: bytes) -> None:
    with pytest.raises(MalformedOutput):
        parse.version(stdout)


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::FFFF:10.0.0.1", "::ffff:10.0.0.1"),
        ("::ffff:a00:1", "::ffff:10.0.0.1"),
        ("::a00:9", "::10.0.0.9"),
        ("::1:0", "::0.1.0.0"),
        ("::1", "::1"),
        ("::ffff", "::ffff"),
        ("::", "::"),
    ],
)
def test_canonical_ip(text: str, canonical: str) -> None:
    assert canonical_ip(text) == canonical


@pytest.mark.parametrize("text", ["", "5", "10.1", "010.0.0.1", "fe80::1%eth0", "[::1]", "10.0.0.1 ", "10.0.0.1/32"])
def test_not_a_canonical_ip(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        canonical_ip(text)


# Runs of zeros, where the ways to write an address differ, are rare among random ones.
ADDRESSES = st.one_of(
    st.ip_addresses(),
    st.lists(st.sampled_from([0, 1, 0xFFFF, 0xA00]), min_size=8, max_size=8).map(
        lambda groups: ipaddress.IPv6Address(b"".join(group.to_bytes(2, "big") for group in groups))
    ),
)


@given(ADDRESSES)
def test_canonical_ip_is_what_inet_ntop_prints(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    assert canonical_ip(address.exploded) == socket.inet_ntop(family, address.packed)


# --- cleaning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"plain [/markup] \\ 100 %", "plain [/markup] \\ 100 %"),
        ("ünïcode 漢字 ▁▂▃".encode(), "ünïcode 漢字 ▁▂▃"),
        (b"\x00\x07\x1b[2J\x7f", "���[2J�"),
        ("\x9b31m".encode(), "�31m"),  # C1, as UTF-8
        (b"\x9b31m", r"\x9b31m"),  # C1, as a bare byte
        (b"\xff\xc3(", r"\xff\xc3("),
        ("abc\u202edef\u2066\u200f".encode(), "abc�def��"),
        ("a\u200bb\u2028c\ufeff\u00ad".encode(), "a�b�c��"),
        ("caf\udce9", r"caf\xe9"),  # an argument that is not UTF-8, as Python keeps it
        ("\ud800", "�"),
        ("a\tb\nc", "a�b�c"),
    ],
)
def test_clean(text: bytes | str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0),
        ("mail-01", 7),
        ("żółć", 4),
        (unicodedata.normalize("NFD", "żółć"), 4),
        ("東京-1", 6),
        ("\N{FULLWIDTH LATIN SMALL LETTER T}\N{FULLWIDTH COMMA}", 4),
        ("ﾄｳｷｮｳ", 5),
        ("서울", 4),
        (unicodedata.normalize("NFD", "서울"), 4),
        ("मुंबई", 3),
        ("\N{ENVELOPE} \N{FIRE}", 4),
        ("\N{REPLACEMENT CHARACTER}", 1),
    ],
)
def test_cells_are_those_of_the_dashboard(text: str, width: int) -> None:
    assert cells(text) == width
    assert cell_len(text) == width


def test_clean_lines_keeps_lines_and_drops_empty_ones() -> None:
    assert clean_lines(b"Error: a\x1b  \n\n\r\n[/b]\tb\r\n") == "Error: a�\n[/b]�b"


def forbidden(text: str) -> bool:
    return any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in text)


@given(st.one_of(st.binary(), st.text(st.characters())))
def test_nothing_dangerous_is_left(text: bytes | str) -> None:
    assert not forbidden(clean(text))
    assert not any(forbidden(line) for line in clean_lines(text).split("\n"))


@given(st.one_of(st.binary(), st.text()))
def test_cleaning_twice_changes_nothing(text: bytes | str) -> None:
    assert clean(clean(text)) == clean(text)


# --- whatever comes -------------------------------------------------------------------------------------------------

PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "backends": (parse.backends, STATUS),
    "ring_view": (parse.ring_view, RING),
    "placement": (lambda stdout: parse.placement(stdout, "a"), PLACEMENT),
    "assignments": (parse.assignments, MAP),
    "user_hash": (parse.user_hash, b"hash\n"),
    "dumped_commands": (parse.dumped_commands, DUMP),
    "proxy_sessions": (parse.proxy_sessions, PROXY),
    "ring_settings": (parse.ring_settings, b"director_user_expire = 15 mins\n"),
    "version": (parse.version, b"# 2.3.19.1\n"),
}
CELLS = st.one_of(
    st.sampled_from(
        [
            *(b"", b"-", b"-1", b"never", b"n/a", b"up", b"down", b"self", b"synced", b"handshaking - 1 USERs sent"),
            *(b"10.0.0.1", b"::1", b"fe80::1%e", b"100", b"9" * 5000, b"2019-08-29 19:05:00", b"0000-00-00 00:00:00"),
            *(b"\x1b[2J", b"\xff", "\u202e[/b]".encode(), b"add", b"imap", b"10.0.0.1@t"),
        ]
    ),
    st.binary(max_size=6),
)


def texts(value: Any) -> list[str]:
    """Every piece of text in a result."""
    if isinstance(value, str):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        return texts(astuple(value))
    return [text for item in value for text in texts(item)] if isinstance(value, tuple) else []


@pytest.mark.parametrize("name", PARSERS)
@given(
    noise=st.binary(max_size=20),
    with_header=st.booleans(),
    rows=st.lists(st.lists(CELLS, max_size=13), max_size=3),
    end=st.sampled_from([b"\n", b"\r\n", b""]),
)
@example(noise=b"", with_header=False, rows=[], end=b"")
def test_whatever_comes_is_values_or_malformed_output(
    name: str, noise: bytes, with_header: bool, rows: list[list[bytes]], end: bytes
) -> None:
    read, header = PARSERS[name]
    stdout = noise + (header if with_header else b"") + b"\n".join(map(b"\t".join, rows)) + end
    result: object
    try:
        result = read(stdout)
    except MalformedOutput as error:
        result = (str(error), error.remedy)
    assert not any(map(forbidden, texts(result)))


TAGS = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=8)
TIMES = st.one_of(
    st.none(),
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - bounds only
        lambda time: time.replace(microsecond=0)
    ),
)
BACKENDS = st.builds(
    Backend,
    ip=ADDRESSES.map(str).map(canonical_ip),
    tag=TAGS,
    vhosts=st.integers(0, 1000),
    state=st.sampled_from(State),
    state_changed=TIMES,
    users=st.integers(0, 2**32 - 1),
)


@given(st.lists(BACKENDS, max_size=5))
def test_what_doveadm_would_print_is_read_back(backends: list[Backend]) -> None:
    def row(backend: Backend) -> str:
        changed = "-" if backend.state_changed is None else backend.state_changed.strftime("%Y-%m-%d %H:%M:%S")
        cells = (backend.ip, backend.tag, backend.vhosts, backend.state.value, changed, backend.users)
        return "\t".join(map(str, cells)) + "\n"

    assert parse.backends(STATUS + "".join(map(row, backends)).encode()) == tuple(backends)
