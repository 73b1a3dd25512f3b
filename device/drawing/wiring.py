"""The wiring as a picture: the 40-pin header, and what is joined to it, drawn from the same table.

>>> from device.config.schema import PanelSettings
>>> svg(PanelSettings()).startswith("<svg")
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape

from device.config.schema import PanelSettings
from device.panel.header import RESISTOR_OHM, Wire, clashes, name_of, wires

Side = Literal["left", "right"]

WIDTH, HEIGHT, TOP, PITCH = 1_080, 700, 92, 28
CENTRE, CHIP, RADIUS = 540, 74, 9
PIN_X = {"left": CENTRE - 14, "right": CENTRE + 14}
EDGE_X = {"left": PIN_X["left"] - 16 - CHIP, "right": PIN_X["right"] + 16 + CHIP}
"""Where the names of the pins end and wires begin."""

PAINT = {"black": "#1c2430", "crimson": "#c81e3a", "blue": "#2463eb", "green": "#1f9d3a", "yellow": "#e0a800",
         "red": "#d92626", "purple": "#8b3fd1", "teal": "#0d8f8f"}  # fmt: skip
PIN_PAINT = {"GND": "#3a4452", "3.3 V": "#e88a97", "5 V": "#e0574f"}
GREY, PALE, INK = "#5b6675", "#f3f5f8", "#1c2430"
LED_X, RAIL_X, LED_PITCH = 770, 985, 74
METER = (60, 210)
BUTTON = (150, 92)
"""Left edge and width of the two boxes on the left."""


@dataclass(frozen=True, slots=True)
class WireEnd:
    """Where a wire arrives."""

    wire: Wire
    x: float
    y: float


def svg(panel: PanelSettings) -> str:
    """Draw the wires of `panel`: button and meter on the left, LEDs on the right."""
    table = wires(panel)
    button, leds, meter = ([w for w in table if w.part == part] for part in ("button", "LED", "INA219"))
    used = {wire.pin: wire for wire in table}
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="sans-serif" font-size="13" fill="{INK}">',
            "<title>Wiring of button, LEDs and power meter</title>",
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
            _text(CENTRE, 30, "Raspberry Pi, 40-pin header", "middle", 'font-weight="bold" font-size="16"'),
            _text(CENTRE, 50, "board flat before you, USB sockets towards you: the header is on the right", "middle",
                  f'font-size="12" fill="{GREY}"'),
            *_header(used),
            *_meter_box(meter),
            *_button_box(button),
            *_led_circuit(panel, leds),
            *_notes(panel),
            "</svg>",
            "",
        ]
    )  # fmt: skip


def _row_y(pin: int) -> float:
    return TOP + PITCH * ((pin - 1) // 2)


def _column(pin: int) -> Side:
    return "left" if pin % 2 else "right"


def _leaving_y(pin: int, side: Side) -> float:
    """The height at which a wire from `pin` reaches `side`: its row, or below it if it has to cross the header."""
    crossing = PITCH / 2 + (2.5 if side == "left" else -2.5)
    return _row_y(pin) + (0 if _column(pin) == side else crossing)


def _header(used: dict[int, Wire]) -> list[str]:
    shapes = [
        f'<rect x="{CENTRE - 30}" y="{TOP - 18}" width="60" height="{PITCH * 19 + 36}" rx="8" fill="#20262f"/>',
        _text(PIN_X["left"], TOP - 26, "pin 1", "middle", f'font-size="11" fill="{GREY}"'),
    ]
    for pin in range(1, 41):
        side, y, name = _column(pin), _row_y(pin), name_of(pin)
        x, wire = PIN_X[side], used.get(pin)
        fill = PIN_PAINT.get(name, "#d8b24a")
        shape = (
            f'<rect x="{x - RADIUS}" y="{y - RADIUS}" width="{2 * RADIUS}" height="{2 * RADIUS}" rx="2"'
            if pin == 1
            else f'<circle cx="{x}" cy="{y}" r="{RADIUS}"'
        )
        shapes.append(f'{shape} fill="{fill}" stroke="{"#ffffff" if wire else "none"}" stroke-width="2"/>')
        ink = "#ffffff" if name == "GND" else INK
        shapes.append(_text(x, y + 3.5, str(pin), "middle", f'font-size="10" fill="{ink}"'))
        left = min(EDGE_X[side], x + (16 if side == "right" else -16))
        style = f'fill="{PALE}" stroke="{PAINT[wire.colour]}" stroke-width="1.5"' if wire else f'fill="{PALE}"'
        shapes.append(f'<rect x="{left}" y="{y - 10}" width="{CHIP}" height="20" rx="4" {style}/>')
        weight = 'font-weight="bold"' if wire else f'fill="{GREY}"'
        shapes.append(_text(left + CHIP / 2, y + 4, name, "middle", f'font-size="11" {weight}'))
    return shapes


def _meter_box(meter: Sequence[Wire]) -> list[str]:
    if not meter:
        return []
    left, width = METER
    top, bottom = _row_y(1) - 22, _row_y(7) + 22
    middle = (top + bottom) / 2
    ends = [WireEnd(wire, left + width, _row_y(1) + PITCH * i) for i, wire in enumerate(meter)]
    return [
        f'<rect x="{left}" y="{top}" width="{width}" height="{bottom - top}" rx="10" fill="#eef4ff" stroke="{GREY}"/>',
        _text(left + 14, middle - 26, "INA219", "start", 'font-weight="bold"'),
        *(_text(left + 14, middle - 8 + 16 * i, words, "start", f'font-size="11" fill="{GREY}"')
          for i, words in enumerate(("power meter, optional", "VIN+ from the supply", "VIN− to the Pi's 5 V"))),
        *(_text(end.x - 10, end.y + 4, end.wire.terminal, "end", 'font-size="11"') for end in ends),
        *_cables(ends, "left"),
    ]  # fmt: skip


def _button_box(button: Sequence[Wire]) -> list[str]:
    left, width = BUTTON
    order = sorted(button, key=lambda wire: _leaving_y(wire.pin, "left"))
    first = max(_leaving_y(order[0].pin, "left"), _row_y(13))
    ends = [WireEnd(wire, left + width, first + 56 * i) for i, wire in enumerate(order)]
    top, middle, x = first - 26, first + 28, left + width - 30
    return [
        f'<rect x="{left - 90}" y="{top}" width="{width + 90}" height="108" rx="10" fill="#eef4ff" stroke="{GREY}"/>',
        _text(left - 76, middle - 2, "button", "start", 'font-weight="bold"'),
        _text(left - 76, middle + 16, "normally open", "start", f'font-size="11" fill="{GREY}"'),
        *(f'<path d="M{end.x} {end.y}H{x}V{end.y + (14 if i == 0 else -14)}" fill="none" stroke="{INK}" '
          'stroke-width="2"/>' for i, end in enumerate(ends)),
        *(f'<circle cx="{x}" cy="{y}" r="4" fill="#ffffff" stroke="{INK}" stroke-width="2"/>'
          for y in (middle - 12, middle + 12)),
        f'<path d="M{x - 14} {middle - 14}V{middle + 14}M{x - 14} {middle}H{x - 30}M{x - 30} {middle - 8}v16" '
        f'fill="none" stroke="{INK}" stroke-width="2"/>',
        *_cables(ends, "left"),
    ]  # fmt: skip


def _led_circuit(panel: PanelSettings, leds: Sequence[Wire]) -> list[str]:
    """Resistor and LED of each state, from the header to the wire that they share."""
    if not leds:
        return []
    *signals, shared = leds
    order = sorted(signals, key=lambda wire: _leaving_y(wire.pin, "right"))
    highest = _leaving_y(shared.pin, "right") + 52
    heights = _spread([_leaving_y(wire.pin, "right") for wire in order], LED_PITCH, highest)
    ends = [WireEnd(wire, LED_X, y) for wire, y in zip(order, heights, strict=True)]
    rail = PAINT[shared.colour]
    if panel.leds.kind == "rgb":
        caption = f"one RGB LED, common {'cathode' if panel.leds.active_high else 'anode'}"
    else:
        caption = f"three LEDs, the short leg towards {'ground' if panel.leds.active_high else 'the resistor'}"
    return [
        *([_rgb_body(heights)] if panel.leds.kind == "rgb" else []),
        _cable(f"{_start(shared.pin, 'right')}H{RAIL_X}V{heights[-1]}", rail),
        *_cables(ends, "right"),
        *(shape for end in ends for shape in _led(end, panel.leds.active_high)),
        _text(LED_X + 100, heights[-1] + 62, caption, "middle", f'font-size="12" fill="{GREY}"'),
    ]


def _rgb_body(heights: Sequence[float]) -> str:
    top, height = heights[0] - 42, heights[-1] - heights[0] + 84
    shape = f'<rect x="{LED_X + 72}" y="{top}" width="112" height="{height}" rx="40"'
    return f'{shape} fill="#eef4ff" stroke="{GREY}"/>'


def _led(end: WireEnd, lit_high: bool) -> list[str]:
    x, y, paint = end.x, end.y, PAINT[end.wire.colour]
    led = x + 116
    arrow = f"M{led} {y - 13}V{y + 13}L{led + 24} {y}Z" if lit_high else f"M{led + 24} {y - 13}V{y + 13}L{led} {y}Z"
    bar = led + 24 if lit_high else led
    return [
        f'<path d="M{x} {y}H{RAIL_X}" stroke="{INK}" stroke-width="2"/>',
        f'<rect x="{x}" y="{y - 8}" width="52" height="16" fill="#f6e7c8" stroke="{INK}"/>',
        _text(x + 26, y + 4, f"{RESISTOR_OHM} Ω", "middle", 'font-size="11"'),
        f'<path d="{arrow}" fill="{paint}" stroke="{INK}"/><path d="M{bar} {y - 13}V{y + 13}" stroke="{INK}" '
        'stroke-width="2.5"/>',
        f'<path d="M{led + 14} {y - 16}l8 -9m-1 5l1 -5l-5 1M{led + 23} {y - 13}l8 -9m-1 5l1 -5l-5 1" fill="none" '
        f'stroke="{paint}" stroke-width="1.5"/>',
        f'<circle cx="{RAIL_X}" cy="{y}" r="4" fill="{INK}"/>',
        _text(led + 10, y + 28, end.wire.terminal, "middle", 'font-size="12"'),
    ]


def _cables(ends: Sequence[WireEnd], side: Side) -> list[str]:
    """Wires from the header to `ends`, all on one side, in lanes in which they do not cross."""
    sign = -1 if side == "left" else 1
    order = sorted(ends, key=lambda end: _leaving_y(end.wire.pin, side))
    down = [end for end in order if end.y >= _leaving_y(end.wire.pin, side)]
    up = [end for end in order if end.y < _leaving_y(end.wire.pin, side)]
    lanes = {id(end): len(group) - i for group in (down, up[::-1]) for i, end in enumerate(group)}
    return [
        _cable(
            f"{_start(end.wire.pin, side)}H{EDGE_X[side] + sign * (12 + 12 * lanes[id(end)])}V{end.y}H{end.x}",
            PAINT[end.wire.colour],
        )
        for end in order
    ]


def _cable(path: str, paint: str) -> str:
    """A wire with a white seam, so that it is seen on the dark header and over others."""
    style = 'fill="none" stroke-linejoin="round"'
    return (
        f'<path d="{path}" {style} stroke="#ffffff" stroke-width="5"/>'
        f'<path d="{path}" {style} stroke="{paint}" stroke-width="3"/>'
    )


def _start(pin: int, side: Side) -> str:
    """The beginning of a wire: at the pin's name, or at the pin and on between the rows to the other side."""
    if _column(pin) == side:
        return f"M{EDGE_X[side]} {_row_y(pin)}"
    return f"M{PIN_X[_column(pin)]} {_row_y(pin) + RADIUS}V{_leaving_y(pin, side)}"


def _spread(ideal: Sequence[float], pitch: float, first: float) -> list[float]:
    """Heights `pitch` apart, in order, near the ideal ones, none above `first`, none beyond the picture."""
    middle = sum(ideal) / len(ideal) - pitch * (len(ideal) - 1) / 2
    start = min(max(middle, first), HEIGHT - 130 - pitch * (len(ideal) - 1))
    return [start + pitch * i for i in range(len(ideal))]


def _notes(panel: PanelSettings) -> list[str]:
    wrong = clashes(panel)
    lines = [f"Careful: {problem}" for problem in wrong] or ["Switch the Pi off and unplug it before wiring."]
    return [_text(24, HEIGHT - 22 - 18 * i, escape(line), "start", f'font-size="12" fill="{GREY}"')
            for i, line in enumerate(reversed(lines))]  # fmt: skip


def _text(x: float, y: float, words: str, anchor: str, style: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {style}>{words}</text>'
