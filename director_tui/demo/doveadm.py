"""doveadm and doveconf of Dovecot 2.3.19.1, as far as the practice ring has them: words in, bytes out.

Every text and exit status in here was seen on a real 2.3.19.1 ring; tests/parity/ holds the two side by side. Only the
tab format is there, and only commands that read.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Final, Protocol

from director_tui.demo.getopt import OptionError, parse_options
from director_tui.director import hashring, parse
from director_tui.text import canonical_ip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from director_tui.director.model import Assignment, Backend, DirectorPeer, Placement, ProxySession

OK: Final = 0
EX_USAGE: Final = 64
EX_TEMPFAIL: Final = 75
EX_BAD_OPTION: Final = 89
EX_NOT_FOUND: Final = 127

SOCKET: Final = "/run/dovecot/director-admin"
IPC_SOCKET: Final = "/run/dovecot/ipc"
CONFIG: Final = "/etc/dovecot/dovecot.conf"

CALL_S: Final = 0.012
"""How long a call takes on a real director."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a finished command leaves behind; ``delay_s`` is how long it should seem to have taken, in seconds."""

    status: int
    stdout: bytes = b""
    stderr: bytes = b""
    delay_s: float = CALL_S


class Director(Protocol):
    """What doveadm and doveconf ask of one director and its configuration.

    As long as ``running`` is false nothing but ``settings`` is asked. ``placement`` and ``assignments`` know
    only user hashes; ``assignments`` come in the director's order, of one backend or of all.
    """

    @property
    def running(self) -> bool: ...
    def settings(self) -> Mapping[str, str]: ...
    def backends(self) -> Sequence[Backend]: ...
    def configured(self) -> Iterable[str]: ...
    def placement(self, user_hash: int, tag: str) -> Placement: ...
    def assignments(self, ip: str | None) -> Iterable[Assignment]: ...
    def peers(self) -> Iterable[DirectorPeer]: ...
    def sessions(self) -> Sequence[ProxySession]: ...


def answer(director: Director, argv: Sequence[str]) -> Answer:
    """Run ``argv``: the words of doveadm or doveconf, ``sudo`` and its options in front or not."""
    words = list(argv)
    if words[:1] == ["sudo"]:
        words = words[1:]
        while words and words[0].startswith("-"):
            words.pop(0)
        if words and _program(words[0]) not in _PROGRAMS:
            return _failed(1, f"sudo: {words[0]}: command not found")
    if not words:
        return _failed(1, "usage: sudo -n command")
    program = _PROGRAMS.get(_program(words[0]))
    if program is None:
        return _failed(EX_NOT_FOUND, f"sh: 1: {words[0]}: not found")
    try:
        return program(director, words[1:])
    except _Failure as failure:
        return failure.answer


class _Failure(Exception):
    """A command that ends early."""

    def __init__(self, status: int, *lines: str, stdout: str = "") -> None:
        super().__init__(*lines)
        self.answer = _failed(status, *lines, stdout=stdout)


def _failed(status: int, *lines: str, stdout: str = "") -> Answer:
    return Answer(status, _bytes(stdout), _bytes("".join(f"{line}\n" for line in lines)))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _program(word: str) -> str:
    return word.removeprefix("/usr").removeprefix("/bin/")


# doveadm


@dataclass(frozen=True, slots=True)
class _Arguments:
    """A subcommand's words, taken apart. ``header`` is whether the titles are to be printed."""

    options: Mapping[str, str]
    positional: Sequence[str]
    header: bool

    @property
    def nothing(self) -> str:
        """What the tab formatter prints where it never came to any titles."""
        return "\n" if self.header else ""

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
        """Rows as the tab formatter prints them: nothing is escaped."""
        lines = ["\t".join(titles)] if self.header else []
        lines.extend("\t".join(map(str, row)) for row in rows)
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class _Command:
    """A subcommand: its options as getopt names them, how many arguments it needs and takes, and its usage."""

    options: str
    least: int
    most: int
    usage: str
    run: Callable[[Director, _Arguments], Answer] | None = None


def _doveadm(director: Director, words: Sequence[str]) -> Answer:
    try:
        options, rest = parse_options(words, "c:Df:hi:o:v", "doveadm", permute=False)
    except OptionError as error:
        raise _Failure(EX_BAD_OPTION, str(error)) from None
    formatter = options.get("f")
    if formatter is not None and formatter not in _FORMATTERS:
        raise _Failure(EX_TEMPFAIL, f"doveadm: Fatal: Unknown print formatter: {formatter}")
    path = _path(rest)
    name = " ".join(path)
    command = _COMMANDS.get(name)
    if command is None:
        topic = rest[0] if rest[:1] in (["director"], ["proxy"]) else "doveadm"
        raise _Failure(EX_USAGE, _usage(topic))
    arguments = rest[len(path) :]
    header = "h" not in options
    nothing = "\n" if header else ""
    try:
        given, positional = parse_options(arguments, command.options, path[-1], permute=True)
    except OptionError as error:
        raise _Failure(EX_USAGE, str(error), stdout=nothing) from None
    if surplus := positional[command.most :]:
        raise _Failure(EX_USAGE, f"Error: Extraneous arguments found: {' '.join(surplus)}", stdout=nothing)
    if len(positional) < command.least:
        _connect(director, _Arguments(given, positional, header))
        raise _Failure(EX_USAGE, command.usage)
    if command.run is None:
        raise _Failure(EX_USAGE, f"Error: the practice ring can't do this yet: doveadm {name}")
    if formatter != "tab":
        raise _Failure(EX_USAGE, "Error: the practice ring prints the tab format only: doveadm -f tab")
    return command.run(director, _Arguments(given, positional, header))


