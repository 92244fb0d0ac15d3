"""Exact bytes and exit statuses to sentence and remedy (section 1.4 of the reference, and a real 2.3.19.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from director_tui.director import doveadm
from director_tui.director.failures import failure_of, refused_by_sudo
from director_tui.errors import ConnectionLost

if TYPE_CHECKING:
    from director_tui.director.doveadm import Call

STATUS, MAP_U, PROXY, CONF = doveadm.status(), doveadm.user_hash("joe"), doveadm.proxy_list(), doveadm.version()
SOCKET = "/run/dovecot/director-admin"
STATS = b"Error: net_connect_unix(/run/dovecot/stats-writer) failed: Permission denied\n"
IPC = b"Error: connect(/run/dovecot/ipc) failed: Permission denied\nError: LIST-FULL failed: ipc connect failed\n"

NO_ANSWER = "the director process did not answer within 5 s"
ENDED = "the director process ended the conversation"
UNCLEAR = "doveadm can't make sense of the director's reply"
NO_COMMAND = "doveadm director status is no command there"
TERMINAL = "sudo wants a terminal there, and there is none"
PASSWORD = "sudo asks for a password there, which this program never types"

KNOWN: list[tuple[int, bytes, str, str]] = [
    # the admin socket
    (
        75,
        b"Fatal: net_connect_unix(/run/dovecot/director-admin) failed: No such file or directory\n",
        f"there is no director socket {SOCKET}",
        "base_dir",
    ),
    (
        75,
        b"Fatal: net_connect_unix(/run/dovecot/director-admin) failed: Permission denied\n",
        f"this user may not use the director socket {SOCKET}",
        "sudo -n doveadm",
    ),
    (
        75,
        b"Fatal: net_connect_unix(/run/dovecot/director-admin) failed: Connection refused\n",
        f"nobody listens on the director socket {SOCKET}",
        "not running",
    ),
    (
        75,
        b"doveadm(root): Fatal: net_connect_unix(/var/run/my dovecot/director-admin) failed: Connection refused\n",
        "nobody listens on the director socket /var/run/my dovecot/director-admin",
        "not running",
    ),
    (
        75,
        b"Fatal: net_connect_unix(/run/dovecot/director-admin) failed: Too many open files\n",
        "doveadm director status failed with exit status 75: "
        "net_connect_unix(/run/dovecot/director-admin) failed: Too many open files",
        "",
    ),
    # the conversation
    (
        75,
        b"Fatal: read(/run/dovecot/director-admin) failed: read(size=8192) failed: Interrupted system call\n",
        NO_ANSWER,
        "director_servers",
    ),
    (
        75,
        b"doveadm(root): Fatal: read(/run/dovecot/director-admin) timed out (is director configured?)\n",
        NO_ANSWER,
        "director_servers",
    ),
    (75, b"Fatal: /run/dovecot/director-admin disconnected\n", ENDED, "log"),
    (75, b"Error: /run/dovecot/director-admin unexpectedly disconnected\n", ENDED, "log"),
    (75, b"doveadm(root): Error: /run/dovecot/director-admin unexpectedly disconnected\n\n", ENDED, "log"),
    (75, b"doveadm(root): Error: Director disconnected unexpectedly\n", ENDED, "log"),
    (
        75,
        b"Error: read(/run/dovecot/director-admin) failed: Connection reset by peer\n"
        b"Fatal: /run/dovecot/director-admin unexpectedly disconnected\n",
        ENDED,
        "log",
    ),
    (75, b"Fatal: write(/run/dovecot/director-admin) failed: Broken pipe\n", ENDED, "log"),
    (
        76,
        b"Fatal: /run/dovecot/director-admin not a compatible director-doveadm socket\n",
        f"what listens on {SOCKET} is no director that this doveadm can talk to",
        "versions",
    ),
    (76, b"Error: Invalid reply from director\n", UNCLEAR, "director_username_hash"),
    (76, b"Error: Invalid USER-LIST reply: 1\t2\n", UNCLEAR, "director_username_hash"),
    (75, b"Error: 10.0.0.1: Ring sync timed out\n", "the ring was not synced in time", "state of the ring"),
    (
        75,
        b"doveadm(root): Error: failed: Ring sync timed out\n\n",
        "the ring was not synced in time",
        "state of the ring",
    ),
    (
        134,
        b"Error: auth-master: userdb list: connect(/run/dovecot/auth-userdb) failed: No such file or directory\n"
        b"Panic: file auth-master.c: line 436 (auth_master_user_list_deinit): assertion failed\n"
        b"Error: Raw backtrace: x\n",
        "doveadm director status crashed there: "
        "file auth-master.c: line 436 (auth_master_user_list_deinit): assertion failed",
        "",
    ),
    # the configuration
    (
        75,
        b"Fatal: Error reading configuration: stat(/nonexistent) failed: No such file or directory\n",
        "Dovecot's configuration there can't be read: stat(/nonexistent) failed: No such file or directory",
        "-c FILE in the words for doveadm",
    ),
    (
        89,
        b"doveconf: Fatal: Error in configuration file /tmp/bad.conf line 1: Unknown setting: foo { foo\n",
        "Dovecot's configuration there can't be read: "
        "Error in configuration file /tmp/bad.conf line 1: Unknown setting: foo { foo",
        "may read",
    ),
    (
        89,
        b"doveadm: invalid option -- 'a'\nusage: doveadm [-Dv] [-f <formatter>] <command> [<args>]\n",
        "doveadm director status failed with exit status 89: doveadm: invalid option -- 'a'",
        "words for doveadm",
    ),
    # versions without it
    (64, b"usage: doveadm [-Dv] [-f <formatter>] <command> [<args>]\n  altmove\n", NO_COMMAND, "2.4"),
    (64, b"", NO_COMMAND, "2.4"),
    (
        64,
        b"Error: Extraneous arguments found: c d\n",
        "doveadm director status failed with exit status 64: Extraneous arguments found: c d",
        "",
    ),
    (
        68,
        b"Error: 10.0.0.1: doesn't exist\n",
        "doveadm director status failed with exit status 68: 10.0.0.1: doesn't exist",
        "",
    ),
    # sudo, doas and the shell
    (1, b"sudo: a password is required\n", PASSWORD, "sudoers"),
    (
        1,
        b"sudo: a terminal is required to read the password; either use the -S option\nsudo: a password is required\n",
        PASSWORD,
        "sudoers",
    ),
    (1, b"sudo: no tty present and no askpass program specified\n", PASSWORD, "sudoers"),
    (
        1,
        b"sudo: sorry, you must have a tty to run sudo\n",
        "sudo wants a terminal there, and there is none",
        "requiretty",
    ),
    (
        1,
        b"sudo: unable to resolve host dir1: Name or service not known\nsudo: a password is required\n",
        PASSWORD,
        "sudoers",
    ),
    (1, b"doas: Authorization required\n", "doas asks for a password there, which this program never types", ""),
    (
        1,
        b"Sorry, user ops is not allowed to execute '/usr/bin/doveadm -f tab director status' as root on dir1.\n",
        "this user may not run doveadm director status as root there",
        "sudoers",
    ),
    (
        1,
        b"ops is not in the sudoers file.  This incident will be reported.\n",
        "this user may not run doveadm director status as root there",
        "sudoers",
    ),
    (1, b"doas: Operation not permitted\n", "this user may not run doveadm director status as root there", "sudoers"),
    (1, b"sudo: doveadm: command not found\n", "doveadm: not found there", "/usr/bin/doveadm"),
    (127, "env: ‘doveadm’: No such file or directory\n".encode(), "doveadm: not found there", '"/usr/bin/doveadm"'),  # noqa: RUF001 - env's own quotes
    (127, "env: »doveadm«: Datei oder Verzeichnis nicht gefunden\n".encode(), "doveadm: not found there", "installed"),
    (127, b"env: 'sudo': No such file or directory\n", "sudo: not found there", "other words for doveadm"),
    (127, b"env: '/opt/dovecot/bin/doveadm': No such file\n", "/opt/dovecot/bin/doveadm: not found there", "/usr/bin"),
    (127, b"bash: line 1: env: command not found\n", "env: not found there", "install it"),
    (127, b"", "doveadm: not found there", "installed"),
    (126, b"env: 'doveadm': Permission denied\n", "doveadm: this user may not execute it there", "sudo -n doveadm"),
    (126, b"", "doveadm: this user may not execute it there", "sudo -n doveadm"),
    # nothing that is known
    (255, b"", "doveadm director status failed with exit status 255: it said nothing", ""),
    (255, b"kex_exchange: x\n", "doveadm director status failed with exit status 255: kex_exchange: x", ""),
    (1, b"motd\nError: something new\n", "doveadm director status failed with exit status 1: something new", ""),
]


@pytest.mark.parametrize(("status", "stderr", "sentence", "remedy"), KNOWN)
@pytest.mark.parametrize("noise", [b"", STATS, b"doveadm(ops): " + STATS], ids=["", "stats", "stats with prefix"])
def test_sentence_and_remedy(status: int, stderr: bytes, sentence: str, remedy: str, noise: bytes) -> None:
    error = failure_of(STATUS, status, b"", noise + stderr if stderr else b"")
    assert error is not None
    assert str(error) == sentence
    assert remedy in error.remedy
    assert bool(remedy) <= bool(error.remedy)
    assert error.status == status


def test_the_whole_standard_error_is_kept_noise_included() -> None:
    error = failure_of(STATUS, 75, b"", STATS + b"Error: x\n")
    assert error is not None
    assert error.stderr == STATS.decode() + "Error: x"


def test_when_there_is_only_noise_it_is_the_best_there_is() -> None:
    error = failure_of(STATUS, 75, b"", STATS)
    assert error is not None
    assert str(error).endswith(
        "failed with exit status 75: net_connect_unix(/run/dovecot/stats-writer) failed: Permission denied"
    )


def test_a_login_that_is_not_allowed_speaks_on_standard_output() -> None:
    error = failure_of(STATUS, 1, b"This account is currently not available.\n", b"")
    assert error is not None
    assert str(error) == "doveadm director status failed with exit status 1: This account is currently not available."


def test_usage_on_standard_output() -> None:  # case 29: up to 2.3.17
    error = failure_of(STATUS, 64, b"usage: doveadm [-Dv] [-f <formatter>] director <command> [<args>]\n", b"")
    assert error is not None
    assert str(error) == NO_COMMAND


def test_data_before_a_failure_is_not_believed() -> None:  # case 4
    stdout = b"mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n10.0.0.1\t\t100\tup\t-\t3\n"
    assert failure_of(STATUS, 75, stdout, b"Error: /run/dovecot/director-admin unexpectedly disconnected\n") is not None


@pytest.mark.parametrize("call", [STATUS, MAP_U, PROXY, CONF, doveadm.assignments()])
@pytest.mark.parametrize(
    "stderr",
    [
        b"",
        STATS,
        b"doveadm(ops): " + STATS,
        b"bash: warning: setlocale: LC_ALL: cannot change locale (en_US.UTF-8)\n",
        b"Warning: service auth { client_limit=1000 } is lower than required\n",
        b"sudo: unable to resolve host dir1: Name or service not known\n",
        b"Info: 10.0.0.1: OK\n",
    ],
)
def test_success_with_something_on_standard_error(call: Call[object], stderr: bytes) -> None:
    assert failure_of(call, 0, b"whatever\n", stderr) is None


def test_an_honest_call_with_status_0_has_succeeded() -> None:
    assert failure_of(STATUS, 0, b"whatever\n", b"Error: some plugin is not happy\n") is None


def test_proxy_list_that_fails_with_status_0() -> None:
    error = failure_of(PROXY, 0, b"\n", STATS + IPC)
    assert error is not None
    assert str(error) == "the director's login processes can't be asked through /run/dovecot/ipc: Permission denied"
    assert error.remedy


def test_proxy_list_that_fails_in_another_way_with_status_0() -> None:
    error = failure_of(PROXY, 0, b"\n", b"Error: LIST-FULL failed: timeout\n")  # case 30
    assert error is not None
    assert str(error) == "doveadm proxy list failed with exit status 0: LIST-FULL failed: timeout"


def test_map_u_that_fails_with_status_0() -> None:
    stderr = b"Error: Failed to expand director_username_hash=%{x}: Unknown variable '%x'\n"
    error = failure_of(MAP_U, 0, b"\n", stderr)
    assert error is not None
    assert "fails to expand director_username_hash=%{x}: Unknown variable '%x'" in str(error)


def test_doveconf_that_is_not_there() -> None:
    error = failure_of(CONF, 127, b"", b"env: 'doveconf': No such file or directory\n")
    assert error is not None
    assert str(error) == "doveconf: not found there"
    assert 'doveconf = "/usr/bin/doveconf"' in error.remedy


def test_a_long_message_is_cut_in_the_sentence_only() -> None:
    error = failure_of(STATUS, 75, b"", b"Error: " + b"x" * 5000)
    assert error is not None
    assert len(str(error)) < 300
    assert len(error.stderr) == 5007


@given(
    st.sampled_from([STATUS, MAP_U, PROXY, CONF]),
    st.integers(-1, 255),
    st.binary(max_size=40),
    st.lists(
        st.one_of(st.binary(max_size=20), st.sampled_from([stderr for _, stderr, _, _ in KNOWN]), st.just(b"{0}{}")),
        max_size=4,
    ).map(b"".join),
)
def test_any_output_makes_printable_sentences(call: Call[object], status: int, stdout: bytes, stderr: bytes) -> None:
    error = failure_of(call, status, stdout, stderr)
    assert (error is None) <= (status == 0)
    if error is not None:
        assert str(error).isprintable()
        assert error.remedy.isprintable()
        assert error.stderr.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("stderr", "refused"),
    [
        (b"sudo: a password is required\n", True),
        (b"sudo: unable to resolve host dir1: Name or service not known\nsudo: a password is required\n", True),
        (b"sudo: sorry, you must have a tty to run sudo\n", True),
        (b"ops is not in the sudoers file.  This incident will be reported.\n", True),
        (b"Sorry, user ops is not allowed to execute '/usr/bin/doveadm' as root on dir1.\n", True),
        (b"doas: Operation not permitted\n", True),
        (b"sudo: doveadm: command not found\n", False),
        (b"Fatal: net_connect_unix(/run/dovecot/director-admin) failed: Permission denied\n", False),
    ],
)
def test_what_sudo_refuses_is_told_from_what_doveadm_does(stderr: bytes, refused: bool) -> None:
    failure = failure_of(STATUS, 1, b"", stderr)
    assert failure is not None
    assert refused_by_sudo(failure) is refused


def test_a_lost_connection_is_no_refusal() -> None:
    assert not refused_by_sudo(ConnectionLost("sudo: a password is required"))
