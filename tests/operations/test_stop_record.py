"""What an emergency stop keeps: read back strictly, and a script that any POSIX shell runs."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from director_tui.director.model import State
from director_tui.operations.stop_record import (
    RECORD_LIMIT_BYTES,
    NotUnderstood,
    SavedBackend,
    StopOver,
    StopRecord,
    moment,
    over_json,
    read_over,
    read_record,
    record_json,
    recover_script,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RING = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
RECORD = StopRecord(
    cluster="mail-eu",
    ring=RING,
    time=datetime(2026, 11, 24, 21, 40, 12, 345_000, UTC),
    who="ops from 192.0.2.7",
    host="admin1",
    reason="the storage groans",
    backends=(
        SavedBackend("10.1.0.1", "", 100, State.UP),
        SavedBackend("10.1.0.2", "", 0, State.UP),
        SavedBackend("10.1.0.7", "gold", 17, State.DOWN),
        SavedBackend("2001:db8::1", "gold", 1000, State.UP),
    ),
)


def read(record: StopRecord = RECORD, **changed: Any) -> StopRecord:
    values = json.loads(record_json(record)) | changed
    return read_record(record.name, json.dumps(values).encode(), RING)


def test_a_record_is_read_back_as_it_was_written() -> None:
    assert RECORD.name == "stop-20261124T214012345Z.json"
    assert moment(RECORD.stamp) == "2026-11-24 21:40 UTC"
    assert RECORD.script_name == "recover-20261124T214012345Z.sh"
    assert read_record(RECORD.name, record_json(RECORD), RING) == RECORD


def test_a_record_is_of_our_ring_when_a_director_of_it_is() -> None:
    assert read_record(RECORD.name, record_json(RECORD), ["10.0.0.14", "10.0.0.12"]) == RECORD
    with pytest.raises(NotUnderstood, match="is of another ring"):
        read_record(RECORD.name, record_json(RECORD), ["10.0.0.14"])
    with pytest.raises(NotUnderstood, match="is of another ring"):
        read_record(RECORD.name, record_json(RECORD), ["10.0.0.14"], ours=True)


def test_a_record_of_ours_needs_no_director_that_tells_its_ring() -> None:
    nowhere = replace(RECORD, ring=())
    assert read_record(RECORD.name, record_json(nowhere), RING, ours=True) == nowhere
    assert read_record(RECORD.name, record_json(RECORD), (), ours=True) == RECORD
    with pytest.raises(NotUnderstood, match="does not say of which ring it is"):
        read_record(RECORD.name, record_json(nowhere), RING)
    with pytest.raises(NotUnderstood, match="may be of another ring: none tells which this is"):
        read_record(RECORD.name, record_json(RECORD), ())


BACKEND = {"ip": "10.1.0.1", "tag": "", "vhosts": 100, "state": "up"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": 2}, "is of version 2, and this program knows version 1 only"),
        ({"version": True}, "is of version True"),
        ({"version": "1\x1b[2J" * 9}, "is of version 1"),
        ({"ring": "10.0.0.11"}, "has no ring"),
        ({"ring": ["dir1"]}, "names directors by something that is no IP address"),
        ({"time": "2026-11-24T21:40:12.345"}, "has no time"),
        ({"time": "yesterday"}, "has no time"),
        ({"time": 3}, "has no time"),
        ({"time": "2026-11-24T21:40:13.345Z"}, "is called by another time than is in it"),
        ({"who": None}, "has no who"),
        ({"backends": []}, "names no backend"),
        ({"backends": {}}, "has no backends"),
        ({"backends": [3]}, "something else than backends"),
        ({"backends": [BACKEND, BACKEND]}, "names a backend twice"),
        ({"backends": [BACKEND] * 5001}, "has more than 5,000 backends"),
        ({"backends": [BACKEND | {"ip": "mail.example.com"}]}, "no IP address"),
        ({"backends": [BACKEND | {"ip": "10.1.0.1; reboot"}]}, "no IP address"),
        ({"backends": [BACKEND | {"ip": 3}]}, "has no ip"),
        ({"backends": [BACKEND | {"vhosts": 1001}]}, "a vhost count for 10.1.0.1 that is none"),
        ({"backends": [BACKEND | {"vhosts": -1}]}, "a vhost count for 10.1.0.1 that is none"),
        ({"backends": [BACKEND | {"vhosts": "100"}]}, "a vhost count for 10.1.0.1 that is none"),
        ({"backends": [BACKEND | {"vhosts": 1.0}]}, "a vhost count for 10.1.0.1 that is none"),
        ({"backends": [BACKEND | {"vhosts": True}]}, "a vhost count for 10.1.0.1 that is none"),
        ({"backends": [BACKEND | {"state": "sideways"}]}, "neither up nor down"),
        ({"backends": [BACKEND | {"state": []}]}, "neither up nor down"),
    ],
)
def test_what_is_no_record_is_refused_with_the_reason(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(NotUnderstood) as refused:
        read(**changed)
    assert why in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (RECORD.name, b"", "is no JSON"),
        (RECORD.name, b"\xff\xfe", "is no JSON"),
        (RECORD.name, b"[" * 100_000, "is no JSON"),
        (RECORD.name, b"[]", "is no record"),
        (RECORD.name, b'{"version": 1, "version": 1}', "says something twice"),
        (RECORD.name, b" " * (RECORD_LIMIT_BYTES + 1), "is larger than 1 MiB"),
        ("stop-1.json", record_json(RECORD), "has no name that a record has"),
        ("stop-20261124T214012345Z.json\n", record_json(RECORD), "has no name that a record has"),
        ("../" + RECORD.name, record_json(RECORD), "has no name that a record has"),
    ],
)
def test_what_is_no_file_of_ours_is_refused(name: str, content: bytes, why: str) -> None:
    with pytest.raises(NotUnderstood, match=why):
        read_record(name, content, RING)


def test_text_of_others_is_cleaned_and_cut() -> None:
    record = read(who="ops\x1b[2J\nroot", reason="x" * 2000, cluster="[/red]")
    assert record.who == "ops\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}root"
    assert len(record.reason) == 500
    assert record.cluster == "[/red]"


def test_that_a_stop_is_over_is_read_back() -> None:
    over = StopOver(RECORD.stamp, datetime(2026, 11, 24, 23, tzinfo=UTC), "ops", "admin2")
    assert over.name == "over-20261124T214012345Z.json"
    assert read_over(over.name, over_json(over)) == over
    with pytest.raises(NotUnderstood, match="by another stop"):
        read_over("over-20261124T214012346Z.json", over_json(over))


# --- the script --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["sh", "dash", "bash"])
def run_script(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script with this shell, in a folder in which a doveadm writes down how it was called."""
    folder = tmp_path / "bin dir"
    folder.mkdir()
    doveadm = folder / "doveadm"
    doveadm.write_text(
        "#!/bin/sh\n"
        'echo "$*" >>"$LOG"\n'
        "cat\n"
        'case " $FAILING " in *" $3 "*) echo "Error: $3: Ring sync timed out" >&2; exit 75;; esac\n'
    )
    doveadm.chmod(0o700)

    def run(
        words: tuple[str, ...], record: StopRecord = RECORD, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        file = tmp_path / record.script_name
        file.write_bytes(recover_script(record, words))
        subprocess.run([request.param, "-n", str(file)], check=True)
        (tmp_path / "calls").write_text("")
        return subprocess.run(
            [request.param, str(file)],
            env={"PATH": f"{folder}:{os.environ['PATH']}", "LOG": str(tmp_path / "calls")} | environment,
            input="these are not for doveadm",
            capture_output=True,
            text=True,
            check=False,
        )

    return run


ALL = [
    "director update 10.1.0.1 100",
    "director update 10.1.0.2 0",
    "director update 10.1.0.7 17",
    "director update 2001:db8::1 1000",
]


def test_the_script_sets_every_count_back(
    run_script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    ran = run_script(("doveadm",))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (tmp_path / "calls").read_text().splitlines() == ALL
    assert ran.stdout.splitlines()[-1] == "all 4 set back"


def test_the_script_goes_on_past_failures_and_names_them(
    run_script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    ran = run_script(("doveadm",), FAILING="10.1.0.1 10.1.0.7")
    assert ran.returncode == 1
    assert (tmp_path / "calls").read_text().splitlines() == ALL
    assert ran.stderr.splitlines()[-1] == "not set back, of 4: 10.1.0.1 10.1.0.7"


def test_the_script_has_the_words_of_its_director_whatever_is_in_them(
    run_script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    doveadm = str(tmp_path / "bin dir" / "doveadm")
    odd = ("-c", "/etc/o'dd } $(reboot) `x`/\"dovecot.conf")
    ran = run_script(("env", "A=b", doveadm, *odd))
    assert ran.returncode == 0
    assert (tmp_path / "calls").read_text().splitlines() == [f"{' '.join(odd)} {call}" for call in ALL]
    usage = next(line for line in (tmp_path / RECORD.script_name).read_text().splitlines() if "Other words" in line)
    assert usage.endswith(f"env DOVEADM='sudo doveadm' sh {RECORD.script_name}"), "a csh, too, knows env"
    again = run_script(("/nowhere/doveadm",), DOVEADM=shlex.join([doveadm, "-v"]))
    assert again.returncode == 0
    assert (tmp_path / "calls").read_text().splitlines() == [f"-v {call}" for call in ALL]


def test_nothing_that_others_wrote_becomes_a_command(
    run_script: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    evil = f"x\ntouch {tmp_path}/evil\r$(touch {tmp_path}/evil)"
    ran = run_script(("doveadm",), replace(RECORD, who=evil, host=evil, reason=evil, cluster=evil))
    assert ran.returncode == 0
    assert not (tmp_path / "evil").exists()
