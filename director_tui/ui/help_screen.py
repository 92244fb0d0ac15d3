"""The help page, made from the table of commands."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from director_tui.ui.commands import COMMANDS

if TYPE_CHECKING:
    from textual.app import ComposeResult

_COLUMNS = """\
vhosts      the vhost count: how many points the backend has on the hash ring, 0 to 1000
share       the exact part of its tag's users that the hash ring leads to it now
condition   serving · draining, drained: vhost count 0, with or without users left · DOWN
users       assigned user hashes; each is kept up to director_user_expire (15 minutes, if
            nobody set it) after the user's last session, so these are not sessions
bar         users against the largest backend of the tag; the tick ╵ is where the share
            says it should end
/min        users gained or lost a minute, measured over the last minute
last 10 min users over the last ten minutes, each line on its own scale"""


class HelpScreen(Screen[None]):
    """Every key and what it does, and what the columns mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,ctrl+q", "app.pop_screen", "back"),
        Binding("j", "scroll('down')", show=False),
        Binding("k", "scroll('up')", show=False),
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(help_text())

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_scroll(self, direction: str) -> None:
        page = self.query_one(VerticalScroll)
        page.scroll_relative(y=1 if direction == "down" else -1, animate=False)


def help_text() -> Content:
    """All of the help page."""
    width = max(len(command.key_text) for command in COMMANDS)
    parts: list[Content | str | tuple[str, str]] = [("director-tui", "$dt-accent bold"), "    q or esc goes back\n"]
    by_group = sorted(COMMANDS, key=lambda command: [one.group for one in COMMANDS].index(command.group))
    for group, commands in groupby(by_group, key=lambda command: command.group):
        parts.append((f"\n{group}\n", "bold"))
        for command in commands:
            parts.append((f"  {command.key_text:<{width}}", "$dt-accent"))
            parts.append(f"   {command.help}\n")
    parts.append(("\nColumns\n", "bold"))
    parts.extend(f"  {line}\n" for line in _COLUMNS.splitlines())
    return Content.assemble(*parts)
