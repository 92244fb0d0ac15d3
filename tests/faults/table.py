"""The table of faults: what one row is, who measures it, and the page that is made of all."""

from __future__ import annotations

import importlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

INTERVAL_S: Final = 2.0
"""How often the program reads the ring in these tests: as often as it does by itself."""

ROWS_FILE: Final = "FAULTS_ROWS"
"""The environment variable that names the file to which the rows go, a line of JSON for each."""

HERE: Final = Path(__file__).parent
AFTER_ITS_END: Final = " after its end"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. ``says`` is on the screen, word by word, while it lasts or when it is over: its test waits for that.

    ``note`` is what the operator sees beside it, in words.
    """

    title: str
    says: tuple[str, ...]
    note: str = ""

    @property
    def sees(self) -> str:
        """What the operator sees, as the page has it."""
        said = " · ".join(f"“{one}”" for one in self.says)
        return f"{said}; {self.note}" if said and self.note else said or self.note


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of a fault, in seconds. ``notice_s`` is from the injection to the first word on the screen.

    It is None where there is no sign of it. ``recover_s`` is until all is well again: from the end of the fault where
    somebody ``mended`` it, else from the injection, because the program goes on by itself.
    """

    title: str
    notice_s: float | None
    recover_s: float
    mended: bool


def fault(title: str, *says: str, note: str = "") -> pytest.MarkDecorator:
    """Mark a test as that of a fault."""
    return pytest.mark.fault.with_args(Fault(title, says, note))


class Measured:
    """Takes the times of one fault: the calls come in the order in which they stand here."""

    def __init__(self, fault: Fault) -> None:
        self.fault: Final = fault
        self._journal = Path()
        self._kept = b""
        self._injected_s = self._recovered_s = 0.0
        self._noticed_s: float | None = None
        self._mended_s: float | None = None

    def injected(self, journal: Path) -> None:
        """The fault begins. ``journal`` is the program's, of which nothing may get lost."""
        self._journal = journal
        self._kept = journal.read_bytes() if journal.exists() else b""
        self._injected_s = time.monotonic()

    def noticed(self) -> None:
        """The screen shows the first sign of it. Not said where there is none."""
        self._noticed_s = time.monotonic()

    def mended(self) -> None:
        """Somebody has taken the fault away. Not said where the program goes on by itself."""
        self._mended_s = time.monotonic()

    def recovered(self) -> None:
        """What is on the screen is live again."""
        self._recovered_s = time.monotonic()

    def lost_nothing(self) -> None:
        """The journal has all that it had, and only whole lines; with that, the row is complete."""
        now = self._journal.read_bytes() if self._journal.exists() else b""
        assert now.startswith(self._kept)
        assert now == b"" or now.endswith(b"\n")
        for line in now.splitlines():
            json.loads(line)
        assert self._injected_s < (self._noticed_s or self._recovered_s) <= self._recovered_s
        notice_s = None if self._noticed_s is None else self._noticed_s - self._injected_s
        since_s = self._injected_s if self._mended_s is None else self._mended_s
        row = Row(self.fault.title, notice_s, self._recovered_s - since_s, self._mended_s is not None)
        if path := os.environ.get(ROWS_FILE):
            with Path(path).open("a") as file:
                file.write(json.dumps(asdict(row)) + "\n")


def sections() -> dict[str, list[Fault]]:
    """Every fault that there is a test for, by what its module is about, in the order in which they stand there."""
    modules = [importlib.import_module(f"tests.faults.{path.stem}") for path in sorted(HERE.glob("test_*.py"))]
    return {(module.__doc__ or "").partition(".")[0]: _faults_of(module) for module in modules}


def _faults_of(module: ModuleType) -> list[Fault]:
    marks = [mark for one in vars(module).values() for mark in _marks_of(one) if mark.name == "fault"]
    return [mark.args[0] for mark in marks]


def _marks_of(one: object) -> list[pytest.Mark]:
    marks = getattr(one, "pytestmark", [])
    return list(marks) if callable(one) else []


def read_rows(lines: Iterable[str]) -> dict[str, Row]:
    """Rows by the title of their fault, as their tests have left them."""
    rows = [Row(**json.loads(line)) for line in lines]
    return {row.title: row for row in rows}


def read_page(text: str) -> dict[str, Row]:
    """Rows by the title of their fault, as they stand in the page."""
    return {
        title: Row(title, None if notice == "–" else float(notice.removesuffix(" s")), float(recover), bool(mended))
        for title, notice, recover, mended in re.findall(
            rf"^\| (.+?) \| .+ \| (–|[\d.]+ s) \| ([\d.]+) s({AFTER_ITS_END})? \| none \|$", text, re.MULTILINE
        )
    }


INTRO: Final = f"""\
<!-- made by `make faults` from what the tests in tests/faults measured -->

# Faults

Each of these is injected for real, by a test, into the program in a real terminal, most of them on a real ring behind
real sshds. What stands in quotes is on the screen, word by word. The interval is {INTERVAL_S:g} s, the program's own.

*Time to notice* is from the injection to the first sign of it on the screen (– where there is none), *time to recover*
until everything shown is live again: from the injection where the program goes on by itself, from the end of the fault
where somebody has to end it. Both are measured to about a quarter of a second.

*Data lost: none* is what each test checks: the last good table and the events stay on the screen, the journal keeps
every line whole, and the program goes on. `make faults` repeats all of it and makes this page.
"""


def page(rows: Mapping[str, Row]) -> str:
    """docs/faults.md. Raises KeyError for a fault that has not been measured."""
    parts = [INTRO]
    for title, faults in sections().items():
        lines = [
            "| fault | what the operator sees | time to notice | time to recover | data lost |",
            "|---|---|---|---|---|",
            *(_line(one, rows[one.title]) for one in faults),
        ]
        parts += [f"## {title}\n", "\n".join(lines) + "\n"]
    return "\n".join(parts)


def _line(fault: Fault, row: Row) -> str:
    notice = "–" if row.notice_s is None else f"{row.notice_s:.1f} s"
    recover = f"{row.recover_s:.1f} s{AFTER_ITS_END if row.mended else ''}"
    return f"| {fault.title} | {fault.sees} | {notice} | {recover} | none |"
