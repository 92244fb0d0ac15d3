"""A stop, disconnecting everyone, and recovery by another operator: by keys, on the practice ring and on a real one.

What became of them is read with plain doveadm on every director.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from director_tui.ui.app import DirectorApp
from tests.operations.test_emergency_on_rings import bench, counts
from tests.ui.changing import settle
from tests.ui.fakes import Screen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest

    from director_tui.config import ClusterConfig
    from director_tui.link.questions import Ask
    from director_tui.link.ring import Ring
    from tests.operations.test_executor_on_rings import Bench

__all__ = ["bench"]

RED = "EMERGENCY STOP in force since"
LIMIT_S = 60.0


@asynccontextmanager
async def program(bench: Bench) -> AsyncIterator[Screen]:
    async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        return bench.ring

    app = DirectorApp(bench.ring.cluster, open_ring)
    async with app.run_test(size=(140, 48), notifications=True) as pilot:
        screen = Screen(app, pilot)
        await screen.until("LIVE", "ring 3/3 synced", limit_s=LIMIT_S)
        yield screen


async def agree(screen: Screen, title: str) -> None:
    await screen.until(title, "To do it, type rings", limit_s=LIMIT_S)
    await settle(screen)
    await screen.press(*"rings", "enter")


async def test_stop_disconnect_and_recovery_by_somebody_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = await counts(bench)
    async with program(bench) as screen:
        assert RED not in screen
        await screen.press("E")
        await agree(screen, "Stop all 8 backends")
        await screen.until("✓ 7 applied", "kept here", RED, "Next: disconnect everyone", limit_s=LIMIT_S)
        assert set((await counts(bench)).values()) == {0}
        await screen.press("n")
        await agree(screen, "Disconnect everyone")
        await screen.until("✓ 25 applied", limit_s=LIMIT_S)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another operator"))
    async with program(bench) as screen:
        await screen.until(RED, "R to recover", limit_s=LIMIT_S)
        await screen.press("R")
        await screen.until("What to give back", "✓ → 17", "✓ → 1000", "had 0 before", limit_s=LIMIT_S)
        await screen.press("enter")
        await agree(screen, "Bring 7 backends back")
        await screen.until("✓ 7 applied", gone=[RED], limit_s=LIMIT_S)
        assert await counts(bench) == before
        await screen.press("q", "R")
        await screen.until("No record of a stop", limit_s=LIMIT_S)
