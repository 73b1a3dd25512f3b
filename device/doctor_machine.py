"""The doctor's checks of everything but the Coral: microphone, panel, meter, keyboard, disk, clock, real time.

A check that needs a person (speak, press, look) is done only when a `Patient` answers; its questions go there.

>>> disk_check(Path("/"), needed_mb=0).state
<State.GOOD: 'ok'>
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue

import numpy as np
from gpiozero.pins import Factory

from device import card, config, lights
from device.cli_realtime import problems
from device.doctor import Check, State
from device.hidport import is_keyboard
from device.panel import Panel, PanelError, pin_factory
from device.power import Flow, PowerError, Reading, find_meter, read_gauges
from device.power_monitor import charge
from device.power_report import throttling

QUIET_DBFS, LOUD_DBFS = -60.0, -3.0
"""Speech at a usual distance lies well between (RMS of a block)."""

DISK_MB = 200.0
"""Room for the journal and the logs at their largest, and some more."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Who answers while the doctor looks: told what to do or to look at, asked whether it was so."""

    tell: Callable[[str], None]
    agree: Callable[[str], bool]


def microphone_checks(settings: config.Audio, patient: Patient | None, seconds: float = 3.0) -> Iterator[Check]:
    """Whether it is there, captures at 16 kHz itself, loses nothing, and how loud it hears."""
    if settings.source == "file":
        yield Check("microphone", State.NOTE, f"the recording {settings.file} stands in for it, as configured")
        return
    try:
        from device.microphone import Microphone, Status, level
    except ImportError as error:
        yield Check("microphone", State.BAD, f"PortAudio: {error}", "`pip install coral-dictation[device]`")
        return
    found: list[Status] = []

    def notify(status: Status) -> None:
        found.append(status)
        if status.lost:
            microphone.stop()

    microphone = Microphone(settings, notify)
    if patient:
        patient.tell(f"speak for {seconds:.0f} seconds")
    wanted = max(1, round(seconds * 1_000 / settings.block_ms))
    levels, overruns = [], 0
    for chunk in islice(microphone, wanted):
        levels.append(level(chunk.samples))
        overruns = chunk.overruns
        if patient:
            patient.tell(meter(levels[-1]))
    if not found or found[-1].lost:
        cause, _, advice = (found[-1].lost if found else "microphone: nothing came").partition("; ")
        yield Check("microphone", State.BAD, cause.removeprefix("microphone "), advice)
        return
    yield Check("microphone", State.GOOD, found[0].name)
    yield _rate(found[0].rate)
    yield _loss(overruns)
    yield _loudness(levels, spoken=patient is not None)


def meter(dbfs: float) -> str:
    """A level meter of 30 characters.

    >>> meter(-30.0)
    '[###############...............]  -30 dBFS'
    """
    filled = min(30, max(0, round((dbfs + 60) / 2)))
    return f"[{'#' * filled}{'.' * (30 - filled)}] {dbfs:4.0f} dBFS"


def _rate(rate: int) -> Check:
    if rate == 16_000:
        return Check("sample rate", State.GOOD, "16000 Hz by the device itself")
    advice = "it works, at the cost of some processor time; a microphone with 16 kHz of its own avoids that"
    return Check("sample rate", State.NOTE, f"{rate} Hz, resampled to 16000 Hz", advice)


def _loss(overruns: int) -> Check:
    if overruns == 0:
        return Check("capture", State.GOOD, "no sound lost")
    return Check("capture", State.BAD, f"sound was lost {overruns} times", "stop other programs; see realtime below")


def _loudness(levels: list[float], spoken: bool) -> Check:
    loudest = max(levels)
    if loudest <= -115:
        return Check("level", State.BAD, "digital silence", "is it muted? try `alsamixer`, capture view")
    if loudest > LOUD_DBFS:
        return Check("level", State.BAD, f"{loudest:.0f} dBFS, clipping", "lower the capture level in `alsamixer`")
    if spoken and loudest < QUIET_DBFS:
        return Check("level", State.BAD, f"{loudest:.0f} dBFS", "speak closer, or raise the level in `alsamixer`")
    return Check("level", State.GOOD, f"loudest {loudest:.0f} dBFS, median {np.median(levels):.0f} dBFS")


