"""Every step of reaching a ring, tried in turn on every director, each with a verdict."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.director.agreement import disagreements, twins, unread
from director_tui.director.mail_servers import parse_mail_servers, run_time_only
from director_tui.director.model import taking_part
from director_tui.errors import AuthenticationFailed, DirectorTuiError, HostKeyError
from director_tui.link.reading import DirectorView, foreign, undecided

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from director_tui.director.model import RingView
    from director_tui.link.ring import DirectorLink, Ring


class Verdict(enum.Enum):
    """In the order of their weight."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step showed. ``read_the_ring`` is whether a director has given its list of backends by this step."""

    verdict: Verdict
    where: str
    what: str
    remedy: str = ""
    read_the_ring: bool = False


async def examine(ring: Ring) -> AsyncIterator[Finding]:
    """Try everything, director by director and then across them; nothing is changed."""
    views: list[DirectorView] = []
    settings: dict[str, str] = {}
    for link in ring.links:
        async for finding in _reach(link):
            yield finding
        if link.connected:
            async for finding in _ask(link, views, settings):
                yield finding
    known = tuple(views)
    heard = {view.director: view for view in views}
    every = tuple(heard.get(link.name, DirectorView(link.name)) for link in ring.links)
    others = foreign(every)
    for name in others:
        what = f"belongs to another ring than {known[0].director}"
        yield Finding(Verdict.FAIL, name, what, "take it out of this cluster")
    apart = undecided(every)
    if apart:
        first = every[0].director
        what = f"can't tell which is ours: {' and '.join(apart)} belong to different rings, and {first} says nothing"
        yield Finding(Verdict.FAIL, "ring", what, f"take those of the other ring out of this cluster, or mend {first}")
    ours = tuple(view for view in known if view.director not in others and not apart)
    for finding in (*_identities(ours), *_agreement(ours), *_drift(known, settings)):
        yield finding


async def _reach(link: DirectorLink) -> AsyncIterator[Finding]:
    reached, known, logged_in = (Finding(Verdict.OK, link.name, what) for what in _STEPS)
    try:
        await asyncio.shield(link.connecting())
    except DirectorTuiError as error:
        # A jump host's failure says nothing about the director behind it.
        own = str(error).startswith(f"{link.name}: ")
        if own and isinstance(error, HostKeyError | AuthenticationFailed):
            yield reached
        if own and isinstance(error, AuthenticationFailed):
            yield known
        yield _failed(link, error)
    else:
        for finding in (reached, known, logged_in):
            yield finding


def _failed(link: DirectorLink, error: DirectorTuiError, verdict: Verdict = Verdict.FAIL, what: str = "") -> Finding:
    return Finding(verdict, link.name, what + str(error).removeprefix(f"{link.name}: "), error.remedy)


_STEPS: Final = ("SSH answers", "its host key is known", "logged in")


async def _ask(link: DirectorLink, views: list[DirectorView], settings: dict[str, str]) -> AsyncIterator[Finding]:
    try:
        version = (await link.call(doveadm.version())).value
        yield Finding(Verdict.OK, link.name, f"Dovecot {'.'.join(map(str, version))}")
    except DirectorTuiError as error:
        version = ()
        yield _failed(link, error, Verdict.WARN, "version not known: ")
    try:
        backends = (await link.call(doveadm.status())).value
    except DirectorTuiError as error:
        yield _failed(link, error)
        return
    listed = f"{len(backends)} backends, {sum(one.usable for one in backends)} usable"
    yield Finding(Verdict.OK if backends else Verdict.FAIL, link.name, f"director socket: {listed}", read_the_ring=True)
    try:
        ring = (await link.call(doveadm.ring_status())).value
    except DirectorTuiError as error:
        yield _failed(link, error)
        return
    view = DirectorView(link.name, ring, backends)
    views.append(view)
    yield _health(link.name, ring)
    try:
        mail_servers = (await link.call(doveadm.settings(version))).value.mail_servers
        settings[link.name] = mail_servers or ""
    except DirectorTuiError as error:
        yield _failed(link, error, Verdict.WARN, "settings not known: ")


def _health(director: str, ring: RingView) -> Finding:
    own = ring.self_peer
    there = f"{len(ring.connected)} of {len(ring.members)} directors"
    if ring.alone:
        what = "it believes that it is the only director: the ring is split"
        remedy = "look at the network between the directors; change nothing before they see each other again"
        return Finding(Verdict.FAIL, director, what, remedy)
    if not ring.synced:
        status = own.status if own is not None else "no row of its own"
        return Finding(Verdict.FAIL, director, f"ring: {status}", "a change would wait up to 30 s and then fail")
    if not ring.healthy or len(ring.connected) < len(ring.members):
        return Finding(Verdict.WARN, director, f"ring: synced, {there} take part")
    return Finding(Verdict.OK, director, f"ring: synced, {there}")


def _identities(views: tuple[DirectorView, ...]) -> list[Finding]:
    findings: list[Finding] = []
    own = views[0].ring if views else None
    if own is not None:
        gone = own.members - taking_part(own, (view.ring for view in views if view.ring is not None))
        if gone and own.healthy:
            listed = ", ".join(f"{ip}:{port}" for ip, port in sorted(gone))
            findings.append(Finding(Verdict.WARN, "ring", f"members that take no part in it: {listed}"))
    rings = {view.director: view.ring for view in views if view.ring is not None}
    for name, first in twins(rings).items():
        findings.append(Finding(Verdict.WARN, name, f"is the same director as {first}; counted once"))
    if missing := unread(rings):
        listed = ", ".join(f"{ip}:{port}" for ip, port in missing)
        findings.append(Finding(Verdict.WARN, "ring", f"members that were not read here: {listed}"))
    return findings


def _agreement(views: tuple[DirectorView, ...]) -> list[Finding]:
    if len(views) < 2:
        return []
    first = views[0].director
    different: dict[str, list[str]] = {}
    for one in disagreements({view.director: view.backends for view in views}):
        for name in one.differing_from(first):
            different.setdefault(name, []).append(one.ip)
    remedy = "run check again: it may be a change on its way round the ring"
    return [
        Finding(Verdict.FAIL, name, f"disagrees with {first} about {', '.join(sorted(ips))}", remedy)
        for name, ips in different.items()
    ] or [Finding(Verdict.OK, "ring", f"{len(views)} directors agree about all backends")]


def _drift(views: tuple[DirectorView, ...], settings: dict[str, str]) -> list[Finding]:
    findings = []
    for value in dict.fromkeys(settings.values()):
        names = [name for name, other in settings.items() if other == value]
        configured = parse_mail_servers(value)
        where = ", ".join(names)
        if configured.invalid:
            what = f"director_mail_servers has entries with which it will not start: {', '.join(configured.invalid)}"
            findings.append(Finding(Verdict.FAIL, where, what))
        if configured.repeated:
            what = f"director_mail_servers has {', '.join(configured.repeated)} twice; commands reach only the first"
            findings.append(Finding(Verdict.FAIL, where, what))
        backends = next(view.backends for view in views if view.director == names[0])
        drift = run_time_only(backends, configured)
        findings.extend(Finding(Verdict.WARN, where, difference) for difference in drift)
        if not drift:
            findings.append(Finding(Verdict.OK, where, "director_mail_servers says the same as the running ring"))
    return findings
