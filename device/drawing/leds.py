"""The table of lights as a picture: an SVG that blinks as the LEDs do.

>>> from device.panel.leds import PATTERNS
>>> svg(PATTERNS).startswith("<svg")
True
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, pairwise
from xml.sax.saxutils import escape

from device.panel.leds import Colour, Led, LedState, Pattern

SECONDS = 4.0
"""How much time a row's strip shows."""

WIDTH, ROW, TOP, STRIP = 1_020, 34, 62, 200
PAINT = {
    Colour.RED: "#d92626",
    Colour.GREEN: "#1f9d3a",
    Colour.BLUE: "#2463eb",
    Colour.YELLOW: "#e0a800",
    Colour.MAGENTA: "#c026d3",
    Colour.WHITE: "#ffffff",
}
LED_PAINT = {Led.READY: "#1f9d3a", Led.LISTENING: "#e0a800", Led.FAULT: "#d92626"}
OFF = "#d9dde3"


def svg(patterns: Mapping[LedState, Pattern]) -> str:
    """Draw `patterns`, a row each: three LEDs, one RGB LED, four seconds of rhythm, what it means."""
    height = TOP + ROW * len(patterns) + 12
    rows = [_row(state, pattern, TOP + ROW * i) for i, (state, pattern) in enumerate(patterns.items())]
    heads = [(16, "State"), (292, "Three LEDs"), (398, "RGB"), (446, "4 seconds"), (666, "Meaning")]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            'font-family="sans-serif" font-size="13" fill="#1c2430">',
            "<title>What the LEDs say</title>",
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
            '<g font-weight="bold">',
            *(f'<text x="{x}" y="32">{name}</text>' for x, name in heads),
            "</g>",
            '<g font-size="9" fill="#5b6675" text-anchor="middle">',
            *(f'<text x="{300 + 34 * led.value}" y="48">{led.name.lower()}</text>' for led in Led),
            "</g>",
            *rows,
            "</svg>",
            "",
        ]
    )


def _row(state: LedState, pattern: Pattern, y: int) -> str:
    middle = y + ROW // 2
    meaning = escape(pattern.meaning.replace("`", ""))
    leds = "".join(
        _led(300 + 34 * led.value, middle, LED_PAINT[led], pattern if led is pattern.led else None) for led in Led
    )
    return "\n".join(
        [
            f'<line x1="12" x2="{WIDTH - 12}" y1="{y}" y2="{y}" stroke="#e6e9ee"/>',
            f'<text x="16" y="{middle + 4}">{escape(state.value)}</text>',
            leds,
            _led(410, middle, PAINT[pattern.colour], pattern),
            _strip(pattern, middle),
            f'<text x="666" y="{middle + 4}" font-size="12">{meaning}</text>',
        ]
    )


def _led(x: int, y: int, paint: str, pattern: Pattern | None) -> str:
    fill = paint if pattern else OFF
    blink = _blink(pattern, paint) if pattern and len(pattern.rhythm) > 1 else ""
    return f'<circle cx="{x}" cy="{y}" r="9" fill="{fill}" stroke="#5b6675">{blink}</circle>'


def _blink(pattern: Pattern, paint: str) -> str:
    starts = list(accumulate(pattern.rhythm, initial=0))[:-1]
    times = ";".join(f"{start / sum(pattern.rhythm):.4f}" for start in starts)
    values = ";".join(OFF if i % 2 else paint for i in range(len(starts)))
    return (
        f'<animate attributeName="fill" calcMode="discrete" dur="{pattern.period:.2f}s" '
        f'repeatCount="indefinite" keyTimes="{times}" values="{values}"/>'
    )


def _strip(pattern: Pattern, y: int) -> str:
    edges = [0.0]
    while edges[-1] < SECONDS:
        change = pattern.change(edges[-1])
        edges.append(SECONDS if change is None else min(change, SECONDS))
    paint, scale = PAINT[pattern.colour], STRIP / SECONDS
    bars = [
        f'<rect x="{446 + a * scale:.1f}" y="{y - 7}" width="{(b - a) * scale:.1f}" height="14" '
        f'fill="{paint}" stroke="#5b6675" stroke-width="0.5"/>'
        for a, b in pairwise(edges)
        if pattern.lit((a + b) / 2)
    ]
    return f'<rect x="446" y="{y - 7}" width="{STRIP}" height="14" fill="{OFF}"/>' + "".join(bars)
