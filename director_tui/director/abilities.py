"""From which version of Dovecot on its doveadm and its directors can do what this program would ask of them.

As its sources of each version have it: doveadm/doveadm-director.c, doveadm/doveadm-proxy.c, director/director.c.
"""

from __future__ import annotations

from typing import Final

MAX_PARALLEL: Final = (2, 2, 26)
"""``flush --max-parallel``. Before, a flush moves all users at once."""

KICKS_SEVERAL: Final = (2, 2, 26)
"""``proxy kick`` of several users. Before, it kicks the first and says nothing of the others."""

KICKS_ARE_GARBLED: Final = (2, 2, 26)
KICKS_ARE_PASSED_ON: Final = (2, 2, 28)
"""``director kick``. Between these two it is passed on in words that the next director takes for a broken protocol: it
ends the connection, and takes no new one for a minute."""

FLUSHES_TO_NOWHERE: Final = (2, 2, 33)
"""A flush where no backend of the tag is usable. Before, the director that runs it crashes."""

WAITS_TO_BE_SYNCED: Final = (2, 2, 33)
ONE_AT_A_TIME_UNTIL: Final = (2, 3, 3)
"""From the first of these on a director keeps changes back until its ring is synced. Before the second it runs in
circles for ever when it has kept back two of them."""

KICKS_BY_BACKEND: Final = (2, 3, 14)
"""``proxy kick -h``."""


def lacks(version: tuple[int, ...], ability: tuple[int, ...]) -> bool:
    """Whether this version is older than what it would have to be. One that is not known is taken for a new one."""
    return () < version < ability


def keeps_back_one_only(version: tuple[int, ...]) -> bool:
    """Whether a director of this version hangs when a second change comes while it keeps one back."""
    return WAITS_TO_BE_SYNCED <= version < ONE_AT_A_TIME_UNTIL
