"""The two commands that keep records of emergency stops on a director and bring them back, as values.

With :mod:`director_tui.director.doveadm` this is the complete list of what is ever run on a director. Each is a ``sh``
in one line without exclamation marks and single quotes, because the login shell, which may be a csh, has to pass it on.
What is kept comes on standard input; no word of it is ever run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.director.doveadm import Call, Tool, check_argument
from director_tui.errors import MalformedOutput
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STORE_LIMIT_S: Final = 5.0
"""How long keeping or reading may take, in seconds: an emergency stop waits for it."""

FILE_LIMIT_BYTES: Final = 1024 * 1024
"""So much of a file is read at most, and a byte more, by which it is known to be larger."""

MOST_FILES: Final = 20
"""So many files of a kind are read, those of the latest names."""

EX_CANTCREAT: Final = 73
"""What both end with when the folder or a file in it is not as it has to be."""


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a file was put over there, as the director calls it; it is on disk."""

    path: str


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was found; ``name`` may be anything."""

    name: str
    content: bytes


def store(folder: str, name: str, content: bytes, token: str) -> Call[Stored]:
    """Put a file into a folder on the director, whole or not at all, and bring it to the disk.

    ``folder`` may begin with ``~/``; it is made for its owner alone. Where it is there and its group may read it, so it
    may the file. A folder to which everybody may write, or a symbolic link, is refused, as is one in the place of the
    file. ``token`` is a word that nobody can guess. Raises ValueError for a folder or a name that can't be one.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", name, re.ASCII):
        raise ValueError(f"{clean(name)} is no name for a record")
    words = ("-c", _STORE, _folder(folder), name, token, str(len(content)))
    return Call(Tool.SH, words, _stored, STORE_LIMIT_S, stdin=content)


def fetch(folder: str, mark: str) -> Call[tuple[File, ...]]:
    """The records in a folder on the director, none if there is no folder. Symbolic links are passed over.

    ``mark`` is a word that nobody can guess: it stands between the files. Raises ValueError for what is no folder.
    """
    return Call(Tool.SH, ("-c", _FETCH, _folder(folder), mark), _files(mark), STORE_LIMIT_S)


_CHECKED_FOLDER: Final = (
    r"""die() { printf "%s\n" "$1" >&2; exit 73; }; d=$0; case $d in "~/"*) d=$HOME/${d#??};; esac; """
    r"""[ -L "$d" ] && die "$d is a symbolic link"; """
)

_STORE: Final = (
    _CHECKED_FOLDER + r"""umask 077; mkdir -p "$d" || exit 73; cd "$d" || exit 73; """
    r"""case $(ls -ld .) in d???????w*) die "everybody may write to $d";; d???r?[xs]*) m=640;; *) m=600;; esac; """
    r"""[ -L "$1" ] || [ -d "$1" ] && die "$d/$1 is no plain file"; """
    r"""t=.$1.$2; trap "rm -f $t" 0; set -C; cat >"$t" || exit 73; n=$(wc -c <"$t"); """
    r"""[ "$n" -eq "$3" ] || die "only $n of $3 bytes are there"; chmod "$m" "$t" || exit 73; """
    r"""sync "$t" 2>/dev/null || sync || exit 73; mv -f "$t" "$1" || exit 73; sync . 2>/dev/null; """
    r"""printf "%s\n" "$(pwd)/$1" """
)

_FETCH: Final = (
    _CHECKED_FOLDER
    + r"""m=$1; if [ -d "$d" ]; then cd "$d" || exit 73; for k in stop over; do set -- "$k"-*.json; """
    + rf"""while [ "$#" -gt {MOST_FILES} ]; do shift; done; """
    + r"""for f do [ -L "$f" ] && continue; [ -f "$f" ] || continue; printf "\n%s %s\n" "$m" "$f"; """
    + rf"""head -c {FILE_LIMIT_BYTES + 1} "$f"; done; done; fi; """
    + r"""printf "\n%s end\n" "$m" """
)


def _folder(folder: str) -> str:
    return check_argument(folder, "folder for records")


def _stored(stdout: bytes) -> Stored:
    path = stdout.removesuffix(b"\n").rpartition(b"\n")[2]  # before it a login shell may have greeted
    if not path.startswith(b"/"):
        raise MalformedOutput(f"where the record is kept was not said, but {clean(stdout[:80]) or 'nothing'}")
    return Stored(clean(path))


def _files(mark: str) -> Callable[[bytes], tuple[File, ...]]:
    def parse(stdout: bytes) -> tuple[File, ...]:
        parts: Sequence[bytes] = stdout.split(f"\n{mark} ".encode("ascii"))
        if len(parts) < 2 or parts[-1] != b"end\n":
            raise MalformedOutput(f"what should be records began with {clean(stdout[:80]) or 'nothing'}")
        named = (part.partition(b"\n") for part in parts[1:-1])  # before the first a login shell may have greeted
        return tuple(File(clean(name), content) for name, _, content in named)

    return parse
