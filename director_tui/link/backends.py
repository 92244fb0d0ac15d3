"""Reaching a backend itself, over SSH: through the connection to a director, or directly.

It is a link as those to the directors are: the same keys, the same checks of host keys, the same ways of carrying
something out that is never ended from here. A director only passes on what goes to the backend's own sshd.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from director_tui.config import DirectorConfig
from director_tui.errors import ConfigError, DirectorTuiError, RingUnreadable, Unreachable
from director_tui.link.ring import DirectorLink

if TYPE_CHECKING:
    from director_tui.config import BackendAccess, ClusterConfig
    from director_tui.link.ring import Ring
    from director_tui.link.ssh import Connection


def access_to(ip: str, cluster: ClusterConfig) -> BackendAccess:
    """How this backend is reached. Raises ConfigError where nothing says it."""
    if cluster.backends is None or not cluster.backends.ssh:
        raise ConfigError(
            f"how to reach {ip} itself is not configured",
            f"set ssh in [clusters.{cluster.name}.backends] of config.toml",
        )
    return cluster.backends


def backend_link(ip: str, ring: Ring) -> DirectorLink:
    """The link to this backend; nothing is connected yet. Whoever made it closes it. Raises ConfigError."""
    access = access_to(ip, ring.cluster)
    config = DirectorConfig(access.destination(ip), access.doveadm)
    return DirectorLink(config, _ThroughDirector(ring) if access.via_director else ring.ssh)


_PASSES_NOTHING_ON = (
    "sshd on the director has to pass connections on (AllowTcpForwarding, PermitOpen); or set via_director = false in "
    "config.toml, where the backend is reached from here"
)


class _ThroughDirector:
    """For a host that is only reached from the directors."""

    def __init__(self, ring: Ring) -> None:
        self._ring = ring

    async def connect(self, destination: str) -> Connection:
        """Through the first director that can be reached; what fails behind it would fail behind another one, too."""
        causes: dict[str, DirectorTuiError] = {}
        for director in self._ring.in_order():
            try:
                through = await asyncio.shield(director.connecting())
            except DirectorTuiError as error:
                causes[director.name] = error
                continue
            try:
                return await self._ring.ssh.connect(destination, through=through)
            except Unreachable as error:
                error.remedy = error.remedy or _PASSES_NOTHING_ON
                raise
        raise RingUnreadable(causes)
