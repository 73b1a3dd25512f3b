"""What a typing program is to the sink: how it is called, and what it is called with.

Text never stands where an option could: it goes to the program's standard input.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invocation:
    """A program with its arguments, and what it reads."""

    arguments: tuple[str, ...]
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A program that types."""

    name: str
    """Of the program, and of its Debian package."""
    commands: Callable[[int, str], Iterator[Invocation]]
    """What to run to press Backspace so many times and then type a text."""
    spelled: Callable[[str], str] = lambda piece: piece
    """What it types for a piece of text: itself, or what there are keys for."""
    unusable: Callable[[], str] = lambda: ""
    """Why the program, which is installed, cannot be used, with the next step; empty if it can."""


def pieces(text: str) -> list[str]:
    """The text in stretches without control characters, and the line feeds and tabs between them.

    >>> pieces("one\\ntwo\\t")
    ['one', '\\n', 'two', '\\t']
    """
    return [piece for piece in re.split("([\n\t])", text) if piece]
