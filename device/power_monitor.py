"""Samples the meter while the appliance runs, and says when the battery gets low.

>>> guard = BatteryGuard(low=10, empty=4)
>>> [guard.take(percent, charging=False) for percent in (50, 9, 50, 9, 9, 9, 3, 3, 3)][-4:]
[<Battery.LOW: 'low'>, <Battery.LOW: 'low'>, <Battery.LOW: 'low'>, <Battery.EMPTY: 'empty'>]
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from threading import Thread

from device import config
from device.power import Gauges, Meter, PowerError, Reading, read_gauges
from device.power_log import PowerLog, Sample

log = logging.getLogger(__name__)

AGREEING = 3
"""Samples in a row that must agree before the battery's state changes: a load dips the voltage."""


class Battery(Enum):
    """How the battery is."""

    FINE = "fine"
    LOW = "low"
    EMPTY = "empty"


class BatteryGuard:
    """Judges charge levels in percent; a battery that charges, or is unknown, is fine."""

    def __init__(self, low: float, empty: float) -> None:
        self._low, self._empty = low, empty
        self._state = self._candidate = Battery.FINE
        self._agreeing = 0

    def take(self, percent: float | None, charging: bool) -> Battery:
        """Take a sample; return the state that the last samples agree on."""
        seen = self._judge(percent, charging)
        self._agreeing = self._agreeing + 1 if seen is self._candidate else 1
        self._candidate = seen
        if self._agreeing >= AGREEING:
            self._state = seen
        return self._state

    def _judge(self, percent: float | None, charging: bool) -> Battery:
        if percent is None or charging or percent >= self._low:
            return Battery.FINE
        return Battery.LOW if percent >= self._empty else Battery.EMPTY


@dataclass(frozen=True, slots=True)
class Usage:
    """What the appliance does, for the log; the counts only grow."""

    state: str
    speech_s: float = 0.0
    words: int = 0


class Monitor:
    """Measures every `interval_s`, and at every change of state, in a thread of its own; logs each sample.

    `on_battery` is called, in that thread, when the battery's state changes. A meter or a disk that fails is
    logged once and tried again; it never stops the appliance.
    """

    def __init__(
        self,
        settings: config.Power,
        meter: Meter | None,
        on_battery: Callable[[Battery], None],
        gauges: Callable[[], Gauges] = read_gauges,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings, self._meter, self._gauges = settings, meter, gauges
        self._monotonic, self._clock = monotonic, clock
        self._on_battery = on_battery
        self._log = PowerLog(settings.dir, int(settings.max_mb * 1e6), settings.keep, settings.flush_s)
        self._guard = BatteryGuard(settings.low_percent, settings.shutdown_percent)
        self._battery = Battery.FINE
        self._complaint = ""
        self._usage = Usage("starting")
        self._sampled = Usage("starting")
        self._last = monotonic()
        self._news: SimpleQueue[Usage | None] = SimpleQueue()
        self._thread = Thread(target=self._watch, name="power", daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def note(self, usage: Usage) -> None:
        """Tell what the appliance does from now on; never waits."""
        self._news.put(usage)

    def stop(self) -> None:
        """Take a last sample and write what waits."""
        self._news.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def sample(self, usage: Usage) -> Sample:
        """Measure now; the stretch since the last sample was spent in the state noted last."""
        now = self._monotonic()
        reading = self._read()
        gauges = self._gauges()
        state, before = self._usage.state, self._sampled
        seconds, self._last = now - self._last, now
        self._usage = self._sampled = usage
        self._judge(reading)
        return Sample(
            time=self._clock(),
            seconds=seconds,
            state=state,
            watts=reading.watts,
            volts=reading.volts,
            amps=reading.amps,
            percent=charge(reading, self._settings),
            celsius=gauges.celsius,
            mhz=gauges.mhz,
            load=gauges.load,
            throttled=gauges.throttled,
            speech_s=usage.speech_s - before.speech_s,
            words=usage.words - before.words,
        )

    def _watch(self) -> None:
        usage: Usage | None = self._usage
        while usage is not None:
            try:
                usage = self._news.get(timeout=self._settings.interval_s)
            except Empty:
                usage = self._usage
            self._keep(self.sample(usage or self._usage))
        try:
            self._log.flush()
        except OSError as error:
            self._complain(f"{self._settings.dir}: cannot be written ({error.strerror}); free some space")

    def _keep(self, sample: Sample) -> None:
        try:
            self._log.add(sample)
        except OSError as error:
            self._complain(f"{self._settings.dir}: cannot be written ({error.strerror}); free some space")

    def _read(self) -> Reading:
        if self._meter is None:
            return Reading()
        try:
            return self._meter.read()
        except PowerError as error:
            self._complain(str(error))
            return Reading()

    def _judge(self, reading: Reading) -> None:
        battery = self._guard.take(charge(reading, self._settings), reading.charging)
        if battery is not self._battery:
            self._battery = battery
            self._on_battery(battery)

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            log.warning("%s", text)


def charge(reading: Reading, settings: config.Power) -> float | None:
    """Charge of the battery in percent; from the voltage, on a straight line, where the meter knows no better.

    The straight line from `empty_v` to `full_v` is coarse in the middle of a lithium cell's range; it is there
    to tell the end from the rest. A meter behind a voltage regulator always sees a full battery.

    >>> charge(Reading(volts=3.725), config.Power())
    50.0
    """
    if reading.percent is not None:
        return reading.percent
    if reading.volts is None:
        return None
    share = (reading.volts - settings.empty_v) / (settings.full_v - settings.empty_v)
    return round(100 * min(1.0, max(0.0, share)), 1)
