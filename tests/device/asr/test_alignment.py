"""Word times: the alignment against every path there is, on posteriors made for it, and on a real recording."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from device.asr import alignment, factory
from device.asr.recognizer import Recognizer
from device.asr.results import Event, Segment
from device.bench.speech import TESTDATA
from models.bundle import Bundle

TOKENS, BOUNDARY, BLANK = 4, 4, 5
SPELLINGS = st.lists(st.lists(st.integers(0, TOKENS - 1), min_size=1, max_size=3), min_size=1, max_size=4)


def posteriors(path: list[int], sure: float = 0.9) -> np.ndarray:
    """Log posteriors [frames, 6] that are quite sure of a path."""
    probs = np.full((len(path), BLANK + 1), (1 - sure) / BLANK, np.float32)
    probs[np.arange(len(path)), path] = sure
    return np.log(probs)


@st.composite
def said(draw: st.DrawFn, boundary: bool) -> tuple[list[list[int]], list[int], list[tuple[int, int]]]:
    """Words, a path of tokens that says them, and the first frame and the one after the last of each."""
    words, path = draw(SPELLINGS), [BLANK] * draw(st.integers(0, 3))
    frames: list[tuple[int, int]] = []
    for number, word in enumerate(words):
        if number:
            between = [BLANK] * draw(st.integers(0, 3))
            path += [*between, BOUNDARY, *between] if boundary else between or [BLANK]
        for place, token in enumerate(word):
            if place and (token == word[place - 1] or draw(st.booleans())):
                path += [BLANK] * draw(st.integers(1, 3))
            frames += [] if place else [(len(path), 0)]
            path += [token] * draw(st.integers(1, 3))
        frames[-1] = (frames[-1][0], len(path))
    return words, path + [BLANK] * draw(st.integers(0, 3)), frames


@given(said(boundary=True))
def test_words_are_found_where_they_were_put(made: tuple[list[list[int]], list[int], list[tuple[int, int]]]) -> None:
    words, path, frames = made
    assert alignment.word_frames(posteriors(path), words, BLANK, BOUNDARY).tolist() == [list(pair) for pair in frames]


@given(said(boundary=False))
def test_so_they_are_without_a_boundary_token(made: tuple[list[list[int]], list[int], list[tuple[int, int]]]) -> None:
    words, path, frames = made
    assert alignment.word_frames(posteriors(path), words, BLANK, None).tolist() == [list(pair) for pair in frames]


@given(SPELLINGS, st.integers(0, 2**32 - 1), st.integers(0, 20), st.sampled_from([BOUNDARY, None]))
def test_any_posteriors_give_words_in_order_within_the_frames(
    words: list[list[int]], seed: int, more: int, boundary: int | None
) -> None:
    frames = 2 * sum(map(len, words)) + len(words) + more
    noise = np.random.default_rng(seed).normal(0, 3, (frames, BLANK + 1))
    log_probs = (noise - np.logaddexp.reduce(noise, 1, keepdims=True)).astype(np.float32)
    found = alignment.word_frames(log_probs, words, BLANK, boundary)
    assert found.shape == (len(words), 2)
    edges = found.ravel().tolist()
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= frames
    assert all(end - begin >= len(word) for word, (begin, end) in zip(words, found, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_the_path_is_the_best_of_all(seed: int) -> None:
    """Against every sequence of states of a small graph: its score is the highest that follows the rules."""
    log_probs = np.log(np.random.default_rng(seed).dirichlet(np.ones(BLANK + 1), 6)).astype(np.float32)
    emissions, skips = alignment._graph(log_probs, np.array([0, 0, 1]), [0, 2], BLANK, BOUNDARY)
    states = emissions.shape[1]

    def allowed(path: tuple[int, ...]) -> bool:
        ends = path[0] <= 1 and path[-1] >= states - 2
        return ends and all(0 <= b - a <= 1 or (b - a == 2 and skips[b]) for a, b in pairwise(path))

    def score(path: tuple[int, ...]) -> float:
        return float(emissions[range(6), path].sum())

    best = max(filter(allowed, product(range(states), repeat=6)), key=score)
    assert score(tuple(alignment._best_path(emissions, skips))) == pytest.approx(score(best))


def test_too_few_frames_and_empty_words_are_refused() -> None:
    with pytest.raises(ValueError, match="2 frames are too few for 3 tokens"):
        alignment.word_frames(posteriors([0, 1]), [[0, 1, 2]], BLANK, BOUNDARY)
    with pytest.raises(ValueError, match="too few"):
        alignment.word_frames(posteriors([]), [[0]], BLANK, BOUNDARY)
    with pytest.raises(ValueError, match="a word without tokens"):
        alignment.word_frames(posteriors([0, 1]), [[0], []], BLANK, BOUNDARY)
    assert alignment.word_frames(posteriors([0, 1]), [], BLANK, BOUNDARY).shape == (0, 2)


@pytest.fixture(scope="module")
def timed(bundle: Path) -> Recognizer:
    return factory.recognizer(Bundle.open(bundle), "cpu", word_times=True).recognizer


def segments(recognizer: Recognizer, samples: np.ndarray) -> list[Segment]:
    events: list[Event] = [*recognizer.accept_waveform(samples), *recognizer.finish()]
    return [event for event in events if isinstance(event, Segment)]


def test_a_silence_in_a_real_recording_moves_the_words_after_it(timed: Recognizer) -> None:
    """The same sentence before and after silences of 0.4 s, within one segment, and 3 s, which end it."""
    clip, rate = soundfile.read(TESTDATA / "sense_and_sensibility_01_austen_64kb-0930.wav", dtype="int16")
    (once,) = segments(timed, clip)
    words = once.text.split()
    assert len(once.times) == len(words) > 5
    for silence in (0.4, 3.0):
        quiet = np.random.default_rng(1).normal(0, 4, round(silence * rate)).astype(np.int16)
        twice = segments(timed, np.concatenate([clip, quiet, clip]))
        for segment in twice:
            edges = [edge for pair in segment.times for edge in pair]
            assert edges == sorted(edges) and segment.start <= edges[0] and edges[-1] <= segment.end
        said = [(word, time) for s in twice for word, time in zip(s.text.split(), s.times, strict=True)]
        assert [word for word, _ in said] == words * 2
        later = len(clip) / rate + silence
        moved = [(begin + later, end + later) for begin, end in once.times]
        off = np.abs(np.array([time for _, time in said]) - np.array([*once.times, *moved]))
        assert off.max() <= 0.1, off


def test_no_times_unless_they_are_asked_for(timed: Recognizer, bundle: Path) -> None:
    clip, _ = soundfile.read(TESTDATA / "sense_and_sensibility_01_austen_64kb-0930.wav", dtype="int16")
    plain = factory.recognizer(Bundle.open(bundle), "cpu").recognizer
    (without,), (with_times,) = segments(plain, clip), segments(timed, clip)
    assert without.times == () and without.text == with_times.text
