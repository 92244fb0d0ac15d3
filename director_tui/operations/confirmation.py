"""How a person has to agree to a plan: by a button, or by typing the name of the cluster, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from director_tui.link.reading import disagreements_of
from director_tui.operations.effect import unsynced
from director_tui.operations.plan import Confirmation, Verb
from director_tui.operations.words import listed, percent, plural, some, tag_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from director_tui.director.agreement import Disagreement
    from director_tui.director.model import Backend
    from director_tui.link.reading import Reading
    from director_tui.operations.effect import Effect
    from director_tui.operations.plan import Standing

ALWAYS_TYPED: Final = frozenset({Verb.FORGET_USERS, Verb.FLUSH_ALL})
ONE_AT_A_TIME: Final = frozenset({Verb.FLUSH, Verb.FORGET_USERS, Verb.REMOVE})
"""What is done to one backend with a button, and to several only with the name typed."""

LARGE_SHARE: Final = 0.5


def confirmation(effect: Effect, standing: Standing) -> tuple[Confirmation, tuple[str, ...]]:
    """The kind of confirmation, and what raised a plain one to a typed one, in words."""
    raised_by = tuple(_reasons(effect, standing))
    typed = raised_by or effect.request.verb in ALWAYS_TYPED or effect.request.emergency is not None
    return Confirmation.TYPED if typed else Confirmation.PLAIN, raised_by


def ring_words(reading: Reading) -> str:
    """What is wrong with the ring as a whole, for a change; nothing if it is synced."""
    if reading.split:
        return f"the ring is split: {' | '.join(listed(group) for group in reading.split)}"
    if late := unsynced(reading):
        return f"the ring is not synced ({listed(late)})"
    if reading.snapshot is None or reading.snapshot.ring is None:
        return "whether the ring is synced is not known"
    return ""


def disagreed_about(effect: Effect, reading: Reading) -> tuple[Disagreement, ...]:
    """The other backends of the tags that it touches about which the directors disagree: where users go stands on
    their counts, too."""
    listed_there = (row for view in reading.views for row in view.backends)
    others = {row.ip for row in listed_there if row.tag in effect.tags} - set(effect.request.ips)
    return disagreements_of(reading, others) if others else ()


def sides_words(one: Disagreement) -> str:
    """Who says what of a backend."""
    tagged = len({row.tag for row, _ in one.sides if row is not None}) > 1

    def said(row: Backend | None) -> str:
        if row is None:
            return "not listed"
        return f"vhosts {row.vhosts} {row.state.value}" + (f" {tag_name(row.tag)}" if tagged else "")

    return ", ".join(f"{said(row)} on {listed(names)}" for row, names in one.sides)


def _reasons(effect: Effect, standing: Standing) -> Iterator[str]:
    verb, ips = effect.request.verb, effect.request.ips
    if verb is Verb.UPLOAD:  # it asks nothing of the ring
        return
    if words := ring_words(standing.reading):
        yield words
    if disagreeing := [one.ip for one in disagreements_of(standing.reading, ips)]:
        yield f"the directors disagree about {some(disagreeing)}"
    for tag in effect.left_without:
        yield f"it leaves no usable backend{effect.whose(tag)}"
    for tag in effect.tags:
        if tag in effect.left_without:
            continue
        if (lost := effect.lost_share(tag)) > LARGE_SHARE:
            yield f"it takes {percent(lost)} of the new users{effect.whose(tag)} elsewhere at once"
        if (won := effect.won_share(tag)) > LARGE_SHARE:
            yield f"it draws {percent(won)} of the new users{effect.whose(tag)} at once"
    if verb is Verb.FLUSH:
        for tag in effect.dead_tags:
            yield f"no usable backend{effect.whose(tag)} is there for its users to go to"
    if verb in ONE_AT_A_TIME and len(ips) > 1:
        doing = {Verb.FLUSH: "flushes", Verb.REMOVE: "removes"}.get(verb, "forces")
        yield f"it {doing} {plural(len(ips), 'backend')}"
    if verb is Verb.REMOVE:
        yield from _still_used(effect, standing)


def _still_used(effect: Effect, standing: Standing) -> Iterator[str]:
    """Who may still be on backends that are to be removed. Not knowing is no reason to believe that nobody is."""
    if busy := [f"{row.ip} ({plural(row.now.users, 'user')})" for row in effect.rows if row.now and row.now.users]:
        yield f"there are users on {some(busy)}"
    if standing.sessions is None or not standing.sessions.keys() >= set(effect.request.ips):
        yield "whether sessions are left is not known"
        return
    open_there = {ip: standing.sessions[ip] for ip in effect.request.ips}
    if open_ := [f"{ip} ({plural(number, 'session')})" for ip, number in open_there.items() if number]:
        yield f"there are sessions to {some(open_)}"
