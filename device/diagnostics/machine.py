"""The doctor's checks of everything but the Coral: microphone, panel, meter, keyboard, disk, clock, real time.

A check that needs a person (speak, press, look) is done only when an `Operator` answers; its questions go there.

>>> disk_check(Path("/"), needed_mb=0).state
<CheckState.GOOD: 'ok'>
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from device.config import schema
from device.diagnostics.audio import microphone_checks
from device.diagnostics.check import Check, CheckState, Operator
from device.diagnostics.panel import panel_checks
from device.output.hid_gadget import is_keyboard
from device.power.monitor import charge
from device.power.report import throttling
from device.power.sensors import Flow, PowerError, Reading, find_meter, read_gauges
from device.system import boot_config
from device.system.scheduling import problems

DISK_MB = 200.0
"""Room for the journal and the logs at their largest, and some more."""


def meter_checks(settings: schema.PowerSettings, sys: Path = Path("/sys")) -> Iterator[Check]:
    """Whether the power is measured, and whether the board is fed well."""
    try:
        found = find_meter(settings.meter, sys, reverse=settings.reverse_current)
        if found is None:
            advice = "wire an INA219 or INA226 for battery and power readings; nothing else needs it"
            yield Check("meter", CheckState.NOTE, "none", advice)
        else:
            reading = found.read()
            yield Check("meter", CheckState.GOOD, f"{found.name}: {', '.join(_reading(reading))}")
            yield _battery(reading, settings)
    except PowerError as error:
        cause, _, advice = str(error).partition("; ")
        yield Check("meter", CheckState.BAD, cause, advice)
    flags = read_gauges(sys).throttled
    if flags is None:
        yield Check("supply", CheckState.NOTE, "not measured: this machine does not tell whether it is fed well")
    elif flags & 0xF:
        yield Check("supply", CheckState.BAD, throttling(flags), "use a supply of 5.1 V, 3 A, and a short thick cable")
    elif flags:
        yield Check("supply", CheckState.NOTE, throttling(flags), "it was so since the last start, and is not now")
    else:
        yield Check("supply", CheckState.GOOD, "no under-voltage, no throttling")


def _reading(reading: Reading) -> Iterator[str]:
    for value, form in ((reading.volts, ".2f V"), (reading.watts, ".2f W"), (reading.percent, ".0f %")):
        if value is not None:
            digits, _, unit = form.partition(" ")
            yield f"{value:{digits}} {unit}"


def _battery(reading: Reading, settings: schema.PowerSettings) -> Check:
    """What the meter can say about the battery: see the table in docs/appliance.md."""
    percent = charge(reading, settings)
    if percent is None:
        advice = "wire the meter to the cell, not behind a regulator" if reading.own else ""
        return Check("battery", CheckState.NOTE, "charge not measured: no reading that a battery can have", advice)
    if reading.flow is Flow.UNKNOWN:
        advice = "the LED warns of a low battery, but the device will not switch itself off"
        return Check(
            "battery", CheckState.NOTE, f"{percent:.0f} %; whether it is being emptied is not measured", advice
        )
    return Check("battery", CheckState.GOOD, f"{percent:.0f} %, {reading.flow.value}")


def keyboard_check(settings: schema.KeyboardSettings) -> Check:
    """Whether the gadget's device is there and may be written."""
    if not settings.enabled:
        return Check("keyboard", CheckState.NOTE, "sinks.keyboard.enabled = false")
    try:
        fits = is_keyboard(settings.path)
    except OSError as error:
        advice = "`systemctl status dictate-keyboard.service` says why"
        return Check("keyboard", CheckState.BAD, f"{settings.path}: {error.strerror}", advice)
    if not fits:
        detail = f"{settings.path} is no USB keyboard gadget"
        return Check("keyboard", CheckState.BAD, detail, "set sinks.keyboard.path to one, such as /dev/hidg0")
    if not os.access(settings.path, os.W_OK):
        return Check(
            "keyboard", CheckState.BAD, f"{settings.path} may not be written", "run as user dictate, or as root"
        )
    return Check("keyboard", CheckState.GOOD, f"{settings.path}, layout {settings.layout}")


def disk_check(folder: Path, needed_mb: float = DISK_MB) -> Check:
    """Room where the journal and the logs are kept; `folder` need not exist yet."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free / 1e6
    if not os.access(there, os.W_OK):
        return Check("disk", CheckState.BAD, f"{there} may not be written", "run as user dictate, or as root")
    if free < needed_mb:
        return Check("disk", CheckState.BAD, f"{free:.0f} MB free at {there}", "remove something, or use a larger card")
    return Check("disk", CheckState.GOOD, f"{free:.0f} MB free at {there}")


def card_checks(lines: Sequence[str], applied: bool) -> Iterator[Check]:
    """What was not taken of the card's configuration or of its update; `applied` is whether there is such a card."""
    for line in lines:
        yield Check("card", CheckState.BAD, line, "correct it on the card's FAT partition and start again")
    if not lines and applied:
        yield Check("card", CheckState.GOOD, "everything on it was taken")
    elif not lines:
        yield Check("card", CheckState.NOTE, "not looked at: this machine was not started from an image of build-image")


def clock_check(now: float, built: float) -> Check:
    """Whether the clock is set: a Pi has none that goes on while it is off, and starts where it stopped.

    `built` is a moment that has passed for sure, such as the date of this file.
    """
    told = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    if now < built:
        advice = "connect it to a network once, or add a real-time clock; only the dates in the journal are wrong"
        return Check("clock", CheckState.NOTE, f"{told}, which has passed", advice)
    return Check("clock", CheckState.GOOD, told)


def realtime_checks(settings: schema.RealtimeSettings) -> Iterator[Check]:
    """Whether cores, priority and governor may be used."""
    if not settings.enabled:
        yield Check("real time", CheckState.NOTE, "realtime.enabled = false")
        return
    found = problems(settings)
    if not found:
        yield Check("real time", CheckState.GOOD, "cores, priority and governor may be used")
    for problem in found:
        cause, _, advice = problem.partition("; ")
        yield Check("real time", CheckState.NOTE, cause, advice)


def _storage(settings: schema.Config, operator: Operator | None) -> Iterator[Check]:
    yield disk_check(settings.sinks.journal.dir)
    yield clock_check(time.time(), Path(__file__).stat().st_mtime)


Group = Callable[[schema.Config, Operator | None], Iterable[Check]]
"""Looks at one part, with the help of a person if there is one."""

MACHINE: dict[str, Group] = {
    "Card": lambda settings, operator: card_checks(boot_config.warnings(), boot_config.applied()),
    "Panel": lambda settings, operator: panel_checks(settings.panel, operator),
    "Microphone": lambda settings, operator: microphone_checks(settings.audio, operator),
    "Keyboard": lambda settings, operator: [keyboard_check(settings.sinks.keyboard)],
    "Power": lambda settings, operator: meter_checks(settings.power),
    "Storage": _storage,
    "Real time": lambda settings, operator: realtime_checks(settings.realtime),
}
"""Everything but the Coral, in the order in which it is looked at."""
