"""The ring with a backend that is to be removed keeps its promises, by plain doveadm and SSH alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from director_tui.director import doveadm
from director_tui.link.backends import backend_link
from tests.link.fakes import until
from tests.operations.removal_site import SESSIONS, USERS

if TYPE_CHECKING:
    from director_tui.link.ssh import Reply
    from tests.operations.removal_site import RemovalSite


async def upload(site: RemovalSite, ip: str = "") -> Reply:
    """`doveadm metacache flushall` on the backend itself, reached as the configuration says."""
    ring = site.bench.ring
    assert ring.cluster.backends is not None
    link = backend_link(ip or site.ip, ring)
    try:
        connection = await link.connecting()
        return await connection.run(doveadm.upload_metacache().command(ring.cluster.backends.doveadm), 60)
    finally:
        await link.close()


async def test_all_its_users_are_on_one_backend_and_some_of_them_connected(removal_site: RemovalSite) -> None:
    site = removal_site
    assert await site.users() == [USERS] * 3
    assert sum(await site.sessions()) == SESSIONS
    assert min(await site.sessions()) > 0
    assert await site.places() == {site.ip}
    table = await site.bench.backends()
    assert sum(one.users for one in table.values()) == USERS
    assert {(one.vhosts, one.usable) for one in table.values()} == {(100, True)}

    # Whoever loses the backend comes back on another one.
    await site.bench.by_hand(site.there.set_vhosts, site.ip, 0)
    flush = ("director", "flush", "--max-parallel", str(USERS + 1), site.ip)
    assert (await site.bench.by_hand(site.there.doveadm, *flush)).status == 0
    await site.bench.by_hand(site.there.wait, lambda: not any(map(len, _sessions_now(site))))
    assert await site.users() == [0, 0, 0]
    await site.log_in_again()
    everybody = await site.everybodys_sessions()
    assert sorted(user for each in everybody for user, _ in each) == sorted(site.people)
    assert site.ip not in {ip for each in everybody for _, ip in each}
    assert site.ip not in await site.places()


def _sessions_now(site: RemovalSite) -> list[list[str]]:
    asked = [site.there.ask(doveadm.proxy_list(), director) for director in range(3)]
    return [[one.user for one in each if one.ip == site.ip] for each in asked]


async def test_its_metacache_takes_until_it_is_released_fails_once_or_is_not_there(removal_site: RemovalSite) -> None:
    site = removal_site
    other = next(ip for ip in await site.bench.backends() if ip != site.ip)
    site.hosts.hold(site.ip)
    going_on = asyncio.create_task(upload(site))
    await until(lambda: site.hosts.uploads(site.ip) == (None,))
    assert (await upload(site, other)).status == 0
    assert site.hosts.uploads(other) == (0,)
    assert not going_on.done()
    site.hosts.release(site.ip)
    assert (await going_on).status == 0
    site.hosts.fail_next(site.ip)
    failed = await upload(site)
    assert failed.status == 75
    assert failed.stderr.startswith(b"Error: obox: ")
    assert (await upload(site)).status == 0
    assert site.hosts.uploads(site.ip) == (0, 75, 0)
    site.hosts.without_metacache(site.ip)
    plain = await upload(site)
    assert plain.status == 64
    assert b"metacache" not in plain.stderr
    assert site.hosts.uploads(site.ip) == (0, 75, 0)
