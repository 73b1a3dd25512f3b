"""Recognised words to written text: capitals, punctuation, numbers, editing; the result is a stream of edits.

>>> from device.text.edits import apply
>>> writer = TextFormatter()
>>> edits = writer.segment("hello comma i'm at home full stop")
>>> edits += writer.segment("it is five thirty p m")
>>> edits += writer.segment(*pauses("scratch that | see you"))
>>> apply("", edits)
"Hello, I'm at home. See you"
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from device.config import schema
from device.text import commands, itn, number_grammar
from device.text.commands import Item, Join, Mark, Scratch, Word
from device.text.edits import Delete, Edit, Insert

HISTORY = 64
"""Stretches of speech that can be taken back."""

ALWAYS_CAPITAL = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday "
    "january february april june july august september october november december".split()
)
"""Words with a capital wherever they stand. May and March have one only in dates."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How to write.

    `style` None leaves numbers in words; `spellings` maps what is recognised, in lower case and split into
    words, to how the user spells it.
    """

    punctuation: bool = True
    style: itn.Style | None = field(default_factory=itn.Style)
    spellings: Mapping[tuple[str, ...], str] = field(default_factory=dict)
    context_timeout_s: float = 120.0
    enter_key: bool = True
    """False where others are heard too: what they say must not press Enter, which sends or runs what was typed."""


@dataclass(frozen=True, slots=True)
class CursorContext:
    """The place where writing goes on: whether a space and a capital are due, and a stop already there."""

    glue: bool = True
    capital: bool = True
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class UndoEntry:
    """One stretch of speech as written, and the context before it."""

    text: str
    before: CursorContext
    dictation: int


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
    return Rules(text.spoken_punctuation, style, phrases, text.context_timeout_s, text.enter_key)


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
    state: FormatterState, text: str, rules: Rules, pauses: Collection[int] = ()
) -> tuple[FormatterState, tuple[Edit, ...]]:
    """Write one finished stretch of speech: at most one deletion, then one insertion.

    `pauses` are the indices of the words before which the speaker paused.
    """
    entries, context = state.entries, state.context
    said, before, gone = "", context, 0
    words = unicodedata.normalize("NFC", text).split()
    for item in _numbered(commands.parse(words, rules.spellings, rules.punctuation, pauses), rules.style):
        if isinstance(item, Mark) and "\n" in item.text and not rules.enter_key:
            context = replace(context, capital=True, stopped=False)
        elif not isinstance(item, Scratch):
            piece, context = _place(item, context)
            said += piece
        elif said:
            said, context = "", before
        elif entries:
            context = before = entries[-1].before
            gone += len(entries[-1].text)
            entries = entries[:-1]
    if said:
        entries = (*entries, UndoEntry(said, before, state.dictation))[-HISTORY:]
    return replace(state, entries=entries, context=context), _edits(gone, said)


def undo_last(state: FormatterState) -> tuple[FormatterState, tuple[Edit, ...]]:
    """Delete the last dictation, all of it: the panel's double tap."""
    if not state.entries:
        return state, ()
    last = state.entries[-1].dictation
    kept = tuple(entry for entry in state.entries if entry.dictation != last)
    gone = state.entries[len(kept) :]
    state = replace(state, entries=kept, context=gone[0].before)
    return state, _edits(sum(len(entry.text) for entry in gone), "")


class TextFormatter:
    """Writes segments one after another; all it holds is a :class:`FormatterState`."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.state = FormatterState()

    def begin(self, idle_s: float = float("inf")) -> None:
        """A dictation begins; see :func:`begin`."""
        self.state = begin(self.state, idle_s, self.rules)

    def segment(self, text: str, pauses: Collection[int] = ()) -> tuple[Edit, ...]:
        """The edits that write a segment; see :func:`write`."""
        self.state, edits = write(self.state, text, self.rules, pauses)
        return edits

    def undo_last(self) -> tuple[Edit, ...]:
        """The edits that delete the last dictation; see :func:`undo_last`."""
        self.state, edits = undo_last(self.state)
        return edits


def _edits(delete: int, insert: str) -> tuple[Edit, ...]:
    return (*((Delete(delete),) if delete else ()), *((Insert(insert),) if insert else ()))


def _numbered(items: Sequence[Item], style: itn.Style | None) -> list[Item]:
    """Items with each run of plain words written as numbers where they are some."""
    out: list[Item] = []
    run: list[str] = []
    for item in (*items, Join()):
        if isinstance(item, Word) and not item.fixed:
            run.append(item.text)
            continue
        before = out[-1] if out else None
        out += [Word(word) for word in (_written(run, style, before, item) if style else run)]
        out.append(item)
        run = []
    return out[:-1]


def _written(run: Sequence[str], style: itn.Style, before: Item | None, after: Item) -> list[str]:
    """Words as written; a number beside a sign is in digits: "dollar sign five", "five percent sign"."""
    signed = replace(style, digits_from=0)
    if isinstance(before, Mark) and before.text in ("$", "€", "#"):
        end = number_grammar.run_end(run, 0)
        return itn.write(run[:end], signed) + itn.write(run[end:], style)
    if isinstance(after, Mark) and after.text == "%":
        begin = next((at for at in range(len(run)) if number_grammar.run_end(run, at) == len(run)), len(run))
        return itn.write(run[:begin], style) + itn.write(run[begin:], signed)
    return itn.write(run, style)


def _place(item: Word | Mark | Join, context: CursorContext) -> tuple[str, CursorContext]:
    if isinstance(item, Join):
        return "", replace(context, glue=True)
    if isinstance(item, Mark):
        if context.stopped and item.text == ".":
            return "", replace(context, capital=True, stopped=False)
        space = "" if context.glue or item.left else " "
        return space + item.text, CursorContext(item.right, item.ends or context.capital)
    word = item.text if item.fixed else _cased(item.text)
    if context.capital and (word.islower() or not item.fixed):
        word = word[:1].upper() + word[1:]
    return ("" if context.glue else " ") + word, CursorContext(False, False, word.endswith(".m."))


def _cased(word: str) -> str:
    if word in ALWAYS_CAPITAL or (word.split("'")[0] == "i" and word != "i's"):
        return word[:1].upper() + word[1:]
    return word
