"""Dialogs that open unasked, one at a time: what is under the eyes must not change between looking and pressing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from director_tui.ui.dialogs import UnaskedDialog

ResultT = TypeVar("ResultT")


class DialogQueue:
    """Opens each dialog when the one before it is closed, in the order in which they came.

    ``push`` puts a dialog in front of the screen.
    """

    def __init__(self, push: Callable[[UnaskedDialog[Any]], object]) -> None:
        self._push = push
        self._turn = asyncio.Lock()

    async def show(self, dialog: UnaskedDialog[ResultT]) -> ResultT | None:
        """What the person answered; None: declined. Being cancelled takes the dialog out of the queue, or closes it."""
        async with self._turn:
            self._push(dialog)
            try:
                return await dialog.answer
            finally:
                dialog.withdraw()
