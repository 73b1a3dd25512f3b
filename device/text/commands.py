"""What can be said besides words: punctuation, layout, editing. The tables here are the documentation's too.

Whether a phrase is meant or only mentioned ("a long period", "they launched this new line") is told from the words
around it and from the pauses of the speaker. What deletes or moves text is obeyed only where it stands alone.

>>> [mark.text for mark in MARKS if "full stop" in mark.spoken]
['.']
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from device.text import number_grammar

T = TypeVar("T")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARTICLES = _set("a an the my your our their its every his her")
"""No phrase but an opening mark follows these: "the period" is meant as words."""

COUNTERS = _set("one another any some no each this that single two three")
"""After these, a phrase is meant as words where the sentence plainly goes on."""

PREPOSITIONS = _set("in on at for of during over after before within since by with from to through under")
"""After these a counter goes with what follows it: "during that period we ..."."""

ADJECTIVES = _set("big huge large small little tiny long short great giant new old bold brief missing leading trailing")
"""Between an article and a phrase, these show that words are meant: "a big question mark"."""

STARTS = _set(
    "i you he she it we they the this these those there then so but please thanks thank yes no if what who how why my "
    "your his her our their let let's i'm i'll i've i'd you're it's he's she's we're we'll they're they'll that's "
    "there's don't hello hi dear maybe perhaps however now also okay ok well sorry"
)
"""Words that begin a sentence."""


@dataclass(frozen=True, slots=True)
class Prose:
    """Neighbours that make a phrase plain words when no pause lies between."""

    after: frozenset[str] = frozenset()
    """Words before it."""
    before: frozenset[str] = frozenset()
    """Words behind it."""
    between: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    """Words before it and words behind it that do so together."""
    named: frozenset[str] = frozenset()
    """Words that make it a noun when an article comes before them: "the trial period"."""
    unless_before: frozenset[str] = frozenset()
    """If given, it is plain words before anything else than these, a pause, or another phrase."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something written for a spoken phrase; `left` and `right` say where it stands without a space."""

    spoken: tuple[str, ...]
    text: str
    left: bool = False
    right: bool = False
    ends: bool = False
    """Whether the next word begins a sentence."""
    alone: bool = False
    """Obeyed only between pauses or other phrases, never amid words."""
    opens: bool = False
    """Whether it may follow an article: "the open quote big close quote idea"."""
    prose: Prose = field(default_factory=Prose)


@dataclass(frozen=True, slots=True)
class Command:
    """Something done for a spoken phrase."""

    spoken: tuple[str, ...]
    does: Literal["scratch", "capitalize", "upper", "join", "literal"]
    help: str
    alone: bool = False
    opens: bool = True
    prose: Prose = field(default_factory=Prose)


_COMMA = Prose(_set("oxford serial inverted"), _set("separated delimited splice splices"))
_OPENING = Prose(between=(ARTICLES, _set("is was has here missing goes and or in on")))
_PERIOD = Prose(
    named=_set(
        "trial grace notice waiting same busy quiet transition holiday exam rest cooling recovery historical victorian "
        "medieval colonial peak rainy dry difficult extended limited probation payback reporting accounting ice free "
        "longer shorter whole given certain"
    ),
    unless_before=STARTS,
)
_DASH = Prose(after=_set("mad to yard meter metre quick will must should i we they"), before=_set("cam cams board"))
_DOT = Prose(unless_before=frozenset())
_NO_SPACE = Prose(
    after=_set(
        "is was are were be been there's has have had having with takes took leaves left see find found need needs "
        "there almost got get but make made practically really absolutely virtually"
    ),
    before=_set(
        "left for to in on at between available here there anymore is was are and or program programme shuttle station "
        "remaining inside around behind under above heater bar agency enough that"
    ),
)
_CAPITALIZE = Prose(
    after=_set("should must will would can could don't we they i you always not please"),
    before=_set("on upon"),
    between=(_set("to and"), _set("the this that these those your our my their its it them each every any all a")),
)
_ALL_CAPS = Prose(_set("in with of using wearing"), _set("text letters title titles emails messages because looks"))

