"""Hostile input: any bytes, mostly real ones that were spoilt, to all that reads or shows what comes from outside.

`make fuzz` runs a million of them, `make test` a small share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.targets import Target


def every_target() -> tuple[Target, ...]:
    from tests.fuzz import screens, shell, targets

    return (*shell.TARGETS, *screens.TARGETS, *targets.TARGETS)
