"""Makes the pages of the manual that say what the code says: ``python -m docs [FOLDER]`` (``make docs``)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from director_tui import config_keys
from director_tui.ui.commands import COMMANDS, commands_of
from director_tui.ui.help_screen import EXPLANATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from director_tui.config_keys import Key
    from director_tui.ui.commands import Command

HERE: Final = Path(__file__).parent
MADE: Final = "<!-- made by `make docs`; change the program instead -->\n"


def keys_page() -> str:
    """Every key on every screen, and what is behind the words on them."""
    intro = "The same page is in the program, behind `?`. ◆ changes the ring: never with `--read-only`.\n"
    parts = [MADE, "# Keys\n", intro]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        parts += [f"## {group}\n", _table(("key", ""), [_row(command) for command in commands_of(group)])]
    for title, text in EXPLANATIONS:
        parts += [f"## {title}\n", f"```\n{text}\n```\n"]
    return "\n".join(parts)


def configuration_page() -> str:
    """Every key of config.toml."""
    tables: tuple[tuple[str, tuple[Key, ...]], ...] = (
        ("At the top", config_keys.TOP),
        ("`[clusters.NAME]`", config_keys.CLUSTER),
        ("A director that is written as a table", config_keys.DIRECTOR),
        ("`[clusters.NAME.backends]`", config_keys.BACKENDS),
    )
    parts = [
        MADE,
        "# Configuration\n",
        "`~/.config/director-tui/config.toml`, or `$XDG_CONFIG_HOME/director-tui/config.toml`, or `--config FILE`.\n"
        "What is not understood is an error that names file, table and key. "
        "[setting-up.md](setting-up.md) has an example.\n",
    ]
    for title, keys in tables:
        rows = [(f"`{key.name}`", key.kind, key.default or "**needed**", key.meaning) for key in keys]
        parts += [f"## {title}\n", _table(("key", "kind", "where it is not set", "meaning"), rows)]
    return "\n".join(parts)


PAGES: Final[dict[str, Callable[[], str]]] = {"keys.md": keys_page, "configuration.md": configuration_page}


def _row(command: Command) -> tuple[str, str]:
    keys = " ".join(f"`{key}`" for key in command.key_text.split(", "))
    return keys, ("◆ " if command.changes else "") + command.help


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    for name, page in PAGES.items():
        (folder / name).write_text(page())
