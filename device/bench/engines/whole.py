"""Engines that do not stream: they gather the utterance and hear it when it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Whole:
    """`transcribe` turns a whole utterance, float32 samples [n] of 16 kHz in [-1, 1), into text.

    >>> engine = Whole(lambda samples: f"{len(samples)} samples", [])
    >>> engine.accept_waveform(np.zeros(1_600, np.int16)), engine.accept_waveform(np.zeros(800, np.int16))
    (None, None)
    >>> engine.finish()
    '2400 samples'
    """

    def __init__(self, transcribe: Callable[[NDArray[np.float32]], str], model: Sequence[Path]) -> None:
        self._transcribe, self.model = transcribe, model
        self._heard: list[NDArray[np.int16]] = []

    def accept_waveform(self, samples: NDArray[np.int16]) -> None:
        self._heard.append(samples)

    def finish(self) -> str:
        heard, self._heard = np.concatenate([np.zeros(0, np.int16), *self._heard]), []
        return self._transcribe(heard.astype(np.float32) / np.float32(32_768))
