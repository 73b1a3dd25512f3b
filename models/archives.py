"""Unpacking archives from elsewhere, equally safely on every Python: TarFile's filters came with 3.11.4 only."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePosixPath


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Extract all of `archive` into `folder`, and nothing outside it.

    Files, folders, symbolic links that lead downwards and hard links to earlier files are taken, each name once; they
    belong to the caller, are writable only by their owner and have no set-user-ID bit. Raises tarfile.TarError before
    anything is written if there is any other member, and OSError where writing fails.
    """
    members = archive.getmembers()
    files: set[PurePosixPath] = set()
    for member in members:
        _check(member, files)
    folder.mkdir(parents=True, exist_ok=True)
    for member in members:
        _extract(archive, member, folder)


def _check(member: tarfile.TarInfo, files: set[PurePosixPath]) -> None:
    """Without any "..", neither names nor links can lead out of the folder. `files` are those of earlier members."""
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise tarfile.ExtractError(f"{member.name!r} is neither file, folder nor link")
    for path in (member.name, member.linkname):
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise tarfile.ExtractError(f"{member.name!r} leads out of the archive's folder")
    if member.islnk() and PurePosixPath(member.linkname) not in files:
        raise tarfile.ExtractError(f"{member.name!r} links to no file of the archive")
    if member.isreg():
        files.add(PurePosixPath(member.name))


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    place = folder / member.name
    place.parent.mkdir(parents=True, exist_ok=True)
    if member.issym():
        place.symlink_to(member.linkname)
    elif member.islnk():
        place.hardlink_to(folder / member.linkname)
    elif member.isdir():
        place.mkdir(exist_ok=True)
        place.chmod(member.mode & 0o755 | 0o700)
    else:
        content = archive.extractfile(member)
        assert content is not None, "it is a regular file"
        with content, place.open("xb") as file:
            shutil.copyfileobj(content, file)
        place.chmod(member.mode & 0o755 | 0o600)
