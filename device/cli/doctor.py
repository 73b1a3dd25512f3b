"""`dictate doctor`: look at everything that dictation needs, and say what to do where something is wrong."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from device.cli import options
from device.diagnostics import doctor
from device.diagnostics.check import Check, CheckState, Operator


def add_parser(subparsers: Any) -> None:
    """Add `dictate doctor`."""
    parser = subparsers.add_parser("doctor", help="look at everything, say what is wrong and what to do")
    options.add_options(parser)
    parser.add_argument("--bundle", type=Path, help="bundle directory (default: bundle.dir of the configuration)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--ask", action="store_true", help="also what needs you: speak, press, look at the LEDs")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    if args.bundle:
        args.set = [*args.set, f"bundle.dir={args.bundle}"]
    found: dict[str, list[Check]] = {}
    for title, checks in doctor.run_checks(options.load_from(args).config, _person() if args.ask else None):
        found[title] = checks
        if not args.json:
            print(f"{title}:", *checks, sep="\n  ", flush=True)
    if args.json:
        print(json.dumps(doctor.rows(found), indent=2))
    return int(any(check.state is CheckState.BAD for checks in found.values() for check in checks))


def _person() -> Operator:
    return Operator(
        tell=lambda text: print(f"  {text}", flush=True),
        agree=lambda question: not input(f"  {question} [Y/n] ").strip().lower().startswith("n"),
    )
