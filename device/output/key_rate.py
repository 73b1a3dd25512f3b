"""How fast a computer takes keys, found by its Caps Lock LED: it is sent back for each press, unlike anything else.

Caps Lock is pressed in bursts of an odd number, faster and faster. After a burst the LED must be the other way round;
where it is not, a press was lost (an even number of lost presses is not noticed, so there are several bursts). In the
end Caps Lock is as it was. What is behind the computer, such as a remote desktop, may be slower than its keyboard
driver: that is not measured.

Pure: `find` is given what the LED says and asks for reports and pauses.

>>> finder = find()
>>> next(finder)
Next(report=None, seconds=0.0)
>>> finder.send(False).report == hid_report.reports(layouts.CAPS_LOCK)[0]
True
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from device.output import hid_report, layouts
from device.output.hid_gadget import HidGadget

USUAL = 100.0
"""Keys a second where nothing can be found out."""

LADDER = (25.0, 50.0, 100.0, 200.0, 300.0, 500.0)
"""Rates that are tried, in keys per second: what `sinks.keyboard.rate` may be."""

BURSTS = (5, 7, 9, 11, 5, 7)
"""Presses in each burst at a rate: odd numbers, and not the same, since presses may be lost at regular intervals."""

ECHO_S = 1.0
"""An LED that has not changed for so long after a press does not follow Caps Lock."""

POLL_S = 0.005
SETTLED_S = 0.1
"""An LED is looked at no sooner after a burst, nor sooner than after LATER times its first echo."""
LATER = 4

TRIES = 3
"""To put Caps Lock back."""


@dataclass(frozen=True, slots=True)
class Next:
    """What to do: send a report, if there is one, then wait for some seconds and ask for more with the lamp's state."""

    report: bytes | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out."""

    echoes: bool
    """Whether the LED follows Caps Lock; if not, nothing else is known."""
    limit: float | None = None
    """The highest of the rates up to which no press was lost; None if some were at the lowest."""
    restored: bool = True
    """Whether Caps Lock is as it was before."""

    @property
    def rate(self) -> float:
        """The rate to type at: a step below the limit, unless nothing was lost at all.

        >>> [Found(True, limit).rate for limit in (None, 25.0, 200.0, 500.0)], Found(False).rate
        ([25.0, 25.0, 100.0, 500.0], 100.0)
        """
        if not self.echoes:
            return USUAL
        if self.limit is None or self.limit == LADDER[-1]:
            return self.limit or LADDER[0]
        return LADDER[max(0, LADDER.index(self.limit) - 1)]


Finder = Generator[Next, bool | None, Found]
"""Is sent whether the LED is lit (None: the computer has not said), and yields what to do."""


def find() -> Finder:
    """Find the rate; see above."""
    before = yield Next(None, 0.0)
    yield from _press(1, LADDER[0])
    led, waited = before, 0.0
    while led == before and waited < ECHO_S:
        led = yield Next(None, POLL_S)
        waited += POLL_S
    if led == before:
        yield from _press(1, LADDER[0])
        yield Next(None, ECHO_S)
        return Found(False)
    as_it_was, settled = not led, max(SETTLED_S, LATER * waited)
    limit = None
    for rate in LADDER:
        led, lost = yield from _bursts(led, rate, settled)
        if lost:
            break
        limit = rate
    for _ in range(TRIES):
        led = yield Next(None, ECHO_S)
        if led == as_it_was:
            break
        yield from _press(1, LADDER[0])
    else:
        led = yield Next(None, ECHO_S)
    return Found(True, limit, led == as_it_was)


def _bursts(led: bool | None, rate: float, settled: float) -> Generator[Next, bool | None, tuple[bool | None, bool]]:
    """The LED after the bursts at a rate, and whether one of them did not turn it."""
    for presses in BURSTS:
        before = led
        yield from _press(presses, rate)
        led = yield Next(None, settled)
        if led == before:
            return led, True
    return led, False


def _press(times: int, rate: float) -> Generator[Next, bool | None, None]:
    for _ in range(times):
        for report in hid_report.reports(layouts.CAPS_LOCK):
            yield Next(report, 0.5 / rate)


def drive(port: HidGadget, sleep: Callable[[float], object] = time.sleep) -> Found:
    """Find the rate of the computer at `port`, in real time. Raises OSError where it takes no keys."""
    finder = find()
    wanted = next(finder)
    _write(port, hid_report.RELEASE, sleep)
    while True:
        if wanted.report is not None:
            _write(port, wanted.report, sleep)
        sleep(wanted.seconds)
        try:
            wanted = finder.send(port.led())
        except StopIteration as over:
            found: Found = over.value
            return found


def _write(port: HidGadget, report: bytes, sleep: Callable[[float], object]) -> None:
    for _ in range(round(ECHO_S / POLL_S)):
        try:
            return port.write(report)
        except BlockingIOError:
            sleep(POLL_S)
    port.write(report)
