"""The network and SSH. Each director is reached through its own sshd."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.faults.scene import LIMIT_S
from tests.faults.table import fault
from tests.ring.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.faults.conftest import MakeScene
    from tests.faults.scene import Scene
    from tests.ring.real import RealRing
    from tests.ring.sshd import Sshd
    from tests.ring.wires import Wire


def goes_on(scene: Scene) -> None:
    """A change that somebody makes after the fault is the first that is seen: readings go on, whoever is read."""
    scene.somebody_changes()
    scene.sees_the_changes()
    scene.recovers()
    scene.lost_nothing()


def begin_anew(sshds: Sequence[Sshd]) -> None:
    """End every session, so that what comes now is by what has changed."""
    for sshd in sshds:
        sshd.kill_sessions()


@fault(
    "the sshd process of the session in use is killed",
    "● LIVE",
    note="the next reading makes a new connection, or, when one was under way, is the next director's",
)
def test_a_session_is_killed(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    before = set(real_sshds[0].session_pids())
    scene.breaks()
    real_sshds[0].kill_sessions()
    assert wait_until(lambda: bool(set(real_sshds[0].session_pids()) - before), LIMIT_S)
    goes_on(scene)


@fault("the session in use is frozen (SIGSTOP): it stands, and nothing comes", "s old", "failed, now reading")
def test_a_session_is_frozen(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    frozen = set(real_sshds[0].session_pids())
    scene.breaks()
    real_sshds[0].freeze_sessions()
    scene.notices("s old")
    scene.recovers("failed, now reading")
    assert wait_until(lambda: bool(set(real_sshds[0].session_pids()) - frozen), LIMIT_S), "it is not asked again"
    scene.lost_nothing()


@fault("the network to the director in use becomes a black hole", "s old", "failed, now reading")
def test_a_black_hole(scene_over_wires: Scene, wires: list[Wire]) -> None:
    scene_over_wires.open()
    scene_over_wires.breaks()
    wires[0].hold()
    scene_over_wires.notices("s old")
    scene_over_wires.recovers("failed, now reading")
    scene_over_wires.lost_nothing()


@fault(
    "the network to every director becomes a black hole",
    *("s old", "○ STALE", "◌ RECONNECTING", "no director answers", "does not answer (8 s)"),
)
def test_black_holes_everywhere(scene_over_wires: Scene, wires: list[Wire]) -> None:
    scene = scene_over_wires
    scene.open()
    scene.breaks()
    for wire in wires:
        wire.hold()
    scene.notices("s old")
    scene.sees("◌ RECONNECTING", "no director answers")
    scene.somebody_changes()
    scene.sees("○ STALE", "does not answer (8 s)")
    for wire in wires:
        wire.release()
    scene.mended()
    scene.recovers()
    scene.lost_nothing()


@fault(
    "every round trip takes 300 ms longer, and 2 % of all packets another second",
    "● LIVE",
    note="its latency beside it; no other director is read for that",
)
def test_a_slow_and_stalling_network(scene_over_wires: Scene, wires: list[Wire]) -> None:
    scene = scene_over_wires
    scene.open()
    scene.breaks()
    for wire in wires:
        wire.slow_down(0.3, 0.02)
    assert wait_until(lambda: latency_ms(scene) >= 300, LIMIT_S)
    scene.noticed()
    scene.somebody_changes()
    scene.sees_the_changes()
    for wire in wires:
        wire.slow_down(0.0, 0.0)
    scene.mended()
    assert wait_until(lambda: 0 < latency_ms(scene) < 300, LIMIT_S)
    scene.recovers()
    assert not scene.terminal.shows("failed, now reading")
    scene.lost_nothing()


def latency_ms(scene: Scene) -> float:
    found = re.search(r"LIVE +\S+ (\d+) ms", "\n".join(scene.terminal.lines()))
    return float(found[1]) if found else -1.0


@fault("sshd allows one session at a time for each connection (`MaxSessions 1`)", "● LIVE")
def test_one_session_at_a_time(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    scene.breaks()
    for sshd in real_sshds:
        sshd.configure("MaxSessions 1")
    begin_anew(real_sshds)
    goes_on(scene)


@fault(
    "sshd of the director in use opens no session any more (`MaxSessions 0`)",
    *("failed, now reading", "sshd opens no further session"),
)
def test_no_session(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    scene.breaks()
    real_sshds[0].configure("MaxSessions 0")
    begin_anew(real_sshds[:1])
    scene.notices("failed, now reading")
    scene.recovers()
    scene.sees("sshd opens no further session")
    scene.lost_nothing()


@fault("sshd takes no new connection; those that stand go on", "● LIVE", note="it needs no new one")
def test_new_connections_are_refused(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    scene.breaks()
    real_sshds[0].refuse()
    goes_on(scene)
    assert not scene.terminal.shows("failed, now reading")


@fault(
    "sshd of the director in use is gone, with all its sessions",
    *("failed, now reading", "refuses the connection"),
)
def test_a_host_is_down(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    scene.breaks()
    real_sshds[0].stop()
    scene.notices("failed, now reading")
    scene.recovers()
    scene.sees("refuses the connection")
    scene.lost_nothing()


@fault(
    "sshd of every director is gone, with all its sessions",
    *("◌ RECONNECTING", "refuses the connection", "is sshd running there?", "no director answers", "○ STALE"),
)
def test_all_hosts_are_down(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    scene.breaks()
    for sshd in real_sshds:
        sshd.stop()
    scene.notices("◌ RECONNECTING")
    scene.sees("refuses the connection", "is sshd running there?", "no director answers")
    scene.somebody_changes()
    scene.sees("○ STALE")
    for sshd in real_sshds:
        sshd.start()
    scene.mended()
    scene.recovers()
    scene.lost_nothing()


def login_shell(sshds: Sequence[Sshd], script: str) -> None:
    """What stands between sshd and the command from now on, as an account's own shell does."""
    for sshd in sshds:
        sshd.restrict(f'command="{script}"')
    begin_anew(sshds)


