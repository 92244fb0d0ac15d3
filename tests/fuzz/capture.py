"""Captures what a real ring answers into tests/fixtures: `python -m tests.fuzz.capture`.

It is of the Dovecot that stands first in PATH: its `sbin` and its `bin` in front of that capture another one's.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from director_tui.director import doveadm
from director_tui.director.doveadm import Tool
from tests.ring.processes import wait_until
from tests.ring.real import ENVIRONMENT, RealRing

if TYPE_CHECKING:
    from director_tui.director.doveadm import Call
    from tests.ring.real import RealDirector

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
USER: Final = "user1@example.com"
HASH: Final = 287140048
TAGS_BY_NAME: Final = (2, 2, 33)
"""The first version in whose configuration a ring of the tests can say which name has which tag."""
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
STRANGER: Final = "10.9.9.9"
FAILING: Final[dict[str, Call[Any]]] = {
    "update": doveadm.update(STRANGER, 1),
    "down": doveadm.down(STRANGER),
    "flush": doveadm.flush(STRANGER),
    "move": doveadm.move(USER, STRANGER),
    "metacache": doveadm.upload_metacache(),
}
FAILING_WHEN_STOPPED: Final = {"status-stopped": doveadm.status(), "proxy-list-stopped": doveadm.proxy_list()}


def captured(director: RealDirector) -> dict[str, bytes]:
    """What this director prints now, by the name of its file."""

    def printed(call: Call[Any]) -> bytes:
        return director.doveconf(*call.words) if call.tool is Tool.DOVECONF else director.doveadm(*call.words).stdout

    return {name: _without_this_machine(printed(call)) for name, call in CALLS.items()}


def failures(director: RealDirector, calls: dict[str, Call[Any]]) -> dict[str, dict[str, int | str]]:
    """How these end, and what they say; of the usage that doveadm tells only the first line."""
    found: dict[str, dict[str, int | str]] = {}
    for name, call in calls.items():
        done = director.doveadm(*call.words, check=False)
        stdout, stderr = (
            _without_this_machine(re.sub(rb"(?s)(usage: [^\n]*\n).*", rb"\1", one)).decode()
            for one in (done.stdout, done.stderr)
        )
        found[name] = {"status": done.returncode, "stdout": stdout, "stderr": stderr}
    return found


def main() -> None:
    printed_version = subprocess.run(["dovecot", "--version"], env=ENVIRONMENT, capture_output=True, check=True).stdout
    version = doveadm.version().parse(b"# " + printed_version)
    with RealRing(tagging=version >= TAGS_BY_NAME) as ring:
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
        failed = failures(first, FAILING)
        first.stop()
        failed |= failures(first, FAILING_WHEN_STOPPED)
    folder = FIXTURES / ".".join(map(str, version))
    folder.mkdir(exist_ok=True)
    for name, stdout in printed.items():
        (folder / name).write_bytes(stdout)
    (folder / "failures.json").write_text(json.dumps(failed, indent=1) + "\n")


def _without_this_machine(stdout: bytes) -> bytes:
    for pattern, instead in (
        (rb"/tmp/[^\s)]*/run/(director-admin|ipc)\b", rb"/run/dovecot/\1"),
        (rb"/tmp/\S*\.conf", b"/etc/dovecot/dovecot.conf"),
        (rb"/tmp/\S*", b"/run/dovecot"),
        (rb"(?m)^# OS: .*", b"# OS: Linux 6.1.0 x86_64 Debian 12.11 "),
        (rb"(?m)^# Hostname: .*", b"# Hostname: dir1.example.com"),
    ):
        stdout = re.sub(pattern, instead, stdout)
    return stdout


if __name__ == "__main__":
    main()
