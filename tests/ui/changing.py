"""What the tests of changes share: a dashboard whose agreed plans are kept, not carried out."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from director_tui.ui import plan_dialog
from director_tui.ui.app import DirectorApp
from tests.ui.fakes import FakeRing, Screen, dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from director_tui.operations.plan import Plan


@dataclass
class Agreed:
    """The plans that somebody agreed to, with their reasons."""

    plans: list[Plan] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    overrides: list[bool] = field(default_factory=list)

    @property
    def words(self) -> list[tuple[str, ...]]:
        """What would be run, of all of them."""
        return [command.call.words for plan in self.plans for command in plan.commands]


@asynccontextmanager
async def changing(
    ring: FakeRing | None = None, size: tuple[int, int] = (120, 36), *, first_s: float = 0.01, **changes: Any
) -> AsyncGenerator[tuple[Screen, Agreed]]:
    """The dashboard, and what was agreed to on it. ``first_s`` is how long a new plan takes no press."""
    agreed = Agreed()

    def keep(app: DirectorApp, plan: Plan, reason: str, override: bool = False) -> None:
        agreed.plans.append(plan)
        agreed.reasons.append(reason)
        agreed.overrides.append(override)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DirectorApp, "run_plan", keep)
        patch.setattr(plan_dialog, "FIRST_S", first_s)
        async with dashboard(ring, size, **changes) as screen:
            yield screen, agreed


def focused(screen: Screen) -> str | None:
    """The id of what has the keyboard."""
    return screen.app.focused.id if screen.app.focused is not None else None


def focus_is_seen(screen: Screen) -> bool:
    """Whether what has the keyboard is on the screen."""
    focus = screen.app.focused
    return focus is not None and screen.app.screen.find_widget(focus).visible_region.area > 0


async def settle(screen: Screen) -> None:
    """Wait until the plan that is shown can be agreed to."""
    dialog = screen.app.screen
    assert isinstance(dialog, plan_dialog.PlanDialog)
    await screen.wait(lambda: dialog.may_act, "a plan that can be agreed to")
