"""Every key of config.toml and what it means: what the reader accepts, and what the reference in docs/ is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Key:
    """One key. ``default`` is what holds where it is not set, as a person reads it; empty where it has to be set."""

    name: str
    kind: str
    default: str
    meaning: str


TOP: Final = (
    Key("default_cluster", "text", "the only cluster there is", "the cluster that is shown without `-c`"),
    Key("theme", "text", "harbour", "the theme until another is chosen with `t`; `--theme` counts for one run"),
    Key("clusters", "table", "none", "a table for each ring, `[clusters.NAME]`: letters, digits, `.`, `_` and `-`"),
)

CLUSTER: Final = (
    Key(
        *("directors", "list", ""),
        "where the directors are: `[USER@]HOST[:PORT]`, anything that ~/.ssh/config knows, or a table with `ssh` and "
        "its own `doveadm` and `doveconf`. The first is read first; when it fails, the next",
    ),
    Key("doveadm", "text", "doveadm", "how doveadm is called on a director, in words as a shell splits them"),
    Key(
        *("doveconf", "text", "the words of `doveadm` with doveconf in its place"),
        "how doveconf is called there; has to be set where a wrapper of another name stands for doveadm",
    ),
    Key("interval", "number", "2", "seconds between two readings, 0.2 to 3600"),
    Key("environment", "text", "none", "a word for the header; `production` gets the warning colour"),
    Key("read_only", "true, false", "false", "nothing can be changed from here, whatever the keys say"),
    Key("known_hosts", "file", "none", "a file of host keys that is looked into before yours and the system's"),
    Key(
        *("monitor", "none, dovemon, poolmon", "none"),
        "what sets backends up and down by itself: plans warn of it, and dovemon speaks for a metacache",
    ),
    Key("capacity", "number", "none", "users that a backend can carry; a plan that goes beyond says so"),
    Key(
        *("records", "folder", "~/.director-tui"),
        "where on the directors the records of emergency stops lie; one that a group shares lets colleagues find them",
    ),
    Key("redact_users", "true, false", "false", "user names stay out of the journal; a steady word stands for each"),
    Key("backends", "table", "none", "how to reach the backends themselves: `[clusters.NAME.backends]`"),
    Key("names", "table", "none", 'what people call the backends: `[clusters.NAME.names]`, `"10.1.0.1" = "mail-01"`'),
)

DIRECTOR: Final = (
    Key("ssh", "text", "", "`[USER@]HOST[:PORT]`, or anything that ~/.ssh/config knows"),
    Key("doveadm", "text", "that of the cluster", "how doveadm is called on this one"),
    Key("doveconf", "text", "that of the cluster", "how doveconf is called on this one"),
)

BACKENDS: Final = (
    Key("ssh", "text", "", "where a backend is reached, with `{ip}` for its IP; not needed where `metacache` is no"),
    Key("via_director", "true, false", "true", "through the connection to the director, or straight from here"),
    Key("doveadm", "text", "doveadm", "how doveadm is called on a backend"),
    Key(
        *("metacache", "auto, yes, no", "auto"),
        "whether there is a metacache to upload before a backend is taken out; `auto` finds out, and asks if in doubt",
    ),
)


def names(keys: tuple[Key, ...]) -> tuple[str, ...]:
    return tuple(key.name for key in keys)
