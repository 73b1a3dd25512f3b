"""Installs the pinned compiler into the user's cache, without root or Docker, to run with its own loader.

The archive holds a program, its C library and its dynamic loader, so it runs on any x86-64 Linux.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from convert.edgetpu.errors import InstallError
from models import typed
from models.archives import unpack
from models.download import DownloadError, WrongFile, download, take
from models.files import alone

LOCK = Path(__file__).with_name("compiler.lock")
PROGRAM = "edgetpu_compiler"
LOADER = "ld-linux-x86-64.so.2"
DONE = "installed"
PARTIAL = ".partial-"
MAX_DOWNLOAD_BYTES = 256 << 20
MAX_UNPACKED_BYTES = 1 << 30
MAX_FILES = 1000
TIMEOUT_S = 30


@dataclass(frozen=True)
class Lock:
    """The pinned release: version, where it is, what its bytes hash to, the machine it runs on."""

    version: str
    url: str
    sha256: str
    machine: str

    @classmethod
    def read(cls, path: Path = LOCK) -> Lock:
        """Read a lock file; raises InstallError, naming file and key, if it is not whole."""
        try:
            lock = typed.read_toml(cls, path)
        except ValueError as error:
            raise InstallError(f"{error}; restore it from the repository") from None
        if not re.fullmatch(r"[0-9a-f]{64}", lock.sha256):
            raise InstallError(f"{path}: sha256 must be 64 hexadecimal digits; restore it from the repository")
        if not re.match(r"https?://", lock.url):
            raise InstallError(f"{path}: url must be a web address; restore it from the repository")
        return lock


def cache_directory() -> Path:
    """Where the compiler is kept: $XDG_CACHE_HOME or ~/.cache, below coral-dictation."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "coral-dictation"


def installed(cache: Path) -> tuple[str, ...] | None:
    """The command of the compiler installed below `cache`; None if there is none."""
    for marker in sorted(cache.glob(f"{PROGRAM}-*/{DONE}"), reverse=True):
        return _command(marker.parent)
    return None


def install(
    lock: Lock, cache: Path, archive: Path | None = None, waiting: Callable[[], object] = lambda: None
) -> tuple[str, ...]:
    """Download (or take `archive`), verify, unpack and try the pinned compiler; returns its command.

    A compiler of the same hash that is already there is kept; where another process is installing one, `waiting` is
    called first. Raises InstallError, leaving nothing behind.
    """
    if platform.machine() != lock.machine:
        raise InstallError(
            f"the compiler runs on {lock.machine}, this machine is {platform.machine()}: compile on another "
            "machine and copy the *_edgetpu.tflite file here"
        )
    target = cache / f"{PROGRAM}-{lock.version}"
    if _has(target, lock):
        return _command(target)
    with _scratch(cache, waiting) as scratch:
        if _has(target, lock):  # another process was first
            return _command(target)
        packed = _archive(lock, archive, scratch / "archive")
        unpacked = scratch / "unpacked"
        _unpack(packed, unpacked)
        _try(_command(unpacked), lock.version)
        (unpacked / DONE).write_text(lock.sha256 + "\n")
        shutil.rmtree(target, ignore_errors=True)
        unpacked.replace(target)
    return _command(target)


def _has(target: Path, lock: Lock) -> bool:
    marker = target / DONE
    return marker.exists() and marker.read_text().strip() == lock.sha256


@contextmanager
def _scratch(cache: Path, waiting: Callable[[], object]) -> Iterator[Path]:
    """A directory in the cache that is gone afterwards, as are those of runs that were killed; for one at a time."""
    with ExitStack() as stack:
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(alone(cache, waiting))
            stack.callback(_remove_if_empty, cache)
            cache.mkdir(exist_ok=True)
            for stale in cache.glob(PARTIAL + "*"):
                shutil.rmtree(stale, ignore_errors=True)
            path = stack.enter_context(tempfile.TemporaryDirectory(prefix=PARTIAL, dir=cache))
        except OSError as error:
            raise InstallError(f"{cache} cannot be written ({error.strerror}): set XDG_CACHE_HOME") from error
        yield Path(path)


def _remove_if_empty(cache: Path) -> None:
    with suppress(OSError):  # nothing installed: leave no empty folder either
        cache.rmdir()


def _archive(lock: Lock, given: Path | None, target: Path) -> Path:
    """The verified archive: `given` if there is one, else from the network."""
    try:
        if given:
            return take(given, target, sha256=lock.sha256, largest=MAX_DOWNLOAD_BYTES)
        return download(lock.url, target, sha256=lock.sha256, largest=MAX_DOWNLOAD_BYTES, timeout_s=TIMEOUT_S)
    except WrongFile as error:
        raise InstallError(f"{error}: nothing was kept; try again, and if it stays so, do not use that copy") from None
    except DownloadError as error:
        raise InstallError(
            f"{error}: nothing was kept; try again when the network is there, or download it elsewhere and give it "
            "with --archive FILE"
        ) from None
    except OSError as error:
        raise InstallError(f"{target.parent} cannot be written ({error.strerror}): set XDG_CACHE_HOME") from None


def _unpack(packed: Path, target: Path) -> None:
    try:
        with tarfile.open(packed) as archive:
            members = archive.getmembers()
            if len(members) > MAX_FILES or sum(member.size for member in members) > MAX_UNPACKED_BYTES:
                raise InstallError("the archive holds far more than a compiler: nothing was kept")
            unpack(archive, target)
    except (tarfile.TarError, OSError, EOFError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InstallError(f"the archive cannot be unpacked ({reason}): nothing was kept") from error


def _command(directory: Path) -> tuple[str, ...]:
    """The loader, told to look for libraries beside the program, and the program."""
    for loader in sorted(directory.rglob(LOADER)):
        program = loader.with_name(PROGRAM)
        if program.is_file():
            for path in (loader, program):
                path.chmod(path.stat().st_mode | 0o100)
            return (str(loader), "--library-path", str(loader.parent), str(program))
    raise InstallError(f"the archive holds no {PROGRAM} with its {LOADER}: nothing was kept")


def _try(command: tuple[str, ...], version: str) -> None:
    try:
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InstallError(f"the unpacked compiler does not run ({error}): nothing was kept") from error
    if version not in done.stdout:
        said = (done.stdout + done.stderr).strip().splitlines() or ["nothing"]
        raise InstallError(f"the unpacked compiler should be {version}, but says: {said[-1]}; nothing was kept")
