"""A segment's samples to hypotheses: the second recogniser, an encoder with attention in pieces and its decoder.

second = SecondPass(weights, linear, decoder)
for chunk in segment:                       # the convolutions run while the speaker speaks
    second.accept_waveform(chunk)
decode = second.finish(rest)                # the next segment may begin
decode(4)[0].text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from device.asr.attention_decoder import Transcript
from models import moonshine
from models.moonshine import Float, Linear, Weights
from models.pieces import Invoke, Piece

SHORTEST = moonshine.SAMPLE_RATE
"""Samples that a segment has at least: silence is added to a shorter one; the model was not trained on such."""

BATCH = 6_400
"""Samples that the convolutions take at once: each time, all of their weights are read."""
RIVALS = 2.0
"""Natural log; hypotheses within this of the best are wanted too: the guard may prefer another one."""


class Decodes(Protocol):
    """Hidden frames to hypotheses; `device.asr.attention_decoder.AttentionDecoder` is one."""

    def decode(self, hidden: Float, seconds: float, beam: int = 4, margin: float = 0.0) -> Sequence[Transcript]:
        """The hypotheses for `hidden` [T, C], best first."""


class SecondPass:
    """Takes one segment at a time, as it comes, and decodes it when it is over."""

    def __init__(
        self,
        weights: Weights,
        linear: Linear,
        decoder: Decodes,
        stage: Callable[[str], AbstractContextManager[None]] = lambda name: nullcontext(),
    ) -> None:
        """`linear` computes the encoder's pieces, see `in_pieces`; `stage` measures the work."""
        self._weights, self._linear, self._decoder, self._stage = weights, linear, decoder, stage
        self._stem = moonshine.Stem(weights)
        self.samples = 0
        """How many were accepted of this segment."""
        self._waiting: list[NDArray[np.int16]] = []

    def accept_waveform(self, samples: NDArray[np.int16]) -> None:
        """Takes the next int16 samples [n] of the segment, at 16 kHz."""
        self.samples += len(samples)
        self._waiting.append(samples)
        if sum(map(len, self._waiting)) >= BATCH:
            self._push(self._stem, self._waiting)
            self._waiting = []

    def finish(self, rest: NDArray[np.int16]) -> Callable[[int], Sequence[Transcript]]:
        """Ends the segment with `rest`, int16 [n], and returns the function that decodes it; the next one may begin.

        Called with how many hypotheses to follow, the function gives them, best first: once, in any thread, and not at
        the same time as that of another segment.
        """
        samples = self.samples + len(rest)
        silence = np.zeros(max(0, SHORTEST - samples), np.int16)
        seconds = (samples + len(silence)) / moonshine.SAMPLE_RATE
        stem, waiting = self._stem, [*self._waiting, rest, silence]
        self._stem = copy(stem)  # its weights are shared; what it has heard is forgotten
        self.reset()

        def decode(beam: int) -> Sequence[Transcript]:
            self._push(stem, waiting)
            with self._stage("pieces"):
                hidden = moonshine.encode(self._weights, stem.frames(), self._linear)
            with self._stage("attention"):
                return self._decoder.decode(hidden, seconds, beam, RIVALS if beam > 1 else 0.0)

        return decode

    def reset(self) -> None:
        """Forget the segment."""
        self._stem.reset()
        self.samples, self._waiting = 0, []

    def _push(self, stem: moonshine.Stem, waiting: Sequence[NDArray[np.int16]]) -> None:
        with self._stage("stem"):
            stem.push(np.concatenate(waiting).astype(np.float32) / np.float32(32_768))


def in_pieces(around: Mapping[str, Piece], frames: int, invoke: Mapping[str, Invoke]) -> Linear:
    """The encoder's linear layers, computed by int8 models that take `frames` frames a call; longer input in blocks."""

    def linear(name: str, x: Float) -> Float:
        return around[name].run(x, frames, invoke[name])

    return linear
