"""Exit status and standard error of a failed call to a sentence with a remedy.

The texts are Dovecot's, sudo's and the shells' own, under ``LC_ALL=C``; Dovecot's differ between versions, so the
patterns leave out what changes (a prefix before 2.3's log initialisation, an extra line break up to 2.3.1). ``env``
itself still speaks the language of the login, so for what it reports only the exit status counts.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from director_tui.errors import DoveadmError
from director_tui.text import clean_lines

if TYPE_CHECKING:
    from director_tui.director.doveadm import Call
    from director_tui.errors import DirectorTuiError

EX_USAGE: Final = 64
"""doveadm: the words make no command it knows (sysexits.h)."""

EX_BAD_OPTION: Final = 89
"""doveadm: a wrong option before the command; doveconf: the configuration can't be read."""

NOT_EXECUTABLE: Final = 126
NOT_FOUND: Final = 127
"""The shell's own, and env's."""


def failure_of(call: Call[object], status: int, stdout: bytes, stderr: bytes) -> DoveadmError | None:
    """The error that a finished call stands for, None if it did what it should.

    A call that is not honest about its exit status has failed with 0 as well if standard error has an error in it.
    The sentences name no host: whoever knows which one it was puts it in front.
    """
    text = clean_lines(stderr)
    relevant = "\n".join(line for line in text.splitlines() if not _NOISE.search(line))
    if status == 0 and (call.honest or not _ERROR.search(relevant)):
        return None
    what, remedy = _sentence(call, status, relevant or text or clean_lines(stdout[:400]))
    return DoveadmError(what, remedy, status=status, stderr=text)


def refused_by_sudo(failure: DirectorTuiError) -> bool:
    """Whether sudo or doas refused the command. They report that to root over there, each time."""
    return isinstance(failure, DoveadmError) and re.search(_REFUSED, failure.stderr, re.MULTILINE) is not None


def never_ran(stderr: str) -> bool:
    """Whether sudo or doas ran nothing, by its own word. What else it says is no refusal: the command runs."""
    return re.search(_NEVER_RAN, stderr, re.MULTILINE) is not None


def _sentence(call: Call[object], status: int, text: str) -> tuple[str, str]:
    tool = call.tool.value
    if status == NOT_FOUND:
        name = (_PROGRAM.findall(text) or [tool])[-1]
        return f"{name}: not found there", _not_found_remedy(name, tool)
    if status == NOT_EXECUTABLE:
        return (
            f"{(_PROGRAM.findall(text) or [tool])[-1]}: this user may not execute it there",
            _SUDOERS if tool == "doveadm" else "",
        )
    for pattern, what, remedy in _KNOWN:
        if match := re.search(pattern, text, re.MULTILINE):
            groups = {name: _shortened(group) for name, group in match.groupdict().items()}
            return what.format(title=call.title, **groups), remedy.format(tool=tool, **groups)
    error = _ERROR.search(text)
    if status == EX_USAGE and error is None:
        return f"{call.title} is no command there", _OTHER_VERSION
    first = text.splitlines()[0] if text else "it said nothing"
    what = f"{call.title} failed with exit status {status}: {_shortened(error['message'] if error else first)}"
    return what, f"check the words for {tool} in config.toml" if status == EX_BAD_OPTION else ""


def _not_found_remedy(name: str, tool: str) -> str:
    if name.rpartition("/")[2] == tool:
        return f'is Dovecot installed there? Else name the full path: {tool} = "/usr/bin/{tool}" in config.toml'
    return f"install it there, or use other words for {tool} in config.toml"


def _shortened(text: str) -> str:
    return f"{text[:200]}…" if len(text) > 200 else text


_OTHER_VERSION: Final = "Dovecot 2.4 has no director any more; before 2.2.19 it lacks what this program needs"
_SUDOERS: Final = 'set doveadm = "sudo -n doveadm" in config.toml, and see the sudoers line in the README'

# What doveadm of 2.3 says beside the matter, whatever comes of it: it also wants to leave its statistics somewhere.
_NOISE: Final = re.compile(r"^(?:doveadm(?:\([^)]*\))?: )?(?:Error|Warning): .*\bstats-writer\b")

_ERROR: Final = re.compile(
    r"^(?:(?:doveadm|doveconf)(?:\([^)]*\))?: )?(?:Panic|Fatal|Error): (?P<message>.+)$", re.MULTILINE
)

