"""Samples the meter while the appliance runs, and says when the battery gets low.

>>> guard = BatteryGuard()
>>> low = [Battery.FINE, Battery.LOW, Battery.FINE, Battery.LOW, Battery.LOW, Battery.LOW]
>>> [guard.take(seen, now) for now, seen in enumerate(low)][-2:]
[<Battery.FINE: 'fine'>, <Battery.LOW: 'low'>]
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from queue import Empty, SimpleQueue
from threading import Thread

from device.config import schema
from device.power.log import PowerLog, Sample
from device.power.sensors import Flow, Gauges, Meter, PowerError, Reading, read_gauges

log = logging.getLogger(__name__)

AGREEING = 3
"""Readings in a row that must agree before the battery's state changes: a load dips the voltage."""

CONFIRM_S = 2.0
"""And they must be spread over this long: a change of state is sampled at once, so readings may come together."""

LOWEST, HIGHEST = 0.75, 1.1
"""Of `power.empty_v` and of `power.full_v`: a cell protects itself below, and above it is no cell."""

HIGHEST_V = 60.0
"""For a gauge, which knows its cells: no battery that feeds a Pi has more."""

CONTRADICTED = 50.0
"""Percent by the voltage at which a gauge that says "nearly empty" is not believed."""


class Battery(Enum):
    """How the battery is."""

    FINE = "fine"
    LOW = "low"
    EMPTY = "empty"


class BatteryGuard:
    """Makes one state of what the single readings say: only what several in a row agree on counts."""

    def __init__(self) -> None:
        self._state = self._candidate = Battery.FINE
        self._agreeing = 0
        self._since = float("-inf")

    def take(self, seen: Battery, now: float) -> Battery:
        """Take what a reading at the moment `now`, in seconds, says; return the state that the last ones agree on."""
        if seen is not self._candidate:
            self._candidate, self._agreeing, self._since = seen, 0, now
        self._agreeing += 1
        if self._agreeing >= AGREEING and now - self._since >= CONFIRM_S:
            self._state = seen
        return self._state

    @property
    def undecided(self) -> bool:
        """Whether the last readings say something else than the state, so that another is wanted soon."""
        return self._candidate is not self._state


def judge(reading: Reading, settings: schema.PowerSettings) -> Battery:
    """What one reading says by itself.

    EMPTY, which switches the machine off, needs a battery of its own that is being emptied, at a voltage that
    a battery can have. Where the direction of the current or the voltage is not known, LOW is the worst.

    >>> settings = schema.PowerSettings()
    >>> judge(Reading(volts=3.31, flow=Flow.OUT), settings), judge(Reading(volts=3.31), settings)
    (<Battery.EMPTY: 'empty'>, <Battery.LOW: 'low'>)
    """
    percent = charge(reading, settings)
    if percent is None or percent >= settings.low_percent or reading.flow is Flow.IN:
        return Battery.FINE
    sure = reading.flow is Flow.OUT and reading.volts is not None
    return Battery.EMPTY if sure and percent < settings.shutdown_percent else Battery.LOW


@dataclass(frozen=True, slots=True)
class Usage:
    """What the appliance does, for the log; the counts only grow."""

    state: str
    speech_s: float = 0.0
    words: int = 0


class Monitor:
    """Measures every `interval_s`, and at every change of state, in a thread of its own; logs each sample.

    `on_battery` is called, in that thread, when the battery's state changes. A meter or a disk that fails is
    logged once and tried again; it never stops the appliance. `on_sample` gets each sample, in the same thread.
    """

    def __init__(
        self,
        settings: schema.PowerSettings,
        meter: Meter | None,
        on_battery: Callable[[Battery], None],
        gauges: Callable[[], Gauges] = read_gauges,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
        on_sample: Callable[[Sample], object] = lambda sample: None,
    ) -> None:
        self._settings, self._meter, self._gauges = settings, meter, gauges
        self._on_sample = on_sample
        self._monotonic, self._clock = monotonic, clock
        self._on_battery = on_battery
        self._log = PowerLog(settings.dir, int(settings.max_mb * 1e6), settings.keep, settings.flush_s)
        self._guard = BatteryGuard()
        self._battery = Battery.FINE
        self._warned: dict[str, str] = {}
        self._usage = Usage("starting")
        self._sampled = Usage("starting")
        self._last = monotonic()
        self._news: SimpleQueue[Usage | None] = SimpleQueue()
        self._thread = Thread(target=self._watch, name="power", daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def record_usage(self, usage: Usage) -> None:
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
        self._judge(reading, now)
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
                usage = self._news.get(timeout=self._pause())
            except Empty:
                usage = self._usage
            self._log_sample(self.sample(usage or self._usage))
        self._log_sample(None)

    def _pause(self) -> float:
        return min(self._settings.interval_s, CONFIRM_S) if self._guard.undecided else self._settings.interval_s

    def _log_sample(self, sample: Sample | None) -> None:
        """Log a sample, or write what waits."""
        try:
            if sample is None:
                self._log.flush()
            else:
                self._on_sample(sample)
                self._log.add(sample)
        except OSError as error:
            self._warn_once("log", f"{self._settings.dir}: cannot be written ({error.strerror}); free some space")
        else:
            self._warned.pop("log", None)

    def _read(self) -> Reading:
        if self._meter is None:
            return Reading()
        try:
            reading = self._meter.read()
        except PowerError as error:
            self._warn_once("meter", str(error))
            return Reading()
        if self._warned.pop("meter", None):
            log.info("%s is read again", self._meter.name)
        return reading

    def _judge(self, reading: Reading, now: float) -> None:
        battery = self._guard.take(judge(reading, self._settings), now)
        if battery is not self._battery:
            self._battery = battery
            self._on_battery(battery)

    def _warn_once(self, about: str, text: str) -> None:
        if self._warned.get(about) != text:
            self._warned[about] = text
            log.warning("%s", text)


def charge(reading: Reading, settings: schema.PowerSettings) -> float | None:
    """Charge of the battery in percent; from the voltage, on a straight line, where the meter knows no better.

    The straight line from `empty_v` to `full_v` is coarse in the middle of a lithium cell's range; it is there
    to tell the end from the rest. None where the reading is of no battery of this machine, or cannot be:
    a gauge that has not begun says 0 %, a chip whose wire is off 0 V, a supply rail 5 V.

    >>> charge(Reading(volts=3.725), schema.PowerSettings()), charge(Reading(volts=5.1), schema.PowerSettings())
    (50.0, None)
    """
    if not reading.own:
        return None
    by_volts = _by_volts(reading.volts, settings)
    if reading.percent is None or not 0 < reading.percent <= 100:
        return by_volts
    if reading.volts is not None and not settings.empty_v * LOWEST <= reading.volts <= HIGHEST_V:
        return None
    contradicted = by_volts is not None and by_volts >= CONTRADICTED and reading.percent < settings.low_percent
    return None if contradicted else reading.percent


def _by_volts(volts: float | None, settings: schema.PowerSettings) -> float | None:
    if volts is None or not settings.empty_v * LOWEST <= volts <= settings.full_v * HIGHEST:
        return None
    share = (volts - settings.empty_v) / (settings.full_v - settings.empty_v)
    return round(100 * min(1.0, max(0.0, share)), 1)
