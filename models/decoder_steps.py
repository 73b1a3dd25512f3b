"""A transformer's decoder, a step at a time: rows advance by one token each and share one cache.

The graphs are those of convert/transformer/decoder_graph.py; the sessions that run them are passed in. A row is a
hypothesis. Each step adds one entry a row to the cache, and every row has a mask of the entries that are its own past,
so hypotheses share what they have in common and nothing is copied when some are dropped and others doubled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.tokenizer import START

Float = NDArray[np.float32]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

POSITIONS = 1024
"""The most tokens of a text."""
UNSEEN = np.float32(-1e9)  # added to the attention's scores where a row must not look
IDLE = 32  # entries of the cache that no row needs before they are dropped


class Session(Protocol):
    """What is used of onnxruntime.InferenceSession."""

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, Any]) -> Sequence[Any]: ...

    def get_outputs(self) -> Sequence[Any]: ...


@dataclass(frozen=True)
class Step:
    """What follows a token in each row."""

    best: Float  # [rows, top], the highest log probabilities, highest first
    ids: Int  # [rows, top], their tokens
    log_probs: Float  # [rows, asked], of the tokens that were asked about


class DecoderSteps:
    """The decoding of one segment."""

    def __init__(self, cross: Session, step: Session, hidden: Float) -> None:
        """`hidden` is the encoder's output [T, C], T > 0."""
        names = [output.name for output in cross.get_outputs()]
        self._step = step
        self._cross = dict(zip(names, cross.run(None, {"hidden": hidden[None]}), strict=True))
        _, heads, _, size = self._cross[names[0]].shape
        layers = [name.removeprefix("cross_") for name in names]  # key.0, value.0, key.1, …
        self._outputs = ["best", "ids", "log_probs", *layers]
        self._cache = {f"past_{name}": np.zeros((1, heads, 0, size), np.float32) for name in layers}
        self._past: Bool = np.zeros(
            (1, 0), np.bool_
        )  # [rows, entries], which entries of the cache are a row's own past
        self._count = 0  # tokens of each row so far

    def advance(self, tokens: Sequence[int], parents: Sequence[int], top: int, asked: Sequence[int] | Int = ()) -> Step:
        """Row i continues row `parents[i]` of the step before with `tokens[i]`; before the first step there is row 0.

        A text begins with START. It may have POSITIONS tokens. Returns the `top` likeliest tokens, and the log
        probabilities of those in `asked`.
        """
        rows = len(tokens)
        past = self._forget(self._past[list(parents)])
        self._past = np.concatenate([past, np.eye(rows, dtype=np.bool_)], 1)
        answer = self._run(tokens, np.full(rows, self._count), self._past, top, asked)
        self._count += 1
        return answer

    def follow(self, tokens: Sequence[int]) -> Float:
        """Log probability [n] of each of `tokens` behind START and those before it; only before any `advance`.

        START goes first, by itself: its activations are far larger than those of words, and the rows of a step are
        quantized together.
        """
        begun: Float = self.advance([START], [0], 1, tokens[:1]).log_probs[0]
        given = list(tokens[:-1])
        if not given:
            return begun
        past = np.tril(np.ones((len(given), len(given) + 1), np.bool_), 1)
        step = self._run(given, 1 + np.arange(len(given)), past, 1, tokens[1:])
        rest: Float = step.log_probs[np.arange(len(given)), np.arange(len(given))]
        return np.concatenate([begun, rest])

    def _run(self, tokens: Sequence[int], positions: Int, past: Bool, top: int, asked: Sequence[int] | Int) -> Step:
        feeds = {
            "tokens": np.array([tokens], np.int64),
            "positions": positions[None].astype(np.int64),
            "mask": np.where(past, np.float32(0), UNSEEN)[None, None],
            "top": np.array([top], np.int64),
            "asked": np.asarray(asked, np.int64),
            **self._cross,
            **self._cache,
        }
        best, ids, log_probs, *cache = self._step.run(self._outputs, feeds)
        self._cache = dict(zip(self._cache, cache, strict=True))
        return Step(best[0], ids[0], log_probs[0])

    def _forget(self, past: Bool) -> Bool:
        """`past` without the entries that no row needs, if there are many, and the cache likewise."""
        needed = past.any(0)
        if past.shape[1] - np.count_nonzero(needed) < IDLE:
            return past
        kept = np.flatnonzero(needed)
        self._cache = {name: np.take(value, kept, 2) for name, value in self._cache.items()}
        return past[:, kept]
