"""How long a battery would last: from watts that were measured, for a given share of the time spent dictating.

>>> from device.power_log import Sample
>>> log = [Sample(0.0, 300.0, "ready", watts=2.0), Sample(300.0, 120.0, "listening", watts=4.0, speech_s=100.0)]
>>> life = hours(summarise(log), battery_wh=10.0, duty=0.5)
>>> round(life.hours, 2), life.idle_watts, life.dictating_watts
(3.33, 2.0, 4.0)
>>> hours(summarise(log[:1]), battery_wh=10.0, duty=0.5)
Traceback (most recent call last):
device.battery.NotMeasured: no watts were measured while listening or thinking; dictate for a minute with a meter wired
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from device.power_report import DICTATING, Report, summarise
from models.errors import UserError

__all__ = ["Life", "NotMeasured", "hours", "summarise"]

IDLE = ("ready",)
ENOUGH_S = 60.0
"""Measured time in a state without which nothing is said about it."""


class NotMeasured(UserError):
    """Nothing, or too little, was measured; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Life:
    """Hours on one charge."""

    hours: float
    battery_wh: float
    duty: float
    """Share of the time spent dictating, 0 to 1."""
    idle_watts: float
    dictating_watts: float
    measured_s: float
    """Time over which the watts were measured."""

    def __str__(self) -> str:
        return (
            f"{self.hours:.1f} h from {self.battery_wh:g} Wh, dictating {100 * self.duty:.0f} % of the time: "
            f"computed from {self.dictating_watts:.2f} W dictating and {self.idle_watts:.2f} W waiting, "
            f"measured over {self.measured_s / 60:.0f} min"
        )


def hours(report: Report, battery_wh: float, duty: float) -> Life:
    """The battery's energy over the mean power: that of dictating for `duty` of the time, of waiting for the rest.

    Takes the whole capacity as usable and the voltage converter's loss as measured or left out, as the meter is wired.
    Raises NotMeasured, and never puts a number from elsewhere in the place of one that is missing.
    """
    if not 0 <= duty <= 1:
        raise NotMeasured(f"a duty of {duty:g}: must be between 0 and 1")
    if battery_wh <= 0:
        raise NotMeasured(f"a battery of {battery_wh:g} Wh: must be more than 0")
    dictating, while_dictating = _mean(report, DICTATING) if duty else (0.0, 0.0)
    idle, while_idle = _mean(report, IDLE) if duty < 1 else (0.0, 0.0)
    watts = duty * dictating + (1 - duty) * idle
    return Life(battery_wh / watts, battery_wh, duty, idle, dictating, while_dictating + while_idle)


def _mean(report: Report, states: Iterable[str]) -> tuple[float, float]:
    """Mean watts in `states` and the measured time in them."""
    rows = [row for row in report.states if row.state in states and row.watts]
    seconds = sum(row.joules / row.watts for row in rows if row.watts)
    named = " or ".join(states)
    if not seconds:
        todo = "dictate for a minute" if tuple(states) == DICTATING else "leave it waiting for a minute"
        raise NotMeasured(f"no watts were measured while {named}; {todo} with a meter wired")
    if seconds < ENOUGH_S:
        raise NotMeasured(f"only {seconds:.0f} s were measured while {named}, {ENOUGH_S:.0f} s are needed")
    return sum(row.joules for row in rows) / seconds, seconds
