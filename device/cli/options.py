"""Options that several commands have: for the configuration, and for the recogniser."""

from __future__ import annotations

import argparse
from pathlib import Path

from device.cli import argument_types
from device.config.loader import DEFAULT_FILE, Loaded, load
from device.config.places import default_file, with_user_places


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a command `--config` and `--set`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {DEFAULT_FILE}, else your own")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")


def load_from(args: argparse.Namespace) -> Loaded:
    """The configuration that a command line asks for. Raises :class:`device.config.loader.ConfigError`."""
    return with_user_places(load(args.config or default_file(), args.set))


def add_recognizer_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options of a recogniser that is not configured."""
    parser.add_argument("--bundle", type=Path, help="bundle directory (default: bundle.dir of the configuration)")
    parser.add_argument("--backend", choices=("auto", "coral", "cpu"), default="auto", help="what runs the encoder")
    parser.add_argument(
        "--threads", type=argument_types.count, default=1, help="CPU threads for encoder and head (default: 1)"
    )
    parser.add_argument("--live", action="store_true", help="hear as the appliance does: posteriors within 0.5 s")
