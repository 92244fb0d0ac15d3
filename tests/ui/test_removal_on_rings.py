"""A backend removed cleanly by keys, on the practice ring and on a real one, through all eight steps.

What became of it is read with plain doveadm on every director, and on the backend itself.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from director_tui.operations.journal import entries
from director_tui.operations.plan import Outcome
from director_tui.operations.removal_keeping import read_removals
from director_tui.operations.removal_story import story, uploads_done
from director_tui.ui.app import DirectorApp
from tests.operations.conftest import backend_hosts, emptied_ring, removal_site
from tests.operations.removal_site import SESSIONS, USERS
from tests.ui.changing import focused, settle
from tests.ui.fakes import Screen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from director_tui.config import ClusterConfig
    from director_tui.link.questions import Ask
    from director_tui.link.ring import Ring
    from tests.operations.removal_site import RemovalSite

__all__ = ["backend_hosts", "emptied_ring", "removal_site"]

LIMIT_S = 120.0


@asynccontextmanager
async def program(site: RemovalSite) -> AsyncIterator[Screen]:
    async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        return site.bench.ring

    app = DirectorApp(site.bench.ring.cluster, open_ring)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        screen = Screen(app, pilot)
        await screen.until("LIVE", "ring 3/3 synced", site.ip, limit_s=LIMIT_S)
        yield screen


async def press(screen: Screen, button: str) -> None:
    """Press this button of the wizard, by keys."""
    await screen.wait(lambda: screen.app.screen.query_one(f"#{button}").display, button, LIMIT_S)
    for _ in range(20):
        if focused(screen) == button:
            break
        await screen.press("tab")
    await screen.press("enter")


async def carry_out(screen: Screen, step: int) -> None:
    """Lead the step to its plan and agree to it, where it is named on the button."""
    await screen.until(f"▸ {step} ", limit_s=LIMIT_S)
    await press(screen, "run")
    await screen.until("Runs on", "Cancel", limit_s=LIMIT_S)
    await settle(screen)
    await screen.press("tab", "enter")


async def test_through_all_eight_steps(removal_site: RemovalSite) -> None:
    site = removal_site
    assert await site.users() == [USERS] * 3
    assert sum(await site.sessions()) == SESSIONS
    async with program(site) as screen:
        await screen.press("home", "j", "j")
        assert screen.at_cursor() == site.ip
        await screen.press("w")
        await screen.until("the ring is synced, and others take over", limit_s=LIMIT_S)
        await screen.press("right")
        await press(screen, "begin")
        await carry_out(screen, 2)
        await screen.until("▸ 3 ", limit_s=LIMIT_S)
        await press(screen, "skip")
        await carry_out(screen, 4)
        await carry_out(screen, 5)
        await carry_out(screen, 6)
        await carry_out(screen, 7)
        await screen.until("▸ 8 ", f"{site.ip} still stands in director_mail_servers", limit_s=LIMIT_S)
        assert await site.rows() == [None] * 3
        assert await site.sessions() == [0, 0, 0]
        assert site.hosts.uploads(site.ip) == (0, 0)
        await press(screen, "end")
        await screen.until(f"The clean removal of {site.ip} is over", "flushall ended well 2 times")
    (removal,) = read_removals(site.bench.ring.cluster.name).ended
    told = story(removal, entries(site.bench.journal.read().records))
    ran = [one for one in told if one.operation is not None]
    assert [one.first.verb for one in ran] == ["update", "metacache flushall", "flush", "metacache flushall", "remove"]
    assert {one.outcome for one in ran} == {Outcome.APPLIED}
    assert uploads_done(told) == 2
    await site.log_in_again()
    assert site.ip not in await site.places()
