"""Small releases and signed updates for the tests of what the device does with them."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from pathlib import Path

from updater import package
from updater.releases import BUILT_IN, UPDATES, Release, Store

PYTHON = f"cp{sys.version_info.major}{sys.version_info.minor}"
CLI = """import os, sys
def main():
    print({name!r}, os.environ["DICTATE_BUNDLE"], *sys.argv[1:])
    return {status}
"""


def make(folder: Path, name: str, version: str = "1.0", *, status: int = 0, **fields: object) -> Release:
    """A release whose `dictate` prints its name, DICTATE_BUNDLE and the arguments, and ends with `status`."""
    contents = {
        "site/device/__init__.py": "",
        "site/device/cli.py": CLI.format(name=name, status=status),
        "bundle/bundle.json": json.dumps({"name": name}),
        "bundle/weights é.bin": name * 4_000,
    }
    for path, text in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return describe(folder, version=version, **fields)


def describe(folder: Path, **fields: object) -> Release:
    """Write release.json for what is in a folder, in the way of provisioning.common.release."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "release.json"
    }
    identity = hashlib.sha256("".join(f"{files[p]}  {p}\n" for p in sorted(files)).encode()).hexdigest()[:12]
    said = {
        "id": identity,
        "version": "1.0",
        "python": PYTHON,
        "machine": platform.machine(),
        "files": files,
        "serial": 1,
    }
    (folder / "release.json").write_text(json.dumps(said | fields))
    return Release(**(said | fields))  # type: ignore[arg-type]


def key(folder: Path, name: str = "key") -> Path:
    """A new ed25519 key pair."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path


def trust(root: Path, public: Path) -> None:
    """Make a root folder trust a key, as build-image does."""
    signers = root / "etc/dictate-keys/allowed_signers"
    signers.parent.mkdir(parents=True, exist_ok=True)
    signers.write_text(f'dictate namespaces="{package.NAMESPACE}" {public.read_text()}')


def device(root: Path, public: Path | None = None) -> Store:
    """A device fresh from the factory below `root`."""
    make(root / BUILT_IN, "factory")
    (root / UPDATES).mkdir(parents=True)
    (root / "boot/firmware").mkdir(parents=True)
    if public:
        trust(root, public)
    return Store(root)
