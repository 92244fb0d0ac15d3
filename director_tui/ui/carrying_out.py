"""How an operation is seen by people, from the plan that they have agreed to until its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.errors import OperationRefused, PlanOutdated
from director_tui.ui.dialogs import Dialog
from director_tui.ui.live import LiveScreen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from textual.screen import Screen
    from textual.timer import Timer

    from director_tui.operations.progress import Progress
    from director_tui.ui.live import InBackground, Tell
    from director_tui.ui.plan_dialog import PlanDialog

DRAWN_EVERY_S: Final = 0.1
"""How often the steps of an operation are drawn: of a batch there are hundreds in a second."""

LOOK_AGAIN_S: Final = 0.5
"""How often a dialog that has done its work, and isn't in front, is tried to be closed."""


class CarryingOut:
    """What people see of the operations of one cluster.

    ``screens`` are those that are open, the one in front last; ``later`` calls something after so many seconds.
    ``open_operations`` shows the operation whole, ``ended`` is called when one has.
    """

    def __init__(
        self,
        *,
        screens: Callable[[], Sequence[Screen[object]]],
        later: Callable[[float, Callable[[], None]], Timer],
        in_background: InBackground,
        open_operations: Callable[[], None],
        tell: Tell,
        ended: Callable[[], None],
    ) -> None:
        self._screens, self._later, self._in_background = screens, later, in_background
        self._open_operations, self._tell, self._ended = open_operations, tell, ended
        self._progress: Progress | None = None
        self._drawn: Progress | None = None
        self._due: Timer | None = None
        self._agreed: PlanDialog | None = None

    def begin(self, run: Callable[[], Awaitable[None]]) -> None:
        """Have ``run`` carry it out, and show how far it is. It goes on when that is closed.

        The plan in front stays until it has begun, or says why it hasn't.
        """
        from director_tui.ui.plan_dialog import PlanDialog

        front = self._screens()[-1]
        dialog = self._agreed = front if isinstance(front, PlanDialog) else None

        async def begun() -> None:
            try:
                await run()
            except OperationRefused as error:
                self._say_refused(error, dialog)

        self._in_background(begun)
        if dialog is None:
            self._open_operations()

    def _say_refused(self, error: OperationRefused, dialog: PlanDialog | None) -> None:
        why = f"{error}: {error.remedy}" if error.remedy else str(error)
        if dialog is None or not dialog.is_attached:
            self._tell(why)
        elif isinstance(error, PlanOutdated):
            dialog.plan_outdated(error.changes)
        else:
            dialog.refused(why)

    def show(self, progress: Progress) -> None:
        """Show a step of the operation: at once when it enters another phase, with others otherwise."""
        self._progress, drawn = progress, self._drawn
        if drawn is None or (drawn.id, drawn.phase, drawn.outcome) != (progress.id, progress.phase, progress.outcome):
            self._draw()
        elif self._due is None:
            self._due = self._later(DRAWN_EVERY_S, self._draw)

    def _draw(self) -> None:
        if self._due is not None:
            self._due.stop()
            self._due = None
        before, progress = self._drawn, self._progress
        self._drawn = progress
        for screen in self._screens():
            if isinstance(screen, LiveScreen | Dialog):
                screen.show_operation(progress)
        if progress is not None and progress.begun:
            self._show_begun()
        if progress is not None and before is not None and progress.id == before.id:
            if before.running and not progress.running:
                self._ended()
            self._tell_elsewhere(before, progress)

    def _show_begun(self) -> None:
        """Show the operation in the place of the plan in which it was agreed to."""
        dialog = self._agreed
        if dialog is None or not dialog.is_attached:
            self._agreed = None
        elif dialog.is_active:
            self._agreed = None
            dialog.close_with(None)
            self._open_operations()
        else:
            # Something that asks unasked has come in front of it.
            self._later(LOOK_AGAIN_S, self._show_begun)

    def _tell_elsewhere(self, before: Progress, progress: Progress) -> None:
        """What must be known of an operation by somebody who looks at another screen."""
        screens = self._screens()
        if not screens or (isinstance(screens[-1], LiveScreen) and screens[-1].shows_operation):
            return  # of a program that ends there is no screen left
        from director_tui.ui.operation_words import news

        if (told := news(before, progress)) is not None:
            text, fine = told
            self._tell(text, fine=fine)
