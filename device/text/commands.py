"""What can be said besides words: punctuation, layout, editing. The tables here are the documentation's too.

Whether a phrase is meant or only mentioned ("a long period", "they launched this new line") is told from the words
around it and from the pauses of the speaker. What deletes or moves text is obeyed only where it stands alone. Beside a
recogniser that punctuates by itself, so are the marks that it writes too.

>>> [mark.text for mark in MARKS if "full stop" in mark.spoken]
['.']
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from device.text import number_grammar
from device.text.tokens import Token

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
    symbol: bool = False
    """No recogniser writes it by itself, so it is obeyed amid words beside one that punctuates, too."""
    prose: Prose = field(default_factory=Prose)

    @property
    def closes(self) -> bool:
        """Whether a sentence's mark may stand behind it: brackets, quotes and the percent sign."""
        return self.symbol and self.left and not self.right


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
    Mark(("open quote", "open quotes"), '"', right=True, opens=True, symbol=True, prose=_OPENING),
    Mark(("close quote", "close quotes"), '"', left=True, symbol=True),
    Mark(("open bracket", "open parenthesis", "open paren"), "(", right=True, opens=True, symbol=True, prose=_OPENING),
    Mark(("close bracket", "close parenthesis", "close paren"), ")", left=True, symbol=True),
    Mark(("open square bracket",), "[", right=True, opens=True, symbol=True, prose=_OPENING),
    Mark(("close square bracket",), "]", left=True, symbol=True),
    Mark(("open brace",), "{", right=True, opens=True, symbol=True, prose=_OPENING),
    Mark(("close brace",), "}", left=True, symbol=True),
    Mark(
        ("slash", "forward slash"),
        "/",
        left=True,
        right=True,
        prose=Prose(_set("to will would must could"), _set("and prices costs jobs the their our its spending budgets")),
    ),
    Mark(("backslash", "back slash"), "\\", left=True, right=True, symbol=True),
    Mark(("dot",), ".", left=True, right=True, prose=_DOT),
    Mark(("at sign",), "@", left=True, right=True, symbol=True),
    Mark(
        ("underscore",),
        "_",
        left=True,
        right=True,
        prose=Prose(_set("to i we they must should will would"), _set("the that how this our my its what why a")),
    ),
    Mark(("apostrophe",), "'", left=True, right=True),
    Mark(("ampersand",), "&", symbol=True),
    Mark(("asterisk",), "*", symbol=True),
    Mark(("plus sign",), "+", symbol=True),
    Mark(("equals sign", "equal sign"), "=", symbol=True),
    Mark(("percent sign",), "%", left=True, symbol=True),
    Mark(("hash sign", "number sign"), "#", right=True, symbol=True),
    Mark(("dollar sign",), "$", right=True, symbol=True),
    Mark(("euro sign",), "€", right=True, symbol=True),
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


JOINTS = _set("dot underscore hyphen slash")
"""What joins the words of an address."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word to write; `fixed` words are in their final spelling already."""

    text: str
    fixed: bool = False
    cased: bool = False
    """Whether its capitals are the recogniser's."""
    first: bool = False
    """Whether the recogniser began a sentence with it, so that its capital may be that of the sentence."""


@dataclass(frozen=True, slots=True)
class AutomaticMark:
    """Marks that the recogniser wrote by itself, before a word (`opens`) or behind it."""

    text: str
    ends: bool = False
    """Whether the next word begins a sentence."""
    opens: bool = False


@dataclass(frozen=True, slots=True)
class Join:
    """No space here."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """Take back what was said."""


Item = Word | Mark | AutomaticMark | Join | Scratch
"""What a stretch of speech consists of."""

Spellings = Mapping[tuple[str, ...], str]
"""What is recognised, split into words, to how the user spells it."""

Obeyed = Literal["amid words", "set off", "never"]
"""Which phrases are obeyed: those that the words around them allow; of those that a recogniser writes too, only what
pauses or the recogniser's own marks set off; none."""


def parse(tokens: Sequence[Token], spellings: Spellings, obeyed: Obeyed, pauses: Collection[int] = ()) -> list[Item]:
    """Words as recognised to items; the longest phrase wins, then the longest of the user's `spellings`.

    `pauses` are the indices of the words before which the speaker paused.

    >>> from device.text.tokens import unpunctuated
    >>> [item.text for item in parse(unpunctuated(["yes", "comma", "literal", "comma"]), {}, "amid words")]
    ['yes', ',', 'comma']
    """
    return _Parser(tokens, spellings, obeyed, frozenset(pauses) | {0, len(tokens)}).items()


