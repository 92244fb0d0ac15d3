"""What the OpenSSH configuration says about one destination, asked of OpenSSH itself: ``ssh -G``.

``ssh -G`` connects to nothing. It prints every setting that would hold, one a line, and leaves tildes and percent
tokens in most of them as they were written, so they are expanded here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from director_tui.errors import ConfigError
from director_tui.text import clean_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from director_tui.config import Destination

QUERY_LIMIT_S: Final = 10.0
"""How long ``ssh -G`` may take, in seconds; only a ``Match exec`` in the configuration takes any time."""

KEEPALIVE_S: Final = 5.0
DEFAULT_PORT: Final = 22


@dataclass(frozen=True, slots=True)
class HostConfig:
    """The settings that hold for one destination, with tildes and tokens expanded.

    ``proxy_jump`` holds destinations in the order they are passed through. ``identity_agent`` is the path of the
    agent's socket, empty if none is to be used. ``methods`` are the authentication methods in the order to try.
    Files need not exist. ``connect_timeout_s`` None means that the configuration sets none. ``name`` is the host as it
    was asked for.
    """

    host: str
    port: int
    user: str
    identity_files: tuple[Path, ...] = ()
    certificate_files: tuple[Path, ...] = ()
    identities_only: bool = False
    identity_agent: str = ""
    host_key_alias: str = ""
    host_key_algorithms: tuple[str, ...] = ()
    user_known_hosts: tuple[Path, ...] = ()
    global_known_hosts: tuple[Path, ...] = ()
    proxy_jump: tuple[str, ...] = ()
    proxy_command: str = ""
    methods: tuple[str, ...] = ("publickey", "keyboard-interactive", "password")
    batch: bool = False
    address_family: socket.AddressFamily = socket.AF_UNSPEC
    bind_address: str = ""
    connect_timeout_s: float | None = None
    keepalive_s: float = KEEPALIVE_S
    name: str = field(default="", compare=False)

    @property
    def key_name(self) -> str:
        """The name under which known_hosts files hold this host's key: ``[HOST]:PORT`` on another port than 22."""
        if self.host_key_alias:
            return self.host_key_alias
        return self.host.lower() if self.port == DEFAULT_PORT else f"[{self.host.lower()}]:{self.port}"


def find_ssh() -> str | None:
    """OpenSSH's client, if there is one."""
    return shutil.which("ssh")


async def query(ssh: str, destination: Destination, *, ssh_config: Path | None = None) -> HostConfig:
    """Ask ``ssh -G``; ``ssh_config`` is like ssh's -F. Raises ConfigError."""
    words = [ssh, "-G"]
    if ssh_config is not None:
        words += ["-F", str(ssh_config)]
    if destination.port is not None:
        words += ["-p", str(destination.port)]
    if destination.user is not None:
        words += ["-l", destination.user]
    words += ["--", destination.host]
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        process_group=0,
    )
    try:
        async with asyncio.timeout(QUERY_LIMIT_S):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        raise ConfigError(
            f"ssh -G {destination.host} did not end within {QUERY_LIMIT_S:.0f} s",
            "a Match exec in the OpenSSH configuration hangs",
        ) from None
    finally:
        if process.returncode is None:
            # Its group, because what a Match exec started holds our pipes open for as long as it lives.
            # It has ended, and nobody has said so yet; of a group that has, macOS says that it may not be ended.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        lines = clean_lines(stderr).splitlines()
        raise ConfigError(
            f"the OpenSSH configuration can't be used for {destination.host}: {lines[0] if lines else 'ssh -G failed'}",
            f"see what `ssh -G {destination.host}` says",
        )
    return from_settings(stdout.decode("utf-8", "surrogateescape"), destination)


