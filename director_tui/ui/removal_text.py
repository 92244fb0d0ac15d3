"""A clean removal as a person reads it: the list of its steps, the one it stands at, how far that is, and what became
of the configuration. Functions of what is known, so that they can be written again at another width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content

from director_tui.operations.removal import Course, Decided, Step
from director_tui.operations.removal_steps import StepState, back_out_words
from director_tui.operations.words import listed, plural
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.format import ACCENT, ATTENTION, DANGER, DOT, FINE, MUTED, PLAIN, STYLES
from director_tui.ui.operation_panel import SAME_EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from director_tui.operations.removal import BackendSeen, Position, Removal
    from director_tui.operations.removal_check import Checkup
    from director_tui.operations.removal_configuration import Configuration, Written
    from director_tui.operations.removal_progress import LeavingProgress
    from director_tui.operations.removal_steps import StepView
    from director_tui.ui.format import Part

Said = str | tuple[str, str]
"""A sentence, with its meaning where it isn't plain."""

LIST_WIDTH: Final = 24
"""Cells of the list of steps, with those beside it."""
LABEL_WIDTH: Final = 7
NARROW: Final = 36
"""Cells of a page below which a label stands above what it is for."""

SURVIVORS_SHOWN: Final = 6
"""Backends of which step 1 says what they will carry; the plan of step 2 has all."""

SHORT_TITLES: Final[Mapping[Step, str]] = {
    Step.UPLOAD: "Upload metacache",
    Step.FINAL_UPLOAD: "Final upload",
}
"""What a step is called in the list, where its title is too long for it."""

_MARKS: Final[Mapping[StepState, Part]] = {
    StepState.DONE: ("✓", FINE),
    StepState.NOW: ("▸", ACCENT),
    StepState.SKIPPED: ("–", MUTED),
    StepState.TO_COME: ("·", MUTED),
}


def step_list(states: Mapping[Step, StepState]) -> list[Content]:
    """A line for each step, with how it stands."""
    lines = []
    for step, state in states.items():
        mark, meaning = _MARKS[state]
        style = (
            f"{STYLES[ACCENT]} bold" if state is StepState.NOW else STYLES[PLAIN if state is StepState.DONE else MUTED]
        )
        title = SHORT_TITLES.get(step, step.title)
        lines.append(Content.assemble((mark, STYLES[meaning]), " ", (f"{step.number} {title}", style)))
    return lines


def step_strip(states: Mapping[Step, StepState]) -> Content:
    """The same in one line, where there is no room beside the step."""
    parts: list[Part] = []
    for step, state in states.items():
        mark, meaning = _MARKS[state]
        style = f"{STYLES[ACCENT]} bold" if state is StepState.NOW else STYLES[MUTED]
        parts += [(" " if parts else "", ""), (mark, STYLES[meaning]), (str(step.number), style)]
    return Content.assemble(*parts)


def title_line(ip: str, name: str, removal: Removal | None, width: int) -> Content:
    """What is removed, for how long, and since when."""
    parts: list[Part] = [("clean removal of ", STYLES[MUTED]), (ip, f"{STYLES[ACCENT]} bold")]
    if name:
        parts += [("  ", ""), (clean(name), STYLES[PLAIN])]
    if removal is not None:
        kind = "permanent" if removal.permanent else "maintenance"
        had = f"vhost count {removal.vhosts} before"
        since = f"begun {removal.began:%H:%M} UTC by {clean(removal.who)}"
        for word in (kind, had, since):
            longer = [*parts, *DOT, (word, STYLES[MUTED])]
            if Content.assemble(*longer).cell_length > width:
                break
            parts = longer
    return Content.assemble(" ", *parts).truncate(width + 1, ellipsis=True)


def head(title: str, after: str = "") -> Content:
    more: list[Part] = [("   ", ""), (after, STYLES[MUTED])] if after else []
    return Content.assemble((title, f"{STYLES[ACCENT]} bold"), *more)


