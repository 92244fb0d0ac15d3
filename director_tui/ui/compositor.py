"""What a change makes a screen draw again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import _compositor as textual_compositor
from textual.geometry import Region

if TYPE_CHECKING:
    from textual.widget import Widget


class Compositor(textual_compositor.Compositor):
    """Textual's, which for the smallest change asks every widget of the screen for its lines. This one leaves those out
    that lie elsewhere: half the time of a frame, and frames are what an idle dashboard costs."""

    _changed: Region | None = None

    def render_partial_update(self) -> textual_compositor.ChopsUpdate | None:
        # Where widgets begin and end is made of all of them when it is first asked for, and kept: not of a few.
        if self._dirty_regions and self.cuts:
            self._changed = Region.from_union(self._dirty_regions)
        try:
            return super().render_partial_update()
        finally:
            self._changed = None

    @property
    def visible_widgets(self) -> dict[Widget, tuple[Region, Region]]:
        """The widgets on the screen, front to back, with where they are and which part of that is seen."""
        widgets, changed = super().visible_widgets, self._changed
        if changed is None:
            return widgets
        return {widget: where for widget, where in widgets.items() if where[0].overlaps(changed)}
