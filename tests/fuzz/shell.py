"""Typed and configured words on their way through a real shell: what arrives behind it is what was sent, and no more.

The shell is /bin/sh with nothing on its PATH but an ``env`` that records how it was called. Whatever it understood as
its own would be missing from that record, leave a file, or make it say something.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from director_tui.config import ad_hoc_cluster, parse_words
from director_tui.director import doveadm
from director_tui.director.doveadm import ENVIRONMENT, Tool, one_after_the_other
from director_tui.director.record_commands import store
from director_tui.errors import ConfigError
from director_tui.link.ssh_shell import command_line
from director_tui.operations.stop_record import NotUnderstood, read_record, recover_script
from tests.fuzz.targets import RING, STOP, STOP_NAME, Target, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from director_tui.director.doveadm import Call

RECORDING_ENV: Final = """#!/bin/sh
printf '%s\\0' "$#" "$@" >>"$LOG"
"""
MARK: Final = "m4rk"


class FakeRemote:
    """A folder to run command lines in, and what was called from there."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-remote-")
        top = Path(self._folder.name)
        self._log, self._home, self._bin = top / "log", top / "home", top / "bin"
        self._home.mkdir()
        self._bin.mkdir()
        env = self._bin / "env"
        env.write_text(RECORDING_ENV)
        env.chmod(0o700)

    def run(self, *words: str | bytes, stdin: bytes = b"") -> list[list[bytes]]:
        """Each call of env that this command line makes; nothing else may come of it."""
        self._log.write_bytes(b"")
        done = subprocess.run(
            ["/bin/sh", *words],
            cwd=self._home,
            env={"PATH": str(self._bin), "LOG": str(self._log), "HOME": str(self._home)},
            input=stdin,
            capture_output=True,
            check=False,
            timeout=15,
        )
        assert not done.stderr.replace(f"\n{MARK}\n".encode(), b""), f"the shell says {done.stderr!r}"
        assert not list(self._home.iterdir()), "the shell has made a file"
        return _calls(self._log.read_bytes())


def _calls(log: bytes) -> list[list[bytes]]:
    words = log.split(b"\0")[:-1]
    calls = []
    while words:
        count = int(words.pop(0))
        calls.append(words[:count])
        del words[:count]
    return calls


_remote: list[FakeRemote] = []


def remote() -> FakeRemote:
    """That of this process, made when it is first needed."""
    if not _remote:
        _remote.append(FakeRemote())
    return _remote[0]


def calls_with(text: str) -> list[Call[Any]]:
    """Every call that carries this text, those that refuse it left out."""
    making = (
        lambda: doveadm.user_hash(text),
        lambda: doveadm.placement(4711, text),
        lambda: doveadm.add("10.0.0.1", 100, text),
        lambda: doveadm.move(text, "10.0.0.1"),
        lambda: doveadm.kick(text),
        lambda: doveadm.kick_sessions_of([text, f"{text}@example.com"]),
        lambda: store(text, "stop-1.json", b"", "t"),
    )
    calls: list[Call[Any]] = []
    for make in making:
        with contextlib.suppress(ValueError):
            calls.append(make())
    return calls


def _lines(data: bytes) -> tuple[list[bytes], list[list[bytes]]]:
    """The command lines for a text, with words for doveadm that are made of it, too; and the words behind each env."""
    text = text_of(data)
    try:
        doveadm_words, doveconf_words = parse_words(text, "--doveadm")
    except ConfigError:
        doveadm_words, doveconf_words = ("sudo", "-n", "doveadm"), ("doveconf",)
    words = {Tool.DOVEADM: doveadm_words, Tool.DOVECONF: doveconf_words, Tool.SH: ("sh",)}
    vectors = [call.command(words[call.tool]) for call in (*calls_with(text), doveadm.status(), doveadm.version())]
    return [command_line(one) for one in vectors], [_bytes(one[1:]) for one in vectors]


def _by_a_login_shell(data: bytes) -> None:
    """Each as sshd runs it: by the login shell's -c. All at once, between semicolons."""
    lines, wanted = _lines(data)
    got = remote().run("-c", b"; ".join(lines))
    assert got == wanted, f"{got} is not {wanted}"
    assert all(one[: len(ENVIRONMENT) - 1] == _bytes(ENVIRONMENT[1:]) for one in got)


def _by_the_kept_shell(data: bytes) -> None:
    """As lines on the standard input of the shell that takes several; both kinds."""
    lines, wanted = _lines(data)
    for go_on in (False, True):
        words = one_after_the_other(MARK, go_on=go_on)
        got = remote().run(*words[1:], stdin=b"".join(line + b"\n" for line in lines))
        assert got == wanted, f"{got} is not {wanted}"


def _script(data: bytes) -> None:
    """The script for a recovery, of a record that somebody else has written."""
    try:
        record = read_record(STOP_NAME, data, RING)
    except NotUnderstood:
        return
    words = ("env", "it's", record.who or "x", "$(id)")
    got = remote().run("-c", recover_script(record, words))
    update = (*words[1:], "director", "update")
    assert got == [_bytes((*update, one.ip, str(one.vhosts))) for one in record.backends]


def _destination_is_one_word(data: bytes) -> None:
    """What is taken for a destination is nothing but itself in a shell: it reaches one in a ProxyCommand."""
    try:
        cluster = ad_hoc_cluster([text_of(data)])
    except ConfigError:
        return
    user, _, host = cluster.directors[0].ssh.rpartition("@")
    for part in filter(None, (user, host.strip("[]").partition("]")[0])):
        assert remote().run("-c", b"env " + os.fsencode(part)) == [_bytes([part])]


def _bytes(words: Sequence[str]) -> list[bytes]:
    return list(map(os.fsencode, words))


WORDS: Final[Sequence[bytes]] = (
    *(b"user1@example.com", b"o'brien@example.com", b"-joe", b"a b\tc", b"~root", b"sudo -n 'doveadm x' -c /etc/x"),
    *(
        b"$(id)",
        b"`id`",
        b"a;id",
        b"a|id",
        b"a&&id",
        b">f",
        b"a\\",
        b'"',
        b"!",
        b"*",
        b"{a,b}",
        b"[a-z]*",
        b"#a",
        b"x=y",
    ),
    "übung@例え.jp".encode(),
)

TARGETS: Final[tuple[Target, ...]] = (
    Target("words by a login shell", 4, WORDS, _by_a_login_shell),
    Target("words by the kept shell", 3, WORDS, _by_the_kept_shell),
    Target("recover script", 3, (STOP,), _script),
    Target(
        "destinations in a shell", 3, (b"ops@dir1.example.com", b"dir1", b"[2001:db8::1]:22"), _destination_is_one_word
    ),
)
