"""Commands of the practice ring that are on their way: they go on as its time goes by, whoever still waits for them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from director_tui.demo.command import Answer, Steps


class Running:
    """``answer`` is None until it has ended. ``at_least_s`` is how long it should seem to have taken."""

    def __init__(self, steps: Steps, at_least_s: float) -> None:
        self.answer: Answer | None = None
        self._steps = steps
        self._at_least_s = at_least_s
        self._when_ended: Callable[[Answer], None] | None = None
        self.go_on()

    def go_on(self) -> None:
        """To be called at each tick until it has ended."""
        try:
            next(self._steps)
        except StopIteration as ended:
            answer: Answer = ended.value
            self.answer = replace(answer, delay_s=max(answer.delay_s, self._at_least_s))
            if self._when_ended is not None:
                self._when_ended(self.answer)

    def when_ended(self, call: Callable[[Answer], None]) -> None:
        """Hand the answer over once, as soon as there is one."""
        if self.answer is not None:
            call(self.answer)
        else:
            self._when_ended = call
