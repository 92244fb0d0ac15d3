"""director-tui on a real ring in a real terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.ring.real import RealRing
    from tests.ring.sshd import Agent, Sshd
    from tests.ring.terminal import Terminal


class Dashboard:
    """Starts director-tui on a ring in a terminal."""

    def __init__(self, sshds: list[Sshd], agent: Agent, known_hosts: Path, config: Path, more: str = "") -> None:
        """``more`` is what the configuration has beside the directors."""
        self._sshds = sshds
        self._agent = agent
        self._known_hosts = known_hosts
        self._config = config
        self._more = more

    @property
    def command(self) -> list[str]:
        """The program with its configuration, to which a command can be added."""
        return [sys.executable, "-m", "director_tui", "--config", str(self._config)]

    def open(self, terminal: Terminal, ring: RealRing, width: int, height: int) -> None:
        directors = ", ".join(
            f"{{ssh = {json.dumps(sshd.destination)}, doveadm = {json.dumps(director.doveadm_words)}}}"
            for sshd, director in zip(self._sshds, ring.directors, strict=True)
        )
        known_hosts = json.dumps(str(self._known_hosts))
        text = f"[clusters.real]\ndirectors = [{directors}]\nknown_hosts = {known_hosts}\ninterval = 1\n{self._more}"
        self._config.write_text(text)
        terminal.start(self.command, width, height, SSH_AUTH_SOCK=str(self._agent.socket))
