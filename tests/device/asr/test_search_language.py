"""The language model's reader, against the definition of backing off."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kenlm_trie import MARKERS, Model, NGrams

from device.asr.beam_search import Language, SearchError

tmp = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@st.composite
def models(draw: st.DrawFn) -> Model:
    """Models of two to four words' length whose n-grams are closed under what a trie needs."""
    words = [f"w{i}" for i in range(draw(st.integers(1, 6)))]
    rng = random.Random(draw(st.integers(0, 2**32)))
    values = lambda: (round(rng.uniform(-5, 0), 3), rng.choice([0.0, round(rng.uniform(-2, 0.5), 3)]))  # noqa: E731
    orders: list[NGrams] = [{(word,): values() for word in (*MARKERS, *words)}]
    for _ in range(draw(st.integers(1, 3))):
        shorter = orders[-1]
        longer = [
            (*a, b[-1])
            for a in shorter
            for b in shorter
            if a[1:] == b[:-1] and "</s>" not in a and b[-1] != "<s>" and "<unk>" not in (*a, *b)
        ]
        orders.append({gram: values() for gram in longer if rng.random() < 0.5})
    return Model(tuple(orders))


@tmp
@given(models(), st.lists(st.lists(st.sampled_from([f"w{i}" for i in range(7)]), max_size=9), min_size=1, max_size=4))
def test_scores_are_those_of_the_definition(tmp_path: Path, model: Model, sentences: list[list[str]]) -> None:
    language = Language(str(model.trie(tmp_path / "lm.bin")))
    for sentence in sentences:
        np.testing.assert_allclose(language.score(sentence), model.score(sentence), atol=1e-5)


def tiny() -> Model:
    return Model(({(w,): (-1.0, -0.5) for w in (*MARKERS, "a", "b")}, {("a", "b"): (-0.5, 0.0)}))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "cut off"),
    (b"\\data\\\nngram 1=3\n", "not a KenLM binary"),
    (None, "cannot be read"),
])  # fmt: skip
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "other.bin"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SearchError, match=message) as caught:
        Language(str(path))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_hash_table_is_named_as_such(tmp_path: Path) -> None:
    content = bytearray(tiny().trie(tmp_path / "lm.bin").read_bytes())
    content[96] = 0
    (tmp_path / "lm.bin").write_bytes(content)
    with pytest.raises(SearchError, match=r"hash table.*build_binary trie"):
        Language(str(tmp_path / "lm.bin"))


def test_every_cut_off_file_is_refused(tmp_path: Path) -> None:
    whole = tiny().trie(tmp_path / "lm.bin").read_bytes()
    words = whole.rfind(b"<unk>\0")  # the words as text are not needed
    for size in range(words):
        (tmp_path / "cut.bin").write_bytes(whole[:size])
        with pytest.raises(SearchError):
            Language(str(tmp_path / "cut.bin"))
