"""Keeping the records of emergency stops here and on every director, and finding them again.

A stop waits for this, so nothing here takes longer than :data:`~director_tui.director.record_commands.STORE_LIMIT_S`:
what is not there by then is said, and one place is enough.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from director_tui.director.record_commands import STORE_LIMIT_S, fetch, store
from director_tui.errors import DirectorTuiError, DoveadmError, NoAnswer
from director_tui.operations.stop_record import (
    RECORD_LIMIT_BYTES,
    RECORD_NAME,
    NotUnderstood,
    StopOver,
    StopRecord,
    over_json,
    read_over,
    read_record,
    record_json,
    recover_script,
)
from director_tui.operations.words import listed
from director_tui.state import read_state, state_folder, state_names, write_state
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine, Mapping, Sequence

    from director_tui.director.record_commands import File
    from director_tui.link.ring import DirectorLink

ResultT = TypeVar("ResultT")

HERE: Final = "here"
"""What the state folder of this machine is called among the directors."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where something is on disk now, and why it isn't elsewhere; by director, or :data:`HERE`.

    ``paths`` are those of the record, or of the word that a stop is over; the script lies beside it.
    """

    paths: Mapping[str, str]
    failures: Mapping[str, str]

    @property
    def durable(self) -> bool:
        return bool(self.paths)

    @property
    def sentences(self) -> tuple[str, ...]:
        """Where it is, and each place where it isn't."""
        where = [f"kept {listed(self.paths)}" if self.paths else "kept nowhere"]
        return (*where, *(f"not kept {_at(place)}: {why}" for place, why in self.failures.items()))


@dataclass(frozen=True, slots=True)
class Found:
    """The records that were found, the oldest first, each once.

    ``where`` has the places of each, by its stamp; ``over`` the stamps of those that somebody has ended; ``doubted``
    those of which only these few directors say so, though the record lies here: the ring has to show it. ``notes``
    are files that are not understood, and copies that differ; ``failures`` the places that could not be read, with why.
    """

    records: tuple[StopRecord, ...] = ()
    over: frozenset[str] = frozenset()
    doubted: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


async def keep_record(record: StopRecord, cluster: str, links: Sequence[DirectorLink], folder: str) -> Kept:
    """Put a record and its script into the state folder and onto these directors, side by side. Never raises.

    ``folder`` is where on the directors (``ClusterConfig.records``). It takes no longer than the limit; what is under
    way then may still arrive.
    """

    def here() -> str:
        content = recover_script(record, links[0].config.doveadm if links else ("doveadm",))
        write_state(cluster, record.name, record_json(record))
        write_state(cluster, record.script_name, content)
        return str(state_folder(cluster) / record.name)

    async def there(link: DirectorLink) -> str:
        # The script last: where there is one, there is a record.
        stored = await _store(link, folder, record.name, record_json(record))
        await _store(link, folder, record.script_name, recover_script(record, link.config.doveadm))
        return stored

    return _kept(await _everywhere({HERE: asyncio.to_thread(here)} | {one.name: there(one) for one in links}))


async def keep_over(over: StopOver, cluster: str, links: Sequence[DirectorLink], folder: str) -> Kept:
    """Say here and on these directors that a stop is over. Never raises, and takes no longer than the limit."""

    def here() -> str:
        write_state(cluster, over.name, over_json(over))
        return str(state_folder(cluster) / over.name)

    async def there(link: DirectorLink) -> str:
        return await _store(link, folder, over.name, over_json(over))

    return _kept(await _everywhere({HERE: asyncio.to_thread(here)} | {one.name: there(one) for one in links}))


async def find_records(cluster: str, links: Sequence[DirectorLink], folder: str, ring: Collection[str]) -> Found:
    """What there is, here and on these directors. Never raises, and takes no longer than the limit.

    ``ring`` are the addresses of our own directors. Of two copies that differ the one here counts, and else the one of
    the first director.
    """

    async def there(link: DirectorLink) -> tuple[File, ...]:
        return (await link.call(fetch(folder, secrets.token_hex(16)))).value

    local = await _everywhere({HERE: asyncio.to_thread(_local, cluster)})
    found: dict[str, Mapping[str, bytes] | DirectorTuiError] = {**local}
    for name, files in (await _everywhere({one.name: there(one) for one in links})).items():
        if isinstance(files, DirectorTuiError):
            found[name] = files
        else:
            found[name] = {file.name: file.content for file in files}
    return _sorted_out(found, ring)


