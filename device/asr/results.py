"""What the recogniser says while it listens: partial words, finished segments, the end of the utterance.

>>> Segment(text="hello world", start=0.4, end=1.6).text
'hello world'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Partial:
    """What is being said. `stable` only ever grows within a segment; `tail` may still change."""

    stable: str
    """Words that will not change, lower case, space separated."""
    tail: str
    """Words that may still change."""
    end: float
    """Seconds of audio heard since the utterance began."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A finished stretch of speech, cut at a pause; it never changes."""

    text: str
    """Words as recognised, space separated; lower case unless `punctuated`."""
    start: float
    """Seconds from the beginning of the utterance."""
    end: float
    """Seconds from the beginning of the utterance."""
    pauses: tuple[int, ...] = ()
    """Indices of the words before which the speaker paused for a moment, ascending; never the first word."""
    times: tuple[tuple[float, float], ...] = ()
    """Start and end of each word of `text.split()`, in seconds as `start` and `end`; empty where not asked for."""
    punctuated: bool = False
    """Whether `text` has the recogniser's own capitals and punctuation; otherwise it is lower-case words."""
    log_probs: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)
    """The log posteriors [frames, tokens] that the words were found in; None where not asked for."""


@dataclass(frozen=True, slots=True)
class Final:
    """The utterance is over."""

    end: float
    """Seconds of audio heard."""


Event = Partial | Segment | Final
"""Anything a recogniser yields."""


def joined(events: Iterable[Event]) -> str:
    """The words of all segments.

    >>> joined([Segment("hello", 0.0, 0.5), Segment("world", 2.0, 2.5)])
    'hello world'
    """
    return " ".join(e.text for e in events if isinstance(e, Segment))
