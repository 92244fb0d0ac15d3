"""What the README says, held against the program: its keys, and its configuration. Its lines for sudo are tried with
real accounts, in test_accounts.py."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from director_tui.config import parse_config
from director_tui.director import doveadm
from director_tui.ui.commands import COMMANDS, Command

if TYPE_CHECKING:
    from director_tui.director.doveadm import Call

TOP = Path(__file__).parents[1]
README = TOP / "README.md"
SETTING_UP = TOP / "docs" / "setting-up.md"

READING: list[Call[Any]] = [
    doveadm.status(),
    doveadm.ring_status(),
    doveadm.user_hash("it's me, *@example.com"),
    doveadm.placement(4711, ""),
    doveadm.placement(4711, "gold"),
    doveadm.assignments(),
    doveadm.assignments("2001:db8::1"),
    doveadm.proxy_list(),
    doveadm.version(),
    doveadm.settings(),
    doveadm.mail_servers(),
]
CHANGING: list[Call[Any]] = [
    doveadm.update("10.0.0.1", 0),
    doveadm.up("10.0.0.1"),
    doveadm.down("10.0.0.1"),
    doveadm.add("10.0.0.1", 100),
    doveadm.add("2001:db8::1", 100, "gold"),
    doveadm.remove("10.0.0.1"),
    doveadm.flush("10.0.0.1"),
    doveadm.flush(None, 500),
    doveadm.forget_users("10.0.0.1"),
    doveadm.forget_users(None),
    doveadm.move("-joe", "10.0.0.1"),
    doveadm.kick("it's me"),
    doveadm.kick_sessions_to("2001:db8::1"),
    doveadm.kick_sessions_of(["it's me", "-joe"]),
]


def blocks(beginning: str, page: Path = README) -> list[str]:
    return [block for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(), re.S | re.M) if beginning in block]


def keys() -> list[set[str]]:
    """The keys of each table under *Keys*."""
    section = README.read_text().partition("\n## Keys\n")[2].partition("\n## ")[0]
    tables = re.findall(r"^\| key \|.*\n\|---.*\n((?:\|.*\n)+)", section, re.M)
    return [
        {key for row in table.splitlines() for key in re.findall(r"`(\S+)`", row.split("|")[1])} for table in tables
    ]


def written(command: Command) -> set[str]:
    """The keys of a command as the README writes them."""
    return {key.replace("^", "ctrl+") for key in command.key_text.split(", ")}


def test_the_tables_of_keys_have_every_key_but_those_that_move_and_no_other() -> None:
    looking, changing = keys()
    assert changing == {key for command in COMMANDS if command.changes for key in written(command)}
    assert looking <= {key for command in COMMANDS if not command.changes for key in written(command)}
    assert "`?` in the program explains every key" in README.read_text()
    told = looking | changing | {"?"}
    assert [
        one.action for one in COMMANDS if one.group not in {"Moving", "Scrolling"} and not written(one) & told
    ] == []


def test_the_configuration_is_understood_and_calls_doveadm_by_sudo() -> None:
    (text,) = blocks("[clusters.mail-eu]", SETTING_UP)
    cluster = parse_config(text.encode(), SETTING_UP).cluster()
    assert cluster.backends is not None
    words = [words for one in cluster.directors for words in (one.doveadm, one.doveconf)]
    assert {one[:2] for one in (*words, cluster.backends.doveadm)} == {("sudo", "-n")}
