"""What is to be done to a ring, as values that a person can look at before anything is sent.

A :class:`Request` is what somebody wants; held against a reading it becomes a :class:`Plan`: frozen targets, exact
commands, what they would do, and the fingerprint of everything that this stands on. The same request can be planned
again on a later reading; when the two fingerprints differ, what was looked at is not what would happen.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from director_tui.config import ClusterConfig
    from director_tui.director.doveadm import Call
    from director_tui.director.model import Backend, State
    from director_tui.link.reading import Reading
    from director_tui.operations.prediction import Prediction
    from director_tui.operations.stop_record import SavedBackend


class Verb(enum.Enum):
    """What can be done, by doveadm's own word for it."""

    UPDATE = "update"
    UP = "up"
    DOWN = "down"
    ADD = "add"
    REMOVE = "remove"
    FLUSH = "flush"
    FORGET_USERS = "flush -F"
    FLUSH_ALL = "flush all"
    MOVE = "move"
    KICK = "kick"
    UPLOAD = "metacache flushall"
    """The only one that is carried out on the backend itself, and changes nothing on the ring."""


class Emergency(enum.Enum):
    """What a request is a part of that is about the whole ring. It is always typed, and goes on past what fails."""

    STOP = "emergency stop"
    RECOVER = "recovery"
    DISCONNECT = "disconnect everyone"


class Confirmation(enum.Enum):
    """How a person has to agree: by a button, or by typing the name of the cluster."""

    PLAIN = "plain"
    TYPED = "typed"


