"""The fixtures keep their promises: a ring forms, can be broken and mended, and nothing of it is left behind."""

from __future__ import annotations

import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ring import processes

if TYPE_CHECKING:
    from tests.ring.fixtures import MakeRing, MakeSshd
    from tests.ring.real import RealDirector, RealRing
    from tests.ring.sshd import Agent, Sshd

ROOT = Path(__file__).parents[2]
BACKEND_IPS = [f"127.0.1.{number}" for number in range(1, 9)]


def status(director: RealDirector) -> dict[str, list[str]]:
    """`director status` by IP."""
    lines = director.doveadm("-f", "tab", "director", "status").stdout.decode().splitlines()
    return {line.split("\t")[0]: line.split("\t")[1:] for line in lines[1:]}


def test_three_directors_form_one_ring_with_eight_backends_in_two_tags(real_ring: RealRing) -> None:
    assert len(real_ring.directors) == 3
    members = []
    for director in real_ring.directors:
        assert director.synced(of=3)
        assert {ip: row[0] for ip, row in status(director).items()} == {
            ip: "gold" if ip in BACKEND_IPS[6:] else "" for ip in BACKEND_IPS
        }
        members.append({(row["director ip"], row["port"]) for row in director.ring_status()})
    assert members == [{(each.ip, str(each.port)) for each in real_ring.directors}] * 3


def test_twenty_thousand_assigned_users_are_counted_by_every_director(make_ring: MakeRing) -> None:
    ring = make_ring()
    users = {number: random.choice(BACKEND_IPS) for number in random.sample(range(1, 2**32), 20_000)}
    ring.assign_users(users)
    expected = Counter(users.values())
    for director in ring.directors:
        assert {ip: int(row[4]) for ip, row in status(director).items()} == expected


def test_a_director_that_stops_and_starts_is_in_the_ring_again(make_ring: MakeRing) -> None:
    ring = make_ring(backends="127.0.1.1 127.0.1.2", settings={"director_user_expire": "7 min"})
    away = ring.directors[1]
    assert away.doveconf("-h", "director_user_expire") == b"7 mins\n"
    away.stop()
    assert away.doveadm("director", "status", check=False).returncode == 75
    ring.wait_synced()
    assert ring.directors[0].synced(of=2)
    ring.directors[0].doveadm("director", "update", "127.0.1.1", "7")
    away.start()
    ring.wait_synced()
    assert status(away)["127.0.1.1"][1] == "7"


def test_a_session_counts_its_user_everywhere_and_is_proxied_by_its_director_alone(make_ring: MakeRing) -> None:
    ring = make_ring()
    golden = ring.log_in("jane@gold.example.com", 1)
    plain = ring.log_in("joe@example.com", 1)
    for director in ring.directors:
        assert {row["tag"] for row in director.backends() if row["users"] == "1"} == {"gold", ""}
        assert director.users() == 2

    def listed(director: int) -> bytes:
        return ring.directors[director].doveadm("-f", "tab", "proxy", "list").stdout

    assert ring.mail_sessions().total() == 2
    assert (listed(0), listed(2)) == (b"\n", b"\n")
    assert re.search(rb"^jane@gold\.example\.com\timap\t127\.0\.0\.1\t127\.0\.1\.[78]\t\d+$", listed(1), re.MULTILINE)
    golden.close()
    assert processes.wait_until(lambda: b"jane" not in listed(1), 10)
    assert b"joe@example.com" in listed(1)
    assert processes.wait_until(lambda: ring.mail_sessions().total() == 1, 10)
    assert not plain.ended
    [ip] = ring.mail_sessions()
    ring.directors[1].doveadm("proxy", "kick", "-h", ip)
    assert processes.wait_until(lambda: plain.ended, 10)
    assert processes.wait_until(lambda: ring.mail_sessions().total() == 0, 10)


def test_a_frozen_director_answers_again_after_the_thaw(make_ring: MakeRing) -> None:
    director = make_ring(size=1).directors[0]
    director.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        director.doveadm("director", "status", timeout_s=0.5)
    director.thaw()
    assert len(status(director)) == 8
    director.freeze()  # and stays so: the end of the ring has to cope


def test_openssh_reaches_each_director_through_its_sshd(real_ring: RealRing, real_sshds: list[Sshd]) -> None:
    for director, sshd in zip(real_ring.directors, real_sshds, strict=True):
        done = sshd.run(f"env TZ=UTC LC_ALL=C {director.doveadm_words} -f tab director status")
        assert done.returncode == 0, done.stderr
        assert done.stdout == director.doveadm("-f", "tab", "director", "status").stdout
        assert sshd.run("exit 75").returncode == 75


