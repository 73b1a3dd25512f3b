"""Where the appliance learns what it draws and how it fares: meters and gauges read from the kernel.

A meter is anything with a `name` and a `read`; there is one for each kernel interface that a Pi has:

================  =====================================================================================
`Hwmon`           INA219/INA226 by the ina2xx driver of Raspberry Pi OS (Documentation/hwmon/ina2xx.rst)
`Iio`             the same chips by Debian's ina2xx-adc (Documentation/ABI/testing/sysfs-bus-iio)
`PowerSupply`     a battery or UPS driver (Documentation/ABI/testing/sysfs-class-power)
`Pmic`            the Raspberry Pi 5's power chip, asked by `vcgencmd pmic_read_adc`
================  =====================================================================================

>>> meter = find_meter("none")
>>> meter is None
True
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Protocol

from device.power.sysfs import decimal, hexadecimal, number, numbered, parsed, word
from models.errors import UserError

SYS = Path("/sys")
PROC = Path("/proc")

SUPPLIES = Path("class/power_supply")
"""Chargers and batteries, below /sys."""

FLOWING_A = 0.05
"""Less current than this is none: a Pi draws several times as much, and the chips are off by a few mA."""

Run = Callable[[Sequence[str]], str]
"""Runs a program and returns what it printed; raises OSError or subprocess.SubprocessError."""


class PowerError(UserError):
    """A meter cannot be read; the message names it, the cause and what to do."""


class Flow(Enum):
    """Which way a battery's current goes."""

    OUT = "discharging"
    IN = "charging, or held by a charger"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter tells; None is what it does not know. Values are as read, even where they cannot be."""

    volts: float | None = None
    amps: float | None = None
    """Drawn from the battery, so positive while discharging and negative while charging."""
    watts: float | None = None
    """What is drawn; None while current flows in, for then nobody knows what the machine takes."""
    percent: float | None = None
    """Charge of the battery, where the meter itself knows it."""
    flow: Flow = Flow.UNKNOWN
    own: bool = True
    """Whether this is the battery that feeds the machine; False for a supply rail and for a mouse's battery."""


class Meter(Protocol):
    """Measures what the appliance draws."""

    @property
    def name(self) -> str:
        """What is read, for messages."""

    def read(self) -> Reading:
        """Measure now. Raises PowerError."""


@dataclass(frozen=True, slots=True)
class Hwmon:
    """An INA219 or INA226 with the hwmon driver: in1 in mV, curr1 in mA, power1 in µW (which has no sign)."""

    folder: Path
    sign: float = 1.0
    """-1 for one that is wired the other way round: see `power.reverse_current`."""

    @property
    def name(self) -> str:
        """The chip and its folder."""
        return f"{word(self.folder / 'name')} at {self.folder}"

    def read(self) -> Reading:
        """Bus voltage, current and power as the driver scales them."""
        volts = number(self.folder / "in1_input", 1e-3)
        amps = number(self.folder / "curr1_input", 1e-3 * self.sign)
        return _by_current(self, volts, amps, number(self.folder / "power1_input", 1e-6))


@dataclass(frozen=True, slots=True)
class Iio:
    """An INA219 or INA226 with the IIO driver: raw values times their scales, in mV, mA and mW."""

    folder: Path
    sign: float = 1.0
    """-1 for one that is wired the other way round: see `power.reverse_current`."""

    @property
    def name(self) -> str:
        """The chip and its folder."""
        return f"{word(self.folder / 'name')} at {self.folder}"

    def read(self) -> Reading:
        """Bus voltage (channel 1), power (2) and current (3)."""
        volts, amps, watts = map(self._channel, ("in_voltage1", "in_current3", "in_power2"))
        return _by_current(self, volts, None if amps is None else amps * self.sign, watts)

    def _channel(self, channel: str) -> float | None:
        raw = number(self.folder / f"{channel}_raw", 1e-3)
        scale = number(self.folder / f"{channel}_scale")
        return None if raw is None else raw * (1.0 if scale is None else scale)


