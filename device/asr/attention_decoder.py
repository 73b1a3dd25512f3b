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
MARGIN = 5.0
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
        past = {v.name: np.zeros((1, v.shape[1], 0, v.shape[3]), np.float32) for v in self._cache}
        rows: list[tuple[list[int], float]] = [([START], 0.0)]
        done: list[tuple[list[int], float]] = []
        for step in range(max(LEAST_TOKENS, math.ceil(seconds * TOKENS_PER_SECOND))):
            log_probs = self._step(hidden, rows, past, step > 0)
            candidates = sorted(
                (
                    (score + float(log_probs[row, token]), row, int(token))
                    for row, (_, score) in enumerate(rows)
                    for token in np.argpartition(-log_probs[row], 2 * beam)[: 2 * beam]
                ),
                reverse=True,
            )
            kept: list[tuple[list[int], float]] = []
            sources: list[int] = []
            for score, row, token in candidates[: 2 * beam]:
                if token == END:
                    done.append(([*rows[row][0], END], score))
                elif len(kept) < beam:
                    kept.append(([*rows[row][0], token], score))
                    sources.append(row)
            rows = kept
            done.sort(key=lambda each: -each[1])
            if not rows or (len(done) >= beam and done[beam - 1][1] >= rows[0][1]) or (beam == 1 and done):
                break
            if done and done[0][1] - rows[0][1] > MARGIN:
                break
            for name in past:
                past[name] = np.ascontiguousarray(past[name][sources])
        found = [self._transcript(ids, score) for ids, score in done[:beam]]
        return found or [self._transcript(ids, score) for ids, score in rows]

    def _step(self, hidden: Float, rows: list[tuple[list[int], float]], past: dict[str, Float], cached: bool) -> Float:
        given = {
            **past,
            "encoder_attention_mask": np.ones((len(rows), len(hidden) * SAMPLES), np.int64),
            "encoder_hidden_states": np.repeat(hidden[None], len(rows), 0),
            "input_ids": np.array([[ids[-1]] for ids, _ in rows], np.int64),
            "use_cache_branch": np.array([cached]),
        }
        answer = dict(zip(self._outputs, self._session.run(None, given), strict=True))
        for name in past:
            if not cached or ".encoder." not in name:
                past[name] = answer[name.replace("past_key_values", "present")]
        logits: Float = answer["logits"][:, -1]
        logits = logits - logits.max(1, keepdims=True)
        log_probs: Float = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        return log_probs

    def _transcript(self, ids: list[int], score: float) -> Transcript:
        spelled = b"".join(self._tokens[i] for i in ids if i > END)
        text = spelled.decode("utf-8", "replace").replace(SPACE, " ").strip()
        return Transcript(text, len(ids) - 1, score, ids[-1] == END)


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