_PROGRAM: Final = re.compile(r"[\w./+-]*\b(?:env|sudo|doas|doveadm|doveconf)\b")

_ASKS: Final = (
    r"^(?P<name>sudo|doas): (?:a password is required|a terminal is required|no tty present|Authorization required)"
)
_WANTS_TERMINAL: Final = r"^sudo: sorry, you must have a tty"
_NOT_ALLOWED: Final = (
    r"is not in the sudoers file|is not allowed to (?:execute|run)|may not run sudo|^doas: Operation not permitted"
)
_REFUSED: Final = f"{_ASKS}|{_WANTS_TERMINAL}|{_NOT_ALLOWED}"
_NEVER_RAN: Final = rf"{_REFUSED}|^(?:sudo|doas): \S+: command not found"

# Patterns as text: to compile them all takes 4 ms of each start, and most programs end without a failure.
_KNOWN: Final[tuple[tuple[str, str, str], ...]] = (
    (
        _ASKS,
        "{name} asks for a password there, which this program never types",
        # sudo asks for one before it looks whether this is among what the user may do.
        "sudoers allows other words to this user, or not without one: see the sudoers lines in the README",
    ),
    (
        _WANTS_TERMINAL,
        "sudo wants a terminal there, and there is none",
        "write Defaults:USER !requiretty into sudoers there",
    ),
    (
        _NOT_ALLOWED,
        "this user may not run {title} as root there",
        "see the sudoers line in the README",
    ),
    (
        r"^(?:sudo|doas): (?P<name>\S+): command not found",
        "{name}: not found there",
        'is Dovecot installed there? Else name the full path: {tool} = "sudo -n /usr/bin/{tool}" in config.toml',
    ),
    (
        r"connect(?:_unix)?\((?P<socket>[^)]*/ipc)\) failed: (?P<why>.+)$",
        "the director's login processes can't be asked through {socket}: {why}",
        "only root may; and Dovecot has to run there",
    ),
    (
        r"net_connect_unix\((?P<socket>[^)]*director-admin)\) failed: No such file or directory",
        "there is no director socket {socket}",
        "Dovecot is not running there, or is no director, or has another base_dir (then add -c FILE to {tool})",
    ),
    (
        r"net_connect_unix\((?P<socket>[^)]*director-admin)\) failed: Permission denied",
        "this user may not use the director socket {socket}",
        f"only root may: {_SUDOERS}",
    ),
    (
        r"net_connect_unix\((?P<socket>[^)]*director-admin)\) failed: Connection refused",
        "nobody listens on the director socket {socket}",
        "Dovecot is not running there",
    ),
    (
        r"read\([^)]*director-admin\) (?:failed: read\(size=\d+\) failed: Interrupted system call|timed out)",
        "the director process did not answer within 5 s",
        "it is hung, starting, out of client connections, or director_servers is not set there",
    ),
    (
        r"director-admin (?:unexpectedly )?disconnected|(?:read|write)\([^)]*director-admin\) failed"
        r"|Director disconnected unexpectedly",  # up to 2.2.32
        "the director process ended the conversation",
        "it was perhaps restarted just now; see Dovecot's log there",
    ),
    (
        r"(?P<socket>\S*director-admin) not a compatible director-doveadm socket",
        "what listens on {socket} is no director that this doveadm can talk to",
        "doveadm and the running Dovecot are of different versions, or the socket belongs to another program",
    ),
    (
        r"Invalid (?:reply from director|USER-LIST reply)",
        "doveadm can't make sense of the director's reply",
        "is director_username_hash right there, and is doveadm of the version that is running?",
    ),
    (
        r"Failed to expand (?P<setting>director_username_hash=.+)$",
        "the director can't compute hashes of user names: it fails to expand {setting}",
        "mend that setting in Dovecot's configuration",
    ),
    (
        r"Error reading configuration: (?P<why>.+)$",
        "Dovecot's configuration there can't be read: {why}",
        "check -c FILE in the words for {tool}, and whether this user may read that file",
    ),
    (
        r"^doveconf: Fatal: (?P<why>.+)$",
        "Dovecot's configuration there can't be read: {why}",
        "check -c FILE in the words for {tool}, and whether this user may read that file",
    ),
    (
        r"Ring sync timed out",
        "the ring was not synced in time",
        "look at the state of the ring before anything else",
    ),
    (
        r"Panic: (?P<why>.+)$",
        "{title} crashed there: {why}",
        "",
    ),
)
