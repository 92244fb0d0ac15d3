"""The folder for records on a director of the practice ring: it takes and shows them as the two commands of
:mod:`director_tui.director.record_commands` do on a real one. It is in memory, and knows no other command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.demo.command import OK, Answer
from director_tui.director import record_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOME: Final = "/home/demo"

_KINDS: Final = ("stop-", "over-")


class Records:
    """What is kept on one director, by folder and name."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, bytes]] = {}

    def answer(self, argv: Sequence[str]) -> Callable[[bytes], Answer] | None:
        """What becomes of these words and what is on their standard input; None if they are something else."""
        words = tuple(argv)
        try:
            match words[3:]:
                case (folder, mark) if words == ("sh", *record_commands.fetch(folder, mark).words):
                    return lambda stdin: self._fetch(_whole(folder), mark)
                case (folder, name, token, size) if words[:-1] == (
                    "sh",
                    *record_commands.store(folder, name, b"", token).words[:-1],
                ):
                    return lambda stdin: self._store(_whole(folder), name, stdin, size)
        except ValueError:
            pass
        return None

    def _fetch(self, folder: str, mark: str) -> Answer:
        files = self._files.get(folder, {})
        stdout = b""
        for kind in _KINDS:
            names = sorted(name for name in files if name.startswith(kind) and name.endswith(".json"))
            for name in names[-record_commands.MOST_FILES :]:
                content = files[name][: record_commands.FILE_LIMIT_BYTES + 1]
                stdout += f"\n{mark} {name}\n".encode() + content
        return Answer(OK, stdout + f"\n{mark} end\n".encode())

    def _store(self, folder: str, name: str, content: bytes, size: str) -> Answer:
        if str(len(content)) != size:
            stderr = f"only {len(content)} of {size} bytes are there\n".encode()
            return Answer(record_commands.EX_CANTCREAT, stderr=stderr)
        self._files.setdefault(folder, {})[name] = content
        return Answer(OK, f"{folder}/{name}\n".encode())


def _whole(folder: str) -> str:
    return f"{HOME}/{folder.removeprefix('~/')}" if folder.startswith("~/") else folder
