"""What the LEDs say: one table from the appliance's state to LED, colour and rhythm.

Three LEDs show what the appliance does (ready, listening) and, beside it, the worst thing wrong (fault). One
RGB LED shows both in turn. The picture in the README is drawn from the same table (`dictate leds --svg`).

>>> frame({LedState.READY, LedState.ON_CPU}, 0.0, "three")
(True, False, True)
>>> frame({LedState.READY}, 0.0, "rgb")
(False, True, False)
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum
from typing import Literal

Kind = Literal["three", "rgb"]
"""What is wired: LEDs for ready, listening and fault, or the red, green and blue of one."""

Frame = tuple[bool, bool, bool]
"""Which of the three outputs are on."""

DARK: Frame = (False, False, False)


class LedState(Enum):
    """What the LEDs can tell."""

    STARTING = "starting"
    READY = "ready"
    LISTENING = "listening"
    FINALIZING = "finalizing"
    RELEASE_TO_SWITCH_OFF = "let go to switch off"
    CANNOT_TYPE = "cannot type"
    ON_CPU = "running on CPU instead of Coral"
    CONFIGURATION = "mistake on the card"
    MICROPHONE_MISSING = "microphone missing"
    BATTERY_LOW = "battery low"
    FAULT = "fault"


class Led(Enum):
    """One of the three LEDs; its value is the place in a `Frame`."""

    READY = 0
    LISTENING = 1
    FAULT = 2


class Colour(Enum):
    """A colour of the RGB LED; its value is the `Frame`."""

    RED = (True, False, False)
    GREEN = (False, True, False)
    BLUE = (False, False, True)
    YELLOW = (True, True, False)
    MAGENTA = (True, False, True)
    WHITE = (True, True, True)


@dataclass(frozen=True, slots=True)
class Pattern:
    """How a state is shown. `rhythm` is ms on, off, on, off …, repeated; one number is steady light."""

    led: Led
    colour: Colour
    rhythm: tuple[int, ...]
    wrong: bool
    """Something is wrong: shown beside what the appliance does. Later rows of the table are worse."""
    meaning: str

    @property
    def period(self) -> float:
        """Seconds until the rhythm repeats."""
        return sum(self.rhythm) / 1_000

    def lit(self, now: float) -> bool:
        """Whether the LED is on at `now`, in seconds, to the nearest millisecond."""
        return self._place(now)[0] % 2 == 0

    def resting(self, now: float) -> bool:
        """Whether `now` is in the pause that ends the rhythm."""
        return len(self.rhythm) > 1 and self._place(now)[0] == len(self.rhythm) - 1

    def change(self, now: float) -> float | None:
        """When the light next changes; None if it never does."""
        return None if len(self.rhythm) == 1 else (round(now * 1_000) + self._place(now)[1]) / 1_000

    def _place(self, now: float) -> tuple[int, int]:
        left = round(now * 1_000) % sum(self.rhythm)
        for index, length in enumerate(self.rhythm):
            if left < length:
                return index, length - left
            left -= length
        raise AssertionError("the remainder is less than the sum")


STEADY = (1_000,)
SLOW = (500, 500)
FAST = (100, 100)


def flashes(count: int) -> tuple[int, ...]:
    """The rhythm of `count` short flashes and a pause, to be counted.

    >>> flashes(2)
    (150, 200, 150, 1500)
    """
    return (150, 200) * (count - 1) + (150, 1_500)


PATTERNS: dict[LedState, Pattern] = {
    LedState.STARTING: Pattern(Led.READY, Colour.GREEN, SLOW, False, "Loading the model; wait."),
    LedState.READY: Pattern(Led.READY, Colour.GREEN, STEADY, False, "Press and speak."),
    LedState.LISTENING: Pattern(Led.LISTENING, Colour.BLUE, STEADY, False, "It hears you."),
    LedState.FINALIZING: Pattern(Led.LISTENING, Colour.BLUE, FAST, False, "Finding the last words."),
    LedState.RELEASE_TO_SWITCH_OFF: Pattern(
        Led.READY, Colour.WHITE, FAST, False, "Let go now and it switches off; speak and it stays on."
    ),
    LedState.ON_CPU: Pattern(Led.FAULT, Colour.MAGENTA, flashes(1), True, "The Coral does not work; slower without."),
    LedState.CONFIGURATION: Pattern(
        Led.FAULT,
        Colour.YELLOW,
        flashes(5),
        True,
        "Part of dictation.toml, or an update, was not taken.",
    ),
    LedState.CANNOT_TYPE: Pattern(
        Led.FAULT,
        Colour.YELLOW,
        flashes(2),
        True,
        "The computer takes no keys; the journal has the text.",
    ),
    LedState.BATTERY_LOW: Pattern(Led.FAULT, Colour.YELLOW, flashes(3), True, "Charge it soon."),
    LedState.MICROPHONE_MISSING: Pattern(Led.FAULT, Colour.RED, flashes(4), True, "Plug the microphone in."),
    LedState.FAULT: Pattern(Led.FAULT, Colour.RED, STEADY, True, "It cannot work; `dictate doctor` says why."),
}
"""The table. The last activity in it, and the last thing wrong in it, are the ones shown."""


def shown(states: Collection[LedState]) -> list[Pattern]:
    """The activity and the worst thing wrong of `states`: at most one of each, the activity first."""
    activity = [p for state, p in PATTERNS.items() if state in states and not p.wrong]
    wrong = [p for state, p in PATTERNS.items() if state in states and p.wrong]
    return activity[-1:] + wrong[-1:]


def frame(states: Collection[LedState], now: float, kind: Kind) -> Frame:
    """Which outputs are on at `now` seconds.

    The RGB LED flashes what is wrong and shows the activity in the pause between.
    """
    patterns = shown(states)
    if kind == "three":
        on = {pattern.led for pattern in patterns if pattern.lit(now)}
        return (Led.READY in on, Led.LISTENING in on, Led.FAULT in on)
    for pattern in reversed(patterns):
        if pattern.lit(now):
            return pattern.colour.value
        if not pattern.resting(now) or pattern is patterns[0]:
            return DARK
    return DARK


def next_change(states: Collection[LedState], now: float) -> float | None:
    """When the frame may next change; None if it stays."""
    changes = [change for pattern in shown(states) if (change := pattern.change(now)) is not None]
    return min(changes, default=None)
