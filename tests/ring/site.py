"""A whole real ring as an operator has one: three directors behind three sshds, the backends' machines behind these,
keys, known hosts and a config.toml."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.ring.backend_hosts import MOST_HOSTS, BackendHosts
from tests.ring.processes import ended_with_us
from tests.ring.real import BACKENDS, RealRing
from tests.ring.sshd import Agent, Sshd, make_key, write_known_hosts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.ring.real import RealDirector


class Site:
    """Between `with Site() as site:` and its end.

    ``config`` is for director-tui, which finds its key in the agent of ``environment``, and a state folder that is not
    anybody's own; ``ssh_config`` is for OpenSSH's client, where the directors are called d1, d2 and d3. ``hosts`` are
    the machines of the backends that there are at first, of MOST_HOSTS at most. With ``by_socket`` doveadm asks the
    config process for its settings, as one that needs no -c does: for whom costs are to be measured, and nobody stops
    a director.
    """

    def __init__(self, directors: int = 3, backends: str = BACKENDS, *, by_socket: bool = False) -> None:
        self._by_socket = by_socket
        self.ring = RealRing(directors, backends)
        self.sshds: list[Sshd] = []
        self.hosts: BackendHosts
        self.folder = Path()
        self.environment: Mapping[str, str] = {}
        self._cleanup = contextlib.ExitStack()

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def client_key(self) -> Path:
        return self.folder / "client_key"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            self.folder = cleanup.enter_context(ended_with_us("site-"))
            cleanup.enter_context(self.ring)
            key = make_key(self.client_key)
            self.sshds = [cleanup.enter_context(Sshd(each.name, client_key=key)) for each in self.ring.directors]
            ips = [row["mail server ip"] for row in self.ring.directors[0].backends()]
            self.hosts = cleanup.enter_context(BackendHosts(ips[:MOST_HOSTS], key))
            agent = cleanup.enter_context(Agent([key])).environment
            self.environment = {**agent, "XDG_STATE_HOME": str(self.folder / "state")}
            write_known_hosts(self.folder / "known_hosts", [*self.sshds, self.hosts.sshd])
            self.ssh_config.write_text("\n".join(sshd.ssh_config.read_text() for sshd in self.sshds))
            self.config.write_text(self._config_text())
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._cleanup.close()

    def doveadm_words(self, director: RealDirector) -> str:
        """How a shell, a remote one too, calls this director's doveadm here."""
        return f"doveadm -c {director.config_socket}" if self._by_socket else director.doveadm_words

    def _config_text(self) -> str:
        directors = "".join(
            f'    {{ssh = "{sshd.destination}", doveadm = "{self.doveadm_words(director)}", '
            f'doveconf = "{director.doveconf_words}"}},\n'
            for director, sshd in zip(self.ring.directors, self.sshds, strict=True)
        )
        return f"""\
default_cluster = "real"

[clusters.real]
directors = [
{directors}]
known_hosts = "{self.folder / "known_hosts"}"
environment = "test"

[clusters.real.backends]
ssh = "{self.hosts.destination}"
doveadm = "{self.hosts.doveadm}"
"""
