"""Which themes there are, by their files. Their names are checked before anything that draws is loaded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from director_tui.config import config_path
from director_tui.errors import ConfigError
from director_tui.text import clean

DEFAULT: Final = "harbour"
BUILT_IN: Final = (DEFAULT, "paper", "contrast", "ansi", "mono")


def built_in_files() -> dict[str, Path]:
    """The themes of the program, by name: in the installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    folder = next((one for one in (package, package.parent) if (one / "themes").is_dir()), package) / "themes"
    return {name: folder / f"{name}.toml" for name in BUILT_IN}


def user_folder() -> Path:
    """``$XDG_CONFIG_HOME/director-tui/themes``."""
    return config_path().parent / "themes"


def user_files() -> tuple[dict[str, Path], list[ConfigError]]:
    """The themes of this person, by name, and what can be none because of its name or that of the folder."""
    folder = user_folder()
    files: dict[str, Path] = {}
    faults = []
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix == ".toml")
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [ConfigError(f"{clean(str(folder))}: can't be read: {error.strerror}", "check its owner and mode")]
    for file in found:
        if file.stem in BUILT_IN:
            fault = f"{file.stem} is a theme of the program itself; give the file another name"
        elif not re.fullmatch(r"[A-Za-z0-9_-]+", file.stem):
            fault = "a theme's name has letters, digits, dashes and underscores only; give the file another name"
        else:
            files[file.stem] = file
            continue
        faults.append(ConfigError(f"{clean(str(file))}: {fault}"))
    return files, faults


def theme_names() -> list[str]:
    """Every theme that can be asked for. Whether a person's own file is right is not looked at."""
    return [*BUILT_IN, *user_files()[0]]
