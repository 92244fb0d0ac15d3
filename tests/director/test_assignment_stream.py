"""``director map`` in pieces of any size, and everything that it must not take for users."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.director import parse
from director_tui.director.assignment_stream import AssignmentStream
from director_tui.errors import MalformedOutput

HEADER = b"user\thash\tmail server ip\texpire time\n"
TIME = b"2026-11-23 12:00:00"


def row(hash_: int | str, ip: str, user: bytes = b"<unknown>") -> bytes:
    return b"\t".join([user, str(hash_).encode(), ip.encode(), TIME]) + b"\n"


def read(*pieces: bytes) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    stream = AssignmentStream(lambda hashes, ips: found.extend(zip(hashes, ips, strict=True)))
    for piece in pieces:
        stream.feed(piece)
    stream.end()
    return found


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(["10.1.0.1", "2001:db8::1"])), unique=True),
    st.lists(st.integers(1, 90)),
    st.sampled_from([b"", b"Last login: today\n", b"two\nlines\n"]),
)
def test_whatever_the_pieces_it_reads_what_the_parser_of_the_whole_reads(
    users: list[tuple[int, str]], sizes: list[int], greeting: bytes
) -> None:
    printed = greeting + HEADER + b"".join(row(*user) for user in users)
    pieces, place = [], 0
    for size in sizes:
        pieces.append(printed[place : place + size])
        place += size
    pieces.append(printed[place:])
    assert read(*pieces) == users
    assert [(one.user_hash, one.ip) for one in parse.assignments(printed)] == users


def test_addresses_are_in_the_form_of_the_program() -> None:
    assert read(HEADER, row(7, "2001:DB8:0::1")) == [(7, "2001:db8::1")]


@pytest.mark.parametrize(
    ("printed", "why"),
    [
        (b"", "printed nothing"),
        (b"\n", "not what doveadm director map prints"),
        (b"Usage: sudo\n", "not what doveadm director map prints; it begins with “Usage: sudo"),
        (b"Usage: \x1b[31msudo", "begins with “Usage: \ufffd"),
        (HEADER[:-1] + b" more\n", "not what"),
        (b"x" + HEADER, "not what"),
        (HEADER[:-1], "not what"),
        (HEADER + row(1, "10.1.0.1")[:-1], "not complete"),
        (HEADER + row(1, "10.1.0.1") + b"\n", "one of these rows is none"),
        (HEADER + row("", "10.1.0.1"), "one of these rows is none"),
        (HEADER + row("-1", "10.1.0.1"), "one of these rows is none"),
        (HEADER + row("1_0", "10.1.0.1") + row(1, "10.1.0.1"), "one of these rows is none"),
        (HEADER + row(2**32, "10.1.0.1"), "one of these rows is none"),
        (HEADER + row(1, "mail-01"), "one of these rows is none"),
        (HEADER + row(1, "10.1.0.\xe4"), "one of these rows is none"),
        (HEADER + row(1, "10.1.0.1", b"somebody"), "one of these rows is none"),
        (HEADER + row(1, "10.1.0.1", b"<unknown>\tx"), "one of these rows is none"),
        # One cell more and one less: the number of cells is right, but each row is shifted.
        (HEADER + b"<unknown>\tx\t1\t10.1.0.1\tt\n<unknown>\t1\t10.1.0.1\n", "one of these rows is none"),
        (HEADER + b"<unknown>\t1\t10.1.0.1\n<unknown>\t1\t10.1.0.1\tx\tt\n", "one of these rows is none"),
        (b"no header\n" * 20_000, "not what"),
        (b"no line" * 20_000, "not what"),
    ],
)
def test_what_is_no_map_is_refused(printed: bytes, why: str) -> None:
    with pytest.raises(MalformedOutput, match=why):
        read(printed)
    with pytest.raises(MalformedOutput, match=why):
        read(*(printed[place : place + 50] for place in range(0, len(printed), 50)))


def test_a_row_of_an_empty_hash_beside_others_is_refused() -> None:
    with pytest.raises(MalformedOutput, match="one of these rows is none"):
        read(HEADER + row(5, "10.1.0.1") + row("", "10.1.0.1"))
