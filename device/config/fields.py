"""Typed settings: a tree of frozen dataclasses filled from TOML tables, with units, ranges and origins.

Each field is declared once with :func:`setting`; parsing, checking, error messages, the nearest name for a
misspelt key and the printed documentation all come from that declaration.

>>> @dataclass(frozen=True, slots=True)
... class Fan:
...     speed: int = setting(1200, unit="rpm", low=0, high=3000, help="How fast it turns.")
>>> build(Fan, {"speed": 900})
Fan(speed=900)
>>> build(Fan, {"sped": 900})
Traceback (most recent call last):
device.config.fields.SettingError: sped: no such key; nearest: speed
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from device.config.toml_lines import bare, flatten, quoted
from device.config.validators import Form

T = TypeVar("T")

HIDDEN = "********"
"""Shown in place of a secret."""

UNSAID = object()
"""In place of a value that no message repeats."""

SUGGESTIONS = 20
"""Unknown keys of one file whose nearest name is looked for; that takes time."""

LONGEST_SHOWN = 80
"""Characters of a wrong value that a message repeats."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a setting is, beside its type: unit, inclusive range, one sentence of help."""

    help: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    form: Form | None = None
    secret: bool = False
    was: str = ""
    was_values: Mapping[Any, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of a settings tree: its dotted key, its type, its declaration and its default."""

    key: str
    type: Any
    spec: Spec
    default: Any

    @property
    def was(self) -> str:
        """The dotted key that the setting had before, empty if it has always had this one."""
        return f"{self.key.rpartition('.')[0]}.{self.spec.was}".lstrip(".") if self.spec.was else ""

    @property
    def expected(self) -> str:
        """What the value may be, in words, e.g. ``an integer, 10 to 100 ms``."""
        return _expected(self.type, self.spec)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with one key. `value` is UNSAID where it may be anything, a password too.

    `others` are the keys that it cannot be used together with, `meant` those that an unknown key may stand for.
    """

    key: str
    value: Any
    message: str
    others: tuple[str, ...] = ()
    meant: frozenset[str] = frozenset()

    def concerns(self, key: str) -> bool:
        """Whether the setting `key` may be lost with what is wrong."""
        return key in (self.key, *self.others, *self.meant) or key.startswith(f"{self.key}.")

    def __str__(self) -> str:
        if self.value is UNSAID:
            return f"{self.key[:LONGEST_SHOWN]}: {self.message}"
        value = format_value(self.value)
        cut = value if len(value) <= LONGEST_SHOWN else value[: LONGEST_SHOWN - 3] + "..."
        return f"{self.key} = {cut}: {self.message}"


class SettingError(ValueError):
    """One or more settings are wrong. The text has one line for each: key, value and what is allowed."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def setting(
    default: T,
    *,
    help: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    form: Form | None = None,
    secret: bool = False,
    was: str = "",
    was_values: Mapping[Any, Any] | None = None,
) -> T:
    """Declare a field of a settings dataclass: default, unit and inclusive range (each item's, for tuples).

    Choices are not given here: annotate the field with ``Literal["a", "b"]``. `form` is what a text must look like;
    a `secret` is shown in no message. `was` is the name that it had in the same section before, which is still read
    (see :func:`renamed`), and `was_values` what the values under that name are called today, where they differ.
    """
    spec = Spec(help, unit, low, high, form, secret, was, was_values or {})
    return dataclasses.field(default=default, metadata={"spec": spec})


def section(cls: type[T]) -> T:
    """Declare a field that is itself a settings dataclass, with all its defaults."""
    return dataclasses.field(default_factory=cls)


def walk(cls: type[Any], prefix: str = "") -> Iterator[Setting]:
    """Every leaf below `cls`, in the order of declaration."""
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        key, kind = f"{prefix}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(kind):
            yield from walk(cast(type[Any], kind), f"{key}.")
        else:
            yield Setting(key, kind, field.metadata["spec"], field.default)


def get(tree: Any, key: str) -> Any:
    """The value at a dotted key of a built tree."""
    for name in key.split("."):
        tree = getattr(tree, name)
    return tree


def build(cls: type[T], table: Mapping[str, Any], base: Path = Path()) -> T:
    """Fill `cls` from nested TOML tables; what the tables leave out keeps its default.

    `base` is the folder that relative paths start from. Raises :class:`SettingError` naming every unknown
    key, wrong type and value out of range at once.
    """
    problems: list[Problem] = []
    tree = _build(cls, table, "", base, list(walk(cls)), problems)
    if problems:
        raise SettingError(tuple(problems))
    return cast(T, tree)


def format_value(value: Any) -> str:
    """A value as TOML writes it (tables in inline form)."""
    match value:
        case bool():
            return str(value).lower()
        case str() | Path():
            return quoted(str(value))
        case list() | tuple():
            return f"[{', '.join(map(format_value, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{bare(k)} = {format_value(v)}' for k, v in value.items())}}}"
        case int() if value.bit_length() > 1_000:
            return hex(value)  # Python refuses to write so many decimal digits
        case _:
            return str(value)


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``key=value`` as given on a command line; the value is TOML, or else plain text.

    >>> parse_override("panel.mode=toggle"), parse_override("audio.block_ms=50")
    (('panel.mode', 'toggle'), ('audio.block_ms', 50))
    """
    key, separator, value = text.partition("=")
    if not separator or not key.strip():
        raise ValueError(f"--set {text}: write it as key=value, e.g. audio.block_ms=50")
    try:
        return key.strip(), tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def nested(key: str, value: Any) -> dict[str, Any]:
    """The tables that put `value` at a dotted key.

    >>> nested("sinks.keyboard.layout", "uk")
    {'sinks': {'keyboard': {'layout': 'uk'}}}
    """
    for name in reversed(key.split(".")):
        value = {name: value}
    return cast(dict[str, Any], value)


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables in which `over` wins, key by key."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = merge(cast(Mapping[str, Any], below), value) if both else value
    return merged


def without(table: Mapping[str, Any], keys: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Nested tables less the values at some dotted keys.

    >>> without({"a": {"b": 1, "c": 2}}, {"a.b"})
    {'a': {'c': 2}}
    """
    left: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{prefix}{bare(name)}"
        if key not in keys:
            left[name] = without(value, keys, f"{key}.") if isinstance(value, Mapping) else value
    return left


def renamed(cls: type[Any], table: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Nested tables with today's keys, and which keys were found under the names that they had before: old to new.

    Where both are set, the new one is taken.

    >>> @dataclass(frozen=True, slots=True)
    ... class Fan:
    ...     speed: int = setting(1200, was="pace", was_values={"fast": 3000}, help="How fast it turns.")
    >>> renamed(Fan, {"pace": 900}), renamed(Fan, {"pace": "fast"})[0], renamed(Fan, {"pace": 900, "speed": 5})[0]
    (({'speed': 900}, {'pace': 'speed'}), {'speed': 3000}, {'speed': 5})
    """
    found: dict[str, str] = {}
    tables = dict(table)
    for leaf in walk(cls):
        value = at(tables, leaf.was) if leaf.was else UNSAID
        if value is UNSAID:
            continue
        found[leaf.was] = leaf.key
        if isinstance(value, str | int | float):
            value = leaf.spec.was_values.get(value, value)
        tables = merge(nested(leaf.key, value), without(tables, {leaf.was}))
    return tables, found


def at(table: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key of nested tables; UNSAID where there is none."""
    value: Any = table
    for name in key.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return UNSAID
        value = value[name]
    return value


def _build(
    cls: type[Any], table: Mapping[str, Any], prefix: str, base: Path, known: list[Setting], bad: list[Problem]
) -> Any:
    hints, values = get_type_hints(cls), {}
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for name, value in table.items():
        key = f"{prefix}{bare(name)}"
        if name not in fields:
            bad.append(_unknown(key, value, known, len(bad) < SUGGESTIONS))
        elif dataclasses.is_dataclass(hints[name]):
            if isinstance(value, Mapping):
                kind = cast(type[Any], hints[name])
                values[name] = _build(kind, value, f"{key}.", base, known, bad)
            else:
                bad.append(Problem(key, UNSAID, f"is a section: write it as [{key}]"))
        else:
            spec = fields[name].metadata["spec"]
            try:
                values[name] = _convert(value, hints[name], spec, base)
            except ValueError:
                shown = HIDDEN if spec.secret else value
                bad.append(Problem(key, shown, f"must be {_expected(hints[name], spec)}"))
    return cls(**values)


def _unknown(key: str, value: Any, known: list[Setting], look: bool) -> Problem:
    names = [setting.key for setting in known]
    if not look or len(key) > LONGEST_SHOWN:
        return Problem(key, UNSAID, "no such key", meant=frozenset(names))
    sections = {name[:i] for name in names for i, c in enumerate(name) if c == "."}
    pool = sorted(sections) if isinstance(value, Mapping) and sections else names
    below = [f"{key}.{leaf}" for leaf in flatten(value)] if isinstance(value, Mapping) else [key]
    if len(below) > SUGGESTIONS or max(map(len, below), default=0) > 2 * LONGEST_SHOWN:
        meant = frozenset(names)
    else:
        meant = frozenset(name for leaf in below for name in _meant(leaf, names))
    return Problem(key, UNSAID, f"no such key; nearest: {_nearest(key, pool)}", meant=meant)


def _meant(key: str, names: Collection[str]) -> Iterator[str]:
    """The nearest name, and every setting of the same name in another section."""
    yield _nearest(key, names)
    last = key.rpartition(".")[2]
    yield from (name for name in names if name.rpartition(".")[2] == last)


def _nearest(key: str, names: Collection[str]) -> str:
    return max(names, key=lambda name: _likeness(key, name))


def _likeness(given: str, name: str) -> float:
    """The whole key's likeness and that of its last part, so that a key in the wrong section is found too."""
    leaf = given.rpartition(".")[2], name.rpartition(".")[2]
    pairs = (difflib.SequenceMatcher(None, a, b).ratio() for a, b in ((given, name), leaf))
    return sum(pairs)


def _convert(value: Any, kind: Any, spec: Spec, base: Path) -> Any:
    if get_origin(kind) is Literal:
        if value not in get_args(kind) or isinstance(value, bool):
            raise ValueError
        return value
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        if not isinstance(value, list | tuple):
            raise ValueError
        if kinds[-1] is not Ellipsis and len(value) != len(kinds):
            raise ValueError
        each = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else kinds
        return tuple(_convert(v, k, spec, base) for v, k in zip(value, each, strict=True))
    if kind is Path:
        if not isinstance(value, str | Path) or not str(value) or "\0" in str(value):
            raise ValueError
        return base / Path(value).expanduser()
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or (spec.form and not spec.form.fits(value)):
        raise ValueError
    if kind in (int, float):
        inside = (spec.low is None or spec.low <= value) and (spec.high is None or value <= spec.high)
        if not inside or value != value or value in (float("inf"), float("-inf")):
            raise ValueError
    return value


def _expected(kind: Any, spec: Spec) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(format_value, get_args(kind)))
    if get_origin(kind) is tuple:
        kinds = get_args(kind)
        count = "any number of" if kinds[-1] is Ellipsis else str(len(kinds))
        return f"a list of {count} items, each {_expected(kinds[0], spec)}"
    if spec.form:
        return spec.form.words
    words = {int: "an integer", float: "a number", bool: "true or false", str: "text", Path: "a path"}[kind]
    unit = f" {spec.unit}" if spec.unit else ""
    match spec.low, spec.high:
        case None, None:
            return words + (f" in{unit}" if unit else "")
        case low, None:
            return f"{words}, at least {low:g}{unit}"
        case None, high:
            return f"{words}, at most {high:g}{unit}"
        case low, high:
            return f"{words}, {low:g} to {high:g}{unit}"
    raise AssertionError