MARKS = (
    Mark(("comma",), ",", left=True, prose=_COMMA),
    Mark(("full stop",), ".", left=True, ends=True, prose=Prose(after=_set("complete sudden dead"))),
    Mark(("period",), ".", left=True, ends=True, prose=_PERIOD),
    Mark(("question mark",), "?", left=True, ends=True),
    Mark(("exclamation mark", "exclamation point"), "!", left=True, ends=True),
    Mark(
        ("colon",),
        ":",
        left=True,
        prose=Prose(
            _set("spastic sigmoid lower upper healthy irritable"), _set("cancer surgery cleanse polyps screening")
        ),
    ),
    Mark(("semicolon", "semi colon"), ";", left=True),
    Mark(("ellipsis", "dot dot dot"), "…", left=True),
    Mark(("dash",), "–", prose=_DASH),
    Mark(("hyphen",), "-", left=True, right=True),
    Mark(("open quote", "open quotes"), '"', right=True, opens=True, prose=_OPENING),
    Mark(("close quote", "close quotes"), '"', left=True),
    Mark(("open bracket", "open parenthesis", "open paren"), "(", right=True, opens=True, prose=_OPENING),
    Mark(("close bracket", "close parenthesis", "close paren"), ")", left=True),
    Mark(("open square bracket",), "[", right=True, opens=True, prose=_OPENING),
    Mark(("close square bracket",), "]", left=True),
    Mark(("open brace",), "{", right=True, opens=True, prose=_OPENING),
    Mark(("close brace",), "}", left=True),
    Mark(
        ("slash", "forward slash"),
        "/",
        left=True,
        right=True,
        prose=Prose(_set("to will would must could"), _set("and prices costs jobs the their our its spending budgets")),
    ),
    Mark(("backslash", "back slash"), "\\", left=True, right=True),
    Mark(("dot",), ".", left=True, right=True, prose=_DOT),
    Mark(("at sign",), "@", left=True, right=True),
    Mark(
        ("underscore",),
        "_",
        left=True,
        right=True,
        prose=Prose(_set("to i we they must should will would"), _set("the that how this our my its what why a")),
    ),
    Mark(("apostrophe",), "'", left=True, right=True),
    Mark(("ampersand",), "&"),
    Mark(("asterisk",), "*"),
    Mark(("plus sign",), "+"),
    Mark(("equals sign", "equal sign"), "="),
    Mark(("percent sign",), "%", left=True),
    Mark(("hash sign", "number sign"), "#", right=True),
    Mark(("dollar sign",), "$", right=True),
    Mark(("euro sign",), "€", right=True),
    Mark(("new line", "newline"), "\n", left=True, right=True, ends=True, alone=True),
    Mark(("new paragraph",), "\n\n", left=True, right=True, ends=True, alone=True),
    Mark(("tab key",), "\t", left=True, right=True, alone=True),
)

COMMANDS = (
    Command(
        ("scratch that",),
        "scratch",
        "delete what this stretch of speech has said so far, else the last one",
        alone=True,
    ),
    Command(("capitalize", "capitalise"), "capitalize", "begin the next word with a capital", prose=_CAPITALIZE),
    Command(("all caps",), "upper", "write the next word, or the next letters, in capitals", prose=_ALL_CAPS),
    Command(("no space",), "join", "write the next word without a space before it", prose=_NO_SPACE),
    Command(("literal",), "literal", "write the next phrase of this table as words"),
)

Phrase = Mark | Command
"""Anything that is said but not written as its words."""

PHRASES: Mapping[tuple[str, ...], Phrase] = {
    tuple(spoken.split()): phrase for phrase in (*MARKS, *COMMANDS) for spoken in phrase.spoken
}
"""Every spoken phrase, split into words."""

LONGEST = max(map(len, PHRASES))

DOMAINS = _set(
    "com org net edu gov io uk de fr eu us ca au ch at info co dev app me txt pdf doc docx csv py js html jpg png mp3 "
    "md zip exe"
)
"""What follows the last "dot" of an address or of a file's name."""


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

Spellings = Mapping[tuple[str, ...], str]
"""What is recognised, split into words, to how the user spells it."""


def parse(words: Sequence[str], spellings: Spellings, punctuation: bool, pauses: Collection[int] = ()) -> list[Item]:
    """Words as recognised to items; the longest phrase wins, then the longest of the user's `spellings`.

    `pauses` are the indices of the words before which the speaker paused.

    >>> parse(["yes", "comma", "literal", "comma"], {}, True)[::2]
    [Word(text='yes', fixed=False), Word(text='comma', fixed=True)]
    """
    return _Parser(words, spellings, punctuation, frozenset(pauses) | {0, len(words)}).items()


def table() -> list[tuple[str, str]]:
    """What is said and what is written or done, for the documentation."""
    shown = {"\n": "a new line", "\n\n": "an empty line", "\t": "the tab key"}
    rows = [(m.spoken, shown.get(m.text, f"`{m.text}`")) for m in MARKS] + [(c.spoken, c.help) for c in COMMANDS]
    return [(" / ".join(f"“{phrase}”" for phrase in spoken), does) for spoken, does in rows]


