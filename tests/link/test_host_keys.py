"""Host keys: nothing in any configuration does without them, and what is refused says why."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from director_tui.errors import HostKeyRefused, HostKeyUnknown
from director_tui.link import host_keys
from director_tui.link.host_keys import HostKey, KnownKeys, Verdict, add_to_known_hosts, key_from_line, known_keys
from director_tui.link.ssh_config import HostConfig
from director_tui.link.ssh_keys import read_key_file, user_certificates
from tests.disk import no_file_larger_than
from tests.link.ssh_setup import host_block, write_config
from tests.ring.sshd import make_key

if TYPE_CHECKING:
    from tests.link.conftest import MakeSsh
    from tests.ring.fixtures import MakeSshd
    from tests.ring.sshd import Sshd


@pytest.fixture
def sshd(make_sshd: MakeSshd) -> Sshd:
    return make_sshd()


def line_for(sshd: Sshd, key: Path, marker: str = "") -> str:
    return f"{marker} [{sshd.host}]:{sshd.port} {public(key)}\n".lstrip()


def public(key: Path) -> str:
    return key.with_name(key.name + ".pub").read_text().strip()


async def works(ssh: MakeSsh, config: Path, name: str = "director") -> bool:
    return (await (await ssh(config).connect(name)).run(["true"], 5)).status == 0


async def test_an_unknown_key_is_shown_with_what_adds_it(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd.known_hosts.write_text("# nobody yet, and no line break at the end")
    with pytest.raises(HostKeyUnknown) as caught:
        await make_ssh(sshd.ssh_config).connect(sshd.name)
    error = caught.value
    assert str(error) == f"director: the host key is not known: ssh-ed25519 {sshd.fingerprint}"
    assert (error.host, error.port, error.algorithm) == ("127.0.0.1", sshd.port, "ssh-ed25519")
    assert error.fingerprint == sshd.fingerprint
    assert error.known_hosts == str(sshd.known_hosts)
    assert error.permanent
    command = error.remedy[error.remedy.index("printf ") :]
    await asyncio.to_thread(subprocess.run, ["sh", "-c", command], check=True)
    assert sshd.known_hosts.read_text().splitlines()[1:] == [error.line]
    assert await works(make_ssh, sshd.ssh_config)


async def test_the_command_that_adds_it_makes_the_folder(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd.known_hosts.write_text("")
    own = tmp_path / "no folder yet" / "ssh" / "known hosts"
    with pytest.raises(HostKeyUnknown) as caught:
        await make_ssh(sshd.ssh_config, known_hosts=own).connect(sshd.name)
    command = caught.value.remedy.partition("then add it: ")[2]
    await asyncio.to_thread(subprocess.run, ["sh", "-c", command], check=True)
    assert own.read_text() == f"{caught.value.line}\n"
    assert own.parent.stat().st_mode & 0o777 == 0o700
    connection = await make_ssh(sshd.ssh_config, known_hosts=own).connect(sshd.name)
    assert (await connection.run(["true"], 5)).status == 0


def test_what_is_no_file_to_be_read_holds_nobody_up_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, device, large = tmp_path / "pipe", tmp_path / "device", tmp_path / "large"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    large.write_bytes(b"#" * 101)
    monkeypatch.setattr(host_keys, "KNOWN_HOSTS_LIMIT", 100)
    files = [pipe, device, large, Path("/dev/null"), tmp_path / "none"]
    host = HostConfig("h", 22, "ops")
    known = known_keys(files, host)
    assert known == KnownKeys(
        unread=(
            f"{pipe} can't be read: no plain file",
            f"{device} can't be read: no plain file",
            f"{large} can't be read: larger than 100 bytes",
        )
    )
    error = host_keys.refusal("dir1", host, known, HostKey("ssh-ed25519", b"key"), files)
    assert f"the host key is not known, and {pipe} can't be read: no plain file, and" in str(error)
    assert isinstance(error, HostKeyUnknown)
    with pytest.raises(OSError, match="no plain file"):
        add_to_known_hosts(error)


async def test_a_key_file_that_is_none_to_be_read_holds_nobody_up_and_is_said(tmp_path: Path) -> None:
    pipe, device = tmp_path / "id_pipe", tmp_path / "id_device"
    for beside in ("", ".pub", "-cert.pub"):
        os.mkfifo(f"{pipe}{beside}")
    device.symlink_to("/dev/zero")
    for file in (pipe, device):
        read = await read_key_file(file)
        assert read is not None
        assert (read.key, read.public) == (None, None)
        assert read.problem == f"{file} can't be read: no plain file"
    assert user_certificates(HostConfig("h", 22, "ops", identity_files=(pipe, device))) == {}


@pytest.mark.parametrize("with_folder", [True, False])
@pytest.mark.parametrize("same_home", [True, False])
def test_the_command_finds_the_home_folder_that_openssh_finds(
    same_home: bool, with_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "my home"
    file = home / ".ssh" / "known_hosts"
    if with_folder:
        file.parent.mkdir(parents=True)
    monkeypatch.setattr(host_keys, "home", lambda: home)
    monkeypatch.setenv("HOME", str(home if same_home else tmp_path / "of whoever became root"))
    error = host_keys.refusal("dir1", HostConfig("h", 22, "ops"), KnownKeys(), KEY, [file])
    command = error.remedy.partition("then add it: ")[2]
    assert (" ~/.ssh" in command) == same_home
    assert ("mkdir" in command) != with_folder
    subprocess.run(["sh", "-c", command], check=True)
    assert known_keys([file], HostConfig("h", 22, "ops")).verdict(KEY) is Verdict.TRUSTED


async def test_adding_it_here(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd.known_hosts.write_text("")
    own = tmp_path / "new" / "known_hosts"
    ssh = make_ssh(sshd.ssh_config, known_hosts=own)
    with pytest.raises(HostKeyUnknown) as caught:
        await ssh.connect(sshd.name)
    assert caught.value.known_hosts == str(own)
    add_to_known_hosts(caught.value)
    assert own.stat().st_mode & 0o777 == 0o600
    assert own.parent.stat().st_mode & 0o777 == 0o700
    connection = await ssh.connect(sshd.name)
    assert (await connection.run(["true"], 5)).status == 0


async def test_a_line_is_never_added_to_another(sshd: Sshd, make_ssh: MakeSsh) -> None:
    sshd.known_hosts.write_text("other ssh-ed25519 AAAA")
    sshd.known_hosts.chmod(0o644)
    with pytest.raises(HostKeyUnknown) as caught:
        await make_ssh(sshd.ssh_config).connect(sshd.name)
    add_to_known_hosts(caught.value)
    assert sshd.known_hosts.read_text() == f"other ssh-ed25519 AAAA\n{caught.value.line}\n"
    assert await works(make_ssh, sshd.ssh_config)


def test_no_half_line_stays_where_there_is_no_room(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    before = "other ssh-ed25519 AAAA\n"
    file.write_text(before)
    line = f"dir1 ssh-ed25519 {base64.b64encode(os.urandom(51)).decode()}"
    error = HostKeyUnknown(
        *("unknown", ""), host="dir1", port=22, algorithm="", fingerprint="", line=line, known_hosts=str(file)
    )
    with no_file_larger_than(len(before) + 40), pytest.raises(OSError, match="File too large"):
        add_to_known_hosts(error)
    assert file.read_text() == before
    add_to_known_hosts(error)
    assert file.read_text() == f"{before}{line}\n"


@pytest.mark.parametrize("known_hosts", ["none", "/dev/null", "/no/such/file"])
async def test_no_configuration_switches_checking_off(
    known_hosts: str, sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    settings = ("StrictHostKeyChecking no", f"UserKnownHostsFile {known_hosts}", "NoHostAuthenticationForLocalhost yes")
    config = write_config(tmp_path / "config", [host_block(sshd, *settings)])
    with pytest.raises(HostKeyUnknown) as caught:
        await make_ssh(config, known_hosts=tmp_path / "own").connect(sshd.name)
    assert caught.value.known_hosts == str(tmp_path / "own")
    connection = await make_ssh(config, known_hosts=sshd.known_hosts).connect(sshd.name)
    assert (await connection.run(["true"], 5)).status == 0


@pytest.mark.parametrize("strict", ["yes", "no", "accept-new", "off"])
async def test_a_changed_key_is_refused(strict: str, sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    old = make_key(tmp_path / "old")
    sshd.known_hosts.write_text(line_for(sshd, old))
    config = write_config(tmp_path / "config", [host_block(sshd, f"StrictHostKeyChecking {strict}")])
    with pytest.raises(HostKeyRefused, match="the host key has CHANGED") as caught:
        await make_ssh(config).connect(sshd.name)
    assert sshd.fingerprint in str(caught.value)
    assert f"ssh-keygen -R '[127.0.0.1]:{sshd.port}' -f {sshd.known_hosts}" in caught.value.remedy
    assert caught.value.permanent
    assert sshd.known_hosts.read_text() == line_for(sshd, old)


async def test_a_revoked_key_is_refused_though_it_is_known(sshd: Sshd, make_ssh: MakeSsh) -> None:
    with sshd.known_hosts.open("a") as file:
        file.write(f"@revoked * {public(sshd.host_key)}\n")
    with pytest.raises(HostKeyRefused, match="marked as revoked") as caught:
        await make_ssh(sshd.ssh_config).connect(sshd.name)
    assert sshd.fingerprint in str(caught.value)


async def test_only_another_type_of_key_is_known(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd.known_hosts.write_text(line_for(sshd, make_key(tmp_path / "rsa", kind="rsa")))
    with pytest.raises(HostKeyUnknown, match="another type of key for it: ssh-rsa") as caught:
        await make_ssh(sshd.ssh_config).connect(sshd.name)
    assert caught.value.fingerprint == sshd.fingerprint


@pytest.mark.parametrize("kind", ["rsa", "ecdsa", "ed25519"])
async def test_the_known_type_of_several_is_asked_for(
    kind: str, make_sshd: MakeSshd, make_ssh: MakeSsh, tmp_path: Path
) -> None:
    keys = {name: make_key(tmp_path / name, kind=name) for name in ("rsa", "ecdsa", "ed25519")}
    sshd = make_sshd(extra=[f"HostKey {key}" for key in keys.values()])
    sshd.known_hosts.write_text(line_for(sshd, keys[kind]))
    assert await works(make_ssh, sshd.ssh_config)


async def test_hashed_names(sshd: Sshd, make_ssh: MakeSsh) -> None:
    words = ["ssh-keygen", "-q", "-H", "-f", str(sshd.known_hosts)]
    await asyncio.to_thread(subprocess.run, words, check=True, stderr=subprocess.DEVNULL)
    assert sshd.known_hosts.read_text().startswith("|1|")
    assert await works(make_ssh, sshd.ssh_config)


async def test_host_key_alias(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd.known_hosts.write_text(f"director-1 {public(sshd.host_key)}\n")
    config = write_config(tmp_path / "config", [host_block(sshd, "HostKeyAlias director-1")])
    assert await works(make_ssh, config)
    sshd.known_hosts.write_text("")
    with pytest.raises(HostKeyUnknown) as caught:
        await make_ssh(config).connect(sshd.name)
    assert caught.value.line.startswith("director-1 ssh-ed25519 ")


async def test_known_without_its_port(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    sshd.known_hosts.write_text(f"127.0.0.1 {public(sshd.host_key)}\n")
    assert await works(make_ssh, sshd.ssh_config)
    sshd.known_hosts.write_text(f"127.0.0.1 {public(make_key(tmp_path / 'other'))}\n")
    with pytest.raises(HostKeyUnknown):  # another sshd on this host's port 22 says nothing about this one
        await make_ssh(sshd.ssh_config).connect(sshd.name)


async def test_the_cluster_file_comes_beside_the_others(sshd: Sshd, make_ssh: MakeSsh, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("")
    connection = await make_ssh(sshd.ssh_config, known_hosts=own).connect(sshd.name)
    assert (await connection.run(["true"], 5)).status == 0


class TestHostCertificates:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> Path:
        return make_key(tmp_path / "authority")

    @pytest.fixture
    def certified(self, make_sshd: MakeSshd, authority: Path, tmp_path: Path) -> Sshd:
        """Its host key has a certificate for 127.0.0.1, and no known_hosts file knows it."""
        key = make_key(tmp_path / "certified")
        sign(authority, key, "127.0.0.1")
        sshd = make_sshd(extra=[f"HostKey {key}", f"HostCertificate {key}-cert.pub"])
        sshd.known_hosts.write_text("")
        return sshd

    async def test_an_authority_vouches(self, certified: Sshd, authority: Path, make_ssh: MakeSsh) -> None:
        certified.known_hosts.write_text(f"@cert-authority *,[127.0.0.1]:* {public(authority)}\n")
        assert await works(make_ssh, certified.ssh_config)

    async def test_without_the_authority_the_key_counts(
        self, certified: Sshd, tmp_path: Path, make_ssh: MakeSsh
    ) -> None:
        with pytest.raises(HostKeyUnknown):
            await make_ssh(certified.ssh_config).connect(certified.name)
        certified.known_hosts.write_text(line_for(certified, tmp_path / "certified"))
        assert await works(make_ssh, certified.ssh_config)

    async def test_another_authority_does_not(self, certified: Sshd, tmp_path: Path, make_ssh: MakeSsh) -> None:
        other = f"@cert-authority * {public(make_key(tmp_path / 'other'))}\n"
        certified.known_hosts.write_text(other)
        with pytest.raises(HostKeyUnknown, match="its certificate is not accepted"):
            await make_ssh(certified.ssh_config).connect(certified.name)
        certified.known_hosts.write_text(other + line_for(certified, tmp_path / "certified"))
        assert await works(make_ssh, certified.ssh_config)

    async def test_a_certificate_for_another_host(
        self, certified: Sshd, authority: Path, tmp_path: Path, make_ssh: MakeSsh
    ) -> None:
        sign(authority, tmp_path / "certified", "elsewhere.example.com")
        certified.stop()
        certified.start()
        certified.known_hosts.write_text(f"@cert-authority * {public(authority)}\n")
        with pytest.raises(HostKeyUnknown, match="its certificate is not accepted"):
            await make_ssh(certified.ssh_config).connect(certified.name)

    @pytest.mark.parametrize("which", ["authority", "certified"])
    async def test_revoked(
        self, which: str, certified: Sshd, authority: Path, tmp_path: Path, make_ssh: MakeSsh
    ) -> None:
        certified.known_hosts.write_text(
            f"@cert-authority * {public(authority)}\n@revoked * {public(tmp_path / which)}\n"
            + line_for(certified, tmp_path / "certified")
        )
        with pytest.raises(HostKeyRefused, match="revoked"):
            await make_ssh(certified.ssh_config).connect(certified.name)


def sign(authority: Path, key: Path, principal: str) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-s", authority, "-I", "host", "-h", "-n", principal, key.with_name(key.name + ".pub")],
        check=True,
        capture_output=True,
    )


# The files themselves, held against ssh-keygen -F where that is there.

BLOB = b"\x00\x00\x00\x0bssh-ed25519" + b"\x00\x00\x00\x20" + bytes(range(32))
KEY = HostKey("ssh-ed25519", BLOB)
TEXT = f"ssh-ed25519 {base64.b64encode(BLOB).decode()}"


@pytest.mark.parametrize(
    ("patterns", "host", "port", "known"),
    [
        ("mail.example.com", "mail.example.com", 22, True),
        ("mail.example.com", "MAIL.example.com", 22, True),
        ("Mail.Example.com", "mail.example.com", 22, True),
        ("a,b,mail.example.com", "mail.example.com", 22, True),
        ("*.example.com", "mail.example.com", 22, True),
        ("*.example.com,!mail.example.com", "mail.example.com", 22, False),
        ("!mail.example.com", "mail.example.com", 22, False),
        ("mai?.example.com", "mail.example.com", 22, True),
        ("[mail.example.com]:2222", "mail.example.com", 2222, True),
        ("[mail.example.com]:2222", "mail.example.com", 22, False),
        ("[mail.example.com]:*", "mail.example.com", 2222, True),
        ("[*.example.com]:2222", "mail.example.com", 2222, True),
        ("[2001:db8::1]:2222", "2001:db8::1", 2222, True),
        ("2001:db8::1", "2001:db8::1", 22, True),
        ("|1|not|base64", "mail.example.com", 22, False),
        ("|2|AAAA|AAAA", "mail.example.com", 22, False),
    ],
)
def test_patterns(patterns: str, host: str, port: int, known: bool, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"{patterns} {TEXT} a comment\n")
    name = HostConfig(host, port, "ops").key_name
    assert (known_keys([file], HostConfig(host, port, "ops")).verdict(KEY) is Verdict.TRUSTED) == known
    if shutil.which("ssh-keygen"):
        found = subprocess.run(["ssh-keygen", "-F", name, "-f", file], capture_output=True, check=False)
        assert (found.returncode == 0) == known


def test_lines_that_are_no_entry_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    lines = [
        "",
        "# h ssh-ed25519 AAAA",
        "h",
        "h ssh-ed25519",
        "h ssh-ed25519 !!!!",
        "@what h " + TEXT,
        "h ssh-rsa " + TEXT,
    ]
    file.write_bytes("\n".join(lines).encode() + b"\n\xff\xfe\nh " + TEXT.encode() + b"\r\n")
    assert known_keys([tmp_path / "missing", file], HostConfig("h", 22, "ops")) == KnownKeys(keys=(KEY,))


def test_verdicts() -> None:
    other = HostKey("ssh-ed25519", BLOB[:-1] + b"x")
    assert KnownKeys().verdict(KEY) is Verdict.UNKNOWN
    assert KnownKeys(keys=(KEY,)).verdict(KEY) is Verdict.TRUSTED
    assert KnownKeys(portless=(KEY,)).verdict(KEY) is Verdict.TRUSTED
    assert KnownKeys(keys=(other,)).verdict(KEY) is Verdict.CHANGED
    assert KnownKeys(keys=(other, KEY)).verdict(KEY) is Verdict.TRUSTED
    assert KnownKeys(portless=(other,)).verdict(KEY) is Verdict.UNKNOWN
    assert KnownKeys(keys=(KEY,), revoked=(KEY,)).verdict(KEY) is Verdict.REVOKED
    assert KnownKeys(keys=(HostKey("ssh-rsa", b"x"),)).verdict(KEY) is Verdict.UNKNOWN


def test_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", kind="ecdsa")
    shown = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, check=True).stdout.decode().split()[1]
    parsed = key_from_line(public(key))
    assert parsed is not None
    assert parsed.fingerprint == shown
