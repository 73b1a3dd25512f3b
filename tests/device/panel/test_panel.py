"""The panel on gpiozero's mock pins, pressed by a finger that has a clock of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from queue import Queue

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from device.config.schema import LedSettings
from device.config.schema import PanelSettings as Settings
from device.panel.gestures import Gesture
from device.panel.gpio import Panel, PanelError, gestures_from, pin_factory
from device.panel.leds import LedState

SETTINGS = Settings(pins="mock", double_tap_ms=300, shutdown_press_s=2.0)


@pytest.fixture
def factory() -> Iterator[MockFactory]:
    factory = pin_factory(SETTINGS)
    yield factory
    factory.close()


class Finger:
    """Presses as a contact does, closing and opening a few times within some milliseconds; its clock is the panel's."""

    def __init__(self, pin: MockPin, bounces: int = 3) -> None:
        self.now = 100.0
        self._pin, self._bounces = pin, bounces

    def press(self, seconds: float) -> None:
        self._bounce(self._pin.drive_low, self._pin.drive_high)
        self.now += seconds
        self._bounce(self._pin.drive_high, self._pin.drive_low)

    def _bounce(self, action: Callable[[], None], back: Callable[[], None]) -> None:
        for _ in range(self._bounces):
            for step in (action, back):
                step()
                self.now += 0.001
        action()


@pytest.mark.parametrize(
    ("mode", "holds", "expected"),
    [
        ("hold", [0.5], [Gesture.BEGIN, Gesture.END]),
        (
            "hold",
            [0.08, 0.08],
            [Gesture.BEGIN, Gesture.CANCEL, Gesture.BEGIN, Gesture.CANCEL, Gesture.DELETE],
        ),
        ("toggle", [0.08], [Gesture.BEGIN]),
        ("hold", [2.2], [Gesture.BEGIN, Gesture.ARM, Gesture.END, Gesture.SHUTDOWN]),
    ],
)
def test_real_presses_are_recognised(
    factory: MockFactory, mode: str, holds: list[float], expected: list[Gesture]
) -> None:
    settings = replace(SETTINGS, mode=mode)
    edges: Queue[tuple[float, bool]] = Queue()
    finger = Finger(factory.pin(17))
    with Panel(settings, factory, lambda now, pressed: edges.put((now, pressed)), lambda: finger.now):
        for seconds in holds:
            finger.press(seconds)
            finger.now += 0.08
    assert edges.qsize() > 2 * len(holds), "the pin bounced"
    assert replay(edges, settings) == expected


def replay(edges: Queue[tuple[float, bool]], settings: Settings) -> list[Gesture]:
    """The gestures of edges that were recorded with their times."""
    gestures, found = gestures_from(settings), []
    while not edges.empty():
        now, pressed = edges.get()
        while (due := gestures.deadline) is not None and due < now:
            found += gestures.tick(due)
        found += gestures.feed(now, pressed)
    return found + gestures.tick(now + 1)


def test_a_button_to_3_volts(factory: MockFactory) -> None:
    edges: Queue[tuple[float, bool]] = Queue()
    with Panel(replace(SETTINGS, pull_up=False), factory, lambda now, pressed: edges.put((now, pressed))):
        factory.pin(17).drive_high()
        factory.pin(17).drive_low()
    assert [edges.get()[1], edges.get()[1]] == [True, False]


def outputs(factory: MockFactory) -> tuple[bool, ...]:
    return tuple(bool(factory.pin(pin).state) for pin in (22, 23, 24))


def wait_for(factory: MockFactory, wanted: tuple[bool, ...]) -> None:
    end = time.monotonic() + 30
    while outputs(factory) != wanted and time.monotonic() < end:
        time.sleep(0.005)
    assert outputs(factory) == wanted


@pytest.mark.parametrize(
    ("leds", "state", "expected"),
    [
        (LedSettings(), LedState.READY, (1, 0, 0)),
        (LedSettings(), LedState.LISTENING, (0, 1, 0)),
        (LedSettings(), LedState.FAULT, (0, 0, 1)),
        (LedSettings(active_high=False), LedState.READY, (0, 1, 1)),
        (LedSettings(kind="rgb"), LedState.LISTENING, (0, 0, 1)),
        (LedSettings(kind="rgb", active_high=False), LedState.READY, (1, 0, 1)),
    ],
)
def test_leds_follow_the_state(
    factory: MockFactory, leds: LedSettings, state: LedState, expected: tuple[int, ...]
) -> None:
    with Panel(replace(SETTINGS, leds=leds), factory, lambda now, pressed: None) as panel:
        panel.set_leds({state})
        wait_for(factory, tuple(map(bool, expected)))


def test_a_led_blinks_in_its_rhythm(factory: MockFactory) -> None:
    with Panel(SETTINGS, factory, lambda now, pressed: None) as panel:
        pin = factory.pin(22)
        pin.clear_states()
        panel.set_leds({LedState.STARTING})
        end = time.monotonic() + 30
        while len(pin.states) < 5 and time.monotonic() < end:
            time.sleep(0.01)
        shown = [bool(state.state) for state in pin.states]
    assert shown[-4:] in ([True, False] * 2, [False, True] * 2), "the rhythm is of test_leds.py"


def test_leds_are_put_out_and_pins_let_go(factory: MockFactory) -> None:
    for _ in range(2):
        with Panel(SETTINGS, factory, lambda now, pressed: None) as panel:
            panel.set_leds({LedState.FAULT})
            wait_for(factory, (False, False, True))


class LikeLgpio(MockPin):
    """gpiozero's lgpio pin cancels no callback when it is closed, which the mock pin does."""

    def close(self) -> None:
        pass


def test_no_edge_reaches_a_closed_panel() -> None:
    """After a reload it would go to a closed chip, and lgpio's only thread ends with the error: a dead button."""
    factory = MockFactory(pin_class=LikeLgpio)
    pin = factory.pin(SETTINGS.button_pin)
    with Panel(SETTINGS, factory, lambda now, pressed: None):
        assert pin.when_changed is not None
    assert pin._when_changed is None
    factory.close()


def test_without_leds_the_button_works(factory: MockFactory) -> None:
    edges: Queue[tuple[float, bool]] = Queue()
    settings = replace(SETTINGS, leds=LedSettings(kind="none"))
    with Panel(settings, factory, lambda now, pressed: edges.put((now, pressed))) as panel:
        panel.set_leds({LedState.READY})
        factory.pin(17).drive_low()
    assert edges.get()[1]


def test_a_pin_in_use_is_named(factory: MockFactory) -> None:
    with Panel(SETTINGS, factory, lambda now, pressed: None), pytest.raises(PanelError, match="GPIO 17"):
        Panel(SETTINGS, factory, lambda now, pressed: None)


def test_a_machine_without_gpio_is_named() -> None:
    with pytest.raises(PanelError, match=r"/dev/gpiochip9: .*group gpio"):
        pin_factory(Settings(chip=9))
