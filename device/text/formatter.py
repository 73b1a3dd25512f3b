"""Recognised words to written text: capitals, punctuation, numbers, editing; the result is a stream of edits.

>>> from device.text.edits import apply
>>> writer = TextFormatter()
>>> edits = writer.segment("hello comma i'm at home full stop")
>>> edits += writer.segment("it is five thirty p m")
>>> edits += writer.segment(*pauses("scratch that | see you"))
>>> apply("", edits)
"Hello, I'm at home. See you"
>>> apply("", TextFormatter().segment(*pauses("That's it. | Question mark. | Yes, it is."), punctuated=True))
"That's it? Yes, it is."
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, takewhile
from typing import Literal

from device.config import schema
from device.text import commands, itn, number_grammar, tokens
from device.text.commands import AutomaticMark, Item, Join, Mark, Scratch, Word
from device.text.edits import Delete, Edit, Insert

HISTORY = 64
"""Stretches of speech that can be taken back."""

ALWAYS_CAPITAL = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday "
    "january february april june july august september october november december".split()
)
"""Words with a capital wherever they stand. May and March have one only in dates."""


Punctuation = Literal["auto", "spoken", "both", "off"]
"""Whose punctuation is written; see `text.punctuation` and the table in docs/dictating.md."""

OBEYED: Mapping[Punctuation, commands.Obeyed] = {
    "auto": "set off",
    "spoken": "amid words",
    "both": "amid words",
    "off": "never",
}
"""Which spoken phrases are obeyed beside a recogniser that punctuates; otherwise all are, unless none is."""

SENTENCE_MARKS = frozenset({",", ".", "?", "!", ":", ";", "…", "–"})
"""Spoken marks that stand in place of one that the recogniser wrote."""

REPLACED = frozenset({(a, b) for a in ",;:." for b in ",;:"} | {(a, ".") for a in ",;:"})
"""Spoken marks, one behind the other, of which only the second is meant."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How to write.

    `style` None leaves numbers in words; `spellings` maps what is recognised, in lower case and split into
    words, to how the user spells it.
    """

    punctuation: Punctuation = "auto"
    style: itn.Style | None = field(default_factory=itn.Style)
    spellings: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    context_timeout_s: float = 120.0
    enter_key: bool = True
    """False where others are heard too: what they say must not press Enter, which sends or runs what was typed."""


@dataclass(frozen=True, slots=True)
class CursorContext:
    """The place where writing goes on: whether a space and a capital are due, and which stop or mark is there."""

    glue: bool = True
    capital: bool = True
    stopped: bool = False
    """Whether the last word ends with a point, which is a full stop too."""
    mark: str = ""
    """The mark before it, if another would take its place rather than follow it."""
    automatic: bool = False
    """Whether the recogniser wrote that mark by itself."""


@dataclass(frozen=True, slots=True)
class UndoEntry:
    """One stretch of speech as written, and the context before it."""

    text: str
    before: CursorContext
    dictation: int
    replaced: str = ""
    """The mark at the end of what was there before that this one took the place of."""


@dataclass(frozen=True, slots=True)
class FormatterState:
    """Everything that a segment's writing depends on."""

    context: CursorContext = CursorContext()
    entries: tuple[UndoEntry, ...] = ()
    dictation: int = 0


def rules_from(text: schema.TextSettings, spellings: Mapping[str, str]) -> Rules:
    """The rules that the configuration asks for; `spellings` as :func:`device.vocabulary.user_words.spellings`
    gives.
    """
    style = itn.Style(text.digits_from, text.english) if text.numbers else None
    phrases = {tuple(said.split()): written for said, written in spellings.items()}
    return Rules(text.punctuation, style, phrases, text.context_timeout_s, text.enter_key)


def begin(state: FormatterState, idle_s: float, rules: Rules) -> FormatterState:
    """A dictation begins, `idle_s` seconds after the last one ended (infinite for the first).

    After `rules.context_timeout_s` the cursor may be anywhere: no space is put before the first word, and what was
    typed before can no longer be deleted.
    """
    if idle_s >= rules.context_timeout_s:
        state = FormatterState(dictation=state.dictation)
    return replace(state, dictation=state.dictation + 1)


def pauses(said: str, mark: str = "|") -> tuple[str, tuple[int, ...]]:
    """Words with a mark for each pause between them, as the words and the indices of those that follow a pause.

    >>> pauses("dear anna | new line | thank you")
    ('dear anna new line thank you', (2, 4))
    """
    stretches = [part.split() for part in said.split(mark)]
    ends = list(accumulate(map(len, stretches)))
    return " ".join(word for part in stretches for word in part), tuple(end for end in ends if 0 < end < ends[-1])


