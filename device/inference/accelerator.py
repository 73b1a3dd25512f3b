"""Where the encoders run: on the Coral, on the CPU, or on the Coral with the CPU behind it.

An accelerator takes one int8 window and gives one int8 result, of shapes that never change. It may hold several models,
which share one Coral and are called by their number. When a Coral fails in the middle of a sentence,
`FallbackAccelerator` runs the same window on the CPU, so no sound is lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from device.inference.edgetpu import compatibility
from device.inference.edgetpu.client import CoralError, CoralStart
from device.inference.edgetpu.usb import PERMISSION_ADVICE, UsbCoral, find_coral, permitted
from device.inference.interpreter import Model
from device.inference.shapes import Shapes, checked

Backend = Literal["auto", "coral", "cpu"]
RETRY_S = 30.0
LONGEST_RETRY_S = 300.0
START_WAIT_S = 15.0


class NoCoral(CoralError):
    """No Coral is plugged in, which is no fault: it is optional."""


class Accelerator(Protocol):
    """Runs models: a full int8 input tensor in, a full int8 output tensor out."""

    @property
    def name(self) -> str:
        """What runs the next window: "coral" or "cpu"."""
        ...

    @property
    def shapes(self) -> Sequence[Shapes]:
        """What each model takes and gives, in the order in which they were named."""
        ...

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        """Run one window by a model; the result is the caller's own. Raises ValueError for another shape or dtype."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class Starting(Protocol):
    """An accelerator that is being started beside the program."""

    def poll(self, wait_s: float = 0.0) -> Accelerator | None:
        """The accelerator once it is ready, None before; CoralError if it never will be."""
        ...

    def close(self) -> None: ...


class CpuAccelerator:
    """The uncompiled int8 models on the CPU.

    >>> cpu = CpuAccelerator(Path("tests/data/edgetpu/separable_block.tflite"))
    >>> cpu.invoke(np.zeros(cpu.shapes[0].input, np.int8)).shape
    (1, 1, 32, 8)
    """

    name = "cpu"

    def __init__(self, *models: Path, threads: int = 1) -> None:
        """Load the files `models`; raises device.inference.interpreter.InterpreterError with the cause."""
        self._models = [Model(model, threads) for model in models]
        self.shapes = [Shapes(model.input_shape, model.output_shape) for model in self._models]

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        return self._models[model](checked(window, self.shapes[model]))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Change:
    """The encoders moved to `backend`, "coral" or "cpu", because of `reason`."""

    backend: str
    reason: str


def log_change(change: Change) -> None:
    """Say in the log where the encoder runs now: a loss as a warning, a gain as information."""
    level = logging.INFO if change.backend == "coral" else logging.WARNING
    logging.getLogger(__name__).log(level, "the encoder runs on the %s now: %s", change.backend, change.reason)


