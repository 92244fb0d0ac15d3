"""Options as the GNU C library's getopt_long takes them apart, with its messages; doveadm and doveconf use it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class OptionError(Exception):
    """Words that getopt refuses; the text is what it prints."""


def parse_options(words: Sequence[str], known: str, program: str, *, permute: bool) -> tuple[dict[str, str], list[str]]:
    """Options with their values ("" where they take none), and the other words.

    ``known`` is getopt's own notation, ``a:F``, with the long options, all of which take a value, in parentheses behind
    it. With ``permute`` options may stand behind other words, up to ``--``. ``program`` begins each message. Raises
    OptionError.
    """
    letters, *long = re.findall(r"[^()\s]+", known)
    options: dict[str, str] = {}
    others: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return options, others + rest
        if word == "-" or not word.startswith("-"):
            others.append(word)
            if not permute:
                return options, others + rest
        elif word.startswith("--") and permute:
            name, given, value = word[2:].partition("=")
            meant = [each for each in long if each.startswith(name)]  # enough of it to tell which one
            if len(meant) != 1:
                raise OptionError(f"{program}: unrecognized option '{word}'")
            if not given and not rest:
                raise OptionError(f"{program}: option '--{meant[0]}' requires an argument")
            options[meant[0]] = value if given else rest.pop(0)
        else:
            _cluster(word[1:], letters, rest, options, program)
    return options, others


def _cluster(cluster: str, letters: str, rest: list[str], options: dict[str, str], program: str) -> None:
    """Letters behind one dash; the value of the last one may be the next of the words in ``rest``."""
    while cluster:
        letter, cluster = cluster[0], cluster[1:]
        if letter == ":" or letter not in letters:
            raise OptionError(f"{program}: invalid option -- '{letter}'")
        if f"{letter}:" not in letters:
            options[letter] = ""
        elif cluster or rest:
            options[letter] = cluster or rest.pop(0)
            return
        else:
            raise OptionError(f"{program}: option requires an argument -- '{letter}'")