def _local(cluster: str) -> Mapping[str, bytes]:
    names = [name for name in state_names(cluster) if RECORD_NAME.fullmatch(name)]
    contents = {name: read_state(cluster, name, RECORD_LIMIT_BYTES) for name in names}
    return {name: content for name, content in contents.items() if content is not None}


def _sorted_out(found: Mapping[str, Mapping[str, bytes] | DirectorTuiError], ring: Collection[str]) -> Found:
    records: dict[str, StopRecord] = {}
    over: dict[str, list[str]] = {}
    where: dict[str, list[str]] = {}
    notes: list[str] = []
    failures: dict[str, str] = {}
    for place, files in found.items():
        if isinstance(files, DirectorTuiError):
            failures[place] = _why(files)
            continue
        for name, content in files.items():
            try:
                if name.startswith("over-"):
                    over.setdefault(read_over(name, content).stamp, []).append(place)
                    continue
                record = read_record(name, content, ring, ours=place == HERE)
            except NotUnderstood as refused:
                notes.append(f"{clean(name)[:60]} {_at(place)} {refused}")
                continue
            if place == HERE and not record.ring:
                notes.append(f"{name} here was made while no director told its ring: it is taken for one of this ring")
            if records.setdefault(record.stamp, record) != record:
                notes.append(f"{name} {_at(place)} differs from the one {_at(where[record.stamp][0])}, which counts")
            else:
                where.setdefault(record.stamp, []).append(place)
    # What lies on a director is foreign, and one alone takes no stop away that was made here; most of them together do,
    # as when a colleague has recovered from it while this program did not run.
    directors = len(found.keys() - {HERE})
    doubted = {
        stamp: tuple(places)
        for stamp, places in over.items()
        if HERE in where.get(stamp, ()) and HERE not in places and len(places) * 2 <= directors
    }
    return Found(
        tuple(sorted(records.values(), key=lambda one: one.time)),
        frozenset(over.keys() - doubted.keys()),
        doubted,
        {each: tuple(places) for each, places in where.items()},
        tuple(notes),
        failures,
    )


async def _store(link: DirectorLink, folder: str, name: str, content: bytes) -> str:
    return (await link.call(store(folder, name, content, secrets.token_hex(8)))).value.path


async def _everywhere(doing: Mapping[str, Coroutine[None, None, ResultT]]) -> dict[str, ResultT | DirectorTuiError]:
    """What came of each within the limit. Writing to a disk here that hangs is left to itself."""
    tasks = {place: asyncio.create_task(_said(one), name=f"records {place}") for place, one in doing.items()}
    if tasks:
        await asyncio.wait(tasks.values(), timeout=STORE_LIMIT_S)
    late = NoAnswer(f"not done within {STORE_LIMIT_S:g} s")
    for task in tasks.values():
        task.cancel()
    return {place: task.result() if task.done() and not task.cancelled() else late for place, task in tasks.items()}


async def _said(doing: Coroutine[None, None, ResultT]) -> ResultT | DirectorTuiError:
    try:
        return await doing
    except DirectorTuiError as error:
        return error
    except ValueError as error:  # the folder that is configured
        return DirectorTuiError(clean(str(error)))


def _kept(done: Mapping[str, str | DirectorTuiError]) -> Kept:
    return Kept(
        {place: path for place, path in done.items() if isinstance(path, str)},
        {place: _why(error) for place, error in done.items() if isinstance(error, DirectorTuiError)},
    )


def _why(error: DirectorTuiError) -> str:
    """What the shell itself said is more than that it failed."""
    said = error.stderr.splitlines() if isinstance(error, DoveadmError) else []
    return said[-1][:200] if said else str(error)


def _at(place: str) -> str:
    return place if place == HERE else f"on {place}"
