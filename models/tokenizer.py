"""Moonshine's tokens: what they spell, how text is split into them, and how many speech can hold."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

START, END = 1, 2
BYTES = range(3, 259)  # tokens of one byte each, for what no other token spells
SPACE = "\u2581"  # SentencePiece's mark in front of a word
TOKENS_PER_SECOND, LEAST_TOKENS = 6.5, 10


def most_tokens(seconds: float) -> int:
    """How many tokens `seconds` of speech can hold; what goes on is a loop.

    >>> most_tokens(0.5), most_tokens(5)
    (10, 33)
    """
    return max(LEAST_TOKENS, math.ceil(seconds * TOKENS_PER_SECOND))


@dataclass(frozen=True)
class Tokenizer:
    """The vocabulary; a token's number is its place in `tokens`. One that spells nothing is not used."""

    tokens: Sequence[bytes] = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """From tokenizer.bin; ValueError where it is cut short."""
        return cls(parse(path.read_bytes()))

    def text(self, ids: Iterable[int]) -> str:
        """What token ids spell, without the special ones.

        >>> Tokenizer([b"", b"", b"", *[b""] * 256, "▁Two".encode(), b"."]).text([1, 259, 260, 2])
        'Two.'
        """
        spelled = b"".join(self.tokens[i] for i in ids if i > END)
        return spelled.decode("utf-8", "replace").replace(SPACE, " ").strip()

    @cached_property
    def spellings(self) -> list[str]:
        """What each token spells, with SPACE; U+FFFD for a byte that is no character, "" for the special ones."""
        return ["" if i <= END else token.decode("utf-8", "replace") for i, token in enumerate(self.tokens)]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Spelling -> token, the first of those with the same; no BYTES and none that spell nothing."""
        found: dict[str, int] = {}
        for number, spelling in enumerate(self.spellings):
            if number >= BYTES.stop and spelling:
                found.setdefault(spelling, number)
        return found

    def encode(self, text: str) -> list[int]:
        """The tokens that SentencePiece's byte-pair encoding splits `text` into: the lowest token is merged first."""
        symbols = [*(SPACE + " ".join(text.split())).replace(" ", SPACE)]
        for _ in self.merge(symbols):
            pass
        found: list[int] = []
        for symbol in symbols:
            known = self.numbers.get(symbol)
            found += [BYTES.start + byte for byte in symbol.encode()] if known is None else [known]
        return found

    def merge(self, symbols: list[str]) -> Iterator[int]:
        """Merges neighbours in `symbols` while some pair is a token, and yields each token that it makes."""
        numbers, unknown = self.numbers, len(self.tokens)
        while True:
            pairs = ((numbers.get(a + b, unknown), i) for i, (a, b) in enumerate(itertools.pairwise(symbols)))
            number, at = min(pairs, default=(unknown, 0))
            if number == unknown:
                return
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
            yield number


def pack(tokens: Iterable[bytes]) -> bytes:
    """What `parse` reads; a token has less than 32,768 bytes.

    >>> parse(pack([b"ab", b"", 130 * b"c"])) == [b"ab", b"", 130 * b"c"]
    True
    """
    return b"".join(
        (bytes([size]) if size < 128 else bytes([128 + size % 128, size // 128])) + token
        for token, size in ((token, len(token)) for token in tokens)
    )


def parse(content: bytes) -> list[bytes]:
    """The tokens of tokenizer.bin: each behind its length, of one byte, or of two where the first is 128 or more.

    ValueError where the file ends within a token.

    >>> parse(bytes([2]) + b"ab" + bytes([0, 130, 1]) + 130 * b"c")[:2]
    [b'ab', b'']
    """
    found, at = [], 0
    while at < len(content):
        length = content[at]
        at += 1
        if length >= 128:
            if at == len(content):
                raise ValueError("the tokenizer ends within a length")
            length = content[at] * 128 + length - 128
            at += 1
        if at + length > len(content):
            raise ValueError("the tokenizer ends within a token")
        found.append(content[at : at + length])
        at += length
    return found
