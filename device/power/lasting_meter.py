"""A power meter that is kept although the kernel numbers its devices anew."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from device.power.sensors import SYS, Hwmon, Iio, Meter, PowerError, PowerSupply, Reading, Run, find_meter
from device.power.sysfs import numbered, word


class LastingMeter:
    """The meter that `wanted` names, found again when its number changes or its driver is loaded late.

    A chip is known again by its name and its device (the target of the ``device`` link), so that a folder that
    has become another chip's is not read. Each failed read looks once; with no meter at all, `read` is empty.
    """

    name = "the meter"

    def __init__(self, wanted: str, sys: Path = SYS, run: Run | None = None, reverse: bool = False) -> None:
        self._wanted, self._sys, self._run, self._reverse = wanted, sys, run, reverse
        self._meter: Meter | None = None
        self._identity: tuple[str, str] | None = None

    def read(self) -> Reading:
        """Measure now. Raises PowerError."""
        if self._meter is not None and self._is_the_same(self._meter):
            try:
                return self._meter.read()
            except PowerError as error:
                if (again := self._again()) is None or again == self._meter:
                    raise error
                return self._take(again)
        meter = self._again() if self._identity else find_meter(self._wanted, self._sys, self._run, self._reverse)
        if meter is None and self._identity:
            raise PowerError(f"{self._identity[0]}: gone; check its wiring and driver, or set power.meter to another")
        return self._take(meter) if meter is not None else Reading()

    def _take(self, meter: Meter) -> Reading:
        reading = meter.read()
        self._meter, self._identity = meter, identity(meter)
        return reading

    def _is_the_same(self, meter: Meter) -> bool:
        return self._identity is None or identity(meter) == self._identity

    def _again(self) -> Meter | None:
        """The same chip wherever it is now."""
        meter = self._meter
        if not isinstance(meter, Hwmon | Iio | PowerSupply):
            return meter
        beside = (replace(meter, folder=place) for place in numbered(meter.folder.parent, "*"))
        return next((found for found in beside if identity(found) == self._identity), None)


def identity(meter: Meter) -> tuple[str, str] | None:
    """The chip's or battery's name and the device behind it, which outlive its number; None for a meter without one."""
    if not isinstance(meter, Hwmon | Iio | PowerSupply):
        return None
    name = meter.folder.name if isinstance(meter, PowerSupply) else word(meter.folder / "name")
    device = meter.folder / "device"
    return name, str(device.resolve()) if device.exists() else ""
