"""A made-up network for the decoder's search: any function from the tokens so far to what follows.

It answers as the graphs of convert/transformer/decoder_graph.py do, and knows a row's tokens only by the cache and the
mask: what the search does wrong with either changes what it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Language = Callable[[tuple[int, ...]], NDArray[np.float32]]
"""Tokens so far, START among them -> log probabilities [tokens]."""


class Cross:
    """One layer, one head: nothing of the sound is kept."""

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[Any]:
        return 2 * [np.zeros((1, 1, feeds["hidden"].shape[1], 1), np.float32)]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="cross_key.0"), SimpleNamespace(name="cross_value.0")]


class Step:
    """Keys are tokens, values are positions."""

    def __init__(self, language: Language) -> None:
        self._language = language
        self.rows: list[int] = []  # of each call

    def run(self, outputs: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[Any]:
        tokens, positions = feeds["tokens"][0], feeds["positions"][0]
        self.rows.append(len(tokens))
        keys = np.concatenate([feeds["past_key.0"][0, 0, :, 0], tokens.astype(np.float32)])
        values = np.concatenate([feeds["past_value.0"][0, 0, :, 0], positions.astype(np.float32)])
        log_probs = np.stack([self._row(keys, values, seen) for seen in feeds["mask"][0, 0]])
        ids = np.argsort(-log_probs, axis=1, kind="stable")[:, : int(feeds["top"][0])]
        answer = {
            "log_probs": log_probs[None][:, :, feeds["asked"]],
            "best": np.take_along_axis(log_probs, ids, 1)[None],
            "ids": ids[None],
            "key.0": keys[None, None, :, None],
            "value.0": values[None, None, :, None],
        }
        return [answer[name] for name in outputs or answer]

    def get_outputs(self) -> list[Any]:
        return []

    def _row(self, keys: Any, values: Any, seen: Any) -> NDArray[np.float32]:
        places = np.flatnonzero(seen == 0)
        assert values[places].tolist() == list(range(len(places))), "a row's past is one token at each position"
        return self._language(tuple(int(token) for token in keys[places]))
