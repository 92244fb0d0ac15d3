"""Opening a ring. SSH takes 0.1 s to import, so what can be done meanwhile is, and nothing is searched for in vain."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from director_tui.config import parse_destination
from director_tui.link.dialing import Dialed
from director_tui.link.ring import Ring
from director_tui.link.ssh_config import find_ssh, query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from director_tui.config import ClusterConfig, Destination
    from director_tui.link.questions import Ask
    from director_tui.link.ssh import Ssh
    from director_tui.link.ssh_config import HostConfig

LINKER_CACHE: Final = Path("/etc/ld.so.cache")
"""The names of all libraries that the dynamic linker of a Linux with glibc finds, those in LD_LIBRARY_PATH apart."""

SOUGHT: Final = frozenset({"oqs", "liboqs", "nettle", "libnettle", "libnettle-6"})
"""The libraries that asyncssh looks for, by the names it tries."""

X509: Final = "asyncssh.crypto.x509"
"""What of asyncssh needs pyOpenSSL."""

_IMPORTING: Final = threading.Lock()
"""Several rings can be opened at once."""


async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
    """The ring of a cluster; nothing is connected yet. ``ask`` puts a question to a person, if there is one."""
    begun = _asked_for(parse_destination(cluster.directors[0].ssh))
    dialed = {destination: Dialed(asyncio.shield(task)) for destination, task in begun.items()}
    with contextlib.ExitStack() as on_failure:
        for task in begun.values():
            on_failure.callback(task.cancel)
        for one in dialed.values():
            on_failure.callback(one.hang_up)
        # In a thread, so that a screen that is there already stays alive.
        ssh = await asyncio.to_thread(import_ssh)
        on_failure.pop_all()
    return Ring(cluster, ssh(known_hosts=cluster.known_hosts, ask=ask, configurations=begun, dialed=dialed))


def import_ssh() -> type[Ssh]:
    with _IMPORTING, contextlib.nullcontext() if "asyncssh" in sys.modules else _no_search_in_vain():
        from director_tui.link.ssh import Ssh
    return Ssh


def _asked_for(destination: Destination) -> dict[Destination, asyncio.Task[HostConfig]]:
    """OpenSSH is being asked for its configuration of the director that is connected to first."""
    ssh = find_ssh()
    if ssh is None:
        return {}
    task = asyncio.create_task(query(ssh, destination), name=f"ssh -G {destination.host}")
    # Who connects hears of a failure; it may be that nobody does any more.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return {destination: task}


@contextlib.contextmanager
def _no_search_in_vain() -> Iterator[None]:
    """Spare asyncssh, for the time of its import, what it would do for things that can't be there.

    It looks for two libraries by ``ctypes.util.find_library``: liboqs, which few have, for one more key exchange, and
    nettle for one more MAC. Where one is not found that runs ldconfig, gcc and ld, under each of two or three names: 50
    to 100 ms. What the dynamic linker doesn't list can hardly be loaded, and if it can, one algorithm less is offered;
    where there is no such list asyncssh looks for it as ever.

    For X.509 certificates, which OpenSSH doesn't know, it imports all that cryptography has of them, a fifth of the
    whole, and only then looks whether pyOpenSSL is there, without which it does without them.
    """
    import ctypes.util  # in the thread as well: it is not small, and asyncssh needs it anyhow

    listed = _listed_libraries()
    find_library = ctypes.util.find_library

    def found(name: str) -> str | None:
        known = listed is None or name not in SOUGHT or f"lib{name}.so".encode() in listed
        return find_library(name) if known else None

    ctypes.util.find_library = found
    in_vain = X509 not in sys.modules and importlib.util.find_spec("OpenSSL") is None
    if in_vain:
        sys.modules[X509] = None  # type: ignore[assignment]  # to Python: it is not there
    try:
        yield
    finally:
        ctypes.util.find_library = find_library
        if in_vain:
            del sys.modules[X509]


def _listed_libraries() -> bytes | None:
    """What the dynamic linker lists; None where it finds other libraries as well, or has no list."""
    try:
        return None if "LD_LIBRARY_PATH" in os.environ else LINKER_CACHE.read_bytes()
    except OSError:
        return None
