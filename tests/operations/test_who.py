"""Who is at the program, by what the machine and the environment say."""

from __future__ import annotations

import os
import pwd
from typing import Any

import pytest

from director_tui.operations.who import who_am_i

ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.mark.parametrize(
    ("sudo_user", "ssh_connection", "who"),
    [
        (None, None, ME),
        ("", "", ME),
        ("ops", None, f"{ME} (sudo by ops)"),
        (None, "192.0.2.7 50022 10.0.0.1 22", f"{ME} from 192.0.2.7"),
        ("ops", "2001:db8::7 50022 10.0.0.1 22", f"{ME} (sudo by ops) from 2001:db8::7"),
        ("\x1b[31m", "fe80::1%\u202e 1 2 3", f"{ME} (sudo by \ufffd[31m) from fe80::1%\ufffd"),
        ("x" * 100, None, f"{ME} (sudo by {'x' * 64})"),
    ],
)
def test_who_it_is(
    sudo_user: str | None, ssh_connection: str | None, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("SUDO_USER", sudo_user), ("SSH_CONNECTION", ssh_connection)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert who_am_i() == who


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(user_id: int) -> Any:
        raise KeyError(user_id)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert who_am_i().startswith(f"user {os.getuid()}")
