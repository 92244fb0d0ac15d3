"""A director's machine as sshd and sudo see it: with accounts, rights and a Dovecot configuration of its own.

It is a mount namespace in which copies of a few files of /etc lie over the machine's, with a real sshd in it and the
real sudo. Outside it nothing is to be seen of that, and nothing is left of it when the sshd has ended.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from tests.ring import processes
from tests.ring.real import PATH
from tests.ring.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIRST_UID: Final = 61_001

SUDO_DEFAULTS: Final = """\
Defaults env_reset
Defaults mail_badpass
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults use_pty
"""
"""As Debian has them."""

_QUIET: Final = """\
Defaults !syslog, !mail_badpass, !mail_no_user, !mail_no_perms, !fqdn
Defaults logfile={log}
root ALL=(ALL:ALL) ALL
"""
"""What is done here is not for the machine's log, and not for its root's mail."""

_ENTER: Final = """\
set -e
cd "$1"; shift
find . -type f | while read -r file; do mount --bind "$file" "/${file#./}"; done
for folder in /run/sudo /run/nscd; do [ ! -d $folder ] || mount -t tmpfs tmpfs $folder; done
exec "$@"
"""
_NAMESPACE: Final = ("unshare", "--mount", "--propagation", "private", "--")


def missing() -> list[str]:
    """What accounts lack on this machine, in Debian's package names."""
    lacks = [name for name in ("sudo", "visudo") if not shutil.which(name, path=PATH)]
    return [*lacks[:1], *([] if shutil.which("csh", path=PATH) else ["tcsh"])]


@functools.cache
def why_not() -> str:
    """Why there can be no accounts of a test's own on this machine; empty if there can."""
    if lacks := missing():
        return f"no accounts here: install {' '.join(lacks)}"
    if os.geteuid() != 0:
        return "only root can give a test accounts of its own"
    probe = subprocess.run([*_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    return f"no mount namespace of a test's own here: {probe.stderr.decode().strip()}" if probe.returncode else ""


@dataclass(frozen=True, slots=True)
class Account:
    """``key_options`` is what stands in front of its key in authorized_keys, ``files`` what is in its home."""

    name: str
    key_options: str = ""
    shell: str = "/bin/sh"
    files: Mapping[str, str] | None = None


class Machine:
    """Between `with Machine(...) as machine:` and its end.

    ``sudoers`` follows what Debian's own says; ``over`` are files that lie over others, by the path of these. All
    accounts are let in with ``client_key``, and none has a password. ``sshd`` are the last lines of its sshd_config, in
    which /etc/ssh/authorized_keys is the folder of the keys; without them an account's own ~/.ssh counts, too.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        sudoers: str,
        client_key: Path,
        over: Mapping[str, bytes] | None = None,
        *,
        name: str = "machine",
        sshd: Sequence[str] = (),
    ) -> None:
        self.accounts = {one.name: one for one in accounts}
        self.sshd: Sshd
        self._sudoers = sudoers
        self._client_key = client_key
        self._over = dict(over or {})
        self._name = name
        self._sshd_lines = tuple(sshd)
        self._folder = Path()
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            self._folder = cleanup.enter_context(processes.ended_with_us("accounts-"))
            self._folder.chmod(0o711)
            self._lay_out()
            self.sshd = cleanup.enter_context(
                Sshd(
                    self._name,
                    self._client_key,
                    extra=[
                        f"AuthorizedKeysFile {self._folder}/keys/%u .ssh/authorized_keys",
                        *(
                            line.replace("/etc/ssh/authorized_keys", f"{self._folder}/keys")
                            for line in self._sshd_lines
                        ),
                    ],
                    environment={},
                    inside=[*_NAMESPACE, "sh", "-c", _ENTER, "sh", f"{self._folder}/over"],
                )
            )
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._cleanup.close()

    def destination(self, account: str) -> str:
        """USER@HOST:PORT, as config.toml takes it."""
        return f"{account}@{self.sshd.host}:{self.sshd.port}"

    def home(self, account: str) -> Path:
        return self._folder / "home" / account

    def give_key(self, account: str, options: str) -> None:
        """From now on its key lets in with these options only."""
        public = Path(f"{self._client_key}.pub").read_text()
        (self._folder / "keys" / account).write_text(f"{options} {public}".lstrip())

    def run(self, account: str, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run this as the account, without sshd and without a shell."""
        pid = self.sshd.listener_pid
        assert pid is not None
        return subprocess.run(
            ["nsenter", "--mount", "--target", str(pid), "--wd=/", "setpriv", "--reuid", account, "--regid", account,
             "--init-groups", "env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", f"HOME={self.home(account)}", *words],
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )  # fmt: skip

    def ssh(
        self, account: str, *words: str, options: Sequence[str] = (), key: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """OpenSSH's own client, as the account; with another key than the one that it has."""
        config = self.sshd.ssh_config.read_text().replace(str(self._client_key), str(key or self._client_key))
        own = self._folder / "ssh_config"
        own.write_text(config)
        ssh = ["ssh", "-F", str(own), "-l", account, *options, self.sshd.name, *words]
        return subprocess.run(ssh, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)

    def sudo_log(self) -> str:
        """What sudo has let through and what not, a few lines for each."""
        log = self._folder / "sudo.log"
        return log.read_text() if log.exists() else ""

    def _lay_out(self) -> None:
        etc = self._folder / "over" / "etc"
        etc.mkdir(parents=True)
        for name, line in (
            ("passwd", "{name}:x:{uid}:{uid}::{home}:{shell}"),
            ("group", "{name}:x:{uid}:"),
            ("shadow", "{name}:*:19000:0:99999:7:::"),
        ):
            shutil.copy2(f"/etc/{name}", etc)
            lines = [each for each in Path(f"/etc/{name}").read_text().splitlines() if not self._ours(each)]
            for uid, one in enumerate(self.accounts.values(), FIRST_UID):
                lines.append(line.format(name=one.name, uid=uid, home=self.home(one.name), shell=one.shell))
            (etc / name).write_text("\n".join(lines) + "\n")
        sudoers = SUDO_DEFAULTS + _QUIET.format(log=self._folder / "sudo.log") + self._sudoers
        self._write("/etc/sudoers", sudoers.encode(), 0o440)
        for covered, content in self._over.items():
            self._write(covered, content, Path(covered).stat().st_mode & 0o777)
        (self._folder / "keys").mkdir()
        for uid, one in enumerate(self.accounts.values(), FIRST_UID):
            home = self.home(one.name)
            home.mkdir(parents=True)
            for name, text in (one.files or {}).items():
                (home / name).write_text(text)
            for path in (home, *home.iterdir()):
                os.chown(path, uid, uid)
            self.give_key(one.name, one.key_options)
        checked = subprocess.run(
            ["visudo", "-c", "-f", self._folder / "over/etc/sudoers"],
            env={"PATH": PATH}, capture_output=True, check=False,
        )  # fmt: skip
        if checked.returncode:
            raise RuntimeError(f"visudo doesn't take it: {checked.stdout!r} {checked.stderr!r}")

    def _ours(self, line: str) -> bool:
        return line.partition(":")[0] in self.accounts

    def _write(self, path: str, content: bytes, mode: int) -> None:
        place = self._folder / "over" / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(mode)
