"""A real director ring: several Dovecot instances on this machine, with nothing of the system's own Dovecot touched.

Each director has its own folder, its own loopback address (with a shared one flushes hang) and its own port. The third
octet differs from ring to ring, so that several test runs can go on side by side. Works as root and as anyone else.
"""

from __future__ import annotations

import contextlib
import getpass
import grp
import os
import random
import shutil
import signal
import socket
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.ring import processes
from tests.ring.links import Links
from tests.ring.mail import MailBackends, Session

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKENDS = "127.0.1.1-127.0.1.6 127.0.1.7@gold 127.0.1.8@gold"
PATH = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/local/sbin:/usr/sbin:/sbin"
ENVIRONMENT = {"PATH": PATH, "TZ": "UTC", "LC_ALL": "C"}
PROGRAM_FOLDERS = (Path("/usr/lib/dovecot"), Path("/usr/libexec/dovecot"))


def missing() -> list[str]:
    """What a real ring lacks on this machine, in Debian's package names."""
    lacks = []
    if not (shutil.which("dovecot", path=PATH) and shutil.which("doveadm", path=PATH) and _has_program("director")):
        lacks.append("dovecot-core")
    if not _has_program("imap-login"):
        lacks.append("dovecot-imapd")
    if not shutil.which("faketime"):
        lacks.append("faketime")
    return lacks


