"""Makes every picture of the README from the practice ring: same seed, same clock, same pictures to the byte.

``python -m screenshots [FOLDER]`` (``make screenshots``) writes them into this folder, or into another one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast
from unittest.mock import patch

from textual.widgets import Input

from director_tui.config import BackendAccess, ClusterConfig, DirectorConfig
from director_tui.demo.configuration import backend_names
from director_tui.demo.population import TICKS_PER_S
from director_tui.demo.records import Records
from director_tui.demo.ring import PracticeRing
from director_tui.director.doveadm import ENVIRONMENT
from director_tui.director.model import State
from director_tui.link.ring import Ring
from director_tui.theme_files import BUILT_IN, DEFAULT
from director_tui.times import Times
from director_tui.ui.app import DirectorApp
from director_tui.ui.live import LiveScreen
from director_tui.ui.plan_dialog import PlanDialog

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from textual.pilot import Pilot

    from director_tui.demo.command import Answer
    from director_tui.link.questions import Ask

START: Final = datetime(2026, 11, 23, 21, 44, 3, tzinfo=UTC)
STEP_S: Final = 10
STEPS: Final = 60
BACKENDS: Final = 10
USERS: Final = 143_000
SEED: Final = 7
TURNS: Final = 25
"""More turns of the event loop than an answer takes to be published."""
PATIENCE_S: Final = 60.0
"""Only a hang takes so long."""

FOLDER_HERE: Final = ".local/state/director-tui"

WIDE: Final = (120, 36)
SMALL: Final = (80, 24)

Play = Callable[["Stage"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What the program needs of the reply of a command."""

    status: int
    stdout: bytes
    stderr: bytes
    elapsed_s: float = 0.014


class Clock:
    """A time that moves only when it is told to."""

    def __init__(self) -> None:
        self._passed_s = 0.0

    def advance(self, seconds: float) -> None:
        self._passed_s += seconds

    def mono_s(self) -> float:
        return self._passed_s

    def utc(self) -> datetime:
        return START + timedelta(seconds=self._passed_s)


class Directors:
    """The practice ring without the network: connections whose commands it runs itself."""

    def __init__(self, ring: PracticeRing) -> None:
        self.ring: Final = ring
        self.records: Final = [Records() for _ in ring.directors]
        self.calls = 0

    async def connect(self, destination: str, *, through: object = None) -> Director:
        if destination.startswith("dir"):
            return Director(self, int(destination.removeprefix("dir")) - 1)
        return Backend(self, destination)

    async def close(self) -> None:
        pass


class Director:
    """A connection to one of them."""

    lost = False
    abandoned = 0
    changing = False

    def __init__(self, directors: Directors, number: int) -> None:
        self._directors = directors
        self._number = number

    async def run(self, argv: Sequence[str], limit_s: float, *, stdin: bytes = b"", kept: bool = False) -> Reply:
        self._directors.calls += 1
        words = argv[len(ENVIRONMENT) :]
        keep = self._directors.records[self._number].answer(words)
        return _reply(keep(stdin) if keep is not None else self.execute(words))

    def execute(self, words: Sequence[str]) -> Answer:
        return self._directors.ring.execute(self._number, words)

    def send(self, argv: Sequence[str]) -> asyncio.Future[Reply]:
        """Run what changes something. A flush takes the time that the story lets pass."""
        if "flush" not in argv:
            return asyncio.ensure_future(self.run(argv, 0.0))
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        running = self._directors.ring.start(self._number, argv[len(ENVIRONMENT) :])
        running.when_ended(lambda answer: reply.set_result(_reply(answer)))
        return reply

    def run_to_its_end(self, argv: Sequence[str], wanted: Callable[[], bool]) -> asyncio.Future[Reply]:
        wanted()
        return self.send(argv)

    async def open_shell(self, *, go_on: bool = False) -> Shell:
        return Shell(self)

    def keep_for(self, change: asyncio.Future[None]) -> None:
        pass

    async def close(self) -> None:
        pass


class Backend(Director):
    """A connection to a backend itself."""

    def __init__(self, directors: Directors, ip: str) -> None:
        super().__init__(directors, 0)
        self._ip = ip

    def execute(self, words: Sequence[str]) -> Answer:
        ring = self._directors.ring
        running = ring.start_on_backend(self._ip, words)
        while running.answer is None:
            ring.advance(1 / TICKS_PER_S)
        return running.answer


