"""The one table widget. It draws visible lines only; its cursor and its marks are keys, never positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from director_tui.text import clean
from director_tui.ui.columns import Column, Layout, Widths
from director_tui.ui.commands import bindings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from textual import events
    from textual.binding import BindingType

    from director_tui.ui.format import Piece

RowT = TypeVar("RowT")

GUTTER: Final = 3
"""Cells in front of the first column: cursor and mark."""
_LAST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _Kept(Generic[RowT]):
    """A line as it was drawn last, and what it was drawn from."""

    row: RowT
    look: list[tuple[Column[RowT], int, list[Piece]]]
    strip: Strip


class Grid(ScrollView, Generic[RowT], can_focus=True):
    """A table of rows that come and go.

    The cursor stays on its row through sorting, filtering, arrivals and removals. When its row disappears it stands
    nowhere, which is announced, until it is moved. Rows that the filter hides lose their mark, which is announced, too.
    """

    BINDINGS: ClassVar[list[BindingType]] = bindings("Moving")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("grid--header", "grid--cursor", "grid--marked", "grid--stale", "grid--muted", "grid--fine"),
        *("grid--attention", "grid--danger", "grid--accent", "grid--bar", "grid--tick", "grid--tick-inside"),
    }

    class CursorMoved(Message):
        """The cursor stands on another row, or on none (None)."""

        def __init__(self, key: str | None) -> None:
            super().__init__()
            self.key = key

    class MarksChanged(Message):
        """Other rows are marked than before."""

        def __init__(self, keys: frozenset[str]) -> None:
            super().__init__()
            self.keys = keys

    class Notice(Message):
        """Something happened to cursor or marks that the operator did not do."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(
        self,
        columns: Sequence[Column[RowT]],
        *,
        key: Callable[[RowT], str],
        matches: Callable[[RowT, str], bool] = lambda row, text: True,
        wide: Callable[[RowT], str] = lambda row: "",
        id: str | None = None,
    ) -> None:
        """``wide`` names the column that in this row has all the room to the right, for a sentence instead of cells."""
        super().__init__(id=id)
        self._wide = wide
        self._columns = tuple(columns)
        self._key = key
        self._matches = matches
        self._all: tuple[RowT, ...] = ()
        self._shown: list[RowT] = []
        self._places: dict[str, int] = {}
        self._marks: set[str] = set()
        self._cursor: str | None = None
        self._cursor_place = 0
        self._filter = ""
        self._sort: Column[RowT] = self._columns[0]
        self._reverse = False
        self._stale = False
        self._started = False
        self._widths = Widths(columns)
        self._layout: Layout[RowT] = Layout()
        self._laid_out_for = 0
        self._head: Strip | None = None
        self._strips: dict[tuple[str, bool], _Kept[RowT]] = {}
        self._drawn: dict[int, Strip] = {}
        self._styles: dict[tuple[str, ...], Style] = {}

    # What is in it

    def set_rows(self, rows: Iterable[RowT]) -> None:
        """Show these rows, in the grid's own order."""
        self._all = tuple(rows)
        self._arrange()

    @property
    def rows(self) -> tuple[RowT, ...]:
        """The rows that the filter lets through, as shown."""
        return tuple(self._shown)

    @property
    def hidden(self) -> int:
        """How many rows the filter hides."""
        return len(self._all) - len(self._shown)

    @property
    def cursor_key(self) -> str | None:
        return self._cursor

    @property
    def marks(self) -> frozenset[str]:
        return frozenset(self._marks)

    @property
    def filter_text(self) -> str:
        return self._filter

    @property
    def sorted_by(self) -> tuple[str, bool]:
        """The id of the column, and whether its order is turned round."""
        return self._sort.id, self._reverse

    def set_filter(self, text: str) -> None:
        """Show only the rows that match. If that hides the one under the cursor, it goes to the first row shown."""
        self._filter = text
        if self._cursor is not None and not any(
            self._key(row) == self._cursor and self._matches(row, text.casefold()) for row in self._all
        ):
            self._cursor = None
            self._started = False
        self._arrange()

    def set_stale(self, stale: bool) -> None:
        """Dim everything: the data is old."""
        if stale != self._stale:
            self._stale = stale
            self._redraw()

    def sort_by(self, column_id: str, *, reverse: bool = False) -> None:
        """Raises StopIteration if there is no such column with an order."""
        self._sort = next(one for one in self._columns if one.id == column_id and one.order is not None)
        self._reverse = reverse
        self._arrange()
        self._scroll_to_cursor()

    def sort_next(self) -> None:
        """Sort by the next column that is on screen."""
        choices = [column for column, _ in self._layout.columns if column.order is not None] or [self._sort]
        place = choices.index(self._sort) if self._sort in choices else -1
        self.sort_by(choices[(place + 1) % len(choices)].id)

    def move_cursor(self, key: str) -> None:
        """Put the cursor on this row, if it is shown."""
        if key in self._places:
            self._set_cursor(key)

    def toggle_mark(self) -> None:
        if self._cursor is not None:
            self._set_marks(self._marks ^ {self._cursor})

    def mark_shown(self) -> None:
        """Mark every row shown; if they all are, none."""
        shown = set(self._places)
        self._set_marks(set() if shown <= self._marks else shown)

    def clear_marks(self) -> None:
        self._set_marks(set())

    # Keys and mouse

    def action_cursor_down(self) -> None:
        self._step(1)

    def action_cursor_up(self) -> None:
        self._step(-1)

    def action_cursor_top(self) -> None:
        self._step(-_LAST)

    def action_cursor_bottom(self) -> None:
        self._step(_LAST)

    def action_page_down(self) -> None:
        self._step(max(1, self._page - 1))

    def action_page_up(self) -> None:
        self._step(-max(1, self._page - 1))

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            self._click_header(event.x)
            return
        place = event.y - 1 + self.scroll_offset.y
        if place < len(self._shown):
            self._set_cursor(self._key(self._shown[place]))

    def _click_header(self, x: int) -> None:
        column = self._layout.at(x - GUTTER)
        if column is not None and column.order is not None:
            self.sort_by(column.id, reverse=not self._reverse if column is self._sort else False)

    def _step(self, by: int) -> None:
        if not self._shown:
            return
        # If its row went away, the first press lands where it was: on a row that can be seen before the next one.
        place = self._cursor_place if self._cursor is None else self._places[self._cursor] + by
        self._set_cursor(self._key(self._shown[max(0, min(place, len(self._shown) - 1))]))

    # Arranging

    def _arrange(self) -> None:
        text = self._filter.casefold()
        shown = [row for row in self._all if not text or self._matches(row, text)]
        order = self._sort.order
        if order is not None:
            # By the first column among equals: equal counts must not change places at every reading.
            first = self._columns[0].order
            if first is not None and order is not first:
                shown.sort(key=first)
            shown.sort(key=order, reverse=self._sort.descending != self._reverse)
        self._shown = shown
        self._places = {self._key(row): place for place, row in enumerate(shown)}
        self._keep_cursor()
        self._keep_marks()
        self._lay_out()
        self._head = None
        self._redraw_what_differs()

    def _keep_cursor(self) -> None:
        if self._cursor is not None and self._cursor not in self._places:
            gone = self._cursor
            self._cursor = None
            self.post_message(self.CursorMoved(None))
            there = any(self._key(row) == gone for row in self._all)
            why = "does not match the filter any more" if there else "is not there any more"
            self.post_message(self.Notice(f"{gone} {why}; the cursor stood on it"))
        elif self._cursor is not None:
            self._cursor_place = self._places[self._cursor]
        elif self._shown and not self._started:
            self._started = True
            self._set_cursor(self._key(self._shown[0]))

    def _keep_marks(self) -> None:
        dropped = self._marks - set(self._places)
        if dropped:
            self._set_marks(self._marks - dropped)
            count = len(dropped)
            what = next(iter(dropped)) if count == 1 else f"{count} rows"
            self.post_message(self.Notice(f"mark dropped: {what} not shown any more"))

    def _set_marks(self, marks: set[str]) -> None:
        if marks != self._marks:
            self._marks = marks
            self._redraw()
            self.post_message(self.MarksChanged(frozenset(marks)))

    def _set_cursor(self, key: str) -> None:
        if key == self._cursor:
            return
        before = self._cursor
        self._cursor = key
        self._cursor_place = self._places[key]
        for moved in (before, key):
            if moved is not None and moved in self._places:
                self.refresh(Region(0, self._places[moved] + 1 - self.scroll_offset.y, self._line_width, 1))
        self._scroll_to_cursor()
        self.post_message(self.CursorMoved(key))

    def _scroll_to_cursor(self) -> None:
        if self._cursor is None or self._page <= 0:
            return
        place, top = self._places[self._cursor], self.scroll_offset.y
        if place < top:
            self.scroll_to(y=place, animate=False, immediate=True)
        elif place >= top + self._page:
            self.scroll_to(y=place - self._page + 1, animate=False, immediate=True)

    @property
    def _page(self) -> int:
        """Lines for rows: the header takes one."""
        return self.size.height - 1

    @property
    def _line_width(self) -> int:
        """Cells of a line: without the scrollbar, which the size of a scroll view includes."""
        return self.scrollable_content_region.width

    def on_resize(self) -> None:
        self._widths.forget()
        self._lay_out()
        self._redraw()
        self._scroll_to_cursor()

    def _forget_strips(self) -> None:
        self._head = None
        self._strips.clear()

    def _redraw(self) -> None:
        self._forget_strips()
        self.refresh()

    def _redraw_what_differs(self) -> None:
        """Draw those lines that look different now. A reading without news draws nothing, one with few draws few."""
        width, height, top = self._line_width, self.size.height, self.scroll_offset.y
        for y in range(height):
            if self._line(y, top) != self._drawn.get(y):
                self.refresh(Region(0, y, width, 1))
        visible = {self._key(row) for row in self._shown[top : top + height]}
        self._strips = {which: kept for which, kept in self._strips.items() if which[0] in visible}

    def notify_style_update(self) -> None:
        """Textual calls this when the theme has changed."""
        super().notify_style_update()
        self._forget_strips()
        self._styles.clear()

    def _lay_out(self) -> None:
        # One line more than rows, for the header that stays in place.
        self.virtual_size = Size(self._line_width, len(self._shown) + 1)
        self._lay_out_columns()

    def _lay_out_columns(self) -> None:
        self._laid_out_for = self._line_width
        before, self._layout = self._layout, self._widths.lay_out(self._all, max(0, self._line_width - GUTTER))
        if self._layout != before:
            self._forget_strips()

    # Drawing

    def render_lines(self, crop: Region) -> list[Strip]:
        """Textual's own way works borders, padding and opacity into every line anew; a grid has none of them.

        Lines have the width of the whole widget, what the scrollbar hides included.
        """
        if self._laid_out_for != self._line_width:
            # The scrollbar came or went, which Textual tells nobody.
            self._lay_out_columns()
            self._forget_strips()
        filters, (_, background), top = self.get_line_filters(), self.background_colors, self.scroll_offset.y
        strips = []
        for y in crop.line_range:
            strip = self._drawn[y] = self._line(y, top)
            for each in filters:
                strip = strip.apply_filter(each, background)
            strips.append(strip.crop(crop.x, crop.right))
        return strips

    def _line(self, y: int, top: int) -> Strip:
        """One line of the widget, the header first, where ``top`` is how far the rows are scrolled."""
        place = top + y - 1
        if y == 0 and self._all:
            self._head = self._head or self._header()
            return self._head
        if y == 0 or place >= len(self._shown):
            return Strip.blank(self.size.width, self._style(()))
        row = self._shown[place]
        key = self._key(row)
        at_cursor = key == self._cursor
        kept = self._strips.get((key, at_cursor))
        if kept is not None and kept.row is row:
            return kept.strip
        look = self._look(row)
        # The same strip as before where it looks the same: Textual, too, keeps what it made of it.
        same = kept is not None and kept.look == look
        strip = kept.strip if kept is not None and same else self._row(look, key, at_cursor=at_cursor)
        self._strips[key, at_cursor] = _Kept(row, look, strip)
        return strip

    def _header(self) -> Strip:
        style = self._style((), "header")
        segments: list[Segment] = []
        at, begin = 0, GUTTER
        for column, room in self._layout.columns:
            title = column.title[:room]
            start = begin + room - len(title) if column.right else begin
            if column is self._sort and column.order is not None:
                # Beside the title, in the gap where the title fills its column: the arrow takes no width of its own.
                arrow = "▾" if column.descending != self._reverse else "▴"
                title = f"{arrow}{title}" if column.right else f"{title}{arrow}"
                start -= column.right
            segments.extend([Segment(" " * (start - at), style), Segment(title, style)])
            at = start + len(title)
            begin += room + self._layout.gap
        return Strip(segments, at).adjust_cell_length(self.size.width, style)

    def _row(self, look: Sequence[tuple[Column[RowT], int, Sequence[Piece]]], key: str, *, at_cursor: bool) -> Strip:
        ground = (*(("marked",) if key in self._marks else ()), *(("cursor",) if at_cursor else ()))
        base, accent = self._style(ground), self._style(ground, "accent")
        segments = [Segment(f"{'▸' if at_cursor else ' '}{'◆' if key in self._marks else ' '} ", accent)]
        for column, width, pieces in look:
            used = 0
            cells: list[Segment] = []
            for piece in pieces:
                text = piece.text if piece.text.isprintable() else clean(piece.text)
                length = cell_len(text)
                if used + length > width:
                    text = set_cell_size(text, width - used - 1) + "…" if width - used > 0 else ""
                    length = width - used
                cells.append(Segment(text, self._style(ground, "stale" if self._stale else piece.meaning)))
                used += length
            padding = Segment(" " * (width - used), base)
            segments.extend([padding, *cells] if column.right else [*cells, padding])
            segments.append(Segment(" " * self._layout.gap, base))
        return Strip(segments).adjust_cell_length(self.size.width, base)

    def _look(self, row: RowT) -> list[tuple[Column[RowT], int, list[Piece]]]:
        """All that can be seen of a row, but for cursor and marks: its columns, their widths and what they say."""
        wide, left = self._wide(row), self._line_width - GUTTER
        look = []
        for column, cell_width in self._layout.columns:
            width = max(0, left) if column.id == wide else cell_width
            left -= width + self._layout.gap
            look.append((column, width, list(column.cell(row, width))))
            if column.id == wide:
                break
        return look

    def _style(self, ground: tuple[str, ...], meaning: str = "") -> Style:
        """The component classes laid over each other. Kept, because Textual works each out anew every time."""
        style = self._styles.get((*ground, meaning))
        if style is None:
            style = self.rich_style
            for part in ground:
                style += self.get_component_rich_style(f"grid--{part}", partial=True)
            if meaning:
                over = self.get_component_rich_style(f"grid--{meaning}", partial=True)
                # In reverse, the colour of a text is a ground: the row would be striped.
                style += Style(bold=over.bold) if style.reverse else over
            self._styles[(*ground, meaning)] = style
        return style
