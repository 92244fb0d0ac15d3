"""What the manual tells an administrator to write into sudoers and authorized_keys, with real accounts, sudo and sshd.

The lines are taken out of the pages themselves. What an account may do with them is tried as that account; what became
of it is read with plain doveadm as root.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import shlex
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from director_tui.cli import main
from director_tui.config import BackendAccess, ClusterConfig, DirectorConfig
from director_tui.director import doveadm
from director_tui.director.doveadm import ENVIRONMENT, Tool
from director_tui.director.hashring import user_hash
from director_tui.director.record_commands import File, fetch, store
from director_tui.errors import AuthenticationFailed, DoveadmError, Unreachable
from director_tui.link.backends import backend_link
from director_tui.link.changing import Ended, carry_out
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from director_tui.link.users import each_once
from director_tui.operations.emergency import disconnect_plan, recover_plan, stop_in, stop_plan
from director_tui.operations.plan import Outcome, Request, Standing, Target, Verb
from director_tui.operations.stop_keeping import find_records
from director_tui.operations.stop_record import addresses
from director_tui.state import state_folder
from tests.operations.test_executor_on_rings import benched
from tests.parity.conftest import Real
from tests.ring.accounts import Account, Machine
from tests.ring.sshd import Agent, make_key, write_known_hosts
from tests.test_readme import CHANGING, READING, README, SETTING_UP, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from director_tui.director.doveadm import Call
    from director_tui.link.changing import Event
    from tests.operations.test_executor_on_rings import Bench
    from tests.ring.real import RealDirector, RealRing

    OpenBench = Callable[[str], AbstractAsyncContextManager[Bench]]

SECURITY = README.with_name("SECURITY.md")
THERE, ELSEWHERE = "127.0.1.2", "127.0.1.99"
"""A backend that is on the ring, and one that isn't."""

SUDO = ("sudo", "-n")
STATUS = "-f tab director status"
BREAK = "\nHOST-UPDATE\t127.0.1.2\t7"
"""A director takes what is behind the line break for the next command."""

FAULTS = """\
Defaults:tty requiretty
Defaults:asked lecture=always
tty ALL=(root) NOPASSWD: DIRECTOR_LOOK
asked ALL=(root) DIRECTOR_LOOK
half ALL=(root) NOPASSWD: /usr/bin/doveadm -f tab director status, /usr/bin/env
loud ALL=(root) NOPASSWD: DIRECTOR_LOOK, !DIRECTOR_NEVER
"""
"""What an administrator may have written instead."""


(QUIET,) = (f"{line}\n" for line in re.findall(r"`(Defaults!.*?)`", SECURITY.read_text()))
"""Readings are not logged."""

SSHD = blocks("Match User", SECURITY)[0].splitlines()


def sudo_lines(options: str = "") -> str:
    """As the README has them, with these options behind each path, as it says."""
    (block,) = blocks("Cmnd_Alias")
    return re.sub(r"(/usr/bin/dove(?:adm|conf)) ", rf"\1 {options} " if options else r"\1 ", block)


def key_options(account: str, backend: str = "") -> str:
    """What SECURITY.md has in front of a key, for one that comes from this machine: with a backend for one that goes
    on to it."""
    lines = [line for block in blocks('from="', SECURITY) for line in block.splitlines() if f" {account}@" in line]
    (line,) = [line for line in lines if ("permitopen" in line) == bool(backend)]
    return line.partition(" ssh-ed25519 ")[0].replace("192.0.2.10", "127.0.0.1").replace("10.1.0.1:22", backend)


@pytest.fixture(scope="module")
def client_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("client") / "client_key")


@pytest.fixture(scope="module")
def machines(accounts: None, real_ring: RealRing, client_key: Path) -> Iterator[list[Machine]]:
    """One for each director of real_ring. On the first two doveadm needs no options; the third is called with -c."""

    def machine(director: RealDirector, shell: str, options: str = "") -> Machine:
        over = {} if options else {"/etc/dovecot/dovecot.conf": director.config.read_bytes()}
        own = [Account(name, key_options(name), shell) for name in ("ops", "view")]
        others = [
            *(Account(name) for name in ("tty", "asked", "half", "stranger")),
            Account("loud", "", "/bin/csh", {".cshrc": "echo Welcome, $user\n"}),
        ]
        sudoers = sudo_lines(options) + FAULTS + (QUIET if options else "")
        return Machine([*own, *others], sudoers, client_key, over, name=director.name, sshd=SSHD)

    first, second, third = real_ring.directors
    with ExitStack() as stack:
        yield [
            stack.enter_context(machine(first, "/bin/sh")),
            stack.enter_context(machine(second, "/bin/csh")),
            stack.enter_context(machine(third, "/bin/bash", f"-c {third.config}")),
        ]


