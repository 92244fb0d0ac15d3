"""The lines at the top of the dashboard: how it stands with the link, the ring and the backends, and what is urgent.

Everything here is a function of what was read and of the time, so that a line can be made again at every tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from textual.content import Content

from director_tui.director.model import Condition
from director_tui.link.reading import LinkStatus, foreign, stale_after_s
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.format import (
    ACCENT,
    ATTENTION,
    DANGER,
    DOT,
    FINE,
    MUTED,
    NAME_WIDTH,
    STYLES,
    TAG_WIDTH,
    Piece,
    shortened,
)
from director_tui.ui.ring_words import split_words, undecided_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from director_tui.config import ClusterConfig
    from director_tui.director.model import RingView, Snapshot
    from director_tui.link.history import History
    from director_tui.link.reading import Reading
    from director_tui.operations.emergency import Stop
    from director_tui.ui.format import Part

GAP: Final[tuple[Part, ...]] = (("   ", ""),)
SPACE: Final[tuple[Part, ...]] = ((" ", ""),)
SLACK_S: Final = 0.5
"""A reading is not late before this much is over its interval: it takes a round trip."""
TAGS_NAMED: Final = 3
NAME_LEAST: Final = 4
"""Cells below which a name says nothing any more."""
STOP_STYLE: Final = "$dt-danger bold reverse"
"""The loudest there is, and nothing else has it."""


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that stand together, and when they give way: the highest ``rank`` first, 0 never.

    ``lead`` stands between them and what is in front of them.
    """

    rank: int
    parts: tuple[Part, ...]
    lead: tuple[Part, ...] = GAP

    @property
    def width(self) -> int:
        return _width(self.parts)

    @property
    def width_behind(self) -> int:
        """Its width behind another group."""
        return _width(self.lead) + self.width


def status_line(cluster: ClusterConfig, reading: Reading | None, now_s: float, now: datetime, width: int) -> Content:
    """Cluster, link and ring. ``now_s`` is the monotonic clock, which tells ages; ``now`` the time of day."""
    environment = shortened(clean(cluster.environment), NAME_WIDTH)
    colour = "$dt-attention" if is_production(cluster) else "$dt-accent"
    groups = [
        Group(1, ((shortened(clean(cluster.name), NAME_WIDTH), "$dt-text bold"),)),
        Group(4, ((environment, colour),) if environment else (), DOT),
        Group(5, (("read-only", "$dt-muted"),) if cluster.read_only else (), DOT),
        *_link_groups(cluster, reading, now_s),
        *_ring_groups(cluster, reading, now_s),
    ]
    return _fitted(groups, width, right=(f"{now:%H:%M:%S} UTC", "$dt-muted"))


def unfinished_line(ips: Sequence[str], width: int, *, can_resume: bool) -> Content:
    """The clean removals that are not over: ``clean removal of 10.1.0.3 unfinished — w to resume``."""
    what = f"clean removal of {ips[0]} unfinished"
    if len(ips) > 1:
        what = f"{len(ips)} clean removals unfinished: {', '.join(ips)}"
    after: list[Part] = [(" — ", STYLES[MUTED]), ("w", STYLES[ACCENT]), (" to resume", STYLES[MUTED])]
    after = after if can_resume else []
    room = max(8, width - Content.assemble(*after).cell_length)
    return Content.assemble(" ", (shortened(what, room), STYLES[ATTENTION]), *after).truncate(width + 1, ellipsis=True)


def calm_left_s(cluster: ClusterConfig, reading: Reading, now_s: float) -> float:
    """How long the status line stays as it is but for the time of day, in seconds, until it tells how old something
    is; 0 while it does, or says when something is tried again."""
    snapshot = reading.snapshot
    if snapshot is None or snapshot.ring is None or reading.link.status is not LinkStatus.LIVE:
        return 0.0
    late_s = snapshot.taken_mono_s + cluster.interval_s + SLACK_S
    old_s = snapshot.ring_taken_mono_s + stale_after_s(cluster.interval_s)
    return max(0.0, min(late_s, old_s) - now_s)


def is_production(cluster: ClusterConfig) -> bool:
    """Whether its environment gets the warning colour."""
    return clean(cluster.environment).casefold() in {"production", "prod", "live"}


