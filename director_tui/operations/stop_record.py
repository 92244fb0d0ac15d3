"""What an emergency stop takes from the backends, kept so that it can be given back: the record, and a script.

A record lies in the state folder here and, as a copy, on every director, where other operators find it. What is found
on a director is foreign: it is read as strictly as anything from outside, and never run. The script beside it is for a
person with nothing but a shell on a director.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from director_tui.director.model import MAX_VHOSTS, State, ip_order
from director_tui.text import canonical_ip, clean
from director_tui.times import iso

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from director_tui.director.model import RingView

VERSION: Final = 1

RECORD_LIMIT_BYTES: Final = 1024 * 1024
"""A record of 1,000 backends has about a tenth of this."""

TEXT_LIMIT: Final = 500
"""Characters of a name or a reason that somebody else has written."""

MOST_BACKENDS: Final = 5_000
MOST_EARLIER: Final = 100


@dataclass(frozen=True, slots=True)
class SavedBackend:
    """A backend as it was before it was stopped."""

    ip: str
    tag: str
    vhosts: int
    state: State


@dataclass(frozen=True, slots=True)
class StopRecord:
    """One emergency stop. ``ring`` are the addresses of the directors, in their order; ``cluster`` is what whoever
    stopped it calls it. ``host`` is the machine that ``who`` was at. ``backends`` are all there were, each once; where
    an earlier stop was in force, with the counts that were saved then. ``earlier`` are the stamps of such.
    """

    cluster: str
    ring: tuple[str, ...]
    time: datetime
    who: str
    host: str
    reason: str
    backends: tuple[SavedBackend, ...]
    earlier: tuple[str, ...] = ()

    @property
    def stamp(self) -> str:
        """What it is called by: its time, to the millisecond."""
        return stamp(self.time)

    @property
    def name(self) -> str:
        return f"stop-{self.stamp}.json"

    @property
    def script_name(self) -> str:
        return f"recover-{self.stamp}.sh"

    @property
    def saved(self) -> Mapping[str, int]:
        """The vhost counts by IP."""
        return {one.ip: one.vhosts for one in self.backends}


@dataclass(frozen=True, slots=True)
class StopOver:
    """A person has brought back what the stop of this stamp took, as far as it was wanted back."""

    stamp: str
    time: datetime
    who: str
    host: str

    @property
    def name(self) -> str:
        return f"over-{self.stamp}.json"


RECORD_NAME: Final = re.compile(r"(?:stop|over)-(\d{8}T\d{9}Z)\.json", re.ASCII)
"""What the files are called that :func:`read_record` and :func:`read_over` understand."""


_STAMP: Final = re.compile(r"\d{8}T\d{9}Z", re.ASCII)


class NotUnderstood(ValueError):
    """Why a file is not taken for a record, as the end of a sentence: *stop-….json on dir1* ``has no time``."""


def stamp(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y%m%dT%H%M%S}{time.microsecond // 1000:03}Z"


def moment(stamp: str) -> str:
    """A stamp as a person reads it."""
    return f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]} {stamp[9:11]}:{stamp[11:13]} UTC"


def addresses(views: Iterable[RingView]) -> tuple[str, ...]:
    """The addresses of all directors that these say are members of the ring, in the order of a ring."""
    return tuple(sorted({ip for view in views for ip, _ in view.members}, key=ip_order))


def record_json(record: StopRecord) -> bytes:
    values = {
        "version": VERSION,
        "cluster": record.cluster,
        "ring": record.ring,
        "time": iso(record.time),
        "who": record.who,
        "host": record.host,
        "reason": record.reason,
        "earlier": record.earlier,
        "backends": [
            {"ip": one.ip, "tag": one.tag, "vhosts": one.vhosts, "state": one.state.value} for one in record.backends
        ],
    }
    return json.dumps(values, indent=1).encode("ascii") + b"\n"


def over_json(over: StopOver) -> bytes:
    values = {"version": VERSION, "stop": over.stamp, "time": iso(over.time), "who": over.who, "host": over.host}
    return json.dumps(values, indent=1).encode("ascii") + b"\n"


def read_record(name: str, content: bytes, ring: Collection[str], *, ours: bool = False) -> StopRecord:
    """The record in a file of this name, wherever it was found. ``ring`` are the addresses of our own directors: one
    of them at least has to be in the record, for directors come and go. Of one that is ``ours`` that is only asked
    where both are known: while no director tells its ring, a stop is made all the same. Raises NotUnderstood."""
    values = _values(name, content)
    backends = _list(values, "backends", MOST_BACKENDS)
    saved = tuple(_saved(one) for one in backends)
    if not saved:
        raise NotUnderstood("names no backend")
    if len({one.ip for one in saved}) < len(saved):
        raise NotUnderstood("names a backend twice")
    members = {_ip(one, "ring", "directors") for one in _list(values, "ring", MOST_BACKENDS)}
    if not members & set(ring) and not (ours and not (members and ring)):
        unknown = (
            "does not say of which ring it is" if not members else "may be of another ring: none tells which this is"
        )
        raise NotUnderstood("is of another ring" if members and ring else unknown)
    earlier = tuple(_text(one, "earlier") for one in _list(values, "earlier", MOST_EARLIER))
    if not all(map(_STAMP.fullmatch, earlier)):
        raise NotUnderstood("names earlier stops by something that is no time")
    record = StopRecord(
        cluster=_shown(values, "cluster"),
        ring=tuple(sorted(members, key=ip_order)),
        time=_time(values),
        who=_shown(values, "who"),
        host=_shown(values, "host"),
        reason=_shown(values, "reason"),
        backends=tuple(sorted(saved, key=lambda one: ip_order(one.ip))),
        earlier=earlier,
    )
    if record.name != name:
        raise NotUnderstood("is called by another time than is in it")
    return record


def read_over(name: str, content: bytes) -> StopOver:
    """The word that a stop is over, in a file of this name. Raises NotUnderstood."""
    values = _values(name, content)
    over = StopOver(_text(values.get("stop"), "stop"), _time(values), _shown(values, "who"), _shown(values, "host"))
    if over.name != name:
        raise NotUnderstood("is called by another stop than is in it")
    return over


def recover_script(record: StopRecord, doveadm: Sequence[str]) -> bytes:
    """A script for any POSIX ``sh`` that sets every vhost count back. ``doveadm`` are the words of the director it is
    for; ``DOVEADM`` in the environment takes their place.

    It goes on past what fails, and names it at its end; its exit status is then 1.
    """
    counts = "\n".join(f"set_back {shlex.quote(one.ip)} {one.vhosts}" for one in record.backends)
    taken = f"{record.time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by {record.who} at {record.host}"
    script = _SCRIPT.format(
        taken=clean(taken),
        cluster=clean(record.cluster),
        name=record.script_name,
        words=shlex.quote(shlex.join(doveadm)),
        total=len(record.backends),
        counts=counts,
    )
    return script.encode("utf-8", "surrogateescape")


# Whoever types one of these may be in a csh, which knows no VARIABLE=value in front of a command.
# All at once and never one by one by hand: the first backend to come back would be given everyone.
_SCRIPT: Final = """\
#!/bin/sh
# Sets the vhost counts of {cluster} back that the emergency stop took, {taken}.
# On any director of the ring:  sh {name}
# Other words for doveadm:      env DOVEADM='sudo doveadm' sh {name}
DOVEADM=${{DOVEADM:-{words}}}
failed=
set_back() {{
  if eval "$DOVEADM director update \\"\\$1\\" \\"\\$2\\"" </dev/null; then
    echo "$1 $2"
  else
    failed="$failed $1"
  fi
}}
{counts}
if [ -n "$failed" ]; then
  echo "not set back, of {total}:$failed" >&2
  exit 1
