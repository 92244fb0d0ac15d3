"""doveadm and doveconf of Dovecot 2.3.19.1, as far as the practice ring has them: words in, bytes out.

Every text and exit status in here was seen on a real 2.3.19.1 ring; tests/parity/ holds the two side by side. Only the
tab format is there.
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import resources
from typing import TYPE_CHECKING, Final

from director_tui.demo import changing, reading
from director_tui.demo.command import (
    EX_BAD_OPTION,
    EX_NOT_FOUND,
    EX_TEMPFAIL,
    EX_USAGE,
    OK,
    Answer,
    Arguments,
    Command,
    Director,
    Failure,
    behind_env,
    connect,
    encoded,
    failed,
)
from director_tui.demo.getopt import OptionError, parse_options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from director_tui.demo.command import Steps

    Program: TypeAlias = Callable[[Sequence[str]], Answer | Steps]

CONFIG: Final = "/etc/dovecot/dovecot.conf"


GLOBAL_OPTIONS: Final = "c:Df:hi:o:v"
"""Those that stand before doveadm's command, as getopt names them."""


def run(director: Director, argv: Sequence[str]) -> Steps:
    """Run ``argv``: the words of doveadm or doveconf, ``env`` and ``sudo`` in front or not."""
    return run_one_of({"doveadm": partial(_doveadm, director), "doveconf": partial(_doveconf, director)}, argv)


def run_one_of(programs: Mapping[str, Program], argv: Sequence[str]) -> Steps:
    """Run ``argv`` where there are only these programs, by name; each takes the words behind it, and may raise
    Failure."""
    try:
        result = _run(programs, argv)
        return result if isinstance(result, Answer) else (yield from result)
    except Failure as failure:
        return failure.answer


def _run(programs: Mapping[str, Program], argv: Sequence[str]) -> Answer | Steps:
    words = behind_env(argv)
    if words[:1] == ["sudo"]:
        words = words[1:]
        while words and words[0].startswith("-"):
            words.pop(0)
        if words and _program(words[0]) not in programs:
            return failed(1, f"sudo: {words[0]}: command not found")
    if not words:
        return failed(1, "usage: sudo -n command")
    program = programs.get(_program(words[0]))
    if program is None:
        under_env = len(words) < len(argv)
        failure = f"env: '{words[0]}': No such file or directory" if under_env else f"sh: 1: {words[0]}: not found"
        return failed(EX_NOT_FOUND, failure)
    return program(words[1:])


def _program(word: str) -> str:
    return word.removeprefix("/usr").removeprefix("/bin/")


# doveadm


def _doveadm(director: Director, words: Sequence[str]) -> Answer | Steps:
    try:
        options, rest = parse_options(words, GLOBAL_OPTIONS, "doveadm", permute=False)
    except OptionError as error:
        raise Failure(EX_BAD_OPTION, str(error)) from None
    formatter = options.get("f")
    if formatter is not None and formatter not in _FORMATTERS:
        raise Failure(EX_TEMPFAIL, f"doveadm: Fatal: Unknown print formatter: {formatter}")
    path = _path(rest)
    name = " ".join(path)
    command = _COMMANDS.get(name)
    if command is None:
        topic = rest[0] if rest[:1] in (["director"], ["proxy"]) else "doveadm"
        raise Failure(EX_USAGE, usage(topic))
    tab, header = formatter == "tab", "h" not in options
    nothing = "\n" if tab and header else ""
    try:
        given, positional = parse_options(rest[len(path) :], command.options, path[-1], permute=True)
    except OptionError as error:
        raise Failure(EX_USAGE, str(error), stdout=nothing) from None
    if surplus := positional[command.most :]:
        raise Failure(EX_USAGE, f"Error: Extraneous arguments found: {' '.join(surplus)}", stdout=nothing)
    arguments = Arguments(given, positional, command.usage, tab=tab, header=header, verbose="v" in options)
    if len(positional) < command.least:
        connect(director, arguments)
        raise Failure(EX_USAGE, command.usage)
    if command.run is None:
        raise Failure(EX_USAGE, f"Error: the practice ring can't do this: doveadm {name}")
    if not tab and (command.prints or formatter is not None):
        raise Failure(EX_USAGE, "Error: the practice ring prints the tab format only: doveadm -f tab")
    return command.run(director, arguments)


