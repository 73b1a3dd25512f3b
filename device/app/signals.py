"""Signals as something that happens to the appliance, in the order in which they came."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

from device.app.ports import Input, Outcome, StopRequested


@dataclass(frozen=True, slots=True)
class Reload:
    """SIGHUP came."""


@contextmanager
def delivered(inbox: SimpleQueue[Input | Reload]) -> Iterator[None]:
    """SIGTERM and SIGINT end, SIGHUP reloads, while the block runs."""
    meanings: dict[signal.Signals, Input | Reload] = {
        signal.SIGTERM: StopRequested(Outcome.STOP),
        signal.SIGINT: StopRequested(Outcome.STOP),
        signal.SIGHUP: Reload(),
    }
    before = {
        number: signal.signal(number, lambda *_, meaning=meaning: inbox.put(meaning))
        for number, meaning in meanings.items()
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
