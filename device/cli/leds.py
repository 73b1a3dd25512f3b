"""`dictate leds`: what the LEDs mean, as a table or as the picture in the README."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from device.drawing import leds, svg
from device.panel.leds import PATTERNS, Pattern


def add_parser(subparsers: Any) -> None:
    """Add `dictate leds`."""
    parser = subparsers.add_parser("leds", help="explain the LEDs")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the table instead of printing it")
    parser.set_defaults(run=_run)


def _rows() -> Iterator[str]:
    """Two lines a state, which fit a terminal of 80 columns."""
    for state, pattern in PATTERNS.items():
        led, colour = pattern.led.name.lower(), pattern.colour.name.lower()
        yield f"{state.value:32} {led:10} {colour:8} {_rhythm(pattern)}"
        yield f"    {pattern.meaning}"


def _rhythm(pattern: Pattern) -> str:
    match pattern.rhythm:
        case (_,):
            return "steady"
        case (on, off) if on == off:
            return f"blinks, {on} ms on and off"
        case rhythm:
            return f"{len(rhythm) // 2} short, then a pause"


def _run(args: argparse.Namespace) -> int:
    if args.svg is None:
        print("\n".join(_rows()))
        return 0
    return svg.write(args.svg, leds.svg(PATTERNS))
