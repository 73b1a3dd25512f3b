"""TOML whose keys are known by their line, in time that grows with the text and not with what somebody wrote into it.

tomllib keeps no positions, and takes time quadratic in the parts of a dotted key. So a text is cut into statements in
one pass, and a key of more than DEEPEST parts, which no setting has, stands for itself by its beginning.

>>> lines_of("[panel]\\n\\nmode = 'hold'\\n")
{'panel': 1, 'panel.mode': 3}
>>> parse("a = 1\\n" + ".".join("b" * 99) + " = 2")
{'a': 1, 'b.b.b.b.b.b.b.b...': True}
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

DEEPEST = 16
"""Parts of a key, and tables and lists within one another, that are looked at."""

TOKEN = re.compile(
    r'#[^\n]*|"""(?:\\.|[^\\])*?"""(?:"{0,2})|"""(?:.*)|\'\'\'.*?\'\'\'(?:\'{0,2})|\'\'\'(?:.*)'
    r'|"(?:\\.|[^"\\\n])*+"|"[^\n]*|\'[^\'\n]*+\'|\'[^\n]*|[\[\]{}]|\n|[^#"\'\[\]{}\n]+',
    re.DOTALL,
)
PART = re.compile(r'"(?:\\.|[^"\\\n])*+"|\'[^\'\n]*+\'|[A-Za-z0-9_-]+|\.')


@dataclass(frozen=True, slots=True)
class Statement:
    """A table's header, a key with its value, or a comment or blank line; `line` counts from 1."""

    line: int
    text: str

    @property
    def header(self) -> bool:
        return self.text.lstrip().startswith("[")

    @property
    def shortened(self) -> str:
        """The beginning of a key that is too deep; empty if it is not."""
        parts = 0
        for count, part in enumerate(_key(self.text.lstrip().lstrip("["))):
            parts += part != "."
            if parts > DEEPEST or count > 4 * DEEPEST:
                return "".join(islice(_key(self.text.lstrip().lstrip("[")), DEEPEST))[:80].rstrip(".") + "..."
        return ""


def statements(toml: str) -> Iterator[Statement]:
    """The statements of a text in order; of one that is no TOML, something that is none either."""
    begun, line, depth, words = 1, 1, 0, [""]
    for token in TOKEN.findall(toml):
        words.append(token)
        line += token.count("\n")
        if token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1
        elif token == "\n" and depth <= 0:
            yield Statement(begun, "".join(words))
            begun, depth, words = line, 0, []
    yield Statement(begun, "".join(words))


def parse(toml: str) -> dict[str, Any]:
    """The tables of a text, nested no deeper than DEEPEST. Raises ValueError or RecursionError where it is no TOML."""
    kept, deep, skipped = [], [], False
    for statement in statements(toml):
        short = statement.shortened
        skipped = bool(short) if statement.header else skipped  # what stands below a header that is left out
        deep += [short] if short else []
        kept.append("\n" * statement.text.count("\n") if short or skipped else statement.text)
    table = tomllib.loads("".join(kept))
    return {**cast(dict[str, Any], _shallow(table, DEEPEST)), **dict.fromkeys(deep, True)}


def lines_of(toml: str) -> dict[str, int]:
    """The line on which each dotted key of a valid TOML text is set."""
    found: dict[str, int] = {}
    prefix, skipped = "", False
    for statement in statements(toml):
        short = statement.shortened
        skipped = bool(short) if statement.header else skipped
        if short:
            found.setdefault(bare(short), statement.line)
        if short or skipped:
            continue
        for key in flatten(_shallow(tomllib.loads(statement.text), DEEPEST)):
            found.setdefault(f"{'' if statement.header else prefix}{key}", statement.line)
            prefix = f"{key}." if statement.header else prefix
    return found


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted keys of every value in nested tables."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{bare(key)}.")
        else:
            yield f"{prefix}{bare(key)}"


def bare(name: str) -> str:
    """One part of a key as TOML writes it: in quotes unless it is made of letters, digits, - and _."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else quoted(name)


def quoted(text: str) -> str:
    """A basic string of TOML: printable, on one line."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'


def _key(text: str) -> Iterator[str]:
    """The parts of the key that a text begins with, and the points between them."""
    at = 0
    while match := re.compile(r"[ \t]*").match(text, at):
        part = PART.match(text, match.end())
        if part is None:
            return
        yield part[0]
        at = part.end()


def _shallow(value: Any, depth: int) -> Any:
    """A value without what is nested deeper."""
    if isinstance(value, dict):
        return {key: _shallow(below, depth - 1) for key, below in value.items()} if depth else {}
    if isinstance(value, list):
        return [_shallow(below, depth - 1) for below in value] if depth else []
    return value
