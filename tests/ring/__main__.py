"""A real ring to try the program on by hand: `python -m tests.ring --users 20000`, Ctrl-C ends it."""

from __future__ import annotations

import argparse
import random
import signal
import threading
from typing import TYPE_CHECKING

from tests.ring.real import BACKENDS
from tests.ring.site import Site

if TYPE_CHECKING:
    from tests.ring.real import RealRing


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.ring", description=__doc__)
    parser.add_argument("--users", type=int, default=2_000, help="assigned users, spread at random (default 2000)")
    parser.add_argument("--sessions", type=int, default=0, help="users who are logged in, besides (default 0)")
    parser.add_argument("--directors", type=int, default=3, help="size of the ring (default 3)")
    parser.add_argument("--backends", default=BACKENDS, help="director_mail_servers (default: %(default)s)")
    options = parser.parse_args()

    stop = threading.Event()
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, lambda *_: stop.set())
    with Site(options.directors, options.backends) as site:
        ring = site.ring
        ring.assign_users(_users(ring, options.users))
        for number in range(options.sessions):
            ring.log_in(f"user{number}@{'gold.' if number % 4 == 0 else ''}example.com", number % options.directors)
        print(site.config.read_text())
        print(f"The ring's private sshds: ssh -F {site.ssh_config} d1   (key: {site.client_key})")
        print(
            f"The backends' metacache is {site.hosts.doveadm}, a script: there its calls are recorded in IP/calls, and"
        )
        print("`touch IP/held`, `touch IP/failing` or `touch IP/plain` makes it wait, fail once, or be without.")
        for director in ring.directors:
            print(f"{director.name} without SSH: {director.doveadm_words} director status")
        words = " ".join(f"{name}={value}" for name, value in site.environment.items())
        print(f"\nTry it:\n  {words} director-tui --config {site.config}\n")
        print("Ready; Ctrl-C ends it all.", flush=True)
        stop.wait()


def _users(ring: RealRing, count: int) -> dict[int, str]:
    lines = ring.directors[0].doveadm("-f", "tab", "director", "status").stdout.decode().splitlines()
    ips = [line.split("\t")[0] for line in lines[1:]]
    return {user_hash: random.choice(ips) for user_hash in random.sample(range(1, 2**32), count)}


if __name__ == "__main__":
    main()
