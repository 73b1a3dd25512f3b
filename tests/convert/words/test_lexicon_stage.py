"""The lexicon and language stages: what is committed fits together, and what does not fit is named."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.words import language_model, lexicon
from models.lexicon import Lexicon

TOKENS = ["t", "oʊ", "u", "<wb>", "<blank>"]


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "lexicon.tsv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    return path


def test_spellings_come_from_the_table(tmp_path: Path) -> None:
    source = table(tmp_path, "to\t-1.6\tt oʊ\nto\t-1.6\tt u\ntoo\t-3\tt u\n")
    built = lexicon.build(source, TOKENS, tmp_path / "lexicon.npz")
    rows = [(word, spelling, round(score, 3)) for word, spelling, score in Lexicon.load(built)]
    assert rows == [("to", (0, 1), -1.6), ("to", (0, 2), -1.6), ("too", (0, 2), -3.0)]
    assert list(tmp_path.glob("*.part")) == []


def test_letters_and_word_pieces_spell_the_same_words(tmp_path: Path) -> None:
    source = table(tmp_path, "don't\t-2\tx\ndon't\t-2\ty\nto\t-3\tx\n")
    letters = lexicon.build(source, [*"abcdefghijklmnopqrstuvwxyz'"], tmp_path / "a.npz", spell=True)
    assert [(w, len(s)) for w, s, _ in Lexicon.load(letters)] == [("don't", 5), ("to", 2)]
    pieces = ["▁d", "▁don", "'", "t", "▁to", "o"]
    built = lexicon.build(source, pieces, tmp_path / "b.npz", spell=True)
    assert [s for _, s, _ in Lexicon.load(built)] == [(1, 2, 3), (4,)]
    assert lexicon.speller("ABC")("cab") == ("C", "A", "B")
    assert lexicon.speller("ab")("a'b") == ("a", "b")


@given(st.text("abc", min_size=1, max_size=20), st.sets(st.text("abc", min_size=1, max_size=4)))
def test_pieces_join_to_the_word(word: str, pieces: set[str]) -> None:
    assert "".join(lexicon.speller(sorted(pieces | {"a", "b", "c"}))(word)) == word


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("to\t-1\tt q\n", "'to': the acoustic model has no token 'q'"),
        ("to\t-1\n", ":1: not word, score and tokens"),
        ("to\tmany\tt\n", ":1: not word, score and tokens"),
        ("", "no words"),
    ],
)
def test_a_bad_table_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(lexicon.LexiconError, match=complaint):
        lexicon.build(table(tmp_path, text), TOKENS, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_damaged_table_and_an_unspellable_word_are_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no gzip")
    with pytest.raises(lexicon.LexiconError, match="not a lexicon"):
        lexicon.build(tmp_path / "x", TOKENS, tmp_path / "out")
    with pytest.raises(lexicon.LexiconError, match="no token spells 'z'"):
        lexicon.build(table(tmp_path, "zoo\t-1\tt\n"), ["o"], tmp_path / "out", spell=True)


def test_a_language_model_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\\data\\ngram 1=3")
    with pytest.raises(language_model.LanguageError, match="build_binary"):
        language_model.build(tmp_path / "x.bin", tmp_path / "out", [])
    with pytest.raises(language_model.LanguageError, match="No such file"):
        language_model.build(tmp_path / "y.bin", tmp_path / "out", [])
