"""Signals that end the command: Ctrl-C, and what else asks a process to go."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

ENDING = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
LIKE_SHELLS = 128
"""What shells add to the number of a signal for the exit status of what it has ended."""


class Stopped(KeyboardInterrupt):
    """A signal asks the command to end, which cleans up after itself like after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = LIKE_SHELLS + number
        name = signal.Signals(number).name
        self.message = "interrupted" if name == "SIGINT" else f"stopped by {name}"


@contextmanager
def at_once() -> Iterator[None]:
    """End the process at a signal, in one line: nothing is there yet that needs cleaning up.

    Exceptions would show as tracebacks, or be lost, where imports have callbacks of their own.
    """
    with _handled(_end):
        yield


@contextmanager
def as_errors() -> Iterator[None]:
    """Raise `Stopped` at a signal."""
    with _handled(_raise):
        yield


def _end(number: int, _frame: FrameType | None) -> None:
    stopped = Stopped(number)
    with suppress(OSError):  # the terminal may be gone
        os.write(2, f"gaussmix: {stopped.message}\n".encode())
    os._exit(stopped.status)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Stopped(number)


@contextmanager
def _handled(handler: Any) -> Iterator[None]:
    """Handle the signals that are not ignored, as nohup and shells have them ignored."""
    before = {}
    with suppress(ValueError):  # another thread than the main one, which may not
        for name in ENDING:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
