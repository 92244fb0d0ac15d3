"""The command line, run as operators run it: against a real ring over real sshds, and against everything that fails."""

from __future__ import annotations

import json
import os
import pty
import random
import shlex
import socket
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.cells import cell_len

from director_tui.cli import main
from tests.forks import Forks
from tests.link.fakes import ring_output, status_output
from tests.ring.real import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from director_tui.config import ClusterConfig
    from tests.ring.fixtures import MakeRing, MakeSshd
    from tests.ring.real import RealDirector, RealRing
    from tests.ring.sshd import Agent, Sshd

ROOT = Path(__file__).parents[1]
EVIL = b"\x1b]0;owned\x07\x1b[31m\xff\xfe\xe2\x80\xae[/red]"
"""A terminal title, a colour, bytes that are not UTF-8, a change of the writing direction, and markup."""

MODULE = (sys.executable, "-m", "director_tui")
INSTALLED = (str(Path(sys.executable).with_name("director-tui")),)

ODD_USERS = [
    "someone@example.com",
    "two words",
    "o'brien",
    'say "hi"; rm -rf $HOME `id` \\',
    "-leading",
    "--help",
    "żółć-雪",
    "12345",
    "0",
    "user%40host",
    "*",
    "~root",
    "#comment",
]


@dataclass(frozen=True, slots=True)
class Program:
    """director-tui with its configuration in a folder of its own, an agent, and no terminal.

    It is forked from a Python that has loaded it. It is started whole with ``forks`` None, where that Python would have
    other settings, and by other ``words``.
    """

    folder: Path
    agent: Path
    forks: Forks | None
    words: tuple[str, ...] = MODULE
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def environment(self) -> dict[str, str]:
        own = {"SSH_AUTH_SOCK": str(self.agent), "XDG_CONFIG_HOME": str(self.folder / "none"), "PYTHONPATH": str(ROOT)}
        return {**os.environ, **own, **self.more}

    @property
    def started(self) -> Program:
        return replace(self, forks=None)

    def __call__(self, *args: str, **popen: Any) -> subprocess.CompletedProcess[bytes]:
        if self.forks is not None and self.words == MODULE and self.forks.like(self.environment):
            return self.forks.run(args, self.environment, self.folder, **popen)
        return subprocess.run(
            [*self.words, *args],
            env=self.environment,
            cwd=self.folder,
            timeout=120,
            check=False,
            start_new_session=True,  # no /dev/tty: nobody is asked for anything
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **popen},
        )

    def configured(self, *args: str) -> subprocess.CompletedProcess[bytes]:
        return self("--config", str(self.config), *args)

    def configure(self, directors: Iterable[tuple[str, str]], known_hosts: Path, more: str = "") -> None:
        """A cluster of these, each an SSH destination and the words for its doveadm."""
        entries = ", ".join(f"{{ssh = {json.dumps(ssh)}, doveadm = {json.dumps(words)}}}" for ssh, words in directors)
        self.config.write_text(
            f"[clusters.real]\ndirectors = [{entries}]\nknown_hosts = {json.dumps(str(known_hosts))}\n{more}"
        )

    def reach(self, directors: Sequence[RealDirector], sshds: Sequence[Sshd], known_hosts: Path) -> None:
        words = [director.doveadm_words for director in directors]
        self.configure(zip((sshd.destination for sshd in sshds), words, strict=True), known_hosts)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with Forks({**os.environ, "PYTHONPATH": str(ROOT)}) as forks:
        yield forks


@pytest.fixture
def program(tmp_path: Path, ring_agent: Agent, forks: Forks) -> Program:
    return Program(tmp_path, ring_agent.socket, forks)


@pytest.fixture
def ready(program: Program, real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path) -> Program:
    """With the real ring configured."""
    program.reach(real_ring.directors, real_sshds, ring_known_hosts)
    return program


def printable(done: subprocess.CompletedProcess[bytes]) -> tuple[str, str]:
    """Standard output and error, which hold text only, and nothing of Python's own."""
    texts = done.stdout.decode(), done.stderr.decode()
    for text in texts:
        assert all(line.isprintable() for line in text.split("\n")), text
        assert "Traceback" not in text
    return texts


def refused(done: subprocess.CompletedProcess[bytes], status: int) -> str:
    """What it says when it fails: one or two plain lines on standard error, and nothing else."""
    out, err = printable(done)
    assert (done.returncode, out) == (status, ""), (done.returncode, out, err)
    assert err.startswith("director-tui: ")
    assert err.endswith("\n")
    assert 1 <= len(err.splitlines()) <= 2, err
    return err


def fine(done: subprocess.CompletedProcess[bytes]) -> str:
    out, err = printable(done)
    assert (done.returncode, err) == (0, "")
    return out


