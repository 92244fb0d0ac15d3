"""Connections against a real sshd: logging in, running, losing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
import traceback
from typing import TYPE_CHECKING

import pytest

from director_tui.errors import (
    AuthenticationFailed,
    ConfigError,
    ConnectionLost,
    HostKeyUnknown,
    NoAnswer,
    SessionRefused,
    Unreachable,
)
from director_tui.link import ssh as ssh_module
from director_tui.link import ssh_login
from tests.link.ssh_setup import Person, host_block, until, write_config
from tests.ring.sshd import Agent, make_key

if TYPE_CHECKING:
    from pathlib import Path

    from director_tui.link.questions import Question
    from director_tui.link.ssh import Connection
    from tests.link.conftest import MakeSsh
    from tests.ring.fixtures import MakeSshd
    from tests.ring.sshd import Sshd


@pytest.fixture
def sshd(make_sshd: MakeSshd) -> Sshd:
    return make_sshd()


@pytest.fixture
async def connection(sshd: Sshd, make_ssh: MakeSsh) -> Connection:
    return await make_ssh(sshd.ssh_config).connect(sshd.name)


# Running.


async def test_words_arrive_as_they_are(connection: Connection) -> None:
    words = ["it's", 'a "b"', "; touch x", "$(id)", "`id`", "a\\b", "*", "", "-n", "ä\udcff", "~", "!!"]
    reply = await connection.run(["printf", "%s\\0", *words], 5)
    assert reply.stdout.decode("utf-8", "surrogateescape").split("\0") == [*words, ""]
    assert reply.status == 0


async def test_bytes_come_back_as_they_are(connection: Connection) -> None:
    everything = bytes(range(256)) * 2000
    reply = await connection.run(["cat"], 10, stdin=everything)
    assert reply.stdout == everything


async def test_status_and_both_outputs(connection: Connection) -> None:
    reply = await connection.run(["sh", "-c", "echo out; printf '\\377' >&2; exit 75"], 5)
    assert (reply.status, reply.stdout, reply.stderr) == (75, b"out\n", b"\xff")
    assert 0 < reply.elapsed_s < 5


async def test_a_signal_is_a_status_above_128(connection: Connection) -> None:
    assert (await connection.run(["sh", "-c", "kill -TERM $$"], 5)).status == 128 + signal.SIGTERM


async def test_no_terminal_and_nothing_forwarded(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_DIRECTOR", "here")
    reply = await connection.run(["sh", "-c", "tty; env"], 5)
    assert b"not a tty" in reply.stdout
    assert b"SSH_AUTH_SOCK" not in reply.stdout
    assert b"LC_DIRECTOR" not in reply.stdout


async def test_what_is_sent_often_is_cheap_to_encrypt(connection: Connection) -> None:
    ciphers = [connection._conn.get_extra_info(f"{way}_cipher") for way in ("send", "recv")]
    assert ciphers == ["aes128-gcm@openssh.com"] * 2


async def test_a_command_that_takes_too_long_is_given_up(connection: Connection) -> None:
    started = time.monotonic()
    with pytest.raises(NoAnswer, match=r"^director: no answer within 0.3 s"):
        await connection.run(["sleep", "60"], 0.3)
    assert time.monotonic() - started < 2
    assert connection.abandoned == 1
    assert (await connection.run(["true"], 5)).status == 0


async def test_cancelling_neither_waits_nor_leaks(connection: Connection, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    running = asyncio.create_task(connection.run(["sh", "-c", f"touch {begun}; exec sleep 60"], 90))
    await until(begun.exists)
    started = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - started < 1
    assert connection.abandoned == 1
    assert (await connection.run(["true"], 5)).status == 0


async def test_frozen_in_the_middle_of_a_command(sshd: Sshd, connection: Connection, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    running = asyncio.create_task(connection.run(["sh", "-c", f"touch {begun}; exec sleep 60"], 1))
    await until(begun.exists)
    sshd.freeze_sessions()
    with pytest.raises(NoAnswer):
        await running


async def test_frozen_before_the_session_opens(sshd: Sshd, connection: Connection, tmp_path: Path) -> None:
    sshd.freeze_sessions()
    started = time.monotonic()
    with pytest.raises(NoAnswer):
        await connection.run(["touch", str(tmp_path / "late")], 0.5)
    assert time.monotonic() - started < 2
    sshd.thaw_sessions()
    assert (await connection.run(["true"], 10)).status == 0
    assert not (tmp_path / "late").exists()  # a command that was given up does not start when the host wakes up


async def test_frozen_for_long_is_lost(sshd: Sshd, make_ssh: MakeSsh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("director_tui.link.ssh_config.KEEPALIVE_S", 0.2)
    connection = await make_ssh(sshd.ssh_config).connect(sshd.name)
    sshd.freeze_sessions()
    with pytest.raises(ConnectionLost, match="lost"):
        await connection.run(["true"], 30)
    async with asyncio.timeout(1):
        await connection.wait_lost()


async def test_closing_a_frozen_connection_is_quick(sshd: Sshd, connection: Connection) -> None:
    sshd.freeze_sessions()
    with pytest.raises(NoAnswer):
        await connection.run(["true"], 0.1)
    started = time.monotonic()
    await connection.close()
    assert time.monotonic() - started < 3
    assert connection.lost


async def test_a_killed_session_is_a_lost_connection(sshd: Sshd, connection: Connection, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    running = asyncio.create_task(connection.run(["sh", "-c", f"touch {begun}; exec sleep 60"], 30))
    await until(begun.exists)
    sshd.kill_sessions()
    with pytest.raises(ConnectionLost, match="the connection was lost before the command ended"):
        await running
    async with asyncio.timeout(5):
        await connection.wait_lost()
    assert connection.lost
    with pytest.raises(ConnectionLost):
        await connection.run(["true"], 5)


async def test_no_further_session(make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd = make_sshd(extra=["MaxSessions 1"])
    connection = await make_ssh(sshd.ssh_config).connect(sshd.name)
    begun, end = tmp_path / "begun", tmp_path / "end"
    script = f"touch {begun}; while ! [ -e {end} ]; do sleep 0.02; done"
    running = asyncio.create_task(connection.run(["sh", "-c", script], 30))
    await until(begun.exists)
    with pytest.raises(SessionRefused, match="sshd opens no further session"):
        await connection.run(["true"], 5)
    end.touch()
    assert (await running).status == 0
    assert not connection.lost
    assert (await connection.run(["true"], 5)).status == 0


async def test_four_at_a_time_and_the_rest_waits(connection: Connection, tmp_path: Path) -> None:
    end = tmp_path / "end"
    script = f"touch {tmp_path}/begun$0; while ! [ -e {end} ]; do sleep 0.02; done"
    running = [asyncio.create_task(connection.run(["sh", "-c", script, str(n)], 30)) for n in range(4)]
    await until(lambda: len(list(tmp_path.glob("begun*"))) == 4)
    with pytest.raises(NoAnswer):
        await connection.run(["true"], 0.2)
    assert connection.abandoned == 0  # it had not been sent
    end.touch()
    assert [(await task).status for task in running] == [0, 0, 0, 0]


async def test_nothing_is_written_to_the_terminal(
    sshd: Sshd, make_ssh: MakeSsh, capfd: pytest.CaptureFixture[str]
) -> None:
    connection = await make_ssh(sshd.ssh_config).connect(sshd.name)
    sshd.kill_sessions()
    await connection.wait_lost()
    assert capfd.readouterr() == ("", "")


# Reaching.


async def test_user_host_and_port(sshd: Sshd, make_ssh: MakeSsh) -> None:
    connection = await make_ssh(sshd.ssh_config).connect(sshd.destination)
    assert connection.destination == sshd.destination
    assert (await connection.run(["true"], 5)).status == 0


async def test_nobody_listens(make_ssh: MakeSsh, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        config = write_config(tmp_path / "config", ["UserKnownHostsFile none\n"])
        with pytest.raises(Unreachable, match=rf"^127.0.0.1:{port}: 127.0.0.1 port {port} refuses the connection"):
            await make_ssh(config, known_hosts=tmp_path / "kh").connect(f"127.0.0.1:{port}")


async def test_a_name_that_nobody_knows(make_ssh: MakeSsh, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config", [])
    with pytest.raises(Unreachable, match=r"the name no-such-host\.invalid is not known"):
        await make_ssh(config, known_hosts=tmp_path / "kh").connect("no-such-host.invalid")


@pytest.mark.parametrize("name", ["a..b", "a" * 70 + ".invalid"])
async def test_a_name_that_can_be_none(name: str, make_ssh: MakeSsh, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config", [])
    with pytest.raises(Unreachable, match=rf"the name {name} is not known \(names in the DNS are not like that\)"):
        await make_ssh(config, known_hosts=tmp_path / "kh").connect(name)


async def test_connected_but_silent(sshd: Sshd, make_ssh: MakeSsh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_login, "LOGIN_LIMIT_S", 0.3)
    sshd.freeze()
    try:
        with pytest.raises(NoAnswer, match=r"the login did not end within 0\.3 s"):
            await make_ssh(sshd.ssh_config).connect(sshd.name)
    finally:
        sshd.thaw()


async def test_cancelled_while_connecting(sshd: Sshd, make_ssh: MakeSsh) -> None:
    sshd.freeze()
    connecting = asyncio.create_task(make_ssh(sshd.ssh_config).connect(sshd.name))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(connecting, 0.3)
    sshd.thaw()
    await until(lambda: not sshd.session_pids())


@pytest.mark.parametrize("destination", ["-oProxyCommand=touch x", "-F/dev/null", "a b", "$(id)", "", "ops@", "a:0x1"])
async def test_a_destination_is_never_an_option(destination: str, make_ssh: MakeSsh, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no SSH destination"):
        await make_ssh(write_config(tmp_path / "config", [])).connect(destination)


async def test_a_wrong_configuration_is_named_with_its_line(make_ssh: MakeSsh, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config", ["Host x\n  Port 22\n  Frobnicate yes\n"])
    with pytest.raises(ConfigError, match=r"config: line 3: Bad configuration option: frobnicate"):
        await make_ssh(config).connect("x")


@pytest.mark.parametrize("openssh", [True, False])
async def test_with_and_without_openssh(
    openssh: bool, sshd: Sshd, make_ssh: MakeSsh, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not openssh:
        monkeypatch.setattr(ssh_module, "find_ssh", lambda: None)
    connection = await make_ssh(sshd.ssh_config).connect(sshd.name)
    assert (await connection.run(["true"], 5)).status == 0
    sshd.known_hosts.write_text("")
    with pytest.raises(HostKeyUnknown):
        await make_ssh(sshd.ssh_config).connect(sshd.name)


async def test_without_openssh_a_wrong_configuration_is_named(
    make_ssh: MakeSsh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_module, "find_ssh", lambda: None)
    config = write_config(tmp_path / "config", ["Host x\n  Port nothing\n"])
    with pytest.raises(ConfigError, match=r"config.*line 2"):
        await make_ssh(config).connect("x")


# Jump hosts and proxy commands.


@pytest.fixture
def jump(make_sshd: MakeSshd, tmp_path: Path) -> tuple[Sshd, list[Sshd], Path]:
    """A jump host, two hosts behind it, and a configuration for all three."""
    bastion = make_sshd("bastion")
    hosts = [make_sshd("d1"), make_sshd("d2")]
    blocks = [host_block(bastion), *(host_block(host, "ProxyJump bastion") for host in hosts)]
    return bastion, hosts, write_config(tmp_path / "config", blocks)


async def test_one_connection_to_a_jump_host(jump: tuple[Sshd, list[Sshd], Path], make_ssh: MakeSsh) -> None:
    bastion, _, config = jump
    ssh = make_ssh(config)
    first, second = await asyncio.gather(ssh.connect("d1"), ssh.connect("d2"))
    assert (await first.run(["true"], 5)).status == (await second.run(["true"], 5)).status == 0
    assert bastion.log_text().count("Accepted publickey") == 1
    await first.close()
    assert (await second.run(["true"], 5)).status == 0
    await second.close()
    await until(lambda: not bastion.session_pids())
    third = await ssh.connect("d1")
    assert (await third.run(["true"], 5)).status == 0


async def test_a_lost_jump_host_loses_what_is_behind_it(jump: tuple[Sshd, list[Sshd], Path], make_ssh: MakeSsh) -> None:
    bastion, _, config = jump
    ssh = make_ssh(config)
    connection = await ssh.connect("d1")
    bastion.kill_sessions()
    async with asyncio.timeout(5):
        await connection.wait_lost()
    again = await ssh.connect("d1")
    assert (await again.run(["true"], 5)).status == 0


async def test_the_key_of_a_jump_host_is_checked(jump: tuple[Sshd, list[Sshd], Path], make_ssh: MakeSsh) -> None:
    bastion, _, config = jump
    bastion.known_hosts.write_text("")
    with pytest.raises(HostKeyUnknown, match=r"^jump host bastion: ") as caught:
        await make_ssh(config).connect("d1")
    assert caught.value.fingerprint == bastion.fingerprint


async def test_a_jump_host_that_gets_no_further(jump: tuple[Sshd, list[Sshd], Path], make_ssh: MakeSsh) -> None:
    bastion, hosts, config = jump
    hosts[0].stop()
    with pytest.raises(Unreachable, match=r"^d1: jump host bastion can't connect to 127\.0\.0\.1 port"):
        await make_ssh(config).connect("d1")
    await until(lambda: not bastion.session_pids())


async def test_two_jumps(jump: tuple[Sshd, list[Sshd], Path], make_ssh: MakeSsh, tmp_path: Path) -> None:
    bastion, hosts, _ = jump
    blocks = [host_block(bastion), host_block(hosts[0]), host_block(hosts[1], "ProxyJump bastion,d1")]
    connection = await make_ssh(write_config(tmp_path / "two", blocks)).connect("d2")
    assert (await connection.run(["true"], 5)).status == 0
    assert "Accepted publickey" in bastion.log_text()
    assert "Accepted publickey" in hosts[0].log_text()


async def test_jumps_in_a_circle(sshd: Sshd, make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path) -> None:
    other = make_sshd("other")
    blocks = [host_block(sshd, "ProxyJump other"), host_block(other, f"ProxyJump {sshd.name}")]
    with pytest.raises(ConfigError, match="jump hosts after each other"):
        await make_ssh(write_config(tmp_path / "circle", blocks)).connect(sshd.name)


async def test_proxy_command(jump: tuple[Sshd, list[Sshd], Path], make_ssh: MakeSsh, tmp_path: Path) -> None:
    bastion, hosts, _ = jump
    command = f"ProxyCommand {' '.join(bastion.ssh_argv()[:3])} -W %h:%p bastion"
    connection = await make_ssh(write_config(tmp_path / "proxy", [host_block(hosts[0], command)])).connect("d1")
    assert (await connection.run(["true"], 5)).status == 0
    await connection.close()
    await until(lambda: not bastion.session_pids())


async def test_a_failing_proxy_command_is_quoted_and_kept_off_the_screen(
    sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = r"ProxyCommand printf 'no route to %h\033[31m\n' >&2"
    with pytest.raises(Unreachable, match=r"ProxyCommand failed: no route to 127\.0\.0\.1\ufffd"):
        await make_ssh(write_config(tmp_path / "config", [host_block(sshd, command)])).connect(sshd.name)
    assert capfd.readouterr() == ("", "")


# Keys.


async def test_a_passphrase_is_asked_once_for_two_hosts(make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    key = make_key(tmp_path / "locked", "open sesame")
    hosts = [make_sshd("d1", client_key=key), make_sshd("d2", client_key=key)]
    config = write_config(tmp_path / "config", map(host_block, hosts))
    person = Person("open sesame")
    ssh = make_ssh(config, ask=person)
    first, second = await asyncio.gather(ssh.connect("d1"), ssh.connect("d2"))
    assert (await first.run(["true"], 5)).status == (await second.run(["true"], 5)).status == 0
    await ssh.connect("d1")
    (question,) = person.questions
    assert question.title == f"Passphrase for {key}"
    assert question.secret


async def test_a_passphrase_for_a_key_without_its_public_file(
    make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    key = make_key(tmp_path / "locked", "open sesame")
    host = make_sshd("d1", client_key=key)
    key.with_suffix(".pub").unlink()
    person = Person("open sesame")
    await make_ssh(write_config(tmp_path / "config", [host_block(host)]), ask=person).connect("d1")
    assert len(person.questions) == 1


async def test_a_wrong_passphrase_is_asked_again_and_shown_nowhere(
    make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = make_key(tmp_path / "locked", "open sesame")
    host = make_sshd("d1", client_key=key)
    config = write_config(tmp_path / "config", [host_block(host)])
    person = Person("wrong-1", "open sesame")
    await make_ssh(config, ask=person).connect("d1")
    assert [question.prompt for question in person.questions] == ["Passphrase:", "That was not it. Passphrase:"]
    person = Person("wrong-1", "wrong-2", "wrong-3", "open sesame")
    ssh = make_ssh(config, ask=person)
    with pytest.raises(AuthenticationFailed) as caught:
        await ssh.connect("d1")
    assert len(person.questions) == 3
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "wrong-" not in shown + caplog.text + repr(vars(ssh))
    assert "was not unlocked" in caught.value.remedy


async def test_nobody_is_asked_for_a_key_that_the_host_does_not_take(
    sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    locked = make_key(tmp_path / "locked", "open sesame")
    config = write_config(tmp_path / "config", [host_block(sshd, identity=locked)])
    person = Person("open sesame")
    with pytest.raises(AuthenticationFailed, match=r"login as .*@127\.0\.0\.1 refused; tried .*locked"):
        await make_ssh(config, ask=person).connect(sshd.name)
    assert person.questions == []


async def test_an_open_key_is_tried_before_a_locked_one(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    locked = make_key(tmp_path / "locked", "open sesame")
    config = write_config(tmp_path / "config", [host_block(sshd, f"IdentityFile {locked}")])
    person = Person()
    await make_ssh(config, ask=person).connect(sshd.name)
    assert person.questions == []


async def test_declining_and_nobody_there(make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    key = make_key(tmp_path / "locked", "open sesame")
    host = make_sshd("d1", client_key=key)
    config = write_config(tmp_path / "config", [host_block(host)])
    with pytest.raises(AuthenticationFailed):
        await make_ssh(config, ask=Person(None)).connect("d1")
    with pytest.raises(AuthenticationFailed) as caught:
        await make_ssh(config).connect("d1")
    assert "ssh-add" in caught.value.remedy


async def test_the_login_does_not_time_out_while_a_person_thinks(
    make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_login, "LOGIN_LIMIT_S", 1.0)
    key = make_key(tmp_path / "locked", "open sesame")
    host = make_sshd("d1", client_key=key)

    async def slow(question: Question) -> str | None:
        later = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(1.5, later.set_result, None)
        await later
        return "open sesame"

    config = write_config(tmp_path / "config", [host_block(host)])
    connection = await make_ssh(config, ask=slow).connect("d1")
    assert (await connection.run(["true"], 5)).status == 0


async def test_the_agent(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_key(tmp_path / "other")
    with Agent([other, sshd.client_key]) as agent:
        settings = (f"IdentityAgent {agent.socket}", "IdentitiesOnly no")
        config = write_config(tmp_path / "agent", [host_block(sshd, *settings, identity=tmp_path / "none")])
        connection = await make_ssh(config).connect(sshd.name)
        assert (await connection.run(["true"], 5)).status == 0
        only = write_config(
            tmp_path / "only",
            [host_block(sshd, f"IdentityAgent {agent.socket}", identity=other.with_suffix(".pub"))],
        )
        with pytest.raises(AuthenticationFailed):
            await make_ssh(only).connect(sshd.name)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent.socket))
        settings = ("IdentityAgent SSH_AUTH_SOCK", "IdentitiesOnly no")
        by_environment = write_config(tmp_path / "env", [host_block(sshd, *settings, identity=tmp_path / "none")])
        await make_ssh(by_environment).connect(sshd.name)


async def test_a_dead_agent_is_like_none(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config", [host_block(sshd, f"IdentityAgent {tmp_path}/gone")])
    connection = await make_ssh(config).connect(sshd.name)
    assert (await connection.run(["true"], 5)).status == 0


async def test_identity_is_the_only_key(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    wrong = make_key(tmp_path / "wrong")
    config = write_config(tmp_path / "config", [host_block(sshd, identity=wrong)])
    connection = await make_ssh(config, identity=sshd.client_key).connect(sshd.name)
    assert (await connection.run(["true"], 5)).status == 0
    with pytest.raises(AuthenticationFailed, match="tried nothing: no key was found"):
        await make_ssh(sshd.ssh_config, identity=tmp_path / "missing").connect(sshd.name)


async def test_a_user_certificate(make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    authority, key = make_key(tmp_path / "ca"), make_key(tmp_path / "key", "open sesame")
    sshd = make_sshd(extra=[f"TrustedUserCAKeys {authority}.pub"])
    signing = await asyncio.create_subprocess_exec(
        *("ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", sshd.user, f"{key}.pub")
    )
    assert await signing.wait() == 0
    config = write_config(tmp_path / "config", [host_block(sshd, identity=key)])
    person = Person("open sesame")
    connection = await make_ssh(config, ask=person).connect(sshd.name)
    assert (await connection.run(["true"], 5)).status == 0


async def test_too_many_keys(make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd = make_sshd(extra=["MaxAuthTries 2"])
    keys = [make_key(tmp_path / f"key{number}") for number in range(4)]
    config = write_config(tmp_path / "config", [host_block(sshd, *(f"IdentityFile {key}" for key in keys))])
    with pytest.raises(AuthenticationFailed, match="after too many attempts") as caught:
        await make_ssh(config).connect(sshd.name)
    assert "IdentitiesOnly" in caught.value.remedy


async def test_an_unusable_key_is_named(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    config = write_config(tmp_path / "config", [host_block(sshd, identity=broken)])
    with pytest.raises(AuthenticationFailed) as caught:
        await make_ssh(config).connect(sshd.name)
    assert f"{broken} can't be used" in caught.value.remedy


async def test_one_question_at_a_time(make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    keys = [make_key(tmp_path / name, name) for name in ("one", "two")]
    hosts = [make_sshd(f"d{number}", client_key=key) for number, key in enumerate(keys)]
    passphrases = {f"Passphrase for {key}": key.name for key in keys}
    asking: list[Question] = []
    both = asyncio.Event()

    async def answer(question: Question) -> str | None:
        asking.append(question)
        if len(asking) > 1:
            both.set()
        with contextlib.suppress(TimeoutError):  # time for the other one to come, which it must not
            await asyncio.wait_for(both.wait(), 1)
        asking.remove(question)
        return passphrases[question.title]

    ssh = make_ssh(write_config(tmp_path / "config", map(host_block, hosts)), ask=answer)
    await asyncio.gather(*(ssh.connect(host.name) for host in hosts))
    assert not both.is_set()
