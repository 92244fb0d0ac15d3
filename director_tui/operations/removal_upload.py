"""What the end of a metacache upload means: done, nothing to upload there, or a question to a person.

Nothing shows from outside what is in a backend's metacache. So it counts as done by its exit status alone, and where
there may be some that was not uploaded, it is never passed over in silence.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.director.failures import EX_USAGE
from director_tui.operations.plan import Outcome
from director_tui.operations.removal import Decided

if TYPE_CHECKING:
    from director_tui.config import ClusterConfig
    from director_tui.operations.progress import Progress

RISK: Final = "mail that is not yet in object storage may be lost"

_ERROR: Final = re.compile(r"\b(?:Error|Fatal|Panic): ")
"""By which a program of Dovecot begins what it can't do, behind its own name."""

SAID_LIMIT: Final = 500
"""Characters that are kept with the removal of what an upload printed; the journal has more."""


@dataclass(frozen=True, slots=True)
class Judged:
    """``how`` is None where a person has to decide: then ``risk`` is what skipping means. ``said`` is what came."""

    how: Decided | None
    said: str
    risk: str = ""


def before_upload(cluster: ClusterConfig) -> Judged | None:
    """What is known of it without trying; None if it has to be tried."""
    access = cluster.backends
    if access is None:
        return Judged(
            None,
            f"how to reach the backends is not configured: [clusters.{cluster.name}.backends] with ssh and metacache",
            RISK,
        )
    return Judged(Decided.NOT_WANTED, 'metacache = "no" in the configuration') if access.metacache == "no" else None


def judge(progress: Progress, cluster: ClusterConfig) -> Judged:
    """What this upload came to. It has ended, as far as anybody waits for it."""
    line = progress.lines[0]
    said = line.output[-SAID_LIMIT:]
    if line.exit_status == 0 and progress.outcome is Outcome.APPLIED:
        return Judged(Decided.DONE, said)
    if line.exit_status == EX_USAGE and "metacache" not in line.output.lower():
        unknown = "this doveadm knows no metacache: not an obox backend (exit status 64)"
        expected = _expected(cluster)
        return Judged(None, f"{unknown}, but {expected}", RISK) if expected else Judged(Decided.NOT_THERE, unknown)
    if line.exit_status is not None:
        return Judged(None, f"it ended with exit status {line.exit_status}: {_what_failed(line.output)}", RISK)
    if line.sent_mono_s is not None:
        return Judged(None, "its end was not seen: it may be running on the backend still", RISK)
    why = "; ".join(progress.notes) or "it was not sent"
    return Judged(None, why, RISK)


def _what_failed(output: str) -> str:
    """The last error in it, in front of whatever it says of how far it was; else the last line."""
    lines = output.splitlines() or ["it said nothing"]
    return next((one for one in reversed(lines) if _ERROR.search(one)), lines[-1])[:SAID_LIMIT]


def _expected(cluster: ClusterConfig) -> str:
    """Why there should be a metacache, whatever doveadm says."""
    if cluster.backends is not None and cluster.backends.metacache == "yes":
        return 'the configuration says metacache = "yes"'
    # Dovemon is a part of Dovecot Pro, and so is the metacache.
    return 'the configuration says monitor = "dovemon", which comes with it' if cluster.monitor == "dovemon" else ""
