"""Text from outside, made fit to be shown and compared: the one place that decides what reaches a terminal."""

from __future__ import annotations

import ipaddress
import unicodedata
from functools import lru_cache


def clean(text: bytes | str) -> str:
    """Text from outside, made fit for a terminal.

    Bytes that are not UTF-8 become ``\\xNN``. Characters that Python does not call printable become U+FFFD: control
    characters, those that turn the direction of writing or have no width, separators other than the plain space.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _stand_in(character) for character in text)


def clean_lines(text: bytes | str) -> str:
    """Like :func:`clean`, but the breaks between lines stay; empty lines go. For messages of several lines."""
    parts = text.splitlines()
    return "\n".join(line for part in parts if (line := clean(part).rstrip()))


def cells(text: str) -> int:
    """How many columns of a terminal cleaned text takes: East Asian wide characters two each, combining marks none."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(character: str) -> int:
    if unicodedata.category(character).startswith("M") or "\u1160" <= character <= "\u11ff":  # Korean medials, finals
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _stand_in(character: str) -> str:
    escaped = ord(character) - 0xDC00  # a byte of an argument or a file name, as Python's surrogateescape keeps it
    return f"\\x{escaped:02x}" if 0x80 <= escaped <= 0xFF else "\N{REPLACEMENT CHARACTER}"


@lru_cache(maxsize=4096)
def canonical_ip(text: str) -> str:
    """An IP address in the one form that doveadm prints, which is inet_ntop's.

    Kept, because every reading has the same ones in it. Raises ValueError if it is not a literal address; one with a
    zone (``fe80::1%eth0``) is none to Dovecot.
    """
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if "%" in text:
        raise ValueError(f"{clean(text)!r} has a zone")
    # inet_ntop writes the last 32 bits as an IPv4 address after ::ffff: and after ::, but ::1 and the like stay.
    high, low = divmod(int(address), 1 << 32)
    if high == 0xFFFF or (high == 0 and low > 0xFFFF):
        return f"::{'ffff:' if high else ''}{ipaddress.IPv4Address(low)}"
    return str(address)
