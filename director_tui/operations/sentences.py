"""What a plan says: its title, what happens at once and later, what may go wrong, and what it does not do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from director_tui.director.mail_servers import CONFIGURED_VHOSTS, entries_with
from director_tui.director.model import RingSettings
from director_tui.director.whereabouts import lasting
from director_tui.link.reading import disagreements_of
from director_tui.operations.confirmation import disagreed_about, ring_words, sides_words
from director_tui.operations.effect import FLUSHES, already_words, stranded, tag_of, usable
from director_tui.operations.emergency_sentences import emergency_notes, emergency_title, emergency_warnings
from director_tui.operations.plan import Emergency, Verb
from director_tui.operations.words import counted_words, does, listed, percent, plural, some, tag_name, users
from director_tui.text import clean

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from director_tui.link.reading import Reading
    from director_tui.operations.effect import Effect
    from director_tui.operations.plan import Request, Standing
    from director_tui.operations.prediction import Forecast, Prediction

MOVE_LIMIT_S = 30
"""How long a director waits for the move of one user to end (``DIRECTOR_USER_MOVE_TIMEOUT_MSECS``)."""


def title(request: Request) -> str:
    """The verb with its targets, in doveadm's words; more than one target by their number."""
    if request.emergency is not None:
        return emergency_title(request)
    what = counted_words(request.ips) if request.ips else ""
    counts = {target.vhosts for target in request.targets}
    count = str(counts.pop()) if len(counts) == 1 else "their own numbers"
    match request.verb:
        case Verb.UPDATE:
            several = len(request.ips) > 1 and count == "their own numbers"
            return f"Set vhost counts of {what}" if several else f"Set vhost count of {what} to {count}"
        case Verb.ADD:
            return f"Add {what}{f' to {tag_name(request.tag)}' if request.tag else ''}, vhost count {count}"
        case Verb.UP | Verb.DOWN:
            return f"Set {what} {request.verb.value}"
        case Verb.REMOVE:
            return f"Remove {what}"
        case Verb.FLUSH:
            return f"Flush {what}"
        case Verb.FORGET_USERS:
            return f"Force a flush of {what}"
        case Verb.FLUSH_ALL:
            return "Flush all"
        case Verb.MOVE:
            return f"Move {clean(request.user)} to {what}"
        case Verb.KICK:
            return f"Kick {clean(request.user)}"
        case Verb.UPLOAD:
            return f"Upload the metacache of {what}"


# --- what happens, and when --------------------------------------------------------------------------------------


def at_once(effect: Effect, settings: RingSettings | None) -> str:
    """What happens when the change is made: to new users, and with a flush to those that are there."""
    if effect.request.verb in FLUSHES:
        return _flush_at_once(effect, settings)
    said = [part for tag in effect.tags for part in _new_users(effect, tag)]
    if effect.request.verb is Verb.REMOVE and (forgotten := sum(row.now.users for row in effect.rows if row.now)):
        said.append(
            f"{plural(forgotten, 'assignment')} there {does(forgotten, 'is', 'are')} forgotten; no session ends"
        )
    return "; ".join(said) or "nothing changes for new users"


def _new_users(effect: Effect, tag: str) -> Iterator[str]:
    if tag in effect.dead_tags:
        if tag in effect.left_without:
            yield f"no backend{effect.whose(tag)} takes new users any more"
        return
    mine = [row.ip for row in effect.to_do if tag_of(row) == tag]
    before, after = (sum(shares.get(ip, 0.0) for ip in mine) for shares in (effect.shares_before, effect.shares_after))
    if not mine or before == after:
        return
    one = len(mine) == 1
    if after == 0:
        others = len(usable(effect.after, tag))
        to = plural(others, "other") if others > 1 else usable(effect.after, tag)[0]
        yield (
            f"{counted_words(tuple(mine))} {'gets' if one else 'get'} no new users any more; "
            f"{'its' if one else 'their'} {percent(before)} of those{effect.whose(tag)} go to {to}"
        )
    else:
        who = f"{counted_words(tuple(mine))} {'gets' if one else 'get'}"
        instead = f"instead of {percent(before)}" if before else "instead of none"
        yield f"{who} {percent(after)} of the new users{effect.whose(tag)} {instead}"


