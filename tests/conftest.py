"""What all tests share: the real ring's fixtures, and that nobody overlooks when its tests didn't run."""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from director_tui.link.event_loop import EventLoop
from tests.ring.fixtures import (
    REAL_FIXTURES,
    accounts,
    dashboard,
    make_ring,
    make_sshd,
    missing_packages,
    real_ring,
    real_sshds,
    ring_agent,
    ring_known_hosts,
    terminal,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "accounts",
    "dashboard",
    "make_ring",
    "make_sshd",
    "real_ring",
    "real_sshds",
    "ring_agent",
    "ring_known_hosts",
    "terminal",
]

# A machine that is busy for a moment is no counterexample.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run in the program's own event loop: in asyncio's, Textual has tasks begin early from Python 3.12 on."""
    return {"EventLoop": EventLoop}


_skipped = pytest.StashKey["Skipped"]()


class Skipped:
    """Counts the real-ring tests that were skipped, in whichever process they were to run."""

    def __init__(self) -> None:
        self.count = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail") and "real_ring" in report.keywords:
            self.count += 1


@pytest.fixture(autouse=True)
def nobody_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs the tests has chosen and written, and on which terminal, is no part of them."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own-state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own-config"))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.delenv("NO_COLOR", raising=False)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_skipped] = Skipped()
    config.pluginmanager.register(config.stash[_skipped])


@pytest.hookimpl(tryfirst=True)  # before -m deselects by the mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = missing_packages()
    for item in items:
        if REAL_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real_ring)
        if missing and item.get_closest_marker("real_ring"):
            item.add_marker(pytest.mark.skip(reason=f"no real ring here: install {' '.join(missing)}"))


def pytest_collection_finish() -> None:
    """Look for garbage less often: every app of a test makes and drops so much that a fifth of all time went there."""
    gc.collect()
    gc.freeze()  # what is collected stays
    gc.set_threshold(20_000)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.stash[_skipped].count and _in_ci() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = config.stash[_skipped].count
    if not skipped:
        return
    missing = missing_packages()
    remedy = f"install {' '.join(missing)}" if missing else "see their reasons with -rs"
    verdict = ", and with CI=true that is a failure" if _in_ci() else ""
    terminalreporter.write_line(f"!!! {skipped} real-ring tests SKIPPED{verdict}: {remedy}", red=True, bold=True)


def _in_ci() -> bool:
    return os.environ.get("CI") == "true"
