"""`dictate config`: the configuration in effect, and the two options by which any command is given one.

Each `cli_*` module has `add_parser`, which hangs its command into argparse and sets `run`, a function from
the parsed arguments to the exit status:

>>> parser = argparse.ArgumentParser()
>>> add_parser(parser.add_subparsers())
>>> args = parser.parse_args(["config", "--set", "panel.mode=toggle", "--only", "panel.mode"])
>>> args.run(args)
[panel]
mode = "toggle"  # one of "hold", "toggle"; --set panel.mode=toggle
0
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from device.cli.options import add_options, load_from
from device.config import fields
from device.config.loader import ConfigError, Loaded
from device.config.schema import Config

INTRODUCTION = """\
# The settings of the dictation appliance. Any text editor will do; save as UTF-8 and start the appliance again.
#
# Every setting stands here with its default. To change one, take away the # in front of it:
#
#     #hostname = "dictate"        becomes        hostname = "desk"
#
# A setting that is wrong is left out: the fault LED then flashes five times, and the serial console says which
# line is wrong and why. docs/configuration.md has the same list as a table."""


def add_parser(subparsers: Any) -> None:
    """Add `dictate config`."""
    parser = subparsers.add_parser("config", help="print the settings in effect and where each came from")
    add_options(parser)
    parser.add_argument("--only", default="", metavar="KEY", help="only this key, or what is below it")
    parser.add_argument("--help-keys", action="store_true", help="say what each setting is for")
    parser.add_argument("--template", action="store_true", help="print the file that lies on the card: all defaults")
    parser.set_defaults(run=_run)


def describe(loaded: Loaded, only: str = "", help_keys: bool = False) -> Iterator[str]:
    """The lines of `dictate config`: valid TOML, each value followed by what is allowed and its origin."""
    origins, section = loaded.origins(), ""
    for leaf in fields.walk(Config):
        if not f"{leaf.key}.".startswith(f"{only}." if only else ""):
            continue
        table, _, name = leaf.key.rpartition(".")
        if table != section:
            yield from ([""] if section else []) + [f"[{table}]"]
            section = table
        if help_keys:
            yield f"# {leaf.spec.help}"
        value = fields.get(loaded.config, leaf.key)
        shown = fields.HIDDEN if leaf.spec.secret and value else value
        yield f"{name} = {fields.format_value(shown)}  # {leaf.expected}; {origins[leaf.key]}"


def template() -> Iterator[str]:
    """The lines of a configuration file in which every setting stands as a comment; what people change first, first."""
    yield from INTRODUCTION.splitlines()
    section = ""
    for leaf in sorted(fields.walk(Config), key=lambda leaf: not leaf.key.startswith("system.")):
        table, _, name = leaf.key.rpartition(".")
        if table != section:
            yield from ("", f"[{table}]")
            section = table
        yield f"# {leaf.spec.help} ({leaf.expected})"
        yield f"#{name} = {fields.format_value(leaf.default)}"


def _run(args: argparse.Namespace) -> int:
    if args.template:
        print("\n".join(template()))
        return 0
    lines = list(describe(load_from(args), args.only, args.help_keys))
    if not lines:
        raise ConfigError(f"--only {args.only}: no such key; `dictate config` lists them all")
    print("\n".join(lines))
    return 0
