"""Let an engine listen to an utterance chunk by chunk, and time it.

A chunk is due when a microphone would have delivered its last sample; its latency runs from there until the engine is
done with it, so a chunk that waits for the one before is late by that too. At the pace of a microphone the clock is
waited for (`RealTime`). At full speed it is computed (`Computed`): waiting takes no time, so ten seconds of speech are
measured in as long as the machine needs for them, and a machine that is too slow still shows a growing delay.

>>> class Deaf:
...     model = ()
...     def accept_waveform(self, samples):
...         return None
...     def finish(self):
...         return "nothing"
>>> heard = listen(Deaf(), np.zeros(4_000, np.int16), RATE, Computed())
>>> heard.text, len(heard.late), heard.seconds, heard.final < 0.1
('nothing', 3, 0.25, True)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from device.bench.engine import CHUNK_S, RATE, Engine


class Clock(Protocol):
    """Seconds from any beginning, and how to wait."""

    def now(self) -> float: ...

    def until(self, due: float) -> None:
        """Return at `due`, or at once if that is past."""


class RealTime:
    """The machine's own clock."""

    def now(self) -> float:
        return time.perf_counter()

    def until(self, due: float) -> None:
        time.sleep(max(0.0, due - time.perf_counter()))


class Computed:
    """A clock that jumps where another would wait; `work` is the clock of what is not skipped."""

    def __init__(self, work: Callable[[], float] = time.perf_counter) -> None:
        self._work, self._skipped = work, 0.0

    def now(self) -> float:
        return self._work() + self._skipped

    def until(self, due: float) -> None:
        self._skipped += max(0.0, due - self.now())


@dataclass(frozen=True, slots=True)
class LiveResult:
    """Times of one utterance, in seconds."""

    seconds: float
    """Sound in it."""
    late: list[float]
    """For each chunk, from when it was due until the engine was done with it."""
    first_partial: float | None
    """From the first sample to the first partial text; None where there was none."""
    behind: list[float]
    """For each partial text, from the end of the sound that it covers until it was shown."""
    final: float
    """From the last sample to the final text."""
    text: str


def chunks(samples: NDArray[Any], rate: int) -> Iterator[NDArray[Any]]:
    """`samples` [n] in pieces of `CHUNK_S`; the last may be shorter."""
    size = round(CHUNK_S * rate)
    for first in range(0, len(samples), size):
        yield samples[first : first + size]


def listen(engine: Engine, samples: NDArray[np.int16], rate: int, clock: Clock) -> LiveResult:
    """Give `samples` [n] of `rate` to `engine`, each chunk when it is due by `clock`."""
    late: list[float] = []
    behind: list[float] = []
    first_partial: float | None = None
    begun, given = clock.now(), 0
    for chunk in chunks(samples, rate):
        given += len(chunk)
        due = begun + given / rate
        clock.until(due)
        covered = engine.accept_waveform(chunk)
        done = clock.now()
        late.append(done - due)
        if covered is not None:
            behind.append(done - begun - covered)
            first_partial = done - begun if first_partial is None else first_partial
    text = engine.finish()
    return LiveResult(given / rate, late, first_partial, behind, clock.now() - begun - given / rate, text)


class Resampled:
    """An engine behind the microphone's converter: hears any rate as the appliance does, and times the conversion."""

    def __init__(self, engine: Engine, rate: int) -> None:
        from device.audio.chunk import Converter

        self._engine, self._open = engine, partial(Converter, rate, round(CHUNK_S * RATE))
        self._converter = self._open()
        self.model = engine.model
        self.took: list[float] = []
        """Seconds that each chunk's conversion took."""

    def accept_waveform(self, samples: NDArray[np.int16]) -> float | None:
        begun = time.perf_counter()
        blocks = list(self._converter.feed(samples.astype(np.float32) / np.float32(32_768)))
        self.took.append(time.perf_counter() - begun)
        covered = [self._engine.accept_waveform(block) for block in blocks]
        return max((end for end in covered if end is not None), default=None)

    def finish(self) -> str:
        for block in self._converter.finish():
            self._engine.accept_waveform(block)
        self._converter = self._open()
        return self._engine.finish()
