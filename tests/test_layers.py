"""Who may import whom: architecture.md §2, held against the code.

Read with `ast`, nothing is imported: imports inside functions and under TYPE_CHECKING count like any other.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "director_tui"
ROOT = Path(__file__).parents[1]

# Room -> the rooms that it may know, beside itself. "" is director_tui/__init__.py: the version, for everybody.
MAY_KNOW = {
    "__main__": {"cli", "errors", "text"},
    "cli": {
        *("oneshot", "terminal", "ui", "operations", "link", "director", "demo"),
        *("theme_files", "config", "errors", "text", "log", "versions"),
    },
    # cli's commands without a screen, and the terminal that those have instead: never ui
    "oneshot": {"terminal", "operations", "link", "director", "config", "errors", "text", "times"},
    "terminal": {"link", "errors", "text"},
    "ui": {
        *("operations", "link", "director", "theme_files", "config", "state", "plain_file"),
        *("errors", "text", "log", "times"),
    },
    "operations": {"link", "director", "config", "state", "errors", "text", "log", "times"},
    "link": {"director", "config", "plain_file", "errors", "text", "log", "times"},
    "demo": {"director", "config", "errors", "text"},
    "director": {"errors", "text"},
    "theme_files": {"config", "errors", "text"},
    "config": {"config_keys", "errors", "text"},
    "config_keys": set(),
    "state": {"plain_file", "errors", "text"},
    "plain_file": set(),
    "versions": {"link", "text"},
    "log": {"errors", "text", "times"},
    "errors": set(),
    "text": set(),
    "times": set(),
    "": set(),
}
# Library -> the modules (or whole rooms) that may import it.
LIBRARIES = {
    "textual": {"ui"},
    "rich": {"ui"},
    # One module would be 1,300 lines, so link has five; still only link.ssh is imported from outside: see PARTS.
    "asyncssh": {"link.ssh", "link.ssh_login", "link.ssh_keys", "link.ssh_session", "link.ssh_shell", "demo.server"},
}
STANDARD_LIBRARY_ONLY = {"director", "state"}
FORBIDDEN = {("ui", "link.ssh")}
# Module -> the only modules that may import it: it is a part of theirs.
PARTS = {
    "link.ssh_login": {"link.ssh"},
    "link.ssh_keys": {"link.ssh", "link.ssh_login"},
    "link.ssh_session": {"link.ssh", "link.ssh_shell"},
    "link.ssh_shell": {"link.ssh"},
}
CATCH_ALLS = 2  # the worker boundary and __main__


def test_the_code_keeps_to_the_layers() -> None:
    assert list(violations(ROOT / PACKAGE)) == []


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"director/model.py": "import director_tui.link.ring"}, "director.model imports link.ring"),
        ({"director/model.py": "from ..link import ring"}, "director.model imports link"),
        ({"director/model.py": "import asyncssh"}, "director.model imports asyncssh"),
        ({"director/model.py": "import attrs"}, "director.model imports attrs"),
        ({"director/__init__.py": "from director_tui import config"}, "director imports config"),
        ({"link/ring.py": "def late():\n    from director_tui.operations import plan"}, "link.ring imports operations"),
        ({"link/ring.py": "import asyncssh.misc"}, "link.ring imports asyncssh"),
        (
            {"operations/plan.py": "import typing\nif typing.TYPE_CHECKING:\n    from director_tui.ui import app"},
            "operations.plan imports ui",
        ),
        ({"ui/app.py": "from director_tui.link import ssh", "link/ssh.py": ""}, "ui.app imports link.ssh"),
        ({"link/ring.py": "from .ssh_login import Login", "link/ssh_login.py": ""}, "link.ring imports link.ssh_login"),
        ({"cli.py": "from director_tui.link import ssh_keys", "link/ssh_keys.py": ""}, "cli imports link.ssh_keys"),
        ({"link/ssh_config.py": "import asyncssh"}, "link.ssh_config imports asyncssh"),
        ({"ui/app.py": "from director_tui.demo import ring"}, "ui.app imports demo"),
        ({"demo/ring.py": "from director_tui.link import ring"}, "demo.ring imports link"),
        ({"cli.py": "from textual.app import App"}, "cli imports textual"),
        ({"cli.py": "import importlib\nimportlib.import_module('rich.text')"}, "cli imports rich"),
        ({"cli.py": "__import__('rich.text')"}, "cli imports rich"),
        ({"errors.py": "from director_tui.config import Config"}, "errors imports config"),
        ({"somewhere.py": ""}, "somewhere is in no room"),
        ({"link/a.py": "from director_tui.link import b", "link/b.py": "from . import a"}, "a cycle: link.a -> link.b"),
        (
            {"link/a.py": "from .b import x", "link/b.py": "from .c import x", "link/c.py": "from .a import x"},
            "a cycle: link.a -> link.b -> link.c -> link.a",
        ),
        ({"cli.py": "try: ...\nexcept Exception: ...\n" * 3}, "3 catch-alls"),
        ({"cli.py": "try: ...\nexcept (OSError, BaseException): ...\ntry: ...\nexcept: ...\n" * 2}, "4 catch-alls"),
    ],
)
def test_a_breach_is_found(files: dict[str, str], says: str, tmp_path: Path) -> None:
    found = list(violations(written(tmp_path, files)))
    assert len(found) == 1, found
    assert says in found[0]


def test_what_is_allowed_is_not_a_breach(tmp_path: Path) -> None:
    package = written(
        tmp_path,
        {
            "__init__.py": "__version__ = '1'",
            "__main__.py": "from director_tui.cli import main",
            "cli.py": "from director_tui import __version__, demo, ui\nimport argparse",
            "ui/app.py": "import rich.text\nimport textual.app\nfrom ..link.ring import Ring\nfrom . import grid",
            "ui/grid.py": "",
            "link/ring.py": "from director_tui.link.ssh import run\nfrom director_tui.director import model",
            "link/ssh.py": "import asyncssh\nfrom asyncssh.misc import x\nfrom . import ssh_keys, ssh_login",
            "link/ssh_login.py": "import asyncssh\nfrom director_tui.link.ssh_keys import Keyring",
            "link/ssh_keys.py": "import asyncssh",
            "demo/server.py": "import asyncssh\nfrom ..director.model import Backend",
            "director/model.py": "import ipaddress\nfrom director_tui.errors import Nasty",
            "errors.py": "try: ...\nexcept Exception: ...\n" * 2,
        },
    )
    assert list(violations(package)) == []


def violations(package: Path) -> Iterator[str]:
    """Every breach of the layers in the package whose folder this is, as one sentence each."""
    modules = {_module_name(path, package): ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))}
    packages = {_module_name(path, package) for path in package.rglob("__init__.py")}
    graph: dict[str, set[str]] = {}
    for name, tree in modules.items():
        room = _room(name)
        if room not in MAY_KNOW:
            yield f"{name} is in no room"
            continue
        imported = set(_imports(name, tree, name in packages, set(modules)))
        ours = {target for target in imported if _is_ours(target)}
        graph[name] = {_below(target) for target in ours} & set(modules) - {name}
        for target in sorted(map(_below, ours)):
            forbidden = (room, target) in FORBIDDEN or name not in PARTS.get(target, {name})
            if forbidden or _room(target) not in {room, "", *MAY_KNOW[room]}:
                yield f"{name} imports {target}"
        for target in sorted(imported - ours):
            library = target.partition(".")[0]
            outside = room in STANDARD_LIBRARY_ONLY and library not in sys.stdlib_module_names
            if outside or not {name, room} & LIBRARIES.get(library, {name}):
                yield f"{name} imports {library}"
    yield from _cycles(graph)
    catch_alls = [f"{name}:{line}" for name, tree in modules.items() for line in _catch_alls(tree)]
    if len(catch_alls) > CATCH_ALLS:
        yield f"{len(catch_alls)} catch-alls, {CATCH_ALLS} allowed: {', '.join(catch_alls)}"


def _imports(name: str, tree: ast.Module, is_package: bool, modules: set[str]) -> Iterator[str]:
    """The full name of every module that tree imports."""
    here = [PACKAGE, *filter(None, name.split("."))]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = here[: len(here) - level + is_package] if level else []
                source = ".".join([*base, *filter(None, [module])])
                for alias in names:  # `from package import name`: is name a module, or something in the package?
                    full = f"{source}.{alias.name}"
                    known = _is_ours(full) and (_below(full) in modules or _below(full) in MAY_KNOW)
                    yield full if known else source
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(target)), *_],
            ):
                yield target


def _cycles(graph: dict[str, set[str]]) -> Iterator[str]:
    """One sentence for each import that closes a circle in a walk through the graph."""
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> Iterator[str]:
        if name in trail:
            yield f"a cycle: {' -> '.join([*trail[trail.index(name) :], name])}"
        elif name not in done:
            for target in sorted(graph.get(name, ())):
                yield from walk(target, [*trail, name])
            done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def _catch_alls(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            named = [each.id for each in ast.walk(node.type or node) if isinstance(each, ast.Name)]
            if node.type is None or {"Exception", "BaseException"}.intersection(named):
                yield node.lineno


def _module_name(path: Path, package: Path) -> str:
    """link/ssh.py -> link.ssh, link/__init__.py -> link, __init__.py -> ""."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def _below(module: str) -> str:
    return module.removeprefix(PACKAGE).removeprefix(".")


def _room(name: str) -> str:
    return name.partition(".")[0]


def written(folder: Path, files: dict[str, str]) -> Path:
    """A package with these files."""
    package = folder / PACKAGE
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    return package
