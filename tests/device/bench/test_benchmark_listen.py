"""How listening is timed, with an engine whose work takes a time that is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.bench.engine import RATE
from device.bench.listen import Computed, LiveResult, RealTime, Resampled, chunks, listen


class Timed:
    """Takes `cost` seconds of a clock of its own for each chunk, and has searched all but the last `wait`."""

    model = ()

    def __init__(self, cost: float, wait: float = 0.2) -> None:
        self.now = self.heard = 0.0
        self.cost, self.wait = cost, wait

    def accept_waveform(self, samples: np.ndarray) -> float | None:
        self.heard += len(samples) / RATE
        self.now += self.cost
        return max(0.0, self.heard - self.wait)

    def finish(self) -> str:
        self.now += self.cost
        text, self.heard = f"{self.heard:.1f} s", 0.0
        return text


def heard(cost: float, seconds: float = 10.0) -> LiveResult:
    engine = Timed(cost)
    return listen(engine, np.zeros(round(RATE * seconds), np.int16), RATE, Computed(lambda: engine.now))


def test_a_machine_that_keeps_up_is_late_by_its_own_work() -> None:
    run = heard(cost=0.05)
    assert run.late == pytest.approx([0.05] * 100)
    assert run.first_partial == pytest.approx(0.1 + 0.05)
    assert max(run.behind) == pytest.approx(0.2 + 0.05)
    assert run.final == pytest.approx(0.05 + 0.05)
    assert run.text == "10.0 s"


def test_a_machine_that_is_too_slow_falls_further_behind() -> None:
    run = heard(cost=0.15)
    assert run.late == sorted(run.late) and run.late[-1] == pytest.approx(0.1 + 100 * 0.15 - 10.0)
    assert run.behind[-1] == pytest.approx(0.1 + 100 * 0.15 - 10.0 + 0.2)
    assert run.final == pytest.approx(0.1 + 100 * 0.15 - 10.0 + 0.15)


@given(costs=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=40))
def test_the_computed_clock_is_a_queue(costs: list[float]) -> None:
    """Lindley's recursion: a chunk waits for the one before, unless that was done in time."""
    engine, ahead, expected = Timed(0.0), 0.0, []
    for cost in costs:
        ahead = max(0.0, ahead - 0.1) + cost
        expected.append(ahead)
    left = iter(costs)

    class Uneven(Timed):
        def accept_waveform(self, samples: np.ndarray) -> float | None:
            engine.now += next(left)
            return None

    samples = np.zeros(1_600 * len(costs), np.int16)
    run = listen(Uneven(0.0), samples, RATE, Computed(lambda: engine.now))
    assert run.late == pytest.approx(expected, abs=1e-9)
    assert run.first_partial is None and not run.behind


@given(count=st.integers(0, 20_000), rate=st.sampled_from([16_000, 44_100, 48_000]))
def test_chunks_lose_nothing(count: int, rate: int) -> None:
    samples = np.arange(count)
    pieces = list(chunks(samples, rate))
    assert np.array_equal(np.concatenate([samples[:0], *pieces]), samples)
    assert all(len(piece) == round(0.1 * rate) for piece in pieces[:-1])


def test_real_time_is_waited_for() -> None:
    clock = RealTime()
    begun = clock.now()
    listen(Timed(0.0), np.zeros(4_800, np.int16), RATE, clock)
    assert clock.now() - begun >= 0.3


def test_resampled_speech_is_heard_whole_and_the_conversion_is_timed() -> None:
    engine = Timed(0.0)
    resampled = Resampled(engine, 48_000)
    tone = (8_000 * np.sin(np.arange(48_000) / 50)).astype(np.int16)
    run = listen(resampled, tone, 48_000, Computed())
    assert run.text == "1.0 s" and run.seconds == 1.0
    assert len(resampled.took) == 10 and min(resampled.took) > 0
    assert listen(resampled, tone, 48_000, Computed()).text == "1.0 s"
