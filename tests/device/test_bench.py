"""The benchmark's arithmetic, with a recogniser whose work takes a time that is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from device.bench import Run, listen, percentiles, table, utterances
from device.events import Event, Final, Partial


class Timed:
    """Takes `cost` seconds of a clock of its own for each block, and has searched all but the last `wait`."""

    def __init__(self, cost: float, wait: float = 0.2) -> None:
        self.now = self.heard = 0.0
        self.cost, self.wait = cost, wait

    @property
    def searched(self) -> float:
        return max(0.0, self.heard - self.wait)

    def accept(self, samples: np.ndarray) -> Sequence[Event]:
        self.heard += len(samples) / 16_000
        self.now += self.cost
        return [Partial("so", "far", self.heard)]

    def finish(self) -> Sequence[Event]:
        self.now += self.cost
        return [Final(self.heard)]

    def reset(self) -> None:
        self.heard = 0.0


def measured(cost: float, seconds: float = 10.0) -> Run:
    recognizer = Timed(cost)
    return listen(recognizer, np.zeros(round(16_000 * seconds), np.int16), clock=lambda: recognizer.now)


def test_a_machine_that_keeps_up_is_late_by_its_own_work() -> None:
    run = measured(cost=0.05)
    assert run.after_release == pytest.approx(0.05 + 0.05)
    assert max(run.behind) == pytest.approx(0.2 + 0.05)
    assert len(run.blocks) == 100 and run.blocks[0] == pytest.approx(0.05)


def test_a_machine_that_is_too_slow_falls_further_behind() -> None:
    run = measured(cost=0.15)
    assert run.after_release == pytest.approx(0.1 + 100 * 0.15 - 10.0 + 0.15)
    assert list(run.behind) == sorted(run.behind)
    assert run.behind[-1] == pytest.approx(0.1 + 100 * 0.15 - 10.0 + 0.2)


def test_utterances_are_exactly_as_long_as_asked() -> None:
    cut = utterances(np.arange(35_000, dtype=np.int16), seconds=1.0)
    assert [len(samples) for samples in cut] == [16_000, 16_000]
    assert cut[1][0] == 16_000


def test_the_table_shows_every_figure() -> None:
    text = table([measured(0.05), measured(0.05)])
    assert "button release to final text        100.0    100.0    100.0    100.0      2" in text
    assert percentiles([1.0] * 98 + [2.0, 3.0])[0] == 1.0
