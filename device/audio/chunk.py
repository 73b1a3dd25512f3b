"""Chunks of 16 kHz mono samples, what every source of sound yields, and resampling to them.

A source is anything that iterates `Chunk`s. Chunks carry the index of their first sample, so that gaps can be
seen, and how many times the source has lost sound so far, so that loss is never silent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from device.audio.mixing import Mixer

SAMPLE_RATE = 16_000
"""Samples per second of every chunk."""

BLOCK = 1_600
"""Samples in a chunk unless told otherwise: 100 ms."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """A stretch of sound, 16 kHz mono.

    >>> Chunk(np.zeros(1_600, np.int16), first=32_000, overruns=0).seconds
    2.0
    """

    samples: NDArray[np.int16]
    """Shape (n,), n at most the block that the source was asked for."""
    first: int
    """Index of samples[0] since the source was opened, lost samples not counted."""
    overruns: int
    """How many times the source has lost sound since it was opened."""

    @property
    def seconds(self) -> float:
        """When the chunk begins, in seconds since the source was opened."""
        return self.first / SAMPLE_RATE

    def joined(self, after: Chunk) -> Chunk:
        """This chunk and the one that came next from the same source, in one."""
        return Chunk(np.concatenate([self.samples, after.samples]), self.first, after.overruns)


class Converter:
    """Turns float32 sound of any rate into int16 blocks of 16 kHz mono, without seams between the pieces fed.

    Channels are mixed so that a voice on any of them is heard (device/audio/mixing.py). Resampling is libsoxr's
    streaming resampler at its high quality setting; a single channel at 16 kHz is not touched.

    >>> converter = Converter(rate=8_000, block=1_600)
    >>> halves = [*converter.feed(np.zeros(8_000, np.float32)), *converter.finish()]
    >>> sum(map(len, halves)), halves[0].dtype
    (16000, dtype('int16'))
    """

    def __init__(self, rate: int, block: int = BLOCK, channels: int = 1) -> None:
        if block < 1:
            raise ValueError(f"a block of {block} samples: must be 1 or more")
        self._block = block
        self._channels = channels
        self._mixer = Mixer(rate, channels)
        self._pending: NDArray[np.int16] = np.zeros(0, np.int16)
        self._resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1) if rate != SAMPLE_RATE else None

    def feed(self, samples: NDArray[np.float32]) -> Iterator[NDArray[np.int16]]:
        """Take `samples`, shape (n, channels), or (n,) of one; full scale ±1. Yield every block now complete."""
        self._append(self._mixer.feed(samples.reshape(-1, self._channels)), last=False)
        while len(self._pending) >= self._block:
            yield self._take(self._block)

    def finish(self) -> Iterator[NDArray[np.int16]]:
        """Yield what is left; the last block may be shorter than the others."""
        self._append(self._mixer.finish(), last=True)
        while len(self._pending):
            yield self._take(self._block)

    def _append(self, samples: NDArray[np.float32], last: bool) -> None:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples, last=last)
        scaled = np.rint(np.nan_to_num(samples) * 32_768.0)
        new = np.clip(scaled, -32_768, 32_767).astype(np.int16)
        self._pending = np.concatenate([self._pending, new])

    def _take(self, count: int) -> NDArray[np.int16]:
        block, self._pending = self._pending[:count], self._pending[count:]
        return block


class PreRoll:
    """The last moments before the button is pressed, so that the first word is whole; it never leaves memory.

    >>> preroll = PreRoll(milliseconds=300)
    >>> for i in range(10):
    ...     preroll.push(Chunk(np.zeros(1_600, np.int16), first=1_600 * i, overruns=0))
    >>> [chunk.first for chunk in preroll.take()], preroll.take()
    ([11200, 12800, 14400], [])
    """

    def __init__(self, milliseconds: int) -> None:
        self._keep = SAMPLE_RATE * milliseconds // 1_000
        self._chunks: deque[Chunk] = deque()

    def push(self, chunk: Chunk) -> None:
        """Remember `chunk` and forget what is older than needed; whole chunks are kept."""
        self._chunks.append(chunk)
        held = sum(len(chunk.samples) for chunk in self._chunks)
        while self._chunks and held - len(self._chunks[0].samples) >= self._keep:
            held -= len(self._chunks.popleft().samples)

    def take(self) -> list[Chunk]:
        """Return what is remembered, oldest first, and forget it."""
        taken = list(self._chunks)
        self._chunks.clear()
        return taken