class Shell:
    """What runs the commands of a change, one after the other."""

    def __init__(self, director: Director) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._director = director

    def send(self, argv: Sequence[str]) -> asyncio.Future[Reply]:
        return self._director.send(argv)

    def finish(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status, answer.stdout, answer.stderr)


@dataclass(frozen=True, slots=True)
class Stage:
    """The running program, and what it is shown."""

    app: DirectorApp
    pilot: Pilot[None]
    directors: Directors
    clock: Clock

    async def read(self) -> None:
        """Let the program take a reading, and wait until it is drawn."""
        await self.pilot.press("r")
        async with asyncio.timeout(PATIENCE_S):
            while not self._is_read():
                await self.pilot.pause(0.005)
        await self._quiet()
        await self.pilot.pause()

    async def _quiet(self) -> None:
        """Wait until every answer has been taken in: else one from before would be stamped when the clock has moved."""
        calls = -1
        while calls != self.directors.calls:
            calls = self.directors.calls
            for _ in range(TURNS):
                await asyncio.sleep(0)

    def _is_read(self) -> bool:
        screen = self.app.screen
        reading = screen.present.reading if isinstance(screen, LiveScreen) and screen.present is not None else None
        if reading is None or reading.snapshot is None:
            return False
        whole = reading.snapshot.ring is not None and reading.settings is not None and len(reading.views) > 0
        return whole and reading.snapshot.taken_at == self.clock.utc()

    async def pass_ten_minutes(self) -> None:
        """A quiet evening, in which somebody drains one backend, and a monitor takes another out."""
        await self.read()
        for step in range(STEPS):
            self.clock.advance(STEP_S)
            self.directors.ring.advance(STEP_S)
            if step == STEPS - 26:
                self.directors.ring.set_vhosts("10.1.0.3", 0)
            if step == STEPS - 7:
                self.directors.ring.set_state("10.1.0.5", State.DOWN)
            await self.read()

    async def pass_seconds(self, seconds: int) -> None:
        """Time that somebody watches, with a reading every ten seconds."""
        for _ in range(0, seconds, STEP_S):
            self.clock.advance(STEP_S)
            self.directors.ring.advance(STEP_S)
            await self.read()

    async def until(self, text: str) -> None:
        """Wait until this stands on the screen."""
        async with asyncio.timeout(PATIENCE_S):
            while all(text not in strip.text for strip in self.app.screen._compositor.render_strips()):
                await self.pilot.pause(0.005)

    async def until_it_may_act(self) -> None:
        """Wait until the plan on the screen can be agreed to."""
        async with asyncio.timeout(PATIENCE_S):
            while not (isinstance(self.app.screen, PlanDialog) and self.app.screen.may_act):
                await self.pilot.pause(0.005)
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    def picture(self) -> str:
        return self.app.export_screenshot(title="director-tui")


@asynccontextmanager
async def stage(size: tuple[int, int]) -> AsyncGenerator[Stage]:
    """The program on the practice ring, ten minutes after its start."""
    directors = Directors(PracticeRing(backends=BACKENDS, users=USERS, seed=SEED, start=START))
    clock = Clock()
    cluster = ClusterConfig(
        "mail-eu",
        tuple(DirectorConfig(f"dir{number}") for number in range(1, len(directors.ring.directors) + 1)),
        interval_s=3600.0,  # readings are taken when it is time in the story
        environment="production",
        names=backend_names(BACKENDS),
        backends=BackendAccess("{ip}"),
    )

    async def open_ring(cluster: ClusterConfig, ask: Ask | None) -> Ring:
        return Ring(cluster, cast("Any", directors))

    app = DirectorApp(cluster, open_ring, theme=DEFAULT, times=Times(clock.mono_s, clock.utc))
    # The journal and the records tell who did it and where, which is not whoever makes the pictures.
    with (
        patch("director_tui.operations.journal.who_am_i", lambda: "ops"),
        patch("director_tui.operations.executor.who_am_i", lambda: "ops"),
        patch("director_tui.ui.removing.who_am_i", lambda: "ops"),
        patch("socket.gethostname", lambda: "admin1"),
        patch("director_tui.ui.emergencies.local_user", lambda: "ops"),
        patch("director_tui.ui.emergencies.state_folder", lambda cluster: Path.home() / FOLDER_HERE / cluster),
    ):
        async with app.run_test(size=size) as pilot:
            shown = Stage(app, pilot, directors, clock)
            await shown.pass_ten_minutes()
            yield shown


