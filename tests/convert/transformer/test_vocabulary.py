"""Which of Moonshine's tokens stay, and that any text can be written with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convert import fetch
from convert.errors import GraphError
from convert.transformer import vocabulary
from models import manifest
from models.tokenizer import BYTES, SPACE, Tokenizer, pack, parse

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "models" / "moonshine-tiny" / "decoder" / vocabulary.FILE
WORDS = ROOT / "models" / "base" / "lexicon.tsv.gz"


@pytest.fixture(scope="module")
def whole() -> Tokenizer:
    return Tokenizer.load(fetch.fetch(manifest.load_any("moonshine-tiny"), "tokenizer"))


@pytest.fixture(scope="module")
def ours(whole: Tokenizer) -> Tokenizer:
    return vocabulary.spelled(whole, vocabulary.read(KEPT, len(whole.tokens)))


def made(*spellings: str) -> Tokenizer:
    return Tokenizer([b"", b"", b"", *(bytes([b]) for b in range(256)), *(s.encode() for s in spellings)])


def test_what_stays_is_what_words_need_and_what_that_is_merged_from() -> None:
    spellings = [
        "ab",
        "abc",
        SPACE + "abc",
        "bc",
        "ca",
        "Xy",
        SPACE + "McX",
        "?!",
        "\u00e9",
        "\u0434",
        "xyx",
        SPACE + "xyx",
    ]
    stays = vocabulary.kept(made(*spellings), ["abc"])
    assert stays[: BYTES.stop].all()
    found = [spelling for spelling, stay in zip(spellings, stays[BYTES.stop :], strict=True) if stay]
    assert found == ["ab", "abc", SPACE + "abc", "bc", SPACE + "McX", "?!", "\u00e9"]


def test_words_are_encoded_as_before(whole: Tokenizer, ours: Tokenizer) -> None:
    words = vocabulary.words(WORDS)
    assert len(words) > 90_000
    others = ["YouTube", "iPhone", "McCarthy's", "12:30", "1st", "$5.50", "na\u00efve", "UN", "e.g.,", '"Well-known"']
    for word in [*words[::97], *others]:
        for text in (word, word.capitalize(), word.upper(), f'"{word}'):
            assert ours.encode(text) == whole.encode(text), text


@pytest.mark.parametrize(
    "text", ["Stra\u00dfe", "\u041c\u043e\u0441\u043a\u0432\u0430", "\u65e5\u672c \U0001f600", "getElementById"]
)
def test_any_text_can_still_be_spelled(text: str, whole: Tokenizer, ours: Tokenizer) -> None:
    tokens = ours.encode(text)
    assert ours.text(tokens) == whole.text(tokens) == text
    assert all(ours.tokens[token] for token in tokens)


def test_a_third_is_left_out(whole: Tokenizer, ours: Tokenizer) -> None:
    left = sum(map(bool, ours.tokens)) / sum(map(bool, whole.tokens))
    assert 0.6 < left < 0.75
    assert parse(pack(ours.tokens)) == ours.tokens


def test_which_stay_is_read_back_and_of_so_many_tokens_only(tmp_path: Path) -> None:
    stays = np.arange(270) % 3 == 1
    vocabulary.write(stays, tmp_path / "kept.bin")
    np.testing.assert_array_equal(vocabulary.read(tmp_path / "kept.bin", 270), stays)
    for tokens in (280, 260):
        with pytest.raises(GraphError, match=f"272 bits for {tokens} tokens"):
            vocabulary.read(tmp_path / "kept.bin", tokens)
