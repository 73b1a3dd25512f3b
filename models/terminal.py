"""What reaches a terminal: text, and of control characters only those that this project's programs write themselves.

A file's name may hold escape sequences (CWE-150), and so may what another program said. Every command's entry point is
`guarded`, so that all of its output passes here.

>>> visible("a\\x1b[2Jb")
'a\\\\x1b[2Jb'
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO, cast

HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, line separators, overrides of the direction, bytes that are no UTF-8."""
BYTES = re.compile("[\udc80-\udcff]+")
"""Bytes of a file's name that are no UTF-8, as Python reads them."""
OWN = re.compile("(?:\r(?:\x1b\\[K)?|(?:\b \b)+)?")
"""How our own programs begin what they write over: back to the line's beginning, or over the last characters."""


def visible(text: str) -> str:
    """The text with control characters as Python writes them in a string."""
    return HIDDEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def _but_bytes(text: str) -> str:
    return text if BYTES.fullmatch(text) else visible(text)


class Plain:
    """A text stream that writes only what is `visible`; everything else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text; returns its length."""
        own = OWN.match(text)
        begun = own.end() if own else 0
        if getattr(self._stream, "errors", "") == "surrogateescape":  # asked for names as the bytes that they are
            shown = "".join(map(_but_bytes, re.split(f"({BYTES.pattern})", text[begun:])))
        else:
            shown = visible(text[begun:])
        self._stream.write(text[:begun] + shown)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def plain(stream: TextIO) -> TextIO:
    """The stream through which only what is `visible` is written."""
    return stream if isinstance(stream, Plain) else cast(TextIO, Plain(stream))


@contextmanager
def guarded() -> Iterator[None]:
    """Standard output and standard error are `plain`; decorates a command's main function."""
    with redirect_stdout(plain(sys.stdout)), redirect_stderr(plain(sys.stderr)):
        yield