def test_the_agent_alone_lets_in(real_sshds: list[Sshd], ring_agent: Agent, ring_known_hosts: Path) -> None:
    for sshd in real_sshds:
        options = [f"UserKnownHostsFile={ring_known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
        done = subprocess.run(
            ["ssh", "-F", "/dev/null", *(f"-o{option}" for option in options), f"ssh://{sshd.destination}", "echo in"],
            env={**os.environ, **ring_agent.environment},
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.stdout == b"in\n", done.stderr


def test_sessions_can_be_frozen_and_killed_one_sshd_at_a_time(real_sshds: list[Sshd]) -> None:
    cut_off, untouched = real_sshds[:2]
    with (
        subprocess.Popen(cut_off.ssh_argv("echo up; cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one,
        subprocess.Popen(untouched.ssh_argv("echo up; cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other,
    ):
        assert one.stdout
        assert one.stdin
        assert other.stdout
        assert other.stdin
        assert one.stdout.readline() == other.stdout.readline() == b"up\n"
        assert cut_off.session_pids()

        cut_off.freeze_sessions()
        one.stdin.write(b"heard after the thaw\n")
        one.stdin.flush()
        assert select.select([one.stdout], [], [], 0.3)[0] == []
        cut_off.thaw_sessions()
        assert one.stdout.readline() == b"heard after the thaw\n"

        cut_off.kill_sessions()
        assert one.wait(10) == 255
        assert cut_off.session_pids() == []
        other.stdin.write(b"still here\n")
        other.stdin.close()
        assert other.stdout.readline() == b"still here\n"
    assert cut_off.run("echo again").stdout == b"again\n"


def test_a_refusing_sshd_keeps_its_sessions_and_a_stopped_one_does_not(make_sshd: MakeSshd) -> None:
    sshd = make_sshd()
    with subprocess.Popen(sshd.ssh_argv("echo up; cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
        assert session.stdout
        assert session.stdin
        assert session.stdout.readline() == b"up\n"
        sshd.refuse()
        assert b"Connection refused" in sshd.run("true").stderr
        session.stdin.write(b"going on\n")
        session.stdin.flush()
        assert session.stdout.readline() == b"going on\n"
        sshd.start()
        assert sshd.run("echo back").stdout == b"back\n"
        sshd.stop()
        assert session.wait(10) == 255
    assert sshd.session_pids() == []
    sshd.start()
    assert sshd.run("echo back").stdout == b"back\n"


def test_sshd_takes_further_settings_and_names_its_host_key(make_sshd: MakeSshd) -> None:
    sshd = make_sshd(extra=["ForceCommand echo forced"], environment={"GREETING": "two words", "SHLVL": "1"})
    assert sshd.run("true").stdout == b"forced\n"
    assert sshd.fingerprint.startswith("SHA256:")
    assert sshd.fingerprint in subprocess.check_output(["ssh-keygen", "-lf", sshd.known_hosts], text=True)
    greeter = make_sshd(environment={"GREETING": "two words", "SHLVL": "1"})
    assert greeter.run('echo "$GREETING"').stdout == b"two words\n"


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_however_it_ends(sig: signal.Signals, make_sshd: MakeSshd) -> None:
    """`python -m tests.ring` in a process of its own, ended the gentle way and the two rough ones."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.ring", "--users", "100"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout
        lines = []
        for line in program.stdout:
            lines.append(line)
            if line.startswith("Ready"):
                break
        folders = {Path(word).parent for line in lines for word in line.split() if word.endswith("/config.toml")}
        assert len(folders) == 1, lines
        config = next(iter(folders)) / "config.toml"
        rings = {Path(found) for found in re.findall(r"/tmp/ring-[^/]+", config.read_text())}
        assert rings, config.read_text()
        started = processes.descendants(program.pid)
        started += [each for ring in rings for each in _instance_processes(ring)]
        assert len(started) > 10
        program.send_signal(sig)
        program.wait(30)
    assert processes.wait_until(lambda: not any(map(processes.alive, started)), 30), list(
        filter(processes.alive, started)
    )
    assert processes.wait_until(lambda: not any(folder.exists() for folder in folders | rings), 10)


def test_the_installer_finds_nothing_to_do_here(make_sshd: MakeSshd) -> None:
    done = subprocess.run([ROOT / "tests/ring/install-debian-packages"], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert shutil.which("tmux")


def _instance_processes(ring: Path) -> list[processes.Process]:
    masters = [processes.read_pid(path) for path in ring.glob("*/run/master.pid")]
    return [each for master in masters if master for each in processes.group(master)]
