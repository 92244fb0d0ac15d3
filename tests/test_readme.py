"""What the README tells people to write, held against the program: its configuration, and the lines for sudo."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from director_tui.config import parse_config
from director_tui.director import doveadm
from director_tui.director.doveadm import ENVIRONMENT, Tool

if TYPE_CHECKING:
    from director_tui.config import DirectorConfig
    from director_tui.director.doveadm import Call

README = Path(__file__).parents[1] / "README.md"
SUDO = ("sudo", "-n")

CALLS: list[Call[Any]] = [
    doveadm.status(),
    doveadm.ring_status(),
    doveadm.user_hash("it's me, *@example.com"),
    doveadm.placement(4711, ""),
    doveadm.placement(4711, "gold"),
    doveadm.proxy_list(),
    doveadm.version(),
    doveadm.settings(),
]


def blocks(beginning: str) -> list[str]:
    return [block for block in re.findall(r"^```\w*\n(.*?)^```", README.read_text(), re.S | re.M) if beginning in block]


def directors() -> tuple[DirectorConfig, ...]:
    (text,) = blocks("[clusters.mail-eu]")
    return parse_config(text.encode(), README).cluster().directors


def sudo_allows(block: str, words: tuple[str, ...]) -> bool:
    """As sudoers(5) has it: the path of the command, then its arguments as one text with wildcards."""
    assert block.startswith("ops ALL=(root) NOPASSWD: ")
    rules = block.partition("NOPASSWD: ")[2].replace("\\\n", " ").split(",")
    command, *arguments = words
    for rule in rules:
        path, *pattern = rule.split()
        if path == f"/usr/bin/{command}" and fnmatchcase(" ".join(arguments), " ".join(pattern)):
            return True
    return False


@pytest.mark.parametrize("number", [0, 1])
def test_the_lines_for_sudo_allow_what_is_run_and_no_more(number: int) -> None:
    block, other = blocks("NOPASSWD")[number], blocks("NOPASSWD")[1 - number]
    director = directors()[number]
    assert len(blocks("NOPASSWD")) == len(directors()) == 2
    for call in CALLS:
        words = call.command(director.doveadm if call.tool is Tool.DOVEADM else director.doveconf)
        assert words[: len(ENVIRONMENT)] == ENVIRONMENT
        words = words[len(ENVIRONMENT) :]
        assert words[:2] == SUDO
        assert sudo_allows(block, words[2:])
        assert not sudo_allows(other, words[2:])
    for refused in ("doveadm -f tab director flush all", "doveadm director status", "doveconf -a", "sh"):
        assert not sudo_allows(block, tuple(refused.split()))
