"""The beam search, over languages in which the best text is known by trying all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from token_language import Cross, Language, Step

from device.asr.attention_decoder import AttentionDecoder, Transcript
from models.decoder_steps import IDLE, DecoderSteps
from models.tokenizer import BYTES, END, LEAST_TOKENS, SPACE, START, Tokenizer, most_tokens

FIRST = BYTES.stop
SPELLINGS = [f"{SPACE}a", f"{SPACE}b", "c", f"{SPACE}Be", "ck", "ett", "et"]
TOKENIZER = Tokenizer(3 * [b""] + [bytes([b]) for b in range(256)] + [spelling.encode() for spelling in SPELLINGS])
HIDDEN = np.zeros((3, 4), np.float32)


def markov(seed: int, length: int) -> Language:
    """Any of three tokens or the end follows as it likes to, and the end for sure behind `length` tokens."""

    def following(text: tuple[int, ...]) -> NDArray[np.float32]:
        assert text[0] == START
        random = np.random.default_rng([seed, *text])
        log_probs = np.full(len(TOKENIZER.tokens), -50, np.float32)
        places = [END] if len(text) > length else [END, FIRST, FIRST + 1, FIRST + 2]
        log_probs[places] = np.log(random.dirichlet(np.full(len(places), 0.7)) + 1e-9)
        return log_probs

    return following


def spelled(language: str, *others: tuple[float, str]) -> Language:
    """`language` for sure, or with less probability the others."""
    texts = {tuple(numbers(text)): weight for weight, text in ((1.0, language), *others)}

    def following(text: tuple[int, ...]) -> NDArray[np.float32]:
        said = text[1:]
        log_probs = np.full(len(TOKENIZER.tokens), -30, np.float32)
        fitting = {known: w for known, w in texts.items() if known[: len(said)] == said}
        for known, weight in fitting.items():
            token = known[len(said)] if len(known) > len(said) else END
            log_probs[token] = np.logaddexp(log_probs[token], np.log(weight / sum(fitting.values())))
        return log_probs

    return following


def numbers(text: str) -> list[int]:
    """The tokens of a text that marks where they part.

    Of "Be|ck|ett a": Be, ck, ett, a.
    """
    return [
        TOKENIZER.numbers[part if i else SPACE + part]
        for word in text.split()
        for i, part in enumerate(word.split("|"))
    ]


def decoder(language: Language, *words: str) -> AttentionDecoder:
    return AttentionDecoder(Cross(), Step(language), TOKENIZER, words)


def total(language: Language, tokens: tuple[int, ...]) -> float:
    """The score of a whole text."""
    steps = range(len(tokens) + 1)
    return float(sum(language((START, *tokens[:i]))[(*tokens, END)[i]] for i in steps))


@settings(max_examples=40)
@given(st.integers(0, 1 << 30), st.integers(1, 4))
def test_a_wide_beam_finds_the_best_text_of_all(seed: int, length: int) -> None:
    language = markov(seed, length)
    texts = [t for n in range(length + 1) for t in itertools.product(range(FIRST, FIRST + 3), repeat=n)]
    best, *_ = decoder(language).decode(HIDDEN, 1.0, beam=81)
    assert best.score == pytest.approx(max(total(language, text) for text in texts), abs=1e-4)
    assert best.score == pytest.approx(total(language, best.tokens), abs=1e-4)


@settings(max_examples=40)
@given(st.integers(0, 1 << 30), st.integers(1, 9))
def test_a_beam_of_one_takes_the_likeliest_token_each_time(seed: int, length: int) -> None:
    language, said = markov(seed, length), [START]
    while said[-1] != END:
        said.append(int(language(tuple(said)).argmax()))
    best, *_ = decoder(language).decode(HIDDEN, 9.0, beam=1)
    assert best.tokens == tuple(said[1:-1]) and best.ended


@settings(max_examples=40)
@given(st.integers(0, 1 << 30), st.integers(1, 9), st.integers(1, 6))
def test_scores_are_those_of_the_texts_and_fall(seed: int, length: int, beam: int) -> None:
    language = markov(seed, length)
    found = decoder(language).decode(HIDDEN, 9.0, beam)
    scores = [transcript.score for transcript in found]
    assert scores == sorted(scores, reverse=True)
    assert len({transcript.tokens for transcript in found}) == len(found)
    for transcript in found:
        assert transcript.score == pytest.approx(total(language, transcript.tokens), abs=1e-3)


def test_a_text_that_does_not_end_is_cut_and_said_to_be() -> None:
    def endless(text: tuple[int, ...]) -> NDArray[np.float32]:
        log_probs = np.full(len(TOKENIZER.tokens), -30, np.float32)
        log_probs[FIRST + (len(text) % 2)] = 0
        return log_probs

    for seconds, most in ((0.1, LEAST_TOKENS), (60.0, most_tokens(60))):  # the second forgets entries on its way
        found = decoder(endless).decode(HIDDEN, seconds, beam=2)
        assert not found[0].ended and len(found[0].tokens) == most
        assert found[0].text == " ".join(["b", "a"] * most)[: 2 * most - 1]


def test_entries_that_no_hypothesis_needs_are_forgotten() -> None:
    steps = DecoderSteps(Cross(), Step(markov(1, 99)), HIDDEN)
    steps.advance([START], [0], 1)
    for _ in range(60):
        steps.advance([FIRST, FIRST + 1, FIRST + 2], [0, 0, 0], 1)
    entries = steps._cache["past_key.0"].shape[2]
    assert 60 < entries <= 61 + 3 + IDLE


def test_nothing_is_found_in_no_frames() -> None:
    assert decoder(markov(1, 3)).decode(HIDDEN[:0], 1.0) == []


def test_a_word_of_the_user_wins_over_a_likelier_one_that_sounds_alike() -> None:
    language = spelled("Be|c a", (0.3, "Be|ck|ett a"))
    assert decoder(language).decode(HIDDEN, 2.0)[0].text == "Bec a"
    best = decoder(language, "Beckett").decode(HIDDEN, 2.0)[0]
    assert (best.text, best.ended) == ("Beckett a", True)
    assert best.score == pytest.approx(np.log(0.3 / 1.3), abs=1e-4), "without the bonus"


def test_a_word_of_the_user_is_found_among_tokens_that_are_not_likely() -> None:
    """Its second token is the least likely of all, far behind the ones that the beam is told of."""

    def following(text: tuple[int, ...]) -> NDArray[np.float32]:
        log_probs = np.full(len(TOKENIZER.tokens), -1.0, np.float32)
        if len(text) == 1:
            log_probs[:] = -30
            log_probs[numbers("Be")] = 0
        elif len(text) == 2:
            log_probs[TOKENIZER.numbers["ck"]] = -1.2
        else:
            log_probs[:] = -30
            log_probs[END] = 0
        return log_probs

    assert decoder(following).decode(HIDDEN, 1.0)[0].text != "Beck"
    assert decoder(following, "Beck").decode(HIDDEN, 1.0)[0].text == "Beck"


def test_the_beginning_of_a_word_does_not_win() -> None:
    """Earned by `Be` and `ck`, and taken back where the word breaks off."""
    language = spelled("b|c", (0.5, "Be|ck|et a"))
    assert decoder(language, "Beckett").decode(HIDDEN, 2.0)[0].text == decoder(language).decode(HIDDEN, 2.0)[0].text


@given(st.integers(0, 1 << 30), st.lists(st.integers(FIRST, FIRST + 2), max_size=4))
def test_a_given_text_is_scored_as_if_it_had_been_found(seed: int, tokens: list[int]) -> None:
    language = markov(seed, 6)
    text = TOKENIZER.text(tokens)
    scored = decoder(language).score(HIDDEN, text)
    assert scored == Transcript(text, scored.tokens, scored.score, True)
    assert TOKENIZER.text(scored.tokens) == text
    assert scored.score == pytest.approx(total(language, scored.tokens), abs=1e-3)
