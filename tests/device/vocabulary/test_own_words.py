"""The user's own words on their way into the recogniser."""

from __future__ import annotations

import pytest

from device.vocabulary.user_words import spelled, word

TOKENS = ["<blank>", "t", "oʊ", "b", "iː"]


def pronounce(said: str) -> list[str]:
    known = {"to": ["t", "oʊ"], "bee": ["b", "iː"], "chi": ["tʃ", "iː"]}
    if said not in known:
        raise ValueError(f"{said!r}: a character that the network has not seen")
    return known[said]


def test_words_become_tokens_of_the_bundle() -> None:
    found = spelled([word("Tobi", "to bee"), word("Bee")], pronounce, TOKENS)
    assert found == (("tobi", (1, 2, 3, 4)), ("bee", (3, 4)))


def test_a_word_that_cannot_be_said_does_not_cost_the_others(caplog: pytest.LogCaptureFixture) -> None:
    found = spelled([word("Xqz"), word("Chi"), word("Bee")], pronounce, TOKENS)
    assert [heard for heard, _ in found] == ["bee"]
    told = " ".join(record.getMessage() for record in caplog.records)
    assert "Xqz" in told and "Chi" in told and "tʃ" in told
