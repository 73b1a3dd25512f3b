"""How soon the words come: what a listening recogniser takes for each block of sound, and after the button.

Sound arrives in blocks at its own pace whether or not the machine keeps up. The clock of that is computed, not waited
for: a block that comes at t is begun at t or when the one before is done, and takes what it takes. So ten seconds of
speech are measured in as long as the machine needs for them, and a machine that is too slow shows a growing delay.

>>> from device.events import Final, Partial
>>> class Quick:
...     searched = 0.1
...     def accept(self, samples):
...         return [Partial("a", "", 0.1)]
...     def finish(self):
...         return [Final(0.2)]
...     def reset(self):
...         pass
>>> run = listen(Quick(), np.zeros(3_200, np.int16))
>>> len(run.blocks), len(run.behind), run.after_release < 0.1
(2, 2, True)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.audio import BLOCK, SAMPLE_RATE
from device.events import Partial
from device.parts import Listener


class Searching(Listener, Protocol):
    """A listener that tells how far it is."""

    @property
    def searched(self) -> float:
        """Seconds of sound, since the utterance began, that have been searched for words."""


@dataclass(frozen=True, slots=True)
class Run:
    """Times of one utterance, in seconds."""

    seconds: float
    """Sound in it."""
    blocks: Sequence[float]
    """What each block took."""
    behind: Sequence[float]
    """How far each partial text was behind the speech when it was shown: from the end of the sound that it covers."""
    after_release: float
    """From the last sample to the final text."""


def listen(
    recognizer: Searching,
    samples: NDArray[np.int16],
    block: int = BLOCK,
    clock: Callable[[], float] = time.perf_counter,
) -> Run:
    """Give `samples`, shape (n,), to `recognizer` in blocks and measure."""
    recognizer.reset()
    blocks, behind, done = [], [], 0.0
    for first in range(0, len(samples), block):
        piece = samples[first : first + block]
        begun = clock()
        events = recognizer.accept(piece)
        took = clock() - begun
        blocks.append(took)
        done = max(done, (first + len(piece)) / SAMPLE_RATE) + took
        if any(isinstance(event, Partial) for event in events):
            behind.append(done - recognizer.searched)
    released = len(samples) / SAMPLE_RATE
    begun = clock()
    recognizer.finish()
    final = max(done, released) + clock() - begun
    return Run(released, blocks, behind, final - released)


def percentiles(values: Iterable[float]) -> tuple[float, float, float]:
    """p50, p95 and p99.

    >>> percentiles(range(101))
    (50.0, 95.0, 99.0)
    """
    p50, p95, p99 = np.percentile(list(values), [50, 95, 99])
    return float(p50), float(p95), float(p99)


def table(runs: Sequence[Run]) -> str:
    """`runs` as text, in ms."""
    rows = {
        "a block of 100 ms": [took for run in runs for took in run.blocks],
        "partial text behind the speech": [lag for run in runs for lag in run.behind],
        "button release to final text": [run.after_release for run in runs],
    }
    lines = [f"{'ms':<32} {'p50':>8} {'p95':>8} {'p99':>8} {'max':>8} {'n':>6}"]
    for name, values in rows.items():
        if values:
            figures = (*percentiles(values), max(values))
            lines.append(f"{name:<32} " + " ".join(f"{1e3 * v:>8.1f}" for v in figures) + f" {len(values):>6}")
    return "\n".join(lines)


def utterances(samples: NDArray[np.int16], seconds: float) -> list[NDArray[np.int16]]:
    """Cut a recording into utterances of exactly `seconds`; the rest is left out."""
    size = round(seconds * SAMPLE_RATE)
    return [samples[first : first + size] for first in range(0, len(samples) - size + 1, size)]
