"""What the plans of a stop, a recovery, and of disconnecting everyone say, beside what any plan says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from director_tui.operations.confirmation import ring_words
from director_tui.operations.emergency_ground import forgets, listed_elsewhere, silent
from director_tui.operations.plan import Emergency
from director_tui.operations.words import listed, plural

if TYPE_CHECKING:
    from collections.abc import Iterator

    from director_tui.link.reading import Reading
    from director_tui.operations.effect import Effect
    from director_tui.operations.plan import Request

LAST_RESORT = "the last resort is to stop the login services on the directors themselves"


def emergency_title(request: Request) -> str:
    match request.emergency:
        case Emergency.STOP:
            return f"Stop all {plural(len(request.targets), 'backend')}"
        case Emergency.RECOVER:
            return f"Bring {plural(len(request.targets), 'backend')} back"
        case _:
            return "Disconnect everyone"


def emergency_warnings(effect: Effect, reading: Reading) -> Iterator[str]:
    match effect.request.emergency:
        case Emergency.STOP:
            yield "new users get no backend: their logins hang 30 to 60 s and fail"
            for ip, director in listed_elsewhere(reading).items():
                yield f"{ip} is not stopped: {director} lists it, and the director in use does not"
            if ring_words(reading):
                yield f"a ring that is not synced may not take this: {LAST_RESORT}"
        case Emergency.DISCONNECT:
            yield "every session through every director that can be reached is ended"
            if forgets(reading):
                yield "users are forgotten and then kicked, not flushed: a director before Dovecot 2.2.33 would crash"
            if away := silent(reading):
                yield f"{listed(away)} can't be reached: the sessions there stay"


def emergency_notes(effect: Effect, until: str) -> Iterator[str]:
    """``until`` is when a user leaves a backend by itself."""
    match effect.request.emergency:
        case Emergency.STOP:
            yield f"whoever is assigned to a backend keeps reaching it until disconnected, or {until}"
            yield "vhost count 0 and not down, because a monitor sets a healthy backend that is down up again"
        case Emergency.RECOVER:
            yield "all at once: the first backend to come back alone would be sent everyone"
        case Emergency.DISCONNECT:
            yield "nobody can log in again before the vhost counts are given back"
