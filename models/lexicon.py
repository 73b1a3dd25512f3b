"""The lexicon's file format: every word's spelling in tokens, and its score for the search's look-ahead.

A part of the bundle contract (models/bundle.py): convert writes it, device reads it. NumPy arrays, not text, because a
Raspberry Pi would spend seconds on parsing 70,000 lines.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import UserError

UNREADABLE = (
    *(KeyError, OSError, EOFError, ValueError, TypeError, IndexError, OverflowError, MemoryError),
    *(NotImplementedError, RuntimeError, SyntaxError),  # a compression, an encryption, a header
    *(struct.error, zipfile.BadZipFile, zlib.error),
)
"""What NumPy and zipfile raise for a damaged .npz file."""


class LexiconError(UserError, ValueError):
    """A file is no lexicon; the message says why and what to do, in one line."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Words with spellings; a word may stand in several rows, one for each pronunciation.

    >>> lexicon = Lexicon.of([("to", (3, 5)), ("two", (3, 6))], scores=[-1.5, -3.0])
    >>> list(lexicon)
    [('to', (3, 5), -1.5), ('two', (3, 6), -3.0)]
    """

    text: bytes  # the words, in UTF-8, a newline between them
    ends: NDArray[np.int32]  # [rows]: where each row's tokens end in `tokens`
    tokens: NDArray[np.uint16]  # [sum of lengths]: token indices
    scores: NDArray[np.float32]  # [rows]: log10 unigram probability

    @classmethod
    def of(cls, rows: Sequence[tuple[str, Sequence[int]]], scores: Sequence[float]) -> Lexicon:
        """A lexicon from (word, token indices) rows and their scores."""
        ends = np.cumsum([len(spelling) for _, spelling in rows], dtype=np.int32)
        tokens = np.fromiter((t for _, spelling in rows for t in spelling), np.uint16)
        return cls("\n".join(word for word, _ in rows).encode(), ends, tokens, np.asarray(scores, np.float32))

    def __len__(self) -> int:
        return len(self.ends)

    def __add__(self, other: Lexicon) -> Lexicon:
        """The rows of both; neither may be empty."""
        return Lexicon(
            self.text + b"\n" + other.text,
            np.append(self.ends, other.ends + self.ends[-1]),
            np.append(self.tokens, other.tokens),
            np.append(self.scores, other.scores),
        )

    def __iter__(self) -> Iterator[tuple[str, tuple[int, ...], float]]:
        tokens, begin = self.tokens.tolist(), 0
        for word, end, score in zip(self.words, self.ends.tolist(), self.scores.tolist(), strict=True):
            yield word, tuple(tokens[begin:end]), score
            begin = end

    @property
    def words(self) -> list[str]:
        """The word of each row."""
        return self.text.decode().split("\n")

    @cached_property
    def _breaks(self) -> NDArray[np.intp]:
        return np.flatnonzero(np.frombuffer(self.text + b"\n", np.uint8) == ord("\n"))

    def word(self, row: int) -> str:
        """The word of one row."""
        begin = int(self._breaks[row - 1]) + 1 if row else 0
        return self.text[begin : int(self._breaks[row])].decode()

    def spelling(self, row: int) -> tuple[int, ...]:
        """The token indices of one row.

        >>> Lexicon.of([("to", (3, 5)), ("two", (3, 6))], scores=[-1.5, -3.0]).spelling(1)
        (3, 6)
        """
        begin = int(self.ends[row - 1]) if row else 0
        return tuple(self.tokens[begin : int(self.ends[row])].tolist())

    @cached_property
    def _by_checksum(self) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
        """The words' CRC-32, ascending, and their rows: a fraction of what a dictionary of 80,000 words takes."""
        sums = np.fromiter(map(zlib.crc32, self.text.split(b"\n")), np.uint32)
        order = np.argsort(sums, kind="stable")
        return sums[order], order

    def spellings(self, word: str) -> tuple[tuple[int, ...], ...]:
        """The token indices of all rows of a word; none where it is not in the lexicon.

        >>> Lexicon.of([("a", (3,)), ("to", (4, 5)), ("a", (6,))], scores=[-1.0, -1.5, -1.0]).spellings("a")
        ((3,), (6,))
        """
        sums, rows = self._by_checksum
        begin, end = (np.searchsorted(sums, np.uint32(zlib.crc32(word.encode())), side) for side in ("left", "right"))
        return tuple(self.spelling(row) for row in rows[begin:end].tolist() if self.word(row) == word)

    def save(self, path: Path) -> None:
        """Writes the arrays as one .npz file, made in memory so that a full disk is a plain OSError."""
        content = io.BytesIO()
        np.savez(
            content, words=np.frombuffer(self.text, np.uint8), ends=self.ends, tokens=self.tokens, scores=self.scores
        )
        path.write_bytes(content.getvalue())

    def problem(self) -> str:
        """Why the parts are no lexicon, in a few words; empty if they are one. C will read them by their addresses."""
        parts = (("ends", self.ends, np.int32), ("tokens", self.tokens, np.uint16), ("scores", self.scores, np.float32))
        for name, array, kind in parts:
            if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != kind:
                shape = f"{array.dtype}{list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
                return f"{name} is {shape}, not {np.dtype(kind)}[n]"
        try:
            self.text.decode()
        except UnicodeDecodeError as error:
            return f"a word is not UTF-8 ({error.reason})"
        rows = len(self._breaks)
        if not rows == len(self.ends) == len(self.scores):
            return f"{rows} words, {len(self.ends)} spellings and {len(self.scores)} scores"
        if np.any(self.ends < np.append(np.int32(0), self.ends[:-1])) or self.ends[-1] != len(self.tokens):
            return "the spellings overlap, or are not the tokens"
        return "" if np.isfinite(self.scores).all() else "a score is not finite"

    @classmethod
    def load(cls, path: Path) -> Lexicon:
        """Reads what `save` wrote; LexiconError if the file is something else."""
        try:
            with np.load(io.BytesIO(path.read_bytes())) as arrays:
                text = arrays["words"].tobytes()
                lexicon = cls(text, arrays["ends"], arrays["tokens"], arrays["scores"])
        except UNREADABLE as error:
            raise LexiconError(f"{path}: not a lexicon ({error}); build the bundle again") from None
        if problem := lexicon.problem():
            raise LexiconError(f"{path}: not a lexicon ({problem}); build the bundle again")
        return lexicon
