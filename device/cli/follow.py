"""`dictate follow`: what the appliance does, as it does it, from its feed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from device.cli import options
from device.output.feed import follow


def add_parser(subparsers: Any) -> None:
    """Add `dictate follow`."""
    parser = subparsers.add_parser("follow", help="what the appliance does and hears, as it happens")
    options.add_options(parser)
    parser.add_argument("--socket", type=Path, metavar="FILE", help="default: feed.socket of the configuration")
    parser.add_argument("--json", action="store_true", help="print every event, one JSON object a line")
    parser.set_defaults(run=_run)


def lines(event: dict[str, Any]) -> Iterator[str]:
    """An event for people; levels and power are for machines.

    >>> list(lines({"event": "partial", "stable": "so far", "tail": "so go"}))
    ['  so far so go']
    >>> list(lines({"event": "segment", "delete": 2, "text": "good"})), list(lines({"event": "level", "dbfs": -3}))
    (['> (deletes 2) good'], [])
    """
    match event:
        case {"event": "state", "status": status} if status:
            yield f"# {status}"
        case {"event": "partial", "stable": stable, "tail": tail} if stable or tail:
            yield f"  {f'{stable} {tail}'.strip()}"
        case {"event": "segment", "delete": delete, "text": text}:
            yield f"> {f'(deletes {delete}) ' if delete else ''}{text.strip()}"


def _run(args: argparse.Namespace) -> int:
    path = args.socket or options.load_from(args).config.feed.socket
    for event in follow(path):
        shown = [json.dumps(event, ensure_ascii=False)] if args.json else lines(event)
        for line in shown:
            print(line, flush=True)
    print(f"dictate follow: {path}: the appliance ended, or started again with other settings", file=sys.stderr)
    return 0
