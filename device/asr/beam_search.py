"""The search's C library (device/asr/csrc) by ctypes: an n-gram model, a lexicon and a search over both, as Python
objects.

`pip install` builds it beside this file, as does `pip install --editable`; in a source tree that is only on PYTHONPATH,
or for another machine, this does (with aarch64-linux-gnu-gcc for a Raspberry Pi):

    cc -std=c11 -O3 -shared -fPIC -o device/asr/_search.abi3.so device/asr/csrc/*.c -lm

It needs no header of Python's and serves every CPython.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_double, c_float, c_int, c_long, c_size_t, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import UserError
from models.lexicon import Lexicon

LIBRARY = Path(__file__).with_name("_search.abi3.so")
NONE = 2**32 - 1  # no token
LINE = 256  # bytes that an error message has room for


class SearchError(UserError):
    """The library is missing, or a file is not what it should be; the message names the cause and the next step."""


class Options(ctypes.Structure):
    """The C library's `options`; device/asr/csrc/search.h says what each is."""

    _fields_ = (
        ("beam", c_uint32),
        ("beam_tokens", c_uint32),
        ("blank", c_uint32),
        ("boundary", c_uint32),
        ("threshold", c_float),
        ("language_weight", c_float),
        ("word_score", c_float),
        ("blank_skip", c_float),
        ("floor", c_float),
    )


def _address(array: NDArray[Any]) -> c_void_p:
    return c_void_p(array.ctypes.data)


def _done(status: int) -> None:
    """Raise what a function of the C library returned, unless it is 0."""
    if status:
        raise MemoryError("no memory for the search")


@cache
def load(path: Path | None = None) -> ctypes.CDLL:
    """The library with its functions' types; SearchError if it is missing or for another machine."""
    try:
        library = ctypes.CDLL(str(path or LIBRARY))
    except OSError as error:
        raise SearchError(
            f"{path or LIBRARY}: the search's library is missing or not for this machine ({error}); "
            "run `pip install .` in the source tree, or the command in device/asr/beam_search.py"
        ) from None
    size, text, pointer = c_size_t, c_char_p, c_void_p
    types: dict[str, tuple[Any, ...]] = {  # result, arguments
        "language_open": (pointer, text, text, size),
        "language_close": (None, pointer),
        "language_word": (c_uint32, pointer, text, size),
        "language_sentence": (None, pointer, pointer, size, pointer),
        "lexicon_build": (pointer, pointer, c_uint32, *[pointer] * 5, c_uint32, c_uint32, text, size),
        "lexicon_free": (None, pointer),
        "search_new": (pointer, pointer, pointer, POINTER(Options)),
        "search_copy": (pointer, pointer, c_uint32),
        "search_free": (None, pointer),
        "search_begin": (None, pointer),
        "search_accept": (c_int, pointer, pointer, size),
        "search_close": (c_int, pointer),
        "search_best": (c_long, pointer, c_int, POINTER(pointer), POINTER(c_uint32), POINTER(c_double)),
    }
    for name, (result, *arguments) in types.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Language:
    """An n-gram language model in KenLM's trie format, mapped into memory."""

    def __init__(self, path: str) -> None:
        """Maps the file; SearchError if it is another format or damaged."""
        library, error = load(), ctypes.create_string_buffer(LINE)
        self.handle = library.language_open(str(path).encode(), error, LINE)
        if not self.handle:
            raise SearchError(f"{path}: {error.value.decode()}")
        weakref.finalize(self, library.language_close, self.handle)

    def score(self, words: Sequence[str]) -> NDArray[np.float32]:
        """log10 probability of each word and of the end, from the start of a sentence; float32 [words + 1]."""
        written = [word.encode() for word in words]
        numbers = np.array([load().language_word(self.handle, word, len(word)) for word in written], np.uint32)
        scores = np.empty(len(words) + 1, np.float32)
        load().language_sentence(self.handle, _address(numbers), len(numbers), _address(scores))
        return scores

    def knows(self, word: str) -> bool:
        """Whether the word is in the model's vocabulary."""
        written = word.encode()
        return bool(load().language_word(self.handle, written, len(written)))


