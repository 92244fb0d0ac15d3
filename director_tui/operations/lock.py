"""One changing operation at a time on this machine: a lock that only one program can hold for a cluster."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from director_tui.errors import OperationRefused, StateError
from director_tui.operations.who import who_am_i
from director_tui.state import lock_state, read_state
from director_tui.text import clean
from director_tui.times import iso

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

_FILE: Final = "operation.lock"
_LIMIT_BYTES: Final = 4096
_LONGEST: Final = 200
"""Characters of a title that are put into the file, so that it stays small."""


@contextmanager
def operation_lock(cluster: str, title: str, now: datetime) -> Iterator[None]:
    """Hold the cluster's lock, which says to others who does what; ``title`` is the plan's, ``now`` is in UTC.

    It never waits: raises OperationRefused if another operation holds it, here or in another program, and StateError if
    the state folder can't be used or its file system knows no locks. The kernel lets go of it when this program dies.
    """
    descriptor = lock_state(cluster, _FILE)
    if descriptor is None:
        raise _refusal(cluster)
    try:
        holder = {
            "who": who_am_i(),
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "since": iso(now),
            "what": clean(title)[:_LONGEST],
        }
        _say(descriptor, json.dumps(holder).encode("ascii"))
        yield
    finally:
        _say(descriptor, b"")
        os.close(descriptor)


@asynccontextmanager
async def beside_the_loop(lock: Callable[[], AbstractContextManager[None]]) -> AsyncIterator[ExitStack]:
    """Hold a lock that is taken and given back in a thread: a disk may take its time for it.

    It is held by what this yields; who takes it out of there keeps it. Raises what ``lock`` raises.
    """
    held = ExitStack()
    entering = asyncio.create_task(asyncio.to_thread(lambda: held.enter_context(lock())), name="take the lock")
    try:
        await asyncio.shield(entering)
    except asyncio.CancelledError:
        entering.add_done_callback(lambda done: done.cancelled() or done.exception())
        entering.add_done_callback(lambda _: held.close())
        raise
    try:
        yield held
    finally:
        await asyncio.shield(asyncio.to_thread(held.close))


def _say(descriptor: int, holder: bytes) -> None:
    """Only the words of a refusal need it: a full disk, where stopping everything may be due, is no reason to fail."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder, 0)


def _refusal(cluster: str) -> OperationRefused:
    """``another director-tui (pid 1234, ops, since 21:40 UTC) is at work: Set vhost count of 10.1.0.3 to 0``."""
    try:
        holder = json.loads(read_state(cluster, _FILE, _LIMIT_BYTES) or b"")
        if holder["pid"] == os.getpid() and holder["host"] == os.uname().nodename:
            by = "this director-tui"
        else:
            by = f"another director-tui (pid {int(holder['pid'])}"
            by += f" on {clean(holder['host'])}" if holder["host"] != os.uname().nodename else ""
            by += f", {clean(holder['who'])}, since {_time_of_day(holder['since'])} UTC)"
        what = f"{by} is at work: {clean(holder['what'])}"
    except (StateError, ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        what = "another director-tui is at work"  # it has not said yet at what
    return OperationRefused(f"{cluster}: {what}", "one operation at a time: wait for its end, then plan again")


def _time_of_day(since: str) -> str:
    """With the day if it is another one."""
    time = datetime.fromisoformat(since).astimezone(UTC)
    return f"{time:%H:%M}" if time.date() == datetime.now(UTC).date() else f"{time:%Y-%m-%d %H:%M}"
