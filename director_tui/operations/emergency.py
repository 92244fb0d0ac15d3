"""The emergency stop and its recovery, and throwing everybody out; pure.

A stop takes all backends at once to vhost count 0, and not down, because a monitor sets a healthy backend that is down
up again. What it takes is in a :class:`~director_tui.operations.stop_record.StopRecord`, which the executor keeps
before the first command. All plans that are made here go on past what fails; to try the rest again is to plan again.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from director_tui.director.changes import first_by_ip
from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.model import ip_order
from director_tui.errors import OperationRefused
from director_tui.operations.emergency_ground import highest, lowest
from director_tui.operations.plan import Emergency, Request, Target, Verb
from director_tui.operations.planning import make_plan
from director_tui.operations.stop_record import SavedBackend, StopRecord, addresses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from director_tui.director.model import Backend, ProxySession
    from director_tui.link.reading import Reading
    from director_tui.operations.plan import Plan, Standing
    from director_tui.operations.stop_keeping import Found


STOPS_LAST: Final = timedelta(days=1)
"""So long a stop may last that nobody has ended. Later one more is not made on top of it, and a few backends that are
at 0 are no sign of it."""

SETTLES_AFTER: Final = timedelta(minutes=10)
"""So long after a record was made its stop has begun, if it ever will."""


class Choice(enum.Enum):
    """What to give back: the counts that were saved, or the manual's 100 everywhere."""

    SAVED = "saved"
    HUNDRED = "hundred"


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop that is not over: one record, or several that were made on top of each other.

    ``record`` is the newest of them, ``records`` are all, the oldest first. ``saved`` are the counts to give back, by
    IP: of several that were saved the oldest, but never 0 where another one is known. ``stopped`` are the backends that
    had users sent to them, and are at 0 now.
    """

    records: tuple[StopRecord, ...]
    saved: Mapping[str, SavedBackend]
    stopped: tuple[str, ...]

    @property
    def record(self) -> StopRecord:
        return self.records[-1]

    @property
    def began(self) -> StopRecord:
        """The first of them, since when there is no service."""
        return self.records[0]

    @property
    def in_force(self) -> bool:
        """Whether any of what it took is still away."""
        return bool(self.stopped)

    @property
    def stamps(self) -> tuple[str, ...]:
        return tuple(one.stamp for one in self.records)


class Now(enum.Enum):
    """How a backend stands against what was saved of it."""

    STOPPED = "stopped"
    """At 0, and it had more."""
    BACK = "as saved"
    WAS_ZERO = "had 0 before"
    CHANGED = "changed since"
    """Somebody has given it another count meanwhile."""
    SERVING = "not stopped"
    """There is no record, and it is not at 0."""
    ADDED = "added since"
    """No record knows it."""
    REMOVED = "removed since"
    """It is not listed any more, so nothing can be given back."""


@dataclass(frozen=True, slots=True)
class RecoverRow:
    """A line of the table: a backend, its saved and its present count (None: there is none), and what it would get.

    ``ticked`` is whether it is given back unless a person says otherwise; ``to`` is the count for either choice, None
    where it can't be given any.
    """

    ip: str
    tag: str
    saved: int | None
    now: int | None
    to: int | None
    what: Now
    ticked: bool


def stop_in(found: Found, reading: Reading) -> Stop | None:
    """The same as :func:`open_stop` by all that a reading shows: a backend is away that is at 0 on any director."""
    snapshot = reading.snapshot
    return open_stop(found, lowest(reading), snapshot.taken_at) if snapshot is not None else None


def open_stop(found: Found, backends: Iterable[Backend], at: datetime | None = None) -> Stop | None:
    """The stop that is not over, by the records and by what the ring lists; None if there is none.

    A record is over when somebody has said so, or when all of its backends that are listed have their counts again. An
    old one, that nobody has ended, is none any more when most of what it took is in service ``at`` this time.
    """
    now = {ip: one.vhosts for ip, one in first_by_ip(backends).items()}
    going = [
        one
        for one in found.records
        if not _is_over(one, found, now) and not _back(one, now) and not (at is not None and _outlived(one, now, at))
    ]
    if not going:
        return None
    records = [going.pop()]
    for one in reversed(going):
        if _underneath(one, records, at):
            records.insert(0, one)
    saved: dict[str, SavedBackend] = {}
    for record in records:
        for one_saved in record.backends:
            if one_saved.ip not in saved or not saved[one_saved.ip].vhosts:
                saved[one_saved.ip] = one_saved
    stopped = tuple(ip for ip, one_saved in saved.items() if one_saved.vhosts and now.get(ip) == 0)
    return Stop(tuple(records), saved, stopped)


def settled(found: Found, backends: Iterable[Backend], now: datetime) -> tuple[StopRecord, ...]:
    """The records whose backends all have their counts again without anybody having said that the stop is over: by the
    script, or by hand. Somebody has to say it, or the next backend that is taken to 0 would look like a stop. Where
    somebody has, and it was doubted, it is enough that nothing is away.

    One that was made just now is none of them: its first command may be about to be sent. Nor is one of whose backends
    none is listed, as by a director that has just begun and has not heard of the others yet.
    """
    counts = {ip: one.vhosts for ip, one in first_by_ip(backends).items()}
    return tuple(
        one
        for one in found.records
        if one.stamp not in found.over
        and now - one.time > SETTLES_AFTER
        and not counts.keys().isdisjoint(one.saved)
        and (_back(one, counts) or (one.stamp in found.doubted and not _away(one, counts)))
    )


def _is_over(record: StopRecord, found: Found, now: Mapping[str, int]) -> bool:
    """Whether somebody has ended it. That is doubted only as long as all that it took is away."""
    back = any(now[ip] for ip, count in record.saved.items() if count and ip in now)
    return record.stamp in found.over or (record.stamp in found.doubted and back)


def _back(record: StopRecord, now: Mapping[str, int]) -> bool:
    return all(now.get(ip, count) == count for ip, count in record.saved.items())


def _away(record: StopRecord, now: Mapping[str, int]) -> bool:
    """Whether anything of what it took is at 0."""
    return any(count and now.get(ip) == 0 for ip, count in record.saved.items())


def _outlived(record: StopRecord, now: Mapping[str, int], at: datetime) -> bool:
    """Whether somebody has brought back what it took in another way long ago, so that it says nothing of today."""
    taken = [ip for ip, count in record.saved.items() if count and ip in now]
    return at - record.time > STOPS_LAST and sum(now[ip] == 0 for ip in taken) * 2 < len(taken)


def _underneath(earlier: StopRecord, records: Sequence[StopRecord], at: datetime | None) -> bool:
    """Whether these were made on top of the earlier one, which nobody has ended.

    Whoever made them and had found it says so. Who had not has saved the zeros that it left, or what something else had
    set meanwhile; but an old record does not count, because much may have been changed on purpose since. One that is
    still to come was made by another clock, at some time until now.
    """
    later = records[0].time
    if at is not None and earlier.time <= at:
        later = min(later, at)
    return any(earlier.stamp in one.earlier for one in records) or later - earlier.time < STOPS_LAST


def left_to_stop(reading: Reading) -> bool:
    """Whether any director would still send users to any backend."""
    return any(one.vhosts for one in highest(reading))


def stop_request(reading: Reading, stop: Stop | None) -> Request:
    """To stop all that the director in use lists. What an open stop has saved is saved again, so that the new record is
    whole by itself; else the highest count that a director shows, which is 0 only where all show that."""
    snapshot, rows = reading.snapshot, first_by_ip(highest(reading))
    if snapshot is None:
        raise OperationRefused("the ring has not been read yet")
    # By another clock it may have been made at any time, if that is days ahead.
    stands = stop is not None and (stop.in_force or abs(snapshot.taken_at - stop.record.time) < STOPS_LAST)
    known = stop.saved if stop is not None and stands else {}
    saves = [
        SavedBackend(ip, one.tag, (known[ip].vhosts if ip in known else 0) or one.vhosts, one.state)
        for ip, one in rows.items()
    ]
    # One that was removed since may be added again: nothing that was saved is lost.
    saves += [one for ip, one in known.items() if ip not in rows]
    return Request(
        Verb.UPDATE,
        tuple(Target(ip, 0) for ip in first_by_ip(snapshot.backends)),
        emergency=Emergency.STOP,
        saves=tuple(sorted(saves, key=lambda one: ip_order(one.ip))),
        stops=stop.stamps if stop is not None and stands else (),
        because=Emergency.STOP.value,
    )


def stop_plan(standing: Standing, stop: Stop | None = None) -> Plan:
    """To stop all backends; ``stop`` is the one that is open already. Those at 0 need no command.

    Raises OperationRefused, also where nothing is left to be stopped.
    """
    return make_plan(stop_request(standing.reading, stop), standing)


def record_of(plan: Plan, reading: Reading, reason: str, now: datetime, who: str, host: str) -> StopRecord:
    """What a plan of a stop keeps; its time is ``now``, to the millisecond."""
    rings = [*reading.rings.values()]
    if reading.snapshot is not None and reading.snapshot.ring is not None:
        rings.append(reading.snapshot.ring)
    return StopRecord(
        cluster=plan.cluster,
        ring=addresses(rings),
        time=now.replace(microsecond=now.microsecond // 1000 * 1000),
        who=who,
        host=host,
        reason=reason,
        backends=plan.request.saves,
        earlier=plan.request.stops,
    )


def recover_rows(
    backends: Iterable[Backend], stop: Stop | None, choice: Choice = Choice.SAVED
) -> tuple[RecoverRow, ...]:
    """Saved against now, in the order of the ring; what is not listed any more comes last.

    Without a stop all that are at 0 are ticked. With one a backend that somebody has changed since is not, nor one that
    was added; one that had 0 before stays at 0.
    """
    rows = first_by_ip(backends)
    saved = stop.saved if stop is not None else {}
    table = [_row(ip, one, saved.get(ip), stop is not None, choice) for ip, one in rows.items()]
    gone = (one for ip, one in saved.items() if ip not in rows)
    return (*table, *(RecoverRow(one.ip, one.tag, one.vhosts, None, None, Now.REMOVED, False) for one in gone))


def recover_plan(
    standing: Standing,
    stop: Stop | None,
    choice: Choice = Choice.SAVED,
    ticked: Collection[str] | None = None,
) -> Plan:
    """To give back what was taken, all at once: the first backend to come back alone would be sent everyone.

    ``ticked`` are the backends that a person wants, None for those that are ticked by themselves. Raises
    OperationRefused, also where there is nothing to give back.
    """
    if standing.reading.snapshot is None:
        raise OperationRefused("the ring has not been read yet")
    rows = recover_rows(lowest(standing.reading), stop, choice)
    wanted = [row for row in rows if row.to is not None and (row.ip in ticked if ticked is not None else row.ticked)]
    if not wanted:
        raise OperationRefused("nothing to give back: no backend is ticked")
    left = {row.ip for row in rows if row.what is Now.STOPPED} - {row.ip for row in wanted}
    request = Request(
        Verb.UPDATE,
        tuple(Target(row.ip, row.to) for row in wanted),
        emergency=Emergency.RECOVER,
        saves=tuple(stop.saved.values()) if stop is not None else (),
        # As long as something that was taken stays away, the stop is not over.
        stops=stop.stamps if stop is not None and not left else (),
        because=f"recovery from the stop {stop.record.stamp}" if stop is not None else "recovery without a record",
    )
    return make_plan(request, standing)


def disconnect_plan(standing: Standing, sessions: Mapping[str, Sequence[ProxySession]] | None = None) -> Plan:
    """To end every session after a stop. ``sessions`` are those through each director; only Dovecot before 2.3.14
    needs them, see :func:`needs_sessions`.

    Raises OperationRefused as long as a usable backend is seen on any director, naming one.
    """
    kicked = {name: tuple(dict.fromkeys(one.user for one in each)) for name, each in (sessions or {}).items()}
    request = Request(
        Verb.FLUSH_ALL,
        emergency=Emergency.DISCONNECT,
        kicks=tuple(kicked.items()),
        because="everyone is disconnected after an emergency stop",
    )
    return make_plan(request, standing)


def _row(ip: str, now: Backend, saved: SavedBackend | None, stopped: bool, choice: Choice) -> RecoverRow:
    count = saved.vhosts if saved is not None else None
    what = _how(now, count, stopped)
    hundred = choice is Choice.HUNDRED or (saved is None and not now.vhosts)
    to = CONFIGURED_VHOSTS if hundred else count or None
    return RecoverRow(ip, now.tag, count, now.vhosts, to, what, what is Now.STOPPED)


def _how(now: Backend, saved: int | None, stopped: bool) -> Now:
    if saved is None:
        return Now.ADDED if stopped else (Now.SERVING if now.vhosts else Now.STOPPED)
    if now.vhosts == saved:
        return Now.BACK if saved else Now.WAS_ZERO
    return Now.CHANGED if now.vhosts else Now.STOPPED
