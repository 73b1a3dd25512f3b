"""Parsed TOML or JSON into dataclasses: one reader for bundles, manifests of models and reports of the benchmark.

>>> @dataclasses.dataclass(frozen=True)
... class Point:
...     x: float
...     y: float = 0.0
>>> read(Point, {"x": 1})
Point(x=1.0, y=0.0)
>>> read(Point, {"x": "1"}, "point")
Traceback (most recent call last):
models.typed.Misfit: point.x must be a number, not "1"

The configuration (`device/config/fields.py`) has a reader of its own: its keys have units, ranges and former names, all
mistakes are told at once, and wrong keys can be left out.
"""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

LARGEST_INT = 1 << 53
"""Whole numbers below stand for floats exactly."""

WORDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    tuple: "a list",
    dict: "a table",
}


MISSING = "is missing"


class Misfit(ValueError):
    """A value is not what its place asks for: the dotted `key`, what is there (`raw`), and the `problem` with it."""

    def __init__(self, key: str, problem: str, raw: Any = None, known: Collection[str] = ()) -> None:
        super().__init__(f"{key} {problem}")
        self.key, self.problem, self.raw, self.known = key, problem, raw, known


def read(kind: type[T], raw: Any, where: str = "", *, whole: bool = False) -> T:
    """`raw` as a `kind`: a dataclass, a list of one type (tuple[X, ...]), a table (Mapping[str, X]), X | None, int,
    float, str or bool. With `whole` no key may be missing, even if it has a default. Raises Misfit.
    """
    return typing.cast(T, _value(kind, raw, where, whole))


def read_toml(kind: type[T], path: Path) -> T:
    """A TOML file as a `kind`, see `read`. Raises ValueError, in one line that names the file, and the key or line."""
    try:
        return read(kind, tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    except Misfit as error:
        raise ValueError(f"{path}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path}: not TOML ({error})") from None


def _value(hint: Any, raw: Any, key: str, whole: bool) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if raw is None else _value(next(a for a in arguments if a is not type(None)), raw, key, whole)
    if dataclasses.is_dataclass(hint):
        return _table(hint, raw, key, whole)
    if origin is tuple:
        items = _expected(list, tuple, raw, key)
        return tuple(_value(arguments[0], item, f"{key}[{index}]", whole) for index, item in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        table = _expected(dict, dict, raw, key)
        return {name: _value(arguments[1], value, f"{key}.{_shown(name)}", whole) for name, value in table.items()}
    if hint is Path and isinstance(raw, Path):  # put there by the caller
        return raw
    if hint is float and type(raw) is int and abs(raw) < LARGEST_INT:
        return float(raw)
    return _expected(hint, hint, raw, key)


def _table(kind: Any, raw: Any, key: str, whole: bool) -> Any:
    table = _expected(dict, dict, raw, key)
    hints, prefix = typing.get_type_hints(kind), f"{key}." if key else ""
    for name in sorted(table.keys() - hints.keys()):
        raise Misfit(f"{prefix}{_shown(name)}", "is unknown", table[name], tuple(hints))
    for field in dataclasses.fields(kind):
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if (needed or whole) and field.name not in table:
            raise Misfit(f"{prefix}{field.name}", MISSING)
    return kind(**{name: _value(hints[name], value, f"{prefix}{_shown(name)}", whole) for name, value in table.items()})


def _expected(kind: type[Any], named: type[Any], raw: Any, key: str) -> Any:
    if type(raw) is not kind:
        shown = json.dumps(raw, default=str)
        raise Misfit(key, f"must be {WORDS[named]}, not {shown if len(shown) <= 40 else f'{shown[:37]}...'}", raw)
    return raw


def _shown(name: str) -> str:
    """A key as it stands in a message of one line: quoted, unless it is a plain name."""
    return name if re.fullmatch(r"[\w-]+", name) else json.dumps(name)
