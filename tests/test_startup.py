"""What a command loads before it does its work: start-up time counts, and a reading needs no screen."""

from __future__ import annotations

import asyncio
import gc
import json
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from director_tui import __version__, cli
from director_tui.config import ad_hoc_cluster
from director_tui.errors import ConfigError
from director_tui.link import opening
from director_tui.operations.journal import Journal
from director_tui.operations.record import Event, Record
from director_tui.versions import LIBRARIES
from tests.ring.real import free_port
from tests.ring.terminal import GONE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.ring.terminal import Terminal

ROOT = Path(__file__).parents[1]
PROBE = """
import json, sys
from director_tui import cli
try:
    status = cli.main(sys.argv[1:])
except SystemExit as end:
    status = end.code
loaded = [name for name in ("textual", "rich", "asyncssh") if name in sys.modules]
sys.stdout.flush()
sys.stderr.write("\\n" + json.dumps({"status": status, "loaded": loaded}))
"""


def loaded_by(*args: str) -> tuple[int, set[str], str]:
    """Exit status, which of the heavy libraries were loaded, and all output, of the program with these arguments."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *args], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    errors, _, last = done.stderr.rpartition("\n")
    result = json.loads(last)
    return result["status"] or 0, set(result["loaded"]), done.stdout + errors


def test_help_loads_neither_the_screen_nor_ssh() -> None:
    status, loaded, output = loaded_by("--help")
    assert (status, loaded) == (0, set())
    assert "status" in output


def test_version_loads_neither_the_screen_nor_ssh_and_names_them() -> None:
    status, loaded, output = loaded_by("--version")
    assert (status, loaded) == (0, set())
    first, *others = output.rstrip().splitlines()
    assert first == f"director-tui {__version__}"
    named = dict(re.split(r" {2,}", line, maxsplit=1) for line in others)
    assert named["Python"].startswith(f"{platform.python_version()} on ")
    assert {name: named[name] for name in LIBRARIES} == {name: metadata.version(name) for name in LIBRARIES}
    assert re.match(r"OpenSSH_\d.* \(.*/ssh\)", named["OpenSSH client"])


def test_version_without_openssh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    _, _, output = loaded_by("--version")
    assert "OpenSSH client  not found: asyncssh reads the OpenSSH configuration itself" in output
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nprintf 'Odd_1\\033[31m \\n' >&2\n")
    ssh.chmod(0o700)
    _, _, output = loaded_by("--version")
    assert f"OpenSSH client  Odd_1\ufffd[31m ({ssh})" in output
    ssh.write_bytes(b"\x7fELF")
    _, _, output = loaded_by("--version")
    assert f"OpenSSH client  {ssh} does not run: OSError" in output


def test_the_template_for_a_report_asks_for_the_versions() -> None:
    template = (ROOT / ".github" / "ISSUE_TEMPLATE" / "bug_report.md").read_text()
    assert "director-tui --version" in template
    assert "--log" in template


def test_status_gets_as_far_as_ssh_without_the_screen() -> None:
    nobody_listens = f"nobody@127.0.0.1:{free_port('127.0.0.1')}"
    status, loaded, output = loaded_by("status", "-d", nobody_listens)
    assert (status, loaded) == (3, {"asyncssh"}), output


@pytest.mark.parametrize("form", [[], ["--json"], ["--markdown"]])
def test_the_journal_needs_neither_the_screen_nor_ssh(form: list[str]) -> None:
    Journal("dir1").append(Record(datetime.now(UTC), Event.NOTE, reason="seen"))
    status, loaded, output = loaded_by("journal", "-d", "root@dir1", *form)
    assert (status, loaded) == (0, set()), output
    assert "seen" in output


def test_the_first_frame_waits_for_nothing_that_only_an_operation_or_a_reading_needs() -> None:
    code = "import sys, director_tui.ui.app; print(*(one for one in sys.modules if one.startswith('director_tui.')))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "director_tui.ui.dashboard" in loaded
    assert not {one for one in loaded if one.startswith("director_tui.demo")}
    assert {one for one in loaded if one.startswith("director_tui.operations.")} == {"director_tui.operations.words"}
    assert not loaded & {"director_tui.director.hashring", "director_tui.director.mail_servers"}
    assert "director_tui.link.reading" in loaded
    assert not loaded & {"director_tui.link.monitor", "director_tui.link.ring", "director_tui.link.host_keys"}


BEGINNING = """
import asyncio
from director_tui.config import ad_hoc_cluster
from director_tui.link.event_loop import EventLoop
from director_tui.ui.app import DirectorApp
from director_tui.ui.driver import Driver

written = []
write = Driver.write
def noted(self, data):
    written.append(data)
    write(self, data)
Driver.write = noted

async def open_ring(cluster, ask):
    app.exit(message="after the first frame" if any("CONNECTING" in data for data in written) else "too soon")
    await asyncio.Event().wait()

app = DirectorApp(ad_hoc_cluster(["dir1"]), open_ring)
with asyncio.Runner(loop_factory=EventLoop) as runner:
    runner.run(app.run_async())
"""


def test_a_ring_is_opened_only_after_the_first_frame(terminal: Terminal, tmp_path: Path) -> None:
    terminal.start([sys.executable, "-c", BEGINNING], 80, 24, XDG_STATE_HOME=str(tmp_path), XDG_CONFIG_HOME="/none")
    terminal.wait_for(f"{GONE} 0")
    assert "after the first frame" in terminal.still_lines()


@pytest.mark.parametrize("failure", [None, ConfigError("no such host")])
def test_garbage_is_looked_for_from_when_all_is_imported(
    failure: ConfigError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_ring(*_: object) -> None:
        assert not gc.isenabled()
        if failure is not None:
            raise failure

    async def use(_: object) -> int:
        assert gc.isenabled()
        return 0

    monkeypatch.setattr(opening, "open_ring", open_ring)
    monkeypatch.setattr(cli, "_status", lambda _: asyncio.run(opened_for(use)))
    assert cli.main(["status", "-d", "dir1"]) == (0 if failure is None else 2)
    assert gc.isenabled()


async def opened_for(use: Callable[[object], Awaitable[int]]) -> int:
    try:
        return await use(await cli._open(ad_hoc_cluster(["dir1"]), None))
    finally:
        assert gc.isenabled()
