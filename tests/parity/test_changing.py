"""What changes a ring, against the practice ring and against real Dovecot: bytes, exit statuses, and what becomes of
backends, users and sessions."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from director_tui.demo.command import Answer
from director_tui.director import doveadm
from director_tui.director.hashring import rings_by_tag, user_hash
from director_tui.director.model import State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .conftest import AnyRing

UNKNOWN = "192.0.2.77"


def usage(verb: str, arguments: str) -> str:
    return f"doveadm director {verb} [-a <director socket path>] {arguments}\n"


ADD_USAGE = usage("add", "[-t <tag>] <host> [<vhost count>]")
UPDATE_USAGE = usage("update", "<host> <vhost count>")
NOT_A_NAME = "failed: Name or service not known"
DISCONNECTED = "Error: <admin socket> unexpectedly disconnected\n"


def ips(ring: AnyRing) -> list[str]:
    return [each.ip for each in ring.ask(doveadm.status())]


def spelled(ring: AnyRing, words: str) -> list[str]:
    """{0} … {7} stand for the backends, of which {6} and {7} have the tag gold, {new} for one that isn't there."""
    known = ips(ring)
    new = known[0].rpartition(".")[0] + ".77"
    return [word.format(*known, new=new, unknown=UNKNOWN) for word in words.split()]


def change(ring: AnyRing, words: str, director: int = 0) -> Answer:
    return ring.doveadm("director", *spelled(ring, words), director=director)


def table(ring: AnyRing, director: int = 0) -> dict[str, tuple[str, int, State]]:
    return {each.ip: (each.tag, each.vhosts, each.state) for each in ring.ask(doveadm.status(), director)}


def users(ring: AnyRing, director: int = 0) -> dict[str, int]:
    """Only where there are any."""
    return {each.ip: each.users for each in ring.ask(doveadm.status(), director) if each.users}


def sessions(ring: AnyRing) -> list[Counter[tuple[str, str]]]:
    """Of each director: which user is on which backend, and how often."""
    return [Counter((each.user, each.ip) for each in ring.ask(doveadm.proxy_list(), director)) for director in range(3)]


def names(ring: AnyRing, count: int, ip: str, tag: str = "") -> list[str]:
    """Users whose hashes lead to this backend."""
    hash_ring = rings_by_tag(ring.ask(doveadm.status()))[tag]
    domain = f"{tag}.example.com" if tag else "example.com"
    found: list[str] = []
    number = 0
    while len(found) < count:
        name, number = f"user{number}@{domain}", number + 1
        if hash_ring.backend_of(user_hash(name)) == ip:
            found.append(name)
    return found


def assign(ring: AnyRing, users: Sequence[str], ip: str) -> None:
    """Until none of them is being moved any more."""
    ring.assign_all([user_hash(each) for each in users], ip)
    ring.wait(lambda: ring.doveadm("director", "move", users[-1], ip).status == 0)


OK = Answer(0, b"", b"")


def test_what_is_changed_shows_on_every_director(any_ring: AnyRing) -> None:
    before = table(any_ring)
    known = ips(any_ring)
    [new, newer, golden] = [known[0].rpartition(".")[0] + f".{number}" for number in (77, 78, 79)]
    for words in (
        "update {0} 0",
        "update {1} 1000",
        "update {7}@gold 05",
        "down {2}",
        "down {2}",
        "up {3}",
        "down {4}",
        "up {4}",
        "add {3} 30",
        "add {7}",
        "remove {5}",
        f"add {new}",
        f"add -t gold {golden} 7",
        f"add {newer}@a@b 0",
    ):
        assert change(any_ring, words) == OK, words
    expected = before | {
        known[0]: ("", 0, State.UP),
        known[1]: ("", 1000, State.UP),
        known[7]: ("gold", 5, State.UP),
        known[2]: ("", 100, State.DOWN),
        known[3]: ("", 30, State.UP),
        new: ("", 100, State.UP),
        golden: ("gold", 7, State.UP),
        newer: ("a@b", 0, State.UP),
    }
    del expected[known[5]]
    for director in range(3):
        assert table(any_ring, director) == expected
        assert [each.ip for each in any_ring.ask(doveadm.status(), director)] == [
            *(known[place] for place in (0, 1, 2, 3, 4, 6, 7)),
            *(new, newer, golden),
        ]
    times = {each.ip: each.state_changed for each in any_ring.ask(doveadm.status())}
    assert times[known[2]] is not None
    assert times[known[4]] is not None
    assert times[new] is None
    assert change(any_ring, f"add {known[5]}") == OK
    assert change(any_ring, f"update {known[5]} 44") == OK
    assert change(any_ring, f"remove {new}") == OK
    assert change(any_ring, f"down {new}", director=2) == Answer(68, b"", f"Error: {new}: doesn't exist\n".encode())


