"""`dictate run`: be the appliance."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from device import cli_config, config
from device.config import Config, ConfigError
from device.linefiles import Locked
from device.parts import Ears
from device.vocabulary import Word
from models.errors import UserError


def add_parser(subparsers: Any) -> None:
    """Add `dictate run`."""
    parser = subparsers.add_parser("run", help="be the appliance: press the button and dictate")
    cli_config.add_options(parser)
    parser.add_argument("--verbose", action="store_true", help="log more")
    parser.set_defaults(run=_run)


def open_ears(settings: Config, words: tuple[Word, ...]) -> Ears:
    """The recogniser of the configured bundle, hearing live. Raises UserError."""
    from device import assemble
    from device.recognizer import Endpointing
    from models.bundle import Bundle

    wanted = settings.recognizer
    bundle = Bundle.open(settings.bundle.dir)
    search = replace(bundle.description.search, beam=wanted.beam) if wanted.beam else None
    ends = Endpointing(pause=wanted.endpoint_silence_ms / 1_000, limit=wanted.max_segment_s)
    ears = assemble.recognizer(bundle, wanted.backend, wanted.threads, True, ends, search)
    return Ears(ears.recognizer, _on_cpu(ears, wanted), ears.accelerator.close)


def _on_cpu(ears: Any, wanted: config.Recognizer) -> Callable[[], str]:
    if wanted.backend == "cpu":
        return lambda: ""
    return lambda: "running on the CPU" if ears.accelerator.name.startswith("cpu") else ""


def _run(args: argparse.Namespace) -> int:
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        stream=os.fdopen(os.dup(sys.stderr.fileno()), "w", buffering=1),  # device.microphone silences descriptor 2
    )
    try:
        loaded = cli_config.load_from(args)
        from device.run import Machine, serve  # gpiozero and PortAudio only where they are needed

        return serve(loaded, lambda: cli_config.load_from(args), Machine(open_ears))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (UserError, Locked) as error:
        print(f"dictate run: {error}", file=sys.stderr)
        return 1
