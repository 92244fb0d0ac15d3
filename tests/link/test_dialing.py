"""A connection that is made while SSH is still imported, and what becomes of one that nobody needs."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
import sys
import termios
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest

from director_tui.config import ClusterConfig, DirectorConfig, parse_destination
from director_tui.errors import ConfigError, Unreachable
from director_tui.link import dialing, opening
from director_tui.link.dialing import Dialed, Socket, dial
from director_tui.link.opening import open_ring
from director_tui.link.ssh import Ssh
from director_tui.link.ssh_config import HostConfig
from tests.link.ssh_setup import host_block, until, write_config
from tests.ring.real import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.ring.fixtures import MakeSshd


class Listening:
    """Takes connections and says nothing."""

    def __init__(self) -> None:
        self.taken = 0
        self.open = 0
        self.config = HostConfig("127.0.0.1", 0, "ops")

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken += 1
        self.open += 1
        await reader.read()
        self.open -= 1
        writer.close()


@pytest.fixture
async def listening() -> AsyncIterator[Listening]:
    one = Listening()
    server = await asyncio.start_server(one.take, "127.0.0.1", 0)
    one.config = replace(one.config, port=server.sockets[0].getsockname()[1])
    yield one
    server.close()


async def known(config: HostConfig) -> HostConfig:
    return config


async def test_the_first_connection_is_the_one_that_was_made_before(make_sshd: MakeSshd, tmp_path: Path) -> None:
    sshd = make_sshd()
    ssh_config = write_config(tmp_path / "config", [host_block(sshd)])
    destination = parse_destination(sshd.name)
    dialed = Dialed(Ssh(ssh_config=ssh_config)._configuration(destination))
    there = await dialed.take()
    assert there is not None
    ours = there.getsockname()
    ssh = Ssh(ssh_config=ssh_config, dialed={destination: dialed})
    first, second = await ssh.connect(sshd.name), await ssh.connect(sshd.name)
    assert first.login.connection.get_extra_info("sockname") == ours
    assert second.login.connection.get_extra_info("sockname") != ours
    for connection in (first, second):
        transport_socket = connection.login.connection.get_extra_info("socket")
        assert isinstance(transport_socket._sock, Socket)
        assert (await connection.run(["echo", "in"], 5)).stdout == b"in\n"
    await ssh.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be told to, and can tell")
async def test_what_has_come_is_acknowledged_at_once() -> None:
    """Also in the middle of a talk, when Linux would wait for something to send."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = await dial(HostConfig("127.0.0.1", server.getsockname()[1], "ops"))
        assert ours is not None
        theirs, _ = server.accept()
        with ours, theirs:
            for turn in range(50):
                await loop.sock_sendall(ours, b"?")
                assert theirs.recv(1) == b"?"
                theirs.send(b"!")
                assert await loop.sock_recv(ours, 1) == b"!"
                assert not _unacknowledged(theirs), turn


async def test_a_socket_that_does_not_take_that_option_is_read_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "QUICK_ACK", 9999)
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = await dial(HostConfig("127.0.0.1", server.getsockname()[1], "ops"))
        assert ours is not None
        theirs, _ = server.accept()
        with ours, theirs:
            with pytest.raises(OSError, match="not available"):
                ours.setsockopt(socket.IPPROTO_TCP, 9999, 1)
            theirs.send(b"!")
            assert await asyncio.get_running_loop().sock_recv(ours, 1) == b"!"


def _unacknowledged(connection: socket.socket) -> int:
    """Bytes that were sent, and that the other side has not said yet to have: what Linux counts by SIOCOUTQ."""
    (count,) = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"    "))
    return int(count)


@pytest.mark.parametrize(
    "other_way", [{"proxy_jump": ("jump",)}, {"proxy_command": "nc jump 22"}, {"bind_address": "127.0.0.2"}]
)
async def test_another_way_is_not_gone_before(listening: Listening, other_way: dict[str, Any]) -> None:
    assert await Dialed(known(replace(listening.config, **other_way))).take() is None
    assert not listening.taken


async def test_what_can_not_be_reached_is_said_by_whoever_connects(make_sshd: MakeSshd, tmp_path: Path) -> None:
    sshd = make_sshd()
    ssh_config = write_config(tmp_path / "config", [host_block(sshd)])
    sshd.stop()
    destination = parse_destination(sshd.name)
    dialed = Dialed(Ssh(ssh_config=ssh_config)._configuration(destination))
    with pytest.raises(Unreachable) as usual:
        await Ssh(ssh_config=ssh_config).connect(sshd.name)
    with pytest.raises(Unreachable) as it:
        await Ssh(ssh_config=ssh_config, dialed={destination: dialed}).connect(sshd.name)
    assert str(it.value) == str(usual.value)


