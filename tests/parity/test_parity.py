"""The same test bodies against the practice ring and against real Dovecot, so that the two can't drift apart."""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from director_tui.demo.command import Answer
from director_tui.director import doveadm
from director_tui.director.agreement import disagreements, parts
from director_tui.director.doveadm import Tool
from director_tui.director.hashring import rings_by_tag, user_hash
from director_tui.director.mail_servers import parse_mail_servers, run_time_only
from director_tui.director.model import RingView, State
from director_tui.text import clean

from .conftest import Practice

if TYPE_CHECKING:
    from .conftest import AnyRing

STATUS_TITLES = b"mail server ip\ttag\tvhosts\tstate\tstate changed\tusers"
PLACEMENT_TITLES = b"status\texpires\thashed\tinitial-config"
MAP_TITLES = b"user\thash\tmail server ip\texpire time"
RING_TITLES = (
    b"director ip\tport\ttype\tlast failed\tstatus\tping ms"
    b"\tinput\toutput\tbuffered\tbuffered peak\tlast read\tlast write"
)
MAP_USAGE = b"doveadm director map [-a <director socket path>] [-f <users file>] [-h | -u] [<host>]\n"

ODD_USERS = (
    *("joe@example.com", "Joe@Example.COM", "with blank@example.com", 'it\'s "quoted"; $(id) `id` \\', " ", "a%b%%u"),
    *("-leading", "--double", "-", "--", "üser@example.com", "ÜSER@example.com", "名@例え.jp", "\udcff\udcfe"),
    *("12345", "00012345", "4294967295", "4294967296", "+5", "0", "٣", "@", "@domain", "a@b@c", "*", "x" * 500),
)


def test_status(any_ring: AnyRing) -> None:
    answer = any_ring.doveadm("-f", "tab", "director", "status")
    assert (answer.status, answer.stderr) == (0, b"")
    lines = answer.stdout.splitlines()
    assert lines[0] == STATUS_TITLES
    assert [line.split(b"\t")[1:4] for line in lines[1:]] == [[b"", b"100", b"up"]] * 6 + [[b"gold", b"100", b"up"]] * 2
    assert [line.split(b"\t")[5] for line in lines[1:]] == [b"0"] * 8
    assert any_ring.doveadm("-h", "-f", "tab", "director", "status").stdout.splitlines() == lines[1:]
    assert [any_ring.ask(doveadm.status(), director) for director in (1, 2)] == [any_ring.ask(doveadm.status())] * 2


def test_what_is_set_shows_in_status_on_every_director(any_ring: AnyRing) -> None:
    before = any_ring.ask(doveadm.status())
    any_ring.set_vhosts(before[1].ip, 37)
    any_ring.set_vhosts(before[2].ip, 0)
    any_ring.set_state(before[7].ip, State.DOWN)
    for director in range(3):
        after = any_ring.ask(doveadm.status(), director)
        assert [each.ip for each in after] == [each.ip for each in before]
        assert [each.vhosts for each in after] == [100, 37, 0, 100, 100, 100, 100, 100]
        assert [each.state for each in after] == [State.UP] * 7 + [State.DOWN]
        assert after[7].state_changed is not None
        assert abs(after[7].state_changed - any_ring.now()) < timedelta(seconds=5)
        assert after[2].state_changed == before[2].state_changed


def test_ring_status(any_ring: AnyRing) -> None:
    answer = any_ring.doveadm("-f", "tab", "director", "ring", "status")
    assert (answer.status, answer.stderr) == (0, b"")
    titles, own, right, left = answer.stdout.splitlines()
    assert titles == RING_TITLES
    assert own.split(b"\t")[2:5] == [b"self", b"never", b"ring synced"]
    assert own.split(b"\t")[6:] == [b"-"] * 6
    assert right.split(b"\t")[2:5] == [b"right", b"never", b"synced"]
    assert left.split(b"\t")[2:5] == [b"left", b"never", b"synced"]
    assert len(right.split(b"\t")) == len(left.split(b"\t")) == 12
    views = [any_ring.ask(doveadm.ring_status(), director) for director in range(3)]
    assert all(view.healthy for view in views)
    assert len({view.members for view in views}) == 1
    assert [[peer.type for peer in view.peers] for view in views] == [
        ["self", "right", "left"],
        ["left", "self", "right"],
        ["right", "left", "self"],
    ]
    near = [peer for view in views for peer in view.peers if peer.type != "self"]
    assert all(None not in (peer.ping_ms, peer.input, peer.output, peer.last_read, peer.last_write) for peer in near)
    assert {peer.buffered for peer in near} == {0}


