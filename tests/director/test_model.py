"""Conditions of a backend, and what one director's view tells about the ring."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from director_tui.director import parse
from director_tui.director.model import Backend, Condition, DirectorPeer, RingView, Snapshot, State, ip_order

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def backend(ip: str = "10.0.0.1", vhosts: int = 100, state: State = State.UP, users: int = 0, tag: str = "") -> Backend:
    return Backend(ip, tag, vhosts, state, None, users)


@pytest.mark.parametrize(
    ("vhosts", "state", "users", "condition", "usable"),
    [
        (100, State.UP, 0, Condition.SERVING, True),
        (100, State.UP, 5, Condition.SERVING, True),
        (0, State.UP, 5, Condition.DRAINING, False),
        (0, State.UP, 0, Condition.DRAINED, False),
        (100, State.DOWN, 5, Condition.DOWN, False),
        (0, State.DOWN, 5, Condition.DOWN, False),
        (0, State.DOWN, 0, Condition.DOWN, False),
    ],
)
def test_condition(vhosts: int, state: State, users: int, condition: Condition, usable: bool) -> None:
    assert backend("10.0.0.1", vhosts, state, users).condition is condition
    assert backend("10.0.0.1", vhosts, state, users).usable is usable


def test_the_director_s_order_of_ips() -> None:
    ips = ["::1", "10.0.0.10", "2001:db8::1", "10.0.0.2", "192.168.0.1"]
    assert sorted(ips, key=ip_order) == ["10.0.0.2", "10.0.0.10", "192.168.0.1", "::1", "2001:db8::1"]


# --- the ring -------------------------------------------------------------------------------------------------------


def view(*rows: tuple[int, str, str], unidentified: tuple[str, ...] = ()) -> RingView:
    """A view from rows of number, type and status; the addresses are those of the number."""
    peers = (DirectorPeer(f"10.0.0.{number}", 9090, type_, None, status) for number, type_, status in rows)
    return RingView(tuple(peers), unidentified)


def numbers(members: frozenset[tuple[str, int]]) -> list[int]:
    return sorted(int(ip.rpartition(".")[2]) for ip, _ in members)


SELF = "self", "ring synced"
ONE = view((1, *SELF))
TWO = view((1, *SELF), (2, "left", "synced"), (2, "right", "synced"))
TWO_OLD = view((1, "self", "synced"), (2, "l+r", "synced"))  # up to 2.2.33
THREE = view((1, *SELF), (2, "right", "synced"), (3, "left", "synced"))
FOUR = view((1, *SELF), (2, "right", "synced"), (3, "", ""), (4, "left", "synced"))
SIX_FROM_4 = view((1, "", ""), (2, "", ""), (3, "left", "synced"), (4, *SELF), (5, "right", "synced"), (6, "", ""))


@pytest.mark.parametrize("ring", [ONE, TWO, TWO_OLD, THREE, FOUR, SIX_FROM_4])
def test_a_healthy_ring(ring: RingView) -> None:
    assert ring.synced
    assert ring.healthy
    assert not ring.alone
    assert ring.connected == ring.members


def test_a_standalone_director() -> None:  # case 13
    ring = RingView((DirectorPeer("127.0.0.1", 0, "self", None, "ring synced"),))
    assert ring.healthy
    assert len(ring.members) == 1


@pytest.mark.parametrize(
    ("ring", "connected"),
    [
        # As real rings of 2.3.19.1 print it: the neighbours close the gap, and the dead one keeps its row.
        (view((1, *SELF), (2, "left", "synced"), (2, "right", "synced"), (3, "", "")), [1, 2]),
        (view((1, "", ""), (2, *SELF), (3, "left", "synced"), (3, "right", "synced")), [2, 3]),
        (view((1, "left", "synced"), (2, *SELF), (3, "", ""), (4, "right", "synced")), [1, 2, 4]),
        (view((1, "right", "synced"), (2, "left", "synced"), (3, "", ""), (4, *SELF)), [1, 2, 4]),
        (view((1, *SELF), (2, "", ""), (3, "right", "synced"), (4, "", ""), (5, "left", "synced")), [1, 3, 4, 5]),
    ],
)
def test_a_member_that_the_neighbours_skip_is_gone(ring: RingView, connected: list[int]) -> None:
    assert ring.synced
    assert numbers(ring.connected) == connected
    assert not ring.healthy
    assert not ring.alone


def test_a_member_that_is_gone_is_found_by_asking_every_director() -> None:
    # 3 of four is stopped. 1 can't know: for it the ring looks as it always did.
    from_1 = FOUR
    from_2 = view((1, "left", "synced"), (2, *SELF), (3, "", ""), (4, "right", "synced"))
    from_4 = view((1, "right", "synced"), (2, "left", "synced"), (3, "", ""), (4, *SELF))
    assert from_1.connected == from_1.members
    assert numbers(from_1.connected & from_2.connected & from_4.connected) == [1, 2, 4]


def test_the_order_of_the_ring_is_by_number_not_by_text() -> None:
    ring = view((2, "left", "synced"), (9, *SELF), (10, "right", "synced"), (11, "", ""))
    assert numbers(ring.connected) == [2, 9, 10, 11]


@pytest.mark.parametrize("others", [1, 2, 4])
def test_a_director_that_is_alone_in_a_larger_ring(others: int) -> None:
    ring = view((1, *SELF), *((2 + number, "", "") for number in range(others)))
    assert ring.synced
    assert ring.alone
    assert not ring.healthy
    assert numbers(ring.connected) == [1]


def test_a_director_that_is_starting_is_not_split() -> None:  # a real one of 2.3.19.1, seconds after its start
    status = "handshaking - 0 USERs sent"
    ring = view((1, "self", "ring handshaking"), (2, "out", status), (3, "", ""), (4, "", ""))
    assert not ring.alone
    assert not ring.synced
    assert not ring.healthy
    assert numbers(ring.connected) == [1]


def test_a_status_that_only_counts_up_says_the_same() -> None:
    def row(status: str) -> DirectorPeer:
        return DirectorPeer("10.0.0.1", 9090, "self", None, status)

    assert row("ring syncing - last sync 3 secs ago") == row("ring syncing - last sync 4 secs ago")
    assert row("ring syncing - last sync 3 secs ago") != row("ring synced")
    assert row("handshaking - 12 USERs received") == row("handshaking - 40 USERs received")


@pytest.mark.parametrize(
    "status", ["ring syncing - last sync 42 secs ago", "syncing - last sync 1 secs ago"]
)  # case 17
def test_while_it_syncs_a_ring_keeps_its_members(status: str) -> None:
    ring = RingView((replace(FOUR.peers[0], status=status), *FOUR.peers[1:]))
    assert not ring.synced
    assert not ring.healthy
    assert numbers(ring.connected) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "ring",
    [
        view((1, *SELF), (2, "left", "synced")),  # no right neighbour
        view((1, *SELF), (2, "right", "synced"), (3, "left", "syncing")),
        view((1, *SELF), (2, "right", "synced"), (3, "left", "handshaking - 3 USERs sent")),
        view((1, *SELF), (2, "right", "synced"), (3, "left", "synced"), (3, "in", "handshaking - 3 USERs received")),
        view((1, *SELF), (2, "right", "synced"), (3, "left", "synced"), (4, "out", "handshaking - 3 USERs sent")),
        view((1, *SELF), (2, "right", "synced"), (3, "left", "synced"), (2, "left", "synced")),
        view(
            (1, *SELF), (2, "right", "synced"), (3, "left", "synced"), unidentified=("handshaking - 1 USERs received",)
        ),
        view((2, "right", "synced"), (3, "left", "synced")),  # without itself
        view(),
    ],
)
def test_not_healthy(ring: RingView) -> None:
    assert not ring.healthy


def test_a_removed_director_is_no_member() -> None:
    ring = RingView((*TWO.peers, DirectorPeer("10.0.0.3", 9090, "removed", None, "")))
    assert numbers(ring.members) == [1, 2]
    assert ring.healthy


def test_ping_is_the_slowest_neighbour_s() -> None:
    peers = (
        replace(THREE.peers[0], ping_ms=700),  # on the director's own row it is the time of the last sync
        replace(THREE.peers[1], ping_ms=2),
        replace(THREE.peers[2], ping_ms=5),
    )
    assert RingView(peers).ping_ms == 5
    assert THREE.ping_ms is None


def test_the_real_bytes_of_a_ring_with_one_director_stopped() -> None:
    stdout = (
        b"director ip\tport\ttype\tlast failed\tstatus\tping ms\t"
        b"input\toutput\tbuffered\tbuffered peak\tlast read\tlast write\n"
        b"127.0.4.1\t19091\tself\tnever\tring synced\t0\t-\t-\t-\t-\t-\t-\n"
        b"127.0.4.2\t19092\tleft\tnever\tsynced\t0\t57\t856\t0\t37\t2026-11-24 00:48:44\t2026-11-24 00:48:44\n"
        b"127.0.4.2\t19092\tright\tnever\tsynced\t1\t856\t57\t0\t37\t2026-11-24 00:48:44\t2026-11-24 00:48:44\n"
        b"127.0.4.3\t19093\t\tnever\t\t-\t-\t-\t-\t-\t-\t-\n"
    )
    ring = parse.ring_view(stdout)
    assert len(ring.members) == 3
    assert ring.connected == {("127.0.4.1", 19091), ("127.0.4.2", 19092)}
    assert ring.synced
    assert not ring.healthy


# --- the snapshot ---------------------------------------------------------------------------------------------------


def snapshot(*backends: Backend) -> Snapshot:
    return Snapshot(backends, THREE, "dir1", NOW, 1.0, 14.0)


def test_snapshots_with_nothing_new_are_equal() -> None:
    one = snapshot(backend())
    assert one == replace(one, taken_at=NOW + timedelta(seconds=2), taken_mono_s=3.0, latency_ms=1.0)
    assert one != replace(one, backends=(backend(users=1),))
    assert one != replace(one, ring=None)
    assert one != replace(one, director="dir2")


def test_what_a_snapshot_knows() -> None:
    gold_down = backend("10.0.0.3", state=State.DOWN, users=7, tag="gold")
    one = snapshot(backend("10.0.0.1", users=3), backend("10.0.0.2", vhosts=0), gold_down)
    assert one.users == 10
    assert one.tags == ("", "gold")
    assert one.tags_without_backend == ("gold",)  # case 38
    assert one.backend("10.0.0.3") == gold_down
    assert one.backend("10.0.0.9") is None


def test_a_snapshot_may_be_as_old_as_the_question() -> None:
    snapshot = Snapshot((), None, "dir1", datetime(2026, 1, 1, tzinfo=UTC), 100.0, 250.0)
    assert snapshot.asked_mono_s == 99.75
