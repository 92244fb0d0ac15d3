"""Offers to add host keys that nobody vouches for yet."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from director_tui.errors import HostKeyUnknown, RingUnreadable
from director_tui.ui.dialogs import HostKeyDialog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from director_tui.errors import DirectorTuiError
    from director_tui.link.reading import Reading
    from director_tui.ui.dialog_queue import DialogQueue
    from director_tui.ui.live import InBackground


class HostKeyOffers:
    """Shows each unknown host key once, until it may be shown :meth:`again`.

    ``say`` shows why a key can't be added, ``added`` is called when one was.
    """

    def __init__(
        self,
        dialogs: DialogQueue,
        *,
        in_background: InBackground,
        say: Callable[[str], None],
        added: Callable[[], None],
    ) -> None:
        self._dialogs = dialogs
        self._in_background, self._say, self._added = in_background, say, added
        self._offered: set[tuple[str, int, str]] = set()

    def take(self, reading: Reading) -> None:
        """Offer what keeps from reading now and has not been offered yet."""
        for failure in _failures(reading):
            if isinstance(failure, HostKeyUnknown):
                self.offer(failure)

    def offer(self, error: HostKeyUnknown) -> None:
        """Ask whether to add it, if that has not been asked yet."""
        seen = (error.host, error.port, error.fingerprint)
        if seen not in self._offered:
            self._offered.add(seen)
            self._in_background(partial(self._decide, error))

    def again(self) -> None:
        """Whatever was offered may be offered once more."""
        self._offered.clear()

    async def _decide(self, error: HostKeyUnknown) -> None:
        if not await self._dialogs.show(HostKeyDialog(error)):
            return
        # Imported when a key is to be added: so the first frame comes sooner.
        from director_tui.link.host_keys import add_to_known_hosts

        try:
            add_to_known_hosts(error)
        except OSError as failure:
            self._say(f"{error.known_hosts}: {failure.strerror}")
        else:
            self._added()


def _failures(reading: Reading) -> Iterable[DirectorTuiError]:
    """What keeps from reading now; nothing of an attempt that another one is about to replace."""
    failure = reading.link.failure if not reading.link.trying else None
    if isinstance(failure, RingUnreadable):
        yield from failure.causes.values()
    elif failure is not None:
        yield failure
    if not reading.asking:
        yield from (view.failure for view in reading.views if view.failure is not None)
