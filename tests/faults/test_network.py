"""The network and SSH. Each director is reached through its own sshd."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.table import fault
from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from tests.faults.scene import Scene
    from tests.ring.sshd import Sshd


@fault(
    "the sshd process of the session in use is killed",
    "● LIVE",
    note="no sign of it: the next reading makes a new connection to the same director",
)
def test_a_session_is_killed(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    before = set(real_sshds[0].session_pids())
    scene.breaks()
    real_sshds[0].kill_sessions()
    assert wait_until(lambda: bool(set(real_sshds[0].session_pids()) - before), 60)
    scene.somebody_changes()
    scene.sees_the_changes()
    scene.recovers()
    scene.lost_nothing()
