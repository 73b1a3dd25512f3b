"""Posteriors to words: CTC beam search over a lexicon with an n-gram language model, as the frames come.

The search itself is C (device/asr/csrc/beam.c); here a bundle becomes what it searches, and rows become words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.asr import beam_search
from models.bundle import Bundle, Search
from models.lexicon import Lexicon

HOMOPHONES = 6  # words that are searched for one spelling; rows are in order of frequency
LOG_PROB_FLOOR = -14.0  # log posteriors are raised to this: what the network rules out may still be outweighed
USER_SCORE = -4.5  # log10 probability of a word that the user added: that of a rare word


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The best words so far; the first `stable` of them are common to everything that the search still considers."""

    words: tuple[str, ...]
    stable: int


class Decoder:
    """Searches the words of one segment at a time.

    >>> decoder = Decoder.of(Bundle.open("models/build/base"))        # doctest: +SKIP
    >>> decoder.advance(log_probs)                                     # doctest: +SKIP
    >>> decoder.finish()                                              # doctest: +SKIP
    ('hello', 'world')
    """

    def __init__(self, lexicon: Lexicon, language: beam_search.Language, search: beam_search.Search) -> None:
        """`search` finds rows of `lexicon` with the help of `language`."""
        self.lexicon, self.language, self._search = lexicon, language, search

    @classmethod
    def build(
        cls,
        lexicon: Lexicon,
        language: str,
        tokens: int,
        blank: int,
        boundary: int | None,
        search: Search,
        extra: Iterable[tuple[str, Sequence[int]]] = (),
    ) -> Decoder:
        """Builds the search graph; 0.1 s for 80,000 words.

        `language` is the path of a KenLM trie, `tokens` how many tokens a frame has, `extra` the user's own words with
        their spellings. Spellings are token indices without the word boundary, which the search adds.
        """
        added = [row for row in extra if row[1]]
        if added:
            lexicon = Lexicon.of(added, [USER_SCORE] * len(added)) + lexicon
        model = beam_search.Language(language)
        words = beam_search.WordGraph(
            model, lexicon.text, lexicon.ends, lexicon.tokens, lexicon.scores, tokens, HOMOPHONES
        )
        options = beam_search.Options(
            search.beam,
            search.beam_tokens,
            blank,
            beam_search.NONE if boundary is None else boundary,
            search.beam_threshold,
            search.lm_weight,
            search.word_score,
            np.log(search.blank_skip),
            LOG_PROB_FLOOR,
        )
        return cls(lexicon, model, beam_search.Search.of(words, tokens, options))

    @classmethod
    def of(
        cls, bundle: Bundle, extra: Iterable[tuple[str, Sequence[int]]] = (), search: Search | None = None
    ) -> Decoder:
        d = bundle.description
        return cls.build(
            Lexicon.load(bundle.path("lexicon")),
            str(bundle.path("language")),
            len(bundle.tokens()),
            d.blank,
            d.boundary,
            search or d.search,
            extra,
        )

    def fork(self, beam: int | None = None) -> Decoder:
        """A second decoder that goes on from here, to hear what may turn out otherwise; it keeps `beam` hypotheses."""
        return Decoder(self.lexicon, self.language, self._search.fork(beam or 0))

    def advance(self, log_probs: NDArray[np.float32]) -> None:
        """Extends the search by frames [n, tokens] of log posteriors."""
        self._search.advance(log_probs)

    def best(self) -> Hypothesis:
        """What the search believes now, without the word that is being said."""
        rows, stable, _ = self._search.best(closed=False)
        return Hypothesis(self._words(rows), stable)

    def finish(self) -> tuple[str, ...]:
        """The segment is over: the best words, and a search that is ready for the next segment."""
        return self.close()[0]

    def close(self) -> tuple[tuple[str, ...], float]:
        """The same, and the score that the words got."""
        rows, score = self._close()
        return self._words(rows), score

    def spelled(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """As `finish`, each word with the spelling that was found, in token indices without the word boundary."""
        rows, _ = self._close()
        return tuple(zip(self._words(rows), map(self.lexicon.spelling, rows), strict=True))

    def _close(self) -> tuple[list[int], float]:
        self._search.close()
        rows, _, score = self._search.best(closed=True)
        self._search.begin()
        return rows, score

    def _words(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(map(self.lexicon.word, rows))
