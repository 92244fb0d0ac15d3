"""config.toml to frozen values, strictly: whatever is not understood is an error that names file, table and key."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from director_tui.config_keys import BACKENDS, CLUSTER, DIRECTOR, TOP, names
from director_tui.errors import ConfigError
from director_tui.text import canonical_ip, clean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_INTERVAL_S: Final = 2.0
FILE_LIMIT_BYTES: Final = 1024 * 1024
"""Of a configuration file. One of 400 backends with names has about 20,000."""
MONITORS: Final = ("none", "dovemon", "poolmon")
METACACHE: Final = ("auto", "yes", "no")
DOVECONF: Final = ("doveconf",)
"""How doveconf is called where nothing says otherwise."""


@dataclass(frozen=True, slots=True)
class Destination:
    """``[USER@]HOST[:PORT]`` as it was written; what is None is left to the OpenSSH configuration."""

    host: str
    user: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class DirectorConfig:
    """How to reach one director and how its tools are called there.

    ``ssh`` is ``[USER@]HOST[:PORT]`` or anything that ~/.ssh/config knows; ``doveadm`` and ``doveconf`` are words.
    """

    ssh: str
    doveadm: tuple[str, ...] = ("doveadm",)
    doveconf: tuple[str, ...] = DOVECONF


@dataclass(frozen=True, slots=True)
class BackendAccess:
    """How to reach a backend itself, for its metacache.

    ``ssh`` is an SSH destination with ``{ip}`` in it, ``via_director`` whether the way there leads through a director,
    ``doveadm`` are the words for it there, ``metacache`` whether there is one: auto, yes or no.
    """

    ssh: str
    via_director: bool = True
    doveadm: tuple[str, ...] = ("doveadm",)
    metacache: str = "auto"

    def destination(self, ip: str) -> str:
        """Where this backend is reached: an IPv6 address in front of a port is put into brackets."""
        if ":" in ip and "{ip}:" in self.ssh:
            ip = f"[{ip}]"
        return self.ssh.replace("{ip}", ip)


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """One ring and how this program treats it.

    ``interval_s`` is the time between readings, ``capacity`` the users that a backend can carry (None: not said),
    ``records`` the folder on the directors for stop records, ``redact_users`` whether user names are kept out of the
    journal, ``names`` what people call the backends, by IP.
    """

    name: str
    directors: tuple[DirectorConfig, ...]
    interval_s: float = DEFAULT_INTERVAL_S
    environment: str = ""
    read_only: bool = False
    known_hosts: Path | None = None
    monitor: str = "none"
    capacity: int | None = None
    records: str = "~/.director-tui"
    redact_users: bool = False
    backends: BackendAccess | None = None
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """All of config.toml. ``path`` is where it was read, or would have been."""

    path: Path
    clusters: Mapping[str, ClusterConfig] = field(default_factory=dict)
    default_cluster: str | None = None
    theme: str | None = None

    def cluster(self, name: str | None = None) -> ClusterConfig:
        """The cluster of that name, or the default one: ``default_cluster``, or the only one there is.

        Raises ConfigError if there is no such cluster, naming those there are.
        """
        if not self.clusters:
            raise ConfigError(
                f"no cluster is configured in {self.path}",
                "write one as the README shows, or name a director: director-tui -d root@dir1.example.com; "
                "director-tui demo needs none",
            )
        known = ", ".join(sorted(self.clusters))
        wanted = name if name is not None else self.default_cluster
        if wanted is None and len(self.clusters) == 1:
            (wanted,) = self.clusters
        if wanted is None:
            raise ConfigError(f"{self.path}: several clusters and no default_cluster", f"choose one with -c: {known}")
        if wanted not in self.clusters:
            raise ConfigError(f"{self.path} has no cluster {_shown(wanted)}", f"it has: {known}")
        return self.clusters[wanted]


def config_path() -> Path:
    """``$XDG_CONFIG_HOME/director-tui/config.toml``."""
    # Not Path.home(), which raises where an account has no home folder at all.
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config"), "director-tui", "config.toml")


def read_config(path: Path | None = None) -> Config:
    """Read config.toml; without ``path`` from its usual place, where it may be missing. Raises ConfigError."""
    place = path or config_path()
    try:
        with place.open("rb") as file:
            text = file.read(FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        if path is None:
            return Config(place)
        raise ConfigError(f"{path}: there is no such file", "check the path after --config") from None
    except OSError as error:
        raise ConfigError(f"{place}: can't be read: {error.strerror}", "check its owner and mode") from None
    if len(text) > FILE_LIMIT_BYTES:
        raise ConfigError(f"{place}: larger than {FILE_LIMIT_BYTES:,} bytes", "check what it is")
    return parse_config(text, place)


def parse_config(text: bytes, path: Path) -> Config:
    """The bytes of a config.toml; ``path`` is for the error sentences. Raises ConfigError."""
    top = _Table(parse_toml(text, path), path, "")
    top.only(*names(TOP))
    default = top.text("default_cluster")
    clusters = {name: _cluster(name, table) for name, table in top.tables("clusters")}
    if default is not None and default not in clusters:
        known = ", ".join(sorted(clusters)) or "none"
        raise ConfigError(f"{path}: default_cluster = {_shown(default)}: there is no such cluster", f"it has: {known}")
    return Config(path, clusters, default, top.text("theme"))


def parse_toml(text: bytes, path: Path) -> dict[str, Any]:
    """The bytes of a TOML file; ``path`` is for the error sentences. Raises ConfigError."""
    try:
        return tomllib.loads(text.decode())
    except UnicodeDecodeError as error:
        line = text[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}: line {line} is not UTF-8", "save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {clean(str(error))}", "TOML needs quotes around texts") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError:
        raise ConfigError(f"{path}: a number in it has too many digits") from None


def ad_hoc_cluster(
    destinations: Sequence[str], doveadm: str | None = None, *, interval_s: float = DEFAULT_INTERVAL_S
) -> ClusterConfig:
    """A ring from the command line alone, named after its first host. Raises ConfigError."""
    words, doveconf = parse_words(doveadm if doveadm is not None else "doveadm", "--doveadm")
    named = dict.fromkeys(destinations)  # who names one twice means it once
    directors = tuple(DirectorConfig(_destination(ssh, "-d"), words, doveconf) for ssh in named)
    host = directors[0].ssh.rpartition("@")[2]
    return ClusterConfig(re.sub(r"[^A-Za-z0-9._-]+", "-", host).strip("-") or "ring", directors, interval_s)


def parse_words(doveadm: str, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words for doveadm, split as a shell does, and those for doveconf. Raises ConfigError.

    Where none of them is doveadm itself, as with a wrapper of another name, doveconf is called as it is by default.
    """
    words = _words(doveadm, where)
    return words, doveconf_words(words) or DOVECONF


