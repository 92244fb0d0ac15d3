"""The inputs of a fuzz run: real bytes, spoilt at random. Seed, name and number make the same input again."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LONGEST: Final = 16 * 1024
"""Bytes of an input: what grows by copying itself stops here."""

HOSTILE: Final = (
    *(
        b"\x1b[2J",
        b"\x1b]0;t\x07",
        b"\x1b]52;c;eA==\x1b\\",
        b"\x9b31m",
        b"\x00",
        b"\x7f",
        b"\r",
        b"\r\n",
        b"\x08",
        b"\x85",
    ),
    *(b"\t", b"\n", b"\n\n", b" ", b"", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc2\x9b31m"),
    *(
        one.encode()
        for one in ("\u202e", "\u2066", "\u200f", "\ufeff", "\u2028", "\U000e0041", "e\u0301", "郵", "🏴", "ß", "İ")
    ),
    *(
        b"[/]",
        b"[red]",
        b"[@click=app.fuzzed]",
        b"[link=file:///]",
        b"\\[",
        b"$dt-danger",
        b"{0}",
        b"%s",
        b"\\x1b",
        b"\\u001b",
    ),
    *(
        b"'",
        b'"',
        b"`id`",
        b"$(id)",
        b"${IFS}",
        b";id",
        b"|id",
        b"&",
        b">f",
        b"<",
        b"*",
        b"~",
        b"!",
        b"!!",
        b"#",
        b"--",
        b"-e",
        b"\\",
    ),
    *(
        b"0",
        b"-1",
        b"-",
        b"1e999",
        b"nan",
        b"1_0",
        b"0x1",
        b"99999999999999999999",
        b"9" * 5000,
        b"4294967296",
        b"1000",
        b"1001",
    ),
    *(
        "٣".encode(),
        "²".encode(),
        b"true",
        b"null",
        b"[]",
        b"{}",
        b"[" * 3000,
        b'{"a":' * 3000,
        b'"\\ud800"',
        b'"\\u0000"',
    ),
    *(
        b"10.0.0.1",
        b"010.0.0.1",
        b"10.0.0.256",
        b"::1",
        b"fe80::1%eth0",
        b"::ffff:10.0.0.1",
        b"[::1]:22",
        b"@",
        b"@gold",
        b":",
    ),
    *(
        b"2026-11-24 22:00:00",
        b"0000-00-00 00:00:00",
        b"9999-12-31T23:59:59.999999-23:59",
        b"0001-01-01T00:00:00+23:59",
    ),
    *(
        b"never",
        b"n/a",
        b"up",
        b"down",
        b"self",
        b"synced",
        b"handshaking",
        b"username",
        b"add",
        b"#10161d",
        b"ansi_blue",
    ),
)

_NUMBER: Final = re.compile(rb"[0-9]+")
_CELL: Final = re.compile(rb"[^\t\n]+")


def make_input(seeds: Sequence[bytes], seed: int, name: str, number: int) -> bytes:
    """The input of this number for the target of this name: mostly one of its seeds, changed in a few places."""
    chance = random.Random(f"{seed} {name} {number}")
    kind = chance.random()
    if kind < 0.06:
        return chance.randbytes(chance.randrange(64))
    if kind < 0.1:
        return b"".join(chance.choices(HOSTILE, k=chance.randrange(8)))[:LONGEST]
    data = chance.choice(seeds)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        data = chance.choice(_WAYS)(chance, data, seeds)[:LONGEST]
    return data


def _place(chance: random.Random, data: bytes) -> int:
    return chance.randrange(len(data) + 1)


def _span(chance: random.Random, data: bytes) -> tuple[int, int]:
    begin = _place(chance, data)
    return begin, min(len(data), begin + chance.choice((1, 1, 2, 4, 16, 200)))


def _flip(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def _byte(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    place = _place(chance, data)
    return data[:place] + chance.randbytes(1) + data[place + 1 :]


def _insert(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    place = _place(chance, data)
    return data[:place] + chance.choice(HOSTILE) + data[place:]


def _drop(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, end = _span(chance, data)
    return data[:begin] + data[end:]


def _repeat(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    begin, end = _span(chance, data)
    return data[:end] + data[begin:end] * chance.choice((1, 1, 2, 50)) + data[end:]


def _cut(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    return data[: _place(chance, data)]


def _splice(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    other = chance.choice(seeds)
    return data[: _place(chance, data)] + other[_place(chance, other) :]


def _lines(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Two lines in each other's place, or one of them twice."""
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    if chance.random() < 0.5:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines.insert(one, lines[other])
    return b"\n".join(lines)


def _replaced(pattern: re.Pattern[bytes]) -> Callable[[random.Random, bytes, Sequence[bytes]], bytes]:
    """Something hostile instead of one number, or one cell."""

    def replace(chance: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
        found = [match.span() for match in pattern.finditer(data)]
        if not found:
            return data
        begin, end = chance.choice(found)
        return data[:begin] + chance.choice(HOSTILE) + data[end:]

    return replace


_WAYS: Final[tuple[Callable[[random.Random, bytes, Sequence[bytes]], bytes], ...]] = (
    *(_flip, _byte, _insert, _insert, _drop, _repeat, _cut, _splice, _lines),
    *(_replaced(_NUMBER), _replaced(_CELL), _replaced(_CELL)),
)
