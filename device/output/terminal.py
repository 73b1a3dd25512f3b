"""Text for a person who reads along: in place on a terminal, with what is being said, or a line each elsewhere.

>>> import io
>>> from device.output.journal import JournalEntry
>>> screen = Terminal(io.StringIO(), columns=lambda: 20)
>>> screen.deliver(JournalEntry(1, 0.0, "", 0, "Hello world"))
>>> screen.hint("it is late")
>>> screen.row
' world | it is late'
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TextIO

from device.output.journal import JournalEntry

CLEAR = "\r\x1b[K"

KEPT = 10_000
"""Characters that can be taken back."""


class Terminal:
    """The text so far in rows that fit, the newest row with what is being said, or a hint, behind a bar.

    A row that is full stays as it is. Where a deletion reaches into such rows, what is left of the text's end is
    written again below them.
    """

    name = "terminal"
    marks = False

    def __init__(self, stream: TextIO, columns: Callable[[], int]) -> None:
        self._stream, self._columns = stream, columns
        self._text = ""
        self._begin = 0  # of the newest row, in the text
        self._tail = ""
        self._lock = threading.RLock()  # what others print comes from other threads

    @property
    def row(self) -> str:
        """What the newest row shows: at most one column less than there are."""
        text, width = self._text[self._begin :].lstrip(" "), max(1, self._columns() - 1)
        shown = f"{text} | {self._tail}" if text and self._tail else text or self._tail
        return shown if len(shown) <= width else shown[-width:]

    def deliver(self, entry: JournalEntry) -> None:
        """Delete and insert, and write the rows that are full."""
        with self._lock:
            self._text = self._text[: max(0, len(self._text) - entry.delete)]
            if len(self._text) < self._begin:
                self._write("\n")
                self._begin = self._last_row()
            self._text += entry.text
            self._tail = ""
            self._break()
            self._draw()
            if len(self._text) > 2 * KEPT:
                cut = min(self._begin, KEPT)
                self._text, self._begin = self._text[cut:], self._begin - cut

    def hint(self, text: str) -> None:
        """Show `text` behind what was said, in place of the last hint."""
        with self._lock:
            if text != self._tail:
                self._tail = text
                self._draw()

    def over(self) -> None:
        """A dictation is over: the next one begins a row."""
        with self._lock:
            self._tail = ""
            if self._text[self._begin :].strip(" "):
                self._draw()
                self._write("\n")
                self._begin = len(self._text)

    def aside(self, write: Callable[[], object]) -> None:
        """Have something else written, a line or more, in place of the newest row, and the row below it."""
        with self._lock:
            self._write(CLEAR)
            write()
            self._draw()

    def close(self) -> None:
        """Leave the text alone."""
        with self._lock:
            self._tail = ""
            self.over()
            self._write(CLEAR)

    def _break(self) -> None:
        """Write the rows that are full, or ended by a line feed."""
        width = max(1, self._columns() - 1)
        while True:
            row = self._text[self._begin :]
            spaces = len(row) - len(row.lstrip(" "))
            end = row.find("\n")
            if 0 <= end <= width + spaces:
                cut, after = end, end + 1
            elif len(row) - spaces > width:
                space = row.rfind(" ", spaces + 1, spaces + width + 1)
                cut = after = space if space > 0 else spaces + width
            else:
                return
            self._write(f"{CLEAR}{row[spaces:cut] if cut > spaces else ''}\n")
            self._begin += after

    def _last_row(self) -> int:
        """Where the row would begin that ends with the text."""
        begin = max(self._text.rfind("\n") + 1, len(self._text) - max(1, self._columns() - 1))
        return begin if begin == 0 or self._text[begin - 1] in " \n" else max(begin, self._text.find(" ", begin) + 1)

    def _draw(self) -> None:
        self._write(f"{CLEAR}{self.row}")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Lines:
    """A line for each stretch of text, at once; `told` hears of what was written and is taken back."""

    name = "stdout"
    marks = False

    def __init__(self, stream: TextIO, told: Callable[[str], object]) -> None:
        self._stream, self._told = stream, told

    def deliver(self, entry: JournalEntry) -> None:
        """Write and flush."""
        if entry.delete:
            self._told(f"{entry.delete} characters that are written already were taken back")
        for line in filter(None, map(str.strip, entry.text.split("\n"))):
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream open: it is not ours."""
