"""What the first pass says of the second pass's hypotheses: its posteriors and its language model, as one score each.

The two recognisers make different mistakes. The second one's decoder knows what people say but may write what was not
said; CTC posteriors only know what was said, and a language model of written text tells "here" from "hear". Adding both
to a hypothesis's own score, each with a small weight, is rescoring as in Watanabe et al., "Hybrid CTC/Attention
Architecture for End-to-End Speech Recognition" (2017), but of whole texts: the models do not share their tokens.

>>> words("I'll take twenty-one, at 7:30!")
("i'll", 'take', 'twenty', 'one', 'at', '7', '30')
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from device.asr.alignment import FLOOR, quiet
from device.asr.beam_search import Language
from device.asr.decoder import USER_SCORE
from models.lexicon import Lexicon

Float = NDArray[np.float32]
Spellings = Sequence[Sequence[int]]
"""The ways in which a word is pronounced, in token indices; none for a word that is not in the lexicon."""

LANGUAGE = 0.1
"""Weight of the language model's log probability."""
POSTERIORS = 0.1
"""Weight of the log probability of the best path through the posteriors."""
UNKNOWN = -18.0
"""Natural log probability of a word that the language model does not have."""
WILDCARD = -0.5
"""Natural log probability of each frame of a word without a spelling, relative to the likeliest token's."""
NO_PATH = -1e6
"""Log probability of words that need more frames than there are."""
SURE = np.log(0.999)
"""Log posterior of silence above which a frame that follows such a one is left out."""


class Rescorer:
    """Scores the texts of a segment.

    rescore = Rescorer(decoder.lexicon, decoder.language, blank=190, boundary=189)
    rescore(["Here it is.", "Hear it is."], log_probs)
    """

    def __init__(self, lexicon: Lexicon, language: Language, blank: int, boundary: int | None) -> None:
        """`lexicon` and `language` are those of the first pass's search, `blank` and `boundary` its tokens."""
        self._language, self._blank, self._boundary = language, blank, boundary
        self._spellings: Callable[[str], Spellings] = functools.lru_cache(4096)(lexicon.spellings)
        self._phrases = _phrases(lexicon)

    def __call__(self, texts: Sequence[str], log_probs: Float) -> list[float]:
        """A score to add to the log probability of each text; log_probs: the segment's posteriors [frames, tokens]."""
        said = [self._said(text) for text in texts]
        paths = path_scores(
            log_probs, [[self._spellings(word) for word in text] for text in said], self._blank, self._boundary
        )
        return [
            LANGUAGE * self.language(text) + POSTERIORS * path for text, path in zip(said, paths.tolist(), strict=True)
        ]

    def language(self, said: Sequence[str]) -> float:
        """Natural log probability of words and of the sentence's end."""
        *scores, end = np.log(10) * self._language.score(said).astype(np.float64)
        return float(end) + sum(
            score if self._language.knows(word) else self._unknown(word)
            for word, score in zip(said, scores, strict=True)
        )

    def _said(self, text: str) -> Sequence[str]:
        """The words of a text, those of the user that have several parts in one."""
        said = " ".join(words(text))
        return (self._phrases.sub(lambda found: found[0].replace(" ", "_"), said) if self._phrases else said).split()

    def _unknown(self, word: str) -> float:
        return float(np.log(10) * USER_SCORE) if self._spellings(word) else UNKNOWN


def _phrases(lexicon: Lexicon) -> re.Pattern[str] | None:
    """What finds the lexicon's words of several parts, which it joins by "_"; None where it has none."""
    joined = [word for word in lexicon.words if "_" in word] if b"_" in lexicon.text else []
    parts = (re.escape(word.replace("_", " ")) for word in sorted(joined, key=len, reverse=True))
    return re.compile(rf"(?<!\S)(?:{'|'.join(parts)})(?!\S)") if joined else None


def words(text: str) -> tuple[str, ...]:
    """A text's words as the lexicon has them: lower case, without marks, compounds taken apart."""
    found = (word.strip("'") for word in re.findall(r"[\w']+", text.lower().replace("\u2019", "'")))
    return tuple(word for word in found if word)


