"""Which columns are shown, and how wide."""

from __future__ import annotations

from director_tui.ui.columns import Column, Layout, Widths
from director_tui.ui.format import Piece


def column(id: str, width: int = 5, **more: int | None) -> Column[str]:
    return Column(id, id, lambda row, room: (Piece(row),), width, **more)  # type: ignore[arg-type]


def as_wide_as_its_text() -> Column[str]:
    return Column("a", "a", lambda row, room: (Piece(row),), lambda row: len(row))


def widths(layout: Layout[str]) -> dict[str, int]:
    return {column.id: width for column, width in layout.columns}


def test_the_least_worth_keeping_goes_first() -> None:
    columns = Widths([column("a"), column("b", keep=2), column("c", keep=1)])
    assert widths(columns.lay_out(["x"], 19)) == {"a": 5, "b": 5, "c": 5}
    assert widths(columns.lay_out(["x"], 18)) == {"a": 5, "b": 5}
    assert widths(columns.lay_out(["x"], 11)) == {"a": 5}


def test_what_stays_comes_nearer_and_then_shrinks_the_rightmost_first() -> None:
    columns = Widths([column("a", least=2), column("b", least=3)])
    assert columns.lay_out(["x"], 11) == columns.lay_out(["x"], 11)
    assert columns.lay_out(["x"], 11).gap == 1
    assert widths(columns.lay_out(["x"], 9)) == {"a": 5, "b": 3}
    assert widths(columns.lay_out(["x"], 7)) == {"a": 3, "b": 3}


def test_spare_room_goes_to_those_that_grow_and_leaves_a_margin() -> None:
    columns = Widths([column("a"), column("b", max_width=8), column("c", max_width=40)])
    assert widths(columns.lay_out(["x"], 40)) == {"a": 5, "b": 8, "c": 22}


def test_a_column_that_was_wider_stays_so_until_that_is_forgotten() -> None:
    by_row = Widths([as_wide_as_its_text()])
    assert widths(by_row.lay_out(["10,000"], 30)) == {"a": 6}
    assert widths(by_row.lay_out(["9,999"], 30)) == {"a": 6}
    by_row.forget()
    assert widths(by_row.lay_out(["9,999"], 30)) == {"a": 5}


def test_a_column_without_anything_in_it_is_not_there() -> None:
    assert Widths([as_wide_as_its_text()]).lay_out([""], 30).columns == ()


def test_a_cell_belongs_to_a_column_or_to_none() -> None:
    layout = Widths([column("a"), column("b")]).lay_out(["x"], 30)
    found = [layout.at(x) for x in (-1, 0, 6, 7, 13, 14)]
    assert [one.id if one else None for one in found] == [None, "a", "a", "b", "b", None]
