"""The bundle, put together when it is first needed, where the package was installed without one.

The package carries the int8 encoder, lexicon and language model. What is missing is fetched by hash, and convert, which
the device never imports, makes the bundle of it in a process of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import models
from device.config import bundle_folder, places
from models import python
from models.errors import UserError

SHIPPED = Path(models.__file__).parent / "base"
PARTS = ("model.toml", "prebuilt/prebuilt.json", "lexicon.tsv.gz", "language.bin")
"""What decides the bundle: small files by their content, the others by their size."""


def bundle_for(command: str, named: Path | None) -> Path:
    """The bundle that is `named`, or else the one to use, put together if it is this user's and not there yet."""
    return named or put_together(command, places.default_bundle())


def put_together(command: str, chosen: Path) -> Path:
    """`chosen`, unless no bundle was installed or built: then the user's own, made now if need be. Raises UserError."""
    own = places.bundle()
    if chosen not in (own, bundle_folder.INSTALLED) or (chosen != own and chosen.exists()) or not _shipped():
        return chosen
    mark, wanted = own.with_name("bundle.made-from"), _made_from()
    with _alone(own.parent):
        if not own.is_dir() or not mark.is_file() or mark.read_text() != wanted:
            print(f"dictate {command}: first use: putting the model together in {own}", file=sys.stderr, flush=True)
            _convert(own)
            mark.write_text(wanted)
    return own


def _convert(out: Path) -> None:
    arguments = ("--prebuilt", "--compiler", "none", "--out", out, "--cache", places.cache() / "convert")
    done = subprocess.run(
        python.module("convert", *arguments), env=python.environment(), stdin=subprocess.DEVNULL, stdout=sys.stderr
    )
    if done.returncode:
        raise UserError("the model could not be put together; the line above says why, and the next use tries again")


def _shipped() -> bool:
    return all((SHIPPED / part).is_file() for part in PARTS)


def _made_from() -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        path = SHIPPED / part
        size = path.stat().st_size
        digest.update(path.read_bytes() if size < 1 << 16 else str(size).encode())
    return digest.hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process at a time makes a bundle in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
