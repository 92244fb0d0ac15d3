"""A dialog that a person opens, with a page that scrolls and a foot that stays in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll

from director_tui.ui.dialogs import Dialog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from textual.app import ComposeResult
    from textual.events import Resize
    from textual.screen import Screen
    from textual.widget import Widget

MARGIN: Final = 2
"""Lines of a sheet above and below what is on it, where there is room for them."""
ROOMY_LINES: Final = 14
NARROW_CELLS: Final = 60
PADDING: Final = 3
"""Cells on both sides of it."""


NOTICE_LINES: Final = 4
"""So many lines are taken by notices at most, as app.tcss has it; there the others are scrolled to."""


class Sheet(Dialog[None]):
    """What stands between a changing key and the change: a form, a plan. Esc leaves everything as it is.

    A subclass makes its :meth:`page` and its :meth:`foot`.
    """

    WIDTH: ClassVar[int] = 76
    """Cells that it takes where the screen has them."""
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority: else what is typed right behind it lands in the field that it leaves.
        Binding("tab", "app.focus_next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", show=False, priority=True),
        Binding("j,down", "scroll_page(1)", show=False),
        Binding("k,up", "scroll_page(-1)", show=False),
        Binding("pagedown", "scroll_pages(1)", show=False),
        Binding("pageup", "scroll_pages(-1)", show=False),
        Binding("home", "scroll_to(0)", show=False),
        Binding("end", "scroll_to(1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._page = VerticalScroll(classes="page", can_focus=False)
        self._foot = VerticalScroll(classes="foot", can_focus=False)
        self._noticed = 0

    def page(self) -> Iterable[Widget]:
        """What scrolls."""
        raise NotImplementedError

    def foot(self) -> Iterable[Widget]:
        """What stays in sight below it."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        with Vertical(classes="sheet"):
            with self._page:
                yield from self.page()
            with self._foot:
                yield from self.foot()

    @property
    def narrow(self) -> bool:
        """Whether a field has no room beside its label."""
        return self.size.width < NARROW_CELLS

    @property
    def page_width(self) -> int:
        """Cells of a line on the page, beside a scrollbar."""
        return max(10, min(self.WIDTH, self.size.width) - 2 * PADDING - 1)

    def begin_at(self, widget: Widget) -> None:
        """Give it the keyboard."""
        # Not by Widget.focus(), which comes later: the next keys are already waiting.
        self.set_focus(widget)

    def give_way_to(self, other: Sheet) -> None:
        """Show another one in its place, at once: no key that is pressed meanwhile reaches the screen below."""
        if self.is_active:
            self.app.switch_screen(other)

    def on_mount(self) -> None:
        # Whatever makes them longer or shorter: a word on what has changed, another plan, a narrower screen.
        self.watch(self._foot, "virtual_size", self.fit, init=False)
        self.watch(self._page, "virtual_size", self.fit, init=False)
        self.screen_layout_refresh_signal.subscribe(self, self._laid_out)

    def _laid_out(self, _: Screen[Any]) -> None:
        """A notice takes lines of its own, and gives them back."""
        lines = min(max((one.region.bottom for one in self.query("Toast")), default=0), NOTICE_LINES)
        if lines != self._noticed:
            self._noticed = lines
            self.fit()

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height < ROOMY_LINES, "-low")
        self.set_class(self.narrow, "-narrow")
        self.fit()

    def fit(self) -> None:
        """Give the foot the lines that it needs, and the page what is left of the screen."""
        room = self.size.height - self._noticed - (0 if self.has_class("-low") else MARGIN)
        foot = min(self._foot.virtual_size.height + self._foot.gutter.height, max(1, room - 1))
        self._foot.styles.max_height = max(1, foot)
        self._page.styles.max_height = max(1, room - foot)
        self.call_after_refresh(self._show_focus)

    def _show_focus(self) -> None:
        """What has the keyboard has to be seen, also where there is room for little else."""
        if self.focused is not None:
            self.focused.scroll_visible(animate=False)

    def action_scroll_page(self, lines: int) -> None:
        self._page.scroll_relative(y=lines, animate=False)

    def action_scroll_pages(self, pages: int) -> None:
        self._page.scroll_relative(y=pages * max(1, self._page.size.height - 1), animate=False)

    def action_scroll_to(self, end: int) -> None:
        if end:
            self._page.scroll_end(animate=False)
        else:
            self._page.scroll_home(animate=False)
