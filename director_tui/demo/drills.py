"""The scenarios of the practice ring by name: all that the command line has to know of them.

Apart from what plays them (:mod:`director_tui.demo.scenarios`), which only the practice ring needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

CALM: Final = "calm"
SUMMARIES: Final[Mapping[str, str]] = {
    CALM: "an ordinary day: users come and go, nobody changes anything",
    "storage-outage": "backends fail one after another; some come back in 4 minutes",
    "monitor-fight": "a backend set down is set up by a monitor again and again",
    "split-ring": "one director loses the others; each side is changed alone",
    "slow-director": "the first director takes 1.5 to 4 s, or doesn't answer at all",
    "ailing-backend": "mail-02 loses sessions, and its first metacache flush fails",
}
