"""`dictate wiring`: which pin of the header goes where, as a table or as the picture in docs/build-it.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from device.cli import options
from device.drawing import svg, wiring
from device.panel.header import clashes, wires


def add_parser(subparsers: Any) -> None:
    """Add `dictate wiring`."""
    parser = subparsers.add_parser("wiring", help="which pin of the header goes where")
    options.add_options(parser)
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw it instead of printing it")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    panel = options.load_from(args).config.panel
    for problem in clashes(panel):
        print(f"careful: {problem}", file=sys.stderr)
    if args.svg is None:
        print("\n".join(map(str, wires(panel))))
        return 0
    return svg.write(args.svg, wiring.svg(panel))
