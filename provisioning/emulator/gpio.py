"""The virtual board's eight pins, from outside: a PL061 GPIO controller (ARM DDI 0190) driven through QEMU.

QEMU's `virt` machine has one; the guest's gpiozero and lgpio open it as /dev/gpiochip0. Inputs are set as a wire
would, outputs are read from the data register.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from provisioning.emulator.leds import Sample
from provisioning.emulator.links import QMP, LinkError, QTest

PL061 = 0x0903_0000
"""Where `virt` maps it (hw/arm/virt.c of QEMU, VIRT_GPIO)."""

LINES = 8


class Pins:
    """The pins: `drive` is what a wire does, `driven` is what lights an LED."""

    def __init__(self, qmp: QMP, qtest: QTest) -> None:
        self._qtest = qtest
        self._path = _find(qmp)

    def drive(self, line: int, level: bool) -> None:
        """Put an input line at 3.3 V (True) or ground."""
        self._qtest.command(f"set_irq_in {self._path} unnamed-gpio-in {line} {int(level)}")

    def driven(self) -> tuple[bool, ...]:
        """Which lines the board drives high; an input is none of them.

        Bits 2 to 9 of the address mask the data register (DDI 0190, 3.3.1); the register at 0x400 is the direction.
        """
        data = self._qtest.read32(PL061 + (0xFF << 2)) & self._qtest.read32(PL061 + 0x400)
        return tuple(bool(data >> line & 1) for line in range(LINES))


class Button:
    """A button from a pin to ground, with the pull-up that PL061 lacks."""

    def __init__(self, pins: Pins, line: int) -> None:
        self._pins, self._line = pins, line
        self.release()

    def press(self) -> None:
        """Push it down."""
        self._pins.drive(self._line, False)

    def release(self) -> None:
        """Let it go."""
        self._pins.drive(self._line, True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it down while the block runs."""
        self.press()
        try:
            yield
        finally:
            self.release()


class Leds:
    """The three LEDs: ready, listening, fault."""

    def __init__(self, pins: Pins, lines: tuple[int, int, int]) -> None:
        self._pins, self._lines = pins, lines

    def lit(self) -> tuple[bool, bool, bool]:
        """Which of the three are on now."""
        levels = self._pins.driven()
        ready, listening, fault = (levels[line] for line in self._lines)
        return ready, listening, fault

    def watch(self, seconds: float, every_s: float = 0.02) -> list[Sample]:
        """Look at them for a while."""
        begun = time.monotonic()
        seen = []
        while (now := time.monotonic() - begun) < seconds:
            seen.append(Sample(now, self.lit()))
            time.sleep(every_s)
        return seen


def _find(qmp: QMP) -> str:
    for child in qmp.command("qom-list", path="/machine/unattached"):
        if child["type"] == "child<pl061>":
            return f"/machine/unattached/{child['name']}"
    raise LinkError("this QEMU's virt machine has no PL061; use Debian 12's qemu-system-arm")
