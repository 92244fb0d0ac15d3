"""The backends' own machines: an sshd at each backend's address, and there a doveadm that has a metacache.

Obox is not free software. Its place is taken by a script that records each `doveadm metacache flushall`, and that can
be held up, fail, or be without that command like Debian's own doveadm, which does everything else.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.ring import processes
from tests.ring.real import PATH
from tests.ring.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_HOSTS = 16
"""At so many addresses does an sshd listen (MAX_LISTEN_SOCKS)."""


@dataclass(frozen=True, slots=True)
class Upload:
    """One call of `doveadm metacache flushall`; ``status`` and ``ended`` are None while it goes on."""

    words: str
    begun: datetime
    ended: datetime | None = None
    status: int | None = None


class BackendHosts:
    """The machines at these addresses, between `with BackendHosts(ips) as hosts:` and its end.

    It is one sshd with one host key that listens at all of them. ``destination`` and ``doveadm`` are for
    ``[clusters.X.backends]`` of config.toml.
    """

    def __init__(self, ips: Sequence[str], client_key: Path | None = None) -> None:
        self.sshd = Sshd("backends", client_key, hosts=ips)
        self._ips = ips
        self._folder = Path()
        self._cleanup = contextlib.ExitStack()

    @property
    def destination(self) -> str:
        return f"{self.sshd.user}@{{ip}}:{self.sshd.port}"

    @property
    def doveadm(self) -> str:
        return str(self._folder / "doveadm")

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            self._folder = cleanup.enter_context(processes.ended_with_us("backends-"))
            cleanup.enter_context(self.sshd)
            script = Path(self.doveadm)
            script.write_text(_SCRIPT.format(folder=self._folder, doveadm=shutil.which("doveadm", path=PATH)))
            script.chmod(0o755)
            for ip in self._ips:
                (self._folder / ip).mkdir()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        for ip in self._ips:
            self.release(ip)
        self._cleanup.close()

    def uploads(self, ip: str) -> tuple[Upload, ...]:
        """Every upload of a backend's metacache, in the order in which they began."""
        calls: dict[str, Upload] = {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self._folder / ip / "calls").read_text().splitlines():
                time, pid, event, rest = line.split(" ", 3)
                when = datetime.fromtimestamp(float(time), UTC)
                if event == "begun":
                    calls[pid] = Upload(rest, when)
                else:
                    calls[pid] = Upload(calls[pid].words, calls[pid].begun, when, int(rest))
        return tuple(calls.values())

    def hold(self, ip: str) -> None:
        """From now on an upload doesn't end before release()."""
        (self._folder / ip / "held").touch()

    def release(self, ip: str) -> None:
        (self._folder / ip / "held").unlink(missing_ok=True)

    def fail_next(self, ip: str) -> None:
        """The next upload fails, with exit status 75; the one after that doesn't."""
        (self._folder / ip / "failing").touch()

    def without_metacache(self, ip: str) -> None:
        """From now on its doveadm is Debian's own alone."""
        (self._folder / ip / "plain").touch()

    def forget(self) -> None:
        """Every backend is as it was at first."""
        for ip in self._ips:
            for path in (self._folder / ip).iterdir():
                path.unlink()


_SCRIPT = """\
#!/bin/sh
# The doveadm of all backends: which one this is, the address says to which the connection came.
here={folder}/$(echo "$SSH_CONNECTION" | cut -d ' ' -f 3)
case "$*" in *'metacache flushall'*) ;; *) exec {doveadm} "$@" ;; esac
[ ! -e "$here/plain" ] || exec {doveadm} "$@"
trap '' HUP PIPE  # like doveadm, it goes on without whoever began it
note() {{ echo "$(date +%s.%N) $$ $*" >> "$here/calls"; }}
note begun "$*"
while [ -e "$here/held" ]; do sleep 0.02; done
if [ -e "$here/failing" ]; then
    rm "$here/failing"
    echo 'Error: obox: upload failed: HTTP 503 Service Unavailable' >&2
    note ended 75
    exit 75
fi
echo 'metacache: everything uploaded'
note ended 0
"""
