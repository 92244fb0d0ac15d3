"""P3 and P9: what a reading takes, and what a day of readings costs on both sides."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.measure import Line, median
from bench.pseudo_terminal import PseudoTerminal
from bench.start import dashboard
from director_tui.config import read_config
from director_tui.director import doveadm
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from tests.ring.processes import descendants, group, processes, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.ring.site import Site

POLLS: Final = 60
IDLE_S: Final = 240.0
"""A multiple of every beat of the dashboard, so that what it does now and then is counted as often as it happens."""
START_S: Final = 12.0
"""After so long the dashboard has read the settings, and every director has been asked once."""


def polls(site: Site) -> list[Line]:
    with _master(site) as master:
        ours, peer = asyncio.run(_polls_s(site, [*master, site.doveadm_words(site.ring.directors[0]), *STATUS]))
    return [
        Line(
            "P3", "one poll on the kept connection : ssh over a ControlMaster", median(ours) * 1000,
            median(peer) * 1000, "ms", 0.7,
        )
    ]  # fmt: skip


async def _polls_s(site: Site, words: list[str]) -> tuple[list[float], list[float]]:
    cluster = read_config(site.config).cluster(None)
    ring = Ring(cluster, Ssh(known_hosts=cluster.known_hosts, identity=site.client_key))
    ours: list[float] = []
    peer: list[float] = []
    try:
        await ring.on_one(doveadm.status())
        for _ in range(POLLS):
            began_s = time.perf_counter()
            await ring.on_one(doveadm.status())
            ours.append(time.perf_counter() - began_s)
            began_s = time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # noqa: ASYNC221
            peer.append(time.perf_counter() - began_s)
    finally:
        await ring.close()
    return ours, peer


def idling(site: Site) -> list[Line]:
    with dashboard(site) as terminal:
        terminal.wait_for(rb"127\.0\.1\.8\b")
        terminal.leave_alone(START_S)
        ours = _cpu_while(site, lambda: [terminal.pid], lambda: terminal.leave_alone(IDLE_S))
    with _master(site) as master:
        command = shlex.join([*master, site.doveadm_words(site.ring.directors[0]), *STATUS])
        with PseudoTerminal(["watch", "-n", "2", command]) as terminal:
            terminal.wait_for(rb"127\.0\.1\.8\b")
            masters = [each.pid for each in processes() if each.name == "ssh" and each.parent == os.getpid()]
            peer = _cpu_while(site, lambda: [terminal.pid, *masters], lambda: terminal.leave_alone(IDLE_S))
    what = f"CPU in {IDLE_S:.0f} s, nothing changing, on the {{}} : watch -n 2 ssh"
    return [
        Line("P9", what.format(side), mine * 1000, theirs * 1000, "ms", 1.0)
        for side, mine, theirs in zip(("client", "directors"), ours, peer, strict=True)
    ]


STATUS: Final = ("director", "status")


def _cpu_while(site: Site, clients: Callable[[], Iterable[int]], idle: Callable[[], object]) -> tuple[float, float]:
    """Seconds of CPU that were used meanwhile on the client's side, and on that of all directors and their sshds."""
    client_s, directors_s = _cpu_s(clients()), _cpu_s(_director_pids(site))
    idle()
    return _cpu_s(clients()) - client_s, _cpu_s(_director_pids(site)) - directors_s


def _director_pids(site: Site) -> Iterator[int]:
    for sshd in site.sshds:
        if sshd.listener_pid is not None:
            yield sshd.listener_pid
            yield from (each.pid for each in descendants(sshd.listener_pid))
    for director in site.ring.directors:
        master = director.master_pid()
        if master is not None:
            yield from (each.pid for each in group(master))


def _cpu_s(pids: Iterable[int]) -> float:
    """What these processes and the children that they have waited for have used so far."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _master(site: Site) -> Iterator[list[str]]:
    """An OpenSSH connection to the first director that others go through; the words that do so."""
    socket = site.folder / "master"
    words = ["ssh", "-F", str(site.ssh_config), "-o", f"ControlPath={socket}"]
    with subprocess.Popen([*words, "-M", "-N", "d1"], stdin=subprocess.DEVNULL) as master:
        try:
            if not wait_until(socket.exists, 10):
                raise RuntimeError("OpenSSH's master connection does not come up")
            yield [*words, "d1", "--"]
        finally:
            master.terminate()
