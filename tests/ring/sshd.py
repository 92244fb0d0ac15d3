"""A private sshd on loopback, with its own keys, that can be cut off in every way that a network or a host can fail.

Nothing of the user's or the system's own SSH files is read or written (only /run/sshd is made, for root, if missing:
sshd asks for it). The login shell is the user's own; bash run by sshd reads ~/.bashrc, which on a developer's
machine can take seconds. SHLVL=1 in `environment`, the default, tells bash that it isn't the outermost shell, and it
leaves that file alone; `environment={}` is a plain login.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.ring import processes
from tests.ring.real import PATH, free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SSHD = shutil.which("sshd", path=PATH)


def missing() -> list[str]:
    """What sshd, its client and the login shells lack on this machine, in Debian's package names."""
    there = SSHD and all(shutil.which(name, path=PATH) for name in ("ssh", "ssh-keygen", "ssh-agent", "ssh-add"))
    return ([] if there else ["openssh-server"]) + ([] if shutil.which("csh") else ["tcsh"])


class Sshd:
    """One sshd, between `with Sshd() as sshd:` and its end.

    client_key: a private key to let in (its .pub beside it); by default one is made. extra: further sshd_config lines;
    sshd believes the first of equals, and these come first ("MaxSessions 1", "PasswordAuthentication yes",
    "ForceCommand …"), but last from a Match on. environment: what the remote commands get (see above). hosts: the
    addresses at which it listens, all at the same port. inside: the words of a program that runs sshd in its own place,
    in a namespace perhaps.
    """

    def __init__(
        self,
        name: str = "director",
        client_key: Path | None = None,
        extra: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        hosts: Sequence[str] = ("127.0.0.1",),
        inside: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.host = hosts[0]
        self.port = 0
        self.user = getpass.getuser()
        self.client_key = client_key or Path()
        self.known_hosts = Path()
        self.ssh_config = Path()
        self.fingerprint = ""
        self._folder = Path()
        self._hosts = tuple(hosts)
        self._extra = list(extra)
        self._inside = list(inside)
        self._environment = {"SHLVL": "1"} if environment is None else dict(environment)
        self._listener: subprocess.Popen[bytes] | None = None
        self._orphans: list[processes.Process] = []
        self._cleanup = contextlib.ExitStack()

    @property
    def destination(self) -> str:
        """USER@HOST:PORT, as config.toml takes it."""
        return f"{self.user}@{self.host}:{self.port}"

    @property
    def listener_pid(self) -> int | None:
        """The process that listens, and begins every session; None while it is stopped."""
        return None if self._listener is None else self._listener.pid

    @property
    def host_key(self) -> Path:
        """The private host key; host_key.pub beside it."""
        return self._folder / "host_key"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            self._folder = cleanup.enter_context(processes.ended_with_us("sshd-"))
            cleanup.callback(self.stop)
            self._lay_out()
            self.start()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._cleanup.close()

    def start(self) -> None:
        """Returns when it listens, on the same port and with the same keys as before."""
        if self._listener is not None:
            raise RuntimeError(f"{self.name}: sshd is running already")
        self._listener = subprocess.Popen(
            [*self._inside, str(SSHD), "-D", "-f", self._folder / "sshd_config", "-E", self._folder / "sshd.log"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # PAM's scripts complain there when we aren't root; sshd itself has its log
            start_new_session=True,  # Ctrl-C in the terminal is for the tests
        )
        if not processes.wait_until(lambda: self._up() or self._exited(), 10) or self._exited():
            raise RuntimeError(f"{self.name}: sshd doesn't start: {self.log_text()}")

    def configure(self, *extra: str) -> None:
        """Put these lines in front of its configuration, for connections that are made from now on."""
        (self._folder / "sshd_config").write_text("".join(f"{line}\n" for line in extra) + self._server_configuration())
        if self._listener is None:
            return
        begun = self._listening()
        self._signal_listener(signal.SIGHUP)
        if not processes.wait_until(lambda: self._listening() > begun or self._exited(), 10) or self._exited():
            raise RuntimeError(f"{self.name}: sshd doesn't take its configuration: {self.log_text()}")

    def restrict(self, options: str) -> None:
        """From now on the client's key lets in with these options only: those of authorized_keys(5)."""
        public = Path(f"{self.client_key}.pub").read_text()
        (self._folder / "authorized_keys").write_text(f"{options} {public}")

    def stop(self) -> None:
        """As if the host went down: the listener and every session end, without a word to the clients."""
        sessions = self._sessions()
        self.refuse()
        processes.send(sessions, signal.SIGKILL)
        processes.end(sessions)
        self._orphans = []

    def refuse(self) -> None:
        """New connections are refused until start(); sessions that stand go on."""
        if self._listener is None:
            return
        self._orphans = self._sessions()  # they lose their parent, and we our way to find them
        self._listener.send_signal(signal.SIGCONT)
        self._listener.terminate()
        try:
            self._listener.wait(5)
        except subprocess.TimeoutExpired:
            self._listener.kill()
            self._listener.wait()
        self._listener = None
        (self._folder / "sshd.pid").unlink(missing_ok=True)

    def freeze(self) -> None:
        """The listener accepts no more: connecting succeeds (the kernel does that), then nothing is heard."""
        self._signal_listener(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_listener(signal.SIGCONT)

    def session_pids(self) -> list[int]:
        """The sshd processes that serve connections now; one or two for each connection, and not their commands."""
        return [process.pid for process in self._sessions() if process.name.startswith("sshd")]

    def kill_sessions(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """End every connection; the listener goes on. Returns when their sshd processes are gone."""
        sessions = [process for process in self._sessions() if process.name.startswith("sshd")]
        processes.send(sessions, sig)
        processes.end(sessions)

    def freeze_sessions(self) -> None:
        """Connections stand and nothing moves on them, commands included; new ones are served."""
        processes.send(self._sessions(), signal.SIGSTOP)

    def thaw_sessions(self) -> None:
        processes.send(self._sessions(), signal.SIGCONT)

    def run(self, *words: str, timeout_s: float = 30) -> subprocess.CompletedProcess[bytes]:
        """Run a command by OpenSSH's own client. As ever with ssh, the remote shell sees the words joined by blanks."""
        return subprocess.run(self.ssh_argv(*words), capture_output=True, timeout=timeout_s, check=False)

    def ssh_argv(self, *words: str) -> list[str]:
        return ["ssh", "-F", str(self.ssh_config), self.name, "--", *words]

    def log_text(self) -> str:
        """sshd's own log."""
        try:
            return (self._folder / "sshd.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def _sessions(self) -> list[processes.Process]:
        below = [] if self._listener is None else processes.descendants(self._listener.pid)
        orphans = [process for process in self._orphans if processes.alive(process)]
        return list(dict.fromkeys([*below, *orphans, *(grand for one in orphans for grand in _below(one))]))

    def _signal_listener(self, sig: signal.Signals) -> None:
        if self._listener is None:
            raise RuntimeError(f"{self.name}: sshd isn't running")
        self._listener.send_signal(sig)

    def _up(self) -> bool:
        return processes.read_pid(self._folder / "sshd.pid") is not None  # written once it listens

    def _listening(self) -> int:
        """How often it has begun to listen."""
        return self.log_text().count("Server listening on ")

    def _exited(self) -> bool:
        return self._listener is not None and self._listener.poll() is not None

    def _lay_out(self) -> None:
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.port = free_port(*self._hosts)
        make_key(self.host_key)
        if self.client_key == Path():
            self.client_key = self._folder / "client_key"
            make_key(self.client_key)
        public = self.host_key.with_suffix(".pub").read_text()
        shutil.copy(f"{self.client_key}.pub", self._folder / "authorized_keys")
        self.known_hosts = self._folder / "known_hosts"
        self.known_hosts.write_text(f"{','.join(f'[{host}]:{self.port}' for host in self._hosts)} {public}")
        self.fingerprint = _ssh_keygen("-l", "-f", str(self.host_key)).split()[1]
        (self._folder / "sshd_config").write_text(self._server_configuration())
        self.ssh_config = self._folder / "ssh_config"
        self.ssh_config.write_text(self._client_configuration())

    def _server_configuration(self) -> str:
        set_env = "SetEnv " + " ".join(f'"{name}={value}"' for name, value in self._environment.items())
        begin = next((place for place, line in enumerate(self._extra) if line.startswith("Match ")), None)
        lines = [
            *self._extra[:begin],
            *([set_env] if self._environment else []),  # one line: sshd believes only the first
            *(f"ListenAddress {host}:{self.port}" for host in self._hosts),
            f"HostKey {self.host_key}",
            f"PidFile {self._folder}/sshd.pid",
            f"AuthorizedKeysFile {self._folder}/authorized_keys",
            "StrictModes no",
            f"UsePAM {'yes' if _needs_pam(self.user) else 'no'}",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "MaxStartups 100",
            "LogLevel VERBOSE",
            "Subsystem sftp internal-sftp",
            *(self._extra[begin:] if begin is not None else ()),
        ]
        return "\n".join(lines) + "\n"

    def _client_configuration(self) -> str:
        return f"""\
Host {self.name} {self.host}
  HostName {self.host}
  Port {self.port}
  User {self.user}
  IdentityFile {self.client_key}
  IdentitiesOnly yes
  IdentityAgent none
  BatchMode yes
  StrictHostKeyChecking yes
  UserKnownHostsFile {self.known_hosts}
  GlobalKnownHostsFile /dev/null
"""


class Agent:
    """An ssh-agent of our own that holds some keys, between `with Agent([key]) as agent:` and its end."""

    def __init__(self, keys: Iterable[Path] = ()) -> None:
        self.socket = Path()
        self._keys = list(keys)
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            folder = cleanup.enter_context(processes.ended_with_us("agent-"))
            self.socket = folder / "agent"
            agent = subprocess.Popen(
                ["ssh-agent", "-D", "-a", self.socket], stdout=subprocess.DEVNULL, start_new_session=True
            )
            cleanup.callback(agent.wait)
            cleanup.callback(agent.terminate)
            (folder / "agent.pid").write_text(str(agent.pid))
            if not processes.wait_until(self._listens, 10):
                raise RuntimeError("ssh-agent doesn't start")
            for key in self._keys:
                self.add(key)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._cleanup.close()

    @property
    def environment(self) -> dict[str, str]:
        return {"SSH_AUTH_SOCK": str(self.socket)}

    def _listens(self) -> bool:
        """Its socket is there a moment before anybody listens on it."""
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0

    def add(self, key: Path) -> None:
        subprocess.run(["ssh-add", "-q", key], env={"PATH": PATH, **self.environment}, check=True)


def make_key(path: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    """A new private key at path, and its public one at path.pub."""
    _ssh_keygen("-q", "-t", kind, "-N", passphrase, "-C", "director-tui test", "-f", str(path))
    return path


def write_known_hosts(path: Path, sshds: Iterable[Sshd]) -> Path:
    """One known_hosts file for several sshds."""
    path.write_text("".join(sshd.known_hosts.read_text() for sshd in sshds))
    return path


def _below(process: processes.Process) -> list[processes.Process]:
    return processes.descendants(process.pid)


def _ssh_keygen(*args: str) -> str:
    return subprocess.check_output(["ssh-keygen", *args], stdin=subprocess.DEVNULL, text=True)


def _needs_pam(user: str) -> bool:
    """Whether sshd without PAM would take the account for a locked one.

    Root's does so for "!" in /etc/shadow; anyone else's cannot read that file, and takes every account for locked.
    """
    if os.geteuid() != 0:
        return True
    name = pwd.getpwnam(user).pw_name
    lines = Path("/etc/shadow").read_text().splitlines()
    return any(line.startswith(f"{name}:!") for line in lines)