async def test_a_name_is_looked_up_once_and_why_in_vain_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def getaddrinfo(host: object, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    destination = parse_destination("d1")
    config = HostConfig("director.example", 22, "ops", identity_files=(), user_known_hosts=(tmp_path / "none",))
    ssh = Ssh(
        configurations={destination: asyncio.create_task(known(config))},
        dialed={destination: Dialed(known(config))},
    )
    with pytest.raises(Unreachable, match=r"director\.example is not known \(Temporary failure in name resolution\)"):
        await ssh.connect("d1")
    assert asked == ["director.example"]


@pytest.mark.parametrize(
    ("addresses", "says"),
    [
        ([], r"dir\.example is not known"),
        (["192.0.2.1", "127.0.0.1"], "refuses the connection"),
    ],
)
async def test_what_is_wrong_with_an_address_is_said(
    addresses: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, port)) for address in addresses]

    async def sock_connect(there: socket.socket, address: Any) -> None:
        if address[0] == "192.0.2.1":
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        await connect(there, address)

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(loop, "sock_connect", sock_connect)
    config = HostConfig("dir.example", port, "ops", identity_files=(), user_known_hosts=(tmp_path / "none",))
    ssh = Ssh(configurations={parse_destination("d1"): asyncio.create_task(known(config))})
    with pytest.raises(Unreachable, match=says):
        await ssh.connect("d1")


async def test_a_name_that_can_not_be_asked_for_is_told_to_whoever_takes_it() -> None:
    with pytest.raises(UnicodeError):
        await Dialed(known(HostConfig("x" * 70 + ".invalid", 22, "ops"))).take()


async def test_a_configuration_that_can_not_be_read_makes_no_connection() -> None:
    async def unreadable() -> HostConfig:
        raise ConfigError("not to be read")

    assert await Dialed(unreadable()).take() is None


async def test_what_nobody_needs_is_closed(listening: Listening) -> None:
    dialed = Dialed(known(listening.config))
    await until(lambda: listening.open)
    dialed.hang_up()
    await until(lambda: not listening.open)
    assert listening.taken == 1


async def test_whoever_waits_no_longer_leaves_nothing(listening: Listening) -> None:
    asked: asyncio.Future[HostConfig] = asyncio.get_running_loop().create_future()
    dialed = Dialed(asked)
    waiting = asyncio.create_task(dialed.take())
    # Cancelled in the turn in which it would have got the connection.
    dialed._dialing.add_done_callback(lambda _: waiting.cancel())
    await asyncio.sleep(0)
    asked.set_result(listening.config)
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    await until(lambda: listening.taken == 1 and not listening.open)


async def test_one_that_is_taken_and_not_used_is_closed(
    listening: Listening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncssh, "connect", connect)
    destination = parse_destination("d1")
    config = replace(listening.config, user_known_hosts=(tmp_path / "none",))
    ssh = Ssh(
        configurations={destination: asyncio.create_task(known(config))},
        dialed={destination: Dialed(known(config))},
    )
    connecting = asyncio.create_task(ssh.connect("d1"))
    await until(lambda: listening.open)
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.wait([connecting])
    await until(lambda: not listening.open)


async def test_an_address_of_a_kind_that_is_not_there_is_passed_over(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        unknown_kind = (socket.AF_INET, socket.SOCK_STREAM, 254, "", ("127.0.0.1", 1))
        return [unknown_kind, (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", listening.config.port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    dialed = Dialed(known(listening.config))
    assert await dialed.take() is not None
    dialed.hang_up()


@pytest.mark.parametrize("port", ["open", "closed"])
async def test_a_ring_that_is_opened_and_not_read_hangs_up(
    port: str, listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = listening.config if port == "open" else replace(listening.config, port=free_port())

    async def query(*_: object, **__: object) -> HostConfig:
        return config

    monkeypatch.setattr(opening, "query", query)
    monkeypatch.setattr(opening, "find_ssh", lambda: "/usr/bin/ssh")
    ring = await open_ring(ClusterConfig("test", (DirectorConfig("d1"),)), None)
    if port == "open":
        await until(lambda: listening.open)
    await ring.close()
    await until(lambda: not listening.open)


async def test_of_several_addresses_the_first_that_answers_is_taken(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    answering = ("127.0.0.1", listening.config.port)

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        silent = ("127.0.0.1", free_port())
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in (silent, answering)]

    monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)
    dialed = Dialed(known(listening.config))
    there = await dialed.take()
    assert there is not None
    assert there.getpeername() == answering
    dialed.hang_up()
