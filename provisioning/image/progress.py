"""Says what is being done and how long each step took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

CLEAR = "\r\x1b[K"


class Progress:
    """Prints a line for each step once it has ended, and on a terminal what is done within it.

    >>> progress = Progress(sys.stdout, lambda: 0.0)
    >>> progress.step("unpack")
    >>> progress.done("all there")
       0.0 s  unpack
       0.0 s  in all: all there
    """

    def __init__(self, out: TextIO = sys.stderr, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._start = self._since = clock()
        self._name = ""

    def step(self, name: str) -> None:
        """Begin the step `name`; the one before has ended."""
        now = self._clock()
        if self._name:
            self._line(now - self._since, self._name)
        self._name, self._since = name, now
        self.say("")

    def say(self, detail: str) -> None:
        """What is being done within the step; shown until the next word, where someone is watching."""
        if self._out.isatty():
            self._out.write(f"{CLEAR}{self._clock() - self._since:6.1f} s  {self._name}{' · ' * bool(detail)}{detail}")
            self._out.flush()

    def done(self, summary: str) -> None:
        """The last step has ended."""
        self.step("")
        self._line(self._clock() - self._start, f"in all: {summary}")

    def _line(self, seconds: float, text: str) -> None:
        start = CLEAR if self._out.isatty() else ""
        self._out.write(f"{start}{seconds:6.1f} s  {text}\n")
        self._out.flush()
