"""The fallback's own logic, on a clock that is told the time: whatever the Coral does, every window has its result."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from accelerator_stand_ins import Clock
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from device.inference.accelerator import Change
from device.inference.edgetpu.client import CoralError
from device.inference.fallback import LONGEST_RETRY_S, FallbackAccelerator, NoCoral
from device.inference.shapes import Shapes

SHAPE = (1, 1, 2, 4)
RETRY_S = 30.0


@dataclass
class Scripted:
    """An accelerator that gives its windows back and fails after `calls` of them."""

    name: str
    calls: int = 1 << 30
    closed: bool = False
    shapes: list[Shapes] = field(default_factory=lambda: [Shapes(SHAPE, SHAPE)])

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        if not self.calls:
            raise CoralError("gone")
        self.calls -= 1
        return window.copy()

    def close(self) -> None:
        self.closed = True


@dataclass
class Life:
    """One start of a Coral: never ready, ready after some polls, and then good for some calls."""

    absent: bool
    polls: int
    calls: int


@dataclass
class Starts:
    """Starts one life after another, and remembers when."""

    lives: list[Life]
    clock: Clock
    when: list[float] = field(default_factory=list)

    def __call__(self) -> Starts:
        self.when.append(self.clock())
        self.life = self.lives[min(len(self.when), len(self.lives)) - 1]
        if self.life.absent:
            raise NoCoral("no Coral found")
        self.waits = self.life.polls
        return self

    def poll(self, wait_s: float = 0.0) -> Scripted | None:
        self.waits -= 1
        return None if self.waits >= 0 else Scripted("coral", self.life.calls)

    def close(self) -> None:
        pass


LIVES = st.lists(st.builds(Life, st.booleans(), st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=6)
PACE = st.lists(st.sampled_from([0.1, 1.0, 31.0, 400.0]), min_size=1, max_size=60)


@given(LIVES, PACE)
def test_whatever_the_coral_does_every_window_has_its_result(lives: list[Life], pace: list[float]) -> None:
    clock, changes = Clock(), list[Change]()
    starts = Starts(lives, clock)
    accelerator = FallbackAccelerator(Scripted("cpu"), starts, changes.append, clock, RETRY_S)
    for number, seconds in enumerate(pace):
        window = np.full(SHAPE, number, np.int8)
        np.testing.assert_array_equal(accelerator.invoke(window), window)
        assert (accelerator.name == "coral") == (accelerator.problem is None and bool(changes))
        clock.now += seconds
    backends = [change.backend for change in changes]
    assert backends == ["coral", "cpu"] * (len(backends) // 2) + ["coral"] * (len(backends) % 2)
    assert all(later - earlier >= RETRY_S for earlier, later in pairwise(starts.when))


def test_a_coral_that_keeps_failing_is_tried_less_and_less() -> None:
    clock = Clock()
    starts = Starts([Life(False, 0, 1)], clock)
    accelerator = FallbackAccelerator(Scripted("cpu"), starts, lambda change: None, clock, RETRY_S)
    for _ in range(3000):
        accelerator.invoke(np.zeros(SHAPE, np.int8))
        clock.now += 1.0
    pauses = [later - earlier for earlier, later in pairwise(starts.when)]
    assert pauses[0] < 35 and max(pauses) <= LONGEST_RETRY_S + 5
    assert all(later >= earlier for earlier, later in pairwise(pauses))


def test_a_coral_that_worked_for_long_is_tried_again_soon() -> None:
    clock = Clock()
    starts = Starts([Life(True, 0, 0), Life(True, 0, 0), Life(False, 0, 1000), Life(False, 0, 1000)], clock)
    accelerator = FallbackAccelerator(Scripted("cpu"), starts, lambda change: None, clock, RETRY_S)
    for _ in range(1200):
        accelerator.invoke(np.zeros(SHAPE, np.int8))
        clock.now += 1.0
    first, second, third, fourth = starts.when
    assert (second - first, third - second) == (30.0, 60.0)
    assert fourth - third == 1000 + RETRY_S


def test_a_coral_with_other_shapes_is_closed_and_not_used() -> None:
    clock = Clock()
    other = Scripted("coral")
    other.shapes = [Shapes((1, 1, 9, 9), SHAPE)]
    starts = Starts([Life(False, 0, 9)], clock)
    starts.poll = lambda wait_s=0.0: other  # type: ignore[method-assign]
    accelerator = FallbackAccelerator(Scripted("cpu"), starts, lambda change: None, clock)
    accelerator.wait(0.0)
    assert accelerator.name == "cpu" and other.closed
    assert accelerator.problem is not None and "build the bundle again" in accelerator.problem


def test_only_a_coral_that_was_there_is_missed() -> None:
    clock = Clock()
    starts = Starts([Life(True, 0, 0), Life(True, 0, 0), Life(False, 0, 2), Life(True, 0, 0)], clock)
    accelerator = FallbackAccelerator(Scripted("cpu"), starts, lambda change: None, clock, RETRY_S)
    missed = {}
    for second in range(200):
        accelerator.invoke(np.zeros(SHAPE, np.int8))
        missed[second] = accelerator.missed
        clock.now += 1.0
    worked = [later for later in missed if missed[later]]
    assert worked and min(worked) > starts.when[2] - starts.when[0], "none was plugged in before"
    assert worked == list(range(min(worked), 200)), "it was pulled out, and is not back"


def test_a_coral_that_is_there_and_fails_is_missed() -> None:
    def start() -> Starts:
        raise CoralError("no permission")

    accelerator = FallbackAccelerator(Scripted("cpu"), start, lambda change: None, Clock(), RETRY_S)
    accelerator.wait(0.0)
    assert accelerator.missed


@dataclass
class Ready:
    """A Coral that is there at once; counts its starts."""

    coral: Scripted
    starts: int = 0

    def __call__(self) -> Ready:
        self.starts += 1
        return self

    def poll(self, wait_s: float = 0.0) -> Scripted:
        return self.coral

    def close(self) -> None:
        pass


class Busy(Scripted):
    """A Coral that keeps its first window until `free`, and notes if another one comes meanwhile."""

    def __init__(self) -> None:
        super().__init__("coral")
        self.entered, self.free, self.inside, self.most = threading.Event(), threading.Event(), 0, 0

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        self.entered.set()
        assert self.free.wait(30)
        self.inside -= 1
        return super().invoke(window)


def test_threads_take_turns_on_the_coral() -> None:
    coral = Busy()
    accelerator = FallbackAccelerator(Scripted("cpu"), Ready(coral))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(accelerator.invoke, np.zeros(SHAPE, np.int8))
        assert coral.entered.wait(30)
        second = threads.submit(accelerator.invoke, np.ones(SHAPE, np.int8))
        with pytest.raises(TimeoutError):
            second.result(0.05)  # long enough for it to come to the Coral, were it let
        coral.free.set()
        assert not first.result(30).any() and second.result(30).all()
    assert coral.most == 1


def test_once_closed_no_other_coral_is_started() -> None:
    start = Ready(Scripted("coral"))
    accelerator = FallbackAccelerator(Scripted("cpu"), start)
    accelerator.wait(0.0)
    accelerator.close()
    accelerator.invoke(np.zeros(SHAPE, np.int8))
    assert start.starts == 1 and accelerator.name == "cpu"