def _flush_at_once(effect: Effect, settings: RingSettings | None) -> str:
    if effect.request.verb is Verb.FORGET_USERS:
        there = sum(row.now.users for row in effect.rows if row.now)
        return f"{plural(there, 'assignment')} {does(there, 'is', 'are')} forgotten, and no session ends"
    known = settings or RingSettings()
    at_a_time = effect.request.max_parallel or known.max_parallel_moves
    if (out := stranded(effect)) and not _moving(effect):
        return f"{users(out)} {does(out, 'is', 'are')} thrown out, for there is no usable backend to go to"
    pace = "all at once" if known.moves_all_at_once else f"{at_a_time:,} at a time"
    return f"users whose hash leads elsewhere begin to move, {pace}; their sessions end"


def _moving(effect: Effect) -> bool:
    """Whether any of the tags that are flushed has a backend to go to."""
    return len(effect.dead_tags) < len(effect.tags)


def later(
    effect: Effect,
    forecasts: Sequence[Forecast],
    moving: int,
    stranded: int,
    *,
    exact: bool,
    settings: RingSettings | None,
) -> str:
    """What happens on flush or expiry; of a flush, what it comes to."""
    verb = effect.request.verb
    known = [one for one in forecasts if one.users_after is not None]
    mine = [one for one in forecasts if one.ip in effect.request.ips]
    said = []
    if len(known) < len(forecasts):
        there = sum(one.users_now for one in forecasts if one.users_after is None)
        who = f"whether {users(there)} moves" if there == 1 else f"how many of {users(there)} move"
        said.append(f"{who} is unknown until counted")
    elif moving:
        much = f"{users(moving, exact=exact)} {does(moving, 'moves', 'move')}"
        if verb in {Verb.FLUSH, Verb.FLUSH_ALL}:
            said.append(f"{much} to where their hash leads{_lasting(effect, moving, settings)}")
        elif verb in {Verb.REMOVE, Verb.FORGET_USERS}:
            said.append(f"{much} {does(moving, 'at the next login', 'as they log in again')}")
        else:
            growing = any(one.users_after is not None and one.users_after > one.users_now for one in mine)
            said.append(f"{much} when {'all are ' if growing else ''}flushed, or {expiry(settings)}")
    if stranded:
        said.append(f"{users(stranded, exact=exact)} {does(stranded, 'has', 'have')} no backend to go to")
    return "; ".join(said) or "nobody moves"


def _lasting(effect: Effect, moving: int, settings: RingSettings | None) -> str:
    """How long the moves take: so many at a time, each held until the session's end has settled."""
    known = settings or RingSettings()
    at_a_time = moving if known.moves_all_at_once else effect.request.max_parallel or known.max_parallel_moves
    rounds = math.ceil(moving / at_a_time)
    seconds = rounds * known.user_kick_delay_s
    rounded = max(1, round(seconds)) if seconds < 60 else round(seconds / 60) * 60
    return f", in about {lasting(rounded)}"


def expiry(settings: RingSettings | None) -> str:
    """When a user leaves a backend by itself, to stand behind *or*."""
    if settings is None:
        return "some time after their last session"
    return f"{lasting(settings.user_expire_s)} after their last session"


# --- what may go wrong -------------------------------------------------------------------------------------------


def warnings(effect: Effect, standing: Standing, prediction: Prediction | None) -> Iterator[str]:
    """The worst first."""
    yield from emergency_warnings(effect, standing.reading)
    if effect.request.emergency is not Emergency.STOP:  # that is what it is for
        yield from _no_backend_left(effect)
    yield from _first_back(effect)
    yield from _of_the_verb(effect, standing)
    yield from _too_many(prediction, standing.cluster.capacity)
    yield from _monitor_fights(effect, standing.cluster.monitor)
    yield from _of_the_ring(effect, standing.reading)


def _no_backend_left(effect: Effect) -> Iterator[str]:
    for tag in effect.left_without:
        mine = [ip for ip in usable(effect.before, tag) if ip in effect.request.ips]
        which = "is the last usable backend" if len(mine) == 1 else "are the last usable backends"
        whose = effect.whose(tag)
        yield f"{some(mine)} {which}{whose}: logins{whose} will hang 30 s and fail"
    if effect.request.verb not in FLUSHES:
        return
    for tag in effect.dead_tags:
        whose = effect.whose(tag)
        yield f"no backend{whose} is usable: its users are thrown out, and logins{whose} hang 30 s and fail"
    if (out := stranded(effect)) and effect.request.verb is not Verb.FORGET_USERS and not effect.request.emergency:
        yield (
            "sessions end only on the director that runs this; those through the other directors stay, "
            "although all of them then show no users"
        )
        yield (
            f"each round of it takes {MOVE_LIMIT_S} s: --max-parallel {effect.request.max_parallel} is set, "
            f"so that {does(out, 'the one user is', f'all {users(out)} are')} in the first"
        )