@pytest.fixture
def ring(real_ring: RealRing) -> Iterator[RealRing]:
    """As it is found, so it is left."""
    first = real_ring.directors[0]
    before = first.backends()
    yield real_ring
    first.doveadm("director", "flush", "-F", "all")
    now = {row["mail server ip"]: row for row in first.backends()}
    for row in before:
        ip = row["mail server ip"]
        if now[ip]["vhosts"] != row["vhosts"]:
            first.doveadm("director", "update", ip, row["vhosts"])
        if now[ip]["state"] != row["state"]:
            first.doveadm("director", row["state"], ip)
    for ip in now.keys() - {row["mail server ip"] for row in before}:
        first.doveadm("director", "remove", ip)


def table(ring: RealRing) -> list[tuple[str, str, str]]:
    return [(row["mail server ip"], row["vhosts"], row["state"]) for row in ring.directors[0].backends()]


def cluster(machines: list[Machine], ring: RealRing, account: str, records: str = "~/records") -> ClusterConfig:
    options = [(), (), ("-c", str(ring.directors[2].config))]
    return ClusterConfig(
        "rings",
        tuple(
            DirectorConfig(one.destination(account), (*SUDO, "doveadm", *more), (*SUDO, "doveconf", *more))
            for one, more in zip(machines, options, strict=True)
        ),
        interval_s=60.0,
        records=records,
    )


@pytest.fixture(scope="module")
def known_hosts(machines: list[Machine], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_known_hosts(tmp_path_factory.mktemp("ssh") / "known_hosts", [one.sshd for one in machines])


@pytest.fixture
def ssh(known_hosts: Path, client_key: Path) -> Ssh:
    return Ssh(known_hosts=known_hosts, identity=client_key)


@pytest.fixture
def program(
    machines: list[Machine], ring: RealRing, known_hosts: Path, client_key: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., str]]:  # fmt: skip
    """Run the program for an account; it has to end well. What it printed."""
    with Agent([client_key]) as agent:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent.environment["SSH_AUTH_SOCK"])

        def run(account: str, *words: str, first: int = 0) -> str:
            config = tmp_path / "config.toml"
            directors = [
                f"{{ssh = {json.dumps(one.ssh)}, doveadm = {json.dumps(' '.join(one.doveadm))}}}"
                for one in cluster(machines, ring, account).directors
            ]
            listed = ", ".join(directors[first:] + directors[:first])
            config.write_text(f"[clusters.rings]\ndirectors = [{listed}]\nknown_hosts = '{known_hosts}'\n")
            status = main(["--config", str(config), *words])
            said = capsys.readouterr()
            assert (status, said.err) == (0, ""), said
            return said.out

        yield run


def refusals(machines: list[Machine]) -> list[str]:
    return [line for one in machines for line in one.sudo_log().splitlines() if "not allowed" in line]


# --- what each may do ---------------------------------------------------------------------------------------------


def test_a_viewer_reads_all_that_there_is(program: Callable[..., str], ring: RealRing, machines: list[Machine]) -> None:
    before = refusals(machines)
    ring.directors[0].doveadm("director", "down", THERE)
    told = json.loads(program("view", "status", "--json"))
    (down,) = (one for one in told["backends"] if one["state"] == "down")
    assert down["ip"] == THERE
    for number, user in enumerate(("jane@example.com", "o'brien !! \\ $HOME * \"", "żółć-雪 !x", "-joe")):
        assert json.loads(program("view", "lookup", "--json", "--", user, first=number % 3))["user"] == user
    assert "gold  -" in program("view", "lookup", "jane", "--tag", "gold")
    assert json.loads(program("view", "predict", "remove", "127.0.1.3", "--exact", "--json"))["exact"] is True
    checked = program("view", "check")
    assert checked.count("director socket: 8 backends") == 3
    assert checked.count("ring: synced, 3 of 3 directors") == 3
    assert f"{THERE} is down, a restart brings it up" in checked
    assert refusals(machines) == before
    assert ["COMMAND=/usr/bin/doveadm " in one.sudo_log() for one in machines] == [True, True, False]


@pytest.fixture
def bench(machines: list[Machine], ring: RealRing, ssh: Ssh) -> OpenBench:
    """The program's inside, as its dashboard has it, for an account."""
    return lambda account: benched(Ring(cluster(machines, ring, account), ssh), Real(ring))


