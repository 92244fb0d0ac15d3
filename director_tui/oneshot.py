"""The one-shot commands: status, lookup, predict, check and journal; each returns its exit status."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.director.hashring import shares
from director_tui.director.whereabouts import whereabouts
from director_tui.errors import DirectorTuiError, UsageError
from director_tui.link.checkup import Verdict, examine
from director_tui.link.monitor import read_once
from director_tui.link.users import find_user
from director_tui.operations import report
from director_tui.operations.counting import count
from director_tui.operations.journal import Journal
from director_tui.operations.plan import Standing
from director_tui.operations.planning import make_plan
from director_tui.operations.record import as_json
from director_tui.operations.words import percent
from director_tui.terminal import tell
from director_tui.text import cells, clean
from director_tui.times import iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from director_tui.director.model import Backend, Placement, RingSettings, RingView
    from director_tui.link.checkup import Finding
    from director_tui.link.ring import Ring
    from director_tui.operations.plan import Request
    from director_tui.operations.prediction import Forecast

REACHED_BUT_WRONG: Final = 1

NO_BACKEND: Final = "the director lists no backend at all"

KNOWN_BY_ONE: Final = 3
"""In a ring of this many members everybody is a neighbour of everybody."""


async def status(ring: Ring, *, as_json: bool) -> int:
    """Print one reading of the ring. Raises RingUnreadable."""
    answer = await ring.on_one(doveadm.status())
    ring_answer = await ring.on_one(doveadm.ring_status())
    if ring_answer.director != answer.director:
        answer = await ring.on_one(doveadm.status())  # both from one director
    taken_at, view = datetime.now(UTC), ring_answer.value
    settings = await _settings(ring)
    # Where they can't be read it is as in all of 2.3.
    share = shares(answer.value, consistent=settings is None or settings.consistent_hashing)
    if as_json:
        _print_json(
            {
                "cluster": ring.cluster.name,
                "taken_at": iso(taken_at),
                "director": answer.director,
                "latency_ms": round(answer.elapsed_s * 1000, 1),
                "ring": {"synced": view.synced, "directors": _json_directors(view)},
                "backends": [_json_backend(one, share[one.ip], ring.cluster.names.get(one.ip)) for one in answer.value],
                "totals": {
                    "backends": len(answer.value),
                    "serving": sum(one.usable for one in answer.value),
                    "users": sum(one.users for one in answer.value),
                },
            }
        )
        return 0
    synced = "synced" if view.synced else "NOT SYNCED"
    # From four members on, one director alone can't tell that all of them are there; check asks every one.
    sure = len(view.members) <= KNOWN_BY_ONE or view.connected != view.members
    there = f"{len(view.connected)}/{len(view.members)}" if sure else f"of {len(view.members)}"
    _print(f"{ring.cluster.name}  {answer.director}  {answer.elapsed_s * 1000:.0f} ms  ring {there} {synced}")
    _print()
    _print_table(
        ("backend", "name", "tag", "vhosts", "share", "condition", "users"),
        [
            (
                *(one.ip, ring.cluster.names.get(one.ip, ""), one.tag, str(one.vhosts)),
                *(f"{share[one.ip]:.1%}" if one.usable else "-", one.condition.value, f"{one.users:,}"),
            )
            for one in answer.value
        ],
        right=("vhosts", "share", "users"),
    )
    if not answer.value:
        _print(NO_BACKEND)
    for tag in dict.fromkeys(one.tag for one in answer.value):
        if not any(one.usable for one in answer.value if one.tag == tag):
            _print(f"{_tag_name(tag)} has no usable backend: its new logins wait and then fail")
    return 0


async def lookup(ring: Ring, user: str, tag: str | None, *, as_json: bool) -> int:
    """Print where a user is and would be, in one tag or in every one. Raises RingUnreadable, UsageError."""
    try:
        found = await find_user(ring, user, tag)
    except ValueError as error:
        raise UsageError(clean(str(error))) from None
    tags = list(dict.fromkeys(one.tag for one in found.backends))
    if tag is not None and tag not in tags:
        # To a director it is a tag without a backend: it answers that the user is nowhere.
        there = "there are: " + ", ".join(one or "'' (no tag)" for one in tags) if tags else NO_BACKEND
        raise UsageError(f"no backend has the tag {clean(tag) or repr(tag)}; {there}")
    for why in found.left_out:
        tell(f"director-tui: left out: {why}")
    if as_json:
        placements = [_json_placement(one) for one in found.placements]
        _print_json({"user": user, "hash": found.hash, "placements": placements})
        return 0
    settings = await _settings(ring)
    expire_s = settings.user_expire_s if settings is not None else None
    _print(f"user  {clean(user)}")
    _print(f"hash  {found.hash}")
    _print()
    for said in whereabouts(found.placements, found.backends, names=ring.cluster.names, user_expire_s=expire_s):
        _print(said.sentence)
    _print()
    _print_table(
        ("tag", "current", "expires", "hashed", "initial config"),
        [
            (
                *(one.tag or "(none)", one.current or "-"),
                *(one.expires.strftime("%Y-%m-%d %H:%M:%S UTC") if one.expires else "-",),
                *(one.hashed or "-", one.initial_config or "-"),
            )
            for one in found.placements
        ],
    )
    return 0


async def check(ring: Ring, here: Sequence[Finding] = ()) -> int:
    """Print every step of reaching the ring with its verdict. 0 fine, 1 something is wrong, 3 nothing could be read.

    ``here`` is what is known already of this machine.
    """
    worst = Verdict.OK
    readable = False
    for finding in here:
        _print_finding(finding)
    async for finding in examine(ring):
        _print_finding(finding)
        worst = max(worst, finding.verdict, key=list(Verdict).index)
        readable = readable or finding.read_the_ring
    if not readable:
        return DirectorTuiError.exit_status
    return REACHED_BUT_WRONG if worst is Verdict.FAIL else 0


def _print_finding(finding: Finding) -> None:
    _print(f"{finding.verdict.value:<5} {finding.where}: {finding.what}")
    if finding.remedy:
        _print(f"      {finding.remedy}")


def journal(cluster: str, since: datetime | None, *, form: str = "") -> int:
    """Print what the journal of a cluster has, all of it or since then: as text, or in the form ``json`` or
    ``markdown``. It needs no connection. Raises StateError."""
    kept = Journal(cluster)
    extract = kept.read(since)
    said = report.caveats(extract, cluster)
    if form != "markdown":
        for sentence in said:
            tell(f"director-tui: {sentence}")
    if form == "json":
        _print_json([as_json(record) for record in extract.records])
    elif form == "markdown":
        _print(report.markdown(extract.records, cluster, said).removesuffix("\n"))
    elif extract.records:
        _print(report.plain(extract.records).removesuffix("\n"))
    else:
        period = f" since {since:%Y-%m-%d %H:%M:%S} UTC" if since is not None else ""
        _print(f"nothing is in the journal of {cluster}{period} ({clean(str(kept.path))})")
    return 0


async def predict(ring: Ring, request: Request, *, exact: bool, as_json: bool) -> int:
    """Print what a change would do; nothing is changed. Raises RingUnreadable, OperationRefused."""
    standing = Standing(await read_once(ring), ring.cluster)
    if exact:
        make_plan(request, standing)  # what can't be planned is said before anything is counted
        standing = replace(standing, counted=await count(request, standing, ring))
    plan = make_plan(request, standing)
    prediction = plan.prediction
    if prediction is None:
        raise UsageError(f"{request.verb.value} leads no users elsewhere by their hashes")
    if as_json:
        _print_json(
            {
                "action": request.verb.value.removesuffix(" all"),
                "ip": plan.request.ips[0] if plan.request.ips else "all",
                "tag": prediction.forecasts[0].tag if plan.request.ips and prediction.forecasts else None,
                "exact": prediction.exact,
                "when": {"at_once": prediction.at_once, "later": prediction.later},
                "moves": [_json_forecast(one) for one in prediction.forecasts],
                "warnings": list(plan.warnings),
            }
        )
        return 0
    _print(f"{plan.title}: what it would do; nothing is changed")
    _print()
    _print_wrapped("at once: ", prediction.at_once)
    _print_wrapped("then: ", prediction.later)
    _print()
    about = "" if prediction.exact else "≈ "
    _print_table(
        ("backend", "tag", "share", "becomes", "users", "become", "change"),
        [
            (
                *(one.ip, one.tag, percent(one.share_now), percent(one.share_after), f"{one.users_now:,}"),
                *(("?", "") if one.users_after is None else _become(one.users_now, one.users_after, about)),
            )
            for one in prediction.forecasts
        ],
        right=("share", "becomes", "users", "become", "change"),
    )
    if prediction.count_of:
        _print()
        _print("Users are estimated (≈) or unknown (?): --exact counts them.")
    if plan.warnings or plan.notes:
        _print()
    for warning in plan.warnings:
        _print_wrapped("! ", warning)
    for note in plan.notes:
        _print_wrapped("- ", note)
    return 0


def _become(now: int, after: int, about: str) -> tuple[str, str]:
    return f"{about if after not in {0, now} else ''}{after:,}", f"{after - now:+,}" if after != now else ""


def _json_forecast(one: Forecast) -> dict[str, object]:
    return {
        "ip": one.ip,
        "users_now": one.users_now,
        "users_after": one.users_after,
        "share_now": one.share_now,
        "share_after": one.share_after,
    }


async def _settings(ring: Ring) -> RingSettings | None:
    """The settings of the director in use; None where they can't be read, which is no reason to fail."""
    try:
        return (await ring.in_use.call(doveadm.settings())).value
    except DirectorTuiError:
        return None


