"""The button and the LEDs on GPIO pins, by gpiozero.

from queue import Queue
from gpiozero.pins.lgpio import LGPIOFactory

with Panel(config.panel, LGPIOFactory(chip=0), on_edge=lambda now, pressed: print(now, pressed)) as panel:
    panel.show({LedState.READY})
    input("press the button, then Enter")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from threading import Condition, Thread
from types import TracebackType
from typing import Self

import gpiozero
from gpiozero.pins import Factory
from gpiozero.pins.mock import MockFactory

from device.config import schema
from device.panel.gestures import Gestures
from device.panel.leds import DARK, Frame, Kind, LedState, frame, next_change
from models.errors import UserError


class PanelError(UserError):
    """The pins cannot be used; the message names the cause and what to do."""


def pin_factory(panel: schema.PanelSettings) -> Factory:
    """The pins that `panel` names: lgpio on /dev/gpiochipN, or gpiozero's mock pins. Raises PanelError."""
    if panel.pins == "mock":
        return MockFactory()
    try:
        from gpiozero.pins.lgpio import LGPIOFactory  # needs a Linux with GPIO, so not at the top

        return LGPIOFactory(chip=panel.chip)
    except Exception as error:  # lgpio raises its own kinds, gpiozero others
        raise PanelError(
            f"/dev/gpiochip{panel.chip}: {error}; check panel.chip, and that this user is in group gpio "
            "(or set panel.enabled = false)"
        ) from error


def gestures_from(panel: schema.PanelSettings) -> Gestures:
    """The gestures of the button that `panel` configures."""
    return Gestures(panel.mode, panel.debounce_ms / 1_000, panel.double_tap_ms / 1_000, panel.shutdown_press_s)


class Panel:
    """Reports every edge of the button, bounces included, and blinks the LEDs from a thread of its own.

    `on_edge` is called with the time (`clock`) and whether the button is down, in a thread of the pin
    factory; `Gestures` makes sense of it. Raises PanelError if a pin cannot be used.
    """

    def __init__(
        self,
        settings: schema.PanelSettings,
        factory: Factory,
        on_edge: Callable[[float, bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._kind: Kind | None = settings.leds.kind if settings.leds.kind != "none" else None
        try:
            self._button = gpiozero.Button(
                settings.button_pin, pull_up=settings.pull_up, bounce_time=None, pin_factory=factory
            )
            self._leds = (
                gpiozero.LEDBoard(*settings.leds.pins, active_high=settings.leds.active_high, pin_factory=factory)
                if self._kind
                else None
            )
        except Exception as error:  # gpiozero passes on what its pin factory raises
            raise PanelError(
                f"GPIO {settings.button_pin}, {settings.leds.pins}: {error}; is another program using them?"
            ) from error
        self._button.when_pressed = lambda: on_edge(clock(), True)
        self._button.when_released = lambda: on_edge(clock(), False)
        self._states: frozenset[LedState] = frozenset()
        self._since = clock()
        self._closed = False
        self._changed = Condition()
        self._thread = Thread(target=self._blink, name="leds", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pressed(self) -> bool:
        """Whether the button is down now."""
        return bool(self._button.is_pressed)

    def set_leds(self, states: Collection[LedState]) -> None:
        """Show `states`, all that hold, from now on; never waits."""
        with self._changed:
            if frozenset(states) != self._states:
                self._states, self._since = frozenset(states), self._clock()
                self._changed.notify()

    def close(self) -> None:
        """Put the LEDs out and let the pins go."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        if self._leds is not None:
            self._leds.close()
        self._button.pin.when_changed = None  # gpiozero's lgpio pin would keep its callback
        self._button.close()

    def _blink(self) -> None:
        with self._changed:
            while not self._closed:
                now = self._clock() - self._since
                self._light(frame(self._states, now, self._kind) if self._kind else DARK)
                change = next_change(self._states, now) if self._kind else None
                self._changed.wait(None if change is None else max(0.0, change - now))
            self._light(DARK)

    def _light(self, lit: Frame) -> None:
        if self._leds is not None:
            self._leds.value = tuple(map(int, lit))