def totals_line(reading: Reading, history: History, width: int) -> Content:
    """How many backends in which condition, how many users, and what a restart of the whole ring would undo."""
    snapshot = reading.snapshot
    if snapshot is None:
        return Content("")
    groups = [Group(6, ((format.plural(len(snapshot.backends), "backend"), "$dt-text"),))]
    for condition, piece in format.conditions(snapshot.backends):
        groups.append(Group(_RANKS[condition], ((piece.text, STYLES[piece.meaning]),)))
    groups.append(Group(1, ((format.plural(snapshot.users, "user"), "$dt-text bold"),)))
    rates = history.rates_per_min(backend.ip for backend in snapshot.backends)
    if rates:
        groups.append(Group(8, ((f"{format.rate(sum(rates.values())).text}/min", "$dt-muted"),)))
    past = format.sparkline(history.total(), 12)
    if len(past) > 1:
        groups.append(Group(9, ((past, "$dt-accent"),)))
    settings = reading.settings
    if settings is not None and settings.mail_servers is not None:
        # Imported when there is something to compare: so the first frame comes sooner.
        from director_tui.director.mail_servers import parse_mail_servers, run_time_only

        drift = len(run_time_only(snapshot.backends, parse_mail_servers(settings.mail_servers)))
        if drift:
            groups.append(Group(7, ((format.plural(drift, "run-time-only change"), "$dt-attention"),)))
    return _fitted(groups, width)


_RANKS: Final = {Condition.SERVING: 3, Condition.DRAINING: 4, Condition.DRAINED: 5, Condition.DOWN: 0}


def warning_lines(reading: Reading, width: int) -> list[Content]:
    """What must not be overlooked, a line for each."""
    return [Content.assemble(" ", (shortened(text, width), "$dt-danger bold")) for text in warnings(reading)]


def warnings(reading: Reading) -> list[str]:
    """What must not be overlooked, as sentences."""
    snapshot = reading.snapshot
    if snapshot is None:
        return []
    found: list[str] = []
    if not snapshot.backends:
        found.append("NO BACKEND AT ALL: every login waits 30 to 60 s and fails")
    if snapshot.tags_without_backend:
        found.append(f"NO USABLE BACKEND for {_tags(snapshot)}: new logins wait 30 to 60 s and fail")
    if restart := reading.restart:
        found.append(f"RING RESTARTED WHOLE {restart.at:%H:%M}: forgot {restart.forgotten}")
    if reading.split:
        found.append(f"SPLIT RING: {split_words(reading, naming(reading))}")
    found.extend(f"{shortened(name, 40)} BELONGS TO ANOTHER RING and is left out" for name in foreign(reading.views))
    if words := undecided_words(reading, naming(reading)):
        found.append(words)
    return found


def stop_line(stop: Stop, now: datetime, width: int, *, can_recover: bool) -> Content:
    """That nobody gets a backend on purpose: since when, by whom, and the way back."""
    began = stop.began
    head, back = f"EMERGENCY STOP in force since {stop_since(stop, now)}", " — R to recover" if can_recover else ""
    room = width - cell_len(head) - cell_len(back) - len(" by ")
    who = f" by {shortened(clean(began.who), room)}" if room >= NAME_LEAST else ""
    return Content.assemble(" ", (shortened(f"{head}{who}{back}", width), STOP_STYLE))


def stop_since(stop: Stop, now: datetime) -> str:
    """Since when there is no service; with the day if that is not today."""
    began = stop.began.time
    return f"{began:%H:%M}" if began.date() == now.date() else f"{began:%Y-%m-%d %H:%M}"


def naming(reading: Reading) -> Callable[[str], str]:
    """What to call a director of this ring, whose name is its SSH destination."""
    destinations = [view.director for view in reading.views]
    return lambda destination: shortened(short_name(destination, destinations), NAME_WIDTH)


def short_name(destination: str, all_destinations: Sequence[str]) -> str:
    """The host of an SSH destination; its first label where that is enough to tell the directors apart."""

    def host(text: str) -> str:
        return text.rpartition("@")[2]

    def label(text: str) -> str:
        first, dot, _ = host(text).partition(".")
        return first if dot and not first.isdigit() else host(text)

    labels = [label(one) for one in all_destinations]
    return clean(label(destination) if len(set(labels)) == len(labels) else host(destination))


def _tags(snapshot: Snapshot) -> str:
    """The tags that have no usable backend. It is one thing to say, after an emergency stop of all of them, too."""
    tags = snapshot.tags_without_backend
    if len(tags) == len(snapshot.tags) > 1:
        return "ANY TAG"
    named = [f"tag {shortened(tag, TAG_WIDTH)}" if tag else "untagged users" for tag in tags[:TAGS_NAMED]]
    return ", ".join(named) + (f" and {len(tags) - TAGS_NAMED} more" if len(tags) > TAGS_NAMED else "")


def _width(parts: Sequence[Part]) -> int:
    return sum(cell_len(text) for text, _ in parts)


