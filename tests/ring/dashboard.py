"""director-tui on a real ring in a real terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.ring.real import RealRing
    from tests.ring.sshd import Agent
    from tests.ring.terminal import Terminal


class Reached(Protocol):
    """A way to a director: its sshd, or what stands in front of that."""

    @property
    def destination(self) -> str: ...


class Dashboard:
    """Starts director-tui on a ring in a terminal."""

    program: Sequence[str] = (sys.executable, "-m", "director_tui")

    def __init__(
        self,
        ways: Sequence[Reached],
        agent: Agent,
        known_hosts: Path,
        config: Path,
        more: str = "interval = 1\n",
        sudo: str = "",
    ) -> None:
        """``more`` is what the configuration has beside the directors, ``sudo`` the words before each doveadm."""
        self._ways = ways
        self._agent = agent
        self._known_hosts = known_hosts
        self._config = config
        self._more = more
        self._sudo = sudo

    @property
    def command(self) -> list[str]:
        """The program with its configuration, to which a command can be added."""
        return [*self.program, "--config", str(self._config)]

    def open(self, terminal: Terminal, ring: RealRing, width: int, height: int) -> None:
        directors = ", ".join(
            f"{{ssh = {json.dumps(way.destination)}, doveadm = {json.dumps(self._sudo + director.doveadm_words)}}}"
            for way, director in zip(self._ways, ring.directors, strict=True)
        )
        known_hosts = json.dumps(str(self._known_hosts))
        text = f"[clusters.real]\ndirectors = [{directors}]\nknown_hosts = {known_hosts}\n{self._more}"
        self._config.write_text(text)
        terminal.start(self.command, width, height, SSH_AUTH_SOCK=str(self._agent.socket))
