"""What stands on the screen of a clean removal, by what is known of it: the steps, the text, and the buttons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from director_tui.operations.removal import PERMANENT_ONLY, Course, Ending, Step, left_words, way_back
from director_tui.operations.removal_steps import StepState, acts, step_view
from director_tui.ui.format import DANGER
from director_tui.ui.operation_words import doing
from director_tui.ui.removal_buttons import LABELS, offered, offered_before, offered_meanwhile
from director_tui.ui.removal_text import (
    back_text,
    check_text,
    configuration_lines,
    end_text,
    standing_text,
    step_text,
    waiting_text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from textual.content import Content

    from director_tui.operations.plan import Standing
    from director_tui.operations.removal import BackendSeen, Removal
    from director_tui.operations.removal_check import Checkup
    from director_tui.operations.removal_configuration import Configuration
    from director_tui.operations.removal_steps import StepView
    from director_tui.operations.removal_upload import Judged
    from director_tui.ui.removal_sight import RemovalSight
    from director_tui.ui.removal_text import Said


@dataclass(frozen=True, slots=True)
class RemovalPage:
    """``states`` are of the list of steps, ``may`` the labels of the buttons by their ids. ``view`` is the step that it
    stands at; None where it stands at none."""

    states: Mapping[Step, StepState]
    text: list[Content]
    may: Mapping[str, str]
    view: StepView | None = None


@dataclass(frozen=True, slots=True)
class Beside:
    """What is known beside what the directors show. ``judged`` is what a person has to decide about the upload of the
    step, ``leaving`` what there is to say of those who leave, ``summary`` what it came to."""

    judged: Judged | None
    leaving: Sequence[Said]
    configuration: Configuration | None
    summary: tuple[str, ...]


def check_page(checkup: Checkup | None, width: int, *, permanent: bool) -> RemovalPage:
    """Before it is begun."""
    steps = [step for step in Step if permanent or step not in PERMANENT_ONLY]
    states = {step: StepState.NOW if step is Step.CHECK else StepState.TO_COME for step in steps}
    begin = checkup is not None and not checkup.refusals
    return RemovalPage(states, check_text(checkup, width), offered_before(may_begin=begin))


def removal_page(
    removal: Removal, sight: RemovalSight, standing: Standing | None, beside: Beside, width: int, *, read_only: bool
) -> RemovalPage:
    """Of one that is begun."""
    now, position = sight.now, sight.position
    if standing is None or now is None:
        states = dict.fromkeys(removal.steps, StepState.TO_COME)
        return RemovalPage(states, waiting_text(), {"leave": LABELS["leave"]})
    views = {step: step_view(step, removal, position, now, standing) for step in removal.steps}
    states = {step: view.state for step, view in views.items()}
    may = _offered(removal, sight, now, standing, beside, read_only=read_only)
    if removal.ended is not None:
        if removal.ended.how is not Ending.REMOVED:
            states = dict.fromkeys(states, StepState.TO_COME)
        return RemovalPage(states, end_text(removal, beside.summary, width), may)
    if removal.course is not Course.REMOVING:
        left = way_back(removal, now)
        nothing = "nothing any more" if sight.read_since else "nothing, if every director shows it so once more"
        words = left if isinstance(left, str) else [doing(one) for one in left] or [nothing]
        return RemovalPage(states, back_text(removal, words, position.caveats, width), may)
    view = views[position.step] if position.step is not None else None
    if view is None:
        return RemovalPage(states, standing_text(removal, position, width), may)
    if sight.left is not None and (now.most_users or now.session_count):
        known = left_words(now)  # said already, with more about it
        view = replace(view, said=tuple(one for one in view.said if not one.startswith(known)))
    more = configuration_lines(beside.configuration, width) if view.step is Step.CONFIGURATION else []
    return RemovalPage(states, step_text(view, _live(sight, beside), position.caveats, width, more), may, view)


def new_value(configuration: Configuration | None) -> str | None:
    """What to write on the directors that still have the backend in their configuration; None if none does."""
    known = configuration.directors if configuration is not None else ()
    return next((one.new.value for one in known if one.new is not None and one.stands_there), None)


def _live(sight: RemovalSight, beside: Beside) -> list[Said]:
    said = [*beside.leaving]
    if beside.judged is not None and not sight.running_mine:
        said.append((f"{beside.judged.said}: try again, skip it, or back out", DANGER))
    return said


def _offered(
    removal: Removal, sight: RemovalSight, now: BackendSeen, standing: Standing, beside: Beside, *, read_only: bool
) -> dict[str, str]:
    """The buttons, with what stands on them."""
    if sight.running_mine and (removal.course is Course.REMOVING or not sight.gives_way):
        return offered_meanwhile(gives_way=sight.gives_way, read_only=read_only)
    return offered(
        removal,
        sight.position,
        acts(removal, sight.position, now, standing.cluster),
        tried=sight.flushed if sight.position.step is Step.MOVE else beside.judged is not None,
        copies=new_value(beside.configuration) is not None,
        read_only=read_only,
    )