def _json_directors(view: RingView) -> list[dict[str, object]]:
    return [
        {"ip": one.ip, "port": one.port, "type": one.type, "status": one.status, "ping_ms": one.ping_ms}
        for one in view.peers
    ]


def _json_backend(backend: Backend, share: float, name: str | None) -> dict[str, object]:
    return {
        "ip": backend.ip,
        "name": name,
        "tag": backend.tag,
        "vhosts": backend.vhosts,
        "state": backend.state.value,
        "state_changed": iso(backend.state_changed, "seconds") if backend.state_changed else None,
        "users": backend.users,
        "share": share,
        "condition": backend.condition.value,
    }


def _json_placement(one: Placement) -> dict[str, object]:
    return {
        "tag": one.tag,
        "current": one.current,
        "expires": iso(one.expires, "seconds") if one.expires else None,
        "hashed": one.hashed,
        "initial_config": one.initial_config,
    }


def _print_json(value: object) -> None:
    # ASCII only, so that no name can put anything but text on a terminal or break a pipe in another locale.
    _print(json.dumps(value, indent=2))


def _print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[str, ...] = ()) -> None:
    shown = [tuple(map(_encodable, row)) for row in (header, *rows)]
    filled = [column for column in range(len(header)) if not rows or any(row[column] for row in rows)]
    widths = [max(cells(row[column]) for row in shown) for column in range(len(header))]
    for row in shown:
        padded = []
        for column in filled:
            blanks = " " * (widths[column] - cells(row[column]))
            padded.append(blanks + row[column] if header[column] in right else row[column] + blanks)
        _print("  ".join(padded).rstrip())


def _tag_name(tag: str) -> str:
    return f"tag {tag}" if tag else "the untagged part of the ring"


def _print(text: str = "") -> None:
    if sys.stdout is None:  # started with standard output closed
        return
    try:
        sys.stdout.write(_encodable(text) + "\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"standard output can't be written: {error.strerror}") from None


def _print_wrapped(label: str, text: str) -> None:
    """A sentence in lines of 80 characters, the later ones under its beginning. Words stay whole: they may be IPs."""
    for line in textwrap.wrap(
        text,
        80,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    ):
        _print(line)


def _encodable(text: str) -> str:
    """With a question mark for what standard output's encoding does not have."""
    encoding = (sys.stdout and sys.stdout.encoding) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.replace("≈", "~").encode(encoding, "replace").decode(encoding)
    return text
