"""Themes: TOML files to Textual themes. One accent and three meanings; everything else is text and ground."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.segment import Segment
from rich.style import Style
from textual.color import Color, ColorParseError
from textual.filter import LineFilter, Monochrome, NoColor
from textual.theme import Theme

from director_tui.config import parse_toml
from director_tui.errors import ConfigError, StateError
from director_tui.plain_file import read_plain_file
from director_tui.state import read_state, write_state
from director_tui.text import clean
from director_tui.theme_files import DEFAULT, built_in_files, user_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


SIXTEEN_COLORS: Final = "ansi"
"""The theme for a terminal that has no more than its own sixteen colours, where nobody has chosen another."""
COLORS: Final = (
    *("background", "surface", "line", "text", "muted", "accent", "fine", "attention", "danger"),
    *("cursor", "marked", "bar", "tick"),
)
"""What every theme defines. ``muted`` is for what may be overlooked, ``line`` for rules between parts."""
FILE_LIMIT: Final = 65_536
"""Bytes of a theme file; a real one has some hundred."""
_REMEMBERED: Final = "theme"


@dataclass(frozen=True, slots=True)
class Themes:
    """Every theme that can be chosen, by name, the default first; and what is wrong with those that can't."""

    by_name: Mapping[str, Theme]
    faults: tuple[ConfigError, ...]

    def first_of(self, *wanted: str | None) -> str:
        """The first of these that there is, else the default."""
        return next((name for name in wanted if name is not None and name in self.by_name), DEFAULT)

    def after(self, name: str) -> str:
        """The next one, round and round."""
        names = list(self.by_name)
        return names[(names.index(name) + 1) % len(names)]


def read_themes() -> Themes:
    """The program's own themes and those of this person. Raises ConfigError if one of the program's own is broken."""
    themes = {name: read_theme(file) for name, file in built_in_files().items()}
    files, faults = user_files()
    for name, file in files.items():
        try:
            themes[name] = read_theme(file)
        except ConfigError as error:
            faults.append(error)
    return Themes(themes, tuple(faults))


def read_theme(file: Path) -> Theme:
    """One theme file. Raises ConfigError that names the file, the key and its fault."""
    where = clean(str(file))
    try:
        text = read_plain_file(file, FILE_LIMIT)
    except OSError as error:
        raise ConfigError(f"{where}: can't be read: {error.strerror}", "check what it is, its owner and mode") from None
    document = parse_toml(text, file)
    _known_keys(document, ("dark", "colors"), where)
    dark = document.get("dark", True)
    if not isinstance(dark, bool):
        raise ConfigError(f"{where}: dark: true or false was expected")
    table = document.get("colors")
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: a table [colors] is needed")
    _known_keys(table, COLORS, f"{where}: [colors]")
    parsed = {name: _color(table.get(name), f"{where}: [colors] {name}") for name in COLORS}
    ansi = parsed["background"].ansi is not None
    for name, color in parsed.items():
        if (color.ansi is not None) != ansi:
            raise ConfigError(
                f"{where}: [colors] {name}: the terminal's own colours (ansi_…) and others don't mix",
                "take all of them from the one kind, like background",
            )
    return _theme(file.stem, {name: str(table[name]) for name in COLORS}, dark=dark, ansi=ansi)


def remembered_theme(cluster: str) -> str | None:
    """What was chosen last while looking at this cluster. None if nothing was, or if it can't be known."""
    try:
        content = read_state(cluster, _REMEMBERED, limit=100)
    except StateError:
        return None
    return None if content is None else content.decode("utf-8", "replace").strip()


def remember_theme(cluster: str, name: str) -> None:
    """Raises StateError."""
    write_state(cluster, _REMEMBERED, f"{name}\n".encode())


def wants_color(environment: Mapping[str, str]) -> bool:
    """Whether colours may be sent: not with NO_COLOR, and not to a terminal that has none."""
    if environment.get("NO_COLOR"):
        return False
    if environment.get("TERM", "") in {"", "dumb"}:
        return True  # no terminal at all, but a picture of the screen
    try:
        import curses

        curses.setupterm(environment["TERM"], 2)
        return curses.tigetnum("colors") != -1
    except (ImportError, curses.error):
        return True  # a terminal that is unknown here, but not to Textual


def filters(usual: Iterable[LineFilter], theme: Theme, *, color: bool) -> list[LineFilter]:
    """What every line goes through on its way to the terminal, instead of Textual's ``usual`` filters."""
    if not color:
        # Textual's own answer to NO_COLOR is grey in 24 bits.
        return [_NO_COLOR]
    # It answers to an empty NO_COLOR as well, which says nothing.
    kept = [one for one in usual if not isinstance(one, Monochrome | NoColor)]
    return [_DIMMED, *kept] if theme.ansi else kept


def _known_keys(table: Mapping[str, object], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"do you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            raise ConfigError(f"{where}: {clean(key)[:60]}: unknown key", hint)


def _color(value: object, where: str) -> Color:
    if value is None:
        raise ConfigError(f"{where}: is missing")
    hint = 'write it like "#10161d", or like "ansi_blue" for the terminal\'s own'
    try:
        color = Color.parse(value) if isinstance(value, str) else None
    except ColorParseError:
        color = None
    if color is None or color.auto:
        raise ConfigError(f"{where}: {clean(str(value)[:60])!r} is no colour", hint)
    if color.a != 1:
        raise ConfigError(f"{where}: {clean(str(value)[:60])!r} is transparent", hint)
    return color


def _theme(name: str, colors: Mapping[str, str], *, dark: bool, ansi: bool) -> Theme:
    # A cursor without a ground of its own is shown in reverse.
    cursor_style = "reverse" if colors["cursor"] == colors["background"] else "none"
    return Theme(
        name=name,
        dark=dark,
        ansi=ansi,
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
        variables={f"dt-{color}": value for color, value in colors.items()}
        | {
            "dt-cursor-style": cursor_style,
            "ansi-background": colors["background"],
            "ansi-foreground": colors["text"],
            "footer-background": colors["background"],
            "border": colors["line"],
            "border-blurred": colors["line"],
            "scrollbar": colors["line"],
            "scrollbar-background": colors["background"],
            "scrollbar-corner-color": colors["background"],
            "scrollbar-hover": colors["muted"],
            "scrollbar-active": colors["accent"],
            "scrollbar-background-hover": colors["background"],
            "scrollbar-background-active": colors["background"],
            "input-selection-background": colors["cursor"],
            "input-selection-foreground": colors["text"],
            "screen-selection-background": colors["cursor"],
            "screen-selection-foreground": colors["text"],
            "block-cursor-background": colors["cursor"],
            "block-cursor-foreground": colors["text"],
            "block-cursor-text-style": cursor_style,
        },
    )


class _Dimmed(LineFilter):
    """Bright black, the grey of sixteen colours, as the dimmed usual colour.

    It is the ground itself in some palettes (Solarized), where whatever is muted, and all stale data, would vanish.
    """

    _DIM = Style(color="default", dim=True)

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [
            Segment(text, style + self._DIM if style is not None and _is_muted(style) else style, control)
            for text, style, control in segments
        ]


def _is_muted(style: Style) -> bool:
    # In reverse it is the ground of something, like the thumb of a scrollbar.
    return style.color is not None and style.color.number == _BRIGHT_BLACK and not style.reverse


_BRIGHT_BLACK: Final = 8
_DIMMED: Final = _Dimmed()
_NO_COLOR: Final = NoColor()
