"""The tokens that English text needs, of a tokenizer made for many languages and for programs.

What is left out is never right in dictation, and every step of the decoder would compute it: of Moonshine's 32,768
tokens almost a third. Any text can still be spelled, from shorter tokens or from bytes.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convert.errors import GraphError
from models.tokenizer import BYTES, Tokenizer

Bool = NDArray[np.bool_]

FILE = "kept.bin"  # one bit a token, the first token's the highest of the first byte
NAMES = re.compile(r"(?:\u2581(?=[a-z]*[A-Z])[A-Za-z]+|[A-Z]+)")  # what begins names and brands, and abbreviations
MARKS = re.compile(r"[\u2581.,?!'\"():;\-\u2013\u2014\u2026\u2018\u2019\u201c\u201d%&$\u00a3\u20ac/]{1,4}")
CHARACTER = re.compile(r"\u2581?[ -\u024f\u1e00-\u1eff\u2000-\u20cf]")  # of the Latin script, digits, punctuation


def kept(tokenizer: Tokenizer, words: Iterable[str]) -> Bool:
    """Which tokens stay, [tokens]: what is needed to write `words` and others in the Latin script.

    Those are the special tokens and bytes; what the encoding of each word has, with and without a capital or behind
    another character, and in capitals; single characters, marks, and what begins names. What those are merged from
    stays too, so that whatever is encoded in them is encoded as before.
    """
    stays = np.zeros(len(tokenizer.tokens), np.bool_)
    stays[: BYTES.stop] = True
    for word in dict.fromkeys(words):
        capital = word[:1].upper() + word[1:]
        for text in (word, capital, word.upper(), f'"{word}', f'"{capital}'):
            stays[tokenizer.encode(text)] = True
    for number in range(BYTES.stop, len(stays)):
        spelling = tokenizer.spellings[number]
        stays[number] |= any(rule.fullmatch(spelling) for rule in (NAMES, MARKS, CHARACTER))
    for number in np.flatnonzero(stays).tolist():
        stays[list(tokenizer.merge([*tokenizer.spellings[number]]))] = True
    return stays


def words(lexicon: Path) -> list[str]:
    """The words of a lexicon.tsv.gz, which has one at the start of each line."""
    with gzip.open(lexicon, "rt", encoding="utf-8") as lines:
        return [line.split("\t", 1)[0] for line in lines]


def write(stays: Bool, path: Path) -> None:
    path.write_bytes(np.packbits(stays).tobytes())


def read(path: Path, tokens: int) -> Bool:
    """[tokens]; GraphError where the file is of another number of tokens."""
    bits = np.unpackbits(np.frombuffer(path.read_bytes(), np.uint8))
    if not 0 <= len(bits) - tokens < 8:
        raise GraphError(f"{path}: {len(bits)} bits for {tokens} tokens; restore it with git")
    return bits[:tokens].astype(np.bool_)


def spelled(tokenizer: Tokenizer, stays: Bool) -> Tokenizer:
    """`tokenizer` with the same numbers, in which the tokens that do not stay spell nothing and are never used."""
    return Tokenizer([token if stay else b"" for token, stay in zip(tokenizer.tokens, stays, strict=True)])
