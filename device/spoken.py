"""What can be said besides words: punctuation, layout, editing. The tables here are the documentation's too.

>>> [mark.text for mark in MARKS if "full stop" in mark.spoken]
['.']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mark:
    """Something written for a spoken phrase; `left` and `right` say where it stands without a space."""

    spoken: tuple[str, ...]
    text: str
    left: bool = False
    right: bool = False
    ends: bool = False
    """Whether the next word begins a sentence."""
    closes: bool = False
    """Whether it follows a phrase, so that after an article it is meant as a word: "the period"."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something done for a spoken phrase."""

    spoken: tuple[str, ...]
    does: Literal["scratch", "capitalize", "upper", "join", "literal"]
    help: str


MARKS = (
    Mark(("comma",), ",", left=True, closes=True),
    Mark(("full stop", "period"), ".", left=True, ends=True, closes=True),
    Mark(("question mark",), "?", left=True, ends=True, closes=True),
    Mark(("exclamation mark", "exclamation point"), "!", left=True, ends=True, closes=True),
    Mark(("colon",), ":", left=True, closes=True),
    Mark(("semicolon", "semi colon"), ";", left=True, closes=True),
    Mark(("ellipsis", "dot dot dot"), "…", left=True, closes=True),
    Mark(("dash",), "–", closes=True),
    Mark(("hyphen",), "-", left=True, right=True),
    Mark(("open quote", "open quotes"), '"', right=True),
    Mark(("close quote", "close quotes"), '"', left=True),
    Mark(("open bracket", "open parenthesis", "open paren"), "(", right=True),
    Mark(("close bracket", "close parenthesis", "close paren"), ")", left=True),
    Mark(("open square bracket",), "[", right=True),
    Mark(("close square bracket",), "]", left=True),
    Mark(("open brace",), "{", right=True),
    Mark(("close brace",), "}", left=True),
    Mark(("slash", "forward slash"), "/", left=True, right=True),
    Mark(("backslash", "back slash"), "\\", left=True, right=True),
    Mark(("dot",), ".", left=True, right=True),
    Mark(("at sign",), "@", left=True, right=True),
    Mark(("underscore",), "_", left=True, right=True),
    Mark(("apostrophe",), "'", left=True, right=True),
    Mark(("ampersand",), "&"),
    Mark(("asterisk",), "*"),
    Mark(("plus sign",), "+"),
    Mark(("equals sign", "equal sign"), "="),
    Mark(("percent sign",), "%", left=True),
    Mark(("hash sign", "number sign"), "#", right=True),
    Mark(("dollar sign",), "$", right=True),
    Mark(("euro sign",), "€", right=True),
    Mark(("new line", "newline"), "\n", left=True, right=True, ends=True, closes=True),
    Mark(("new paragraph",), "\n\n", left=True, right=True, ends=True, closes=True),
    Mark(("tab key",), "\t", left=True, right=True),
)

COMMANDS = (
    Command(("scratch that",), "scratch", "delete what this stretch of speech has said so far, else the last one"),
    Command(("capitalize", "capitalise"), "capitalize", "begin the next word with a capital"),
    Command(("all caps",), "upper", "write the next word in capitals"),
    Command(("no space",), "join", "write the next word without a space before it"),
    Command(("literal",), "literal", "write the next phrase of this table as words"),
)

Phrase = Mark | Command
"""Anything that is said but not written as its words."""

ARTICLES = frozenset("a an the my your our their its every".split())
"""No phrase ends in these."""

PHRASES: Mapping[tuple[str, ...], Phrase] = {
    tuple(spoken.split()): phrase for phrase in (*MARKS, *COMMANDS) for spoken in phrase.spoken
}
"""Every spoken phrase, split into words."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word to write; `fixed` words are in their final spelling already."""

    text: str
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """No space here."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Take back what was said."""


Item = Word | Mark | Join | Scratch
"""What a stretch of speech consists of."""


def parse(words: Sequence[str], spellings: Mapping[tuple[str, ...], str], punctuation: bool) -> list[Item]:
    """Words as recognised to items; the longest phrase wins, then the longest of the user's `spellings`.

    >>> parse(["yes", "comma", "literal", "comma"], {}, True)[::2]
    [Word(text='yes', fixed=False), Word(text='comma', fixed=True)]
    """
    items: list[Item] = []
    at = 0
    while at < len(words):
        phrase, end = _longest(PHRASES, words, at) if punctuation else (None, at)
        if isinstance(phrase, Mark) and phrase.closes and at and words[at - 1] in ARTICLES:
            items += [Word(word) for word in words[at:end]]
        elif isinstance(phrase, Mark):
            items.append(phrase)
        elif phrase and phrase.does == "scratch":
            items.append(Scratch())
        elif phrase and phrase.does == "join":
            items.append(Join())
        elif phrase and phrase.does == "literal" and _longest(PHRASES, words, end)[0]:
            start, end = end, _longest(PHRASES, words, end)[1]
            items += [Word(word, fixed=True) for word in words[start:end]]
        elif phrase and phrase.does in ("upper", "capitalize") and end < len(words):
            spelling, after = _spell(spellings, words, end)
            cased = spelling.upper() if phrase.does == "upper" else spelling[:1].upper() + spelling[1:]
            items.append(Word(cased, fixed=True))
            end = after
        else:
            spelling, end = _spell(spellings, words, at)
            items.append(Word(spelling, fixed=end > at + 1 or spelling != words[at]))
        at = end
    return items


def table() -> list[tuple[str, str]]:
    """What is said and what is written or done, for the documentation."""
    shown = {"\n": "a new line", "\n\n": "an empty line", "\t": "the tab key"}
    rows = [(m.spoken, shown.get(m.text, f"`{m.text}`")) for m in MARKS] + [(c.spoken, c.help) for c in COMMANDS]
    return [(" / ".join(f"“{phrase}”" for phrase in spoken), does) for spoken, does in rows]


def _spell(spellings: Mapping[tuple[str, ...], str], words: Sequence[str], at: int) -> tuple[str, int]:
    spelling, end = _longest(spellings, words, at)
    return (spelling, end) if spelling else (words[at], at + 1)


def _longest(table: Mapping[tuple[str, ...], T], words: Sequence[str], at: int) -> tuple[T | None, int]:
    for end in range(min(len(words), at + max(map(len, table), default=0)), at, -1):
        if (found := table.get(tuple(words[at:end]))) is not None:
            return found, end
    return None, at
