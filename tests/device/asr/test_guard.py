"""Which hypothesis is believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.asr.attention_decoder import Transcript
from device.asr.guard import judge, loops

SAID = "for the twentieth time that evening the two men shook hands"


def transcript(text: str, score: float = -0.2, ended: bool = True) -> Transcript:
    """A hypothesis with so much score for each of its tokens."""
    tokens = (9,) * (len(text.split()) + 1)
    return Transcript(text, tokens, score * len(tokens), ended)


GOOD = transcript("For the twentieth time that evening, the two men shook hands.")


def test_a_sure_text_is_believed_although_the_witness_heard_little() -> None:
    assert judge([GOOD], SAID.split(), 4.0).transcript is GOOD
    assert judge([GOOD], ["men"], 4.0).transcript is GOOD
    assert judge([GOOD], SAID.split(), 4.0).reasons == ()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (transcript(f"{SAID} {SAID}"), "a loop"),
        (transcript("with lochilla with lochilla"), "a loop"),
        (transcript("you you you you you you you"), "a loop"),
        (transcript(SAID, ended=False), "more tokens"),
        (Transcript(SAID, (9,) * 200, -1.0, True), "more tokens"),
        (transcript("Thank you for watching.", score=-1.4), "a low score"),
        (transcript(" "), "no text"),
        (transcript("…"), "no text"),
    ],
)
def test_a_bad_one_is_passed_over(bad: Transcript, reason: str) -> None:
    verdict = judge([bad], SAID.split(), 4.0)
    assert verdict.transcript is None and reason in verdict.reasons[0]
    assert bad.text not in verdict.reasons[0] or not bad.text.strip()
    assert judge([bad, GOOD], SAID.split(), 4.0).transcript is GOOD


def test_no_hypothesis_is_no_text() -> None:
    assert judge([], ["yes"], 1.0).transcript is None


def test_what_was_said_twice_is_no_loop() -> None:
    for said in ("no no no", "bye bye", "to be or to be", f"{SAID} {SAID}"):
        assert judge([transcript(said)], said.split(), 8.0).transcript is not None
    assert judge([transcript("It was very very cold")], "it was very cold".split(), 2.0).transcript is not None


def test_a_word_of_the_users_that_both_heard_counts() -> None:
    close = [transcript("ask show ming", -0.1), transcript("Ask Xiaoming.", -2.0)]
    assert judge(close, ["ask", "xiaoming"], 1.0, {"xiaoming"}).transcript is close[1]
    assert judge(close, ["ask", "showing"], 1.0, {"xiaoming"}).transcript is close[0]
    assert judge(close, ["ask", "xiaoming"], 1.0).transcript is close[0]


def test_of_two_good_ones_that_which_agrees_with_the_witness_is_better() -> None:
    close = [transcript("Get me a flight roast", -0.10), transcript("Get me a light roast", -0.12)]
    assert judge(close, "get me a light roast".split(), 2.0).transcript is close[1]
    assert judge(close, "get me a flight roast".split(), 2.0).transcript is close[0]


def test_what_rescoring_adds_may_decide_among_those_that_have_ended() -> None:
    close = [transcript("Hear it is.", -0.10), transcript("Here it is.", -0.12), transcript("Here", -0.01, ended=False)]
    scores = {"Hear it is.": -2.0, "Here it is.": -1.0, "Here": 9.0}
    verdict = judge(close, ["it", "is"], 1.0, rescore=lambda texts: [scores[text] for text in texts])
    assert verdict.transcript is close[1]
    assert judge(close, ["it", "is"], 1.0).transcript is close[0]


def test_the_users_words_keep_their_bonus() -> None:
    close = [transcript("I went to new work", -0.2), transcript("I went to New York.", -0.5)]
    said = "i went to new cork".split()
    assert judge(close, said, 1.0, {"New York"}).transcript is close[1]
    assert judge(close, said, 1.0).transcript is close[0]
    assert judge(close, ["i", "went", "to", "new_york"], 1.0, {"New York"}).transcript is close[1]


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_what_the_witness_heard_itself_is_never_a_loop(words: list[str]) -> None:
    assert not loops(words, words)


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=6, unique=True), st.integers(2, 5))
def test_a_repetition_that_the_witness_did_not_hear_is_one(words: list[str], times: int) -> None:
    assert loops(words * times, words)
