"""What rings of each version answered to the calls of this program, to the same values (tests/fixtures)."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from director_tui.director import doveadm
from director_tui.director.assignment_stream import AssignmentStream
from director_tui.director.failures import EX_USAGE, failure_of
from director_tui.director.hashring import HashRing, user_hash
from director_tui.director.model import RingSettings, State
from director_tui.director.parse import proxy_sessions
from director_tui.errors import MalformedOutput
from tests.fuzz.capture import FAILING, FAILING_WHEN_STOPPED, FIXTURES, HASH, USER

if TYPE_CHECKING:
    from collections.abc import Sequence


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


VERSIONS: Final = sorted((path.name for path in FIXTURES.iterdir() if path.is_dir()), key=number)
MAIL_SERVERS: Final = "127.0.1.1-127.0.1.6 127.0.1.7@gold 127.0.1.8@gold"
ROWS: Final = [
    ("127.0.1.1", "", 100, State.UP),
    ("127.0.1.2", "", 100, State.DOWN),
    ("127.0.1.3", "", 0, State.UP),
    ("127.0.1.4", "", 100, State.UP),
    ("127.0.1.5", "", 100, State.UP),
    ("127.0.1.6", "", 100, State.UP),
    ("127.0.1.7", "gold", 100, State.UP),
    ("127.0.1.8", "gold", 100, State.UP),
]
ASSIGNED: Final = {
    577090038: "127.0.1.7",
    1095513149: "127.0.1.2",
    3639700192: "127.0.1.1",
    2095328387: "127.0.1.8",
    506456970: "127.0.1.6",
    3280387013: "127.0.1.5",
    271041746: "127.0.1.4",
}
"""Some of those that capture.py has assigned, the same in every ring."""
NOT_ASKED: Final = "the director's login processes can't be asked"

pytestmark = pytest.mark.parametrize("version", VERSIONS)


def printed(version: str, name: str) -> bytes:
    return (FIXTURES / version / name).read_bytes()


def settings(version: str) -> RingSettings:
    return doveadm.settings(number(version)).parse(printed(version, "doveconf"))


def test_the_backends(version: str) -> None:
    backends = doveadm.status().parse(printed(version, "director-status"))
    assert [(one.ip, one.tag, one.vhosts, one.state) for one in backends] == ROWS
    assert [one.ip for one in backends if one.state_changed is not None] == ["127.0.1.2"]


def test_the_assignments_are_those_that_are_counted(version: str) -> None:
    stdout = printed(version, "director-map")
    assignments = doveadm.assignments().parse(stdout)
    assert ASSIGNED.items() <= {one.user_hash: one.ip for one in assignments}.items()
    assert all(one.expires is not None for one in assignments)
    users = {one.ip: one.users for one in doveadm.status().parse(printed(version, "director-status")) if one.users}
    assert Counter(one.ip for one in assignments) == users
    streamed: list[str] = []

    def keep(_: Sequence[int], ips: Sequence[str]) -> None:
        streamed.extend(ips)

    stream = AssignmentStream(keep)
    stream.feed(stdout)
    stream.end()
    assert Counter(streamed) == users


def test_the_ring_is_whole(version: str) -> None:
    view = doveadm.ring_status().parse(printed(version, "director-ring-status"))
    assert view.healthy
    assert view.closed
    assert not view.alone
    assert sorted(peer.type for peer in view.peers) == ["left", "right", "self"]
    assert len(view.connected) == len(view.members) == 3
    assert {peer.last_failed for peer in view.peers} == {None}


def test_where_a_user_is_and_where_the_hash_leads_to(version: str) -> None:
    place = doveadm.placement(HASH, "").parse(printed(version, "director-status-user"))
    assignments = doveadm.assignments().parse(printed(version, "director-map"))
    assert place.current in {one.ip for one in assignments if one.user_hash == HASH}
    assert place.expires is not None
    backends = doveadm.status().parse(printed(version, "director-status"))
    ring = HashRing((one for one in backends if not one.tag), consistent=settings(version).consistent_hashing)
    assert place.hashed == ring.backend_of(HASH)
    assert place.initial_config in {ip for ip, tag, *_ in ROWS if not tag}


def test_the_dump(version: str) -> None:
    """The program does not ask for it. Up to 2.2.24 it is a script, in which no backend has its tag."""
    if number(version) < (2, 2, 25):
        with pytest.raises(MalformedOutput):
            doveadm.dump().parse(printed(version, "director-dump"))
        return
    commands = doveadm.dump().parse(printed(version, "director-dump"))
    assert [(one.verb, one.ip, one.tag, one.vhosts) for one in commands] == [("add", *row[:3]) for row in ROWS]


def test_the_hash_of_a_name(version: str) -> None:
    assert doveadm.user_hash(USER).parse(printed(version, "director-map-user")) == HASH == user_hash(USER)


def test_the_version_and_the_settings(version: str) -> None:
    assert doveadm.version().parse(printed(version, "doveconf-n")) == number(version)
    of_2_2 = number(version) < (2, 3)
    assert settings(version) == RingSettings(number(version), MAIL_SERVERS, consistent_hashing=not of_2_2)
    assert (b"director_consistent_hashing" in printed(version, "doveconf")) is of_2_2


def test_the_sessions(version: str) -> None:
    sessions = proxy_sessions(printed(version, "proxy-list"))
    assert {(one.user, one.protocol, one.source_ip) for one in sessions} >= {("user3@example.com", "imap", "127.0.0.1")}
    assert {one.ip for one in sessions} <= {ip for ip, *_ in ROWS}


def test_how_calls_fail(version: str) -> None:
    ends = json.loads(printed(version, "failures.json"))
    assert ends.keys() == {**FAILING, **FAILING_WHEN_STOPPED}.keys()
    said = {}
    for name, call in {**FAILING, **FAILING_WHEN_STOPPED}.items():
        end = ends[name]
        failure = failure_of(call, end["status"], end["stdout"].encode(), end["stderr"].encode())
        assert failure is not None, name
        said[name] = str(failure).replace("Warning: ", "")
    assert said == {
        "update": "doveadm director update failed with exit status 75: 10.9.9.9: doesn't exist",
        "down": "doveadm director down failed with exit status 68: 10.9.9.9: doesn't exist",
        "flush": "doveadm director flush failed with exit status 68: 10.9.9.9: doesn't exist",
        "move": "doveadm director move failed with exit status 68: Host '10.9.9.9' doesn't exist",
        "metacache": "doveadm metacache flushall is no command there",
        "status-stopped": "nobody listens on the director socket /run/dovecot/director-admin",
        "proxy-list-stopped": f"{NOT_ASKED} through /run/dovecot/ipc: Connection refused",
    }
    assert ends["metacache"]["status"] == EX_USAGE
