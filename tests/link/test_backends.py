"""Reaching a backend itself: through a director's connection or directly, and never closing on what runs there."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import pytest

from director_tui.config import BackendAccess, ClusterConfig, DirectorConfig
from director_tui.director import doveadm
from director_tui.errors import ConfigError, HostKeyUnknown, RingUnreadable, Unreachable
from director_tui.link.backends import access_to, backend_link
from director_tui.link.changing import Ended, carry_out
from director_tui.link.ring import Ring
from tests.link.ssh_setup import host_block, until, write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from director_tui.link.changing import Event
    from director_tui.link.ring import DirectorLink
    from tests.link.conftest import MakeSsh
    from tests.ring.fixtures import MakeSshd
    from tests.ring.sshd import Sshd

    MakeSite = Callable[..., "Site"]

IP = "192.0.2.7"
"""What the OpenSSH configuration calls the backend's sshd."""

UPLOAD = doveadm.upload_metacache()


class Site:
    """A director and a backend, each behind an sshd; the backend's doveadm waits for ``go_on()``."""

    def __init__(self, folder: Path, director: Sshd, backend: Sshd, make_ssh: MakeSsh, via_director: bool) -> None:
        self.director, self.backend = director, backend
        self._folder = folder
        self._calls = folder / "calls"
        self._calls.touch()
        words = folder / "doveadm"
        words.write_text(
            f"#!/bin/sh\necho begin >>{folder}/calls\nwhile ! [ -e {folder}/go ]; do sleep 0.02; done\n"
            f"trap '' PIPE\necho $*\necho end >>{folder}/calls\n"  # doveadm, too, goes on when nobody listens
        )
        words.chmod(0o755)
        # Whatever else the configuration says of the way there: through a director means through the director.
        beyond = ("ProxyJump nowhere.invalid",) if via_director else ()
        blocks = [host_block(director), host_block(backend, *beyond, name=IP)]
        access = BackendAccess("{ip}", via_director, (str(words),))
        cluster = ClusterConfig("test", (DirectorConfig(director.name),), backends=access)
        self.ring = Ring(cluster, make_ssh(write_config(folder / "config", blocks)))
        self.link = backend_link(IP, self.ring)
        self.said: list[Event] = []

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().split()

    @property
    def to_director(self) -> DirectorLink:
        return self.ring.links[0]

    def go_on(self) -> None:
        (self._folder / "go").touch()

    def upload(self) -> asyncio.Task[None]:
        return asyncio.create_task(carry_out(self.link, [UPLOAD], self.said.append))


@pytest.fixture
def make_site(tmp_path: Path, make_sshd: MakeSshd, make_ssh: MakeSsh) -> MakeSite:
    def make(*extra: str, via_director: bool = True) -> Site:
        director = make_sshd("director", extra=extra)
        return Site(tmp_path, director, make_sshd("backend", client_key=director.client_key), make_ssh, via_director)

    return make


async def test_through_the_connection_of_a_director(make_site: MakeSite) -> None:
    site = make_site()
    through = await site.to_director.connecting()
    site.go_on()
    await site.upload()
    (ended,) = (one for one in site.said if isinstance(one, Ended))
    assert (ended.status, ended.stdout) == (0, b"metacache flushall\n")
    connection = site.link.connecting().result()
    assert connection.jumps == [through]
    await site.link.close()
    assert connection.lost
    assert not through.lost, "it is the director's own"
    await site.ring.close()
    assert through.lost


@pytest.mark.parametrize(
    ("options", "passed_on"),
    [
        ("restrict", False),
        ('restrict,port-forwarding,permitopen="192.0.2.1:22"', False),
        ('restrict,port-forwarding,permitopen="192.0.2.1:22",permitopen="{host}:{port}"', True),
    ],
)
async def test_through_a_director_that_takes_our_key_for_little(
    make_site: MakeSite, options: str, passed_on: bool
) -> None:
    """As SECURITY.md tells to."""
    site = make_site()
    site.go_on()
    site.director.restrict(options.format(host=site.backend.host, port=site.backend.port))
    if passed_on:
        await site.upload()
        assert [one.status for one in site.said if isinstance(one, Ended)] == [0]
    else:
        with pytest.raises(Unreachable, match=r"director can.t connect to .*: open failed$"):
            await site.upload()
        assert site.calls == []
    await site.link.close()
    await site.ring.close()


