"""The doveadm commands of the practice ring that only read."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from director_tui.demo.command import (
    EX_TEMPFAIL,
    EX_USAGE,
    IPC_SOCKET,
    OK,
    SOCKET,
    Answer,
    Arguments,
    Director,
    Failure,
    connect,
    encoded,
    failed,
    literal_ip,
)
from director_tui.director import hashring, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def status(director: Director, arguments: Arguments) -> Answer:
    connect(director, arguments)
    if arguments.positional:
        return _status_of_user(director, arguments)
    rows = (
        (each.ip, each.tag, each.vhosts, each.state.value, _time(each.state_changed, "-"), each.users)
        for each in director.backends()
    )
    return Answer(OK, encoded(arguments.table(parse.STATUS_HEADERS[0], rows)))


def _status_of_user(director: Director, arguments: Arguments) -> Answer:
    # doveadm puts the words between tabs and sends them as they are, so that a tab in a name begins the tag, and a line
    # break ends the command.
    line = "\t".join(arguments.positional).partition("\n")[0]
    user, tag = (*line.split("\t"), "")[:2]
    number = int(user) if user.isascii() and user.isdigit() else hashring.HASH_SPACE
    found = director.placement(number if number < hashring.HASH_SPACE else hashring.user_hash(user), tag)
    row = (found.current or "n/a", _time(found.expires, "-1"), found.hashed or "", found.initial_config or "")
    return Answer(OK, encoded(arguments.table(parse.PLACEMENT_HEADERS[0], [row])))


def map_(director: Director, arguments: Arguments) -> Answer:
    options, positional = arguments.options, arguments.positional
    if ("u" in options or "h" in options) and not positional:
        raise Failure(EX_USAGE, arguments.usage)
    if "u" in options:
        row = (hashring.user_hash(positional[0]),)
        return Answer(OK, encoded(arguments.table(parse.USER_HASH_HEADERS[0], [row])))
    connect(director, arguments)
    if "h" in options:
        stdout = arguments.table(("user",), [])
    else:
        ip = literal_ip(positional[0], arguments) if positional else None
        rows = (("<unknown>", each.user_hash, each.ip, _time(each.expires, "-1")) for each in director.assignments(ip))
        stdout = arguments.table(parse.MAP_HEADERS[0], rows)
    if "f" not in options:
        # Without a file of names it asks the user database for all of them, and the practice ring can't list its own.
        raise Failure(
            EX_TEMPFAIL,
            "Error: auth-master: userdb list: User listing returned failure",
            "Error: user listing failed",
            stdout=stdout,
        )
    return Answer(OK, encoded(stdout))


def ring_status(director: Director, arguments: Arguments) -> Answer:
    connect(director, arguments)
    rows = (
        (
            *(each.ip, each.port, each.type, _time(each.last_failed, "never"), each.status),
            *map(_or_dash, (each.ping_ms, each.input, each.output, each.buffered, each.buffered_peak)),
            *(_time(each.last_read, "-"), _time(each.last_write, "-")),
        )
        for each in director.peers()
    )
    return Answer(OK, encoded(arguments.table(parse.RING_HEADERS[0], rows)))


def dump(director: Director, arguments: Arguments) -> Answer:
    connect(director, arguments)
    backends = director.backends()
    rows: list[tuple[object, ...]] = [
        ("add", SOCKET, f"{each.ip}@{each.tag}" if each.tag else each.ip, each.vhosts) for each in backends
    ]
    present = {each.ip for each in backends}
    rows.extend(("remove", SOCKET, ip, "") for ip in director.configured() if ip not in present)
    return Answer(OK, encoded(arguments.table(parse.DUMP_HEADERS[0], rows)))


def proxy_list(director: Director, arguments: Arguments) -> Answer:
    path = arguments.options.get("a", IPC_SOCKET)
    if path != IPC_SOCKET or not director.running:
        why = "Connection refused" if path == IPC_SOCKET else "No such file or directory"
        lines = f"Error: connect({path}) failed: {why}", "Error: LIST-FULL failed: ipc connect failed"
        return failed(OK, *lines, stdout=arguments.nothing)
    sessions = director.sessions()
    if not sessions:
        return Answer(OK, encoded(arguments.nothing))  # no login process, nobody to send the titles
    rows: list[Sequence[object]] = []
    for each in sessions:
        if rows:
            rows.append(_PROXY_KEYS)
        rows.append((each.user, each.protocol, each.source_ip, each.ip, each.port))
    return Answer(OK, encoded(arguments.table(_PROXY_TITLES, rows)))


# Each login process sends titles, and doveadm takes all but the first for rows. By default (service_count = 1) there is
# one for each session.
_PROXY_KEYS: Final = ("username", "service", "src-ip", "dest-ip", "dest-port")
_PROXY_TITLES: Final = ("username", "proto", "src ip", "dest ip", "port")


@lru_cache(maxsize=8192)  # among many assignments there are few different times
def _time(moment: datetime | None, otherwise: str) -> str:
    return otherwise if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def _or_dash(number: int | None) -> str:
    return "-" if number is None else str(number)