async def test_an_operator_changes_the_ring_in_every_way(
    bench: OpenBench, ring: RealRing, machines: list[Machine]
) -> None:
    before = refusals(machines)
    sessions = [await asyncio.to_thread(ring.log_in, user, 1) for user in ("jane@example.com", "joe@example.com")]
    async with bench("ops") as made:
        for request in (
            Request(Verb.UPDATE, (Target(THERE, 0), Target("127.0.1.3", 7))),
            Request(Verb.DOWN, (Target(THERE),)),
            Request(Verb.UP, (Target(THERE),)),
            Request(Verb.ADD, (Target(ELSEWHERE, 30),), tag="gold"),
            Request(Verb.REMOVE, (Target(ELSEWHERE),)),
            Request(Verb.FLUSH, (Target("127.0.1.4"),), max_parallel=50),
            Request(Verb.FORGET_USERS, (Target("127.0.1.5"),)),
            Request(Verb.FLUSH_ALL),
            Request(Verb.KICK, user="jane@example.com", user_hash=user_hash("jane@example.com")),
            Request(Verb.MOVE, (Target("127.0.1.6"),), user="joe@example.com", user_hash=user_hash("joe@example.com")),
        ):
            ended = await made.run(request)
            assert ended.outcome is Outcome.APPLIED, (request, [(line.note, line.output) for line in ended.lines])
    for session in sessions:
        session.close()
    assert ("127.0.1.3", "7", "up") in table(ring)
    assert refusals(machines) == before


async def test_an_operator_stops_everything_and_recovers(
    bench: OpenBench, ring: RealRing, machines: list[Machine]
) -> None:
    ring.directors[0].doveadm("director", "update", THERE, "17")
    before, refused = table(ring), refusals(machines)
    session = await asyncio.to_thread(ring.log_in, "jane@example.com", 2)
    async with bench("ops") as made:

        async def now() -> tuple[Standing, Any]:
            reading = await made.reading()
            links = each_once(made.ring.links, reading.views)
            of = made.ring.cluster
            found = await find_records(of.name, links, of.records, addresses(reading.rings.values()))
            return Standing(reading, of), stop_in(found, reading)

        assert (await made.executor.run(stop_plan(*await now()), "")).outcome is Outcome.APPLIED
        assert {vhosts for _, vhosts, _ in table(ring)} == {"0"}
        ended = await made.executor.run(disconnect_plan((await now())[0]), "")
        assert ended.outcome is Outcome.APPLIED, [(line.text, line.note, line.output) for line in ended.lines]
        session.close()
        for machine in machines:
            kept = machine.home("ops") / "records"
            assert stat.S_IMODE(kept.stat().st_mode) == 0o700
            assert {stat.S_IMODE(one.stat().st_mode) for one in kept.iterdir()} == {0o600}
        assert (await made.executor.run(recover_plan(*await now()), "")).outcome is Outcome.APPLIED
    assert table(ring) == before
    said = set(re.findall(r"`([\w….-]+)`", SECURITY.read_text().partition("| file |")[2].partition("Elsewhere:")[0]))
    here = list(state_folder("rings").iterdir())
    assert {re.sub(r"^(stop|recover|over)-.*(?=\.)", r"\1-…", one.name) for one in here} == said & {
        "journal.jsonl", "operation.lock", "unseen-flush.json", "stop-….json", "recover-….sh", "over-….json",
    }  # fmt: skip
    assert {stat.S_IMODE(one.stat().st_mode) for one in here} == {0o600}
    ring.directors[0].doveadm("director", "update", "127.0.1.4", "0")
    (script,) = (machines[1].home("ops") / "records").glob("recover-*.sh")
    done = await asyncio.to_thread(machines[1].ssh, "ops", "sh", f"records/{script.name}")
    assert done.stdout.endswith(b"all 8 set back\n"), done
    assert table(ring) == before
    assert refusals(machines) == refused


async def test_a_viewer_s_change_is_refused_by_sudo_and_that_is_said(
    bench: OpenBench, ring: RealRing, machines: list[Machine]
) -> None:
    before = table(ring)
    async with bench("view") as made:
        assert (await made.reading()).snapshot is not None
        ended = await made.run(Request(Verb.UPDATE, (Target(THERE, 0),)))
    assert ended.outcome is Outcome.NOT_APPLIED
    assert ended.lines[0].output == "sudo: a password is required", "sudo asks for one before it says no"
    assert table(ring) == before