def write(
    state: FormatterState, text: str, rules: Rules, pauses: Collection[int] = (), punctuated: bool = False
) -> tuple[FormatterState, tuple[Edit, ...]]:
    """Write one finished stretch of speech: at most one deletion, then one insertion.

    `pauses` are the indices of the words before which the speaker paused; `punctuated` says that capitals and
    punctuation of `text` are the recogniser's.
    """
    entries, context = state.entries, state.context
    tail = _Tail()
    said, before, replaced = "", context, ""
    for item in _numbered(_parsed(text, rules, pauses, punctuated), rules.style):
        if isinstance(item, Mark) and "\n" in item.text and not rules.enter_key:
            context = replace(context, capital=True, stopped=False)
        elif not isinstance(item, Scratch):
            gone, piece, context = _place(item, context)
            if said:
                said = said[: len(said) - len(gone)]
            else:
                replaced += gone
            said += piece
        elif said or replaced:
            said, context, replaced = "", before, ""
        elif entries:
            context = before = entries[-1].before
            tail.undo(entries[-1])
            entries = entries[:-1]
    if said or replaced:
        entry = UndoEntry(said, before, state.dictation, replaced)
        tail.write(entry)
        entries = (*entries, entry)[-HISTORY:]
    return replace(state, entries=entries, context=context), tail.edits()


def undo_last(state: FormatterState) -> tuple[FormatterState, tuple[Edit, ...]]:
    """Delete the last dictation, all of it: the panel's double tap."""
    if not state.entries:
        return state, ()
    last = state.entries[-1].dictation
    kept = tuple(entry for entry in state.entries if entry.dictation != last)
    gone = state.entries[len(kept) :]
    tail = _Tail()
    for entry in reversed(gone):
        tail.undo(entry)
    return replace(state, entries=kept, context=gone[0].before), tail.edits()


class _Tail:
    """What is deleted before the cursor, and written in its place."""

    def __init__(self) -> None:
        self._deleted, self._inserted = 0, ""

    def undo(self, entry: UndoEntry) -> None:
        self._delete(len(entry.text))
        self._inserted += entry.replaced

    def write(self, entry: UndoEntry) -> None:
        self._delete(len(entry.replaced))
        self._inserted += entry.text

    def edits(self) -> tuple[Edit, ...]:
        deleted = (Delete(self._deleted),) if self._deleted else ()
        return (*deleted, Insert(self._inserted)) if self._inserted else deleted

    def _delete(self, count: int) -> None:
        own = min(count, len(self._inserted))
        self._inserted = self._inserted[: len(self._inserted) - own]
        self._deleted += count - own


class TextFormatter:
    """Writes segments one after another; all it holds is a :class:`FormatterState`."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.state = FormatterState()

    def begin(self, idle_s: float = float("inf")) -> None:
        """A dictation begins; see :func:`begin`."""
        self.state = begin(self.state, idle_s, self.rules)

    def segment(self, text: str, pauses: Collection[int] = (), punctuated: bool = False) -> tuple[Edit, ...]:
        """The edits that write a segment; see :func:`write`."""
        self.state, edits = write(self.state, text, self.rules, pauses, punctuated)
        return edits

    def undo_last(self) -> tuple[Edit, ...]:
        """The edits that delete the last dictation; see :func:`undo_last`."""
        self.state, edits = undo_last(self.state)
        return edits


def _parsed(text: str, rules: Rules, pauses: Collection[int], punctuated: bool) -> list[Item]:
    """A segment's words, marks and commands, by whose punctuation is written."""
    words = unicodedata.normalize("NFC", text).split()
    if not punctuated:
        obeyed: commands.Obeyed = "never" if rules.punctuation == "off" else "amid words"
        return commands.parse(tokens.unpunctuated(words), rules.spellings, obeyed, pauses)
    found, pauses = tokens.punctuated(words, pauses)
    if rules.punctuation == "spoken":
        found = tokens.stripped(found)
    return commands.parse(found, rules.spellings, OBEYED[rules.punctuation], pauses)


def _numbered(items: Sequence[Item], style: itn.Style | None) -> list[Item]:
    """Items with each run of plain words written as numbers where they are some."""
    if style is None:
        return list(items)
    out: list[Item] = []
    run: list[Word] = []
    for item in (*_joined(items, style), Join()):
        if isinstance(item, Word) and not item.fixed:
            run.append(item)
            continue
        if run:
            written = _written([word.text for word in run], style, out[-1] if out else None, item)
            out += [Word(word, cased=run[0].cased, first=not at and run[0].first) for at, word in enumerate(written)]
        out.append(item)
        run = []
    return out[:-1]


def _joined(items: Sequence[Item], style: itn.Style) -> list[Item]:
    """Items without the commas that a recogniser writes within telephone numbers and dates.

    Numbers of which such a comma may divide one ("one, sixty six") are to be written as said.
    """
    out = list(items)
    as_said: set[int] = set()
    for comma in reversed(
        [at for at, item in enumerate(items) if isinstance(item, AutomaticMark) and item.text == ","]
    ):
        left, right = _run_before(out, comma), _run_after(out, comma)
        if itn.joined(left, right, style):
            del out[comma]
            as_said = {at - (at > comma) for at in as_said}
        elif before := _last_number(left):
            numbers = [k for k in range(len(right)) if number_grammar.run_end(_lower(right[: k + 1]), 0) > k]
            as_said |= {*range(comma - before, comma), *(comma + 1 + k for k in numbers)} if numbers else set()
    return [
        replace(item, fixed=True) if at in as_said and isinstance(item, Word) else item for at, item in enumerate(out)
    ]


