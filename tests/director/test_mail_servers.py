"""`director_mail_servers` by Dovecot's rules, and what a restart of the whole ring would lose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.director.mail_servers import (
    MailServers,
    Without,
    entries_with,
    parse_mail_servers,
    run_time_only,
    without,
)
from director_tui.director.model import Backend, State


def backend(ip: str, vhosts: int = 100, state: State = State.UP, tag: str = "") -> Backend:
    return Backend(ip, tag, vhosts, state, None, 0)


def test_ranges_tags_and_names() -> None:  # case 43
    assert parse_mail_servers(
        "10.0.0.1-10.0.0.3@a  mail.example.com mail-2@b 2001:DB8::fe-2001:db8::ff"
    ) == MailServers(
        ips={"10.0.0.1": "a", "10.0.0.2": "a", "10.0.0.3": "a", "2001:db8::fe": "", "2001:db8::ff": ""},
        names=("mail.example.com", "mail-2@b"),
    )


def test_every_form_of_an_address() -> None:
    # A director of 2.3.19.1 with this setting lists exactly these backends (10.0.1.1 twice).
    value = "010.0.0.01 5 [2001:DB8::1] 10.0.1.1-10.0.1.3@a ::ffff:10.0.0.1 ::10.0.0.9 10.9 0x0a000101 10.0.2.1@x@y"
    assert parse_mail_servers(value) == MailServers(
        ips={
            "10.0.0.1": "",
            "0.0.0.5": "",
            "2001:db8::1": "",
            "10.0.1.1": "a",
            "10.0.1.2": "a",
            "10.0.1.3": "a",
            "::ffff:10.0.0.1": "",
            "::10.0.0.9": "",
            "10.0.0.9": "",
            "10.0.2.1": "x@y",
        },
        repeated=("10.0.1.1",),
    )


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.1,10.0.0.2",  # case 43
        "mail-1\tmail-2",
        "2001:db8::1\t2001:db8::2",
        "10.0.0.1-10",  # reversed: 10 is 0.0.0.10
        "10.0.0.9-10.0.0.1",
        "10.0.0.1-10.0.1.1",  # not within one /24
        "2001:db8::1-2001:db8::1:0",  # not within one /112
        "10.0.0.1-2001:db8::1",
        "10.0.0.0/24",
        "fe80::1%eth0",
        "10.0.0.256",
        "1.2.3.4.5",
        "99999999999",
        "-",
        "@a",
        "...",
    ],
)
def test_entries_with_which_a_director_does_not_start(entry: str) -> None:
    assert parse_mail_servers(f"10.1.1.1 {entry}") == MailServers({"10.1.1.1": ""}, invalid=(entry,))


@pytest.mark.parametrize("tab", ["\t", "�"])  # as it is, and as the parser hands it on
def test_what_follows_a_tab_is_lost(tab: str) -> None:
    # Case 43 of the reference takes this for one invalid entry; a director of 2.3.19.1 starts and lists the first one.
    entries = f"10.0.0.1{tab}10.0.0.2@a", f"10.0.0.3-10.0.0.4{tab}5"
    assert parse_mail_servers(" ".join(entries)) == MailServers(
        {"10.0.0.1": "a", "10.0.0.3": "", "10.0.0.4": ""}, cut=entries
    )


def test_the_first_tag_of_a_repeated_ip_counts() -> None:
    servers = parse_mail_servers("10.0.0.1@a 10.0.0.1@b 10.0.0.1-10.0.0.2")
    assert servers == MailServers({"10.0.0.1": "a", "10.0.0.2": ""}, repeated=("10.0.0.1",))


@pytest.mark.parametrize("value", ["", " ", "   "])
def test_an_empty_setting(value: str) -> None:
    assert parse_mail_servers(value) == MailServers({})


@given(st.text(alphabet="0123456789abcfx.:-@[]% ,\t\x00é", max_size=40))
def test_any_text_is_read_somehow(value: str) -> None:
    servers = parse_mail_servers(value)
    entries = {entry for entry in value.split(" ") if entry}
    assert {*servers.names, *servers.invalid, *servers.cut} <= entries
    assert set(servers.repeated) <= set(servers.ips)


def test_no_difference() -> None:
    configured = parse_mail_servers("10.0.0.1-10.0.0.2 10.0.0.3@gold")
    running = [backend("10.0.0.1"), backend("10.0.0.2"), backend("10.0.0.3", tag="gold")]
    assert run_time_only(running, configured) == ()


def test_every_kind_of_difference() -> None:
    configured = parse_mail_servers("10.0.0.1-10.0.0.5")
    running = [
        backend("10.0.0.1", 0),
        backend("10.0.0.2", state=State.DOWN),
        backend("10.0.0.3", tag="gold"),
        backend("10.0.0.4"),
        backend("10.0.0.9"),
    ]
    assert run_time_only(running, configured) == (
        "10.0.0.1 has vhost count 0, a restart gives it 100",
        "10.0.0.2 is down, a restart brings it up",
        "10.0.0.3 has tag gold, in director_mail_servers no tag",
        "10.0.0.9 is not in director_mail_servers",
        "10.0.0.5 is in director_mail_servers only",
    )


def test_one_backend_can_differ_in_several_ways() -> None:
    running = [backend("10.0.0.1", 50, State.DOWN, "gold")]
    assert len(run_time_only(running, parse_mail_servers("10.0.0.1"))) == 3


def test_a_backend_may_be_one_of_the_host_names() -> None:
    assert run_time_only([backend("10.0.0.9")], parse_mail_servers("mail.example.com")) == ()


@pytest.mark.parametrize(
    ("value", "ip", "entries"),
    [
        ("10.0.0.1-10.0.0.4  10.0.0.7@gold", "10.0.0.3", ("10.0.0.1-10.0.0.4",)),
        ("10.0.0.1-10.0.0.4 10.0.0.7@gold", "10.0.0.7", ("10.0.0.7@gold",)),
        ("10.0.0.1-10.0.0.4 10.0.0.3@x", "10.0.0.3", ("10.0.0.1-10.0.0.4", "10.0.0.3@x")),
        ("[2001:DB8::1]@b mail.example.com", "2001:db8::1", ("[2001:DB8::1]@b",)),
        ("10.0.0.1,10.0.0.2 mail.example.com", "10.0.0.2", ()),
        ("", "10.0.0.2", ()),
    ],
)
def test_the_entries_in_which_an_ip_stands(value: str, ip: str, entries: tuple[str, ...]) -> None:
    assert entries_with(value, ip) == entries


@pytest.mark.parametrize(
    ("value", "ip", "new"),
    [
        ("10.0.0.1 10.0.0.2", "10.0.0.1", "10.0.0.2"),
        ("10.0.0.1 10.0.0.2", "10.0.0.2", "10.0.0.1"),
        (
            "10.0.0.1-10.0.0.9@gold  mail.example.com",
            "10.0.0.3",
            "10.0.0.1-10.0.0.2@gold 10.0.0.4-10.0.0.9@gold  mail.example.com",
        ),
        ("10.0.0.1-10.0.0.3@a", "10.0.0.1", "10.0.0.2-10.0.0.3@a"),
        ("10.0.0.1-10.0.0.3@a", "10.0.0.2", "10.0.0.1@a 10.0.0.3@a"),
        ("10.0.0.1-10.0.0.2", "10.0.0.2", "10.0.0.1"),
        ("10.0.0.2-10.0.0.2 x", "10.0.0.2", "x"),
        ("2001:db8::fe-2001:db8::102", "2001:db8::100", "2001:db8::fe-2001:db8::ff 2001:db8::101-2001:db8::102"),
        ("010.0.0.01 5 [2001:DB8::1] 10.9", "2001:db8::1", "010.0.0.01 5 10.9"),
        ("010.0.0.01 5 10.9", "10.0.0.1", "5 10.9"),
        ("10.0.0.1@x@y  10.0.0.1", "10.0.0.1", ""),
        (" 10.0.0.1  b ", "10.0.0.1", "  b "),
        ("10.0.0.1,10.0.0.2 10.0.0.3-10", "10.0.0.1", "10.0.0.1,10.0.0.2 10.0.0.3-10"),
        ("10.0.0.11 10.0.0.1.example.com", "10.0.0.1", "10.0.0.11 10.0.0.1.example.com"),
        ("", "10.0.0.1", ""),
    ],
)
def test_the_value_without_a_backend(value: str, ip: str, new: str) -> None:
    assert without(value, ip).value == new


def test_host_names_may_be_the_backend() -> None:
    assert without("mail-1.example.com@a 10.0.0.1", "10.0.0.1") == Without(
        "mail-1.example.com@a", (("10.0.0.1", ""),), ("mail-1.example.com@a",)
    )


addresses = st.integers(1, 254).map(lambda number: f"10.0.0.{number}") | st.integers(0, 40).map(
    lambda number: f"2001:db8::{number:x}"
)


@st.composite
def ranges(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        first, last = sorted((draw(st.integers(0, 255)), draw(st.integers(0, 255))))
        return f"10.0.0.{first}-10.0.0.{last}"
    first, last = sorted((draw(st.integers(0, 40)), draw(st.integers(0, 40))))
    return f"2001:db8::{first:x}-2001:DB8::{last:x}"


odd = st.sampled_from(
    (
        "mail.example.com",
        "10.0.0.1,10.0.0.2",
        "10.0.0.9-10.0.0.1",
        "10.0.0.5\t6",
        "010.0.0.07",
        "[2001:db8::3]",
        "\udcff",
    )
)
tags = st.sampled_from(("", "", "@gold", "@x@y", "@"))
entries = st.tuples(addresses | ranges() | odd, tags).map("".join)
spaces = st.integers(1, 3).map(lambda number: " " * number)
values = st.tuples(
    st.sampled_from(("", " ")), st.lists(st.tuples(entries, spaces).map("".join), max_size=6).map("".join)
).map("".join)


@given(values, addresses)
def test_the_value_without_a_backend_names_all_others_as_before(value: str, ip: str) -> None:
    new = without(value, ip)
    before, after = parse_mail_servers(value), parse_mail_servers(new.value)
    assert after.ips == {one: tag for one, tag in before.ips.items() if one != ip}
    assert (after.names, after.invalid) == (before.names, before.invalid)
    assert set(after.repeated) == set(before.repeated) - {ip}
    if ip not in before.ips:
        assert new.value == value
    assert without(new.value, ip).value == new.value
    # Byte for byte: all that is not changed stands there as it did.
    changed = {entry for entry, _ in new.changes}
    kept = [entry for entry in value.split(" ") if entry and entry not in changed]
    rest = iter(new.value.split(" "))
    assert all(entry in rest for entry in kept)
