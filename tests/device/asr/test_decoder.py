"""The decoder on posteriors made by hand, with a small lexicon and language model."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kenlm_trie import Model

from device.asr.decoder import Decoder
from models.bundle import Search
from models.lexicon import Lexicon

TOKENS = ["t", "u", "f", "o", "<wb>", "<blank>"]
BOUNDARY, BLANK = 4, 5
ROWS = [("two", (0, 1)), ("too", (0, 1)), ("four", (2, 3)), ("foot", (2, 3, 0))]
LANGUAGE = Model((
    {("<s>",): (-99, -0.3), ("</s>",): (-1.0, 0), ("<unk>",): (-3.0, 0), ("two",): (-0.9, -0.3), ("too",): (-1.1, -0.3),
     ("four",): (-0.7, -0.3), ("foot",): (-1.3, -0.3)},
    {("four", "too"): (-0.1, 0), ("foot", "two"): (-0.2, 0), ("two", "foot"): (-0.3, 0)},
))  # fmt: skip


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(LANGUAGE.trie(tmp_path_factory.mktemp("lm") / "tiny.bin"))


def decoder(language: str, extra: tuple[tuple[str, tuple[int, ...]], ...] = (), **search: float) -> Decoder:
    lexicon = Lexicon.of(ROWS, [-0.9, -1.1, -0.7, -1.3])
    options = Search(**search)  # type: ignore[arg-type]
    return Decoder.build(lexicon, language, len(TOKENS), BLANK, BOUNDARY, options, extra)


def said(text: str, sure: float = 0.95) -> np.ndarray:
    """Log posteriors [frames, tokens] of a spelling such as "t u | f o", each token for a frame, then a blank."""
    frames = []
    for symbol in text.replace("|", "<wb>").split():
        for token in (TOKENS.index(symbol), BLANK):
            row = np.full(len(TOKENS), (1 - sure) / (len(TOKENS) - 1))
            row[token] = sure
            frames.append(row)
    return np.log(np.array(frames)).astype(np.float32)


def words(decoder: Decoder, log_probs: np.ndarray) -> tuple[str, ...]:
    decoder.advance(log_probs)
    return decoder.finish()


def test_homophones_are_told_apart_by_the_language_model(language: str) -> None:
    search = decoder(language)
    assert words(search, said("t u")) == ("two",)
    assert words(search, said("f o | t u")) == ("four", "too")
    assert words(search, said("f o t | t u")) == ("foot", "two")


def test_nothing_said_is_no_word(language: str) -> None:
    search = decoder(language)
    assert search.finish() == ()
    assert words(search, np.log(np.eye(len(TOKENS))[[BLANK] * 20] + 1e-6).astype(np.float32)) == ()
    assert words(search, np.zeros((0, len(TOKENS)), np.float32)) == ()


def test_a_users_word_is_found_as_soon_as_it_is_given(language: str) -> None:
    assert "ufo" not in words(decoder(language), said("u f o"))
    assert words(decoder(language, extra=(("ufo", (1, 2, 3)),)), said("u f o | t u"))[0] == "ufo"


def test_sure_blanks_may_be_left_out(language: str) -> None:
    blank = np.log(np.eye(len(TOKENS))[[BLANK]] + 1e-9).astype(np.float32)
    pause = np.repeat(blank, 200, 0)
    sound = np.concatenate([pause, said("f o |"), pause, said("t u"), pause])
    for skip in (0.999, 1.0):
        assert words(decoder(language, blank_skip=skip), sound) == ("four", "too")


def test_a_repeated_token_needs_its_blank_though_blanks_are_skipped(language: str) -> None:
    blank = np.log(np.eye(len(TOKENS))[[BLANK] * 30] + 1e-9).astype(np.float32)
    search = decoder(language, extra=(("tutu", (0, 0, 1)),))
    t = said("t", 0.99)[:1]
    assert words(search, np.concatenate([t, blank, t, said("u", 0.99)])) == ("tutu",)
    assert words(search, np.concatenate([t, t, said("u", 0.99)])) == ("two",)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from(["t u |", "f o |", "f o t |", "u", "o"]), min_size=1, max_size=8),
    st.lists(st.integers(1, 9), max_size=8),
    st.randoms(use_true_random=False),
)
def test_what_is_stable_never_changes(language: str, spoken: list[str], sizes: list[int], random: object) -> None:
    search = decoder(language)
    sound = said(" ".join(spoken), sure=0.6)
    stable: tuple[str, ...] = ()
    for part in np.split(sound, np.cumsum(sizes)):
        search.advance(part)
        best = search.best()
        assert best.words[: len(stable)] == stable and best.stable >= len(stable)
        stable = best.words[: best.stable]
    assert search.finish()[: len(stable)] == stable


def test_piecewise_equals_at_once(language: str) -> None:
    sound = said("f o | t u | f o t | t u", sure=0.7)
    search = decoder(language)
    whole = words(search, sound)
    for frame in sound:
        search.advance(frame[None])
    assert search.finish() == whole


def test_what_a_fork_hears_is_forgotten(language: str) -> None:
    search = decoder(language)
    search.advance(said("f o |"))
    fork = search.fork()
    assert words(fork, said("f o t |")) == ("four", "foot")
    assert words(fork, said("t u |")) == ("two",)
    assert words(search, said("t u |")) == ("four", "too")


def test_a_lexicon_survives_its_file(tmp_path: Path) -> None:
    lexicon = Lexicon.of([("naïve", (1, 2)), ("a", (300,))], [-1.5, -2.0])
    lexicon.save(tmp_path / "lexicon.npz")
    assert list(Lexicon.load(tmp_path / "lexicon.npz")) == list(lexicon)


@given(st.binary(max_size=300))
def test_another_file_is_no_lexicon(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "not-a-lexicon.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not a lexicon|do not fit"):
        Lexicon.load(path)
