"""Changes to the text at the cursor: insert some, or delete backwards.

>>> apply("Hello", (Delete(1), Insert("p!")))
'Hellp!'
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Insert:
    """Type `text` at the cursor."""

    text: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete `count` characters (Unicode code points) before the cursor."""

    count: int


Edit = Insert | Delete
"""One change."""


def apply(document: str, edits: Iterable[Edit]) -> str:
    """The document after the edits. Raises ValueError when more is deleted than is there."""
    for edit in edits:
        if isinstance(edit, Insert):
            document += edit.text
        elif edit.count > len(document):
            raise ValueError(f"cannot delete {edit.count} characters of {len(document)}")
        else:
            document = document[: len(document) - edit.count]
    return document