def panel_checks(
    settings: config.Panel,
    patient: Patient | None,
    pins: Callable[[config.Panel], Factory] = pin_factory,
    seconds: float = 10.0,
) -> Iterator[Check]:
    """Whether the pins can be used; with a patient, lights each lamp and waits for a press."""
    if not settings.enabled:
        yield Check("panel", State.NOTE, "panel.enabled = false")
        return
    edges: SimpleQueue[bool] = SimpleQueue()
    try:
        with ExitStack() as stack:
            factory = pins(settings)
            stack.callback(factory.close)
            panel = stack.enter_context(Panel(settings, factory, lambda now, pressed: edges.put(pressed)))
            yield _resting(settings, panel.pressed)
            if patient:
                yield from _lamps(settings, panel, patient)
                yield _press(settings, edges, patient, seconds)
    except PanelError as error:
        cause, _, advice = str(error).partition("; ")
        yield Check("pins", State.BAD, cause, advice)


def _resting(settings: config.Panel, pressed: bool) -> Check:
    if not pressed:
        return Check("button", State.GOOD, f"GPIO {settings.button_pin}, not pressed")
    advice = "let it go; otherwise check its wiring and panel.pull_up"
    return Check("button", State.BAD, f"GPIO {settings.button_pin} reads as pressed", advice)


def _lamps(settings: config.Panel, panel: Panel, patient: Patient) -> Iterator[Check]:
    if settings.leds.kind == "none":
        return
    for state in (lights.State.READY, lights.State.LISTENING, lights.State.FAULT):
        pattern = lights.PATTERNS[state]
        name = pattern.lamp.name.lower() if settings.leds.kind == "three" else pattern.colour.name.lower()
        panel.show({state})
        if patient.agree(f"does the {name} lamp light?"):
            yield Check(f"lamp {name}", State.GOOD, "lights")
        else:
            pins = ", ".join(map(str, settings.leds.pins))
            advice = f"check the wiring of GPIO {pins}, panel.leds.kind and panel.leds.active_high"
            yield Check(f"lamp {name}", State.BAD, "stays dark", advice)


def _press(settings: config.Panel, edges: SimpleQueue[bool], patient: Patient, seconds: float) -> Check:
    patient.tell(f"press the button and let it go, within {seconds:.0f} seconds")
    end = time.monotonic() + seconds
    seen: list[bool] = []
    while seen[-2:] != [True, False]:
        try:
            seen.append(edges.get(timeout=max(0.0, end - time.monotonic())))
        except Empty:
            advice = f"wire it between GPIO {settings.button_pin} and {'ground' if settings.pull_up else '3.3 V'}"
            return Check("press", State.BAD, "not noticed", advice)
    return Check("press", State.GOOD, f"noticed, with {len(seen) - 2} bounces" if len(seen) > 2 else "noticed")


def meter_checks(settings: config.Power, sys: Path = Path("/sys")) -> Iterator[Check]:
    """Whether the power is measured, and whether the board is fed well."""
    try:
        found = find_meter(settings.meter, sys, reverse=settings.reverse_current)
        if found is None:
            advice = "wire an INA219 or INA226 for battery and power readings; nothing else needs it"
            yield Check("meter", State.NOTE, "none", advice)
        else:
            reading = found.read()
            yield Check("meter", State.GOOD, f"{found.name}: {', '.join(_told(reading))}")
            yield _battery(reading, settings)
    except PowerError as error:
        cause, _, advice = str(error).partition("; ")
        yield Check("meter", State.BAD, cause, advice)
    flags = read_gauges(sys).throttled
    if flags is None:
        yield Check("supply", State.NOTE, "not measured: this machine does not tell whether it is fed well")
    elif flags & 0xF:
        yield Check("supply", State.BAD, throttling(flags), "use a supply of 5.1 V, 3 A, and a short thick cable")
    elif flags:
        yield Check("supply", State.NOTE, throttling(flags), "it was so since the last start, and is not now")
    else:
        yield Check("supply", State.GOOD, "no under-voltage, no throttling")


def _told(reading: Reading) -> Iterator[str]:
    for value, form in ((reading.volts, ".2f V"), (reading.watts, ".2f W"), (reading.percent, ".0f %")):
        if value is not None:
            digits, _, unit = form.partition(" ")
            yield f"{value:{digits}} {unit}"


