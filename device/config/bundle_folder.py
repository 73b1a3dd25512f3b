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
from models.bundle import second_pass

INSTALLED = schema.BundleSettings().dir
BUILT = Path(models.__file__).parent / "build" / "base"
"""What convert/build.py writes."""


def with_built_bundle(
    loaded: Loaded, installed: Path = INSTALLED, built: Path = BUILT, fetched: Path | None = None
) -> Loaded:
    """`loaded` with the bundles that this checkout built, else the user's (`fetched`).

    Only where no others are named and none are installed.
    """
    if loaded.origins()["bundle.dir"] != "default" or installed.exists():
        return with_second_pass(loaded)
    if built.is_dir():
        found, how = built, "built in this checkout"
    elif fetched is not None and fetched.is_dir():
        found, how = fetched, "put together for this user"
    else:
        return with_second_pass(loaded)
    return with_second_pass(with_first(loaded, found, how))


def with_first(loaded: Loaded, folder: Path, how: str) -> Loaded:
    """`loaded` with the first bundle in `folder`; `how` says why."""
    config = replace(loaded.config, bundle=replace(loaded.config.bundle, dir=folder))
    return replace(loaded, config=config, overridden={**loaded.overridden, "bundle.dir": how})


def with_second_pass(loaded: Loaded) -> Loaded:
    """`loaded` with the second bundle that goes with the first, where none is named and none is installed."""
    bundle = loaded.config.bundle
    found = second_pass(bundle.dir)
    if loaded.origins()["bundle.second_pass"] != "default" or bundle.second_pass.exists() or found is None:
        return loaded
    return replace(
        loaded,
        config=replace(loaded.config, bundle=replace(bundle, second_pass=found)),
        overridden={**loaded.overridden, "bundle.second_pass": f"goes with {bundle.dir}"},
    )


def comparison_of(bundle: Path) -> Path:
    """Where `convert/build.py --comparison` writes the forms of a bundle's model to compare with, unless told."""
    return bundle.with_name(f"{bundle.name}-comparison")
