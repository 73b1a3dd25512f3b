"""Says what is being done and how long each step took."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

CLEAR = "\r\x1b[K"
BEAT_S = 60.0


class Progress:
    """Prints a line for each step once it has ended, and what is done within it.

    A terminal shows the latter in one line that changes; a log gets a line for each, and one at each `beat`.

    >>> progress = Progress(sys.stdout, lambda: 0.0)
    >>> progress.step("unpack")
    >>> progress.say("usr")
       0.0 s  unpack · usr
    >>> progress.beat()
       0.0 s  unpack · usr …
    >>> progress.done("all there")
       0.0 s  unpack
       0.0 s  in all: all there
    """

    def __init__(self, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stderr
        self._clock = clock
        self._start = self._since = clock()
        self._name = self._detail = ""
        self._lock = threading.Lock()

    def step(self, name: str) -> None:
        """Begin the step `name`; the one before has ended."""
        with self._lock:
            now = self._clock()
            if self._name:
                self._line(now - self._since, self._name)
            self._name, self._since, self._detail = name, now, ""
            self._draw()

    def say(self, detail: str) -> None:
        """What is being done within the step, until the next word."""
        with self._lock:
            self._detail = detail
            self._draw()
            if detail and not self._out.isatty():
                self._line(self._clock() - self._since, self._doing())

    def beat(self) -> None:
        """Show that the step goes on."""
        with self._lock:
            self._draw()
            if self._name and not self._out.isatty():
                self._line(self._clock() - self._since, f"{self._doing()} …")

    @contextmanager
    def beating(self, every_s: float = BEAT_S) -> Iterator[None]:
        """Have `beat` called every so many seconds while the block lasts."""
        over = threading.Event()

        def beats() -> None:
            while not over.wait(every_s):
                self.beat()

        thread = threading.Thread(target=beats, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def done(self, summary: str) -> None:
        """The last step has ended."""
        self.step("")
        with self._lock:
            self._line(self._clock() - self._start, f"in all: {summary}")

    def _doing(self) -> str:
        return f"{self._name}{' · ' * bool(self._detail)}{self._detail}"

    def _draw(self) -> None:
        if self._out.isatty():
            self._out.write(f"{CLEAR}{self._clock() - self._since:6.1f} s  {self._doing()}")
            self._out.flush()

    def _line(self, seconds: float, text: str) -> None:
        start = CLEAR if self._out.isatty() else ""
        self._out.write(f"{start}{seconds:6.1f} s  {text}\n")
        self._out.flush()