def tab(director: RealDirector, *args: str) -> list[dict[str, str]]:
    lines = director.doveadm("-f", "tab", "director", *args).stdout.decode().splitlines()
    header, *rows = (line.split("\t") for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


# What it says of a real ring.


def test_status_and_lookup_say_what_doveadm_says_of_twenty_thousand_users(
    program: Program, make_ring: MakeRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    ring = make_ring()
    first = ring.directors[0]
    program.reach(ring.directors, real_sshds, ring_known_hosts)
    hashes = {user: int(tab(first, "map", "-u", "--", user)[0]["hash"]) for user in ODD_USERS}
    ips = {tag: [row["mail server ip"] for row in tab(first, "status") if row["tag"] == tag] for tag in ("", "gold")}
    every = [*ips[""], *ips["gold"]]
    users = {hash_: random.choice(ips[""]) for hash_ in hashes.values()}
    while len(users) < 20_000:
        users.setdefault(random.randrange(1, 2**32), random.choice(every))
    ring.assign_users(users)
    first.doveadm("director", "update", "127.0.1.2", "0")
    first.doveadm("director", "down", "127.0.1.3")
    ring.wait_synced()

    said = json.loads(fine(program.configured("status", "--json")))
    rows = tab(first, "status")
    assert sum(int(row["users"]) for row in rows) == 20_000
    assert [
        {
            "mail server ip": one["ip"],
            "tag": one["tag"],
            "vhosts": str(one["vhosts"]),
            "state": one["state"],
            "state changed": _time(one["state_changed"]),
            "users": str(one["users"]),
        }
        for one in said["backends"]
    ] == rows
    assert {one["ip"]: one["condition"] for one in said["backends"]} == {
        ip: {"127.0.1.2": "draining", "127.0.1.3": "down"}.get(ip, "serving") for ip in every
    }
    for tag in ("", "gold"):
        assert sum(one["share"] for one in said["backends"] if one["tag"] == tag) == pytest.approx(1.0)
    assert said["totals"] == {"backends": 8, "serving": 6, "users": 20_000}
    assert said["cluster"] == "real"
    assert said["director"] == real_sshds[0].destination
    assert said["latency_ms"] > 0
    assert said["ring"]["synced"] is True
    assert [(one["ip"], one["port"], one["type"]) for one in said["ring"]["directors"]] == [
        (row["director ip"], int(row["port"]), row["type"]) for row in first.ring_status()
    ]

    for user, hash_ in hashes.items():
        found = json.loads(fine(program.configured("lookup", "--json", "--", user)))
        assert (found["user"], found["hash"]) == (user, hash_)
        assert [one["tag"] for one in found["placements"]] == ["", "gold"]
        for one in found["placements"]:
            # doveadm takes a name of digits for a hash, though a login's name of digits is hashed like any other.
            (row,) = tab(first, "status", "--", str(hash_) if user.isdigit() else user, *filter(None, [one["tag"]]))
            assert {
                "status": one["current"] or "n/a",
                "expires": _time(one["expires"]) if one["current"] else row["expires"],
                "hashed": one["hashed"] or "",
                "initial-config": one["initial_config"] or "",
            } == row
        assert found["placements"][0]["current"] == users[hash_]

    in_gold = json.loads(fine(program.configured("lookup", "two words", "--tag", "gold", "--json")))
    assert [one["tag"] for one in in_gold["placements"]] == ["gold"]


def _time(text: str | None) -> str:
    return "-" if text is None else text.replace("T", " ").removesuffix("Z")


def test_status_as_text(ready: Program, real_ring: RealRing, real_sshds: list[Sshd]) -> None:
    title, _, header, *rows = fine(ready.started.configured("status")).splitlines()
    assert title.startswith(f"real  {real_sshds[0].destination}  ")
    assert title.endswith("ms  ring 3/3 synced")
    assert header.split() == ["backend", "tag", "vhosts", "share", "condition", "users"]
    assert [row.split()[0] for row in rows] == [row["mail server ip"] for row in tab(real_ring.directors[0], "status")]


def test_lookup_as_text(ready: Program) -> None:
    lines = fine(ready.started.configured("lookup", "some one")).splitlines()
    assert lines[0] == "user  some one"
    assert lines[1].startswith("hash  ")
    assert lines[3].startswith("not assigned in any tag; the next login goes to 127.0.1.")
    assert [line.split()[0] for line in lines[5:]] == ["tag", "(none)", "gold"]


def test_predict_changes_nothing_and_says_what_would(ready: Program, real_ring: RealRing) -> None:
    listed = [one.doveadm("director", "status").stdout for one in real_ring.directors]
    done = ready.started.configured("--read-only", "predict", "update", "127.0.1.3", "0")
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "Set vhost count of 127.0.1.3 to 0: what it would do; nothing is changed"
    assert lines[2].startswith("at once: 127.0.1.3 gets no new users any more; its ")
    table = lines.index(next(line for line in lines if line.startswith("backend")))
    assert [line.split()[0] for line in lines[table + 1 : table + 7]] == [f"127.0.1.{number}" for number in range(1, 7)]
    assert all(cell_len(line) <= 80 for line in lines)
    assert [one.doveadm("director", "status").stdout for one in real_ring.directors] == listed


@pytest.mark.parametrize(
    ("words", "action", "ip", "tag", "moving"),
    [
        (["update", "127.0.1.3", "0"], "update", "127.0.1.3", "", 6),
        (["down", "127.0.1.7"], "down", "127.0.1.7", "gold", 2),
        (["remove", "127.0.1.8", "--exact"], "remove", "127.0.1.8", "gold", 2),
        (["add", "127.0.1.99", "--tag", "gold"], "add", "127.0.1.99", "gold", 3),
        (["add", "2001:DB8::1", "50"], "add", "2001:db8::1", "", 7),
        (["flush", "127.0.1.1", "--exact"], "flush", "127.0.1.1", "", 1),
        (["flush", "all"], "flush", "all", None, 8),
    ],
)
def test_predict_as_json(words: list[str], action: str, ip: str, tag: str | None, moving: int, ready: Program) -> None:
    done = ready.configured("predict", *words, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    said = json.loads(done.stdout)
    assert list(said) == ["action", "ip", "tag", "exact", "when", "moves", "warnings"]
    assert (said["action"], said["ip"], said["tag"], len(said["moves"])) == (action, ip, tag, moving)
    assert said["exact"] is True  # nobody is there
    assert list(said["when"]) == ["at_once", "later"]
    for one in said["moves"]:
        assert list(one) == ["ip", "users_now", "users_after", "share_now", "share_after"]
    # Whoever loses, loses to the others of its tag.
    if action in {"update", "down", "remove", "add"}:
        assert sum(one["share_now"] for one in said["moves"]) == pytest.approx(1)
        assert sum(one["share_after"] for one in said["moves"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["update", "127.0.1.99", "0"], "127.0.1.99 is not listed by "),
        (["update", "mail-01", "0"], "mail-01 is no IP address"),
        (["add", "127.0.1.1"], "127.0.1.1 exists; use v (update)"),
        (["add", "127.0.1.99", "--tag", "a@b"], "the tag a@b has an @ in it"),
        (["up", "127.0.1.1"], "nothing to do: 127.0.1.1 is up already"),
    ],
)
def test_predict_refuses_what_can_not_be_done(words: list[str], said: str, ready: Program) -> None:
    done = ready.configured("predict", *words)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().startswith(f"director-tui: {said}")


def test_predict_where_the_terminal_has_no_sign_for_about(pretend: Callable[..., Program]) -> None:
    program = pretend(
        status=(0, status_output({"10.1.0.1": ("", 100, "up", 10), "10.1.0.2": ("", 100, "up", 10)}), b"")
    )
    ascii_only = replace(program, more={"PYTHONIOENCODING": "ascii"})
    done = ascii_only.configured("predict", "down", "10.1.0.1")
    assert b"then: ~ 10 users move when flushed" in done.stdout
    assert b"?" not in done.stdout.partition(b"Users are")[0]


def test_check_says_each_step_of_each_director(ready: Program, real_sshds: list[Sshd]) -> None:
    lines = fine(ready.started.configured("check")).splitlines()
    for sshd in real_sshds:
        own = [line for line in lines if line.startswith(f"ok    {sshd.destination}: ")]
        parts = ["SSH answers", "its host key is known", "logged in", "Dovecot 2.", "director socket: 8 backends",
                 "ring: synced, 3 of 3 directors"]  # fmt: skip
        assert [part for line in own for part in parts if part in line] == parts
    assert "ok    ring: 3 directors agree about all backends" in lines
    assert lines[-1].endswith("director_mail_servers says the same as the running ring")


def test_check_tells_wrong_from_unreachable(
    ready: Program, real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    nobody = f"root@127.0.0.1:{free_port('127.0.0.1')}"
    words = real_ring.directors[0].doveadm_words
    ready.configure([(real_sshds[0].destination, words), (nobody, words)], ring_known_hosts)
    done = ready.configured("check")
    out, err = printable(done)
    assert (done.returncode, err) == (1, "")
    assert f"fail  {nobody}: " in out
    assert f"ok    {real_sshds[0].destination}: ring: synced, 3 of 3 directors" in out

    ready.configure([(nobody, words)], ring_known_hosts)
    done = ready.configured("check")
    out, err = printable(done)
    assert (done.returncode, err) == (3, "")
    assert out.startswith(f"fail  {nobody}: ")


def test_check_says_where_no_change_could_be_recorded(ready: Program) -> None:
    (ready.folder / "file").write_text("")
    program = replace(ready, more={**ready.more, "XDG_STATE_HOME": str(ready.folder / "file")})
    done = program.configured("check")
    first, remedy, *_ = done.stdout.decode().splitlines()
    assert done.returncode == 0, done
    assert first.startswith("warn  here: changes can't be recorded, so none will be made: ")
    assert "journal.jsonl can't be written: " in first
    assert remedy.strip()
    assert "here:" not in program.configured("check", "--read-only").stdout.decode()
    assert "here:" not in ready.configured("check").stdout.decode()


def test_check_names_themes_that_are_left_out(ready: Program) -> None:
    themes = ready.folder / "own" / "director-tui" / "themes"
    themes.mkdir(parents=True)
    (themes / "half.toml").write_text("dark = 1")
    (themes / "paper.toml").write_text("")
    program = replace(ready, more={**ready.more, "XDG_CONFIG_HOME": str(ready.folder / "own")})
    done = program.configured("check")
    lines = done.stdout.decode().splitlines()
    assert done.returncode == 0, done
    assert f"warn  themes: {themes / 'half.toml'}: dark: true or false was expected" in lines
    assert any(line.startswith(f"warn  themes: {themes / 'paper.toml'}: paper is a theme of the") for line in lines)


# The name server that is asked says nothing for as long as the test may take.
HANGING = """
import socket
from director_tui.link import ssh_login
usual = socket.getaddrinfo
def hang(host, *args):
    if host in ("silent.invalid", b"silent.invalid"):
        import threading
        threading.Event().wait()
    return usual(host, *args)
socket.getaddrinfo = hang
ssh_login.CONNECT_LIMIT_S = 0.5
"""


@pytest.mark.parametrize("words", [["status"], ["check"]])
def test_a_name_server_that_says_nothing_does_not_hold_the_end(program: Program, words: list[str]) -> None:
    (program.folder / "sitecustomize.py").write_text(HANGING)
    path = f"{program.folder}:{program.environment['PYTHONPATH']}"
    done = replace(program, more={"PYTHONPATH": path})("-d", "silent.invalid", *words)
    assert done.returncode == 3, done
    assert "silent.invalid" in (done.stdout + done.stderr).decode()


def test_check_names_what_is_set_at_run_time_only(ready: Program, real_ring: RealRing) -> None:
    real_ring.directors[1].doveadm("director", "update", "127.0.1.4", "17")
    try:
        done = ready.configured("check")
    finally:
        real_ring.directors[1].doveadm("director", "update", "127.0.1.4", "100")
    out, err = printable(done)
    assert (done.returncode, err) == (0, "")
    assert [line for line in out.splitlines() if line.startswith("warn") and "127.0.1.4" in line and "17" in line]


# Options.


@pytest.mark.parametrize("place", ["before", "after", "both"])
def test_directors_may_stand_before_and_after_the_command(
    program: Program, real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path, place: str
) -> None:
    nobody = f"root@127.0.0.1:{free_port('127.0.0.1')}"
    gone = f"root@localhost:{free_port('127.0.0.1')}"
    before = {"before": [nobody, gone], "after": [], "both": [nobody]}[place]
    after = {"before": [], "after": [nobody, gone], "both": [gone]}[place]
    args = [word for one in before for word in ("-d", one)]
    err = refused(program(*args, "status", *(word for one in after for word in ("--director", one))), 3)
    assert nobody in err
    assert gone in err
    assert err.index(nobody) < err.index(gone)


def test_options_before_the_command_are_not_reset_by_it(ready: Program) -> None:
    assert json.loads(fine(ready("-c", "real", "status", "--config", str(ready.config), "--json")))["cluster"] == "real"
    assert json.loads(fine(ready("--config", str(ready.config), "status", "-c", "real", "--json")))["cluster"] == "real"
    assert "has no cluster “x”" in refused(ready("--config", str(ready.config), "-c", "real", "status", "-c", "x"), 2)
    err = refused(ready.configured("--doveadm", "/nowhere/doveadm", "status"), 3)
    assert err == refused(ready.configured("status", "--doveadm", "/nowhere/doveadm"), 3)
    assert "/nowhere/doveadm: not found there" in err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--wrong"], "unrecognized arguments: --wrong"),
        (["status", "--wrong"], "unrecognized arguments: --wrong"),
        (["status", "extra"], "unrecognized arguments: extra"),
        (["stats"], "'stats'"),
        (["lookup"], "the following arguments are required: USER"),
        (["--interval", "0", "status"], "a number from 0.2 to 3600 was expected, not '0'"),
        (["status", "--interval", "nan"], "a number from 0.2 to 3600 was expected, not 'nan'"),
        (["demo", "--backends", "0"], "a whole number from 1 to 400 was expected, not '0'"),
        (["demo", "--scenario", "calms"], "invalid choice: 'calms' (choose from 'calm', 'storage-outage',"),
        (["demo", "-d", "x"], "demo has a ring of its own\nleave out -d\n"),
        (["--config", "/none", "demo"], "demo has a ring of its own\nleave out --config\n"),
        (["demo", "--doveadm", "", "-c", ""], "demo has a ring of its own\nleave out -c and --doveadm\n"),
        (["-c", "x", "-d", "y", "status"], "-c and -d exclude each other"),
        (["-d", "-oProxyCommand=x", "status"], "expected one argument"),
        (["-d=-oProxyCommand=x", "status"], "is no SSH destination"),
        (["status", "-d", "x", "-d", "root@y:0"], "-d: “root@y:0” is no SSH destination: “0” is no port number"),
        (["-d", "x;y", "check"], "-d: “x;y” is no SSH destination"),
        (["-d", "x", "--doveadm", "'", "status"], "no closing quotation"),
        (["-d", "x", "lookup", ""], "the user name is empty"),
        (["-d", "x", "lookup", "a\tb"], "the user name has a control character in it (U+0009)"),
        (["-d", "x", "lookup", "a", "--tag", "a\nb"], "the tag has a control character in it (U+000A)"),
        (["-d", "x", "lookup", os.fsdecode(b"\xff")], "the user name is not valid UTF-8"),
        (["\x1b[31m"], "invalid choice"),
        (["--config", "/none/such.toml", "status"], "/none/such.toml: there is no such file"),
        (["--config", "/", "status"], "/: can't be read: Is a directory"),
        (["status"], "no cluster is configured in "),
        (["-d", "x", "predict", "stop", "10.1.0.3"], "invalid choice: 'stop' (choose from 'add', 'update', 'up',"),
        (["-d", "x", "predict", "update", "10.1.0.3"], "predict update needs the vhost count behind the IP"),
        (
            ["-d", "x", "predict", "update", "10.1.0.3", "1001"],
            "a whole number from 0 to 1000 was expected, not '1001'",
        ),
        (["-d", "x", "predict", "down", "10.1.0.3", "0"], "predict down takes no vhost count"),
        (["-d", "x", "predict", "up", "10.1.0.3", "--tag", "gold"], "predict up takes no --tag"),
        (["--predict"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_refused(program: Program, args: list[str], said: str, ring_agent: Agent) -> None:
    assert said in refused(program(*args), 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[clusters.real\n", "config.toml: Expected"),
        (
            "[clusters.real]\ndirectors = ['a']\nintervall = 3\n",
            "config.toml: [clusters.real] intervall: unknown key\ndo you mean interval?",
        ),
        ("[clusters.real]\ndirectors = ['a']\n[clusters.b]\ndirectors = ['b']\n", "choose one with -c: b, real"),
        (
            "[clusters.real]\ndirectors = ['a', 'root@b:70000']\n",
            "config.toml: [clusters.real.directors 2] ssh: “root@b:70000” is no SSH destination",
        ),
        ("default_cluster = 'x'\n", "default_cluster = “x”: there is no such cluster"),
        ("a\x1b[31m = 1\n", "config.toml: "),
    ],
)
def test_a_wrong_configuration_is_refused(program: Program, text: str, said: str) -> None:
    program.config.write_text(text)
    assert said in refused(program.configured("status"), 2)


def test_an_unknown_cluster_is_refused_with_those_there_are(ready: Program) -> None:
    err = refused(ready.configured("-c", "reel", "status"), 2)
    assert err == f"director-tui: {ready.config} has no cluster “reel”\nit has: real\n"


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["status", "--help"]])
def test_help_and_version(program: Program, args: list[str]) -> None:
    assert "director-tui" in fine(program(*args))


# What can't be reached.


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["lookup", "x"]])
def test_an_unreachable_host(program: Program, command: list[str]) -> None:
    port = free_port("127.0.0.1")
    err = refused(program("-d", f"127.0.0.1:{port}", *command), 3)
    assert f"127.0.0.1:{port}" in err
    assert "refuses the connection" in err


def test_a_host_that_has_no_address(program: Program) -> None:
    assert "nowhere.invalid" in refused(program("-d", "nowhere.invalid", "status"), 3)


def test_a_host_that_speaks_no_ssh(program: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        destination = f"127.0.0.1:{server.getsockname()[1]}"
        with subprocess.Popen(
            [sys.executable, "-m", "director_tui", "-d", destination, "status"],
            env=program.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as running:  # fmt: skip
            connection, _ = server.accept()
            connection.sendall(b"220 mail ESMTP\x1b[31m\r\n" * 100)
            connection.close()
            out, err = running.communicate(timeout=60)
    done = subprocess.CompletedProcess[bytes]([], running.returncode, out, err)
    assert destination in refused(done, 3)


def test_an_unknown_host_key_comes_with_its_fingerprint_and_a_command_that_adds_it(
    ready: Program, real_ring: RealRing, real_sshds: list[Sshd], tmp_path: Path
) -> None:
    sshd = real_sshds[0]
    known_hosts = tmp_path / "my known hosts"
    ready.configure([(sshd.destination, real_ring.directors[0].doveadm_words)], known_hosts)
    err = refused(ready.configured("status"), 3)
    assert sshd.fingerprint in err
    command = err.splitlines()[1].partition("then add it: ")[2]
    assert "printf" in command
    checked = ready.configured("check")
    assert checked.returncode == 3
    assert f"ok    {sshd.destination}: SSH answers" in checked.stdout.decode()
    assert sshd.fingerprint in checked.stdout.decode()
    assert not known_hosts.exists()
    subprocess.run(["sh", "-c", command], check=True)
    fine(ready.configured("status"))


def test_a_refused_login(program: Program, make_sshd: MakeSshd) -> None:
    sshd = make_sshd()  # lets a key in that the agent doesn't have
    program.configure([(sshd.destination, "doveadm")], sshd.known_hosts)
    assert sshd.destination in refused(program.configured("status"), 3)
    out = program.configured("check").stdout.decode()
    assert [line[:4] for line in out.splitlines()[:3]] == ["ok  ", "ok  ", "fail"]


def test_nobody_declines_where_there_is_no_terminal(program: Program, make_sshd: MakeSshd) -> None:
    sshd = make_sshd(extra=["PasswordAuthentication yes"])
    program.configure([(sshd.destination, "doveadm")], sshd.known_hosts)
    err = refused(program.configured("status"), 3)
    assert "the host also takes password, but nobody can be asked here" in err
    assert "declined" not in err


def test_a_stopped_director(
    program: Program, make_ring: MakeRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    ring = make_ring(size=1)
    ring.directors[0].stop()
    program.reach(ring.directors, real_sshds[:1], ring_known_hosts)
    err = refused(program.configured("status"), 3)
    assert f"{real_sshds[0].destination}: nobody listens on the director socket" in err
    assert "Dovecot is not running there" in err


def test_the_next_director_answers_for_one_that_is_stopped(
    program: Program, make_ring: MakeRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    ring = make_ring()
    ring.directors[0].stop()
    program.reach(ring.directors, real_sshds, ring_known_hosts)
    said = json.loads(fine(program.configured("status", "--json")))
    assert said["director"] == real_sshds[1].destination
    assert len(said["backends"]) == 8


# What answers something else: a doveadm of our own, behind a real sshd.

GOOD: dict[str, tuple[int, bytes, bytes]] = {
    "status": (0, status_output({"10.1.0.1": ("", 100, "up", 10), "10.1.0.2": ("gold", 50, "up", 20)}), b""),
    "ring": (0, ring_output("10.0.0.1", ["10.0.0.1"], gone=set()), b""),
    "map": (0, b"hash\n4711\n", b""),
    "placement": (0, b"status\texpires\thashed\tinitial-config\nn/a\t-\t10.1.0.1\t10.1.0.1\n", b""),
    "version": (0, b"# 2.3.19.1 (9b53102964): /etc/dovecot/dovecot.conf\n", b""),
    "settings": (0, b"director_mail_servers = 10.1.0.1 10.1.0.2@gold\n", b""),
}

SCRIPT = """\
#!/bin/sh
case "$*" in
  *"ring status") what=ring ;;
  *"map -u"*) what=map ;;
  *"director status --"*) what=placement ;;
  *"director status") what=status ;;
  -n) what=version ;;
  *) what=settings ;;
esac
cd "${0%/*}" || exit 99
cat "$what.err" >&2
cat "$what.out"
exit "$(cat "$what.code")"
"""


@pytest.fixture
def pretend(program: Program, real_sshds: list[Sshd], ring_known_hosts: Path) -> Callable[..., Program]:
    """The program, configured for a doveadm that does as told: exit status, standard output and error by subject."""

    def prepare(**said: tuple[int, bytes, bytes]) -> Program:
        folder = program.folder / "bin"
        folder.mkdir()
        for tool in ("doveadm", "doveconf"):
            (folder / tool).write_text(SCRIPT)
            (folder / tool).chmod(0o755)
        for subject, (status, out, err) in (GOOD | said).items():
            (folder / f"{subject}.code").write_text(str(status))
            (folder / f"{subject}.out").write_bytes(out)
            (folder / f"{subject}.err").write_bytes(err)
        program.configure([(real_sshds[0].destination, str(folder / "doveadm"))], ring_known_hosts)
        return program

    return prepare


def test_the_pretended_director_is_read_like_a_real_one(pretend: Callable[..., Program]) -> None:
    program = pretend()
    said = json.loads(fine(program.configured("status", "--json")))
    assert [(one["ip"], one["users"], one["share"]) for one in said["backends"]] == [
        ("10.1.0.1", 10, 1.0),
        ("10.1.0.2", 20, 1.0),
    ]
    assert json.loads(fine(program.configured("lookup", "x", "--json")))["hash"] == 4711
    fine(program.configured("check"))


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ((1, b"", b"sudo: a password is required\n"), "sudo asks for a password there, which this program never types"),
        ((127, b"", b"env: 'doveadm': No such file or directory\n"), "not found there"),
        (
            (75, b"", b"doveadm(ops): Error: net_connect_unix(/run/dovecot/director-admin) failed: "
             b"Permission denied\n"),
            "this user may not use the director socket /run/dovecot/director-admin",
        ),
        (
            (75, b"", b"doveadm(root): Error: net_connect_unix(/run/dovecot/director-admin) failed: "
             b"Connection refused\n"),
            "nobody listens on the director socket",
        ),
        (
            (75, b"", b"doveadm(root): Error: read(/run/dovecot/director-admin) failed: read(size=8192) failed: "
             b"Interrupted system call\n"),
            "the director process did not answer within 5 s",
        ),
        ((64, b"", b"usage: doveadm [-Dv] [-f <formatter>] <command> [<args>]\n"), "is no command there"),
        ((0, b"", b""), "printed nothing"),
        ((0, b"This account is currently not available.\n", b""), "this is not what doveadm director status prints"),
        ((0, GOOD["status"][1][:-1], b""), "it is not complete"),
        ((0, GOOD["status"][1][:-20] + b"\n", b""), "cells, its header has 6"),
        ((0, EVIL + b"\n", b""), "this is not what doveadm director status prints"),
        ((1, EVIL, EVIL + b"\nsecond line\nthird line\n"), "failed with exit status 1"),
        ((75, b"", b"doveadm(root): Error: " + EVIL + b"\n"), "failed with exit status 75"),
        ((0, b"x" * 100_000, b""), "it is not complete"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_what_a_director_can_answer_instead(
    pretend: Callable[..., Program], real_sshds: list[Sshd], said: tuple[int, bytes, bytes], what: str
) -> None:
    program = pretend(status=said)
    err = refused(program.configured("status"), 3)
    assert what in err
    assert f"{real_sshds[0].destination}: " in err
    checked = program.configured("check")
    out, _ = printable(checked)
    assert checked.returncode == 3
    assert what in out


@pytest.mark.parametrize("command", [["status"], ["check"]])
def test_a_wrapper_is_called_for_doveadm_alone(pretend: Callable[..., Program], command: list[str]) -> None:
    program = pretend()
    folder = program.folder / "bin"
    wrapper, log = folder / "dadm", folder / "log"
    wrapper.write_text(f'#!/bin/sh\necho "$*" >> {log}\nexec {folder}/doveadm "$@"\n')
    wrapper.chmod(0o755)
    shown, _ = printable(program.configured(*command, "--doveadm", str(wrapper)))
    assert "2 backends, 2 usable" in shown or "10.1.0.2" in shown
    assert {line[:16] for line in log.read_text().splitlines()} == {"-f tab director "}


def test_noise_of_a_login_shell_is_passed_over(pretend: Callable[..., Program]) -> None:
    noise = b"Welcome to mail-01!\n\x1b[32mno\ttabs\xff\n"
    program = pretend(**{subject: (code, noise + out, b"motd\n") for subject, (code, out, _) in GOOD.items()})
    assert "10.1.0.2" in fine(program.configured("status"))
    assert "4711" in fine(program.configured("lookup", "x"))


def test_nothing_but_text_reaches_the_terminal(pretend: Callable[..., Program]) -> None:
    rows = b"mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n10.1.0.1\t" + EVIL + b"\t100\tup\t-\t3\n"
    program = pretend(status=(0, rows + b"10.1.0.2\tgold\t0\tup\t-\t0\n", b""))
    shown = fine(program.configured("status"))
    assert "owned" in shown
    assert "[/red]" in shown
    assert "\\xff" in shown
    said = json.loads(fine(program.configured("status", "--json")))
    assert said["backends"][0]["tag"].isprintable()
    out, _ = printable(program.configured("check"))
    assert "2 backends, 1 usable" in out


def test_a_tag_that_can_not_be_asked_for_does_not_hide_the_others(pretend: Callable[..., Program]) -> None:
    rows = b"mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n10.1.0.1\t" + EVIL + b"\t100\tup\t-\t3\n"
    program = pretend(status=(0, rows + b"10.1.0.2\tgold\t9\tup\t-\t0\n", b""))
    done = program.configured("lookup", "x", "--json")
    out, err = printable(done)
    assert done.returncode == 0
    assert [one["tag"] for one in json.loads(out)["placements"]] == ["gold"]
    assert err.startswith("director-tui: left out: the tag ")
    assert "can't be sent to a director" in refused(program.configured("lookup", "x", "--tag", "a\\xff"), 2)


@pytest.mark.parametrize(("encoding", "tag"), [("utf-8", "東京"), ("ascii", "??")])
def test_columns_stand_below_each_other_whatever_the_names(
    pretend: Callable[..., Program], monkeypatch: pytest.MonkeyPatch, encoding: str, tag: str
) -> None:
    program = pretend(status=(0, status_output({f"10.1.0.{n}": ("東京", 7, "up", n) for n in (1, 2, 3)}), b""))
    with program.config.open("a") as config:
        config.write("names = {'10.1.0.1' = '東京のメール', '10.1.0.2' = 'e\u0301-02'}\n")
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    _, _, header, *rows = fine(program.configured("status")).splitlines()
    for row in rows:
        assert cell_len(row.rpartition(tag)[0]) == header.index("tag")
        assert cell_len(row) == len(header)


def test_a_tag_that_no_backend_has(ready: Program, pretend: Callable[..., Program]) -> None:
    for more in ([], ["--json"]):
        err = refused(ready.configured("lookup", "somebody", "--tag", "glod", *more), 2)
        assert err == "director-tui: no backend has the tag glod; there are: '' (no tag), gold\n"
    assert json.loads(fine(ready.configured("lookup", "x", "--tag", "", "--json")))["placements"][0]["tag"] == ""
    program = pretend(status=(0, status_output({"10.1.0.2": ("gold", 9, "up", 1)}), b""))
    err = refused(program.configured("lookup", "x", "--tag", ""), 2)
    assert err == "director-tui: no backend has the tag ''; there are: gold\n"


def test_a_director_that_lists_nothing(pretend: Callable[..., Program]) -> None:
    program = pretend(status=(0, status_output({}), b""))
    assert "the director lists no backend at all" in fine(program.configured("status"))
    assert json.loads(fine(program.configured("status", "--json")))["totals"]["backends"] == 0
    assert program.configured("check").returncode == 1
    said = json.loads(fine(program.configured("lookup", "x", "--json")))
    assert [one["tag"] for one in said["placements"]] == [""]
    err = refused(program.configured("lookup", "x", "--tag", "gold"), 2)
    assert err == "director-tui: no backend has the tag gold; the director lists no backend at all\n"


def test_a_tag_without_a_usable_backend_is_said(pretend: Callable[..., Program]) -> None:
    program = pretend(status=(0, status_output({"10.1.0.1": ("", 0, "up", 1), "10.1.0.2": ("g", 9, "down", 1)}), b""))
    shown = fine(program.configured("status"))
    assert "the untagged part of the ring has no usable backend" in shown
    assert "tag g has no usable backend" in shown


def test_an_admin_socket_that_is_forbidden(
    program: Program, real_ring: RealRing, real_sshds: list[Sshd], ring_known_hosts: Path
) -> None:
    if os.geteuid() != 0:
        pytest.fail("run as root: only then is there somebody who may not")
    words = f"setpriv --reuid=65534 --regid=65534 --clear-groups {real_ring.directors[0].doveadm_words}"
    program.configure([(real_sshds[0].destination, words)], ring_known_hosts)
    err = refused(program.configured("status"), 3)
    assert f"this user may not use the director socket {real_ring.directors[0].admin_socket}" in err
    assert "sudo -n doveadm" in err


# Where the output goes.


@pytest.mark.parametrize("args", [["status"], ["status", "--json"], ["lookup", "x"], ["check"], ["--help"]])
def test_a_pipe_that_closes_early_is_no_error(ready: Program, args: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = ready("--config", str(ready.config), *args, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_disk_that_is_full_is_said(ready: Program) -> None:
    with open("/dev/full", "wb") as full:
        done = ready("--config", str(ready.config), "status", stdout=full.fileno())
    assert done.returncode == 2
    assert done.stderr == b"director-tui: standard output can't be written: No space left on device\n"


def test_closed_standard_streams_are_no_error(ready: Program) -> None:
    command = shlex.join([sys.executable, "-m", "director_tui", "--config", str(ready.config), "status"])
    for closing in (">&-", "2>&-", "<&-", ">&- 2>&- <&-"):
        done = subprocess.run(
            ["sh", "-c", f"{command} {closing}"], env=ready.environment, capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, b""), closing


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_utf8_gets_what_it_can_show(
    ready: Program, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = ready.configured("lookup", "雪")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"user  ?\n")


@pytest.mark.parametrize("args", [[], ["demo"]])
def test_the_dashboard_needs_a_terminal(ready: Program, args: list[str]) -> None:
    err = refused(ready(*args) if args else ready.configured(), 2)
    assert "the dashboard needs a terminal" in err
    assert "director-tui status" in err


def test_the_dashboard_needs_more_than_a_dumb_terminal(ready: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    leader, terminal = pty.openpty()
    try:
        done = ready("--config", str(ready.config), stdin=terminal, stdout=terminal, stderr=terminal)
        shown = os.read(leader, 4096)
    finally:
        os.close(leader)
        os.close(terminal)
    assert done.returncode == 2
    assert shown.startswith(b"director-tui: the dashboard needs a terminal")
    assert b"\x1b" not in shown


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> list[ClusterConfig]:
    """The clusters that a dashboard was opened with, the one to be shown first."""
    clusters: list[ClusterConfig] = []

    def show(cluster: ClusterConfig, _: object, theme: object, usual: object, others: Sequence[ClusterConfig]) -> int:
        clusters.extend([cluster, *others])
        return 0

    monkeypatch.setattr("director_tui.cli._show", show)
    return clusters


TWO_CLUSTERS = """
default_cluster = "two"
[clusters.one]
directors = ["ops@one.example.com"]
interval = 5
[clusters.two]
directors = ["ops@two.example.com"]
"""


def test_the_options_hold_for_every_cluster_that_can_be_shown(tmp_path: Path, offered: list[ClusterConfig]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(TWO_CLUSTERS)
    assert main(["--config", str(config)]) == 0
    seen = [(one.name, one.read_only, one.interval_s) for one in offered]
    assert seen == [("two", False, 2.0), ("one", False, 5.0), ("two", False, 2.0)]
    offered.clear()
    words = ["--config", str(config), "-c", "one", "--read-only", "--interval", "7", "--doveadm", "sudo doveadm"]
    assert main(words) == 0
    assert [(one.name, one.read_only, one.interval_s) for one in offered] == [
        ("one", True, 7.0),
        ("one", True, 7.0),
        ("two", True, 7.0),
    ]
    assert [one.directors[0].doveadm for one in offered] == [("sudo", "doveadm"), ("sudo", "doveadm"), ("doveadm",)]


def test_a_ring_from_the_command_line_is_the_only_one(tmp_path: Path, offered: list[ClusterConfig]) -> None:
    config = tmp_path / "config.toml"
    config.write_text(TWO_CLUSTERS)
    assert main(["--config", str(config), "-d", "root@dir1"]) == 0
    assert [one.name for one in offered] == ["dir1"]


@pytest.mark.parametrize("closing", ["2>&-", "2>/dev/full", "2>&1 >&- | true"])
def test_an_error_that_nobody_can_be_told_keeps_its_status(program: Program, closing: str) -> None:
    command = shlex.join([*MODULE, "-d", "x;y", "status"])
    line = f"exec 3>&1; {{ {command}; echo $? >&3; }} {closing}"
    done = subprocess.run(
        ["sh", "-c", line],
        env=program.environment,
        capture_output=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (done.stdout, done.stderr) == (b"2\n", b"")


def test_an_error_has_two_lines_whatever_is_in_its_words(program: Program) -> None:
    lines = "one\ntwo\r\nthree\x85four\u2028five"
    refused(program("status", lines), 2)
    refused(program("--config", lines, "status"), 2)
    refused(program("-c", lines, "--config", os.devnull, "status"), 2)


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        ["--version"],
        [],
        ["stats"],
        ["demo", "--config", "x"],
        ["-d", "root@y:0", "check"],
        ["status", "-d", "x", "--doveadm", "'"],
        ["--config", "config.toml", "status"],
        ["-d", "127.0.0.1:1", "lookup", "somebody"],
    ],
)
def test_both_ways_to_start_it_are_the_same(program: Program, args: list[str]) -> None:
    program.config.write_text("[clusters.x]\ndirectors = ['a']\ndoveadm = 'dadm'\n")
    module, script = (replace(program, words=words)(*args) for words in (MODULE, INSTALLED))
    assert (script.returncode, script.stdout, script.stderr) == (module.returncode, module.stdout, module.stderr)
    assert bool(module.returncode) == bool(module.stderr)


# What nobody foresaw.

FAULT = """\
import pkgutil
def fail(*args, **kwargs):
    password = "hunter" + "2"
    raise ZeroDivisionError(f"{password} is not \\x1b[31m the password, hunter2 is")
setattr(pkgutil.resolve_name("%s"), "%s", fail)
"""


@pytest.mark.parametrize("words", [MODULE, INSTALLED], ids=["module", "script"])
@pytest.mark.parametrize(
    ("args", "owner", "name", "place"),
    [
        (["status"], "director_tui.link.ring:Ring", "on_one", "oneshot.py line "),
        (["lookup", "somebody"], "director_tui.link.ring:Ring", "on_one", "link/users.py line "),
        (["check"], "director_tui.link.ring:DirectorLink", "connecting", "link/checkup.py line "),
        (["status"], "director_tui.config", "read_config", "cli.py line "),
    ],
)
def test_a_fault_of_the_program_is_called_one(
    program: Program, words: tuple[str, ...], args: list[str], owner: str, name: str, place: str
) -> None:
    (program.folder / "sitecustomize.py").write_text(FAULT % (owner, name))
    path = f"{program.folder}:{program.environment['PYTHONPATH']}"
    err = refused(replace(program, words=words, more={"PYTHONPATH": path})("-d", "127.0.0.1:1", *args), 70)
    assert err.startswith(f"director-tui: a fault of director-tui itself: ZeroDivisionError in {place}")
    assert "please report it" in err
    assert "hunter2" not in err


def test_a_fault_that_the_operating_system_names(program: Program) -> None:
    line = f"ulimit -n 8; exec {shlex.join([*MODULE, '-d', '127.0.0.1:1', 'status'])}"
    done = subprocess.run(
        ["sh", "-c", line],
        env=program.environment,
        capture_output=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )
    assert "OSError (Too many open files)" in refused(done, 70)


def test_an_interrupt_has_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("director_tui.cli._status", interrupted)
    assert main(["status"]) == 130


def test_a_wrong_theme_is_told_with_its_place_and_what_there_is(program: Program) -> None:
    folder = program.folder / "none" / "director-tui" / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text("")
    known = "there are: harbour, paper, contrast, ansi, mono, mine\n"
    for command in ((), ("demo",), ("status", "-d", "dir1")):
        done = program(*command, "--theme", "sepia\x1b[31m")
        assert done.returncode == 2
        assert done.stderr.decode() == f"director-tui: --theme: there is no theme sepia�[31m\n{known}"
    program.config.write_text('theme = "sepia"\n[clusters.real]\ndirectors = ["dir1"]\n')
    for command in ((), ("status",)):
        done = program.configured(*command)
        assert done.returncode == 2
        assert done.stderr.decode() == f"director-tui: {program.config}: theme: there is no theme “sepia”\n{known}"
    program.config.write_text('theme = "mine"\n[clusters.real]\ndirectors = ["dir1"]\n')
    assert b"needs a terminal" in program.configured().stderr, "the name of a file is enough here"
