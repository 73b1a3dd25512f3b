"""Written English to spoken words, and which of it may train the language model."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.training.language_model import heldout
from models.training.language_model.text import cardinal, ordinal, spoken, year


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Mr. Brown paid £3.50.", "mister brown paid three pounds fifty"),
        ("It grew 12.5% in 1984;", "it grew twelve point five percent in nineteen eighty four"),
        ("the 1990s", "the nineteen nineties"),
        ("“I don’t,” he said—twice", "i don't he said twice"),
        ("at 10:05 on the 21st", "at ten oh five on the twenty first"),
        ("$2 billion & more", "two billion dollars and more"),
        ("naïve café", "naive cafe"),
        ("3\u00a0million", "three million"),
    ],
)
def test_reads_as_spoken(written: str, said: str) -> None:
    assert " ".join(spoken(written)) == said


def test_cuts_where_there_is_no_english() -> None:
    assert list(spoken("see https://example.org/a for 東京 now")) == ["see", "for", "now"]


def test_joins_sentences_and_says_marks() -> None:
    assert list(spoken("Yes. No, stop. End.", join=2)) == ["yes no stop", "end"]
    assert list(spoken("Yes, stop.", punctuation=True)) == ["yes comma stop period"]


@given(st.text(max_size=200))
def test_any_text_becomes_plain_words(text: str) -> None:
    for stretch in spoken(text):
        assert re.fullmatch(r"[a-z']+( [a-z']+)*", stretch)


@given(st.integers(0, 10**15 - 1))
def test_numbers_are_spelled_without_digits(n: int) -> None:
    assert all(word.isalpha() for word in cardinal(n) + ordinal(n) + year(n))


def test_numbers_differ() -> None:
    assert len({tuple(cardinal(n)) for n in range(3000)}) == 3000
    assert len({tuple(ordinal(n)) for n in range(3000)}) == 3000
    assert len({tuple(year(n)) for n in range(3000)}) == 3000


def test_training_text_keeps_clear_of_unseen_text() -> None:
    unseen = heldout.runs(["one two three four five six seven eight nine"])
    assert heldout.overlaps("so two three four five six seven eight nine it is", unseen)
    assert not heldout.overlaps("so two three four five six seven eight it is", unseen)
