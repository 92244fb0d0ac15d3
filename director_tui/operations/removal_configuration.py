"""The last step of a clean removal: where the backend still stands in the directors' configuration, and what to write.

Nothing here writes it. Every director has its own file, so each is read, and held against the others.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from director_tui.director import doveadm
from director_tui.director.mail_servers import parse_mail_servers, without
from director_tui.errors import DirectorTuiError
from director_tui.link.users import each_once
from director_tui.operations.words import listed, some
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from director_tui.director.mail_servers import Without
    from director_tui.link.reading import DirectorView
    from director_tui.link.ring import DirectorLink, Ring


@dataclass(frozen=True, slots=True)
class Written:
    """``director_mail_servers`` of one director. ``value`` is not cleaned; None where it could not be read, and
    ``failure`` says why. ``new`` is what it would be without the backend."""

    director: str
    value: str | None = None
    new: Without | None = None
    failure: str = ""

    @property
    def stands_there(self) -> bool:
        return self.new is not None and bool(self.new.changes)


@dataclass(frozen=True, slots=True)
class Configuration:
    """Of every director. ``drift`` says in what the lists differ from each other, backend by backend."""

    ip: str
    directors: tuple[Written, ...]
    drift: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Whether it was read everywhere and the backend stands nowhere, as far as host names let that be told."""
        return bool(self.directors) and all(one.value is not None and not one.stands_there for one in self.directors)

    @property
    def names(self) -> tuple[str, ...]:
        """The host names that are in any of them: whether the backend is behind one can't be told from here."""
        return tuple(
            dict.fromkeys(clean(name) for one in self.directors if one.new is not None for name in one.new.names)
        )

    @property
    def words(self) -> str:
        """How it stands, in a sentence."""
        there = [one.director for one in self.directors if one.stands_there]
        unread = [one.director for one in self.directors if one.value is None]
        if there:
            return f"{self.ip} still stands in director_mail_servers on {listed(there)}"
        if unread:
            return f"director_mail_servers could not be read on {listed(unread)}"
        behind = f", unless one of the host names there is it: {some(self.names)}" if self.names else ""
        return f"{self.ip} stands in no director_mail_servers any more{behind}"


async def read_configuration(ip: str, ring: Ring, views: Sequence[DirectorView]) -> Configuration:
    """Read it on every director of our ring, by what ``views`` say; who can't be read is said so."""

    async def one(link: DirectorLink) -> str | DirectorTuiError:
        try:
            return (await link.call(doveadm.mail_servers())).value
        except DirectorTuiError as error:
            return error

    links = each_once(ring.links, views)
    values = await asyncio.gather(*map(one, links))
    return configuration(ip, {link.name: value for link, value in zip(links, values, strict=True)})


def configuration(ip: str, values: Mapping[str, str | DirectorTuiError]) -> Configuration:
    """What these directors have, each as it was read or with why it couldn't be."""
    directors = tuple(
        Written(name, value, without(value, ip)) if isinstance(value, str) else Written(name, failure=str(value))
        for name, value in values.items()
    )
    return Configuration(ip, directors, tuple(map(clean, _drift(directors))))


def _drift(directors: Sequence[Written]) -> Iterator[str]:
    """What not all of those who could be read have, with the same tag; and host names, which have to be the same."""
    lists = {one.director: parse_mail_servers(one.value) for one in directors if one.value is not None}
    entries: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, there in lists.items():
        for ip, tag in there.ips.items():
            entries[ip][f"with tag {tag}" if tag else "without a tag"].append(name)
        for host in there.names:
            entries[host]["as a host name"].append(name)
    for what, sides in entries.items():
        on = [name for names in sides.values() for name in names]
        if len(sides) > 1:
            yield f"{what}: " + ", ".join(f"{how} on {listed(names)}" for how, names in sides.items())
        elif missing := [name for name in lists if name not in on]:
            yield f"{what}: on {listed(on)}, not on {listed(missing)}"
    for name, there in lists.items():
        if there.invalid:
            yield f"{name}: a director does not start with {some(there.invalid)} in it"
