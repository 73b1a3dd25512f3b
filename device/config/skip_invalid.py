"""A configuration that is used as far as it goes: what is wrong in it is left out and told, not fatal.

The appliance has no screen. With one letter wrong in its file it still dictates, and the LEDs say that something
is wrong; whoever looks closer finds the same line that `dictate config` prints.

What is dictated goes to the disk only where that is known to be wanted: a file that cannot be read, and one in which
something wrong may have meant `sinks.journal.mode`, keep it in memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from device.config import fields, loader
from device.config.loader import ConfigError, Loaded
from device.config.schema import Config

JOURNAL = "sinks.journal.mode"


def load(
    file: Path, overrides: Iterable[str] = (), environ: Mapping[str, str] = os.environ
) -> tuple[Loaded, tuple[str, ...]]:
    """The configuration without the keys that are wrong, and a line for each; `unread` if the file is no TOML.

    Raises :class:`device.config.loader.ConfigError` only for what is wrong in `overrides`.
    """
    told: list[str] = []
    left_out: set[str] = set()
    overrides = list(overrides)
    doubtful = False
    while True:
        try:
            loaded = loader.load(file, overrides, environ, left_out)
        except ConfigError as error:
            told += str(error).splitlines()
            doubtful |= any(problem.concerns(JOURNAL) for problem in error.problems)
            more = {key for problem in error.problems for key in (problem.key, *problem.others)} - left_out
            if not more:
                return unread(overrides, environ), tuple(told)
            left_out |= more
            continue
        if doubtful and not _said(loaded, left_out):
            told.append(f"{file}: {JOURNAL}: what is dictated is kept in memory only until this is put right")
            loaded = loader.load(file, [f"{JOURNAL}=memory", *overrides], environ, left_out)
        return loaded, tuple(told)


def unread(overrides: Iterable[str] = (), environ: Mapping[str, str] = os.environ) -> Loaded:
    """The configuration in place of one that cannot be read: the defaults, and nothing dictated is kept on the disk."""
    return loader.load(None, [f"{JOURNAL}=memory", *overrides], environ)


def _said(loaded: Loaded, left_out: set[str]) -> bool:
    """Whether the journal's mode was given, and taken."""
    if JOURNAL in loaded.overridden:
        return True
    return JOURNAL not in left_out and loaded.origins()[JOURNAL] != "default"


def written(tree: Config) -> str:
    """A TOML text that loads as `tree` wherever it lies; secrets are replaced by asterisks.

    >>> written(loader.load(None, ["panel.mode=toggle"], {}).config)
    'panel.mode = "toggle"\\n'
    """
    lines = []
    for leaf in fields.walk(Config):
        value = fields.get(tree, leaf.key)
        if value != leaf.default:
            lines.append(f"{leaf.key} = {fields.format_value(fields.HIDDEN if leaf.spec.secret else value)}\n")
    return "".join(lines)