@dataclass(frozen=True, slots=True)
class PowerSupply:
    """A battery of the power_supply class: µV, µA, µW and percent.

    Drivers do not agree whether the current of a battery being emptied is negative, so its size is taken, and its
    direction from `status`.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The battery's name in the kernel."""
        return f"battery {self.folder.name}"

    def read(self) -> Reading:
        """Whatever of voltage, current, power and capacity the driver has."""
        flow = STATUS.get(word(self.folder / "status"), Flow.UNKNOWN)
        amps = number(self.folder / "current_now", 1e-6)
        watts = number(self.folder / "power_now", 1e-6)
        signs = {Flow.OUT: 1.0, Flow.IN: -1.0}
        reading = Reading(
            volts=number(self.folder / "voltage_now", 1e-6),
            amps=None if amps is None or flow not in signs else signs[flow] * abs(amps),
            watts=None if watts is None or flow is not Flow.OUT else abs(watts),
            percent=number(self.folder / "capacity"),
            flow=flow,
            own=word(self.folder / "scope") != "Device" and word(self.folder / "present") != "0",
        )
        return _complete(self, reading)


STATUS = {"Discharging": Flow.OUT, "Charging": Flow.IN, "Full": Flow.IN, "Not charging": Flow.IN}
"""Directions by the driver's word; "Unknown" and whatever else it says are unknown."""


@dataclass(frozen=True, slots=True)
class Pmic:
    """The Raspberry Pi 5's power chip: the sum over its rails, so without what USB devices draw.

    >>> rails = "  VDD_CORE_A current(7)=2.00A\\n VDD_CORE_V volt(15)=0.75V\\n EXT5V_V volt(24)=5.10V"
    >>> Pmic(lambda command: rails).read()
    Reading(volts=5.1, amps=None, watts=1.5, percent=None, flow=<Flow.UNKNOWN: 'unknown'>, own=False)
    """

    run: Run

    @property
    def name(self) -> str:
        """The chip."""
        return "the Pi 5's PMIC"

    def read(self) -> Reading:
        """Ask the firmware for all rails and add up volts times amps."""
        try:
            text = self.run(["vcgencmd", "pmic_read_adc"])
        except (OSError, subprocess.SubprocessError) as error:
            raise PowerError(f"{self.name}: vcgencmd failed ({error}); is this user in group video?") from None
        values = {
            name: float(value) for name, value in re.findall(r"(\w+_[AV]) (?:current|volt)\(\d+\)=([0-9.]+)[AV]", text)
        }
        rails = [name[:-2] for name in values if name.endswith("_A") and f"{name[:-2]}_V" in values]
        if not rails:
            raise PowerError(f"{self.name}: vcgencmd pmic_read_adc shows no rails; set power.meter to another")
        watts = sum(values[f"{rail}_A"] * values[f"{rail}_V"] for rail in rails)
        return Reading(volts=values.get("EXT5V_V"), watts=watts, own=False)


def meters(sys: Path = SYS, run: Run | None = None, reverse: bool = False) -> Iterator[Meter]:
    """Every meter of this machine, the best first. The batteries of mice and headsets are none of its own."""
    sign = -1.0 if reverse else 1.0
    for folder in numbered(sys / "class/hwmon", "hwmon*"):
        if word(folder / "name").startswith("ina2"):
            yield Hwmon(folder, sign)
    for folder in numbered(sys / "bus/iio/devices", "iio:device*"):
        if word(folder / "name").startswith("ina2"):
            yield Iio(folder, sign)
    for folder in numbered(sys / SUPPLIES, "*"):
        if word(folder / "type") == "Battery" and word(folder / "scope") != "Device":
            yield PowerSupply(folder)
    if "Raspberry Pi 5" in word(sys / "firmware/devicetree/base/model"):
        yield Pmic(run or run_program)