class Outcome(enum.Enum):
    """What a re-reading of the ring shows."""

    APPLIED = "applied"
    NOT_APPLIED = "not applied"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Target:
    """A backend that something is to be done to; ``vhosts`` is its count to be, for update and add."""

    ip: str
    vhosts: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody wants to be done. Made once, when the key is pressed; nothing in it follows the screen.

    ``targets`` are backends: of a move the one to move to, of a kick and a flush of all none. ``tag`` is for an add,
    ``max_parallel`` for a flush (None: the directors' own setting). ``user``, ``user_hash`` and ``user_tag`` are for
    move and kick. ``because`` says what it comes from, if not from a person's own idea: ``sets back OPERATION``.

    Of an ``emergency`` (:mod:`~director_tui.operations.emergency` makes those) ``saves`` is what a stop keeps before
    its first command, or what was kept for a recovery, ``stops`` the stamps of the records that it stands on, or that a
    recovery ends, and ``kicks`` the users to be disconnected by name, by director, where their directors know no other
    way.
    """

    verb: Verb
    targets: tuple[Target, ...] = ()
    tag: str = ""
    max_parallel: int | None = None
    user: str = ""
    user_hash: int | None = None
    user_tag: str = ""
    because: str = ""
    emergency: Emergency | None = None
    saves: tuple[SavedBackend, ...] = ()
    stops: tuple[str, ...] = ()
    kicks: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def ips(self) -> tuple[str, ...]:
        return tuple(target.ip for target in self.targets)


@dataclass(frozen=True, slots=True)
class Standing:
    """All that a plan stands on. ``reading`` has a snapshot, and the views of the directors where they are known.

    ``sessions`` is the number of sessions on each target that all directors together still pass on, None as long as
    that is not known: they are asked for apart, and only a remove needs them. ``counted`` is, for each backend whose
    users were counted, how many of them belong to which backend once the request is carried out (its own included,
    None: to none); see :class:`~director_tui.operations.counting.Count`. It holds as long as the fingerprint does.
    ``cluster`` is the ring's own (``Ring.cluster``): it has the directors that a reading names.
    """

    reading: Reading
    cluster: ClusterConfig
    sessions: Mapping[str, int] | None = None
    counted: Mapping[str, Mapping[str | None, int]] | None = None


@dataclass(frozen=True, slots=True)
class RowIs:
    """Proven when every director lists the backend like this; what is None may be anything."""

    ip: str
    tag: str | None = None
    vhosts: int | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class RowIsGone:
    """Proven when no director lists the backend."""

    ip: str


@dataclass(frozen=True, slots=True)
class NoUsers:
    """A flush of a backend that is not usable: proven when it has no users on any director."""

    ip: str


@dataclass(frozen=True, slots=True)
class Flushed:
    """A flush of a usable backend (None: of all): nothing proves it but its exit status and the counts."""

    ip: str | None


@dataclass(frozen=True, slots=True)
class UserIsOn:
    """Proven when every director has the user's hash on this backend."""

    user_hash: int
    tag: str
    ip: str


@dataclass(frozen=True, slots=True)
class SessionsEnded:
    """Proven when the sessions that the user had before are gone from every director; new ones may have come."""

    user: str


@dataclass(frozen=True, slots=True)
class NobodyLeft:
    """A flush of all where nothing is usable: proven when no backend has users on any director."""

    @property
    def ip(self) -> None:
        """It is of all backends."""


@dataclass(frozen=True, slots=True)
class NoSessions:
    """Proven when this director passes on no session to the backend, or to any of them (None).

    ``part`` tells apart the commands that are for it together.
    """

    director: str
    ip: str | None
    part: int = 0


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What is in a backend's metacache shows nowhere: nothing proves the upload but its exit status."""

    ip: str


Check = RowIs | RowIsGone | NoUsers | Flushed | UserIsOn | SessionsEnded | NobodyLeft | NoSessions | Uploaded

FLUSHING: Final = (NoUsers, Flushed, NobodyLeft)
"""The checks of commands that flush."""


@dataclass(frozen=True, slots=True)
class Command:
    """One call of a plan, what it is done to (an IP, ``all``, or a user name), and how its effect is proven.

    ``director`` is where it runs if not on the plan's own; with ``backend``, an IP, it is on that backend itself.
    """

    target: str
    call: Call[None]
    check: Check
    director: str = ""
    backend: str = ""


@dataclass(frozen=True, slots=True)
class TargetChange:
    """A target's row now, and as it is to be; None where it is not listed."""

    ip: str
    now: Backend | None
    after: Backend | None


NOT_THERE: Final = "not usable"
"""What a fingerprint has no fact of is a backend that is not a target and takes no new users."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a plan stands on, by what it is called in a sentence: ``10.1.0.3 vhosts`` → ``100``.

    The target rows, the other usable backends of their tags with their vhost counts, what the directors disagree about
    among all these, the director in use, the state of the ring, and the kind of confirmation that follows from all
    this. User counts are no part of it: they change all the time.
    """

    facts: Mapping[str, str]

    def changes_to(self, later: Fingerprint) -> tuple[str, ...]:
        """What is different later, each as a sentence (``10.1.0.3 vhosts: 100 → 0``); none if nothing is."""
        return tuple(
            f"{name}: {self.facts.get(name, NOT_THERE)} → {later.facts.get(name, NOT_THERE)}"
            for name in dict.fromkeys((*self.facts, *later.facts))
            if self.facts.get(name) != later.facts.get(name)
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done, where, and with what effect. ``commands`` run in their order on ``director``, one at a time.

    It stops at the first that fails and asks, unless it ``goes_on``: then only where the ring is not synced.

    ``title`` is the verb with its targets, which the button repeats. ``raised_by`` says why a plain confirmation
    became a typed one. ``warnings`` are what may go wrong, ``notes`` what this does not do. ``version`` is that of the
    directors' Dovecot, empty where it is not known.
    """

    request: Request
    cluster: str
    title: str
    director: str
    commands: tuple[Command, ...]
    command_lines: tuple[str, ...]
    rows: tuple[TargetChange, ...]
    prediction: Prediction | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    confirmation: Confirmation
    raised_by: tuple[str, ...]
    fingerprint: Fingerprint
    version: tuple[int, ...] = ()

    @property
    def goes_on(self) -> bool:
        return self.request.emergency is not None

    def director_of(self, command: Command) -> str:
        return command.director or self.director