@pytest.mark.parametrize(
    ("words", "status", "stderr"),
    [
        ("update {unknown} 50", 75, "Error: {unknown}: doesn't exist\n"),
        ("update {unknown} 1001", 75, "Error: {unknown}: vhost count too large\n"),
        ("update {unknown}@gold 50", 75, "Error: {unknown}: doesn't exist\n"),
        ("up {unknown}", 68, "Error: {unknown}: doesn't exist\n"),
        ("down {unknown}", 68, "Error: {unknown}: doesn't exist\n"),
        ("remove {unknown}", 68, "Error: {unknown}: doesn't exist\n"),
        ("flush {unknown}", 68, "Warning: {unknown}: doesn't exist\n"),
        ("flush -F {unknown}", 68, "Warning: {unknown}: doesn't exist\n"),
        ("flush --max-parallel 3 {unknown}", 68, "Warning: {unknown}: doesn't exist\n"),
        ("move jane {unknown}", 68, "Error: Host '{unknown}' doesn't exist\n"),
        ("move jane 5", 68, "Error: Host '0.0.0.5' doesn't exist\n"),
        ("down 5", 68, "Error: 0.0.0.5: doesn't exist\n"),
        ("flush 5", 68, "Warning: 0.0.0.5: doesn't exist\n"),
        ("update {0} 1001", 75, "Error: {0}: vhost count too large\n"),
        ("update {0}@gold 1001", 75, "Error: {0}: vhost count too large\n"),
        ("add {new} 1001", 75, "Error: {new}: vhost count too large\n"),
        ("add {new} 4294967294", 75, "Error: {new}: vhost count too large\n"),
        ("update {0}@gold 5", 75, "Error: {0}: host tag can't be changed\n"),
        ("add {7}@silver", 75, "Error: {7}: host tag can't be changed\n"),
        ("add -t silver {7} 5", 75, "Error: {7}: host tag can't be changed\n"),
        ("add -t silver {0}", 75, "Error: {0}: host tag can't be changed\n"),
        ("update {0} 4294967295", 75, DISCONNECTED),
        ("flush --max-parallel 4294967296 {0}", 75, DISCONNECTED),
        ("flush --max-parallel 99999999999 all", 75, DISCONNECTED),
        ("update {0} 4294967296", 64, UPDATE_USAGE),
        ("update {0} abc", 64, UPDATE_USAGE),
        ("update {0} +5", 64, UPDATE_USAGE),
        ("update {0} 5x", 64, UPDATE_USAGE),
        ("update nosuch.invalid abc", 64, UPDATE_USAGE),
        ("update {0}", 64, UPDATE_USAGE),
        ("update {0} -5", 64, "update: invalid option -- '5'\n"),
        ("update {0} 1 2", 64, "Error: Extraneous arguments found: 2\n"),
        ("update -t gold {0} 5", 64, "update: invalid option -- 't'\n"),
        ("update 5 10", 64, f"Error: Invalid host '5'\n{UPDATE_USAGE}"),
        ("add 5", 64, f"Error: Invalid host '5'\n{ADD_USAGE}"),
        ("add", 64, ADD_USAGE),
        ("add {new} abc", 64, ADD_USAGE),
        ("up", 64, usage("up", "<host>")),
        ("down {0} {1}", 64, "Error: Extraneous arguments found: {1}\n"),
        ("down", 64, usage("down", "<host>")),
        ("remove", 64, usage("remove", "<host>")),
        ("move jane", 64, usage("move", "<user> <host>")),
        ("kick", 64, usage("kick", "[-f <passdb field>] <user>")),
        ("kick a b", 64, "Error: Extraneous arguments found: b\n"),
        ("kick -f", 64, "kick: option requires an argument -- 'f'\n"),
        ("flush", 64, usage("flush", "[-F] [--max-parallel <n>] <host>|all")),
        ("flush --max-parallel", 64, "flush: option '--max-parallel' requires an argument\n"),
        ("flush --max", 64, "flush: option '--max-parallel' requires an argument\n"),
        ("flush --nosuch 5 all", 64, "flush: unrecognized option '--nosuch'\n"),
        ("update nosuch.invalid 5", 75, f"Error: gethostname(nosuch.invalid) {NOT_A_NAME}\n"),
        ("add -t gold {new}@silver", 75, f"Error: gethostname({{new}}@silver) {NOT_A_NAME}\n"),
        ("down {7}@gold", 75, f"Error: gethostname({{7}}@gold) {NOT_A_NAME}\n"),
        ("remove all", 75, f"Error: gethostname(all) {NOT_A_NAME}\n"),
        ("flush ALL", 75, f"Error: gethostname(ALL) {NOT_A_NAME}\n"),
        ("move jane {7}@gold", 75, f"Error: gethostname({{7}}@gold) {NOT_A_NAME}\n"),
        ("update -a /nonexistent {0}", 75, "Fatal: net_connect_unix(/nonexistent) failed: No such file or directory\n"),
    ],
)
def test_what_is_refused_changes_nothing(any_ring: AnyRing, words: str, status: int, stderr: str) -> None:
    before = table(any_ring)
    known = dict(zip(("unknown", "new"), spelled(any_ring, "{unknown} {new}"), strict=True))
    expected = stderr.format(*ips(any_ring), **known).encode()
    assert change(any_ring, words) == Answer(status, b"", expected)
    # It ends before it has begun to print.
    newline = b"" if "doveadm director" in stderr or stderr.startswith("Fatal") else b"\n"
    assert any_ring.doveadm("-f", "tab", "director", *spelled(any_ring, words)) == Answer(status, newline, expected)
    assert table(any_ring) == before


