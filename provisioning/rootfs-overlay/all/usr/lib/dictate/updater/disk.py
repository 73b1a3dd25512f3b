"""The few things that are done to a disk, in an order that survives a power cut.

POSIX promises little: what was written is on the disk after fsync, a rename after fsync of its folder, and a rename
within a file system is whole or not at all (rename(2), fsync(2)). Everything here is made of these.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Protocol


class Disk(Protocol):
    """What changes files. Tests have one whose power fails."""

    def write(self, path: Path, data: bytes) -> None:
        """Write a new file, or over an old one; on the disk only after `sync`."""

    def sync(self, path: Path) -> None:
        """Bring a file's content, or a folder's list of names, to the disk."""

    def rename(self, source: Path, target: Path) -> None:
        """Give a file or folder another name, in place of a file of that name."""

    def remove(self, path: Path) -> None:
        """Remove a file or folder, if there is one."""

    def sync_all(self) -> None:
        """Bring everything to the disk."""


class RealDisk:
    """The operating system's calls."""

    def write(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def sync(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def sync_all(self) -> None:
        os.sync()


def replace(disk: Disk, path: Path, data: bytes) -> None:
    """Put `data` in place of a file: whatever happens, the file has its old content or the new."""
    beside = path.with_name(f".{path.name}.new")
    disk.write(beside, data)
    disk.sync(beside)
    disk.rename(beside, path)
    disk.sync(path.parent)
