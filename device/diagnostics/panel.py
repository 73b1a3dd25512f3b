"""Checks of the button and the LEDs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from queue import Empty, SimpleQueue

from gpiozero.pins import Factory

from device.config import schema
from device.diagnostics.check import Check, Patient, State
from device.panel import leds
from device.panel.gpio import Panel, PanelError, pin_factory


def panel_checks(
    settings: schema.Panel,
    patient: Patient | None,
    pins: Callable[[schema.Panel], Factory] = pin_factory,
    seconds: float = 10.0,
) -> Iterator[Check]:
    """Whether the pins can be used; with a patient, lights each lamp and waits for a press."""
    if not settings.enabled:
        yield Check("panel", State.NOTE, "panel.enabled = false")
        return
    edges: SimpleQueue[bool] = SimpleQueue()
    try:
        with ExitStack() as stack:
            factory = pins(settings)
            stack.callback(factory.close)
            panel = stack.enter_context(Panel(settings, factory, lambda now, pressed: edges.put(pressed)))
            yield _resting(settings, panel.pressed)
            if patient:
                yield from _lamps(settings, panel, patient)
                yield _press(settings, edges, patient, seconds)
    except PanelError as error:
        cause, _, advice = str(error).partition("; ")
        yield Check("pins", State.BAD, cause, advice)


def _resting(settings: schema.Panel, pressed: bool) -> Check:
    if not pressed:
        return Check("button", State.GOOD, f"GPIO {settings.button_pin}, not pressed")
    advice = "let it go; otherwise check its wiring and panel.pull_up"
    return Check("button", State.BAD, f"GPIO {settings.button_pin} reads as pressed", advice)


def _lamps(settings: schema.Panel, panel: Panel, patient: Patient) -> Iterator[Check]:
    if settings.leds.kind == "none":
        return
    for state in (leds.State.READY, leds.State.LISTENING, leds.State.FAULT):
        pattern = leds.PATTERNS[state]
        name = pattern.lamp.name.lower() if settings.leds.kind == "three" else pattern.colour.name.lower()
        panel.show({state})
        if patient.agree(f"does the {name} lamp light?"):
            yield Check(f"lamp {name}", State.GOOD, "lights")
        else:
            pins = ", ".join(map(str, settings.leds.pins))
            advice = f"check the wiring of GPIO {pins}, panel.leds.kind and panel.leds.active_high"
            yield Check(f"lamp {name}", State.BAD, "stays dark", advice)


def _press(settings: schema.Panel, edges: SimpleQueue[bool], patient: Patient, seconds: float) -> Check:
    patient.tell(f"press the button and let it go, within {seconds:.0f} seconds")
    end = time.monotonic() + seconds
    seen: list[bool] = []
    while seen[-2:] != [True, False]:
        try:
            seen.append(edges.get(timeout=max(0.0, end - time.monotonic())))
        except Empty:
            advice = f"wire it between GPIO {settings.button_pin} and {'ground' if settings.pull_up else '3.3 V'}"
            return Check("press", State.BAD, "not noticed", advice)
    return Check("press", State.GOOD, f"noticed, with {len(seen) - 2} bounces" if len(seen) > 2 else "noticed")
