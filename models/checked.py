"""What bundle.json may say: JSON of bounded depth into dataclasses, every number in its range, every role a known one.

A bundle is trusted code (docs/security.md), but a damaged or hand-made one ends in one line, not in a crash.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, TypeVar

from models import typed

T = TypeVar("T")

LARGEST = 1 << 20
"""Characters of a bundle.json."""

RANGES: Mapping[str, tuple[float, float]] = {
    "blank": (0, 65_534),
    "boundary": (0, 65_534),
    "front_end.sample_rate": (8_000, 192_000),
    "front_end.fft": (2, 65_536),
    "front_end.hop": (1, 65_536),
    "front_end.mels": (1, 1_024),
    "front_end.log_floor": (1e-30, 1.0),
    "front_end.feature_floor": (-1e6, 1e6),
    "front_end.preemphasis": (0.0, 1.0),
    "front_end.mean": (-1e6, 1e6),
    "front_end.scale": (1e-9, 1e9),
    "window.frames": (1, 100_000),
    "window.stride": (1, 1_024),
    "window.hop": (1, 100_000),
    "window.right": (0, 100_000),
    "window.live_hop": (1, 100_000),
    "window.live_right": (0, 100_000),
    "search.beam": (1, 100_000),
    "search.beam_tokens": (1, 65_535),
    "search.beam_threshold": (0.0, 1e6),
    "search.lm_weight": (-1e3, 1e3),
    "search.word_score": (-1e3, 1e3),
    "search.blank_skip": (1e-9, 2.0),
    "frames": (1, 100_000),
    "layers": (1, 256),
    "scale": (0.0, 1e9),
    "zero_point": (-128, 127),
    "shape": (1, 1_000_000),
}
"""Inclusive, for keys by their path or by their last part; numbers without a range are only finite."""

LARGEST_TENSOR = 1 << 28
CHOICES: Mapping[str, Collection[str]] = {"dtype": ("int8", "float32"), "unit": ("phone", "char", "bpe")}
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}"
"""What a licence's text may be called."""


def parse(text: str) -> dict[str, Any]:
    """A JSON table. ValueError says what it is instead: no JSON, nested too deeply, NaN or infinity in it."""
    if len(text) > LARGEST:
        raise ValueError(f"larger than {LARGEST >> 20} MiB")
    try:
        raw = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(raw, dict):
        raise ValueError("not a table")
    return raw


def load(kind: type[T], raw: Any, where: str) -> T:
    """The dataclass `kind` from parsed JSON; ValueError names the key that does not fit, and what is allowed."""
    built = typed.read(kind, raw, where)
    for problem in _problems(built, where, ""):
        raise ValueError(problem)
    return built


def digests(raw: Any, roles: Collection[str]) -> dict[str, str]:
    """The table of files: role to SHA-256. ValueError names what does not fit."""
    if not isinstance(raw, dict):
        raise ValueError("files must be a table")
    for role, digest in raw.items():
        if role not in roles:
            raise ValueError(f"files.{role!r} is no role of a bundle")
        if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise ValueError(f"files.{role} must be a SHA-256")
    return raw


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _problems(built: Any, where: str, path: str) -> Iterator[str]:
    for field in dataclasses.fields(built):
        value, key = getattr(built, field.name), f"{path}{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _problems(value, f"{where}.{field.name}", f"{key}.")
            continue
        if isinstance(value, Mapping):
            for name, each in value.items():
                yield from _problems(each, f"{where}.{field.name}.{name}", f"{key}.{name}.")
            continue
        low, high = RANGES.get(key, RANGES.get(field.name, (-math.inf, math.inf)))
        for number in value if isinstance(value, tuple) else (value,):
            if type(number) in (int, float) and not (math.isfinite(number) and low <= number <= high):
                yield f"{where}.{field.name} is {number}, not {low:g} to {high:g}"
        if field.name in CHOICES and value not in CHOICES[field.name]:
            yield f"{where}.{field.name} is {value!r}, not one of {', '.join(CHOICES[field.name])}"
        if field.name == "texts" and not all(re.fullmatch(FILE_NAME, text) for text in value):
            yield f"{where}.texts is {list(value)}: not names of files"
        if field.name == "shape" and not (0 < len(value) <= 8 and math.prod(value) <= LARGEST_TENSOR):
            yield f"{where}.shape is {list(value)}: larger than a tensor may be, or none"
