"""A real ring to try the program on by hand: `python -m tests.ring --users 20000`, Ctrl-C ends it."""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import threading
from typing import TYPE_CHECKING

from tests.ring.processes import ended_with_us
from tests.ring.real import BACKENDS, RealRing
from tests.ring.sshd import Agent, Sshd, make_key, write_known_hosts

if TYPE_CHECKING:
    from pathlib import Path


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
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(ended_with_us("try-"))
        ring = stack.enter_context(RealRing(options.directors, options.backends))
        key = make_key(folder / "client_key")
        sshds = [stack.enter_context(Sshd(director.name, client_key=key)) for director in ring.directors]
        agent = stack.enter_context(Agent([key]))
        write_known_hosts(folder / "known_hosts", sshds)
        (folder / "ssh_config").write_text("\n".join(sshd.ssh_config.read_text() for sshd in sshds))
        config = folder / "config.toml"
        config.write_text(_config(ring, sshds, folder / "known_hosts"))
        ring.assign_users(_users(ring, options.users))
        for number in range(options.sessions):
            ring.log_in(f"user{number}@{'gold.' if number % 4 == 0 else ''}example.com", number % options.directors)
        print(config.read_text())
        print(f"The ring's private sshds: ssh -F {folder / 'ssh_config'} d1   (key: {key})")
        for director in ring.directors:
            print(f"{director.name} without SSH: {director.doveadm_words} director status")
        print(f"\nTry it:\n  SSH_AUTH_SOCK={agent.socket} director-tui --config {config}\n")
        print("Ready; Ctrl-C ends it all.", flush=True)
        stop.wait()


def _config(ring: RealRing, sshds: list[Sshd], known_hosts: Path) -> str:
    directors = "".join(
        f'    {{ssh = "{sshd.destination}", doveadm = "{director.doveadm_words}"}},\n'
        for director, sshd in zip(ring.directors, sshds, strict=True)
    )
    return f"""\
default_cluster = "real"

[clusters.real]
directors = [
{directors}]
known_hosts = "{known_hosts}"
environment = "test"
"""


def _users(ring: RealRing, count: int) -> dict[int, str]:
    lines = ring.directors[0].doveadm("-f", "tab", "director", "status").stdout.decode().splitlines()
    ips = [line.split("\t")[0] for line in lines[1:]]
    return {user_hash: random.choice(ips) for user_hash in random.sample(range(1, 2**32), count)}


if __name__ == "__main__":
    main()
