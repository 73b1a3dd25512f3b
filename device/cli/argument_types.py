"""Types of command-line arguments: what argparse calls, and refuses with status 2, each naming what is allowed.

>>> positive("7.5"), count("3"), share("0.25")
(7.5, 3, 0.25)
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError


def positive(text: str) -> float:
    """A number above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise ArgumentTypeError(f"{text}: must be a number above 0")
    return value


def share(text: str) -> float:
    """A number from 0 to 1."""
    value = _number(text)
    if not 0 <= value <= 1:
        raise ArgumentTypeError(f"{text}: must be a number from 0 to 1")
    return value


def count(text: str) -> int:
    """An integer, 1 or more."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ArgumentTypeError(f"{text}: must be an integer, 1 or more")
    return value


def port(text: str) -> int:
    """A TCP port, or 0."""
    if not (text.isascii() and text.isdigit() and int(text) < 65_536):
        raise ArgumentTypeError(f"{text}: must be a port, 0 to 65535")
    return int(text)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