def parse_destination(text: str, *, shown: str = "") -> Destination:
    """Take ``[USER@]HOST[:PORT]`` apart; IPv6 addresses with a port are written ``[ADDRESS]:PORT``.

    Raises ConfigError for what is none, and for what ssh or a shell could take for something else: user and host reach
    both, as words of ``ssh -G`` and through the tokens of a ProxyCommand. ``shown`` is what its sentence calls it.
    """
    wrong = f"{_shown(shown or text)} is no SSH destination"
    user, at, rest = text.rpartition("@")
    if match := re.fullmatch(r"\[([^\[\]]+)\](?::([0-9]+))?", rest):
        host, port = match[1], match[2]
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    else:
        host, port = rest, None
    if not host or (at and not user) or not text.isprintable() or _UNSAFE.search(host) or _UNSAFE.search(user):
        raise ConfigError(wrong, "write it as [USER@]HOST[:PORT]")
    if port is not None and (not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536):
        raise ConfigError(f"{wrong}: {_shown(port)} is no port number", "a port is a number from 1 to 65535")
    return Destination(host, user if at else None, int(port) if port is not None else None)


_UNSAFE: Final = re.compile(r"""^-|[ '"`$\\;&<>|(){}\[\]*?#~!^]""")


def doveconf_words(doveadm: tuple[str, ...]) -> tuple[str, ...] | None:
    """The words for doveadm with doveadm replaced by doveconf, its path kept; None if none of them is doveadm."""
    words = tuple(re.sub(r"(^|/)doveadm$", r"\1doveconf", word) for word in doveadm)
    return words if words != doveadm else None


def _destination(ssh: str, where: str, *, ip: str = "") -> str:
    """The destination as it was written; ``ip`` is put in where a backend's IP goes. Raises ConfigError."""
    try:
        parse_destination(ssh.replace("{ip}", ip) if ip else ssh, shown=ssh)
    except ConfigError as error:
        raise error.at(where) from None
    return ssh


def _cluster(name: str, table: _Table) -> ClusterConfig:
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or name in {".", ".."}:
        raise table.wrong(None, "a cluster's name has letters, digits, dots, dashes and underscores only")
    table.only(*names(CLUSTER))
    doveadm = table.words("doveadm") or ("doveadm",)
    doveconf = table.words("doveconf")
    return ClusterConfig(
        name=name,
        directors=_directors(table, doveadm, doveconf),
        interval_s=table.number("interval", DEFAULT_INTERVAL_S, 0.2, 3600.0),
        environment=table.text("environment") or "",
        read_only=table.flag("read_only", default=False),
        known_hosts=_file(table, "known_hosts"),
        monitor=table.choice("monitor", MONITORS),
        capacity=int(table.number("capacity", 0, 1, 2**32)) or None,
        records=table.text("records") or "~/.director-tui",
        redact_users=table.flag("redact_users", default=False),
        backends=_backend_access(table),
        names=_names(table),
    )


def _file(table: _Table, key: str) -> Path | None:
    path = table.text(key)
    try:
        return Path(path).expanduser() if path else None
    except RuntimeError:
        raise table.wrong(key, f"no user is known here by the name in {_shown(path)}") from None


