"""Words with their times as subtitles: cues of a length that can be read, in SubRip and WebVTT.

A cue ends at a long pause. One that is too long is cut in two where the pause is longest or a sentence ends, rather in
the middle than at its ends, until its parts fit: two lines of 42 characters and 7 seconds, as broadcasters ask for.

>>> print(srt(cues([Timed("hello", 0.5, 0.9), Timed("world", 1.0, 1.6)])), end="")
1
00:00:00,500 --> 00:00:01,600
hello world
<BLANKLINE>
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

LINE = 42
"""Characters of a line; a longer word has a line of its own."""

LINES = 2
"""Of a cue."""

LONGEST_S = 7.0
"""That a cue stands."""

SHORTEST_S = 1.0
"""That a cue stands, where the next one leaves so much time."""

PAUSE_S = 0.7
"""Between two words, that always ends a cue."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A word, with its start and end in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown from `start` to `end`, in seconds."""

    lines: tuple[str, ...]
    start: float
    end: float


def cues(words: Sequence[Timed]) -> list[Cue]:
    """The cues of words in ascending order, which do not overlap; every word is in one."""
    stretches = [part for stretch in _stretches(words) for part in _fitting(stretch)]
    starts = [stretch[0].start for stretch in stretches]
    found = []
    for stretch, following in zip(stretches, [*starts[1:], float("inf")], strict=False):
        end = max(stretch[-1].end, min(stretch[0].start + SHORTEST_S, following))
        found.append(Cue(tuple(_balanced(stretch)), stretch[0].start, end))
    return found


def srt(found: Iterable[Cue]) -> str:
    """Cues as a SubRip file."""
    return "".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{_text(cue.lines)}\n\n"
        for number, cue in enumerate(found, 1)
    )


def vtt(found: Iterable[Cue]) -> str:
    """Cues as a WebVTT file (https://www.w3.org/TR/webvtt1/)."""
    timed = (
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{escape(_text(cue.lines), quote=False)}\n\n"
        for cue in found
    )
    return "WEBVTT\n\n" + "".join(timed)


def _stretches(words: Sequence[Timed]) -> Iterator[Sequence[Timed]]:
    """The words between long pauses."""
    breaks = [index for index, (before, after) in enumerate(pairwise(words), 1) if after.start - before.end >= PAUSE_S]
    for begin, end in pairwise([0, *breaks, len(words)]):
        if begin < end:
            yield words[begin:end]


def _fitting(words: Sequence[Timed]) -> Iterator[Sequence[Timed]]:
    """The same words in parts that fit a cue each."""
    long = words[-1].end - words[0].start > LONGEST_S or len(_wrapped(words)) > LINES
    if not long or len(words) == 1:
        yield words
        return
    cut = max(range(1, len(words)), key=lambda at: _worth(words, at))
    yield from _fitting(words[:cut])
    yield from _fitting(words[cut:])


def _worth(words: Sequence[Timed], at: int) -> float:
    """How good a cut before the word `at` is, in seconds of pause: a sentence's end, a clause's, the middle count."""
    before = words[at - 1]
    mark = 1.0 if before.text.endswith((".", "?", "!")) else 0.5 if before.text.endswith((",", ";", ":")) else 0.0
    return words[at].start - before.end + mark - abs(2 * at / len(words) - 1) / 2


def _wrapped(words: Sequence[Timed], width: int = LINE) -> list[str]:
    text = " ".join(word.text for word in words)
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _balanced(words: Sequence[Timed]) -> list[str]:
    """Lines of about the same length, as many as are needed."""
    needed = len(_wrapped(words))
    return next(lines for width in range(1, LINE + 1) if len(lines := _wrapped(words, width)) == needed)


def _text(lines: Iterable[str]) -> str:
    return "\n".join(lines)


def _clock(seconds: float, point: str) -> str:
    """
    >>> _clock(3725.0625, ",")
    '01:02:05,062'
    """
    whole, milliseconds = divmod(round(seconds * 1_000), 1_000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{point}{milliseconds:03}"