def _fitted(groups: Sequence[Group], width: int, *, right: Part = ("", "")) -> Content:
    """Those of the groups that fit, and ``right`` at the right edge where all of them do."""
    there = [group for group in groups if group.width]
    kept = there.copy()

    def total() -> int:
        return sum(group.width_behind for group in kept) - sum(_width(group.lead) for group in kept[:1])

    while total() > width and any(group.rank for group in kept):
        kept.remove(max(kept, key=lambda group: group.rank))
    pieces: list[Part] = [(" ", "")]
    for number, group in enumerate(kept):
        pieces.extend([*group.lead, *group.parts] if number else group.parts)
    room = width - total() - len(right[0])
    if len(kept) == len(there) and room >= _width(GAP):
        pieces.extend([(" " * room, ""), right])
    return Content.assemble(*pieces)


def _link_groups(cluster: ClusterConfig, reading: Reading | None, now_s: float) -> list[Group]:
    if reading is None:
        return [Group(0, (("◌ CONNECTING", "$dt-accent"),))]
    name = shortened(short_name(reading.link.director, [director.ssh for director in cluster.directors]), NAME_WIDTH)
    snapshot = reading.snapshot
    if snapshot is None:
        failed = reading.link.failure is not None and not reading.link.trying
        word: Part = ("○ NOT CONNECTED", "$dt-danger bold") if failed else ("◌ CONNECTING", "$dt-accent")
        return [Group(0, (word,)), Group(8, ((name, "$dt-text"),)), Group(6, ((_retry(reading, now_s), "$dt-muted"),))]
    age_s = now_s - snapshot.taken_mono_s
    old = f"{format.span(age_s)} old" if age_s > cluster.interval_s + SLACK_S else ""
    stale = age_s > stale_after_s(cluster.interval_s)
    live = reading.link.status is LinkStatus.LIVE
    words: list[Part] = []
    if stale:
        words.append((f"○ STALE {old}", "$dt-danger bold"))
    elif live:
        words.append(("● LIVE", "$dt-fine"))
    if not live:
        words.append((("  " if words else "") + "◌ RECONNECTING", "$dt-attention bold"))
    if old and not stale:
        words.append((f" {old}", "$dt-attention"))
    groups = [Group(0, tuple(words)), Group(8, ((name, "$dt-text"),))]
    if live:
        groups.append(Group(10, ((f"{snapshot.latency_ms:.0f} ms", "$dt-muted"),), SPACE))
    else:
        groups.append(Group(6, ((_retry(reading, now_s), "$dt-muted"),)))
    return groups


def _retry(reading: Reading, now_s: float) -> str:
    link = reading.link
    if link.failure is None:
        return ""
    if link.trying:
        return "trying again"
    if link.retry_at_mono_s is None:
        return "r tries again"
    left = max(0, round(link.retry_at_mono_s - now_s))
    return f"next try in {left} s" if left else "next try in a moment"


def _ring_groups(cluster: ClusterConfig, reading: Reading | None, now_s: float) -> list[Group]:
    snapshot = reading.snapshot if reading is not None else None
    if reading is None or snapshot is None:
        return []
    view = snapshot.ring
    old_after_s = stale_after_s(cluster.interval_s)
    if view is None:
        missed = now_s - reading.link.since_mono_s > old_after_s
        return [Group(2, (("ring ?", "$dt-attention bold" if missed else "$dt-muted"),))]
    age_s = now_s - snapshot.ring_taken_mono_s
    if age_s > old_after_s:
        seen = f"last seen {_ring_word(view).lower()} {format.span(age_s)} ago"
        return [
            Group(2, (("ring ?", "$dt-attention bold"),)),
            Group(7, ((seen, "$dt-attention"),), ((" – ", "$dt-attention"),)),
        ]
    word = ring_word(reading, view)
    # A ring that is whole may give way to the name of the director; one that is not stays as long as the users.
    groups = [Group(7 if word.meaning == FINE else 2, ((f"ring {word.text}", STYLES[word.meaning]),))]
    if reading.unread_members:
        members = len(view.members)
        seen_on = f"seen on {members - len(reading.unread_members)} of {members}"
        groups.append(Group(11, ((seen_on, "$dt-muted"),), DOT))
    if view.ping_ms is not None:
        groups.append(Group(12, ((f"ping {view.ping_ms} ms", "$dt-muted"),), DOT))
    return groups


def ring_word(reading: Reading, view: RingView) -> Piece:
    """How many members take part in the ring, and whether it is synced. ``view`` is that of the director in use."""
    there, members = len(reading.taking_part), len(view.members)
    if reading.split:
        return Piece(f"{there}/{members} SPLIT", DANGER)
    meaning = DANGER if not view.synced else FINE if there == members else ATTENTION
    return Piece(f"{there}/{members} {_ring_word(view)}", meaning)


def _ring_word(view: RingView) -> str:
    """``synced``, or in capitals what it is instead."""
    own = view.self_peer
    return "synced" if view.synced else shortened(own.status.removeprefix("ring ").upper() if own else "UNKNOWN", 40)
