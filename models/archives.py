"""Unpacking archives from elsewhere, equally safely on every Python: 3.11.2 has no extraction filters."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Extract all of `archive` into `folder`, and nothing outside it.

    Files, folders, links that lead downwards and other names of earlier files are taken; they belong to the caller,
    without set-user-ID bits and writable only by their owner. Raises tarfile.TarError before anything is written if
    there is any other member, and OSError where writing fails.
    """
    members = archive.getmembers()
    files: set[PurePosixPath] = set()
    for member in members:
        _check(member, files)
        if member.isreg():
            files.add(PurePosixPath(member.name))
        member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
        member.mode = member.mode & 0o755 | (0o700 if member.isdir() else 0o600)
    filters: Any = getattr(tarfile, "data_filter", None)  # since 3.11.4
    if filters is not None:
        archive.extraction_filter = filters
    archive.extractall(folder, members)


def _check(member: tarfile.TarInfo, files: set[PurePosixPath]) -> None:
    """Without any "..", neither names nor links can lead out of the folder."""
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        raise tarfile.ExtractError(f"{member.name!r} is neither file, folder nor link")
    for path in (member.name, member.linkname):
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise tarfile.ExtractError(f"{member.name!r} leads out of the archive's folder")
    if member.islnk() and PurePosixPath(member.linkname) not in files:
        raise tarfile.ExtractError(f"{member.name!r} links to no file of the archive")
