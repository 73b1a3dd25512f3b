"""Greedy decoding with the decoder of a bundle, to say in words what int8 costs the encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.onnx import runtime
from convert.transformer import decoder_graph
from models.decoder_steps import DecoderSteps
from models.tokenizer import END, START, Tokenizer, most_tokens

Float = NDArray[np.float32]


class Decoder:
    """Encoder frames to text."""

    def __init__(self, folder: Path) -> None:
        """`folder` is what decoder_graph.export wrote."""
        self._cross, self._step = (runtime.session(folder / name) for name in (decoder_graph.CROSS, decoder_graph.STEP))
        self._tokenizer = Tokenizer.load(folder / decoder_graph.TOKENIZER)

    def __call__(self, hidden: Float, seconds: float) -> str:
        """The text of `hidden` [T, C], the encoder's output for `seconds` of speech."""
        if not len(hidden):
            return ""
        steps, said = DecoderSteps(self._cross, self._step, hidden), [START]
        for _ in range(most_tokens(seconds)):
            said.append(int(steps.advance(said[-1:], [0], 1).ids[0, 0]))
            if said[-1] == END:
                break
        return self._tokenizer.text(said)
