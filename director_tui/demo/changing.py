"""The doveadm commands of the practice ring that change something.

What waits, and for how long, is in director/doveadm-connection.c: most commands are parked until the ring is synced, up
to 30 s; then they are carried out, and their answer waits until the change has gone round, up to 30 s more. Both ends
of that wait have the same text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.demo.command import (
    CHANGE_S,
    EX_NOHOST,
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
    literal_ip,
)
from director_tui.demo.population import TICKS_PER_S
from director_tui.director import hashring
from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.model import MAX_VHOSTS, State

if TYPE_CHECKING:
    from collections.abc import Generator

    from director_tui.demo.command import Steps
    from director_tui.director.model import Backend

SYNC_LIMIT_S: Final = 30
"""How long a director holds a command back, and then again its answer."""

_UNSET: Final = 2**32 - 1
"""The vhost count that stands for none."""


def add(director: Director, arguments: Arguments) -> Steps:
    connect(director, arguments)
    host, tag = _host_and_tag(arguments)
    vhosts = _vhosts(arguments) if len(arguments.positional) > 1 else _UNSET
    ip = literal_ip(host, arguments)
    yield from _until_synced(director, arguments, f"Error: {ip}")
    backend = _set_up_to_now(director, arguments, ip, tag, vhosts)
    if backend is None:
        director.add(ip, tag or "", CONFIGURED_VHOSTS if vhosts == _UNSET else vhosts)
    elif vhosts != _UNSET:
        director.set_vhosts(ip, vhosts)
    yield from _until_synced(director, arguments, f"Error: {ip}")
    return _done(arguments, f"{ip}: OK")


def update(director: Director, arguments: Arguments) -> Steps:
    connect(director, arguments)
    host, tag = _host_and_tag(arguments)
    vhosts = _vhosts(arguments)
    ip = literal_ip(host, arguments)
    yield from _until_synced(director, arguments, f"Error: {ip}")
    if vhosts == _UNSET:
        raise _disconnected(arguments)
    if _set_up_to_now(director, arguments, ip, tag, vhosts) is None:
        raise Failure(EX_TEMPFAIL, f"Error: {ip}: doesn't exist", stdout=arguments.nothing)
    director.set_vhosts(ip, vhosts)
    yield from _until_synced(director, arguments, f"Error: {ip}")
    return _done(arguments, f"{ip}: OK")


def up(director: Director, arguments: Arguments) -> Steps:
    return _set_state(director, arguments, State.UP)


def down(director: Director, arguments: Arguments) -> Steps:
    return _set_state(director, arguments, State.DOWN)


def _set_state(director: Director, arguments: Arguments, state: State) -> Steps:
    connect(director, arguments)
    ip = literal_ip(arguments.positional[0], arguments)
    yield from _until_synced(director, arguments, f"Error: {ip}")
    backend = _backend(director, ip)
    if backend is None:
        raise Failure(EX_NOHOST, f"Error: {ip}: doesn't exist", stdout=arguments.nothing)
    if backend.state is not state:
        _refuse_if_busy(director, arguments, ip)
        director.set_state(ip, state)
        yield from _until_synced(director, arguments, f"Error: {ip}")
    return _done(arguments, f"{ip}: {state.value}")


def remove(director: Director, arguments: Arguments) -> Steps:
    connect(director, arguments)
    ip = literal_ip(arguments.positional[0], arguments)
    yield from _until_synced(director, arguments, f"Error: {ip}")
    if _backend(director, ip) is None:
        raise Failure(EX_NOHOST, f"Error: {ip}: doesn't exist", stdout=arguments.nothing)
    director.remove(ip)
    yield from _until_synced(director, arguments, f"Error: {ip}")
    return _done(arguments, f"{ip}: removed")


def flush(director: Director, arguments: Arguments) -> Steps:
    connect(director, arguments)
    host = arguments.positional[0]
    ip = None if host == "all" else literal_ip(host, arguments)
    force = "F" in arguments.options
    timeout = "Error: failed" if ip is None else f"Warning: {ip}"
    if force:
        yield from _until_synced(director, arguments, timeout)
    if ip is not None and _backend(director, ip) is None:
        raise Failure(EX_NOHOST, f"Warning: {ip}: doesn't exist", stdout=arguments.nothing)
    if not force:
        for _ in director.flush(ip, _max_parallel(arguments)):
            yield
            if not director.running:
                raise _disconnected(arguments)
    elif ip is None:
        for each in director.backends():
            director.forget_users(each.ip)
    else:
        director.forget_users(ip)
        yield from _until_synced(director, arguments, timeout)
    return _done(arguments, "flushed" if ip is None else f"{ip}: flushed")


def move(director: Director, arguments: Arguments) -> Steps | Answer:
    connect(director, arguments)
    user, host = arguments.positional
    ip = literal_ip(host, arguments)
    if _backend(director, ip) is None:
        raise Failure(EX_NOHOST, f"Error: Host '{ip}' doesn't exist", stdout=arguments.nothing)
    user_hash = hashring.user_hash(user)
    if not director.move(user_hash, ip):
        failure = "Error: User is already being moved, wait a while for it to be finished"
        raise Failure(EX_TEMPFAIL, failure, stdout=arguments.nothing)
    return _done(arguments, f"User hash {user_hash} moved to {ip}")


def kick(director: Director, arguments: Arguments) -> Answer:
    connect(director, arguments)
    user = arguments.positional[0]
    if "f" not in arguments.options:  # nobody has further fields here
        director.kick(user)
    return _done(arguments, f"User {user} kicked")


def proxy_kick(director: Director, arguments: Arguments) -> Answer:
    """Of users, or of backends with ``-h``: only this director's sessions."""
    options, names = arguments.options, set(arguments.positional)
    if "h" in options:
        names.add(options["h"])
    elif not names:
        raise Failure(EX_USAGE, arguments.usage)
    path = options.get("a", IPC_SOCKET)
    if path != IPC_SOCKET or not director.running:
        why = "Connection refused" if path == IPC_SOCKET else "No such file or directory"
        lines = f"Error: connect({path}) failed: {why}", "Error: KICK failed: ipc connect failed"
        raise Failure(EX_TEMPFAIL, *lines, stdout=arguments.table(("count",), []) if arguments.tab else "")
    hits = [(each.ip if "h" in options else each.user) in names for each in director.sessions()]
    if "f" in options:
        hits = [False] * len(hits)
    else:
        director.kick_sessions(lambda each: (each.ip if "h" in options else each.user) in names)
    # Each session has a login process of its own, and the count is what the last of these says about itself.
    count = int(hits[-1]) if hits else "(null)" if "h" in options else 0
    printed = arguments.table(("count",), [(count,)]) if arguments.tab else f"{count} connections kicked\n"
    return Answer(OK, encoded(printed))