def test_directors_that_stop_one_after_the_other(any_ring: AnyRing) -> None:
    def peers(director: int) -> list[tuple[int, str, bool, str]]:
        """Place, type, whether it failed, status; two connections to one director come in the order they were made."""
        view = any_ring.ask(doveadm.ring_status(), director)
        order = sorted(view.members)
        return sorted(
            (order.index((each.ip, each.port)), each.type, each.last_failed is not None, each.status)
            for each in view.peers
        )

    any_ring.stop(2)
    any_ring.wait(lambda: [each[1] for each in peers(0) if each[0] == 1] == ["left", "right"])
    assert peers(0) == [
        (0, "self", False, "ring synced"),
        (1, "left", False, "synced"),
        (1, "right", False, "synced"),
        (2, "", False, ""),
    ]
    any_ring.wait(lambda: [each[1] for each in peers(1) if each[0] == 0] == ["left", "right"])
    assert peers(1) == [
        (0, "left", False, "synced"),
        (0, "right", False, "synced"),
        (1, "self", False, "ring synced"),
        (2, "", True, ""),
    ]
    any_ring.stop(1)
    any_ring.wait(lambda: peers(0)[0][3] != "ring synced")
    view = any_ring.ask(doveadm.ring_status())
    assert view.self_peer is not None
    assert view.self_peer.status.startswith("ring syncing - last sync ")
    assert view.self_peer.status.endswith(" secs ago")
    assert peers(0)[1:] == [(1, "", False, ""), (2, "", False, "")]
    assert any_ring.ask(doveadm.status())
    refused = b"Fatal: net_connect_unix(<admin socket>) failed: Connection refused\n"
    for words in (
        "status",
        "status someone",
        "ring status",
        "dump",
        "map -f /dev/null 127.0.0.1",
        "down",
        "map -h -f x x",
    ):
        assert any_ring.doveadm("-f", "tab", "director", *words.split(), director=2) == Answer(75, b"", refused)
    assert any_ring.doveadm("-f", "tab", "proxy", "list", director=2) == Answer(
        0,
        b"\n",
        b"Error: connect(<ipc socket>) failed: Connection refused\nError: LIST-FULL failed: ipc connect failed\n",
    )
    assert any_ring.ask(doveadm.user_hash("jane"), 2) == 1480892766
    assert any_ring.doveadm("-f", "tab", "director", "status", "-x", director=2).status == 64
    assert any_ring.ask(doveadm.version(), 2) == (2, 3, 19, 1)


@pytest.mark.parametrize("user", [*ODD_USERS, ""], ids=ascii)
def test_the_hash_of_a_user_name(any_ring: AnyRing, user: str) -> None:
    answer = any_ring.doveadm("-f", "tab", "director", "map", "-u", "--", user)
    assert answer == Answer(0, b"hash\n%d\n" % user_hash(user), b"")


@pytest.mark.parametrize("user", [*ODD_USERS, ""], ids=ascii)
def test_the_placement_of_a_user_name(any_ring: AnyRing, user: str) -> None:
    rings = rings_by_tag(any_ring.ask(doveadm.status()))
    is_hash = user.isascii() and user.isdigit() and int(user) < 2**32
    hash_ = int(user) if is_hash else user_hash(user)
    for tag in ("", "gold"):
        answer = any_ring.doveadm("-f", "tab", "director", "status", "--", user, tag)
        ip = rings[tag].backend_of(hash_)
        assert answer == Answer(0, PLACEMENT_TITLES + f"\nn/a\t-1\t{ip}\t{ip}\n".encode(), b"")