def path_scores(
    log_probs: Float, texts: Sequence[Sequence[Spellings]], blank: int, boundary: int | None
) -> NDArray[np.float64]:
    """Natural log probability [texts] of the best CTC path of each text: Viterbi over all pronunciations of its words.

    log_probs: log posteriors [frames, tokens]. A word without spellings takes any frames, each a little less likely
    than the likeliest token. `boundary` is the token between words, None where the model has none.

    >>> log_probs = np.log(np.full((5, 3), 0.01, np.float32))     # tokens: a, b, blank
    >>> log_probs[range(5), [2, 0, 2, 1, 2]] = np.log(0.98)
    >>> ab, aa, unknown = path_scores(log_probs, [[[[0], [1]], [[1]]], [[[0]], [[0]]], [[]]], blank=2, boundary=None)
    >>> bool(ab > unknown > aa)
    True
    """
    heard = _without_silence(np.maximum(log_probs, np.float32(FLOOR)), blank, boundary)
    lattice = _Lattice(blank, boundary)
    for text in texts:
        lattice.add(text)
    return lattice.best(heard)


def _without_silence(log_probs: Float, blank: int, boundary: int | None) -> Float:
    """The frames but those that are surely silent after others that are: every path goes through them alike.

    Words that have more tokens than frames remain get NO_PATH, even if they would have fitted with the silence.
    """
    sure = quiet(log_probs, blank, boundary) > SURE
    kept: Float = log_probs[~(sure & np.append(False, sure[:-1]))]
    return kept


class _Lattice:
    """The states of all texts: a gap before each word and after the last, and each pronunciation's tokens and blanks.

    A state's emission is that of a token, of a gap or of any token; it may follow itself and its `before`.
    """

    GAP, ANY = -1, -2

    def __init__(self, blank: int, boundary: int | None) -> None:
        self._blank, self._boundary = blank, boundary
        self._emits: list[int] = []
        self._before: list[list[int]] = []
        self._starts: list[int] = []
        self._ends: list[list[int]] = []

    def add(self, text: Sequence[Spellings]) -> None:
        """The states of another text, word for word."""
        gap = self._state(self.GAP, [])
        last: list[int] = []  # of the word before
        self._starts.append(gap)
        for spellings in text:
            ends = []
            for spelling in spellings or [[self.ANY]]:
                state = -1
                for place, token in enumerate(spelling):
                    if place == 0:
                        direct = last if self._boundary is None else []
                        state = self._state(token, [gap, *(end for end in direct if self._emits[end] != token)])
                    else:
                        between = self._state(self._blank, [state])
                        same = spelling[place - 1] == token
                        state = self._state(token, [between] if same else [between, state])
                ends.append(state)
            gap, last = self._state(self.GAP, ends), ends
        self._ends.append([gap, *last])

    def _state(self, emits: int, before: list[int]) -> int:
        self._emits.append(emits)
        self._before.append(before)
        return len(self._emits) - 1

    def best(self, log_probs: Float) -> NDArray[np.float64]:
        """The log probability [texts] of each text's best path."""
        any_token = log_probs.max(1, initial=FLOOR) + np.float32(WILDCARD)
        gap = quiet(log_probs, self._blank, self._boundary)
        emissions = np.column_stack([log_probs, any_token, gap])[:, self._emits]  # ANY and GAP count from the end
        states = len(self._emits)
        ways = np.full((1 + max(map(len, self._before), default=0), states), states, np.intp)
        for state, before in enumerate(self._before):
            ways[: 1 + len(before), state] = [state, *before]
        reached = np.full(states + 1, -np.inf)  # the last one never is
        reached[self._starts] = 0.0
        for emission in emissions:
            reached[:states] = reached[ways].max(0) + emission
        scores: NDArray[np.float64] = np.array([max(NO_PATH, *reached[ends]) for ends in self._ends], np.float64)
        return scores
