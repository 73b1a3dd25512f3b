"""What the power log says: watts by state, energy per dictated minute and per word, hours left.

>>> report = summarise([
...     Sample(0.0, 10.0, "ready", watts=2.0, percent=60.0),
...     Sample(10.0, 10.0, "listening", watts=4.0, percent=60.0, speech_s=10.0, words=20),
... ])
>>> report.joules, report.joules_per_word, [row.state for row in report.states]
(60.0, 2.0, ['ready', 'listening'])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from device.power.log import Sample
from models.errors import UserError

ORDER = ("starting", "ready", "listening", "finalizing", "fault")
"""States in the order in which they are reported; others follow."""

DICTATING = ("listening", "finalizing")
"""The states that dictation costs."""


@dataclass(frozen=True, slots=True)
class StateRow:
    """What was drawn in one state."""

    state: str
    seconds: float
    """Time in the state, measured or not."""
    watts: float | None
    """Mean over the measured time."""
    joules: float


@dataclass(frozen=True, slots=True)
class PowerReport:
    """A summary of samples; None is what they do not tell."""

    states: Sequence[StateRow]
    speech_s: float
    words: int
    joules: float
    """Measured in all states."""
    dictation_joules: float
    """Measured while listening and finalizing."""
    percent: float | None
    """The last charge seen."""
    throttled: int
    """Every flag that was ever up."""
    hottest: float | None

    @property
    def seconds(self) -> float:
        """Time that the samples span."""
        return sum(row.seconds for row in self.states)

    @property
    def watts(self) -> float | None:
        """Mean over all states, weighted by the time spent in each."""
        known = [(row.watts, row.seconds) for row in self.states if row.watts is not None]
        time = sum(seconds for _, seconds in known)
        return sum(watts * seconds for watts, seconds in known) / time if time else None

    @property
    def joules_per_minute(self) -> float | None:
        """Energy of listening and finalizing for each minute dictated."""
        return 60 * self.dictation_joules / self.speech_s if self.speech_s and self.dictation_joules else None

    @property
    def joules_per_word(self) -> float | None:
        """Energy of listening and finalizing for each word."""
        return self.dictation_joules / self.words if self.words and self.dictation_joules else None

    def hours_left(self, battery_wh: float) -> float | None:
        """How long a battery of `battery_wh`, charged as last seen, lasts if used as in these samples."""
        if self.percent is None or not self.watts:
            return None
        return battery_wh * self.percent / 100 / self.watts


def summarise(samples: Iterable[Sample]) -> PowerReport:
    """Add up `samples`: each was drawn at its own watts for its own seconds."""
    seconds: dict[str, float] = {}
    measured: dict[str, float] = {}
    joules: dict[str, float] = {}
    speech_s, words, throttled = 0.0, 0, 0
    percent: float | None = None
    hottest: float | None = None
    for sample in samples:
        state = sample.state
        seconds[state] = seconds.get(state, 0.0) + sample.seconds
        if sample.watts is not None and sample.watts >= 0:  # older logs have current flowing in as watts below 0
            measured[state] = measured.get(state, 0.0) + sample.seconds
            joules[state] = joules.get(state, 0.0) + sample.watts * sample.seconds
        speech_s += sample.speech_s
        words += sample.words
        throttled |= sample.throttled or 0
        percent = percent if sample.percent is None else sample.percent
        if sample.celsius is not None:
            hottest = max(sample.celsius, hottest if hottest is not None else sample.celsius)
    rows = [
        StateRow(
            state,
            seconds[state],
            joules[state] / measured[state] if measured.get(state) else None,
            joules.get(state, 0.0),
        )
        for state in sorted(seconds, key=lambda s: (ORDER.index(s) if s in ORDER else len(ORDER), s))
    ]
    dictation = sum(joules.get(state, 0.0) for state in DICTATING)
    return PowerReport(rows, speech_s, words, sum(joules.values()), dictation, percent, throttled, hottest)


def table(report: PowerReport, today: PowerReport, battery_wh: float) -> str:
    """`report` as text, with the hours left at the use of `today`."""
    lines = [f"{'state':<10} {'time':>9} {'watts':>7} {'energy':>10}"]
    for row in report.states:
        lines.append(
            f"{row.state:<10} {_duration(row.seconds):>9} {_number(row.watts, '7.2f')} {row.joules / 3_600:>7.3f} Wh"
        )
    lines.append(
        f"{'all':<10} {_duration(report.seconds):>9} {_number(report.watts, '7.2f')} {report.joules / 3_600:>7.3f} Wh"
    )
    left = today.hours_left(battery_wh)
    lines += [
        "",
        f"dictated             {_duration(report.speech_s)}, {report.words} words",
        f"per dictated minute  {_number(report.joules_per_minute, '.1f').strip()} J (listening and finalizing)",
        f"per word             {_number(report.joules_per_word, '.2f').strip()} J",
        f"battery              {_number(report.percent, '.0f').strip()} % of {battery_wh:g} Wh",
        f"left                 {_number(left, '.1f').strip()} h at today's use "
        f"({_number(today.watts, '.2f').strip()} W)",
        f"hottest              {_number(report.hottest, '.1f').strip()} °C",
        f"throttling           {throttling(report.throttled)}",
    ]
    return "\n".join(lines)


def throttling(flags: int) -> str:
    """The firmware's flags in words (Raspberry Pi documentation, vcgencmd get_throttled).

    >>> throttling(0x50001)
    'under-voltage (now), throttled (before), under-voltage (before)'
    """
    names = ("under-voltage", "clock capped", "throttled", "too hot")
    now = [f"{name} (now)" for bit, name in enumerate(names) if flags >> bit & 1]
    before = [f"{name} (before)" for bit, name in enumerate(names) if flags >> (16 + bit) & 1]
    return ", ".join(now + sorted(before)) or "none"


def _number(value: float | None, form: str) -> str:
    return format(value, form) if value is not None else f"{'?':>{form.partition('.')[0] or 1}}"


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3_600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


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


def hours(report: PowerReport, battery_wh: float, duty: float) -> Life:
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


def _mean(report: PowerReport, states: Iterable[str]) -> tuple[float, float]:
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