def _first_back(effect: Effect) -> Iterator[str]:
    """As in the middle of an emergency stop: who gives single backends back sends everyone to the first."""
    if effect.request.emergency is not None:
        return
    for tag in effect.tags:
        alone = usable(effect.after, tag)
        waiting = [one.ip for one in effect.after if one.tag == tag and not one.vhosts]
        if not usable(effect.before, tag) and alone and len(waiting) > 1:
            yield (
                f"everyone{effect.whose(tag)} who logs in is sent to {some(alone)}, for {len(waiting)} others are at "
                "0; after an emergency stop R gives all back at once"
            )


def _of_the_verb(effect: Effect, standing: Standing) -> Iterator[str]:
    request = effect.request
    match request.verb:
        case Verb.REMOVE:
            yield from _left_on_remove(effect, standing)
        case Verb.FORGET_USERS:
            yield "-F ends no session: a user can be on two backends at once"
        case Verb.FLUSH_ALL if request.emergency is None:
            every = len(effect.tags)
            yield f"it goes through all backends{f' of all {every} tags' if every > 1 else ''} and undoes moves by hand"
        case Verb.MOVE:
            yield from _unfit_to_move_to(effect)
        case Verb.ADD:
            if request.tag not in {one.tag for one in effect.before} and effect.before:
                yield f"there is no other backend{effect.whose(request.tag)}: only users whose passdb says so go there"


def _left_on_remove(effect: Effect, standing: Standing) -> Iterator[str]:
    two_places = "their mailboxes could be open in two places"
    if there := [row.ip for row in effect.rows if row.now and row.now.users]:
        number = sum(row.now.users for row in effect.rows if row.now)
        yield f"{users(number)} {does(number, 'is', 'are')} still assigned to {some(there)}: {two_places}"
    sessions = standing.sessions or {}
    if open_ := [ip for ip in effect.request.ips if sessions.get(ip)]:
        number = sum(sessions[ip] for ip in open_)
        yield f"{plural(number, 'session')} to {some(open_)} would go on: {two_places}"


def _unfit_to_move_to(effect: Effect) -> Iterator[str]:
    (row,) = effect.rows
    if row.now is None:
        return
    if row.now.tag != effect.request.user_tag:
        own = tag_name(effect.request.user_tag)
        yield f"{row.ip} has {tag_name(row.now.tag)}, the user has {own}: logins will not go there"
    if not row.now.usable:
        yield f"{row.ip} is {row.now.condition.value}: new users are kept away from it, this one would be sent there"


def _too_many(prediction: Prediction | None, capacity: int | None) -> Iterator[str]:
    for one in prediction.forecasts if prediction is not None else ():
        if one.over_capacity and one.users_after is not None and prediction is not None:
            yield f"{one.ip} would have {users(one.users_after, exact=prediction.exact)}, it can carry {capacity:,}"


def _monitor_fights(effect: Effect, monitor: str) -> Iterator[str]:
    if monitor == "none" or effect.request.verb not in {Verb.UP, Verb.DOWN}:
        return
    if effect.request.verb is Verb.DOWN:
        yield f"{monitor} may set it up again by itself: use vhost count 0 for maintenance"
    else:
        yield f"{monitor} sets it down again by itself if it finds it not well"


def _of_the_ring(effect: Effect, reading: Reading) -> Iterator[str]:
    if words := ring_words(reading):
        waits = effect.request.verb not in {Verb.FLUSH, Verb.FLUSH_ALL, Verb.MOVE, Verb.KICK}
        yield words + (": the commands will wait up to 30 s for it, and may time out" if waits else "")
    for one in disagreements_of(reading, effect.request.ips):
        yield f"the directors disagree about {one.ip}: {sides_words(one)}"
    if effect.request.emergency is None:
        for one in disagreed_about(effect, reading):
            yield f"the directors disagree about {one.ip}, by which users are shared out: {sides_words(one)}"
    if reading.unread_members:
        where = listed(ip for ip, _ in sorted(reading.unread_members))
        yield f"no destination is configured for {where}: what becomes of it there is not seen"
    if silent := [view.director for view in reading.views if view.failure is not None and not view.foreign]:
        yield f"{listed(silent)} can't be read: what becomes of it there is not seen"
    if reading.settings is None:
        yield "the directors' settings are not known: shares are as of Dovecot 2.3, times as it has them by default"
    listed_ips = [one.ip for one in effect.before]
    if twice := [ip for ip in effect.request.ips if listed_ips.count(ip) > 1]:
        yield f"{some(twice)} {'is' if len(twice) == 1 else 'are'} listed twice: commands reach the first row only"


