"""Flushes whose end was not seen outlive the program."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from director_tui.errors import StateError
from director_tui.operations.unseen_flush import UnseenFlush, forget_flushes, remember_flush, unseen_flushes
from director_tui.state import state_folder, write_state

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 24, 21, 40, 12, 345678, tzinfo=UTC)
ONE = UnseenFlush("ops@dir1.example.com", "10.1.0.3", NOW)
ALL = UnseenFlush("ops@dir2.example.com:2222", None, NOW + timedelta(minutes=1))


def test_they_are_there_until_they_are_forgotten() -> None:
    assert unseen_flushes("mail-eu") == ()
    remember_flush("mail-eu", ONE)
    remember_flush("mail-eu", ALL)
    assert unseen_flushes("mail-eu") == (ONE, ALL)
    assert unseen_flushes("mail-us") == ()
    forget_flushes("mail-eu", [ONE])
    assert unseen_flushes("mail-eu") == (ALL,)
    forget_flushes("mail-eu", [ONE, ALL])
    assert unseen_flushes("mail-eu") == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"7",
        b'[{"director": "d"}]',
        b'[{"director": "d", "ip": "mail-01", "started_at": "2026-11-24T21:40:12Z"}]',
        b'[{"director": 1, "ip": null, "started_at": "2026-11-24T21:40:12Z"}]',
        b'[{"director": "d", "ip": null, "started_at": "then"}]',
        b"[" * 100_000,
    ],
)
def test_what_is_not_understood_may_be_a_flush(content: bytes) -> None:
    write_state("mail-eu", "unseen-flush.json", content)
    for use in (
        unseen_flushes,
        lambda cluster: remember_flush(cluster, ONE),
        lambda cluster: forget_flushes(cluster, []),
    ):
        with pytest.raises(StateError, match=r"mail-eu/unseen-flush\.json is not understood") as raised:
            use("mail-eu")
        assert raised.value.remedy == "when no director runs a flush, remove it"
    assert (state_folder("mail-eu") / "unseen-flush.json").read_bytes() == content


def test_one_that_can_not_be_written_down_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "own-state").write_text("a file")
    with pytest.raises(StateError, match=r"mail-eu/unseen-flush\.json can't be read"):
        remember_flush("mail-eu", ONE)
