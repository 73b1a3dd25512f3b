"""The update file: a release as a gzipped ustar archive that begins with its manifest and the manifest's signature.

    release.json.sig    OpenSSH signature of the next member (PROTOCOL.sshsig), namespace "dictate-update"
    release.json        the release's id, version, serial, tags, and the SHA-256 of each file
    site/… bundle/…     the files

The signature is checked before anything else is looked at, and each file against the signed manifest, so what is
installed is what was signed whatever else the archive holds. Reading either takes bounded memory and time
(updater/archive.py). `tar tzf` lists it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from updater.archive import Archive, ArchiveError
from updater.errors import LifecycleError, Refused
from updater.releases import Release, parse

NAMESPACE = "dictate-update"
SIGNATURE, MANIFEST = "release.json.sig", "release.json"
LIMITS = {SIGNATURE: 1 << 14, MANIFEST: 1 << 23}
LARGEST = 1 << 30
"""Bytes of an update, packed and unpacked."""
HEAD_S, UNPACK_S, VERIFY_S = 60.0, 600.0, 60.0
"""Seconds that reading the head, unpacking all of it and ssh-keygen may take."""


@dataclass(frozen=True, slots=True)
class Package:
    """An opened update file: its head is read, its files are not."""

    name: str
    signature: bytes
    manifest: bytes
    archive: Archive

    @property
    def mark(self) -> str:
        """Tells this file from every other."""
        return hashlib.sha256(self.signature + b"\0" + self.manifest).hexdigest()

    def verified(self, signers: Path) -> Release:
        """The release that is in it, if a key in `signers` (ssh-keygen(1), ALLOWED SIGNERS) signed it."""
        if not signers.is_file():
            raise LifecycleError("this device takes no updates: its image was built without --update-key; flash a new")
        with tempfile.NamedTemporaryFile(prefix="dictate-") as signature:
            signature.write(self.signature)
            signature.flush()
            command = ["ssh-keygen", "-Y", "verify", "-n", NAMESPACE, "-I", "dictate", "-f", str(signers)]
            done = _run([*command, "-s", signature.name], self.manifest, VERIFY_S)
        if done.returncode:
            raise Refused(
                f"{self.name}: not signed by a key that this device trusts; make it with make-update and that key"
            )
        try:
            return parse(self.manifest)
        except ValueError as error:
            raise Refused(f"{self.name}: {error}; make the update anew") from None

    def extract(self, release: Release, folder: Path, room: Callable[[], int]) -> None:
        """Write the release's files and manifest into `folder`, which is new.

        `room` says how many bytes may still be written. Raises LifecycleError when a file is missing, damaged or not
        in the manifest, or there is no room.
        """
        folder.mkdir(mode=0o755)
        missing = dict(release.files)
        self.archive.allow(UNPACK_S)
        with _clear(self.name):
            while (member := self.archive.next()) is not None:
                if not member.regular or member.name not in missing:
                    raise Refused(f"{self.name}: {member.name!r} is not in its signed list; nothing was changed")
                if member.size > room():
                    raise LifecycleError(f"no room for {member.name}: free some of the data partition and try again")
                if _copy(self.archive, folder / member.name) != missing.pop(member.name):
                    raise Refused(f"{self.name}: {member.name} is damaged; copy the update again")
        if missing:
            raise Refused(f"{self.name}: cut short, {len(missing)} files are missing; copy the update again")
        (folder / MANIFEST).write_bytes(self.manifest)


@contextmanager
def opened(path: Path) -> Iterator[Package]:
    """Open an update file and read its head. Raises LifecycleError."""
    with _clear(path.name), path.open("rb") as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise Refused(f"{path.name}: larger than an update may be; make it with provisioning/make-update")
        archive = Archive(file, LARGEST)
        archive.allow(HEAD_S)
        head = {name: _head(archive, name) for name in (SIGNATURE, MANIFEST)}
        yield Package(path.name, head[SIGNATURE], head[MANIFEST], archive)


def write(release: Path, key: Path, out: Path, serial: int) -> Release:
    """Make the update file `out` of a release's folder, signed with the private key `key` by ssh-keygen.

    A device refuses a `serial` that is not above those of the updates that it has had.
    """
    try:
        manifest = _numbered((release / MANIFEST).read_bytes(), serial)
        found = parse(manifest)
    except (OSError, ValueError) as error:
        raise LifecycleError(f"{release}: no release: {error}") from None
    for name, digest in found.files.items():
        with (release / name).open("rb") as content:
            if hashlib.file_digest(content, "sha256").hexdigest() != digest:
                raise LifecycleError(f"{release}: {name} is not as release.json says; build the release anew")
    signature = sign(manifest, key)
    beside = out.with_name(f".{out.name}.new")
    try:
        with (
            beside.open("wb") as file,
            gzip.GzipFile("", "wb", 6, file, mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w|", format=tarfile.USTAR_FORMAT) as tar,
        ):
            for name, data in ((SIGNATURE, signature), (MANIFEST, manifest)):
                _add(tar, name, io.BytesIO(data), len(data))
            for name in sorted(found.files):
                with (release / name).open("rb") as content:
                    _add(tar, name, content, os.fstat(content.fileno()).st_size)
        beside.replace(out)
    except ValueError as error:
        raise LifecycleError(f"{release}: a file cannot be packed: {error}; give it a shorter name") from None
    finally:
        beside.unlink(missing_ok=True)
    return found


def _numbered(manifest: bytes, serial: int) -> bytes:
    said = json.loads(manifest)
    if not isinstance(said, dict):
        raise ValueError("release.json is no table")
    return json.dumps(said | {"serial": serial}, indent=1).encode() + b"\n"


def sign(manifest: bytes, key: Path) -> bytes:
    """The armoured signature of a manifest. Raises LifecycleError with what ssh-keygen said."""
    if not key.is_file():
        raise LifecycleError(f"{key}: no such key; make one: ssh-keygen -t ed25519 -f {key}")
    done = _run(["ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key)], manifest)
    if done.returncode or not done.stdout.startswith(b"-----BEGIN SSH SIGNATURE-----"):
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise LifecycleError(f"{key}: ssh-keygen cannot sign with it: {said[-1]}")
    return done.stdout


def _head(archive: Archive, name: str) -> bytes:
    member = archive.next()
    if member is None or member.name != name or not member.regular or member.size > LIMITS[name]:
        raise Refused("not an update file, or not signed: make it with provisioning/make-update")
    return b"".join(archive.blocks())


def _copy(archive: Archive, target: Path) -> str:
    """Write the content of the archive's present member to `target` and return its SHA-256."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for block in archive.blocks():
            digest.update(block)
            file.write(block)
    target.chmod(0o644)
    return digest.hexdigest()


def _add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    tar.addfile(member, content)


def _run(command: list[str], data: bytes, seconds: float | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=data, capture_output=True, timeout=seconds)
    except FileNotFoundError:
        raise LifecycleError("ssh-keygen is missing; install the package openssh-client") from None
    except subprocess.TimeoutExpired:
        raise LifecycleError(f"ssh-keygen did not end within {seconds:g} s; nothing was changed") from None


@contextmanager
def _clear(name: str) -> Iterator[None]:
    """Turn what the standard library raises for a bad or unreadable file into a line."""
    try:
        yield
    except FileNotFoundError:
        raise LifecycleError(f"{name}: no such file") from None
    except ArchiveError as error:
        raise Refused(f"{name}: not an update file, or damaged ({error}); copy it again") from None
    except OSError as error:
        raise LifecycleError(f"{name}: {error.strerror or error}; nothing was changed") from None
