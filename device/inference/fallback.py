"""An accelerator that may fail, with the CPU behind it: the window that failed is run again, so no sound is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from device.inference.accelerator import Accelerator, Change, Starting, log_change
from device.inference.edgetpu.client import CoralError
from device.inference.shapes import Shapes

RETRY_S = 30.0
LONGEST_RETRY_S = 300.0


class NoCoral(CoralError):
    """No Coral is plugged in, which is no fault: it is optional."""


class FallbackAccelerator:
    """The Coral while it works, the CPU while it does not; tries the Coral again later, and says so.

    `start` begins to start a Coral and returns at once (or raises CoralError); `clock` gives seconds. A Coral
    that becomes ready is used from the next window on; once it is closed, the CPU alone. `on_change` is called in the
    thread that calls `invoke`. The pause between tries doubles up to five minutes, and is
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
        self._alone = threading.RLock()  # a Coral runs one model after the other
        self._closed = False
        self.problem: str | None = None
        """Why the Coral is not in use; None while it is, or is being started for the first time."""
        self.missed = False
        """Whether a Coral that was there, in this process or now, is not in use: more than none being plugged in."""

    @property
    def name(self) -> str:
        coral = self._coral  # another thread may let go of it
        return self._cpu.name if coral is None else coral.name

    @property
    def shapes(self) -> Sequence[Shapes]:
        return self._cpu.shapes

    def invoke(self, window: NDArray[np.int8], model: int = 0) -> NDArray[np.int8]:
        with self._alone:
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
        if self._coral is not None or self._closed:
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
        with self._alone:
            self._closed = True
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
