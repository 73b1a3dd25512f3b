"""Words of a recogniser that writes capitals and punctuation, apart from the marks around them.

>>> [(token.key, token.closing, token.first) for token in punctuated("Hello, Mr. Ray. You?".split(), ())[0]]
[('hello', ',', True), ('mr.', '', False), ('ray', '.', False), ('you', '?', True)]
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

PARTS = re.compile(r'(["“«(\[{¿¡]*)(.*?)([.,;:?!…"”»)\]}]*)', re.DOTALL)
"""Opening marks, a word, closing marks."""

ABBREVIATIONS = frozenset(
    "mr mrs ms dr prof st jr sr vs etc inc ltd co corp dept approx est gen sgt capt rev hon".split()
)
"""Their point is part of the word."""

INITIALS = re.compile(r"[a-z](?:\.[a-z])+")
"""Letters with points between them: "u.s"."""

SENTENCE = frozenset(".?!…")
"""Marks that may end a sentence."""

MARKS = ".,;:?!…"
"""Marks of which there is one between two words."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word, how phrases and the user's words look it up, and the recogniser's marks before and behind it."""

    word: str
    key: str
    opening: str = ""
    closing: str = ""
    ends: bool = False
    """Whether `closing` ends a sentence."""
    first: bool = False
    """Whether the recogniser began a sentence, or its text, with it."""
    cased: bool = False
    """Whether capitals are the recogniser's."""


def unpunctuated(words: Iterable[str]) -> list[Token]:
    """Words as they are."""
    return [Token(word, word) for word in words]


def punctuated(words: Sequence[str], pauses: Collection[int]) -> tuple[list[Token], frozenset[int]]:
    """The tokens of a punctuated text and `pauses` (indices of words) as indices of tokens.

    A mark that stands alone belongs to the word before it; "p. m." is one word.
    """
    found: list[Token] = []
    begins: list[int] = []
    for at, word in enumerate(words):
        last = found[-1] if found else None
        if last and _half_of_day(last, word):
            closing = _tidied(word[1:]).replace(".", "", 1)
            found[-1] = replace(last, word=f"{last.word}.m.", key=f"{last.key}.m.", closing=closing)
        elif not word.strip(MARKS + '"“”«»()[]{}¿¡'):
            if last:
                found[-1] = replace(last, closing=_tidied(last.closing + word.strip('"“«([{¿¡')))
        else:
            opening, core, closing = _parts(word)
            found.append(Token(core, core.lower().replace("’", "'"), opening, closing, cased=True))
            begins.append(at)
    shifted = (next((i for i, begin in enumerate(begins) if begin >= pause), len(found)) for pause in pauses)
    return _sentences(found), frozenset(shifted)


def stripped(tokens: Iterable[Token]) -> list[Token]:
    """Tokens without the recogniser's marks, and without the capitals that only begin a sentence."""
    return [Token(lowered(t.word) if t.first else t.word, t.key, cased=True) for t in tokens]


def lowered(word: str) -> str:
    """A word without the capital that it has at the beginning of a sentence; "I", "NASA" and "McCoy" keep theirs.

    >>> [lowered(word) for word in ("The", "A", "I'm", "NASA", "McCoy", "Mr.", "B")]
    ['the', 'a', "I'm", 'NASA', 'McCoy', 'Mr.', 'B']
    """
    head, tail = word[:1], word[1:]
    kept = tail != tail.lower() or word.endswith(".") or re.split("['’]", word)[0] == "I" or (not tail and head != "A")
    return word if kept else head.lower() + tail


def _parts(word: str) -> tuple[str, str, str]:
    """Opening marks, the word, closing marks; a point that is part of the word is left with it."""
    match = PARTS.fullmatch(word)
    opening, core, closing = match.groups() if match else ("", word, "")
    known = core.lower() in ABBREVIATIONS or INITIALS.fullmatch(core.lower())
    if known and closing.startswith(".") and not closing.startswith(".."):
        core, closing = core + ".", closing[1:]
    return opening, core, _tidied(closing)


def _half_of_day(last: Token, word: str) -> bool:
    return last.key in ("a", "p") and last.closing == "." and word.lower().rstrip(MARKS) == "m" and word[1:2] == "."


def _tidied(closing: str) -> str:
    """Closing marks of which no two stand for the same: ",,", ".." and ".," are one mark.

    >>> [_tidied(marks) for marks in (",,", "..", "...", ".,", '."', "?!", "),", '.",')]
    [',', '.', '...', '.', '."', '?!', '),', '."']
    """
    kept = ""
    for run in re.findall(r"\.{3,}|…|.", closing):
        before = next((mark for mark in reversed(kept) if mark in MARKS), "")
        if run[0] not in MARKS or not before or (run in "?!" and before in "?!" and run != before):
            kept += "..." if len(run) > 3 else run
    return kept


def _sentences(tokens: list[Token]) -> list[Token]:
    """Tokens that know where sentences end: at a mark, unless the recogniser goes on in lower case."""
    out: list[Token] = []
    for at, token in enumerate(tokens):
        after = tokens[at + 1].word[:1] if at + 1 < len(tokens) else ""
        ends = not SENTENCE.isdisjoint(token.closing) and not after.islower()
        first = not out or out[-1].ends or (out[-1].word.lower().endswith(".m.") and token.word[:1].isupper())
        out.append(replace(token, ends=ends, first=first))
    return out