class FallbackAccelerator:
    """The Coral while it works, the CPU while it does not; tries the Coral again later, and says so.

    `start` begins to start a Coral and returns at once (or raises CoralError); `clock` gives seconds. A Coral
    that becomes ready is used from the next window on. The pause between tries doubles up to five minutes, and is
    short again only after a Coral has worked for that long, so that one that keeps failing rarely stalls a window.
    """

    def __init__(
        self,
        cpu: Accelerator,
        start: Callable[[], Starting],
        on_change: Callable[[Change], None] = log_change,
        clock: Callable[[], float] = time.monotonic,
        retry_s: float = RETRY_S,
    ) -> None:
        self._cpu = cpu
        self._start = start
        self._on_change = on_change
        self._clock = clock
        self._retry_s = self._pause_s = retry_s
        self._next_try = clock()
        self._starting: Starting | None = None
        self._coral: Accelerator | None = None
        self._used_since = clock()
        self.problem: str | None = None
        """Why the Coral is not in use; None while it is, or is being started for the first time."""
        self.missed = False
        """Whether a Coral that was there, in this process or now, is not in use: more than none being plugged in."""

    @property
    def name(self) -> str:
        return self._cpu.name if self._coral is None else self._coral.name

    @property
    def shapes(self) -> Sequence[Shapes]:
        return self._cpu.shapes

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        self.wait(0.0)
        if self._coral is not None:
            try:
                return self._coral.invoke(window, model)
            except CoralError as error:
                self._coral, self.missed = None, True
                if self._clock() - self._used_since >= LONGEST_RETRY_S:
                    self._pause_s = self._retry_s
                self._failed(str(error))
                self._on_change(Change(self._cpu.name, str(error)))
        return self._cpu.invoke(window, model)

    def wait(self, wait_s: float) -> None:
        """Take the Coral if it is, or within `wait_s` becomes, ready; begin another try if one is due."""
        if self._coral is not None:
            return
        try:
            if self._starting is None:
                if self._clock() < self._next_try:
                    return
                self._starting = self._start()
            ready = self._starting.poll(wait_s)
            if ready is None:
                return
            self._starting = None
            self._use(ready)
        except CoralError as error:
            self._starting = None
            self.missed = self.missed or not isinstance(error, NoCoral)
            self._failed(str(error))

    def close(self) -> None:
        for part in (self._starting, self._coral, self._cpu):
            if part is not None:
                part.close()
        self._starting = self._coral = None

    def _use(self, coral: Accelerator) -> None:
        if (compiled := list(coral.shapes)) != (plain := list(self.shapes)):
            coral.close()
            differ = next((pair for pair in zip(compiled, plain, strict=False) if pair[0] != pair[1]), None)
            which = f"{differ[0]}, the CPU's {differ[1]}" if differ else f"{len(compiled)} parts, not {len(plain)}"
            raise CoralError(f"a compiled model has {which}: build the bundle again")
        self._coral, self.problem, self._used_since = coral, None, self._clock()
        self.missed = False
        self._on_change(Change(coral.name, "the Coral is ready"))

    def _failed(self, reason: str) -> None:
        self.problem = reason
        self._next_try = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S)


@dataclass(frozen=True)
class Choice:
    """The accelerator to use, why in one line, and whether that is less than was asked for, or plugged in."""

    accelerator: Accelerator
    reason: str
    degraded: bool


@dataclass(frozen=True)
class Models:
    """Files of the models to run, for the CPU and, where they were compiled, for the Coral, in the same order."""

    cpu: Sequence[Path]
    coral: Sequence[Path] | None


def choose(
    backend: Backend,
    models: Models,
    *,
    threads: int = 1,
    library: str = compatibility.LIBRARY,
    find: Callable[[], UsbCoral | None] = find_coral,
    on_change: Callable[[Change], None] = log_change,
    clock: Callable[[], float] = time.monotonic,
    wait_s: float = START_WAIT_S,
) -> Choice:
    """The accelerator for `models`, all of which share one Coral.

    With "auto" and "coral" a Coral that is missing or fails leaves the CPU at work and is tried again later;
    waits up to `wait_s` seconds for one that is there. Raises InterpreterError if a model for the CPU cannot be loaded.
    """
    cpu = CpuAccelerator(*models.cpu, threads=threads)
    if backend == "cpu":
        return Choice(cpu, "the CPU, as configured", False)
    if models.coral is None:
        reason = "the bundle holds no encoder compiled for the Edge TPU; build it with a compiler"
        return Choice(cpu, reason, backend == "coral" or find() is not None)
    compiled = tuple(models.coral)

    def start() -> Starting:
        usable(find())
        return CoralStart(compiled, library)

    accelerator = FallbackAccelerator(cpu, start, on_change, clock)
    accelerator.wait(wait_s)
    if accelerator.name != cpu.name:
        return Choice(accelerator, "the Coral", False)
    problem = accelerator.problem or "the Coral is still starting"
    return Choice(accelerator, problem, backend == "coral" or accelerator.missed)


def usable(coral: UsbCoral | None, permitted: Callable[[UsbCoral], bool] = permitted) -> UsbCoral:
    """The Coral, if it is there and may be opened; otherwise CoralError with what to do."""
    if coral is None:
        raise NoCoral("no Coral found on USB: plug it in, to a blue port, with a cable that carries data")
    if not permitted(coral):
        raise CoralError(f"no permission to use the Coral at {coral.node}: {PERMISSION_ADVICE}")
    return coral
