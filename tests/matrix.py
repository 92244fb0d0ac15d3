"""The tests on every Python and at both ends of the versions that pyproject.toml allows: `make test-matrix`.

A cell of the matrix, such as 3.13-newest, has a virtual environment of its own in .matrix/. What belongs into it is
asked at each run, and it is remade when that differs: the newest versions are those of now.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

TOP: Final = Path(__file__).parents[1]
FOLDER: Final = TOP / ".matrix"
PROJECT: Final = TOP / "pyproject.toml"
TOOLS: Final = (TOP / "requirements" / "dev.in", TOP / "requirements" / "build.in")
LOCK: Final = TOP / "requirements" / "dev.txt"
RESOLUTIONS: Final = {"lowest": "lowest-direct", "newest": "highest"}
"""Our name of it -> uv's. Direct: pyproject.toml has no say in what its dependencies need in their turn."""
SHOWN: Final = ("textual", "rich", "asyncssh", "cryptography")
ASK_VERSION: Final = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


@dataclass(frozen=True, slots=True)
class Cell:
    python: str
    """The version, such as 3.13."""
    resolution: str

    @property
    def name(self) -> str:
        return f"{self.python}-{self.resolution}"

    @property
    def environment(self) -> Path:
        return FOLDER / self.name

    @property
    def interpreter(self) -> Path:
        return self.environment / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Result:
    cell: Cell
    says: str
    versions: Mapping[str, str]

    @property
    def passed(self) -> bool:
        return self.says == "passed"


def promised(project: str) -> list[str]:
    """The Pythons that pyproject.toml names."""
    classifiers = tomllib.loads(project)["project"]["classifiers"]
    return re.findall(r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(classifiers), re.M)


def interpreters(commands: Iterable[str]) -> dict[str, str]:
    """Version -> path, of those commands that start a Python; a shim that only says that it has none is none."""
    found: dict[str, str] = {}
    for command in commands:
        try:
            answer = subprocess.run([command, "-c", ASK_VERSION], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        version, path = answer.split(maxsplit=1)
        found.setdefault(version, path.strip())
    return found


def pinned(requirements: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.+!-]+)", requirements, re.M))


def table(results: Iterable[Result]) -> str:
    head = ("Python", "resolution", *SHOWN, "")
    rows = [head, *((r.cell.python, r.cell.resolution, *_shown(r.versions), r.says) for r in results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _shown(versions: Mapping[str, str]) -> list[str]:
    return [versions.get(name, "") for name in SHOWN]


class Matrix:
    """Makes the environments by ``uv`` and runs pytest in them with ``options``."""

    def __init__(self, uv: str, pythons: Mapping[str, str], options: Sequence[str]) -> None:
        self._uv = uv
        self._pythons = pythons
        self._options = options

    def result(self, cell: Cell) -> Result:
        if cell.python not in self._pythons:
            return Result(cell, f"no Python {cell.python} here", {})
        print(f"\n== {cell.name}", flush=True)
        try:
            requirements = self._resolve(cell)
            self._install(cell, requirements)
        except subprocess.CalledProcessError:  # uv has said why
            return Result(cell, "FAILED to install", {})
        tests = subprocess.run([cell.interpreter, "-m", "pytest", *self._options], cwd=TOP)
        return Result(cell, "FAILED" if tests.returncode else "passed", pinned(requirements))

    def _resolve(self, cell: Cell) -> str:
        """What belongs into the environment: the program's dependencies at their end, all else as it is locked."""
        free = pinned(self._compile(cell, PROJECT))
        locked = FOLDER / f"{cell.name}.locked.txt"
        locked.write_text(
            "".join(f"{name}=={version}\n" for name, version in pinned(LOCK.read_text()).items() if name not in free)
        )
        return self._compile(cell, PROJECT, *TOOLS, "--constraints", locked)

    def _compile(self, cell: Cell, *what: str | Path) -> str:
        return self._run(
            *("pip", "compile", "--no-header", "--no-annotate"),
            *("--python", self._pythons[cell.python], "--resolution", RESOLUTIONS[cell.resolution], *what),
        )

    def _install(self, cell: Cell, requirements: str) -> None:
        made_from = cell.environment / "made-from.txt"  # written last: what is half made is made again
        wanted = f"{self._pythons[cell.python]}\n{requirements}\n{PROJECT.read_text()}"
        if made_from.exists() and made_from.read_text() == wanted:
            return
        listed = FOLDER / f"{cell.name}.txt"
        listed.write_text(requirements)
        self._run("venv", "--clear", "--python", self._pythons[cell.python], cell.environment)
        self._run("pip", "sync", "--python", cell.interpreter, listed)
        self._run("pip", "install", "--python", cell.interpreter, "--no-deps", "--no-build-isolation", "-e", TOP)
        made_from.write_text(wanted)

    def _run(self, *words: str | Path) -> str:
        done = subprocess.run([self._uv, "--quiet", *words], stdout=subprocess.PIPE, text=True, check=True, cwd=TOP)
        return done.stdout


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description=__doc__.partition("\n")[0])
    parser.add_argument("--uv", default="uv", help="the uv that makes the environments")
    parser.add_argument("--pythons", default="", help="where the Pythons are; more than one in one word")
    parser.add_argument("--cells", default="", help="only these, such as '3.13-newest 3.11-lowest'")
    parser.add_argument("pytest", nargs="*", help="goes to pytest, behind --")
    options = parser.parse_args(arguments)

    pythons = promised(PROJECT.read_text())
    found = interpreters(options.pythons.split())
    if strange := set(found) - set(pythons):
        parser.error(f"pyproject.toml names no Python {' '.join(sorted(strange))}, only {' '.join(pythons)}")
    cells = [Cell(python, end) for python in pythons for end in RESOLUTIONS]
    chosen = options.cells.split() or [cell.name for cell in cells]
    if strange := set(chosen) - {cell.name for cell in cells}:
        parser.error(f"no cell {' '.join(sorted(strange))}; there are {' '.join(cell.name for cell in cells)}")

    FOLDER.mkdir(exist_ok=True)
    matrix = Matrix(options.uv, found, options.pytest)
    results = [matrix.result(cell) for cell in cells if cell.name in chosen]
    print(f"\n{table(results)}")
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
