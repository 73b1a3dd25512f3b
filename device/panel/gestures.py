"""What a press of the one button means: talk, cancel, delete, switch off.

Pure: it is fed with moments and levels, so it knows neither pins nor clocks.

>>> gestures = Gestures("hold", debounce=0.02, double_tap=0.4, shutdown_press=5.0)
>>> [gestures.feed(0.0, True), gestures.tick(0.02), gestures.feed(3.0, False), gestures.tick(3.02)]
[[], [<Gesture.BEGIN: 'begin'>], [], [<Gesture.END: 'end'>]]
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

TAP_S = 0.25
"""A shorter press is a tap. In hold mode a tap dictates nothing."""

STUCK_S = 60.0
"""Held for this long after it would have switched off, a button is stuck: letting it go means nothing any more."""


class Gesture(Enum):
    """What the user asks for."""

    BEGIN = "begin"
    """Listen."""
    END = "end"
    """Stop listening and type what was said."""
    CANCEL = "cancel"
    """Stop listening and forget what was said: it was the first half of another gesture."""
    DELETE = "delete"
    """Delete the last dictation."""
    ARM = "arm"
    """Letting the button go now switches off: show it."""
    DISARM = "disarm"
    """Something was said after all, or the button is stuck; letting go no longer switches off."""
    SHUTDOWN = "shutdown"
    """Switch off safely, unless words are found in what was said so far: a machine that is behind finds them late."""


class Gestures:
    """Recognises gestures in the levels of one button. Times are in seconds of any monotonic clock.

    A level counts once it has stood for `debounce`. A talk begins with the press: waiting to see what it will
    become would cut the first word. Two presses that begin within `double_tap`, both taps, delete.

    Holding the button is also how one talks, so a press of `shutdown_press` switches off only if nothing was
    said in it (`speech_detected` was not called), and only when it is let go within STUCK_S: a stuck button does
    nothing, neither while it is stuck nor when it comes free.
    """

    def __init__(
        self, mode: Literal["hold", "toggle"], debounce: float, double_tap: float, shutdown_press: float
    ) -> None:
        self._mode = mode
        self._debounce, self._double_tap, self._shutdown_press = debounce, double_tap, shutdown_press
        self._raw, self._raw_since = False, 0.0
        self._pressed, self._since = False, 0.0
        self._last_tap: float | None = None
        self._listening = False
        self._armed = False
        self._heard = False
        self._undecided = False

    def feed(self, now: float, pressed: bool) -> list[Gesture]:
        """Take a level of the pin, as often as wanted and at least at every change."""
        found = self.tick(now)
        if pressed != self._raw:
            self._raw, self._raw_since = pressed, now
        return found + self.tick(now)

    def tick(self, now: float) -> list[Gesture]:
        """Let time pass, at least whenever `deadline` is reached."""
        found: list[Gesture] = []
        if self._raw != self._pressed and now >= self._raw_since + self._debounce:
            self._pressed = self._raw
            found += self._press(self._raw_since) if self._pressed else self._release(self._raw_since)
        holds = self._pressed and self._raw and not self._heard
        if holds and not self._armed and now >= self._since + self._shutdown_press:
            self._armed = True
            found.append(Gesture.ARM)
        if holds and self._armed and now >= self._since + self._shutdown_press + STUCK_S:
            found += self.speech_detected()
        return found

    @property
    def deadline(self) -> float | None:
        """When `tick` is due; None when only a change of level can mean something."""
        if self._raw != self._pressed:
            return self._raw_since + self._debounce
        if self._pressed and not self._heard:
            return self._since + self._shutdown_press + (STUCK_S if self._armed else 0.0)
        return None

    def speech_detected(self) -> list[Gesture]:
        """Note that words were recognised: the press is a talk, however long it lasts."""
        was_armed, self._armed = self._armed, False
        self._heard = True
        return [Gesture.DISARM] if was_armed else []

    def started(self) -> None:
        """Note that listening began, whatever `stopped` said since the press: finishing the last utterance may fail."""
        self._listening = True

    def stopped(self) -> None:
        """Note that listening ended or never began, for another reason than the button."""
        self._listening = False

    def _press(self, now: float) -> list[Gesture]:
        self._since, self._heard, self._armed, self._undecided = now, False, False, False
        if self._mode == "hold" or not self._listening:
            self._listening = True
            return [Gesture.BEGIN]
        if self._follows_tap(now):
            self._undecided = True
            return []
        self._listening = False
        return [Gesture.END]

    def _release(self, now: float) -> list[Gesture]:
        tap = now - self._since < TAP_S
        if self._armed:
            self._armed, self._last_tap = False, None
            was, self._listening = self._listening, False
            return [*([Gesture.END] if was else []), Gesture.SHUTDOWN]
        if tap and self._follows_tap(self._since):
            self._last_tap = None
            return [*self._cancel(), Gesture.DELETE]
        self._last_tap = self._since if tap else None
        if not self._listening or (self._mode == "toggle" and not self._undecided):
            return []
        self._listening = False
        return [Gesture.CANCEL if tap else Gesture.END]

    def _follows_tap(self, press: float) -> bool:
        return self._last_tap is not None and press - self._last_tap <= self._double_tap

    def _cancel(self) -> list[Gesture]:
        was, self._listening = self._listening, False
        return [Gesture.CANCEL] if was else []