# --- what nobody may do -------------------------------------------------------------------------------------------


def may(machine: Machine, account: str, *commands: tuple[str, ...]) -> list[bool]:
    """Whether sudo would run each as root, by its own word; nothing is run."""
    lines = [f"{shlex.join((*SUDO, '-l', *words))} >/dev/null 2>&1; echo $?" for words in commands]
    return [line == b"0" for line in machine.run(account, "sh", stdin="\n".join(lines).encode()).stdout.split()]


def words_of(call: Call[Any], director: DirectorConfig) -> tuple[str, ...]:
    """The command line behind sudo."""
    words = call.command(director.doveadm if call.tool is Tool.DOVEADM else director.doveconf)
    assert words[: len(ENVIRONMENT) + len(SUDO)] == (*ENVIRONMENT, *SUDO)
    return words[len(ENVIRONMENT) + len(SUDO) :]


@pytest.mark.parametrize("number", [0, 2], ids=["without options", "with -c FILE"])
def test_a_viewer_may_what_reads_and_an_operator_all_that_the_program_runs(
    machines: list[Machine], ring: RealRing, number: int
) -> None:
    machine, director = machines[number], cluster(machines, ring, "view").directors[number]
    reading, changing = ([words_of(call, director) for call in calls] for calls in (READING, CHANGING))
    assert may(machine, "view", *reading, *changing) == [True] * len(reading) + [False] * len(changing)
    assert may(machine, "ops", *reading, *changing) == [True] * (len(reading) + len(changing))


NEITHER = [
    # another Dovecot's configuration, another program's socket, another file
    f"doveadm -c /etc/passwd {STATUS}",
    f"doveadm -o base_dir=/tmp {STATUS}",
    f"doveadm {STATUS} -a /tmp/socket",
    "doveadm -f tab director map -f /etc/shadow",
    "doveadm -f tab director map -f /dev/null -a /tmp/socket",
    "doveadm -f tab director map -u -f /etc/shadow",
    "doveadm -f tab director dump",
    "doveconf -c /etc/shadow -n",
    "doveconf -n -P",
    "doveconf -P -h director_mail_servers",
    "doveconf -h director_mail_servers doveadm_password",
    # what is behind a line break or a tab would be a command, or a field, of its own to a director
    f"doveadm {STATUS} -- '1{BREAK}'",
    f"doveadm {STATUS} -- 1 'gold{BREAK}'",
    f"doveadm {STATUS} -- '1\tgold'",
    f"doveadm {STATUS} -- '\udcff\r'",
    "doveadm -f tab director map -u -- '\x7f'",
    "doveadm -f tab director map -f /dev/null -- '127.0.1.1\x01'",
    f"doveadm director add -t 'gold{BREAK}' 127.0.1.99 1",
    f"doveadm director kick -- 'jane{BREAK}'",
    f"doveadm proxy kick -- 'jane{BREAK}'",
    # an option of its own in front of, between and behind what an operator may say
    "doveadm director update -a /tmp/socket 127.0.1.2 7",
    "doveadm director update 127.0.1.2 7 -a /tmp/socket",
    "doveadm director update 127.0.1.2 -a/tmp/socket 7",
    "doveadm director up -a/tmp/socket 127.0.1.2",
    "doveadm director flush -Fa/tmp/socket all",
    "doveadm director flush -F all -a /tmp/socket",
    "doveadm director flush --max-parallel 1 -a /tmp/socket all",
    "doveadm director flush --max-parallel=1 all",
    "doveadm director add -a /tmp/socket 127.0.1.99",
    "doveadm director add -t gold -a /tmp/socket 127.0.1.99",
    "doveadm director add -t '' -a /tmp/socket 127.0.1.99",
    "doveadm director add -tgold 127.0.1.99 -a /tmp/socket",
    "doveadm director kick -f user jane",
    "doveadm director move -a /tmp/socket jane 127.0.1.2",
    "doveadm proxy kick -h 127.0.1.2 -a /tmp/socket",
    "doveadm proxy kick -a /tmp/socket -h 127.0.1.2",
    # everything else that doveadm and sudo can do
    "doveadm director ring remove 127.0.0.1",
    *(f"doveadm {word}" for word in ("exec", "stop", "reload", "help", "who")),
    "doveadm mailbox list -A",
    "doveadm help director",
    "-s",
    "-i",
    "sh",
    f"env doveadm {STATUS}",
    "-e /etc/shadow",
    f"-g shadow doveadm {STATUS}",
    f"-u ops doveadm {STATUS}",
    f"-D /root doveadm {STATUS}",
    f"-R /tmp doveadm {STATUS}",
    f"-E doveadm {STATUS}",
    f"CONFIG_FILE=/tmp/dovecot.conf doveadm {STATUS}",
    f"LD_PRELOAD=/tmp/evil.so doveadm {STATUS}",
]


