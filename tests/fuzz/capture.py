"""Captures what a real ring answers into tests/fixtures: `python -m tests.fuzz.capture`."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from director_tui.director import doveadm
from director_tui.director.doveadm import Tool
from tests.ring.processes import wait_until
from tests.ring.site import Site

if TYPE_CHECKING:
    from director_tui.director.doveadm import Call
    from tests.ring.real import RealDirector

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
USER: Final = "user1@example.com"
HASH: Final = 287140048
CALLS: Final[dict[str, Call[Any]]] = {
    "director-status": doveadm.status(),
    "director-ring-status": doveadm.ring_status(),
    "director-status-user": doveadm.placement(HASH, ""),
    "director-map": doveadm.assignments(),
    "director-map-user": doveadm.user_hash(USER),
    "director-dump": doveadm.dump(),
    "proxy-list": doveadm.proxy_list(),
    "doveconf": doveadm.settings(),
    "doveconf-n": doveadm.version(),
}


def captured(director: RealDirector) -> dict[str, bytes]:
    """What this director prints now, by the name of its file."""

    def printed(call: Call[Any]) -> bytes:
        return director.doveconf(*call.words) if call.tool is Tool.DOVECONF else director.doveadm(*call.words).stdout

    return {name: _without_this_machine(printed(call)) for name, call in CALLS.items()}


def main() -> None:
    with Site() as site:
        ring = site.ring
        first, *_ = ring.directors
        ips = [one.ip for one in doveadm.status().parse(first.doveadm(*doveadm.status().words).stdout)]
        numbers = random.Random(1)
        ring.assign_users({number: numbers.choice(ips) for number in numbers.sample(range(1, 2**32), 20)})
        for number in range(4):
            ring.log_in(f"user{number}@{'gold.' if number % 4 == 0 else ''}example.com", number % 3)
        first.doveadm(*doveadm.down(ips[1]).words)
        first.doveadm(*doveadm.update(ips[2], 0).words)
        listed = doveadm.proxy_list()
        assert wait_until(lambda: bool(listed.parse(first.doveadm(*listed.words).stdout)), 10), "no session is listed"
        printed = captured(first)
    version = ".".join(map(str, doveadm.version().parse(printed["doveconf-n"])))
    folder = FIXTURES / version
    folder.mkdir(exist_ok=True)
    for name, stdout in printed.items():
        (folder / name).write_bytes(stdout)


def _without_this_machine(stdout: bytes) -> bytes:
    for pattern, instead in (
        (rb"/tmp/\S*/director-admin", b"/run/dovecot/director-admin"),
        (rb"/tmp/\S*\.conf", b"/etc/dovecot/dovecot.conf"),
        (rb"/tmp/\S*", b"/run/dovecot"),
        (rb"(?m)^# OS: .*", b"# OS: Linux 6.1.0 x86_64 Debian 12.11 "),
        (rb"(?m)^# Hostname: .*", b"# Hostname: dir1.example.com"),
    ):
        stdout = re.sub(pattern, instead, stdout)
    return stdout


if __name__ == "__main__":
    main()
