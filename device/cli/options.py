"""The two options by which any command is given a configuration: --config and --set."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from device.config.bundle_folder import with_built_bundle
from device.config.loader import DEFAULT_FILE, Loaded, load


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a command `--config` and `--set`."""
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help=f"default: {DEFAULT_FILE}")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")


def warn(line: str) -> None:
    """Print a line that changes nothing about the result."""
    print(f"dictate: {line}", file=sys.stderr)


def load_from(args: argparse.Namespace, tell: Callable[[str], None] = warn) -> Loaded:
    """The configuration that a command line asks for; a line to `tell` for each key that has another name now.

    Raises :class:`device.config.loader.ConfigError`.
    """
    loaded = load(args.config, args.set)
    for line in loaded.renamed:
        tell(line)
    return with_built_bundle(loaded)
