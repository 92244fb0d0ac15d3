"""The backends' machines keep their promises, reached as the program reaches them: through a director's sshd."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.ring import processes
from tests.ring.backend_hosts import BackendHosts
from tests.ring.real import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.ring.sshd import Sshd

ONE, OTHER = "127.0.1.1", "127.0.1.2"
FLUSHALL = ("metacache", "flushall")


@pytest.fixture(scope="module")
def hosts(real_sshds: list[Sshd]) -> Iterator[BackendHosts]:
    with BackendHosts([ONE, OTHER], real_sshds[0].client_key) as made:
        yield made


@pytest.fixture(autouse=True)
def as_at_first(hosts: BackendHosts) -> None:
    hosts.forget()


def argv(hosts: BackendHosts, ip: str, through: Sshd, *words: str) -> list[str]:
    """OpenSSH's client, with the director as jump host."""
    director = through.ssh_argv()[1:-2]
    proxy = f"ProxyCommand=ssh {' '.join(director)} -W %h:%p {through.name}"
    own = ["-o", proxy, "-o", f"UserKnownHostsFile={hosts.sshd.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
    key = ["-F", "/dev/null", "-i", str(hosts.sshd.client_key), "-o", "BatchMode=yes", "-o", "IdentityAgent=none"]
    return ["ssh", *key, *own, f"ssh://{hosts.destination.format(ip=ip)}", "--", hosts.doveadm, *words]


def run(hosts: BackendHosts, ip: str, through: Sshd, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(argv(hosts, ip, through, *words), capture_output=True, timeout=30, check=False)


def test_each_upload_is_recorded_at_its_own_backend(hosts: BackendHosts, real_sshds: list[Sshd]) -> None:
    for ip, through in ((ONE, real_sshds[0]), (OTHER, real_sshds[2]), (ONE, real_sshds[1])):
        done = run(hosts, ip, through, "-v", *FLUSHALL)
        assert (done.returncode, done.stdout) == (0, b"metacache: everything uploaded\n"), done.stderr
    first, second = hosts.uploads(ONE)
    [other] = hosts.uploads(OTHER)
    assert {each.status for each in (first, second, other)} == {0}
    assert first.ended
    assert other.ended
    assert first.begun <= first.ended <= other.begun <= other.ended <= second.begun
    assert first.words == "-v metacache flushall"


def test_an_upload_that_fails_once(hosts: BackendHosts, real_sshds: list[Sshd]) -> None:
    hosts.fail_next(ONE)
    assert run(hosts, OTHER, real_sshds[0], *FLUSHALL).returncode == 0
    failed = run(hosts, ONE, real_sshds[0], *FLUSHALL)
    assert (failed.returncode, failed.stdout) == (75, b"")
    assert failed.stderr.startswith(b"Error: obox: ")
    assert run(hosts, ONE, real_sshds[0], *FLUSHALL).returncode == 0
    assert [each.status for each in hosts.uploads(ONE)] == [75, 0]


def test_an_upload_that_is_held_goes_on_without_whoever_began_it(hosts: BackendHosts, real_sshds: list[Sshd]) -> None:
    hosts.hold(ONE)
    with subprocess.Popen(argv(hosts, ONE, real_sshds[0], *FLUSHALL), stdout=subprocess.PIPE) as client:
        assert processes.wait_until(lambda: len(hosts.uploads(ONE)) == 1, 10)
        client.kill()
    assert run(hosts, OTHER, real_sshds[1], *FLUSHALL).returncode == 0, "only the one is held"
    assert hosts.uploads(ONE)[0].status is None
    hosts.release(ONE)
    assert processes.wait_until(lambda: hosts.uploads(ONE)[0].status == 0, 10)


def test_a_backend_without_obox_and_everything_else_is_debian_s_own_doveadm(
    hosts: BackendHosts, real_sshds: list[Sshd]
) -> None:
    own = str(shutil.which("doveadm", path=PATH))
    hosts.without_metacache(OTHER)
    for words, ip in ((FLUSHALL, OTHER), (("nosuch",), ONE)):
        done, plain = (
            run(hosts, ip, real_sshds[0], *words),
            subprocess.run([own, *words], capture_output=True, check=False),
        )
        assert (done.returncode, done.stdout, done.stderr) == (64, plain.stdout, plain.stderr)
    assert hosts.uploads(OTHER) == ()
