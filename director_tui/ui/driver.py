"""The terminal: what is drawn gets there without anybody waiting for it, what is typed comes from there, and its end is
noticed.

Textual's own writer has room for thirty texts. Where the terminal takes nothing (in the copy mode of screen, or while
the connection to a jump host hangs) the whole program would wait for it, operations too; where it is gone, for ever.
"""

from __future__ import annotations

import locale
import os
import select
import threading
from codecs import getincrementaldecoder
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from director_tui.errors import boundary
from director_tui.ui.glyphs import alphabet_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from director_tui.ui.glyphs import Alphabet

BACKLOG_BYTES: Final = 32 * 1024
"""With so much that the terminal has not taken yet nothing more is drawn: it would only be shown later and later."""
FINISH_LIMIT_S: Final = 1.0
"""How long the end of the program, or ctrl+z, waits for a terminal to take what is left."""
STANDARD_ERROR: Final = 2
"""Where Textual draws, so that standard output may be something else."""
READ_BYTES: Final = 4096
TICK_S: Final = 0.1
"""How often it is looked whether an escape key was only that, or whether nothing is to be read any more."""


class Driver(LinuxDriver):
    """Textual's driver, but for how it reads and writes."""

    class HungUp(Message):
        """There is no terminal any more. The kernel tells it only to those that the terminal controls."""

    _output: Output | None = None
    _drawing = False
    """Whether the terminal is the program's, and not the shell's."""
    _suspended = False
    """Whether it is to be the program's again."""
    _told_to_resume = _resuming = False

    @property
    def behind(self) -> bool:
        """Whether the terminal has not taken yet what was drawn; all of it is drawn anew when it has."""
        return self._output is not None and self._output.behind

    def start_application_mode(self) -> None:
        self._finish()
        self._alphabet = alphabet_of(os.environ, locale.getencoding())
        self._output = Output(STANDARD_ERROR, self._alphabet, gone=self._hang_up, caught_up=self._draw_anew)
        self._output.start()
        before = self._key_thread
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._drawing = self._key_thread is not before  # in the background it does not begin
        self._suspended = not self._drawing

    def write(self, data: str) -> None:
        if self._output is not None:
            self._output.write(data)

    def stop_application_mode(self) -> None:
        self._drawing = False
        super().stop_application_mode()

    def close(self) -> None:
        super().close()
        self._finish()

    def _run_input_thread(self) -> None:
        """A fault ends the program as any other does. Textual's way is a traceback, and exit status 0."""
        with boundary(partial(self._app.call_later, self._app._handle_exception)):
            self.run_input_thread()

    def run_input_thread(self) -> None:
        """Textual's would end the program at the first byte that is no UTF-8, and run hot at the end of input."""
        decoder = getincrementaldecoder(self._alphabet.typed_as)("replace")
        parser = XTermParser(self._debug)
        while not self.exit_event.is_set():
            if select.select([self.fileno], [], [], TICK_S)[0]:
                typed = _read(self.fileno)
                if not typed:
                    self._hang_up()
                    return
                # Of half a character there is nothing yet, and nothing would mean the end to the parser.
                if text := decoder.decode(typed):
                    try:
                        for event in parser.feed(text):
                            self.process_message(event)
                    except (ValueError, ArithmeticError):  # a key by a number that none has
                        parser = XTermParser(self._debug)
            for event in parser.tick():
                self.process_message(event)

    def suspend_application_mode(self) -> None:
        super().suspend_application_mode()
        self._suspended = True

    def resume_application_mode(self) -> None:
        """At any SIGCONT. After one that no ctrl+z went before, Textual would read the terminal twice, and might never
        end; after one that comes while it ends, leave the terminal as the program has it."""
        self._told_to_resume = True
        if self._resuming:  # a signal that came meanwhile
            return
        self._resuming = True
        try:
            if self._drawing:
                self.suspend_application_mode()
            # Once more where it was stopped again meanwhile, because it was in the background.
            while self._suspended and self._told_to_resume:
                self._told_to_resume = False
                super().resume_application_mode()
        finally:
            self._resuming = False

    def _finish(self) -> None:
        if self._output is not None:
            self._output.finish()

    def _hang_up(self) -> None:
        self.send_message(self.HungUp())

    def _draw_anew(self) -> None:
        self._loop.call_soon_threadsafe(self._app.refresh)


class Output(threading.Thread):
    """Writes to a terminal, in the order in which it is told to, and keeps nobody waiting.

    ``gone`` is called when there is no terminal any more, ``caught_up`` when it has taken everything after it was
    :attr:`behind`; both from this thread.
    """

    def __init__(
        self, terminal: int, alphabet: Alphabet, *, gone: Callable[[], None], caught_up: Callable[[], None]
    ) -> None:
        super().__init__(daemon=True, name="terminal")
        self._terminal = terminal
        self._alphabet = alphabet
        self._gone = gone
        self._caught_up = caught_up
        self._waiting: deque[bytes] = deque()
        self._left_bytes = 0
        self._behind = False
        self._ends = False
        self._changed = threading.Condition()

    @property
    def behind(self) -> bool:
        """From when too much is left until nothing is."""
        with self._changed:
            self._behind = self._behind or self._left_bytes > BACKLOG_BYTES
            return self._behind

    def write(self, text: str) -> None:
        data = self._alphabet.encode(text)
        with self._changed:
            if not self._ends:
                self._waiting.append(data)
                self._left_bytes += len(data)
                self._changed.notify()

    def finish(self) -> None:
        """Write what is left, if the terminal takes it soon, and nothing more."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        self.join(FINISH_LIMIT_S)

    def run(self) -> None:
        try:
            while data := self._next():
                self._write(data)
        except OSError:
            with self._changed:
                at_work, self._ends = not self._ends, True
                self._waiting.clear()
            if at_work:
                self._gone()

    def _next(self) -> bytes:
        """What is to be written now; nothing at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ends)
            return self._waiting.popleft() if self._waiting else b""

    def _write(self, data: bytes) -> None:
        while data:
            try:
                written = os.write(self._terminal, data)
            except BlockingIOError:  # another program has left it like that
                select.select([], [self._terminal], [])
                continue
            data = data[written:]
            self._take_off(written)

    def _take_off(self, written: int) -> None:
        with self._changed:
            self._left_bytes -= written
            caught_up = self._behind and not self._left_bytes and not self._ends
            if caught_up:
                self._behind = False
        if caught_up:
            self._caught_up()


def _read(terminal: int) -> bytes:
    """What was typed; nothing if there is no terminal any more."""
    try:
        return os.read(terminal, READ_BYTES)
    except OSError:
        return b""
