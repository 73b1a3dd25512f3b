"""How far two models' posteriors agree: frame by frame, and in the tokens that greedy CTC decoding reads from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """`frames`: share of frames with the same best token; `changed`: token edits for each token of the reference."""

    frames: float
    changed: float
    tokens: int  # of the reference


def greedy(log_probs: Float, silent: Sequence[int]) -> list[int]:
    """The best token of each frame [T, V], repeats merged, then without `silent` (blank, word boundary).

    >>> greedy(np.eye(3, dtype=np.float32)[[0, 0, 2, 0, 1, 1]], silent=[2])
    [0, 0, 1]
    """
    best = log_probs.argmax(1)
    kept = best[np.concatenate([[True], best[1:] != best[:-1]])] if len(best) else best
    return [int(token) for token in kept if token not in silent]


def edits(reference: Sequence[int], other: Sequence[int]) -> int:
    """Levenshtein distance.

    >>> edits([1, 2, 3], [1, 3, 4])
    2
    """
    row = np.arange(len(other) + 1)
    tokens = np.asarray(other)
    for done, token in enumerate(reference, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (tokens != token))
        steps = np.arange(1, len(row))
        row = np.concatenate([[done], steps + np.minimum.accumulate(np.minimum(best - steps, done))])
    return int(row[-1])


def compare(pairs: Iterable[tuple[Float, Float]], silent: Sequence[int]) -> Agreement:
    """Agreement of (reference, other) posteriors [T, V] over utterances; lengths may differ by a frame at the end."""
    same = total = changed = tokens = 0
    for reference, other in pairs:
        frames = min(len(reference), len(other))
        same += int((reference[:frames].argmax(1) == other[:frames].argmax(1)).sum())
        total += frames
        expected = greedy(reference, silent)
        tokens += len(expected)
        changed += edits(expected, greedy(other, silent))
    return Agreement(same / max(total, 1), changed / max(tokens, 1), tokens)