def _until_synced(director: Director, arguments: Arguments, what: str) -> Generator[None, None, None]:
    for _ in range(SYNC_LIMIT_S * TICKS_PER_S):
        if not director.running:
            raise _disconnected(arguments)
        if director.synced:
            return
        yield
    if not director.synced:
        raise Failure(EX_TEMPFAIL, f"{what}: Ring sync timed out", stdout=arguments.nothing)


def _set_up_to_now(director: Director, arguments: Arguments, ip: str, tag: str | None, vhosts: int) -> Backend | None:
    """The backend as it is, if there is one, and if it may be set to this."""
    if MAX_VHOSTS < vhosts < _UNSET:
        raise Failure(EX_TEMPFAIL, f"Error: {ip}: vhost count too large", stdout=arguments.nothing)
    backend = _backend(director, ip)
    if backend is not None:
        if tag not in {None, backend.tag}:
            raise Failure(EX_TEMPFAIL, f"Error: {ip}: host tag can't be changed", stdout=arguments.nothing)
        _refuse_if_busy(director, arguments, ip)
    return backend


def _refuse_if_busy(director: Director, arguments: Arguments, ip: str) -> None:
    if director.busy(ip):
        failure = f"Error: {ip}: host is already being updated - try again later"
        raise Failure(EX_TEMPFAIL, failure, stdout=arguments.nothing)


def _backend(director: Director, ip: str) -> Backend | None:
    return next((each for each in director.backends() if each.ip == ip), None)


def _host_and_tag(arguments: Arguments) -> tuple[str, str | None]:
    """Of ``-t TAG HOST`` or ``HOST@TAG``; None where no tag is given, or an empty one."""
    host, tag = arguments.positional[0], arguments.options.get("t")
    if tag is None:
        host, _, tag = host.partition("@")
    if host.isascii() and host.isdigit():
        raise Failure(EX_USAGE, f"Error: Invalid host '{host}'", arguments.usage)
    return host, tag or None


def _vhosts(arguments: Arguments) -> int:
    text = arguments.positional[1]
    if not (text.isascii() and text.isdigit() and int(text) <= _UNSET):
        raise Failure(EX_USAGE, arguments.usage)
    return int(text)


def _max_parallel(arguments: Arguments) -> int | None:
    """What is no number, and 0, doveadm doesn't even mention to the director."""
    text = arguments.options.get("max-parallel", "")
    if not (text.isascii() and text.isdigit()):
        return None
    if int(text) > 2**32 - 1:
        raise _disconnected(arguments)
    return int(text) or None


def _disconnected(arguments: Arguments) -> Failure:
    return Failure(EX_TEMPFAIL, f"Error: {SOCKET} unexpectedly disconnected", stdout=arguments.nothing)


def _done(arguments: Arguments, what: str) -> Answer:
    return Answer(OK, encoded(arguments.nothing), encoded(f"Info: {what}\n") if arguments.verbose else b"", CHANGE_S)
