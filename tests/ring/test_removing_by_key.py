"""The clean removal by its keys in a real terminal, killed in the middle of every step in turn, and resumed.

Read back with plain doveadm on every director, and on the backend itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from director_tui.director.hashring import user_hash
from tests.ring.backend_hosts import BackendHosts
from tests.ring.dashboard import Dashboard
from tests.ring.processes import wait_until
from tests.ring.sshd import write_known_hosts
from tests.ring.terminal import GONE, Terminal
from tests.ring.test_changing_by_key import Keys, each

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.ring.fixtures import MakeRing
    from tests.ring.real import RealRing
    from tests.ring.sshd import Agent, Sshd

OUT = "127.0.1.3"
USERS = 600
SESSIONS = 12


class Wizard:
    """The program in a terminal, which can be killed and begun anew; the state folder stays."""

    def __init__(self, dashboard: Dashboard, ring: RealRing, folder: Path) -> None:
        self._dashboard, self._ring, self._folder = dashboard, ring, folder
        self._begun = 0
        self.terminal = self._open()

    def _open(self) -> Terminal:
        self._begun += 1
        folder = self._folder / str(self._begun)
        folder.mkdir()
        terminal = Terminal(folder)
        self._dashboard.open(terminal, self._ring, 120, 36)
        terminal.wait_for("LIVE", "ring 3/3 synced", limit_s=60)
        return terminal

    def kill(self) -> None:
        """SIGKILL to the program itself."""
        found = subprocess.run(["pgrep", "-P", str(self.terminal.pid)], check=True, capture_output=True, timeout=20)
        os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
        self.terminal.wait_for(f"{GONE} 137")
        self.terminal.end()

    def again(self, step: str) -> None:
        """Begin anew, where it is offered to go on with what was left, and go on."""
        self.terminal = self._open()
        self.terminal.wait_for(f"clean removal of {OUT} unfinished — w to resume", limit_s=60)
        self.open()
        self.terminal.wait_for(step, limit_s=60)

    def open(self) -> None:
        """Press w on the backend."""
        Keys(self.terminal).stand_on(OUT)
        self.terminal.press("w")

    def plan(self, step: str, title: str) -> None:
        """Lead the step to its plan."""
        self.terminal.wait_for(step, "Plan", limit_s=60)

        def shown() -> bool:
            self.terminal.press("Enter")  # a button takes no press right after another one
            return wait_until(lambda: self.terminal.shows(title, "Cancel"), 3)

        assert wait_until(shown, 60), "\n".join(self.terminal.lines())

    def agree(self, title: str, *, until: str) -> None:
        Keys(self.terminal).press_action(title)
        self.terminal.wait_for(until, limit_s=60)

    def end(self) -> None:
        self.terminal.end()


@pytest.fixture
def hosts(real_sshds: list[Sshd]) -> Iterator[BackendHosts]:
    with BackendHosts([f"127.0.1.{number}" for number in range(1, 9)], real_sshds[0].client_key) as hosts:
        yield hosts


def test_killed_in_the_middle_of_every_step_and_resumed(
    make_ring: MakeRing, removal_dashboard: Dashboard, hosts: BackendHosts, tmp_path: Path
) -> None:
    ring = make_ring(settings={"director_user_kick_delay": "0"})
    people = [f"user{number}@example.com" for number in range(SESSIONS)]
    hashes = [user_hash(user) for user in people] + [number * 6_000_000 + 7 for number in range(USERS - SESSIONS)]
    ring.assign_users(dict.fromkeys(hashes, OUT))
    for number, user in enumerate(people):
        ring.log_in(user, number % 3)
    wizard = Wizard(removal_dashboard, ring, tmp_path)
    try:
        # 1: nothing is begun by looking
        wizard.open()
        wizard.terminal.wait_for("the ring is synced, and others take over", "Begin", limit_s=60)
        wizard.kill()
        wizard.terminal = wizard._open()
        assert not wizard.terminal.shows("unfinished")
        wizard.open()
        wizard.terminal.wait_for("the ring is synced, and others take over", "Begin", limit_s=60)
        wizard.terminal.press("Right", "Tab", "Tab", "Tab", "Tab", "Enter")
        wizard.terminal.wait_for("2  No new users", limit_s=60)

        # 2: with the plan in front
        wizard.plan("▸ 2", f"Set vhost count of {OUT} to 0")
        wizard.kill()
        wizard.again("▸ 2")
        assert each(ring, OUT, "vhosts") == "100"
        wizard.plan("▸ 2", f"Set vhost count of {OUT} to 0")
        wizard.agree(f"Set vhost count of {OUT} to 0", until="▸ 3")
        assert each(ring, OUT, "vhosts") == "0"

        # 3
        wizard.kill()
        wizard.again("▸ 3")
        assert each(ring, OUT, "users") == str(USERS)
        wizard.terminal.press("Left", "Left", "Enter")

        # 4 and 6: while the backend uploads
        upload(wizard, hosts, "▸ 4", "▸ 5")

        # 5: while the flush runs, or right after it
        wizard.plan("▸ 5", f"Flush {OUT}")
        Keys(wizard.terminal).press_action(f"Flush {OUT}")
        assert wait_until(lambda: min(users(ring)) < USERS, 60)
        wizard.kill()
        wizard.again("✓ 4")
        assert wait_until(lambda: wizard.terminal.shows("▸ 5") or wizard.terminal.shows("▸ 6"), 60)
        if not wait_until(lambda: wizard.terminal.shows("▸ 6"), 20):
            wizard.plan("▸ 5", f"Flush {OUT}")
            wizard.agree(f"Flush {OUT}", until="▸ 6")
        assert each(ring, OUT, "users") == "0"
        upload(wizard, hosts, "▸ 6", "▸ 7")

        # 7: with the plan in front
        wizard.plan("▸ 7", f"Remove {OUT}")
        wizard.kill()
        wizard.again("▸ 7")
        assert each(ring, OUT, "vhosts") == "0"
        wizard.plan("▸ 7", f"Remove {OUT}")
        Keys(wizard.terminal).press_action(f"Remove {OUT}")
        assert wait_until(lambda: wizard.terminal.shows("▸ 8") or wizard.terminal.shows("Plan again"), 60)
        if wizard.terminal.shows("Plan again"):
            # Nobody has seen the end of the flush, so it takes a minute, or somebody who insists.
            wizard.terminal.wait_for("nobody has seen the end of the flush")
            wizard.terminal.press("Tab", "Enter")
            wizard.terminal.wait_for("type real and press Enter", limit_s=60)
            wizard.terminal.press("real")

            def agreed() -> bool:
                wizard.terminal.press("Enter")  # in its first moment a plan takes no press
                return wait_until(
                    lambda: wizard.terminal.shows("checking once more") or wizard.terminal.shows("▸ 8"), 2
                )

            assert wait_until(agreed, 60)
        wizard.terminal.wait_for("▸ 8", limit_s=60)

        # 8
        wizard.terminal.wait_for(f"{OUT} still stands in director_mail_servers", limit_s=60)
        wizard.kill()
        assert all(OUT not in [row["mail server ip"] for row in one.backends()] for one in ring.directors)
        wizard.terminal = wizard._open()
        wizard.terminal.wait_for(f"clean removal of {OUT} unfinished", limit_s=60)
        wizard.terminal.press("w")
        wizard.terminal.wait_for("Resume", limit_s=60)
        wizard.terminal.press("Enter")
        wizard.terminal.wait_for("▸ 8", f"{OUT} still stands in director_mail_servers", limit_s=60)
        wizard.terminal.press("Right", "Right", "Enter")
        wizard.terminal.wait_for(f"The clean removal of {OUT} is over", limit_s=60)
        assert [one.status for one in hosts.uploads(OUT)].count(0) >= 2
        wizard.terminal.press("q", "q")
        wizard.terminal.wait_for(f"{GONE} 0")
    finally:
        wizard.end()


def upload(wizard: Wizard, hosts: BackendHosts, step: str, following: str) -> None:
    """Kill it while the backend uploads; then upload again, to its end."""
    before = len(hosts.uploads(OUT))
    hosts.hold(OUT)
    wizard.plan(step, f"Upload the metacache of {OUT}")
    wizard.agree(f"Upload the metacache of {OUT}", until="→ sent")
    assert wait_until(lambda: len(hosts.uploads(OUT)) > before, 60)
    wizard.kill()
    wizard.again(step)
    hosts.release(OUT)
    wizard.plan(step, f"Upload the metacache of {OUT}")
    wizard.agree(f"Upload the metacache of {OUT}", until=following)


def users(ring: RealRing) -> set[int]:
    """How many users each director counts on it."""
    found: set[int] = set()
    for director in ring.directors:
        found |= {int(row["users"]) for row in director.backends() if row["mail server ip"] == OUT}
    return found


@pytest.fixture
def removal_dashboard(real_sshds: list[Sshd], ring_agent: Agent, hosts: BackendHosts, tmp_path: Path) -> Dashboard:
    """It reaches the backends, too."""
    known_hosts = write_known_hosts(tmp_path / "known_hosts", [*real_sshds, hosts.sshd])
    access = f'interval = 1\n[clusters.real.backends]\nssh = "{hosts.destination}"\ndoveadm = "{hosts.doveadm}"\n'
    return Dashboard(real_sshds, ring_agent, known_hosts, tmp_path / "config.toml", access)
