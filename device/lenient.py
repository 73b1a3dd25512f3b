"""A configuration that is used as far as it goes: what is wrong in it is left out and told, not fatal.

The appliance has no screen. With one letter wrong in its file it still dictates, and the lights say that something
is wrong; whoever looks closer finds the same line that `dictate config` prints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from device import config, settings
from device.config import Config, ConfigError, Loaded


def load(
    file: Path, overrides: Iterable[str] = (), environ: Mapping[str, str] = os.environ
) -> tuple[Loaded, tuple[str, ...]]:
    """The configuration without the keys that are wrong, and a line for each; defaults if the file is no TOML.

    Raises :class:`device.config.ConfigError` only for what is wrong in `overrides`.
    """
    told: list[str] = []
    left_out: set[str] = set()
    overrides = list(overrides)
    while True:
        try:
            return config.load(file, overrides, environ, left_out), tuple(told)
        except ConfigError as error:
            told += str(error).splitlines()
            more = {key for problem in error.problems for key in (problem.key, *problem.others)} - left_out
            if not more:
                return config.load(None, overrides, environ), tuple(told)
            left_out |= more


def written(tree: Config) -> str:
    """A TOML text that loads as `tree` wherever it lies; secrets are replaced by asterisks.

    >>> written(config.load(None, ["panel.mode=toggle"], {}).config)
    'panel.mode = "toggle"\\n'
    """
    lines = []
    for leaf in settings.walk(Config):
        value = settings.get(tree, leaf.key)
        if value != leaf.default:
            lines.append(f"{leaf.key} = {settings.show(settings.HIDDEN if leaf.spec.secret else value)}\n")
    return "".join(lines)
