"""Which bundle a command uses unless it is told one: the same for every command.

In this order: `bundle.dir` by `--set` or in the configuration, the environment's DICTATE_BUNDLE, the installed one, and
where there is none the one that this checkout built.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import models
from device.config import schema, skip_invalid
from device.config.loader import DEFAULT_FILE, Loaded

INSTALLED = schema.BundleSettings().dir
BUILT = Path(models.__file__).parent / "build" / "base"
"""What convert/build.py writes."""


def with_built_bundle(loaded: Loaded, installed: Path = INSTALLED, built: Path = BUILT) -> Loaded:
    """`loaded` with the bundle that this checkout built, where no other is named and none is installed."""
    if loaded.origins()["bundle.dir"] != "default" or installed.exists() or not built.is_dir():
        return loaded
    return replace(
        loaded,
        config=replace(loaded.config, bundle=schema.BundleSettings(built)),
        overridden={**loaded.overridden, "bundle.dir": "built in this checkout"},
    )


def default_bundle() -> Path:
    """The bundle for commands that read no configuration but may be given a bundle."""
    loaded, _ = skip_invalid.load(DEFAULT_FILE)
    return with_built_bundle(loaded).config.bundle.dir
