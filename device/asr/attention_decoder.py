"""Encoder frames to text: a decoder with attention in ONNX Runtime, step by step, greedily.

The decoder is a merged graph with a key/value cache: `use_cache_branch` is false at the first step, and the cross
attention's keys and values, made then, are passed on unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.transformer_bundle import TransformerBundle

Float = NDArray[np.float32]
START, END = 1, 2
TOKENS_PER_SECOND, LEAST_TOKENS = 6.5, 10  # speech holds no more; what goes on is a loop
SAMPLES = 384  # of each encoder frame: the mask is at the rate of the sound
SPACE = "\u2581"


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said, as one hypothesis has it."""

    text: str
    tokens: int
    score: float
    """Sum of the log probabilities of the tokens."""
    ended: bool
    """Whether the end token was reached."""


class AttentionDecoder:
    """Hidden frames of a segment to hypotheses."""

    def __init__(self, session: onnxruntime.InferenceSession, tokens: Sequence[bytes]) -> None:
        self._session, self._tokens = session, tokens
        self._cache = [v for v in session.get_inputs() if v.name.startswith("past_key_values")]
        self._outputs = [v.name for v in session.get_outputs()]

    @classmethod
    def of(cls, bundle: TransformerBundle, words: Sequence[str] = (), threads: int = 1) -> AttentionDecoder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(str(bundle.decoder), options, providers=["CPUExecutionProvider"])
        return cls(session, _tokens(bundle.tokenizer.read_bytes()))

    def decode(self, hidden: Float, seconds: float, beam: int = 4) -> list[Transcript]:
        """The hypotheses for `hidden` [T, C], the encoder's output for `seconds` of speech, best first."""
        if not len(hidden):
            return []
        feeds = {
            "encoder_attention_mask": np.ones((1, len(hidden) * SAMPLES), np.int64),
            "encoder_hidden_states": hidden[None],
        }
        past = {v.name: np.zeros((1, v.shape[1], 0, v.shape[3]), np.float32) for v in self._cache}
        said: list[int] = []
        score = 0.0
        for step in range(max(LEAST_TOKENS, math.ceil(seconds * TOKENS_PER_SECOND))):
            ids = np.array([[said[-1] if said else START]], np.int64)
            given = {**feeds, **past, "input_ids": ids, "use_cache_branch": np.array([step > 0])}
            answer = dict(zip(self._outputs, self._session.run(None, given), strict=True))
            logits = answer["logits"][0, -1]
            said.append(int(logits.argmax()))
            score -= float(np.log(np.exp(logits - logits.max()).sum()))
            if said[-1] == END:
                break
            for name in past:
                if not step or ".encoder." not in name:
                    past[name] = answer[name.replace("past_key_values", "present")]
        spelled = b"".join(self._tokens[i] for i in said if i > END)
        text = spelled.decode("utf-8", "replace").replace(SPACE, " ").strip()
        return [Transcript(text, len(said), score, said[-1] == END)]


def _tokens(content: bytes) -> list[bytes]:
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
