"""The practice ring by itself: placement, users, time, directors. tests/parity/ compares its answers with Dovecot's."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest

from director_tui.demo import side as side_module
from director_tui.demo.ring import PracticeRing
from director_tui.demo.side import USER_EXPIRE_S
from director_tui.director import doveadm
from director_tui.director.failures import failure_of
from director_tui.director.hashring import HashRing, rings_by_tag, user_hash
from director_tui.director.mail_servers import parse_mail_servers, run_time_only
from director_tui.director.model import Assignment, Backend, State
from director_tui.errors import DoveadmError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.director.doveadm import Call

ResultT = TypeVar("ResultT")

START = datetime(2026, 11, 23, 21, 54, tzinfo=UTC)


def make(backends: int = 8, users: int = 2_000, seed: int = 1) -> PracticeRing:
    return PracticeRing(backends=backends, users=users, seed=seed, start=START)


def ask(ring: PracticeRing, call: Call[ResultT], director: int = 0) -> ResultT:
    words = ("doveadm",) if call.tool is doveadm.Tool.DOVEADM else ("sudo", "-n", "doveconf")
    answer = ring.execute(director, (*words, *call.words))
    if error := failure_of(call, answer.status, answer.stdout, answer.stderr):
        raise error
    return call.parse(answer.stdout)


def assigned(ring: PracticeRing, ip: str | None = None) -> dict[int, str]:
    return {each.user_hash: each.ip for each in ask(ring, doveadm.assignments(ip))}


def total(ring: PracticeRing) -> int:
    return sum(each.users for each in ring.backends)


@pytest.mark.parametrize(
    ("count", "golden", "first", "last"),
    [
        (1, 0, "10.1.0.1", "10.1.0.1"),
        (3, 0, "10.1.0.1", "10.1.0.3"),
        (4, 2, "10.1.0.1", "10.1.0.4"),
        (8, 2, "10.1.0.1", "10.1.0.8"),
        (250, 62, "10.1.0.1", "10.1.0.250"),
        (400, 100, "10.1.0.1", "10.1.1.150"),
    ],
)
def test_rings_of_any_size_have_as_many_backends_and_a_quarter_of_them_golden(
    count: int, golden: int, first: str, last: str
) -> None:
    ring = make(backends=count, users=300)
    ips = [each.ip for each in ring.backends]
    assert (len(set(ips)), ips[0], ips[-1]) == (count, first, last)
    assert [each.tag for each in ring.backends].count("gold") == golden
    assert all(each.usable and each.state_changed is None for each in ring.backends)
    configured = parse_mail_servers(ask(ring, doveadm.settings()).mail_servers or "")
    assert configured.ips == {each.ip: each.tag for each in ring.backends}
    odd = [each for each in ring.backends if each.vhosts != 100]
    assert len(run_time_only(ring.backends, configured)) == len(odd) <= count // 4


def test_assignments_are_where_the_hash_ring_leads() -> None:
    ring = make()
    rings, tags = rings_by_tag(ring.backends), {each.ip: each.tag for each in ring.backends}
    placed = assigned(ring)
    assert set(placed.values()) == set(tags)
    assert all(rings[tags[ip]].backend_of(hash_) == ip for hash_, ip in placed.items())


def test_a_new_vhost_count_decides_about_new_users_only() -> None:
    ring = make()
    before = assigned(ring)
    ip = ring.backends[0].ip
    ring.set_vhosts(ip, 0)
    assert assigned(ring) == before
    ring.advance(120)
    after = assigned(ring)
    stayed = {hash_ for hash_, where in after.items() if where == ip}
    assert stayed <= {hash_ for hash_, where in before.items() if where == ip}
    assert after.keys() - before.keys()
    assert all(after[hash_] == before[hash_] for hash_ in after.keys() & before.keys())
    ring.set_vhosts(ip, 1000)
    ring.advance(60)
    assert {hash_ for hash_, where in assigned(ring).items() if where == ip} - stayed


def test_a_backend_without_new_users_loses_them_by_expiry() -> None:
    ring = make()
    ip = ring.backends[0].ip
    ring.set_state(ip, State.DOWN)
    counts = []
    for _ in range(8):
        counts.append(ring.backends[0].users)
        ring.advance(USER_EXPIRE_S)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 10 * counts[-1]


def test_an_assignment_expires_900_s_after_the_user_was_last_seen() -> None:
    ring = make(users=0)
    ring.assign(12345, "10.1.0.1")
    ring.advance(USER_EXPIRE_S - 0.25)
    assert ask(ring, doveadm.placement(12345, "")).expires == START + timedelta(seconds=900)
    assert ring.backends[0].users == 1
    ring.advance(0.25)
    assert ask(ring, doveadm.placement(12345, "")).current is None
    assert ring.backends[0].users == 0
    assert assigned(ring) == {}


def test_a_session_keeps_its_assignment() -> None:
    ring = make()
    before = {each.user: each.ip for director in range(3) for each in ask(ring, doveadm.proxy_list(), director)}
    ring.advance(2 * USER_EXPIRE_S)
    for director in range(3):
        for session in ask(ring, doveadm.proxy_list(), director):
            tag = "gold" if "@gold." in session.user else ""
            placement = ask(ring, doveadm.placement(user_hash(session.user), tag))
            assert placement.current == session.ip
            assert placement.expires is not None
            assert ring.now + timedelta(seconds=USER_EXPIRE_S / 2 - 1) <= placement.expires
    after = {each.user: each.ip for director in range(3) for each in ask(ring, doveadm.proxy_list(), director)}
    kept = before.keys() & after.keys()
    assert kept
    assert all(before[user] == after[user] for user in kept)


def test_expiry_times_lie_ahead_and_are_of_mixed_age_from_the_start() -> None:
    ring = make()
    left_s = [(each.expires - START).total_seconds() for each in ask(ring, doveadm.assignments()) if each.expires]
    assert len(left_s) == total(ring)
    assert min(left_s) >= 0
    assert max(left_s) <= USER_EXPIRE_S
    spread = Counter(int(seconds // 225) for seconds in left_s)
    assert all(spread[quarter] > len(left_s) / 20 for quarter in range(4))


def test_it_is_in_equilibrium_from_the_start_and_stays_there() -> None:
    ring = make(users=20_000)
    counts = []
    for _ in range(24):
        counts.append(total(ring))
        ring.advance(300)
    assert all(count == pytest.approx(20_000, rel=0.08) for count in counts)
    assert sum(counts) / len(counts) == pytest.approx(20_000, rel=0.02)
    assert max(counts) - min(counts) > 400  # it lives


def test_the_counts_are_those_of_the_assignments() -> None:
    ring = make()
    for _ in range(5):
        ring.advance(123.5)
        listed = Counter(each.ip for each in ask(ring, doveadm.assignments()))
        assert {each.ip: each.users for each in ring.backends} == {each.ip: listed[each.ip] for each in ring.backends}


def test_the_same_seed_and_time_give_the_same_ring_whatever_the_steps() -> None:
    one, other = make(seed=7), make(seed=7)
    one.advance(300)
    for _ in range(3_000):
        other.advance(0.1)
    everything = doveadm.assignments()
    assert one.now == other.now == START + timedelta(seconds=300)
    assert one.backends == other.backends
    assert ask(one, everything) == ask(other, everything)
    assert ask(one, doveadm.proxy_list(), 2) == ask(other, doveadm.proxy_list(), 2)
    assert make(seed=8).backends != make(seed=7).backends


def test_the_same_people_log_in_whatever_is_done_to_the_ring() -> None:
    one, other = make(), make()
    other.set_vhosts("10.1.0.1", 0)
    for ring in (one, other):
        ring.advance(600)
    assert assigned(one).keys() == assigned(other).keys()
    assert assigned(one) != assigned(other)


def test_time_goes_forward_only() -> None:
    with pytest.raises(ValueError, match="forward"):
        make(users=0).advance(-1)


def test_a_second_costs_its_logins_and_expiries_not_all_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    built = []

    class CountedHashRing(HashRing):
        def __init__(self, backends: Iterable[Backend]) -> None:
            built.append(1)
            super().__init__(backends)

    monkeypatch.setattr(side_module, "HashRing", CountedHashRing)
    ring = make(backends=40, users=20_000)
    before = ring.events
    ring.advance(300)
    # 20,000 users who stay for half an hour on average: eleven come and eleven go each second.
    assert 300 * 15 < ring.events - before < 300 * 40
    assert len(built) == 2  # one for each tag
    ring.set_vhosts("10.1.0.1", 77)
    ring.set_vhosts("10.1.0.1", 77)
    ring.advance(60)
    assert len(built) == 3


def test_a_tag_without_a_usable_backend_gets_nobody_new() -> None:
    ring = make()
    golden = [each.ip for each in ring.backends if each.tag == "gold"]
    before = assigned(ring)
    for ip in golden:
        ring.set_vhosts(ip, 0)
    ring.advance(300)
    after = assigned(ring)
    assert {hash_ for hash_, ip in after.items() if ip in golden} < before.keys()
    assert ask(ring, doveadm.placement(1, "gold")).hashed is None
    assert {hash_ for hash_, ip in after.items() if ip not in golden} - before.keys()
    ring.set_vhosts(golden[0], 100)
    ring.advance(60)
    assert {hash_ for hash_, ip in assigned(ring).items() if ip == golden[0]} - before.keys()


def test_down_and_up_note_the_time_only_when_something_changes() -> None:
    ring = make(users=0)
    ring.set_state("10.1.0.1", State.UP)
    assert ring.backends[0].state_changed is None
    ring.advance(10)
    ring.set_state("10.1.0.1", State.DOWN)
    ring.advance(10)
    ring.set_state("10.1.0.1", State.DOWN)
    assert ask(ring, doveadm.status())[0].state_changed == START + timedelta(seconds=10)
    ring.set_vhosts("10.1.0.1", 5)
    ring.set_state("10.1.0.1", State.UP)
    assert ask(ring, doveadm.status())[0] == Backend(
        "10.1.0.1", "", 5, State.UP, START + timedelta(seconds=20), users=0
    )


def test_what_the_ring_has_not_is_refused() -> None:
    ring = make(users=0)
    with pytest.raises(KeyError):
        ring.set_vhosts("10.9.9.9", 1)
    with pytest.raises(KeyError):
        ring.set_state("10.9.9.9", State.DOWN)
    with pytest.raises(ValueError, match="0 to 1000"):
        ring.set_vhosts("10.1.0.1", 1001)
    ring.assign(5, "10.1.0.1")
    with pytest.raises(ValueError, match="already"):
        ring.assign(5, "10.1.0.2")


def test_people_are_found_by_name_in_their_tag() -> None:
    ring = make()
    session = ask(ring, doveadm.proxy_list())[0]
    tag = "gold" if "@gold." in session.user else ""
    by_name = ring.execute(0, ("doveadm", "-f", "tab", "director", "status", session.user, tag))
    assert by_name.stdout.split(b"\n")[1].split(b"\t")[0].decode() == session.ip


def test_each_session_passes_through_one_director() -> None:
    ring = make()
    users = [{each.user for each in ask(ring, doveadm.proxy_list(), director)} for director in range(3)]
    assert all(len(each) > 200 for each in users)
    assert len(set.union(*users)) == sum(map(len, users))


def test_proxy_list_has_the_titles_once_and_the_keys_before_every_other_session() -> None:
    lines = make().execute(0, ("doveadm", "-f", "tab", "proxy", "list")).stdout.splitlines()
    assert lines[0] == b"username\tproto\tsrc ip\tdest ip\tport"
    assert set(lines[2::2]) == {b"username\tservice\tsrc-ip\tdest-ip\tdest-port"}
    assert {line.split(b"\t")[4] for line in lines[1::2]} == {b"143", b"110"}


def test_map_lists_who_was_not_seen_for_longest_first_one_tag_after_the_other() -> None:
    ring = make()
    tags = {each.ip: each.tag for each in ring.backends}
    listed = ask(ring, doveadm.assignments())
    assert [tags[each.ip] for each in listed] == sorted(tags[each.ip] for each in listed)

    def expiries(tag: str) -> list[datetime]:
        return [each.expires for each in listed if tags[each.ip] == tag and each.expires]

    assert all(expiries(tag) == sorted(expiries(tag)) for tag in ("", "gold"))
    of_one: tuple[Assignment, ...] = ask(ring, doveadm.assignments("10.1.0.2"))
    assert of_one == tuple(each for each in listed if each.ip == "10.1.0.2")


def test_somebody_takes_a_backend_that_was_removed_out_of_one_configuration_after_the_other() -> None:
    ring = make(users=0)
    removed, added = "10.1.0.3", "10.1.0.77"

    def written() -> list[str]:
        return [ask(ring, doveadm.mail_servers(), director) for director in range(3)]

    before, after = (
        "10.1.0.1-10.1.0.6 10.1.0.7-10.1.0.8@gold",
        "10.1.0.1-10.1.0.2 10.1.0.4-10.1.0.6 10.1.0.7-10.1.0.8@gold",
    )
    for words in (("add", added), ("remove", added), ("remove", removed)):
        ring.execute(0, ("doveadm", "director", *words))
    ring.advance(20)
    assert written() == [before] * 3
    for count in (1, 2, 3):
        ring.advance(5)
        assert written() == [after] * count + [before] * (3 - count)
    ring.execute(0, ("doveadm", "director", "add", removed))
    assert written() == [before] * 3


def test_which_directors_there_are_is_known_but_not_changed() -> None:
    ring = make(users=0)
    for words in ("ring add 10.0.0.14", "ring remove 10.0.0.12"):
        answer = ring.execute(0, ("doveadm", "director", *words.split()))
        assert (answer.status, answer.stdout) == (64, b"")
        assert answer.stderr.startswith(b"Error: the practice ring can't do this: doveadm director ring ")


def test_only_the_tab_format_is_there() -> None:
    answer = make(users=0).execute(0, ("doveadm", "director", "status"))
    assert (answer.status, answer.stdout) == (64, b"")
    assert b"doveadm -f tab" in answer.stderr


@pytest.mark.parametrize(
    ("argv", "status", "stderr"),
    [
        (["id"], 127, b"sh: 1: id: not found\n"),
        (["sudo", "-n", "id"], 1, b"sudo: id: command not found\n"),
        (["doveadm", "-x"], 89, b"doveadm: invalid option -- 'x'\n"),
        (["/usr/bin/doveadm", "-f"], 89, b"doveadm: option requires an argument -- 'f'\n"),
        (["doveadm", "-f", "bogus", "director", "status"], 75, b"doveadm: Fatal: Unknown print formatter: bogus\n"),
    ],
)
def test_words_that_lead_nowhere(argv: list[str], status: int, stderr: bytes) -> None:
    answer = make(users=0).execute(0, argv)
    assert (answer.status, answer.stdout, answer.stderr) == (status, b"", stderr)


def test_a_stopped_director_is_not_there_and_its_sessions_go_on_through_another() -> None:
    ring = make()
    users = sum(len(ask(ring, doveadm.proxy_list(), director)) for director in range(3))
    ring.stop_director(0)
    with pytest.raises(DoveadmError, match="nobody listens on the director socket"):
        ask(ring, doveadm.status())
    assert ask(ring, doveadm.user_hash("jane")) == 1480892766
    assert sum(len(ask(ring, doveadm.proxy_list(), director)) for director in (1, 2)) == users
    ring.start_director(0)
    assert ask(ring, doveadm.status()) == ask(ring, doveadm.status(), 1)
    ring.advance(60)
    assert ask(ring, doveadm.proxy_list())


def types(ring: PracticeRing, director: int) -> list[tuple[str, str]]:
    return [(peer.ip[-2:], peer.type) for peer in ask(ring, doveadm.ring_status(), director).peers]


def test_each_director_sees_the_others_left_and_right() -> None:
    ring = make(users=0)
    assert types(ring, 0) == [("11", "self"), ("12", "right"), ("13", "left")]
    assert types(ring, 1) == [("11", "left"), ("12", "self"), ("13", "right")]
    assert types(ring, 2) == [("11", "right"), ("12", "left"), ("13", "self")]
    views = [ask(ring, doveadm.ring_status(), director) for director in range(3)]
    assert all(view.healthy and len(view.connected) == 3 for view in views)


def test_two_of_three_directors_have_two_connections() -> None:
    ring = make(users=0)
    ring.advance(5)
    ring.stop_director(2)
    ring.advance(65)
    assert types(ring, 0) == [("11", "self"), ("12", "right"), ("12", "left"), ("13", "")]
    assert types(ring, 1) == [("11", "left"), ("11", "right"), ("12", "self"), ("13", "")]
    views = [ask(ring, doveadm.ring_status(), director) for director in (0, 1)]
    assert all(view.synced and not view.healthy and len(view.connected) == 2 for view in views)
    # Only whoever has it on the right tries to reach it, every 30 s.
    assert [view.peers[-1].last_failed for view in views] == [None, START + timedelta(seconds=65)]


def test_the_last_director_is_syncing_for_a_while_and_then_alone() -> None:
    ring = make(users=0)
    ring.advance(10)
    ring.stop_director(2)
    ring.stop_director(1)
    ring.advance(7)
    view = ask(ring, doveadm.ring_status())
    assert view.self_peer is not None
    assert view.self_peer.status == "ring syncing - last sync 7 secs ago"
    ring.advance(20)
    view = ask(ring, doveadm.ring_status())
    assert view.synced
    assert view.alone
    assert [peer.last_failed for peer in view.peers] == [None, *[START + timedelta(seconds=31)] * 2]
    ring.start_director(1)
    ring.start_director(2)
    assert all(ask(ring, doveadm.ring_status(), director).healthy for director in range(3))


def test_a_ring_that_was_all_down_knows_its_configuration_only() -> None:
    ring = make()
    ring.set_vhosts("10.1.0.1", 3)
    ring.set_state("10.1.0.2", State.DOWN)
    for director in range(3):
        ring.stop_director(director)
    ring.advance(30)
    ring.start_director(1)
    backends = ask(ring, doveadm.status(), 1)
    assert {(each.vhosts, each.state, each.state_changed, each.users) for each in backends} == {
        (100, State.UP, None, 0)
    }
    ring.advance(30)
    assert 0 < total(ring) < 200


def test_a_director_that_starts_while_it_is_cut_off_knows_its_configuration_only() -> None:
    ring = make()
    ring.set_vhosts("10.1.0.1", 3)
    ring.cut_off(2)
    assert ask(ring, doveadm.status(), 2) == ask(ring, doveadm.status())
    sessions = len(ask(ring, doveadm.proxy_list())) + len(ask(ring, doveadm.proxy_list(), 1))
    ring.stop_director(2)
    assert len(ask(ring, doveadm.proxy_list())) + len(ask(ring, doveadm.proxy_list(), 1)) == sessions
    ring.advance(30)
    ring.start_director(2)
    assert {(each.vhosts, each.users) for each in ask(ring, doveadm.status(), 2)} == {(100, 0)}
    assert ask(ring, doveadm.status())[0].vhosts == 3
    view = ask(ring, doveadm.ring_status(), 2)
    assert view.alone
    assert [peer.last_failed for peer in view.peers] == [*[START + timedelta(seconds=30)] * 2, None]


def test_only_one_director_is_cut_off_at_a_time_and_comes_back_when_it_tries() -> None:
    ring = make(users=0)
    ring.mend()
    ring.cut_off(0)
    with pytest.raises(ValueError, match="split already"):
        ring.cut_off(1)
    ring.advance(25)
    ring.mend()
    ring.advance(25)
    assert ask(ring, doveadm.ring_status()).alone
    ring.advance(1)  # 30 s after it saw that it was alone
    assert all(ask(ring, doveadm.ring_status(), director).healthy for director in range(3))
    ring.cut_off(1)
    assert not ask(ring, doveadm.ring_status(), 2).healthy


def test_a_session_lasts_until_the_user_logs_out() -> None:
    ring = make(users=0)
    ring.log_in("jane@example.com", 1)
    ring.log_in("jane@example.com", 2)
    ring.advance(3 * USER_EXPIRE_S)
    [session] = ask(ring, doveadm.proxy_list(), 1)
    assert [session] == list(ask(ring, doveadm.proxy_list(), 2))
    ring.log_out("jane@example.com", 1)
    ring.advance(USER_EXPIRE_S)
    assert assigned(ring) == {user_hash("jane@example.com"): session.ip}
    ring.log_out("jane@example.com", 2)
    assert ask(ring, doveadm.proxy_list(), 2) == ()
    ring.advance(USER_EXPIRE_S)
    assert assigned(ring) == {}


def test_nobody_logs_in_without_a_usable_backend() -> None:
    ring = make(backends=1, users=0)
    ring.set_vhosts("10.1.0.1", 0)
    with pytest.raises(ValueError, match="no backend takes jane"):
        ring.log_in("jane")