@pytest.mark.parametrize("account", ["view", "ops"])
def test_neither_gets_anything_else_of_root(machines: list[Machine], ring: RealRing, account: str) -> None:
    before = table(ring)
    for words in NEITHER:
        done = machines[0].run(account, *SUDO, *shlex.split(words))
        assert done.returncode == 1, (words, done)
        assert done.stdout == b"", (words, done)
        assert re.search(rb"^sudo: |not allowed", done.stderr, re.M), (words, done)
        assert not re.search(rb"doveadm(\(root\))?: |net_connect", done.stderr), (words, done)
    in_utf8 = ("env", "LC_ALL=C.UTF-8", *SUDO, "doveadm", *STATUS.split(), "--", f"\udcff{BREAK}")
    assert machines[0].run(account, *in_utf8).returncode == 1
    assert table(ring) == before


def test_what_is_let_through_besides_does_no_harm(machines: list[Machine], ring: RealRing) -> None:
    """sudo compares the words put together by blanks, so that where one ends and the next begins is the account's."""
    before, machine = table(ring), machines[0]
    for words in (
        ("-f", "tab", "director", "map", "-f", "/dev/null -- x/../../../etc/shadow"),
        ("-f", "tab director status -- x", *STATUS.split()),
        ("-f tab", "director", "status"),
        ("-f", "tab", "director", "status", "-- -a/tmp/socket"),
        ("-f", "tab", "director status", "--", "1"),
    ):
        done = machine.run("view", *SUDO, "doveadm", *words)
        assert b"root:" not in done.stdout + done.stderr, done
    file = f"{ring.directors[2].config} {STATUS} -- /../../../../../etc/passwd"
    done = machines[2].run("view", *SUDO, "doveadm", "-c", file, "director", "status")
    assert b"dovecot.conf" in done.stderr, done
    assert b"root:" not in done.stdout + done.stderr, done
    # A program of the account's own by that name is not what is run.
    own = machine.home("view") / "doveadm"
    own.write_text("#!/bin/sh\necho mine\n")
    own.chmod(0o755)
    done = machine.run("view", "env", f"PATH={own.parent}:/usr/bin", *SUDO, "doveadm", *STATUS.split())
    assert done.stdout.startswith(b"mail server ip\t"), done
    assert may(machine, "view", (str(own), *STATUS.split()), ("doveadm", *STATUS.split())) == [False, True]
    assert table(ring) == before


def test_what_the_program_needs_of_the_environment_gets_past_sudo(machines: list[Machine]) -> None:
    done = machines[0].run("half", *ENVIRONMENT, "HOME=/tmp", "DOVECOT=x", *SUDO, "/usr/bin/env")
    lines = done.stdout.decode().splitlines()
    assert {"TZ=UTC", "LC_ALL=C", "HOME=/root", "USER=root"} <= set(lines)
    assert "DOVECOT=x" not in lines


# --- what an administrator may have written instead ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "says", "remedy"),
    [
        ("tty", "sudo wants a terminal there, and there is none", "!requiretty"),
        ("asked", "sudo asks for a password there", "allows other words"),
        ("stranger", "sudo asks for a password there", "allows other words"),
        ("half", "sudo asks for a password there", "allows other words"),
    ],
)
async def test_why_it_does_not_work_is_said(
    machines: list[Machine], ring: RealRing, ssh: Ssh, account: str, says: str, remedy: str
) -> None:
    opened = Ring(cluster(machines, ring, account), ssh)
    with pytest.raises(DoveadmError) as caught:
        await opened.links[0].call(doveadm.ring_status())
    assert says in str(caught.value)
    assert remedy in caught.value.remedy
    await opened.close()