fi
echo "all {total} set back"
"""


def _values(name: str, content: bytes) -> dict[str, Any]:
    if not RECORD_NAME.fullmatch(name):
        raise NotUnderstood("has no name that a record has")
    if len(content) > RECORD_LIMIT_BYTES:
        raise NotUnderstood(f"is larger than {RECORD_LIMIT_BYTES >> 20} MiB")
    try:
        values = json.loads(content, object_pairs_hook=_each_once)
    except NotUnderstood:
        raise
    except (ValueError, RecursionError):
        raise NotUnderstood("is no JSON") from None
    if not isinstance(values, dict):
        raise NotUnderstood("is no record")
    version = values.get("version")
    if type(version) is not int or version != VERSION:
        raise NotUnderstood(f"is of version {clean(str(version))[:20]}, and this program knows version {VERSION} only")
    return values


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise NotUnderstood("says something twice")
    return values


def _saved(one: object) -> SavedBackend:
    if not isinstance(one, dict):
        raise NotUnderstood("has something else than backends among its backends")
    ip = _ip(one.get("ip"), "ip", "a backend")
    vhosts = one.get("vhosts")
    if type(vhosts) is not int or not 0 <= vhosts <= MAX_VHOSTS:
        raise NotUnderstood(f"has a vhost count for {ip} that is none: it is 0 to {MAX_VHOSTS}")
    state = one.get("state")
    if state not in [each.value for each in State]:
        raise NotUnderstood(f"has a state for {ip} that is neither up nor down")
    return SavedBackend(ip, _shown(one, "tag"), vhosts, State(state))


def _ip(found: object, key: str, what: str) -> str:
    text = _text(found, key)
    try:
        return canonical_ip(text)
    except ValueError:
        raise NotUnderstood(f"names {what} by something that is no IP address") from None


def _list(values: dict[str, Any], key: str, longest: int) -> list[object]:
    found = values.get(key)
    if not isinstance(found, list):
        raise NotUnderstood(f"has no {key}")
    if len(found) > longest:
        raise NotUnderstood(f"has more than {longest:,} {key}")
    return found


def _text(found: object, key: str) -> str:
    if not isinstance(found, str):
        raise NotUnderstood(f"has no {key}")
    return found


def _shown(values: dict[str, Any], key: str) -> str:
    return clean(_text(values.get(key), key)[:TEXT_LIMIT])


def _time(values: dict[str, Any]) -> datetime:
    try:
        time = datetime.fromisoformat(_text(values.get("time"), "time"))
        if time.tzinfo is None:
            raise ValueError("no zone")
        return time.astimezone(UTC)
    except NotUnderstood:
        raise
    except (ValueError, OverflowError):
        raise NotUnderstood("has no time") from None