def _last_number(words: Sequence[str]) -> int:
    """How many words of the number that ends a run may belong to one behind a comma: if it is all, or below ten."""
    if words and number_grammar.run_end(_lower(words), 0) == len(_lower(words)):
        return len(words)
    return int(bool(words) and words[-1].lower() in number_grammar.UNITS)


def _run_before(items: Sequence[Item], at: int) -> list[str]:
    """The plain words that end before item `at`."""
    return _run_after(items[:at][::-1], -1)[::-1]


def _run_after(items: Sequence[Item], at: int) -> list[str]:
    """The plain words that begin behind item `at`."""
    words = takewhile(lambda item: isinstance(item, Word) and not item.fixed, items[at + 1 :])
    return [word.text for word in words if isinstance(word, Word)]


def _lower(words: Sequence[str]) -> list[str]:
    return [part.lower() for word in words for part in word.split("-")]


def _written(run: Sequence[str], style: itn.Style, before: Item | None, after: Item) -> list[str]:
    """Words as written; a number beside a sign is in digits: "dollar sign five", "five percent sign"."""
    signed = replace(style, digits_from=0)
    if isinstance(before, Mark) and before.text in ("$", "€", "#"):
        end = number_grammar.run_end([word.lower() for word in run], 0)
        return itn.write(run[:end], signed) + itn.write(run[end:], style)
    if isinstance(after, Mark) and after.text == "%":
        spoken = [word.lower() for word in run]
        begin = next((at for at in range(len(run)) if number_grammar.run_end(spoken, at) == len(run)), len(run))
        return itn.write(run[:begin], style) + itn.write(run[begin:], signed)
    return itn.write(run, style)


def _place(item: Word | Mark | AutomaticMark | Join, context: CursorContext) -> tuple[str, str, CursorContext]:
    """The mark that an item takes the place of, what it writes, and the context after it."""
    match item:
        case Join():
            gone = context.mark if context.automatic else ""
            return gone, "", CursorContext(glue=True, capital=context.capital and not gone)
        case AutomaticMark():
            return "", *_automatic(item, context)
        case Mark():
            return _spoken(item, context)
        case Word():
            return "", *_word(item, context)


def _spoken(mark: Mark, context: CursorContext) -> tuple[str, str, CursorContext]:
    if context.stopped and mark.text == ".":
        return "", "", CursorContext(False, True, stopped=True)
    gone = context.mark if _replaces(mark, context) else ""
    after = CursorContext(
        mark.right,
        mark.ends or (context.capital and not gone),
        stopped=mark.closes and context.automatic and bool(context.mark) and not gone,
        mark=mark.text if mark.text in SENTENCE_MARKS else "",
    )
    if gone == mark.text:
        return "", "", after
    return gone, ("" if context.glue or mark.left else " ") + mark.text, after


def _replaces(mark: Mark, context: CursorContext) -> bool:
    """Whether a spoken mark takes the place of the one that is there."""
    if not context.automatic:
        return (context.mark, mark.text) in REPLACED
    layout, opening = mark.text.isspace(), mark.right and not mark.left
    return not layout and not opening and not (mark.closes and context.mark in "?!…")


def _automatic(mark: AutomaticMark, context: CursorContext) -> tuple[str, CursorContext]:
    if mark.opens:
        return ("" if context.glue else " ") + mark.text, CursorContext(True, context.capital)
    text = mark.text
    stopped = context.stopped and text.startswith(".") and not text.startswith("..")
    text = text[1:] if stopped else text  # "5 p.m." ends the sentence too
    if context.mark or context.glue:
        text = text.strip(tokens.MARKS)
    sentence = text == text.strip('"”»)]}')
    capital = mark.ends or (context.capital and not text)
    return text, CursorContext(False, capital, stopped and not text, mark=text if sentence else "", automatic=True)


def _word(item: Word, context: CursorContext) -> tuple[str, CursorContext]:
    word = item.text if item.fixed else _cased(item.text)
    if item.first and not (context.capital or context.stopped):
        word = _cased(tokens.lowered(word))
    elif context.capital and (word.islower() or not (item.fixed or item.cased)):
        word = word[:1].upper() + word[1:]
    return ("" if context.glue else " ") + word, CursorContext(False, False, word.endswith("."))


def _cased(word: str) -> str:
    if word in ALWAYS_CAPITAL or (word.split("'")[0] == "i" and word != "i's"):
        return word[:1].upper() + word[1:]
    return word
