"""Options that several commands have: for configuration and recogniser, and options under earlier names."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from device.cli import argument_types
from device.config import schema, skip_invalid
from device.config.loader import DEFAULT_FILE, Loaded, load
from device.config.places import default_file, with_user_places


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a command `--config` and `--set`."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"default: {DEFAULT_FILE}, else your own")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override one setting")


def warn(line: str) -> None:
    """Print a line that changes nothing about the result."""
    print(f"dictate: {line}", file=sys.stderr)


def load_from(args: argparse.Namespace, tell: Callable[[str], None] = warn) -> Loaded:
    """The configuration that a command line asks for; a line to `tell` for each key that has another name now.

    Raises :class:`device.config.loader.ConfigError`.
    """
    loaded = load(file_of(args), args.set, page=True)
    for line in loaded.renamed:
        tell(line)
    return with_user_places(loaded)


def load_skipping_invalid(args: argparse.Namespace) -> tuple[Loaded, tuple[str, ...]]:
    """The same without what is wrong in the files, and a line for each of that; for what runs with nobody watching.

    Raises :class:`device.config.loader.ConfigError` only for what is wrong in `--set`.
    """
    loaded, wrong = skip_invalid.load(file_of(args), args.set, page=True)
    return with_user_places(loaded), wrong


def file_of(args: argparse.Namespace) -> Path:
    """The file that `--config` names, or the one to use."""
    return args.config or default_file()


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


def add_recognizer_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options of a recogniser that is not configured."""
    parser.add_argument("--bundle", type=Path, help="bundle directory (default: bundle.dir of the configuration)")
    parser.add_argument("--backend", choices=("auto", "coral", "cpu"), default="auto", help="what runs the encoder")
    parser.add_argument(
        "--threads", type=argument_types.count, default=1, help="CPU threads for encoder and head (default: 1)"
    )
    parser.add_argument("--live", action="store_true", help="hear as the appliance does: posteriors within 0.5 s")
    parser.add_argument(
        "--mode",
        choices=get_args(schema.Mode),
        default="two-pass",
        help="two-pass: a second model writes the final text; streaming: the first alone; accurate: longer segments",
    )
    parser.add_argument(
        "--second-pass", type=Path, metavar="DIR", help="the second model's bundle (default: as --bundle)"
    )
    parser.add_argument(
        "--effort",
        choices=get_args(schema.Effort),
        default="best",
        help="hypotheses of the second model: eight (best), one (fast), or as many as there is time for (auto)",
    )
