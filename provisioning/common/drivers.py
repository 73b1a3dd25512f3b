"""The Coral's driver, libedgetpu: pinned in coral.lock, fetched, verified, installed into a root tree."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from models import files, typed
from models.bundle import sha256
from models.download import DownloadError, WrongFile, download, take
from models.errors import UserError
from provisioning.common import process
from provisioning.common.target import REPOSITORY, Target

LOCK = REPOSITORY / "provisioning" / "coral.lock"
LARGEST = 64 << 20
TIMEOUT_S = 30


class CoralUnavailable(UserError):
    """The driver cannot be had, or is not what the lock says; the message names the ways on."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One section of the lock: a Debian package, where it is, its SHA-256, the Python and interpreter beside it."""

    package: str
    version: str
    url: str
    sha256: str
    python: str
    interpreter: str

    @property
    def filename(self) -> str:
        """The file's name where it is published."""
        return self.url.rpartition("/")[2]


def read(path: Path = LOCK) -> dict[str, Pin]:
    """The lock's pins by Debian's code name. Raises UserError for a lock that is not whole.

    >>> read()["bookworm"].package
    'libedgetpu1-std'
    """
    try:
        pins = typed.read_toml(dict[str, Pin], path)
    except ValueError as error:
        raise UserError(f"{error}; restore it from the repository") from None
    for suite, pin in pins.items():
        key = json.dumps(suite)[1:-1]
        if not re.fullmatch(r"(?:[0-9a-f]{64})?", pin.sha256):
            raise UserError(f"{path}: {key}.sha256 must be empty or 64 hexadecimal digits; restore it")
        if not re.fullmatch(r"https?://\S+\.deb", pin.url):
            raise UserError(f"{path}: {key}.url must be the web address of a .deb; restore it")
    return pins


def pin_for(target: Target, path: Path = LOCK) -> Pin:
    """The pin for a target's Python, whose wheels must hold the interpreter that it names."""
    for pin in read(path).values():
        if pin.python == target.python:
            if f"\n{pin.interpreter} " not in "\n" + target.lock.read_text():
                raise UserError(f"{path} pairs {pin.package} with {pin.interpreter}, {target.lock.name} has another")
            return pin
    raise CoralUnavailable(f"{path} has no driver for Python {target.version}; build --without-coral")


def fetch(pin: Pin, cache: Path, file: Path | None = None) -> Path:
    """The verified package: from the cache, from `file` if given, else from the network. Raises CoralUnavailable."""
    if not pin.sha256:
        raise CoralUnavailable(
            f"the lock has no SHA-256 for {pin.filename}, so nothing can be trusted: fetch it yourself, record it with "
            f"`provisioning/coral-lock record {pin.filename}`, or build --without-coral"
        )
    kept = cache / pin.filename
    if kept.exists() and sha256(kept) == pin.sha256:
        return kept
    try:
        cache.mkdir(parents=True, exist_ok=True)
        if file:
            return take(file, kept, sha256=pin.sha256, largest=LARGEST)
        return download(pin.url, kept, sha256=pin.sha256, largest=LARGEST, timeout_s=TIMEOUT_S)
    except WrongFile as error:
        raise CoralUnavailable(
            f"{error}: nothing was kept; try again, and if it stays so, do not use that copy; or build --without-coral"
        ) from None
    except DownloadError as error:
        raise CoralUnavailable(
            f"{error}: nothing was kept; try again with a network, give the file with --coral FILE, or build "
            "--without-coral"
        ) from None
    except OSError as error:
        raise CoralUnavailable(f"{cache}: {error.strerror or error}; or build --without-coral") from None


def record(file: Path, path: Path = LOCK) -> str:
    """Write the SHA-256 of a downloaded package into the lock; returns the section's name."""
    for suite, pin in read(path).items():
        if pin.filename == file.name:
            package = process.run("dpkg-deb", "--field", file, "Package").strip()
            version = process.run("dpkg-deb", "--field", file, "Version").strip()
            if (package, version) != (pin.package, pin.version):
                raise UserError(f"{file} is {package} {version}, not {pin.package} {pin.version}")
            text = path.read_text()
            section = re.compile(rf"(^\[{suite}\]\n(?:(?!\[).*\n)*?sha256 = )\"[0-9a-f]*\"", re.M)
            files.write(path, section.sub(rf'\g<1>"{sha256(file)}"', text))
            return suite
    raise UserError(f"{path.name} has no package called {file.name}; keep the name that it was published under")


def install(root: Path, package: Path) -> None:
    """Install the .deb into the root tree `root` with the tree's own dpkg (under emulation where it has to be).

    libgcc1, which the package asks for, has been called libgcc-s1 since Debian 11.
    """
    place = root / "tmp" / package.name
    place.parent.mkdir(exist_ok=True)
    shutil.copyfile(package, place)
    try:
        process.run("chroot", root, "dpkg", "--install", "--ignore-depends=libgcc1", f"/tmp/{package.name}")
    finally:
        place.unlink()
