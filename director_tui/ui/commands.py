"""Every command, once: its keys, its footer label, its line of help, and whether it changes the ring.

Bindings, footer, command palette and help page are all made from this table. A group is what a screen has as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Command:
    """One thing an operator can do.

    ``action`` is Textual's name of it, on the screen unless it says app; ``keys`` the keys that do it, the one to show
    first. ``label`` stands in the footer, which leaves out commands of low ``rank`` where it is narrow, and those of
    rank 0 always. ``changes`` tells commands that change the ring: a read-only session has none of them. A command with
    ``priority`` is done before the next key is looked at: what is typed right behind it must find the focus where the
    command puts it, and a changing key the cursor and the marks where the keys before it have put them. ``short`` is
    the label where the footer has no room for the usual one.
    """

    action: str
    keys: tuple[str, ...]
    label: str
    help: str
    group: str = "Backends"
    rank: int = 0
    changes: bool = False
    priority: bool = False
    short: str = ""

    @property
    def key_text(self) -> str:
        """The keys as a person reads them."""
        return ", ".join(_KEY_NAMES.get(key, key.replace("ctrl+", "^")) for key in self.keys)

    @property
    def first_key(self) -> str:
        return _KEY_NAMES.get(self.keys[0], self.keys[0].replace("ctrl+", "^"))


_KEY_NAMES: Final = {
    "slash": "/",
    "question_mark": "?",
    "colon": ":",
    "asterisk": "*",
    "escape": "esc",
    "S": "S",
    "up": "↑",
    "down": "↓",
}


def _change(verb: str, key: str, label: str, help: str, group: str, rank: int) -> Command:
    """A command that leads to a plan of this verb. What is typed right behind it is for what it opens."""
    return Command(f"change('{verb}')", (key,), label, help, group, rank, changes=True, priority=True)


BACKENDS_CHANGED: Final = "Changing backends"
RING_CHANGED: Final = "Changing the ring"
USER_CHANGED: Final = "Changing a user"

COMMANDS: Final[tuple[Command, ...]] = (
    _change("update", "v", "vhosts", "Set the vhost count: 0 sends no new users there", BACKENDS_CHANGED, 98),
    _change("down", "d", "down", "Set down: no new users, whatever the vhost count", BACKENDS_CHANGED, 97),
    _change("up", "u", "up", "Set up: new users again, as many as the vhost count gives", BACKENDS_CHANGED, 96),
    _change("flush", "f", "flush", "Move the users whose hash leads elsewhere by now", BACKENDS_CHANGED, 95),
    _change("remove", "x", "remove", "Remove from the ring; best without users and sessions", BACKENDS_CHANGED, 94),
    _change("add", "a", "add", "Add a backend to the ring", RING_CHANGED, 91),
    Command(
        *("remove_cleanly", ("w",), "remove cleanly"),
        *("Take a backend out in steps, so that no user or mail is lost", BACKENDS_CHANGED, 90),
        changes=True,
        priority=True,
        short="clean",
    ),
    _change("flush all", "F", "flush all", "Rebalance: every user to where its hash leads now", RING_CHANGED, 25),
    _change("move", "M", "move", "Move the user that is shown to a backend", USER_CHANGED, 85),
    _change("kick", "K", "kick", "End all sessions of the user that is shown", USER_CHANGED, 84),
    Command("cursor_down", ("j", "down"), "down", "Next line", "Moving", priority=True),
    Command("cursor_up", ("k", "up"), "up", "Previous line", "Moving", priority=True),
    Command("cursor_top", ("home",), "top", "First line", "Moving", priority=True),
    Command("cursor_bottom", ("end",), "bottom", "Last line", "Moving", priority=True),
    Command("page_down", ("pagedown",), "page down", "A page on", "Moving", priority=True),
    Command("page_up", ("pageup",), "page up", "A page back", "Moving", priority=True),
    Command("scroll_page(1)", ("j", "down"), "down", "Scroll down, where there is no table", "Scrolling"),
    Command("scroll_page(-1)", ("k", "up"), "up", "Scroll up", "Scrolling"),
    Command("details", ("enter",), "details", "Everything about the backend under the cursor", rank=65),
    Command(
        *("filter", ("slash",), "filter", "Show only backends with a text in IP, name, tag or condition"),
        rank=70,
        priority=True,
    ),
    Command("sort_next", ("s",), "sort", "Sort by the next column", rank=60, priority=True),
    Command("sort_reverse", ("S",), "reverse", "Turn the order round", rank=20, priority=True),
    Command("mark", ("space",), "mark", "Mark or unmark the backend under the cursor", rank=50, priority=True),
    Command("mark_all", ("asterisk",), "mark all", "Mark every backend shown", rank=10, priority=True),
    Command("copy", ("y",), "copy", "Copy the IP under the cursor, or those that are marked"),
    Command("clear", ("escape",), "clear", "Drop the filter; without one, drop the marks", priority=True),
    Command("copy", ("y",), "copy IP", "Copy the IP to the clipboard", "Details", rank=50),
    Command("switch", ("enter",), "show", "Show the cluster under the cursor instead", "Clusters", rank=75),
    Command("use", ("enter",), "use", "Read from the director under the cursor from now on", "Ring", rank=75),
    Command("whole", ("enter",), "show", "All of the operation or change under the cursor", "Operations", rank=75),
    Command(
        *("filter", ("slash",), "filter", "Show only what has a text in it: an IP, a name, a word", "Operations"),
        rank=55,
        priority=True,
    ),
    Command("clear", ("escape",), "clear", "Drop the filter; without one, go back", "Operations"),
    Command(
        *("follow", ("n",), "next", "Plan the step that follows the operation on top", "Operations"),
        rank=72,
        changes=True,
    ),
    Command(
        *("set_back", ("b",), "set back", "Plan what sets the operation under the cursor back", "Operations"),
        rank=71,
        changes=True,
    ),
    Command("export", ("e",), "export", "Write what is shown into a Markdown report", "Operations", rank=70),
    Command("set_back", ("b",), "set back", "Plan what sets this back", "Operation", rank=71, changes=True),
    Command("export", ("e",), "export", "Write it into a Markdown report", "Operation", rank=70),
    Command("copy", ("y",), "copy", "Copy its commands to the clipboard", "Operation", rank=50),
    Command("check_again", ("c",), "check again", "Read the configuration of every director again", "Removal"),
    Command("sessions", ("enter",), "sessions", "The sessions of the user, asked of every director", "User", rank=75),
    Command("clear", ("escape",), "clear", "Put the sessions away; before, leave the line for the name", "User"),
    Command(
        *("app.find_user", ("l",), "find user", "Find a user: where it is, and where it goes from there", "Views"),
        rank=92,
        priority=True,
    ),
    Command("app.ring", ("g",), "ring", "What each director says, and where they disagree", "Views", rank=62),
    Command("app.operations", ("o",), "operations", "The operation that runs, and the journal", "Views", rank=61),
    Command("app.clusters", ("c",), "clusters", "Every configured cluster, and how it is doing", "Views", rank=45),
    Command(
        *("app.emergency('emergency stop')", ("E",), "EMERGENCY STOP"),
        *("No new users anywhere: vhost count 0, all counts saved first", "Emergency"),
        rank=110,
        changes=True,
        priority=True,
        short="STOP",
    ),
    Command(
        *("app.emergency('recovery')", ("R",), "recover"),
        *("Give back what an emergency stop has taken, whoever made it", "Emergency"),
        rank=15,
        changes=True,
        priority=True,
    ),
    Command("app.read_now", ("r",), "read", "Read every director now, and try again what failed", "Program", rank=40),
    Command("app.palette", ("colon", "ctrl+p"), "commands", "Find a command by its name", "Program", rank=30),
    Command("app.next_theme", ("t",), "theme", "Next theme; it is remembered for this cluster", "Program", rank=5),
    Command("app.help", ("question_mark",), "help", "This page", "Program", rank=100),
    Command("app.suspend_process", ("ctrl+z",), "suspend", "Put the program in the background; fg returns", "Program"),
    Command("app.step_back", ("q", "escape", "ctrl+q"), "back", "Back to the dashboard", "Back", rank=99),
    Command("app.step_back", ("q", "ctrl+q"), "quit", "Quit, on the dashboard", "Quit", rank=80),
)


def bindings(*groups: str) -> list[BindingType]:
    """Textual bindings for the commands of these groups.

    Also in a read-only session, for those that change the ring: such a key says why it does nothing.
    """
    return [
        Binding(",".join(command.keys), command.action, command.label, show=False, priority=command.priority)
        for command in commands_of(*groups)
    ]


def commands_of(*groups: str, read_only: bool = False) -> tuple[Command, ...]:
    """The commands of these groups, in the order of the groups; when ``read_only`` without those that change it."""
    return tuple(
        command
        for group in groups
        for command in COMMANDS
        if command.group == group and not (read_only and command.changes)
    )
