"""What a test of a fault takes its times with, and what it injects it into."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.faults.scene import CHANGED, Scene
from tests.faults.table import INTERVAL_S, Measured
from tests.ring.dashboard import Dashboard
from tests.ring.wires import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.ring.dashboard import Reached
    from tests.ring.real import RealRing
    from tests.ring.sshd import Agent, Sshd
    from tests.ring.terminal import Terminal


class MakeScene(Protocol):
    def __call__(self, ring: RealRing, ways: Sequence[Reached], known_hosts: Path, sudo: str = "") -> Scene: ...


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """The times of the fault that the test is marked with."""
    marker = request.node.get_closest_marker("fault")
    assert marker is not None, "which fault is it? Mark the test with @fault(…)"
    return Measured(marker.args[0])


@pytest.fixture
def make_scene(terminal: Terminal, ring_agent: Agent, tmp_path: Path, measured: Measured) -> MakeScene:
    """The program in a terminal on a ring of which each director is reached in its own way."""

    def make(ring: RealRing, ways: Sequence[Reached], known_hosts: Path, sudo: str = "") -> Scene:
        more = f"interval = {INTERVAL_S}\n"
        dashboard = Dashboard(ways, ring_agent, known_hosts, tmp_path / "config.toml", more, sudo)
        return Scene(terminal, dashboard, ring, Path(os.environ["XDG_STATE_HOME"]), measured)

    return make


@pytest.fixture
def wires(real_sshds: list[Sshd]) -> Iterator[list[Wire]]:
    """A wire to each sshd of all tests, for a scene over them."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Wire(sshd)) for sshd in real_sshds]


@pytest.fixture
def scene_over_wires(
    make_scene: MakeScene, real_ring: RealRing, wires: list[Wire], tmp_path: Path, restored: None
) -> Scene:
    """The program on the ring of all tests, over wires."""
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text("".join(wire.known_hosts for wire in wires))
    return make_scene(real_ring, wires, known_hosts)


@pytest.fixture
def scene(
    make_scene: MakeScene, real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path, restored: None
) -> Scene:
    """The program on the ring and the sshds of all tests."""
    return make_scene(real_ring, real_sshds, ring_known_hosts)


@pytest.fixture
def restored(real_ring: RealRing, real_sshds: list[Sshd]) -> Iterator[None]:
    """However a test ends, the ring and the sshds of all tests are as they were before."""
    yield
    for sshd in real_sshds:
        sshd.thaw_sessions()
        sshd.restrict("")
        sshd.configure()
        if sshd.listener_pid is None:
            sshd.start()
    for director in real_ring.directors:
        if not director.running:
            director.start()
    real_ring.wait_synced()
    real_ring.directors[0].doveadm("director", "flush", "-F", "all")
    real_ring.directors[0].doveadm("director", "update", CHANGED, "100")
