"""What the practice ring is configured to be: its backends, and Dovecot's settings."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from random import Random
from typing import TYPE_CHECKING, Final

from director_tui.demo.flushing import KICK_DELAY_S, MAX_PARALLEL_MOVES
from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.model import Backend, State, ip_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DIRECTORS: Final = ("10.0.0.11", "10.0.0.12", "10.0.0.13")
PORT: Final = 9090

BACKEND_NETWORK: Final = "10.1.*"
"""Where the backends are, as a pattern for known_hosts."""

USER: Final = "demo"
"""Who is let in by SSH."""

BACKEND_DESTINATION: Final = f"{USER}@{{ip}}"
"""How a backend is reached through a director's connection, with its IP put in."""

GOLD: Final = "gold"


def settings(backends: Iterable[Backend]) -> dict[str, str]:
    """All of them, as doveconf prints them, for a ring with these backends."""
    return {
        "director_mail_servers": _mail_servers(backends),
        "director_servers": " ".join(f"{ip}:{PORT}" for ip in DIRECTORS),
        "protocols": "imap pop3",
        **_DEFAULT_SETTINGS,
    }


# As doveconf of 2.3.19.1 prints them.
_DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "base_dir": "/run/dovecot",
    "director_flush_socket": "",
    "director_max_parallel_kicks": "100",
    "director_max_parallel_moves": str(MAX_PARALLEL_MOVES),
    "director_output_buffer_size": "10 M",
    "director_ping_idle_timeout": "30 secs",
    "director_ping_max_timeout": "1 mins",
    "director_user_expire": "15 mins",
    "director_user_kick_delay": f"{KICK_DELAY_S} secs",
    "director_username_hash": "%Lu",
}


def configured(count: int) -> dict[str, Backend]:
    """What ``director_mail_servers`` names, by IP."""
    golden = max(2, round(count / 4)) if count >= 4 else 0
    ips = sorted((f"10.1.{number // 250}.{number % 250 + 1}" for number in range(count)), key=ip_order)
    return {
        ip: Backend(ip, GOLD if place >= count - golden else "", CONFIGURED_VHOSTS, State.UP, None, 0)
        for place, ip in enumerate(ips)
    }


def backend_names(count: int) -> dict[str, str]:
    """What people call the backends of a ring of this size, by IP: mail-01 …, and gold-01 … for those with the tag."""
    numbers: Counter[str] = Counter()
    names = {}
    for ip, backend in configured(count).items():
        kind = backend.tag or "mail"
        numbers[kind] += 1
        names[ip] = f"{kind}-{numbers[kind]:02}"
    return names


def tag_of(user: str) -> str:
    """The tag that the user database gives this user."""
    return GOLD if user.endswith(f"@{GOLD}.example.com") else ""


def odd_vhosts(ips: Sequence[str], seed: int) -> dict[str, int]:
    """The vhost counts that somebody has changed since the start, as on every ring that has run for a while."""
    random = Random(seed)  # noqa: S311 (a simulation that can be repeated, no secret)
    chosen = random.sample(ips, len(ips) // 4) if len(ips) > 1 else []
    return {ip: random.choice((50, 60, 80, 120, 150, 200)) for ip in chosen}


def people_of_tags(backends: Iterable[Backend]) -> dict[str, float]:
    """Each tag's part of the people: by its backends, but the golden ones have fewer users to themselves."""
    tags = Counter(each.tag for each in backends)
    return {tag: count * (0.6 if tag == GOLD else 1.0) for tag, count in tags.items()}


def _mail_servers(backends: Iterable[Backend]) -> str:
    """``director_mail_servers``: ranges as far as Dovecot takes them, which is within a /24."""
    entries = []
    for (_, tag, _), members in groupby(enumerate(backends), key=lambda each: _run_of(*each)):
        ips = [each.ip for _, each in members]
        entries.append((ips[0] if len(ips) == 1 else f"{ips[0]}-{ips[-1]}") + (f"@{tag}" if tag else ""))
    return " ".join(entries)


def _run_of(place: int, backend: Backend) -> tuple[str, str, int]:
    """The same for those that follow each other without a gap, in one /24 and with one tag."""
    network, _, last = backend.ip.rpartition(".")
    return network, backend.tag, int(last) - place
