"""The help page, made from the table of commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from director_tui.ui.commands import COMMANDS, commands_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from textual.app import ComposeResult

_COLUMNS = """\
vhosts      the vhost count: how many points the backend has on the hash
            ring, 0 to 1000
share       the exact part of its tag's users that the hash ring leads to
            it now
condition   serving · draining, drained: vhost count 0, with or without
            users left · DOWN
users       assigned user hashes; each is kept up to director_user_expire
            (15 minutes, if nobody set it) after the user's last session,
            so these are not sessions
bar         users against the largest backend of the tag; the tick ╵ is
            where the share says it should end
/min        users gained or lost a minute, measured over the last minute
last 10 min users over the last ten minutes, each line on its own scale"""


_PLANS = """\
A changing key shows a plan; nothing is done before it is agreed to. Keys
that change backends are for those that are marked, or else for the one
under the cursor.
tab ← →        the next button, enter presses it; where there is a line
               for the name of the cluster, that is typed instead, and
               enter there does what the plan says
↑ ↓ pgup pgdn  the rest of the plan
esc            go back; nothing is done
applied        every director that could be read shows it
not applied    it was read afterwards, and is not there
unknown        its end or its effect was not seen: look at the ring
               before you do it again"""


_USERS = """\
hash           the directors know a user by the hash of its name alone:
               names that share one are placed and moved together, and a
               director answers for a mistyped name, too
current        the backend it is assigned to. Its logins go there,
               whatever becomes of that backend, until it is flushed, or
               director_user_expire after its last session
hashed         where its hash leads now: where it goes when it is
               flushed, or when it comes anew
initial config where its hash would lead by the configuration with which
               the ring was started
sessions       what passes through the directors now, without LMTP; “not
               current” is on another backend than the user's own, for a
               moment while it is moved, otherwise a danger"""


PLANS: Final = ("Plans, and what becomes of them", _PLANS)
EXPLANATIONS: Final = (PLANS, ("Columns", _COLUMNS), ("Columns of a user", _USERS))
"""What stands below the keys, by its title."""


class HelpScreen(Screen[None]):
    """Every key and what it does, and what the columns mean."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,ctrl+q", "app.pop_screen", "back"),
        Binding("ctrl+z", "app.suspend_process", show=False),
        Binding("j", "scroll('down')", show=False),
        Binding("k", "scroll('up')", show=False),
    ]

    def __init__(self, groups: Sequence[str] = (), *, read_only: bool = False) -> None:
        """``groups`` are the commands of the screen from which help was asked for; they come first."""
        super().__init__()
        self._groups = groups
        self._read_only = read_only

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(help_text(self._groups, read_only=self._read_only))

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_scroll(self, direction: str) -> None:
        page = self.query_one(VerticalScroll)
        page.scroll_relative(y=1 if direction == "down" else -1, animate=False)


def help_text(first: Sequence[str] = (), *, read_only: bool = False) -> Content:
    """All of the help page, the groups named ``first`` in front of the others."""
    width = max(len(command.key_text) for command in COMMANDS)
    parts: list[Content | str | tuple[str, str]] = [("director-tui", "$dt-accent bold"), "    q or esc goes back\n"]
    for group in dict.fromkeys([*first, *(command.group for command in COMMANDS)]):
        commands = commands_of(group, read_only=read_only)
        if not commands:
            continue
        parts.append((f"\n{group}\n", "bold"))
        for command in commands:
            parts.append((f"  {command.key_text:<{width}}", "$dt-accent"))
            parts.append(f"   {command.help}\n")
    for title, text in EXPLANATIONS:
        if read_only and (title, text) == PLANS:
            continue
        parts.append((f"\n{title}\n", "bold"))
        parts.extend(f"  {line}\n" for line in text.splitlines())
    return Content.assemble(*parts)
