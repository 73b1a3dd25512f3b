"""Which bundle a command uses unless it is told one: the same for every command.

In this order: `bundle.dir` by `--set` or in the configuration, the environment's DICTATE_BUNDLE, the installed one, the
one that this checkout built, and the one that was put together for this user.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import models
from device.config import schema
from device.config.loader import Loaded

INSTALLED = schema.BundleSettings().dir
BUILT = Path(models.__file__).parent / "build" / "base"
"""What convert/build.py writes."""


def with_built_bundle(
    loaded: Loaded, installed: Path = INSTALLED, built: Path = BUILT, fetched: Path | None = None
) -> Loaded:
    """`loaded` with the bundle that this checkout built, else the user's (`fetched`), where no other is named and none
    is installed."""
    if loaded.origins()["bundle.dir"] != "default" or installed.exists():
        return loaded
    if built.is_dir():
        found, how = built, "built in this checkout"
    elif fetched is not None and fetched.is_dir():
        found, how = fetched, "put together for this user"
    else:
        return loaded
    return replace(
        loaded,
        config=replace(loaded.config, bundle=replace(loaded.config.bundle, dir=found)),
        overridden={**loaded.overridden, "bundle.dir": how},
    )