def _directors(table: _Table, doveadm: tuple[str, ...], doveconf: tuple[str, ...] | None) -> tuple[DirectorConfig, ...]:
    listed = table.value("directors")
    if not isinstance(listed, list) or not listed:
        raise table.wrong("directors", 'a list of SSH destinations is needed, ["root@dir1.example.com", …]')
    directors = []
    for number, entry in enumerate(listed, start=1):
        values = {"ssh": entry} if isinstance(entry, str) else entry
        own = _Table(values, table.path, f"{table.name}.directors {number}")
        own.only(*names(DIRECTOR))
        ssh = own.text("ssh")
        if ssh is None:
            raise own.wrong("ssh", "is needed: where to reach this director")
        words = own.words("doveadm") or doveadm
        config_words = own.words("doveconf") or (doveconf if words == doveadm else None) or doveconf_words(words)
        if config_words is None:
            place = own if own.value("doveadm") else table
            why = f"none of the words in {_shown(place.text('doveadm'))} is doveadm, to call doveconf in the same way"
            raise place.wrong("doveadm", why, "set doveconf there, too")
        directors.append(DirectorConfig(_destination(ssh, own.where("ssh")), words, config_words))
    repeated = [director.ssh for director in directors if [other.ssh for other in directors].count(director.ssh) > 1]
    if repeated and len({(director.ssh, director.doveadm) for director in directors}) < len(directors):
        raise table.wrong("directors", f"{repeated[0]} stands there twice")
    return tuple(directors)


def _backend_access(table: _Table) -> BackendAccess | None:
    if table.value("backends") is None:
        return None
    own = table.table("backends")
    own.only(*names(BACKENDS))
    ssh = own.text("ssh") or ""
    metacache = own.choice("metacache", METACACHE)
    if "{ip}" not in ssh and (ssh or metacache != "no"):  # without a metacache nobody has to go there
        raise own.wrong("ssh", "is needed, with {ip} where the backend's IP goes")
    return BackendAccess(
        ssh=_destination(ssh, own.where("ssh"), ip="192.0.2.1") if ssh else "",
        via_director=own.flag("via_director", default=True),
        doveadm=own.words("doveadm") or ("doveadm",),
        metacache=metacache,
    )


def _names(table: _Table) -> dict[str, str]:
    if table.value("names") is None:
        return {}
    own = table.table("names")
    names = {}
    for key in own.names:
        try:
            ip = canonical_ip(key)
        except ValueError:
            raise own.wrong(key, "is no IP address") from None
        names[ip] = clean(own.text(key) or "")
    return names


class _Table:
    """One table of the file, with errors that say where they are."""

    def __init__(self, values: object, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: {clean(name)}: a table was expected, not {_shown(values)}")
        self._values: dict[str, Any] = values

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def only(self, *known: str) -> None:
        for key in self._values:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f"do you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
                raise ConfigError(f"{self.where(key)}: unknown key", hint)

    def wrong(self, key: str | None, why: str, remedy: str = "") -> ConfigError:
        return ConfigError(f"{self.where(key)}: {why}", remedy)

    def where(self, key: str | None) -> str:
        table = f" [{clean(self.name)}]" if self.name else ""
        return f"{self.path}:{table}" + (f" {clean(key)}" if key is not None else "")

    def value(self, key: str) -> object:
        return self._values.get(key)

    def table(self, key: str) -> _Table:
        return _Table(self._values.get(key, {}), self.path, f"{self.name}.{key}" if self.name else key)

    def tables(self, key: str) -> list[tuple[str, _Table]]:
        outer = self.table(key)
        return [(name, outer.table(name)) for name in outer.names]

    def text(self, key: str) -> str | None:
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self.wrong(key, f"a text in quotes was expected, not {_shown(value)}")
        if any(not character.isprintable() for character in value):
            raise self.wrong(key, "has a control character in it")
        return value

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, f"true or false was expected, not {_shown(value)}")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self._values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.wrong(key, f"a number from {low:g} to {high:g} was expected, not {_shown(value)}")
        return float(value)

    def choice(self, key: str, choices: Sequence[str]) -> str:
        value = self.text(key) or choices[0]
        if value not in choices:
            raise self.wrong(key, f"one of {', '.join(choices)} was expected, not {_shown(value)}")
        return value

    def words(self, key: str) -> tuple[str, ...] | None:
        value = self.text(key)
        return None if value is None else _words(value, self.where(key))


def _words(text: str, where: str) -> tuple[str, ...]:
    if not text.isprintable():  # a remote shell is given one line
        raise ConfigError(f"{where}: has a control character in it")
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise ConfigError(f"{where}: {_shown(text)}: {str(error).lower()}", "quote it as a shell would") from None
    if not words:
        raise ConfigError(f"{where}: is empty")
    return words


def _shown(value: object) -> str:
    try:
        text = clean(str(value))
    except (ValueError, RecursionError):  # a number of thousands of digits, thousands of nested tables
        text = "…"
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"
