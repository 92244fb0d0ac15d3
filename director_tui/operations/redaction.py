"""User names out of the journal: a word in the place of each, so that one user can still be followed through it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import shlex
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from director_tui.errors import StateError
from director_tui.operations.record import with_texts
from director_tui.state import keep_state, read_state, state_folder
from director_tui.text import canonical_ip, clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.operations.record import Record

_KEY_FILE: Final = "user-words.key"
_KEY_BYTES: Final = 32
_WORD_DIGITS: Final = 10

_ON_USERS: Final = {("director", "move"), ("director", "kick"), ("proxy", "kick")}
"""The commands that are given names of users: every word behind their ``--`` that is no IP."""


@dataclass(frozen=True, slots=True)
class UserWords:
    """Makes the words, ``user-1f0c…``. Without the key, which never leaves the state folder, none can be turned back.

    The directors' own hash of a name would not do: whoever has a list of the users can compute it.
    """

    key: bytes

    def word(self, user: str) -> str:
        """The word for a user. Capital letters make no difference, as they make none to a director."""
        digest = hmac.new(self.key, user.lower().encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"user-{digest.hexdigest()[:_WORD_DIGITS]}"

    def in_text(self, text: str, users: Iterable[str]) -> str:
        """The text without these names, wherever one stands by itself."""
        forms = _forms(users)
        if not forms:
            return text
        # A name may be a part of another one: someone@example.com is not someone@example.com.au.
        either = "|".join(map(re.escape, sorted(forms, key=len, reverse=True)))
        pattern = re.compile(rf"(?<![\w@.+-])(?:{either})(?![\w@+-]|\.\w)", re.IGNORECASE)
        return pattern.sub(lambda match: self.word(forms.get(match[0].lower(), match[0])), text)

    def in_command(self, words: tuple[str, ...], users: Iterable[str]) -> tuple[str, ...]:
        """A command without the names of users: as a word of its own only where a user's name goes, because a user may
        well be called ``director``; and inside of a word with blanks, which is a command line itself."""
        users = tuple(users)
        places = set(_places(words))
        return tuple(
            self.word(word) if place in places else self.in_text(word, users) if " " in word else word
            for place, word in enumerate(words)
        )

    def in_record(self, record: Record, users: Iterable[str]) -> Record:
        """A cleaned record without these names."""
        users = tuple(users)
        forms = _forms(users)

        def redacted(text: str) -> str:
            return self.in_text(text, users)

        def target(text: str) -> str:
            return self.word(forms[text.lower()]) if text.lower() in forms else text

        return replace(
            with_texts(record, redacted, redacted),
            operation=record.operation,
            verb=record.verb,  # users may be called like these, too
            who=record.who,
            via=record.via,
            targets=tuple(map(target, record.targets)),
            argv=tuple(self.in_command(command, users) for command in record.argv),
        )


def read_user_words(cluster: str) -> UserWords:
    """Those of this cluster, with its key, which is made when it is first needed. Raises StateError."""
    key = read_state(cluster, _KEY_FILE, _KEY_BYTES)
    if key is None:
        key = keep_state(cluster, _KEY_FILE, secrets.token_bytes(_KEY_BYTES), _KEY_BYTES)
    if len(key) != _KEY_BYTES:
        file = clean(str(state_folder(cluster) / _KEY_FILE))
        raise StateError(f"{file} is no key of {_KEY_BYTES} bytes", "remove it; users get other words from then on")
    return UserWords(key)


def users_in(words: tuple[str, ...]) -> tuple[str, ...]:
    """The names of users in a command."""
    return tuple(words[place] for place in _places(words))


def _places(words: tuple[str, ...]) -> list[int]:
    command = next((place for place, pair in enumerate(pairwise(words)) if pair in _ON_USERS), None)
    if command is None or "--" not in words[command:]:
        return []
    first = words.index("--", command) + 1
    return [place for place in range(first, len(words)) if place == first or not _is_ip(words[place])]


def _forms(users: Iterable[str]) -> dict[str, str]:
    """How each name may be written, in small letters: as it is, as it is shown, and in the command line of a shell."""
    return {form.lower(): user for user in users if user for form in (user, clean(user), shlex.quote(user))}


def _is_ip(word: str) -> bool:
    try:
        canonical_ip(word)
    except ValueError:
        return False
    return True