def _path(words: Sequence[str]) -> list[str]:
    """The words that name a command: one, two below a group, three below a group in a group."""
    length = 3 if list(words[:2]) == ["director", "ring"] else 2
    return list(words[:length])


_FORMATTERS: Final = frozenset({"flow", "formatted", "json", "pager", "server", "tab", "table"})


def usage(topic: str) -> str:
    """What doveadm prints when it doesn't know a command: ``topic`` is ``doveadm`` or a group of commands."""
    pages = (resources.files("director_tui.demo") / "usage.txt").read_text("utf-8").split("\n--\n")
    first = {"doveadm": 0, "director": 1, "proxy": 2}[topic]
    return pages[first].removesuffix("\n")


def _commands() -> Iterator[tuple[str, Command]]:
    """Every subcommand; those that change which directors there are are known, but can't be run."""
    for name, options, least, most, usage, run, prints in (
        ("status", "", 0, 2, " [<user>] [<tag>]", reading.status, True),
        ("map", "f:hu", 0, 1, " [-f <users file>] [-h | -u] [<host>]", reading.map_, True),
        ("ring status", "", 0, 0, "", reading.ring_status, True),
        ("dump", "", 0, 0, "", reading.dump, True),
        ("add", "t:", 1, 2, " [-t <tag>] <host> [<vhost count>]", changing.add, False),
        ("update", "", 2, 2, " <host> <vhost count>", changing.update, False),
        ("up", "", 1, 1, " <host>", changing.up, False),
        ("down", "", 1, 1, " <host>", changing.down, False),
        ("remove", "", 1, 1, " <host>", changing.remove, False),
        ("move", "", 2, 2, " <user> <host>", changing.move, False),
        ("kick", "f:", 1, 1, " [-f <passdb field>] <user>", changing.kick, False),
        ("flush", "F(max-parallel)", 1, 1, " [-F] [--max-parallel <n>] <host>|all", changing.flush, False),
        ("ring add", "", 1, 2, " <ip> [<port>]", None, False),
        ("ring remove", "", 1, 2, " <ip> [<port>]", None, False),
    ):
        usage = f"doveadm director {name} [-a <director socket path>]{usage}"
        yield f"director {name}", Command(f"a:{options}", least, most, usage, run, prints)
    yield "proxy list", Command("a:", 0, 0, "doveadm proxy list [-a <ipc socket path>]", reading.proxy_list)
    usage = "doveadm proxy kick [-a <ipc socket path>] [-f <passdb field>] [-h <host> [...] | <user> [...]]"
    yield "proxy kick", Command("a:f:h:", 0, sys.maxsize, usage, changing.proxy_kick, prints=False)


_COMMANDS: Final = dict(_commands())


# doveconf


def _doveconf(director: Director, words: Sequence[str]) -> Answer:
    try:
        options, names = parse_options(words, "ac:dhm:nNPSx", "doveconf", permute=False)
    except OptionError as error:
        raise Failure(EX_BAD_OPTION, str(error)) from None
    settings = director.settings()
    head = ""
    if not names:
        head = f"# 2.3.19.1 (9b53102964): {options.get('c', CONFIG)}\n# Hostname: practice\n"
        names = sorted(_CHANGED & settings.keys()) if "n" in options else sorted(settings)
        options = {}
    shown = [
        settings[name] if "h" in options else f"{name} = {settings[name]}"
        for name in names
        if name in settings and ("n" not in options or name in _CHANGED)
    ]
    return Answer(OK, encoded(head + "".join(f"{line}\n" for line in shown)))


_CHANGED: Final = frozenset({"director_mail_servers", "director_servers", "protocols"})
"""The settings that are not at their defaults, which is what ``doveconf -n`` prints."""