class _Parser:
    """One stretch of speech on its way to items."""

    def __init__(self, words: Sequence[str], spellings: Spellings, punctuation: bool, pauses: frozenset[int]) -> None:
        self._words, self._spellings, self._pauses = words, spellings, pauses
        self._phrases = PHRASES if punctuation else {}
        self._free = {0}  # where words begin that no other word leads up to: after a pause or a phrase

    def items(self) -> list[Item]:
        found: list[Item] = []
        at = 0
        while at < len(self._words):
            items, at = self._next(at)
            found += items
        return found

    def _next(self, at: int) -> tuple[list[Item], int]:
        if self._phrases and (numeric := number_grammar.address(self._words, at)):
            return [Word(numeric.text, fixed=True)], numeric.end
        phrase, end = _longest(self._phrases, self._words, at)
        if phrase is None or not self._meant(phrase, at, end):
            return self._plain(at, max(end, at + 1))
        self._free.add(end)
        if isinstance(phrase, Mark):
            return [phrase], end
        match phrase.does:
            case "scratch":
                return [Scratch()], end
            case "join":
                return [Join()], end
            case "literal":
                return self._literal(at, end)
            case "capitalize" | "upper":
                return self._cased(at, end, phrase.does == "upper")

    def _plain(self, at: int, end: int) -> tuple[list[Item], int]:
        """The words of a phrase that is not meant, else one word or one of the user's spellings."""
        if end > at + 1:
            return [Word(word) for word in self._words[at:end]], end
        spelling, end = self._spelled(at)
        return [Word(spelling, fixed=end > at + 1 or spelling != self._words[at])], end

    def _literal(self, at: int, begin: int) -> tuple[list[Item], int]:
        phrase, end = _longest(self._phrases, self._words, begin)
        if phrase is None:
            return self._plain(at, begin)
        return [Word(word, fixed=True) for word in self._words[begin:end]], end

    def _cased(self, at: int, begin: int, upper: bool) -> tuple[list[Item], int]:
        if begin == len(self._words):
            return self._plain(at, begin)
        letters = begin
        while upper and letters < len(self._words) and len(self._words[letters]) == 1:
            letters += 1
        if letters > begin + 1:
            return [Word("".join(self._words[begin:letters]).upper(), fixed=True)], letters
        spelling, end = self._spelled(begin)
        return [Word(spelling.upper() if upper else spelling[:1].upper() + spelling[1:], fixed=True)], end

    def _spelled(self, at: int) -> tuple[str, int]:
        spelling, end = _longest(self._spellings, self._words, at)
        return (spelling, end) if spelling else (self._words[at], at + 1)

    def _meant(self, phrase: Phrase, at: int, end: int) -> bool:
        """Whether words `at` to `end` are the phrase, and not words of the sentence."""
        led_up = at not in self._pauses and at not in self._free
        goes_on = end not in self._pauses and _longest(self._phrases, self._words, end)[0] is None
        before = self._words[at - 1].lower() if led_up else ""
        after = self._words[end].lower() if goes_on else ""
        if phrase.alone:
            return not before and not after
        prose = phrase.prose
        verb = before in prose.between[0] and after in prose.between[1]
        if verb or before in prose.after or after in prose.before:
            return False
        if not phrase.opens and self._named(prose, at, before, after):
            return False
        if prose is _DOT:
            return not (before or after) or _in_address(self._words, at)
        return not prose.unless_before or not after or after in prose.unless_before

    def _named(self, prose: Prose, at: int, before: str, after: str) -> bool:
        """Whether what leads up to `at` makes it a noun: "the", "a big", "one ... asked", "during that ... we"."""
        earlier = self._words[at - 2].lower() if before and at - 1 not in self._pauses else ""
        if before in ARTICLES or (before in ADJECTIVES | prose.named and earlier in ARTICLES):
            return earlier != "hyphen"  # "state hyphen of hyphen the hyphen art"
        return before in COUNTERS and bool(after) and (after not in STARTS or earlier in PREPOSITIONS)


def _in_address(words: Sequence[str], at: int) -> bool:
    """Whether the "dot" at `at` stands in the address of a page, a mailbox or a machine, or in the name of a file."""
    before, after = words[at - 1] if at else "", words[at + 1] if at + 1 < len(words) else ""
    if before == "www" or after in DOMAINS:
        return True
    return _ahead(words, at + 1) or " at sign " in f" {' '.join(words[max(0, at - 6) : at])} "


def _ahead(words: Sequence[str], at: int) -> bool:
    """Whether words from `at`, joined by dots and the like, lead to an at sign or a domain."""
    while at + 1 < len(words):
        if list(words[at + 1 : at + 3]) == ["at", "sign"]:
            return True
        if words[at + 1] == "dot" and at + 2 < len(words) and words[at + 2] in DOMAINS:
            return True
        if words[at + 1] not in ("dot", "underscore", "hyphen", "slash"):
            return False
        at += 2
    return False


def _longest(table: Mapping[tuple[str, ...], T], words: Sequence[str], at: int) -> tuple[T | None, int]:
    longest = LONGEST if table is PHRASES else max(map(len, table), default=0)
    for end in range(min(len(words), at + longest), at, -1):
        if (found := table.get(tuple(words[at:end]))) is not None:
            return found, end
    return None, at