def from_settings(text: str, destination: Destination) -> HostConfig:
    """The lines of ``ssh -G`` to a HostConfig. Raises ConfigError if they are not what ``ssh -G`` prints."""
    settings: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        settings.setdefault(name.lower(), []).append(value.strip())
    one = {name: values[0] for name, values in settings.items()}
    if not {"hostname", "port", "user"} <= one.keys():
        raise ConfigError(f"ssh -G {destination.host} printed no settings", "is the `ssh` in PATH OpenSSH's?")
    if _yes(one.get("proxyusefdpass")):
        raise ConfigError(
            f"{destination.host}: ProxyUseFdpass in the OpenSSH configuration is not supported",
            "use a ProxyCommand that passes the bytes on, or a ProxyJump",
        )
    host = HostConfig(host=one["hostname"], port=int(one["port"]), user=one["user"], name=destination.host)
    tokens = percent_tokens(host, destination)

    def files(values: Sequence[str]) -> tuple[Path, ...]:
        return tuple(path for value in values if (path := _file(value, tokens)) is not None)

    return replace(
        host,
        identity_files=files(settings.get("identityfile", ())),
        certificate_files=files(settings.get("certificatefile", ())),
        identities_only=_yes(one.get("identitiesonly")),
        identity_agent=agent_socket(one.get("identityagent"), tokens),
        host_key_alias=_set(one.get("hostkeyalias")).lower(),
        host_key_algorithms=tuple(filter(None, _set(one.get("hostkeyalgorithms")).split(","))),
        user_known_hosts=files(_file_list(one.get("userknownhostsfile"))),
        global_known_hosts=files(_file_list(one.get("globalknownhostsfile"))),
        proxy_jump=tuple(jump.removeprefix("ssh://") for jump in _set(one.get("proxyjump")).split(",") if jump),
        proxy_command=expand_tokens(_set(one.get("proxycommand")), tokens),
        methods=_methods(one),
        batch=_yes(one.get("batchmode")),
        address_family={"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(
            one.get("addressfamily", ""), socket.AF_UNSPEC
        ),
        bind_address=_set(one.get("bindaddress")),
        connect_timeout_s=_positive(one.get("connecttimeout")),
        keepalive_s=min(_positive(one.get("serveraliveinterval")) or KEEPALIVE_S, KEEPALIVE_S),
    )


def percent_tokens(host: HostConfig, destination: Destination) -> dict[str, str]:
    """What ``%h`` and its like stand for (ssh_config(5), TOKENS)."""
    local = socket.gethostname()
    return {
        "%": "%",
        "d": str(home()),
        "h": host.host,
        "i": str(os.getuid()),
        "k": host.host_key_alias or destination.host,
        "L": local.split(".")[0],
        "l": local,
        "n": destination.host,
        "p": str(host.port),
        "r": host.user,
        "u": pwd.getpwuid(os.getuid()).pw_name,
    }


def expand_tokens(text: str, tokens: Mapping[str, str]) -> str:
    """Put the tokens in; what is no known token stays as it is."""
    return re.sub(r"%(.)", lambda match: tokens.get(match[1], match[0]), text)


def agent_socket(setting: str | None, tokens: Mapping[str, str]) -> str:
    """IdentityAgent, or $SSH_AUTH_SOCK where it is not set; empty if no agent is to be asked."""
    if setting is None or setting == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK", "")
    if setting.startswith("$"):
        return os.environ.get(setting[1:].strip("{}"), "")
    path = _file(setting, tokens)
    return str(path) if path else ""


def home() -> Path:
    """The home folder as OpenSSH sees it, which does not look at $HOME."""
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return Path.home()


def expand_home(text: str) -> Path:
    """Like OpenSSH: a leading tilde is the home folder of the password file."""
    if text == "~" or text.startswith("~/"):
        return home() / text[2:]
    return Path(text).expanduser()


def _file(value: str, tokens: Mapping[str, str]) -> Path | None:
    """A file of the configuration; None where it says ``none``, or names what never holds anything."""
    value = value.strip('"')
    if not value or value.lower() == "none" or value == os.devnull:
        return None
    return expand_home(expand_tokens(value, tokens))


def _file_list(value: str | None) -> list[str]:
    """Several files on one line. ``ssh -G`` does not quote, so a name with blanks in it is tried as one first."""
    if not value:
        return []
    if '"' not in value and " " in value and expand_home(value).exists():
        return [value]
    return re.findall(r'"[^"]*"|\S+', value)


def _methods(one: Mapping[str, str]) -> tuple[str, ...]:
    allowed = {
        "publickey": one.get("pubkeyauthentication", "yes") not in {"no", "false"},
        "keyboard-interactive": one.get("kbdinteractiveauthentication", "yes") not in {"no", "false"},
        "password": one.get("passwordauthentication", "yes") not in {"no", "false"},
    }
    preferred = [method.strip() for method in _set(one.get("preferredauthentications")).split(",") if method.strip()]
    return tuple(method for method in preferred or allowed if allowed.get(method))


def _set(value: str | None) -> str:
    return "" if value is None or value.lower() == "none" else value


def _yes(value: str | None) -> bool:
    return value in {"yes", "true"}


def _positive(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if number > 0 else None