def test_500_users_with_uneven_vhost_counts_one_backend_down_and_two_tags(any_ring: AnyRing) -> None:
    ips = [each.ip for each in any_ring.ask(doveadm.status())]
    initial = rings_by_tag(any_ring.ask(doveadm.status()))
    for ip, vhosts in zip(ips, (100, 37, 250, 0, 1, 100, 30, 1000), strict=True):
        any_ring.set_vhosts(ip, vhosts)
    any_ring.set_state(ips[5], State.DOWN)
    rings = rings_by_tag(any_ring.ask(doveadm.status()))
    assert [ring.ips for ring in rings.values()] == [(ips[0], ips[1], ips[2], ips[4]), (ips[6], ips[7])]
    dice = random.Random(20261124)
    users = [f"User{dice.randrange(10**9)}@Example.com" for _ in range(500)]
    asked = [(user, tag) for user in users for tag in ("", "gold")]

    def placed(user_and_tag: tuple[str, str]) -> bytes:
        user, tag = user_and_tag
        return any_ring.doveadm("-f", "tab", "director", "status", "--", user, tag).stdout.splitlines()[1]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(placed, asked))
    expected = [
        (rings[tag].backend_of(user_hash(user)), initial[tag].backend_of(user_hash(user))) for user, tag in asked
    ]
    assert answers == [f"n/a\t-1\t{hashed}\t{at_start}".encode() for hashed, at_start in expected]
    assert len(set(expected)) > 12


def test_a_tag_without_a_usable_backend_and_an_unknown_tag_look_the_same(any_ring: AnyRing) -> None:
    golden = [each.ip for each in any_ring.ask(doveadm.status()) if each.tag == "gold"]
    before = any_ring.ask(doveadm.placement(12345, "gold"))
    any_ring.set_vhosts(golden[0], 0)
    any_ring.set_state(golden[1], State.DOWN)
    answer = any_ring.run(Tool.DOVEADM, *doveadm.placement(12345, "gold").words)
    assert answer == Answer(0, PLACEMENT_TITLES + f"\nn/a\t-1\t\t{before.initial_config}\n".encode(), b"")
    for tag in ("nosuch", "Gold", "gold ", "-t", "'", "ü"):
        answer = any_ring.run(Tool.DOVEADM, *doveadm.placement(12345, tag).words)
        assert answer == Answer(0, PLACEMENT_TITLES + b"\nn/a\t-1\t\t\n", b"")


def test_an_assignment_shows_in_status_map_and_placement_of_every_director(any_ring: AnyRing) -> None:
    backends = any_ring.ask(doveadm.status())
    plain, golden = backends[3], backends[6]
    for hash_, backend in ((77, golden), (4294967295, plain), (77, plain), (user_hash("jane"), plain)):
        any_ring.assign(hash_, backend.ip)
    for director in range(3):
        users = {each.ip: each.users for each in any_ring.ask(doveadm.status(), director)}
        assert users == {each.ip: 0 for each in backends} | {plain.ip: 3, golden.ip: 1}
        answer = any_ring.run(Tool.DOVEADM, *doveadm.assignments().words, director=director)
        lines = answer.stdout.splitlines()
        assert lines[0] == MAP_TITLES
        assert {line.split(b"\t")[0] for line in lines[1:]} == {b"<unknown>"}
        listed = any_ring.ask(doveadm.assignments(), director)
        # One tag after the other, and in each whoever was not seen for longest first.
        assert [(each.user_hash, each.ip) for each in listed] == [
            (4294967295, plain.ip),
            (77, plain.ip),
            (1480892766, plain.ip),
            (77, golden.ip),
        ]
        assert any_ring.ask(doveadm.assignments(golden.ip), director) == listed[3:]
        assert any_ring.ask(doveadm.assignments(plain.ip), director) == listed[:3]
        for each, tag in zip(listed, ("", "", "", "gold"), strict=True):
            assert each.expires is not None
            assert abs(each.expires - any_ring.now() - timedelta(seconds=900)) < timedelta(seconds=20)
            placement = any_ring.ask(doveadm.placement(each.user_hash, tag), director)
            assert (placement.current, placement.expires) == (each.ip, each.expires)
        assert any_ring.ask(doveadm.placement(4294967295, "gold"), director).current is None
        by_name = any_ring.doveadm("-f", "tab", "director", "status", "Jane", director=director)
        assert by_name.stdout.splitlines()[1].startswith(plain.ip.encode() + b"\t2")
    any_ring.set_vhosts(plain.ip, 0)
    assert any_ring.ask(doveadm.status())[3].users == 3
    assert any_ring.ask(doveadm.placement(77, "")).current == plain.ip
    assert any_ring.ask(doveadm.placement(77, "")).hashed != plain.ip