def _battery(reading: Reading, settings: config.Power) -> Check:
    """What the meter can say about the battery: see the table in docs/appliance.md."""
    percent = charge(reading, settings)
    if percent is None:
        advice = "wire the meter to the cell, not behind a regulator" if reading.own else ""
        return Check("battery", State.NOTE, "charge not measured: no reading that a battery can have", advice)
    if reading.flow is Flow.UNKNOWN:
        advice = "the lamp warns of a low battery, but the device will not switch itself off"
        return Check("battery", State.NOTE, f"{percent:.0f} %; whether it is being emptied is not measured", advice)
    return Check("battery", State.GOOD, f"{percent:.0f} %, {reading.flow.value}")


def keyboard_check(settings: config.Keyboard) -> Check:
    """Whether the gadget's device is there and may be written."""
    if not settings.enabled:
        return Check("keyboard", State.NOTE, "sinks.keyboard.enabled = false")
    try:
        fits = is_keyboard(settings.path)
    except OSError as error:
        advice = "`systemctl status dictate-keyboard.service` says why"
        return Check("keyboard", State.BAD, f"{settings.path}: {error.strerror}", advice)
    if not fits:
        detail = f"{settings.path} is no USB keyboard gadget"
        return Check("keyboard", State.BAD, detail, "set sinks.keyboard.path to one, such as /dev/hidg0")
    if not os.access(settings.path, os.W_OK):
        return Check("keyboard", State.BAD, f"{settings.path} may not be written", "run as user dictate, or as root")
    return Check("keyboard", State.GOOD, f"{settings.path}, layout {settings.layout}")


def disk_check(folder: Path, needed_mb: float = DISK_MB) -> Check:
    """Room where the journal and the logs are kept; `folder` need not exist yet."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free / 1e6
    if not os.access(there, os.W_OK):
        return Check("disk", State.BAD, f"{there} may not be written", "run as user dictate, or as root")
    if free < needed_mb:
        return Check("disk", State.BAD, f"{free:.0f} MB free at {there}", "remove something, or use a larger card")
    return Check("disk", State.GOOD, f"{free:.0f} MB free at {there}")


def card_checks(lines: Sequence[str], applied: bool) -> Iterator[Check]:
    """What was not taken of the card's configuration or of its update; `applied` is whether there is such a card."""
    for line in lines:
        yield Check("card", State.BAD, line, "correct it on the card's FAT partition and start again")
    if not lines and applied:
        yield Check("card", State.GOOD, "everything on it was taken")
    elif not lines:
        yield Check("card", State.NOTE, "not looked at: this machine was not started from an image of build-image")


def clock_check(now: float, built: float) -> Check:
    """Whether the clock is set: a Pi has none that goes on while it is off, and starts where it stopped.

    `built` is a moment that has passed for sure, such as the date of this file.
    """
    told = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    if now < built:
        advice = "connect it to a network once, or add a real-time clock; only the dates in the journal are wrong"
        return Check("clock", State.NOTE, f"{told}, which has passed", advice)
    return Check("clock", State.GOOD, told)


def realtime_checks(settings: config.Realtime) -> Iterator[Check]:
    """Whether cores, priority and governor may be used."""
    if not settings.enabled:
        yield Check("real time", State.NOTE, "realtime.enabled = false")
        return
    found = problems(settings)
    if not found:
        yield Check("real time", State.GOOD, "cores, priority and governor may be used")
    for problem in found:
        cause, _, advice = problem.partition("; ")
        yield Check("real time", State.NOTE, cause, advice)


def _storage(settings: config.Config, patient: Patient | None) -> Iterator[Check]:
    yield disk_check(settings.sinks.journal.dir)
    yield clock_check(time.time(), Path(__file__).stat().st_mtime)


Group = Callable[[config.Config, Patient | None], Iterable[Check]]
"""Looks at one part, with the help of a person if there is one."""

MACHINE: dict[str, Group] = {
    "Card": lambda settings, patient: card_checks(card.complaints(), card.applied()),
    "Panel": lambda settings, patient: panel_checks(settings.panel, patient),
    "Microphone": lambda settings, patient: microphone_checks(settings.audio, patient),
    "Keyboard": lambda settings, patient: [keyboard_check(settings.sinks.keyboard)],
    "Power": lambda settings, patient: meter_checks(settings.power),
    "Storage": _storage,
    "Real time": lambda settings, patient: realtime_checks(settings.realtime),
}
"""Everything but the Coral, in the order in which it is looked at."""
