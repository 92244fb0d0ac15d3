"""What is done while SSH is imported, and what is not looked for meanwhile."""

from __future__ import annotations

import asyncio
import ctypes.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from director_tui.config import ClusterConfig, DirectorConfig, parse_destination
from director_tui.errors import ConfigError
from director_tui.link import opening
from director_tui.link.opening import open_ring
from director_tui.link.ssh import Ssh
from tests.link.ssh_setup import host_block, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from director_tui.link.ssh_config import HostConfig
    from tests.ring.fixtures import MakeSshd


@pytest.mark.parametrize(
    ("cache", "environment", "searched"),
    [
        (b"ld.so-1.7.0\0libc.so.6\0libssl.so.3\0", "", False),
        (b"ld.so-1.7.0\0libc.so.6\0liboqs.so.7\0", "", True),
        (b"ld.so-1.7.0\0libc.so.6\0", "/opt/lib", True),
        (None, "", True),
    ],
    ids=["not there", "there", "another path", "no cache"],
)
def test_a_library_that_can_not_be_there_is_not_searched_for(
    cache: bytes | None, environment: str, searched: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def found(name: str) -> str:
        asked.append(name)
        return f"lib{name}.so.1"

    file = tmp_path / "ld.so.cache"
    if cache is not None:
        file.write_bytes(cache)
    monkeypatch.setattr(opening, "LINKER_CACHE", file)
    monkeypatch.setattr(ctypes.util, "find_library", found)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    if environment:
        monkeypatch.setenv("LD_LIBRARY_PATH", environment)
    with opening._no_search_in_vain():
        assert ctypes.util.find_library("oqs") == ("liboqs.so.1" if searched else None)
        assert ctypes.util.find_library("c") == "libc.so.1"
    assert ctypes.util.find_library("oqs") == "liboqs.so.1"
    assert asked == (["oqs"] if searched else []) + ["c", "oqs"]


WHAT_IS_IMPORTED = """
import ctypes.util, sys
from concurrent.futures import ThreadPoolExecutor
from director_tui.link.opening import import_ssh
usual = ctypes.util.find_library
with ThreadPoolExecutor() as threads:  # as where several rings are opened at once
    for importing in [threads.submit(import_ssh) for _ in range(3)]:
        importing.result()
assert ctypes.util.find_library is usual
print(*("there" if name in sys.modules else "not" for name in ("cryptography.x509", "asyncssh.crypto.x509")))
"""


@pytest.mark.parametrize(("py_open_ssl", "imported"), [(False, "not not"), (True, "there there")])
def test_certificates_that_can_not_be_used_are_not_imported(py_open_ssl: bool, imported: str, tmp_path: Path) -> None:
    if py_open_ssl:
        (tmp_path / "OpenSSL").mkdir()
        (tmp_path / "OpenSSL" / "__init__.py").write_text("")
        (tmp_path / "OpenSSL" / "crypto.py").write_text("")
    told = subprocess.run(
        [sys.executable, "-c", WHAT_IS_IMPORTED],
        check=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert told.stdout.decode().strip() == imported


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The destinations that OpenSSH was asked about; it can't answer."""
    asked: list[str] = []

    async def query(ssh: str, destination: object, *, ssh_config: Path | None = None) -> HostConfig:
        asked.append(str(destination))
        raise ConfigError("the OpenSSH configuration can't be used")

    monkeypatch.setattr(opening, "query", query)
    monkeypatch.setattr(opening, "find_ssh", lambda: "/usr/bin/ssh")
    return asked


async def test_a_configuration_that_can_not_be_read_is_said_by_whoever_connects(queries: list[str]) -> None:
    ring = await open_ring(ClusterConfig("test", (DirectorConfig("d1"), DirectorConfig("d2"))), None)
    assert queries == [str(parse_destination("d1"))]
    with pytest.raises(ConfigError, match="can't be used"):
        await ring.links[0].connecting()
    await ring.close()


async def test_a_ring_that_is_opened_and_not_read_leaves_nothing(queries: list[str]) -> None:
    before = asyncio.all_tasks()
    ring = await open_ring(ClusterConfig("test", (DirectorConfig("d1"),)), None)
    await ring.close()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_what_was_asked_for_before_holds_for_one_connection(make_sshd: MakeSshd, tmp_path: Path) -> None:
    sshd = make_sshd()
    config = write_config(tmp_path / "config", [host_block(sshd)])
    ssh = Ssh(ssh_config=config)
    destination = parse_destination(sshd.name)
    known = await ssh._configuration(destination)
    config.write_text("")  # from here on OpenSSH knows nothing of this host
    begun = asyncio.create_task(asyncio.sleep(0, known))
    early = Ssh(ssh_config=config, configurations={destination: begun})
    connection = await early.connect(sshd.name)
    assert (await connection.run(["echo", "in"], 5)).stdout == b"in\n"
    assert (await early._configuration(destination)).port == 22
    await early.close()
