"""What the tests of the screens share: styles that were parsed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.css.stylesheet import Stylesheet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.css.model import RuleSet
    from textual.css.types import CSSLocation


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """A text of styles is parsed once for each set of variables, not again for every app that a test starts.

    Textual keeps what it has parsed in the same way, but for one app only: a fifth of the time of these tests went
    there. Rules don't change once they are made, and those with faults in them are refused by every app, as ever.
    """
    parsed: dict[frozenset[tuple[str, str]], dict[tuple[object, ...], list[RuleSet]]] = {}
    parse = Stylesheet._parse_rules

    def parse_once(
        sheet: Stylesheet,
        css: str,
        read_from: CSSLocation,
        is_default_rules: bool = False,
        tie_breaker: int = 0,
        scope: str = "",
    ) -> list[RuleSet]:
        known = parsed.setdefault(frozenset(sheet._variables.items()), {})
        key = css, read_from, is_default_rules, tie_breaker, scope
        if key not in known:
            known[key] = parse(sheet, *key)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_once)
        yield
