"""The directors and their ring. A thousand users are assigned."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.faults.scene import IPS, LIMIT_S
from tests.faults.table import fault
from tests.ring.processes import wait_until
from tests.ring.real import RealDirector, RealRing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import MakeScene
    from tests.faults.scene import Scene
    from tests.ring.sshd import Sshd

USERS = 1_000


def assign_users(ring: RealRing) -> None:
    ring.assign_users({number: f"127.0.1.{1 + number % 6}" for number in range(1, USERS + 1)})


@fault(
    "the director process in use is killed (SIGKILL), and its master starts another",
    *("● LIVE", "1,000 users"),
    note="at most one reading without users, before the others have told it; that makes no events",
)
def test_a_director_is_killed(scene: Scene, real_ring: RealRing) -> None:
    assign_users(real_ring)
    scene.open()
    scene.sees("1,000 users")
    scene.breaks()
    real_ring.directors[0].kill()
    assert wait_until(lambda: real_ring.directors[0].directs, LIMIT_S)
    scene.somebody_changes()
    scene.sees_the_changes()
    scene.recovers("1,000 users", "ring 3/3 synced")
    assert not scene.terminal.shows("RESTARTED")
    scene.lost_nothing()


@fault(
    "the director in use is cut off from the others",
    *("left the ring", "synced → not synced", "SPLIT RING", "sees only itself", "in the ring again"),
)
def test_a_partition(make_scene: MakeScene, real_sshds: list[Sshd], ring_known_hosts: Path) -> None:
    with RealRing(can_split=True) as ring:
        scene = make_scene(ring, real_sshds, ring_known_hosts)
        scene.open()
        scene.breaks()
        ring.cut_off(0)
        scene.notices("left the ring")
        scene.sees("synced → not synced")
        scene.sees("SPLIT RING", "sees only itself")
        ring.mend()
        scene.mended()
        scene.recovers("ring 3/3 synced", "in the ring again")
        scene.lost_nothing()


@fault(
    "Dovecot is stopped on every director, and started again: the ring has forgotten users and changes",
    *("◌ RECONNECTING", "nobody listens on the director socket", "Dovecot is not running there", "○ STALE"),
    *("RING RESTARTED WHOLE", "restarted whole: it forgot 1,000 users and changes of 1 backend"),
)
def test_the_ring_is_restarted_whole(scene: Scene, real_ring: RealRing) -> None:
    assign_users(real_ring)
    scene.open()
    scene.sees("1,000 users")
    scene.breaks()
    with ThreadPoolExecutor() as side_by_side:
        list(side_by_side.map(RealDirector.stop, real_ring.directors))
    scene.notices("◌ RECONNECTING")
    scene.sees("nobody listens on the director socket", "Dovecot is not running there")
    scene.sees("○ STALE")
    for director in real_ring.directors:
        director.start()
    scene.mended()
    scene.recovers("ring 3/3 synced")
    scene.sees("RING RESTARTED WHOLE", "restarted whole: it forgot 1,000 users and changes of 1 backend")
    scene.begins_anew()
    scene.lost_nothing()


@fault(
    "the clock of a director is an hour behind, and it sets a backend down",
    *("up → DOWN", "▼ DOWN      1h"),
    note="the director is believed; the events and the journal have the time of this machine",
)
def test_a_wrong_clock(scene: Scene, real_ring: RealRing) -> None:
    first, down = real_ring.directors[0], IPS[2]
    first.stop()
    first.start(clock="-1h")
    try:
        real_ring.wait_synced()
        scene.open()
        scene.breaks()
        first.doveadm("director", "down", down)
        scene.notices(f"{down}  up → DOWN")
        scene.sees("up → DOWN", "▼ DOWN      1h")
        first.doveadm("director", "up", down)
        scene.mended()
        scene.recovers("DOWN → up")
        scene.lost_nothing()
    finally:
        first.stop()
