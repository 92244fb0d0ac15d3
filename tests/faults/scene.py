"""The program on a real ring in a real terminal, with events on its screen and in its journal that could get lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tests.ring.processes import wait_until
from tests.ring.terminal import GONE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.table import Measured
    from tests.ring.dashboard import Dashboard
    from tests.ring.real import RealRing
    from tests.ring.terminal import Terminal

IPS: Final = tuple(f"127.0.1.{number}" for number in range(1, 9))
CHANGED: Final = IPS[7]
"""The backend that somebody else changes: before the fault, and while it lasts."""

LIMIT_S: Final = 60.0
"""How long anything on the screen is waited for. Never a time that is promised: this machine may be busy."""

FRAME_S: Final = 3.0
"""How long the rest of a frame is waited for. A table that was lost is not read again so soon."""


class Scene:
    """One program. ``ring`` is what somebody else changes, past the program and past what is broken."""

    def __init__(
        self, terminal: Terminal, dashboard: Dashboard, ring: RealRing, state: Path, measured: Measured
    ) -> None:
        self.terminal: Final = terminal
        self.ring: Final = ring
        self._dashboard = dashboard
        self._journal = state / "director-tui" / "real" / "journal.jsonl"
        self._measured = measured
        self._vhosts = 100
        self._events: list[str] = []
        self._changes: list[tuple[object, object]] = []
        self._seen: set[str] = set()

    def open(self) -> None:
        """Returns when all is well, and a change by somebody else is among the events."""
        self._dashboard.open(self.terminal, self.ring, 120, 60)
        self.sees("● LIVE", f"ring {len(self.ring.directors)}/{len(self.ring.directors)} synced", *IPS)
        self.somebody_changes()
        self.sees_the_changes()

    def somebody_changes(self) -> None:
        """A change by somebody else, through the director that is configured last."""
        before, self._vhosts = self._vhosts, self._vhosts - 10
        self.ring.directors[-1].doveadm("director", "update", CHANGED, str(self._vhosts))
        self._note(before)

    def _note(self, before: int) -> None:
        self._events.append(f"{CHANGED}  vhosts {before} → {self._vhosts}")
        self._changes.append(({CHANGED: {"vhosts": before}}, {CHANGED: {"vhosts": self._vhosts}}))

    def sees_the_changes(self) -> None:
        """The last of them is among the events; there is no room for all."""
        self.sees(self._events[-1])

    def begins_anew(self) -> None:
        """The ring has forgotten what somebody had changed."""
        before, self._vhosts = self._vhosts, 100
        self._note(before)

    def breaks(self) -> None:
        """To be said just before the fault is injected."""
        self._measured.injected(self._journal)

    def notices(self, *texts: str) -> None:
        """The first sign of the fault."""
        self.sees(*texts)
        self.noticed()

    def noticed(self) -> None:
        """There was a sign of it. The last good table and the events are still there."""
        self._measured.noticed()
        self._table_stays()

    def mended(self) -> None:
        """To be said just after the fault was ended."""
        self._measured.mended()

    def sees(self, *texts: str) -> None:
        self.terminal.wait_for(*texts, limit_s=LIMIT_S)
        self._seen.update(texts)

    def recovers(self, *texts: str) -> None:
        """All is live again."""
        self.sees("● LIVE", *texts)
        self._measured.recovered()

    def lost_nothing(self) -> None:
        """The table is whole, a change that is made now is among the events, and the journal has every change and no
        other: before the fault, while it lasted, and now. And the program is there to quit."""
        self.sees("● LIVE", *IPS)
        self.somebody_changes()
        self.sees_the_changes()
        assert self._seen.issuperset(self._measured.fault.says)
        assert wait_until(self._journal_has_the_changes, LIMIT_S), self._journal.read_text()
        self._measured.lost_nothing()
        self.terminal.press("q")
        self.sees(f"{GONE} 0")

    def _table_stays(self) -> None:
        """The sign may be on the terminal a moment before the rest of its frame."""
        self.terminal.wait_for(*IPS, *self._events, limit_s=FRAME_S)

    def _journal_has_the_changes(self) -> bool:
        """The screen may be faster than the disk."""
        records = [json.loads(line) for line in self._journal.read_text().splitlines()]
        return [(one["before"], one["after"]) for one in records if CHANGED in one["before"]] == self._changes