def beside(label: str, said: Iterable[Said], width: int) -> list[Content]:
    """Sentences beside a label, each on lines of its own; with a meaning where it isn't plain."""
    lines: list[Content] = []
    narrow = width < NARROW
    indent = " " * (2 if narrow else LABEL_WIDTH)
    for number, one in enumerate(said):
        text, meaning = (one, PLAIN) if isinstance(one, str) else one
        lead = indent
        if number == 0 and label:
            if narrow:
                lines.append(Content.styled(label, STYLES[MUTED]))
            else:
                lead = f"{label:<{LABEL_WIDTH}}"
        for place, part in enumerate(wrapped(text, width - len(indent))):
            front = lead if place == 0 else indent
            lines.append(Content.assemble((front, STYLES[MUTED] if front.strip() else ""), (part, STYLES[meaning])))
    return lines


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text; a word that is longer than one is broken."""
    lines = [""]
    for word in clean(text).split(" "):
        rest = word
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(rest) <= width:
            lines[-1] += f" {rest}"
            continue
        if lines[-1]:
            lines.append("")
        while cell_len(rest) > width > 0:
            lines[-1] = rest[:width]
            lines.append("")
            rest = rest[width:]
        lines[-1] = rest
    return lines


def step_text(
    view: StepView, live: Sequence[Said], caveats: Sequence[str], width: int, more: Sequence[Sequence[Content]] = ()
) -> list[Content]:
    """A step: how far it is, what it runs, where and why, and what proves it; ``more`` blocks come first."""
    blocks = [[head(f"{view.step.number}  {view.step.title}")]]
    blocks += map(list, more)
    if live or view.said:
        blocks.append([*beside("now", [*live, *((one, ATTENTION) for one in view.said)], width)])
    runs = beside("runs", (one.removeprefix(SAME_EVERYWHERE) for one in view.commands), width)
    blocks.append([*runs, *beside("on", [view.where] if view.where else [], width)])
    blocks.append(beside("why", [view.why] if view.why else [], width))
    blocks.append(beside("proof", [view.proof, *((one, ATTENTION) for one in caveats)], width))
    return joined(blocks)


def joined(blocks: Iterable[Sequence[Content]]) -> list[Content]:
    """The lines of all blocks, with an empty one between two."""
    lines: list[Content] = []
    for block in blocks:
        if block:
            lines += [*([Content("")] if lines else []), *block]
    return lines


def leaving_words(leaving: LeavingProgress, now: BackendSeen, called: Callable[[str], str]) -> list[Said]:
    """Who is left, how fast they go, and what may be wrong; ``called`` gives the short names of directors."""
    said: list[Said] = []
    if leaving.least == leaving.most:
        left = f"{plural(leaving.most, 'user')} left"
    else:
        least, most = (_on(now, count, called) for count in (leaving.least, leaving.most))
        left = f"{leaving.least:,} users left by {least}, {leaving.most:,} by {most}"
    if leaving.at_start > leaving.most:
        left += f", of {leaving.at_start:,}"
    said.append(left)
    if leaving.most and leaving.per_min:
        eta = f" · ETA {format.span(leaving.eta_s)}" if leaving.eta_s is not None else ""
        said.append(f"{format.rate(-leaving.per_min).text}/min{eta}")
    if leaving.sessions is not None:
        said.append(f"{plural(leaving.sessions, 'session')} passed on to it by all directors")
    if leaving.stuck:
        said.append((leaving.stuck, ATTENTION))
    return said


def _on(now: BackendSeen, users: int, called: Callable[[str], str]) -> str:
    """The directors that count so many."""
    return listed(clean(called(name)) for name, row in now.listed.items() if row.users == users)


def check_text(checkup: Checkup | None, width: int) -> list[Content]:
    """Step 1: what speaks against it, and what the others would carry."""
    title = head("1  Check", "nothing is changed by it")
    if checkup is None:
        return joined([[title], [Content.styled("Reading every director first…", STYLES[MUTED])]])
    blocks = [[title]]
    if checkup.refusals:
        blocks.append(beside("not now", ((one, DANGER) for one in checkup.refusals), width))
        return joined(blocks)
    blocks.append(beside("ok", [("the ring is synced, and others take over", FINE)], width))
    blocks.append(beside("▲", ((one, ATTENTION) for one in checkup.warnings), width))
    blocks.append(beside("then", _survivors(checkup), width))
    return joined(blocks)


def _survivors(checkup: Checkup) -> list[Said]:
    """What the others would carry; those that get the most first."""
    gaining = [one for one in checkup.survivors if one.users_after is not None]
    gaining.sort(key=lambda one: (not one.over_capacity, -((one.users_after or 0) - one.users_now)))
    about = "" if checkup.exact else "≈ "
    said: list[Said] = [
        (
            f"{one.ip} has {one.users_now:,}, will have {about}{one.users_after:,} users",
            DANGER if one.over_capacity else PLAIN,
        )
        for one in gaining[:SURVIVORS_SHOWN]
    ]
    if len(gaining) > SURVIVORS_SHOWN:
        said.append((f"and {plural(len(gaining) - SURVIVORS_SHOWN, 'more backend')}", MUTED))
    return said


def back_text(removal: Removal, way: Sequence[str] | str, caveats: Sequence[str], width: int) -> list[Content]:
    """The way back: what is still to be done to have the backend as it was, or why that can't be from here."""
    title = "Bring it back" if removal.course is Course.BRINGING_BACK else "Back out"
    blocks = [[head(title)], beside("to do", [(way, DANGER)] if isinstance(way, str) else way, width)]
    blocks.append(beside("then", [f"{one[:1].upper()}{one[1:]}." for one in back_out_words(removal)], width))
    blocks.append(beside("▲", ((one, ATTENTION) for one in caveats), width))
    return joined(blocks)


