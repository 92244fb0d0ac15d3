"""``director-tui journal``, which needs no connection: what it prints, and what it says when there is nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from director_tui.cli import main
from director_tui.operations.journal import Journal
from director_tui.operations.plan import Outcome
from director_tui.operations.record import Event, Record, as_json
from director_tui.operations.report import markdown, plain
from director_tui.state import state_folder, write_state

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[1]
BEFORE = datetime(2026, 11, 24, 21, 40, 12, tzinfo=UTC)
CONFIG = """
default_cluster = "mail-eu"
[clusters.mail-eu]
directors = ["root@dir1.example.com"]
[clusters.mail-us]
directors = ["root@dir9.example.com"]
"""


def done(ip: str, time: datetime = BEFORE) -> list[Record]:
    """The records of one applied operation."""
    command = ("env", "TZ=UTC", "LC_ALL=C", "doveadm", "director", "down", ip)
    intent = Record(time, Event.INTENT, f"op-{ip}", 1, targets=(ip,), who="ops", via="root@dir1", argv=(command,))
    return [
        replace(intent, event=Event.PLANNED, step=None, verb="down", title=f"Set {ip} down"),
        intent,
        replace(intent, event=Event.RESULT, exit_status=0, outcome=Outcome.APPLIED),
    ]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command with these words behind it, with two clusters configured: exit status, output, errors."""
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)

    def run_it(*words: str) -> tuple[int, str, str]:
        status = main(["--config", str(config), "journal", *words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run_it


def test_the_journal_of_the_default_cluster_or_another(run: Run) -> None:
    Journal("mail-eu").append(*done("10.1.0.3"))
    Journal("mail-us").append(*done("10.9.0.3"))
    Journal("dir5").append(*done("10.5.0.3"))
    assert run() == (0, plain(done("10.1.0.3")), "")
    assert run("-c", "mail-us") == (0, plain(done("10.9.0.3")), "")
    assert run("-d", "root@dir5") == (0, plain(done("10.5.0.3")), "")
    assert "Set 10.1.0.3 down: applied\n    by ops, via root@dir1\n    10.1.0.3: applied\n" in plain(done("10.1.0.3"))


def test_as_json(run: Run) -> None:
    Journal("mail-eu").append(*done("10.1.0.3"))
    status, out, err = run("--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == json.loads(json.dumps([as_json(record) for record in done("10.1.0.3")]))


def test_as_markdown(run: Run) -> None:
    Journal("mail-eu").append(*done("10.1.0.3"))
    assert run("--markdown") == (0, markdown(done("10.1.0.3"), "mail-eu"), "")


@pytest.mark.parametrize(
    ("since", "count"),
    [("1s", 0), ("90s", 1), ("15m", 1), ("89m", 1), ("2h", 2), ("1d", 2), ("3d", 3), ("99999999d", 3), ("0s", 0)],
)
def test_since(since: str, count: int, run: Run) -> None:
    now = datetime.now(UTC)
    spans = {"10.1.0.1": timedelta(days=2), "10.1.0.2": timedelta(minutes=90), "10.1.0.3": timedelta(seconds=60)}
    for ip, span in spans.items():
        Journal("mail-eu").append(*done(ip, now - span))
    status, out, err = run("--since", since, "--json")
    expected = [record.operation for ip in list(spans)[3 - count :] for record in done(ip)]
    assert [one["operation"] for one in json.loads(out)] == expected
    assert (status, err) == (0, "")


@pytest.mark.parametrize("since", ["", "2", "h", "2w", "-2h", "1.5h", "2 h", "²h", "123456789s", "h2", "\x1b[31m"])
def test_a_time_that_is_none(since: str, run: Run) -> None:
    status, out, err = run(f"--since={since}")
    assert (status, out) == (2, "")
    assert "argument --since: a length of time was expected (90s, 15m, 2h, 3d), not " in err
    assert all(line.isprintable() for line in err.splitlines())


def test_an_empty_journal_is_said(run: Run) -> None:
    file = state_folder("mail-eu") / "journal.jsonl"
    assert run() == (0, f"nothing is in the journal of mail-eu ({file})\n", "")
    assert run("--json") == (0, "[]\n", "")
    assert run("--markdown") == (0, markdown([], "mail-eu"), "")
    assert not file.exists()
    Journal("mail-eu").append(*done("10.1.0.3", datetime.now(UTC) - timedelta(days=1)))
    status, out, err = run("--since", "2h")
    assert (status, err) == (0, "")
    assert out.startswith("nothing is in the journal of mail-eu since 20")
    assert out.endswith(f" UTC ({file})\n")


def test_what_is_not_understood_is_said_beside_it(run: Run) -> None:
    write_state("mail-eu", "journal.jsonl", b"\x1b[31m\n")
    Journal("mail-eu").append(*done("10.1.0.3"))
    file = state_folder("mail-eu") / "journal.jsonl"
    said = f"1 line of {file} left out: torn, or written by a newer version"
    assert run() == (0, plain(done("10.1.0.3")), f"director-tui: {said}\n")
    assert run("--markdown") == (0, markdown(done("10.1.0.3"), "mail-eu", [said]), "")
    status, out, err = run("--json")
    assert (status, len(json.loads(out)), err) == (0, 3, f"director-tui: {said}\n")


def test_an_unknown_cluster(run: Run) -> None:
    status, out, err = run("-c", "mail-asia")
    assert (status, out) == (2, "")
    assert err.endswith("has no cluster “mail-asia”\nit has: mail-eu, mail-us\n")


@pytest.mark.parametrize("form", [[], ["--json"], ["--markdown"]])
def test_a_journal_that_can_not_be_read(form: list[str], run: Run) -> None:
    write_state("mail-eu", "theme", b"paper\n")
    file = state_folder("mail-eu") / "journal.jsonl"
    file.mkdir()
    assert run(*form) == (
        *(2, ""),
        f"director-tui: {file} can't be read: Is a directory\ncheck its owner and mode, and the room on the disk\n",
    )


def test_two_forms_exclude_each_other(run: Run) -> None:
    status, out, err = run("--json", "--markdown")
    assert (status, out) == (2, "")
    assert "not allowed with argument --json" in err


def test_nothing_but_text_reaches_a_terminal_of_any_encoding() -> None:
    evil = "\x1b]0;owned\x07\u202e→"
    records = [
        Record(BEFORE, Event.PLANNED, evil, 1, evil, evil, (evil,), evil, evil, ((evil,),), reason=evil),
        Record(BEFORE, Event.RESULT, evil, 1, "", "", (evil,), evil, evil, ((evil,),), 1, evil, evil, Outcome.UNKNOWN),
        Record(BEFORE, Event.OBSERVED, before={evil: {evil: evil}}, after={evil: {evil: 1}}, reason=evil),
    ]
    Journal("dir1").append(*records)
    for form in ([], ["--json"], ["--markdown"]):
        for encoding in ("ascii", "utf-8"):
            shown = subprocess.run(
                [sys.executable, "-m", "director_tui", "journal", "-d", "dir1", *form],
                env={**os.environ, "PYTHONIOENCODING": encoding},
                cwd=ROOT,
                capture_output=True,
                timeout=60,
                check=True,
            )
            assert shown.stderr == b""
            assert all(line.isprintable() for line in shown.stdout.decode(encoding).splitlines())
