"""Reading the small text files of /sys and /proc, where a driver may write anything, or nothing.

>>> parsed("48312", decimal), parsed("nan", decimal), parsed("50005", hexadecimal), parsed("throttled=0x5", hexadecimal)
(48312.0, None, 327685, None)
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def numbered(folder: Path, pattern: str) -> list[Path]:
    """The folders in the order of their numbers: hwmon2 before hwmon10."""
    return sorted(folder.glob(pattern), key=lambda path: (len(path.name), path.name))


def word(file: Path) -> str:
    """The file's text without what ends it; empty where it cannot be read."""
    try:
        return file.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def number(file: Path, scale: float = 1.0) -> float | None:
    """The file's number times `scale`; None where there is none."""
    value = parsed(word(file), decimal)
    return None if value is None else value * scale


def parsed(text: str, convert: Callable[[str], T]) -> T | None:
    """What `convert` makes of a file's text; None where a driver wrote something else, or nothing."""
    try:
        return convert(text)
    except ValueError:
        return None


def decimal(text: str) -> float:
    """A finite number. Raises ValueError."""
    value = float(text)
    if not isfinite(value):
        raise ValueError(text)
    return value


def hexadecimal(text: str) -> int:
    """An integer of 32 bits, with or without 0x. Raises ValueError."""
    value = int(text, 16)
    if not 0 <= value < 1 << 32:
        raise ValueError(text)
    return value
