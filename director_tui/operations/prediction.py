"""What a change would do to shares and users, backend by backend.

Shares are exact: the hash ring is a pure function. Users are estimated from the arcs that each survivor inherits, or
counted from the hashes themselves.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Forecast:
    """One backend before and after. Shares are fractions (0…1) of its tag's hash space.

    ``users_after`` is after flush or expiry; None where only counting could tell. ``over_capacity`` is whether that is
    more than the configuration says a backend can carry.
    """

    ip: str
    tag: str
    users_now: int
    users_after: int | None
    share_now: float
    share_after: float
    over_capacity: bool = False


@dataclass(frozen=True, slots=True)
class Prediction:
    """``forecasts`` has the targets and every backend of their tags that gains or loses by it, in the ring's order.

    ``at_once`` says what happens when the change is made, ``later`` what does on flush or expiry. ``exact`` is whether
    the users were counted; else they are marked ``≈``. ``moving`` are the users that go to another backend: more than
    the differences say where some come and others go. ``stranded`` are the users of backends of which none of their
    tag would be usable: they would be nowhere. ``count_of`` are the backends whose users can be counted to make it
    exact; none if it is, or if there is nothing to count.
    """

    forecasts: tuple[Forecast, ...]
    at_once: str
    later: str
    exact: bool
    moving: int = 0
    stranded: int = 0
    count_of: tuple[str, ...] = ()
