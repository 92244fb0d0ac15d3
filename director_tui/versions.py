"""What a report of a fault has to name, as ``director-tui --version`` prints it; nothing of it is loaded for that."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from typing import Final

from director_tui import __version__
from director_tui.link.ssh_config import find_ssh
from director_tui.text import clean, clean_lines

LIBRARIES: Final = ("textual", "rich", "asyncssh", "cryptography", "bcrypt")

_LIMIT_S: Final = 2.0
"""How long ``ssh -V`` may take, in seconds."""


def versions() -> str:
    """The first line is this program's; each line after it has a name and what there is of it."""
    named = {
        "Python": f"{platform.python_version()} on {platform.system()} {platform.release()} {platform.machine()}",
        **{name: _library(name) for name in LIBRARIES},
        "OpenSSH client": _openssh(),
        "terminal": " ".join(filter(None, map(os.environ.get, ("TERM", "COLORTERM", "TERM_PROGRAM")))) or "not said",
    }
    width = max(map(len, named))
    return "\n".join([f"director-tui {__version__}", *(f"{name:<{width}}  {clean(it)}" for name, it in named.items())])


def _library(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _openssh() -> str:
    ssh = find_ssh()
    if ssh is None:
        return "not found: asyncssh reads the OpenSSH configuration itself"
    try:
        said = subprocess.run([ssh, "-V"], capture_output=True, check=False, timeout=_LIMIT_S, stdin=subprocess.DEVNULL)  # noqa: S603 - what PATH calls ssh, as it is called for every connection
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{ssh} does not run: {type(error).__name__}"
    return f"{(clean_lines(said.stderr).splitlines() or ['it says no version'])[0]} ({ssh})"
