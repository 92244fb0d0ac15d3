"""The program in a real terminal on a real ring over real sshds: what an operator sees, and what is left after it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.ring.processes import wait_until
from tests.ring.terminal import GONE

if TYPE_CHECKING:
    from tests.ring.dashboard import Dashboard
    from tests.ring.fixtures import MakeRing
    from tests.ring.real import RealDirector, RealRing
    from tests.ring.terminal import Terminal

pytestmark = pytest.mark.real_ring


IPS = [f"127.0.1.{number}" for number in range(1, 9)]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 36), (200, 60)])
def test_the_ring_is_seen_and_a_change_by_somebody_else(
    terminal: Terminal, dashboard: Dashboard, real_ring: RealRing, width: int, height: int
) -> None:
    dashboard.open(terminal, real_ring, width, height)
    terminal.wait_for("LIVE", "8 backends", "ring 3/3 synced", *IPS)
    real_ring.directors[1].doveadm("director", "update", "127.0.1.3", "0")
    try:
        terminal.wait_for("127.0.1.3  vhosts 100 → 0", "outside this program")
        row = next(line for line in terminal.still_lines() if "127.0.1.3" in line and "vhosts" not in line)
        assert row.split()[1] == "0"
        assert "drain" in row
    finally:
        real_ring.directors[1].doveadm("director", "update", "127.0.1.3", "100")
    terminal.press("q")
    terminal.wait_for(f"{GONE} 0")
    assert not terminal.shows("backends")


def test_the_details_of_a_backend_and_its_ip_in_the_clipboard(
    terminal: Terminal, dashboard: Dashboard, real_ring: RealRing
) -> None:
    dashboard.open(terminal, real_ring, 80, 24)
    terminal.wait_for("LIVE", *IPS)
    terminal.press("j", "j", "Enter")
    terminal.wait_for("127.0.1.3", "sessions now   0 through 3 directors", "only users whose hash leads elsewhere")
    terminal.press("y")
    assert wait_until(lambda: terminal.copied() == "127.0.1.3", 10)
    terminal.press("Escape")
    terminal.wait_for(*IPS)
    terminal.press("q")
    terminal.wait_for(f"{GONE} 0")


def test_each_director_says_what_it_sees_and_another_one_is_chosen(
    terminal: Terminal, dashboard: Dashboard, real_ring: RealRing
) -> None:
    dashboard.open(terminal, real_ring, 80, 24)
    terminal.wait_for("LIVE", "ring 3/3 synced", *IPS)
    terminal.press("g")
    terminal.wait_for("The ring is whole: 3 of 3 directors synced, all agree about 8 backends", "asked 0s ago")
    lines = terminal.still_lines()
    for director in real_ring.directors:
        address = f"{director.ip}:{director.port}"
        told = {row["type"] for row in director.ring_status()}
        assert told == {"self", "left", "right"}
        seen = [line.split() for line in lines if address in line]
        types = {words[words.index(address) + 1] for words in seen if address in words}
        assert types == told, "each of the others has it on another side"
        assert all("ms" in words for words in seen if "synced" in words)
    places = [line.split()[0] for line in lines if " self " in line]
    assert len(places) == 3
    third = next(line for line in lines if " self " in line and f"{real_ring.directors[2].ip}:" in line).split()[0]
    terminal.press("j", "j", "j", "j", "j", "j", "Enter")
    terminal.wait_for(f"{third} ● in use", f"LIVE   {third}")
    terminal.press("q")
    terminal.wait_for(f"left for root@{third}", *IPS)
    terminal.press("q")
    terminal.wait_for(f"{GONE} 0")


ODD_USERS = ("jane@example.com", "two words", 'say "hi"; $(id) `id` \\', "--help", "żółć-雪", "12345", "q?quit/l:r")


def test_users_are_found_where_doveadm_finds_them(
    terminal: Terminal, dashboard: Dashboard, make_ring: MakeRing
) -> None:
    ring = make_ring()
    first = ring.directors[0]
    hashes = {user: tab(first, "map", "-u", "--", user)["hash"] for user in ODD_USERS}
    assigned = dict(zip(ODD_USERS, (IPS[0], IPS[1], IPS[2], IPS[3], IPS[6], IPS[7], IPS[0]), strict=True))
    ring.assign_users({int(hashes[user]): ip for user, ip in assigned.items()})
    first.doveadm("director", "update", IPS[1], "0")
    first.doveadm("director", "down", IPS[2])
    ring.wait_synced()
    dashboard.open(terminal, ring, 120, 36)
    terminal.wait_for("LIVE", *IPS)
    conditions = {IPS[1]: ", which is draining", IPS[2]: ", which is DOWN"}
    for user, ip in assigned.items():
        terminal.press("l", user, "Enter")  # all at once: nothing of it may be lost, or be a command
        terminal.wait_for(f"{user}   hash {hashes[user]}", f"on {ip}{conditions.get(ip, '')}")
        for tag in ("", "gold"):
            row = tab(first, "status", "--", hashes[user], *filter(None, [tag]))
            here = row["status"] == ip
            assert here is ((tag == "gold") is (ip in IPS[6:]))
            (line,) = [
                line
                for line in terminal.still_lines()
                if line.strip(" ▸").startswith(tag or ("not assigned" if row["status"] == "n/a" else row["status"]))
            ]
            cells = re.split(r"  +", line.strip(" ▸"))
            assert [cell for cell in cells if not cell.startswith("in ")] == [
                *filter(None, [tag]),
                row["status"] if here else "not assigned",
                row["hashed"],
                row["initial-config"],
            ]
            assert any(cell in {"in 14 min", "in 15 min"} for cell in cells) is here
    terminal.press("Enter")
    terminal.wait_for("no session of this user through")
    terminal.press("q")
    terminal.wait_for("8 backends")
    terminal.press("q")
    terminal.wait_for(f"{GONE} 0")


def test_the_sessions_of_a_user_who_is_on_two_backends_at_once(
    terminal: Terminal, dashboard: Dashboard, make_ring: MakeRing
) -> None:
    ring = make_ring()
    first = ring.directors[0]
    for user, director in (("Jane@Example.com", 0), ("jane@example.com", 0), ("jane@example.com", 1), ("joe", 1)):
        ring.log_in(user, director)
    old = tab(first, "status", "--", "jane@example.com")["status"]
    new = next(ip for ip in IPS if ip != old)
    dashboard.open(terminal, ring, 120, 36)
    terminal.wait_for("LIVE", *IPS)
    terminal.press("l", "JANE@example.com", "Enter")
    terminal.wait_for(f"on {old}, where its hash leads")
    terminal.press("Enter")
    terminal.wait_for("3 sessions")
    rows = [line.split() for line in terminal.still_lines() if " imap " in line]
    assert [(row[-3], row[-1]) for row in rows] == [(old, "2"), (old, "1")]
    assert not terminal.shows("joe")
    # By force it is forgotten without being kicked; that is how a mailbox gets open in two places.
    first.doveadm("director", "flush", "-F", old)
    first.doveadm("director", "move", "jane@example.com", new)
    terminal.wait_for(f"on {new}, though its hash leads to {old}")  # looked up again by itself
    ring.log_in("jane@example.com", 2)
    terminal.press("r")
    terminal.wait_for("SESSIONS ON 2 BACKENDS AT ONCE", "4 sessions", "not current")
    behind = [line for line in terminal.still_lines() if "not current" in line]
    assert {line.split(" not current")[0].split()[-1] for line in behind} == {old}
    ring.directors[2].stop()
    terminal.press("r")
    terminal.wait_for("3 sessions seen", "not known: the director's login processes can't be asked through")
    terminal.press("q")
    terminal.wait_for("8 backends")
    terminal.press("q")
    terminal.wait_for(f"{GONE} 0")


def tab(director: RealDirector, *args: str) -> dict[str, str]:
    """The only row of a table."""
    header, row = director.doveadm("-f", "tab", "director", *args).stdout.decode().splitlines()
    return dict(zip(header.split("\t"), row.split("\t"), strict=True))
