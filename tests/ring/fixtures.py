"""The real ring and its sshds as pytest fixtures; tests/conftest.py hands them to every test.

A test that asks for any of REAL_FIXTURES, directly or through another fixture, is marked `real_ring`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.ring import accounts as own_accounts
from tests.ring import real, sshd
from tests.ring import terminal as terminals
from tests.ring.dashboard import Dashboard

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

REAL_FIXTURES = frozenset({"real_ring", "real_sshds", "ring_agent", "ring_known_hosts", "make_ring", "make_sshd"})


class MakeRing(Protocol):
    def __call__(
        self,
        size: int = 3,
        backends: str = real.BACKENDS,
        settings: Mapping[str, str] | None = None,
        *,
        can_split: bool = False,
    ) -> real.RealRing: ...


class MakeSshd(Protocol):
    def __call__(
        self,
        name: str = "director",
        client_key: Path | None = None,
        extra: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> sshd.Sshd: ...


def missing_packages() -> list[str]:
    """What the tests marked real_ring lack on this machine."""
    return [*real.missing(), *sshd.missing(), *terminals.missing()]


@pytest.fixture(scope="session")
def accounts() -> None:
    """For a test that has accounts of its own, and is skipped where there can be none."""
    if why := own_accounts.why_not():
        pytest.skip(why)


@pytest.fixture(scope="session")
def real_ring() -> Iterator[real.RealRing]:
    """One ring for all tests: three directors, eight backends, two tags. Who changes it, sets it back."""
    with real.RealRing() as ring:
        yield ring


@pytest.fixture(scope="session")
def real_sshds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[sshd.Sshd]]:
    """Three sshds, one for each director of real_ring, that let the same client key in. Who cuts one off, mends it."""
    key = sshd.make_key(tmp_path_factory.mktemp("client") / "client_key")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(sshd.Sshd(f"d{number}", client_key=key)) for number in (1, 2, 3)]


@pytest.fixture(scope="session")
def ring_agent(real_sshds: list[sshd.Sshd]) -> Iterator[sshd.Agent]:
    """An ssh-agent that holds the client key of real_sshds."""
    with sshd.Agent([real_sshds[0].client_key]) as agent:
        yield agent


@pytest.fixture(scope="session")
def ring_known_hosts(real_sshds: list[sshd.Sshd], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One known_hosts file for all of real_sshds."""
    return sshd.write_known_hosts(tmp_path_factory.mktemp("ssh") / "known_hosts", real_sshds)


@pytest.fixture
def make_ring() -> Iterator[MakeRing]:
    """Fresh rings, for a test that breaks them or needs other settings; they end with the test."""
    with contextlib.ExitStack() as stack:

        def make(
            size: int = 3,
            backends: str = real.BACKENDS,
            settings: Mapping[str, str] | None = None,
            *,
            can_split: bool = False,
        ) -> real.RealRing:
            return stack.enter_context(real.RealRing(size, backends, settings, can_split=can_split))

        yield make


@pytest.fixture
def make_sshd() -> Iterator[MakeSshd]:
    """Fresh sshds, for a test that needs one its own way; they end with the test."""
    with contextlib.ExitStack() as stack:

        def make(
            name: str = "director",
            client_key: Path | None = None,
            extra: Sequence[str] = (),
            environment: Mapping[str, str] | None = None,
        ) -> sshd.Sshd:
            return stack.enter_context(sshd.Sshd(name, client_key, extra, environment))

        yield make


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[terminals.Terminal]:
    """A terminal for one program; it ends with the test."""
    opened = terminals.Terminal(tmp_path_factory.mktemp("t"))
    yield opened
    opened.end()


@pytest.fixture
def dashboard(real_sshds: list[sshd.Sshd], ring_agent: sshd.Agent, ring_known_hosts: Path, tmp_path: Path) -> Dashboard:
    """Opens the program on a ring in a terminal."""
    return Dashboard(real_sshds, ring_agent, ring_known_hosts, tmp_path / "config.toml")
