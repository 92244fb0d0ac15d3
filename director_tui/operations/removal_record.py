"""A clean removal as it lies on the disk, and read back as strictly as anything that was written by somebody else."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from director_tui.director.model import MAX_VHOSTS, State
from director_tui.operations.removal import Course, Decided, Ended, Ending, Mark, Removal
from director_tui.operations.stop_record import NotUnderstood
from director_tui.text import canonical_ip, clean
from director_tui.times import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION: Final = 1

LIMIT_BYTES: Final = 64 * 1024

TEXT_LIMIT: Final = 1_000
"""Characters of any text in it."""

NAME: Final = re.compile(r"removal-\d{8}T\d{9}Z-[0-9a-f._]+\.json", re.ASCII)
"""What the files are called."""

_MARKS: Final = ("leaving", "first_upload", "moved", "final_upload")


def file_name(removal: Removal) -> str:
    return f"removal-{removal.id}.json"


def removal_json(removal: Removal) -> bytes:
    ended = removal.ended
    values = {
        "version": VERSION,
        "cluster": removal.cluster,
        "ip": removal.ip,
        "tag": removal.tag,
        "vhosts": removal.vhosts,
        "state": removal.state.value,
        "permanent": removal.permanent,
        "max_parallel": removal.max_parallel,
        "metacache": removal.metacache,
        "began": iso(removal.began),
        "who": removal.who,
        "host": removal.host,
        "reason": removal.reason,
        **{name: _mark_values(getattr(removal, name)) for name in _MARKS},
        "course": removal.course.value,
        "ended": {"at": iso(ended.at), "who": ended.who, "how": ended.how.value} if ended is not None else None,
    }
    return json.dumps(values, indent=1).encode("ascii") + b"\n"


def read_removal(name: str, content: bytes, cluster: str) -> Removal:
    """The removal in a file of this name in the state of this cluster. Raises NotUnderstood, to stand behind the name:
    *removal-….json* ``is torn, or no record``."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        raise NotUnderstood("is torn, or no record") from None
    if not isinstance(values, dict):
        raise NotUnderstood("is no record")
    if values.get("version") != VERSION:
        raise NotUnderstood(f"is of version {_shown(values.get('version'))}, which this program does not know")
    if unknown := sorted(values.keys() - _KNOWN):
        raise NotUnderstood(f"has {_shown(unknown[0])} in it, which this program does not know")
    try:
        removal = _removal(values)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise NotUnderstood(f"is not right: {_shown(error)}") from None
    if removal.cluster != cluster:
        raise NotUnderstood(f"is of {_shown(removal.cluster)}, another cluster")
    if file_name(removal) != name:
        raise NotUnderstood("is called by another time or backend than is in it")
    return removal


_KNOWN: Final = {"version", *(one.name for one in fields(Removal))}


def _removal(values: Mapping[str, Any]) -> Removal:
    return Removal(
        cluster=_text(values["cluster"]),
        ip=canonical_ip(_text(values["ip"])),
        tag=_text(values["tag"]),
        vhosts=_whole(values["vhosts"], 0, MAX_VHOSTS),
        state=State(values["state"]),
        permanent=_flag(values["permanent"]),
        max_parallel=_whole(values["max_parallel"], 1, 2**32 - 1) if values["max_parallel"] is not None else None,
        metacache=_flag(values["metacache"]),
        began=_time(values["began"]),
        who=_text(values["who"]),
        host=_text(values["host"]),
        reason=_text(values["reason"]),
        **{name: _mark(values[name]) for name in _MARKS},
        course=Course(values["course"]),
        ended=_ended(values["ended"]),
    )


def _mark_values(mark: Mark | None) -> dict[str, str] | None:
    if mark is None:
        return None
    return {"at": iso(mark.at), "who": mark.who, "how": mark.how.value, "said": mark.said}


def _mark(values: Any) -> Mark | None:
    if values is None:
        return None
    return Mark(_time(values["at"]), _text(values["who"]), Decided(values["how"]), _text(values["said"], lines=True))


def _ended(values: Any) -> Ended | None:
    if values is None:
        return None
    return Ended(_time(values["at"]), _text(values["who"]), Ending(values["how"]))


def _text(value: object, *, lines: bool = False) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    parts = value.split("\n") if lines else [value]
    return "\n".join(map(clean, parts))[:TEXT_LIMIT]


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("true or false is missing")
    return value


def _whole(value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"a number from {low} to {high:,} is missing")
    return value


def _time(value: object) -> datetime:
    time = datetime.fromisoformat(_text(value))
    if time.tzinfo is None:
        raise ValueError("a time has no zone")
    return time.astimezone(UTC)


def _shown(value: object) -> str:
    return clean(str(value))[:60]
