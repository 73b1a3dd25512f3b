"""The bundle, put together when it is first needed, where the package was installed without one.

The package carries the int8 encoder, lexicon and language model. What is missing is fetched by hash, and convert, which
the device never imports, makes the bundle of it in a process of its own.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import models
from device.config import bundle_folder, places, schema
from models import files, python
from models.bundle import BUILT_SECOND_PASS, second_pass
from models.errors import UserError

SHIPPED = Path(models.__file__).parent
PARTS = (
    "base/model.toml",
    "base/prebuilt/prebuilt.json",
    "base/lexicon.tsv.gz",
    "base/language.bin",
    "moonshine-tiny/model.toml",
    "moonshine-tiny/prebuilt/prebuilt.json",
)
"""What decides the bundle: small files by their content, the others by their size."""


def bundles_for(command: str, named: Path | None) -> schema.BundleSettings:
    """The bundles that go with the one that is `named`, or else those to use, put together if they are this user's."""
    return places.default_bundles(named or put_together(command, places.default_bundle()))


def put_together(command: str, chosen: Path) -> Path:
    """`chosen`, unless no bundle was installed or built: then the user's own, made now if need be. Raises UserError."""
    own = places.bundle()
    if chosen not in (own, bundle_folder.INSTALLED) or (chosen != own and chosen.exists()) or not _shipped():
        return chosen
    mark, wanted = own.with_name("bundle.made-from"), _made_from()
    own.parent.mkdir(parents=True, exist_ok=True)
    with files.alone(mark, lambda: _waiting(command)):
        if not own.is_dir() or not mark.is_file() or mark.read_text() != wanted:
            print(f"dictate {command}: first use: putting the model together in {own}", file=sys.stderr, flush=True)
            if not _convert(own, "base"):
                raise UserError(
                    "the model could not be put together; the line above says why, and the next use tries again"
                )
            _convert_second_pass(command, own)
            mark.write_text(wanted)
        elif second_pass(own) is None:
            _convert_second_pass(command, own)
    return own


def _convert_second_pass(command: str, own: Path) -> None:
    if not _convert(own.with_name(BUILT_SECOND_PASS), BUILT_SECOND_PASS):
        print(
            f"dictate {command}: without the second model: the line above says why, and the next use tries again",
            file=sys.stderr,
            flush=True,
        )


def _convert(out: Path, model: str) -> bool:
    arguments = (
        "--prebuilt",
        "--model",
        model,
        "--compiler",
        "none",
        "--out",
        out,
        "--cache",
        places.cache() / "convert",
    )
    done = subprocess.run(
        python.module("convert", *arguments), env=python.environment(), stdin=subprocess.DEVNULL, stdout=sys.stderr
    )
    return done.returncode == 0


def _shipped() -> bool:
    return all((SHIPPED / part).is_file() for part in PARTS)


def _made_from() -> str:
    digest = hashlib.sha256()
    for part in PARTS:
        path = SHIPPED / part
        size = path.stat().st_size
        digest.update(path.read_bytes() if size < 1 << 16 else str(size).encode())
    return digest.hexdigest()


def _waiting(command: str) -> None:
    print(
        f"dictate {command}: another process is putting the model together; waiting for it", file=sys.stderr, flush=True
    )
