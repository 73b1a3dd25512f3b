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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.errors import UserError

SYS = Path("/sys")
PROC = Path("/proc")

Run = Callable[[Sequence[str]], str]
"""Runs a program and returns what it printed; raises OSError or subprocess.SubprocessError."""


class PowerError(UserError):
    """A meter cannot be read; the message names it, the cause and what to do."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter tells; None is what it does not know."""

    volts: float | None = None
    amps: float | None = None
    """Drawn from the battery, so positive while discharging."""
    watts: float | None = None
    percent: float | None = None
    """Charge of the battery, where the meter itself knows it."""
    charging: bool = False
    """On the charger: then nothing needs to be switched off."""


class Meter(Protocol):
    """Measures what the appliance draws."""

    @property
    def name(self) -> str:
        """What is read, for messages."""

    def read(self) -> Reading:
        """Measure now. Raises PowerError."""


@dataclass(frozen=True, slots=True)
class Hwmon:
    """An INA219 or INA226 with the hwmon driver: in1 in mV, curr1 in mA, power1 in µW."""

    folder: Path

    @property
    def name(self) -> str:
        """The chip and its folder."""
        return f"{_word(self.folder / 'name')} at {self.folder}"

    def read(self) -> Reading:
        """Bus voltage, current and power as the driver scales them."""
        volts = _number(self.folder / "in1_input", 1e-3)
        amps = _number(self.folder / "curr1_input", 1e-3)
        return _complete(self.name, Reading(volts, amps, _number(self.folder / "power1_input", 1e-6)))


@dataclass(frozen=True, slots=True)
class Iio:
    """An INA219 or INA226 with the IIO driver: raw values times their scales, in mV, mA and mW."""

    folder: Path

    @property
    def name(self) -> str:
        """The chip and its folder."""
        return f"{_word(self.folder / 'name')} at {self.folder}"

    def read(self) -> Reading:
        """Bus voltage (channel 1), power (2) and current (3)."""
        channels = ("in_voltage1", "in_current3", "in_power2")
        volts, amps, watts = (self._channel(channel) for channel in channels)
        return _complete(self.name, Reading(volts, amps, watts))

    def _channel(self, channel: str) -> float | None:
        raw = _number(self.folder / f"{channel}_raw", 1e-3)
        scale = _number(self.folder / f"{channel}_scale")
        return None if raw is None else raw * (1.0 if scale is None else scale)


@dataclass(frozen=True, slots=True)
class PowerSupply:
    """A battery of the power_supply class: µV, µA, µW and percent.

    Drivers do not agree whether the current of a battery being emptied is negative, so its size is taken.
    """

    folder: Path

    @property
    def name(self) -> str:
        """The battery's name in the kernel."""
        return f"battery {self.folder.name}"

    def read(self) -> Reading:
        """Whatever of voltage, current, power and capacity the driver has."""
        amps = _number(self.folder / "current_now", 1e-6)
        watts = _number(self.folder / "power_now", 1e-6)
        return _complete(
            self.name,
            Reading(
                volts=_number(self.folder / "voltage_now", 1e-6),
                amps=None if amps is None else abs(amps),
                watts=None if watts is None else abs(watts),
                percent=_number(self.folder / "capacity"),
                charging=_word(self.folder / "status") in ("Charging", "Full"),
            ),
        )


@dataclass(frozen=True, slots=True)
class Pmic:
    """The Raspberry Pi 5's power chip: the sum over its rails, so without what USB devices draw.

    >>> rails = "  VDD_CORE_A current(7)=2.00A\\n VDD_CORE_V volt(15)=0.75V\\n EXT5V_V volt(24)=5.10V"
    >>> Pmic(lambda command: rails).read()
    Reading(volts=5.1, amps=None, watts=1.5, percent=None, charging=False)
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
        return Reading(volts=values.get("EXT5V_V"), watts=watts)


def meters(sys: Path = SYS, run: Run | None = None) -> Iterator[Meter]:
    """Every meter of this machine, the best first."""
    for folder in sorted((sys / "class/hwmon").glob("hwmon*")):
        if _word(folder / "name").startswith("ina2"):
            yield Hwmon(folder)
    for folder in sorted((sys / "bus/iio/devices").glob("iio:device*")):
        if _word(folder / "name").startswith("ina2"):
            yield Iio(folder)
    for folder in sorted((sys / "class/power_supply").glob("*")):
        if _word(folder / "type") == "Battery":
            yield PowerSupply(folder)
    if "Raspberry Pi 5" in _word(sys / "firmware/devicetree/base/model"):
        yield Pmic(run or run_program)


def find_meter(wanted: str, sys: Path = SYS, run: Run | None = None) -> Meter | None:
    """The meter that `power.meter` names: ``auto`` (None if there is none), ``none``, or a folder in sysfs.

    Raises PowerError if the folder is not a meter.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        return next(meters(sys, run), None)
    folder = Path(wanted)
    if (folder / "in1_input").exists():
        return Hwmon(folder)
    if (folder / "in_voltage1_raw").exists():
        return Iio(folder)
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
    """Flags of the firmware: bit 0 under-voltage, 1 clock capped, 2 throttled, 3 too hot; 16-19 ever since."""


def read_gauges(sys: Path = SYS, proc: Path = PROC) -> Gauges:
    """Read temperature, clock, load and throttling; whatever is missing is None."""
    load = _word(proc / "loadavg").partition(" ")[0]
    return Gauges(
        celsius=_number(sys / "class/thermal/thermal_zone0/temp", 1e-3),
        mhz=_number(sys / "devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1e-3),
        load=float(load) if load else None,
        throttled=_throttled(sys),
    )


def run_program(command: Sequence[str]) -> str:
    """Run `command` for two seconds at most and return what it printed."""
    return subprocess.run(command, capture_output=True, text=True, timeout=2, check=True).stdout


def _throttled(sys: Path) -> int | None:
    """From Raspberry Pi OS's firmware driver, or the one flag that the mainline raspberrypi-hwmon has."""
    flags = _word(sys / "devices/platform/soc/soc:firmware/get_throttled")
    if flags:
        return int(flags, 16)
    for folder in (sys / "class/hwmon").glob("hwmon*"):
        if _word(folder / "name") == "rpi_volt":
            return int(_word(folder / "in0_lcrit_alarm") or "0")
    return None


def _complete(name: str, reading: Reading) -> Reading:
    """Fill in the power where only voltage and current are measured."""
    if reading.volts is None and reading.watts is None and reading.percent is None:
        raise PowerError(f"{name}: cannot be read; check its wiring and driver, or set power.meter to another")
    if reading.watts is None and reading.volts is not None and reading.amps is not None:
        watts = reading.volts * reading.amps
        return Reading(reading.volts, reading.amps, watts, reading.percent, reading.charging)
    return reading


def _word(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _number(file: Path, scale: float = 1.0) -> float | None:
    try:
        return float(_word(file)) * scale
    except ValueError:
        return None
