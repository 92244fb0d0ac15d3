"""The manual, held against the program: the pages that are made from it, and the sentences that it quotes."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import director_tui
from director_tui.ui.commands import COMMANDS
from docs.__main__ import PAGES
from tests.faults.table import page, read_page, sections
from tests.test_readme import CHANGING, READING

TOP = Path(__file__).parents[1]
DOCS = TOP / "docs"
PACKAGE = Path(director_tui.__file__).parent


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_made_from_the_code_is_as_the_code_is_now(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), "run `make docs`"


def spoken() -> list[str]:
    """Every text of the program, with nothing where a value is put in."""
    texts = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(re.sub(r"\{[^{}]*\}", "", node.value))
            elif isinstance(node, ast.JoinedStr):
                texts.append("".join(str(one.value) for one in node.values if isinstance(one, ast.Constant)))
    return texts


def quoted(page: str) -> list[str]:
    """The sentences in typographic quotes; what is in italics in them differs."""
    return re.findall(r"“([^”]+)”", page)


def test_every_sentence_that_is_explained_is_one_that_the_program_says() -> None:
    said = spoken()
    sentences = quoted((DOCS / "troubleshooting.md").read_text())
    assert len(sentences) > 25
    for sentence in sentences:
        pieces = [piece.strip() for piece in re.split(r"\*[^*]+\*", sentence) if piece.strip()]
        assert all(any(piece in text for text in said) for piece in pieces), sentence


def test_the_page_of_faults_has_those_that_are_tested_and_no_other() -> None:
    text = (DOCS / "faults.md").read_text()
    rows = read_page(text)
    assert rows.keys() == {fault.title for faults in sections().values() for fault in faults}
    assert text == page(rows), "run `make faults`; with ARGS='-k NAME' only those that are new or another"


def test_every_key_of_the_incident_guide_is_one_of_the_program() -> None:
    keys = {key for command in COMMANDS for key in command.keys}
    named = set(re.findall(r"`([A-Za-z])`", (DOCS / "incidents.md").read_text()))
    assert named - keys == set()
    assert {"v", "w", "E", "R", "l", "o"} <= named


def test_every_command_that_runs_on_a_director_stands_in_the_security_page() -> None:
    table = (TOP / "SECURITY.md").read_text().partition("## What runs on a director")[2]
    for call in (*READING, *CHANGING):
        assert re.search(rf"`[^`]*\b{call.title.split()[-1]}\b[^`]*`", table), call.title


def test_the_readme_is_short_enough_to_be_read() -> None:
    assert len((TOP / "README.md").read_text().splitlines()) < 200


PAGES_OF_ALL = [*DOCS.glob("*.md"), TOP / "SECURITY.md", TOP / "README.md"]


@pytest.mark.parametrize("page", PAGES_OF_ALL, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
