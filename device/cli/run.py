"""`dictate run`: be the appliance."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from device.cli import options
from device.config.loader import ConfigError, Loaded
from device.system import boot_config
from models import terminal


def add_parser(subparsers: Any) -> None:
    """Add `dictate run`."""
    parser = subparsers.add_parser("run", help="be the appliance: press the button and dictate")
    options.add_options(parser)
    skip_invalid = parser.add_argument(
        "--skip-invalid", action="store_true", help="go on without what is wrong in the configuration, and show it"
    )
    options.also_read(parser, "--lenient", skip_invalid)  # old name
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    wrong: tuple[str, ...] = ()
    renamed: list[str] = []

    def read(tell: Callable[[str], None]) -> Loaded:
        nonlocal wrong
        if not args.skip_invalid:
            return options.load_from(args, tell)
        loaded, wrong = options.load_skipping_invalid(args)
        for line in loaded.renamed:
            tell(line)
        return loaded

    def read_again() -> Loaded:
        """As at the start, but a file that cannot be read at all leaves the old configuration in force."""
        try:
            return options.load_from(args, logging.warning)
        except ConfigError as error:
            if not (args.skip_invalid and error.problems):
                raise
        return read(logging.warning)

    loaded = read(renamed.append)
    log = os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1)  # device.audio.microphone silences descriptor 2
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        stream=terminal.plain(log),
    )
    for line in renamed:
        logging.warning("%s", line)
    from device.app.recognizer import load_recognizer  # these need gpiozero, PortAudio and an interpreter
    from device.app.service import serve
    from device.app.session import Environment

    environment = Environment(load_recognizer, warnings=lambda: wrong + boot_config.warnings())
    return serve(loaded, read_again, environment)
