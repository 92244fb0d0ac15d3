"""One backend: its users over time against its share, where they would go, and where it stands in the configuration."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar, Final

from rich.cells import cell_len, set_cell_size
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from director_tui.director.hashring import heirs
from director_tui.director.mail_servers import entries_with, lost_by_restart, parse_mail_servers
from director_tui.director.model import Backend
from director_tui.link.history import SLOT_S, SPAN_S
from director_tui.link.users import not_asked
from director_tui.operations.plan import Request, Target, Verb
from director_tui.text import clean
from director_tui.ui import format
from director_tui.ui.backends_table import backend_rows
from director_tui.ui.chart import chart
from director_tui.ui.commands import BACKENDS_CHANGED, bindings
from director_tui.ui.format import ACCENT, ATTENTION, DANGER, FINE, MUTED, NAME_WIDTH, PLAIN, Piece, shortened
from director_tui.ui.journal_rows import entry_line
from director_tui.ui.live import LiveScreen
from director_tui.ui.titled import TITLE_WIDTH, Line, content, titled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from textual.binding import BindingType
    from textual.widget import Widget

    from director_tui.config import ClusterConfig
    from director_tui.director.changes import Change
    from director_tui.director.model import RingSettings, Snapshot, State
    from director_tui.link.history import History
    from director_tui.link.users import Sessions
    from director_tui.operations.progress import Progress
    from director_tui.times import Times
    from director_tui.ui.backends_table import BackendRow
    from director_tui.ui.live import AskSessions, BeginChange, Present, RemoveCleanly
    from director_tui.ui.operating import AskJournal, Kept

CHART_LINES: Final = (8, 5, 3)
"""Lines of the chart on screens that are not short, short, and low."""
CHANGES_SHOWN: Final = 8
ENTRIES_SHOWN: Final = 5
HEIRS_SHOWN: Final = 12


class DetailsScreen(LiveScreen):
    """Everything that is known of one backend, live."""

    GROUPS: ClassVar[tuple[str, ...]] = (BACKENDS_CHANGED, "Details", "Views", "Emergency", "Program", "Back")
    BINDINGS: ClassVar[list[BindingType]] = bindings(*GROUPS, "Scrolling")

    def __init__(
        self,
        cluster: ClusterConfig,
        times: Times,
        present: Present | None,
        ip: str,
        ask_sessions: AskSessions,
        ask_journal: AskJournal,
        change: BeginChange,
        remove_cleanly: RemoveCleanly,
    ) -> None:
        """``ask_sessions`` begins to ask every director for its sessions: at the opening, and when a person reads."""
        super().__init__(cluster, times, present)
        self._ip = ip
        self._change, self._remove_cleanly = change, remove_cleanly
        self._ask_sessions = ask_sessions
        self._ask_journal = ask_journal
        self._kept: Kept | None = None
        self._sessions: Sessions | None = None
        self._text = Static()
        self._page = VerticalScroll(self._text)

    def body(self) -> Iterable[Widget]:
        yield self._page

    def on_mount(self) -> None:
        self._page.focus()
        self._ask_sessions(self._take_sessions)
        self._ask_journal(self._take_journal)

    def read_again(self) -> None:
        self._ask_sessions(self._take_sessions)
        self.journal_grew()

    def journal_grew(self) -> None:
        self._ask_journal(self._take_journal)

    def show_operation(self, progress: Progress | None) -> None:
        before = self._operation
        super().show_operation(progress)
        if self.is_mounted and before is not None and progress is not None and before.phase is not progress.phase:
            self._ask_journal(self._take_journal)

    def _take_journal(self, kept: Kept) -> None:
        self._kept = kept
        if self.is_mounted and self.present is not None:
            self.show_present(self.present)

    def _take_sessions(self, sessions: Sessions) -> None:
        self._sessions = sessions
        if self.is_mounted and self.present is not None:
            self.show_present(self.present)

    def show_present(self, present: Present) -> None:
        lines = self._lines(present)
        width = max(10, self.size.width - 3)
        self._text.update(Content("\n").join(part for line in lines for part in content(line, width)))

    def show_stale(self, stale: bool) -> None:
        self._page.set_class(stale, "-stale")

    def _lines(self, present: Present) -> list[Line]:
        snapshot, settings = present.reading.snapshot, present.reading.settings
        row = self._row(snapshot, present.history, settings) if snapshot is not None else None
        if snapshot is None or row is None:
            gone = [Piece(self._ip, ACCENT), Piece("   is not there any more", DANGER)]
            return [gone, [], *_changes(self._ip, present.events), [], *self._journal()]
        consistent = settings.consistent_hashing if settings is not None else True
        return [
            _title(row),
            [],
            *_numbers(row),
            [],
            *self._chart(row),
            [],
            *self._sessions_now(present),
            [],
            *_leaving(row, snapshot, self.cluster.names, self.cluster.capacity, consistent=consistent),
            [],
            *_configuration(row.backend, settings),
            [],
            *_changes(self._ip, present.events),
            [],
            *self._journal(),
        ]

    def _row(self, snapshot: Snapshot, history: History, settings: RingSettings | None) -> BackendRow | None:
        consistent = settings.consistent_hashing if settings is not None else True
        rows = backend_rows(snapshot, history, self.cluster.names, self.times.utc(), consistent=consistent)
        return next((row for row in rows if row.backend.ip == self._ip), None)

    def _chart(self, row: BackendRow) -> list[Line]:
        height = CHART_LINES[self.has_class("-short") + self.has_class("-low")]
        width = max(10, self.size.width - 4 - TITLE_WIDTH)
        drawn = chart(row.history.users(row.backend.ip), row.expected, width, height, int(SPAN_S // SLOT_S))
        return titled("last 10 min", [*drawn, [Piece("╌ what its share would give it", MUTED)]])

    def _sessions_now(self, present: Present) -> list[Line]:
        known = self._sessions
        if known is None:
            return titled("sessions now", [[Piece("asking every director", MUTED)]])
        here = [session for session in known.all if session.ip == self._ip]
        protocols = Counter(session.protocol for session in here)
        age = format.span(self.times.mono_s() - known.taken_mono_s)
        first = [Piece(format.count(len(here)), PLAIN if known.by_director else MUTED)]
        first.append(Piece(f" through {format.plural(len(known.by_director), 'director')}", MUTED))
        first += [Piece(f"   {name} {format.count(number)}") for name, number in sorted(protocols.items())]
        lines = [[*first, Piece(f"   {age} ago, r asks again", MUTED)]]
        if known.waiting:
            lines.append([Piece(f"still asking {', '.join(known.waiting)}", ATTENTION)])
        lines.extend([Piece(f"not counted: {failure}", ATTENTION)] for failure in known.failures.values())
        if missing := not_asked(present.reading, known):
            unknown = f"not counted: {format.plural(missing, 'director')} without an SSH destination"
            lines.append([Piece(unknown, ATTENTION)])
        return titled("sessions now", lines)

    def _journal(self) -> list[Line]:
        """The last operations of this program on it."""
        if self._kept is None:
            return titled("journal", [[Piece("reading it", MUTED)]])
        if self._kept.failure is not None:
            return titled("journal", [[Piece(f"it can't be read: {self._kept.failure}", ATTENTION)]])
        running = self._operation.id if self._operation is not None and self._operation.running else None
        about = [one for one in self._kept.entries if one.operation is not None and one.concerns(self._ip)]
        lines = [entry_line(one, running) for one in about[:ENTRIES_SHOWN]]
        return titled("journal", lines or [[Piece("nothing has been done to it", MUTED)]])

    async def action_change(self, verb: str) -> None:
        """Begin a change of this backend."""
        await self._change(Request(Verb(verb), (Target(self._ip),)))

    async def action_remove_cleanly(self) -> None:
        await self._remove_cleanly([self._ip])

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._ip)
        self.notify(f"copied {self._ip}", markup=False)

    def action_scroll_page(self, lines: int) -> None:
        self._page.scroll_relative(y=lines, animate=False)


def _title(row: BackendRow) -> Line:
    word, extra = format.condition(row.backend, row.now, row.per_min)
    pieces = [Piece(row.backend.ip, ACCENT)]
    if row.name:
        pieces += [Piece("  "), Piece(shortened(row.name, NAME_WIDTH))]
    if row.backend.tag:
        pieces += [Piece("  tag ", MUTED), Piece(shortened(row.backend.tag, format.TAG_WIDTH))]
    pieces += [Piece("   "), word]
    return [*pieces, Piece(" "), extra] if extra.text else pieces


def _numbers(row: BackendRow) -> list[Line]:
    backend = row.backend
    since = backend.state_changed
    changed = f"{format.span((row.now - since).total_seconds())} ago" if since is not None else "never"
    rate = format.rate(row.per_min)
    users = [Piece(format.count(backend.users))]
    if rate.text:
        users += [Piece("   "), Piece(f"{rate.text}/min", rate.meaning or PLAIN)]
    return [
        *titled("users", [users]),
        *titled("share", [_against_share(row)]),
        *titled("vhost count", [[Piece(format.count(backend.vhosts), PLAIN if backend.vhosts else ATTENTION)]]),
        *titled("state", [[Piece(backend.state.value), Piece(f"   changed {changed}", MUTED)]]),
    ]


def _against_share(row: BackendRow) -> Line:
    """Whether it has what its share says. Users stay where they are when shares change, so it need not."""
    if not row.backend.usable:
        return [Piece("takes no new users", ATTENTION)]
    of = f"of tag {shortened(row.backend.tag, format.TAG_WIDTH)}" if row.backend.tag else "of the untagged users"
    line = [
        Piece(f"{row.share * 100:.1f} %"),
        Piece(f" {of}", MUTED),
        Piece(f"   ≈ {format.count(round(row.expected))}"),
    ]
    more = row.backend.users - round(row.expected)
    if more:
        line.append(Piece(f"   it has {format.count(abs(more))} {'more' if more > 0 else 'fewer'}", MUTED))
    return line


def _leaving(
    row: BackendRow, snapshot: Snapshot, names: Mapping[str, str], capacity: int | None, *, consistent: bool
) -> list[Line]:
    backend = row.backend
    placement = tuple((one.ip, one.tag, one.vhosts, one.state) for one in snapshot.backends)
    parts = _heirs(placement, backend.ip, consistent)
    lines: list[Line] = []
    if backend.usable:
        lines += titled(
            "on flush", [[Piece("only users whose hash leads elsewhere by now; not known without counting")]]
        )
        lines += titled("if taken out", [[Piece("vhost count 0, then flush: about", MUTED)]])
    elif not backend.users:
        return titled("on flush", [[Piece("nobody is left to move")]])
    else:
        lines += titled("on flush", [[Piece("all of its users move: about", MUTED)]])
    if None in parts:
        tag = f"tag {shortened(backend.tag, format.TAG_WIDTH)}" if backend.tag else "the untagged users"
        nobody = f"no other usable backend for {tag}: its users lose their sessions, and new logins fail"
        return [*lines, *titled("", [[Piece(nobody, DANGER)]])]
    by_ip = {one.ip: one for one in snapshot.backends}
    after = [(by_ip[ip], round(part * backend.users)) for ip, part in parts.items() if ip is not None]
    shown = after[:HEIRS_SHOWN]
    called = {one.ip: shortened(clean(names.get(one.ip, "")), NAME_WIDTH) for one, _ in shown}
    widths = [max(len(one.ip) for one, _ in shown), max(map(cell_len, called.values()))]
    number = max(len(format.count(one.users + gain)) for one, gain in shown)
    for one, gain in shown:
        full = capacity is not None and one.users + gain > capacity
        lines += titled(
            "",
            [
                [
                    Piece(f"→ {one.ip:<{widths[0]}}  "),
                    Piece(f"{set_cell_size(called[one.ip], widths[1])}  ", MUTED),
                    Piece(f"{format.count(one.users):>{number}} → {format.count(one.users + gain):>{number}}"),
                    Piece(f"   ≈ +{format.count(gain)}", MUTED),
                    Piece(f"   beyond {format.count(capacity or 0)}" if full else "", DANGER),
                ]
            ],
        )
    if len(after) > len(shown):
        lines += titled("", [[Piece(f"and {len(after) - len(shown)} more", MUTED)]])
    return lines


@lru_cache(maxsize=4)
def _heirs(placement: tuple[tuple[str, str, int, State], ...], ip: str, consistent: bool) -> dict[str | None, float]:
    """Kept because user counts, which have no part in it, change at every reading."""
    backends = [Backend(one, tag, vhosts, state, None, 0) for one, tag, vhosts, state in placement]
    return heirs(backends, ip, consistent=consistent)


def _configuration(backend: Backend, settings: RingSettings | None) -> list[Line]:
    if settings is None or settings.mail_servers is None:
        return titled("configuration", [[Piece("not known: director_mail_servers couldn't be read", MUTED)]])
    found = entries_with(settings.mail_servers, backend.ip)
    lost = lost_by_restart(backend, parse_mail_servers(settings.mail_servers))
    lines: list[Line] = []
    if found:
        lines.append([Piece(f"in director_mail_servers: {', '.join(found)}")])
    elif not lost:
        lines.append([Piece("not in director_mail_servers by its IP; it may be one of the host names", MUTED)])
    lines.extend([Piece(what, ATTENTION)] for what in lost)
    if not lost and found:
        lines.append([Piece("a restart of the whole ring would change nothing", FINE)])
    return titled("configuration", lines)


def _changes(ip: str, events: Sequence[Change]) -> list[Line]:
    lines: list[Line] = []
    for change in [one for one in events if one.subject.is_of_ring and one.of == ip][:CHANGES_SHOWN]:
        what = format.change(change, {})[1:]
        cause = Piece(f"   {format.cause(change)}", ACCENT if change.by else MUTED)
        lines.append([Piece(f"{change.at:%H:%M:%S}  ", MUTED), *what, cause])
        if change.undone_after is not None:
            lines.append([Piece(f"          {format.undone(change)}", ATTENTION)])
    return titled("changes", lines or [[Piece("none since the start", MUTED)]])
