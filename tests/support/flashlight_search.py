"""flashlight-text's lexicon decoder (C++; Collobert et al. 2016) over a bundle, to compare the search with."""

from __future__ import annotations

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

from device.asr.decoder import HOMOPHONES, LOG_PROB_FLOOR
from models.bundle import Bundle
from models.lexicon import Lexicon


class Flashlight:
    """Finds the words of whole utterances, with the bundle's own options; for models with a word boundary."""

    def __init__(self, bundle: Bundle) -> None:
        d = bundle.description
        assert d.boundary is not None and d.search.lm_weight == 1.0  # it would weigh the look-ahead twice
        lexicon = Lexicon.load(bundle.path("lexicon"))
        self._words = Dictionary([*dict.fromkeys(lexicon.words), "<unk>"])
        self._words.set_default_index(self._words.get_index("<unk>"))
        self._lm = KenLM(str(bundle.path("language")), self._words)
        self._blank, self._boundary, self._skip = d.blank, d.boundary, d.search.blank_skip
        trie, taken = Trie(len(bundle.tokens()), d.boundary), dict[tuple[int, ...], int]()
        for word, spelling, score in lexicon:
            taken[spelling] = taken.get(spelling, 0) + 1
            if taken[spelling] <= HOMOPHONES:
                trie.insert([*spelling, d.boundary], self._words.get_index(word), score)
        trie.smear(SmearingMode.MAX)
        options = LexiconDecoderOptions(
            beam_size=d.search.beam, beam_size_token=d.search.beam_tokens, beam_threshold=d.search.beam_threshold,
            lm_weight=d.search.lm_weight, word_score=d.search.word_score, unk_score=float("-inf"), sil_score=0.0,
            log_add=False, criterion_type=CriterionType.CTC)  # fmt: skip
        self._search = LexiconDecoder(options, trie, self._lm, d.boundary, d.blank, self._words.get_index("<unk>"), [],
                                      False)  # fmt: skip

    def __call__(self, log_probs: NDArray[np.float32]) -> tuple[tuple[str, ...], float]:
        """Words and score of frames [n, tokens] of log posteriors."""
        sure = log_probs[:, self._blank] > np.log(self._skip)
        kept = log_probs[~(sure & np.concatenate([[False], sure[:-1]]))]
        tail = np.full((2, log_probs.shape[1]), LOG_PROB_FLOOR, np.float32)
        tail[0, self._boundary] = tail[1, self._blank] = 0
        frames = np.ascontiguousarray(np.maximum(np.concatenate([kept, tail]), LOG_PROB_FLOOR), np.float32)
        best = self._search.decode(frames.ctypes.data, *frames.shape)[0]
        return tuple(self._words.get_entry(word) for word in best.words if word >= 0), best.score
