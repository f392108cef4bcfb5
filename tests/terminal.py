"""A terminal for tests: a real pseudo-terminal, and a screen that breaks its lines anew when its width changes."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

CODES = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]")


class Screen:
    """What a terminal shows: rows of `width` columns, of which it knows which go on in the next one.

    It has all rows that ever were, as if it were high and scrolled back, and understands only what pcdarts sends.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows: list[tuple[str, bool]] = [("", False)]
        self.row = self.column = 0
        self.wraps = True

    @property
    def lines(self) -> list[str]:
        """Its text, rows that were broken put together."""
        found, line = [], ""
        for text, goes_on in self.rows:
            line += text
            if not goes_on:
                found.append(line.rstrip())
                line = ""
        return found

    def feed(self, text: str) -> None:
        place = 0
        while match := CODES.match(text, place):
            place = match.end()
            private, number, code = match.groups()
            if code is None:
                self._print(match.group())
            elif private:
                assert number == "7", match.group()
                self.wraps = code == "h"
            elif code == "A":
                self.row = max(0, self.row - int(number or 1))
            elif code == "K":
                self.rows[self.row] = (self.rows[self.row][0][: self.column], False)
            elif code == "J":
                self.rows[self.row :] = [(self.rows[self.row][0][: self.column], False)]
            else:
                assert code == "m", match.group()
        assert place == len(text), text[place:]

    def _print(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
            return
        if letter == "\n":
            self._down()
            return
        if self.column == self.width and self.wraps:
            self.rows[self.row] = (self.rows[self.row][0], True)
            self._down()
            self.column = 0
        self.column = min(self.column, self.width - 1)
        text, goes_on = self.rows[self.row]
        text = text.ljust(self.column)
        self.rows[self.row] = (text[: self.column] + letter + text[self.column + 1 :], goes_on)
        self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append(("", False))

    def resize(self, width: int) -> None:
        """Break all lines anew; the cursor stays at its letter."""
        before, offset, number = 0, self.column, 0
        for text, goes_on in self.rows[: self.row]:
            offset = offset + len(text) if goes_on else self.column
            before += not goes_on
        lines, line = [], ""
        for text, goes_on in self.rows:
            line += text
            if not goes_on:
                lines.append(line)
                line = ""
        self.rows = []
        for number, line in enumerate(lines):
            if number == before:
                self.row, self.column = len(self.rows) + offset // width, offset % width
            pieces = [line[start : start + width] for start in range(0, max(1, len(line)), width)]
            self.rows += [(piece, True) for piece in pieces[:-1]] + [(pieces[-1], False)]
        self.width = width


class Terminal:
    """A pseudo-terminal that this process prints on, and its screen."""

    def __init__(self, width: int, height: int) -> None:
        self.screen = Screen(width)
        self.seen = ""
        self._height = height
        self._end, inside = pty.openpty()
        self.inside = os.fdopen(inside, "w", encoding="utf-8")
        self._tell(width)

    def _tell(self, width: int) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", self._height, width, 0, 0))

    def resize(self, width: int, *, told_late: bool = False) -> None:
        """Another width, of which the process is told by SIGWINCH; `told_late`: not yet."""
        self.read()
        self.screen.resize(width)
        if not told_late:
            self._tell(width)
            signal.raise_signal(signal.SIGWINCH)
            self.read()

    def read(self) -> Screen:
        """Show all that was printed so far."""
        found = b""
        while select.select([self._end], [], [], 0)[0]:
            found += os.read(self._end, 65536)
        text = found.decode()
        self.seen += text
        self.screen.feed(text)
        return self.screen

    def close(self) -> None:
        self.inside.close()
        os.close(self._end)


@contextmanager
def printing_on_a_terminal(width: int, height: int = 24) -> Iterator[Terminal]:
    """Inside, this process prints on a terminal: output, errors and all."""
    terminal = Terminal(width, height)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr("sys.stdout", terminal.inside)
        patch.setattr("sys.stderr", terminal.inside)
        try:
            yield terminal
        finally:
            terminal.close()
