"""Everything that changes the ring by its key in a real terminal, read back with plain doveadm on every director."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import groupby
from typing import TYPE_CHECKING

from tests.ring.processes import wait_until
from tests.ring.terminal import GONE

if TYPE_CHECKING:
    from tests.ring.dashboard import Dashboard
    from tests.ring.fixtures import MakeRing
    from tests.ring.real import RealRing
    from tests.ring.terminal import Terminal

ONE, TWO, THREE, FOUR, FIVE = (f"127.0.1.{number}" for number in range(1, 6))
NEW = "127.0.1.9"
JANE = "jane@example.com"
BOLD = r"\x1b\[1m(?:\x1b\[[0-9;]*m)* "
"""In front of the label of a button that can be pressed."""
REVERSED = "\x1b[7m"


def test_every_change_by_its_key(terminal: Terminal, dashboard: Dashboard, make_ring: MakeRing) -> None:
    ring = make_ring(settings={"director_user_kick_delay": "0"})
    # Every 8th part of the hashes on the next backend: hardly anyone is where its hash leads.
    hashes = {number * 2**24 + 1: f"127.0.1.{number % 6 + 1}" for number in range(1, 240)}
    ring.assign_users(hashes)
    ring.log_in(JANE, 1)
    away = FOUR if where(ring, JANE)["status"] != FOUR else FIVE
    dashboard.open(terminal, ring, 120, 36)
    terminal.wait_for("LIVE", "ring 3/3 synced", "240 users")
    keys = Keys(terminal)

    # v, with a reason, and the flush that is offered next
    keys.stand_on(THREE)
    terminal.press("v")
    terminal.wait_for("vhost count   ")
    terminal.press("0", "Enter")
    keys.agree(f"Set vhost count of {THREE} to 0", reason="disk groans")
    assert each(ring, THREE, "vhosts") == "0"
    assert each(ring, THREE, "users") != "0"
    terminal.press("n")
    keys.pace(f"Flush {THREE}")
    keys.agree(f"Flush {THREE}")
    assert each(ring, THREE, "users") == "0"

    # d and u of marked backends
    keys.back()
    for ip in (ONE, TWO):
        keys.stand_on(ip)
        terminal.press("Space")
    terminal.wait_for("2 marked")
    terminal.press("d")
    keys.agree("Set 2 backends down")
    assert [each(ring, ip, "state") for ip in (ONE, TWO, FOUR)] == ["down", "down", "up"]
    keys.back()
    terminal.press("u")
    keys.agree("Set 2 backends up")
    assert [each(ring, ip, "state") for ip in (ONE, TWO)] == ["up", "up"]

    # Set back, of the change that the cursor stands on
    keys.stand_on(f"Set vhost count of {THREE} to 0")
    terminal.press("b")
    keys.agree(f"Set vhost count of {THREE} to 100")
    assert each(ring, THREE, "vhosts") == "100"

    # F: everyone to where the hash leads, the users of all backends and so typed
    keys.back()
    terminal.press("Escape")
    assert wait_until(lambda: not terminal.shows("2 marked"), 10)
    terminal.press("F")
    keys.pace("Flush all backends")
    keys.agree_by_name("Flush all")
    assert each(ring, THREE, "users") != "0"
    for user_hash in list(hashes)[::10]:
        assert len(set(where(ring, str(user_hash)).values())) == 1, "where it is, and where it leads"

    # f -F
    keys.back()
    keys.stand_on(FIVE)
    before = int(each(ring, FIVE, "users"))
    terminal.press("f")
    terminal.wait_for("Forget them instead (-F)")
    terminal.press("Tab", "Enter")
    keys.agree_by_name(f"Force a flush of {FIVE}")
    assert before > 0
    assert each(ring, FIVE, "users") == "0"

    # a and x
    keys.back()
    terminal.press("a")
    terminal.wait_for("Add a backend")
    terminal.press(NEW, "Tab")
    keys.see_cursor("tag  ")
    terminal.press("gold", "Tab")
    keys.see_cursor("vhost count")
    terminal.press("C-u")
    terminal.wait_for("0 to 1000")
    terminal.press("50", "Enter")
    keys.agree(f"Add {NEW} to tag gold, vhost count 50")
    assert (each(ring, NEW, "tag"), each(ring, NEW, "vhosts")) == ("gold", "50")
    keys.back()
    terminal.wait_for("9 backends")
    keys.stand_on(NEW)
    terminal.press("x")
    keys.agree(f"Remove {NEW}")
    assert all(NEW not in [row["mail server ip"] for row in one.backends()] for one in ring.directors)

    # M and K
    keys.find(JANE)
    terminal.press("M")
    terminal.wait_for(f"Move {JANE} to")
    terminal.press(away)
    terminal.wait_for(f"▸  {away}")
    terminal.press("Enter")
    keys.agree(f"Move {JANE} to {away}")
    assert where(ring, JANE)["status"] == away
    ring.log_in(JANE, 2)
    assert sessions(ring, JANE) > 0
    keys.back()  # to the user
    terminal.wait_for(f"{JANE}   hash ")
    terminal.press("K")
    keys.agree(f"Kick {JANE}")
    assert sessions(ring, JANE) == 0

    # and what is left of it
    terminal.press("e")
    terminal.wait_for(".md")
    keys.back()
    terminal.wait_for(f"{JANE}   hash ")
    terminal.press("q")
    terminal.wait_for("8 backends")
    terminal.press("q")
    terminal.wait_for(f"{GONE} 0")
    done = subprocess.run([*dashboard.command, "journal", "--json"], check=True, capture_output=True, timeout=30)
    records = json.loads(done.stdout)
    ended = [record for record in records if record["event"] == "result" and record["outcome"] is not None]
    assert {record["outcome"] for record in ended} == {"applied"}
    verbs = [re.findall(r'"director", "(\w+)"', json.dumps(record["argv"]))[0] for record in ended]
    assert [verb for verb, _ in groupby(verbs)] == [
        "update",
        "flush",
        "down",
        "up",
        "update",
        "flush",
        "add",
        "remove",
        "move",
        "kick",
    ]
    assert "disk groans" in {record["reason"] for record in records}


class Keys:
    """What is pressed in more than one place."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def stand_on(self, text: str) -> None:
        """Move the cursor to the row with this text."""
        heads = ("backend▴", "time (UTC)")
        self._terminal.wait_for(text)
        lines = self._terminal.still_lines()
        head = next(place for place, line in enumerate(lines) if any(words in line for words in heads))
        row = next(place for place, line in enumerate(lines) if place > head and text in line)
        self._terminal.press("Home", *["j"] * (row - head - 1))
        assert wait_until(lambda: "▸" in self._terminal.lines()[row], 10), "\n".join([text, *self._terminal.lines()])

    def pace(self, title: str) -> None:
        """Leave the pace of a flush to the director."""
        self._terminal.wait_for(title, "max-parallel")
        self._terminal.press("Enter")

    def find(self, user: str) -> None:
        self.back()
        self._terminal.press("l", user, "Enter")
        self._terminal.wait_for(f"{user}   hash ")

    def agree(self, title: str, reason: str = "") -> None:
        """Agree to the plan that opens, and wait for its end."""
        self._terminal.wait_for(title, "Runs on", "Cancel")
        if reason:
            self._terminal.press("BTab")
            self.see_cursor("reason")
            self._terminal.press(reason, "Tab")
        self.press_action(title)
        self.see_applied(title)

    def press_action(self, title: str) -> None:
        """Go from Cancel to the button beside it, and press that."""
        self._terminal.press("Tab")
        ready = f"Cancel .*{BOLD}{re.escape(title)} "
        assert wait_until(lambda: re.search(ready, self._terminal.styled()) is not None, 10), self._terminal.styled()
        self._terminal.press("Enter")

    def see_cursor(self, label: str) -> None:
        """Wait until what is typed goes into the field of this label."""
        assert wait_until(
            lambda: any(label in line and REVERSED in line for line in self._terminal.styled().splitlines()), 10
        ), self._terminal.styled()

    def agree_by_name(self, title: str) -> None:
        self._terminal.wait_for(title, "type real and press Enter")
        self._terminal.press("real")
        self._terminal.wait_for("press Enter   real")
        for _ in range(5):  # in its first moment a plan takes no press
            self._terminal.press("Enter")
            if wait_until(lambda: self._terminal.shows("checking once more") or self._terminal.shows("── journal"), 1):
                break
        self.see_applied(title)

    def see_applied(self, title: str) -> None:
        def applied() -> bool:
            lines = self._terminal.lines()
            head = next((place for place, line in enumerate(lines) if line.strip().startswith(title)), None)
            return head is not None and "applied" in lines[head + 1] and "── journal" in "\n".join(lines)

        assert wait_until(applied, 30), "\n".join([title, *self._terminal.lines()])

    def back(self) -> None:
        self._terminal.press("q")
        assert wait_until(lambda: not self._terminal.shows("── journal"), 10)


def each(ring: RealRing, ip: str, column: str) -> str:
    """What every director says of a backend, once they all say the same."""
    said: set[str] = set()

    def the_same() -> bool:
        rows = [row for director in ring.directors for row in director.backends() if row["mail server ip"] == ip]
        said.clear()
        said.update(row[column] for row in rows)
        return len(said) == 1 and len(rows) == len(ring.directors)

    assert wait_until(the_same, 10), said
    return said.pop()


def where(ring: RealRing, user: str) -> dict[str, str]:
    """On which backend a user is, and where its hash leads, as all directors say."""
    said = {director.doveadm("-f", "tab", "director", "status", user).stdout for director in ring.directors}
    (told,) = said
    _, row = told.decode().splitlines()
    status, _, hashed, _ = row.split("\t")
    return {"status": status, "hashed": hashed}


def sessions(ring: RealRing, user: str) -> int:
    """How many sessions of a user all directors pass on."""
    listed = [director.doveadm("proxy", "list").stdout.decode() for director in ring.directors]
    return sum(line.split()[:1] == [user] for table in listed for line in table.splitlines())
