"""How long each step took, printed as it ends and as a table at the end.

>>> steps = Steps(print, clock=iter([0.0, 2.5]).__next__)
>>> with steps.step("ready LED"):
...     pass
   2.5 s  ready LED
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One step: how long it took in seconds, and what was seen in it."""

    name: str
    seconds: float
    seen: str = ""


class Steps:
    """Times steps and tells each to `say` when it has ended."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.done: list[Step] = []
        self._say, self._clock = say, clock
        self._seen: list[str] = []

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block; what `note` is told in it stands beside it."""
        self._seen = []
        begun = self._clock()
        failed = True
        try:
            yield
            failed = False
        finally:
            step = Step(name, self._clock() - begun, "; ".join(self._seen))
            self.done.append(step)
            self._say(_line(step) + ("  FAILED" if failed else ""))

    def remark(self, seen: str) -> None:
        """Say what was seen in the present step."""
        self._seen.append(" ".join(seen.split()))

    def table(self) -> str:
        """All steps, as a Markdown table."""
        rows = [f"| {step.seconds:.1f} | {step.name} | {step.seen} |" for step in self.done]
        return "\n".join(["| seconds | step | seen |", "| ---: | --- | --- |", *rows])


def _line(step: Step) -> str:
    return f"{step.seconds:6.1f} s  {step.name}" + (f": {step.seen}" if step.seen else "")
