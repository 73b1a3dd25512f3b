"""What runs the encoders: the interface that each accelerator has, and what a backend opens one with.

An accelerator takes one int8 window and gives one int8 result, of shapes that never change. It may hold several models,
which are called by their number.

A backend is a module in `device/inference/backends/` named as the value of `recognizer.backend`, with one function::

    def open_backend(models: Models, context: BackendContext) -> Choice: ...

It raises device.inference.interpreter.InterpreterError where a model cannot be loaded at all.
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
from device.inference.edgetpu.usb import UsbCoral, find_coral
from device.inference.shapes import Shapes

Backend = Literal["auto", "coral", "cpu"]
START_WAIT_S = 15.0


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
        """Run one window by a model; the result is the caller's own. Raises ValueError for another shape or dtype.

        Different threads may call different models.
        """
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


@dataclass(frozen=True)
class Change:
    """The encoders moved to `backend`, "coral" or "cpu", because of `reason`."""

    backend: str
    reason: str


def log_change(change: Change) -> None:
    """Say in the log where the encoder runs now: a loss as a warning, a gain as information."""
    level = logging.INFO if change.backend == "coral" else logging.WARNING
    logging.getLogger(__name__).log(level, "the encoder runs on the %s now: %s", change.backend, change.reason)


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


@dataclass(frozen=True)
class BackendContext:
    """What a backend may use of the rest."""

    threads: int = 1
    """CPU threads of what runs on the CPU."""
    library: str = compatibility.LIBRARY
    """libedgetpu, as the dynamic linker finds it."""
    find: Callable[[], UsbCoral | None] = find_coral
    on_change: Callable[[Change], None] = log_change
    clock: Callable[[], float] = time.monotonic
    """Monotonic seconds."""
    wait_s: float = START_WAIT_S
    """How long a Coral that is there may take to start before the CPU begins."""