@dataclass(slots=True, eq=False)
class RealDirector:
    """One Dovecot instance of the ring. Its folder outlives stop(), so start() brings back the same director."""

    name: str
    ip: str
    port: int
    imap_port: int
    folder: Path
    words_folder: str = ""  # where the programs are that the words name: see _put_ports_right()
    running: bool = False  # between start() and stop(), whatever became of its processes

    @property
    def config(self) -> Path:
        return self.folder / "dovecot.conf"

    @property
    def admin_socket(self) -> Path:
        return self.folder / "run" / "director-admin"

    @property
    def config_socket(self) -> Path:
        """Where its config process listens while it runs. A doveadm that is called without -c asks that of the usual
        instance, which costs half of what reading the file does; this one has to be named."""
        return self.folder / "run" / "config"

    @property
    def doveadm_words(self) -> str:
        """How a shell, a remote one too, calls this director's doveadm."""
        return f"{self.words_folder}doveadm -c {self.config}"

    @property
    def doveconf_words(self) -> str:
        return f"{self.words_folder}doveconf -c {self.config}"

    def doveadm(self, *args: str, check: bool = True, timeout_s: float = 90) -> subprocess.CompletedProcess[bytes]:
        """Run doveadm here, without SSH, in the environment that the program asks for (TZ=UTC LC_ALL=C)."""
        done = self._run("doveadm", *args, timeout_s=timeout_s)
        if check and done.returncode != 0:
            raise RuntimeError(f"doveadm {' '.join(args)} on {self.name}: {done.returncode} {done.stderr!r}")
        return done

    def doveconf(self, *args: str) -> bytes:
        """What doveconf prints for this director."""
        return self._run("doveconf", *args).stdout

    def write_setting(self, name: str, value: str) -> None:
        """Change a setting in its configuration, which it has had from the beginning; doveconf shows it at once, and
        the director takes it when it is started the next time."""
        lines = self.config.read_text().splitlines()
        places = [place for place, line in enumerate(lines) if line.startswith(f"{name} = ")]
        lines[places[0]] = f"{name} = {value}"
        self.config.write_text("\n".join(lines) + "\n")

    def start(self, clock: str = "") -> None:
        """Returns when the admin socket listens; that the ring is in sync again is wait_synced()'s to say.

        clock: by how much its clock is wrong, as faketime(1) has it ("-1h").
        """
        environment = dict(ENVIRONMENT)
        if clock:
            environment |= {"LD_PRELOAD": _libfaketime(), "FAKETIME": clock, "DONT_FAKE_MONOTONIC": "1"}
        output = self.folder / "start.log"
        with output.open("wb") as out:  # not a pipe: the daemon keeps it open, and reading to its end never ends
            started = subprocess.run(
                ["dovecot", "-c", self.config], env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                timeout=30, check=False,
            )  # fmt: skip
        if started.returncode != 0:
            raise RuntimeError(f"dovecot of {self.name} doesn't start: {output.read_text()} {self.log_text()}")
        if not processes.wait_until(lambda: self.master_pid() is not None, 10):
            raise RuntimeError(f"dovecot of {self.name} didn't stay: {self.log_text()}")
        self.running = True

    def stop(self) -> None:
        """Returns when every process of this instance is gone, frozen ones too."""
        self.running = False
        master = self.master_pid()
        if master is None:
            return
        everything = processes.group(master)
        processes.send(everything, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.doveadm("stop", check=False, timeout_s=10)
        gone = processes.wait_until(lambda: not any(map(processes.alive, everything)), 5)
        if not gone:
            processes.end([*everything, *processes.group(master)])
        (self.folder / "run" / "master.pid").unlink(missing_ok=True)

    def kill(self) -> None:
        """SIGKILL its director process; its master starts another one when somebody connects."""
        processes.send(self._director_processes(), signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP its director process: connections stand, nothing answers."""
        processes.send(self._director_processes(), signal.SIGSTOP)

    def thaw(self) -> None:
        processes.send(self._director_processes(), signal.SIGCONT)

    def master_pid(self) -> int | None:
        """The instance's master process, None while it is stopped."""
        pid = processes.read_pid(self.folder / "run" / "master.pid")
        return pid if pid is not None and processes.group(pid) else None

    def log_text(self) -> str:
        try:
            return (self.folder / "dovecot.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def ring_status(self) -> list[dict[str, str]]:
        """`director ring status` as rows by column name; [] while the director doesn't answer."""
        return _rows(self.doveadm("-f", "tab", "director", "ring", "status", check=False).stdout)

    def synced(self, of: int) -> bool:
        """Whether this director says that it is in sync, in a ring in which `of` directors are connected."""
        rows = self.ring_status()
        kinds = sorted(row["type"] for row in rows if row["type"] not in ("", "self"))
        return (
            any(row["type"] == "self" and row["status"] in ("ring synced", "synced") for row in rows)
            and all(row["status"] == "synced" for row in rows if row["type"] in ("left", "right"))
            and kinds == ([] if of == 1 else ["left", "right"])
        )

    def backends(self) -> list[dict[str, str]]:
        """`director status` as rows by column name."""
        return _rows(self.doveadm("-f", "tab", "director", "status").stdout)

    def users(self) -> int:
        """How many assigned users this director knows."""
        return sum(int(row["users"]) for row in self.backends())

    @property
    def directs(self) -> bool:
        """Whether it has a director process: the master starts one when somebody connects."""
        master = self.master_pid()
        return master is not None and any(each.name == "director" for each in processes.group(master))

    def _director_processes(self) -> list[processes.Process]:
        master = self.master_pid()
        found = [] if master is None else [each for each in processes.group(master) if each.name == "director"]
        if not found:
            raise RuntimeError(f"{self.name} has no director process: {self.log_text()}")
        return found

    def _run(self, program: str, *args: str, timeout_s: float = 30) -> subprocess.CompletedProcess[bytes]:
        running = program == "doveadm" and self.running and self.config_socket.exists()
        return subprocess.run(
            [program, "-c", self.config_socket if running else self.config, *args],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )


class RealRing:
    """The ring, between `with RealRing() as ring:` and its end. Entering waits until every director says it is synced.

    settings: further dovecot.conf settings, such as {"director_user_kick_delay": "0"}. can_split: whether there are to
    be links for cut_off(); each director then shows the others at ports other than those at which they listen, but not
    to whoever uses its doveadm_words. tagging: whether who logs in has the tag that the name says; Dovecot before
    2.2.33 has no %{if} for that.
    """

    def __init__(
        self,
        size: int = 3,
        backends: str = BACKENDS,
        settings: Mapping[str, str] | None = None,
        *,
        can_split: bool = False,
        tagging: bool = True,
    ) -> None:
        self.directors: list[RealDirector] = []
        self.mail_port = free_port("127.0.1.1")
        self._size = size
        self._backends = backends
        self._settings = dict(settings or {})
        self._can_split = can_split
        self._tagging = tagging
        self._links: Links | None = None
        self._mail: MailBackends | None = None
        self._cleanup = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            folder = cleanup.enter_context(processes.ended_with_us("ring-"))
            folder.chmod(0o755)  # Dovecot's own unprivileged processes go through it
            self.directors = _lay_out(folder, self._size)
            ports = {each.ip: {other.ip: other.port for other in self.directors} for each in self.directors}
            if self._can_split:
                for ip, others in ports.items():
                    others.update({other: free_port(other) for other in others if other != ip})
                self._links = cleanup.enter_context(Links(ports))
            cleanup.callback(self._stop_all)
            for director in self.directors:
                members = " ".join(f"{ip}:{port}" for ip, port in ports[director.ip].items())
                director.folder.mkdir(mode=0o755)
                director.config.write_text(
                    _configuration(director, members, self._backends, self._passdb_args, self._settings)
                )
                if self._can_split:
                    _put_ports_right(director, ports)
                director.start()
            self.wait_synced()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._cleanup.close()

    def wait_synced(self, deadline_s: float = 30) -> None:
        """Until every running director says so; a stopped one is not waited for."""
        running = [each for each in self.directors if each.running]
        if not processes.wait_until(lambda: all(each.synced(of=len(running)) for each in running), deadline_s):
            state = {each.name: (each.ring_status(), each.log_text()[-2000:]) for each in running}
            raise TimeoutError(f"not synced after {deadline_s} s: {state}")

    def assign_users(self, hash_to_ip: Mapping[int, str], deadline_s: float = 30) -> None:
        """Assign user hashes (32-bit numbers) to backends as logins would; 20,000 take a second.

        Returns when every running director counts them. For hashes without an assignment so far: another assignment
        would be moved, with all that a move takes. One command, one reply at a time: the director drops pipelined ones.
        Not for hash 0: Dovecot 2.3.19.1's director panics on it (hash.c: assertion failed: key != NULL).
        """
        if 0 in hash_to_ip:
            raise ValueError("USER-MOVE of the hash 0 ends the director")
        running = [each for each in self.directors if each.running]
        before = running[0].users()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(deadline_s)
            connection.connect(str(running[0].admin_socket))
            with connection.makefile("rb") as replies:
                if not replies.readline().startswith(b"VERSION\tdirector-doveadm\t1\t"):
                    raise RuntimeError("the admin socket speaks another protocol")
                connection.sendall(b"VERSION\tdirector-doveadm\t1\t0\n")
                for user_hash, ip in hash_to_ip.items():
                    connection.sendall(f"USER-MOVE\t{user_hash}\t{ip}\n".encode())
                    reply = replies.readline()
                    if reply != b"OK\n":
                        raise RuntimeError(f"USER-MOVE {user_hash} {ip}: {reply!r}")
        expected = before + len(hash_to_ip)
        if not processes.wait_until(lambda: all(each.users() == expected for each in running), deadline_s):
            raise TimeoutError(f"expected {expected} users: { {each.name: each.users() for each in running} }")

    def cut_off(self, director: int) -> None:
        """Split a ring that can_split: from now on this director and the others can't reach each other."""
        if self._links is None:
            raise RuntimeError("this ring has no links to cut: RealRing(can_split=True)")
        self._links.cut_off(self.directors[director].ip)

    def mend(self) -> None:
        """Undo cut_off(). The directors try each other again every 30 s."""
        if self._links is not None:
            self._links.mend()

    def log_in(self, user: str, director: int = 0) -> Session:
        """A user's session through one director, on the backend that it chooses, until its close() or the ring's end.

        Whose name ends in @gold.example.com has the tag gold. Returns when the user is logged in, and so counted
        everywhere. The assignment outlives the session: `director flush -F all` forgets it. Raises RuntimeError when no
        backend takes the user, for which Dovecot waits 30 s.
        """
        if self._mail is None:
            self._mail = self._cleanup.enter_context(MailBackends(self.mail_port))
        self._mail.listen(row["mail server ip"] for row in self.directors[director].backends())
        one = self.directors[director]
        session = Session((one.ip, one.imap_port), user)
        self._cleanup.callback(session.close)
        return session

    def mail_sessions(self) -> Counter[str]:
        """How many sessions each backend has now, as it sees that itself."""
        return Counter() if self._mail is None else self._mail.sessions()

    @property
    def _passdb_args(self) -> str:
        tag = " director_tag=%{if;%d;eq;gold.example.com;gold;}" if self._tagging else ""
        return f"proxy=y nopassword=y port={self.mail_port}{tag}"

    def _stop_all(self) -> None:
        with ThreadPoolExecutor() as side_by_side:  # `doveadm stop` takes three seconds
            stops = [side_by_side.submit(director.stop) for director in self.directors]
        for stopped in stops:
            stopped.result()


def free_port(*ips: str) -> int:
    """A TCP port that nobody listens on at these addresses, below the range that outgoing connections take theirs
    from."""
    for port in random.sample(range(20_001, 32_000), 100):
        with contextlib.suppress(OSError):
            for ip in ips:
                with socket.socket() as probe:
                    probe.bind((ip, port))
            return port
    raise RuntimeError(f"no free port on {' and '.join(ips)}")


def _lay_out(folder: Path, size: int) -> list[RealDirector]:
    octet = random.randrange(3, 255)
    directors = []
    for number in range(1, size + 1):
        ip = f"127.0.{octet}.{number}"
        port = imap_port = free_port(ip)
        while imap_port == port:
            imap_port = free_port(ip)
        directors.append(RealDirector(f"d{number}", ip, port, imap_port, folder / f"d{number}"))
    return directors


def _libfaketime() -> str:
    """What faketime(1) loads into a program."""
    words = ["faketime", "-f", "+0", "printenv", "LD_PRELOAD"]
    return subprocess.check_output(words, text=True).strip()


def _put_ports_right(director: RealDirector, ports: Mapping[str, Mapping[str, int]]) -> None:
    """Let its words name programs that print, for each of the others, where it really listens."""
    director.words_folder = f"{director.folder}/"
    right = "; ".join(f"s/^{ip}\t{port}\t/{ip}\t{ports[ip][ip]}\t/" for ip, port in ports[director.ip].items())
    script = f"""\
#!/bin/sh
printed=$(mktemp {director.folder}/printed.XXXXXX)
doveadm "$@" > "$printed"
status=$?
sed '{right}' "$printed"
rm "$printed"
exit $status
"""
    for name, text in (("doveadm", script), ("doveconf", '#!/bin/sh\nexec doveconf "$@"\n')):
        (director.folder / name).write_text(text)
        (director.folder / name).chmod(0o755)


def _configuration(
    director: RealDirector, members: str, backends: str, passdb_args: str, settings: Mapping[str, str]
) -> str:
    user, login_user, chroots = "dovecot", "dovenull", ""
    if os.geteuid() != 0:  # everything as ourselves, and no chroot, which is root's alone
        user = login_user = getpass.getuser()
        group = grp.getgrgid(os.getegid()).gr_name
        chroots = f"default_internal_group = {group}\n" + "".join(  # which 2.2 does not know
            f"service {name} {{\n  chroot =\n}}\n" for name in ("anvil", "director", "imap-login", "ipc", "stats")
        )
    base = f"""\
base_dir = {director.folder}/run
state_dir = {director.folder}/state
log_path = {director.folder}/dovecot.log
import_environment = TZ LD_PRELOAD FAKETIME DONT_FAKE_MONOTONIC
instance_name = {director.name}
protocols = imap
ssl = no
disable_plaintext_auth = no
auth_username_chars =
default_internal_user = {user}
default_login_user = {login_user}
director_servers = {members}
director_mail_servers = {backends}
passdb {{
  driver = static
  args = {passdb_args}
}}
userdb {{
  driver = static
  args = uid=1000 gid=1000 home={director.folder}/mail/%u
}}
service director {{
  unix_listener login/director {{
    mode = 0666
  }}
  fifo_listener login/proxy-notify {{
    mode = 0666
  }}
  unix_listener director-userdb {{
    mode = 0600
  }}
  inet_listener {{
    address = {director.ip}
    port = {director.port}
  }}
}}
service ipc {{
  unix_listener ipc {{
    user = {user}
  }}
}}
service imap-login {{
  executable = imap-login director
  inet_listener imap {{
    address = {director.ip}
    port = {director.imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""
    return base + chroots + "".join(f"{name} = {value}\n" for name, value in settings.items())


def _rows(tab: bytes) -> list[dict[str, str]]:
    lines = [line.split("\t") for line in tab.decode().splitlines() if line]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def _has_program(name: str) -> bool:
    return any((folder / name).exists() for folder in PROGRAM_FOLDERS)
