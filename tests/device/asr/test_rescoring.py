"""What posteriors and language model say of texts: against all paths written out, and on a small model."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kenlm_trie import Model

from device.asr.decoder import USER_SCORE, Decoder
from device.asr.rescoring import LANGUAGE, NO_PATH, POSTERIORS, UNKNOWN, WILDCARD, Rescorer, path_scores, words
from models.bundle import Search
from models.lexicon import Lexicon

BLANK, BOUNDARY, TOKENS = 2, 3, 4  # tokens 0 and 1 are phones
HOMOPHONES = Model((
    {("<s>",): (-99, -0.3), ("</s>",): (-1.0, 0), ("<unk>",): (-3.0, 0), ("here",): (-1.0, -0.3),
     ("hear",): (-1.2, -0.3), ("it",): (-0.7, -0.3), ("i",): (-0.9, -0.3)},
    {("here", "it"): (-0.1, 0), ("i", "hear"): (-0.1, 0)},
))  # fmt: skip
ROWS = [("here", (0, 1)), ("hear", (0, 1)), ("it", (1,)), ("i", (0,))]

Text = list[list[tuple[int, ...]]]
"""The spellings of each word."""


def gaps(path: tuple[int, ...], spelled: tuple[tuple[int, ...], ...]) -> list[bool] | None:
    """For each frame of a path of phones and BLANK, whether it is between words; None where it spells other words."""
    runs = [(token, len(list(group))) for token, group in itertools.groupby(path)]
    if [token for token, _ in runs if token != BLANK] != [token for word in spelled for token in word]:
        return None
    edges = set(itertools.accumulate(map(len, spelled), initial=0))
    found: list[bool] = []
    phones, silent = 0, True
    for token, length in runs:
        if token != BLANK and not silent and phones in edges:
            return None  # nothing between two words
        silent = token == BLANK
        found += [silent and phones in edges] * length
        phones += not silent
    return found


@st.composite
def lattices(draw: st.DrawFn) -> tuple[np.ndarray, Text]:
    """Log posteriors [frames, tokens], and a text of words with one or two spellings each."""
    frames = draw(st.integers(0, 5))
    raw = draw(
        st.lists(st.lists(st.floats(0.05, 1), min_size=TOKENS, max_size=TOKENS), min_size=frames, max_size=frames)
    )
    probs = np.array(raw, np.float32).reshape(frames, TOKENS)
    spelling = st.lists(st.integers(0, 1), min_size=1, max_size=3).map(tuple)
    text = draw(st.lists(st.lists(spelling, min_size=1, max_size=2, unique=True), max_size=3))
    return np.log(probs / probs.sum(1, keepdims=True)), text


@given(lattices())
def test_the_best_of_all_paths_is_found(lattice: tuple[np.ndarray, Text]) -> None:
    log_probs, text = lattice
    quiet, frames = np.logaddexp(log_probs[:, BLANK], log_probs[:, BOUNDARY]), range(len(log_probs))
    paths = [
        sum(quiet[at] if between[at] else log_probs[at, path[at]] for at in frames)
        for spelled in itertools.product(*text)
        for path in itertools.product((0, 1, BLANK), repeat=len(log_probs))
        if (between := gaps(path, spelled)) is not None
    ]
    (found,) = path_scores(log_probs, [text], BLANK, BOUNDARY)
    assert found == pytest.approx(max(paths, default=NO_PATH), abs=1e-4)


@given(lattices(), lattices())
def test_texts_do_not_touch_each_other(one: tuple[np.ndarray, Text], other: tuple[np.ndarray, Text]) -> None:
    log_probs = one[0]
    together = path_scores(log_probs, [one[1], other[1]], BLANK, BOUNDARY)
    alone = [path_scores(log_probs, [text], BLANK, BOUNDARY)[0] for text in (one[1], other[1])]
    assert together.tolist() == alone


def frames(*tokens: int, sure: float = 0.97) -> np.ndarray:
    """Log posteriors [frames, tokens] that are sure of a token each."""
    probs = np.full((len(tokens), TOKENS), (1 - sure) / (TOKENS - 1), np.float32)
    probs[range(len(tokens)), tokens] = sure
    return np.log(probs)


def test_a_pause_changes_nothing() -> None:
    one = frames(0, BLANK, BLANK, BLANK, 1, sure=0.9999)
    long = frames(0, *[BLANK] * 200, 1, sure=0.9999)
    text = [[[(0,)], [(1,)]], [[(0, 1)]], [[(1,)]]]
    assert path_scores(one, text, BLANK, BOUNDARY).tolist() == path_scores(long, text, BLANK, BOUNDARY).tolist()


def test_a_word_without_spellings_fits_less_than_what_was_said_and_better_than_what_was_not() -> None:
    heard = frames(0, BLANK, 1, 0, BLANK)
    said, unknown, other = path_scores(heard, [[[(0,)], [(1, 0)]], [[(0,)], []], [[(0,)], [(0, 1)]]], BLANK, BOUNDARY)
    assert said > unknown > other
    cut_off, whole = path_scores(frames(*[0, BLANK, 1, BLANK] * 30), [[[]], [[(0,)], [(1,)]] * 30], BLANK, BOUNDARY)
    assert whole - cut_off > 30 * -WILDCARD


def test_without_a_boundary_words_need_nothing_between_them() -> None:
    heard = frames(0, 1)
    assert path_scores(heard, [[[(0,)], [(1,)]]], BLANK, None)[0] == pytest.approx(2 * math.log(0.97))
    assert path_scores(heard, [[[(0,)], [(1,)]]], BLANK, BOUNDARY)[0] == NO_PATH
    assert path_scores(frames(0, 0), [[[(0,)], [(0,)]]], BLANK, None)[0] == NO_PATH


@given(st.text(alphabet="aB'\u2019-. é7", max_size=30))
def test_words_are_without_marks_and_capitals(text: str) -> None:
    found = words(text)
    assert all(word and word == word.lower() and not word.startswith("'") for word in found)
    assert "".join(found).replace("'", "") == "".join(c for c in text.lower() if c.isalnum())


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    language = str(HOMOPHONES.trie(tmp_path_factory.mktemp("lm") / "tiny.bin"))
    lexicon = Lexicon.of(ROWS, [-1.0, -1.2, -0.7, -0.9])
    return Decoder.build(
        lexicon, language, TOKENS, BLANK, BOUNDARY, Search(), [("ada", (0, 0)), ("ada_xyz", (0, 1, 0))]
    )


def test_homophones_are_told_apart_by_the_language_model(decoder: Decoder) -> None:
    rescore = Rescorer(decoder.lexicon, decoder.language, BLANK, BOUNDARY)
    here, hear = rescore(["Here it.", "Hear it."], frames(0, 1, BLANK, 1))
    assert here > hear
    here, hear = rescore(["I here.", "I hear."], frames(0, BLANK, 0, 1))
    assert here < hear


def test_the_posteriors_tell_what_was_said(decoder: Decoder) -> None:
    rescore = Rescorer(decoder.lexicon, decoder.language, BLANK, BOUNDARY)
    it, i = rescore(["It.", "I."], frames(1, BLANK))
    assert it > i
    it, i = rescore(["It.", "I."], frames(0, BLANK))
    assert it < i


def test_a_score_is_the_weighted_sum_of_both(decoder: Decoder) -> None:
    rescore = Rescorer(decoder.lexicon, decoder.language, BLANK, BOUNDARY)
    language = math.log(10) * sum(HOMOPHONES.score(["here", "it"]))
    path = 4 * math.log(0.97)
    # A gap may be a blank or a boundary.
    path += math.log((0.97 + 0.01) / 0.97)
    assert rescore(["Here it"], frames(0, 1, BLANK, 1)) == pytest.approx([LANGUAGE * language + POSTERIORS * path])


def test_an_unknown_word_has_one_price_and_the_users_own_word_a_lower_one(decoder: Decoder) -> None:
    rescore = Rescorer(decoder.lexicon, decoder.language, BLANK, BOUNDARY)
    end = rescore.language(["it", "zyx"]) - rescore.language(["it"])
    assert rescore.language(["it", "xyz"]) == rescore.language(["it", "zyx"])
    assert end < UNKNOWN / 2
    assert rescore.language(["ada"]) - rescore.language(["xyz"]) == pytest.approx(math.log(10) * USER_SCORE - UNKNOWN)


def test_a_users_word_of_several_parts_is_one_word(decoder: Decoder) -> None:
    rescore = Rescorer(decoder.lexicon, decoder.language, BLANK, BOUNDARY)
    heard = frames(0, 1, 0, BLANK)
    whole, parts = rescore(["Ada Xyz.", "Ada xyzzy."], heard)
    language = rescore.language(["ada_xyz"])
    assert whole == pytest.approx(LANGUAGE * language + POSTERIORS * path_scores(heard, [[[(0, 1, 0)]]], 2, 3)[0])
    assert whole > parts


def test_no_text_is_no_score(decoder: Decoder) -> None:
    rescore = Rescorer(decoder.lexicon, decoder.language, BLANK, BOUNDARY)
    assert rescore([], frames(0)) == []
    assert len(rescore([""], np.zeros((0, TOKENS), np.float32))) == 1
