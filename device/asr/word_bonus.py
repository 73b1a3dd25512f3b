"""A bonus in the search for the words that the user has added.

Each character of a text that goes on spelling one of the words earns the bonus at once, so that the word survives in
the beam until it is whole. If the text then turns out to be something else, all of it is taken back: what a finished
text has earned is the bonus of the words that are in it. In a run of such words each earns once, or the search would
repeat them for the bonus alone.

This is an automaton over characters: how a text is split into tokens makes no difference.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.tokenizer import SPACE, Tokenizer

PER_CHARACTER = 0.6  # of log probability; up to 0.8 more words were heard, and with 1.0 the search wrote little else


class State(NamedTuple):
    """Where a text is: which beginning of words it ends with, SPACE in front, and which words it has just finished."""

    node: str = ""
    last: frozenset[int] = frozenset()  # the run of words up to here, with no other between them


@dataclass(frozen=True)
class Continuations:
    """Tokens that spell on a word."""

    ids: NDArray[np.int64]
    gains: NDArray[np.float32]  # what each earns, or takes back


class WordBonus:
    """The automaton of `words`.

    A word counts where it is written as given, or with a capital at its start, from a space to the next character that
    is no letter or digit. Of words that begin alike, the longest counts.
    """

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer, bonus: float = PER_CHARACTER) -> None:
        self._spellings, self._numbers, self._bonus = tokenizer.spellings, tokenizer.numbers, bonus
        self._words: dict[str, int] = {}
        for number, word in enumerate(dict.fromkeys(" ".join(word.split()) for word in words)):
            for form in (word, word[:1].upper() + word[1:]):
                if form:
                    self._words.setdefault(SPACE + form.replace(" ", SPACE), number)
        self._owners: dict[str, set[int]] = {}  # beginning of words -> their numbers
        for form, number in self._words.items():
            for length in range(1, len(form) + 1):
                self._owners.setdefault(form[:length], set()).add(number)
        self._advance = functools.lru_cache(1 << 15)(lambda state, token: self.spell(state, self._spellings[token]))
        self._options = functools.lru_cache(1 << 12)(self._find_options)

    def advance(self, state: State, token: int) -> tuple[State, float]:
        """The state behind `token`, and what it earns."""
        if not self._words:
            return state, 0.0
        return self._advance(state, token)

    def spell(self, state: State, text: str) -> tuple[State, float]:
        """The state behind more text, and what that earns."""
        before, earned = self._pending(state), 0.0
        for character in text:
            state, kept = self._character(state, character)
            earned += kept
        return state, earned + self._pending(state) - before

    def end(self, state: State) -> float:
        """What the end of the text earns: nothing for a word that is whole, less for one that is not."""
        return self._kept(state) - self._pending(state)

    def options(self, state: State) -> Continuations:
        """The tokens that spell on a word of which `state` has the beginning, or begin one."""
        return self._options(state)

    def _find_options(self, state: State) -> Continuations:
        found = {number for form in self._words for number in self._continuations(state.node, form)}
        if state.node:
            found |= set(self.options(State()).ids.tolist())
        ids = sorted(found)
        gains = [self.advance(state, number)[1] for number in ids]
        return Continuations(np.array(ids, np.int64), np.array(gains, np.float32))

    def _continuations(self, node: str, form: str) -> list[int]:
        if not form.startswith(node):
            return []
        rest = form[len(node) :]
        known = (self._numbers.get(rest[:length]) for length in range(1, len(rest) + 1))
        return [number for number in known if number is not None]

    def _character(self, state: State, character: str) -> tuple[State, float]:
        """The state behind `character`, and the bonus of a word that it shows to be finished."""
        longer = state.node + character
        if longer in self._owners:
            return State(longer, state.last), 0.0
        if state.node:
            return self._leave(state, character)
        return State("", frozenset() if _of_word(character) else state.last), 0.0

    def _leave(self, state: State, character: str) -> tuple[State, float]:
        """Out of a beginning that `character` ("" for the end) does not go on: past a word in it or its SPACE."""
        text = state.node + character
        whole = (length for length in range(len(state.node), 0, -1) if text[:length] in self._words)
        length = next((length for length in whole if not _of_word(text[length : length + 1])), 0)
        if length:
            word = self._words[text[:length]]
            earned = 0.0 if word in state.last else self._worth(text[:length])
            state = State("", state.last | {word})
        else:
            earned, length = 0.0, 1
            state = State("", state.last)
        for following in text[length:]:
            state, kept = self._character(state, following)
            earned += kept
        return state, earned

    def _pending(self, state: State) -> float:
        """What has been given for a beginning; what is whole in it, if only words just finished begin so."""
        fresh = self._owners.get(state.node, set()) - state.last
        return self._worth(state.node) if fresh else self._kept(state)

    def _kept(self, state: State) -> float:
        """What the words in a beginning earn if the text ends there."""
        earned = 0.0
        while state.node:
            state, kept = self._leave(state, "")
            earned += kept
        return earned

    def _worth(self, beginning: str) -> float:
        return self._bonus * max(0, len(beginning) - 1)  # SPACE in front is no character of it


def _of_word(character: str) -> bool:
    return character.isalnum() or character == "\ufffd"
