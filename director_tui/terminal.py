"""The person at the terminal: what is asked there by the commands without a screen, and told when something fails."""

from __future__ import annotations

import asyncio
import contextlib
import locale
import os
import signal
import sys
import termios
from typing import TYPE_CHECKING, Final, TextIO

from director_tui.text import clean_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from director_tui.link.questions import Question

TERMINAL: Final = "/dev/tty"
LINE_LIMIT_BYTES: Final = 4096
LOCAL_FLAGS: Final = 3
"""Their place in what termios calls the attributes of a terminal."""
SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)
"""What ends or stops a program and would leave a terminal without echo behind. SIGINT cancels what waits here."""


def tell(text: str) -> None:
    """One plain line on standard error, whatever is in the text; lost if that is closed or full."""
    line = " ".join(clean_lines(text).splitlines())
    if sys.stderr is None or not line:
        return
    try:
        sys.stderr.write(f"{line}\n")
    except OSError:
        give_up(sys.stderr)


def give_up(stream: TextIO) -> None:
    """What the stream could not write is lost; Python would fail at it once more at its exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def somebody_is_there() -> bool:
    """Whether there is a controlling terminal, which standard input and output need not be."""
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


async def ask(question: Question) -> str | None:
    """Ask on the controlling terminal. None: declined by the end of input (ctrl+d), or there is no terminal any more.

    It waits in the event loop, because a thread would hold the program until Enter when the question is given up or
    interrupted. Only for the main thread.
    """
    encoding = locale.getencoding()
    prompt = f"{question.title}: {question.prompt.strip()} ".encode(encoding, "replace")
    try:
        terminal = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            with _prompting(terminal, prompt, secret=question.secret):
                line = await _line(terminal)
        finally:
            os.close(terminal)
    except (OSError, termios.error) as error:
        tell(f"director-tui: nobody can be asked at {TERMINAL}: {os.strerror(error.args[0])}")
        return None
    return line.decode(encoding, "replace").rstrip("\n") if line else None


@contextlib.contextmanager
def _prompting(terminal: int, prompt: bytes, *, secret: bool) -> Iterator[None]:
    """Shows the prompt; what is typed for a secret is not shown.

    However it ends, the terminal is as it was, the cursor on a new line, and half an answer is gone: not for the shell.
    """
    loop = asyncio.get_running_loop()
    found = termios.tcgetattr(terminal)
    asking = [*found]
    if secret:
        asking[LOCAL_FLAGS] &= ~termios.ECHO
    new_line = b"\n"

    def show() -> None:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, asking)
        os.write(terminal, prompt)

    def restore() -> None:
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            termios.tcsetattr(terminal, termios.TCSAFLUSH, found)
            os.write(terminal, new_line)

    def pass_on(number: signal.Signals) -> None:
        restore()
        loop.remove_signal_handler(number)
        signal.raise_signal(number)
        # Only a program that was stopped comes here, when it is told to go on.
        loop.add_signal_handler(number, pass_on, number)
        with contextlib.suppress(OSError, termios.error):
            show()

    handled = [number for number in SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in handled:
        loop.add_signal_handler(number, pass_on, number)
    try:
        show()
        yield
        if not secret:
            new_line = b""  # the person's own was shown
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
        restore()


async def _line(terminal: int) -> bytes:
    """One line with its end; without one, what there was before the end of input."""
    loop = asyncio.get_running_loop()
    typed = bytearray()
    complete: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        try:
            part = os.read(terminal, LINE_LIMIT_BYTES)
        except OSError as error:
            loop.remove_reader(terminal)
            complete.set_exception(error)
            return
        typed.extend(part)
        if not part or part.endswith(b"\n"):
            loop.remove_reader(terminal)
            complete.set_result(None)

    loop.add_reader(terminal, read)
    try:
        await complete
    finally:
        loop.remove_reader(terminal)
    return bytes(typed)
