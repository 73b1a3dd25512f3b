"""Options that several commands have: --config and --set, and options under the names that they had before."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


class _Renamed(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, today: argparse.Action) -> None:
        super().__init__(option_strings, dest, nargs=today.nargs, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        self.type = today.type
        self._today = today

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        warn(f"{option} is called {self._today.option_strings[0]} now; the old name is still read")
        self._today(parser, namespace, values, option)


def also_read(parser: argparse.ArgumentParser, old: str, option: argparse.Action) -> None:
    """Let a command still take `option` under its `old` name; a line says what it is called now."""
    parser.add_argument(old, action=_Renamed, today=option, dest=f"renamed {old}")
