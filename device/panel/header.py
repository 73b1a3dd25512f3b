"""Which pin of the 40-pin header goes where: a table made from the panel's settings.

>>> from device.config.schema import PanelSettings
>>> for wire in wires(PanelSettings())[:2]:
...     print(wire)
button signal    pin 11  GPIO 17
button ground    pin  9  GND
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from device.config.schema import PanelSettings

HEADER = (
    "3.3 V", "5 V", "GPIO 2", "5 V", "GPIO 3", "GND", "GPIO 4", "GPIO 14", "GND", "GPIO 15",
    "GPIO 17", "GPIO 18", "GPIO 27", "GND", "GPIO 22", "GPIO 23", "3.3 V", "GPIO 24", "GPIO 10", "GND",
    "GPIO 9", "GPIO 25", "GPIO 11", "GPIO 8", "GND", "GPIO 7", "GPIO 0", "GPIO 1", "GPIO 5", "GND",
    "GPIO 6", "GPIO 12", "GPIO 13", "GND", "GPIO 19", "GPIO 16", "GPIO 26", "GPIO 20", "GND", "GPIO 21",
)  # fmt: skip
"""Pins 1 to 40 of the header J8 (raspberrypi.com/documentation/computers/raspberry-pi.html#gpio)."""

TAKEN = {0: "reads the EEPROM of add-on boards", 1: "reads the EEPROM of add-on boards", 2: "is SDA, for the meter",
         3: "is SCL, for the meter", 14: "is the serial console", 15: "is the serial console"}  # fmt: skip
"""What else GPIOs are for."""

THREE = (("ready", "green"), ("listening", "yellow"), ("fault", "red"))
RGB = (("red", "red"), ("green", "green"), ("blue", "blue"))
RESISTOR_OHM = 330
"""In front of each LED: 4.5 mA at most through an LED that drops 1.8 V, where a pin may give 16 mA and all of them
50 mA (raspberrypi/documentation, power-supplies.adoc)."""


@dataclass(frozen=True, slots=True)
class Wire:
    """One wire from the header: part and terminal, number of the pin on the header, colour, what is between."""

    part: str
    terminal: str
    pin: int
    colour: str
    through: str = ""

    @property
    def name(self) -> str:
        """What the pin is called."""
        return name_of(self.pin)

    def __str__(self) -> str:
        through = f"  through {self.through}" if self.through else ""
        return f"{self.part:6} {self.terminal:9} pin {self.pin:2}  {self.name}{through}"


def name_of(pin: int) -> str:
    """The name of a pin of the header, 1 to 40.

    >>> name_of(11), name_of(6)
    ('GPIO 17', 'GND')
    """
    return HEADER[pin - 1]


def pin_of(bcm: int) -> int:
    """The pin of the header that has the GPIO with this BCM number, 0 to 27.

    >>> pin_of(17)
    11
    """
    return HEADER.index(f"GPIO {bcm}") + 1


def wires(panel: PanelSettings) -> tuple[Wire, ...]:
    """Every wire of the button, the LEDs that `panel` has, and a meter where its pins are free."""
    return (*_button(panel), *_led_wires(panel), *_meter(panel))


def clashes(panel: PanelSettings) -> list[str]:
    """What is wrong with the pins of `panel`, a line each: used twice, or used by the board for something else."""
    pins = [panel.button_pin, *(panel.leds.pins if panel.leds.kind != "none" else ())]
    twice = [f"GPIO {bcm} is used {count} times" for bcm, count in Counter(pins).items() if count > 1]
    return twice + [f"GPIO {bcm} {TAKEN[bcm]}" for bcm in dict.fromkeys(pins) if bcm in TAKEN]


def leds(panel: PanelSettings) -> tuple[tuple[str, str], ...]:
    """Name and colour of each LED, in the order of `panel.leds.pins`."""
    return {"three": THREE, "rgb": RGB, "none": ()}[panel.leds.kind]


def _button(panel: PanelSettings) -> Iterator[Wire]:
    signal = pin_of(panel.button_pin)
    yield Wire("button", "signal", signal, "blue")
    if panel.pull_up:
        yield Wire("button", "ground", _nearest(signal, "GND", range(1, 40, 2)), "black")
    else:
        yield Wire("button", "3.3 V", _nearest(signal, "3.3 V", range(1, 40)), "crimson")


def _led_wires(panel: PanelSettings) -> Iterator[Wire]:
    named = leds(panel)
    signals = [pin_of(bcm) for bcm in panel.leds.pins]
    for (name, colour), pin in zip(named, signals, strict=False):
        yield Wire("LED", name, pin, colour, f"{RESISTOR_OHM} Ω")
    if named and panel.leds.active_high:
        yield Wire("LED", "cathodes", _ground_for(signals), "black")
    elif named:
        yield Wire("LED", "anodes", 17, "crimson")


def _meter(panel: PanelSettings) -> Iterator[Wire]:
    if {panel.button_pin, *panel.leds.pins} & {2, 3}:
        return
    yield Wire("INA219", "VCC", 1, "crimson")
    yield Wire("INA219", "SDA", pin_of(2), "purple")
    yield Wire("INA219", "SCL", pin_of(3), "teal")
    yield Wire("INA219", "GND", 6, "black")


def _nearest(pin: int, name: str, among: Iterable[int]) -> int:
    return min((other for other in among if name_of(other) == name), key=lambda other: abs(other - pin))


def _ground_for(signals: list[int]) -> int:
    """A ground of the outer row above all of the LEDs' pins if there is one, so that its wire crosses none."""
    grounds = [pin for pin in (14, 20, 30, 34) if not min(signals) < pin < max(signals) + 1]
    above = [pin for pin in grounds if pin < min(signals)]
    return above[-1] if above else grounds[0] if grounds else 34
