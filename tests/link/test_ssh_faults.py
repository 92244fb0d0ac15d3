"""What no real sshd does on request: a server in this process that asks, lies and breaks off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncssh
import pytest

from director_tui.errors import AuthenticationFailed, ConnectionLost, MalformedOutput, NoAnswer
from director_tui.link import ssh_login, ssh_session
from tests.link.ssh_setup import FaultyServer, OpenServer, Person, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from asyncssh.auth import KbdIntChallenge, KbdIntResponse

    from tests.link.conftest import MakeSsh


class PasswordServer(FaultyServer):
    def password_auth_supported(self) -> bool:
        return True

    def kbdint_auth_supported(self) -> bool:
        return False

    def validate_password(self, username: str, password: str) -> bool:
        return password == "correct"


class InteractiveServer(FaultyServer):
    """Asks for a password, then for a code."""

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> KbdIntChallenge:
        return "", "Welcome\x1b[2J\nhere", "", [("Pass\x1b]0;x\x07word: ", False), ("Code: ", True)]

    def validate_kbdint_response(self, username: str, responses: KbdIntResponse) -> bool:
        return list(responses) == ["correct", "123456"]


class BothServer(InteractiveServer):
    """Takes a password as well, for those who give up on the code."""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == "correct"


async def test_a_password(make_ssh: MakeSsh, tmp_path: Path) -> None:
    person = Person("wrong", "correct")
    async with serving(tmp_path, PasswordServer, _ok) as config:
        connection = await make_ssh(config, ask=person).connect("here")
        assert (await connection.run(["true"], 5)).status == 0
        await connection.close()
    title = f"ops@127.0.0.1 port {_port(config)}"
    assert [(one.title, one.prompt, one.secret) for one in person.questions] == [
        (title, "Password:", True),
        (title, "That was not it. Password:", True),
    ]


async def test_the_usual_port_is_not_named_in_a_question(
    make_ssh: MakeSsh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Person("correct")
    async with serving(tmp_path, PasswordServer) as config:
        monkeypatch.setattr(ssh_login, "DEFAULT_PORT", _port(config))
        await make_ssh(config, ask=person).connect("here")
    assert [one.title for one in person.questions] == ["ops@127.0.0.1"]


async def test_a_password_is_asked_three_times(make_ssh: MakeSsh, tmp_path: Path) -> None:
    person = Person(*["wrong-word"] * 9)
    async with serving(tmp_path, PasswordServer) as config:
        with pytest.raises(
            AuthenticationFailed, match=r"^here: login as ops@127\.0\.0\.1 refused; tried password$"
        ) as it:
            await make_ssh(config, ask=person).connect("here")
    assert len(person.questions) == 3
    assert "wrong-word" not in str(it.value) + it.value.remedy + repr(it.value)
    assert it.value.permanent


async def test_a_declined_password_is_not_asked_again(make_ssh: MakeSsh, tmp_path: Path) -> None:
    person = Person(None, "correct")
    async with serving(tmp_path, PasswordServer) as config:
        with pytest.raises(AuthenticationFailed, match="declined"):
            await make_ssh(config, ask=person).connect("here")
    assert len(person.questions) == 1


async def test_nobody_to_ask(make_ssh: MakeSsh, tmp_path: Path) -> None:
    async with serving(tmp_path, PasswordServer) as config:
        with pytest.raises(AuthenticationFailed) as caught:
            await make_ssh(config).connect("here")
        assert "nobody can be asked" in caught.value.remedy
        config.write_text(config.read_text() + "  BatchMode yes\n")
        person = Person("correct")
        with pytest.raises(AuthenticationFailed):
            await make_ssh(config, ask=person).connect("here")
        assert person.questions == []


async def test_keyboard_interactive(make_ssh: MakeSsh, tmp_path: Path) -> None:
    person = Person("correct", "123456")
    async with serving(tmp_path, InteractiveServer, _ok) as config:
        connection = await make_ssh(config, ask=person).connect("here")
        assert (await connection.run(["true"], 5)).status == 0
        await connection.close()
    password, code = person.questions
    assert (password.secret, code.secret) == (True, False)
    assert password.prompt.endswith("Pass\ufffd]0;x\ufffdword:")
    assert code.prompt.endswith("Code:")
    assert "\x1b" not in password.prompt


async def test_a_wrong_answer_is_said_once_where_all_of_them_are_asked_again(make_ssh: MakeSsh, tmp_path: Path) -> None:
    person = Person("wrong", "000000", "correct", "123456")
    async with serving(tmp_path, InteractiveServer) as config:
        await make_ssh(config, ask=person).connect("here")
    assert [one.prompt.startswith("That was not it. ") for one in person.questions] == [False, False, True, False]


async def test_a_password_after_wrong_answers_to_another_method_says_so(make_ssh: MakeSsh, tmp_path: Path) -> None:
    person = Person(*["wrong"] * 6, "correct")
    async with serving(tmp_path, BothServer) as config:
        await make_ssh(config, ask=person).connect("here")
    assert person.questions[-1].prompt == "That was not it. Password:"


async def test_no_exit_status_is_no_success(make_ssh: MakeSsh, tmp_path: Path) -> None:
    async def silent(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(b"half a ta")
        process.close()

    async with serving(tmp_path, OpenServer, silent) as config:
        connection = await make_ssh(config).connect("here")
        with pytest.raises(ConnectionLost, match="without an exit status"):
            await connection.run(["true"], 5)
        assert not connection.lost
        await connection.close()


async def test_a_signal(make_ssh: MakeSsh, tmp_path: Path) -> None:
    async def killed(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.exit_with_signal("KILL" if process.command == "kill" else "ODD", msg="\x1b[31m")

    async with serving(tmp_path, OpenServer, killed) as config:
        connection = await make_ssh(config).connect("here")
        assert (await connection.run(["kill"], 5)).status == 137
        assert (await connection.run(["odd"], 5)).status == 255
        await connection.close()


async def test_invalid_utf8_does_not_end_the_connection(make_ssh: MakeSsh, tmp_path: Path) -> None:
    async def binary(process: asyncssh.SSHServerProcess[bytes]) -> None:
        process.stdout.write(b"\xff\xfe\x00")
        process.stderr.write(b"\xc3")
        process.exit(0)

    async with serving(tmp_path, OpenServer, binary) as config:
        connection = await make_ssh(config).connect("here")
        reply = await connection.run(["x"], 5)
        assert (reply.stdout, reply.stderr) == (b"\xff\xfe\x00", b"\xc3")
        await connection.close()


async def test_endless_output(make_ssh: MakeSsh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_session, "OUTPUT_LIMIT_BYTES", 1 << 20)

    async def endless(process: asyncssh.SSHServerProcess[bytes]) -> None:
        while not process.is_closing():
            process.stdout.write(b"x" * 65536)
            await process.stdout.drain()

    async with serving(tmp_path, OpenServer, endless) as config:
        connection = await make_ssh(config).connect("here")
        with pytest.raises(MalformedOutput, match="printed more than 1 MiB"):
            await connection.run(["yes"], 10)
        assert connection.abandoned == 1
        assert not connection.lost
        await connection.close()


async def test_what_is_given_up_is_closed_at_the_other_end(make_ssh: MakeSsh, tmp_path: Path) -> None:
    processes: list[asyncssh.SSHServerProcess[bytes]] = []

    async def hang(process: asyncssh.SSHServerProcess[bytes]) -> None:
        processes.append(process)
        await process.wait_closed()

    async with serving(tmp_path, OpenServer, hang) as config:
        connection = await make_ssh(config).connect("here")
        with pytest.raises(NoAnswer):
            await connection.run(["x"], 0.2)
        await until(lambda: processes[0].is_closing())
        await connection.close()


async def test_a_banner_that_is_no_text(make_ssh: MakeSsh, tmp_path: Path) -> None:
    class Noisy(OpenServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self._conn = conn

        def begin_auth(self, username: str) -> bool:
            self._conn.send_auth_banner("\x1b[2J[/bold]\n")
            return False

    async with serving(tmp_path, Noisy, _ok) as config:
        connection = await make_ssh(config).connect("here")
        assert (await connection.run(["true"], 5)).status == 0
        await connection.close()


async def test_a_server_that_breaks_off(make_ssh: MakeSsh, tmp_path: Path) -> None:
    class Leaver(FaultyServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self._conn = conn

        def begin_auth(self, username: str) -> bool:
            self._conn.disconnect(asyncssh.DISC_BY_APPLICATION, "no \x1b[31mway")
            return True

    async with serving(tmp_path, Leaver) as config:
        with pytest.raises(ConnectionLost, match="closed the connection during the login: no \ufffd") as caught:
            await make_ssh(config).connect("here")
        assert "\x1b" not in str(caught.value)


async def _ok(process: asyncssh.SSHServerProcess[bytes]) -> None:
    process.exit(0)


def _port(config: Path) -> int:
    return int(config.read_text().split("Port ")[1].split()[0])
