"""`dictate doctor`: look at everything that dictation needs, and say what to do where something is wrong."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from device.cli import options
from device.config.schema import Config
from device.diagnostics import edgetpu
from device.diagnostics.check import Check, CheckState, Operator
from device.diagnostics.machine import MACHINE, Group
from models.bundle import Bundle, BundleError
from models.transformer_bundle import TransformerBundle


def add_parser(subparsers: Any) -> None:
    """Add `dictate doctor`."""
    parser = subparsers.add_parser("doctor", help="look at everything, say what is wrong and what to do")
    options.add_options(parser)
    parser.add_argument("--bundle", type=Path, help="bundle directory (default: bundle.dir of the configuration)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--ask", action="store_true", help="also what needs you: speak, press, look at the LEDs")
    parser.set_defaults(run=_run)


def coral(settings: Config, operator: Operator | None) -> list[Check]:
    """The Coral's chain for the configured bundles; a bundle that cannot be opened is a fault of its own."""
    second, check = second_pass(settings)
    try:
        bundle = Bundle.open(settings.bundle.dir, verify=False)
    except BundleError as error:
        broken = Check("bundle", CheckState.BAD, *str(error).partition("; ")[::2])
        chain = edgetpu.coral_checks(settings.recognizer.backend, None)
        return [broken if each.name == broken.name else each for each in chain]
    own = bundle.optional("encoder_edgetpu")
    pieces = (
        [second.piece(name, True) for name in second.names] if second and second.description.edge_tpu.compiled else []
    )
    return [check, *edgetpu.coral_checks(settings.recognizer.backend, [own, *pieces] if own else pieces)]


def second_pass(settings: Config) -> tuple[TransformerBundle | None, Check]:
    """The bundle of the second pass, if it is wanted and can be opened, and how it stands with it."""
    name, mode = "second pass", settings.recognizer.mode
    if mode == "streaming":
        return None, Check(name, CheckState.GOOD, "not used: recognizer.mode is streaming")
    try:
        bundle = TransformerBundle.open(settings.bundle.second_pass, verify=False)
    except BundleError as error:
        detail, _, advice = str(error).partition("; ")
        return None, Check(name, CheckState.NOTE, f"{detail}: the text is that of the first pass", advice)
    where = "compiled for the Edge TPU" if bundle.description.edge_tpu.compiled else "for the CPU"
    return bundle, Check(name, CheckState.GOOD, f"{bundle.description.name}, mode {mode}, {where}")


GROUPS: dict[str, Group] = {**MACHINE, "Coral": coral}
"""What is looked at, group by group; a group that fails to look is no reason to leave out the next."""


def run_checks(settings: Config, operator: Operator | None = None) -> Iterator[tuple[str, list[Check]]]:
    """Each group's title and checks, done when they are asked for; `operator` answers what only a person can."""
    for title, checks in GROUPS.items():
        try:
            yield title, list(checks(settings, operator))
        except Exception as error:
            yield title, [Check(title, CheckState.BAD, f"could not be looked at: {type(error).__name__}: {error}")]


def _run(args: argparse.Namespace) -> int:
    if args.bundle:
        args.set = [*args.set, f"bundle.dir={args.bundle}"]
    found: dict[str, list[Check]] = {}
    for title, checks in run_checks(options.load_from(args).config, _person() if args.ask else None):
        found[title] = checks
        if not args.json:
            print(f"{title}:", *checks, sep="\n  ", flush=True)
    if args.json:
        rows = {title: [asdict(c) | {"state": c.state.value} for c in checks] for title, checks in found.items()}
        print(json.dumps(rows, indent=2))
    return int(any(check.state is CheckState.BAD for checks in found.values() for check in checks))


def _person() -> Operator:
    return Operator(
        tell=lambda text: print(f"  {text}", flush=True),
        agree=lambda question: not input(f"  {question} [Y/n] ").strip().lower().startswith("n"),
    )
