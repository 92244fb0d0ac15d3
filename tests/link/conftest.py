"""Every Ssh that a test makes is closed at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from director_tui.link.ssh import Ssh
from tests.link.ssh_setup import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from director_tui.link.questions import Ask


class MakeSsh(Protocol):
    def __call__(
        self, ssh_config: Path, *, ask: Ask | None = None, known_hosts: Path | None = None, identity: Path | None = None
    ) -> Ssh: ...


@pytest.fixture
async def make_ssh() -> AsyncIterator[MakeSsh]:
    made: list[Ssh] = []

    def make(
        ssh_config: Path, *, ask: Ask | None = None, known_hosts: Path | None = None, identity: Path | None = None
    ) -> Ssh:
        made.append(Ssh(ssh_config=ssh_config, ask=ask, known_hosts=known_hosts, identity=identity))
        return made[-1]

    yield make
    for ssh in made:
        await ssh.close()
        await until(lambda: not ssh._connections)  # noqa: B023 - those over which something changes close later
