"""Each step of a clean removal as it is put to a person: what it runs, where, why, what proves it, what may be done."""

from __future__ import annotations

import enum
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from director_tui.director import doveadm
from director_tui.director.mail_servers import CONFIGURED_VHOSTS
from director_tui.director.whereabouts import lasting
from director_tui.link.ring import director_name
from director_tui.operations.plan import Request, Target, Verb
from director_tui.operations.removal import (
    STAY_MOVED,
    UPLOADS,
    Course,
    Decided,
    Step,
    left_words,
    way_back,
)
from director_tui.operations.removal_upload import RISK, before_upload
from director_tui.operations.words import listed, tag_name

if TYPE_CHECKING:
    from director_tui.config import ClusterConfig
    from director_tui.director.doveadm import Call
    from director_tui.operations.plan import Standing
    from director_tui.operations.removal import BackendSeen, Mark, Position, Removal

TWO_PLACES: Final = "their mailboxes could be open in two places"
"""What removing a backend means for whoever is left on it."""


class Act(enum.Enum):
    """What may be done next. ``RUN`` leads to the plan dialog of the step's request; a typed skip names its risk."""

    RUN = "run"
    SKIP = "skip"
    SKIP_TYPED = "skip, typed"
    CHECK_AGAIN = "check again"
    BACK_OUT = "back out"
    BRING_BACK = "bring back"
    LEAVE = "leave"
    END = "end"


class StepState(enum.Enum):
    DONE = "done"
    SKIPPED = "skipped"
    NOW = "now"
    TO_COME = "to come"


@dataclass(frozen=True, slots=True)
class StepView:
    """One step. ``commands`` are exact lines, to be run at ``where``; ``request`` is what leads to them.

    ``acts`` are those of the step it stands at, none of another one. ``risk`` is what a typed skip names. ``said`` is
    what there is to say of it now: what keeps it there, what came of it.
    """

    step: Step
    state: StepState
    where: str
    why: str
    proof: str
    commands: tuple[str, ...] = ()
    request: Request | None = None
    acts: tuple[Act, ...] = ()
    risk: str = ""
    said: tuple[str, ...] = ()


def step_view(step: Step, removal: Removal, position: Position, now: BackendSeen, standing: Standing) -> StepView:
    """One of the removal's steps as it is now, whether it is done, at hand or to come."""
    cluster = standing.cluster
    state = _state(step, removal, position)
    request = request_of(step, removal)
    mark = removal.mark_of(step)
    said = position.why if state is StepState.NOW else ()
    if mark is not None and state is not StepState.TO_COME:
        said = (*said, _mark_words(mark))
    if state is StepState.NOW and step in UPLOADS and (known := before_upload(cluster)) is not None:
        said = (*said, known.said)
    return StepView(
        step,
        state,
        _where(step, removal, standing),
        _why(step, removal, standing),
        _PROOFS[step],
        commands=_commands(step, removal, standing),
        request=request,
        acts=acts(removal, position, now, cluster) if state is StepState.NOW else (),
        risk=_risk(step, removal, now),
        said=said,
    )


def request_of(step: Step, removal: Removal) -> Request | None:
    """What the step wants to be done; None for one that only waits or looks."""
    because, target = removal.because(step), Target(removal.ip)
    match step:
        case Step.NO_NEW_USERS:
            return Request(Verb.UPDATE, (Target(removal.ip, 0),), because=because)
        case Step.UPLOAD | Step.FINAL_UPLOAD:
            return Request(Verb.UPLOAD, (target,), because=because)
        case Step.MOVE:
            return Request(Verb.FLUSH, (target,), max_parallel=removal.max_parallel, because=because)
        case Step.REMOVE:
            return Request(Verb.REMOVE, (target,), because=because)
        case _:
            return None


def acts(removal: Removal, position: Position, now: BackendSeen, cluster: ClusterConfig) -> tuple[Act, ...]:
    """What may be done where it stands, the first of them what leads on; also where it stands at no step."""
    if removal.ended is not None:
        return (Act.LEAVE,)
    if removal.course is not Course.REMOVING:
        left = way_back(removal, now)
        # One that can't be gone from here is for a person to end.
        return ((Act.RUN,) if left and not isinstance(left, str) else (Act.END,)) + (Act.LEAVE,)
    match position.step:
        case None if position.done:
            return (Act.BRING_BACK, Act.LEAVE, Act.END)
        case None:
            gone = bool(now.rows) and not now.listed
            return (Act.CHECK_AGAIN, *((Act.BACK_OUT, Act.END) if gone else ()), Act.LEAVE)
        case Step.LET_LEAVE:
            return (Act.SKIP, Act.BACK_OUT, Act.LEAVE)
        case Step.UPLOAD | Step.FINAL_UPLOAD:
            known = before_upload(cluster)
            if known is not None and known.how is Decided.NOT_WANTED:
                return (Act.SKIP, Act.BACK_OUT, Act.LEAVE)
            return ((Act.RUN,) if known is None else ()) + (Act.SKIP_TYPED, Act.BACK_OUT, Act.LEAVE)
        case Step.MOVE:
            flush = (Act.RUN,) if now.most_users else ()
            skip = (Act.SKIP_TYPED,) if now.sessions is not None else ()
            return (*flush, Act.CHECK_AGAIN, *skip, Act.BACK_OUT, Act.LEAVE)
        case Step.CONFIGURATION:
            return (Act.CHECK_AGAIN, Act.END, Act.BACK_OUT, Act.LEAVE)
        case _:
            return (Act.RUN, Act.BACK_OUT, Act.LEAVE)


