"""A director that knows a million users, behind a real sshd: it prints from files what it is asked for."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from bench.crowd import ips
from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.director import parse
from director_tui.director.hashring import HASH_SPACE, HashRing
from director_tui.link.ring import Ring
from director_tui.operations.plan import Request, Verb
from tests.ring.processes import ended_with_us
from tests.ring.sshd import Sshd, make_key, write_known_hosts
from tests.ui.fakes import MAP_HEADER, RING_HEADER, STATUS_HEADER, ring_row

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USERS: Final = 1_000_000
BACKENDS: Final = 200
LOWERED: Final = 5
"""Every so manieth backend has had another vhost count since the users came, so that some belong elsewhere."""
EXPIRE: Final = 15 * 60
EVERYBODY: Final = Request(Verb.FLUSH_ALL)


@dataclass(frozen=True, slots=True)
class Large:
    """Where it is reached, by the key and the known hosts in its ``folder``."""

    folder: Path
    destination: str

    @property
    def map(self) -> Path:
        """What it prints as ``director map``."""
        return self.folder / "map"

    @property
    def cluster(self) -> ClusterConfig:
        words = (str(self.folder / "doveadm"),)
        return ClusterConfig("large", (DirectorConfig(self.destination, words, words),), interval_s=1.0)

    def ring(self) -> Ring:
        from director_tui.link.ssh import Ssh

        return Ring(self.cluster, Ssh(known_hosts=self.folder / "known_hosts", identity=self.folder / "client_key"))


@contextlib.contextmanager
def large() -> Iterator[Large]:
    with ended_with_us("large-") as folder, Sshd(client_key=make_key(folder / "client_key")) as sshd:
        write_known_hosts(folder / "known_hosts", [sshd])
        before = HashRing(parse.backends(_status([100] * BACKENDS)))
        (folder / "status").write_bytes(_status([100 if place % LOWERED else 60 for place in range(BACKENDS)]))
        (folder / "ring").write_bytes(RING_HEADER + ring_row(0, b"self", b"ring synced"))
        (folder / "settings").write_text("director_mail_servers = 10.1.0.1-10.1.0.200\n")
        (folder / "version").write_text("# 2.3.19.1 (9b53102964): dovecot.conf\n")
        _write_map(folder / "map", before)
        doveadm = folder / "doveadm"
        doveadm.write_text(f"""\
#!/bin/sh
case "$*" in
    *" director map "*) exec cat {folder}/map ;;
    *" director ring status") exec cat {folder}/ring ;;
    *" director status") exec cat {folder}/status ;;
    -n) exec cat {folder}/version ;;
    *) exec cat {folder}/settings ;;
esac
""")
        doveadm.chmod(0o755)
        yield Large(folder, sshd.destination)


def _status(vhosts: list[int]) -> bytes:
    lines = (f"{ip}\t\t{count}\tup\t-\t{USERS // BACKENDS}\n" for ip, count in zip(ips(BACKENDS), vhosts, strict=True))
    return STATUS_HEADER + "".join(lines).encode()


def _write_map(path: Path, ring: HashRing) -> None:
    chance = random.Random(1)
    hashes = [chance.randrange(1, HASH_SPACE) for _ in range(USERS)]
    first = datetime(2026, 11, 23, 22, tzinfo=UTC)
    expires = [f"{first + timedelta(seconds=second):%Y-%m-%d %H:%M:%S}" for second in range(EXPIRE)]
    with path.open("wb") as file:
        file.write(MAP_HEADER)
        for hash_, ip in zip(hashes, ring.backends_of(hashes), strict=True):
            file.write(f"<unknown>\t{hash_}\t{ip}\t{chance.choice(expires)}\n".encode())
