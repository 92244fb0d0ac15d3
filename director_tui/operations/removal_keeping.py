"""The clean removals of a cluster on the disk of this machine, with what is decided about them in the journal."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.errors import OperationRefused, StateError
from director_tui.operations.journal import entries
from director_tui.operations.record import Event, Record
from director_tui.operations.removal_record import LIMIT_BYTES, NAME, file_name, read_removal, removal_json
from director_tui.operations.removal_story import story, summary_page
from director_tui.operations.stop_record import NotUnderstood
from director_tui.state import lock_state, read_state, state_folder, state_names, write_state
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from director_tui.operations.journal import Journal
    from director_tui.operations.removal import Removal
    from director_tui.times import Times

_LOCK: Final = "removal.lock"
"""Held for as long as one file is read and written: two programs may go on with the same removal."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The removals that are on the disk, the oldest first. ``notes`` name the files that are not understood."""

    unfinished: tuple[Removal, ...] = ()
    ended: tuple[Removal, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, ip: str) -> Removal | None:
        """The unfinished one of this backend; there is one at most."""
        return next((one for one in self.unfinished if one.ip == ip), None)


def read_removals(cluster: str) -> Kept:
    """All that are kept here. Takes as long as the disk does. Raises StateError if the folder can't be read."""
    found, notes = [], []
    for name in state_names(cluster):
        if not name.startswith("removal-"):
            continue
        try:
            if not NAME.fullmatch(name):
                raise NotUnderstood("is not called as a removal is")
            content = read_state(cluster, name, LIMIT_BYTES)
            if content is not None:
                found.append(read_removal(name, content, cluster))
        except (NotUnderstood, StateError) as error:
            notes.append(f"{clean(name)[:80]} {error}" if isinstance(error, NotUnderstood) else str(error))
    found.sort(key=lambda one: one.id)
    return Kept(
        tuple(one for one in found if one.ended is None),
        tuple(one for one in found if one.ended is not None),
        tuple(notes),
    )


class Removals:
    """Keeps the removals of one cluster. What it returns from is on the disk, and in the journal."""

    def __init__(self, cluster: str, journal: Journal, times: Times) -> None:
        self._cluster = cluster
        self._journal = journal
        self._times = times

    async def all(self) -> Kept:
        """All that are kept. Raises StateError."""
        return await asyncio.to_thread(read_removals, self._cluster)

    async def begin(self, removal: Removal) -> Removal:
        """Keep a new one. Raises OperationRefused while another one of the same backend is unfinished, and StateError:
        nothing is begun then."""

        def keep() -> Removal:
            with _locked(self._cluster):
                if (other := read_removals(self._cluster).of(removal.ip)) is not None:
                    raise OperationRefused(
                        f"a {other.title} is unfinished, begun {other.began:%Y-%m-%d %H:%M} UTC by {other.who}",
                        "go on with that one",
                    )
                return _write(removal)

        removal = await asyncio.to_thread(keep)
        kind = "permanent" if removal.permanent else "for maintenance"
        was = f"vhost count {removal.vhosts}, {removal.state.value}"
        begun = "; ".join(filter(None, (removal.reason, f"{kind}; it had {was}")))
        await self._note(removal, f"C{removal.title[1:]} begun", begun)
        return removal

    async def now(self, removal: Removal) -> Removal:
        """How it is kept now: another program may go on with it, too. Raises OperationRefused where somebody has taken
        the file away, and StateError."""
        return await asyncio.to_thread(_read, removal)

    async def change(
        self, removal: Removal, do: Callable[[Removal], Removal], note: str, said: str = "", *, as_seen: bool = False
    ) -> Removal:
        """Do something to what is on the disk now, keep it, and return it. ``note`` goes into the journal behind the
        title (``step 3 of 8: not waited for any longer``), ``said`` as its reason. ``as_seen`` is for what was decided
        by the look of ``removal``, and not for what is so in any case.

        Raises OperationRefused where somebody has ended it meanwhile, changed it though it was to be ``as_seen``, or
        taken the file away, and StateError.
        """

        def keep() -> Removal:
            with _locked(self._cluster):
                now = _read(removal)
                if now.ended is not None:
                    raise OperationRefused(f"the {now.title} was {now.ended.how.value} meanwhile by {now.ended.who}")
                if as_seen and now != removal:
                    raise OperationRefused(f"the {now.title} was gone on with meanwhile", "look at it as it is now")
                changed = do(now)
                return _write(changed)

        changed = await asyncio.to_thread(keep)
        await self._note(changed, f"C{changed.title[1:]}, {note}", said)
        return changed

    async def story(self, removal: Removal) -> str:
        """Everything that belongs to it, in order, as Markdown. Raises StateError."""
        extract = await asyncio.to_thread(self._journal.read, removal.began)
        return summary_page(removal, story(removal, entries(extract.records)))

    async def export(self, removal: Removal) -> Path:
        """Write that into the state folder, and return where. Raises StateError."""
        page = await self.story(removal)
        name = f"clean-removal-{removal.id}.md"
        await asyncio.to_thread(write_state, self._cluster, name, page.encode("utf-8", "replace"))
        return state_folder(self._cluster) / name

    async def _note(self, removal: Removal, title: str, reason: str) -> None:
        record = Record(self._times.utc(), Event.NOTE, title=title, targets=(removal.ip,), reason=reason)
        await asyncio.to_thread(self._journal.append, record)


def _read(removal: Removal) -> Removal:
    name = file_name(removal)
    content = read_state(removal.cluster, name, LIMIT_BYTES)
    if content is None:
        raise OperationRefused(f"the {removal.title} is not kept here any more", "begin it again")
    try:
        return read_removal(name, content, removal.cluster)
    except NotUnderstood as error:
        raise StateError(f"{name} {error}", "move it away, and begin it again") from None


def _write(removal: Removal) -> Removal:
    """Keep it, and return it as it is kept."""
    name, content = file_name(removal), removal_json(removal)
    kept = read_removal(name, content, removal.cluster)
    write_state(removal.cluster, name, content)
    return kept


@contextmanager
def _locked(cluster: str) -> Iterator[None]:
    descriptor = lock_state(cluster, _LOCK)
    if descriptor is None:
        raise StateError("another director-tui is writing down a removal at this moment", "try again")
    try:
        yield
    finally:
        os.close(descriptor)
