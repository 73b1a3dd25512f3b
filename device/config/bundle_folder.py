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
SECOND_PASS = "moonshine-tiny"
"""Beside a bundle that was built in a checkout, what convert/build.py --model NAME writes."""


def with_built_bundle(loaded: Loaded, installed: Path = INSTALLED, built: Path = BUILT) -> Loaded:
    """`loaded` with the bundles that this checkout built, where no others are named and none are installed."""
    loaded = _with_second_pass(loaded)
    if loaded.origins()["bundle.dir"] != "default" or installed.exists() or not built.is_dir():
        return loaded
    return _with_second_pass(
        replace(
            loaded,
            config=replace(loaded.config, bundle=replace(loaded.config.bundle, dir=built)),
            overridden={**loaded.overridden, "bundle.dir": "built in this checkout"},
        )
    )


def _with_second_pass(loaded: Loaded) -> Loaded:
    """`loaded` with the second bundle beside the first, where none is named and none is installed."""
    bundle = loaded.config.bundle
    beside = bundle.dir.with_name(SECOND_PASS)
    if loaded.origins()["bundle.second_pass"] != "default" or bundle.second_pass.exists() or not beside.is_dir():
        return loaded
    return replace(
        loaded,
        config=replace(loaded.config, bundle=replace(bundle, second_pass=beside)),
        overridden={**loaded.overridden, "bundle.second_pass": f"beside {bundle.dir}"},
    )


def default_bundles(named: Path | None = None) -> schema.BundleSettings:
    """The bundles for commands that read no configuration but may be given the first; `named`, if they were."""
    loaded, _ = skip_invalid.load(DEFAULT_FILE)
    if named:
        bundle = replace(loaded.config.bundle, dir=named)
        origins = {**loaded.overridden, "bundle.dir": "named"}
        return _with_second_pass(
            replace(loaded, config=replace(loaded.config, bundle=bundle), overridden=origins)
        ).config.bundle
    return with_built_bundle(loaded).config.bundle


def default_bundle() -> Path:
    """The first of them."""
    return default_bundles().dir
