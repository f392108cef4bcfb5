"""Lines at the end of a terminal that are drawn again in place, and leave nothing behind when its size changes."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from pcdarts.run.interruption import leave_closed_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

REFRESH_SECONDS = 0.2
"""Between two drawings of what changes all the time."""
COLUMNS = 44
"""A display is no wider. What fits into a terminal after its size has changed stays as it is; tmux moves what it must
break up and out of reach, where the screen below is empty."""
BAR_COLUMNS = 12
_ERASE = "\r\x1b[K\n\x1b[J\x1b[A"
"""The line and all below it; in two steps, because tmux keeps what is erased from the first row of a screen on."""
_CUT_LONG_LINES, _WRAP_LONG_LINES = "\x1b[?7l", "\x1b[?7h"


def is_possible() -> bool:
    """Whether the output is a terminal that can be drawn on."""
    if not sys.stdout.isatty() or os.environ.get("TERM") in ("dumb", "unknown"):
        return False
    if os.name != "nt":
        return True
    from rich.console import Console

    return not Console().legacy_windows


class Live:
    """A display below everything that is printed while it is shown; a context manager that removes it at the end.

    A terminal that becomes narrower breaks the lines on it into more rows, so nobody can count how far to go back to
    where the display began. Hence the cursor waits there, on an empty line above the display: terminals keep it at its
    text, and whatever they made of the display lies behind it. While the display is drawn long lines are cut and not
    wrapped, because the size may have changed a moment ago.
    """

    def __init__(self) -> None:
        self._terminal: TextIO = sys.stdout
        self._shown: RenderableType | None = None
        self._lock = threading.RLock()  # workers' threads may print too
        self._is_drawing = False
        self._is_resized = False
        self._before: tuple[TextIO, TextIO, Any] | None = None

    def __enter__(self) -> Self:
        resized: Any = None
        if hasattr(signal, "SIGWINCH") and threading.current_thread() is threading.main_thread():
            resized = signal.signal(signal.SIGWINCH, self._resize)
        self._before = (sys.stdout, sys.stderr, resized)
        sys.stdout = _Above(self, sys.stdout)
        if sys.stderr.isatty():
            sys.stderr = _Above(self, sys.stderr)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._before is not None
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, _Above):
                stream.finish()
        self.show(None)
        sys.stdout, sys.stderr, resized = self._before
        if resized is not None:
            signal.signal(signal.SIGWINCH, resized)

    def show(self, what: "RenderableType | None") -> None:
        """Show this, something that rich can print, instead of what was shown; nothing if None."""
        with self._drawing():
            self._shown = what

    def print_above(self, text: str, stream: TextIO) -> None:
        """Print whole lines on `stream`, above the display."""
        with self._drawing():
            self._write(text, stream)

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._size()[0]

    @property
    def rows(self) -> int:
        """Rows of the terminal."""
        return self._size()[1]

    @contextmanager
    def _drawing(self) -> Iterator[None]:
        """The display is gone inside, and drawn afterwards; a change of size meanwhile draws it once more."""
        with self._lock:
            self._is_drawing = True
            try:
                if self._shown is not None:
                    self._write(_ERASE, self._terminal)
                yield
                self._draw()
                while self._is_resized:
                    self._is_resized = False
                    self._draw()
            finally:
                self._is_drawing = False

    def _draw(self) -> None:
        """Draw the display from the cursor's line on, and bring the cursor back there."""
        if self._shown is None:
            return
        from rich.console import Console

        columns, rows = self._size()
        console = Console(file=self._terminal, force_terminal=True, width=min(columns, COLUMNS), height=rows)
        with console.capture() as drawn:
            console.print(self._shown, no_wrap=True, overflow="ellipsis", crop=True)
        lines = drawn.get().rstrip("\n").split("\n")[: max(0, rows - 2)]
        body = "".join(f"\n{line}" for line in lines)
        back = f"\x1b[{len(lines)}A\r" if lines else ""
        self._write(f"{_ERASE}{_CUT_LONG_LINES}{body}{_WRAP_LONG_LINES}{back}", self._terminal)

    def _write(self, text: str, stream: TextIO) -> None:
        try:
            stream.write(text)
            stream.flush()
        except OSError:  # a terminal that was just closed; the signal that says so is on its way
            leave_closed_terminal()

    def _size(self) -> tuple[int, int]:
        """Columns and rows of the terminal."""
        try:
            size = os.get_terminal_size(self._terminal.fileno())
        except OSError:
            size = os.terminal_size((0, 0))
        known = size if size.columns and size.lines else shutil.get_terminal_size()
        return known.columns, known.lines

    def _resize(self, number: int, frame: FrameType | None) -> None:
        """Draw the display for the terminal's new size, at once or as soon as what is being drawn is."""
        if self._is_drawing:
            self._is_resized = True
        else:
            self.show(self._shown)


class _Above:
    """A stream whose lines are printed above a display, each once it is whole."""

    def __init__(self, live: Live, stream: TextIO) -> None:
        self._live = live
        self._stream = stream
        self._rest = ""

    def write(self, text: str) -> int:
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:
            self._live.print_above(whole + newline, self._stream)
        return len(text)

    def flush(self) -> None:
        """Lines are flushed anyway, and a part of one is not shown."""

    def finish(self) -> None:
        """Print what is left, although its line has no end."""
        if self._rest:
            self._live.print_above(f"{self._rest}\n", self._stream)
            self._rest = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
