"""What only a person can answer while a connection is made: a passphrase, a password, a one-time code."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask a person; both texts are cleaned and may be shown.

    ``title`` is what it is for ("Passphrase for ~/.ssh/id_ed25519", "ops@dir1.example.com port 2222"), ``prompt`` what
    the server or this program wants to know ("Password:"), ``secret`` whether the answer must not be shown while it is
    typed.
    """

    title: str
    prompt: str
    secret: bool


AFTER_A_WRONG_ANSWER: Final = "That was not it."
"""What a prompt begins with when the answer before was wrong."""

Ask = Callable[[Question], Awaitable[str | None]]
"""Puts a question to a person; None: they declined. Never called again before it has returned."""
