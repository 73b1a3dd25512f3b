"""A power meter that is kept although the kernel numbers its devices anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

from device.power.sensors import SUPPLIES, SYS, Hwmon, Iio, Meter, PowerError, PowerSupply, Reading, Run, find_meter
from device.power.sysfs import numbered, word

ON_I2C = re.compile(r"/i2c-\d+/\d+-([0-9a-f]{4})$")
"""The end of a chip's folder: the number of its bus, the same again, and its address on it."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What outlives a meter's number: the name without it, and the device that it measures with, see `place`."""

    name: str
    device: Path


class LastingMeter:
    """The meter that `wanted` names, found again when its number changes or its driver is loaded late.

    Which device that is, is settled as soon as there is one, even if it cannot be read yet; from then on it is the
    device that is followed and not its number, so that a folder that has become another chip's is not read. Each failed
    read looks for it once; with no meter at all, `read` is empty.
    """

    name = "the meter"

    def __init__(self, wanted: str, sys: Path = SYS, run: Run | None = None, reverse: bool = False) -> None:
        self._wanted, self._sys, self._run, self._reverse = wanted, sys, run, reverse
        self._meter: Meter | None = None
        self._identity: Identity | None = None
        with suppress(PowerError):  # each read says so, until there is one
            self._find()

    def read(self) -> Reading:
        """Measure now. Raises PowerError."""
        meter = self._meter or self._find()
        if meter is None:
            return Reading()
        if self._identity and identity(meter) != self._identity:
            meter = self._again(self._identity)
        try:
            reading = meter.read()
        except PowerError:
            again = self._again(self._identity) if self._identity else meter
            if again == meter:
                raise
            meter, reading = again, again.read()
        self._meter = meter
        return reading

    def _find(self) -> Meter | None:
        """The meter that is wanted, if it is there by now. Raises PowerError where a folder is none."""
        meter = find_meter(self._wanted, self._sys, self._run, self._reverse)
        self._meter, self._identity = meter, identity(meter) if meter else None
        return meter

    def _again(self, known: Identity) -> Meter:
        """The same device wherever it is now. Raises PowerError."""
        found = {folder.resolve(): folder for folder in self._places()}
        meters = [replace(self._meter, folder=folder) for folder in found.values()] if _numbered(self._meter) else []
        same = [meter for meter in meters if identity(meter) == known]
        exact = [meter for meter in same if _numbered(self._meter) and meter.folder.name == self._meter.folder.name]
        if len(same) == 1 or exact:
            return (exact or same)[0]
        raise PowerError(f"{known.name}: gone; check its wiring and driver, or set power.meter to another")

    def _places(self) -> Iterator[Path]:
        """The folders that the meter may have now: in the kernel's list of its kind, or beside where it was."""
        lists = {Hwmon: Path("class/hwmon"), Iio: Path("bus/iio/devices"), PowerSupply: SUPPLIES}
        if _numbered(self._meter):
            yield from numbered(self._sys / lists[type(self._meter)], "*")
            yield from numbered(self._meter.folder.parent, "*")


def _numbered(meter: Meter | None) -> TypeGuard[Hwmon | Iio | PowerSupply]:
    return isinstance(meter, Hwmon | Iio | PowerSupply)


def identity(meter: Meter) -> Identity | None:
    """The name of the chip, or of the battery without its number, and the device behind it; None for a meter without.

    A device of a class has a link to its own (hwmon, power_supply); of a bus (IIO), it is the folder above.
    """
    if not _numbered(meter):
        return None
    battery = re.sub(r"\d+$", "", meter.folder.name)
    name = battery if isinstance(meter, PowerSupply) else word(meter.folder / "name")
    device = meter.folder / "device"
    return Identity(name, place(device.resolve() if device.exists() else meter.folder.resolve().parent))


def place(device: Path) -> Path:
    """A device's folder without the number of its I2C bus, which the kernel gives in the order of the drivers.

    The controller and the address on it remain. A bus behind a multiplexer keeps its number: nothing else tells it from
    the next channel.

    >>> str(place(Path("/sys/devices/platform/soc/fe804000.i2c/i2c-1/1-0040")))
    '/sys/devices/platform/soc/fe804000.i2c/i2c/0040'
    >>> str(place(Path("/sys/devices/platform/soc/fe804000.i2c/i2c-1/i2c-11/11-0040")))
    '/sys/devices/platform/soc/fe804000.i2c/i2c-1/i2c-11/11-0040'
    """
    controller = ON_I2C.sub("", str(device))
    return device if re.search(r"/i2c-\d+$", controller) else Path(ON_I2C.sub(r"/i2c/\1", str(device)))
