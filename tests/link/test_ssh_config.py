"""What ``ssh -G`` says, read."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from director_tui.config import Destination, parse_destination
from director_tui.errors import ConfigError
from director_tui.link import ssh_config
from director_tui.link.ssh_config import HostConfig, find_ssh, from_settings, home, query
from tests.link.fakes import until


async def asked(config: str, destination: str, folder: Path) -> HostConfig:
    file = folder / "config"
    file.write_text(config)
    ssh = find_ssh()
    assert ssh is not None
    return await query(ssh, parse_destination(destination), ssh_config=file)


@pytest.mark.real_ring  # needs OpenSSH's client
async def test_openssh_decides(tmp_path: Path) -> None:
    config = """\
Host d
  HostName dir1.example.com
  Port 2200
  User ops
  IdentityFile ~/.ssh/%n-key
  IdentityFile %d/other
  IdentitiesOnly yes
  IdentityAgent none
  HostKeyAlias Ring
  ProxyJump a@b:1,[2001:db8::1]:2
  ConnectTimeout 3
  UserKnownHostsFile ~/one /two
  GlobalKnownHostsFile none
  ServerAliveInterval 60
  PreferredAuthentications password,publickey
  PasswordAuthentication no
"""
    found = await asked(config, "d", tmp_path)
    assert (found.host, found.port, found.user, found.name) == ("dir1.example.com", 2200, "ops", "d")
    assert found.identity_files == (home() / ".ssh/d-key", home() / "other")
    assert found.identities_only
    assert found.identity_agent == ""
    assert found.key_name == "ring"
    assert found.proxy_jump == ("a@b:1", "[2001:db8::1]:2")
    assert found.connect_timeout_s == 3
    assert found.user_known_hosts == (home() / "one", Path("/two"))
    assert found.global_known_hosts == ()
    assert found.keepalive_s == 5
    assert found.methods == ("publickey",)


@pytest.mark.real_ring
async def test_openssh_is_given_what_the_destination_says(tmp_path: Path) -> None:
    found = await asked("User nobody\nPort 1\n", "dash@host:2200", tmp_path)
    assert (found.user, found.host, found.port) == ("dash", "host", 2200)
    assert found.key_name == "[host]:2200"


@pytest.mark.real_ring
async def test_proxy_command_tokens(tmp_path: Path) -> None:
    config = "Host d\n  HostName d.example.com\n  User ops\n  ProxyCommand nc -x 100%% %h %p %r %n\n"
    found = await asked(config, "d", tmp_path)
    assert found.proxy_command == "nc -x 100% d.example.com 22 ops d"


@pytest.mark.real_ring
async def test_a_match_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_config, "QUERY_LIMIT_S", 0.2)
    with pytest.raises(ConfigError, match="ssh -G d did not end"):
        await asked('Match exec "exec sleep 60"\n  User x\n', "d", tmp_path)


@pytest.mark.parametrize(("value", "socket"), [("SSH_AUTH_SOCK", "/run/a"), ("$OTHER", "/run/b"), ("none", "")])
def test_which_agent(value: str, socket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/a")
    monkeypatch.setenv("OTHER", "/run/b")
    settings = f"hostname h\nport 22\nuser u\nidentityagent {value}\n"
    assert from_settings(settings, Destination("h")).identity_agent == socket
    assert from_settings("hostname h\nport 22\nuser u\n", Destination("h")).identity_agent == "/run/a"


def test_a_known_hosts_file_with_a_blank_in_its_name(tmp_path: Path) -> None:
    file = tmp_path / "known hosts"
    file.touch()
    text = f"hostname h\nport 22\nuser u\nuserknownhostsfile {file}\nglobalknownhostsfile /a /dev/null /b\n"
    found = from_settings(text, Destination("h"))
    assert found.user_known_hosts == (file,)
    assert found.global_known_hosts == (Path("/a"), Path("/b"))


def test_another_program_called_ssh() -> None:
    with pytest.raises(ConfigError, match="printed no settings"):
        from_settings("usage: ssh\n", Destination("h"))


def test_what_can_not_be_done_is_said() -> None:
    with pytest.raises(ConfigError, match="ProxyUseFdpass"):
        from_settings("hostname h\nport 22\nuser u\nproxyusefdpass yes\n", Destination("h"))


async def test_who_gives_up_an_ssh_that_has_just_ended_meets_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its end is noticed a moment after it: until then it seems to be running."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nexec sleep 60\n")
    ssh.chmod(0o700)
    killpg = os.killpg

    def too_late(group: int, number: int) -> None:
        killpg(group, number)
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    monkeypatch.setattr(os, "killpg", too_late)
    asking = asyncio.create_task(ssh_config.query(str(ssh), parse_destination("dir1")))
    await until((tmp_path / "begun").exists)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
