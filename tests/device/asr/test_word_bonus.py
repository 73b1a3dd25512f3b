"""The bonus for the user's words: what a finished text has earned is that of the words in it, however it is split."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.asr.word_bonus import State, WordBonus
from models.tokenizer import BYTES, SPACE, Tokenizer

SPELLINGS = [
    SPACE,
    f"{SPACE}an",
    f"{SPACE}An",
    "n",
    "na",
    "a",
    "bel",
    f"{SPACE}ba",
    "b",
    "l",
    "e",
    ",",
    ".",
    "'",
    "A",
    "ü",
]
TOKENIZER = Tokenizer(3 * [b""] + [bytes([b]) for b in range(256)] + [spelling.encode() for spelling in SPELLINGS])
WORDS = ["Anna", "Annabel", "ban", "an ban", "Anna ba", "l'an", "bü"]


def earned(words: list[str], tokens: list[int]) -> float:
    bonus = WordBonus(words, TOKENIZER, 1.0)
    state, total = State(), 0.0
    for token in tokens:
        state, gain = bonus.advance(state, token)
        total += gain
    return total + bonus.end(state)


def expected(words: list[str], text: str) -> float:
    """The characters of the words in `text`, leftmost and longest, each once in a run of them."""
    numbers = {form: n for n, word in reversed([*enumerate(words)]) for form in (word[:1].upper() + word[1:], word)}
    forms = sorted((SPACE + form.replace(" ", SPACE) for form in numbers), key=len, reverse=True)
    total, behind = 0.0, 0
    run: set[int] = set()
    for match in re.finditer("|".join(f"{re.escape(form)}(?![^\\W_])" for form in forms), text):
        number = numbers[match[0][1:].replace(SPACE, " ")]
        if re.search(r"[^\W_]", text[behind : match.start()]):
            run = set()
        total += 0 if number in run else len(match[0]) - 1
        run.add(number)
        behind = match.end()
    return total


@st.composite
def texts(draw: st.DrawFn) -> list[int]:
    """Tokens of texts in which the words are likely."""
    numbers = st.integers(BYTES.stop, BYTES.stop + len(SPELLINGS) - 1)
    parts = st.one_of(
        st.lists(numbers, min_size=1, max_size=3),
        st.sampled_from(WORDS).map(TOKENIZER.encode),
    )
    return [token for part in draw(st.lists(parts, max_size=6)) for token in part]


@given(texts(), st.lists(st.sampled_from(WORDS), min_size=1, max_size=7, unique=True))
def test_a_text_has_earned_the_words_in_it_and_nothing_else(tokens: list[int], words: list[str]) -> None:
    text = "".join(TOKENIZER.spellings[token] for token in tokens)
    assert earned(words, tokens) == expected(words, text)


@pytest.mark.parametrize(
    ("text", "bonus"),
    [
        ("Anna ba", 4),  # begun and not finished
        ("Annabel.", 7),
        ("Annabele", 0),
        ("an Annaban", 0),
        ("Anna, Anna, Anna", 4),
        ("Anna ban Anna ban", 7),  # a run
        ("Anna ban an Anna", 11),
        ("Ban", 3),  # with a capital where a sentence begins
        ("bAn", 0),
        ("anna", 0),  # written otherwise than by the user
        ("Anna's", 4),
    ],
)
def test_what_counts(text: str, bonus: float) -> None:
    assert earned(["Anna", "Annabel", "ban"], TOKENIZER.encode(text)) == bonus


def test_each_character_earns_at_once() -> None:
    bonus, state = WordBonus(["Anna"], TOKENIZER, 0.5), State()
    gains = []
    for spelling in (f"{SPACE}An", "na", ","):
        state, gain = bonus.advance(state, TOKENIZER.numbers[spelling])
        gains.append(gain)
    assert gains == [1.0, 1.0, 0.0]
    assert bonus.advance(State(f"{SPACE}An"), TOKENIZER.numbers["e"])[1] == -1.0


@given(texts())
def test_the_options_are_what_earns_something(tokens: list[int]) -> None:
    bonus, state = WordBonus([word for word in WORDS if " " not in word], TOKENIZER), State()
    for token in tokens:
        state, _ = bonus.advance(state, token)
    options = bonus.options(state)
    for token in range(BYTES.stop, len(TOKENIZER.tokens)):
        gain = bonus.advance(state, token)[1]
        if token in options.ids:
            assert gain == pytest.approx(options.gains[options.ids.tolist().index(token)])
        else:
            assert gain <= 1e-9


def test_without_words_nothing_is_asked_of_any_token() -> None:
    bonus = WordBonus([], TOKENIZER)
    assert bonus.advance(State(), 300) == (State(), 0.0)
    assert not len(bonus.options(State()).ids)
