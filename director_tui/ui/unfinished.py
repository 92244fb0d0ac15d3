"""Whether a clean removal was left unfinished on this machine, without importing what it takes to go on."""

from __future__ import annotations

from typing import Final

from director_tui.errors import StateError
from director_tui.state import read_state, state_names

LIMIT_BYTES: Final = 64 * 1024
ENDED: Final = b'"ended": {'
"""What stands in the record of one that is over."""


def some_unfinished(cluster: str) -> bool:
    """Whether there may be one. Takes as long as the disk does."""
    try:
        names = [name for name in state_names(cluster) if name.startswith("removal-") and name.endswith(".json")]
        return any(ENDED not in (read_state(cluster, name, LIMIT_BYTES) or ENDED) for name in names)
    except StateError:
        return True  # whoever looks closer says why
