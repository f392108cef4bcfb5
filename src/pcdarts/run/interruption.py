"""SIGINT (Ctrl-C), SIGTERM (preemption) and SIGHUP (a terminal closed): how they end a job, at once or after a step."""

import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
IMPATIENCE_SECONDS = 3.0
"""A second signal that comes later means: at once. (Sooner, it is torchrun passing on what everybody has got.)"""


class Interrupted(KeyboardInterrupt):
    """The process was asked to end. Not an `Exception`, so that nothing takes it for an error of its own."""

    def __init__(self, number: int, where: str = "") -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}{where}")
        self.number = number

    @property
    def exit_code(self) -> int:
        """128 and the number of the signal, as shells have it."""
        return 128 + self.number


@contextmanager
def ending_at_once() -> Iterator[None]:
    """A signal raises `Interrupted` wherever it finds the program."""

    def end(number: int, frame: FrameType | None) -> None:
        leave_closed_terminal()
        raise Interrupted(number)

    with _handled_by(end):
        yield


@contextmanager
def ending_afterwards() -> Iterator[None]:
    """A signal raises `Interrupted` at the end of the context, whatever happened in it: imports must not be torn."""
    interruption = Interruption()
    try:
        with interruption.awaited():
            yield
    finally:
        if interruption.received is not None:
            raise Interrupted(interruption.received)


class Interruption:
    """The first signal, remembered."""

    def __init__(self) -> None:
        self.received: int | None = None
        """Its number."""
        self._at = 0.0

    @contextmanager
    def awaited(self) -> Iterator[None]:
        """The first signal is only remembered; one more, some seconds later, raises `Interrupted`."""
        with _handled_by(self._remember):
            yield

    def _remember(self, number: int, frame: FrameType | None) -> None:
        leave_closed_terminal()
        if self.received is None:
            self.received, self._at = number, time.monotonic()
        elif time.monotonic() - self._at > IMPATIENCE_SECONDS:
            raise Interrupted(number)


def leave_closed_terminal() -> None:
    """Send output and errors to nowhere if their terminal was closed: a line that nobody can see stops no job."""
    for descriptor in (1, 2):
        with suppress(OSError):
            is_terminal_or_closed = stat.S_ISCHR(os.fstat(descriptor).st_mode)
            if is_terminal_or_closed and not os.isatty(descriptor):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Signals go to `handler`, afterwards where they went before; only a main thread can have that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # `nohup` ignores one
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
