"""The two options by which any command is given a configuration: --config and --set."""

from __future__ import annotations

import argparse
from pathlib import Path

from device.config.bundle_folder import with_built_bundle
from device.config.loader import DEFAULT_FILE, Loaded, load


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a command `--config` and `--set`."""
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")


def load_from(args: argparse.Namespace) -> Loaded:
    """The configuration that a command line asks for. Raises :class:`device.config.loader.ConfigError`."""
    return with_built_bundle(load(args.config, args.set))