def _path(words: Sequence[str]) -> list[str]:
    """The words that name a command: one, two below a group, three below a group in a group."""
    length = 3 if list(words[:2]) == ["director", "ring"] else 2
    return list(words[:length])


def _connect(director: Director, arguments: _Arguments) -> None:
    """Every director command but ``map -u`` opens the admin socket before it looks at its arguments."""
    path = arguments.options.get("a", SOCKET)
    if "/" not in path:
        raise _Failure(EX_TEMPFAIL, f"Fatal: Lookup of host {path} failed: Name or service not known")
    if path != SOCKET:
        raise _Failure(EX_TEMPFAIL, f"Fatal: net_connect_unix({path}) failed: No such file or directory")
    if not director.running:
        raise _Failure(EX_TEMPFAIL, f"Fatal: net_connect_unix({path}) failed: Connection refused")


def _status(director: Director, arguments: _Arguments) -> Answer:
    _connect(director, arguments)
    if arguments.positional:
        return _status_of_user(director, arguments)
    rows = (
        (each.ip, each.tag, each.vhosts, each.state.value, _time(each.state_changed, "-"), each.users)
        for each in director.backends()
    )
    return Answer(OK, _bytes(arguments.table(parse.STATUS_HEADERS[0], rows)))


def _status_of_user(director: Director, arguments: _Arguments) -> Answer:
    # doveadm puts the words between tabs and sends them as they are, so that a tab in a name begins the tag, and a line
    # break ends the command.
    line = "\t".join(arguments.positional).partition("\n")[0]
    user, tag = (*line.split("\t"), "")[:2]
    number = int(user) if user.isascii() and user.isdigit() else hashring.HASH_SPACE
    found = director.placement(number if number < hashring.HASH_SPACE else hashring.user_hash(user), tag)
    row = (found.current or "n/a", _time(found.expires, "-1"), found.hashed or "", found.initial_config or "")
    return Answer(OK, _bytes(arguments.table(parse.PLACEMENT_HEADERS[0], [row])))


def _map(director: Director, arguments: _Arguments) -> Answer:
    options, positional = arguments.options, arguments.positional
    if ("u" in options or "h" in options) and not positional:
        raise _Failure(EX_USAGE, _COMMANDS["director map"].usage)
    if "u" in options:
        row = (hashring.user_hash(positional[0]),)
        return Answer(OK, _bytes(arguments.table(parse.USER_HASH_HEADERS[0], [row])))
    _connect(director, arguments)
    if "h" in options:
        stdout = arguments.table(("user",), [])
    else:
        ip = _literal_ip(positional[0], arguments) if positional else None
        rows = (("<unknown>", each.user_hash, each.ip, _time(each.expires, "-1")) for each in director.assignments(ip))
        stdout = arguments.table(parse.MAP_HEADERS[0], rows)
    if "f" not in options:
        # Without a file of names it asks the user database for all of them, and the practice ring can't list its own.
        raise _Failure(
            EX_TEMPFAIL,
            "Error: auth-master: userdb list: User listing returned failure",
            "Error: user listing failed",
            stdout=stdout,
        )
    return Answer(OK, _bytes(stdout))


def _literal_ip(text: str, arguments: _Arguments) -> str:
    """An address in all the forms that doveadm takes; the practice ring resolves no name but ``localhost``."""
    if text == "localhost":
        return "127.0.0.1"
    if re.fullmatch(r"\d+(?:\.\d+){3}", text, re.ASCII):
        text = ".".join(str(int(part)) for part in text.split("."))  # leading zeros don't make it octal here
    elif text.isascii() and text.isdigit() and int(text) < hashring.HASH_SPACE:
        return str(ipaddress.IPv4Address(int(text)))
    try:
        if "%" not in text:
            return canonical_ip(text)
    except ValueError:
        try:
            return socket.inet_ntoa(socket.inet_aton(text))
        except (OSError, ValueError):
            pass
    failure = f"Error: gethostname({text}) failed: Name or service not known"
    raise _Failure(EX_TEMPFAIL, failure, stdout=arguments.nothing)


