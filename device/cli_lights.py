"""`dictate lights`: what the lights mean, as a table or as the picture in the README."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from device import picture_file
from device.lights import PATTERNS
from device.lights_picture import svg


def add_parser(subparsers: Any) -> None:
    """Add `dictate lights`."""
    parser = subparsers.add_parser("lights", help="explain the lights")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the table instead of printing it")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.svg is None:
        for state, pattern in PATTERNS.items():
            lamp = pattern.lamp.name.lower()
            rhythm = "steady" if len(pattern.rhythm) == 1 else "-".join(map(str, pattern.rhythm)) + " ms"
            print(f"{state.value:32} {lamp:10} {pattern.colour.name.lower():8} {rhythm:34} {pattern.meaning}")
        return 0
    return picture_file.write(args.svg, svg(PATTERNS))