@pytest.mark.parametrize("host", ["192.0.2.77", "2001:db8::1", "localhost", "192.2", "3221225985", "192.0.002.077"])
def test_the_map_of_an_unknown_backend_is_empty(any_ring: AnyRing, host: str) -> None:
    answer = any_ring.doveadm("-f", "tab", "director", "map", "-f", "/dev/null", host)
    assert answer == Answer(0, MAP_TITLES + b"\n", b"")


def test_the_map_of_a_backend_in_another_spelling(any_ring: AnyRing) -> None:
    ip = any_ring.ask(doveadm.status())[0].ip
    any_ring.assign(5, ip)
    first, *others = ip.split(".")
    number = int.from_bytes(bytes(map(int, ip.split("."))), "big")
    for spelling in (ip, f"{int(first):03d}.{'.'.join(others)}", str(number)):
        answer = any_ring.doveadm("-h", "-f", "tab", "director", "map", "-f", "/dev/null", spelling)
        assert answer.stdout.startswith(f"<unknown>\t5\t{ip}\t2".encode())


def test_dump(any_ring: AnyRing) -> None:
    backends = any_ring.ask(doveadm.status())
    any_ring.set_vhosts(backends[0].ip, 7)
    any_ring.set_state(backends[1].ip, State.DOWN)
    rows = [
        f"add\t<admin socket>\t{each.ip}{'@gold' if each.tag else ''}\t{7 if each is backends[0] else 100}\n"
        for each in backends
    ]
    answer = any_ring.run(Tool.DOVEADM, *doveadm.dump().words)
    assert answer == Answer(0, f"command\tsocket-path\thost\tvhost_count\n{''.join(rows)}".encode(), b"")
    assert [each.vhosts for each in any_ring.ask(doveadm.dump())] == [7, *[100] * 7]


def test_proxy_list_without_login_processes(any_ring: AnyRing) -> None:
    assert any_ring.doveadm("-f", "tab", "proxy", "list") == Answer(0, b"\n", b"")
    assert any_ring.doveadm("-h", "-f", "tab", "proxy", "list") == Answer(0, b"", b"")
    assert any_ring.ask(doveadm.proxy_list()) == ()


def test_version_and_settings(any_ring: AnyRing) -> None:
    assert any_ring.run(Tool.DOVECONF, "-n").stdout.startswith(b"# 2.3.19.1 (9b53102964): /")
    version = any_ring.ask(doveadm.version())
    assert version == (2, 3, 19, 1)
    settings = any_ring.ask(doveadm.settings(version))
    assert (settings.username_hash, settings.consistent_hashing) == ("%Lu", True)
    assert (settings.user_expire_s, settings.user_kick_delay_s, settings.max_parallel_moves) == (900, 2, 100)
    configured = parse_mail_servers(settings.mail_servers or "")
    backends = any_ring.ask(doveadm.status())
    assert configured.ips == {each.ip: each.tag for each in backends}
    assert run_time_only(backends, configured) == ()


@pytest.mark.parametrize(
    ("words", "stdout"),
    [
        ("-h director_user_expire", b"15 mins\n"),
        ("-h nosuch", b""),
        ("-h director_flush_socket", b"\n"),
        ("-h director_user_expire nosuch director_max_parallel_moves", b"15 mins\n100\n"),
        ("director_flush_socket", b"director_flush_socket = \n"),
        ("nosuch director_user_kick_delay", b"director_user_kick_delay = 2 secs\n"),
        ("director_user_expire director_user_expire", b"director_user_expire = 15 mins\n" * 2),
        ("director_consistent_hashing", b""),
        ("-n director_user_expire", b""),
        ("director_ping_idle_timeout", b"director_ping_idle_timeout = 30 secs\n"),
        ("director_ping_max_timeout", b"director_ping_max_timeout = 1 mins\n"),
        (
            "director_output_buffer_size director_max_parallel_kicks",
            b"director_output_buffer_size = 10 M\ndirector_max_parallel_kicks = 100\n",
        ),
    ],
)
def test_doveconf(any_ring: AnyRing, words: str, stdout: bytes) -> None:
    assert any_ring.run(Tool.DOVECONF, *words.split()) == Answer(0, stdout, b"")


