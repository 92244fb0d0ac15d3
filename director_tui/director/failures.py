"""Exit status and standard error of a failed call to a sentence with a remedy.

The texts are Dovecot's, sudo's and the shells' own, under ``LC_ALL=C``; Dovecot's differ between versions, so the
patterns leave out what changes (a prefix before 2.3's log initialisation, an extra line break up to 2.3.4).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from director_tui.director.parse import clean_lines
from director_tui.errors import DoveadmError

if TYPE_CHECKING:
    from director_tui.director.doveadm import Call

EX_USAGE: Final = 64
"""doveadm: the words make no command it knows (sysexits.h)."""


def failure_of(call: Call[object], status: int, stdout: bytes, stderr: bytes) -> DoveadmError | None:
    """The error that a finished call stands for, None if it did what it should.

    ``proxy list`` and ``map -u`` exit 0 when they fail, so standard error counts there as well. The sentences name no
    host: whoever knows which one it was puts it in front.
    """
    text = clean_lines(stderr)
    if status == 0 and not _FAILED_WITH_STATUS_0.search(text):
        return None
    for pattern, what, remedy in _KNOWN:
        if match := pattern.search(text):
            return DoveadmError(
                what.format(*match.groups(), title=call.title),
                remedy.format(*match.groups(), tool=call.tool.value),
                status=status,
                stderr=text,
            )
    if status == EX_USAGE:
        return DoveadmError(
            f"{call.title} is no command there",
            "Dovecot 2.4 has no director any more; before 2.2.19 it lacks what this program needs",
            status=status,
            stderr=text,
        )
    if status == 127:
        return DoveadmError(
            f"{call.title}: not found there", _NOT_FOUND_REMEDY.format(tool=call.tool.value), status=status, stderr=text
        )
    message = text or clean_lines(stdout[:400])
    first = message.splitlines()[0] if message else "it said nothing"
    return DoveadmError(f"{call.title} failed with exit status {status}: {first}", "", status=status, stderr=text)


_NOT_FOUND_REMEDY = "is Dovecot installed there? Else name the full path: {tool} = \"/usr/bin/{tool}\" in config.toml"

_FAILED_WITH_STATUS_0 = re.compile(r"^(?:doveadm(?:\([^)]*\))?: )?(?:Panic|Fatal|Error): ", re.MULTILINE)

_KNOWN: Final[tuple[tuple[re.Pattern[str], str, str], ...]] = tuple(
    (re.compile(pattern, re.MULTILINE), what, remedy)
    for pattern, what, remedy in (
        (
            r"^sudo: (?:a password is required|a terminal is required|no tty present)",
            "sudo asks for a password there, which this program never types",
            "allow these commands without one: see the sudoers line in the README",
        ),
        (
            r"(?:is not in the sudoers file|is not allowed to (?:execute|run))",
            "sudo does not allow this command there",
            "see the sudoers line in the README",
        ),
        (
            r"(?:sudo: (\S+): command not found|(\S+): (?:command )?not found|(?:env: )[‘'`]?([^\s:’']+)[’']?: No such file)",
            "{title}: not found there",
            _NOT_FOUND_REMEDY,
        ),
        (
            r"net_connect_unix\((\S*?ipc)\) failed: (.+)$|connect\((\S*?ipc)\) failed: (.+)$",
            "{title}: the director's login processes can't be asked",
            "is Dovecot running there, and may this user read its ipc socket?",
        ),
        (
            r"net_connect_unix\((\S*director-admin)\) failed: No such file or directory",
            "there is no director socket {0}",
            "Dovecot is not running there, or is not set up as a director, or has another base_dir (then add -c FILE to doveadm)",
        ),
        (
            r"net_connect_unix\((\S*director-admin)\) failed: Permission denied",
            "this user may not use the director socket {0}",
            'only root may: set doveadm = "sudo -n doveadm" in config.toml, and see the sudoers line in the README',
        ),
        (
            r"net_connect_unix\((\S*director-admin)\) failed: Connection refused",
            "nobody listens on the director socket {0}",
            "Dovecot is not running there",
        ),
        (
            r"read\((\S*director-admin)\) (?:failed: read\(size=\d+\) failed: Interrupted system call|timed out)",
            "the director process did not answer within 5 s",
            "it is hung, starting, out of client connections, or director_servers is not set there",
        ),
        (
            r"^(?:Error|Fatal): (?:\S*director-admin unexpectedly disconnected|read\(\S*director-admin\) failed)",
            "the director process ended the conversation",
            "it was perhaps restarted just now; see Dovecot's log there",
        ),
        (
            r"Error reading configuration: (.+)$|^doveconf: Fatal: (.+)$",
            "Dovecot's configuration there can't be read",
            "check -c FILE in the words for doveadm, and the permission to read that file",
        ),
        (
            r"Ring sync timed out",
            "the ring was not synced in time",
            "look at the state of the ring before anything else",
        ),
    )
)
