"""Checks of the button and the LEDs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import Empty, SimpleQueue

from gpiozero.pins import Factory

from device.config import schema
from device.diagnostics.check import Check, CheckState, Operator
from device.panel import leds
from device.panel.gpio import Panel, PanelError, pin_factory


def panel_checks(
    settings: schema.PanelSettings,
    operator: Operator | None,
    pins: Callable[[schema.PanelSettings], Factory] = pin_factory,
    seconds: float = 10.0,
) -> Iterator[Check]:
    """Whether the pins can be used; with an operator, lights each LED and waits for a press."""
    if not settings.enabled:
        yield Check("panel", CheckState.NOTE, "panel.enabled = false")
        return
    edges: SimpleQueue[bool] = SimpleQueue()
    try:
        with ExitStack() as stack:
            factory = pins(settings)
            stack.callback(factory.close)
            panel = stack.enter_context(Panel(settings, factory, lambda now, pressed: edges.put(pressed)))
            yield _resting(settings, panel.pressed)
            if operator:
                yield from _leds(settings, panel, operator)
                yield _press(settings, edges, operator, seconds)
    except PanelError as error:
        cause, _, advice = str(error).partition("; ")
        yield Check("pins", CheckState.BAD, cause, advice)


def _resting(settings: schema.PanelSettings, pressed: bool) -> Check:
    if not pressed:
        return Check("button", CheckState.GOOD, f"GPIO {settings.button_pin}, not pressed")
    advice = "let it go; otherwise check its wiring and panel.pull_up"
    return Check("button", CheckState.BAD, f"GPIO {settings.button_pin} reads as pressed", advice)


def _leds(settings: schema.PanelSettings, panel: Panel, operator: Operator) -> Iterator[Check]:
    if settings.leds.kind == "none":
        return
    for state in (leds.LedState.READY, leds.LedState.LISTENING, leds.LedState.FAULT):
        pattern = leds.PATTERNS[state]
        name = pattern.led.name.lower() if settings.leds.kind == "three" else pattern.colour.name.lower()
        panel.set_leds({state})
        if operator.agree(f"does the {name} LED light?"):
            yield Check(f"LED {name}", CheckState.GOOD, "lights")
        else:
            pins = ", ".join(map(str, settings.leds.pins))
            advice = f"check the wiring of GPIO {pins}, panel.leds.kind and panel.leds.active_high"
            yield Check(f"LED {name}", CheckState.BAD, "stays dark", advice)


def _press(settings: schema.PanelSettings, edges: SimpleQueue[bool], operator: Operator, seconds: float) -> Check:
    operator.tell(f"press the button and let it go, within {seconds:.0f} seconds")
    end = time.monotonic() + seconds
    seen: list[bool] = []
    while seen[-2:] != [True, False]:
        try:
            seen.append(edges.get(timeout=max(0.0, end - time.monotonic())))
        except Empty:
            advice = f"wire it between GPIO {settings.button_pin} and {'ground' if settings.pull_up else '3.3 V'}"
            return Check("press", CheckState.BAD, "not noticed", advice)
    return Check("press", CheckState.GOOD, f"noticed, with {len(seen) - 2} bounces" if len(seen) > 2 else "noticed")
