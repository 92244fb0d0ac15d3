"""Every step of reaching a ring with its verdict, and what the directors say when they are held against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from director_tui.errors import AuthenticationFailed, ConfigError, HostKeyRefused, Unreachable
from director_tui.link.checkup import Finding, Verdict, examine
from director_tui.link.ssh import Reply
from tests.link.fakes import FakeDirectors, FakeSsh

if TYPE_CHECKING:
    from director_tui.errors import DirectorTuiError

OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL
NOT_RUNNING = Reply(
    75,
    b"",
    b"doveadm(root): Error: net_connect_unix(/run/dovecot/director-admin) failed: No such file or directory\n",
    0.01,
)


@pytest.fixture
def directors() -> FakeDirectors:
    return FakeDirectors(
        members={"d1": "10.0.0.1", "d2": "10.0.0.2", "d3": "10.0.0.3"},
        backends={"10.1.0.1": ("", 100, "up", 10), "10.1.0.2": ("", 100, "up", 20)},
    )


@pytest.fixture
def ssh(directors: FakeDirectors) -> FakeSsh:
    return FakeSsh(directors)


async def found(ssh: FakeSsh, *names: str) -> list[Finding]:
    ring = ssh.ring(*(names or ("d1", "d2", "d3")))
    try:
        return [finding async for finding in examine(ring)]
    finally:
        await ring.close()


def shown(findings: list[Finding], *verdicts: Verdict) -> list[tuple[Verdict, str, str]]:
    return [(each.verdict, each.where, each.what) for each in findings if not verdicts or each.verdict in verdicts]


async def test_all_is_well(ssh: FakeSsh) -> None:
    findings = await found(ssh)
    assert shown(findings)[:7] == [
        (OK, "d1", "SSH answers"),
        (OK, "d1", "its host key is known"),
        (OK, "d1", "logged in"),
        (OK, "d1", "Dovecot 2.3.19.1"),
        (OK, "d1", "director socket: 2 backends, 2 usable"),
        (OK, "d1", "ring: synced, 3 of 3 directors"),
        (OK, "d2", "SSH answers"),
    ]
    assert shown(findings)[18:] == [
        (OK, "ring", "3 directors agree about all backends"),
        (OK, "d1, d2, d3", "director_mail_servers says the same as the running ring"),
    ]
    assert [each.where for each in findings if each.read_the_ring] == ["d1", "d2", "d3"]
    assert {each.remedy for each in findings} == {""}


@pytest.mark.parametrize(
    ("refusal", "steps"),
    [
        (Unreachable("d1: port 22 refuses the connection", "is sshd running there?"), []),
        (HostKeyRefused("d1: the host key has changed", "ask"), ["SSH answers"]),
        (AuthenticationFailed("d1: no key was accepted", "ssh-add"), ["SSH answers", "its host key is known"]),
        (HostKeyRefused("jump host j1: the host key has changed", "ask"), []),
        (AuthenticationFailed("jump host j1: no key was accepted", "ssh-add"), []),
        (ConfigError("d1: more than 8 jump hosts", "mend it"), []),
    ],
)
async def test_the_step_that_fails_is_the_last_one(ssh: FakeSsh, refusal: DirectorTuiError, steps: list[str]) -> None:
    ssh.refusals["d1"] = refusal
    findings = await found(ssh, "d1")
    assert shown(findings) == [
        *((OK, "d1", step) for step in steps),
        (FAIL, "d1", str(refusal).removeprefix("d1: ")),
    ]
    assert findings[-1].remedy == refusal.remedy
    assert not any(each.read_the_ring for each in findings)


async def test_one_that_fails_does_not_keep_the_others_from_being_tried(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.instead["d1"] = NOT_RUNNING
    directors.gone = {"d1"}
    findings = await found(ssh)
    assert shown(findings, FAIL) == [(FAIL, "d1", "there is no director socket /run/dovecot/director-admin")]
    assert (WARN, "d1", "version not known: there is no director socket /run/dovecot/director-admin") in shown(findings)
    assert (WARN, "d2", "ring: synced, 2 of 3 directors take part") in shown(findings)
    assert (WARN, "ring", "members that were not read here: 10.0.0.1:9090") in shown(findings)
    assert [each.where for each in findings if each.read_the_ring] == ["d2", "d3"]


async def test_a_ring_that_is_not_synced_fails(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.unsynced = {"d2"}
    assert shown(await found(ssh), FAIL) == [(FAIL, "d2", "ring: ring handshaking")]


async def test_a_director_that_believes_it_is_alone_fails(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.gone = {"d2", "d3"}
    findings = await found(ssh, "d1")
    assert shown(findings, FAIL) == [
        (FAIL, "d1", "it believes that it is the only director: the ring is split"),
    ]


async def test_a_list_without_backends_fails_but_has_been_read(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.backends = {}
    findings = await found(ssh, "d1")
    assert (FAIL, "d1", "director socket: 0 backends, 0 usable") in shown(findings)
    assert any(each.read_the_ring for each in findings)


@pytest.mark.parametrize(
    "other",
    [("", 50, "up", 10), ("", 100, "down", 10), ("gold", 100, "up", 10), None],
    ids=["vhosts", "state", "tag", "missing"],
)
async def test_directors_that_disagree_fail(directors: FakeDirectors, other: tuple[str, int, str, int] | None) -> None:
    backends = {ip: row for ip, row in (directors.backends | {"10.1.0.1": other}).items() if row}
    differing = FakeDirectors(directors.members, backends)
    ssh = FakeSsh(lambda name, words: (differing if name == "d2" else directors)(name, words))
    fails = shown(await found(ssh), FAIL)
    assert fails == [(FAIL, "d2", "disagrees with d1 about 10.1.0.1")]


async def test_directors_may_count_users_differently(directors: FakeDirectors) -> None:
    differing = FakeDirectors(directors.members, {ip: (*row[:3], 99) for ip, row in directors.backends.items()})
    ssh = FakeSsh(lambda name, words: (differing if name == "d2" else directors)(name, words))
    assert shown(await found(ssh), WARN, FAIL) == []


async def test_a_director_of_another_ring_fails_once_and_is_held_against_nobody(directors: FakeDirectors) -> None:
    elsewhere = FakeDirectors({"e1": "10.9.0.1", "e2": "10.9.0.2"}, {"10.8.0.1": ("", 1, "up", 1)})
    elsewhere.settings = b"director_mail_servers = 10.8.0.1\n"
    ssh = FakeSsh(lambda name, words: (elsewhere if name == "e1" else directors)(name, words))
    findings = await found(ssh, "d1", "d2", "d3", "e1")
    assert shown(findings, FAIL) == [(FAIL, "e1", "belongs to another ring than d1")]
    assert (OK, "ring", "3 directors agree about all backends") in shown(findings)
    assert not [each for each in findings if "10.9.0.2" in each.what]


async def test_two_rings_with_the_first_director_silent_can_not_be_told_apart(directors: FakeDirectors) -> None:
    elsewhere = FakeDirectors({"e1": "10.9.0.1"}, {"10.8.0.1": ("", 1, "up", 1)})
    ssh = FakeSsh(lambda name, words: (elsewhere if name == "e1" else directors)(name, words))
    directors.instead["d1"] = NOT_RUNNING
    findings = await found(ssh, "d1", "e1", "d2")
    assert shown(findings, FAIL)[1:] == [
        (FAIL, "ring", "can't tell which is ours: e1 and d2 belong to different rings, and d1 says nothing")
    ]
    assert not [each for each in findings if "another ring than" in each.what or "disagrees" in each.what]


async def test_two_ways_to_one_director_count_once(directors: FakeDirectors) -> None:
    again = FakeDirectors({"again": "10.0.0.1", "x": "10.0.0.2", "y": "10.0.0.3"}, directors.backends)
    ssh = FakeSsh(lambda name, words: (again if name == "again" else directors)(name, words))
    findings = await found(ssh, "d1", "again", "d2", "d3")
    assert shown(findings, WARN, FAIL) == [(WARN, "again", "is the same director as d1; counted once")]


async def test_what_is_set_at_run_time_only_is_a_warning(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.settings = b"director_mail_servers = 10.1.0.1 10.1.0.9\n"
    findings = await found(ssh)
    said = [what for _, where, what in shown(findings, WARN) if where == "d1, d2, d3"]
    assert len(said) == 2
    assert ["10.1.0.2" in " ".join(said), "10.1.0.9" in " ".join(said)] == [True, True]
    assert shown(findings, FAIL) == []


async def test_a_list_with_which_dovecot_would_not_start_fails(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.settings = b"director_mail_servers = 10.1.0.1 10.1.0.2 10.1.0.5-10.1.0.3\n"
    fails = shown(await found(ssh), FAIL)
    assert [("10.1.0.5-10.1.0.3" in what, where) for _, where, what in fails] == [(True, "d1, d2, d3")]


async def test_settings_that_can_not_be_read_are_a_warning(ssh: FakeSsh, directors: FakeDirectors) -> None:
    directors.settings = Reply(1, b"", b"sudo: a password is required\n", 0.01)
    findings = await found(ssh, "d1", "d2")
    warnings = shown(findings, WARN)
    assert [where for _, where, what in warnings if what.startswith("settings not known: sudo asks")] == ["d1", "d2"]
    assert shown(findings, FAIL) == []
