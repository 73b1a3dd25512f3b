"""When each word was said: the best CTC path of known words through a segment's posteriors (Viterbi, forced alignment).

Graves et al., "Connectionist Temporal Classification" (2006), with the spelling of each word as the beam search found
it. A token's place is that of its spike, so a word begins a few hundredths of a second after its sound does.

>>> probs = np.full((6, 3), 0.01, np.float32)              # tokens: a, b, blank
>>> probs[range(6), [2, 0, 2, 2, 1, 2]] = 0.98
>>> word_frames(np.log(probs), [[0], [1]], blank=2, boundary=None)
array([[1, 2],
       [4, 5]])
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

FLOOR = -30.0
"""Log posteriors are raised to this, so that a path through a frame without any hope is still comparable."""


def word_frames(
    log_probs: NDArray[np.float32], spellings: Sequence[Sequence[int]], blank: int, boundary: int | None
) -> NDArray[np.intp]:
    """The frames of each word: int [words, 2], the first and the one after the last, ascending and not overlapping.

    log_probs: log posteriors [frames, tokens]. spellings: token indices of each word, at least one. `boundary` is the
    token that stands between words, None where the model has none. ValueError where the frames are fewer than the
    tokens need.
    """
    tokens = np.array([token for spelling in spellings for token in spelling], np.intp)
    if not all(len(spelling) for spelling in spellings):
        raise ValueError("a word without tokens")
    if not len(tokens):
        return np.zeros((0, 2), np.intp)
    ends = list(accumulate(map(len, spellings)))
    begins = [0, *ends[:-1]]
    path = _best_path(*_graph(np.maximum(log_probs, np.float32(FLOOR)), tokens, begins, blank, boundary))
    first = np.searchsorted(path, 2 * np.array(begins) + 1)
    after = np.searchsorted(path, 2 * np.array(ends) - 1, side="right")
    return np.stack([first, after], axis=1)


def spread(frames: int, words: int) -> NDArray[np.intp]:
    """Words of equal length over so many frames, as `word_frames` gives them.

    >>> spread(10, 2).tolist()
    [[0, 5], [5, 10]]
    """
    edges = np.linspace(0, frames, words + 1).astype(np.intp)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def quiet(log_probs: NDArray[np.float32], blank: int, boundary: int | None) -> NDArray[np.float32]:
    """Log probability [frames] of what stands between words: of the blank or, where there is one, the boundary."""
    between: NDArray[np.float32] = log_probs[:, blank]
    if boundary is not None:
        between = np.logaddexp(between, log_probs[:, boundary])
    return between


def _graph(
    log_probs: NDArray[np.float32], tokens: NDArray[np.intp], begins: Sequence[int], blank: int, boundary: int | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Emissions [frames, states] and which states may follow the last but one, [states].

    State 2 i + 1 is token i; the states between are gaps: the blank, and between words also the boundary. Only a gap
    between different tokens of a word, or between words where there is no boundary token, may be left out.
    """
    emissions = np.empty((len(log_probs), 2 * len(tokens) + 1), np.float32)
    emissions[:, 0::2] = log_probs[:, [blank]]
    emissions[:, 1::2] = log_probs[:, tokens]
    skips = np.zeros(2 * len(tokens) + 1, np.bool_)
    skips[3::2] = tokens[1:] != tokens[:-1]
    if boundary is not None:
        gap = quiet(log_probs, blank, boundary)
        for place in (*begins, len(tokens)):
            emissions[:, 2 * place] = gap
        skips[[2 * place + 1 for place in begins]] = False
    return emissions, skips


def _best_path(emissions: NDArray[np.float32], skips: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The state of each frame on the best way from the first gap or token to the last: [frames], ascending."""
    frames, states = emissions.shape
    best = np.full(states, -np.inf)
    steps = np.zeros((frames, states), np.int8)
    if frames:
        best[:2] = emissions[0, :2]
    for frame in range(1, frames):
        ways = np.full((3, states), -np.inf)
        ways[0] = best
        ways[1, 1:] = best[:-1]
        ways[2, 2:] = np.where(skips[2:], best[:-2], -np.inf)
        steps[frame] = ways.argmax(0)
        best = ways.max(0) + emissions[frame]
    state = states - 1 if best[-1] > best[-2] else states - 2
    if not np.isfinite(best[state]):
        raise ValueError(f"{frames} frames are too few for {states // 2} tokens")
    path = np.empty(frames, np.intp)
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= steps[frame, state]
    return path