@pytest.mark.parametrize(
    ("words", "status", "stdout", "stderr"),
    [
        (("status", "a", "b", "c"), 64, b"\n", b"Error: Extraneous arguments found: c\n"),
        (("status", "a", "b", "c", "d e"), 64, b"\n", b"Error: Extraneous arguments found: c d e\n"),
        (("status", "--", "a", "--", "c"), 64, b"\n", b"Error: Extraneous arguments found: c\n"),
        (("status", "-x"), 64, b"\n", b"status: invalid option -- 'x'\n"),
        (("status", "user", "-x"), 64, b"\n", b"status: invalid option -- 'x'\n"),
        (("status", "-f", "tab"), 64, b"\n", b"status: invalid option -- 'f'\n"),
        (("status", "--foo"), 64, b"\n", b"status: unrecognized option '--foo'\n"),
        (("status", "-a"), 64, b"\n", b"status: option requires an argument -- 'a'\n"),
        (
            ("status", "-a", "/nonexistent"),
            75,
            b"",
            b"Fatal: net_connect_unix(/nonexistent) failed: No such file or directory\n",
        ),
        (("ring", "status", "x"), 64, b"\n", b"Error: Extraneous arguments found: x\n"),
        (("ring", "status", "-x"), 64, b"\n", b"status: invalid option -- 'x'\n"),
        (("dump", "x"), 64, b"\n", b"Error: Extraneous arguments found: x\n"),
        (("map", "-u"), 64, b"", MAP_USAGE),
        (("map", "-f", "/dev/null", "-h"), 64, b"", MAP_USAGE),
        (("map", "-f"), 64, b"\n", b"map: option requires an argument -- 'f'\n"),
        (("map", "-u", "-x"), 64, b"\n", b"map: invalid option -- 'x'\n"),
        (("map", "-u", "a", "b"), 64, b"\n", b"Error: Extraneous arguments found: b\n"),
        (("map", "-f", "/dev/null", "a", "b"), 64, b"\n", b"Error: Extraneous arguments found: b\n"),
        (
            ("map", "-f", "/dev/null", "nosuch.invalid"),
            75,
            b"\n",
            b"Error: gethostname(nosuch.invalid) failed: Name or service not known\n",
        ),
        (
            ("map", "-f", "/dev/null", "10.1.0.1@gold"),
            75,
            b"\n",
            b"Error: gethostname(10.1.0.1@gold) failed: Name or service not known\n",
        ),
        (
            ("map",),
            75,
            MAP_TITLES + b"\n",
            b"Error: auth-master: userdb list: User listing returned failure\nError: user listing failed\n",
        ),
        (
            ("update", "127.0.0.1"),
            64,
            b"",
            b"doveadm director update [-a <director socket path>] <host> <vhost count>\n",
        ),
        (
            ("flush",),
            64,
            b"",
            b"doveadm director flush [-a <director socket path>] [-F] [--max-parallel <n>] <host>|all\n",
        ),
        (("ring", "add"), 64, b"", b"doveadm director ring add [-a <director socket path>] <ip> [<port>]\n"),
        (("update", "127.0.0.1", "-5"), 64, b"\n", b"update: invalid option -- '5'\n"),
        (("update", "127.0.0.1", "1", "2"), 64, b"\n", b"Error: Extraneous arguments found: 2\n"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_words(any_ring: AnyRing, words: tuple[str, ...], status: int, stdout: bytes, stderr: bytes) -> None:
    assert any_ring.doveadm("-f", "tab", "director", *words) == Answer(status, stdout, stderr)
    assert any_ring.doveadm("-h", "-f", "tab", "director", *words) == Answer(
        status, b"" if stdout == b"\n" else stdout.removeprefix(MAP_TITLES + b"\n"), stderr
    )


@pytest.mark.parametrize(
    "words",
    [
        *("director nosuch", "director nosuch x", "director ring", "director ring nosuch", "director -h", "director"),
        *("proxy", "proxy nosuch", "nosuch", "nosuch director status", "metacache flushall", "", "-h"),
    ],
)
def test_unknown_commands_get_the_usage(any_ring: AnyRing, words: str) -> None:
    answer = any_ring.doveadm("-f", "tab", *words.split())
    assert (answer.status, answer.stdout) == (64, b"")
    assert answer.stderr.startswith(b"usage: doveadm [-Dv] [-f <formatter>] ")
    assert answer == Practice().doveadm("-f", "tab", *words.split())


@pytest.mark.parametrize(
    ("words", "status", "stderr"),
    [
        ("-x director status", 89, b"doveadm: invalid option -- 'x'\n"),
        ("--version", 89, b"doveadm: invalid option -- '-'\n"),
        ("-f", 89, b"doveadm: option requires an argument -- 'f'\n"),
        ("-f bogus director status", 75, b"doveadm: Fatal: Unknown print formatter: bogus\n"),
    ],
)
def test_wrong_options_before_the_command(any_ring: AnyRing, words: str, status: int, stderr: bytes) -> None:
    assert any_ring.doveadm(*words.split()) == Answer(status, b"", stderr)


def test_a_tab_in_a_name_begins_the_tag_and_a_line_break_ends_the_command(any_ring: AnyRing) -> None:
    def row(*words: str) -> bytes:
        return any_ring.doveadm("-f", "tab", "director", "status", *words).stdout

    assert row("a\tgold") == row("a", "gold") != row("a")
    assert row("a\nb", "gold") == row("a")
    assert row("a", "gold\ty") == row("a", "gold")


def test_options_in_other_spellings(any_ring: AnyRing) -> None:
    for words in (
        ("-ftab", "director", "map", "-u", "x"),
        ("-f", "tab", "director", "map", "-uf", "/dev/null", "x"),
        ("-f", "tab", "director", "map", "x", "-u"),
        ("-f", "tab", "director", "map", "-hu", "x"),
        ("-f", "tab", "-f", "tab", "director", "map", "-f/dev/null", "-u", "--", "x"),
    ):
        assert any_ring.doveadm(*words) == Answer(0, b"hash\n2647975009\n", b"")


def test_a_ring_that_splits_has_two_truths_until_it_is_one_again(splitting_ring: AnyRing) -> None:
    ring = splitting_ring
    ips = [each.ip for each in ring.ask(doveadm.status())]

    def peers(director: int) -> list[tuple[int, str, bool, str]]:
        view = ring.ask(doveadm.ring_status(), director)
        return sorted(
            (int(each.ip.rpartition(".")[2]) % 10, each.type, each.last_failed is not None, each.status)
            for each in view.peers
        )

    def status(director: int) -> dict[str, tuple[int, State]]:
        return {each.ip: (each.vhosts, each.state) for each in ring.ask(doveadm.status(), director)}

    def found_parts() -> tuple[tuple[str, ...], ...]:
        # Where the links of a real ring can be cut, each director has ports of its own for the others.
        views = [ring.ask(doveadm.ring_status(), director).peers for director in range(3)]
        return parts(
            {
                f"d{number}": RingView(tuple(replace(each, port=9090) for each in peers))
                for number, peers in enumerate(views, start=1)
            }
        )

    assert found_parts() == (("d1", "d2", "d3"),)
    ring.cut_off(2)
    ring.wait(lambda: peers(2)[2][3].startswith("ring syncing - last sync "))
    assert [each[:3] for each in peers(2)] == [(1, "", False), (2, "", False), (3, "self", False)]
    ring.wait(lambda: len(peers(0)) == len(peers(1)) == 4)
    assert peers(0) == [
        (1, "self", False, "ring synced"),
        (2, "left", False, "synced"),
        (2, "right", False, "synced"),
        (3, "", True, ""),
    ]
    assert peers(1) == [
        (1, "left", False, "synced"),
        (1, "right", False, "synced"),
        (2, "self", False, "ring synced"),
        (3, "", True, ""),
    ]
    assert not ring.ask(doveadm.ring_status(), 2).alone
    assert found_parts() == (("d1", "d2"),)
    ring.wait(lambda: ring.ask(doveadm.ring_status(), 2).alone)
    assert peers(2) == [(1, "", True, ""), (2, "", True, ""), (3, "self", False, "ring synced")]
    assert found_parts() == (("d1", "d2"), ("d3",))

    before = status(0)
    ring.set_vhosts(ips[0], 10, 0)
    ring.set_vhosts(ips[1], 0, 2)
    ring.set_state(ips[2], State.DOWN, 2)
    assert status(0) == status(1) == before | {ips[0]: (10, State.UP)}
    assert status(2) == before | {ips[1]: (0, State.UP), ips[2]: (100, State.DOWN)}
    tables = {f"d{director + 1}": ring.ask(doveadm.status(), director) for director in range(3)}
    assert [(one.ip, one.differing_from("d1")) for one in disagreements(tables)] == [(ip, ("d3",)) for ip in ips[:3]]
    ring.log_in("jane@example.com", 2)
    assert [sum(each.users for each in ring.ask(doveadm.status(), director)) for director in range(3)] == [0, 0, 1]
    assert [len(ring.ask(doveadm.proxy_list(), director)) for director in range(3)] == [0, 0, 1]

    # Not with different states on both sides: real directors then may set it down and up for ever, as fast as they can.
    ring.set_state(ips[2], State.UP, 2)
    ring.mend()
    ring.wait(lambda: all(ring.ask(doveadm.ring_status(), director).healthy for director in range(3)), 60)
    assert found_parts() == (("d1", "d2", "d3"),)
    assert status(0) == status(1) == status(2)
    assert status(0)[ips[0]] in {(10, State.UP), (100, State.UP)}
    assert status(0)[ips[1]] == (0, State.UP)
    # A director that comes back tells its users to its neighbours, which needn't tell each other.
    assert sum(each.users for each in ring.ask(doveadm.status(), 2)) == 1


def test_the_sessions_of_each_director(any_ring: AnyRing) -> None:
    users = (
        *("jane@example.com", "joe@gold.example.com", "with blank@example.com", 'it\'s "quoted"; $(id) `id` \\'),
        *("-leading", "üser@example.com", "名@例え.jp", "\udcff\udcfe", "12345", "a%b", "a@b@c", "*", " ", "x" * 200),
    )
    for user in users:
        any_ring.log_in(user, 0)
    for _ in range(2):
        any_ring.log_in("jane@example.com", 2)

    backends = {each.ip: each for each in any_ring.ask(doveadm.status())}
    rings = rings_by_tag(backends.values())

    def row(user: str) -> bytes:
        ip = rings["gold" if user == "joe@gold.example.com" else ""].backend_of(user_hash(user))
        return f"{user}\timap\t127.0.0.1\t{ip}\t{any_ring.mail_port}".encode("utf-8", "surrogateescape")

    keys = b"username\tservice\tsrc-ip\tdest-ip\tdest-port"
    answer = any_ring.doveadm("-f", "tab", "proxy", "list")
    assert (answer.status, answer.stderr) == (0, b"")
    titles, *lines = answer.stdout.removesuffix(b"\n").split(b"\n")
    assert titles == b"username\tproto\tsrc ip\tdest ip\tport"
    # Each session has a login process of its own, and each of these sends titles.
    assert sorted(lines[::2]) == sorted(map(row, users))
    assert lines[1::2] == [keys] * (len(users) - 1)
    assert any_ring.doveadm("-h", "-f", "tab", "proxy", "list").stdout.count(keys + b"\n") == len(users) - 1
    sessions = any_ring.ask(doveadm.proxy_list())
    assert sorted(each.user for each in sessions) == sorted(map(clean, (os.fsencode(user) for user in users)))
    assert {backends[each.ip].tag for each in sessions if each.user.startswith("joe")} == {"gold"}

    assert any_ring.doveadm("-f", "tab", "proxy", "list", director=1) == Answer(0, b"\n", b"")
    jane = row("jane@example.com")
    assert any_ring.doveadm("-f", "tab", "proxy", "list", director=2).stdout.split(b"\n")[1:] == [jane, keys, jane, b""]
    for director in range(3):
        assert sum(each.users for each in any_ring.ask(doveadm.status(), director)) == len(users)

    any_ring.log_out("jane@example.com", 2)
    any_ring.wait(lambda: len(any_ring.ask(doveadm.proxy_list(), 2)) == 1)
    any_ring.log_out("jane@example.com", 2)
    any_ring.wait(lambda: any_ring.doveadm("-f", "tab", "proxy", "list", director=2) == Answer(0, b"\n", b""))
    assert len(any_ring.ask(doveadm.proxy_list())) == len(users)
    assert sum(each.users for each in any_ring.ask(doveadm.status())) == len(users)
