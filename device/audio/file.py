"""A recording as a source of chunks.

>>> import numpy as np, soundfile, tempfile, pathlib
>>> path = pathlib.Path(tempfile.mkdtemp()) / "half-a-second.wav"
>>> soundfile.write(path, np.zeros(24_000, np.int16), 48_000)
>>> [(chunk.first, len(chunk.samples)) for chunk in WaveFile(path, block=5_000)]
[(0, 5000), (5000, 3000)]
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from device.audio.chunk import BLOCK, Chunk, Converter
from device.audio.decode import AudioError, Source


class WaveFile:
    """A recording as a source: WAV, FLAC, OGG or MP3 of any rate, all its channels heard; others through ffmpeg.

    It reads as fast as it is asked, holds one block in memory, and can be iterated again from the start.
    Raises AudioError on iteration if the file is missing or is no recording. Where a recording breaks off, whatever
    can be read of it is yielded first, and then AudioError says where and how it ends.

    >>> list(WaveFile("missing.wav"))
    Traceback (most recent call last):
    device.audio.decode.AudioError: missing.wav: no such file; check the path
    """

    def __init__(self, path: str | Path, block: int = BLOCK) -> None:
        if block < 1:
            raise ValueError(f"a block of {block} samples: must be 1 or more")
        self._path = Path(path)
        self._block = block
        self.seconds = 0.0
        """How long it should be, once its iteration has begun; 0 where that is not known."""

    def __iter__(self) -> Iterator[Chunk]:
        first = 0
        with Source(self._path) as source:
            self.seconds = source.seconds
            for samples in self._blocks(source):
                yield Chunk(samples, first, overruns=0)
                first += len(samples)
            if problem := source.problem:
                raise AudioError(f"{self._path}: {problem}")

    def _blocks(self, source: Source) -> Iterator[NDArray[np.int16]]:
        converter = Converter(source.rate, self._block, source.channels)
        for piece in source:
            yield from converter.feed(piece)
        yield from converter.finish()
