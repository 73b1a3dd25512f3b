"""Where a user's own files lie on a machine that is no appliance: XDG base directories.

>>> data({"XDG_DATA_HOME": "/data"}), settings_file({"XDG_CONFIG_HOME": "/etc/xdg"})
(PosixPath('/data/coral-dictation'), PosixPath('/etc/xdg/coral-dictation/dictation.toml'))
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from device.config import schema, skip_invalid
from device.config.bundle_folder import with_built_bundle
from device.config.loader import DEFAULT_FILE, Loaded

NAME = "coral-dictation"

APPLIANCE = (DEFAULT_FILE, Path("/usr/lib/dictate"), schema.VocabularySettings().file)
"""What only an appliance has: its configuration, its releases, words that it was taught."""


def data(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of words and of the assembled bundle."""
    return _base(environ, "XDG_DATA_HOME", ".local/share") / NAME


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of what can be made or fetched again."""
    return _base(environ, "XDG_CACHE_HOME", ".cache") / NAME


def settings_file(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's configuration; it need not exist."""
    return _base(environ, "XDG_CONFIG_HOME", ".config") / NAME / "dictation.toml"


def runtime(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of sockets, which is the user's alone: $XDG_RUNTIME_DIR, or the one that systemd makes."""
    return Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}") / NAME


def default_file(environ: Mapping[str, str] = os.environ, system: Path = DEFAULT_FILE) -> Path:
    """The configuration that is used where none is named: the machine's, and where there is none, the user's."""
    own = settings_file(environ)
    return own if own.is_file() and not (system.exists() or system.is_symlink()) else system


def with_user_places(
    loaded: Loaded, environ: Mapping[str, str] = os.environ, appliance: Iterable[Path] = APPLIANCE
) -> Loaded:
    """`loaded` with the words and the bundle of the user, where no others are named and the machine is no appliance."""
    loaded = with_built_bundle(loaded, fetched=bundle(environ))
    if loaded.origins()["vocabulary.file"] != "default" or any(path.exists() for path in appliance):
        return loaded
    words = replace(loaded.config.vocabulary, file=data(environ) / "words.tsv")
    overridden = {**loaded.overridden, "vocabulary.file": "no appliance: the user's"}
    return replace(loaded, config=replace(loaded.config, vocabulary=words), overridden=overridden)


def bundle(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the bundle of this user is put together (device/cli/first_use.py)."""
    return data(environ) / "bundle"


def forgiving() -> schema.Config:
    """The configuration for commands that must not fail for a fault in it."""
    loaded, _ = skip_invalid.load(default_file())
    return with_user_places(loaded).config


def default_bundle() -> Path:
    """The bundle for commands that read no configuration but may be given a bundle."""
    return forgiving().bundle.dir


def _base(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    """A base directory; a relative one counts as unset, as the specification says."""
    given = Path(environ.get(variable, ""))
    return given if given.is_absolute() else Path(environ.get("HOME") or Path.home(), below_home)
