"""Greedy decoding by the source's own decoder in ONNX Runtime, to say in words what int8 costs the encoder.

The decoder is a merged graph with a key/value cache: `use_cache_branch` is false at the first step, and the cross
attention's keys and values, made then, are passed on unchanged.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.onnx import runtime

Float = NDArray[np.float32]
START, END = 1, 2
TOKENS_PER_SECOND, LEAST_TOKENS = 6.5, 10  # speech holds no more; what goes on is a loop
SAMPLES = 384  # of each encoder frame: the mask is at the rate of the sound
SPACE = "\u2581"


class Decoder:
    """Encoder frames to text."""

    def __init__(self, decoder: Path, tokenizer: Path) -> None:
        self._session = runtime.session(decoder)
        self._tokens = tokens(tokenizer.read_bytes())
        self._cache = [v for v in self._session.get_inputs() if v.name.startswith("past_key_values")]
        self._outputs = [v.name for v in self._session.get_outputs()]

    def __call__(self, hidden: Float, seconds: float) -> str:
        """The text of `hidden` [T, C], the encoder's output for `seconds` of speech."""
        if not len(hidden):
            return ""
        feeds = {
            "encoder_attention_mask": np.ones((1, len(hidden) * SAMPLES), np.int64),
            "encoder_hidden_states": hidden[None],
        }
        past = {v.name: np.zeros((1, v.shape[1], 0, v.shape[3]), np.float32) for v in self._cache}
        said: list[int] = []
        for step in range(max(LEAST_TOKENS, math.ceil(seconds * TOKENS_PER_SECOND))):
            ids = np.array([[said[-1] if said else START]], np.int64)
            given = {**feeds, **past, "input_ids": ids, "use_cache_branch": np.array([step > 0])}
            answer = dict(zip(self._outputs, self._session.run(None, given), strict=True))
            said.append(int(answer["logits"][0, -1].argmax()))
            if said[-1] == END:
                break
            for name in past:
                if not step or ".encoder." not in name:
                    past[name] = answer[name.replace("past_key_values", "present")]
        return text(said, self._tokens)


def tokens(content: bytes) -> list[bytes]:
    """The tokens of tokenizer.bin: each behind its length, of one byte, or of two where the first is 128 or more.

    >>> tokens(bytes([2]) + b"ab" + bytes([0, 130, 1]) + 130 * b"c")[:2]
    [b'ab', b'']
    """
    found, at = [], 0
    while at < len(content):
        length = content[at]
        at += 1
        if length >= 128:
            length = content[at] * 128 + length - 128
            at += 1
        found.append(content[at : at + length])
        at += length
    return found


def text(ids: list[int], known: list[bytes]) -> str:
    """What token ids spell, without the special ones."""
    spelled = b"".join(known[i] for i in ids if i > END)
    return spelled.decode("utf-8", "replace").replace(SPACE, " ").strip()
