"""Mixing and pruning back-off models keeps them models: every history's probabilities sum to one."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from models.training.language_model import ngram

WORDS = ["<unk>", "<s>", "</s>", "a", "b", "c"]
NUMBERS = {w: i for i, w in enumerate(WORDS)}
BITS = 4
ARPA = """\\data\\
ngram 1=6
ngram 2=3
ngram 3=1

\\1-grams:
-1.5\t<unk>\t0
-99\t<s>\t-0.3
-0.7\t</s>\t0
{a}\ta\t-0.2
{b}\tb\t-0.1
-0.9\tc\t0

\\2-grams:
-0.3\t<s> a\t-0.05
-0.4\ta b\t-0.2
-0.5\tb c\t0

\\3-grams:
-0.15\t<s> a b

\\end\\
"""


def model(tmp_path: Path, a: float, b: float) -> ngram.Model:
    path = tmp_path / f"{a}.arpa"
    path.write_text(ARPA.format(a=a, b=b))
    found = ngram.read_arpa(path, NUMBERS, BITS)
    p = 10.0 ** found.tables[0].logp
    first = ngram.Table(found.tables[0].keys, np.log10(p / p.sum()), found.tables[0].backoff)
    return ngram.normalise(ngram.Model(BITS, (first, *found.tables[1:])))


def key(*words: str) -> int:
    total = 0
    for word in words:
        total = total << BITS | NUMBERS[word]
    return total


def assert_normalised(found: ngram.Model) -> None:
    for history in product(WORDS, repeat=2):
        keys = np.array([key(*history, w) for w in WORDS], np.uint64)
        assert (10.0 ** found.score(3, keys)).sum() == pytest.approx(1, abs=1e-6)


def test_mixture_is_linear_where_an_ngram_is_kept_and_normalised(tmp_path: Path) -> None:
    one, two = model(tmp_path, -0.6, -0.8), model(tmp_path, -0.9, -0.5)
    mixed = ngram.interpolate([one, two], [0.25, 0.75])
    assert_normalised(mixed)
    for words in (("<s>", "a", "b"), ("<s>", "a"), ("a",)):
        keys = np.array([key(*words)], np.uint64)
        p = [10.0 ** m.score(len(words), keys)[0] for m in (one, two, mixed)]
        assert p[2] == pytest.approx(0.25 * p[0] + 0.75 * p[1])


def test_pruning_drops_what_is_worth_least_and_stays_normalised(tmp_path: Path) -> None:
    whole = model(tmp_path, -0.6, -0.8)
    histories = [np.full(len(t.keys), 0.1) for t in whole.tables[:-1]]
    kept = ngram.prune(whole, 0.0, histories)
    assert [len(t.keys) for t in kept.tables] == [6, 3, 1]
    none = ngram.prune(whole, 1e9, histories)
    assert [len(t.keys) for t in none.tables] == [6, 0, 0]
    assert_normalised(kept)
    assert_normalised(none)
    rare = ngram.prune(whole, 1e-3, [h * 1e-9 for h in histories])
    assert [len(t.keys) for t in rare.tables] == [6, 0, 0]


def test_arpa_survives_writing_and_reading(tmp_path: Path) -> None:
    whole = model(tmp_path, -0.6, -0.8)
    ngram.write_arpa(whole, WORDS, tmp_path / "again.arpa")
    again = ngram.read_arpa(tmp_path / "again.arpa", NUMBERS, BITS)
    for before, after in zip(whole.tables, again.tables, strict=True):
        assert (before.keys == after.keys).all()
        assert before.logp == pytest.approx(after.logp, abs=1e-5)


def test_unknown_word_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.arpa"
    path.write_text(ARPA.format(a=-0.6, b=-0.8).replace("\tc\t", "\tzebra\t"))
    with pytest.raises(ValueError, match="zebra"):
        ngram.read_arpa(path, NUMBERS, BITS)
