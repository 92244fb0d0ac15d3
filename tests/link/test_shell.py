"""A remote shell that runs one command after the other, and what stands in its place where there is none."""

from __future__ import annotations

import asyncio
import itertools
import shlex
from typing import TYPE_CHECKING, cast

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.director.doveadm import ENVIRONMENT, RING_SYNC_TIMED_OUT
from director_tui.errors import ConnectionLost, MalformedOutput, NoAnswer, SessionRefused, ShellRefused
from director_tui.link import ssh as ssh_module
from director_tui.link import ssh_session
from director_tui.link.ssh_shell import Shell
from tests.link.ssh_setup import host_block, until, write_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from director_tui.link.ssh import Connection
    from tests.link.conftest import MakeSsh
    from tests.ring.fixtures import MakeSshd
    from tests.ring.sshd import Sshd


async def connected(make_ssh: MakeSsh, folder: Path, sshd: Sshd) -> Connection:
    return await make_ssh(write_config(folder / "config", [host_block(sshd)])).connect(sshd.name)


async def test_commands_run_in_order_in_one_session(make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    shell = await connection.open_shell()
    one = await shell.run(["sh", "-c", "printf 'no line end'; echo warned >&2; echo $PPID >there"])
    assert (one.status, one.stdout, one.stderr) == (0, b"no line end", b"warned\n")
    replies = [shell.send(["sh", "-c", f"echo {number}; exit {number // 3 * 7}"]) for number in range(5)]
    await asyncio.wait([shell.ended])
    assert [(await reply).stdout for reply in replies[:4]] == [b"0\n", b"1\n", b"2\n", b"3\n"]
    assert (await replies[3]).status == 7
    with pytest.raises(ConnectionLost, match="went away before the command ended"):
        await replies[4]  # behind one that failed
    with pytest.raises(ConnectionLost):
        await shell.run(["true"])
    assert not connection.lost
    assert connection.abandoned == 0


async def test_a_shell_that_goes_on_does_so_until_it_is_told_that_nothing_comes(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    shell = await connection.open_shell(go_on=True)
    ending = [shell.send(["sh", "-c", f"echo aside >&2; exit {number}"]) for number in (3, 0, 255)]
    reading = shell.send(["cat"])
    printing = shell.send(["printf", r"\n\nx\n"])
    shell.finish()
    assert [(await one).status for one in ending] == [3, 0, 255]
    assert {(await one).stderr for one in ending} == {b"aside\n"}
    assert (await reading).stdout == b"", "a command reads what is meant for the shell"
    assert (await printing).stdout == b"\n\nx\n"
    await asyncio.wait([shell.ended])
    assert not shell.idle


async def test_a_shell_that_goes_on_ends_where_the_ring_is_not_synced(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    shell = await connection.open_shell(go_on=True)
    well = shell.send(["sh", "-c", f"echo {RING_SYNC_TIMED_OUT} >&2"])
    failed = shell.send(["sh", "-c", f"echo 'Error: 10.1.0.1: {RING_SYNC_TIMED_OUT}' >&2; exit 75"])
    after = shell.send(["true"])
    shell.finish()
    assert [(await one).status for one in (well, failed)] == [0, 75]
    with pytest.raises(ConnectionLost):
        await after


ODD_WORDS = ["", "a  b", "*", "$(id)", "`id`", "o'neill", 'a"b\\n', "!!", "-e", "~", "ключ ёЁЂ", "日本", "\udce9\udc81"]


@pytest.mark.parametrize("login_shell", ["", "bash", "dash"])
async def test_words_arrive_as_they_are(
    login_shell: str, make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    forced = f'ForceCommand {login_shell} -c "$SSH_ORIGINAL_COMMAND"'
    connection = await connected(make_ssh, tmp_path, make_sshd(extra=[forced] if login_shell else []))
    shell = await connection.open_shell()
    reply = await shell.run(["printf", "%s\\0", *ODD_WORDS])
    assert reply.stdout.decode("utf-8", "surrogateescape").split("\0") == [*ODD_WORDS, ""]
    every_byte = "".join(chr(0xDC00 + code) for code in range(0x80, 0x100))
    assert (await shell.run(["printf", "%s", every_byte])).stdout == bytes(range(0x80, 0x100))


async def test_no_command_is_two_lines(make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    shell = await connection.open_shell()
    for word in ("a\nb", "a\0b"):
        with pytest.raises(ValueError, match="line break"):
            await shell.run(["echo", word])
    assert (await shell.run(["echo", "a"])).stdout == b"a\n"


async def test_whoever_waits_no_longer_loses_nothing_for_the_next(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    shell = await connection.open_shell()
    gate = tmp_path / "gate"
    waiting = asyncio.create_task(shell.run(["sh", "-c", f"mkfifo {gate}; read line <{gate}; echo first"]))
    await until(gate.exists)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert not shell.idle
    second = shell.send(["echo", "second"])
    gate.write_text("go\n")
    assert (await second).stdout == b"second\n"


@pytest.mark.parametrize(
    ("forced", "why"),
    [
        ("exit 3", "it ended with exit status 3"),
        ("echo only doveadm here >&2; exit 1", "it ended with exit status 1: only doveadm here"),
        ("true", "it ended with exit status 0"),
        ("echo Welcome; exec sh", "it began with Welcome"),
        ("printf '\\n\\n'; exec sleep 60", "it began with an empty line"),
    ],
)
async def test_no_shell(forced: str, why: str, make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path) -> None:
    sshd = make_sshd(extra=[f"ForceCommand {forced}"])
    connection = await connected(make_ssh, tmp_path, sshd)
    with pytest.raises(ShellRefused) as caught:
        await connection.open_shell()
    assert why in str(caught.value)
    assert str(caught.value).startswith(f"{sshd.name}: ")
    assert not connection.lost


async def test_what_is_noisy_on_standard_error_alone_is_a_shell(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    forced = 'ForceCommand echo "bash: warning: setlocale" >&2; sh -c "$SSH_ORIGINAL_COMMAND"'
    connection = await connected(make_ssh, tmp_path, make_sshd(extra=[forced]))
    reply = await (await connection.open_shell()).run(["sh", "-c", "echo fine >&2"])
    assert reply.stderr == b"fine\n"


async def test_a_shell_that_never_greets_is_given_up(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_module, "GREETING_LIMIT_S", 0.3)
    connection = await connected(make_ssh, tmp_path, make_sshd(extra=["ForceCommand cat"]))
    with pytest.raises(ShellRefused, match=r"not ready after 0\.3 s"):
        await connection.open_shell()
    assert connection.abandoned == 1


async def test_a_connection_that_goes_is_no_refusal(make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path) -> None:
    sshd = make_sshd()
    connection = await connected(make_ssh, tmp_path, sshd)
    shell = await connection.open_shell()
    waiting = shell.send(["sleep", "60"])
    sshd.kill_sessions()
    with pytest.raises(ConnectionLost):
        await waiting
    with pytest.raises(ConnectionLost):
        await connection.open_shell()


async def test_a_shell_that_is_killed_leaves_no_result(make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    shell = await connection.open_shell()
    with pytest.raises(ConnectionLost):
        await shell.run(["sh", "-c", "kill -9 $PPID"])
    assert shell.status == 137
    assert not connection.lost


async def test_endless_output_of_one_command(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_session, "OUTPUT_LIMIT_BYTES", 1 << 20)
    connection = await connected(make_ssh, tmp_path, make_sshd())
    shell = await connection.open_shell(go_on=True)
    much = shell.send(["sh", "-c", "head -c 3000000 /dev/zero; echo end; exit 4"])
    after = shell.send(["echo", "after"])
    shell.finish()
    with pytest.raises(MalformedOutput, match="printed more than 1 MiB"):
        await much
    assert (await after).stdout == b"after\n"


async def test_a_shell_takes_no_session_from_what_runs_by_itself(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd(extra=["MaxSessions 1"]))
    shell = await connection.open_shell()
    with pytest.raises(SessionRefused):
        await connection.run(["true"], 5)
    assert not shell.ended.done(), "only what is kept for readings gives way"
    shell.finish()
    assert (await connection.run(["true"], 5)).status == 0


# What is asked again and again.


WHO_RUNS_IT = "cat /proc/$PPID/cmdline"


async def polled(connection: Connection, command: str = WHO_RUNS_IT, limit_s: float = 5) -> bytes:
    return (await connection.run(["sh", "-c", command], limit_s, kept=True)).stdout


async def through_the_shell(connection: Connection) -> bool:
    return (await polled(connection)).startswith(b"sh\0")


async def settled(connection: Connection) -> None:
    """Poll until there is a shell."""
    async with asyncio.timeout(10):
        while not await through_the_shell(connection):
            pass


async def test_what_is_asked_again_goes_through_one_shell(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    assert not await through_the_shell(connection)
    await settled(connection)
    shell = await polled(connection)
    answers = await asyncio.gather(*(polled(connection) for _ in range(3)))
    assert [one == shell for one in answers] == [True, False, False], "one waited for another"
    assert await polled(connection) == shell
    other = (await connection.run(["sh", "-c", WHO_RUNS_IT], 5)).stdout
    assert other == answers[1]


async def test_what_goes_through_the_shell_needs_no_process_that_sets_its_environment(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    env = tmp_path / "env"
    env.write_text(f'#!/bin/sh\necho x >>{asked}\nexec /usr/bin/env "$@"\n')
    env.chmod(0o700)
    connection = await connected(make_ssh, tmp_path, make_sshd(extra=[f"SetEnv PATH={tmp_path}:/usr/bin:/bin"]))
    await settled(connection)

    async def polled_behind_env() -> bytes:
        words = [*ENVIRONMENT, "sh", "-c", 'echo "$TZ $LC_ALL"']
        return (await connection.run(words, 5, kept=True)).stdout

    assert [await polled_behind_env() for _ in range(3)] == [b"UTC C\n"] * 3
    assert asked.read_text() == "x\n", "the first one, which shows that it is a program of that name"


async def test_a_poll_that_hangs_costs_the_shell_and_no_other_call(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    await settled(connection)
    hanging = asyncio.create_task(polled(connection, "sleep 60", 0.5))
    await asyncio.sleep(0)
    assert not await through_the_shell(connection)
    with pytest.raises(NoAnswer, match=r"no answer within 0\.5 s"):
        await hanging
    assert connection.abandoned == 1
    assert not any([await through_the_shell(connection) for _ in range(4)])


async def test_a_shell_that_went_away_is_not_missed(make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd())
    await settled(connection)
    there = tmp_path / "there"
    killed = await polled(connection, f"test -e {there} && echo again || {{ touch {there}; kill -9 $PPID; }}")
    assert killed == b"again\n", "a reading is taken by itself then"
    assert not any([await through_the_shell(connection) for _ in range(4)])
    assert connection.abandoned == 0


async def test_where_no_shell_is_let_in_polls_go_on_by_themselves(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    let_in = 'case "$SSH_ORIGINAL_COMMAND" in echo*) $SSH_ORIGINAL_COMMAND;; *) exit 9; esac'
    forced = f"ForceCommand echo x >>{asked}; {let_in}"
    connection = await connected(make_ssh, tmp_path, make_sshd(extra=[forced]))
    for _ in range(6):
        assert (await connection.run(["echo", "in"], 5, kept=True)).stdout == b"in\n"
    await until(lambda: asked.read_text().count("x") == 7)  # six and one attempt


async def test_the_kept_shell_gives_way_where_sshd_has_one_session(
    make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path
) -> None:
    connection = await connected(make_ssh, tmp_path, make_sshd(extra=["MaxSessions 1"]))
    await polled(connection)
    await polled(connection)
    for _ in range(3):
        assert (await connection.run(["echo", "in"], 5)).stdout == b"in\n"
        assert await polled(connection)


async def test_closing_ends_the_kept_shell(make_ssh: MakeSsh, make_sshd: MakeSshd, tmp_path: Path) -> None:
    sshd = make_sshd()
    connection = await connected(make_ssh, tmp_path, sshd)
    await settled(connection)
    await connection.close()
    await until(lambda: not sshd.session_pids())


# What arrives in pieces.


class Channel:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)


class ClosedChannel(Channel):
    def write(self, data: bytes) -> None:
        raise BrokenPipeError("Channel not open for sending")


async def test_a_channel_that_closes_before_its_session_hears_of_it() -> None:
    shell = Shell("d1")
    shell.connection_made(cast("asyncssh.SSHClientChannel[bytes]", ClosedChannel()))
    with pytest.raises(ConnectionLost):
        await shell.run(["true"])


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[one:other] for one, other in itertools.pairwise(places)]


OUTPUTS = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 255)), max_size=4)
CUTS = st.lists(st.integers(0, 10_000), max_size=8)


@given(st.data())
def test_outputs_are_cut_at_the_marks_however_they_arrive(data: st.DataObject) -> None:
    outputs = data.draw(OUTPUTS)

    async def heard() -> list[tuple[bytes, bytes, int]]:
        shell = Shell("d1", go_on=True)
        shell.connection_made(cast("asyncssh.SSHClientChannel[bytes]", Channel()))
        mark = shell.words[3].encode()
        replies = [shell.send(["x"]) for _ in outputs]
        stdout, stderr = b"\n%s ready\n" % mark, b"\n%s\n" % mark
        for printed, warned, status in outputs:
            stdout += printed + b"\n%s %d\n" % (mark, status)
            stderr += warned + b"\n%s\n" % mark
        streams = {
            None: pieces(stdout, data.draw(CUTS)),
            asyncssh.EXTENDED_DATA_STDERR: pieces(stderr, data.draw(CUTS)),
        }
        while left := [kind for kind, stream in streams.items() if stream]:
            kind = data.draw(st.sampled_from(left))
            shell.data_received(streams[kind].pop(0), kind)
        await shell.greeting
        return [(one.stdout, one.stderr, one.status) for one in [await reply for reply in replies]]

    assert asyncio.run(heard()) == outputs


def test_the_mark_of_one_shell_is_none_of_the_next() -> None:
    async def words() -> list[str]:
        return [shlex.join(Shell("d1").words) for _ in range(2)]

    one, other = asyncio.run(words())
    assert one != other