@pytest.mark.parametrize(
    "words",
    [
        *("flush all", "flush all -F", "flush -F {0}", "flush {0}", "flush --max-parallel 0 {0}"),
        *("flush --max-parallel abc all", "flush --max-parallel -3 all", "flush --max-parallel 4294967295 {0}"),
        *("flush -F --max-parallel 5 {0}", "flush --max-parallel=5 all", "flush --max 5 all"),
        *("kick nobody", "kick *", "kick -f field nobody", "kick -- -x", "down {0}", "up {0}", "update {0} -- 100"),
        *("move -- -x {0}", "move 12345 {0}", "move jane {7}", "update {7}@ 100", "add {7}@ 100"),
    ],
)
def test_what_is_done_without_a_word(any_ring: AnyRing, words: str) -> None:
    assert change(any_ring, words) == OK
    assert any_ring.doveadm("-f", "tab", "director", *spelled(any_ring, "flush all")) == Answer(0, b"\n", b"")
    assert any_ring.doveadm("-h", "-f", "tab", "director", *spelled(any_ring, "flush all")) == OK


def test_what_verbose_commands_say(any_ring: AnyRing) -> None:
    for words, said in (
        ("update {0} 50", "{0}: OK"),
        ("add {new}", "{new}: OK"),
        ("down {0}", "{0}: down"),
        ("down {0}", "{0}: down"),
        ("up {0}", "{0}: up"),
        ("remove {new}", "{new}: removed"),
        ("flush {1}", "{1}: flushed"),
        ("flush -F {1}", "{1}: flushed"),
        ("flush all", "flushed"),
        ("kick jane", "User jane kicked"),
        ("move jane {1}", "User hash 1480892766 moved to {1}"),
    ):
        [*expected] = spelled(any_ring, said)
        answer = any_ring.doveadm("-v", "director", *spelled(any_ring, words))
        assert answer == Answer(0, b"", f"Info: {' '.join(expected)}\n".encode())


