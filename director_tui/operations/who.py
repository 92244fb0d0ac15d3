"""Who is at this program, as far as the machine can tell."""

from __future__ import annotations

import os
import pwd
from typing import Final

from director_tui.text import clean

LONGEST: Final = 64
"""Characters of a name or an address that the environment gives."""


def who_am_i() -> str:
    """The local user, who became that by sudo, and from where the login came: ``root (sudo by ops) from 192.0.2.7``.

    The last two are what the environment says, so they hold among people who trust each other.
    """
    sudo = clean(os.environ.get("SUDO_USER", ""))[:LONGEST]
    address = clean(os.environ.get("SSH_CONNECTION", "").partition(" ")[0])[:LONGEST]
    return local_user() + (f" (sudo by {sudo})" if sudo else "") + (f" from {address}" if address else "")


def local_user() -> str:
    """The name of the user that this program runs as, whatever the environment says."""
    user_id = os.getuid()
    try:
        return clean(pwd.getpwuid(user_id).pw_name)
    except KeyError:
        return f"user {user_id}"