def waiting_text() -> list[Content]:
    return [Content.styled("Reading the ring first…", STYLES[MUTED])]


def standing_text(removal: Removal, position: Position, width: int) -> list[Content]:
    """Where it stands at no step: everything is done, or it can't be told."""
    if not position.done:
        return joined(
            [[head("Where it stands can't be told")], beside("", ((one, DANGER) for one in position.why), width)]
        )
    gone = "no user and no session is left on it, and no new one comes"
    if removal.moved is not None:
        gone = "no new user comes to it; not all were seen to be gone"
    accepted = _accepted(removal)
    return joined(
        [
            [head(f"{removal.ip} is ready to work on{', by what was accepted' if accepted else ''}")],
            beside("done", [(gone, FINE if removal.moved is None else ATTENTION)], width),
            beside("next", ["When the work is done, bring it back: by w, then or later."], width),
            beside("▲", ((one, ATTENTION) for one in (*accepted, *position.why, *position.caveats)), width),
        ]
    )


def _accepted(removal: Removal) -> list[str]:
    """The steps that were left out at a risk, with what that is and who took it."""
    marks = ((step, removal.mark_of(step)) for step in (Step.UPLOAD, Step.MOVE, Step.FINAL_UPLOAD))
    return [
        f"step {step.number} was skipped by {mark.who}: {mark.said}"
        for step, mark in marks
        if mark is not None and mark.how is Decided.SKIPPED
    ]


def end_text(removal: Removal, summary: Sequence[str], width: int) -> list[Content]:
    """What it came to; ``summary`` is as the journal has it, once that is read."""
    ended = removal.ended
    said = [f"{one[:1].upper()}{one[1:]}." for one in summary]
    if not said and ended is not None:
        said = [f"{ended.how.value[:1].upper()}{ended.how.value[1:]} by {ended.who}."]
    return joined([[head(f"The clean removal of {removal.ip} is over")], *(beside("", [one], width) for one in said)])


def configuration_lines(configuration: Configuration | None, width: int) -> list[list[Content]]:
    """Where the configuration of each director still has the backend, and what to write instead; a block for each
    value that it has, most often one."""
    if configuration is None:
        return [[Content.styled("Reading director_mail_servers on every director…", STYLES[MUTED])]]
    blocks = [beside("now", [(f"{configuration.words}.", FINE if configuration.clean else ATTENTION)], width)]
    unread = (f"{one.director}: {one.failure}" for one in configuration.directors if one.failure)
    blocks.append(beside("", ((one, ATTENTION) for one in unread), width))
    there = [one for one in configuration.directors if one.stands_there]
    values = dict.fromkeys(one.value for one in there)
    blocks += [_to_write([one for one in there if one.value == value], width) for value in values]
    blocks.append(beside("differ", ((one, ATTENTION) for one in configuration.drift), width))
    return blocks


def _to_write(alike: Sequence[Written], width: int) -> list[Content]:
    """What some directors with the same value have to have instead."""
    new = alike[0].new
    if new is None:
        return []
    changes = ", ".join(f"{entry} → {instead or 'nothing'}" for entry, instead in new.changes)
    lines = beside("entry", [changes], width)
    lines += beside("write", [(new.value or "an empty list", ACCENT)], width)
    return [*lines, *beside("on", [listed(one.director for one in alike)], width)]