def test_a_stalled_director_holds_the_ring_up_and_what_waits_is_done_or_not(stalling_ring: AnyRing) -> None:
    ring = stalling_ring
    known = ips(ring)
    before = table(ring)
    ring.stall(2)
    assert ring.doveadm("-f", "tab", "director", "status", director=2) == Answer(
        75,
        b"",
        b"Fatal: read(<admin socket>) failed: read(size=8192) failed: Interrupted system call\n",
    )
    assert ring.ask(doveadm.ring_status()).healthy
    done = ring.start("director", "update", known[0], "50")
    ring.wait(lambda: table(ring, 0) == table(ring, 1) == before | {known[0]: ("", 50, State.UP)})
    for director in (0, 1):
        view = ring.ask(doveadm.ring_status(), director)
        assert view.self_peer is not None
        assert re.fullmatch(r"ring syncing - last sync \d+ secs ago", view.self_peer.status)
        assert [each.status for each in view.peers if each.type != "self"] == ["syncing", "syncing"]
    waiting = {
        words: ring.start("director", *spelled(ring, words))
        for words in (
            *("update {1} 50", "add {new} 5", "up {2}", "down {2}", "remove {3}", "update {unknown} 5"),
            *("flush -F {4}", "flush -F all", "update {4} 1001"),
        )
    }
    # These wait for nothing.
    assert [change(ring, words) for words in ("flush {1}", "flush all", "kick jane", "move jane {1}")] == [OK] * 4
    assert change(ring, "flush {unknown}").status == 68
    assert change(ring, "update {1} abc").status == 64
    ring.wait(lambda: all(each.answer is not None for each in (done, *waiting.values())), 60)
    assert done.answer == Answer(75, b"", f"Error: {known[0]}: Ring sync timed out\n".encode())
    for words, each in waiting.items():
        ip = spelled(ring, words.split()[2 if "-F" in words else 1])[0]
        what = "Error: failed" if ip == "all" else f"Warning: {ip}" if "-F" in words else f"Error: {ip}"
        assert each.answer == Answer(75, b"", f"{what}: Ring sync timed out\n".encode()), words
    # What was begun is done, what was not begun is not.
    assert table(ring, 0) == table(ring, 1) == before | {known[0]: ("", 50, State.UP)}

    waiting = {words: ring.start("director", *spelled(ring, words)) for words in ("up {5}", "update {unknown} 5")}
    first = ring.start("director", "update", known[1], "61", director=1)
    assert not any(each.answer for each in (first, *waiting.values()))
    ring.go_on(2)
    ring.wait(lambda: all(each.answer is not None for each in (first, *waiting.values())))
    assert [each.answer for each in (first, waiting["up {5}"])] == [OK, OK]
    assert waiting["update {unknown} 5"].answer == Answer(75, b"", f"Error: {UNKNOWN}: doesn't exist\n".encode())
    after = before | {known[0]: ("", 50, State.UP), known[1]: ("", 61, State.UP)}
    ring.wait(lambda: all(table(ring, director) == after for director in range(3)))
    ring.wait(lambda: all(ring.ask(doveadm.ring_status(), director).healthy for director in range(3)))