class WordGraph:
    """Spellings of words as a trie."""

    def __init__(
        self,
        language: Language,
        text: bytes,
        ends: NDArray[np.int32],
        tokens: NDArray[np.uint16],
        scores: NDArray[np.float32],
        vocabulary: int,
        homophones: int,
    ) -> None:
        """`text` is the words, a byte apart; row i is spelled by `tokens` up to `ends[i]`, all below `vocabulary`.

        Of words that are spelled alike, the first `homophones` are kept.
        """
        library, error, self.language = load(), ctypes.create_string_buffer(LINE), language
        self.vocabulary = vocabulary
        if problem := Lexicon(text, ends, tokens, scores).problem():
            raise SearchError(f"lexicon: {problem}; build the bundle again")
        if not (0 < vocabulary < 2**16 and 0 < homophones < 2**16):
            raise SearchError(f"lexicon: {vocabulary} tokens and {homophones} homophones, where 1 to 65535 fit")
        written = np.frombuffer(text, np.uint8)
        text_ends = np.append(np.flatnonzero(written == ord("\n")), len(text)).astype(np.uint32)
        arrays = (
            np.ascontiguousarray(ends, np.uint32),
            np.ascontiguousarray(tokens, np.uint16),
            np.ascontiguousarray(scores, np.float32),
            written,
            text_ends,
        )
        pointers = [_address(array) for array in arrays]
        self.handle = library.lexicon_build(language.handle, len(ends), *pointers, vocabulary, homophones, error, LINE)
        if not self.handle:
            raise SearchError(f"lexicon: {error.value.decode()}")
        weakref.finalize(self, library.lexicon_free, self.handle)


class Search:
    """A beam search in one state, which can be copied."""

    def __init__(self, words: WordGraph, tokens: int, handle: int | None) -> None:
        if not handle:
            raise SearchError("no search can be made: its options are out of range, or memory ran out")
        self._words, self._tokens, self._handle = words, tokens, handle  # words: kept alive, the handle points there
        weakref.finalize(self, load().search_free, handle)

    @classmethod
    def of(cls, words: WordGraph, tokens: int, options: Options) -> Search:
        """A search whose frames have `tokens` log posteriors; SearchError where that or an option does not fit."""
        if tokens != words.vocabulary:
            raise SearchError(f"frames of {tokens} tokens, where the lexicon has {words.vocabulary}")
        return cls(words, tokens, load().search_new(words.handle, words.language.handle, byref(options)))

    def fork(self, beam: int = 0) -> Search:
        """A second search that goes on from here; what either is given does not touch the other.

        `beam` is how many hypotheses it keeps; 0: as many as this one, which is the most.
        """
        return Search(self._words, self._tokens, load().search_copy(self._handle, beam))

    def begin(self) -> None:
        """Forget everything given."""
        load().search_begin(self._handle)

    def advance(self, log_probs: NDArray[np.float32]) -> None:
        """Extends the search by frames [n, tokens] of log posteriors."""
        frames = np.ascontiguousarray(log_probs, np.float32)
        if frames.ndim != 2 or frames.shape[1] != self._tokens:
            raise ValueError(f"frames of shape {frames.shape}, where [n, {self._tokens}] is needed")
        _done(load().search_accept(self._handle, _address(frames), len(frames)))

    def close(self) -> None:
        """No more frames: closes the last word."""
        _done(load().search_close(self._handle))

    def best(self, closed: bool) -> tuple[list[int], int, float]:
        """Rows of the best words, how many of them all hypotheses share, and their score.

        `closed`: only hypotheses that end with a word count, where there are any, and the sentence ends.
        """
        rows, stable, score = c_void_p(), c_uint32(), c_double()
        count = load().search_best(self._handle, closed, byref(rows), byref(stable), byref(score))
        _done(min(count, 0))
        return list((c_uint32 * count).from_address(rows.value or 0)) if count else [], stable.value, score.value
