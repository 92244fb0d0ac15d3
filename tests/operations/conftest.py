"""Fixtures that several tests of operations share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.operations.removal_site import RemovalSite, practice_site, real_site
from tests.ring.backend_hosts import BackendHosts
from tests.ring.real import RealRing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.ring.sshd import Sshd


@pytest.fixture(scope="module")
def emptied_ring() -> Iterator[RealRing]:
    """A real ring of this module's own, whose flushes don't wait between two rounds."""
    with RealRing(settings={"director_user_kick_delay": "0"}) as ring:
        yield ring


@pytest.fixture(scope="module")
def backend_hosts(emptied_ring: RealRing, real_sshds: list[Sshd]) -> Iterator[BackendHosts]:
    ips = [row["mail server ip"] for row in emptied_ring.directors[0].backends()]
    with BackendHosts(ips, real_sshds[0].client_key) as hosts:
        yield hosts


@pytest.fixture(params=["practice", pytest.param("real", marks=pytest.mark.real_ring)])
async def removal_site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RemovalSite]:
    """Three directors, eight backends, two tags; 2,000 users and 20 sessions on one of them."""
    if request.param == "practice":
        async with practice_site() as site:
            yield site
        return
    ring, sshds, hosts = map(request.getfixturevalue, ("emptied_ring", "real_sshds", "backend_hosts"))
    async with real_site(ring, sshds, hosts, tmp_path) as site:
        yield site
