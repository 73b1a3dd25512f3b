"""Pronunciations for words that no lexicon has: the acoustic model's own grapheme-to-phoneme network.

The acoustic model was trained on what this network says, so its citation forms ("to" = t oʊ) are what it hears.
The two ONNX files come from PyPI `hama` 1.3.13 (Apache-2.0) and travel in the bundle.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

LONGEST_WORD = 128  # characters, the width that the network was exported for
LONGEST_PRONUNCIATION = 32  # tokens, as in hama's G2PModel


class PronunciationError(ValueError):
    """A word that the network cannot read; the message names the word and the reason."""


class Pronouncer:
    """Turns written words into the acoustic model's tokens, greedily, as hama's G2PModel does.

    Left out are the blanks that the network puts between the sounds of some loan words, which nobody hears.

    >>> folder = Path("models/build/base")                                                              # doctest: +SKIP
    >>> files = (folder / name for name in ("g2p_encoder.onnx", "g2p_decoder.onnx", "g2p_vocab.json"))  # doctest: +SKIP
    >>> Pronouncer(*files)("to")                                                                        # doctest: +SKIP
    ['t', 'oʊ']

    encoder: ONNX, int64 [words, characters] to attention keys.
    decoder: ONNX, one step of the attention decoder.
    vocabulary: JSON with the lists "encoder" (characters) and "decoder" (tokens).
    """

    def __init__(self, encoder: Path, decoder: Path, vocabulary: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        lists = json.loads(vocabulary.read_text(encoding="utf-8"))
        self._characters: dict[str, int] = {c: i for i, c in enumerate(lists["encoder"])}
        self._tokens: list[str] = lists["decoder"]
        self._start, self._end = self._tokens.index("<sos>"), self._tokens.index("<eos>")
        self._silent = {self._tokens.index(t) for t in ("<pad>", "<sos>", "<unk>", " ") if t in self._tokens}
        self._encoder = onnxruntime.InferenceSession(str(encoder), options, providers=["CPUExecutionProvider"])
        self._decoder = onnxruntime.InferenceSession(str(decoder), options, providers=["CPUExecutionProvider"])

    def __call__(self, word: str) -> list[str]:
        """The tokens of one word. Raises PronunciationError."""
        return self.batch([word])[0]

    def batch(self, words: Sequence[str]) -> list[list[str]]:
        """The tokens of several words at once, in order. Raises PronunciationError for the first unreadable one."""
        if not words:
            return []
        spelled = [self._spell(word) for word in words]
        lengths = np.array([len(s) for s in spelled], np.int64)
        ids = np.full((len(words), LONGEST_WORD), self._characters["<pad>"], np.int64)
        for row, characters in zip(ids, spelled, strict=True):
            row[: len(characters)] = characters
        results: list[list[str]] = []
        for tokens in self._decode(ids, lengths):
            end = np.flatnonzero(tokens == self._end)
            kept = tokens[: end[0]] if len(end) else tokens
            results.append([self._tokens[t] for t in kept if t not in self._silent])
        for word, result in zip(words, results, strict=True):
            if not result:
                raise PronunciationError(f"{word!r}: the model gives no pronunciation; spell the word as it sounds")
        return results

    def _spell(self, word: str) -> list[int]:
        text = word.lower()
        if not 0 < len(text) <= LONGEST_WORD:
            raise PronunciationError(f"{word!r}: a word has 1 to {LONGEST_WORD} characters; split it or shorten it")
        unknown = [c for c in text if not (c.isalpha() or c == "'") or c not in self._characters]
        if unknown:
            raise PronunciationError(f"{word!r}: the model cannot read {unknown[0]!r}; write it in letters it knows")
        return [self._characters[c] for c in text]

    def _decode(self, ids: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Greedy search: characters [words, LONGEST_WORD] to token numbers [words, steps]."""
        names = ["encoder_outputs", "projected_keys", "hidden", "encoder_mask", "prev_attn"]
        feeds = {"input_ids": ids, "input_lengths": lengths}
        state = dict(zip(names, self._encoder.run(names, feeds), strict=True))
        state["positions"] = np.arange(state["encoder_outputs"].shape[1], dtype=np.float32)[None]
        last = np.full(len(ids), self._start, np.int64)
        finished = np.zeros(len(ids), np.bool_)
        steps: list[npt.NDArray[np.int64]] = []
        while len(steps) < LONGEST_PRONUNCIATION and not finished.all():
            state["decoder_input_ids"] = last[:, None]
            last, state["hidden"], state["prev_attn"] = self._decoder.run(
                ["next_token_ids", "hidden_out", "prev_attn_out"], state
            )
            steps.append(last)
            finished |= last == self._end
        return np.stack(steps, axis=1)