def test_commands_run_one_after_the_other_in_one_shell(any_ring: AnyRing) -> None:
    ip, other, *_ = known = ips(any_ring)
    lines = [
        f"doveadm director update {ip} 7",
        "doveadm -f tab director map -u -- 'with blank'",
        f"doveadm director update {UNKNOWN} 7",
        "",
        "env TZ=UTC nosuch a",
        "nosuch 'a b'",
        f"doveadm director update {other} 8",
    ]

    def said(*parts: str) -> bytes:
        return "".join(f"\nMARK {part}\n" if part.isalnum() else part for part in parts).encode()

    errors = "\nMARK\n" * 3 + f"Error: {UNKNOWN}: doesn't exist\n" + "\nMARK\n"
    answer = any_ring.in_shell("MARK", lines)
    hash_line = f"hash\n{user_hash('with blank')}\n"
    assert answer == Answer(75, said("ready", "0", hash_line, "0", "75"), errors.encode())
    assert [each.vhosts for each in any_ring.ask(doveadm.status())] == [7, *[100] * (len(known) - 1)]

    answer = any_ring.in_shell("MARK", lines, go_on=True)
    errors += (
        "\nMARK\nenv: 'nosuch': No such file or directory\n\nMARK\nMARK: 1: eval: nosuch: not found\n\nMARK\n\nMARK\n"
    )
    assert answer == Answer(0, said("ready", "0", hash_line, "0", "75", "0", "127", "127", "0"), errors.encode())
    assert [each.vhosts for each in any_ring.ask(doveadm.status())] == [7, 8, *[100] * (len(known) - 2)]

    assert any_ring.in_shell("M", []) == Answer(0, b"\nM ready\n", b"\nM\n")
    wrong = ["doveadm director 'up", f"doveadm director down {ip}"]
    unterminated = any_ring.in_shell("M", wrong)
    assert (unterminated.status, unterminated.stdout) == (2, b"\nM ready\n")
    assert b"Syntax error: Unterminated quoted string" in unterminated.stderr
    assert any_ring.ask(doveadm.status())[0].state is State.UP
    unterminated = any_ring.in_shell("M", wrong, go_on=True)
    assert (unterminated.status, unterminated.stdout) == (0, b"\nM ready\n\nM 2\n\nM 0\n")
    assert b"Syntax error: Unterminated quoted string" in unterminated.stderr
    assert any_ring.ask(doveadm.status())[0].state is State.DOWN


def test_what_goes_on_in_one_shell_ends_where_the_ring_is_not_synced(any_ring: AnyRing) -> None:
    ip, other, *_ = ips(any_ring)
    any_ring.stall(2)
    lines = [
        f"doveadm director update {UNKNOWN} 7",
        f"doveadm director update {ip} 7",
        f"doveadm director down {other}",
    ]
    answer = any_ring.in_shell("M", lines, go_on=True)
    any_ring.go_on(2)
    assert (answer.status, answer.stdout) == (75, b"\nM ready\n\nM 75\n\nM 75\n")
    assert b"Ring sync timed out" in answer.stderr
    any_ring.wait(lambda: all(any_ring.ask(doveadm.ring_status(), director).healthy for director in range(3)))
    assert any_ring.ask(doveadm.status())[1].state is State.UP


@pytest.mark.parametrize("go_on", [False, True])
def test_a_real_shell_to_which_nobody_listens_any_more_goes_on_only_if_it_is_to(tmp_path: Path, go_on: bool) -> None:
    """What sshd leaves of it when a connection is lost; tests/demo/test_server.py has the practice ring's."""
    os.mkfifo(tmp_path / "gate")
    with subprocess.Popen(
        doveadm.one_after_the_other("MARK", go_on=go_on),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as shell:
        assert shell.stdin
        assert shell.stdout
        assert shell.stderr
        shell.stdin.write(b"sh -c 'cat gate > first'\ntouch second\n")
        shell.stdin.flush()
        assert shell.stdout.readline() + shell.stdout.readline() == b"\nMARK ready\n"
        assert shell.stderr.readline() + shell.stderr.readline() == b"\nMARK\n"
        shell.stdout.close()
        shell.stderr.close()
        shell.stdin.close()
        (tmp_path / "gate").write_text("open")
        assert shell.wait(30) == (0 if go_on else -signal.SIGPIPE)
    assert (tmp_path / "first").read_text() == "open"
    assert (tmp_path / "second").exists() is go_on