def table() -> list[tuple[str, str]]:
    """What is said and what is written or done, for the documentation."""
    shown = {"\n": "a new line", "\n\n": "an empty line", "\t": "the tab key"}
    rows = [(m.spoken, shown.get(m.text, f"`{m.text}`")) for m in MARKS] + [(c.spoken, c.help) for c in COMMANDS]
    return [(" / ".join(f"“{phrase}”" for phrase in spoken), does) for spoken, does in rows]


class _Parser:
    """One stretch of speech on its way to items."""

    def __init__(self, tokens: Sequence[Token], spellings: Spellings, obeyed: Obeyed, pauses: frozenset[int]) -> None:
        self._tokens, self._spellings, self._pauses = tokens, spellings, pauses
        self._words = [token.key for token in tokens]
        self._phrases = {} if obeyed == "never" else PHRASES
        self._strict = obeyed == "set off"
        self._free = {0}  # where words begin that no other word leads up to: after a pause or a phrase
        self._stops = pauses | {at for at, token in enumerate(tokens, 1) if token.ends}

    def items(self) -> list[Item]:
        found: list[Item] = []
        at = 0
        while at < len(self._words):
            items, at = self._next(at)
            found += items
        return found

    def _next(self, at: int) -> tuple[list[Item], int]:
        if self._phrases and (numeric := number_grammar.address(self._words, at)) and self._unbroken(at, numeric.end):
            return self._marked(at, numeric.end, [Word(numeric.text, fixed=True)]), numeric.end
        phrase, end = _longest(self._phrases, self._words, at)
        if phrase is None or not self._meant(phrase, at, end):
            return self._plain(at, max(end, at + 1))
        self._free.add(end)
        if isinstance(phrase, Mark):
            return [phrase, *(self._behind(end) if phrase.closes else ())], end
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
            return [item for place in range(at, end) for item in self._as_recognised(place)], end
        spelling, end = self._spelled(at)
        if spelling is None:
            return self._as_recognised(at), end
        return self._marked(at, end, [Word(spelling, fixed=end > at + 1 or spelling != self._words[at])]), end

    def _literal(self, at: int, begin: int) -> tuple[list[Item], int]:
        phrase, end = _longest(self._phrases, self._words, begin)
        if phrase is None:
            return self._plain(at, begin)
        return self._marked(begin, end, [Word(word, fixed=True) for word in self._words[begin:end]]), end

    def _cased(self, at: int, begin: int, upper: bool) -> tuple[list[Item], int]:
        if begin == len(self._words):
            return self._plain(at, begin)
        letters = begin
        while upper and letters < len(self._words) and len(self._words[letters]) == 1:
            letters += 1
        if letters > begin + 1:
            return self._marked(
                begin, letters, [Word("".join(self._words[begin:letters]).upper(), fixed=True)]
            ), letters
        spelling, end = self._spelled(begin)
        spelling = spelling or self._tokens[begin].word
        word = Word(spelling.upper() if upper else spelling[:1].upper() + spelling[1:], fixed=True)
        return self._marked(begin, end, [word]), end

    def _spelled(self, at: int) -> tuple[str | None, int]:
        """One of the user's words, and the end of it; an "'s" stays behind it."""
        spelling, end = _longest(self._spellings, self._words, at)
        if spelling and self._unbroken(at, end):
            return spelling, end
        owner = self._words[at].removesuffix("'s")
        if owner != self._words[at] and (spelling := self._spellings.get((owner,))):
            return f"{spelling}'s", at + 1
        return None, at + 1

    def _as_recognised(self, at: int) -> list[Item]:
        token = self._tokens[at]
        return self._marked(at, at + 1, [Word(token.word, cased=token.cased, first=token.first)])

    def _marked(self, at: int, end: int, words: Sequence[Item]) -> list[Item]:
        """Words with the recogniser's marks before token `at` and behind the token before `end`."""
        opening = self._tokens[at].opening
        return [*([AutomaticMark(opening, opens=True)] if opening else []), *words, *self._behind(end)]

    def _behind(self, end: int) -> list[Item]:
        token = self._tokens[end - 1]
        return [AutomaticMark(token.closing, token.ends)] if token.closing else []

    def _unbroken(self, at: int, end: int) -> bool:
        return not any(token.closing for token in self._tokens[at : end - 1])

    def _meant(self, phrase: Phrase, at: int, end: int) -> bool:
        """Whether words `at` to `end` are the phrase, and not words of the sentence."""
        set_off = self._set_off(phrase, at, end)
        if phrase.alone or set_off or not self._unbroken(at, end):
            return set_off
        if self._strict and not self._amid_words(phrase, at):
            return False
        before = "" if self._begins(at) else self._words[at - 1].lower()
        after = "" if self._ends(end) else self._words[end].lower()
        prose = phrase.prose
        verb = before in prose.between[0] and after in prose.between[1]
        if verb or before in prose.after or after in prose.before:
            return False
        if not phrase.opens and self._named(prose, at, before, after):
            return False
        if prose is _DOT:
            return not (before or after) or _in_address(self._words, at)
        return not prose.unless_before or not after or after in prose.unless_before

    def _begins(self, at: int) -> bool:
        return at in self._stops or at in self._free

    def _ends(self, end: int) -> bool:
        return end in self._stops or _longest(self._phrases, self._words, end)[0] is not None

    def _set_off(self, phrase: Phrase, at: int, end: int) -> bool:
        """Whether a phrase that may stand alone does: between pauses, other phrases and ends of sentences.

        At one side, any mark of the recogniser will do. What deletes text takes pauses and phrases alone.
        """
        if isinstance(phrase, Command):
            before = at in self._pauses or at in self._free
            after = end in self._pauses or _longest(self._phrases, self._words, end)[0] is not None
            return phrase.alone and before and after
        begins, ends = self._begins(at), self._ends(end)
        marks = bool(at and self._tokens[at - 1].closing), bool(self._tokens[end - 1].closing)
        return (begins and (ends or marks[1])) or (ends and marks[0])

    def _amid_words(self, phrase: Phrase, at: int) -> bool:
        """Whether a phrase that nothing sets off may be meant although the recogniser punctuates by itself."""
        if isinstance(phrase, Command):
            return self._begins(at) or bool(self._tokens[at - 1].closing)
        return phrase.symbol or (phrase.spoken[0] in JOINTS and _joins_address(self._words, at))

    def _named(self, prose: Prose, at: int, before: str, after: str) -> bool:
        """Whether what leads up to `at` makes it a noun: "the", "a big", "one ... asked", "during that ... we"."""
        earlier = self._words[at - 2].lower() if before and at - 1 not in self._stops else ""
        if before in ARTICLES or (before in ADJECTIVES | prose.named and earlier in ARTICLES):
            return earlier != "hyphen"  # "state hyphen of hyphen the hyphen art"
        return before in COUNTERS and bool(after) and (after not in STARTS or earlier in PREPOSITIONS)


