"""Themes: TOML files to Textual themes. One accent and three meanings; everything else is text and ground."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from textual.color import Color, ColorParseError
from textual.theme import Theme

from director_tui.errors import ConfigError
from director_tui.text import clean

DEFAULT: Final = "harbour"
COLORS: Final = (
    *("background", "surface", "line", "text", "muted", "accent", "fine", "attention", "danger"),
    *("cursor", "marked", "bar", "tick"),
)
"""What every theme defines. ``muted`` is for what may be overlooked, ``line`` for rules between parts."""


def theme_folders() -> tuple[Path, ...]:
    """Where themes are: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    return tuple(folder for folder in (package / "themes", package.parent / "themes") if folder.is_dir())


def built_in_themes() -> dict[str, Theme]:
    """The themes that come with the program, by name. Raises ConfigError if one is broken."""
    files = (file for folder in theme_folders()[:1] for file in sorted(folder.glob("*.toml")))
    return {file.stem: read_theme(file) for file in files}


def read_theme(file: Path) -> Theme:
    """One theme file. Raises ConfigError that names the file and its fault."""
    try:
        document = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"theme {file}: {clean(str(error))}") from None
    colors = document.get("colors")
    if not isinstance(colors, dict):
        raise ConfigError(f"theme {file}: a table [colors] is needed")
    for name in colors:
        if name not in COLORS:
            raise ConfigError(f"theme {file}: unknown colour {clean(str(name))}", f"known: {', '.join(COLORS)}")
    for name in COLORS:
        value = colors.get(name)
        if not isinstance(value, str):
            raise ConfigError(f"theme {file}: the colour {name} is missing")
        try:
            Color.parse(value)
        except ColorParseError:
            raise ConfigError(f"theme {file}: {name} = {clean(value)!r} is no colour") from None
    return Theme(
        name=file.stem,
        dark=document.get("dark", True) is True,
        primary=colors["accent"],
        secondary=colors["bar"],
        accent=colors["accent"],
        success=colors["fine"],
        warning=colors["attention"],
        error=colors["danger"],
        foreground=colors["text"],
        background=colors["background"],
        surface=colors["surface"],
        panel=colors["surface"],
        variables={f"dt-{name}": value for name, value in colors.items()}
        | {
            "footer-background": colors["background"],
            "border": colors["line"],
            "scrollbar": colors["line"],
            "scrollbar-background": colors["background"],
            "scrollbar-corner-color": colors["background"],
            "scrollbar-hover": colors["muted"],
            "scrollbar-active": colors["accent"],
            "scrollbar-background-hover": colors["background"],
            "scrollbar-background-active": colors["background"],
            "input-selection-background": colors["cursor"],
            "block-cursor-background": colors["cursor"],
            "block-cursor-foreground": colors["text"],
        },
    )
