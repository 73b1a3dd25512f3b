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
from itertools import islice, zip_longest
from typing import Any, cast

DEEPEST = 16
"""Parts of a key, and tables and lists within one another, that are looked at."""

MOST_FAULTS = 40
"""Lines that are left out of one text; with more of them it is none of ours."""

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


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that is no TOML, and the key that it seems to set; empty where that cannot be told."""

    line: int
    message: str
    key: str = ""
    comment: bool = False
    """Whether the line sets nothing."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What is left of a text that is no TOML: its tables, and itself with the bad lines blank or put right."""

    table: dict[str, Any]
    text: str
    faults: tuple[Fault, ...]


def salvage(toml: str) -> Salvaged:
    """The tables of a text without the lines that are wrong.

    A header that is cut short still begins its section; where even its name is lost, what stands below it is left out
    too. Of a key that is set twice the first value holds. Raises ValueError for more than MOST_FAULTS bad lines.

    >>> salvage("[panel\\nmode = 'hold\\npull_up = true\\n").table
    {'panel': {'pull_up': True}}
    """
    try:
        return Salvaged(parse(toml), toml, ())
    except (ValueError, RecursionError):
        return _Salvage(toml).all()


class _Salvage:
    """A text on its way through the statements that it has."""

    def __init__(self, toml: str) -> None:
        self._toml = toml
        self._table: dict[str, Any] = {}
        self._faults: list[Fault] = []
        self._kept: list[str] = []
        self._section: list[str] | None = []  # None below a header whose name is not known

    def all(self) -> Salvaged:
        at, line = 0, 1
        while at < len(self._toml):
            for statement in statements(self._toml[at:]):
                here = Statement(line, statement.text)
                if not self._take(here):
                    at, line = self._leave_out(at, line)
                    break
                at, line = at + len(here.text), line + here.text.count("\n")
        return Salvaged(self._table, "".join(self._kept), tuple(self._faults))

    def _take(self, statement: Statement) -> bool:
        """Whether a statement could be used, or has been told of."""
        if short := statement.shortened:
            self._table[short] = True
            self._section = None if statement.header else self._section
            self._kept.append(statement.text)
            return True
        try:
            value = _shallow(tomllib.loads(statement.text), DEEPEST)
        except (ValueError, RecursionError) as error:
            self._fault(statement, f"not valid TOML: {str(error).replace('at line 1, ', 'at ')}")
            return False
        if statement.header:
            return self._open(statement, value)
        keys = list(flatten(value))
        if self._section is None and keys:
            self._fault(statement, "not valid TOML: it stands in a section without a name", told=True)
        elif any(_is_set(self._table, [*(self._section or []), *path]) for path in _paths(value)):
            self._fault(statement, "not valid TOML: set twice; the first one counts", told=True)
        else:
            _insert(self._table, [*(self._section or [])], value)
            self._kept.append(statement.text)
        return True

    def _open(self, statement: Statement, value: dict[str, Any]) -> bool:
        path = next(iter(_paths(value)))
        if isinstance(_value(value, path), list):
            self._fault(statement, "not valid TOML: a section stands in single brackets", told=True)
        self._begin(path, statement)
        return True

    def _begin(self, path: list[str] | None, statement: Statement) -> None:
        self._section = path
        if path:
            self._kept.append(f"[{'.'.join(map(bare, path))}]" + "\n" * statement.text.count("\n"))
            _insert(self._table, path, {})

    def _leave_out(self, at: int, line: int) -> tuple[int, int]:
        """Go on behind the line at `at`; a header without its end is put right."""
        end = self._toml.find("\n", at) + 1 or len(self._toml)
        first = Statement(line, self._toml[at:end])
        if first.header:
            self._begin(_path(first.text) or None, first)
        if not first.header or not self._section:
            self._kept.append("\n" if first.text.endswith("\n") else "")
        return end, line + 1

    def _fault(self, statement: Statement, message: str, told: bool = False) -> None:
        """Note what is wrong with the first line of a statement; `told` where all of it is left out."""
        first = statement.text.partition("\n")[0]
        path = _path(first)
        if not statement.header:
            path = [*self._section, *path] if path and self._section is not None else []
        self._faults.append(Fault(statement.line, message, ".".join(map(bare, path))))
        if len(self._faults) > MOST_FAULTS:
            raise ValueError(f"more than {MOST_FAULTS} of its lines are wrong")
        if told and not statement.header:
            self._kept.append("\n" * statement.text.count("\n"))


def _path(line: str) -> list[str]:
    """The parts of the key or of the section's name that a line begins with."""
    found: list[str] = []
    parts = _key(line.strip().lstrip("["))
    for part, point in zip_longest(parts, parts):
        found.append(part.strip("\"'"))
        if part == "." or point != ".":
            break
    return found[:DEEPEST] if "." not in found else []


def _paths(table: Mapping[str, Any]) -> Iterator[list[str]]:
    """The way to every value in nested tables."""
    for key, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from ([key, *path] for path in _paths(value))
        else:
            yield [key]


def _value(table: Mapping[str, Any], path: list[str]) -> Any:
    value: Any = table
    for key in path:
        value = value[key]
    return value


def _is_set(table: Mapping[str, Any], path: list[str]) -> bool:
    """Whether a value, or a table that is not empty, is there or on the way there."""
    value: Any = table
    for key in path:
        if not isinstance(value, Mapping):
            return True
        if key not in value:
            return False
        value = value[key]
    return True


def _insert(table: dict[str, Any], path: list[str], values: Mapping[str, Any]) -> None:
    for key in path:
        below = table.setdefault(key, {})
        if not isinstance(below, dict):
            return  # a section of the name of a value, which is told of as such
        table = below
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(table.get(key), dict):
            _insert(table, [key], value)
        else:
            table[key] = value


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
