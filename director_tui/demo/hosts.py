"""The machines of the practice ring's backends, as one finds them by SSH: their doveadm has ``metacache flushall``.

Those with the tag ``gold`` have plain Dovecot, which knows no such command; the others keep their mail in object
storage, by obox of Dovecot Pro. That one is not free software, so that what it prints is made up here. Known is that it
takes its time, and that its exit status says whether everything is in object storage.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from director_tui.demo.command import EX_BAD_OPTION, EX_TEMPFAIL, EX_USAGE, OK, Answer, Failure, encoded
from director_tui.demo.configuration import GOLD
from director_tui.demo.doveadm import GLOBAL_OPTIONS, run_one_of, usage
from director_tui.demo.getopt import OptionError, parse_options
from director_tui.demo.population import TICKS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from director_tui.demo.command import Steps
    from director_tui.demo.sessions import Sessions
    from director_tui.demo.side import Side, SideBackend
    from director_tui.director.model import Backend

USERS_PER_S: Final = 150
"""How many users' changes a backend uploads, unless there are so many that it would take longer than LONGEST_S."""

SHORTEST_S: Final = 3
LONGEST_S: Final = 60

CHANGED_AGAIN_S: Final = 300
"""So long after an upload every user has something new to upload."""


class BackendHosts:
    """Each backend that is configured or that a director knows. ``sides`` has each director's side, as it is at the
    time; ``tick`` is what time it is."""

    def __init__(
        self, configured: Mapping[str, Backend], sides: Sequence[Side], sessions: Sessions, tick: Callable[[], int]
    ) -> None:
        self._configured = configured
        self._sides = sides
        self._sessions = sessions
        self._tick = tick
        self._metacaches: dict[str, _Metacache] = {}

    def __contains__(self, ip: str) -> bool:
        return ip in self._configured or any(self._known(ip))

    def run(self, ip: str, argv: Sequence[str]) -> Steps:
        """Run ``argv`` on a backend, which may be unknown by now: the words of its doveadm, ``env`` and ``sudo`` in
        front or not."""
        return run_one_of({"doveadm": partial(self._doveadm, ip)}, argv)

    def fail_upload(self, ip: str) -> None:
        """The next upload breaks off half way; the one after that doesn't."""
        self._metacache(ip).failing += 1

    def _doveadm(self, ip: str, words: Sequence[str]) -> Answer | Steps:
        try:
            _, rest = parse_options(words, GLOBAL_OPTIONS, "doveadm", permute=False)
        except OptionError as error:
            raise Failure(EX_BAD_OPTION, str(error)) from None
        name = " ".join(rest[:2])
        if rest[:1] == ["metacache"] and not self._has_obox(ip):
            raise Failure(EX_USAGE, usage("doveadm"))
        if name != "metacache flushall":
            raise Failure(EX_USAGE, f"Error: the practice ring can't do this on a backend: doveadm {name}")
        try:
            _, surplus = parse_options(rest[2:], "i", "flushall", permute=True)
        except OptionError as error:
            raise Failure(EX_USAGE, str(error)) from None
        if surplus:
            raise Failure(EX_USAGE, f"Error: Extraneous arguments found: {' '.join(surplus)}")
        return self._flushall(ip)

    def _flushall(self, ip: str) -> Steps:
        began, cache = self._tick(), self._metacache(ip)
        users = max((each.users for each in self._known(ip)), default=0)
        pending = cache.pending(users, began)
        ticks = round(TICKS_PER_S * min(LONGEST_S, max(SHORTEST_S, pending / USERS_PER_S)))
        for tick in range(ticks):
            yield
            breaks_off = cache.failing > 0 and tick >= ticks // 2
            if breaks_off or not self._sessions.healthy(ip):
                cache.failing -= breaks_off
                done = pending * tick // ticks
                failure = f"Error: obox: upload failed after {done} of {pending} users: HTTP 503 Service Unavailable"
                raise Failure(EX_TEMPFAIL, failure, stdout=_uploaded(done))
        cache.uploaded, cache.uploaded_users = began, users
        return Answer(OK, encoded(_uploaded(pending)))

    def _metacache(self, ip: str) -> _Metacache:
        return self._metacaches.setdefault(ip, _Metacache())

    def _has_obox(self, ip: str) -> bool:
        known = next(self._known(ip), None) or self._configured.get(ip)
        return known is None or known.tag != GOLD

    def _known(self, ip: str) -> Iterator[SideBackend]:
        backends = (side.backend(ip) for side in self._sides)
        return (each for each in backends if each is not None)


@dataclass(slots=True, eq=False)
class _Metacache:
    """What a backend has not uploaded yet. ``failing`` is how many of the next uploads break off; ``uploaded`` is the
    tick at which the last one began that did not, and ``uploaded_users`` how many users there were then."""

    failing: int = 0
    uploaded: int | None = None
    uploaded_users: int = 0

    def pending(self, users: int, tick: int) -> int:
        """How many users have changes that are nowhere else; also of those who have left since the last upload."""
        if self.uploaded is None:
            return users
        part = min(1.0, (tick - self.uploaded) / (CHANGED_AGAIN_S * TICKS_PER_S))
        return round(part * max(users, self.uploaded_users))


def _uploaded(users: int) -> str:
    return f"metacache: {users} users uploaded\n"