async def test_a_login_that_greets_is_in_nobody_s_way(machines: list[Machine], ring: RealRing, ssh: Ssh) -> None:
    assert machines[0].ssh("loud", "true").stdout == b"Welcome, loud\n"
    opened = Ring(cluster(machines, ring, "loud"), ssh)
    link = opened.links[0]
    backends = (await link.call(doveadm.status())).value
    assert [(one.ip, str(one.vhosts), one.state.value) for one in backends] == table(ring)
    kept = (await link.call(store("~/records", "stop-1.json", b"x", "token"))).value
    assert kept.path == f"{machines[0].home('loud')}/records/stop-1.json"
    assert (await link.call(fetch("~/records", "mark"))).value == (File("stop-1.json", b"x"),)
    await opened.close()


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_is_for_commands_alone(machines: list[Machine]) -> None:
    machine = machines[0]
    folder = machine.home("view") / ".ssh"
    folder.mkdir(exist_ok=True)
    (folder / "rc").write_text("echo from rc\n")
    port = str(machine.sshd.port)
    assert machine.ssh("view", "echo", "fine").stdout == b"fine\n"
    assert machine.ssh("view", options=["-W", f"127.0.0.1:{port}"]).returncode == 255
    forward = ["-o", "ExitOnForwardFailure=yes", "-R", f"0:127.0.0.1:{port}"]
    assert machine.ssh("view", "true", options=forward).returncode == 255
    assert b"PTY allocation request failed" in machine.ssh("view", "true", options=["-tt"]).stderr


async def test_a_key_from_elsewhere_is_refused(machines: list[Machine], ring: RealRing, ssh: Ssh) -> None:
    machine, usual = machines[0], key_options("view")
    machine.give_key("view", usual.replace("127.0.0.1", "192.0.2.10"))
    try:
        with pytest.raises(AuthenticationFailed):
            await ssh.connect(machine.destination("view"))
    finally:
        machine.give_key("view", usual)
    await (await ssh.connect(machine.destination("view"))).close()


def test_an_account_gives_itself_no_other_key(machines: list[Machine], tmp_path: Path) -> None:
    """With its shell, which it has: the options of its own key would be gone."""
    own = make_key(tmp_path / "own")
    for account, let_in in (("ops", False), ("view", False), ("tty", True)):
        public = own.with_name("own.pub").read_bytes()
        machines[0].run(account, "sh", "-c", "cd; mkdir -p .ssh; cat >.ssh/authorized_keys", stdin=public)
        done = machines[0].ssh(account, "true", key=own)
        assert (done.returncode == 0) is let_in, done


@pytest.fixture
def backend(machines: list[Machine], client_key: Path) -> Iterator[Machine]:
    """A backend's machine, whose doveadm only says how it was called."""
    (line,) = re.findall(r"`(ops ALL=.*?)`", SETTING_UP.read_text())
    words = {"/usr/bin/doveadm": b"#!/bin/sh\nid -un; echo $*\n"}
    with Machine([Account("ops", key_options("ops"))], f"{line}\n", client_key, words, name="backend") as made:
        yield made


async def test_a_backend_is_reached_through_a_director_and_nothing_else_is(
    machines: list[Machine], ring: RealRing, client_key: Path, backend: Machine, tmp_path: Path
) -> None:
    director, sshd = machines[0], backend.sshd
    known_hosts = write_known_hosts(tmp_path / "known_hosts", [director.sshd, sshd])
    access = BackendAccess(f"ops@{{ip}}:{sshd.port}", doveadm=(*SUDO, "doveadm"))
    of = dataclasses.replace(cluster(machines, ring, "ops"), backends=access)

    async def upload() -> list[Event]:
        said: list[Event] = []
        opened = Ring(of, Ssh(known_hosts=known_hosts, identity=client_key))
        link = backend_link(sshd.host, opened)
        try:
            await carry_out(link, [doveadm.upload_metacache()], said.append)
        finally:
            await link.close()
            await opened.close()
        return said

    with pytest.raises(Unreachable, match="open failed"):
        await upload()
    director.give_key("ops", key_options("ops", f"{sshd.host}:{sshd.port}"))
    try:
        (ended,) = (one for one in await upload() if isinstance(one, Ended))
        assert (ended.status, ended.stdout) == (0, b"root\nmetacache flushall\n")
        ssh = director.ssh
        assert ssh("ops", options=["-W", f"127.0.0.1:{director.sshd.port}"]).returncode == 255
        for place in ("0", "1", "20000", str(director.home("ops") / "socket")):
            forward = ["-o", "ExitOnForwardFailure=yes", "-R", f"{place}:127.0.0.1:22"]
            assert ssh("ops", "true", options=forward).returncode == 255, place
    finally:
        director.give_key("ops", key_options("ops"))
    more = [("doveadm", "metacache", *words) for words in (("flushall",), ("flushall", "-i"), ("remove", "x"))]
    assert may(backend, "ops", *more) == [True, False, False]