async def test_directly(make_site: MakeSite) -> None:
    site = make_site(via_director=False)
    site.go_on()
    await site.upload()
    assert site.link.connecting().result().jumps == []
    assert not site.to_director.connected
    await site.link.close()


async def test_nothing_is_closed_that_an_upload_needs(make_site: MakeSite) -> None:
    site = make_site()
    uploading = site.upload()
    await until(lambda: site.calls == ["begin"])
    connection, through = site.link.connecting().result(), site.to_director.connecting().result()
    await site.link.close()
    await site.ring.close()
    assert not connection.lost
    assert not through.lost
    site.go_on()
    await uploading
    assert [one.status for one in site.said if isinstance(one, Ended)] == [0]
    assert site.calls == ["begin", "end"]
    await until(lambda: connection.lost and through.lost)
    await connection.close()
    await through.close()


async def test_a_program_that_ends_leaves_an_upload_alone(make_site: MakeSite) -> None:
    site = make_site()
    uploading = site.upload()
    await until(lambda: site.calls == ["begin"])
    connection, through = site.link.connecting().result(), site.to_director.connecting().result()
    uploading.cancel()
    await asyncio.wait([uploading])
    await site.ring.close()
    assert not connection.lost
    site.go_on()
    await until(lambda: site.calls == ["begin", "end"])
    await until(lambda: connection.lost and through.lost)
    await connection.close()
    await through.close()


async def test_a_lost_director_loses_the_way_and_not_the_upload(make_site: MakeSite) -> None:
    site = make_site()
    uploading = site.upload()
    await until(lambda: site.calls == ["begin"])
    site.director.kill_sessions()
    with pytest.raises(Exception, match="connection was lost before the command ended"):
        await uploading
    site.go_on()
    await until(lambda: site.calls == ["begin", "end"])
    await site.link.close()


async def test_the_key_of_a_backend_is_checked(make_site: MakeSite) -> None:
    site = make_site()
    site.backend.known_hosts.write_text("")
    with pytest.raises(HostKeyUnknown, match=rf"^{IP}: ") as caught:
        await site.upload()
    assert caught.value.fingerprint == site.backend.fingerprint
    assert site.calls == []
    assert site.to_director.connected, "the director's connection stays"
    await site.link.close()


async def test_a_director_that_passes_nothing_on(make_site: MakeSite) -> None:
    site = make_site("AllowTcpForwarding no")
    with pytest.raises(Unreachable, match=rf"^{IP}: director can't connect to 127\.0\.0\.1 port") as caught:
        await site.upload()
    assert "via_director = false" in caught.value.remedy
    await site.link.close()


async def test_no_director_to_go_through(make_site: MakeSite) -> None:
    site = make_site()
    site.director.refuse()
    with pytest.raises(RingUnreadable, match=r"^director: "):
        await site.upload()
    await site.link.close()


@pytest.mark.parametrize(
    ("template", "ip", "destination"),
    [
        ("ops@{ip}", "10.1.0.1", "ops@10.1.0.1"),
        ("ops@{ip}", "2001:db8::1", "ops@2001:db8::1"),
        ("{ip}:2222", "2001:db8::1", "[2001:db8::1]:2222"),
        ("[{ip}]:2222", "2001:db8::1", "[2001:db8::1]:2222"),
        ("root@{ip}:2222", "10.1.0.1", "root@10.1.0.1:2222"),
        ("mail-{ip}", "10.1.0.1", "mail-10.1.0.1"),
    ],
)
def test_where_a_backend_is_reached(template: str, ip: str, destination: str) -> None:
    assert BackendAccess(template).destination(ip) == destination


def test_without_a_word_of_how() -> None:
    cluster = ClusterConfig("test", (DirectorConfig("d1"),))
    for one in (cluster, dataclasses.replace(cluster, backends=BackendAccess("", metacache="no"))):
        with pytest.raises(ConfigError, match=rf"^how to reach {IP} itself is not configured$"):
            access_to(IP, one)
