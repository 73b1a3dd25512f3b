"""One line of a terminal that is written over: partial results, progress.

>>> newest("it is late now", width=8), newest("now", width=8)
('late now', 'now')
"""

from __future__ import annotations

import shutil
from typing import TextIO

CLEAR = "\r\x1b[K"


def newest(text: str, width: int) -> str:
    """The end of `text` that fits into `width` columns of one character each."""
    return text[-width:] if width > 0 else ""


class StatusLine:
    """The last line of a terminal; elsewhere nothing is written. What is printed below it needs `clear` first."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.there = stream, stream.isatty()
        self._shown = ""

    def update(self, text: str) -> None:
        """Show the end of `text` in place of what was shown."""
        fitting = newest(text, shutil.get_terminal_size().columns - 1)
        if self.there and fitting != self._shown:
            print(f"{CLEAR}{fitting}", end="", file=self._stream, flush=True)
            self._shown = fitting

    def clear(self) -> None:
        """Make room for a line of text."""
        if self._shown:
            print(CLEAR, end="", file=self._stream, flush=True)
            self._shown = ""
