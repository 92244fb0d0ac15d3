"""Looking a user up on one director, and asking all of them for sessions."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from director_tui.director.model import DirectorPeer, RingView, Snapshot
from director_tui.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DoveadmError,
    LinkError,
    MalformedOutput,
    RingUnreadable,
)
from director_tui.link.reading import DirectorView, LinkState, LinkStatus, Reading
from director_tui.link.ssh import Reply
from director_tui.link.users import ATTEMPTS, Sessions, find_user, not_asked, sessions
from tests.link.fakes import FakeSsh, status_output, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.link.fakes import Said

PLACED = b"status\texpires\thashed\tinitial-config\n"
PROXY = b"username\tproto\tsrc ip\tdest ip\tport\n"
AGAIN = b"username\tservice\tsrc-ip\tdest-ip\tdest-port\n"
BACKENDS = {"10.1.0.1": ("", 100, "up", 7), "10.1.0.7": ("gold", 100, "up", 7)}


class Directors:
    """Answers for a user; ``backends`` may change, and whatever ``instead`` has for a destination comes first."""

    def __init__(self) -> None:
        self.backends = dict(BACKENDS)
        self.current = "10.1.0.1"
        self.instead: dict[str, Said] = {}
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def __call__(self, destination: str, words: tuple[str, ...]) -> Said:
        self.asked.append((destination, words[4:]))
        if destination in self.instead:
            return self.instead[destination]
        match words[4:]:
            case ("map", "-u", "--", _):
                return b"hash\n4711\n"
            case ("status",):
                return status_output(self.backends)
            case ("status", "--", "4711"):
                return PLACED + f"{self.current}\t2026-11-24 22:06:03\t10.1.0.1\t10.1.0.1\n".encode()
            case ("status", "--", "4711", _):
                return PLACED + b"n/a\t-1\t10.1.0.7\t\n"
        raise AssertionError(words)


async def test_a_user_is_found_in_every_tag() -> None:
    directors = Directors()
    found = await find_user(FakeSsh(directors).ring("d1", "d2"), "jane doe")
    assert (found.user, found.hash, found.director) == ("jane doe", 4711, "d1")
    assert [(one.tag, one.current, one.hashed, one.initial_config) for one in found.placements] == [
        ("", "10.1.0.1", "10.1.0.1", "10.1.0.1"),
        ("gold", None, "10.1.0.7", None),
    ]
    assert [one.ip for one in found.backends] == list(BACKENDS)
    assert ("d1", ("map", "-u", "--", "jane doe")) in directors.asked


async def test_an_assignment_belongs_to_the_tag_of_its_backend() -> None:
    """Up to 2.2.26 a hash has one assignment for all tags, and each of them is answered with it."""
    everywhere = b"10.1.0.1\t2026-11-24 22:06:03\t10.1.0.7\t10.1.0.7\n"

    def answers(destination: str, words: tuple[str, ...]) -> Said:
        said = Directors()(destination, words)
        return PLACED + everywhere if words[4:] == ("status", "--", "4711", "gold") else said

    found = await find_user(FakeSsh(answers).ring("d1"), "jane")
    assert [(one.tag, one.current, one.expires is None, one.hashed) for one in found.placements] == [
        ("", "10.1.0.1", False, "10.1.0.1"),
        ("gold", None, True, "10.1.0.7"),
    ]


async def test_only_in_one_tag() -> None:
    found = await find_user(FakeSsh(Directors()).ring("d1"), "jane", "gold")
    assert [one.tag for one in found.placements] == ["gold"]


async def test_a_name_of_digits_is_hashed_like_any_other() -> None:
    directors = Directors()
    await find_user(FakeSsh(directors).ring("d1"), "12345")
    assert ("d1", ("map", "-u", "--", "12345")) in directors.asked
    assert not any("12345" in words for _, words in directors.asked if words[0] == "status")


@pytest.mark.parametrize(
    ("user", "tag", "why"),
    [
        ("", None, "the user name is empty"),
        ("a\nb", None, "control character in it .U.000A"),
        ("a", "\t", "control character in it .U.0009"),
        ("a", "x\ufffd", "characters in it that can't be sent"),
        ("x" * 1025, None, "longer than 1,024 characters"),
    ],
)
async def test_what_can_not_be_sent_is_not_sent(user: str, tag: str | None, why: str) -> None:
    ssh = FakeSsh(Directors())
    with pytest.raises(ValueError, match=why):
        await find_user(ssh.ring("d1"), user, tag)
    assert ssh.attempts == []


async def test_a_tag_that_can_not_be_sent_does_not_hide_the_others() -> None:
    directors = Directors()
    directors.backends["10.1.0.9"] = ("x\x00", 100, "up", 1)
    found = await find_user(FakeSsh(directors).ring("d1"), "jane")
    assert [one.tag for one in found.placements] == ["", "gold"]
    (why,) = found.left_out
    assert "can't be sent to a director" in why


async def test_a_ring_without_backends_is_asked_all_the_same() -> None:
    def empty(destination: str, words: tuple[str, ...]) -> Said:
        match words[4:]:
            case ("map", *_):
                return b"hash\n4711\n"
            case ("status",):
                return status_output({})
            case _:
                return PLACED + b"n/a\t-1\t\t\n"

    found = await find_user(FakeSsh(empty).ring("d1"), "jane")
    assert [(one.tag, one.current) for one in found.placements] == [("", None)]


async def test_everything_is_asked_again_when_another_director_takes_over_in_the_middle() -> None:
    directors = Directors()

    def failing_over(destination: str, words: tuple[str, ...]) -> Said:
        if destination == "d1" and words[4:6] == ("status", "--"):
            return ConnectionLost("d1: the connection was lost")
        return directors(destination, words)

    found = await find_user(FakeSsh(failing_over).ring("d1", "d2"), "jane")
    assert found.director == "d2"
    assert [words for name, words in directors.asked if name == "d2"].count(("status",)) == 1


async def test_directors_that_take_turns_are_an_error_and_not_a_mixture() -> None:
    directors = Directors()

    def one_knows_the_list_and_the_other_the_user(destination: str, words: tuple[str, ...]) -> Said:
        if destination != ("d2" if words[4:6] == ("status", "--") else "d1"):
            return Reply(75, b"", b"Error: director-admin unexpectedly disconnected\n", 0.01)
        return directors(destination, words)

    with pytest.raises(LinkError, match="test: the directors took turns"):
        await find_user(FakeSsh(one_knows_the_list_and_the_other_the_user).ring("d1", "d2"), "jane")
    assert directors.asked.count(("d1", ("status",))) == ATTEMPTS


async def test_a_backend_that_came_in_the_middle_is_read_once_more() -> None:
    directors = Directors()
    directors.current = "10.1.0.2"

    def adding(destination: str, words: tuple[str, ...]) -> Said:
        said = directors(destination, words)
        if words[4:6] == ("status", "--"):
            directors.backends["10.1.0.2"] = ("", 100, "up", 1)
        return said

    found = await find_user(FakeSsh(adding).ring("d1"), "jane")
    assert "10.1.0.2" in [one.ip for one in found.backends]


async def test_a_backend_that_is_never_listed_is_said_in_the_end() -> None:
    directors = Directors()
    directors.current = "10.9.9.9"
    found = await find_user(FakeSsh(directors).ring("d1"), "jane")
    assert found.placements[0].current == "10.9.9.9"
    assert directors.asked.count(("d1", ("status",))) == ATTEMPTS


async def test_no_director_answers() -> None:
    ssh = FakeSsh(Directors())
    ssh.refusals = {name: AuthenticationFailed(f"{name}: no key was accepted") for name in ("d1", "d2")}
    with pytest.raises(RingUnreadable, match="d2: no key was accepted"):
        await find_user(ssh.ring("d1", "d2"), "jane")


async def test_a_setting_that_can_not_be_expanded_is_a_failure_in_spite_of_status_0() -> None:
    directors = Directors()

    def broken(destination: str, words: tuple[str, ...]) -> Said:
        if words[4] == "map":
            return Reply(0, b"\n", b"Error: Failed to expand director_username_hash=%{x}: unknown variable\n", 0.01)
        return directors(destination, words)

    with pytest.raises(RingUnreadable, match="it fails to expand director_username_hash"):
        await find_user(FakeSsh(broken).ring("d1"), "jane")


# Sessions


def row(user: str, ip: str) -> bytes:
    return f"{user}\timap\t192.0.2.1\t{ip}\t143\n".encode()


def everywhere(said: dict[str, Said]) -> FakeSsh:
    def answer(destination: str, words: tuple[str, ...]) -> Said:
        assert words == ("doveadm", "-f", "tab", "proxy", "list")
        return said[destination]

    return FakeSsh(answer)


async def test_the_sessions_of_all_directors() -> None:
    ssh = everywhere(
        {
            "d1": PROXY + row("jane", "10.1.0.1") + AGAIN + row("joe", "10.1.0.2"),
            "d2": PROXY + row("jane", "10.1.0.1"),
            "d3": b"\n",
        }
    )
    found = await sessions(ssh.ring("d1", "d2", "d3"))
    assert {name: [one.user for one in rows] for name, rows in found.by_director.items()} == {
        "d1": ["jane", "joe"],
        "d2": ["jane"],
        "d3": [],
    }
    assert (found.failures, found.waiting) == ({}, ())
    assert len(found.all) == 3
    assert sorted(one.ip for one in found.all) == ["10.1.0.1", "10.1.0.1", "10.1.0.2"]


async def test_no_session_is_not_claimed_of_a_director_that_says_nothing_with_status_0() -> None:
    ssh = everywhere(
        {
            "d1": Reply(
                0,
                b"\n",
                b"Error: connect(/run/dovecot/ipc) failed: Permission denied\n"
                b"Error: LIST-FULL failed: ipc connect failed\n",
                0.01,
            ),
            "d2": PROXY + row("jane", "10.1.0.1")[:-5],
            "d3": PROXY + b"jane\t10.1.0.1\timap\t192.0.2.1\t10.1.0.1\t143\n",
            "d4": ConnectionLost("d4: the connection was lost"),
            "d5": Reply(0, PROXY + row("x", "10.1.0.1"), b"Error: LIST-FULL failed: timeout\n", 0.01),
        }
    )
    found = await sessions(ssh.ring("d1", "d2", "d3", "d4", "d5"))
    assert found.by_director == {}
    assert {name: type(failure) for name, failure in found.failures.items()} == {
        "d1": DoveadmError,
        "d2": MalformedOutput,
        "d3": MalformedOutput,
        "d4": ConnectionLost,
        "d5": DoveadmError,
    }
    assert "can't be asked through /run/dovecot/ipc: Permission denied" in str(found.failures["d1"])


async def test_what_is_known_is_published_before_the_slowest_has_answered() -> None:
    thawed = asyncio.Event()

    async def frozen() -> Said:
        await thawed.wait()
        return PROXY

    def answer(destination: str, words: tuple[str, ...]) -> object:
        return frozen() if destination == "d1" else PROXY + row("jane", "10.1.0.1")

    published: list[Sessions] = []
    asking = asyncio.create_task(sessions(FakeSsh(answer).ring("d1", "d2"), (), published.append))  # type: ignore[arg-type] # an awaitable of bytes
    await until(lambda: len(published) == 1)
    assert (published[0].waiting, list(published[0].by_director)) == (("d1",), ["d2"])
    thawed.set()
    assert await asking == published[1]
    assert published[1].waiting == ()
    assert list(published[1].by_director) == ["d1", "d2"], "as configured, whoever was faster"


def view(name: str, own: str | None, members: Sequence[str] = ("10.0.0.1", "10.0.0.2", "10.0.0.3")) -> DirectorView:
    if own is None:
        return DirectorView(name, failure=ConnectionLost("gone"))
    peers = [DirectorPeer(ip, 9090, "self" if ip == own else "", None, "ring synced") for ip in members]
    return DirectorView(name, RingView(tuple(peers)))


async def test_a_director_of_another_ring_is_left_out_and_one_that_is_configured_twice_asked_once() -> None:
    ssh = everywhere(dict.fromkeys(("d1", "again", "other", "d2"), PROXY + row("jane", "10.1.0.1")))
    views = [view("d1", "10.0.0.1"), view("again", "10.0.0.1"), view("other", "10.9.0.1", ["10.9.0.1"])]
    found = await sessions(ssh.ring("d1", "again", "other", "d2"), views)
    assert list(found.by_director) == ["d1", "d2"]


THREE = view("d1", "10.0.0.1").ring


@pytest.mark.parametrize(
    ("views", "ring", "asked", "count"),
    [
        ([], None, 1, 0),  # nothing is known of the ring yet
        ([], THREE, 2, 1),  # which one it is nobody has said yet, but there are three
        ([], THREE, 3, 0),
        ([view("d1", "10.0.0.1"), view("d2", "10.0.0.2"), view("d3", "10.0.0.3")], THREE, 3, 0),
        ([view("d1", "10.0.0.1"), view("d2", None)], THREE, 2, 1),
        ([view("d1", "10.0.0.1"), view("d2", None), view("d3", None)], THREE, 3, 0),
        ([view("d1", "10.0.0.1"), view("again", "10.0.0.1"), view("d2", "10.0.0.2")], THREE, 3, 1),
    ],
)
def test_members_that_nobody_here_can_ask(
    views: list[DirectorView], ring: RingView | None, asked: int, count: int
) -> None:
    now = datetime(2026, 11, 24, tzinfo=UTC)
    link = LinkState(LinkStatus.LIVE, "d1")
    reading = Reading(link, Snapshot((), ring, "d1", now, 0.0, 1.0), tuple(views))
    for known in (
        Sessions({f"d{number}": () for number in range(asked)}, {}, (), now, 0.0),
        Sessions({}, {"d0": ConnectionLost("gone")}, tuple(f"d{number}" for number in range(1, asked)), now, 0.0),
    ):
        assert not_asked(reading, known) == count
