"""What `make test-matrix` does with Pythons, environments and results; what it runs is the tests themselves."""

from __future__ import annotations

import platform
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests import matrix
from tests.matrix import LOCK, PROJECT, TOP, Cell, Result, interpreters, main, pinned, promised, table

if TYPE_CHECKING:
    from pathlib import Path

HERE = ".".join(platform.python_version_tuple()[:2])
OTHERS = [version for version in promised(PROJECT.read_text()) if version != HERE]
# Lists the version that the file textual names, unless the words have what the file refuses names; makes environments
# whose Python fails where its path has what the file failing names; and notes what it and they are asked.
UV = r"""#!/bin/sh
cd "${0%/*}"
echo "uv $*" >> asked
! echo "$*" | grep -q -f refuses || exit 1
case "$*" in
*"pip compile"*) echo "textual==$(cat textual)"; echo "rich==14.2.0 ; python_version > '3'" ;;
*venv*)
  for environment; do :; done
  python="$environment/bin/python"
  mkdir -p "${python%/*}"
  printf '#!/bin/sh\ncd %s\necho "$0 $*" >> asked\n! echo "$0" | grep -q -f failing\n' "$PWD" > "$python"
  chmod +x "$python" ;;
esac
"""


class Site:
    """An empty folder of environments, a program that is taken for uv, and this Python alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("uv", UV)
        (folder / "uv").chmod(0o755)
        self.write("textual", "8.2.0")
        self.write("refuses", "")
        self.write("failing", "")

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def run(self, *words: str) -> int:
        self.write("asked", "")
        return main(["--uv", str(self.folder / "uv"), "--pythons", sys.executable, *words])

    def asked(self, what: str) -> list[str]:
        return [line for line in (self.folder / "asked").read_text().splitlines() if what in line]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(matrix, "FOLDER", tmp_path / "environments")
    return Site(tmp_path)


def test_the_pythons_are_those_that_the_project_names_and_the_makefile_looks_for() -> None:
    (named,) = re.findall(r"^PYTHONS \?= (.*)$", (TOP / "Makefile").read_text(), re.M)
    assert [f"python{version}" for version in promised(PROJECT.read_text())] == named.split()


def test_the_oldest_python_is_the_one_that_is_required() -> None:
    (oldest,) = re.findall(r'^requires-python = ">=(.*)"$', PROJECT.read_text(), re.M)
    assert promised(PROJECT.read_text())[0] == oldest


def test_a_command_that_starts_no_python_is_none(tmp_path: Path) -> None:
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    assert interpreters([str(shim), str(tmp_path / "none"), sys.executable]) == {HERE: sys.executable}


def test_every_tool_of_the_tests_has_its_version_in_the_lock() -> None:
    assert {"pytest", "hypothesis", "pytest-xdist", "textual"} <= pinned(LOCK.read_text()).keys()


def test_the_table_says_what_was_tried_and_with_what() -> None:
    results = [
        Result(Cell("3.12", "lowest"), "no Python 3.12 here", {}),
        Result(Cell("3.13", "newest"), "passed", {"textual": "8.2.8", "rich": "15.0.0", "asyncssh": "2.24.1"}),
    ]
    assert table(results).splitlines() == [
        "Python  resolution  textual  rich    asyncssh  cryptography",
        "3.12    lowest                                               no Python 3.12 here",
        "3.13    newest      8.2.8    15.0.0  2.24.1                  passed",
    ]


def test_a_python_that_is_missing_is_said_and_makes_the_matrix_fail(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    assert site.run() == 1
    lines = capfd.readouterr().out.splitlines()
    assert sum(line.endswith("passed") for line in lines) == 2
    assert [line.split()[-2] for line in lines if "no Python" in line] == [one for one in OTHERS for _ in range(2)]


def test_one_cell_alone_can_be_run_and_pytest_gets_its_words(site: Site) -> None:
    assert site.run("--cells", f"{HERE}-lowest", "--", "-n", "3", "-k", "this and that") == 0
    (run,) = site.asked("-m pytest")
    assert run.endswith(f"{HERE}-lowest/bin/python -m pytest -n 3 -k this and that")
    assert site.asked("--resolution lowest-direct")
    assert not site.asked("--resolution highest")


def test_a_cell_or_a_python_that_is_not_of_the_matrix_is_refused(
    site: Site, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="2"):
        site.run("--cells", f"{HERE}-oldest")
    assert f"no cell {HERE}-oldest; there are 3.11-lowest" in capfd.readouterr().err
    monkeypatch.setattr(matrix, "promised", lambda _: OTHERS)
    with pytest.raises(SystemExit, match="2"):
        site.run()
    assert f"no Python {HERE}, only {' '.join(OTHERS)}" in capfd.readouterr().err


def test_what_fails_in_one_cell_does_not_keep_the_others_from_running(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    cells = ("--cells", f"{HERE}-lowest {HERE}-newest")
    site.write("failing", f"{HERE}-lowest\n")
    assert site.run(*cells) == 1
    assert [line.split()[-1] for line in capfd.readouterr().out.splitlines()[-2:]] == ["FAILED", "passed"]
    site.write("failing", "")
    site.write("refuses", "resolution lowest\n")
    assert site.run(*cells) == 1
    assert [line.split()[-1] for line in capfd.readouterr().out.splitlines()[-2:]] == ["install", "passed"]
    site.write("refuses", "")
    assert site.run(*cells) == 0


def test_an_environment_is_remade_when_what_belongs_into_it_is_another(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = ("--cells", f"{HERE}-newest")
    assert site.run(*cell) == 0
    assert len(site.asked("uv --quiet venv")) == 1
    assert site.run(*cell) == 0
    assert site.asked("uv --quiet venv") == []
    site.write("textual", "8.2.9")
    assert site.run(*cell) == 0
    assert len(site.asked("uv --quiet venv")) == 1
    project = tmp_path / "pyproject.toml"
    project.write_text(f"{PROJECT.read_text()}\n# changed\n")
    monkeypatch.setattr(matrix, "PROJECT", project)
    assert site.run(*cell) == 0
    assert len(site.asked("uv --quiet venv")) == 1


def test_an_environment_that_was_half_made_is_made_again(site: Site) -> None:
    cell = ("--cells", f"{HERE}-newest")
    site.write("refuses", "pip sync\n")
    assert site.run(*cell) == 1
    assert site.asked("-m pytest") == []
    site.write("refuses", "")
    assert site.run(*cell) == 0
    assert len(site.asked("uv --quiet venv")) == 1


def test_all_but_the_dependencies_is_as_it_is_locked(site: Site, tmp_path: Path) -> None:
    assert site.run("--cells", f"{HERE}-newest") == 0
    locked = pinned((tmp_path / "environments" / f"{HERE}-newest.locked.txt").read_text())
    assert locked == {name: at for name, at in pinned(LOCK.read_text()).items() if name not in {"textual", "rich"}}