def find_meter(wanted: str, sys: Path = SYS, run: Run | None = None, reverse: bool = False) -> Meter | None:
    """The meter that `power.meter` names: ``auto`` (None if there is none), ``none``, or a folder in sysfs:
    the meter's, or its device's (/sys/bus/i2c/devices/1-0040), which keeps its name.

    `reverse` is `power.reverse_current`: the chip counts current into the battery as positive. Raises PowerError
    if the folder is not a meter.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        return next(meters(sys, run, reverse), None)
    folder = next(iter(numbered(Path(wanted) / "hwmon", "hwmon*")), Path(wanted))  # named by its place on the bus
    if (folder / "in1_input").exists():
        return Hwmon(folder, -1.0 if reverse else 1.0)
    if (folder / "in_voltage1_raw").exists():
        return Iio(folder, -1.0 if reverse else 1.0)
    if (folder / "type").exists():
        return PowerSupply(folder)
    raise PowerError(f"{folder}: no hwmon, IIO or power_supply meter; set power.meter to another or to auto")


@dataclass(frozen=True, slots=True)
class Gauges:
    """How the board fares; None is what the kernel does not tell."""

    celsius: float | None
    """Temperature of the SoC."""
    mhz: float | None
    """Clock of core 0."""
    load: float | None
    """Load average over a minute."""
    throttled: int | None
    """Flags of the firmware: bit 0 under-voltage, 1 clock capped, 2 throttled, 3 too hot; 16-19 ever since.

    Where only the kernel's under-voltage alarm can be read, bit 0 alone."""


def read_gauges(sys: Path = SYS, proc: Path = PROC) -> Gauges:
    """Read temperature, clock, load and throttling; whatever is missing is None."""
    return Gauges(
        celsius=number(sys / "class/thermal/thermal_zone0/temp", 1e-3),
        mhz=number(sys / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1e-3),
        load=parsed(word(proc / "loadavg").partition(" ")[0], decimal),
        throttled=_throttled(sys),
    )


def run_program(command: Sequence[str]) -> str:
    """Run `command` for two seconds at most and return what it printed."""
    return subprocess.run(command, capture_output=True, text=True, timeout=2, check=True).stdout


def _throttled(sys: Path) -> int | None:
    """From Raspberry Pi OS's firmware driver, or the one flag that the mainline raspberrypi-hwmon has."""
    flags = parsed(word(sys / "devices/platform/soc/soc:firmware/get_throttled"), hexadecimal)
    if flags is not None:
        return flags
    for folder in (sys / "class/hwmon").glob("hwmon*"):
        if word(folder / "name") == "rpi_volt":
            return {"0": 0, "1": 1}.get(word(folder / "in0_lcrit_alarm"))
    return None


def _by_current(meter: Hwmon | Iio, volts: float | None, amps: float | None, watts: float | None) -> Reading:
    """A chip on the battery's wire knows the direction from the current's sign, if any flows."""
    flow = Flow.UNKNOWN
    if amps is not None and abs(amps) >= FLOWING_A:
        flow = Flow.OUT if amps > 0 else Flow.IN
    drawn = amps is not None and flow is not Flow.IN
    return _complete(meter, Reading(volts, amps, watts if drawn else None, flow=flow))


def _complete(meter: Hwmon | Iio | PowerSupply, reading: Reading) -> Reading:
    """Fill in the power where only voltage and current are measured, and what the machine's chargers say."""
    if reading.volts is None and reading.watts is None and reading.percent is None:
        raise PowerError(f"{meter.name}: cannot be read; check its wiring and driver, or set power.meter to another")
    if reading.watts is None and reading.flow is Flow.OUT and reading.volts is not None and reading.amps is not None:
        reading = replace(reading, watts=reading.volts * reading.amps)
    if reading.watts is not None and reading.watts < 0:
        reading = replace(reading, watts=None)
    above = meter.folder.parents
    return replace(reading, flow=Flow.IN) if plugged_in([above[0], *(up / SUPPLIES for up in above)]) else reading


def plugged_in(supplies: Iterable[Path]) -> bool:
    """Whether a charger or mains adapter of the machine is online, by the power_supply folders that there are."""
    return any(
        word(supply / "type") not in ("", "Battery", "UPS")
        and word(supply / "scope") != "Device"
        and (number(supply / "online") or 0) > 0
        for folder in supplies
        for supply in folder.glob("*")
    )
