"""The search against all there is to find in small lexicons."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kenlm_trie import MARKERS, Model

from device.asr import beam_search
from device.asr.decoder import HOMOPHONES, LOG_PROB_FLOOR
from models.lexicon import Lexicon

WORDS = ["ab", "ba", "abba", "b", "also-b", "aa"]
SPELLINGS = {"ab": (0, 1), "ba": (1, 0), "abba": (0, 1, 1, 0), "b": (1,), "also-b": (1,), "aa": (0, 0)}
LANGUAGE = Model((
    {(word,): (-0.4 * i - 0.3, -0.1 * i) for i, word in enumerate([*MARKERS, *WORDS])},
    {("<s>", "b"): (-0.2, -0.1), ("b", "ab"): (-0.4, 0), ("ab", "also-b"): (-0.2, -0.3), ("aa", "</s>"): (-0.1, 0)},
    {("<s>", "b", "ab"): (-0.1, 0), ("b", "ab", "also-b"): (-1.7, 0)},
))  # fmt: skip
# Whether there is a boundary, the beam, and the sum of the scores of 200 random utterances: from a search that makes
# all candidates of a frame before it drops those that the beam has no room for.
NARROW = [
    (True, 1, -13869.731),
    (True, 2, -12692.084),
    (True, 4, -12249.109),
    (True, 8, -12095.798),
    (True, 20, -12041.772),
    (False, 1, -15681.956),
    (False, 2, -14954.201),
    (False, 4, -14526.474),
    (False, 8, -14370.885),
    (False, 20, -14339.815),
]
Alignments = dict[tuple[tuple[int, ...], int], float]


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> beam_search.Language:
    return beam_search.Language(str(LANGUAGE.trie(tmp_path_factory.mktemp("lm") / "tiny.bin")))


def search(language: beam_search.Language, boundary: bool, chosen: list[str], **other: float) -> beam_search.Search:
    """Tokens a, b, the boundary if there is one, and the blank."""
    tokens = 4 if boundary else 3
    rows = Lexicon.of([(word, SPELLINGS[word]) for word in chosen], [LANGUAGE.orders[0][(word,)][0] for word in chosen])
    words = beam_search.WordGraph(language, rows.text, rows.ends, rows.tokens, rows.scores, tokens, HOMOPHONES)
    options = {
        "beam": 100_000,
        "beam_tokens": tokens,
        "blank": tokens - 1,
        "boundary": 2 if boundary else beam_search.NONE,
        "threshold": 1e6,
        "language_weight": 1.0,
        "word_score": 0.0,
        "blank_skip": 0.0,
        "floor": LOG_PROB_FLOOR,
    }
    return beam_search.Search.of(words, tokens, beam_search.Options(**(options | other)))


def everything(frames: np.ndarray) -> Alignments:
    """The best alignment of each token string, by what it ends with: CTC's definition, frame by frame."""
    blank = frames.shape[1] - 1
    now: Alignments = {((), blank): 0.0}
    for frame in np.clip(frames, LOG_PROB_FLOOR, 0).tolist():
        after: Alignments = {}
        for ((string, last), score), (token, worth) in product(now.items(), enumerate(frame)):
            longer = string if token in (blank, last) else (*string, token)
            after[longer, token] = max(after.get((longer, token), -math.inf), score + worth)
        now = after
    return now


def readings(string: tuple[int, ...], boundary: bool, chosen: list[str]) -> Iterator[list[str]]:
    """The sentences that are spelled so."""
    if not string:
        yield []
    elif boundary and string[0] == 2:
        yield from readings(string[1:], boundary, chosen)
    else:
        for word in chosen:
            spelling = (*SPELLINGS[word], 2) if boundary else SPELLINGS[word]
            if string[: len(spelling)] == spelling:
                yield from ([word, *rest] for rest in readings(string[len(spelling) :], boundary, chosen))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data(), st.booleans(), st.sets(st.sampled_from(WORDS), min_size=1), st.floats(0, 2), st.floats(-2, 2))
def test_an_unbounded_beam_finds_the_best_there_is(
    language: beam_search.Language,
    data: st.DataObject,
    boundary: bool,
    chosen: set[str],
    weight: float,
    word_score: float,
) -> None:
    chosen_words = sorted(chosen)
    tokens = 4 if boundary else 3
    row = st.lists(st.floats(-16, 0), min_size=tokens, max_size=tokens)
    frames = np.array(data.draw(st.lists(row, min_size=1, max_size=6)), np.float32)
    tail = np.full((2, tokens), LOG_PROB_FLOOR, np.float32)
    tail[0, 2 if boundary else tokens - 1] = tail[1, tokens - 1] = 0
    best, scores = -math.inf, {}
    for (string, _), score in everything(np.concatenate([frames, tail])).items():
        for sentence in readings(string, boundary, chosen_words):
            whole = score + weight * sum(LANGUAGE.score(sentence)) + word_score * len(sentence)
            scores[tuple(sentence)] = max(scores.get(tuple(sentence), -math.inf), whole)
            best = max(best, whole)
    found = search(language, boundary, chosen_words, language_weight=weight, word_score=word_score)
    found.advance(frames)
    found.close()
    rows, stable, score = found.best(closed=True)
    assert score == pytest.approx(best, abs=1e-4)
    assert scores[tuple(chosen_words[row] for row in rows)] == pytest.approx(best, abs=1e-4)
    assert 0 <= stable <= len(rows)