def meanwhile(before: Removal, now: Removal) -> str:
    """What another program has made of it, for whoever has seen it as it was before."""
    said = []
    for step in now.steps:
        mark = now.mark_of(step)
        if mark != before.mark_of(step):
            how = f"{mark.how.value} by {mark.who}" if mark is not None else "once more"
            said.append(f"step {step.number} {how}")
    if now.course is not before.course:
        said.append("going on" if now.course is Course.REMOVING else now.course.value)
    if now.ended is not None and before.ended is None:
        said.append(f"{now.ended.how.value} by {now.ended.who}")
    return f"another director-tui goes on with it, too: {'; '.join(said) or 'changed'}"


def back_out_words(removal: Removal) -> tuple[str, ...]:
    """What going back gives back, and what it doesn't."""
    again = f"{removal.ip} gets vhost count {removal.vhosts} again"
    if removal.course is Course.BRINGING_BACK:
        return (again, "and is set up if it was up before and is down now", STAY_MOVED)
    return (f"{again}, {tag_name(removal.tag)}, and is {removal.state.value} as it was before", STAY_MOVED)


def _state(step: Step, removal: Removal, position: Position) -> StepState:
    if position.step is step:
        return StepState.NOW
    over = position.done or step is Step.CHECK or (position.step is not None and step.number < position.step.number)
    if not over:
        return StepState.TO_COME
    mark = removal.mark_of(step)
    return StepState.SKIPPED if mark is not None and mark.how is not Decided.DONE else StepState.DONE


def _where(step: Step, removal: Removal, standing: Standing) -> str:
    snapshot, access = standing.reading.snapshot, standing.cluster.backends
    match step:
        case Step.NO_NEW_USERS | Step.MOVE | Step.REMOVE:
            return snapshot.director if snapshot is not None else "the director in use"
        case Step.UPLOAD | Step.FINAL_UPLOAD:
            if access is None or not access.ssh:
                return f"{removal.ip} itself"
            through = f", through {snapshot.director}" if access.via_director and snapshot is not None else ""
            return f"{access.destination(removal.ip)}, the backend itself{through}"
        case _:
            return "every director, where it only reads"


def _commands(step: Step, removal: Removal, standing: Standing) -> tuple[str, ...]:
    access = standing.cluster.backends
    if step in UPLOADS:
        words = access.doveadm if access is not None else ("doveadm",)
        return (shlex.join(doveadm.upload_metacache().command(words)),) if removal.metacache else ()
    calls: dict[Step, Call[None]] = {
        Step.NO_NEW_USERS: doveadm.update(removal.ip, 0),
        Step.MOVE: doveadm.flush(removal.ip, removal.max_parallel),
        Step.REMOVE: doveadm.remove(removal.ip),
    }
    snapshot = standing.reading.snapshot
    for director in standing.cluster.directors:
        if step in calls and snapshot is not None and director_name(director, standing.cluster) == snapshot.director:
            return (shlex.join(calls[step].command(director.doveadm)),)
    return ()


def _why(step: Step, removal: Removal, standing: Standing) -> str:
    settings = standing.reading.settings
    expire = lasting(settings.user_expire_s) if settings is not None else "some time"
    match step:
        case Step.CHECK:
            return "What is begun on a ring that is not well, or takes a tag its last backend, makes things worse."
        case Step.NO_NEW_USERS:
            return (
                "With vhost count 0 no new user is sent to it. Who is assigned stays. It is vhost count 0 and not "
                "down, because a monitor sets a healthy backend that is down up again."
            )
        case Step.LET_LEAVE:
            return (
                f"A user's assignment ends {expire} after the last session; the next login then goes elsewhere, and "
                "nobody is disconnected. Who stays connected all day is not waited for: they are moved in step 5."
            )
        case Step.UPLOAD:
            return (
                "With obox, mail may be in the backend's own metacache only. Uploaded now, it is there for whoever is "
                "moved to another backend, and the final upload is short."
            )
        case Step.MOVE:
            return (
                "A flush moves everyone who is left to where their hash leads, and ends their sessions; mail programs "
                "come back by themselves. LMTP deliveries are not listed among the sessions."
            )
        case Step.FINAL_UPLOAD:
            return "What the last users did until they were moved is in the metacache only."
        case Step.REMOVE:
            return "The directors forget it, and no restart of a single one brings it back."
        case Step.CONFIGURATION:
            return (
                "When the whole ring is restarted it begins with director_mail_servers: a backend that still stands "
                f"there comes back, up and with vhost count {CONFIGURED_VHOSTS}. This program edits no configuration."
            )


_PROOFS: Final = {
    Step.CHECK: "read from every director",
    Step.NO_NEW_USERS: "vhost count 0 on every director",
    Step.LET_LEAVE: "the users that every director shows; none, or the rest is left to step 5",
    Step.UPLOAD: "its exit status; nothing else shows it",
    Step.MOVE: "no users on any director, and no session to it in proxy list on any",
    Step.FINAL_UPLOAD: "its exit status; nothing else shows it",
    Step.REMOVE: "no director lists it",
    Step.CONFIGURATION: "director_mail_servers of every director, read again",
}


def _risk(step: Step, removal: Removal, now: BackendSeen) -> str:
    if step in UPLOADS:
        return RISK
    if step is not Step.MOVE:
        return ""
    left = f"{left_words(now)} on {removal.ip}" if now.most_users or now.session_count else ""
    unseen = f"what goes through {listed(now.silent)} can't be seen" if now.silent else ""
    return f"{'; '.join(filter(None, (left, unseen)))}: {TWO_PLACES}"


def _mark_words(mark: Mark) -> str:
    said = f": {mark.said.splitlines()[0]}" if mark.said else ""
    return f"{mark.how.value} at {mark.at:%H:%M} UTC by {mark.who}{said}"