def _in_address(words: Sequence[str], at: int) -> bool:
    """Whether the "dot" at `at` stands in the address of a page, a mailbox or a machine, or in the name of a file."""
    before, after = words[at - 1] if at else "", words[at + 1] if at + 1 < len(words) else ""
    if before == "www" or after in DOMAINS:
        return True
    return _ahead(words, at + 1) or " at sign " in f" {' '.join(words[max(0, at - 6) : at])} "


def _joins_address(words: Sequence[str], at: int) -> bool:
    """Whether the "dot", "slash", "hyphen" or "underscore" at `at` stands in an address, or behind one."""
    before = at - 1
    while before > 0 and words[before - 1] in JOINTS and not (words[before - 1] == "dot" and words[before] in DOMAINS):
        before -= 2
    host, _, domain = words[before].rpartition(".") if before >= 0 else ("", "", "")
    ended = words[before] in DOMAINS and before > 0 and words[before - 1] == "dot"
    return _in_address(words, at) or ended or bool(host and domain in DOMAINS)


def _ahead(words: Sequence[str], at: int) -> bool:
    """Whether words from `at`, joined by dots and the like, lead to an at sign or a domain."""
    while at + 1 < len(words):
        if list(words[at + 1 : at + 3]) == ["at", "sign"]:
            return True
        if words[at + 1] == "dot" and at + 2 < len(words) and words[at + 2] in DOMAINS:
            return True
        if words[at + 1] not in JOINTS:
            return False
        at += 2
    return False


def _longest(table: Mapping[tuple[str, ...], T], words: Sequence[str], at: int) -> tuple[T | None, int]:
    """The value of the most words from `at`, and the end of them; a phrase may be hyphenated: "question-mark"."""
    longest = LONGEST if table is PHRASES else max(map(len, table), default=0)
    for end in range(min(len(words), at + longest), at, -1):
        key = words[at:end]
        if table is PHRASES:
            key = [part for word in key for part in word.split("-")]
        if (found := table.get(tuple(key))) is not None:
            return found, end
    return None, at
