"""The setting ``director_mail_servers``: what the ring would start with, against what it runs with.

Read by Dovecot's own rules (``mail_hosts_parse_and_add`` in mail-host.c): entries are separated by spaces and nothing
else, an entry is ``ADDRESS[@TAG]``, and an address may be a range whose ends lie in one /24 (IPv4) or /112 (IPv6).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from director_tui.director.model import State
from director_tui.text import canonical_ip

if TYPE_CHECKING:
    from collections.abc import Iterable

    from director_tui.director.model import Backend

CONFIGURED_VHOSTS: Final = 100
"""The vhost count of every backend that comes from the configuration (``VHOST_MULTIPLIER``)."""


@dataclass(frozen=True, slots=True)
class MailServers:
    """What ``director_mail_servers`` names.

    ``ips`` has the tag of each IP; the first wins when an IP stands there twice, as it does in the director, and
    ``repeated`` lists those. ``names`` are entries with host names: the director resolved them when it started, so
    their addresses can't be told from here. ``invalid`` are entries with which a director refuses to start. ``cut``
    are entries with a tab: a director takes the address before it and drops the rest without a word.
    """

    ips: dict[str, str]
    names: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()


@lru_cache(maxsize=8)
def parse_mail_servers(value: str) -> MailServers:
    """Read the text of ``director_mail_servers``; never raises, what is wrong with it is in the result.

    Kept, because every reading is held against the same text.
    """
    ips: dict[str, str] = {}
    names: list[str] = []
    repeated: list[str] = []
    invalid: list[str] = []
    cut: list[str] = []
    for entry in filter(None, value.split(" ")):
        address, _, tag = entry.partition("@")
        listed = _addresses(address)
        if listed is None:
            invalid.append(entry)
        elif not listed:
            names.append(entry)
        elif _TAB.search(address):
            cut.append(entry)
        for ip in listed or ():
            if ip in ips:
                repeated.append(ip)
            else:
                ips[ip] = tag
    return MailServers(ips, tuple(names), tuple(dict.fromkeys(repeated)), tuple(invalid), tuple(cut))


def run_time_only(backends: Iterable[Backend], configured: MailServers) -> tuple[str, ...]:
    """What a restart of the whole ring would lose, one short sentence for each difference.

    Where the configuration has host names, a backend that is not listed by IP may be one of them and is not counted.
    """
    running = {backend.ip: backend for backend in backends}
    differences = [f"{ip} {what}" for ip, backend in running.items() for what in lost_by_restart(backend, configured)]
    differences.extend(f"{ip} is in director_mail_servers only" for ip in configured.ips if ip not in running)
    return tuple(differences)


def lost_by_restart(backend: Backend, configured: MailServers) -> tuple[str, ...]:
    """What is different about one backend, each as the rest of a sentence that begins with its IP."""
    tag = configured.ips.get(backend.ip)
    if tag is None:
        return () if configured.names else ("is not in director_mail_servers",)
    differences = []
    if tag != backend.tag:
        differences.append(f"has {_tag(backend.tag)}, in director_mail_servers {_tag(tag)}")
    if backend.vhosts != CONFIGURED_VHOSTS:
        differences.append(f"has vhost count {backend.vhosts}, a restart gives it {CONFIGURED_VHOSTS}")
    if backend.state is State.DOWN:
        differences.append("is down, a restart brings it up")
    return tuple(differences)


def entries_with(value: str, ip: str) -> tuple[str, ...]:
    """The entries of ``director_mail_servers`` in which an IP stands, by itself or in a range, as they are written."""
    entries = filter(None, value.split(" "))
    return tuple(entry for entry in entries if ip in (_addresses(entry.partition("@")[0]) or ()))


@dataclass(frozen=True, slots=True)
class Without:
    """``director_mail_servers`` without one IP.

    ``value`` is the new text: but for the ``changes``, entries with what takes their place (nothing: they go),
    it is what it was. ``names`` are host names: the IP may stand behind one of them, which can't be told from here.
    """

    value: str
    changes: tuple[tuple[str, str], ...] = ()
    names: tuple[str, ...] = ()


def without(value: str, ip: str) -> Without:
    """Take an IP out: an entry of its own goes, with the spaces in front of it, and a range is split around it.

    The parts of a range keep its tag. What a director would refuse, or would take for a host name, stays as it is.
    """
    kept: list[str] = []
    changes: list[tuple[str, str]] = []
    # Every second piece is an entry, with the spaces before it.
    pieces = re.split("( +)", value)
    entries = [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    for spaces, entry in entries:
        address, at, tag = entry.partition("@")
        listed = (_addresses(address) or ()) if entry else ()
        if ip not in listed:
            kept += (spaces, entry)
            continue
        place = listed.index(ip)
        parts = (listed[:place], listed[place + 1 :])
        instead = " ".join(_written(part) + at + tag for part in parts if part)
        changes.append((entry, instead))
        if instead:
            kept += (spaces, instead)
    new = "".join(kept)
    # The spaces behind a first entry that goes would be in front of what was the second.
    new = new.lstrip(" ") if changes and not value.startswith(" ") else new
    return Without(new, tuple(changes), parse_mail_servers(value).names)


def _written(ips: tuple[str, ...]) -> str:
    return ips[0] if len(ips) == 1 else f"{ips[0]}-{ips[-1]}"


def _tag(tag: str) -> str:
    return f"tag {tag}" if tag else "no tag"


def _addresses(text: str) -> tuple[str, ...] | None:
    """The IPs that an address or range stands for; none for a host name; None if a director would refuse it."""
    first, dash, last = text.partition("-")
    if dash:
        begin, end = _address(first), _address(last)
        if begin is not None and end is not None:
            return _range(begin, end)
    address = _address(text)
    if address is not None:
        return (canonical_ip(str(address)),)
    return () if _HOST_NAME.fullmatch(text) else None


_TAB = re.compile("[\t\N{REPLACEMENT CHARACTER}]")  # the latter is what clean() leaves of the former
_HOST_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9._-]+")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address in any form that Dovecot takes (``net_addr2ip`` in lib/net.c), None if it is none.

    Those are more than ipaddress takes: IPv6 in brackets, leading zeros (decimal, with four parts), and what inet_aton
    takes: ``10.9`` is 10.0.0.9, ``5`` is 0.0.0.5, and what follows after a tab is ignored. Seen on 2.3.19.1.
    """
    try:
        if ":" in text:
            bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
            return ipaddress.ip_address(canonical_ip(bare))
        text = _TAB.split(text, maxsplit=1)[0]
        parts = text.split(".")
        if len(parts) in {1, 4} and all(part.isascii() and part.isdigit() for part in parts):
            numbers = [int(part) for part in parts if len(part) <= 10]
            return ipaddress.IPv4Address(numbers[0] if len(numbers) == 1 else ".".join(map(str, numbers)))
        return ipaddress.IPv4Address(socket.inet_aton(text)) if text.isascii() else None
    except (ValueError, IndexError, OSError):
        return None


def _range(
    begin: ipaddress.IPv4Address | ipaddress.IPv6Address, end: ipaddress.IPv4Address | ipaddress.IPv6Address
) -> tuple[str, ...] | None:
    low, high = int(begin), int(end)
    free_bits = 8 if begin.version == 4 else 16
    if begin.version != end.version or low > high or low >> free_bits != high >> free_bits:
        return None
    kind = type(begin)
    return tuple(canonical_ip(str(kind(number))) for number in range(low, high + 1))
