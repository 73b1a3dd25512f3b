"""Posteriors to words: CTC beam search over a lexicon with an n-gram language model, as the frames come.

The search is flashlight-text's lexicon decoder (https://github.com/flashlight/text, C++; Collobert et al. 2016,
arXiv 1609.03193; the language model is KenLM, Heafield 2011). Nothing here runs once for each frame and hypothesis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from flashlight.lib.text.decoder import (
    CriterionType,
    LexiconDecoder,
    LexiconDecoderOptions,
    SmearingMode,
    Trie,
)
from flashlight.lib.text.decoder.kenlm import KenLM
from flashlight.lib.text.dictionary import Dictionary
from numpy.typing import NDArray

from models.bundle import Bundle, Search
from models.lexicon import Lexicon

HOMOPHONES = 6  # words that the search engine keeps for one spelling; rows are in order of frequency
UNKNOWN = "<unk>"
IMPOSSIBLE = -14.0  # log posteriors are raised to this: what the network rules out may still be outweighed
USER_SCORE = -4.5  # log10 probability of a word that the user added: that of a rare word


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The best words so far; the first `stable` of them are common to everything that the search still considers."""

    words: tuple[str, ...]
    stable: int


class Decoder:
    """Searches the words of one segment at a time.

    >>> decoder = Decoder.of(Bundle.open("models/build/base"))        # doctest: +SKIP
    >>> decoder.accept(log_probs)                                     # doctest: +SKIP
    >>> decoder.finish()                                              # doctest: +SKIP
    ('hello', 'world')
    """

    def __init__(self, lexicon: Lexicon, language: str, tokens: int, blank: int, boundary: int | None,
                 search: Search, extra: Iterable[tuple[str, Sequence[int]]] = ()) -> None:
        """Builds the search graph; about a second for 70,000 words.

        `language` is the path of a KenLM file, `tokens` how many tokens a frame has, `extra` the user's own words with
        their spellings. Spellings are token indices without the word boundary, which is added here.
        """
        end = () if boundary is None else (boundary,)
        added = [(word, tuple(spelling)) for word, spelling in extra]
        self._words = Dictionary([*dict.fromkeys([*lexicon.words, *(word for word, _ in added)]), UNKNOWN])
        self._words.set_default_index(self._words.get_index(UNKNOWN))
        self._lm = KenLM(language, self._words)
        trie = Trie(tokens, blank if boundary is None else boundary)
        taken: dict[tuple[int, ...], int] = {}
        rows = [*((word, spelling, USER_SCORE) for word, spelling in added), *lexicon]
        for word, spelling, score in rows:
            spelled = (*spelling, *end)
            taken[spelled] = taken.get(spelled, 0) + 1
            if spelling and taken[spelled] <= HOMOPHONES:
                trie.insert(list(spelled), self._words.get_index(word), search.lm_weight * score)
        trie.smear(SmearingMode.MAX)
        options = LexiconDecoderOptions(
            beam_size=search.beam, beam_size_token=search.beam_tokens, beam_threshold=search.beam_threshold,
            lm_weight=search.lm_weight, word_score=search.word_score, unk_score=float("-inf"), sil_score=0.0,
            log_add=False, criterion_type=CriterionType.CTC)
        self._search = LexiconDecoder(options, trie, self._lm, blank if boundary is None else boundary, blank,
                                      self._words.get_index(UNKNOWN), [], False)
        self._tokens, self._blank, self._boundary, self._blank_skip = tokens, blank, boundary, search.blank_skip
        self._open = False

    @classmethod
    def of(cls, bundle: Bundle, extra: Iterable[tuple[str, Sequence[int]]] = (),
           search: Search | None = None) -> Decoder:
        d = bundle.description
        return cls(Lexicon.load(bundle.path("lexicon")), str(bundle.path("language")), len(bundle.tokens()), d.blank,
                   d.boundary, search or d.search, extra)

    def accept(self, log_probs: NDArray[np.float32]) -> None:
        """Extends the search by frames [n, tokens] of log posteriors."""
        if not self._open:
            self._search.decode_begin()
            self._open, self._frames, self._skipping = True, 0, False
        sure = log_probs[:, self._blank] > np.log(self._blank_skip)
        repeated = sure & np.concatenate([[self._skipping], sure[:-1]])
        if len(sure):
            self._skipping = bool(sure[-1])
        self._step(log_probs[~repeated])

    def _step(self, log_probs: NDArray[np.float32]) -> None:
        if len(log_probs):
            frames = np.ascontiguousarray(np.maximum(log_probs, IMPOSSIBLE), np.float32)
            self._search.decode_step(frames.ctypes.data, *frames.shape)
            self._frames += len(frames)

    def best(self) -> Hypothesis:
        """What the search believes now."""
        if not self._open or not self._frames:
            return Hypothesis((), 0)
        results = sorted(self._search.get_all_final_hypothesis(), key=lambda r: -r.score)
        candidates = [[w for w in result.words if w >= 0] for result in results]
        first = candidates[0] if candidates else []
        shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*candidates, strict=False)))
        return Hypothesis(tuple(map(self._words.get_entry, first)), shared)

    def finish(self) -> tuple[str, ...]:
        """The segment is over: the best words, and a search that is ready for the next segment."""
        if not self._open or not self._frames:
            self._open = False
            return ()
        tail = np.full((2, self._tokens), IMPOSSIBLE, np.float32)  # closes the last word
        tail[0, self._blank if self._boundary is None else self._boundary] = 0.0
        tail[1, self._blank] = 0.0
        self._step(tail)
        self._search.decode_end()
        words = self._search.get_best_hypothesis(0).words
        self._open = False
        return tuple(self._words.get_entry(w) for w in words if w >= 0)
