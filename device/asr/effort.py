"""How wide the second pass searches: as wide as the machine has time for.

Pure: fed with what decoding took; whoever has a clock measures it.

>>> budget = Budget("auto")
>>> [budget.spent(took=3.0, speech=4.0) for _ in range(5)], budget.beam      # a slow board
([False, True, False, True, False], 1)
"""

from __future__ import annotations

from device.config.schema import Effort

BEAMS: tuple[int, ...] = (1, 2, 4, 8)
FIRST = 4
"""The beam before anything was measured."""
MOST = 0.35
"""Share of a segment's duration that decoding it may take."""
LITTLE = 0.1
"""Below this share the next wider beam is tried; it costs less than three times as much."""
WEIGHT = 0.5
"""Of the newest measurement in the average."""
AT_LEAST = 2
"""Measurements with a beam before another is chosen: the first may have read the model from the disk."""
SHORTEST_S = 1.0
"""A segment counts as this long at least: what a short one takes says little."""


class Budget:
    """Chooses among BEAMS by an exponential average of decoding time over speech time."""

    def __init__(self, effort: Effort) -> None:
        """`fast` is greedy, `best` the widest, always; `auto` begins with FIRST."""
        self.beam = {"fast": BEAMS[0], "best": BEAMS[-1], "auto": FIRST}[effort]
        self._fixed = effort != "auto"
        self._measured = 0
        self.share: float | None = None
        """The average with this beam; None before anything was measured with it."""

    def spent(self, took: float, speech: float) -> bool:
        """A segment of `speech` seconds took so many to decode; whether another beam is used from now on."""
        share = took / max(SHORTEST_S, speech)
        self.share = share if self.share is None else (1 - WEIGHT) * self.share + WEIGHT * share
        self._measured += 1
        if self._fixed or self._measured < AT_LEAST:
            return False
        index = BEAMS.index(self.beam)
        if self.share > MOST:
            index = max(0, index - 1)
        elif self.share < LITTLE:
            index = min(len(BEAMS) - 1, index + 1)
        if BEAMS[index] == self.beam:
            return False
        self.beam, self.share, self._measured = BEAMS[index], None, 0
        return True