@fault(
    "the login shells begin to print a greeting before each command", "● LIVE", note="the table is read from behind it"
)
def test_a_noisy_login_shell(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    scene.breaks()
    login_shell(real_sshds, r"echo Welcome to the mail cluster; eval \"$SSH_ORIGINAL_COMMAND\"")
    goes_on(scene)


@fault("the login shells become a csh", "● LIVE")
def test_a_csh(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    scene.breaks()
    login_shell(real_sshds, r"exec csh -c \"$SSH_ORIGINAL_COMMAND\"")
    goes_on(scene)


@fault(
    "the login shells begin to take 2 s before each command",
    *("● LIVE", "s old"),
    note="until a shell that stays is there, whose commands take no login",
)
def test_a_slow_login_shell(scene: Scene, real_sshds: list[Sshd]) -> None:
    scene.open()
    scene.breaks()
    login_shell(real_sshds, r"sleep 2; eval \"$SSH_ORIGINAL_COMMAND\"")
    scene.notices("s old")
    assert wait_until(lambda: 0 < latency_ms(scene) < 2000, LIMIT_S)
    goes_on(scene)


@fault(
    "sudo begins to ask for a password",
    *("asks for a password there, which this program never types", "◌ RECONNECTING", "no director answers", "○ STALE"),
)
@pytest.mark.usefixtures("restored")
def test_sudo_asks_for_a_password(
    make_scene: MakeScene, real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path, tmp_path: Path
) -> None:
    wanted, refused, sudo = tmp_path / "wanted", tmp_path / "refused", tmp_path / "sudo"
    sudo.write_text(f"""\
#!/bin/sh
if [ -e {wanted} ]; then echo >> {refused}; echo 'sudo: a password is required' >&2; exit 1; fi
shift; exec "$@"
""")
    sudo.chmod(0o755)
    scene = make_scene(real_ring, real_sshds, ring_known_hosts, sudo=f"{sudo} -n ")
    scene.open()
    scene.breaks()
    wanted.touch()
    scene.notices("◌ RECONNECTING")
    scene.sees("asks for a password there, which this program never types", "no director answers")
    scene.sees("○ STALE")
    wanted.unlink()
    scene.mended()
    scene.recovers()
    scene.lost_nothing()
