"""Word error rate as the field reports it: Whisper's English text normaliser on both sides, then edit distance.

Radford et al. 2022 (arXiv 2212.04356, appendix C) describe the normaliser. Both libraries come with the `eval` extra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.errors import UserError


class ScoringError(UserError):
    """The scoring libraries are not installed; the message says how to install them."""


@dataclass(frozen=True, slots=True)
class Score:
    """Word errors over a set of utterances."""

    wer: float  # (substitutions + deletions + insertions) / words
    words: int  # in the references
    substitutions: int
    deletions: int
    insertions: int


def normalizer() -> Callable[[str], str]:
    """Whisper's English normaliser; ScoringError when it is not installed.

    >>> normalizer()("The Colour isn't £20!")
    'the color is not £20'
    """
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        raise ScoringError("whisper-normalizer is not installed; `pip install coral-dictation[eval]`") from None
    normalize: Callable[[str], str] = EnglishTextNormalizer()
    return normalize


def score(references: Sequence[str], hypotheses: Sequence[str]) -> Score:
    """Scores texts that are normalised here; utterances whose reference is empty count insertions only.

    >>> score(["a b c d"], ["a x c"]).wer
    0.5
    """
    try:
        import jiwer
    except ImportError:
        raise ScoringError("jiwer is not installed; `pip install coral-dictation[eval]`") from None
    normalize = normalizer()
    pairs = [(normalize(r), normalize(h)) for r, h in zip(references, hypotheses, strict=True)]
    extra = sum(len(h.split()) for r, h in pairs if not r)
    spoken = [(r, h) for r, h in pairs if r]
    if not spoken:
        return Score(0.0, 0, 0, 0, extra)
    result = jiwer.process_words([r for r, _ in spoken], [h for _, h in spoken])
    words = result.hits + result.substitutions + result.deletions
    errors = result.substitutions + result.deletions + result.insertions + extra
    return Score(errors / words, words, result.substitutions, result.deletions, result.insertions + extra)