async def _dashboard(shown: Stage) -> None:
    await shown.press("j", "space", "j")


async def _details(shown: Stage) -> None:
    await shown.press("enter")
    await shown.until("through 3 directors")


async def _ring(shown: Stage) -> None:
    await shown.press("g")
    await shown.until("The ring is whole")
    await shown.read()


async def _find_user(shown: Stage) -> None:
    """Somebody who reads mail on the backend that is drained."""
    listed = shown.directors.ring.execute(0, ("doveadm", "-f", "tab", "proxy", "list")).stdout.decode().splitlines()
    user = next(line.split("\t")[0] for line in listed if "\t10.1.0.3\t" in line)
    await shown.press("q", "l", *user, "enter")
    await shown.until("which is draining")
    await shown.press("enter")
    await shown.until("1 session ")


async def _plan(shown: Stage) -> None:
    """Two backends are to be worked on, so they get no new users from now on."""
    await shown.press("q", "j", "space", "v", "0", "enter")
    await shown.until_it_may_act()


async def _operation(shown: Stage) -> None:
    await shown.press("right", "enter")
    await shown.until("seen on all 3 directors")
    await shown.until("outside")
    # Opened again: while it runs the columns get as wide as what was drawn just then.
    await shown.press("q", "o")
    await shown.until("seen on all 3 directors")
    await shown.until("outside")
    await shown.read()


async def _stop(shown: Stage) -> None:
    """The storage groans."""
    await shown.press("q", "E")
    await shown.until_it_may_act()
    for field in shown.app.screen.query(Input):
        field.cursor_blink = False  # it blinks by the time of the day
    await shown.pilot.pause()


async def _stopped(shown: Stage) -> None:
    """Somebody else has looked away, and sees on the dashboard what was done."""
    await shown.press(*"mail-eu", "enter")
    await shown.until("Next: disconnect everyone")
    await shown.press("q")
    shown.clock.advance(STEP_S)
    shown.directors.ring.advance(STEP_S)
    await shown.read()
    await shown.until("EMERGENCY STOP in force")
    await shown.read()


async def _recovery(shown: Stage) -> None:
    await shown.press("R")
    await shown.until("had 0 before")


async def _removal(shown: Stage) -> None:
    """A backend is taken out for good; those who are left on it are being moved."""
    await shown.press("escape", "slash", *"10.1.0.6", "enter", "w")
    await shown.until("others take over")
    await shown.press("right", *["tab"] * 4, "enter")
    await shown.until("2  No new users")
    await _agree(shown)
    await shown.until("3  Let users leave")
    await shown.pass_seconds(30)
    await shown.press("left", "left", "enter")
    await shown.until("4  Upload pending")
    await _agree(shown)
    await shown.until("5  Move the rest")
    await _agree(shown)
    await shown.until("Leave; it goes on")
    await shown.pass_seconds(60)


async def _agree(shown: Stage) -> None:
    """Lead the step to its plan, and agree to that."""
    await shown.press("enter")
    await shown.until_it_may_act()
    await shown.press("right", "enter")


def _in_theme(name: str) -> Play:
    async def play(shown: Stage) -> None:
        shown.app.theme = name
        await shown.pilot.pause()

    return play


STORIES: Final[dict[tuple[int, int], dict[str, Play]]] = {
    WIDE: {
        "dashboard": _dashboard,
        **{f"theme-{name}": _in_theme(name) for name in BUILT_IN if name != DEFAULT},
        "details": _details,
        "ring": _ring,
        "find-user": _find_user,
        "plan": _plan,
        "operation": _operation,
        "stop": _stop,
        "stopped": _stopped,
        "recovery": _recovery,
    },
    SMALL: {"dashboard-80x24": _dashboard, "removal": _removal},
}
"""The pictures by the size of the screen; each goes on where the one before it left the program."""


async def pictures(size: tuple[int, int]) -> AsyncGenerator[tuple[str, str]]:
    """The name and the SVG of every picture of this size."""
    async with stage(size) as shown:
        for name, play in STORIES[size].items():
            await play(shown)
            yield name, shown.picture()
            shown.app.theme = DEFAULT


async def main() -> None:
    os.environ.pop("NO_COLOR", None)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for size in STORIES:
        with TemporaryDirectory() as state:
            # What happens in a story is not for the journal of whoever makes the pictures, nor for the next one.
            os.environ["XDG_STATE_HOME"] = state
            async for name, picture in pictures(size):
                (folder / f"{name}.svg").write_text(picture, "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
