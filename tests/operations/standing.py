"""Readings made by hand, for tests of what is planned on them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from director_tui.config import ClusterConfig, DirectorConfig
from director_tui.director.model import Backend, RingSettings, Snapshot, State
from director_tui.director.parse import ring_view
from director_tui.link.reading import DirectorView, LinkState, LinkStatus, Reading
from director_tui.operations.plan import Request, Standing, Target, Verb
from tests.link.fakes import ring_output

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from director_tui.director.model import RingView

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DIRECTORS = {"dir1": "10.0.0.11", "dir2": "10.0.0.12", "dir3": "10.0.0.13"}
A, B, C, D = (f"10.1.0.{number}" for number in (1, 2, 3, 4))
GOLD1, GOLD2 = "10.1.0.7", "10.1.0.8"
CLUSTER = ClusterConfig("mail-eu", tuple(DirectorConfig(name, ("sudo", "-n", "doveadm")) for name in DIRECTORS))
SETTINGS = RingSettings((2, 3, 19, 1), mail_servers=f"{A}-{D} {GOLD1}@gold {GOLD2}@gold")


def backend(ip: str, vhosts: int = 100, users: int = 0, *, tag: str = "", up: bool = True) -> Backend:
    return Backend(ip, tag, vhosts, State.UP if up else State.DOWN, None, users)


EIGHT = (
    *(backend(ip, users=users) for ip, users in ((A, 2_800), (B, 2_700), (C, 2_900), (D, 3_000))),
    *(backend(ip, users=users, tag="gold") for ip, users in ((GOLD1, 900), (GOLD2, 1_100))),
)
"""Four backends without a tag, and two of tag gold."""


def ring_of(director: str, *, synced: bool = True, gone: Iterable[str] = ()) -> RingView:
    away = {DIRECTORS[name] for name in gone}
    return ring_view(ring_output(DIRECTORS[director], DIRECTORS.values(), gone=away, synced=synced))


def reading(
    backends: Iterable[Backend] = EIGHT,
    *,
    unsynced: Iterable[str] = (),
    elsewhere: Mapping[str, Iterable[Backend]] | None = None,
    settings: RingSettings | None = SETTINGS,
    status: LinkStatus = LinkStatus.LIVE,
) -> Reading:
    """What dir1 says; the two others say the same, but for what stands in ``elsewhere``."""
    rows = tuple(backends)
    rings = {name: ring_of(name, synced=name not in unsynced) for name in DIRECTORS}
    told = {name: tuple((elsewhere or {}).get(name, rows)) for name in DIRECTORS}
    views = tuple(DirectorView(name, rings[name], told[name]) for name in DIRECTORS)
    snapshot = Snapshot(rows, rings["dir1"], "dir1", NOON, 0.0, 12.0)
    return Reading(LinkState(status, "dir1"), snapshot, views, settings=settings)


def standing(
    backends: Iterable[Backend] = EIGHT,
    *,
    on: Reading | None = None,
    sessions: Mapping[str, int] | None = None,
    counted: Mapping[str, Mapping[str | None, int]] | None = None,
    monitor: str = "none",
    capacity: int | None = None,
) -> Standing:
    cluster = replace(CLUSTER, monitor=monitor, capacity=capacity)
    return Standing(on if on is not None else reading(backends), cluster, sessions, counted)


def changed(backends: Iterable[Backend], *others: Backend) -> tuple[Backend, ...]:
    """The backends with these in the place of those that have their IPs."""
    instead = {one.ip: one for one in others}
    return tuple(instead.get(one.ip, one) for one in backends)


def update(vhosts: int, *ips: str) -> Request:
    return Request(Verb.UPDATE, tuple(Target(ip, vhosts) for ip in ips))


def of(verb: Verb, *ips: str) -> Request:
    return Request(verb, tuple(map(Target, ips)))