@pytest.mark.parametrize(("boundary", "beam", "expected"), NARROW)
def test_a_narrow_beam_keeps_the_best_candidates_of_each_frame(
    language: beam_search.Language, boundary: bool, beam: int, expected: float
) -> None:
    found = search(language, boundary, WORDS, beam=beam)
    total = 0.0
    for seed in range(200):
        frames = -8 * np.random.default_rng(seed).random((30, 4 if boundary else 3))
        found.advance(frames.astype(np.float32))
        found.close()
        total += found.best(closed=True)[2]
        found.begin()
    assert total == pytest.approx(expected, abs=1e-2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 4), st.floats(0, 30), st.booleans())
def test_a_copy_goes_on_as_the_first_would_have(
    language: beam_search.Language, seed: int, beam: int, beam_tokens: int, threshold: float, boundary: bool
) -> None:
    rng = np.random.default_rng(seed)
    first, tokens = (search(language, boundary, WORDS, beam=beam, beam_tokens=beam_tokens, threshold=threshold,
                            blank_skip=-0.5), 4 if boundary else 3)  # fmt: skip
    before, after = np.log(rng.dirichlet(np.ones(tokens), (2, 40))).astype(np.float32)
    first.advance(before)
    copy = first.fork()
    first.advance(after)
    first.close()
    wanted = first.best(closed=True)
    first.begin()
    first.advance(before)
    for frame in after:
        copy.advance(frame[None])
    copy.close()
    assert copy.best(closed=True) == wanted
    first.advance(after)
    first.close()
    assert first.best(closed=True) == wanted


def test_speech_without_a_pause_needs_no_more_memory(language: beam_search.Language) -> None:
    frames = np.log(np.random.default_rng(0).dirichlet(np.ones(4), 2_000)).astype(np.float32)
    endless = search(language, True, WORDS, beam=20)
    endless.advance(frames)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(20):  # 13 minutes; half a million histories of 56 bytes
        endless.advance(frames)
    assert len(endless.best(closed=False)[0]) > 3_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8_000


def test_what_does_not_fit_is_refused(language: beam_search.Language) -> None:
    with pytest.raises(beam_search.SearchError, match=r"row 2 .* token"):
        rows = Lexicon.of([("a", (0,)), ("b", (9,))], [-1, -1])
        beam_search.WordGraph(language, rows.text, rows.ends, rows.tokens, rows.scores, 4, 6)
    with pytest.raises(ValueError, match="shape"):
        search(language, True, WORDS).advance(np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("beam", 0),
        ("beam_tokens", 0),
        ("blank", 4),
        *(("threshold", value) for value in (-1.0, math.nan, math.inf)),
        *((option, value) for option in ("language_weight", "word_score", "floor") for value in (math.nan, math.inf)),
        ("blank_skip", math.nan),
    ],
)
def test_options_that_could_lose_every_hypothesis_are_refused(
    language: beam_search.Language, option: str, value: float
) -> None:
    with pytest.raises(beam_search.SearchError, match="out of range"):
        search(language, True, WORDS, **{option: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -3e38])
def test_posteriors_that_are_none_lose_no_hypothesis(language: beam_search.Language, value: float) -> None:
    """No posterior leads to a word; scores far beyond a bundle's make every extension hopeless or infinite."""
    for options in ({}, {"language_weight": 3e38}, {"language_weight": -3e38, "word_score": 3e38}, {"floor": -3e38}):
        lost = search(language, True, WORDS, **options)
        for _ in range(3):
            lost.advance(np.full((50, 4), value, np.float32))
            lost.best(closed=False)
        lost.close()
        rows, stable, score = lost.best(closed=True)
        assert stable <= len(rows) and not math.isnan(score)


def test_frames_of_another_vocabulary_are_refused(language: beam_search.Language) -> None:
    rows = Lexicon.of([("a", (0,))], [-1.0])
    words = beam_search.WordGraph(language, rows.text, rows.ends, rows.tokens, rows.scores, 4, 6)
    with pytest.raises(beam_search.SearchError, match="frames of 3 tokens, where the lexicon has 4"):
        beam_search.Search.of(words, 3, beam_search.Options(10, 3, 2, beam_search.NONE, 25.0, 1.0, 0.0, 0.0, -14.0))


def test_a_missing_library_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(beam_search.SearchError, match=r"pip install") as caught:
        beam_search.load(tmp_path / "none.so")
    assert "\n" not in str(caught.value)
