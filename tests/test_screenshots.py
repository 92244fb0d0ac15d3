"""The pictures of the README are what the program looks like now: they guard every layout that they show.

When a change of looks is wanted: ``make screenshots``, look at each as a picture, commit them with the change.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from screenshots.__main__ import STORIES, pictures

FOLDER = Path(__file__).parents[1] / "screenshots"


@pytest.mark.parametrize("size", STORIES)
async def test_the_pictures_are_as_committed(size: tuple[int, int]) -> None:
    different = [
        name async for name, picture in pictures(size) if picture != (FOLDER / f"{name}.svg").read_text("utf-8")
    ]
    assert different == [], "see what changed: make screenshots, git diff"


def test_there_are_no_others_and_the_manual_shows_what_there_is() -> None:
    names = {f"{name}.svg" for story in STORIES.values() for name in story}
    assert {file.name for file in FOLDER.glob("*.svg")} == names
    pages = (FOLDER.parent / "README.md", *(FOLDER.parent / "docs").glob("*.md"))
    shown = "".join(page.read_text("utf-8") for page in pages)
    assert [name for name in sorted(names) if f"screenshots/{name}" not in shown] == []
