"""The capture thread: chunks from a source into the appliance's queue, and whether it still lives.

>>> from queue import SimpleQueue
>>> chunks: SimpleQueue[Chunk] = SimpleQueue()
>>> capture = Capture(lambda: iter([Chunk(np.zeros(1_600, np.int16), 0, 0)]), chunks.put)
>>> capture.start(); chunks.get(timeout=1).first
0
>>> capture.stop()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from threading import Event, Thread
from typing import Any

import numpy as np

from device.audio.chunk import SAMPLE_RATE, Chunk
from device.audio.decode import AudioError


class Capture:
    """Iterates a source in a thread of its own while it is wanted.

    A source that is not `always` open is iterated from `want(True)` to `want(False)`, from its beginning each
    time. `idle` tells how long the thread has shown no sign of life (`alive` or a chunk).
    """

    def __init__(
        self, source: Callable[[], Iterable[Chunk]], put: Callable[[Chunk], object], always: bool = True
    ) -> None:
        self._source, self._put, self._always = source, put, always
        self._wanted, self._stopped = Event(), Event()
        self._thread = Thread(target=self._run, name="capture", daemon=True)
        self._seen = time.monotonic()
        if always:
            self._wanted.set()

    def start(self) -> None:
        """Begin, with the source open if it always is."""
        self._thread.start()

    def want(self, wanted: bool) -> None:
        """Open or close a source that is not always open; never waits."""
        if self._always:
            return
        self.alive()
        self._wanted.set() if wanted else self._wanted.clear()

    def alive(self) -> None:
        """Note a sign of life of the source."""
        self._seen = time.monotonic()

    @property
    def idle(self) -> float:
        """Seconds without a sign of life; none are expected while the source is not wanted."""
        return time.monotonic() - self._seen if self._wanted.is_set() else 0.0

    def stop(self) -> None:
        """End the thread; gives up on one that hangs after two seconds."""
        self._stopped.set()
        self._wanted.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._wanted.wait(timeout=0.5):
                continue
            with closing(_generator(self._source())) as chunks:
                for chunk in chunks:
                    self.alive()
                    self._put(chunk)
                    if self._stopped.is_set() or not self._wanted.is_set():
                        break
                else:
                    self._stopped.wait(0.05)


def paced(
    chunks: Iterable[Chunk], sleep: Callable[[float], Any] = time.sleep, told: Callable[[str], Any] = lambda text: None
) -> Iterator[Chunk]:
    """Give the chunks of a recording when a microphone would have, then silence for ever.

    A recording that breaks off, or cannot be read, is told of.

    >>> slept: list[float] = []
    >>> endless = paced([Chunk(np.ones(800, np.int16), 0, 0)], slept.append)
    >>> [next(endless).first for _ in range(3)]
    [0, 800, 2400]
    """
    begun, first = time.monotonic(), 0
    for chunk in _then_silence(chunks, told):
        first = chunk.first + len(chunk.samples)
        sleep(max(0.0, begun + first / SAMPLE_RATE - time.monotonic()))
        yield chunk


def _then_silence(chunks: Iterable[Chunk], told: Callable[[str], Any]) -> Iterator[Chunk]:
    first = 0
    try:
        for chunk in chunks:
            yield chunk
            first = chunk.first + len(chunk.samples)
    except AudioError as error:
        told(str(error))
    while True:
        yield Chunk(np.zeros(1_600, np.int16), first, 0)
        first += 1_600


def _generator(chunks: Iterable[Chunk]) -> Generator[Chunk, None, None]:
    yield from chunks
