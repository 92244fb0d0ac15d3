"""The practice ring's SSH server: bare asyncssh for what it refuses, the program's own client for what it is for."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.demo.ring import PracticeRing
from director_tui.demo.server import PracticeServer, serve
from director_tui.director import doveadm
from director_tui.director.hashring import user_hash
from director_tui.errors import AuthenticationFailed, HostKeyError, LinkError
from director_tui.link.ring import Ring
from director_tui.link.ssh import Ssh
from tests.link.fakes import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from director_tui.demo.running import Running

START = datetime(2026, 11, 23, 21, 54, tzinfo=UTC)


@pytest.fixture
def practice() -> PracticeRing:
    return PracticeRing(users=500, start=START)


@pytest.fixture
async def server(practice: PracticeRing) -> AsyncIterator[PracticeServer]:
    async with await serve(practice) as running:
        yield running


@pytest.fixture
async def ring(server: PracticeServer) -> AsyncIterator[Ring]:
    ssh = Ssh(known_hosts=server.known_hosts, identity=server.identity, ssh_config=server.ssh_config)
    opened = Ring(ClusterConfig("practice", tuple(DirectorConfig(each) for each in server.destinations)), ssh)
    yield opened
    await opened.close()


@pytest.fixture
async def connection(server: PracticeServer) -> AsyncIterator[asyncssh.SSHClientConnection]:
    async with connect(server) as opened:
        yield opened


def addresses(server: PracticeServer) -> list[tuple[str, int]]:
    """Of the directors."""
    names = [line.split()[0] for line in server.known_hosts.read_text().splitlines() if line.startswith("[")]
    return [(host, int(port)) for host, _, port in (name.removeprefix("[").partition("]:") for name in names)]


@contextlib.asynccontextmanager
async def connect(
    server: PracticeServer, director: int = 0, **others: Any
) -> AsyncIterator[asyncssh.SSHClientConnection]:
    host, port = addresses(server)[director]
    options: dict[str, Any] = {
        "username": "demo",
        "known_hosts": str(server.known_hosts),
        "client_keys": [str(server.identity)],
        "agent_path": None,
        "config": None,
    }
    async with asyncssh.connect(host, port, **(options | others)) as connection:
        yield connection


async def enter(server: PracticeServer, director: int = 0, **others: Any) -> None:
    async with connect(server, director, **others):
        pass


async def at_the_door(server: PracticeServer, director: int) -> asyncio.Task[None]:
    """Somebody who tries to enter, has shaken hands, and waits to be let in."""
    waits = asyncio.Event()

    class Caller(asyncssh.SSHClient):
        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
            waits.set()
            return True

    entering = asyncio.create_task(enter(server, director, client_factory=Caller, known_hosts=([], [], [])))
    async with asyncio.timeout(10):
        await waits.wait()
    return entering


async def test_every_director_answers_the_programs_own_client(ring: Ring) -> None:
    answers = await ring.on_every(doveadm.ring_status())
    own = [None if isinstance(each, Exception) else each.value.self_peer for each in answers.values()]
    assert [each and each.ip for each in own] == ["10.0.0.11", "10.0.0.12", "10.0.0.13"]


async def test_another_key_is_refused(server: PracticeServer, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(stranger)
    stranger.chmod(0o600)
    ssh = Ssh(known_hosts=server.known_hosts, identity=stranger, ssh_config=server.ssh_config)
    with pytest.raises(AuthenticationFailed):
        await ssh.connect(server.destinations[0])
    await ssh.close()


@pytest.mark.parametrize("others", [{"username": "root"}, {"client_keys": None, "password": "demo"}])
async def test_another_user_or_a_password_is_refused(server: PracticeServer, others: dict[str, Any]) -> None:
    with pytest.raises(asyncssh.PermissionDenied):
        async with connect(server, **others):
            pass


async def test_the_host_keys_are_really_checked(server: PracticeServer, tmp_path: Path) -> None:
    lines = server.known_hosts.read_text().splitlines()
    assert len({line.split()[2] for line in lines}) == 4
    swapped = tmp_path / "known_hosts"
    swapped.write_text(f"{lines[0].split()[0]} {lines[1].partition(' ')[2]}\n")
    ssh = Ssh(known_hosts=swapped, identity=server.identity, ssh_config=server.ssh_config)
    with pytest.raises(HostKeyError):
        await ssh.connect(server.destinations[0])
    await ssh.close()


async def test_a_command_gives_output_errors_and_status_apart(connection: asyncssh.SSHClientConnection) -> None:
    done = await connection.run("env TZ=UTC LC_ALL=C sudo -n doveadm -f tab director status -- 'a b' \"it's\"")
    assert (done.exit_status, done.stdout, done.stderr) == (
        0,
        "status\texpires\thashed\tinitial-config\nn/a\t-1\t\t\n",
        "",
    )
    done = await connection.run("env TZ=UTC doveadm -f tab director status -x")
    assert (done.exit_status, done.stdout, done.stderr) == (64, "\n", "status: invalid option -- 'x'\n")


@pytest.mark.parametrize(
    ("command", "status", "stderr"),
    [
        ("id", 127, "sh: 1: id: not found\n"),
        ("env LC_ALL=C id; doveadm", 127, "env: 'id;': No such file or directory\n"),
        ("env TZ=UTC sudo -n id", 1, "sudo: id: command not found\n"),
        ("doveadm 'director", 2, "sh: 1: Syntax error: Unterminated quoted string\n"),
    ],
)
async def test_there_is_no_other_program_and_no_shell_that_reads_the_words(
    connection: asyncssh.SSHClientConnection, command: str, status: int, stderr: str
) -> None:
    done = await connection.run(command)
    assert (done.exit_status, done.stdout, done.stderr) == (status, "", stderr)


async def test_there_is_no_shell_terminal_forwarding_or_file_transfer(connection: asyncssh.SSHClientConnection) -> None:
    shell = await connection.run(None, stdin=asyncssh.DEVNULL)
    assert (shell.exit_status, shell.stdout) == (1, "")
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.run("doveadm", term_type="xterm")
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.open_connection("127.0.0.1", 22)
    with pytest.raises(asyncssh.ChannelOpenError):
        await connection.open_unix_connection("/run/dovecot/director-admin")
    with pytest.raises(asyncssh.ChannelListenError):
        await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", 22)
    with pytest.raises((asyncssh.Error, OSError)):
        await connection.start_sftp_client()


def in_shell(*, go_on: bool = False) -> str:
    return shlex.join((*doveadm.ENVIRONMENT, *doveadm.one_after_the_other("MARK", go_on=go_on)))


async def test_the_shell_answers_each_line_as_it_comes(connection: asyncssh.SSHClientConnection) -> None:
    hash_ = user_hash("it's")
    async with connection.create_process(in_shell()) as shell, asyncio.timeout(10):
        assert await shell.stdout.readuntil("ready\n") == "\nMARK ready\n"
        shell.stdin.write("env TZ=UTC doveadm director update 10.1.0.1 7\n")
        assert await shell.stdout.readuntil(" 0\n") == "\nMARK 0\n"
        shell.stdin.write("sudo -n doveadm -f tab director map -u -- 'it'\"'\"'s'\n")
        assert await shell.stdout.readuntil(" 0\n") == f"hash\n{hash_}\n\nMARK 0\n"
        shell.stdin.write("doveadm director down 192.0.2.77\ndoveadm director down 10.1.0.1\n")
        done = await shell.wait()
    assert (done.exit_status, done.stdout) == (68, "\nMARK 68\n")
    assert done.stderr == "\nMARK\n\nMARK\n\nMARK\nError: 192.0.2.77: doesn't exist\n\nMARK\n"
    status = await connection.run("doveadm -h -f tab director status")
    assert str(status.stdout).splitlines()[0].split("\t")[:4] == ["10.1.0.1", "", "7", "up"]


async def test_the_shell_goes_on_if_it_is_to_and_ends_with_its_input(connection: asyncssh.SSHClientConnection) -> None:
    lines = "doveadm director down 192.0.2.77\nid\ndoveadm director down 10.1.0.1\ndoveadm director down 10.1.0.2"
    done = await connection.run(in_shell(go_on=True), input=lines)
    assert done.exit_status == 0
    assert done.stdout == "\nMARK ready\n\nMARK 68\n\nMARK 127\n\nMARK 0\n"
    assert "\nMARK: 1: eval: id: not found\n" in str(done.stderr)
    status = await connection.run("doveadm -h -f tab director status")
    assert [line.split("\t")[3] for line in str(status.stdout).splitlines()[:2]] == ["down", "up"]


async def test_another_script_is_not_run(connection: asyncssh.SSHClientConnection) -> None:
    done = await connection.run(in_shell().replace("ready", "steady"))
    assert (done.exit_status, done.stdout, done.stderr) == (127, "", "env: 'sh': No such file or directory\n")


class Watched(PracticeRing):
    """Says when a command has been begun."""

    def __init__(self) -> None:
        super().__init__(users=0, start=START)
        self.begun = asyncio.Event()

    def start(self, director: int, argv: Sequence[str]) -> Running:
        self.begun.set()
        return super().start(director, argv)


@pytest.mark.parametrize("go_on", [False, True])
async def test_a_shell_whose_client_disappears_begins_nothing_more_unless_it_is_to_go_on(go_on: bool) -> None:
    ring = Watched()
    ring.stall(2)
    async with await serve(ring) as server, asyncio.timeout(10):
        async with connect(server) as client:
            shell = await client.create_process(in_shell(go_on=go_on))
            shell.stdin.write("doveadm director update 10.1.0.1 7\ndoveadm director update 10.1.0.2 7\n")
            if go_on:
                shell.stdin.write_eof()
            await ring.begun.wait()
            client.abort()
        async with connect(server) as client:
            ring.go_on()
            assert (await client.run("doveadm director update 10.1.0.3 7")).exit_status == 0
            await until(lambda: not go_on or ring.backends[1].vhosts == 7)
    assert [each.vhosts == 7 for each in ring.backends[:3]] == [True, go_on, True]


async def test_a_command_whose_client_disappears_goes_on() -> None:
    ring = Watched()
    for number in range(1, 500):
        ring.assign(number * 8_000_000, "10.1.0.1")
    ring.set_vhosts("10.1.0.1", 0)
    async with await serve(ring) as server, asyncio.timeout(10):
        async with connect(server) as client:
            await client.create_process("doveadm director flush 10.1.0.1")
            await ring.begun.wait()
            client.abort()
        async with connect(server):
            ring.advance(20)
    assert ring.backends[0].users == 0


async def test_commands_take_the_rings_own_time() -> None:
    ring = PracticeRing(users=0, start=START)
    for number in range(1, 300):
        ring.assign(number * 14_000_000, "10.1.0.1")
    ring.set_vhosts("10.1.0.1", 0)
    async with await serve(ring, speed=600) as server, connect(server) as client, asyncio.timeout(10):
        done = await client.run("doveadm director flush --max-parallel 10 10.1.0.1")
    assert (done.exit_status, ring.backends[0].users) == (0, 0)
    assert ring.now - START >= timedelta(seconds=58)


async def test_commands_side_by_side_take_no_longer_than_one(connection: asyncssh.SSHClientConnection) -> None:
    done = await asyncio.gather(*(connection.run("doveadm -f tab director status") for _ in range(10)))
    assert {each.exit_status for each in done} == {0}


async def test_time_passes_by_itself_at_its_speed() -> None:
    five_minutes_later = asyncio.Event()

    class Watched(PracticeRing):
        def advance(self, seconds: float) -> None:
            super().advance(seconds)
            if self.now >= START + timedelta(seconds=300):
                five_minutes_later.set()

    async with await serve(Watched(users=500, start=START), speed=600):
        async with asyncio.timeout(10):
            await five_minutes_later.wait()
    assert "practice ring" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_severed_director_breaks_off_refuses_and_comes_back(server: PracticeServer, ring: Ring) -> None:
    before = addresses(server)
    assert (await ring.on_one(doveadm.status())).director == ring.links[0].name
    await server.sever(0)
    assert (await ring.on_one(doveadm.status())).director == ring.links[1].name
    with pytest.raises(ConnectionRefusedError):
        await enter(server)
    await server.restore(0)
    assert addresses(server) == before
    await enter(server)
    ring.retry_now()
    answers = await ring.on_every(doveadm.status())
    assert not any(isinstance(each, LinkError) for each in answers.values())


async def test_a_frozen_director_lets_nothing_end_until_it_is_restored(server: PracticeServer) -> None:
    async with connect(server) as before:
        server.freeze(0)
        asking = asyncio.create_task(before.run("doveadm -f tab director status"))
        entering = asyncio.create_task(enter(server))
        async with connect(server, 1) as other:
            expected = await other.run("doveadm -f tab director status")
        assert not asking.done()
        assert not entering.done()
        await server.restore(0)
        assert (await asking).stdout == expected.stdout
        await entering


async def test_a_frozen_director_can_be_severed_and_closed(practice: PracticeRing) -> None:
    async with await serve(practice) as server:
        server.freeze(0)
        server.freeze(1)
        entering = await at_the_door(server, 0)
        await server.sever(0)
        with pytest.raises((asyncssh.Error, OSError)):
            await entering
        entering = await at_the_door(server, 1)
    with pytest.raises((asyncssh.Error, OSError)):
        await entering


async def test_the_keys_are_private_and_gone_at_the_end(practice: PracticeRing) -> None:
    server = await serve(practice)
    folder = server.identity.parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert server.identity.stat().st_mode & 0o777 == 0o600
    assert [host for host, _ in addresses(server)] == ["127.0.0.1"] * 3
    await server.close()
    await server.close()
    assert not folder.exists()
