"""What an LED says, from the levels seen at its pin: dark, steady, blinking, or a number of flashes to be counted.

The rhythms are those of `device/panel/leds.py`; a slow virtual machine stretches them, so what counts is how many
flashes there are between two pauses, not how long they are.

>>> seen = [Sample(t / 50, (True, False, t % 50 < 25)) for t in range(200)]
>>> reading(seen, 0), reading(seen, 1), reading(seen, 2)
('steady', 'dark', 'blinking')
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

PAUSE_S = 0.9
"""A darkness of this length ends a group of flashes; within a group it is 0.2 s, at the end 1.5 s."""


class Sample(NamedTuple):
    """The LEDs at one moment."""

    time: float
    """Seconds by any clock."""
    lit: tuple[bool, ...]


def reading(seen: Sequence[Sample], led: int) -> str:
    """`dark`, `steady`, `blinking`, or `flashes N` for the most frequent count N of the whole groups seen."""
    levels = [(sample.time, sample.lit[led]) for sample in seen]
    if not any(level for _, level in levels):
        return "dark"
    if all(level for _, level in levels):
        return "steady"
    groups = _groups(levels)
    return f"flashes {max(set(groups), key=groups.count)}" if groups else "blinking"


def _groups(levels: Sequence[tuple[float, bool]]) -> list[int]:
    """The sizes of the groups of flashes that begin after one pause and end before another."""
    edges = [(time, level) for (_, before), (time, level) in pairwise(levels) if level != before]
    groups: list[int] = []
    count: int | None = None
    fell: float | None = None
    for time, rose in edges:
        if not rose:
            fell = time
            continue
        if fell is not None and time - fell >= PAUSE_S:
            if count:
                groups.append(count)
            count = 0
        if count is not None:
            count += 1
    return groups
