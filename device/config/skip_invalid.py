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
from device.config.toml_lines import Fault

JOURNAL = "sinks.journal.mode"


def load(
    file: Path, overrides: Iterable[str] = (), environ: Mapping[str, str] = os.environ
) -> tuple[Loaded, tuple[str, ...]]:
    """The configuration without the keys that are wrong and the lines that are no TOML, and a line for each of them;
    `unread` if the file cannot be read at all.

    Raises :class:`device.config.loader.ConfigError` only for what is wrong in `overrides`.
    """
    told: list[str] = []
    left_out: set[str] = set()
    overrides = list(overrides)
    doubtful = False
    while True:
        try:
            loaded = loader.load(file, overrides, environ, left_out, skip_invalid=True)
        except ConfigError as error:
            told += str(error).splitlines()
            doubtful |= any(problem.concerns(JOURNAL) for problem in error.problems)
            more = {key for problem in error.problems for key in (problem.key, *problem.others)} - left_out
            if not more:
                return unread(overrides, environ), tuple(told)
            left_out |= more
            continue
        told = [*(_skipped(file, fault) for fault in loaded.skipped), *told]
        doubtful |= any(_concerns_journal(fault) for fault in loaded.skipped)
        contradicted = loaded.config.sinks.journal.mode == "disk" and JOURNAL in [fault.key for fault in loaded.skipped]
        if contradicted or (doubtful and not _said(loaded, left_out)):
            told.append(f"{file}: {JOURNAL}: what is dictated is kept in memory only until this is put right")
            loaded = loader.load(
                file, [f"{JOURNAL}=memory", *overrides], environ, {*left_out, JOURNAL}, skip_invalid=True
            )
        return loaded, tuple(told)


def _skipped(file: Path, fault: Fault) -> str:
    """A line for one that is no TOML. It names no key but a setting's: a password may stand anywhere."""
    known = any(leaf.key == fault.key or leaf.key.startswith(f"{fault.key}.") for leaf in fields.walk(Config))
    key = f"{fault.key}: " if fault.key and known else ""
    return f"{file}:{fault.line}: {key}{fault.message}"


def _concerns_journal(fault: Fault) -> bool:
    """Whether a line may have been meant to set the journal's mode: any that names no other setting or section."""
    keys = [leaf.key for leaf in fields.walk(Config) if leaf.key != JOURNAL]
    return (
        not fault.comment
        and fault.key not in keys
        and not any(fault.key and key.startswith(f"{fault.key}.") for key in keys)
    )


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