# --- what it does not do -----------------------------------------------------------------------------------------


def notes(effect: Effect, standing: Standing) -> Iterator[str]:
    settings = standing.reading.settings
    yield from emergency_notes(effect, expiry(settings))
    if effect.already:
        them = "it" if len(effect.already) == 1 else "them"
        yield f"{already_words(effect.request, effect.already)}: no command for {them}"
    match effect.request.verb:
        case Verb.UPDATE | Verb.DOWN | Verb.UP:
            if effect.request.emergency is not Emergency.STOP:  # it has said so of all of them
                yield from _who_stays(effect, settings)
            yield from _until_restart(effect)
        case Verb.ADD:
            yield "users who are assigned stay where they are; flush all would spread them"
            yield from _to_be_written(effect, settings)
        case Verb.REMOVE:
            yield from _still_written(effect, settings)
        case Verb.FLUSH | Verb.FLUSH_ALL:
            if effect.request.emergency is None:  # else there is nowhere that a hash leads to
                yield "users whose hash leads to where they are stay there"
            yield "once begun it can't be cancelled; its end is not the end of the last moves"
        case Verb.FORGET_USERS:
            yield "who is forgotten is assigned again at the next login or session refresh"
        case Verb.MOVE:
            yield f"it lasts as long as the assignment: {expiry(settings)} the hash decides again"
        case Verb.KICK:
            yield "the assignment stays, and the user can log in again at once"
        case Verb.UPLOAD:
            yield "it may take tens of minutes, has no time limit, and goes on when you leave"
            yield "nothing but its exit status says that everything is in object storage"


def _who_stays(effect: Effect, settings: RingSettings | None) -> Iterator[str]:
    out_of_use = [row for row in effect.to_do if row.after is not None and not row.after.usable]
    shrinking = [row for row in effect.to_do if _share_grows(effect, row.ip) < 0 or row in out_of_use]
    growing = [row for row in effect.to_do if _share_grows(effect, row.ip) > 0]
    if there := [row.ip for row in shrinking if row.now is not None and row.now.users]:
        yield f"users already on {some(there)} stay until they are flushed or {expiry(settings)}"
    if growing:
        whom = "it fills" if len(growing) == 1 else "they fill"
        yield f"users already elsewhere stay until they are flushed or {expiry(settings)}: {whom} up slowly"
    if effect.request.verb is Verb.UP and out_of_use:
        yield f"{some(row.ip for row in out_of_use)}: with vhost count 0 no new users come before that is set, too"
    if effect.request.verb is Verb.UPDATE:
        down = [row.ip for row in out_of_use if row.after is not None and row.after.vhosts]
        if down:
            yield f"{some(down)}: down, so no new users come before up, too"


def _share_grows(effect: Effect, ip: str) -> float:
    return effect.shares_after.get(ip, 0.0) - effect.shares_before.get(ip, 0.0)


def _until_restart(effect: Effect) -> Iterator[str]:
    changed = [row.after for row in effect.to_do if row.after is not None]
    if any(not one.usable or one.vhosts != CONFIGURED_VHOSTS for one in changed):
        yield (
            "it lasts until all directors are stopped at the same time: "
            f"then every backend starts up, with vhost count {CONFIGURED_VHOSTS}"
        )


def _to_be_written(effect: Effect, settings: RingSettings | None) -> Iterator[str]:
    lost = "a restart of the whole ring loses it"
    if settings is None or settings.mail_servers is None:
        yield f"{lost} unless it is written to director_mail_servers on every director"
        return
    value = settings.mail_servers
    missing = [ip for ip in effect.request.ips if not entries_with(value, ip)]
    if missing:
        tag = f"@{clean(effect.request.tag)}" if effect.request.tag else ""
        new = " ".join([*value.split(), *(f"{ip}{tag}" for ip in missing)])
        yield f"{lost} unless it is written down on every director: director_mail_servers = {new}"
    vhosts = {target.vhosts for target in effect.request.targets} - {CONFIGURED_VHOSTS}
    if vhosts:
        yield f"after a restart of the whole ring its vhost count is {CONFIGURED_VHOSTS}"


def _still_written(effect: Effect, settings: RingSettings | None) -> Iterator[str]:
    back = "a restart of the whole ring brings it back"
    if settings is None or settings.mail_servers is None:
        yield f"{back} if director_mail_servers has it"
        return
    for ip in effect.request.ips:
        if entries := entries_with(settings.mail_servers, ip):
            yield f"{back}: {ip} stands in director_mail_servers, as {listed(entries)}"
