"""``director map`` read piece by piece: a million users need no more memory than one piece of what is printed.

Only for the call with ``-f /dev/null``, which prints ``<unknown>`` for every user name: by that it is known that no row
is read shifted, without a look at each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.director.parse import MAP_HEADERS
from director_tui.errors import MalformedOutput
from director_tui.text import canonical_ip, clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Take = Callable[[Sequence[int], Sequence[str]], None]
    """Is given the hashes of some users, and the IP of the backend of each."""

_HEADER: Final = "\t".join(MAP_HEADERS[0]).encode()
_CELLS: Final = len(MAP_HEADERS[0]) - 1
"""Cells of each row where the end of one and the beginning of the next count as one."""
_NAMELESS: Final = b"<unknown>"
_PREAMBLE_BYTES: Final = 64 * 1024
"""Before the header a login shell may have printed something, but not endlessly much."""


class AssignmentStream:
    """Give it what is printed by :meth:`feed`, in pieces of any size, and at the end :meth:`end`.

    Whole rows are handed to ``take``, not more at once than were in a piece. Both methods raise MalformedOutput.
    """

    def __init__(self, take: Take) -> None:
        self._take = take
        self._rest = b""
        self._begun = False
        self._ips = _Canonical()

    def feed(self, piece: bytes) -> None:
        whole, newline, self._rest = (self._rest + piece).rpartition(b"\n")
        if newline and not self._begun:
            whole = self._behind_the_header(whole)
        if not self._begun and len(self._rest) > _PREAMBLE_BYTES:
            raise self._no_header()
        if newline and whole:
            self._rows(whole)

    def end(self) -> None:
        """All has been printed. What was not complete is no row, and then the rest was lost as well."""
        if not self._begun:
            raise self._no_header()
        if self._rest:
            raise MalformedOutput("doveadm director map: the output ends in the middle of a line: it is not complete")

    def _behind_the_header(self, lines: bytes) -> bytes:
        """The rows among these lines; none as long as the header has not come."""
        _, header, behind = (b"\n" + lines + b"\n").partition(b"\n" + _HEADER + b"\n")
        if not header:
            self._rest = lines + b"\n" + self._rest
            return b""
        self._begun = True
        return behind[:-1]

    def _no_header(self) -> MalformedOutput:
        shown = clean(self._rest[:60])
        return MalformedOutput(
            f"this is not what doveadm director map prints; it begins with “{shown}”"
            if shown
            else "doveadm director map printed nothing",
            "see what the same command prints when you run it there by hand",
        )

    def _rows(self, lines: bytes) -> None:
        cells = lines.split(b"\t")
        hashes, addresses, breaks = cells[1::_CELLS], cells[2::_CELLS], lines.count(b"\n")
        # Each line begins with a name and a tab, so no cell has two line breaks; and as neither a hash nor an address
        # has one, each cell at the end of a row has one.
        if len(cells) != _CELLS * (breaks + 1) + 1 or not (cells[0] == _NAMELESS and b"".join(hashes).isdigit()):
            raise self._wrong(lines)
        if lines.count(b"\n" + _NAMELESS + b"\t") != breaks:
            raise self._wrong(lines)
        try:
            numbers = list(map(int, hashes))
            ips = list(map(self._ips.__getitem__, addresses))
        except ValueError:
            raise self._wrong(lines) from None
        if max(numbers) >= 1 << 32:
            raise self._wrong(lines)
        self._take(numbers, ips)

    def _wrong(self, lines: bytes) -> MalformedOutput:
        return MalformedOutput(
            f"doveadm director map: one of these rows is none: “{clean(lines[:60])}…”",
            "see what the same command prints when you run it there by hand",
        )


class _Canonical(dict[bytes, str]):
    """The canonical form of each address that was asked for. Raises ValueError for what is none."""

    def __missing__(self, address: bytes) -> str:
        ip = self[address] = canonical_ip(address.decode("ascii"))
        return ip
