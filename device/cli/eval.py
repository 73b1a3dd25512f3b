"""`dictate eval`: word error rate, speed by stage and memory over a directory of recordings with transcripts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from device.bench.evaluation import TRANSCRIPTS, evaluate, table
from device.cli import options


def add_parser(subparsers: Any) -> None:
    """Add `dictate eval`."""
    parser = subparsers.add_parser("eval", help="measure word error rate, speed and memory on a directory")
    parser.add_argument("directory", type=Path, metavar="DIR", help=f"recordings and {TRANSCRIPTS}")
    options.add_recognizer_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--errors", action="store_true", help="print reference and hypothesis where they differ")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    report = evaluate(
        arguments.directory,
        arguments.bundle,
        arguments.backend,
        arguments.threads,
        arguments.live,
        progress=sys.stderr.isatty() and not arguments.json,
    )
    if arguments.json:
        print(json.dumps(report))
        return 0
    if arguments.errors:
        from device.bench.wer import normalizer

        normalize = normalizer()
        for item in report["items"]:
            if normalize(item["reference"]) != normalize(item["hypothesis"]):
                print(f"{item['file']}\n  said:  {item['reference']}\n  heard: {item['hypothesis']}")
    print("\n".join(table(report)))
    return 0