def _ring_status(director: Director, arguments: _Arguments) -> Answer:
    _connect(director, arguments)
    rows = (
        (
            *(each.ip, each.port, each.type, _time(each.last_failed, "never"), each.status),
            *map(_or_dash, (each.ping_ms, each.input, each.output, each.buffered, each.buffered_peak)),
            *(_time(each.last_read, "-"), _time(each.last_write, "-")),
        )
        for each in director.peers()
    )
    return Answer(OK, _bytes(arguments.table(parse.RING_HEADERS[0], rows)))


def _dump(director: Director, arguments: _Arguments) -> Answer:
    _connect(director, arguments)
    backends = director.backends()
    rows: list[tuple[object, ...]] = [
        ("add", SOCKET, f"{each.ip}@{each.tag}" if each.tag else each.ip, each.vhosts) for each in backends
    ]
    present = {each.ip for each in backends}
    rows.extend(("remove", SOCKET, ip, "") for ip in director.configured() if ip not in present)
    return Answer(OK, _bytes(arguments.table(parse.DUMP_HEADERS[0], rows)))


def _proxy_list(director: Director, arguments: _Arguments) -> Answer:
    path = arguments.options.get("a", IPC_SOCKET)
    if path != IPC_SOCKET or not director.running:
        why = "Connection refused" if path == IPC_SOCKET else "No such file or directory"
        lines = f"Error: connect({path}) failed: {why}", "Error: LIST-FULL failed: ipc connect failed"
        return _failed(OK, *lines, stdout=arguments.nothing)
    sessions = director.sessions()
    if not sessions:
        return Answer(OK, _bytes(arguments.nothing))  # no login process, nobody to send the titles
    rows: list[Sequence[object]] = []
    for each in sessions:
        if rows:
            rows.append(_PROXY_KEYS)
        rows.append((each.user, each.protocol, each.source_ip, each.ip, each.port))
    return Answer(OK, _bytes(arguments.table(_PROXY_TITLES, rows)))


# Each login process sends titles, and doveadm takes all but the first for rows. By default (service_count = 1) there is
# one for each session.
_PROXY_KEYS: Final = ("username", "service", "src-ip", "dest-ip", "dest-port")
_PROXY_TITLES: Final = ("username", "proto", "src ip", "dest ip", "port")


@lru_cache(maxsize=8192)  # among many assignments there are few different times
def _time(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)


_FORMATTERS: Final = frozenset({"flow", "formatted", "json", "pager", "server", "tab", "table"})


def _usage(topic: str) -> str:
    """What doveadm prints when it doesn't know a command: ``topic`` is ``doveadm`` or a group of commands."""
    pages = (resources.files("director_tui.demo") / "usage.txt").read_text("utf-8").split("\n--\n")
    first = {"doveadm": 0, "director": 1, "proxy": 2}[topic]
    return pages[first].removesuffix("\n")


def _commands() -> Iterator[tuple[str, _Command]]:
    """Every subcommand; those that change something are known, but can't be run yet."""
    for name, options, least, most, usage, run in (
        ("status", "", 0, 2, " [<user>] [<tag>]", _status),
        ("map", "f:hu", 0, 1, " [-f <users file>] [-h | -u] [<host>]", _map),
        ("ring status", "", 0, 0, "", _ring_status),
        ("dump", "", 0, 0, "", _dump),
        ("add", "t:", 1, 2, " [-t <tag>] <host> [<vhost count>]", None),
        ("update", "", 2, 2, " <host> <vhost count>", None),
        ("up", "", 1, 1, " <host>", None),
        ("down", "", 1, 1, " <host>", None),
        ("remove", "", 1, 1, " <host>", None),
        ("move", "", 2, 2, " <user> <host>", None),
        ("kick", "f:", 1, 1, " [-f <passdb field>] <user>", None),
        ("flush", "F(max-parallel)", 1, 1, " [-F] [--max-parallel <n>] <host>|all", None),
        ("ring add", "", 1, 2, " <ip> [<port>]", None),
        ("ring remove", "", 1, 2, " <ip> [<port>]", None),
    ):
        usage = f"doveadm director {name} [-a <director socket path>]{usage}"
        yield f"director {name}", _Command(f"a:{options}", least, most, usage, run)
    yield "proxy list", _Command("a:", 0, 0, "doveadm proxy list [-a <ipc socket path>]", _proxy_list)
    yield "proxy kick", _Command("a:f:h:", 0, sys.maxsize, "")


_COMMANDS: Final = dict(_commands())


# doveconf


def _doveconf(director: Director, words: Sequence[str]) -> Answer:
    try:
        options, names = parse_options(words, "ac:dhm:nNPSx", "doveconf", permute=False)
    except OptionError as error:
        raise _Failure(EX_BAD_OPTION, str(error)) from None
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
    return Answer(OK, _bytes(head + "".join(f"{line}\n" for line in shown)))


_CHANGED: Final = frozenset({"director_mail_servers", "director_servers", "protocols"})
"""The settings that are not at their defaults, which is what ``doveconf -n`` prints."""

_PROGRAMS: Final[Mapping[str, Callable[[Director, Sequence[str]], Answer]]] = {
    "doveadm": _doveadm,
    "doveconf": _doveconf,
}
