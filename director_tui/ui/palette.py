"""What the command palette finds beside the commands: every backend, by IP and by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual.command import Hit, Provider
from textual.content import Content

from director_tui.text import clean
from director_tui.ui.live import LiveScreen

if TYPE_CHECKING:
    from textual.command import Hits


class GoToBackend(Provider):
    """Opens a backend of the ring on the screen; nothing is offered before something is typed: there may be 400."""

    async def search(self, query: str) -> Hits:
        screen = self.screen
        if not isinstance(screen, LiveScreen) or screen.present is None or screen.present.reading.snapshot is None:
            return
        matcher = self.matcher(query)
        for backend in screen.present.reading.snapshot.backends:
            name = clean(screen.cluster.names.get(backend.ip, ""))
            text = f"go to backend {backend.ip}  {name}".rstrip()
            score = matcher.match(text)
            if score > 0:
                run = partial(screen.post_message, LiveScreen.BackendWanted(backend.ip))
                # Not matcher.highlight(): that takes names for markup.
                yield Hit(score, Content(text), run, text=text, help=f"Put the cursor on {backend.ip}")
