"""The second recogniser's decoder: encoder frames of a segment to text, by beam search over its tokens.

Hypotheses are rows of one step of the network (models/decoder_steps.py), so four cost little more than one. A
hypothesis ends at the end token, or where it has as many tokens as its speech can hold. One that repeats itself is not
stopped before that: it is for the caller's guard to reject, who gets the other hypotheses too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from device.asr.word_bonus import Continuations, State, WordBonus
from device.inference import onnx_model
from device.inference.interpreter import InterpreterError
from models.bundle import BundleError
from models.decoder_steps import POSITIONS, DecoderSteps, Session, Step
from models.tokenizer import END, START, Tokenizer, most_tokens
from models.transformer_bundle import TransformerBundle

Float = NDArray[np.float32]
Int = NDArray[np.int64]
BEAM = 4
NO_TOKENS: Int = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Transcript:
    """A text that the decoder found."""

    text: str  # with capitals and punctuation
    tokens: tuple[int, ...]  # without START and END
    score: float  # sum of the tokens' log probabilities, without any bonus
    ended: bool  # with the end token, and not because there were too many


class TokenHypothesis(NamedTuple):
    """A text so far: a row of the next step."""

    tokens: tuple[int, ...]
    score: float
    bonus: float
    state: State

    @property
    def total(self) -> float:
        return self.score + self.bonus


class Candidate(NamedTuple):
    """A row and a token that may follow it, and what that makes; sorts by the total, highest first."""

    loss: float  # the total, negative
    row: int
    token: int
    score: float
    bonus: float
    state: State

    def hypothesis(self, before: TokenHypothesis) -> TokenHypothesis:
        tokens = before.tokens if self.token == END else (*before.tokens, self.token)
        return TokenHypothesis(tokens, self.score, self.bonus, self.state)


class AttentionDecoder:
    """The decoder of a bundle, with a bonus for the user's words.

    decoder = AttentionDecoder.of(TransformerBundle.open("models/build/moonshine-tiny"), ["Beckett"])
    best, *others = decoder.decode(hidden, seconds)
    """

    def __init__(self, cross: Session, step: Session, tokenizer: Tokenizer, words: Sequence[str] = ()) -> None:
        self._cross, self._step, self._tokenizer = cross, step, tokenizer
        self._bonus = WordBonus(words, tokenizer)

    @classmethod
    def of(cls, bundle: TransformerBundle, words: Sequence[str] = (), threads: int = 1) -> AttentionDecoder:
        """The decoder in `bundle`, which prefers `words`; BundleError where its files are something else."""
        try:
            tokenizer = Tokenizer.load(bundle.tokenizer)
            cross, step = (onnx_model.session(path, threads) for path in (bundle.decoder_cross, bundle.decoder_step))
        except (OSError, ValueError, InterpreterError) as error:
            raise BundleError(f"{bundle.root}: {error}; build the bundle again") from None
        return cls(cross, step, tokenizer, words)

    def decode(self, hidden: Float, seconds: float, beam: int = BEAM, margin: float = 0.0) -> list[Transcript]:
        """The texts of `hidden` [T, C], the encoder's output for `seconds` of speech, best first; none of no frames.

        `beam` is how many hypotheses are followed; 1 takes the likeliest token each time. Texts that have ended come
        before those that have not; within both, by score and bonus. The search ends when no other text can come within
        `margin` of the best: 0 where only the best is wanted.
        """
        if not len(hidden):
            return []
        steps = DecoderSteps(self._cross, self._step, hidden)
        live, parents = [TokenHypothesis((), 0.0, 0.0, State())], [0]
        ended: list[TokenHypothesis] = []
        for _ in range(min(most_tokens(seconds), POSITIONS)):
            options = [self._bonus.options(h.state) for h in live]
            asked = (
                np.unique(np.concatenate([o.ids for o in options])) if any(len(o.ids) for o in options) else NO_TOKENS
            )
            step = steps.advance([h.tokens[-1] if h.tokens else START for h in live], parents, 2 * beam, asked)
            candidates = sorted(
                candidate
                for row, (hypothesis, option) in enumerate(zip(live, options, strict=True))
                for candidate in self._candidates(row, hypothesis, step, option, asked, beam)
            )
            before, live, parents = live, [], []
            for candidate in candidates:
                hypothesis = candidate.hypothesis(before[candidate.row])
                if candidate.token == END:
                    ended.append(hypothesis)
                else:
                    live.append(hypothesis)
                    parents.append(candidate.row)
                if len(live) == beam:
                    break
            if ended and (not live or max(h.total for h in ended) - margin >= live[0].total):
                live = []
                break
        return [
            Transcript(self._tokenizer.text(h.tokens), h.tokens, h.score, done)
            for found, done in ((ended, True), (live, False))
            for h in sorted(found, key=lambda h: -h.total)
        ]

    def score(self, hidden: Float, text: str) -> Transcript:
        """`text` as if it were what had been decoded from `hidden` [T, C], T > 0: its tokens and their score.

        Capitals and punctuation count: a text without them scores lower than one with them.
        """
        tokens = tuple(self._tokenizer.encode(text)) if text.strip() else ()
        scores = DecoderSteps(self._cross, self._step, hidden).follow([*tokens, END])
        return Transcript(self._tokenizer.text(tokens), tokens, float(scores.sum()), True)

    def _candidates(
        self, row: int, hypothesis: TokenHypothesis, step: Step, options: Continuations, asked: Int, beam: int
    ) -> Iterator[Candidate]:
        """What may follow `hypothesis`: the likeliest tokens, and of `options` those that promise most.

        `asked` int64 [asked], sorted, are the tokens of step.log_probs, with those of `options` among them.
        """
        tokens = dict(zip(step.ids[row].tolist(), step.best[row].tolist(), strict=True))
        if len(options.ids):
            log_probs = step.log_probs[row, np.searchsorted(asked, options.ids)]
            best = np.argsort(-(log_probs + options.gains), kind="stable")[: 2 * beam]
            tokens |= dict(zip(options.ids[best].tolist(), log_probs[best].tolist(), strict=True))
        for token, log_prob in tokens.items():
            score = hypothesis.score + log_prob
            if token == END:
                state, gain = hypothesis.state, self._bonus.end(hypothesis.state)
            else:
                state, gain = self._bonus.advance(hypothesis.state, token)
            bonus = hypothesis.bonus + gain
            yield Candidate(-(score + bonus), row, token, score, bonus, state)
