"""Only what has changed is drawn again, and it is what Textual itself would draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual import _compositor as textual_compositor
from textual.geometry import Region
from textual.widget import Widget

from director_tui.ui.dashboard import Dashboard
from tests.ui.fakes import dashboard

if TYPE_CHECKING:
    from textual.strip import Strip

CHANGED = (
    [Region(0, 0, 120, 1)],
    [Region(100, 0, 20, 1)],
    [Region(3, 5, 1, 1)],
    [Region(0, 4, 60, 1), Region(0, 9, 60, 1)],
    [Region(0, 0, 120, 1), Region(0, 35, 120, 1)],
    [Region(0, 27, 120, 5)],
    [Region(0, 1, 119, 35)],
)


@pytest.mark.parametrize("changed", CHANGED)
async def test_what_is_drawn_again_is_what_textual_draws(changed: list[Region]) -> None:
    async with dashboard(size=(120, 36)) as screen:
        view = screen.app.screen
        assert isinstance(view, Dashboard)
        drawn = []
        for render in (
            textual_compositor.Compositor.render_partial_update,
            type(view._compositor).render_partial_update,
        ):
            view._compositor._cuts = None  # as when something has just been laid out
            view._compositor._dirty_regions.update(changed)
            update = render(view._compositor)
            assert update is not None
            drawn.append(update.render_segments(screen.app.console))
        assert drawn[0] == drawn[1]
        assert drawn[0]


async def test_what_is_drawn_of_little_does_not_stay_in_what_is_drawn_of_all() -> None:
    async with dashboard(size=(120, 36)) as screen:
        await screen.press("l")
        before = screen.lines
        assert before[2].startswith(" user ")
        view = screen.app.screen
        view._compositor._cuts = None
        view._compositor._dirty_regions.add(Region(0, 0, 120, 1))
        view._compositor.render_update()
        assert screen.lines[2:] == before[2:]


async def test_a_widget_that_lies_elsewhere_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    render_lines = Widget.render_lines

    def ask(widget: Widget, crop: Region) -> list[Strip]:
        asked.append(type(widget).__name__)
        return render_lines(widget, crop)

    async with dashboard(size=(120, 36)) as screen:
        view = screen.app.screen
        monkeypatch.setattr(Widget, "render_lines", ask)
        view._compositor._dirty_regions.add(Region(0, 0, 120, 1))
        view._compositor.render_update()
        assert asked == ["Lines", "Dashboard"]
