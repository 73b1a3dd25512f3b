"""Which hypothesis of the second recogniser is believed, and whether any is.

A decoder with attention writes fluent text whatever it hears: it may repeat itself without end, go on after the speech,
or write another sentence. The CTC recogniser writes only what it hears, so its words are the witness.

Pure functions; what they say of a rejected hypothesis is a reason, never its text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from device.asr.attention_decoder import Transcript
from device.asr.word_alignment import edits, plain
from device.asr.word_bonus import PER_CHARACTER
from models.tokenizer import most_tokens

UNSURE = -1.0  # mean log probability of a token below which the text needs a witness
WITNESSED = 0.3  # share of the words that the witness must have heard alike then
LONGEST_UNIT = 12  # words that are looked at as repeated
DISAGREEMENT = 0.3  # natural log of what each edit between a hypothesis and the witness's words costs
FAVOUR = 3.0  # natural log of what a user's word that both recognisers heard counts for

Rescore = Callable[[Sequence[str]], Sequence[float]]
"""Texts to what is added to the log probability of each; device/asr/rescoring.py."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The hypothesis to believe, None where there is none, and why those before it were rejected."""

    transcript: Transcript | None
    reasons: tuple[str, ...]


def judge(
    hypotheses: Sequence[Transcript],
    witness: Sequence[str],
    speech: float,
    own_words: Collection[str] = (),
    rescore: Rescore = lambda texts: [0.0] * len(texts),
) -> Verdict:
    """The best believable hypothesis.

    witness: the words that the CTC recogniser heard, at least one. speech: seconds of it without margins. own_words:
    the user's words, plain (`word_alignment.plain`): one that both heard counts in a hypothesis's favour. rescore: what
    is added to the score of each text.
    """
    reasons: list[str] = []
    for transcript in ranked(hypotheses, witness, own_words, rescore):
        reason = fault(transcript, witness, speech)
        if not reason:
            return Verdict(transcript, tuple(reasons))
        reasons.append(reason)
    return Verdict(None, tuple(reasons) or ("no text",))


def ranked(
    hypotheses: Sequence[Transcript], witness: Sequence[str], own_words: Collection[str], rescore: Rescore
) -> Sequence[Transcript]:
    """The hypotheses, best first: by their score and what `rescore` adds to it, how far they agree with the witness,
    and the user's words in them.

    Those that have not ended come last: their score is that of a part.
    A user's word that both have counts most: neither would write it by chance.
    """
    if len(hypotheses) < 2:
        return hypotheses
    own = {" ".join(map(plain, word.split())) for word in own_words}
    heard = _own_words(witness, own)

    def agreed(transcript: Transcript, added: float) -> tuple[bool, float]:
        words = transcript.text.split()
        found = _own_words(words, own)
        bonus = PER_CHARACTER * sum(map(len, found)) + FAVOUR * len(found & heard)
        return transcript.ended, transcript.score + added + bonus - DISAGREEMENT * edits(witness, words)

    added = rescore([transcript.text for transcript in hypotheses])
    scores = [agreed(*pair) for pair in zip(hypotheses, added, strict=True)]
    return [hypotheses[at] for at in sorted(range(len(hypotheses)), key=lambda at: scores[at], reverse=True)]


def _own_words(words: Sequence[str], own: Collection[str]) -> set[str]:
    """Those of the user's words that are among `words`, which the first pass joins by "_" where there are several."""
    text = f" {' '.join(plain(part) for word in words for part in word.split('_'))} "
    return {word for word in own if f" {word} " in text}


def fault(transcript: Transcript, witness: Sequence[str], speech: float) -> str:
    """Why a hypothesis is not to be believed, in a few words; empty where it is.

    >>> said = "with the children with the children with the children".split()
    >>> fault(Transcript(" ".join(said), (9,) * 12, -1.0, True), said[:3], 2.0)
    'a loop'
    >>> fault(Transcript("Yes.", (9, 9), -0.1, True), ["yes"], 0.4)
    ''
    """
    words = transcript.text.split()
    if not any(map(plain, words)):
        return "no text"
    if not transcript.ended or len(transcript.tokens) > most_tokens(speech + 1):
        return "more tokens than the speech can hold"
    if loops(words, witness):
        return "a loop"
    alike = 1 - edits(witness, words) / max(len(witness), len(words))
    if transcript.score / max(1, len(transcript.tokens)) < UNSURE and alike < WITNESSED:
        return "a low score for words that the first pass did not hear"
    return ""


def loops(words: Sequence[str], witness: Sequence[str]) -> bool:
    """Whether words are repeated that were said once: two or more of them, of which the witness heard no repetition.

    >>> loops("a b a b".split(), ["a", "b"]), loops("a b a b".split(), "a b a b".split()), loops(["very"] * 2, ["very"])
    (True, False, False)
    """
    spoken = [plain(word) for word in words]
    for begin, after in repetitions(spoken):
        once = spoken[:begin] + spoken[after:]
        if edits(witness, once) <= edits(witness, spoken):
            return True
    return False


def repetitions(words: Sequence[str]) -> Iterator[tuple[int, int]]:
    """What is too much where words are repeated at once, [first, after): two words at least.

    >>> list(repetitions("to be to be or not".split())), list(repetitions(["no", "no", "no"]))
    ([(2, 4)], [(1, 3)])
    """
    for unit in range(1, min(LONGEST_UNIT, len(words) // 2) + 1):
        index = 0
        while index + unit < len(words):
            run = 0
            while index + run + unit < len(words) and words[index + run] == words[index + run + unit]:
                run += 1
            too_much = run - run % unit
            if too_much >= max(2, unit):
                yield index + unit, index + unit + too_much
            index += max(1, run)
